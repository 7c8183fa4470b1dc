//! Model: choose one, and see what it is before anything is trained.

use super::layout::{card, facts, gap, grouped, next, page_with, primary, split, wide_facts, working};
use super::platform::{self, Ask};
use super::shared::{Shared, Spot, View};
use super::theme::{space, tokens};
use super::trouble;
use crate::device::human_bytes;
use crate::model::outline::Part;
use eframe::egui::{self, Align, Layout, RichText, Sense, Ui, Vec2};
use std::path::{Path, PathBuf};

/// The page's own state.
#[derive(Default)]
pub struct ModelPage {
    /// What stands in the field.
    path: String,
    /// The folder that the field was last filled with.
    shown: PathBuf,
    dialog: Option<super::jobs::Job<Option<PathBuf>>>,
}

impl ModelPage {
    /// Draws the page.
    pub fn ui(&mut self, ui: &mut Ui, shared: &mut Shared) {
        if self.shown != shared.run.model {
            self.shown.clone_from(&shared.run.model);
            self.path = self.shown.display().to_string();
        }
        if let Some(answer) = self.dialog.as_mut().and_then(super::jobs::Job::poll) {
            self.dialog = None;
            if let Ok(Some(folder)) = answer {
                shared.open_model(ui.ctx(), folder);
            }
        }
        let actions = |ui: &mut Ui, (_, shared): &mut (&mut Self, &mut Shared)| next(ui, shared.model.value.is_some(), shared, View::Data);
        page_with(ui, "Model", "What is fine-tuned", &mut (self, shared), actions, |ui, both| {
            split(
                ui,
                360.0,
                both,
                |ui, (page, shared)| {
                    page.picker(ui, shared);
                    recent(ui, shared);
                },
                |ui, (_, shared)| match shared.model.value.clone() {
                    Some(model) => {
                        card(ui, &model.name, |ui| describe(ui, &model));
                        gap(ui);
                        let (response, ()) = card(ui, "Layers", |ui| layers(ui, &model.source.config.outline()));
                        shared.light_up(ui, Spot::Layers, response.rect);
                    }
                    None => explain(ui, shared),
                },
            );
        });
    }

    fn picker(&mut self, ui: &mut Ui, shared: &mut Shared) {
        card(ui, "Open", |ui| {
            let locked = shared.status.state.is_active();
            ui.add_enabled_ui(!locked, |ui| {
                let field = egui::TextEdit::singleline(&mut self.path)
                    .hint_text(if platform::IS_PAGE { "a model's folder" } else { "a model's folder, or owner/name on the hub" })
                    .desired_width(f32::INFINITY);
                let typed = ui.add(field).on_hover_text("A folder with config.json, tokenizer.json and safetensors");
                let entered = typed.lost_focus() && ui.input(|i| i.key_pressed(egui::Key::Enter));
                ui.add_space(space::TIGHT);
                ui.horizontal_wrapped(|ui| {
                    if ui.button("Browse…").clicked() {
                        self.dialog = Some(platform::pick(ui.ctx(), Ask::Folder, "Open a model's folder", Some(&shared.run.model)));
                    }
                    let path = self.path.trim();
                    let other = !path.is_empty() && (Path::new(path) != shared.run.model || shared.model.error.is_some());
                    if ui.add_enabled(other, egui::Button::new("Open")).clicked() || (entered && other) {
                        shared.open_model(ui.ctx(), PathBuf::from(path));
                    }
                    let text = "Open the bundled demo";
                    let none = shared.model.value.is_none();
                    if (if none { primary(ui, true, text) } else { ui.button(text) }).clicked() {
                        shared.open_demo(ui.ctx());
                    }
                });
            });
            if locked {
                ui.label(RichText::new("A run is going on; it keeps its model.").color(tokens(ui).text_weak));
            }
            if let Some(progress) = shared.model.progress() {
                ui.add_space(space::TIGHT);
                working(ui, &progress);
            }
            if let Some(error) = &shared.model.error {
                ui.add_space(space::SMALL);
                trouble::show(ui, error);
            }
            if let Some(Err(error)) = shared.model.value.as_ref().map(|m| m.tokenizer()) {
                ui.add_space(space::SMALL);
                trouble::show(ui, &error);
            }
        });
    }
}

/// Models of earlier days.
fn recent(ui: &mut Ui, shared: &mut Shared) {
    let models: Vec<PathBuf> = shared.settings.models.clone();
    if models.is_empty() {
        return;
    }
    gap(ui);
    let enabled = !shared.status.state.is_active();
    card(ui, "Recent", |ui| {
        ui.add_enabled_ui(enabled, |ui| {
            for folder in models {
                if path_entry(ui, &folder, folder == shared.run.model).clicked() {
                    shared.open_model(ui.ctx(), folder);
                }
            }
        });
    });
}

/// A path to click: its own name, and the folder that it is in.
pub fn path_entry(ui: &mut Ui, path: &Path, chosen: bool) -> egui::Response {
    let t = tokens(ui);
    let name = path.file_name().map_or_else(|| path.display().to_string(), |n| n.to_string_lossy().into_owned());
    let folder = path.parent().map(|p| p.display().to_string()).unwrap_or_default();
    let (rect, response) = ui.allocate_exact_size(Vec2::new(ui.available_width(), 36.0), Sense::CLICK);
    response.widget_info(|| egui::WidgetInfo::selected(egui::Role::Button, ui.is_enabled(), chosen, format!("Open {name}")));
    if chosen || response.hovered() || response.has_focus() {
        ui.painter().rect_filled(rect, space::RADIUS, if chosen { t.accent_soft } else { t.raised });
    }
    let builder = egui::UiBuilder::new().max_rect(rect.shrink2(Vec2::new(space::SMALL, 2.0))).layout(Layout::top_down(Align::Min));
    let mut inside = ui.new_child(builder);
    inside.spacing_mut().item_spacing.y = 0.0;
    let line = |text: RichText| egui::Label::new(text).truncate().selectable(false);
    inside.add(line(RichText::new(name).color(t.text)));
    inside.add(line(RichText::new(folder).small().color(t.text_weak)));
    response.on_hover_text(path.display().to_string())
}

