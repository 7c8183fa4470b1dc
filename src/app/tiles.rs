//! Squares of colour: a picture a layer, made anew only when its numbers are.

use super::theme::{self, Tokens, tokens};
use crate::model::weights::Site;
use crate::train::inspect::SiteChange;
use eframe::egui::{Color32, ColorImage, Pos2, Rect, TextureHandle, TextureOptions, Ui};
use std::collections::HashMap;

/// Pixels along a side of a block's picture at most; larger blocks are drawn by the largest of their neighbours.
const PIXELS: usize = 192;

/// The pictures of a run's layers.
#[derive(Default)]
pub struct Tiles {
    pictures: HashMap<Site, TextureHandle>,
    values: HashMap<&'static str, (Vec<f32>, bool, TextureHandle)>,
    made_for: Option<(u64, usize, bool)>,
    scale: f32,
}

impl Tiles {
    /// The change, as a share of its weight, that has the strongest colour.
    pub fn scale(&self) -> f32 {
        self.scale
    }

    /// Makes the pictures again where the numbers or the theme are new.
    pub fn renew(&mut self, ui: &Ui, changes: &[SiteChange], step: u64) {
        let key = (step, changes.len(), ui.visuals().dark_mode);
        if self.made_for == Some(key) && self.pictures.len() == changes.len() {
            return;
        }
        self.made_for = Some(key);
        self.pictures.retain(|site, _| changes.iter().any(|c| c.site == *site));
        self.scale = changes.iter().flat_map(shares).fold(0.0, f32::max);
        let t = tokens(ui);
        for change in changes {
            let side = change.cells.grid;
            let pixels = shares(change).map(|s| if s > 0.0 { colour(t, s / self.scale) } else { t.sunken }).collect();
            let image = ColorImage::new([side, side], pixels);
            match self.pictures.get_mut(&change.site) {
                Some(picture) => picture.set(image, TextureOptions::NEAREST),
                None => {
                    let picture = ui.ctx().load_texture(change.site.path(), image, TextureOptions::NEAREST);
                    self.pictures.insert(change.site, picture);
                }
            }
        }
    }

    /// Draws a layer's picture.
    pub fn draw(&self, ui: &Ui, site: Site, rect: Rect) {
        if let Some(picture) = self.pictures.get(&site) {
            ui.painter().image(picture.id(), rect, whole(), Color32::WHITE);
        }
    }

    /// Draws numbers of either sign, `shape` rows and columns.
    pub fn draw_values(&mut self, ui: &Ui, name: &'static str, values: &[f32], shape: (usize, usize), rect: Rect) {
        let dark = ui.visuals().dark_mode;
        let known = self.values.get(name).is_some_and(|(v, d, _)| *d == dark && v == values);
        if !known {
            let image = signed(tokens(ui), values, shape);
            let picture = ui.ctx().load_texture(name, image, TextureOptions::NEAREST);
            self.values.insert(name, (values.to_vec(), dark, picture));
        }
        if let Some((_, _, picture)) = self.values.get(name) {
            ui.painter().image(picture.id(), rect, whole(), Color32::WHITE);
        }
    }
}

fn whole() -> Rect {
    Rect::from_min_max(Pos2::ZERO, Pos2::new(1.0, 1.0))
}

/// Each cell's change as a share of its weight; of the largest change where there is no weight to compare with.
fn shares(change: &SiteChange) -> impl Iterator<Item = f32> {
    let largest = change.change.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
    change.change.iter().enumerate().map(move |(i, c)| c / change.weight.get(i).copied().filter(|w| *w > 0.0).unwrap_or(largest))
}

/// From quiet to loud. The root makes small changes visible beside large ones.
fn colour(t: &Tokens, share: f32) -> Color32 {
    let x = share.clamp(0.0, 1.0).sqrt();
    if x < 0.6 {
        t.sunken.lerp_to_gamma(t.series[0], 0.15 + 0.85 * x / 0.6)
    } else {
        t.series[0].lerp_to_gamma(t.series[1], (x - 0.6) / 0.4)
    }
}

/// The scale of colours as a strip.
pub fn ramp(ui: &Ui, rect: Rect) {
    let t = theme::of(if ui.visuals().dark_mode { eframe::egui::Theme::Dark } else { eframe::egui::Theme::Light });
    let steps = 40;
    for i in 0..steps {
        let at = |k: usize| rect.left() + rect.width() * k as f32 / steps as f32;
        let part = Rect::from_min_max(Pos2::new(at(i), rect.top()), Pos2::new(at(i + 1), rect.bottom()));
        ui.painter().rect_filled(part, 0.0, colour(t, i as f32 / (steps - 1) as f32));
    }
}

/// Blue below zero, orange above; a block with more numbers than pixels shows the largest of each neighbourhood.
fn signed(t: &Tokens, values: &[f32], shape: (usize, usize)) -> ColorImage {
    let (rows, columns) = (shape.0.clamp(1, PIXELS), shape.1.clamp(1, PIXELS));
    let largest = values.iter().fold(f32::MIN_POSITIVE, |m, v| m.max(v.abs()));
    let mut pixels = vec![0.0f32; rows * columns];
    for (i, value) in values.iter().enumerate() {
        let (row, column) = (i / shape.1.max(1) * rows / shape.0.max(1), i % shape.1.max(1) * columns / shape.1.max(1));
        let pixel = &mut pixels[row.min(rows - 1) * columns + column];
        if value.abs() > pixel.abs() {
            *pixel = *value;
        }
    }
    let paint = |v: &f32| {
        let x = (v.abs() / largest).sqrt();
        t.sunken.lerp_to_gamma(if *v < 0.0 { t.series[0] } else { t.series[1] }, x)
    };
    ColorImage::new([columns, rows], pixels.iter().map(paint).collect())
}

/// The norm of a whole from the norms of its parts.
pub fn norm(parts: &[f32]) -> f32 {
    parts.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt() as f32
}

/// The places of the largest entries, by size.
pub fn largest(values: &[f32], most: usize) -> Vec<usize> {
    let mut places: Vec<usize> = (0..values.len()).collect();
    places.sort_by(|a, b| values[*b].abs().total_cmp(&values[*a].abs()));
    places.truncate(most);
    places
}

/// A share as a percentage with enough digits to tell.
pub fn percent(share: f32) -> String {
    let x = 100.0 * share;
    if x >= 10.0 {
        format!("{x:.0}%")
    } else if x >= 0.1 {
        format!("{x:.1}%")
    } else {
        format!("{x:.3}%")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_in_order_of_size() {
        assert_eq!(largest(&[0.1, -5.0, 2.0, 0.0], 3), [1, 2, 0]);
        assert_eq!((norm(&[3.0, 4.0]), percent(0.254), percent(0.0123)), (5.0, "25%".into(), "1.2%".into()));
    }

    #[test]
    fn a_large_block_keeps_its_peak() {
        let t = theme::of(eframe::egui::Theme::Dark);
        let mut values = vec![0.0; 1000 * 3];
        values[2999] = 1.0;
        let image = signed(t, &values, (1000, 3));
        assert_eq!(image.size, [3, PIXELS]);
        assert_eq!(image.pixels.last(), Some(&t.series[1]));
    }
}
