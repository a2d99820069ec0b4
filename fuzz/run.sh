#!/usr/bin/env bash
# Builds the fuzz targets with a stable toolchain and runs each for some seconds.
#
#   fuzz/run.sh [SECONDS] [TARGET...]      default: 5 seconds, all targets
#
# The stored corpus (fuzz/corpus/TARGET) is read and never written. The exit code is that of the first target that crashes.
set -euo pipefail

seconds=${1:-5}
shift || true
cd "$(dirname "$0")"
target_dir=${CARGO_TARGET_DIR:-$PWD/target}

if ! command -v g++ >/dev/null && ! command -v clang++ >/dev/null; then
    echo "fuzz/run.sh: libFuzzer is compiled from C++; install g++ or clang++ (Debian: apt-get install g++)" >&2
    exit 1
fi

targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
    for file in fuzz_targets/*.rs; do
        targets+=("$(basename "$file" .rs)")
    done
fi

# --target keeps these flags from build scripts, which have no libFuzzer to report to.
host=$(rustc -vV | sed -n 's/^host: //p')
export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1"
CARGO_TARGET_DIR=$target_dir cargo build --quiet --target "$host" "${targets[@]/#/--bin=}"

for target in "${targets[@]}"; do
    program=$target_dir/$host/debug/$target
    finds=$(mktemp -d)
    mkdir -p "$finds/corpus" "corpus/$target"
    echo "fuzz/run.sh: $target for $seconds s"
    code=0
    "$program" -max_total_time="$seconds" -timeout=5 -rss_limit_mb=1024 -verbosity=0 -print_final_stats=1 \
        -artifact_prefix="$finds/" "$finds/corpus" "corpus/$target" >"$finds/log" 2>&1 || code=$?
    if [ "$code" -ne 0 ]; then
        tail -n 40 "$finds/log" >&2
        echo "fuzz/run.sh: $target failed. To see it again:" >&2
        for input in "$finds"/{crash,timeout,oom,leak}-*; do
            [ -e "$input" ] && echo "    $program $input" >&2
        done
        exit "$code"
    fi
    grep -E 'number_of_executed_units|new_units_added' "$finds/log" || true
    rm -r "$finds"
done
