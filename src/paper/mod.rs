//! The comparison that a paper would print: DiaBlo, LoRA and full training at equal budgets, each at the best of its own learning rates,
//! over several seeds.
//!
//! | file | what it is |
//! | --- | --- |
//! | `mod.rs` | the runs: which there are, doing what is left of them |
//! | `rates.rs` | which learning rate to try next |
//! | `folder.rs` | what is kept of it: `paper.toml`, `paper.json`, a run folder for each run |
//! | `results.rs` | means and spreads, as values, JSON and a picture |
//!
//! Everything is read back from the runs' own folders, as a sweep does it: killed at any moment, it goes on.

mod folder;
pub mod rates;
pub mod results;

pub use folder::{BASE_FILE, BUNDLED, PLOT_FILE, STATE_FILE};
pub use results::{Line, Spread};

use crate::adapter::AdapterFile;
use crate::error::{Error, Result};
use crate::eval;
use crate::model::{ModelConfig, Source};
use crate::train::checkpoint::CHECKPOINTS;
use crate::train::compare::sibling::{self, Variant, rate, short};
use crate::train::config::{MAX_SEED, Method};
use crate::train::event::Event;
use crate::train::sweep::{Runner, Went};
use crate::train::{RunConfig, RunRecord, names};
use crate::{demo, files};
use rates::Tried;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What is asked of a comparison beside the options of its runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    /// The methods, in the order of the table.
    pub methods: Vec<Method>,
    /// Seeds at the best rate; the rates are tried with the first of them.
    pub seeds: u64,
    /// Whether the held-out prompts are answered, and the answers compared.
    pub exact_match: bool,
}

/// A comparison that is ready to go.
#[derive(Debug)]
pub struct Paper {
    folder: PathBuf,
    asked: Asked,
    base: RunConfig,
    /// Each method with the options of its runs at its usual rate.
    methods: Vec<(Method, RunConfig)>,
    /// Runs whose loss stopped being a number, with what was said then.
    failed: BTreeMap<String, String>,
}

/// The options of the runs on the bundled model and rows, which are written below `folder`: those of `diablo demo`.
///
/// # Errors
/// Where the folder cannot be written.
pub fn bundled(folder: &Path) -> Result<RunConfig> {
    let demo = demo::Files::write(&folder.join(BUNDLED))?;
    Ok(RunConfig { out: folder.into(), save_every: None, ..demo.config(Method::Diablo, RunConfig::default().rank, "auto") })
}

