# What the token that `baoctl migrate-raft` is given must be allowed, when it is not a root token:
#   bao policy write baoctl docs/policy.hcl
#   bao token create -policy=baoctl -ttl=12h

# Before the outage, and for the comparison on each voter.
path "auth/token/lookup-self" { capabilities = ["read"] }
path "sys/mounts"             { capabilities = ["read"] }
path "sys/auth"               { capabilities = ["read", "sudo"] }
path "sys/audit"              { capabilities = ["read", "sudo"] }
path "sys/policies/acl"       { capabilities = ["list"] }

# The proof, on the scratch node alone: no other server has `raw_storage_endpoint` on.
path "sys/raw/*"              { capabilities = ["read", "sudo"] }

# The outage begins; each voter leads once while it is compared.
path "sys/seal"               { capabilities = ["update", "sudo"] }
path "sys/step-down"          { capabilities = ["update", "sudo"] }

# The new cluster. A snapshot holds all entries, as ciphertext.
path "sys/storage/raft/configuration"   { capabilities = ["read"] }
path "sys/storage/raft/autopilot/state" { capabilities = ["read"] }
path "sys/storage/raft/snapshot"        { capabilities = ["read"] }
