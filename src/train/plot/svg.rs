//! Drawing it: SVG and PNG.

use super::axis::{Axis, plain};
use super::{Series, SeriesLook};
use crate::error::{Error, Result};
use crate::files::atomic_write;
use crate::train::curve::smoothed;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::path::Path;

/// A plot: what it shows and how its axes are called.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Picture {
    /// Above it; may be empty.
    pub title: String,
    /// The x axis.
    pub x: String,
    /// The y axis.
    pub y: String,
    /// Whether the y axis is logarithmic. Then what is not above 0 is left out.
    pub log: bool,
    /// What is drawn.
    pub series: Vec<Series>,
}

/// Blue, orange, green, purple, pink, teal, olive: apart for most colour-blind eyes, too, and dark enough for white paper.
const COLOURS: [RGBColor; 7] = [
    RGBColor(31, 99, 180),
    RGBColor(213, 94, 0),
    RGBColor(0, 130, 90),
    RGBColor(114, 65, 194),
    RGBColor(191, 45, 105),
    RGBColor(13, 123, 137),
    RGBColor(125, 106, 0),
];
const INK: RGBColor = RGBColor(45, 50, 56);
const GRID: RGBColor = RGBColor(228, 231, 235);
const PAPER: RGBColor = RGBColor(255, 255, 255);
const SIZE: (u32, u32) = (900, 520);
const FONT: &str = "sans-serif";
/// Pixels of a PNG for each unit of the drawing: sharp on a dense display and on paper.
#[cfg(not(target_arch = "wasm32"))]
const DENSITY: u32 = 2;

type Drawn<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Draws the series into an SVG file, which is replaced as a whole.
pub fn loss_plot(path: &Path, series: &[Series], title: &str) -> Result<()> {
    let picture = Picture { title: title.into(), x: "step".into(), y: "loss".into(), log: false, series: series.to_vec() };
    let svg = picture.svg().map_err(|e| Error::input(path.display().to_string(), format!("the plot cannot be drawn: {e}"), ""))?;
    atomic_write(path, |w| w.write_all(svg.as_bytes()).map_err(Error::io(path)))
}

impl Picture {
    /// As SVG text.
    ///
    /// # Errors
    /// Where the drawing library gives up.
    pub fn svg(&self) -> Drawn<String> {
        ready();
        let mut svg = String::new();
        self.draw(&SVGBackend::with_string(&mut svg, SIZE).into_drawing_area(), 1)?;
        Ok(svg)
    }

