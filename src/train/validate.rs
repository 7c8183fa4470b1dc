//! Refusing a run that cannot be meant, before anything is started.

use super::blocks::{Blocks, DEFAULT_KEY};
use super::choice::nearest;
use super::config::{Init, MAX_SEED, Method, PROJECTIONS, RunConfig, WeightsFormat};
use super::program::MOST_TOKENS;
use crate::data::files::MOST;
use crate::data::formats::ROLES;
use crate::error::{Error, Result};
use crate::model::modules::{MODULES, means, target_names};
use std::path::Path;

/// The largest rank of LoRA, as for adapters that are read.
const MOST_RANK: usize = 65_536;
/// The most rows of a micro-batch, and micro-batches of a step.
pub(crate) const MOST_ROWS: usize = 65_536;
/// More passes or steps than anybody waits for; a slip of the keys beyond it.
const MOST_EPOCHS: f64 = 1e6;
const MOST_STEPS: u64 = 1_000_000_000_000;

/// `Err` with an option's name, its value and what it must be.
fn must(ok: bool, option: &str, value: impl std::fmt::Display, rule: &str) -> Result<()> {
    if ok { Ok(()) } else { Err(Error::usage(format!("--{option} {value}: must be {rule}"), "")) }
}

fn clash(both: bool, a: &str, b: &str, hint: &str) -> Result<()> {
    if both { Err(Error::usage(format!("--{a} and --{b} exclude each other"), hint)) } else { Ok(()) }
}

impl RunConfig {
    /// Checks the whole run: [`RunConfig::validate_options`], and that a model, data and a run folder are named.
    pub fn validate(&self) -> Result<()> {
        let needed: [(&str, &Path, &str); 3] = [
            ("model", &self.model, "name a folder with config.json, tokenizer.json and safetensors, or a model on the hub (owner/name)"),
            (
                "data",
                self.data.first(),
                "name a file of rows (JSON, JSONL, CSV, Parquet) or of plain text, or a dataset on the hub (owner/name)",
            ),
            ("out", &self.out, "name a folder for the run; it is made"),
        ];
        for (option, path, hint) in needed {
            if path.as_os_str().is_empty() {
                return Err(Error::usage(format!("--{option} is needed"), hint));
            }
        }
        self.validate_options()
    }

    /// Checks everything except that the paths are there; enough for an estimate.
    pub fn validate_options(&self) -> Result<()> {
        self.check_paths()?;
        self.check_method()?;
        self.check_data()?;
        self.check_optimiser()?;
        self.check_evaluation()
    }

    /// What is allowed but probably not meant. `total` is the number of steps, where it is known.
    pub fn warnings(&self, total: Option<u64>) -> Vec<String> {
        let mut out = Vec::new();
        if let Some(total) = total.or(self.steps)
            && self.warmup >= total
        {
            out.push(format!(
                "--warmup {} is no shorter than the run ({total} steps): the full learning rate is never reached",
                self.warmup
            ));
        }
        if self.method != Method::Diablo && (self.blocks.is_some() || self.pad_blocks) {
            out.push(format!("--blocks and --pad-blocks mean nothing to --method {}", self.method));
        }
        let lora_alone = [
            ("rslora", self.rslora),
            ("dora", self.dora),
            ("init", self.init == Init::Pissa),
            ("lora-plus-ratio", self.lora_plus_ratio != 1.0),
        ];
        for (option, _) in lora_alone.iter().filter(|(_, set)| *set && self.method != Method::Lora) {
            out.push(format!("--{option} means nothing to --method {}", self.method));
        }
        if self.method == Method::Full && self.adapter_dropout > 0.0 {
            out.push("--adapter-dropout means nothing to --method full".into());
        }
        if self.eval_every.is_some() && !self.has_eval() {
            out.push("--eval-every has nothing to evaluate: give --eval-data or --eval-split".into());
        }
        if self.sample_every.is_some() && self.sample_prompt.is_none() {
            out.push("--sample-every has nothing to continue: give --sample-prompt".into());
        }
        out
    }

    fn check_paths(&self) -> Result<()> {
        let data = self.data.0.iter().map(|file| ("data", Some(&file.path)));
        let paths = [("model", Some(&self.model)), ("out", Some(&self.out)), ("eval-data", self.eval_data.as_ref())];
        for (option, path) in paths.into_iter().chain(data).chain([("init-adapter", self.init_adapter.as_ref())]) {
            if let Some(path) = path
                && path.to_str().is_none()
            {
                let what = format!("--{option} {}: the name is not valid Unicode, so run.toml cannot hold it", path.display());
                return Err(Error::usage(what, "rename it, or reach it through a link"));
            }
        }
        Ok(())
    }

