//! The one table of design tokens: what a colour or a distance is called, and what it is in each theme.
//!
//! No other file names a colour. A view asks for [`tokens`] and uses names that say what a colour is for.

use eframe::egui::{self, Color32, CornerRadius, FontFamily, FontId, Margin, Shadow, Stroke, Style, TextStyle, Theme, Vec2, Visuals};

/// Distances, in points.
pub mod space {
    /// Between things that belong together.
    pub const TIGHT: f32 = 4.0;
    /// Between controls.
    pub const SMALL: f32 = 8.0;
    /// Inside a card.
    pub const MEDIUM: f32 = 12.0;
    /// Between cards, and around a page.
    pub const LARGE: f32 = 16.0;
    /// Corners of cards and buttons.
    pub const RADIUS: u8 = 4;
    /// Height of a control.
    pub const CONTROL: f32 = 24.0;
}

/// Sizes of letters, in points.
pub mod size {
    /// Captions and the status bar.
    pub const SMALL: f32 = 11.5;
    /// Everything else.
    pub const BODY: f32 = 13.0;
    /// The name of a group of controls.
    pub const SECTION: f32 = 14.5;
    /// The name of a page.
    pub const PAGE: f32 = 20.0;
}

/// What colours mean.
#[derive(Debug, Clone, Copy)]
pub struct Tokens {
    /// Behind everything.
    pub background: Color32,
    /// Cards, plots and bars.
    pub surface: Color32,
    /// Buttons and other controls.
    pub raised: Color32,
    /// A control under the pointer.
    pub hovered: Color32,
    /// What is typed into.
    pub sunken: Color32,
    /// Lines that separate.
    pub border: Color32,
    /// The edge of a control.
    pub outline: Color32,
    /// Lines that must be seen: focus, handles, axes.
    pub border_strong: Color32,
    /// Text.
    pub text: Color32,
    /// Text that explains.
    pub text_weak: Color32,
    /// Text that stands out.
    pub text_strong: Color32,
    /// The one colour for what is chosen, what is learned, and what to press next.
    pub accent: Color32,
    /// Text upon the accent.
    pub on_accent: Color32,
    /// A quiet ground for what is chosen.
    pub accent_soft: Color32,
    /// Went well; fits.
    pub good: Color32,
    /// Probably not meant.
    pub warn: Color32,
    /// A quiet ground for warnings.
    pub warn_soft: Color32,
    /// Went wrong; does not fit.
    pub bad: Color32,
    /// A quiet ground for errors.
    pub bad_soft: Color32,
    /// Curves and parts of a whole, in the order they are given out.
    pub series: [Color32; 7],
}

const fn rgb(hex: u32) -> Color32 {
    Color32::from_rgb((hex >> 16) as u8, (hex >> 8) as u8, hex as u8)
}

const DARK: Tokens = Tokens {
    background: rgb(0x0f_1316),
    surface: rgb(0x17_1c20),
    raised: rgb(0x26_2d33),
    hovered: rgb(0x33_3c44),
    sunken: rgb(0x0a_0d0f),
    border: rgb(0x2a_3238),
    outline: rgb(0x3b_464f),
    border_strong: rgb(0x5c_6a75),
    text: rgb(0xd8_dfe4),
    text_weak: rgb(0x9a_a7b1),
    text_strong: rgb(0xff_ffff),
    accent: rgb(0x5a_a2ff),
    on_accent: rgb(0x04_1226),
    accent_soft: rgb(0x16_304f),
    good: rgb(0x4c_c38a),
    warn: rgb(0xf2_b24b),
    warn_soft: rgb(0x33_2812),
    bad: rgb(0xff_7a70),
    bad_soft: rgb(0x38_1b1b),
    series: [rgb(0x5a_a2ff), rgb(0xf2_9f4e), rgb(0x4c_c38a), rgb(0xb9_90ff), rgb(0xff_82ab), rgb(0x55_c5d6), rgb(0xd5_c55c)],
};

