//! What a run costs: numbers that train, memory by category, and whether it fits.

use crate::app::jobs::Slot;
use crate::app::layout::{facts, grouped, working};
use crate::app::shared::Shared;
use crate::app::theme::{size, space, tokens};
use crate::app::trouble;
use crate::device::{Category, Ledger, human_bytes};
use crate::error::Error;
use crate::train::config::Method;
use crate::train::estimate::{Estimate, Smaller};
use crate::train::resolve::{self, Room};
use eframe::egui::{self, RichText, Sense, Ui, Vec2};

/// Draws the card's content.
pub fn show(ui: &mut Ui, shared: &mut Shared, slot: &Slot<Estimate>) {
    let t = tokens(ui);
    let Some(estimate) = &slot.value else {
        match slot.progress() {
            Some(progress) => working(ui, &progress),
            None => {
                ui.label(RichText::new("The options contradict each other; see the error at the left.").color(t.text_weak));
            }
        }
        return;
    };
    // The last numbers stay while options are being typed that cannot be; they are told to be old.
    ui.add_enabled_ui(slot.error.is_none(), |ui| numbers(ui, shared, estimate));
    if slot.error.is_none() {
        fit(ui, shared, estimate);
    }
}

fn numbers(ui: &mut Ui, shared: &Shared, estimate: &Estimate) {
    let t = tokens(ui);
    ui.horizontal_wrapped(|ui| {
        ui.label(RichText::new(grouped(estimate.trainable)).size(size::PAGE).color(t.text_strong));
        ui.label(
            RichText::new(format!("numbers train, {:.2}% of {}", 100.0 * estimate.share(), grouped(estimate.parameters)))
                .color(t.text_weak),
        );
    });
    ui.add_space(space::SMALL);
    bar(ui, &estimate.memory);
    ui.add_space(space::SMALL);
    categories(ui, &estimate.memory);
    ui.add_space(space::SMALL);
    let mut rows = vec![("Layout", resolve::describe(&estimate.spec))];
    if shared.run.method == Method::Diablo {
        rows.push(("As many as", format!("LoRA of rank {:.1}", estimate.lora_rank)));
    }
    rows.push(("A step", format!("{} rows of up to {} tokens", shared.run.batch_size * shared.run.accumulate, estimate.longest)));
    facts(ui, "cost facts", &rows);
}

/// The colour of a category: the same in every picture.
fn colour(ui: &Ui, category: Category) -> egui::Color32 {
    let at = Category::ALL.iter().position(|c| *c == category).unwrap_or(0);
    let series = tokens(ui).series;
    series[at % series.len()]
}

/// The memory as one bar, a part for each category.
fn bar(ui: &mut Ui, memory: &Ledger) {
    let t = tokens(ui);
    let total = memory.total().max(1) as f32;
    let (rect, response) = ui.allocate_exact_size(Vec2::new(ui.available_width(), 18.0), Sense::HOVER);
    let said = format!("Memory: {}", human_bytes(memory.total()));
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Meter, true, &said));
    ui.painter().rect_filled(rect, 2.0, t.raised);
    let mut x = rect.left();
    let mut under = None;
    for (category, bytes) in memory.rows() {
        let width = rect.width() * bytes as f32 / total;
        let part = egui::Rect::from_min_size(egui::pos2(x, rect.top()), Vec2::new(width, rect.height()));
        ui.painter().rect_filled(part.shrink2(Vec2::new(0.5_f32.min(0.5 * width), 0.0)), 1.0, colour(ui, category));
        if response.hover_pos().is_some_and(|p| part.contains(p)) {
            under = Some(format!("{}: {}", category.name(), human_bytes(bytes)));
        }
        x += width;
    }
    if let Some(text) = under {
        response.on_hover_text_at_pointer(text);
    }
}

fn categories(ui: &mut Ui, memory: &Ledger) {
    let t = tokens(ui);
    egui::Grid::new("memory").num_columns(4).min_row_height(18.0).spacing(Vec2::new(space::LARGE, 2.0)).show(ui, |ui| {
        let rows: Vec<_> = memory.rows().collect();
        for pair in rows.chunks(2) {
            for (category, bytes) in pair {
                ui.horizontal(|ui| {
                    let (dot, _) = ui.allocate_exact_size(Vec2::splat(10.0), Sense::empty());
                    ui.painter().rect_filled(dot, 2.0, colour(ui, *category));
                    ui.label(RichText::new(category.name()).color(t.text_weak));
                });
                ui.label(human_bytes(*bytes));
            }
            ui.end_row();
        }
    });
}

/// Whether the device can hold it, and what to change where it cannot.
fn fit(ui: &mut Ui, shared: &mut Shared, estimate: &Estimate) {
    let t = tokens(ui);
    ui.add_space(space::SMALL);
    let total = estimate.memory.total();
    let Some(device) = shared.machine.value.as_ref().and_then(|m| m.device(&shared.run.device)).cloned() else { return };
    let Some(room) = Room::of(&shared.run, device.free) else {
        let how = if estimate.recomputes { ", with recomputed activations" } else { "" };
        ui.label(format!("{} in all{how}", human_bytes(total)));
        ui.label(RichText::new(format!("{} does not tell how much memory it has.", device.name)).color(t.text_weak));
        return;
    };
    let free = room.bytes;
    if total <= free {
        let share = 100.0 * total as f64 / free.max(1) as f64;
        let share = if share < 1.0 { "less than 1%".into() } else { format!("{share:.0}%") };
        ui.horizontal_wrapped(|ui| {
            let how = if estimate.recomputes { ", with recomputed activations" } else { "" };
            ui.label(RichText::new(format!("{} in all{how}: it fits.", human_bytes(total))).color(t.good));
            let whose = if room.given { "allowed" } else { "free" };
            ui.label(RichText::new(format!("{share} of the {} that are {whose}", human_bytes(free))).color(t.text_weak));
        });
        return;
    }
    let whose = if room.given { "allowed".into() } else { format!("free on {}", device.name) };
    let what = format!("the run takes {}, and {} are {whose}", human_bytes(total), human_bytes(free));
    let held = estimate.memory.get(Category::Weights) + estimate.memory.get(Category::Adapter);
    let hint = match estimate.smaller {
        Some(s) => format!("{} takes {}", told(&s, shared), human_bytes(s.bytes)),
        None => format!("nothing smaller fits, the weights alone take {}: use a shorter sequence or a smaller model", human_bytes(held)),
    };
    trouble::show(ui, &Error::device(what, hint));
    if let Some(s) = estimate.smaller {
        ui.add_space(space::TIGHT);
        if ui.button("Make it fit").clicked() {
            (shared.run.batch_size, shared.run.accumulate, shared.run.gradient_checkpointing) =
                (s.batch_size, s.accumulate, Some(s.gradient_checkpointing));
        }
    }
}

fn told(smaller: &Smaller, shared: &Shared) -> String {
    let mut parts = Vec::new();
    if smaller.batch_size != shared.run.batch_size {
        parts.push(format!("a batch of {}, accumulated {} times,", smaller.batch_size, smaller.accumulate));
    }
    if smaller.gradient_checkpointing && shared.run.gradient_checkpointing != Some(true) {
        parts.push("recomputed activations".into());
    }
    parts.join(" with ").trim_end_matches(',').to_owned()
}