    fn check_method(&self) -> Result<()> {
        if let Some(unknown) = self.targets.iter().find(|t| !target_names().any(|known| known == t.as_str())) {
            let near = nearest(unknown, target_names()).map(|n| format!("did you mean '{n}'? ")).unwrap_or_default();
            let known = target_names().collect::<Vec<_>>().join(", ");
            return Err(Error::usage(format!("--targets: unknown module '{unknown}'"), format!("{near}known: {known}")));
        }
        if let Some((i, twice)) = self.targets.iter().enumerate().find(|(i, t)| self.targets[..*i].contains(t)) {
            return Err(Error::usage(format!("--targets: '{twice}' is given twice (place {})", i + 1), ""));
        }
        if self.targets.is_empty() && self.method != Method::Full {
            return Err(Error::usage("--targets is empty: nothing would train", format!("known: {}", PROJECTIONS.join(", "))));
        }
        match &self.blocks {
            Some(Blocks::One(n)) => must(*n > 0, "blocks", n, "at least 1")?,
            Some(Blocks::PerModule(map)) => {
                if map.is_empty() {
                    return Err(Error::usage("--blocks: the table is empty", "write 8, or q_proj=8,down_proj=4,default=8"));
                }
                for (name, n) in map {
                    // A run that goes on names each layer, whatever names its targets have.
                    let meant = MODULES.into_iter().any(|module| module == name && means(&self.targets, module));
                    if name != DEFAULT_KEY && !self.targets.contains(name) && !meant {
                        let known = format!("targets: {}; 'default' stands for the rest", self.targets.join(", "));
                        return Err(Error::usage(format!("--blocks: '{name}' is none of the targets"), known));
                    }
                    must(*n > 0, "blocks", format!("{name}={n}"), "at least 1")?;
                }
            }
            None => {}
        }
        must((0.0..1.0).contains(&self.adapter_dropout), "adapter-dropout", self.adapter_dropout, "at least 0 and below 1")?;
        must((1..=MOST_RANK).contains(&self.rank), "rank", self.rank, "from 1 to 65536")?;
        must(self.alpha.is_finite() && self.alpha > 0.0, "alpha", self.alpha, "a number above 0")?;
        let ratio = self.lora_plus_ratio;
        must(ratio.is_finite() && ratio > 0.0, "lora-plus-ratio", ratio, "a number above 0, such as 16")?;
        if self.method == Method::Lora {
            self.check_lora()?;
        }
        if self.init_from_config && self.method != Method::Full {
            let what =
                format!("--init-from-config starts from random weights, and --method {} leaves most of them as they are", self.method);
            return Err(Error::usage(what, "add --method full"));
        }
        if let Some(weights) = self.weights.filter(|_| self.method == Method::Full) {
            let what = format!("--weights {weights}: --method full trains the weights, in 32-bit floats");
            return Err(Error::usage(what, "leave --weights out, or train an adapter"));
        }
        if self.init_adapter.is_some() && self.method == Method::Full {
            return Err(Error::usage(
                "--init-adapter: --method full has no adapter",
                "export the adapter into the model first, then train on that",
            ));
        }
        Ok(())
    }

    fn check_lora(&self) -> Result<()> {
        let pissa = self.init == Init::Pissa;
        clash(self.dora && pissa, "dora", "init pissa", "PiSSA's base is another one, whose rows DoRA's lengths would not fit")?;
        clash(self.dora && self.adapter_dropout > 0.0, "dora", "adapter-dropout", "DoRA scales base and branch together; leave one out")?;
        clash(pissa && self.init_adapter.is_some(), "init pissa", "init-adapter", "an adapter is a start of its own")?;
        if let Some(weights) = self.weights.filter(|w| pissa && matches!(w, WeightsFormat::Int8 | WeightsFormat::Nf4)) {
            let what =
                format!("--weights {weights} and --init pissa: the adapter is for the base as it was, and its rounded rest is another");
            return Err(Error::usage(what, "use --weights f32, bf16 or f16, or leave --init out"));
        }
        Ok(())
    }