    /// As a PNG file's bytes, twice as dense as the SVG.
    ///
    /// # Errors
    /// As [`Picture::svg`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn png(&self) -> Drawn<Vec<u8>> {
        ready();
        let (width, height) = (DENSITY * SIZE.0, DENSITY * SIZE.1);
        let mut pixels = vec![255; (3 * width * height) as usize];
        self.draw(&BitMapBackend::with_buffer(&mut pixels, (width, height)).into_drawing_area(), DENSITY)?;
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, width, height);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.write_header()?.write_image_data(&pixels)?;
        Ok(bytes)
    }

    /// Draws it; `k` is the size of a unit.
    fn draw<D: DrawingBackend>(&self, root: &DrawingArea<D, Shift>, k: u32) -> Drawn<()>
    where
        D::ErrorType: 'static,
    {
        let px = k as i32;
        let series: Vec<Series> = self.series.iter().map(|s| drawable(s, self.log)).filter(|s| !s.points.is_empty()).collect();
        let ((x0, x1), (y0, y1)) = (x_range(&series), y_range(&series));
        root.fill(&PAPER)?;
        // The longest title that fits; the picture has a fixed width.
        let title = shortened(&self.title, 80);
        root.draw(&Text::new(title, (px * SIZE.0 as i32 / 2, px * 16), font(20 * k).pos(Pos::new(HPos::Center, VPos::Top))))?;
        let top = if self.title.is_empty() { 16 } else { 50 };
        let body = root.margin(px * top, px * 12, px * 12, px * 24);
        let mut chart = ChartBuilder::on(&body)
            .x_label_area_size(46 * k)
            .y_label_area_size(64 * k)
            .build_cartesian_2d(x0..x1, Axis { low: y0, high: y1, log: self.log })?;
        let decimals = decimals(y1 - y0);
        let label = |y: &f64| if self.log { plain(10f64.powf(*y)) } else { format!("{y:.decimals$}") };
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID.stroke_width(k))
            .axis_style(INK.mix(0.6).stroke_width(k))
            .x_desc(self.x.as_str())
            .y_desc(self.y.as_str())
            .x_labels(8)
            .y_labels(8)
            .x_label_formatter(&|x| if x.fract().abs() < 1e-6 { counted(*x) } else { String::new() })
            .y_label_formatter(&label)
            .label_style(font(14 * k))
            .axis_desc_style(font(15 * k))
            .draw()?;
        // Plotters does not cut at the frame, so rare spikes above it are cut here.
        let inside = |p: &(f64, f64)| (p.0, p.1.clamp(y0, y1));
        for s in series.iter().filter(|s| s.look == SeriesLook::Curve) {
            chart.draw_series(LineSeries::new(s.points.iter().map(inside), colour(s).mix(0.22).stroke_width(k)))?;
        }
        for s in &series {
            let colour = colour(s);
            match s.look {
                SeriesLook::Curve => {
                    let line = LineSeries::new(smoothed(&s.points).iter().map(inside), colour.stroke_width(2 * k));
                    let key = move |(x, y)| PathElement::new(vec![(x, y), (x + 22 * px, y)], colour.stroke_width(3 * k));
                    chart.draw_series(line)?.label(shortened(&s.name, 60)).legend(key);
                }
                SeriesLook::Points => {
                    let line = DashedLineSeries::new(s.points.iter().map(inside), 5 * k, 4 * k, colour.mix(0.8).stroke_width(k));
                    chart.draw_series(line)?;
                    let dots = s.points.iter().map(|p| Circle::new(inside(p), 4 * k, colour.filled()));
                    let key = move |(x, y)| Circle::new((x + 11 * px, y), 4 * k, colour.filled());
                    chart.draw_series(dots)?.label(shortened(&s.name, 60)).legend(key);
                }
            }
        }
        if !series.is_empty() {
            let mut legend = chart.configure_series_labels();
            legend.position(SeriesLabelPosition::UpperRight).margin(10 * k).legend_area_size(30 * k);
            legend.background_style(PAPER.mix(0.9)).border_style(GRID.stroke_width(k)).label_font(font(14 * k)).draw()?;
        }
        root.present()?;
        Ok(())
    }
}

/// Gives the drawing library letters to measure and to draw with, once. A browser has its own.
fn ready() {
    #[cfg(not(target_arch = "wasm32"))]
    {
        static ONCE: std::sync::Once = std::sync::Once::new();
        // Without them drawing fails and says so.
        ONCE.call_once(|| drop(plotters::style::register_font(FONT, FontStyle::Normal, epaint_default_fonts::UBUNTU_LIGHT)));
    }
}

/// A count, short where it is large: 250000 is `250k`.
fn counted(x: f64) -> String {
    match x.abs() {
        ..1e5 => format!("{x:.0}"),
        1e5..1e8 => format!("{}k", x / 1e3),
        1e8..1e11 => format!("{}M", x / 1e6),
        _ => format!("{x:.1e}"),
    }
}

fn font(size: u32) -> TextStyle<'static> {
    (FONT, size).into_font().color(&INK)
}

fn colour(s: &Series) -> RGBColor {
    COLOURS[s.colour % COLOURS.len()]
}

/// What can be drawn of it; on a logarithmic axis, its logarithms.
fn drawable(s: &Series, log: bool) -> Series {
    let y = |y: f64| if log { y.log10() } else { y };
    let points = s.points.iter().map(|p| (p.0, y(p.1))).filter(|(x, y)| x.is_finite() && y.is_finite()).collect();
    Series { points, ..s.clone() }
}

fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most { text.to_owned() } else { text.chars().take(most - 1).chain(['…']).collect() }
}

fn x_range(series: &[Series]) -> (f64, f64) {
    let xs = series.iter().flat_map(|s| s.points.iter().map(|p| p.0));
    let (low, high) = xs.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), x| (a.min(x), b.max(x)));
    if low > high { (0.0, 1.0) } else { (low.min(0.0), if high > low.min(0.0) { high } else { low + 1.0 }) }
}

