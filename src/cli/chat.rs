//! `diablo chat`

use super::common_args::{DeviceArgs, SamplingArgs, check_sampling, open_adapter, word};
use super::output::{self, Reader, complain};
use super::progress::{Look, Reporter};
use super::{interrupt, located};
use crate::data::template::chatting::AUTO;
use crate::data::{Begin, Chatting, Tokenizer, TrainOn, stop_ids};
use crate::error::{Error, Result};
use crate::generate::chat::{History, Speaker};
use crate::generate::{Decoder, Sampler, Sampling};
use crate::model::Source;
use crate::train::config::{RunConfig, WeightsFormat};
use crate::train::run_folder::CONFIG_FILE;
use crate::train::{Event, adapters, names};
use std::io::{BufRead, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const AFTER_HELP: &str = "\
Answers go to standard output as they come, everything else to standard error;
lines may also come from a pipe. A line that ends in \\ goes on in the next. The
conversation is written by the model's chat template; a model without one
continues each line as it stands.

Lines that begin with / are commands; /help lists them. On a terminal Ctrl-C
stops an answer, and between answers the program.

Examples:
  diablo chat --model models/Qwen2-0.5B-Instruct
  diablo chat runs/first
  diablo chat --model models/SmolLM2-135M-Instruct --adapter runs/first --temperature 0.7
  echo 'Who are you?' | diablo chat --model models/Qwen2-0.5B-Instruct --quiet";

const HELP: &str = "\
/help                 this list
/clear                forget the conversation
/system TEXT          what the system says; without TEXT: nothing
/base                 the model without the adapter
/adapter              the model with it
/again                another answer to the last question
/settings             how answers are drawn
/temperature X        0: the most likely token each time
/top-k K, /top-p P    draw from the most likely tokens only
/seed N               the same seed gives the same answers
/max-new-tokens N     the longest answer
/quit                 end (or Ctrl-D); Ctrl-C stops an answer
//TEXT                a line that begins with /";

/// The command's options.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// Run folder: its model, adapter and chat template
    #[arg(value_name = "RUN", conflicts_with = "adapter")]
    run: Option<PathBuf>,
    /// Folder of the model, or its name on the hub [default: the run's]
    #[arg(long, value_name = "DIR|NAME")]
    model: Option<PathBuf>,
    /// Adapter to put on it: a run folder, or one that peft wrote
    #[arg(long, value_name = "DIR")]
    adapter: Option<PathBuf>,
    /// How the model's matrices are held: f32, bf16, f16, int8 or nf4 [default: as in the run, else as the checkpoint has them]
    #[arg(long, value_parser = word::<WeightsFormat>(), hide_possible_values = true)]
    weights: Option<WeightsFormat>,
    /// Chat template: auto or model (the model's), none, or a file [default: the run's, else auto]
    #[arg(long, value_name = "auto|none|FILE")]
    chat_template: Option<String>,
    /// What the system says
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// Longest answer in tokens
    #[arg(long, value_name = "N", default_value_t = 512)]
    max_new_tokens: usize,
    /// Tokens that are remembered; older turns are forgotten [default: the model's context, at most 4096]
    #[arg(long, value_name = "T")]
    context: Option<usize>,

    #[command(flatten)]
    sampling: SamplingArgs,

    #[command(flatten)]
    device: DeviceArgs,
    /// Print nothing but answers, warnings and errors
    #[arg(long, short, help_heading = "Output")]
    quiet: bool,
}

/// Tokens that are remembered unless more is asked for: the cache grows with them.
const CONTEXT: usize = 4096;
/// A line that is longer is refused: nothing that a person writes is.
const LONGEST_LINE: usize = 1 << 20;

