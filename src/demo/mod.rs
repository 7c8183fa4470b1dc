//! The demo: a bundled base model, what it is taught, and the comparison that `diablo demo` shows.
//!
//! The base model has read stories about animals and has never seen a question. Fine-tuning teaches it to answer. The questions
//! that are scored are about animals that no trained question is about, so answers learned by heart are worth nothing.

pub mod lesson;
pub mod tokenizer;
pub mod world;

use crate::adapter::{AdapterFile, choose};
use crate::data::{Row, Rows, Tokenizer, read_rows, stop_ids};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::eval::{self, Scores};
use crate::files::{self, atomic_write_bytes};
use crate::generate::{Decoder, Sampler, Sampling};
use crate::model::Source;
use crate::train::config::Method;
use crate::train::metrics::MetricsLog;
use crate::train::plot::{Series, SeriesLook, loss_plot};
use crate::train::schedule::ScheduleKind;
use crate::train::{Event, RunConfig, Trainer};
use std::path::{Path, PathBuf};

/// The bundled files: path below the demo's folder, contents.
#[cfg(not(target_arch = "wasm32"))]
pub const BUNDLED: [(&str, &[u8]); 6] = [
    ("model/config.json", include_bytes!("../../assets/demo/model/config.json")),
    ("model/model.safetensors", include_bytes!("../../assets/demo/model/model.safetensors")),
    ("model/tokenizer.json", include_bytes!("../../assets/demo/model/tokenizer.json")),
    ("model/tokenizer_config.json", include_bytes!("../../assets/demo/model/tokenizer_config.json")),
    ("train.jsonl", include_bytes!("../../assets/demo/train.jsonl")),
    ("held-out.jsonl", include_bytes!("../../assets/demo/held-out.jsonl")),
];

/// A page fetches them beside the program.
#[cfg(target_arch = "wasm32")]
pub const BUNDLED: [(&str, &[u8]); 0] = [];

/// Blocks of the demo's DiaBlo run; LoRA's rank follows from it.
const BLOCKS: usize = 16;
/// Steps of both runs.
pub const STEPS: u64 = 200;
/// Learning rates, for each method the best of five by the held-out loss; see assets/README.md.
const RATES: [(Method, f64); 2] = [(Method::Diablo, 1.6e-2), (Method::Lora, 4e-3)];

/// Whether a demo was written here: its configuration lies where it was put.
fn is_finished(folder: &Path) -> bool {
    BUNDLED.first().is_none_or(|(name, bytes)| files::read(&folder.join(name)).is_ok_and(|there| there == *bytes))
}

/// Whether all that lies here is a part of the demo, byte by byte: left by one that was killed while it wrote, or still being
/// written by another.
fn is_begun(folder: &Path) -> bool {
    let all_ours = |inside: &str| {
        files::names(&folder.join(inside)).unwrap_or_default().iter().all(|name| {
            let path = if inside.is_empty() { name.clone() } else { format!("{inside}/{name}") };
            let bundled = BUNDLED.iter().find(|(bundled, _)| *bundled == path);
            files::is_unfinished(name)
                || inside.is_empty() && name == "model"
                || bundled.is_some_and(|(_, bytes)| files::read(&folder.join(&path)).is_ok_and(|there| there == *bytes))
        })
    };
    all_ours("") && all_ours("model")
}

/// Where the demo's files lie once they are written.
pub struct Files {
    /// The folder.
    pub folder: PathBuf,
}