impl Paper {
    /// Lays a comparison out in the folder `base.out`: LoRA's rank follows from the number of blocks, so that both train as many numbers as
    /// nearly as that can be. The options' learning rate is where DiaBlo's rates begin; those of the others begin as far from it as usual
    /// rates lie apart.
    ///
    /// # Errors
    /// Where an option is wrong for some method, nothing is held out, or the folder holds something else.
    pub fn open(base: RunConfig, asked: Asked, resume: bool, events: &mut dyn FnMut(Event)) -> Result<Self> {
        base.validate()?;
        if base.method != Method::Diablo {
            return Err(Error::usage(format!("--method {}: the comparison runs each method", base.method), "choose them with --methods"));
        }
        if base.init_adapter.is_some() {
            return Err(Error::usage("--init-adapter: an adapter is of one method, and the comparison runs several", ""));
        }
        if asked.seeds == 0 || asked.seeds > 1000 {
            return Err(Error::usage(format!("--seeds {}: must be 1 to 1000", asked.seeds), ""));
        }
        if base.seed > MAX_SEED - asked.seeds {
            return Err(Error::usage(format!("--seed {}: leaves no room for {} seeds", base.seed, asked.seeds), "take a smaller one"));
        }
        if !base.has_eval() {
            return Err(Error::usage("held-out rows are needed, whose loss is compared", "give --eval-split 0.1, or --eval-data FILE"));
        }
        if asked.exact_match && base.eval_data.is_none() {
            return Err(Error::usage("--exact-match: needs rows of their own to answer", "give --eval-data FILE"));
        }
        let folder = base.out.clone();
        let (base, failed) = folder::settled(base, resume, events)?;
        let model = ModelConfig::from_dir(&names::model(&base.model, true, events)?)?;
        let mut methods = Vec::new();
        for method in &asked.methods {
            let run = Variant::by_method(&base, *method, Some(&model)).apply(&base);
            sibling::trainable(&run, &model)?;
            methods.push((*method, run));
        }
        let paper = Self { folder, asked, base, methods, failed };
        files::create_dir_all(&paper.folder).map_err(Error::io(&paper.folder))?;
        paper.write()?;
        Ok(paper)
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Runs whose loss stopped being a number: their names, and what was said then.
    pub fn failed(&self) -> &BTreeMap<String, String> {
        &self.failed
    }

    /// Does what is left to do. `Ok(true)` where it was stopped before its end.
    ///
    /// # Errors
    /// As [`crate::train::Trainer::run`]; but a run whose loss stops being a number is noted, and the others go on.
    pub fn run(&mut self, events: &mut dyn FnMut(Event), stop: &dyn Fn() -> bool) -> Result<bool> {
        let mut runner = Runner::default();
        for i in 0..self.methods.len() {
            while let Some(k) = rates::next(&self.tried(i)?) {
                if !self.go(i, k, 0, &mut runner, events, stop)? {
                    return Ok(true);
                }
            }
        }
        // Methods take turns, so that a machine that grows slower or faster does so for all of them.
        for seed in 1..self.asked.seeds {
            for i in 0..self.methods.len() {
                let Some(k) = rates::best(&self.tried(i)?) else { continue };
                if !self.go(i, k, seed, &mut runner, events, stop)? {
                    return Ok(true);
                }
            }
        }
        for i in 0..self.methods.len() {
            let best = rates::best(&self.tried(i)?);
            if self.asked.exact_match {
                for seed in best.map_or(0..0, |_| 0..self.asked.seeds) {
                    if stop() {
                        return Ok(true);
                    }
                    self.answer(&self.options(i, best.unwrap_or(0), seed), &mut runner, events)?;
                }
            }
            self.tidy(i, best)?;
        }
        Ok(false)
    }

    /// The options of a method's run at 2^k times its usual rate.
    fn options(&self, i: usize, k: i32, seed: u64) -> RunConfig {
        let (method, run) = &self.methods[i];
        let lr = short(run.resolved_lr() * f64::from(k).exp2());
        let seed = self.base.seed + seed;
        let out = self.folder.join(method.to_string()).join(format!("lr-{}_seed-{seed}", rate(lr)));
        RunConfig { lr: Some(lr), seed, out, ..run.clone() }
    }

    /// How a run is called: `lora/lr-0.004_seed-1`.
    fn name(run: &RunConfig) -> String {
        let own = run.out.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        format!("{}/{own}", run.method)
    }

    /// A run that came to its end.
    fn record(&self, run: &RunConfig) -> Result<Option<RunRecord>> {
        if !files::is_file(&run.out.join(crate::train::run_folder::CONFIG_FILE)) {
            return Ok(None);
        }
        Ok(Some(RunRecord::open(&run.out)?).filter(RunRecord::ended))
    }

    /// The rates of a method that were tried, with their losses.
    fn tried(&self, i: usize) -> Result<Tried> {
        let mut tried = Tried::new();
        // The walk is taken again from its start, since what it decides follows from the losses alone.
        while let Some(k) = rates::next(&tried) {
            let run = self.options(i, k, 0);
            let loss = match self.record(&run)? {
                _ if self.failed.contains_key(&Self::name(&run)) => f64::INFINITY,
                Some(record) => record.best_eval_loss().unwrap_or(f64::INFINITY),
                None => break,
            };
            tried.insert(k, loss);
        }
        Ok(tried)
    }

    /// One run, to its end or until it is stopped, which is told by false.
    fn go(
        &mut self,
        i: usize,
        k: i32,
        seed: u64,
        runner: &mut Runner,
        events: &mut dyn FnMut(Event),
        stop: &dyn Fn() -> bool,
    ) -> Result<bool> {
        let run = self.options(i, k, seed);
        let name = Self::name(&run);
        if self.failed.contains_key(&name) || self.record(&run)?.is_some() {
            files::remove(&run.out.join(CHECKPOINTS))?;
            return Ok(true);
        }
        if stop() {
            return Ok(false);
        }
        let why = if seed == 0 { "looking for the rate" } else { "at the best rate" };
        events(Event::note(format!("\n{}, rate {}, seed {}: {why}", results::called(run.method), rate(run.resolved_lr()), run.seed)));
        match runner.take(&run, 1.0, events, stop)? {
            Went::Stopped => return Ok(false),
            Went::Diverged(why) => {
                self.failed.insert(name, why);
            }
            // They are what takes the room, and nobody goes on with them.
            Went::There => files::remove(&run.out.join(CHECKPOINTS))?,
        }
        self.write()?;
        Ok(true)
    }

    /// Lets what a run wrote answer the held-out prompts, once.
    fn answer(&self, run: &RunConfig, runner: &mut Runner, events: &mut dyn FnMut(Event)) -> Result<()> {
        if self.record(run)?.is_none() || folder::answers(&run.out)?.is_some() {
            return Ok(());
        }
        let Some(rows) = &run.eval_data else { return Ok(()) };
        let device = runner.device(&run.device)?;
        let whole = run.method == Method::Full;
        let source = Source::open(&if whole { run.out.join("model") } else { names::model(&run.model, true, events)? })?;
        let adapter = if whole { None } else { Some(AdapterFile::open(&run.out, &source.config)?) };
        let options = eval::Options {
            reading: run.reading(),
            chat_template: run.chat_template.clone(),
            train_on: run.train_on,
            begin_token: run.begin_token,
            seq_len: run.seq_len,
            batch_size: run.batch_size,
            ..eval::Options::default()
        };
        let files = names::files_of(rows, &names::HELD_OUT, events)?;
        let mut quiet = |event: Event| {
            if !matches!(event, Event::Note { .. }) {
                events(event);
            }
        };
        let scores = pollster::block_on(eval::evaluate(&device, &source, adapter.as_ref(), &files, &options, &mut quiet))?;
        folder::keep_answers(&run.out, scores.exact_match.unwrap_or_default())
    }

    /// Removes the models of full training whose rate lost: each is as large as the base.
    fn tidy(&self, i: usize, best: Option<i32>) -> Result<()> {
        for k in self.tried(i)?.into_keys().filter(|k| Some(*k) != best) {
            files::remove(&self.options(i, k, 0).out.join("model"))?;
        }
        Ok(())
    }

    /// What came of it so far, a line for each method.
    ///
    /// # Errors
    /// Names the file of a run that is broken.
    pub fn lines(&self) -> Result<Vec<Line>> {
        (0..self.methods.len()).map(|i| self.line(i)).collect()
    }

    fn line(&self, i: usize) -> Result<Line> {
        let tried = self.tried(i)?;
        let best = rates::best(&tried);
        let mut runs = Vec::new();
        for seed in best.map_or(0..0, |_| 0..self.asked.seeds) {
            let run = self.options(i, best.unwrap_or(0), seed);
            if let Some(record) = self.record(&run)? {
                runs.push((record, folder::answers(&run.out)?));
            }
        }
        let rates = tried.iter().map(|(k, loss)| (self.options(i, *k, 0).resolved_lr(), Some(*loss).filter(|l| l.is_finite()))).collect();
        Ok(Line {
            method: self.methods[i].0,
            rates,
            best: best.map(|k| self.options(i, k, 0).resolved_lr()),
            settled: rates::settled(&tried),
            runs,
        })
    }

    /// Writes `paper.toml` and `paper.json`.
    ///
    /// # Errors
    /// Where a file cannot be written.
    pub fn write(&self) -> Result<()> {
        folder::write(self, &self.lines()?)
    }
}