/// Runs the command.
///
/// # Errors
/// Where the model cannot be loaded. What goes wrong with one line is said, and the next one is read.
pub fn run(args: Args) -> Result<ExitCode> {
    let sampling = args.sampling.sampling()?;
    check(&sampling, args.max_new_tokens)?;
    let adapter = args.run.clone().or(args.adapter.clone());
    if let (None, None) = (&adapter, &args.model) {
        let hint = "name the folder of a run: diablo chat RUN\nor a model: diablo chat --model DIR";
        return Err(Error::usage("with whom? Neither a run nor a model is named", hint));
    }
    if let Some(context) = args.context.filter(|context| *context < 2) {
        return Err(Error::usage(format!("--context {context}: must be at least 2 (a token to read and one to write)"), ""));
    }
    let stored = adapter.as_deref().map(stored).transpose()?.flatten();
    let model = args.model.clone().or(stored.as_ref().map(|run| run.model.clone())).filter(|model| !model.as_os_str().is_empty());
    let model = model.ok_or_else(|| {
        let folder = adapter.as_deref().map(|folder| folder.display().to_string()).unwrap_or_default();
        let what = format!("--model is needed: {folder} has no {CONFIG_FILE} that names one");
        Error::usage(what, "name the model that the adapter was trained on")
    })?;
    // A run that trained a whole model has it inside.
    let whole = adapter.as_ref().map(|folder| folder.join("model")).filter(|_| args.run.is_some() && args.model.is_none());
    let whole = whole.filter(|folder| folder.join("config.json").is_file());
    let folder = match &whole {
        Some(folder) => folder.clone(),
        None => {
            if let (Some(run), None) = (&adapter, &args.model) {
                names::refuse_absent(&run.join(CONFIG_FILE), "model", &model, "say where it is with --model")?;
            }
            located::model(&model, args.quiet)?
        }
    };
    let source = Source::open(&folder)?.held_in(adapters::weights(args.weights, adapter.as_deref()).map(Into::into));
    let file = match (&adapter, &whole) {
        (Some(folder), None) => Some(open_adapter(folder, &source.config)?),
        _ => None,
    };
    let tokenizer = Tokenizer::from_dir(&source.folder)?;
    tokenizer.check_against(source.config.vocab_size)?;
    let word = args.chat_template.clone().or(stored.as_ref().map(|run| run.chat_template.clone())).unwrap_or_else(|| AUTO.into());
    let template = Chatting::new(&word, &source.folder, TrainOn::Assistant)?.into_template()?;
    let begin = adapters::begin_token(Begin::Auto, &source.folder, adapter.as_deref());
    let begin = begin.ids(&tokenizer, &source.folder, source.config.bos_token_id)?;
    let context = source.config.max_position_embeddings;
    let capacity = args.context.unwrap_or(CONTEXT).clamp(2, context.max(2));
    let device = args.device.open()?;
    let mut reporter = Reporter::new(Look::choose(args.quiet, false));
    let mut loading = |done, total| reporter.report(&Event::Loading { what: "weights".into(), done, total });
    let mut decoder = pollster::block_on(Decoder::new(&device, &source, None, capacity, &mut loading))?;
    drop(reporter);
    let mut cached = vec![Vec::new()];
    if let Some(file) = &file {
        pollster::block_on(decoder.add(Some(file)))?;
        cached.push(Vec::new());
    }
    let stop = stop_ids(&source.folder, &tokenizer, &source.config.eos_token_id)?;
    if !args.quiet {
        complain(&introduction(&source, adapter.as_deref(), template.as_ref().map(|t| t.place()), device.name().as_ref()));
    }
    let voice = cached.len() - 1;
    let speaker = Speaker { decoder, capacity, tokenizer: &tokenizer, template, stop, begin, cached };
    let history = History::new(args.system.clone());
    let sampler = Sampler::new(sampling);
    Talk { speaker, history, sampling, sampler, most: args.max_new_tokens, voice, quiet: args.quiet }.go_on()
}

fn introduction(source: &Source, adapter: Option<&Path>, template: Option<&str>, device: &str) -> String {
    let with = adapter.map(|folder| format!(" with {}", folder.display())).unwrap_or_default();
    let how = match template {
        Some(place) => format!("chat template {place}"),
        None => "no chat template: each line is continued as it stands".into(),
    };
    format!("{}{with} on {device}; {how}\n/help lists the commands", source.folder.display())
}

/// The options of a run folder.
fn stored(folder: &Path) -> Result<Option<RunConfig>> {
    let path = folder.join(CONFIG_FILE);
    if path.is_file() { RunConfig::from_toml_file(&path).map(Some) } else { Ok(None) }
}

fn check(sampling: &Sampling, most: usize) -> Result<()> {
    check_sampling(sampling)?;
    if most == 0 { Err(Error::usage("--max-new-tokens 0: must be at least 1", "")) } else { Ok(()) }
}

/// Whether there is more to come.
#[derive(PartialEq)]
enum Next {
    More,
    Enough,
}

struct Talk<'a> {
    speaker: Speaker<'a>,
    history: History,
    sampling: Sampling,
    sampler: Sampler,
    most: usize,
    /// 0 is the model as it is.
    voice: usize,
    quiet: bool,
}

