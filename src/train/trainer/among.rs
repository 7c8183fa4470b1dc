//! What the ranks of one run do together: begin with the same, add gradients up, and see that they still agree.

use crate::adapter::files::Tensor;
use crate::data::Dataset;
use crate::device::{Session, View};
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::kernels::{METRIC_WORDS, metrics};
use crate::model::Source;
use crate::ranks::{self, Ranks, agree};
use crate::train::checkpoint::CheckpointState;
use crate::train::config::RunConfig;
use crate::train::event::Event;
use crate::train::names;
use crate::train::program::Program;
use std::borrow::Cow;
use web_time::{Duration, Instant};

/// Bytes of each tensor that are compared before the first step; all of a large model would take minutes to read.
const SAMPLED: usize = 4096;

/// A run among several ranks: what it sends, and what that took.
pub(super) struct Among {
    pub ranks: Box<dyn Ranks>,
    /// Every number of a step that is added up: the arena's gradients, the loss, and whether somebody wants to stop.
    numbers: Vec<f32>,
    /// Whether a rank was asked to stop, and all know it.
    pub stop: bool,
    /// Seconds between the device's memory and the host's.
    copying: Duration,
    /// Seconds of adding up, waiting for slower ranks included.
    adding: Duration,
}

impl Among {
    pub fn new(ranks: Box<dyn Ranks>) -> Self {
        Self { ranks, numbers: Vec::new(), stop: false, copying: Duration::ZERO, adding: Duration::ZERO }
    }

    /// Whether there are others.
    pub fn several(&self) -> bool {
        self.ranks.count() > 1
    }

    /// Makes the gradients and the loss of this rank's micro-batches those of all ranks' ones. `stop` is whether this rank was asked to.
    pub async fn add_up(&mut self, session: &mut Session, program: &Program, stop: bool) -> Result<()> {
        session.wait().await?;
        let begun = Instant::now();
        let metrics = View { len: METRIC_WORDS, ..program.inputs.metrics };
        let segments = &program.arena.segments;
        self.numbers.clear();
        for segment in segments {
            let gradients = session.read_f32(segment.gradients()).await?;
            if self.numbers.is_empty() { self.numbers = gradients } else { self.numbers.extend(gradients) }
        }
        let mut words = session.read_f32(metrics).await?;
        self.numbers.extend([words[metrics::LOSS], f32::from(u8::from(stop))]);
        let read = Instant::now();
        self.ranks.add(&mut self.numbers);
        let added = Instant::now();
        let mut rest = &self.numbers[..];
        for segment in segments {
            let (gradients, behind) = rest.split_at(segment.len);
            session.write_f32(segment.gradients(), gradients)?;
            rest = behind;
        }
        words[metrics::LOSS] = rest[0];
        self.stop = rest[1] > 0.0;
        session.write_f32(metrics, &words)?;
        self.copying += (read - begun) + added.elapsed();
        self.adding += added - read;
        Ok(())
    }

    /// What the ranks did, in one line for the end of a sitting.
    pub fn report(&self, program: &Program, seconds: f64) -> String {
        let count = self.ranks.count();
        format!(
            "{count} ranks: each sent {} a step; of {seconds:.1} s, {:.1} s went into adding gradients up (waiting for slower ranks \
             included) and {:.1} s into copying them from and to the device",
            crate::device::human_bytes(ranks::sent(numbers(program), count)),
            self.adding.as_secs_f64(),
            self.copying.as_secs_f64(),
        )
    }

    /// Refuses to go on where a rank's values or moments are others than the first one's.
    pub fn agree_on(&mut self, tensors: &[Tensor]) -> Result<()> {
        if !self.several() {
            return Ok(());
        }
        let mut digest = Digest::default();
        for tensor in tensors {
            digest.take(tensor.values.iter().map(|x| x.to_bits()));
        }
        let hint = "the last checkpoint is whole: go on with --resume on devices of one kind with one driver; other kinds round otherwise";
        agree(self.ranks.as_mut(), "trained other numbers", digest.word(), hint)
    }
}

/// Numbers that are added up in a step.
pub(super) fn numbers(program: &Program) -> u64 {
    program.arena.segments.iter().map(|s| s.len as u64).sum::<u64>() + 2
}

/// The first rank's options for every rank: the others may lack the file that they were read from.
///
/// # Errors
/// None that a healthy program has.
pub fn options(run: Option<RunConfig>, ranks: &mut dyn Ranks) -> Result<RunConfig> {
    let place = "rank 0's options";
    let mut text = run.as_ref().map(RunConfig::to_toml_string).transpose()?.unwrap_or_default().into_bytes();
    ranks.send(&mut text);
    let text = String::from_utf8(text).map_err(|_| Error::input(place, "are not UTF-8 text", ""))?;
    // Whether it is a resume is the first rank's matter alone; it keeps its own.
    run.map_or_else(|| RunConfig::from_toml(&text, place), Ok)
}

