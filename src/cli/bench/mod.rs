//! `diablo bench`

mod against;
mod decode;
mod growth;
mod methods;
mod products;
mod step;

use super::common_args::{DeviceArgs, OutputArgs, word};
use super::output::{self, table};
use crate::adapter::{Spec, choose};
use crate::bench::StepCase;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::model::{Activations, ModelConfig};
use crate::train::config::{Method, MixedPrecision, WeightsFormat};
use against::Earlier;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

const AFTER_HELP: &str = "\
Weights are random and made in memory, within the time of the first step; every
token of a row is learned from.

  step      training steps. Without --shape the two of the README: tinystories-656k with DiaBlo (8 blocks, 8 x 128 tokens, with clipping
            and AdamW) and smollm2-135m with all weights' gradients (1 x 128 tokens, without an update)
  methods   DiaBlo, LoRA of as many trainable numbers, and nothing trainable, step by step in turn
  products  the matrix products of a layer: x W^T, g W, g^T x
  decode    a prompt of --seq-len tokens, and tokens after it one by one, for --batch-size texts beside each other
  growth    time and memory against the length of a row, and against the number of layers

Examples:
  diablo bench
  diablo bench --shape qwen3-0.6b --method lora --batch-size 1 --seq-len 256 --json > before.json
  diablo bench --shape llama-3.2-1b --weights nf4 --batch-size 4 --seq-len 512 --gradient-checkpointing
  diablo bench --shape smollm2-135m --profile --trace step.json
  diablo bench products --shape smollm2-135m --device gpu
  diablo bench --shape qwen3-0.6b --method lora --seq-len 256 --against before.json";

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum What {
    Step,
    Methods,
    Products,
    Decode,
    Growth,
}

/// The command's options.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// What to measure
    #[arg(value_enum, default_value = "step")]
    what: What,
    /// Architecture: tinystories-656k, smollm2-135m, gemma-3-270m, qwen3-0.6b, llama-3.2-1b
    #[arg(long, value_name = "NAME")]
    shape: Option<String>,
    /// What trains
    #[arg(long, value_name = "METHOD", value_parser = word::<Method>(), default_value = "diablo")]
    method: Method,
    /// Diagonal blocks of DiaBlo
    #[arg(long, value_name = "N", default_value_t = 8)]
    blocks: usize,
    /// Rank of LoRA
    #[arg(long, value_name = "R", default_value_t = 16)]
    rank: usize,
    /// How frozen weights are held: f32, bf16, f16, int8 or nf4
    #[arg(long, value_parser = word::<WeightsFormat>(), default_value = "f32", hide_possible_values = true)]
    weights: Option<WeightsFormat>,
    /// Recompute activations in the backward pass
    #[arg(long)]
    gradient_checkpointing: bool,
    /// In how many bits products compute: no (32) or fp16 (factors in 16, sums in 32)
    #[arg(long, value_parser = word::<MixedPrecision>(), default_value = "no", hide_possible_values = true)]
    mixed_precision: MixedPrecision,
    /// How activations wait for the backward pass: f32 or bf16
    #[arg(long, value_parser = word::<Activations>(), default_value = "f32", hide_possible_values = true)]
    activations: Activations,
    /// Rows of a step; texts that decode writes beside each other
    #[arg(long, value_name = "B", default_value_t = 1)]
    batch_size: usize,
    /// Tokens of a row
    #[arg(long, value_name = "T", default_value_t = 128)]
    seq_len: usize,
    /// Seconds to measure each step for, after two steps that are not counted
    #[arg(long, value_name = "S", default_value_t = 5.0)]
    seconds: f64,
    /// Print the time of each kernel of a step
    #[arg(long)]
    profile: bool,
    /// Write the operations of a step as a trace that Perfetto opens
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Compare with what --json printed earlier
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    output: OutputArgs,
}

impl Args {
    fn time(&self) -> Duration {
        Duration::from_secs_f64(self.seconds.clamp(0.0, 3600.0))
    }

    /// The shape, or the one that stands in for it.
    fn shape_or(&self, default: &'static str) -> &str {
        self.shape.as_deref().unwrap_or(default)
    }