    fn check_data(&self) -> Result<()> {
        clash(self.steps.is_some() && self.epochs.is_some(), "steps", "epochs", "give the length of the run once")?;
        if let Some(steps) = self.steps {
            must((1..=MOST_STEPS).contains(&steps), "steps", steps, "from 1 to 1000000000000")?;
        }
        if let Some(epochs) = self.epochs {
            must(epochs > 0.0 && epochs <= MOST_EPOCHS, "epochs", format!("{epochs:?}"), "above 0 and at most 1000000")?;
        }
        must((1..=MOST_ROWS).contains(&self.batch_size), "batch-size", self.batch_size, "from 1 to 65536")?;
        must((1..=MOST_ROWS).contains(&self.accumulate), "accumulate", self.accumulate, "from 1 to 65536")?;
        must(
            (2..=MOST_TOKENS).contains(&self.seq_len),
            "seq-len",
            self.seq_len,
            "from 2 (a token to read and one to predict) to 16777216",
        )?;
        must(!self.prompt_column.is_empty(), "prompt-column", "''", "the name of a key")?;
        must(!self.completion_column.is_empty(), "completion-column", "''", "the name of a key")?;
        if self.prompt_column == self.completion_column {
            return Err(Error::usage(format!("--prompt-column and --completion-column are both '{}'", self.prompt_column), ""));
        }
        must(!self.split.trim().is_empty(), "split", "''", "the name of a split, such as train")?;
        must(!self.chat_template.is_empty(), "chat-template", "''", "auto, model, none or a file")?;
        for file in &self.data.0 {
            let fits = file.weight.is_finite() && file.weight > 0.0 && file.weight <= MOST;
            must(fits, "data", file, "a file with a weight above 0 and at most 1000")?;
        }
        if let Some(role) = self.columns.unknown() {
            let hint = format!("known: {}", ROLES.join(", "));
            return Err(Error::usage(format!("--columns: no row has a '{role}'"), hint));
        }
        must(self.seed <= MAX_SEED, "seed", self.seed, "below 2^63")?;
        if let Some(threads) = self.threads {
            must(threads > 0, "threads", threads, "at least 1")?;
        }
        must(!self.device.trim().is_empty(), "device", "''", "auto, cpu, gpu, a number or a name")
    }

    fn check_optimiser(&self) -> Result<()> {
        if let Some(lr) = self.lr {
            must(lr.is_finite() && lr > 0.0, "lr", lr, "a number above 0")?;
        }
        must(self.weight_decay.is_finite() && self.weight_decay >= 0.0, "weight-decay", self.weight_decay, "a number, at least 0")?;
        must(
            self.max_grad_norm.is_finite() && self.max_grad_norm >= 0.0,
            "max-grad-norm",
            self.max_grad_norm,
            "a number, at least 0 (0: no clipping)",
        )?;
        must((0.0..1.0).contains(&self.beta1), "beta1", self.beta1, "at least 0 and below 1")?;
        must((0.0..1.0).contains(&self.beta2), "beta2", self.beta2, "at least 0 and below 1")?;
        must(self.eps.is_finite() && self.eps > 0.0, "eps", self.eps, "a number above 0")
    }

