//! The `diablo` program.
fn main() {
    let mut run = diablo::train::RunConfig::from_toml_file(std::path::Path::new(&std::env::args().nth(1).unwrap())).unwrap();
    run.resume = std::env::args().nth(2).is_some();
    let mut trainer = diablo::train::Trainer::prepare(run, &mut |_| ()).unwrap();
    let mut r = diablo::cli::progress::Reporter::new(diablo::cli::progress::Look::Lines);
    println!("{:?}", trainer.run(&mut |e| { r.report(&e); }, &|| false));
}