impl Talk<'_> {
    fn go_on(mut self) -> Result<ExitCode> {
        let asks = std::io::stdin().is_terminal();
        if asks {
            interrupt::stops_answers()?;
        }
        let mut input = std::io::stdin().lock();
        let mut text = String::new();
        loop {
            if asks {
                eprint!("{}", if text.is_empty() { "> " } else { "  " });
            }
            let Some(line) = read_line(&mut input)? else { break };
            if let Some(part) = line.strip_suffix('\\') {
                text.push_str(part);
                text.push('\n');
                continue;
            }
            text.push_str(&line);
            let said = std::mem::take(&mut text);
            match self.hear(said.trim()) {
                Ok(Next::More) => {}
                Ok(Next::Enough) => break,
                // One line's fault: a lost device or a closed disk is more.
                Err(error @ (Error::Usage { .. } | Error::Input { .. })) => complain(&super::describe(&error)),
                Err(error) => return Err(error),
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    fn hear(&mut self, said: &str) -> Result<Next> {
        match said.strip_prefix('/') {
            _ if said.is_empty() => Ok(Next::More),
            Some(command) if !command.starts_with('/') => self.obey(command),
            Some(text) => self.reply(text),
            None => self.reply(said),
        }
    }

    fn obey(&mut self, command: &str) -> Result<Next> {
        let (name, value) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
        let value = value.trim();
        match name {
            "help" | "?" => complain(HELP),
            "quit" | "exit" | "bye" => return Ok(Next::Enough),
            "clear" => {
                self.history.clear();
                self.say("the conversation is forgotten");
            }
            "system" => {
                self.history.system = (!value.is_empty()).then(|| value.to_owned());
                if self.speaker.template.is_none() {
                    self.say("the model has no chat template: what the system says is not written");
                }
            }
            "base" => self.speak_as(0, "the model without an adapter speaks"),
            "adapter" if self.speaker.cached.len() > 1 => self.speak_as(1, "the model with its adapter speaks"),
            "adapter" => return Err(Error::usage("there is no adapter", "name one with --adapter when you start")),
            "again" => {
                let asked = self.history.take_back().ok_or_else(|| Error::usage("nothing was asked yet", ""))?;
                return self.reply(&asked);
            }
            "settings" => complain(&self.settings()),
            "temperature" | "top-k" | "top-p" | "seed" | "max-new-tokens" => self.set(name, value)?,
            _ => return Err(Error::usage(format!("/{name} is no command"), "/help lists them; // begins a text with /")),
        }
        Ok(Next::More)
    }

    fn say(&self, text: &str) {
        if !self.quiet {
            complain(text);
        }
    }

    fn speak_as(&mut self, voice: usize, said: &str) {
        self.voice = voice;
        self.say(said);
    }

    fn settings(&self) -> String {
        let s = &self.sampling;
        format!("temperature {}, top-k {}, top-p {}, seed {}, max-new-tokens {}", s.temperature, s.top_k, s.top_p, s.seed, self.most)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<()> {
        fn number<T: std::str::FromStr>(name: &str, value: &str) -> Result<T> {
            value.parse().map_err(|_| Error::usage(format!("/{name} {value}: is no such number"), format!("as in /{name} 1")))
        }
        let (mut sampling, mut most) = (self.sampling, self.most);
        match name {
            "temperature" => sampling.temperature = number(name, value)?,
            "top-k" => sampling.top_k = number(name, value)?,
            "top-p" => sampling.top_p = number(name, value)?,
            "seed" => sampling.seed = number(name, value)?,
            _ => most = number(name, value)?,
        }
        check(&sampling, most)?;
        (self.sampling, self.most, self.sampler) = (sampling, most, Sampler::new(sampling));
        self.say(&self.settings());
        Ok(())
    }

    fn reply(&mut self, asked: &str) -> Result<Next> {
        self.history.ask(asked);
        let (mut failed, mut gone) = (None, false);
        let writing = interrupt::Answer::begin();
        let mut print = |text: &str| match output::write(text) {
            Ok(Reader::Listening) => !writing.stopped(),
            Ok(Reader::Gone) => {
                gone = true;
                false
            }
            Err(error) => {
                failed = Some(error);
                false
            }
        };
        let reply = self.speaker.reply(&mut self.history, self.voice, &mut self.sampler, self.most, &mut print);
        let answer = match pollster::block_on(reply) {
            Ok(answer) => answer,
            Err(error) => {
                self.history.take_back();
                return Err(error);
            }
        };
        if let Some(error) = failed {
            return Err(error);
        }
        if gone || output::write("\n")? == Reader::Gone {
            return Ok(Next::Enough);
        }
        if answer.forgotten > 0 {
            self.say(&format!("({} earlier questions no longer fit and were forgotten)", answer.forgotten));
        }
        if !answer.ended {
            self.say(&format!("(stopped after {} tokens)", answer.tokens));
        }
        self.history.answer(answer.text.trim());
        Ok(Next::More)
    }
}

/// The next line without its end; none at the end of the input.
fn read_line(input: &mut impl BufRead) -> Result<Option<String>> {
    let fault = || Error::io(Path::new("standard input"));
    let mut bytes = Vec::new();
    let read = std::io::Read::take(&mut *input, LONGEST_LINE as u64).read_until(b'\n', &mut bytes).map_err(fault())?;
    if read == 0 {
        return Ok(None);
    }
    if read == LONGEST_LINE && bytes.last() != Some(&b'\n') {
        return Err(Error::input("standard input", "a line of more than 1 MiB", "break it into shorter ones"));
    }
    let text = String::from_utf8_lossy(&bytes);
    Ok(Some(text.trim_end_matches(['\n', '\r']).to_owned()))
}