    fn check_evaluation(&self) -> Result<()> {
        clash(self.eval_data.is_some() && self.eval_split.is_some(), "eval-data", "eval-split", "hold rows out once")?;
        if let Some(split) = self.eval_split {
            must(split > 0.0 && split < 1.0, "eval-split", split, "between 0 and 1, such as 0.1")?;
        }
        if let Some(every) = self.eval_every {
            must(every > 0, "eval-every", every, "at least 1")?;
        }
        if let Some(every) = self.save_every {
            must(every > 0, "save-every", every, "at least 1")?;
        }
        if let Some(every) = self.sample_every {
            must(every > 0, "sample-every", every, "at least 1")?;
        }
        if let Some((_, twice)) = self.log.iter().enumerate().find(|(i, kind)| self.log[..*i].contains(kind)) {
            return Err(Error::usage(format!("--log: {twice} is given twice"), ""));
        }
        must((1..=MOST_TOKENS).contains(&self.sample_tokens), "sample-tokens", self.sample_tokens, "from 1 to 16777216")?;
        if let Some(patience) = self.patience {
            must(patience > 0, "patience", patience, "at least 1")?;
            if !self.has_eval() {
                return Err(Error::usage("--patience needs held-out rows", "give --eval-data FILE or --eval-split 0.1"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::logs::LogKind;
    use crate::train::schedule::ScheduleKind;

    fn good() -> RunConfig {
        RunConfig { model: "m".into(), data: "d".into(), out: "o".into(), ..RunConfig::default() }
    }

    #[test]
    fn defaults_pass() {
        good().validate().expect("the defaults are valid");
        RunConfig::default().validate_options().expect("an estimate needs no paths");
        assert!(good().warnings(Some(10)).is_empty());
    }

    #[test]
    fn each_fault_is_named() {
        type Spoil = fn(&mut RunConfig);
        let cases: &[(&str, Spoil)] = &[
            ("--model is needed", |c| c.model = "".into()),
            ("--data is needed", |c| c.data = "".into()),
            ("--out is needed", |c| c.out = "".into()),
            ("--lr 0:", |c| c.lr = Some(0.0)),
            ("--lr NaN:", |c| c.lr = Some(f64::NAN)),
            ("--lr inf:", |c| c.lr = Some(f64::INFINITY)),
            ("--lr -1:", |c| c.lr = Some(-1.0)),
            ("--steps and --epochs", |c| (c.steps, c.epochs) = (Some(1), Some(1.0))),
            ("--steps 0:", |c| c.steps = Some(0)),
            ("--epochs 0.0:", |c| c.epochs = Some(0.0)),
            ("--epochs 1e300:", |c| c.epochs = Some(1e300)),
            ("--batch-size 0:", |c| c.batch_size = 0),
            ("--accumulate 0:", |c| c.accumulate = 0),
            ("--batch-size 18446744073709551615:", |c| c.batch_size = usize::MAX),
            ("--rank 65537:", |c| c.rank = 65_537),
            ("--seq-len 1:", |c| c.seq_len = 1),
            ("--eval-split 1:", |c| c.eval_split = Some(1.0)),
            ("--eval-split 0:", |c| c.eval_split = Some(0.0)),
            ("--eval-split NaN:", |c| c.eval_split = Some(f64::NAN)),
            ("--eval-data and --eval-split", |c| (c.eval_data, c.eval_split) = (Some("e".into()), Some(0.1))),
            ("unknown module 'q_porj'", |c| c.targets = vec!["q_porj".into()]),
            ("'q_proj' is given twice", |c| c.targets = vec!["q_proj".into(), "q_proj".into()]),
            ("--targets is empty", |c| c.targets.clear()),
            ("--blocks 0:", |c| c.blocks = Some(Blocks::One(0))),
            ("'x_proj' is none of the targets", |c| c.blocks = "x_proj=4".parse().ok()),
            ("--blocks q_proj=0:", |c| c.blocks = "q_proj=0".parse().ok()),
            ("--rank 0:", |c| c.rank = 0),
            ("--alpha 0:", |c| c.alpha = 0.0),
            ("--lora-plus-ratio 0:", |c| c.lora_plus_ratio = 0.0),
            ("--dora and --init pissa", |c| (c.method, c.dora, c.init) = (Method::Lora, true, Init::Pissa)),
            ("--dora and --adapter-dropout", |c| (c.method, c.dora, c.adapter_dropout) = (Method::Lora, true, 0.1)),
            ("--init pissa and --init-adapter", |c| {
                (c.method, c.init, c.init_adapter) = (Method::Lora, Init::Pissa, Some("a".into()));
            }),
            ("--weights nf4 and --init pissa", |c| {
                (c.method, c.init, c.weights) = (Method::Lora, Init::Pissa, Some(WeightsFormat::Nf4));
            }),
            ("--adapter-dropout 1:", |c| c.adapter_dropout = 1.0),
            ("--init-from-config", |c| c.init_from_config = true),
            ("--init-adapter", |c| (c.init_adapter, c.method) = (Some("a".into()), Method::Full)),
            ("--max-grad-norm -1:", |c| c.max_grad_norm = -1.0),
            ("--weight-decay NaN:", |c| c.weight_decay = f64::NAN),
            ("--beta1 1:", |c| c.beta1 = 1.0),
            ("--eps 0:", |c| c.eps = 0.0),
            ("--patience needs", |c| c.patience = Some(3)),
            ("--seed ", |c| c.seed = u64::MAX),
            ("both 'text'", |c| (c.prompt_column, c.completion_column) = ("text".into(), "text".into())),
            ("--data d=-1:", |c| c.data = "d=-1".into()),
            ("--data d=NaN:", |c| c.data = "d=NaN".into()),
            ("--columns: no row has a 'x'", |c| c.columns.set("x", "y")),
            ("--threads 0:", |c| c.threads = Some(0)),
            ("--log: csv is given twice", |c| c.log = vec![LogKind::Csv, LogKind::Csv]),
        ];
        for (want, spoil) in cases {
            let mut c = good();
            spoil(&mut c);
            let e = c.validate().expect_err(want);
            assert!(e.to_string().contains(want), "wanted {want}, got {e}");
            assert_eq!(e.exit_code(), 2);
        }
        let e = RunConfig { targets: vec!["q_porj".into()], ..good() }.validate().expect_err("refused");
        assert!(e.hint().is_some_and(|h| h.contains("did you mean 'q_proj'") && h.contains("down_proj")));
    }

    #[test]
    fn odd_runs_are_warned_of() {
        let c = RunConfig { warmup: 10, steps: Some(5), schedule: ScheduleKind::Linear, ..good() };
        c.validate().expect("allowed");
        assert!(c.warnings(None)[0].contains("--warmup 10"));
        let c = RunConfig { method: Method::Lora, blocks: Some(Blocks::One(8)), eval_every: Some(3), ..good() };
        assert_eq!(c.warnings(None).len(), 2);
    }
}
