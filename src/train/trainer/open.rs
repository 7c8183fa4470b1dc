//! From a run's options to a trainer that is ready to go.

use super::among::{self, Among};
use super::{Flow, Output, Trainer};
use crate::data::{Dataset, Order};
use crate::device::{Device, Needs};
use crate::error::Result;
use crate::model::Source;
use crate::ranks::{Alone, Ranks};
use crate::train::blocks::Blocks;
use crate::train::checkpoint::{CheckpointState, TensorLayout};
use crate::train::config::{MixedPrecision, RunConfig};
use crate::train::event::Event;
use crate::train::program::Program;
use crate::train::resolve::{self, Room};
use crate::train::run_folder::RunFolder;
use crate::train::schedule::Schedule;
use crate::train::writer::Writer;
use crate::train::{names, rows, state};
use std::collections::{BTreeMap, VecDeque};
use web_time::Instant;

/// What a run in 32 bits leaves unused.
const MATRIX_UNITS: &str = "the device has matrix units: --mixed-precision fp16 computes products by them, in 16 bits";

fn given_up(file: &std::path::Path) -> String {
    format!(
        "the device's matrix units are left out, since trials of them did not end or gave other numbers; to have them tried again, remove {}",
        file.display()
    )
}

impl Trainer {
    /// Opens model and data, lays the run out, loads it onto the device and, with `resume`, puts the newest checkpoint back.
    /// Waits on this thread; a browser uses [`Self::open`].
    ///
    /// # Errors
    /// Everything that can be wrong with what came from outside; nothing is written before it all fits, but the run folder.
    pub fn prepare(run: RunConfig, events: &mut dyn FnMut(Event)) -> Result<Self> {
        Self::prepare_among(run, Box::new(Alone), events)
    }

    /// As [`Self::prepare`], as one of several ranks: each does its own part of every step's micro-batches. The options are the first
    /// rank's; it alone writes. All ranks call it, and end together where one fails.
    ///
    /// # Errors
    /// As [`Self::prepare`]; and where there are fewer micro-batches than ranks, or the ranks' models or rows are not the same.
    pub fn prepare_among(run: RunConfig, mut ranks: Box<dyn Ranks>, events: &mut dyn FnMut(Event)) -> Result<Self> {
        run.validate()?;
        // What is known at once is said before anything is fetched or read; of several ranks, where the others can hear of it.
        if ranks.count() == 1 {
            RunFolder::look(&run.out, run.resume)?;
        }
        let run = among::settle(run, ranks.as_mut(), events)?;
        let source = Self::source(&run)?;
        pollster::block_on(Self::open_among(run, source, None, None, ranks, events))
    }

    /// As [`Self::prepare`], with a model that is open already.
    ///
    /// # Errors
    /// As [`Self::prepare`].
    pub fn with_source(run: RunConfig, source: Source, events: &mut dyn FnMut(Event)) -> Result<Self> {
        pollster::block_on(Self::open(run, source, None, events))
    }

    /// The model that a run names.
    ///
    /// # Errors
    /// Names the option or the file that is wrong.
    pub fn source(run: &RunConfig) -> Result<Source> {
        run.validate()?;
        let folder = names::model(&run.model, !run.init_from_config, &mut |_| ())?;
        if run.init_from_config { Source::from_config(&folder) } else { Source::open(&folder) }
    }

    /// As [`Self::prepare`], with a model that is open already and, perhaps, a device: one that a window draws with.
    ///
    /// # Errors
    /// As [`Self::prepare`].
    pub async fn open(run: RunConfig, source: Source, device: Option<Device>, events: &mut dyn FnMut(Event)) -> Result<Self> {
        Self::on_rows(run, source, device, None, events).await
    }

    /// As [`Self::open`], with the rows where they are there already: those that [`rows::load`] gives for this run.
    ///
    /// # Errors
    /// As [`Self::prepare`].
    pub async fn on_rows(
        run: RunConfig,
        source: Source,
        device: Option<Device>,
        loaded: Option<rows::Loaded>,
        events: &mut dyn FnMut(Event),
    ) -> Result<Self> {
        Self::open_among(run, source, device, loaded, Box::new(Alone), events).await
    }

