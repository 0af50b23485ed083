# The least that the token must be allowed that `baoctl` is given, when it is not a root token:
#
#   bao policy write baoctl docs/policy.hcl
#   bao token create -orphan -policy=baoctl -ttl=12h
#
# An orphan, since any other token goes when the one goes that it was made with. Remove both after the run.
# `baoctl check` says what a token lacks.

# How long the token lives, and what it may do: asked before anything else, and again before the seal.
path "auth/token/lookup-self" { capabilities = ["read"] }
path "sys/capabilities-self" { capabilities = ["update"] }

# What is mounted, enabled, audited and allowed: read from the source, and compared on each voter.
path "sys/mounts" { capabilities = ["read"] }
path "sys/auth" { capabilities = ["read"] }
path "sys/audit" { capabilities = ["read", "sudo"] }
path "sys/policies/acl" { capabilities = ["list"] }

# With --runbook reseed also `list` on "<mount>/metadata/*" of each versioned key-value mount: no entry tells the names in them,
# and what the new cluster lacks is listed by name.

# The outage begins.
path "sys/seal" { capabilities = ["update", "sudo"] }

# A write that goes by itself after a second: each voter must take it before its entries are compared.
path "sys/wrapping/wrap" { capabilities = ["update"] }

# The voters of the new cluster, counted after the restore.
path "sys/storage/raft/configuration" { capabilities = ["read"] }
path "sys/storage/raft/autopilot/state" { capabilities = ["read"] }

# Every entry of each voter, for the comparison. A snapshot is ciphertext: without the unseal shares it opens nothing.
path "sys/storage/raft/snapshot" { capabilities = ["read"] }
