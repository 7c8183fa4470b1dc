//! Method: what trains, where it attaches, what that costs, and how the run goes.

mod cost;
mod diagram;
mod options;

use super::jobs::Slot;
use super::layout::{card, empty, field, gap, page_with, split};
use super::shared::{Shared, Spot, View};
use super::theme::{space, tokens};
use super::trouble;
use crate::adapter::{Kind, choose};
use crate::data::preview::Preview;
use crate::device::Limits;
use crate::model::modules::means;
use crate::train::RunConfig;
use crate::train::blocks::Blocks;
use crate::train::config::{Init, Method, TooLong};
use crate::train::estimate::Estimate;
use eframe::egui::{self, DragValue, RichText, Slider, Ui};
use std::sync::Arc;

/// What an estimate depends on.
#[derive(Clone)]
struct Asked {
    run: RunConfig,
    model: Arc<super::opened::OpenModel>,
    rows: Option<Arc<Preview>>,
    free: Option<u64>,
    limits: Limits,
}

impl Asked {
    fn same(&self, other: &Self) -> bool {
        let same_rows = match (&self.rows, &other.rows) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            _ => false,
        };
        same_rows
            && Arc::ptr_eq(&self.model, &other.model)
            && self.free == other.free
            && self.limits == other.limits
            && self.run == other.run
    }
}

/// The page's own state.
#[derive(Default)]
pub struct MethodPage {
    estimate: Slot<Estimate>,
    /// What the estimate that was made, or is being made, is of.
    asked: Option<Asked>,
    options: options::OptionsCard,
}

impl MethodPage {
    /// Draws the page.
    pub fn ui(&mut self, ui: &mut Ui, shared: &mut Shared) {
        let actions =
            |ui: &mut Ui, (page, shared): &mut (&mut Self, &mut Shared)| options::start(ui, shared, page.estimate.error.is_none());
        page_with(ui, "Method", "What trains, and what it costs", &mut (self, shared), actions, |ui, (page, shared)| {
            if shared.model.value.is_none() {
                if empty(ui, "No model is open", "What can train, and in how many blocks, depends on the model.", "Choose a model") {
                    shared.go(View::Model);
                }
                return;
            }
            page.keep_estimate(ui, shared);
            options::missing(ui, shared);
            split(
                ui,
                620.0_f32.min(0.56 * ui.available_width()),
                &mut (page, shared),
                |ui, (page, shared)| {
                    page.choices(ui, shared);
                    gap(ui);
                    card(ui, "Where it attaches", |ui| page.attach(ui, shared));
                },
                |ui, (page, shared)| {
                    let (response, ()) = card(ui, "What it costs", |ui| cost::show(ui, shared, &page.estimate));
                    shared.light_up(ui, Spot::Cost, response.rect);
                    gap(ui);
                    page.options.ui(ui, shared);
                },
            );
        });
    }

    /// Begins a new estimate where something has changed, one at a time.
    fn keep_estimate(&mut self, ui: &Ui, shared: &Shared) {
        self.estimate.poll();
        let Some(model) = shared.model.value.clone() else { return };
        let device = shared.machine.value.as_ref().and_then(|m| m.device(&shared.run.device));
        let free = device.and_then(|d| d.free);
        let limits = device.map_or(Limits::NONE, |d| d.limits);
        let asked = Asked { run: shared.run.clone(), model, rows: shared.rows.value.clone(), free, limits };
        if self.estimate.is_running() || self.asked.as_ref().is_some_and(|a| a.same(&asked)) {
            return;
        }
        self.asked = Some(asked.clone());
        self.estimate.start(ui.ctx(), move |_| {
            let mut lengths = asked.rows.as_ref().map(|rows| rows.lengths(asked.run.seq_len)).unwrap_or_default();
            if asked.run.too_long == TooLong::Drop {
                lengths.retain(|length| *length <= asked.run.seq_len);
            }
            let writes = asked.model.writes(&asked.run);
            Estimate::new(&asked.run, &asked.model.source, &lengths, writes, asked.limits, asked.free)
        });
    }

    fn choices(&mut self, ui: &mut Ui, shared: &mut Shared) {
        let (response, ()) = card(ui, "Method", |ui| {
            ui.add_enabled_ui(!shared.status.state.is_active(), |ui| {
                ui.horizontal(|ui| {
                    for (method, name) in [(Method::Diablo, "DiaBlo"), (Method::Lora, "LoRA"), (Method::Full, "Full")] {
                        let button = egui::Button::selectable(shared.run.method == method, name).min_size(egui::vec2(80.0, space::CONTROL));
                        if ui.add(button.frame_when_inactive(true)).clicked() {
                            shared.run.method = method;
                        }
                    }
                });
                let what = match shared.run.method {
                    Method::Diablo => "The weights stay as they are; the diagonal blocks of an added matrix train.",
                    Method::Lora => "The weights stay as they are; a product of two thin matrices is added and trains.",
                    Method::Full => "Every weight of the model trains. It takes the most memory, and is the most easily spoilt.",
                };
                ui.label(RichText::new(what).color(tokens(ui).text_weak));
                ui.add_space(space::SMALL);
                match shared.run.method {
                    Method::Diablo => self.block_count(ui, shared),
                    Method::Lora => rank(ui, shared),
                    Method::Full => {}
                }
            });
            if let Some(error) = &self.estimate.error {
                ui.add_space(space::SMALL);
                trouble::show(ui, error);
            }
        });
        shared.light_up(ui, Spot::MethodChoice, response.rect);
    }

