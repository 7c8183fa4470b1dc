//! The result of a run that came to its end.

use super::{Output, Trainer};
use crate::adapter::{AdapterFile, pissa};
use crate::error::{Error, Result};
use crate::train::config::Method;
use crate::train::event::Event;
use crate::train::metrics::MetricsLog;
use crate::train::plot::{Series, SeriesLook, loss_plot};
use crate::train::{export, resolve, state};

impl Trainer {
    /// Writes the result: the adapter (or the model) of the best held-out loss, or of the last step where nothing is held out.
    pub(super) async fn finish(&mut self, events: &mut dyn FnMut(Event)) -> Result<()> {
        let Some(Output { folder, .. }) = &self.output else { return Ok(()) };
        let best = match self.done.best_step {
            Some(step) if step != self.done.step => folder.checkpoints().best()?.filter(|b| b.state.step == step),
            _ => None,
        };
        let tensors = match best {
            Some(best) => {
                events(Event::note(format!("the result is that of step {}, which had the lowest held-out loss", best.state.step)));
                state::saved_values(&self.program, &best.path)?
            }
            None => state::values(&mut self.session, &self.program).await?,
        };
        if self.run.method == Method::Full {
            export::write_model(&self.source, &folder.path().join("model"), self.source.dtype(), |name, shape| {
                let found = tensors.iter().find(|t| t.name == name);
                found.map(|t| t.values.clone()).ok_or_else(|| Error::input(name, format!("no values of shape {shape:?}"), ""))
            })?;
        } else {
            let base = crate::hub::repository(&self.run.model);
            pissa::beside_base(AdapterFile { spec: self.spec.clone(), base, tensors }, &self.start).save(folder.path())?;
        }
        let metrics = MetricsLog::read(&folder.metrics_path())?;
        let train = metrics.iter().map(|m| (m.step as f64, f64::from(m.loss))).collect();
        let mut series = vec![Series { name: "training loss".into(), points: train, look: SeriesLook::Curve, colour: 0 }];
        let held: Vec<_> = metrics.iter().filter_map(|m| Some((m.step as f64, m.eval_loss?))).collect();
        if !held.is_empty() {
            series.push(Series { name: "held-out loss".into(), points: held, look: SeriesLook::Points, colour: 1 });
        }
        loss_plot(&folder.plot_path(), &series, &resolve::describe(&self.spec))
    }
}
