//! Blocks: how far each layer has moved, drawn where the numbers lie; one block in full.

use super::curves::number;
use super::layout::{self, card, empty, page};
use super::live::Live;
use super::shared::{Shared, Spot, View};
use super::theme::{space, tokens};
use super::tiles::{self, Tiles};
use crate::adapter::MODULES;
use crate::model::weights::Site;
use crate::train::inspect::{CellValues, SiteChange};
use eframe::egui::{self, Align2, Pos2, Rect, RichText, Sense, Stroke, StrokeKind, Ui, Vec2};

/// Entries of a block that are listed.
const LISTED: usize = 8;
/// The side of a layer's square in the overview, at least and at most.
const SIDES: (f32, f32) = (44.0, 84.0);
/// Below this width the details stand below the overview.
const WIDE: f32 = 860.0;

/// The page's own state.
#[derive(Default)]
pub struct BlocksPage {
    tiles: Tiles,
    site: Option<Site>,
    at: Option<(usize, usize)>,
    /// The step after which the chosen cell was asked for.
    asked_at: Option<u64>,
}

impl BlocksPage {
    /// Draws the page.
    pub fn ui(&mut self, ui: &mut Ui, shared: &mut Shared) {
        page(ui, "Blocks", "What has changed, and where", |ui| {
            if !shared.live.has_begun() {
                let why = "While a run goes on, each layer's weight is drawn as a square, with what training added where it lies.";
                if empty(ui, "Start a run to see its blocks here", why, "Go to Train") {
                    shared.go(View::Train);
                }
                return;
            }
            if shared.live.changes.is_empty() {
                ui.horizontal(|ui| {
                    ui.add(egui::Spinner::new().size(14.0));
                    ui.label("waiting for the run's first look inside");
                });
                return;
            }
            self.tiles.renew(ui, &shared.live.changes, shared.live.changes_at);
            let first = shared.live.changes.first().map(|c| c.site);
            let known = self.site.filter(|s| shared.live.changes.iter().any(|c| c.site == *s));
            self.site = known.or(first);
            self.ask(shared);
            if ui.available_width() < WIDE {
                self.overview(ui, shared);
                ui.add_space(space::MEDIUM);
                self.details(ui, shared);
            } else {
                let side = (0.42 * ui.available_width()).clamp(320.0, 460.0);
                ui.horizontal_top(|ui| {
                    ui.vertical(|ui| {
                        ui.set_width(ui.available_width() - side - space::MEDIUM);
                        self.overview(ui, shared);
                    });
                    ui.vertical(|ui| {
                        ui.set_width(side);
                        self.details(ui, shared);
                    });
                });
            }
        });
    }

    /// Asks for the chosen cell again when the run has moved on.
    fn ask(&mut self, shared: &mut Shared) {
        let (Some(site), Some(at)) = (self.site, self.at) else { return };
        let here = shared.live.cell.as_ref().is_some_and(|c| c.site == site && c.at == at);
        let newest = self.asked_at == Some(shared.live.changes_at);
        if shared.live.asked.is_none() && !(here && newest) {
            self.asked_at = Some(shared.live.changes_at);
            shared.wanted_cell = Some((site, at));
        }
    }

    fn choose(&mut self, site: Site, at: Option<(usize, usize)>) {
        (self.site, self.at, self.asked_at) = (Some(site), at, None);
    }

    /// Every layer's square.
    fn overview(&mut self, ui: &mut Ui, shared: &mut Shared) {
        let t = tokens(ui);
        let (shown, ()) = card(ui, "", |ui| {
            legend(ui, &shared.live, self.tiles.scale());
            ui.add_space(space::SMALL);
            egui::ScrollArea::horizontal().show(ui, |ui| {
                let modules: Vec<&str> = MODULES.into_iter().filter(|m| shared.live.changes.iter().any(|c| c.site.module == *m)).collect();
                let layers = shared.live.changes.iter().map(|c| c.site.layer).max().map_or(0, |l| l + 1);
                let room = (ui.available_width() - 28.0) / modules.len().max(1) as f32 - space::SMALL;
                let side = room.clamp(SIDES.0, SIDES.1);
                let wide = side + space::SMALL;
                let (rect, _) = ui.allocate_exact_size(Vec2::new(28.0 + wide * modules.len() as f32, 20.0), Sense::empty());
                let font = egui::TextStyle::Small.resolve(ui.style());
                for (i, module) in modules.iter().enumerate() {
                    let at = Pos2::new(rect.left() + 28.0 + wide * i as f32 + 0.5 * side, rect.center().y);
                    ui.painter().text(at, Align2::CENTER_CENTER, module, font.clone(), t.text_weak);
                }
                for layer in 0..layers {
                    ui.horizontal(|ui| {
                        ui.spacing_mut().item_spacing.x = space::SMALL;
                        let (number_rect, _) = ui.allocate_exact_size(Vec2::new(20.0, side), Sense::empty());
                        ui.painter().text(number_rect.center(), Align2::CENTER_CENTER, layer, font.clone(), t.text_weak);
                        for module in &modules {
                            let Some(change) = shared.live.changes.iter().find(|c| c.site.layer == layer && c.site.module == *module)
                            else {
                                ui.allocate_exact_size(Vec2::splat(side), Sense::empty());
                                continue;
                            };
                            if self.square(ui, change, side).clicked() {
                                self.choose(change.site, None);
                            }
                        }
                    });
                }
            });
        });
        shared.light_up(ui, Spot::Squares, shown.rect);
    }