/// All that is smoothed or exact, and the raw points without the wildest hundredth: one spike must not flatten the rest.
fn y_range(series: &[Series]) -> (f64, f64) {
    let mut ys = Vec::new();
    for s in series {
        if s.look == SeriesLook::Curve {
            let mut raw: Vec<f64> = s.points.iter().map(|p| p.1).collect();
            raw.sort_by(f64::total_cmp);
            let cut = raw.len() / 100;
            ys.extend_from_slice(&raw[cut..raw.len() - cut]);
            ys.extend(smoothed(&s.points).iter().map(|p| p.1));
        } else {
            ys.extend(s.points.iter().map(|p| p.1));
        }
    }
    let (low, high) = ys.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), y| (a.min(*y), b.max(*y)));
    if low > high {
        return (0.0, 1.0);
    }
    // A flat line, or numbers too large for their difference to show, still need a frame with some height.
    let pad = ((high - low) * 0.06).max(high.abs().max(low.abs()) * 1e-3).max(1e-6);
    (low - pad, high + pad)
}

/// Enough decimals to tell neighbouring labels apart.
fn decimals(height: f64) -> usize {
    (1.0 - (height / 8.0).log10().floor()).clamp(0.0, 8.0) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A falling, noisy loss without a random number generator.
    fn run(name: &str, colour: usize, rate: f64) -> Vec<Series> {
        let loss = |x: f64| 3.9 + 2.4 * (-x * rate).exp();
        let noise = |i: u64| ((i * 7919 % 101) as f64 / 101.0 - 0.5) * 0.5;
        let raw = (1..=300).map(|i| (i as f64, loss(i as f64) + noise(i) + if i == 120 { 9.0 } else { 0.0 })).collect();
        let held_out = (0..=10).map(|i| (f64::from(i) * 30.0, loss(f64::from(i) * 30.0) + 0.08)).collect();
        vec![
            Series { name: name.into(), points: raw, look: SeriesLook::Curve, colour },
            Series { name: format!("{name}, held out"), points: held_out, look: SeriesLook::Points, colour },
        ]
    }

    #[test]
    fn a_plot_is_written_whole() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("loss.svg");
        let series = [run("DiaBlo, 8 blocks", 0, 0.02), run("LoRA, rank 8", 1, 0.012)].concat();
        loss_plot(&path, &series, "tinystories-656k on tinyshakespeare").expect("draws");
        let svg = std::fs::read_to_string(&path).expect("reads");
        assert!(svg.trim_end().ends_with("</svg>"));
        for text in ["DiaBlo, 8 blocks", "LoRA, rank 8, held out", "tinystories-656k on tinyshakespeare", "step", "loss"] {
            assert!(svg.contains(text), "{text}");
        }
        if let Some(keep) = std::env::var_os("DIABLO_TEST_KEEP_PLOT") {
            std::fs::copy(&path, keep).expect("copies");
        }
    }

    #[test]
    fn odd_numbers_still_give_a_picture() {
        let one = |points: Vec<(f64, f64)>, look| Series { name: "a < b & c".into(), points, look, colour: 7 };
        let cases = [
            vec![],
            vec![one(vec![], SeriesLook::Curve)],
            vec![one(vec![(1.0, 2.0)], SeriesLook::Curve), one(vec![(0.0, 2.0)], SeriesLook::Points)],
            vec![one(vec![(1.0, f64::NAN), (2.0, f64::INFINITY)], SeriesLook::Curve)],
            vec![one(vec![(1.0, 0.0), (2.0, 0.0)], SeriesLook::Points)],
            vec![one(vec![(1.0, 1e30), (2.0, 1e30)], SeriesLook::Curve)],
            vec![one(vec![(1.0, 1e-9), (2.0, 2e-9)], SeriesLook::Curve)],
        ];
        for series in cases {
            let svg = Picture { title: "long title ".repeat(30), x: "step".into(), y: "loss".into(), log: false, series: series.clone() }
                .svg()
                .expect("draws");
            assert!(svg.trim_end().ends_with("</svg>") && !svg.contains("NaN") && !svg.contains("a < b"), "{series:?}");
        }
    }

    #[test]
    fn a_logarithmic_plot_is_drawn_in_lines_and_in_pixels() {
        let series = run("DiaBlo", 0, 0.02);
        let picture = Picture { title: String::new(), x: "tokens".into(), y: "training loss".into(), log: true, series };
        let svg = picture.svg().expect("draws");
        for text in ["tokens", "training loss", "DiaBlo"] {
            assert!(svg.contains(text), "{text}");
        }
        let png = picture.png().expect("draws");
        assert!(png.starts_with(b"\x89PNG") && png.len() > 10_000);
        if let Some(keep) = std::env::var_os("DIABLO_TEST_KEEP_PLOT") {
            std::fs::write(Path::new(&keep).with_extension("png"), png).expect("copies");
        }
    }
}
