//! Plots of numbers against steps: linear or logarithmic, with the values under the pointer.

use super::theme::{Tokens, tokens};
use eframe::egui::{Color32, Id, Ui};
use egui_plot::{GridInput, GridMark, HoverPosition, Legend, Line, MarkerShape, Plot, PlotPoints, Points};

/// Points that a curve may always have. A wider plot draws one for each point of its width: the lowest and the highest of two.
const FEWEST: f32 = 100.0;

/// One curve.
pub struct Curve {
    /// Its name in the legend.
    pub name: String,
    /// Step and value.
    pub points: Vec<(f64, f64)>,
    /// Its colour.
    pub colour: Color32,
    /// How it is drawn.
    pub look: Look,
}

/// How a curve is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// A thin, pale line: raw numbers.
    Pale,
    /// A line.
    Line,
    /// A line with a dot at each point: few numbers.
    Dots,
}

/// How a plot is drawn.
pub struct Axes<'a> {
    /// What tells it from others.
    pub id: &'a str,
    /// Height in points.
    pub height: f32,
    /// Whether values are drawn by their logarithm.
    pub log: bool,
    /// Whether there is a legend.
    pub legend: bool,
    /// What lies along.
    pub x: &'a str,
}

/// Draws curves.
pub fn show(ui: &mut Ui, axes: &Axes<'_>, curves: Vec<Curve>) {
    let t: &Tokens = tokens(ui);
    let log = axes.log;
    let most = ui.available_width().max(FEWEST) as usize;
    let (along, value) = (axes.x.to_owned(), move |y: f64| if log { 10f64.powf(y) } else { y });
    let label = move |at: &HoverPosition<'_>| match at {
        HoverPosition::NearDataPoint { plot_name, position, .. } => {
            Some(format!("{plot_name}\n{along} {:.0}\n{}", position.x, number(value(position.y))))
        }
        HoverPosition::Elsewhere { .. } => None,
    };
    let mut plot = Plot::new(Id::unique(axes.id))
        .height(axes.height)
        .allow_scroll(false)
        .set_margin_fraction([0.02, 0.08].into())
        .y_axis_min_width(52.0)
        .x_axis_formatter(|mark, _| if mark.value < 0.0 { String::new() } else { whole(mark.value) })
        .y_axis_formatter(move |mark, _| number(value(mark.value)))
        .label_formatter(label)
        .grid_color(t.border_strong)
        .cursor_color(t.border_strong);
    if log {
        plot = plot.y_grid_spacer(decades);
    }
    if axes.legend {
        plot = plot.legend(Legend::default().background_alpha(0.6).follow_insertion_order(true));
    }
    plot.show(ui, |plot| {
        for curve in curves {
            let points: Vec<(f64, f64)> = curve.points.into_iter().filter(|p| !log || p.1 > 0.0).collect();
            let points = crate::train::curve::thinned(&points, most);
            let points: Vec<[f64; 2]> = points.into_iter().map(|(x, y)| [x, if log { y.log10() } else { y }]).collect();
            if curve.look == Look::Dots {
                let dots = Points::new(curve.name.clone(), PlotPoints::from(points.clone()));
                plot.points(dots.color(curve.colour).radius(3.0).shape(MarkerShape::Circle));
            }
            let (colour, width) = match curve.look {
                Look::Pale => (curve.colour.gamma_multiply(0.35), 1.0),
                Look::Line => (curve.colour, 2.0),
                Look::Dots => (curve.colour, 1.5),
            };
            plot.line(Line::new(curve.name, PlotPoints::from(points)).color(colour).width(width));
        }
    });
}

/// Marks of a logarithmic axis: powers of ten, and between them 2 and 5 where there is room.
fn decades(input: GridInput) -> Vec<GridMark> {
    let (low, high) = input.bounds;
    if !(low.is_finite() && high.is_finite()) || high - low > 40.0 {
        return Vec::new();
    }
    let mut marks = Vec::new();
    for decade in low.floor() as i32..=high.ceil() as i32 {
        for (factor, step) in [(1.0f64, 1.0), (2.0, 0.3), (5.0, 0.3), (1.5, 0.15), (3.0, 0.15), (4.0, 0.15), (7.0, 0.15)] {
            let mark = f64::from(decade) + factor.log10();
            if (low..=high).contains(&mark) {
                marks.push(GridMark { value: mark, step_size: step });
            }
        }
    }
    marks
}

/// A number in as few characters as tell it from its neighbours.
pub fn number(x: f64) -> String {
    let size = x.abs();
    match size {
        _ if x == 0.0 => "0".into(),
        s if !s.is_finite() => "none".into(),
        s if s >= 1e6 => format!("{:.1}M", x / 1e6),
        s if s >= 1e4 => format!("{:.1}k", x / 1e3),
        s if s >= 100.0 => format!("{x:.0}"),
        s if s >= 1.0 => trimmed(format!("{x:.3}")),
        s if s >= 1e-3 => trimmed(format!("{x:.4}")),
        _ => format!("{x:.1e}"),
    }
}

fn whole(x: f64) -> String {
    if (x - x.round()).abs() > 1e-6 { String::new() } else { number(x.round()) }
}

fn trimmed(text: String) -> String {
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let all = [0.0, 2.5, 0.0125, 1234.0, 53_389.0, 2e6, 1.6e-5, f64::NAN].map(number);
        assert_eq!(all, ["0", "2.5", "0.0125", "1234", "53.4k", "2.0M", "1.6e-5", "none"]);
        assert_eq!((whole(2.5), whole(40.0)), (String::new(), "40".into()));
    }

    #[test]
    fn a_logarithmic_axis_has_its_decades() {
        let marks = decades(GridInput { bounds: (-1.2, 1.1), base_step_size: 0.1 });
        for decade in [-1.0, 0.0, 1.0] {
            assert!(marks.iter().any(|m| m.value == decade && m.step_size == 1.0));
        }
        assert!(decades(GridInput { bounds: (f64::NAN, 1.0), base_step_size: 0.1 }).is_empty());
    }
}