    fn square(&self, ui: &mut Ui, change: &SiteChange, side: f32) -> egui::Response {
        let t = tokens(ui);
        let (rect, response) = ui.allocate_exact_size(Vec2::splat(side), Sense::click());
        let chosen = self.site == Some(change.site);
        self.tiles.draw(ui, change.site, rect);
        let stroke = if chosen {
            Stroke::new(2.0, t.accent)
        } else if response.hovered() || response.has_focus() {
            Stroke::new(1.5, t.text_strong)
        } else {
            Stroke::new(1.0, t.border)
        };
        ui.painter().rect_stroke(rect, 2.0, stroke, StrokeKind::Outside);
        let name = change.site.path();
        response.widget_info(|| egui::WidgetInfo::selected(egui::Role::Button, true, chosen, &name));
        let whole = tiles::norm(&change.change);
        response.on_hover_text(format!("{name}\nmoved by {}{}", number(f64::from(whole)), share(whole, &change.weight)))
    }

    /// The chosen layer's square, large, and the chosen cell.
    fn details(&mut self, ui: &mut Ui, shared: &mut Shared) {
        let t = tokens(ui);
        let Some(change) = self.site.and_then(|site| shared.live.changes.iter().find(|c| c.site == site)) else { return };
        let change = change.clone();
        let name = format!("layer {}, {}", change.site.layer, change.site.module);
        card(ui, &name, |ui| {
            let whole = tiles::norm(&change.change);
            let c = change.cells;
            let rows = [
                (
                    "weight",
                    format!(
                        "{} x {} numbers, in {} x {} cells of {} x {}",
                        c.d_out,
                        c.d_in,
                        c.grid,
                        c.grid,
                        c.d_out.div_ceil(c.grid),
                        c.d_in.div_ceil(c.grid)
                    ),
                ),
                ("moved by", format!("{}{}", number(f64::from(whole)), share(whole, &change.weight))),
            ];
            layout::facts(ui, "site", &rows);
            ui.add_space(space::SMALL);
            let side = ui.available_width().min(280.0);
            let (rect, response) = ui.allocate_exact_size(Vec2::splat(side), Sense::click());
            self.tiles.draw(ui, change.site, rect);
            ui.painter().rect_stroke(rect, 0.0, Stroke::new(1.0, t.border_strong), StrokeKind::Outside);
            let cell = side / c.grid as f32;
            let under = response.hover_pos().map(|p| {
                let place = |x: f32| ((x / cell) as usize).min(c.grid - 1);
                (place(p.y - rect.top()), place(p.x - rect.left()))
            });
            let of = |(row, column): (usize, usize)| {
                Rect::from_min_size(rect.min + cell * Vec2::new(column as f32, row as f32), Vec2::splat(cell))
            };
            if let Some(at) = self.at.filter(|at| at.0 < c.grid && at.1 < c.grid) {
                ui.painter().rect_stroke(of(at), 0.0, Stroke::new(2.0, t.accent), StrokeKind::Outside);
            }
            if let Some(at) = under {
                ui.painter().rect_stroke(of(at), 0.0, Stroke::new(1.5, t.text_strong), StrokeKind::Outside);
                let moved = change.change.get(at.0 * c.grid + at.1).copied().unwrap_or_default();
                let weight: Vec<f32> = change.weight.get(at.0 * c.grid + at.1).copied().into_iter().collect();
                let outputs = c.outputs(at.0);
                let inputs = c.inputs(at.1);
                response.clone().on_hover_text_at_pointer(format!(
                    "outputs {} to {}, inputs {} to {}\nmoved by {}{}",
                    outputs.start,
                    outputs.end.saturating_sub(1),
                    inputs.start,
                    inputs.end.saturating_sub(1),
                    number(f64::from(moved)),
                    share(moved, &weight)
                ));
                if response.clicked() {
                    self.choose(change.site, Some(at));
                }
            }
            ui.add_space(space::TIGHT);
            ui.label(
                RichText::new("Outputs from top to bottom, inputs from left to right. Click a cell to see its numbers.")
                    .small()
                    .color(t.text_weak),
            );
        });
        ui.add_space(space::MEDIUM);
        let wanted = self.at.map(|at| (change.site, at));
        match shared.live.cell.as_ref().filter(|c| Some((c.site, c.at)) == wanted) {
            Some(cell) => self.cell(ui, cell),
            None if wanted.is_some() => {
                ui.horizontal(|ui| {
                    ui.add(egui::Spinner::new().size(14.0));
                    ui.label("reading the cell");
                });
            }
            None => {}
        }
    }

