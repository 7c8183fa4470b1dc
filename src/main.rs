//! The program; see `diablo::cli`. In a browser a page starts what it needs by itself; see `diablo::web`.

#[cfg(not(target_arch = "wasm32"))]
fn main() -> std::process::ExitCode {
    diablo::cli::main()
}

#[cfg(target_arch = "wasm32")]
fn main() {
    diablo::web::start();
}
