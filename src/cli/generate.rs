//! `diablo generate`

use super::common_args::{DeviceArgs, OutputArgs, SamplingArgs, open_adapter, say, word};
use super::located;
use super::output::{self, Reader};
use super::progress::{Look, Reporter};
use crate::data::{Begin, Tokenizer, stop_ids};
use crate::error::{Error, Result};
use crate::generate::{Decoder, Sampler};
use crate::model::Source;
use crate::train::Event;
use crate::train::adapters::{begin_token, weights};
use crate::train::config::WeightsFormat;
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

const AFTER_HELP: &str = "\
The continuation goes to standard output as it comes, everything else to
standard error. It ends at the model's end token or after --max-new-tokens.

Examples:
  diablo generate --model models/SmolLM2-135M --prompt 'Once upon a time'
  diablo generate --model models/SmolLM2-135M --adapter runs/first --prompt 'Q: 2 + 2' --max-new-tokens 16
  diablo generate --model models/SmolLM2-135M --prompt 'Dear' --temperature 0.8 --top-p 0.95 --seed 7";

/// The command's options.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// Folder of the model, or its name on the hub
    #[arg(long, value_name = "DIR|NAME")]
    model: PathBuf,
    /// Adapter to put on it: a run folder, or one that peft wrote
    #[arg(long, value_name = "DIR")]
    adapter: Option<PathBuf>,
    /// How the model's matrices are held: f32, bf16, f16, int8 or nf4 [default: as in the adapter's run, else as the checkpoint has them]
    #[arg(long, value_parser = word::<WeightsFormat>(), hide_possible_values = true)]
    weights: Option<WeightsFormat>,
    /// Text to continue
    #[arg(long, value_name = "TEXT")]
    prompt: String,
    /// Most tokens to write
    #[arg(long, value_name = "N", default_value_t = 128)]
    max_new_tokens: usize,
    /// Begin token before the prompt; auto: as the rows of the adapter's run had it, else as the tokenizer says; on: also where it puts none
    #[arg(long, value_parser = word::<Begin>(), default_value = "auto")]
    begin_token: Begin,

    #[command(flatten)]
    sampling: SamplingArgs,

    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs the command.
///
/// # Errors
/// Where the model cannot be loaded or the prompt does not fit.
pub fn run(args: Args) -> Result<ExitCode> {
    let sampling = args.sampling.sampling()?;
    let model = located::model(&args.model, args.output.quiet || args.output.json)?;
    let source = Source::open(&model)?.held_in(weights(args.weights, args.adapter.as_deref()).map(Into::into));
    let adapter = args.adapter.as_deref().map(|folder| open_adapter(folder, &source.config)).transpose()?;
    let tokenizer = Tokenizer::from_dir(&source.folder)?;
    tokenizer.check_against(source.config.vocab_size)?;
    let stop = stop_ids(&source.folder, &tokenizer, &source.config.eos_token_id)?;
    let text = tokenizer.encode(&args.prompt)?;
    let begin = begin_token(args.begin_token, &model, args.adapter.as_deref());
    let mut prompt = begin.ids(&tokenizer, &source.folder, source.config.bos_token_id)?;
    prompt.extend(&text);
    if text.is_empty() {
        return Err(Error::usage("--prompt: the text has no tokens", "give some text to continue"));
    }
    let new_tokens = room(&args, prompt.len(), source.config.max_position_embeddings)?;
    let device = args.device.open()?;
    let mut reporter = Reporter::new(Look::choose(args.output.quiet || args.output.json, false));
    let mut loading = |done, total| reporter.report(&Event::Loading { what: "weights".into(), done, total });
    let capacity = prompt.len() + new_tokens;
    let mut decoder = pollster::block_on(Decoder::new(&device, &source, adapter.as_ref(), capacity, &mut loading))?;
    drop(reporter);

    let mut sampler = Sampler::new(sampling);
    let begun = Instant::now();
    let mut failed = None;
    let mut print = |text: &str| match if args.output.json { Ok(Reader::Listening) } else { output::write(text) } {
        Ok(reader) => reader == Reader::Listening,
        Err(error) => {
            failed = Some(error);
            false
        }
    };
    let out = pollster::block_on(decoder.continue_tokens(&tokenizer, &prompt, new_tokens, &stop, &mut sampler, &mut print))?;
    if let Some(error) = failed {
        return Err(error);
    }
    let seconds = begun.elapsed().as_secs_f64();
    if args.output.json {
        output::print_json(&json!({
            "prompt": args.prompt,
            "text": out.text,
            "tokens": out.ids,
            "ended": out.ended,
            "prompt_tokens": prompt.len(),
            "seconds": seconds,
            "tokens_per_second": out.ids.len() as f64 / seconds.max(1e-9),
            "device": device.name(),
        }))?;
    } else {
        output::write("\n")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Tokens that may be written: as asked, within the context that the model was made for.
fn room(args: &Args, prompt: usize, context: usize) -> Result<usize> {
    if prompt >= context {
        return Err(Error::usage(
            format!("--prompt: {prompt} tokens leave no room in the model's context of {context} tokens"),
            "use a shorter prompt",
        ));
    }
    let new_tokens = args.max_new_tokens.min(context - prompt);
    if new_tokens < args.max_new_tokens {
        let text = format!("note: the model's context of {context} tokens leaves room for {new_tokens} new ones");
        say(&args.output, &text);
    }
    Ok(new_tokens)
}
