//! `diablo info`

use super::common_args::OutputArgs;
use super::output::{self, grouped};
use super::progress::{Look, Reporter};
use super::train_args::TrainArgs;
use crate::adapter::{Kind, Spec, choose};
use crate::data;
use crate::device::{Category, Device, Ledger, Limits, human_bytes};
use crate::error::{Error, Result};
use crate::model::{ModelConfig, Source};
use crate::train::config::MixedPrecision;
use crate::train::estimate::Estimate as Laid;
use crate::train::resolve::{self, Room};
use crate::train::writer::Writer;
use crate::train::{Event, RunConfig, names, rows};
use serde_json::{Map, Value, json};
use std::process::ExitCode;

const AFTER_HELP: &str = "\
Takes the options of diablo train; --data and --out may be left out. With
--data the rows are read, and steps and memory are those of the run; without it
rows are taken to be --seq-len tokens long.

Examples:
  diablo info --model models/SmolLM2-135M
  diablo info --model models/SmolLM2-135M --method lora --rank 8 --batch-size 4 --seq-len 1024
  diablo info --model models/SmolLM2-135M --data train.jsonl --json";

/// The command's options.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    #[command(flatten)]
    train: TrainArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// A run as it would be.
struct Estimate {
    run: RunConfig,
    source: Source,
    spec: Spec,
    memory: Ledger,
    /// The longest padded row.
    seq: usize,
    /// Rows and steps, where the data is known.
    rows: Option<(u64, u64)>,
    /// What the files were found to be.
    data: Vec<String>,
    /// Free memory of this machine, where the run would be on its processor.
    room: Option<Room>,
    /// The share of a pass that is padding, now and with packed rows.
    padding: Option<[f64; 2]>,
    recomputes: bool,
}

/// Runs the command.
///
/// # Errors
/// Where model, options or rows are wrong.
pub fn run(args: Args) -> Result<ExitCode> {
    let mut reporter = Reporter::new(Look::choose(args.output.quiet || args.output.json, false));
    let estimate = estimate(args.train.into_run()?, &mut |event| reporter.report(&event))?;
    drop(reporter);
    if args.output.json {
        output::print_json(&estimate.json())?
    } else {
        output::print(&estimate.text())?
    }
    Ok(ExitCode::SUCCESS)
}

fn estimate(run: RunConfig, events: &mut dyn FnMut(Event)) -> Result<Estimate> {
    if run.model.as_os_str().is_empty() {
        return Err(Error::usage(
            "--model is needed",
            "name a folder with config.json, tokenizer.json and safetensors, or a model on the hub (owner/name)",
        ));
    }
    run.validate_options()?;
    let folder = names::model(&run.model, !run.init_from_config, events)?;
    let source = if run.init_from_config { Source::from_config(&folder)? } else { Source::open(&folder)? };
    // A device is opened only where one is named, or where it makes a difference that is not small: its largest binding decides how large
    // tables are split, and matrix units take packed factors.
    let named = run.device != "auto" || run.mixed_precision == MixedPrecision::Fp16;
    let device = if named { Some(Device::open(&run.device)?) } else { None };
    let limits = device.as_ref().map_or(Limits::NONE, Device::limits);
    let (mut lengths, mut counts, mut found, mut padding) = (Vec::new(), None, Vec::new(), None);
    if !run.data.is_empty() {
        let (train, held_out) = rows::load(&run, &source, &mut |event| match event {
            Event::Note { text } => found.push(text),
            other => events(other),
        })?;
        counts = Some((train.len() as u64, run.total_steps(train.len() as u64)));
        let share = |lengths: &[usize]| {
            let buckets = data::buckets(lengths, run.batch_size, run.seq_len, rows::BUCKETS);
            data::padding(lengths, run.batch_size, &buckets)
        };
        let packed = data::packed(data::Dataset { samples: train.samples.clone() }, run.seq_len);
        padding = Some([share(&train.lengths()), share(&packed.lengths())]);
        lengths = train.lengths().into_iter().chain(held_out.iter().flat_map(data::Dataset::lengths)).collect();
    }
    let free = device.as_ref().map_or_else(resolve::available_memory, resolve::free_on);
    let writes = Writer::open(&run, &source)?.map_or(0, |w| w.capacity());
    let Laid { spec, memory, longest, recomputes, .. } = Laid::new(&run, &source, &lengths, writes, limits, free)?;
    let room = Room::of(&run, free);
    Ok(Estimate { memory, run, source, spec, seq: longest, rows: counts, data: found, room, recomputes, padding })
}

impl Estimate {
    fn config(&self) -> &ModelConfig {
        &self.source.config
    }

    fn parameters(&self) -> u64 {
        self.config().num_parameters()
    }

    fn trainable(&self) -> u64 {
        self.spec.trainable(self.config())
    }

    fn share(&self) -> f64 {
        self.trainable() as f64 / self.parameters().max(1) as f64
    }

    fn fits(&self) -> Option<bool> {
        self.room.map(|room| self.memory.total() <= room.bytes)
    }

