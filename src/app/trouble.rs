//! How an error looks: what, where, and what to do, beside the control that caused it.

use super::theme::{Tokens, space, tokens};
use crate::error::Error;
use eframe::egui::{self, Color32, CornerRadius, Frame, Margin, RichText, Stroke, Ui};

/// An error's box. Returns the response of the whole box.
pub fn show(ui: &mut Ui, error: &Error) -> egui::Response {
    let t = tokens(ui);
    notice(ui, t.bad, t.bad_soft, "Error", &sentence(&error.what()), &error.place(), error.hint().map(in_words).as_deref())
}

/// Something that is probably not meant.
pub fn warn(ui: &mut Ui, what: &str, hint: Option<&str>) -> egui::Response {
    let t = tokens(ui);
    notice(ui, t.warn, t.warn_soft, "Warning", &in_words(what), "", hint)
}

/// A ground, a bar of colour at its left, and up to three lines.
fn notice(ui: &mut Ui, colour: Color32, ground: Color32, kind: &str, what: &str, place: &str, hint: Option<&str>) -> egui::Response {
    let t: &Tokens = tokens(ui);
    let margin = Margin { left: space::MEDIUM as i8, right: space::SMALL as i8, top: space::SMALL as i8, bottom: space::SMALL as i8 };
    let frame = Frame::new().fill(ground).corner_radius(CornerRadius::same(space::RADIUS)).inner_margin(margin);
    let response = frame
        .show(ui, |ui| {
            ui.set_width(ui.available_width());
            ui.label(RichText::new(what).color(t.text_strong));
            if !place.is_empty() {
                ui.add(egui::Label::new(RichText::new(place).small().color(t.text)).selectable(true).wrap());
            }
            if let Some(hint) = hint {
                ui.label(RichText::new(format!("What to do: {hint}")).color(t.text));
            }
        })
        .response;
    let bar = response.rect.with_max_x(response.rect.left() + 3.0);
    let corners = CornerRadius { nw: space::RADIUS, sw: space::RADIUS, ne: 0, se: 0 };
    ui.painter().rect(bar, corners, colour, Stroke::NONE, egui::StrokeKind::Inside);
    let said = format!("{kind}: {what}");
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Alert, true, &said));
    response
}

/// With a capital at the front, unless that is the name of something, and with the controls' names for the command line's options.
fn sentence(text: &str) -> String {
    let text = in_words(text);
    let first = text.split_whitespace().next().unwrap_or_default();
    if first.contains(['_', '.', '/', '\\', '"']) {
        return text;
    }
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// What the controls are called that the command line knows as options.
const NAMES: [(&str, &str); 48] = [
    ("--mixed-precision", "products"),
    ("--activations", "kept activations"),
    ("--gradient-checkpointing", "recomputed activations"),
    ("leave --format gguf out", "choose \"Merged model\""),
    ("use --dtype bf16 or --dtype f32", "choose the precision bf16 or f32"),
    ("go on with --resume", "press \"Go on\""),
    ("take another device with --device", "choose another device"),
    ("--completion-column", "the completion's key"),
    ("--sample-prompt", "sample"),
    ("--sample-tokens", "the sample's length"),
    ("--sample-every", "sample every"),
    ("--memory", "the memory allowed"),
    ("--data-format", "the rows' format"),
    ("--chat-template FILE", "a chat template under \"More\""),
    ("--train-on", "\"learned\""),
    ("--begin-token", "the begin token"),
    ("--columns", "the rows' columns"),
    ("--prompt-column", "the prompt's key"),
    ("--lora-plus-ratio", "B's rate"),
    ("--adapter-dropout", "dropout"),
    ("--max-grad-norm", "the gradient's norm"),
    ("--weight-decay", "weight decay"),
    ("--weights", "weights"),
    ("--packing", "\"pack short rows\""),
    ("--pad-blocks", "\"pad blocks\""),
    ("--batch-size", "batch"),
    ("--accumulate", "accumulate"),
    ("--eval-split", "held-out share"),
    ("--eval-every", "evaluate every"),
    ("--save-every", "save every"),
    ("--eval-data", "a held-out file"),
    ("--schedule", "schedule"),
    ("--init pissa", "\"PiSSA\""),
    ("--patience", "patience"),
    ("--targets", "targets"),
    ("--seq-len", "sequence"),
    ("--too-long", "longer rows"),
    ("--blocks", "blocks"),
    ("--warmup", "warm-up"),
    ("--method", "method"),
    ("--epochs", "epochs"),
    ("--device", "device"),
    ("--steps", "steps"),
    ("--dora", "\"DoRA\""),
    ("--alpha", "alpha"),
    ("--rank", "rank"),
    ("--out", "run folder"),
    ("--log", "logs"),
];

/// The text with the controls' names for the command line's options.
pub fn in_words(text: &str) -> String {
    let mut text = text.to_owned();
    for (option, name) in NAMES {
        text = text.replace(option, name);
    }
    text.replace("--seed", "seed").replace("--lr", "learning rate").replace("--model", "the model").replace("--data", "the rows")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_have_the_names_of_controls() {
        assert_eq!(sentence("--lr 0: must be a number above 0"), "Learning rate 0: must be a number above 0");
        assert_eq!(in_words("--batch-size 4 --accumulate 2 takes 1 GiB"), "batch 4 accumulate 2 takes 1 GiB");
        assert_eq!((sentence("").as_str(), sentence("q_proj [8, 8] cannot").as_str()), ("", "q_proj [8, 8] cannot"));
    }
}
