//! A run under orders: a face in another thread, or another worker, tells it to pause, step, go on, stop, and asks to look inside.
//!
//! [`drive`] takes orders between two steps, so nothing here ever waits for a face, and a face never waits for a step.

use super::config::RunConfig;
use super::event::Event;
use super::inspect::{CellValues, SiteChange};
use super::trainer::{Flow, Outcome, Trainer};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::model::weights::Site;

/// What a face may ask of a run.
#[derive(Clone, Debug, PartialEq)]
pub enum Order {
    /// Stand still after this step.
    Pause,
    /// Go on.
    Continue,
    /// One step, then stand still.
    Step,
    /// Save and end.
    Stop,
    /// How far has each layer moved?
    Changes,
    /// One cell in full.
    Cell(Site, (usize, usize)),
}

/// What a run is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Reading, laying out, loading.
    Preparing,
    /// Steps are being done.
    Running,
    /// It stands still and can go on at once.
    Paused,
    /// Its result, or a checkpoint, is being written.
    Saving,
    /// It came to its end, or was stopped, or failed. What it trained can still be looked at.
    Ended,
}

/// What a run says to its face.
#[derive(Debug)]
pub enum News {
    /// Something happened in the run.
    Event(Event),
    /// It does something else now.
    State(State),
    /// The answer to [`Order::Changes`].
    Changes(Vec<SiteChange>),
    /// The answer to [`Order::Cell`].
    Cell(Box<CellValues>),
    /// It failed. The last checkpoint is whole.
    Failed(Error),
    /// It ended.
    Ended(Outcome),
}

/// Where orders come from.
pub trait Orders {
    /// The next order. With `wait`, waits for one; without, `None` where there is none now. `None` after waiting: there will be
    /// no more.
    fn next(&mut self, wait: bool) -> impl Future<Output = Option<Order>>;
}

impl Orders for std::sync::mpsc::Receiver<Order> {
    async fn next(&mut self, wait: bool) -> Option<Order> {
        if wait { self.recv().ok() } else { self.try_recv().ok() }
    }
}

/// Runs `run` to its end, or until it is stopped, and then answers questions about it until no more orders can come.
///
/// `device`: one that somebody else opened, or none to open what the run names.
pub async fn drive(run: RunConfig, device: Option<Device>, orders: &mut impl Orders, news: &mut dyn FnMut(News)) {
    news(News::State(State::Preparing));
    let mut trainer = match prepare(run, device, news).await {
        Ok(trainer) => trainer,
        Err(error) => {
            news(News::Failed(error));
            return news(News::State(State::Ended));
        }
    };
    match steps(&mut trainer, orders, news).await {
        Ok(outcome) => news(News::Ended(outcome)),
        Err(error) => news(News::Failed(error)),
    }
    trainer.release();
    news(News::State(State::Ended));
    while let Some(order) = orders.next(true).await {
        if let Err(error) = look(&mut trainer, order, news).await {
            news(News::Failed(error));
        }
    }
}

async fn prepare(run: RunConfig, device: Option<Device>, news: &mut dyn FnMut(News)) -> Result<Trainer> {
    let run = super::names::settle(run, &mut |event| news(News::Event(event)))?;
    let source = Trainer::source(&run)?;
    Trainer::open(run, source, device, &mut |event| news(News::Event(event))).await
}

async fn steps(trainer: &mut Trainer, orders: &mut impl Orders, news: &mut dyn FnMut(News)) -> Result<Outcome> {
    let mut flow = trainer.begin(&mut |event| news(News::Event(event))).await?;
    let mut state = State::Running;
    news(News::State(state));
    while flow == Flow::Running {
        let order = orders.next(state == State::Paused).await;
        let before = state;
        match order {
            Some(Order::Stop) => break,
            // Nobody is there any more who could say go on.
            None if state == State::Paused => break,
            Some(Order::Pause) => state = State::Paused,
            Some(Order::Continue) => state = State::Running,
            Some(Order::Step) => {
                state = State::Paused;
                flow = trainer.advance(&mut |event| news(News::Event(event))).await?;
            }
            Some(order @ (Order::Changes | Order::Cell(..))) => look(trainer, order, news).await?,
            None => flow = trainer.advance(&mut |event| news(News::Event(event))).await?,
        }
        if state == State::Paused {
            trainer.settle(&mut |event| news(News::Event(event))).await?;
        } else if before == State::Paused {
            trainer.after_pause();
        }
        if state != before {
            news(News::State(state));
        }
    }
    news(News::State(State::Saving));
    trainer.conclude(&mut |event| news(News::Event(event))).await
}