impl Files {
    /// The demo that lies in a folder, where each of its files is there to the last byte.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn find(folder: &Path) -> Option<Self> {
        let whole = BUNDLED.iter().all(|(name, bytes)| files::read(&folder.join(name)).is_ok_and(|there| there == *bytes));
        whole.then(|| Self { folder: folder.into() })
    }

    /// Writes the bundled files into a folder. Runs of an earlier demo there are removed.
    ///
    /// # Errors
    /// Where the folder holds something else, or cannot be written.
    pub fn write(folder: &Path) -> Result<Self> {
        let used = files::names(folder).is_ok_and(|names| !names.is_empty());
        if used && !is_finished(folder) && !is_begun(folder) {
            return Err(Error::usage(
                format!("{}: the folder is not empty and holds no demo", folder.display()),
                "give another one with --out",
            ));
        }
        for run in ["diablo", "lora"] {
            files::remove(&folder.join(run))?;
        }
        for (name, bytes) in BUNDLED {
            let path = folder.join(name);
            let parent = path.parent().unwrap_or(folder);
            files::create_dir_all(parent).map_err(Error::io(parent))?;
            atomic_write_bytes(&path, bytes)?;
        }
        Ok(Self { folder: folder.into() })
    }

    /// The base model.
    pub fn model(&self) -> PathBuf {
        self.folder.join("model")
    }

    /// The questions to learn from.
    pub fn train(&self) -> PathBuf {
        self.folder.join("train.jsonl")
    }

    /// The questions to be scored on.
    pub fn held_out(&self) -> PathBuf {
        self.folder.join("held-out.jsonl")
    }

    /// The run of a method.
    pub fn run(&self, method: Method) -> PathBuf {
        self.folder.join(if method == Method::Lora { "lora" } else { "diablo" })
    }

    /// The options of a method's run.
    pub fn config(&self, method: Method, rank: usize, device: &str) -> RunConfig {
        RunConfig {
            model: self.model(),
            data: self.train().into(),
            out: self.run(method),
            method,
            blocks: (method == Method::Diablo).then_some(crate::train::blocks::Blocks::One(BLOCKS)),
            rank,
            alpha: 2.0 * rank as f64,
            steps: Some(STEPS),
            batch_size: 16,
            seq_len: 64,
            lr: RATES.iter().find(|(m, _)| *m == method).map(|(_, lr)| *lr),
            schedule: ScheduleKind::Cosine,
            warmup: 20,
            eval_data: Some(self.held_out()),
            eval_every: Some(40),
            save_every: Some(STEPS),
            seed: 1,
            device: device.into(),
            ..RunConfig::default()
        }
    }
}

/// What one method reached.
#[derive(Clone, Debug)]
pub struct Taught {
    /// The method.
    pub method: Method,
    /// The rank, for LoRA; the blocks, for DiaBlo.
    pub size: usize,
    /// Numbers that trained.
    pub trainable: u64,
    /// Seconds of training.
    pub seconds: f64,
    /// Held-out scores.
    pub scores: Scores,
    /// Greedy answers to the sample questions.
    pub answers: Vec<String>,
}

/// The rank of LoRA that trains as many numbers as the demo's DiaBlo run.
///
/// # Errors
/// Where the bundled model cannot be divided into the demo's blocks.
pub fn equal_rank(source: &Source) -> Result<usize> {
    let trainable = choose::diablo(&source.config, &source.config.modules(), |_| Some(BLOCKS), false, 0.0)?.trainable(&source.config);
    let per_rank: usize = source.config.linear_shapes().iter().map(|(_, o, i)| o + i).sum::<usize>() * source.config.num_hidden_layers;
    Ok(((trainable as f64 / per_rank as f64).round() as usize).max(1))
}

/// The first held-out questions, one of each kind.
///
/// # Errors
/// Where the rows cannot be read.
pub fn samples(files: &Files) -> Result<Vec<Row>> {
    let Rows::Pairs(rows) = read_rows(&files.held_out(), &crate::data::Reading::default())? else { return Ok(Vec::new()) };
    let starts = ["Where does", "What does", "What colour", "Please tell"];
    Ok(starts.iter().filter_map(|start| rows.iter().find(|r| r.prompt.starts_with(start)).cloned()).collect())
}

/// Greedy continuations of some prompts, to the end of the first sentence.
///
/// # Errors
/// Where the device cannot hold the model.
pub fn answers(device: &Device, source: &Source, adapter: Option<&AdapterFile>, rows: &[Row]) -> Result<Vec<String>> {
    let tokenizer = Tokenizer::from_dir(&source.folder)?;
    let stop = stop_ids(&source.folder, &tokenizer, &source.config.eos_token_id)?;
    let mut decoder = pollster::block_on(Decoder::new(device, source, adapter, 128, &mut |_, _| ()))?;
    let mut answer = |row: &Row| -> Result<String> {
        let prompt = tokenizer.encode(&row.prompt)?;
        let mut so_far = String::new();
        let mut sampler = Sampler::new(Sampling::GREEDY);
        let mut sentence = |piece: &str| {
            so_far.push_str(piece);
            !so_far.trim().contains(['.', '\n'])
        };
        pollster::block_on(decoder.continue_tokens(&tokenizer, &prompt, 24, &stop, &mut sampler, &mut sentence))?;
        Ok(so_far.trim().lines().next().unwrap_or_default().to_string())
    };
    rows.iter().map(&mut answer).collect()
}

