//! `diablo bench`

use super::common_args::{DeviceArgs, OutputArgs};
use super::output::{self, grouped, table};
use crate::adapter::{Spec, choose};
use crate::bench::{StepCase, StepTimes, measure, shapes};
use crate::device::human_bytes;
use crate::error::Result;
use crate::train::config::{Method, WeightsFormat};
use serde_json::json;
use std::process::ExitCode;
use std::time::Duration;

const AFTER_HELP: &str = "\
Weights are random and made in memory; every token of a row is learned from. Without --shape the two steps of the README run:
tinystories-656k with DiaBlo (8 blocks, 8 x 128 tokens, with clipping and AdamW) and smollm2-135m with all weights' gradients
(1 x 128 tokens, without an update).

Examples:
  diablo bench
  diablo bench --shape qwen3-0.6b --method lora --batch-size 1 --seq-len 256 --json
  diablo bench --shape llama-3.2-1b --weights nf4 --batch-size 4 --seq-len 512 --gradient-checkpointing";

/// The command's options.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// Architecture: tinystories-656k, smollm2-135m, gemma-3-270m, qwen3-0.6b, llama-3.2-1b
    #[arg(long, value_name = "NAME")]
    shape: Option<String>,
    /// What trains
    #[arg(long, value_name = "METHOD", value_parser = super::common_args::word::<Method>(), default_value = "diablo")]
    method: Method,
    /// Diagonal blocks of DiaBlo
    #[arg(long, value_name = "N", default_value_t = 8)]
    blocks: usize,
    /// Rank of LoRA
    #[arg(long, value_name = "R", default_value_t = 16)]
    rank: usize,
    /// How frozen weights are held: f32, bf16, f16, int8 or nf4
    #[arg(long, value_parser = super::common_args::word::<WeightsFormat>(), default_value = "f32", hide_possible_values = true)]
    weights: Option<WeightsFormat>,
    /// Recompute activations in the backward pass
    #[arg(long)]
    gradient_checkpointing: bool,
    /// Rows of a step
    #[arg(long, value_name = "B", default_value_t = 1)]
    batch_size: usize,
    /// Tokens of a row
    #[arg(long, value_name = "T", default_value_t = 128)]
    seq_len: usize,
    /// Seconds to measure each step for, after two steps that are not counted
    #[arg(long, value_name = "S", default_value_t = 5.0)]
    seconds: f64,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs the command.
///
/// # Errors
/// Where a shape cannot be divided as asked, or does not fit on the device.
pub fn run(args: Args) -> Result<ExitCode> {
    let device = args.device.open()?;
    let cases: Vec<(String, String, StepCase)> = match &args.shape {
        Some(shape) => {
            let config = shapes::named(shape)?;
            let spec = match args.method {
                Method::Full => Spec::full(),
                Method::Lora => Spec::lora(args.rank, 2.0 * args.rank as f64),
                Method::Diablo => choose::diablo(&config, &config.modules(), |_| Some(args.blocks), false, 0.0)?,
            };
            let method = crate::train::resolve::describe(&spec);
            vec![(
                shape.clone(),
                method,
                StepCase {
                    config,
                    spec,
                    weights: args.weights.map(Into::into),
                    recompute: args.gradient_checkpointing,
                    rows: args.batch_size,
                    seq: args.seq_len,
                    update: true,
                },
            )]
        }
        None => {
            let small = shapes::named("tinystories-656k")?;
            let spec = choose::diablo(&small, &small.modules(), |_| Some(8), false, 0.0)?;
            let method = crate::train::resolve::describe(&spec);
            let large = shapes::named("smollm2-135m")?;
            let all = StepCase { config: large, spec: Spec::full(), weights: None, recompute: false, rows: 1, seq: 128, update: false };
            vec![
                (
                    "tinystories-656k".into(),
                    method,
                    StepCase { config: small, spec, weights: None, recompute: false, rows: 8, seq: 128, update: true },
                ),
                ("smollm2-135m".into(), "all gradients, no update".into(), all),
            ]
        }
    };
    let time = Duration::from_secs_f64(args.seconds.clamp(0.0, 3600.0));
    let mut results: Vec<(String, StepTimes)> = Vec::new();
    let mut lines = vec![
        ["shape", "method", "tokens", "best ms", "median ms", "tokens/s (best)", "first step ms", "memory", "dispatches"]
            .map(String::from)
            .to_vec(),
    ];
    for (shape, method, case) in &cases {
        let times = measure(&device, case, 5, time)?;
        lines.push(vec![
            shape.clone(),
            method.clone(),
            format!("{} x {}", case.rows, case.seq),
            format!("{:.1}", times.best() * 1e3),
            format!("{:.1}", times.median() * 1e3),
            grouped((times.tokens as f64 / times.best()) as u64),
            format!("{:.0}", times.first_step * 1e3),
            human_bytes(times.memory),
            times.dispatches.to_string(),
        ]);
        results.push((format!("{shape}, {method}"), times));
    }
    if args.output.json {
        let rows: Vec<_> = results
            .iter()
            .map(|(name, t)| {
                json!({ "name": name, "best_seconds": t.best(), "median_seconds": t.median(), "tokens": t.tokens,
                "tokens_per_second": t.tokens as f64 / t.best(), "first_step_seconds": t.first_step, "memory": t.memory,
                "dispatches": t.dispatches })
            })
            .collect();
        output::print_json(&json!({ "device": device.name(), "steps": rows }))?;
    } else {
        output::print(&format!("device  {}\n\n{}", device.name(), table(&lines)))?;
    }
    Ok(ExitCode::SUCCESS)
}
