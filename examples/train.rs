//! Fine-tunes a model with DiaBlo from the library: `cargo run --release --example train -- MODEL DATA OUT`.
//!
//! MODEL is a folder in Hugging Face layout, DATA a JSONL file with `prompt` and `completion`, OUT the run folder to be made.

use diablo::train::{Event, RunConfig, Trainer};
use std::path::PathBuf;

fn main() -> anyhow::Result<()> {
    let [model, data, out]: [PathBuf; 3] = std::env::args_os()
        .skip(1)
        .map(PathBuf::from)
        .collect::<Vec<_>>()
        .try_into()
        .map_err(|_| anyhow::anyhow!("three arguments are needed: MODEL DATA OUT"))?;
    // What is not said here is as on the command line: all seven projections, as many blocks as LoRA of rank 16 has parameters.
    let run =
        RunConfig { model, data: data.into(), out, steps: Some(20), batch_size: 4, seq_len: 128, lr: Some(2e-3), ..RunConfig::default() };

    let mut trainer = Trainer::prepare(run, &mut |_| ())?;
    let summary = trainer.summary();
    println!("{} on {}: {} of {} numbers train", summary.method, summary.device, summary.trainable, summary.parameters);

    let mut report = |event| match event {
        Event::Step(m) => println!("step {:3}  loss {:.4}  gradient norm {:.3}", m.step, m.loss, m.grad_norm),
        Event::Warning { text } => eprintln!("{text}"),
        _ => (),
    };
    // The second closure is asked after every step whether to stop there; such a run can be resumed.
    let outcome = trainer.run(&mut report, &|| false)?;
    println!("{} steps in {:.1} s; the adapter is in {}", outcome.steps, outcome.seconds, summary.out.display());
    Ok(())
}