    fn diablo(&self, config: &ModelConfig) -> Result<Spec> {
        choose::diablo(config, &config.modules(), |_| Some(self.blocks), false, 0.0)
    }

    fn spec(&self, config: &ModelConfig) -> Result<Spec> {
        Ok(match self.method {
            Method::Full => Spec::full(),
            Method::Lora => Spec::lora(self.rank, 2.0 * self.rank as f64),
            Method::Diablo => self.diablo(config)?,
        })
    }

    /// Whether products take factors in 16 bits.
    fn is_half(&self) -> bool {
        self.mixed_precision == MixedPrecision::Fp16
    }

    /// A step with this in it that trains.
    fn case(&self, config: ModelConfig, spec: Spec) -> StepCase {
        StepCase {
            config,
            spec,
            weights: self.weights.map(Into::into),
            recompute: self.gradient_checkpointing,
            activations: self.activations,
            half: self.is_half(),
            rows: self.batch_size,
            seq: self.seq_len,
            update: true,
        }
    }
}

/// One line of a table.
struct Row {
    /// What it is, for `--against`.
    name: String,
    /// The figure that is compared: more is better.
    rate: f64,
    /// Cells, in the table's order.
    cells: Vec<String>,
    /// Everything about it.
    json: Map<String, Value>,
}

/// What a measurement found.
struct Report {
    /// The JSON key of the rows.
    key: &'static str,
    headings: Vec<&'static str>,
    rows: Vec<Row>,
    /// Lines below the table.
    notes: Vec<String>,
    /// Further JSON.
    more: Map<String, Value>,
}

/// Runs the command.
///
/// # Errors
/// Where a shape cannot be divided as asked, or does not fit on the device.
pub fn run(args: Args) -> Result<ExitCode> {
    if let Some(folder) = args.trace.as_deref().and_then(Path::parent).filter(|f| !f.as_os_str().is_empty() && !f.is_dir()) {
        let what = format!("--trace: there is no folder {}", folder.display());
        return Err(Error::usage(what, "make it first, or name a file in another"));
    }
    for (option, number) in [("batch-size", args.batch_size), ("seq-len", args.seq_len)] {
        if number == 0 {
            return Err(Error::usage(format!("--{option} 0: must be at least 1"), ""));
        }
    }
    let earlier = args.against.as_deref().map(Earlier::open).transpose()?;
    let device = args.device.open()?;
    let report = match args.what {
        What::Step => step::run(&args, &device)?,
        What::Methods => methods::run(&args, &device)?,
        What::Products => products::run(&args, &device)?,
        What::Decode => decode::run(&args, &device)?,
        What::Growth => growth::run(&args, &device)?,
    };
    print(&args, &device, report, earlier.as_ref())?;
    Ok(ExitCode::SUCCESS)
}

fn print(args: &Args, device: &Device, report: Report, earlier: Option<&Earlier>) -> Result<()> {
    let ratio = |row: &Row| earlier.and_then(|e| e.rate(&row.name)).map(|before| row.rate / before);
    if args.output.json {
        let rows: Vec<Value> = (report.rows.iter())
            .map(|row| {
                let mut all = Map::from_iter([("name".to_owned(), json!(row.name)), ("rate".to_owned(), json!(row.rate))]);
                all.extend(row.json.clone());
                if let Some(ratio) = ratio(row) {
                    all.insert("against".into(), json!(ratio));
                }
                Value::Object(all)
            })
            .collect();
        let mut all = Map::from_iter([("device".to_owned(), json!(device.name())), (report.key.to_owned(), json!(rows))]);
        all.extend(report.more);
        return output::print_json(&Value::Object(all));
    }
    let mut headings: Vec<String> = report.headings.iter().map(|h| (*h).to_owned()).collect();
    headings.extend(earlier.map(|_| "against".to_owned()));
    let mut lines = vec![headings];
    for row in &report.rows {
        let mut cells = row.cells.clone();
        if earlier.is_some() {
            cells.push(ratio(row).map_or("-".into(), |r| format!("{r:.2}x")));
        }
        lines.push(cells);
    }
    let notes: String = report.notes.iter().map(|n| format!("\n{n}")).collect();
    output::print(&format!("device  {}\n\n{}{notes}", device.name(), table(&lines)))
}
