//! How the run goes: its length, batches, learning rate, held-out rows, samples and machine.

use crate::app::data::sequence;
use crate::app::layout::{card, field, gap, grouped, primary};
use crate::app::platform::{self, Ask};
use crate::app::shared::{Command, Shared, View};
use crate::app::theme::{space, tokens};
use crate::app::trouble;
use crate::data::{Begin, TrainOn};
use crate::model::modules::means;
use crate::train::RunConfig;
use crate::train::choice::Choice;
use crate::train::config::{MixedPrecision, PROJECTIONS, WeightsFormat};
use crate::train::schedule::ScheduleKind;
use eframe::egui::{CollapsingHeader, ComboBox, DragValue, RichText, TextEdit, Ui};
use std::path::PathBuf;

/// Usual choices of layers.
pub const TARGET_SETS: [(&str, &[&str]); 3] =
    [("All", &PROJECTIONS), ("Attention", &["q_proj", "k_proj", "v_proj", "o_proj"]), ("MLP", &["gate_proj", "up_proj", "down_proj"])];

/// Takes one of the model's layers in or leaves it out; the order stays that of the forward pass.
pub fn toggle(targets: &mut Vec<String>, layers: &[&'static str], module: &str) {
    let keep = |m: &&&'static str| means(targets, m) != (**m == module);
    *targets = layers.iter().filter(keep).map(|m| (*m).to_owned()).collect();
}

/// The card's own state.
#[derive(Default)]
pub struct OptionsCard {
    dialog: Option<crate::app::jobs::Job<Option<PathBuf>>>,
}

impl OptionsCard {
    /// Draws the cards.
    pub fn ui(&mut self, ui: &mut Ui, shared: &mut Shared) {
        if let Some(Ok(Some(file))) = self.dialog.as_mut().and_then(crate::app::jobs::Job::poll) {
            (shared.run.eval_data, shared.run.eval_split) = (Some(file), None);
        }
        let locked = shared.status.state.is_active();
        card(ui, "How it runs", |ui| {
            ui.add_enabled_ui(!locked, |ui| {
                length(ui, shared);
                batch(ui, shared);
                sequence(ui, shared);
                rate(ui, shared);
                self.held_out(ui, shared);
                samples(ui, shared);
                machine(ui, shared);
                CollapsingHeader::new("More").id_salt("more options").show(ui, |ui| more(ui, shared));
            });
        });
    }

    fn held_out(&mut self, ui: &mut Ui, shared: &mut Shared) {
        field(ui, "Held-out rows", "Rows that are never learned, to see whether what is learned holds elsewhere", |ui| {
            ui.horizontal_wrapped(|ui| {
                let run = &mut shared.run;
                let name = match (&run.eval_data, run.eval_split) {
                    (Some(_), _) => "a file",
                    (None, Some(_)) => "a share",
                    (None, None) => "none",
                };
                let mut pick = false;
                ComboBox::from_id_salt("held out").selected_text(name).width(80.0).show_ui(ui, |ui| {
                    if ui.selectable_label(name == "none", "none").clicked() {
                        (run.eval_data, run.eval_split, run.eval_every, run.patience) = (None, None, None, None);
                    }
                    if ui.selectable_label(name == "a share", "a share").clicked() {
                        (run.eval_data, run.eval_split) = (None, run.eval_split.or(Some(0.1)));
                    }
                    pick = ui.selectable_label(name == "a file", "a file…").clicked();
                });
                if pick {
                    self.dialog = Some(platform::pick(ui.ctx(), Ask::File, "Open held-out rows", run.eval_data.as_deref()));
                }
                if let Some(file) = &run.eval_data {
                    let name = file.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
                    ui.label(name).on_hover_text(file.display().to_string());
                } else if let Some(share) = &mut run.eval_split {
                    let mut percent = *share * 100.0;
                    if ui.add(DragValue::new(&mut percent).range(0.1..=90.0).speed(0.2).suffix("%").max_decimals(1)).changed() {
                        *share = percent / 100.0;
                    }
                }
            });
        });
        if shared.run.has_eval() {
            field(ui, "Evaluated", "Steps between two looks at the held-out rows", |ui| every(ui, "evaluate", &mut shared.run.eval_every));
        }
    }
}

/// A number of steps that may be left to the program.
fn every(ui: &mut Ui, id: &str, value: &mut Option<u64>) {
    ui.horizontal(|ui| {
        let mut automatic = value.is_none();
        if ui.checkbox(&mut automatic, "ten times a run").changed() {
            *value = if automatic { None } else { Some(50) };
        }
        if let Some(steps) = value {
            ui.push_id(id, |ui| ui.add(DragValue::new(steps).range(1..=1_000_000).prefix("every ").suffix(" steps")));
        }
    });
}

fn length(ui: &mut Ui, shared: &mut Shared) {
    let rows = shared.rows.value.as_ref().map(|r| r.len(shared.run.seq_len));
    let run = &mut shared.run;
    field(ui, "Length", "Passes over all rows, or a number of optimiser steps", |ui| {
        let by_steps = run.steps.is_some();
        ComboBox::from_id_salt("length").selected_text(if by_steps { "steps" } else { "epochs" }).width(80.0).show_ui(ui, |ui| {
            if ui.selectable_label(!by_steps, "epochs").clicked() {
                (run.steps, run.epochs) = (None, Some(1.0));
            }
            if ui.selectable_label(by_steps, "steps").clicked() {
                (run.steps, run.epochs) = (run.steps.or(Some(200)), None);
            }
        });
        if let Some(steps) = &mut run.steps {
            ui.add(DragValue::new(steps).range(1..=10_000_000).speed(1.0));
        } else {
            let mut epochs = run.epochs.unwrap_or(1.0);
            if ui.add(DragValue::new(&mut epochs).range(0.01..=10_000.0).speed(0.05).max_decimals(2)).changed() {
                run.epochs = Some(epochs);
            }
        }
        let held = |n: usize| n - run.eval_split.map_or(0, |share| crate::data::dataset::held_out(n, share));
        if let Some(n) = rows.map(held).filter(|n| *n > 0) {
            let said = match run.steps {
                _ if run.packing => format!("{} rows, several to a sequence", grouped(n as u64)),
                Some(steps) => {
                    let seen = steps as f64 * (run.batch_size * run.accumulate) as f64 / n as f64;
                    format!("{seen:.1} passes over {} rows", grouped(n as u64))
                }
                None => format!("{} steps over {} rows", grouped(run.total_steps(n as u64)), grouped(n as u64)),
            };
            ui.label(RichText::new(said).color(tokens(ui).text_weak));
        }
    });
}

fn batch(ui: &mut Ui, shared: &mut Shared) {
    field(ui, "Batch", "Rows that are worked on at once; more take more memory", |ui| {
        ui.add(DragValue::new(&mut shared.run.batch_size).range(1..=4096).speed(0.1).suffix(" rows"));
        ui.label(RichText::new("accumulated").color(tokens(ui).text_weak))
            .on_hover_text("Batches whose gradients are summed before a step");
        ui.add(DragValue::new(&mut shared.run.accumulate).range(1..=4096).speed(0.1).suffix(" ×"));
    });
}

fn rate(ui: &mut Ui, shared: &mut Shared) {
    let run = &mut shared.run;
    field(ui, "Learning rate", "How far each step goes, at most", |ui| {
        let mut lr = run.resolved_lr();
        let speed = 0.02 * lr.abs().max(1e-9);
        let drag = DragValue::new(&mut lr)
            .range(0.0..=10.0)
            .speed(speed)
            .custom_formatter(|v, _| rate_text(v))
            .custom_parser(|s| s.trim().parse().ok());
        if ui.add(drag).changed() && lr > 0.0 {
            run.lr = Some(lr);
        }
        if run.lr.is_none() {
            ui.label(RichText::new("the method's default").color(tokens(ui).text_weak));
        } else if ui.button("Default").clicked() {
            run.lr = None;
        }
    });
    field(ui, "Schedule", "What the rate does after the warm-up", |ui| {
        let name = |kind: ScheduleKind| match kind {
            ScheduleKind::Constant => "constant",
            ScheduleKind::Linear => "line to zero",
            ScheduleKind::Cosine => "half a cosine",
        };
        ComboBox::from_id_salt("schedule").selected_text(name(run.schedule)).show_ui(ui, |ui| {
            for kind in [ScheduleKind::Constant, ScheduleKind::Linear, ScheduleKind::Cosine] {
                ui.selectable_value(&mut run.schedule, kind, name(kind));
            }
        });
        ui.label(RichText::new("warm-up").color(tokens(ui).text_weak)).on_hover_text("Steps in which the rate rises from zero");
        ui.add(DragValue::new(&mut run.warmup).range(0..=1_000_000).speed(0.5).suffix(" steps"));
    });
}

/// A rate as people write it: 0.016, 1e-4.
fn rate_text(value: f64) -> String {
    if value >= 1e-3 || value == 0.0 { format!("{}", (value * 1e6).round() / 1e6) } else { format!("{:e}", (value * 1e9).round() / 1e9) }
}

fn samples(ui: &mut Ui, shared: &mut Shared) {
    let run = &mut shared.run;
    field(ui, "Sample", "A text that the model goes on from while it trains, so that one sees it learn", |ui| {
        let room = (ui.available_width() - 130.0).max(80.0);
        let mut prompt = run.sample_prompt.take().unwrap_or_default();
        ui.add(TextEdit::singleline(&mut prompt).hint_text("no samples").desired_width(room));
        run.sample_prompt = (!prompt.is_empty()).then_some(prompt);
        let mut every = run.sample_every.unwrap_or(50);
        let control = DragValue::new(&mut every).range(1..=1_000_000).prefix("every ").suffix(" steps");
        if ui.add_enabled(run.sample_prompt.is_some(), control).changed() {
            run.sample_every = Some(every);
        } else if run.sample_prompt.is_none() {
            run.sample_every = None;
        } else {
            run.sample_every.get_or_insert(every);
        }
    });
}

fn machine(ui: &mut Ui, shared: &mut Shared) {
    let devices = shared.machine.value.as_ref().map(|m| m.devices.clone()).unwrap_or_default();
    let auto = shared.machine.value.as_ref().and_then(|m| m.device("auto")).map_or_else(String::new, |d| format!(": {}", d.name));
    let chosen = shared.machine.value.as_ref().and_then(|m| m.device(&shared.run.device)).map(|d| d.name.clone());
    let name = if shared.run.device == "auto" { format!("automatic{auto}") } else { chosen.unwrap_or_else(|| shared.run.device.clone()) };
    field(ui, "Device", "Where it computes", |ui| {
        ComboBox::from_id_salt("device").selected_text(name).width((ui.available_width() - 8.0).clamp(120.0, 320.0)).truncate().show_ui(
            ui,
            |ui| {
                ui.selectable_value(&mut shared.run.device, "auto".into(), format!("automatic{auto}"));
                for device in devices {
                    ui.selectable_value(&mut shared.run.device, device.request, device.name);
                }
            },
        );
    });
}

fn more(ui: &mut Ui, shared: &mut Shared) {
    let run = &mut shared.run;
    field(ui, "Seed", "The same seed gives the same run", |ui| {
        ui.add(DragValue::new(&mut run.seed).range(0..=crate::train::config::MAX_SEED).speed(0.2))
    });
    field(ui, "Weight decay", "Pulls what trains towards zero", |ui| {
        ui.add(DragValue::new(&mut run.weight_decay).range(0.0..=10.0).speed(0.001))
    });
    field(ui, "Clip at norm", "Gradients longer than this are shortened; 0 leaves them", |ui| {
        ui.add(DragValue::new(&mut run.max_grad_norm).range(0.0..=1000.0).speed(0.02));
    });
    field(ui, "Dropout", "The share of an adapter's inputs that is left out at random", |ui| {
        ui.add(DragValue::new(&mut run.adapter_dropout).range(0.0..=0.95).speed(0.005));
    });
    field(ui, "Saved", "Steps between checkpoints", |ui| every(ui, "save", &mut run.save_every));
    field(ui, "Run folder", "Where the run is kept; it is made", |ui| {
        let mut out = run.out.display().to_string();
        if ui.add(TextEdit::singleline(&mut out).hint_text("chosen by name").desired_width(f32::INFINITY)).changed() {
            run.out = out.trim().into();
        }
    });
    field(ui, "Weights", "How frozen weights are held: fewer bits take less memory and cost some exactness", |ui| {
        let stored = "as in the checkpoint";
        let name = run.weights.map_or_else(|| stored.to_owned(), |w| w.to_string());
        ComboBox::from_id_salt("weights").selected_text(name).width(160.0).show_ui(ui, |ui| {
            ui.selectable_value(&mut run.weights, None, stored);
            for word in WeightsFormat::WORDS {
                ui.selectable_value(&mut run.weights, WeightsFormat::from_word(word), *word);
            }
        });
    });
    if rows_as(ui, run) {
        shared.read_rows(ui.ctx());
    }
    let run = &mut shared.run;
    field(ui, "Memory", "The most that the run may take on its device", |ui| memory(ui, run));
    field(
        ui,
        "Activations",
        "Computing them again for the backward pass takes less memory and more time, and gives the same numbers",
        |ui| {
            let named = |choice| match choice {
                None => "recompute if they do not fit",
                Some(true) => "recompute",
                Some(false) => "keep",
            };
            ComboBox::from_id_salt("activations").selected_text(named(run.gradient_checkpointing)).width(200.0).show_ui(ui, |ui| {
                for choice in [None, Some(true), Some(false)] {
                    ui.selectable_value(&mut run.gradient_checkpointing, choice, named(choice));
                }
            });
        },
    );
    field(
        ui,
        "Kept as",
        "How activations wait for the backward pass: most of them take half the memory in bf16, and gradients change a little",
        |ui| one_of(ui, "kept", &mut run.activations),
    );
    field(ui, "Products", "Factors in 16 bits are added up in 32: faster where the device has matrix units", |ui| {
        named(ui, "products", &mut run.mixed_precision, |bits| match bits {
            MixedPrecision::No => "in 32 bits",
            MixedPrecision::Fp16 => "factors in 16 bits",
        });
    });
    ui.checkbox(&mut run.packing, "Pack short rows")
        .on_hover_text("Several rows share a sequence, each seeing itself alone: nothing is padded");
    let mut shuffled = run.shuffle();
    if ui.checkbox(&mut shuffled, "Shuffle rows").changed() {
        run.no_shuffle = !shuffled;
    }
}

/// One word of an option's.
fn one_of<T: Choice + PartialEq + ToString>(ui: &mut Ui, id: &str, value: &mut T) {
    ComboBox::from_id_salt(id).selected_text(value.to_string()).width(100.0).show_ui(ui, |ui| {
        for word in T::WORDS {
            if let Some(choice) = T::from_word(word) {
                ui.selectable_value(value, choice, *word);
            }
        }
    });
}

/// As [`one_of`], with words for people.
fn named<T: Choice + Copy + PartialEq>(ui: &mut Ui, id: &str, value: &mut T, name: impl Fn(T) -> &'static str) {
    ComboBox::from_id_salt(id).selected_text(name(*value)).width(160.0).show_ui(ui, |ui| {
        for choice in T::WORDS.iter().filter_map(|word| T::from_word(word)) {
            ui.selectable_value(value, choice, name(choice));
        }
    });
}

/// GiB; none is no bound.
fn memory(ui: &mut Ui, run: &mut RunConfig) {
    const GIB: f64 = (1u64 << 30) as f64;
    let mut gib = run.memory.as_ref().map_or(0.0, |m| m.bytes() as f64 / GIB);
    let drag = DragValue::new(&mut gib).range(0.0..=1024.0).speed(0.05).max_decimals(2).custom_formatter(|gib, _| match gib {
        0.0 => "what there is".into(),
        _ => format!("{gib:.2} GiB"),
    });
    let number = |text: &str| text.trim().trim_end_matches("GiB").trim().parse().ok();
    if ui.add(drag.custom_parser(number)).changed() {
        run.memory = if gib < 0.01 { None } else { format!("{gib:.2}GiB").parse().ok() };
    }
}

/// What rows are, and what is learned of them. True where they are to be read again.
fn rows_as(ui: &mut Ui, run: &mut RunConfig) -> bool {
    let before = (run.data_format, run.train_on, run.begin_token);
    field(ui, "Rows", "The format of the rows; automatic: told by the first one", |ui| {
        named(ui, "format", &mut run.data_format, |format| format.name());
    });
    field(ui, "Learned", "Which parts of a conversation, or of prompt and completion, are learned", |ui| {
        named(ui, "learned", &mut run.train_on, |part| match part {
            TrainOn::Assistant => "what the assistant says",
            TrainOn::Last => "its last turn",
            TrainOn::All => "everything",
        });
    });
    let mut left = false;
    field(
        ui,
        "Chat template",
        "auto: the model's, for conversations and instructions; model: for prompt and completion too; none; or a file",
        |ui| {
            left = ui.add(TextEdit::singleline(&mut run.chat_template).desired_width(160.0)).lost_focus();
        },
    );
    field(ui, "Begin token", "Before rows that no chat template writes; as the tokenizer says, always, or never", |ui| {
        named(ui, "begin", &mut run.begin_token, |begin| match begin {
            Begin::Auto => "as the tokenizer says",
            Begin::On => "always",
            Begin::Off => "never",
        });
    });
    left || before != (run.data_format, run.train_on, run.begin_token)
}

/// The button that begins the run. `sound`: the options fit the model.
pub fn start(ui: &mut Ui, shared: &mut Shared, sound: bool) {
    let active = shared.status.state.is_active();
    if primary(ui, sound && !active && shared.missing().is_none(), "Start training").clicked() {
        shared.commands.push(Command::Start);
        shared.go(View::Train);
    }
    if active {
        ui.label(RichText::new("A run is going on").color(tokens(ui).text_weak));
    }
}

/// Why the run cannot begin, and what is probably not meant.
pub fn missing(ui: &mut Ui, shared: &mut Shared) {
    let Some((error, view)) = shared.missing() else {
        for warning in shared.run.warnings(None) {
            trouble::warn(ui, &warning, None);
            gap(ui);
        }
        return;
    };
    trouble::show(ui, &error);
    if view != View::Method {
        ui.add_space(space::TIGHT);
        if ui.button(format!("Go to {}", view.name())).clicked() {
            shared.go(view);
        }
    }
    gap(ui);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_keep_their_order() {
        let mut targets = vec!["down_proj".to_owned(), "q_proj".to_owned()];
        toggle(&mut targets, &PROJECTIONS, "v_proj");
        assert_eq!(targets, ["q_proj", "v_proj", "down_proj"]);
        toggle(&mut targets, &PROJECTIONS, "q_proj");
        assert_eq!(targets, ["v_proj", "down_proj"]);
        // Of a fused family, whose layers Llama's names mean too.
        let mut targets = PROJECTIONS.map(str::to_owned).to_vec();
        toggle(&mut targets, &["qkv_proj", "o_proj", "gate_up_proj", "down_proj"], "o_proj");
        assert_eq!(targets, ["qkv_proj", "gate_up_proj", "down_proj"]);
    }

    #[test]
    fn rates_are_short() {
        assert_eq!(
            (rate_text(0.016), rate_text(1e-3), rate_text(2e-5), rate_text(0.0)),
            ("0.016".into(), "0.001".into(), "2e-5".into(), "0".into())
        );
    }
}
