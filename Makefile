# Everything that one types here, by name. `make` alone lists it.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CARGO_DENY_VERSION := 0.20.2
CARGO_DENY := .cache/cargo-deny-$(CARGO_DENY_VERSION)/bin/cargo-deny
CARGO_FUZZ_VERSION := 0.13.1
CARGO_FUZZ := .cache/cargo-fuzz-$(CARGO_FUZZ_VERSION)/bin/cargo-fuzz

# Starts the database server around a command, and stops it afterwards.
DEVSTACK := cargo run -q -p devstack --bin devstack -- exec

# What `make demo` and `make run` start. Not the release profile: that takes four times as long to build,
# and here the weights' own libraries do nearly all the work. `make test` uses the same build.
DEMO := cargo build $(addprefix -p ,devstack receiver image-processor face-recog frontend) --bins

# The container images, as compose.yaml and kube_files name them: kube-face/NAME:VERSION.
IMAGES := receiver image-processor face-recog frontend redeemer retention face-recog-samples
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)

# Passes the output of `cargo test` on and closes it with the sum of its result lines.
SUM_UP := awk '{ print; fflush() } /^test result:/ { passed += $$4; failed += $$6 } \
               END { printf "%d passed, %d failed\n", passed, failed }'

.PHONY: help setup demo run test test-databases snapshots screenshots explore faults soak bench paint accuracy fuzz images kube-test release-dry-run check clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install what is missing: Debian packages, weights, photographs, queue servers
	@setup/install

demo: setup building ## show real photographs being recognised, from the first request to the table
	$(DEMO)
	target/debug/demo

run: setup building ## start the whole stack and keep it until Ctrl-C
	$(DEMO)
	target/debug/demo --keep

# The first build is long, and cargo does not say so.
.PHONY: building
building:
	@[ -x target/debug/demo ] || echo 'building kube-face and what it stands on: about four minutes on two cores, once'

test: setup ## run every test but the longest of the faults, on real servers
	@setup/install test
	@setup/checks
	cargo build --workspace --bins
	$(DEVSTACK) -- cargo test --workspace --no-fail-fast | $(SUM_UP)

test-databases: setup ## run the same tests, but none of the faults, on another database: DB=mysql or DB=group (need root, 700 MB in .cache), DB=galera, DB=tidb (builds it, 5 minutes)
	@[[ "$(DB)" =~ ^(mysql|group|galera|tidb)$$ ]] || { echo 'say which: make test-databases DB=mysql, DB=group, DB=galera or DB=tidb' >&2; exit 1; }
	@setup/$(DB:group=mysql)
	@setup/install test
	@setup/checks
	cargo build --workspace --bins
	$(DEVSTACK) --database $(DB) -- cargo test --workspace --exclude faults --no-fail-fast | $(SUM_UP)

snapshots: setup ## renew what tests compare with: docs/openapi.json and crates/frontend/tests/pages
	cargo build --workspace --bins
	RENEW=1 $(DEVSTACK) -- cargo test --workspace --test promises --test frontend only_where_a_reviewer_sees_it

screenshots: setup ## take pictures of every page into docs/screenshots, on a desktop and on a phone
	@setup/install test
	cargo build --workspace --bins
	$(DEVSTACK) -- cargo test -p frontend --test browser -- --ignored screenshots

explore: setup ## run the real SQL of several processes in SCHEDULES=10000 orders; SEED=7 for one; DB=mysql, DB=group, DB=galera or DB=tidb for another database
	$(if $(DB),@setup/$(DB:group=mysql))
	cargo build -p explorer
	$(DEVSTACK) $(if $(DB),--database $(DB)) -- env $(if $(SEED),SEED=$(SEED)) SCHEDULES=$(or $(SCHEDULES),10000) target/debug/explore

faults: setup ## make every fault of docs/reliability.md happen, and show that nothing is lost; FAULT=23 for one; FAULT=44 needs root and 700 MB in .cache, and runs only when it is asked for
	@setup/galera
	$(if $(filter 44,$(FAULT)),@setup/mysql)
	cargo build --release --workspace --bins
	$(DEVSTACK) -- cargo test --release -p faults --no-fail-fast -- --include-ignored --test-threads=2 $(if $(FAULT),$(addprefix fault_,$(FAULT)),--skip fault_44) | $(SUM_UP)

soak: setup ## load and random faults for SOAK=10m, or as long as you like; draws target/soak.svg
	cargo build --release --workspace --bins
	SOAK=$(or $(SOAK),10m) target/release/soak

bench: setup ## measure beside what the machine allows: everything, or BENCH="receiver gallery"
	cargo build --release --workspace --bins
	target/release/bench $(BENCH)

paint: setup ## measure how soon the page Photos is painted among a million photos
	@setup/install test
	cargo build --release --workspace --bins
	$(DEVSTACK) -- cargo test --release -p frontend --test browser -- --ignored painted_soon

accuracy: setup ## measure which faces are found and which names are right; FACES=folder for pictures of your own people
	cargo run -q --release -p accuracy -- $(if $(FACES),--faces "$(FACES)")

fuzz: setup $(CARGO_FUZZ) ## throw made-up bytes at all that reads those of strangers, for FUZZ=60s each
	@for target in frames requests pictures; do \
	  $(CARGO_FUZZ) run --sanitizer none --features libfuzzer $$target -- \
	    -max_total_time=$(patsubst %s,%,$(or $(FUZZ),60s)) -timeout=30 -rss_limit_mb=1500 -print_final_stats=1; \
	done

images: ## build the container images (needs Docker alone; the first time takes some minutes)
	@for image in $(IMAGES); do \
	  DOCKER_BUILDKIT=1 docker build --file docker/Dockerfile --target $$image --tag kube-face/$$image:$(VERSION) \
	    --build-arg VERSION=$(VERSION) --build-arg REVISION=$$(git rev-parse HEAD) .; \
	done
	@docker images --filter 'reference=kube-face/*:$(VERSION)' --format 'table {{.Repository}}:{{.Tag}}\t{{.Size}}'

kube-test: ## prove a deployment: delete every pod of it while pictures are posted (kubectl's context; NAMESPACE=… for another)
	@kube_tools/prove

release-dry-run: ## do all of a release that needs no registry: one version everywhere, the notes, the chart in dist/
	@setup/checks go
	@.ci/release dry-run

check: setup $(CARGO_DENY) ## check format, lints, doc comments, licences, sources, duplicates, workflows and the chart
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS=-Dwarnings cargo doc --workspace --no-deps --document-private-items
	$(CARGO_DENY) check licenses bans sources
	@setup/checks go
	@.ci/release dry-run

$(CARGO_DENY): # takes some minutes, once
	cargo install --locked --root .cache/cargo-deny-$(CARGO_DENY_VERSION) cargo-deny --version $(CARGO_DENY_VERSION)

$(CARGO_FUZZ): # takes a minute, once
	cargo install --locked --root .cache/cargo-fuzz-$(CARGO_FUZZ_VERSION) cargo-fuzz --version $(CARGO_FUZZ_VERSION)

clean: ## delete what was built (downloads stay in .cache)
	cargo clean