    /// The number of blocks that the newest estimate came to, for a module.
    fn blocks_of(&self, module: &str) -> Option<usize> {
        match &self.estimate.value.as_ref()?.spec.kind {
            Kind::Diablo { blocks, .. } => blocks.get(module).copied(),
            _ => None,
        }
    }

    fn block_count(&mut self, ui: &mut Ui, shared: &mut Shared) {
        let Some(model) = shared.model.value.clone() else { return };
        let targets: Vec<&str> = model.source.config.modules().into_iter().filter(|m| means(&shared.run.targets, m)).collect();
        let workable = choose::workable(&model.source.config, &targets);
        let chosen = targets.iter().find_map(|t| self.blocks_of(t));
        let now = match &shared.run.blocks {
            Some(Blocks::One(n)) => Some(*n),
            Some(Blocks::PerModule(_)) => None,
            None => chosen,
        };
        let response = field(
            ui,
            "Blocks N",
            "How many blocks lie on each weight's diagonal: more blocks are smaller blocks, and fewer numbers train",
            |ui| {
                ui.horizontal_wrapped(|ui| {
                    let mut place = now.and_then(|n| workable.iter().position(|w| *w >= n)).unwrap_or(0);
                    let most = workable.len().saturating_sub(1);
                    let slider = Slider::new(&mut place, 0..=most).show_value(false);
                    let slid = ui.add_enabled(most > 0, slider);
                    slid.widget_info(|| egui::WidgetInfo::slider(true, now.unwrap_or(0) as f64, "Blocks N"));
                    if slid.changed() {
                        shared.run.blocks = workable.get(place).map(|n| Blocks::One(*n));
                    }
                    let mut n = now.unwrap_or(1);
                    if ui
                        .add(DragValue::new(&mut n).range(1..=65_536).speed(0.1))
                        .on_hover_text("Any number; one that does not divide says so")
                        .changed()
                    {
                        shared.run.blocks = Some(Blocks::One(n));
                    }
                    if shared.run.blocks.is_some() {
                        if ui.button("Default").on_hover_text("As many trained numbers as LoRA of rank 16").clicked() {
                            shared.run.blocks = None;
                        }
                    } else {
                        ui.label(RichText::new(format!("chosen, as LoRA rank {}", choose::LORA_RANK)).color(tokens(ui).text_weak));
                    }
                })
                .response
            },
        );
        shared.light_up(ui, Spot::BlockCount, response.rect);
        if let Some(Blocks::PerModule(map)) = &shared.run.blocks {
            let each = map.iter().map(|(module, n)| format!("{module} {n}")).collect::<Vec<_>>().join(", ");
            ui.label(RichText::new(format!("By module: {each}. Moving the slider gives all the same.")).color(tokens(ui).text_weak));
        }
        ui.checkbox(&mut shared.run.pad_blocks, "Pad blocks")
            .on_hover_text("Lets N be a number that does not divide: the last blocks are filled up with zeros");
    }

    fn attach(&mut self, ui: &mut Ui, shared: &mut Shared) {
        let Some(model) = shared.model.value.clone() else { return };
        let config = &model.source.config;
        let locked = shared.status.state.is_active();
        if shared.run.method == Method::Full {
            ui.label(RichText::new("Everything trains: these layers, the norms and the table.").color(tokens(ui).text_weak));
        } else {
            ui.horizontal(|ui| {
                ui.label(RichText::new("Click a layer to take it in or leave it out.").color(tokens(ui).text_weak));
                ui.add_enabled_ui(!locked, |ui| {
                    for (name, kept) in options::TARGET_SETS {
                        if ui.small_button(name).clicked() {
                            shared.run.targets = kept.iter().map(|m| (*m).to_owned()).collect();
                        }
                    }
                });
            });
        }
        ui.add_space(space::SMALL);
        let clicked = diagram::show(ui, &shared.run, config, &|module| self.blocks_of(module));
        if let (Some(module), false, true) = (clicked, locked, shared.run.method != Method::Full) {
            options::toggle(&mut shared.run.targets, &config.modules(), module);
        }
        ui.add_space(space::TIGHT);
        let n = config.num_hidden_layers;
        ui.label(
            RichText::new(format!("One of the model's {n} layers; every layer gets the same. Outputs are rows, inputs columns."))
                .small()
                .color(tokens(ui).text_weak),
        );
    }
}

fn rank(ui: &mut Ui, shared: &mut Shared) {
    field(ui, "Rank r", "How many columns and rows the two thin matrices have", |ui| {
        ui.add(Slider::new(&mut shared.run.rank, 1..=256).logarithmic(true).clamping(egui::SliderClamping::Never));
    });
    field(ui, "Alpha", "Scales the product by alpha / r", |ui| {
        ui.add(DragValue::new(&mut shared.run.alpha).range(0.0..=f64::MAX).speed(0.5));
        ui.checkbox(&mut shared.run.rslora, "by the root of r").on_hover_text("Scales by alpha / √r instead of alpha / r");
    });
    field(ui, "Variants", "What can be done otherwise than in LoRA as it was first", |ui| {
        let run = &mut shared.run;
        ui.checkbox(&mut run.dora, "DoRA").on_hover_text("The length of each row of the weight trains apart from its direction");
        let mut pissa = run.init == Init::Pissa;
        let about = "Starts at the weight's principal singular vectors, which are taken out of the weight";
        if ui.checkbox(&mut pissa, "PiSSA").on_hover_text(about).changed() {
            run.init = if pissa { Init::Pissa } else { Init::Uniform };
        }
    });
    field(ui, "B's rate", "LoRA+: how much faster the matrix B learns than A", |ui| {
        ui.add(DragValue::new(&mut shared.run.lora_plus_ratio).range(0.01..=1000.0).speed(0.1).suffix(" × A's"));
    });
}
