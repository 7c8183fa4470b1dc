#!/bin/sh
# Runs targets of fuzz_targets/, one after the other: fuzz/run.sh SECONDS [TARGET...]. Seeds are made first; what is found lies in
# fuzz/artifacts/TARGET. docs/fuzzing.md says what to do with it.
cd "$(dirname "$0")/.." || exit 1
seconds=${1:-600}
[ $# -gt 0 ] && shift
[ $# -gt 0 ] || set -- $(ls fuzz/fuzz_targets | sed 's/\.rs$//')
export RUSTC_WRAPPER="$PWD/fuzz/rustc.sh" CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}"
cargo build --quiet --manifest-path fuzz/Cargo.toml || exit 1
# Readers write files by the hundred thousand: into memory, where that is a folder.
if [ -z "$TMPDIR" ] && [ -d /dev/shm ]; then TMPDIR=/dev/shm; fi
work=$(mktemp -d "${TMPDIR:-/tmp}/diablo-fuzz.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
found=
for target in "$@"; do
    program=$CARGO_TARGET_DIR/debug/$target
    corpus=fuzz/corpus/$target
    mkdir -p "$corpus" "fuzz/artifacts/$target"
    DIABLO_SEEDS=$corpus TMPDIR=$work "$program" || exit 1
    [ -d "tests/data/fuzz/$target" ] && cp "tests/data/fuzz/$target"/* "$corpus"
    TMPDIR=$work RAYON_NUM_THREADS=1 "$program" "$corpus" -dict="$corpus.dict" -artifact_prefix="fuzz/artifacts/$target/" \
        -max_total_time="$seconds" -max_len=16384 -timeout=20 -rss_limit_mb=2048 -print_final_stats=1 || found="$found $target"
done
[ -z "$found" ] || { echo "found something:$found; see fuzz/artifacts" >&2; exit 1; }
