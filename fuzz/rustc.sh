#!/bin/sh
# Cargo's RUSTC_WRAPPER: compiles the readers, and the crates that they read with, so that libFuzzer sees which way they went. The
# flags are those of `cargo fuzz --sanitizer none`; nothing else is slowed down by them, nor compiled anew.
name=
previous=
for argument in "$@"; do
    [ "$previous" = --crate-name ] && name=$argument
    previous=$argument
done
case $name in
    diablo | diablo_fuzz | adapter | checkpoint | config | names | parquet | rows | run_folder | run_toml | safetensors | template | tokenizer | torch | \
    csv | csv_core | minijinja | minijinja_contrib | tokenizers)
        set -- "$@" -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
            -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares -Clto=off ;;
esac
exec "$@"