async fn look(trainer: &mut Trainer, order: Order, news: &mut dyn FnMut(News)) -> Result<()> {
    match order {
        Order::Changes => news(News::Changes(trainer.changes().await?)),
        Order::Cell(site, at) => news(News::Cell(Box::new(trainer.cell(site, at).await?))),
        Order::Pause | Order::Continue | Order::Step | Order::Stop => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::Files;
    use crate::train::config::Method;
    use std::sync::mpsc;

    fn run(folder: &std::path::Path) -> RunConfig {
        let files = Files::write(folder).expect("the demo's files");
        RunConfig { steps: Some(8), warmup: 0, eval_data: None, eval_every: None, ..files.config(Method::Diablo, 5, "cpu") }
    }

    /// The states and steps of a run under these orders, each given after so many steps.
    fn heard(run: RunConfig, plan: &[(u64, Order)]) -> (Vec<State>, u64, Option<Error>) {
        let (send, mut orders) = mpsc::channel();
        let mut plan = plan.to_vec();
        let (mut states, mut steps, mut failed) = (Vec::new(), 0, None);
        let mut sender = Some(send);
        pollster::block_on(drive(run, None, &mut orders, &mut |news| {
            match news {
                News::State(state) => states.push(state),
                News::Event(Event::Step(m)) => steps = m.step,
                News::Failed(error) => failed = Some(error),
                _ => {}
            }
            while let (Some(send), Some(_)) = (&sender, plan.first().filter(|(after, _)| steps >= *after && states.len() > 1)) {
                send.send(plan.remove(0).1).expect("it listens");
            }
            if states.last() == Some(&State::Ended) {
                sender = None;
            }
        }));
        (states, steps, failed)
    }

    #[test]
    fn it_pauses_steps_goes_on_and_ends() {
        use State::*;
        let folder = tempfile::tempdir().expect("a folder");
        let plan = [(2, Order::Pause), (2, Order::Step), (2, Order::Changes), (2, Order::Continue)];
        let (states, steps, failed) = heard(run(folder.path()), &plan);
        assert!(failed.is_none(), "{failed:?}");
        assert_eq!((states, steps), (vec![Preparing, Running, Paused, Running, Saving, Ended], 8));
    }

    #[test]
    fn a_stopped_run_goes_on_to_the_same_bytes() {
        let folder = tempfile::tempdir().expect("a folder");
        let whole = run(folder.path());
        heard(whole.clone(), &[]);
        let stopped = RunConfig { out: folder.path().join("stopped"), ..whole.clone() };
        let (states, steps, _) = heard(stopped.clone(), &[(3, Order::Stop)]);
        assert_eq!((states.last(), (3..8).contains(&steps)), (Some(&State::Ended), true));
        assert_eq!(heard(RunConfig { resume: true, ..stopped.clone() }, &[]).1, 8);
        let bytes = |run: &RunConfig| std::fs::read(run.out.join("adapter_model.safetensors")).expect("an adapter");
        assert!(bytes(&whole) == bytes(&stopped));
    }

    #[test]
    fn what_cannot_begin_says_why() {
        let folder = tempfile::tempdir().expect("a folder");
        let wrong = RunConfig { model: "nowhere".into(), ..run(folder.path()) };
        let (states, _, failed) = heard(wrong, &[]);
        assert_eq!(states, [State::Preparing, State::Ended]);
        assert!(failed.is_some_and(|e| e.to_string().contains("nowhere")));
    }
}