    async fn open_among(
        run: RunConfig,
        source: Source,
        device: Option<Device>,
        loaded: Option<rows::Loaded>,
        mut ranks: Box<dyn Ranks>,
        events: &mut dyn FnMut(Event),
    ) -> Result<Self> {
        run.validate()?;
        among::enough(&run, ranks.count())?;
        let (first, here) = (ranks.rank() == 0, ranks.here());
        let (spec, init) = resolve::adapter(&run, &source.config)?;
        let mut run = run.resolved();
        if let crate::adapter::Kind::Diablo { blocks, .. } = &spec.kind {
            run.blocks = Some(Blocks::of(blocks));
        }
        let device = match device {
            Some(device) => device,
            None => Device::find_among(&run.device, here.place).await?,
        };
        let (data, held_out) = match loaded {
            Some(loaded) => loaded,
            None => rows::load(&run, &source, events)?,
        };
        let longest = data.lengths().into_iter().chain(held_out.iter().flat_map(Dataset::lengths)).collect::<Vec<_>>();
        let context = source.config.max_position_embeddings;
        let tokens = data.longest_row().max(held_out.as_ref().map_or(0, Dataset::longest_row));
        source.config.check_length(tokens)?;
        rows::beyond_context(tokens, context).into_iter().for_each(&mut *events);
        let writer = if first { Writer::open(&run, &source)? } else { None };
        let writes = writer.as_ref().map_or(0, Writer::capacity);
        let mut shape = resolve::shape(&run, crate::data::buckets(&longest, run.batch_size, run.seq_len, rows::BUCKETS), writes);
        let formats = source.formats_in(run.weights.map(Into::into))?;
        let limits = device.limits().within(run.memory.as_ref().map(|memory| memory.bytes()));
        let room = Room::of(&run, resolve::free_on(&device).map(|free| if device.is_cpu() { free / here.count as u64 } else { free }));
        let (mut program, chosen) = resolve::program(&run, &source.config, &formats, &spec, &mut shape, limits, room)?;
        match resolve::check_fit(&program, room, &source.config, &formats, &spec, &shape, limits, Some(&run)) {
            Err(tight) if room.is_some_and(|room| !room.binds(&device)) => {
                let hint = tight.hint().unwrap_or_default();
                events(Event::warning(format!("{}: it may fail, or be slow; {hint}", tight.what())));
            }
            fits => fits?,
        }
        if let Some(text) = chosen {
            events(Event::Note { text });
        }

        if device.offers(Needs::Matrices) && !device.is_cpu() && run.mixed_precision == MixedPrecision::No {
            events(Event::Note { text: MATRIX_UNITS.into() });
        }
        if let Some(file) = device.given_up().filter(|_| run.mixed_precision == MixedPrecision::Fp16) {
            events(Event::Note { text: given_up(&file) });
        }

        let total = run.total_steps(data.len() as u64);
        let rows = rows::word(&data);
        for warning in run.warnings(Some(total)) {
            events(Event::Warning { text: warning });
        }
        if let Some(text) = among::uneven(&run, ranks.count()) {
            events(Event::Note { text });
        }
        let (output, checkpoint) = if first {
            let (output, checkpoint) = Output::open(&run, writer, total, &rows, events)?;
            (Some(output), checkpoint)
        } else {
            (None, None)
        };

        let mut session = match device.load(&program.layout, &program.plans).await {
            Ok(session) => session,
            // Not every driver tells how much it has; asking for it does.
            Err(full) if run.gradient_checkpointing.is_none() && !shape.recompute => {
                shape.recompute = true;
                program = Program::new(&source.config, &formats, &spec, &shape, limits)?;
                let session = device.load(&program.layout, &program.plans).await.map_err(|_| full)?;
                events(Event::Note { text: "activations are recomputed: the device has no memory to keep them".into() });
                session
            }
            Err(error) => return Err(error),
        };
        source.load(&mut session, &program.weights, run.seed, &mut |done, total| {
            events(Event::Loading { what: "weights".into(), done, total });
        })?;
        let start = program.adapter.initialise(&mut session, &program.weights, run.seed).await?;
        if let (Some(init), None) = (&init, &checkpoint) {
            let place = run.init_adapter.as_deref().unwrap_or(&run.out).display().to_string();
            init.upload(&mut session, &program.arena, &place)?;
        }
        program.inputs.upload_rope(&mut session, &source.config)?;
        let mut done = CheckpointState { fingerprint: run.fingerprint(), layout: layout(&program), ..CheckpointState::default() };
        if let Some(checkpoint) = checkpoint {
            state::restore(&mut session, &program, &checkpoint.path)?;
            done = checkpoint.state;
        }
        done.rows = rows;
        if ranks.count() > 1 {
            among::same(ranks.as_mut(), &source, &data, held_out.as_ref(), &start)?;
            among::spread(ranks.as_mut(), &mut session, &program, &mut done).await?;
        }
        let schedule = Schedule { kind: run.schedule, lr: run.resolved_lr(), warmup: run.warmup, total };
        let order = Order::new(data.len(), run.shuffle().then_some(run.seed));
        Ok(Self {
            run,
            source,
            spec,
            program,
            session,
            start,
            device,
            data,
            held_out,
            order,
            output,
            schedule,
            before: (done.step, done.tokens),
            saved: done.step,
            done,
            last_eval_loss: None,
            pending: VecDeque::new(),
            last_time: Instant::now(),
            begun: Instant::now(),
            flow: Flow::Running,
            weight_norms: BTreeMap::new(),
            among: Among::new(ranks),
        })
    }
}

fn layout(program: &Program) -> Vec<TensorLayout> {
    let whole = program.arena.tensors.iter().filter(|t| t.first_row == 0);
    whole.map(|t| TensorLayout { name: t.name.clone(), shape: t.shape.clone() }).collect()
}
