//! The two dialogs of Compare that ask for more runs: the same with something else, and a sweep.

use super::layout::{duration, field, grouped, primary};
use super::platform;
use super::shared::Shared;
use super::theme::{self, space, tokens};
use super::trouble;
use crate::error::{Error, Result};
use crate::train::RunConfig;
use crate::train::blocks::Blocks;
use crate::train::compare::Compared;
use crate::train::compare::sibling::{self, Size, Variant, rate};
use crate::train::config::Method;
use eframe::egui::{self, RichText, Ui};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a sweep goes over.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Over {
    Rates,
    Sizes,
}

/// What is asked for, as it is typed.
enum Form {
    Same { method: Method, blocks: String, rank: usize, lr: String },
    Sweep { over: Over, values: String, runs: Vec<Arc<Compared>> },
}

/// A dialog that is open.
pub(super) struct Again {
    base: Arc<Compared>,
    form: Form,
    /// What the form asks for, as it was last worked out.
    asked: Option<Result<Vec<Sibling>>>,
}

/// A run that would be started.
struct Sibling {
    run: RunConfig,
    name: String,
    trainable: Option<u64>,
}

impl Again {
    /// The same run with something else.
    pub(super) fn same(base: Arc<Compared>) -> Self {
        let run = &base.record.config;
        // Most often one wants the other method beside this one.
        let method = if run.method == Method::Diablo { Method::Lora } else { Method::Diablo };
        let form = filled(&Variant::by_method(run, method, base.model.as_ref()));
        Self { base, form, asked: None }
    }

    /// Several runs like the last of these.
    pub(super) fn sweep(runs: Vec<Arc<Compared>>) -> Option<Self> {
        let base = runs.last()?.clone();
        let values = listed(Over::Rates, &base);
        Some(Self { base, form: Form::Sweep { over: Over::Rates, values, runs }, asked: None })
    }

    /// Draws it. `Some` where it is done: with the runs that are to start, or without where the person thought better of it.
    pub(super) fn show(&mut self, ctx: &egui::Context, shared: &Shared) -> Option<Option<Vec<RunConfig>>> {
        let mut done = None;
        let modal = dialog(ctx, "again").show(ctx, |ui| {
            ui.set_width(420.0_f32.min(ui.ctx().content_rect().width() - 80.0));
            let t = tokens(ui);
            let title = match self.form {
                Form::Same { .. } => "Run the same with…",
                Form::Sweep { .. } => "Sweep",
            };
            ui.label(RichText::new(title).text_style(theme::section_style()).color(t.text_strong));
            ui.add_space(space::TIGHT);
            if matches!(self.form, Form::Same { .. }) {
                let same = format!("As {}: same model, rows, order, seed and length.", self.base.facts.name);
                ui.label(RichText::new(same).color(t.text_weak));
            }
            ui.add_space(space::SMALL);
            if self.controls(ui) || self.asked.is_none() {
                self.asked = Some(self.siblings());
            }
            ui.add_space(space::SMALL);
            self.outlook(ui);
            ui.add_space(space::MEDIUM);
            ui.horizontal(|ui| {
                let siblings = self.asked.as_ref().and_then(|asked| asked.as_ref().ok());
                let n = siblings.map_or(0, Vec::len);
                let verb = if shared.live.is_active() { "Queue" } else { "Start" };
                let what = if matches!(self.form, Form::Same { .. }) { format!("{verb} it") } else { format!("{verb} {n} runs") };
                if primary(ui, n > 0, &what).clicked()
                    && let Some(siblings) = siblings
                {
                    done = Some(Some(placed(siblings, &self.base, shared)));
                }
                if ui.button("Cancel").clicked() {
                    done = Some(None);
                }
            });
        });
        if modal.should_close() && done.is_none() {
            done = Some(None);
        }
        done
    }

