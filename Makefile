# Highwater. `make` lists the targets; `make serve` and `make test` are all that a newcomer needs.
# Needs a Rust toolchain, a C compiler, python3 with pip, and make.

CARGO ?= cargo
PYTHON ?= python3
PREFIX ?= /usr/local
# Arguments for the command that a target runs, for example: make serve ARGS='--listen 127.0.0.1:9000'
ARGS ?=
# How long `make fuzz` runs each target.
SECONDS ?= 30

BINARY = $(or $(CARGO_TARGET_DIR),target)/release/highwater
VENV = .runtime/venv/bin/python

# ONNX Runtime of the official wheels otherwise reports its use to its maker.
export ORT_DISABLE_TELEMETRY = 1

.PHONY: help serve build install test check lint fmt clippy doc deny bench bench-peers bench-generate parity runtime runtime-gpu fuzz clean cargo venv

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

serve: build ## build everything, then serve on 127.0.0.1:8080
	$(BINARY) serve $(ARGS)

build: cargo runtime ## build target/release/highwater
	$(CARGO) build --release --locked

install: ## install what `make build` built under PREFIX=/usr/local: lib/highwater, and a link in bin
	install -d "$(DESTDIR)$(PREFIX)/lib/highwater" "$(DESTDIR)$(PREFIX)/bin"
	install $(BINARY) .runtime/libonnxruntime* .runtime/onnxruntime-* "$(DESTDIR)$(PREFIX)/lib/highwater"
	ln -sf ../lib/highwater/highwater "$(DESTDIR)$(PREFIX)/bin/highwater"

test: cargo runtime ## run every test
	$(PYTHON) -m unittest discover -q scripts
	$(CARGO) test --locked $(ARGS)

check: fmt clippy test doc deny ## all that must pass before a change goes in

lint: fmt clippy doc deny ## `check` without the tests

fmt: cargo
	$(CARGO) fmt --check

clippy: cargo
	$(CARGO) clippy --locked --all-targets -- -D warnings

doc: cargo
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --locked --no-deps

# Without the advisory database: it lives on a git host, and a check must not depend on one. `cargo deny check` has it all.
deny: cargo
	@if command -v cargo-deny >/dev/null; then \
	  $(CARGO) deny --locked check licenses bans sources; \
	elif [ -n "$$CI" ]; then \
	  echo 'cargo-deny is missing: cargo install --locked cargo-deny' >&2; exit 1; \
	else \
	  printf '\n*** SKIPPED: licences and dependencies were NOT checked: cargo install --locked cargo-deny ***\n\n' >&2; \
	fi

bench: build ## measure the machine's matrix-product peak, then the service with the embedded model
	$(CARGO) bench --locked --bench '*'
	$(PYTHON) benches/http_load.py --binary $(BINARY) $(ARGS)

bench-peers: build venv ## compare `score` with transformers and torch on the same texts and weights
	$(VENV) benches/peers/run.py --binary $(BINARY) $(ARGS)

bench-generate: build venv ## compare `generate` with transformers on the same prompts and weights
	$(VENV) benches/peers/run_generate.py --binary $(BINARY) $(ARGS)

parity: build venv ## compare every number with transformers at the shape of GPT-2 small
	$(VENV) scripts/parity.py --binary $(BINARY) $(ARGS)

# The Python packages of the comparisons; nothing that users run needs them.
venv:
	@PYTHON=$(PYTHON) scripts/venv.sh

runtime: ## fetch ONNX Runtime into .runtime/
	@command -v $(PYTHON) >/dev/null || { echo '$(PYTHON) is missing: install Python 3.9 or later with pip' >&2; exit 1; }
	@$(PYTHON) scripts/runtime.py

runtime-gpu: runtime ## fetch the CUDA 13 build of ONNX Runtime into .runtime/gpu/ (1.2 GB)
	@$(PYTHON) scripts/runtime.py --gpu

fuzz: cargo ## fuzz each parser of foreign bytes for SECONDS=30
	scripts/fuzz.sh $(SECONDS) $(ARGS)

clean: cargo ## delete all that was built or fetched
	$(CARGO) clean
	rm -rf .runtime fuzz/target fuzz/corpus fuzz/artifacts fuzz/Cargo.lock

cargo:
	@command -v $(CARGO) >/dev/null || { echo '$(CARGO) is missing: install a Rust toolchain (https://rustup.rs), then try again' >&2; exit 1; }
