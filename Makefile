# The commands of every day. Each line is also what you can type without make.

help:            ## this list
	@grep -E '^[a-z-]+: ' Makefile | sed -E 's/^([a-z]+): +##/  \1\t/'

up:              ## a ring on this machine, built quickly
	cargo run -- up

check:           ## the quickest answer after a change
	cargo check --tests

one:             ## one file of tests, as `make one T=hello::`
	cargo test --test it $(T)

sim:             ## the simulator; SMOLRING_SEED=17 replays one run
	cargo test --test it sim -- --nocapture

traces:          ## the golden traces; UPDATE_TRACES=1 writes them anew
	cargo test --test it traces

lint:            ## format, clippy, docs
	cargo fmt --all --check
	cargo clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items

test:            ## everything; installs what the tests need (Debian)
	tests/run

dist:            ## the programs as they are shipped, in target/dist
	cargo build --locked --profile dist

.PHONY: help up check one sim traces lint test dist
