//! A run written for PyTorch: a script for peft and accelerate, the options, the rows as tokens in the order of the run, and the adapter
//! as it starts. `train.py` beside this file is what is written; it is plain enough to be changed by whoever takes it over.

use super::config::{Init, Method, RunConfig, WeightsFormat};
use super::event::Event;
use super::program::{Program, Shape};
use super::schedule::Schedule;
use super::{export, resolve, rows, state};
use crate::adapter::{AdapterFile, Kind, Spec, shira};
use crate::data::{Dataset, Order, Sample};
use crate::device::{Device, Limits};
use crate::error::{Error, Result};
use crate::files::{self, atomic_write, atomic_write_bytes};
use crate::model::Source;
use serde_json::{Value, json};
use std::path::Path;

const TRAIN: &str = include_str!("train.py");
const REQUIREMENTS: &str = include_str!("requirements.txt");
/// What PyTorch's cross entropy leaves out.
const IGNORED: i64 = -100;

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Rows for training.
    pub rows: usize,
    /// Optimiser steps.
    pub steps: u64,
}

/// Writes the recipe of a run into a folder that is empty or not there. `model` is what the script loads: a folder's whole path, or a name
/// on the hub with its revision.
///
/// # Errors
/// Where the run has something that peft's adapters cannot do, its rows cannot be read, or a file cannot be written.
pub fn write(run: &RunConfig, source: &Source, model: (&str, Option<&str>), out: &Path, events: &mut dyn FnMut(Event)) -> Result<Written> {
    refuse_what_peft_lacks(run)?;
    if let Some(weights) = run.weights.filter(|w| *w != WeightsFormat::F32)
        && source.formats_in(Some(weights.into()))? != source.formats()?
    {
        let what = format!("as a recipe: --weights {weights} rounds the frozen weights, and PyTorch loads them as the checkpoint has them");
        return Err(Error::usage(what, "run it without --weights"));
    }
    export::refuse_what_is_there(out)?;
    let (spec, init) = resolve::adapter(run, &source.config)?;
    let (data, held_out) = rows::load(run, source, events)?;
    let steps = run.total_steps(data.len() as u64);
    files::create_dir_all(out).map_err(Error::io(out))?;
    if spec.kind != Kind::Full {
        write_adapter(run, source, &spec, init, &out.join("adapter"))?;
    }
    write_rows(&data, &out.join("rows.jsonl"))?;
    if let Some(held_out) = &held_out {
        write_rows(held_out, &out.join("held_out.jsonl"))?;
    }
    write_steps(run, data.len(), steps, &out.join("steps.jsonl"))?;
    let blocks = match &spec.kind {
        Kind::Diablo { blocks, .. } => json!(blocks),
        _ => Value::Null,
    };
    let options = json!({
        "model": model.0,
        "revision": model.1,
        "method": resolve::describe(&spec),
        "blocks": blocks,
        "batch_size": run.batch_size,
        "accumulate": run.accumulate,
        "betas": [run.beta1, run.beta2],
        "eps": run.eps,
        "weight_decay": run.weight_decay,
        "max_grad_norm": run.max_grad_norm,
        "lora_plus_ratio": run.lora_plus_ratio,
        "eval_every": run.eval_interval(steps),
        "save_every": run.save_interval(steps),
        "diablo": run.values(),
    });
    let text = serde_json::to_string_pretty(&options).unwrap_or_default() + "\n";
    atomic_write_bytes(&out.join("recipe.json"), text.as_bytes())?;
    atomic_write_bytes(&out.join("requirements.txt"), REQUIREMENTS.as_bytes())?;
    // Last: a folder that was not finished cannot be started.
    atomic_write_bytes(&out.join("train.py"), TRAIN.as_bytes())?;
    Ok(Written { rows: data.len(), steps })
}

fn refuse_what_peft_lacks(run: &RunConfig) -> Result<()> {
    let refuse = |what: &str, hint: &str| Err(Error::usage(format!("as a recipe: {what}"), hint));
    if run.method == Method::Diablo && run.adapter_dropout > 0.0 {
        return refuse("DiaBlo is peft's SHiRA there, which has no dropout", "run it with --adapter-dropout 0");
    }
    if run.method == Method::Lora && run.init == Init::Pissa {
        return refuse("PiSSA trains beside a changed base, which is not written yet", "run it without --init pissa");
    }
    if run.init_from_config {
        return refuse(
            "--init-from-config draws weights that no other program draws",
            "train that run here, and write a recipe on its model",
        );
    }
    Ok(())
}

