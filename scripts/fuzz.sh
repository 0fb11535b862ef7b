#!/usr/bin/env bash
# Runs fuzz targets one after the other: scripts/fuzz.sh [SECONDS each] [TARGET...]. Works on the stable toolchain.
set -euo pipefail
cd "$(dirname "$0")/../fuzz"
seconds=${1:-30}
targets=("${@:2}")
if [ ${#targets[@]} -eq 0 ]; then
  for file in fuzz_targets/*.rs; do targets+=("$(basename "$file" .rs)"); done
fi

# What libFuzzer needs of the compiler: counters and compares at every edge. No sanitizer: that would need nightly.
export RUSTFLAGS="--cfg fuzzing -Ccodegen-units=1 -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares"
# A named target keeps these flags away from build scripts and procedural macros.
host=$(rustc -vV | sed -n 's/^host: //p')
cp ../Cargo.lock Cargo.lock # the versions that are tested are the ones that are fuzzed
cargo build --release --target "$host" --target-dir target "${targets[@]/#/--bin=}"

for target in "${targets[@]}"; do
  printf '\n== %s, %s s\n' "$target" "$seconds"
  mkdir -p "corpus/$target" "artifacts/$target"
  corpora=("corpus/$target") # the first one takes what is new
  if [ -d "seeds/$target" ]; then corpora+=("seeds/$target"); fi
  "target/$host/release/$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
    -artifact_prefix="artifacts/$target/" "${corpora[@]}"
done
