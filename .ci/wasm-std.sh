# Only where `rustup target add wasm32-unknown-unknown` has nothing to download from: Debian's sources of the standard library, built
# for WebAssembly by Debian's compiler. To be sourced by a shell: `. .ci/wasm-std.sh`, then `make web`.
#
# rust-web-src fits rustc-web of the same version alone, so the compiler is Debian's too. The linker is the one of the Rust that is
# installed otherwise: Debian's package has none of its own.
as_root=
[ "$(id -u)" -eq 0 ] || as_root=sudo
$as_root apt-get update -qq &&
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends rust-web-src rustc-web >/dev/null &&
    linker=$(rustc --print sysroot)/lib/rustlib/$(rustc -vV | sed -n 's/^host: //p')/bin/rust-lld &&
    export DIABLO_WASM_RUSTC=/usr/bin/rustc &&
    export DIABLO_WASM_ARGS="-Z build-std=std,panic_abort" &&
    export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER="$linker"