    /// The form. True where something has changed.
    fn controls(&mut self, ui: &mut Ui) -> bool {
        let base = self.base.clone();
        let mut changed = false;
        let mut other_base = None;
        let mut other_form = None;
        match &mut self.form {
            Form::Same { method, blocks, rank, lr } => {
                field(ui, "Method", "What trains", |ui| {
                    for (choice, name) in [(Method::Diablo, "DiaBlo"), (Method::Lora, "LoRA"), (Method::Full, "Full")] {
                        if ui.selectable_label(*method == choice, name).clicked() {
                            other_form = Some(filled(&Variant::by_method(&base.record.config, choice, base.model.as_ref())));
                        }
                    }
                });
                match method {
                    Method::Diablo => {
                        let explain = "The number of diagonal blocks: 8, or q_proj=8,default=4. Empty: as the program chooses";
                        changed |= field(ui, "Blocks N", explain, |ui| {
                            let edit = egui::TextEdit::singleline(blocks).hint_text("chosen for you").desired_width(160.0);
                            named(ui.add(edit), "Blocks N").changed()
                        });
                    }
                    Method::Lora => {
                        changed |= field(ui, "Rank", "The rank of LoRA's product; alpha goes with it", |ui| {
                            named(ui.add(egui::DragValue::new(rank).range(1..=4096)), "Rank").changed()
                        });
                    }
                    Method::Full => {}
                }
                changed |= field(ui, "Learning rate", "The highest rate", |ui| {
                    named(ui.add(egui::TextEdit::singleline(lr).desired_width(160.0)), "Learning rate").changed()
                });
            }
            Form::Sweep { over, values, runs } => {
                field(ui, "Like", "The run whose model, rows, seed and length they all have", |ui| {
                    let combo = egui::ComboBox::from_id_salt("like").width(220.0).truncate().selected_text(base.facts.name.clone());
                    combo.show_ui(ui, |ui| {
                        for run in runs.iter() {
                            let text = format!("{} ({})", run.facts.name, run.facts.method);
                            if ui.selectable_label(Arc::ptr_eq(run, &base), text).clicked() {
                                other_base = Some(run.clone());
                            }
                        }
                    });
                });
                let sizes = match base.record.config.method {
                    Method::Diablo => Some("Blocks N"),
                    Method::Lora => Some("Rank"),
                    Method::Full => None,
                };
                let before = *over;
                field(ui, "Over", "What differs from run to run", |ui| {
                    ui.selectable_value(over, Over::Rates, "Learning rate");
                    if let Some(name) = sizes {
                        ui.selectable_value(over, Over::Sizes, name);
                    }
                });
                if *over != before {
                    *values = listed(*over, &base);
                    changed = true;
                }
                changed |= field(ui, "Values", "Numbers with commas between them; each is a run", |ui| {
                    named(ui.add(egui::TextEdit::singleline(values).desired_width(f32::INFINITY)), "Values").changed()
                });
            }
        }
        if let Some(form) = other_form {
            self.form = form;
            changed = true;
        }
        if let Some(base) = other_base {
            self.base = base;
            if let Form::Sweep { over, values, .. } = &mut self.form {
                if self.base.record.config.method == Method::Full {
                    *over = Over::Rates;
                }
                *values = listed(*over, &self.base);
            }
            changed = true;
        }
        changed
    }

    /// What it comes to, or what is wrong with it.
    fn outlook(&self, ui: &mut Ui) {
        let t = tokens(ui);
        match &self.asked {
            None => (),
            Some(Err(error)) => _ = trouble::show(ui, error),
            Some(Ok(siblings)) => {
                for sibling in siblings.iter().take(8) {
                    let trains = sibling.trainable.map_or_else(String::new, |n| format!(", trains {} numbers", grouped(n)));
                    ui.label(RichText::new(format!("{}{trains}", sibling.name)).color(t.text));
                }
                if siblings.len() > 8 {
                    ui.label(RichText::new(format!("and {} more", siblings.len() - 8)).color(t.text));
                }
                if let Some(seconds) = self.seconds(siblings.len()) {
                    let text = format!("About {} if each takes as long as {}.", duration(seconds), self.base.facts.name);
                    ui.label(RichText::new(text).color(t.text_weak));
                }
            }
        }
    }

    fn seconds(&self, runs: usize) -> Option<f64> {
        let facts = &self.base.facts;
        Some(facts.seconds_per_step? * facts.planned.unwrap_or(facts.steps) as f64 * runs as f64)
    }