const LIGHT: Tokens = Tokens {
    background: rgb(0xf2_f4f6),
    surface: rgb(0xff_ffff),
    raised: rgb(0xe7_ecf0),
    hovered: rgb(0xd9_e1e7),
    sunken: rgb(0xff_ffff),
    border: rgb(0xd3_dae0),
    outline: rgb(0xbf_c9d1),
    border_strong: rgb(0x84_929d),
    text: rgb(0x1b_242b),
    text_weak: rgb(0x52_5f69),
    text_strong: rgb(0x00_0000),
    accent: rgb(0x0b_62cc),
    on_accent: rgb(0xff_ffff),
    accent_soft: rgb(0xd8_e8fb),
    good: rgb(0x12_7a4a),
    warn: rgb(0x94_5600),
    warn_soft: rgb(0xfc_f0d9),
    bad: rgb(0xbe_2b22),
    bad_soft: rgb(0xfb_e4e2),
    series: [rgb(0x0b_62cc), rgb(0xab_4f00), rgb(0x12_7a4a), rgb(0x72_41c2), rgb(0xbf_2d69), rgb(0x0d_7b89), rgb(0x7d_6a00)],
};

/// The tokens of the theme that is shown.
pub fn tokens(ui: &egui::Ui) -> &'static Tokens {
    of(if ui.visuals().dark_mode { Theme::Dark } else { Theme::Light })
}

/// The tokens of a theme.
pub const fn of(theme: Theme) -> &'static Tokens {
    match theme {
        Theme::Dark => &DARK,
        Theme::Light => &LIGHT,
    }
}

/// Gives both themes their style.
pub fn install(ctx: &egui::Context) {
    for theme in [Theme::Dark, Theme::Light] {
        ctx.set_style_of(theme, style(theme));
    }
}

/// The size of a page's heading as a text style.
pub fn page_style() -> TextStyle {
    TextStyle::Heading
}

/// The size of a section's heading as a text style.
pub fn section_style() -> TextStyle {
    TextStyle::Name("section".into())
}

fn style(theme: Theme) -> Style {
    let t = of(theme);
    let mut style = theme.default_style();
    style.text_styles = [
        (TextStyle::Small, FontId::new(size::SMALL, FontFamily::Proportional)),
        (TextStyle::Body, FontId::new(size::BODY, FontFamily::Proportional)),
        (TextStyle::Button, FontId::new(size::BODY, FontFamily::Proportional)),
        (TextStyle::Heading, FontId::new(size::PAGE, FontFamily::Proportional)),
        (section_style(), FontId::new(size::SECTION, FontFamily::Proportional)),
        (TextStyle::Monospace, FontId::new(size::BODY - 0.5, FontFamily::Monospace)),
    ]
    .into();
    let spacing = &mut style.spacing;
    spacing.item_spacing = Vec2::new(space::SMALL, space::TIGHT);
    spacing.button_padding = Vec2::new(space::SMALL, space::TIGHT);
    spacing.interact_size = Vec2::new(40.0, space::CONTROL);
    spacing.menu_margin = Margin::same(space::TIGHT as i8);
    spacing.window_margin = Margin::same(space::LARGE as i8);
    spacing.slider_width = 180.0;
    spacing.slider_rail_height = 4.0;
    spacing.combo_width = 120.0;
    spacing.tooltip_width = 360.0;
    spacing.icon_spacing = space::SMALL;
    style.interaction.selectable_labels = false;
    style.interaction.tooltip_delay = 0.35;
    style.visuals = visuals(theme, t);
    style
}