    /// One cell's numbers: what was added, its gradient, the largest entries.
    fn cell(&mut self, ui: &mut Ui, cell: &CellValues) {
        let t = tokens(ui);
        card(ui, &format!("cell {}, {}", cell.at.0, cell.at.1), |ui| {
            let side = (0.5 * (ui.available_width() - space::LARGE)).min(190.0);
            ui.horizontal_top(|ui| {
                for (name, values) in [("added to the weight", Some(&cell.change)), ("gradient of the last step", cell.gradient.as_ref())] {
                    let Some(values) = values else { continue };
                    ui.vertical(|ui| {
                        ui.set_width(side);
                        let largest = values.iter().fold(0.0f32, |m, v| m.max(v.abs()));
                        ui.label(RichText::new(name).small().color(t.text_weak));
                        let (rect, _) = ui.allocate_exact_size(Vec2::splat(side), Sense::hover());
                        self.tiles.draw_values(ui, name, values, cell.shape, rect);
                        ui.painter().rect_stroke(rect, 0.0, Stroke::new(1.0, t.border_strong), StrokeKind::Outside);
                        ui.label(RichText::new(format!("-{0} to {0}", number(f64::from(largest)))).small().color(t.text_weak));
                    });
                }
            });
            ui.add_space(space::SMALL);
            ui.label(RichText::new("largest entries").small().color(t.text_weak));
            egui::Grid::new("entries").num_columns(5).spacing(Vec2::new(space::LARGE, 2.0)).show(ui, |ui| {
                for title in ["output", "input", "added", "weight", "gradient"] {
                    ui.label(RichText::new(title).small().color(t.text_weak));
                }
                ui.end_row();
                for index in tiles::largest(&cell.change, LISTED) {
                    let (row, column) = (index / cell.shape.1.max(1), index % cell.shape.1.max(1));
                    ui.monospace((cell.origin.0 + row).to_string());
                    ui.monospace((cell.origin.1 + column).to_string());
                    let one = |values: &[f32]| values.get(index).map_or_else(String::new, |v| number(f64::from(*v)));
                    ui.monospace(one(&cell.change));
                    ui.monospace(one(&cell.weight));
                    ui.monospace(cell.gradient.as_deref().map(one).unwrap_or_default());
                    ui.end_row();
                }
            });
        });
    }
}

/// ", 1.2% of the weight" where the weight is known.
fn share(moved: f32, weight: &[f32]) -> String {
    let whole = tiles::norm(weight);
    if whole > 0.0 {
        format!(", {} of the weight's norm {}", tiles::percent(moved / whole), number(f64::from(whole)))
    } else {
        String::new()
    }
}

/// What the colours mean, and after which step they were read.
fn legend(ui: &mut Ui, live: &Live, most: f32) {
    let t = tokens(ui);
    ui.horizontal_wrapped(|ui| {
        let method = live.summary.as_ref().map_or("", |s| s.method.as_str());
        ui.label(RichText::new(format!("{method}, after step {}", live.changes_at)).color(t.text_strong));
        ui.add_space(space::MEDIUM);
        ui.label(RichText::new("moved by 0").small().color(t.text_weak));
        let (rect, _) = ui.allocate_exact_size(Vec2::new(120.0, 10.0), Sense::empty());
        tiles::ramp(ui, rect);
        let most = if most > 0.0 { format!("{} of its weight", tiles::percent(most)) } else { "nothing yet".into() };
        ui.label(RichText::new(most).small().color(t.text_weak));
    });
}