    /// The runs that the form asks for.
    fn siblings(&self) -> Result<Vec<Sibling>> {
        let run = &self.base.record.config;
        let variants = match &self.form {
            Form::Same { method, blocks, rank, lr } => {
                let lr = *sibling::numbers(lr)
                    .map_err(|e| Error::usage(format!("the learning rate: {e}"), "write one number"))?
                    .first()
                    .unwrap_or(&0.0);
                let size = match method {
                    Method::Diablo if blocks.trim().is_empty() => Size::Blocks(None),
                    Method::Diablo => Size::Blocks(Some(blocks.trim().parse::<Blocks>().map_err(|e| Error::usage(e, ""))?)),
                    Method::Lora => Size::Rank(*rank),
                    Method::Full => Size::Whole,
                };
                vec![Variant { size, lr }]
            }
            Form::Sweep { over: Over::Rates, values, .. } => {
                sibling::numbers(values)?.into_iter().map(|lr| Variant { lr, ..Variant::of(run) }).collect()
            }
            Form::Sweep { over: Over::Sizes, values, .. } => {
                let sizes = sibling::numbers(values)?.into_iter().map(|n| size(run.method, n)).collect::<Result<Vec<_>>>()?;
                sizes.into_iter().map(|size| Variant { size, ..Variant::of(run) }).collect()
            }
        };
        let own = self.base.record.name();
        let sibling = |variant: Variant| -> Result<Sibling> {
            let run_then = variant.apply(run);
            let trainable = match &self.base.model {
                Some(model) => Some(sibling::trainable(&run_then, model)?),
                None => None,
            };
            Ok(Sibling { name: variant.name(run, &own), run: run_then, trainable })
        };
        variants.into_iter().map(sibling).collect()
    }
}

/// A number of the method's own measure.
fn size(method: Method, n: f64) -> Result<Size> {
    if n.fract() != 0.0 || n > 1e6 {
        return Err(Error::usage(format!("{n} is no whole number of {}", if method == Method::Lora { "ranks" } else { "blocks" }), ""));
    }
    Ok(if method == Method::Lora { Size::Rank(n as usize) } else { Size::Blocks(Some(Blocks::One(n as usize))) })
}

/// The form as a variant has it.
fn filled(variant: &Variant) -> Form {
    let (blocks, rank) = match &variant.size {
        Size::Blocks(blocks) => (blocks.as_ref().map(ToString::to_string).unwrap_or_default(), RunConfig::default().rank),
        Size::Rank(rank) => (String::new(), *rank),
        Size::Whole => (String::new(), RunConfig::default().rank),
    };
    Form::Same { method: variant.size.method(), blocks, rank, lr: rate(variant.lr) }
}

/// Values to begin with.
fn listed(over: Over, base: &Compared) -> String {
    let run = &base.record.config;
    let values: Vec<String> = match over {
        Over::Rates => sibling::rates_around(run.resolved_lr()).into_iter().map(rate).collect(),
        Over::Sizes => sibling::sizes_around(run, base.model.as_ref()).iter().map(ToString::to_string).collect(),
    };
    values.join(", ")
}

/// Each run with a folder of its own, beside the run that it is like.
fn placed(siblings: &[Sibling], base: &Compared, shared: &Shared) -> Vec<RunConfig> {
    let above = base.record.folder.parent().map_or_else(platform::runs_folder, Path::to_path_buf);
    let mut taken: Vec<PathBuf> = shared.queue.iter().map(|run| run.out.clone()).collect();
    if shared.live.is_active() {
        taken.push(shared.live.run.out.clone());
    }
    let mut placed = Vec::with_capacity(siblings.len());
    for sibling in siblings {
        let names = std::iter::once(sibling.name.clone()).chain((2..1000).map(|n| format!("{}-{n}", sibling.name)));
        let free = names.map(|name| platform::free_folder(&above, &name)).find(|path| !taken.contains(path));
        let out = free.unwrap_or_else(|| above.join(&sibling.name));
        taken.push(out.clone());
        placed.push(RunConfig { out, ..sibling.run.clone() });
    }
    placed
}

/// A dialog of its own, with the room around its text that cards have.
pub(super) fn dialog(ctx: &egui::Context, name: &str) -> egui::Modal {
    let frame = egui::Frame::popup(&ctx.global_style()).inner_margin(egui::Margin::same(space::LARGE as i8));
    egui::Modal::new(egui::Id::unique(name)).frame(frame)
}

/// Gives a control without a text of its own its name.
fn named(response: egui::Response, name: &'static str) -> egui::Response {
    response.ctx.accesskit_node_builder(response.id, |node| node.set_label(name));
    response
}
