#!/usr/bin/env bash
# run.sh all|TARGET SECONDS: what is new is kept in tests/fuzz/found, beside the corpus that is committed.
set -euo pipefail
cd "$(dirname "$0")/../.."

# The sanitizers look for what safe Rust has not; without them a stable compiler will do.
targets=$1
[ "$targets" != all ] || targets=$(cargo fuzz list --fuzz-dir tests/fuzz)
cargo fuzz build --fuzz-dir tests/fuzz --sanitizer none
failed=
for target in $targets; do
    mkdir -p "tests/fuzz/found/$target"
    echo "fuzz: $target for $2 s"
    cargo fuzz run --fuzz-dir tests/fuzz --sanitizer none "$target" "tests/fuzz/found/$target" "tests/fuzz/corpus/$target" -- \
        -max_total_time="$2" -max_len=4096 -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 || failed+=" $target"
done
[ -z "$failed" ] || { echo "fuzz: something was found for:$failed" >&2; exit 1; }
