#!/usr/bin/env bash
# Runs every fuzz target of the checkpoint readers for a while; `SECONDS_EACH=600 make fuzz-smoke` for longer.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
tools/need.sh cargo-fuzz "rustup toolchain install nightly && cargo install --locked cargo-fuzz"

cd networks
targets=$(cargo +nightly fuzz list)
for target in $targets; do
    cargo +nightly fuzz run "$target" -- -max_total_time="${SECONDS_EACH:-60}" -rss_limit_mb=2048
done