/// Scores a model on the held-out questions.
///
/// # Errors
/// Where the device cannot hold the model.
pub fn score(device: &Device, source: &Source, adapter: Option<&AdapterFile>, files: &Files) -> Result<Scores> {
    let options = eval::Options { seq_len: 64, batch_size: 16, ..eval::Options::default() };
    pollster::block_on(eval::evaluate(device, source, adapter, &[files.held_out()], &options, &mut |_| ()))
}

/// Trains one method and scores it.
///
/// # Errors
/// Everything that a run can fail of.
pub fn teach(
    files: &Files,
    source: &Source,
    device: &Device,
    request: &str,
    method: Method,
    rows: &[Row],
    events: &mut dyn FnMut(Event),
    stop: &dyn Fn() -> bool,
) -> Result<Option<Taught>> {
    let rank = equal_rank(source)?;
    let mut trainer = Trainer::prepare(files.config(method, rank, request), events)?;
    let trainable = trainer.summary().trainable;
    let outcome = trainer.run(events, stop)?;
    if outcome.interrupted {
        return Ok(None);
    }
    drop(trainer);
    let adapter = AdapterFile::open(&files.run(method), &source.config)?;
    let scores = score(device, source, Some(&adapter), files)?;
    let answers = answers(device, source, Some(&adapter), rows)?;
    let size = if method == Method::Lora { rank } else { BLOCKS };
    Ok(Some(Taught { method, size, trainable, seconds: outcome.seconds, scores, answers }))
}

/// Draws both runs' losses into one picture.
///
/// # Errors
/// Where the metrics cannot be read or the picture not be written.
pub fn plot(files: &Files) -> Result<PathBuf> {
    let path = files.folder.join("loss.svg");
    let mut series = Vec::new();
    for (colour, (method, name)) in [(Method::Diablo, "DiaBlo"), (Method::Lora, "LoRA")].into_iter().enumerate() {
        let metrics = MetricsLog::read(&files.run(method).join(crate::train::metrics::METRICS_FILE))?;
        let train = metrics.iter().map(|m| (m.step as f64, f64::from(m.loss))).collect();
        let held: Vec<_> = metrics.iter().filter_map(|m| Some((m.step as f64, m.eval_loss?))).collect();
        series.push(Series { name: format!("{name}, training"), points: train, look: SeriesLook::Curve, colour });
        series.push(Series { name: format!("{name}, held out"), points: held, look: SeriesLook::Points, colour });
    }
    loss_plot(&path, &series, "DiaBlo and LoRA with as many trained numbers")?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_may_write_the_demo_at_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path().join("demo");
        std::thread::scope(|scope| {
            let writers: Vec<_> = (0..8).map(|_| scope.spawn(|| Files::write(&folder).map(|_| ()))).collect();
            for writer in writers {
                writer.join().expect("no panic").expect("writes");
            }
        });
        assert!(is_finished(&folder) && is_begun(&folder) && Files::find(&folder).is_some());
        // As long as before, and not the same.
        let (name, bytes) = BUNDLED[1];
        let mut changed = bytes.to_vec();
        *changed.last_mut().expect("weights") ^= 1;
        std::fs::write(folder.join(name), changed).expect("writes");
        assert!(Files::find(&folder).is_none());
    }

    #[test]
    fn what_was_cut_short_is_finished_and_what_is_another_s_is_left() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        std::fs::create_dir(folder.join("model")).expect("a folder");
        std::fs::write(folder.join("model/.config.json.tmp-1-2"), "{").expect("writes");
        std::fs::write(folder.join("train.jsonl"), BUNDLED[4].1).expect("writes");
        Files::write(folder).expect("a demo that was cut short");

        for (name, text) in [("train.jsonl", "{}"), ("model/config.json", "{}"), ("notes.md", "mine")] {
            let folder = tempfile::tempdir().expect("a folder");
            let file = folder.path().join(name);
            std::fs::create_dir_all(file.parent().expect("it has one")).expect("a folder");
            std::fs::write(&file, text).expect("writes");
            let error = Files::write(folder.path()).map(|_| ()).expect_err("another's");
            assert!(error.to_string().contains("holds no demo"), "{error}");
            assert_eq!(std::fs::read_to_string(&file).expect("still there"), text);
            assert_eq!(files::names(folder.path()).expect("lists").len(), 1);
        }
    }
}