/// The first rank's options, names on the hub fixed and fetched once on each machine, for every rank.
pub(super) fn settle(run: RunConfig, ranks: &mut dyn Ranks, events: &mut dyn FnMut(Event)) -> Result<RunConfig> {
    if ranks.count() == 1 {
        return names::settle(run, events);
    }
    let first = ranks.rank() == 0;
    let run = options(if first { Some(names::settle(run, events)?) } else { None }, ranks)?;
    // One rank of each machine fetches, and the others find it there.
    if !first && ranks.here().place == 0 {
        names::settle(run.clone(), events)?;
    }
    ranks.wait_here();
    Ok(run)
}

/// Refuses fewer micro-batches than there are ranks.
pub(super) fn enough(run: &RunConfig, count: usize) -> Result<()> {
    let (have, rows) = (run.accumulate, run.batch_size);
    if have >= count {
        return Ok(());
    }
    let what = format!("{count} ranks share the {have} micro-batch{} of a step (--accumulate {have})", if have == 1 { "" } else { "es" });
    let fewer = (rows * have / count).max(1);
    let hint = format!(
        "give each at least one: --accumulate {count} makes a step of {} rows; --accumulate {count} --batch-size {fewer}, one of {}",
        count * rows,
        count * fewer
    );
    Err(Error::usage(what, hint))
}

/// Whether micro-batches come out even; what to say where they do not.
pub(super) fn uneven(run: &RunConfig, count: usize) -> Option<String> {
    let (all, most) = (run.accumulate, run.accumulate.div_ceil(count));
    (!all.is_multiple_of(count)).then(|| {
        format!(
            "{all} micro-batches for {count} ranks do not come out even: each step takes as long as {most} of them; --accumulate {} would",
            most * count
        )
    })
}

/// Refuses ranks that would not train on the same: the program, the model, the rows, and where PiSSA starts.
pub(super) fn same(ranks: &mut dyn Ranks, source: &Source, data: &Dataset, held_out: Option<&Dataset>, start: &[Tensor]) -> Result<()> {
    let mut check = |what: &str, hint: &str, feed: &mut dyn FnMut(&mut Digest) -> Result<()>| {
        let mut digest = Digest::default();
        feed(&mut digest)?;
        agree(ranks, what, digest.word(), hint)
    };
    let file = "every machine needs the same files at the same place";
    check("another version of diablo", "install the same one everywhere", &mut |digest| {
        digest.take_bytes(env!("CARGO_PKG_VERSION").as_bytes());
        Ok(())
    })?;
    check("another model", file, &mut |digest| {
        digest.take_bytes(&serde_json::to_vec(&source.config.raw).unwrap_or_default());
        let Some(checkpoint) = source.checkpoint() else { return Ok(()) };
        for (spec, tensor) in checkpoint.resolve(&source.config)? {
            digest.take_bytes(spec.name.as_bytes());
            digest.take([tensor.byte_len() as u32]);
            let some = tensor.read_slice(0..SAMPLED.min(tensor.byte_len()) / tensor.dtype.size())?;
            digest.take_bytes(&Cow::Borrowed(&some.bytes));
        }
        Ok(())
    })?;
    check("other rows", file, &mut |digest| {
        data.feed(digest);
        Ok(())
    })?;
    check("other held-out rows", file, &mut |digest| {
        held_out.into_iter().for_each(|data| data.feed(digest));
        Ok(())
    })?;
    check("another start of PiSSA", "take devices of one kind with one driver", &mut |digest| {
        start.iter().for_each(|t| digest.take(t.values.iter().map(|x| x.to_bits())));
        Ok(())
    })
}

/// Gives every rank the first one's place in the run, values and moments: only that one reads a checkpoint.
pub(super) async fn spread(ranks: &mut dyn Ranks, session: &mut Session, program: &Program, done: &mut CheckpointState) -> Result<()> {
    let place = "rank 0's state";
    let broken = |e: serde_json::Error| Error::input(place, e.to_string(), "");
    let mut state = serde_json::to_vec(done).map_err(broken)?;
    ranks.send(&mut state);
    *done = serde_json::from_slice(&state).map_err(broken)?;
    for segment in &program.arena.segments {
        for view in [segment.values(), segment.first(), segment.second()] {
            let mut bytes: Vec<u8> = if ranks.rank() == 0 { bytemuck::cast_slice(&session.read(view).await?).to_vec() } else { Vec::new() };
            ranks.send(&mut bytes);
            if ranks.rank() != 0 {
                session.write(view, &bytemuck::pod_collect_to_vec(&bytes))?;
            }
        }
    }
    Ok(())
}