/// The adapter as the run starts with it.
fn write_adapter(run: &RunConfig, source: &Source, spec: &Spec, init: Option<AdapterFile>, out: &Path) -> Result<()> {
    let base = crate::hub::repository(&run.model);
    let adapter = match init {
        Some(init) => AdapterFile { spec: spec.clone(), base, ..init },
        None => {
            // Laid out for a forward pass of one token: what the start depends on is the weights and the seed.
            let shape = Shape { trains: false, batch_size: 1, ..resolve::shape(run, vec![1], 0) };
            let formats = source.formats_in(run.weights.map(Into::into))?;
            let program = Program::new(&source.config, &formats, spec, &shape, Limits::NONE)?;
            let tensors = pollster::block_on(async {
                let mut session = Device::Cpu.load(&program.layout, &program.plans).await?;
                source.load(&mut session, &program.weights, run.seed, &mut |_, _| ())?;
                program.adapter.initialise(&mut session, &program.weights, run.seed).await?;
                state::values(&mut session, &program).await
            })?;
            AdapterFile { spec: spec.clone(), base, tensors }
        }
    };
    if matches!(spec.kind, Kind::Diablo { .. }) {
        return shira::save(&adapter, &source.config, out);
    }
    files::create_dir_all(out).map_err(Error::io(out))?;
    adapter.save(out)
}

/// A line a row: its documents' tokens, and what is learned of them.
fn write_rows(data: &Dataset, path: &Path) -> Result<()> {
    atomic_write(path, |w| {
        for sample in &data.samples {
            writeln!(w, "{}", row(sample)).map_err(Error::io(path))?;
        }
        Ok(())
    })
}

fn row(sample: &Sample) -> Value {
    let mut ids: Vec<&[u32]> = Vec::new();
    let mut labels = Vec::new();
    for (span, learn_from) in sample.spans() {
        let learned = |at: usize| at >= learn_from && !sample.skipped.iter().any(|s| (s.start as usize..s.end as usize).contains(&at));
        labels.push(span.clone().map(|at| if learned(at) { i64::from(sample.ids[at]) } else { IGNORED }).collect::<Vec<_>>());
        ids.push(&sample.ids[span]);
    }
    json!({ "ids": ids, "labels": labels })
}

/// A line a step: its learning rate, and the rows of each micro-batch.
fn write_steps(run: &RunConfig, rows: usize, steps: u64, path: &Path) -> Result<()> {
    let schedule = Schedule { kind: run.schedule, lr: run.resolved_lr(), warmup: run.warmup, total: steps };
    let mut order = Order::new(rows, run.shuffle().then_some(run.seed));
    let mut position = 0..;
    atomic_write(path, |w| {
        for step in 0..steps {
            let mut micro = || -> Vec<usize> { position.by_ref().take(run.batch_size).map(|at| order.sample_index(at)).collect() };
            let batches: Vec<Vec<usize>> = (0..run.accumulate).map(|_| micro()).collect();
            writeln!(w, "{}", json!({ "lr": schedule.lr_at(step), "micro_batches": batches })).map_err(Error::io(path))?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Document;

    #[test]
    fn a_row_s_documents_and_labels_stand_apart() {
        let behind = vec![Document { start: 5, learn_from: 6 }];
        let both = Sample { ids: vec![1, 2, 3, 4, 5, 6, 7, 8, 9], learn_from: 1, behind, skipped: vec![2..4, 7..8], ..Sample::default() };
        let no = IGNORED;
        assert_eq!(row(&both), json!({ "ids": [[1, 2, 3, 4, 5], [6, 7, 8, 9]], "labels": [[no, 2, no, no, 5], [no, 7, no, 9]] }));
    }

    #[test]
    fn what_peft_cannot_do_is_refused() {
        let spoilt = |spoil: fn(&mut RunConfig)| {
            let mut run = RunConfig::default();
            spoil(&mut run);
            refuse_what_peft_lacks(&run).expect_err("refused").to_string()
        };
        assert!(spoilt(|r| r.adapter_dropout = 0.1).contains("no dropout"));
        assert!(spoilt(|r| (r.method, r.init) = (Method::Lora, Init::Pissa)).contains("PiSSA"));
        assert!(spoilt(|r| r.init_from_config = true).contains("--init-from-config"));
    }
}
