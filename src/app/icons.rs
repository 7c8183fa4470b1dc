//! Icons, drawn: they have the text's colour, scale with it, and no font has to hold them.

use super::shared::View;
use eframe::egui::{Color32, IconData, Painter, Pos2, Rect, Shape, Stroke, Vec2};

/// The square that an icon's lines are given in.
const SIDE: f32 = 16.0;

/// Draws a page's icon into a square.
pub fn draw(painter: &Painter, view: View, rect: Rect, colour: Color32) {
    let scale = rect.width() / SIDE;
    let at = |x: f32, y: f32| rect.min + Vec2::new(x, y) * scale;
    let stroke = Stroke::new(1.4 * scale, colour);
    let line = |points: &[(f32, f32)]| painter.add(Shape::line(points.iter().map(|p| at(p.0, p.1)).collect(), stroke));
    let closed = |points: &[(f32, f32)]| painter.add(Shape::closed_line(points.iter().map(|p| at(p.0, p.1)).collect(), stroke));
    let square =
        |x: f32, y: f32, side: f32| painter.rect_filled(Rect::from_min_size(at(x, y), Vec2::splat(side * scale)), 0.5 * scale, colour);
    match view {
        View::Model => {
            closed(&[(8.0, 1.5), (14.5, 5.0), (8.0, 8.5), (1.5, 5.0)]);
            line(&[(1.5, 8.2), (8.0, 11.7), (14.5, 8.2)]);
            line(&[(1.5, 11.2), (8.0, 14.7), (14.5, 11.2)]);
        }
        View::Data => {
            for (y, end) in [(2.5, 14.0), (6.2, 10.5), (9.9, 13.0), (13.6, 8.0)] {
                line(&[(2.0, y), (end, y)]);
            }
        }
        View::Method => {
            closed(&[(1.7, 1.7), (14.3, 1.7), (14.3, 14.3), (1.7, 14.3)]);
            for i in 0..3 {
                let d = 2.9 + 3.5 * i as f32;
                square(d, d, 3.2);
            }
        }
        View::Train => {
            line(&[(2.0, 1.5), (2.0, 14.0), (14.5, 14.0)]);
            line(&[(3.8, 3.2), (5.2, 7.4), (7.2, 9.8), (10.0, 11.0), (14.0, 11.6)]);
        }
        View::Blocks => {
            for row in 0..3 {
                for column in 0..3 {
                    let (x, y) = (1.6 + 4.6 * column as f32, 1.6 + 4.6 * row as f32);
                    if row == column {
                        square(x, y, 3.6);
                    } else {
                        let r = Rect::from_min_size(at(x + 0.4, y + 0.4), Vec2::splat(2.8 * scale));
                        painter.rect_stroke(r, 0.4 * scale, Stroke::new(0.9 * scale, colour), eframe::egui::StrokeKind::Middle);
                    }
                }
            }
        }
        View::Compare => {
            line(&[(2.0, 1.5), (2.0, 14.0), (14.5, 14.0)]);
            line(&[(4.0, 3.0), (7.0, 6.0), (10.5, 7.4), (14.0, 8.0)]);
            line(&[(4.0, 6.5), (7.0, 9.8), (10.5, 11.0), (14.0, 11.4)]);
        }
        View::Talk => {
            closed(&[(1.8, 2.5), (14.2, 2.5), (14.2, 11.0), (7.5, 11.0), (4.2, 14.2), (4.2, 11.0), (1.8, 11.0)]);
            line(&[(4.6, 5.6), (11.4, 5.6)]);
            line(&[(4.6, 8.1), (9.0, 8.1)]);
        }
        View::Export => {
            line(&[(2.0, 9.5), (2.0, 14.0), (14.0, 14.0), (14.0, 9.5)]);
            line(&[(8.0, 11.0), (8.0, 2.0)]);
            line(&[(4.6, 5.2), (8.0, 1.8), (11.4, 5.2)]);
        }
        View::Learn => {
            line(&[(8.0, 4.0), (8.0, 13.8)]);
            closed(&[
                (8.0, 4.0),
                (5.0, 2.4),
                (1.5, 2.4),
                (1.5, 12.2),
                (5.0, 12.2),
                (8.0, 13.8),
                (11.0, 12.2),
                (14.5, 12.2),
                (14.5, 2.4),
                (11.0, 2.4),
            ]);
        }
    }
}

/// The window's icon: a dark square with four blocks on its diagonal.
pub fn window_icon() -> IconData {
    const N: usize = 64;
    let mut rgba = vec![0; 4 * N * N];
    for y in 0..N {
        for x in 0..N {
            let (colour, cover) = icon_pixel(x as f32 + 0.5, y as f32 + 0.5, N as f32);
            let at = 4 * (y * N + x);
            rgba[at..at + 4].copy_from_slice(&[colour[0], colour[1], colour[2], (255.0 * cover).round() as u8]);
        }
    }
    IconData { rgba, width: N as u32, height: N as u32 }
}

/// Colour and coverage of the icon at a point.
fn icon_pixel(x: f32, y: f32, side: f32) -> ([u8; 3], f32) {
    const GROUND: [u8; 3] = [0x17, 0x1c, 0x20];
    const LIT: [[u8; 3]; 4] = [[0x8f, 0xc1, 0xff], [0x5a, 0xa2, 0xff], [0x3f, 0x86, 0xe6], [0x2b, 0x69, 0xbf]];
    let inside = |min: Pos2, max: Pos2, radius: f32| {
        let d = Vec2::new((min.x + radius - x).max(x - max.x + radius).max(0.0), (min.y + radius - y).max(y - max.y + radius).max(0.0));
        (radius - d.length() + 0.5).clamp(0.0, 1.0)
    };
    let cover = inside(Pos2::new(1.0, 1.0), Pos2::new(side - 1.0, side - 1.0), 0.2 * side);
    let step = 0.19 * side;
    for (i, colour) in LIT.iter().enumerate() {
        let min = 0.13 * side + step * i as f32;
        let lit = inside(Pos2::new(min, min), Pos2::new(min + 0.17 * side, min + 0.17 * side), 0.03 * side);
        if lit > 0.0 {
            let mix = |a: u8, b: u8| (f32::from(a) * (1.0 - lit) + f32::from(b) * lit).round() as u8;
            return ([mix(GROUND[0], colour[0]), mix(GROUND[1], colour[1]), mix(GROUND[2], colour[2])], cover);
        }
    }
    (GROUND, cover)
}
