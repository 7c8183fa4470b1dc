//! The program; see [`diablo::cli`].

fn main() -> std::process::ExitCode {
    diablo::cli::main()
}
