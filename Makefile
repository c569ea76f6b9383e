# What people type. `make help` lists it.

BINARY := target/release/inkwire
BOARD  := apps/board/dist/index.html
BOARD_SOURCES := $(shell find apps packages -path '*/node_modules' -prune -o -path '*/dist' -prune -o -type f -print) \
	package.json package-lock.json

.PHONY: help run build board test test-rust test-web test-browser lint fmt bench chaos fuzz deps-browser deps-redis deps-operations

help: ## lists the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

run: build ## builds everything and serves the board on http://localhost:8081
	$(BINARY) serve

build: $(BOARD) ## builds the board and the binary that holds it
	cargo build --release --locked

board: $(BOARD) ## builds the board alone

node_modules/.package-lock.json: package.json package-lock.json
	npm ci
	@touch $@

$(BOARD): node_modules/.package-lock.json $(BOARD_SOURCES)
	npm run build
	@touch $@

test: test-rust test-web test-browser ## installs what the tests need, and runs all of them

test-rust: $(BOARD) deps-redis deps-operations ## the server, its parts, and the documentation's examples
	@command -v cargo-nextest >/dev/null || cargo install --locked cargo-nextest
	cargo nextest run --workspace --locked
	cargo test --doc --workspace --locked

test-web: node_modules/.package-lock.json ## the npm package and the board, without a browser
	npm test

test-browser: $(BOARD) deps-browser ## real pages in Chromium against a real server
	cargo build --locked -p inkwire-cli
	npm run e2e

deps-browser:
	@command -v chromium >/dev/null || { apt-get update -qq && apt-get install -y -qq chromium; }

# RUNLEVEL keeps the package from starting a server of its own: the tests start theirs.
deps-redis:
	@command -v redis-server >/dev/null || { apt-get update -qq && RUNLEVEL=1 apt-get install -y -qq redis-server; }

# promtool comes with prometheus.
deps-operations:
	@command -v nginx >/dev/null && command -v haproxy >/dev/null && command -v promtool >/dev/null && command -v sqlite3 >/dev/null \
		|| { apt-get update -qq && RUNLEVEL=1 apt-get install -y -qq --no-install-recommends nginx haproxy prometheus sqlite3; }

lint: node_modules/.package-lock.json ## formatting, clippy, documentation, dependencies, TypeScript
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked
	@command -v cargo-deny >/dev/null || cargo install --locked cargo-deny
	cargo deny check --hide-inclusion-graph bans licenses sources
	npm run lint

fmt: node_modules/.package-lock.json ## formats everything
	cargo fmt --all
	npm run fmt

bench: ## what an idle peer costs, how fast is published, what a delivery costs beside a plain loop
	cargo build --release --locked -p inkwire-cli -p inkwire-embedded --examples --bins
	target/release/examples/idle_peers $(BINARY)
	target/release/examples/publish_rate
	target/release/examples/fan_out $(BINARY)
	target/release/examples/fan_out $(BINARY) --subscribers 1000
	target/release/examples/fan_out $(BINARY) --subscribers 2000 --channels 200

chaos: deps-redis ## the long forms of what `make test` does in passing: kills, restarts and faults; writes docs/faults.md
	INKWIRE_ROUNDS=100 cargo nextest run --locked --profile long --no-capture -p inkwire-embedded --test killed
	INKWIRE_CLIENTS=500 cargo nextest run --locked --profile long --no-capture -p inkwire-cli --test nodes -E 'test(rolling)'
	cargo nextest run --locked --profile long --no-capture --run-ignored only -p inkwire-cli --test faults

fuzz: ## feeds frames and commands at random for minutes; `make test` does it for a moment
	PROPTEST_CASES=300000 cargo nextest run --locked --profile long -p inkwire-protocol -p inkwire --lib --tests -E 'test(any_)'