fn visuals(theme: Theme, t: &Tokens) -> Visuals {
    let mut v = theme.default_visuals();
    let radius = CornerRadius::same(space::RADIUS);
    v.override_text_color = None;
    v.weak_text_color = Some(t.text_weak);
    v.hyperlink_color = t.accent;
    v.panel_fill = t.background;
    v.window_fill = t.surface;
    v.window_stroke = Stroke::new(1.0, t.border);
    v.window_corner_radius = CornerRadius::same(2 * space::RADIUS);
    v.menu_corner_radius = radius;
    v.faint_bg_color = t.raised.gamma_multiply(0.45);
    v.extreme_bg_color = t.sunken;
    v.text_edit_bg_color = Some(t.sunken);
    v.code_bg_color = t.raised;
    v.warn_fg_color = t.warn;
    v.error_fg_color = t.bad;
    v.selection.bg_fill = t.accent_soft;
    v.selection.stroke = Stroke::new(1.0, if theme == Theme::Dark { t.text_strong } else { t.accent });
    v.text_cursor.stroke = Stroke::new(2.0, t.accent);
    v.slider_trailing_fill = true;
    v.popup_shadow =
        Shadow { offset: [0, 4], blur: 12, spread: 0, color: Color32::from_black_alpha(if theme == Theme::Dark { 110 } else { 36 }) };
    v.window_shadow = v.popup_shadow;

    let w = &mut v.widgets;
    for state in [&mut w.noninteractive, &mut w.inactive, &mut w.hovered, &mut w.active, &mut w.open] {
        state.corner_radius = radius;
        state.expansion = 0.0;
        state.bg_stroke = Stroke::NONE;
    }
    w.noninteractive.bg_fill = t.surface;
    w.noninteractive.weak_bg_fill = t.surface;
    w.noninteractive.bg_stroke = Stroke::new(1.0, t.border);
    w.noninteractive.fg_stroke = Stroke::new(1.0, t.text);
    w.inactive.bg_fill = t.raised;
    w.inactive.weak_bg_fill = t.raised;
    w.inactive.bg_stroke = Stroke::new(1.0, t.outline);
    w.inactive.fg_stroke = Stroke::new(1.0, t.text);
    w.hovered.bg_fill = t.hovered;
    w.hovered.weak_bg_fill = t.hovered;
    w.hovered.bg_stroke = Stroke::new(1.0, t.border_strong);
    w.hovered.fg_stroke = Stroke::new(1.0, t.text_strong);
    w.active.bg_fill = t.accent_soft;
    w.active.weak_bg_fill = t.accent_soft;
    w.active.bg_stroke = Stroke::new(1.0, t.accent);
    w.active.fg_stroke = Stroke::new(1.0, t.text_strong);
    w.open.bg_fill = t.raised;
    w.open.weak_bg_fill = t.hovered;
    w.open.bg_stroke = Stroke::new(1.0, t.border_strong);
    w.open.fg_stroke = Stroke::new(1.0, t.text_strong);
    v
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative luminance, as WCAG defines it.
    fn luminance(c: Color32) -> f64 {
        let channel = |v: u8| {
            let v = f64::from(v) / 255.0;
            if v <= 0.04045 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * channel(c.r()) + 0.7152 * channel(c.g()) + 0.0722 * channel(c.b())
    }

    fn contrast(a: Color32, b: Color32) -> f64 {
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn text_can_be_read_in_both_themes() {
        for theme in [Theme::Dark, Theme::Light] {
            let t = of(theme);
            for ground in [t.background, t.surface, t.raised, t.sunken] {
                for text in [t.text, t.text_weak, t.text_strong] {
                    assert!(contrast(text, ground) >= 4.5, "{theme:?} {text:?} on {ground:?}: {:.2}", contrast(text, ground));
                }
            }
            for ground in [t.background, t.surface] {
                for text in t.series.into_iter().chain([t.accent, t.good, t.warn, t.bad]) {
                    assert!(contrast(text, ground) >= 4.5, "{theme:?} {text:?} on {ground:?}: {:.2}", contrast(text, ground));
                }
            }
            for (text, ground) in [(t.on_accent, t.accent), (t.text, t.accent_soft), (t.text, t.warn_soft), (t.text, t.bad_soft)] {
                assert!(contrast(text, ground) >= 4.5, "{theme:?} {text:?} on {ground:?}: {:.2}", contrast(text, ground));
            }
        }
    }
}