fn describe(ui: &mut Ui, model: &super::opened::OpenModel) {
    let (source, c) = (&model.source, &model.source.config);
    let bytes = source.checkpoint().map_or(0, crate::model::Checkpoint::total_bytes);
    let tokenizer = match model.tokenizer() {
        Ok((tokenizer, eos)) => {
            let end = tokenizer.id_to_token(eos).unwrap_or_else(|| eos.to_string());
            format!("{} tokens; rows end with {end}", grouped(tokenizer.vocab_size() as u64))
        }
        Err(_) => "none that fits".into(),
    };
    let heads = if c.num_key_value_heads == c.num_attention_heads {
        format!("{} of {}", c.num_attention_heads, c.head_dim)
    } else {
        format!("{} of {}; {} for keys and values", c.num_attention_heads, c.head_dim, c.num_key_value_heads)
    };
    wide_facts(
        ui,
        "model facts",
        &[
            ("Architecture", format!("{:?}", c.architecture)),
            ("Parameters", grouped(c.num_parameters())),
            ("Precision", source.dtype().name().to_lowercase()),
            ("Size", human_bytes(bytes)),
            ("Shape", format!("{} layers, width {}, inside the MLP {}", c.num_hidden_layers, c.hidden_size, c.intermediate_size)),
            ("Heads", heads),
            (
                "Vocabulary",
                format!("{}{}", grouped(c.vocab_size as u64), if c.tie_word_embeddings { "; output tied to the table" } else { "" }),
            ),
            ("Context", format!("{} tokens", grouped(c.max_position_embeddings as u64))),
            ("Tokenizer", tokenizer),
            ("Folder", source.folder.display().to_string()),
        ],
    );
}

/// The tensors, those of all layers told once, with their share of the whole.
fn layers(ui: &mut Ui, parts: &[Part]) {
    let t = tokens(ui);
    let whole = parts.iter().map(|p| p.elements).sum::<u64>().max(1) as f32;
    let bar_width = (ui.available_width() - 560.0).clamp(60.0, 240.0);
    egui::ScrollArea::horizontal().id_salt("layers scroll").show(ui, |ui| {
        egui::Grid::new("layers").num_columns(5).min_row_height(20.0).spacing(Vec2::new(space::LARGE, space::TIGHT)).striped(true).show(
            ui,
            |ui| {
                for name in ["Tensor", "Shape", "Layers", "Numbers", "Share"] {
                    ui.label(RichText::new(name).color(t.text_weak));
                }
                ui.end_row();
                for part in parts {
                    ui.label(RichText::new(&part.name).monospace().color(t.text));
                    ui.label(part.shape.iter().map(usize::to_string).collect::<Vec<_>>().join(" × "));
                    ui.label(if part.copies > 1 { part.copies.to_string() } else { String::new() });
                    ui.with_layout(Layout::right_to_left(Align::Center), |ui| ui.label(grouped(part.elements)));
                    share_bar(ui, part.elements as f32 / whole, bar_width);
                    ui.end_row();
                }
            },
        );
    });
}

fn share_bar(ui: &mut Ui, share: f32, width: f32) {
    let t = tokens(ui);
    ui.horizontal(|ui| {
        let (rect, _) = ui.allocate_exact_size(Vec2::new(width, 8.0), Sense::empty());
        ui.painter().rect_filled(rect, 2.0, t.raised);
        let part = rect.with_max_x(rect.left() + (share * rect.width()).max(1.0));
        ui.painter().rect_filled(part, 2.0, t.accent);
        ui.label(RichText::new(format!("{:.1}%", 100.0 * share)).small().color(t.text_weak));
    });
}

/// What a model is, for who has none.
fn explain(ui: &mut Ui, shared: &mut Shared) {
    let t = tokens(ui);
    card(ui, "Which models work", |ui| {
        ui.label("A folder in Hugging Face layout: config.json, tokenizer.json and one or more safetensors files, as it is downloaded.");
        if !platform::IS_PAGE {
            ui.label("Or its name on the hub, such as Qwen/Qwen3-0.6B: it is fetched, and kept where Python keeps it.");
        }
        ui.add_space(space::SMALL);
        facts(
            ui,
            "families",
            &[
                ("Llama", "Llama, SmolLM2, TinyLlama and others of that shape".into()),
                ("Qwen2", "Qwen2, Qwen2.5".into()),
                ("Qwen3", "Qwen3 (dense)".into()),
                ("Gemma", "Gemma 3 for text: 270M, 1B".into()),
                ("Mistral", "Mistral, with or without a sliding window".into()),
                ("Phi", "Phi-3, without longrope".into()),
                ("GPT-2", "GPT-2".into()),
                ("Precision", "f32, bf16 or f16, kept as it is".into()),
            ],
        );
        ui.add_space(space::SMALL);
        ui.label(RichText::new("Drop the folder onto this window, browse for it, or begin with the bundled demo: a small model that has read stories about animals and has never seen a question.").color(t.text_weak));
        ui.add_space(space::SMALL);
        if ui.link("New to this? Take the walk").clicked() {
            shared.go(View::Learn);
        }
    });
}
