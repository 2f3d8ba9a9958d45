# The one list of commands. Each calls cargo or one script; what is said here twice belongs there.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VERSION := $(shell sed -n 's/^version = "\(.*\)"$$/\1/p' Cargo.toml)
IMAGE ?= podfence-operator:$(VERSION)
AGENT_IMAGE ?= podfence-agent:$(VERSION)
# KEEP=1: `make demo` leaves its cluster running and prints how to reach it.
KEEP ?=
# How long `make fuzz` goes on, in seconds.
FOR ?= 3600
CARGO ?= cargo

.PHONY: help
help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## install what is missing to build and test, or say what to install
	@.ci/setup

.PHONY: lab
lab: setup ## build the Kubernetes of the tests from source (twenty minutes, once)
	e2e/cluster/build etcd kubernetes kubernetes-1.34 containerd runc cni >/dev/null

.PHONY: demo
demo: setup ## show it: a real API server, the operator, the samples, nodes (as root), the verdicts; KEEP=1 leaves it running
	KEEP=$(KEEP) $(CARGO) run --locked --package podfence-e2e --bin demo

.PHONY: test
test: lint lab ## run every test, the stories against the real cluster included
	$(CARGO) test --locked --workspace
	$(MAKE) --no-print-directory scan-self

.PHONY: lint
lint: setup ## formatting, clippy and documentation without a warning
	$(CARGO) fmt --all --check
	unformatted="$$(gofmt -l e2e seccomp)"; test -z "$$unformatted" || { echo "gofmt -w $$unformatted" >&2; exit 1; }
	go vet -C seccomp/extract ./...
	go vet -C e2e/oracle/podsecurity ./...
	go vet -C e2e/oracle/seccomp -tags seccomp ./...
	go vet -C e2e/oracle/runtime-default -modfile=lines/containerd-1.7.mod -tags containerd_1 ./...
	go vet -C e2e/oracle/runtime-default -modfile=lines/containerd-2.3.mod -tags containerd_2 ./...
	go vet -C e2e/oracle/runtime-default -modfile=lines/containerd-2.4.mod -tags containerd_2_4 ./...
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --locked --workspace --no-deps --quiet

.PHONY: bench
bench: setup ## evaluation beside the Go library; scan; the observer (as root); the operator's reaction, start and scale on a real API server
	$(CARGO) bench --locked --package podfence-e2e --bench podsecurity
	$(CARGO) bench --locked --package podfence-e2e --bench scan
	$(CARGO) bench --locked --package podfence-e2e --bench observer
	$(CARGO) bench --locked --package podfence-plan --bench seccomp_default
	$(CARGO) bench --locked --package podfence-e2e --bench operator
	PODFENCE_STORIES=all $(CARGO) test --locked --package podfence-e2e --test stories -- scale::

.PHONY: fuzz
fuzz: setup ## long runs: random histories, a kill at every write, every right taken away, random pods and profiles for FOR=3600 s each
	PODFENCE_HISTORIES=20000 $(CARGO) test --locked --release --package podfence-plan --test interleavings
	PODFENCE_STORIES=all $(CARGO) test --locked --package podfence-e2e --test stories -- kills::
	PODFENCE_STORIES=all $(CARGO) test --locked --package podfence-e2e --test stories -- rights::
	PODFENCE_SECONDS=$(FOR) $(CARGO) test --locked --release --package podfence-e2e --test differential -- --nocapture
	PODFENCE_SECONDS=$(FOR) $(CARGO) test --locked --release --package podfence-e2e --test seccomp_filter -- --nocapture
	PODFENCE_SECONDS=$(FOR) $(CARGO) test --locked --release --package podfence-e2e --test seccomp_rules -- --nocapture

.PHONY: crds
crds: ## write config/crd and the reference anew from the types
	$(CARGO) run --locked --quiet --package podfence-crd --example crdgen

.PHONY: profiles
profiles: setup ## look for new releases of the runtimes and write what their RuntimeDefault does to seccomp/data
	go run -C seccomp/extract . -data $(CURDIR)/seccomp/data

.PHONY: system-calls
system-calls: lab ## run every system call on a real node (as root) and write docs/reference/system-calls.md anew
	PODFENCE_WRITE_TABLE=1 $(CARGO) test --locked --package podfence-e2e --test nodes -- filters:: --nocapture

.PHONY: corpus
corpus: lab ## run eighty real programs on nodes without and with SeccompDefault (as root) and write docs/reference/corpus.md
	PODFENCE_CORPUS=all PODFENCE_WRITE_TABLE=1 $(CARGO) test --locked --package podfence-e2e --test corpus -- --nocapture

.PHONY: scan-self
scan-self: lab ## our own manifests pass our own scan at restricted
	$$(e2e/cluster/build kubernetes)/kubectl kustomize config/default \
	  | $(CARGO) run --locked --quiet --package kubectl-podfence -- scan --level restricted -f -

.PHONY: image
image: ## build the container images with docker, or ENGINE=podman; IMAGE=NAME:TAG AGENT_IMAGE=NAME:TAG
	$(or $(ENGINE),docker) build --target operator --tag $(IMAGE) .
	$(or $(ENGINE),docker) build --target agent --tag $(AGENT_IMAGE) .

.PHONY: clean-lab
clean-lab: ## remove the built Kubernetes of the tests
	rm -rf "$${PODFENCE_CACHE:-$${XDG_CACHE_HOME:-$$HOME/.cache}/podfence}/cluster"