    /// Why there are so many blocks, where the program chose.
    fn why(&self) -> Option<String> {
        let Kind::Diablo { blocks, .. } = &self.spec.kind else { return None };
        let all_asked = blocks.keys().all(|module| self.run.blocks.as_ref().is_some_and(|b| b.get(module).is_some()));
        if all_asked || self.run.init_adapter.is_some() {
            return None;
        }
        let kind = Spec::lora(choose::LORA_RANK, 1.0).kind;
        let lora = Spec { kind, ..self.spec.clone() }.trainable(self.config());
        Some(format!("chosen: it comes closest to the {} trainable numbers of LoRA rank {}", grouped(lora), choose::LORA_RANK))
    }

    fn text(&self) -> String {
        let c = self.config();
        let (heads, kv) = (c.num_attention_heads, c.num_key_value_heads);
        let tied = if c.tie_word_embeddings { ", tied embeddings" } else { "" };
        let dtype = self.source.dtype().name().to_lowercase();
        let held = self.run.weights.map(|w| format!(", held in {w}")).unwrap_or_default();
        let why = self.why().map(|why| format!(" ({why})")).unwrap_or_default();
        let mut lines = vec![
            format!("model       {} ({:?})", self.run.model.display(), c.architecture),
            format!(
                "            {} layers, hidden {}, MLP {}, {heads} heads of {} ({kv} for keys and values)",
                c.num_hidden_layers, c.hidden_size, c.intermediate_size, c.head_dim
            ),
            format!(
                "            vocabulary {}, context {} tokens{tied}",
                grouped(c.vocab_size as u64),
                grouped(c.max_position_embeddings as u64)
            ),
            format!("parameters  {} in {dtype}{held}", grouped(self.parameters())),
            format!("method      {}{why}", resolve::describe(&self.spec)),
            format!("trainable   {} ({:.3}%)", grouped(self.trainable()), 100.0 * self.share()),
            format!(
                "batch       {} rows of up to {} tokens, {} to a step",
                self.run.batch_size,
                self.seq,
                self.run.batch_size * self.run.accumulate
            ),
        ];
        for (at, text) in self.data.iter().enumerate() {
            lines.push(format!("{:<12}{text}", if at == 0 { "data" } else { "" }));
        }
        if let Some((rows, steps)) = self.rows {
            lines.push(format!("run         {} steps over {} rows", grouped(steps), grouped(rows)));
        }
        if let Some([now, packed]) = self.padding {
            let percent = |share: f64| format!("{:.0}%", 100.0 * share);
            let less =
                if self.run.packing || now - packed < 0.05 { String::new() } else { format!("; with --packing {}", percent(packed)) };
            lines.push(format!("padding     {} of the tokens that a pass computes{less}", percent(now)));
        }
        lines.push(format!("gradients   {} to add up in a step among several ranks (mpirun)", human_bytes(4 * self.trainable())));
        lines.push(format!("memory      {}", human_bytes(self.memory.total())));
        lines.extend(self.memory.rows().map(|(category, bytes)| format!("  {:<12}{:>10}", category.name(), human_bytes(bytes))));
        if self.recomputes {
            lines.push("            activations are recomputed in the backward pass".into());
        }
        if let (Some(room), Some(fits)) = (self.room, self.fits()) {
            let verdict = if fits { "it fits" } else { "it does NOT fit" };
            let whose = if room.given { "allowed by --memory" } else { "on this machine" };
            lines.push(format!("free        {} {whose}: {verdict}", human_bytes(room.bytes)));
        }
        lines.join("\n")
    }

    fn json(&self) -> Value {
        let c = self.config();
        let mut memory: Map<String, Value> = Category::ALL.iter().map(|k| (k.name().to_owned(), json!(self.memory.get(*k)))).collect();
        memory.insert("total".into(), json!(self.memory.total()));
        let blocks = match &self.spec.kind {
            Kind::Diablo { blocks, .. } => json!(blocks),
            _ => Value::Null,
        };
        json!({
            "model": self.run.model,
            "architecture": format!("{:?}", c.architecture),
            "layers": c.num_hidden_layers,
            "hidden_size": c.hidden_size,
            "intermediate_size": c.intermediate_size,
            "heads": c.num_attention_heads,
            "key_value_heads": c.num_key_value_heads,
            "head_dim": c.head_dim,
            "vocabulary": c.vocab_size,
            "context": c.max_position_embeddings,
            "tied_embeddings": c.tie_word_embeddings,
            "dtype": self.source.dtype().name().to_lowercase(),
            "weights": self.run.weights,
            "parameters": self.parameters(),
            "method": self.run.method,
            "description": resolve::describe(&self.spec),
            "blocks": blocks,
            "why": self.why(),
            "trainable": self.trainable(),
            "share": self.share(),
            "gradient_bytes": 4 * self.trainable(),
            "batch_size": self.run.batch_size,
            "accumulate": self.run.accumulate,
            "sequence": self.seq,
            "rows": self.rows.map(|(rows, _)| rows),
            "data": self.data,
            "steps": self.rows.map(|(_, steps)| steps),
            "memory": memory,
            "free": self.room.map(|room| room.bytes),
            "gradient_checkpointing": self.recomputes,
            "padding": self.padding.map(|p| p[0]),
            "padding_packed": self.padding.map(|p| p[1]),
            "fits": self.fits(),
        })
    }
}
