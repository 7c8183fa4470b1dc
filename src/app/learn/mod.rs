//! Learn: a walk through the method. Each step has a figure, something to turn, and a part of the app that it speaks of.

mod figure;
mod steps;

use super::jobs::Slot;
use super::layout::{card, page, primary, split};
use super::opened::OpenModel;
use super::platform;
use super::shared::{Shared, Spot};
use super::theme::{space, tokens};
use super::trouble;
use crate::adapter::choose;
use crate::data::preview::{Piece, Preview};
use crate::data::{Options, Reading, TooLong};
use crate::demo::lesson::{self, Matrix};
use crate::device::Limits;
use crate::error::{Error, Result};
use crate::train::blocks::Blocks;
use crate::train::config::{Method, PROJECTIONS};
use crate::train::estimate::Estimate;
use eframe::egui::{self, Key, RichText, Sense, Ui, Vec2};

/// One step's words and the part of the app that it speaks of.
struct Step {
    title: &'static str,
    text: &'static str,
    spot: Spot,
    /// What "show me" leads to.
    shows: &'static str,
}

const STEPS: [Step; 7] = [
    Step {
        title: "A weight is a table of numbers",
        text: "A layer of a transformer multiplies what comes in by a table: each output is a row of the table times the input. This is a \
               corner of a table in the bundled model. Fine-tuning wants to change what the layer does. Frozen means: this table keeps \
               every one of its numbers, and what is learned is put beside it.",
        spot: Spot::Layers,
        shows: "the model's tables",
    },
    Step {
        title: "LoRA adds a thin product",
        text: "LoRA learns two thin matrices. Their product is as large as the table and is added to it. Few numbers train, but \
               together they can only say what a product of that rank can say: every row of it is a mixture of the same few rows.",
        spot: Spot::MethodChoice,
        shows: "the choice of the method",
    },
    Step {
        title: "DiaBlo adds blocks on the diagonal",
        text: "DiaBlo learns blocks that lie on the diagonal of a table of the same size; everywhere else it stays zero. There is no \
               product and nothing to initialise: the blocks start at zero and learn like any weight. More blocks are smaller blocks, and \
               N blocks have 1/N of the table's numbers.",
        spot: Spot::BlockCount,
        shows: "the number of blocks",
    },
    Step {
        title: "A block's gradient is a block of the gradient",
        text: "The gradient of each number of a table comes from one column of what went in and one column of what came back. So a \
               block's gradient needs only the columns that belong to it, and it is exactly the block that the full gradient would have \
               there. Nothing is approximated: a block learns as it would if the whole table learned, at 1/N of the work.",
        spot: Spot::Squares,
        shows: "the blocks of a run",
    },
    Step {
        title: "What it learns from",
        text: "A row is a prompt and a completion. The model reads all of it, but only the completion counts: the loss asks for each of \
               its tokens, given what stands before. Move the border and see what the model would be asked for. A border in the wrong \
               place is a fault that no curve shows.",
        spot: Spot::Tokens,
        shows: "the tokens of a row",
    },
    Step {
        title: "What N costs, and what it gives",
        text: "More blocks: fewer numbers to train, to keep gradients of, and to save. The frozen model and its activations stay, so on \
               a small model the memory falls little; on a large one the moments are what does not fit. The losses were measured with the \
               demo: with an eighth of the numbers it learns as well, with a sixtieth not much worse.",
        spot: Spot::Cost,
        shows: "what your run costs",
    },
    Step {
        title: "Now run it",
        text: "The demo teaches the bundled model to answer questions about animals that it has only read stories of. It takes a few \
               seconds. Watch the loss fall, look at the blocks that changed, then ask the model something before and after.",
        spot: Spot::Loss,
        shows: "the loss",
    },
];

/// What the walk shows of the bundled model.
struct Lesson {
    weight: Matrix,
    pieces: Vec<Piece>,
    /// By the number of blocks.
    costs: Vec<Cost>,
}

/// What a number of blocks costs.
struct Cost {
    blocks: usize,
    trainable: u64,
    memory: u64,
}

impl Lesson {
    fn open(home: &std::path::Path, reporter: &super::jobs::Reporter) -> Result<Self> {
        let files = platform::demo_files(home)?;
        let model = OpenModel::open(&files.model(), reporter)?;
        let (tokenizer, eos) = model.tokenizer()?;
        let preview =
            Preview::read(&files.train().into(), &Reading::default(), tokenizer, &Options { eos, ..Options::default() }, &|_, _| ())?;
        let row = preview.row(0, 64).ok_or_else(|| Error::input("the demo", "has no rows", ""))?;
        let cost = |n: usize| -> Result<Cost> {
            let mut run = files.config(Method::Diablo, 16, "cpu");
            run.blocks = Some(Blocks::One(n));
            let e = Estimate::new(&run, &model.source, &preview.lengths(run.seq_len), 0, Limits::NONE, None)?;
            Ok(Cost { blocks: n, trainable: e.trainable, memory: e.memory.total() })
        };
        let numbers = choose::workable(&model.source.config, &PROJECTIONS);
        Ok(Self {
            weight: lesson::weight(&files)?,
            pieces: row.pieces(tokenizer, TooLong::Cut, 64)?,
            costs: numbers.into_iter().map(cost).collect::<Result<_>>()?,
        })
    }
}

/// The page's own state.
#[derive(Default)]
pub struct LearnPage {
    at: usize,
    lesson: Slot<Lesson>,
    turned: steps::Turned,
}

impl LearnPage {
    /// Draws the page.
    pub fn ui(&mut self, ui: &mut Ui, shared: &mut Shared) {
        self.lesson.poll();
        let begun = self.lesson.value.is_some() || self.lesson.error.is_some() || self.lesson.is_running();
        if !begun && platform::is_demo_settled() {
            let home = shared.home.clone();
            self.lesson.start(ui.ctx(), move |reporter| Lesson::open(&home, reporter));
        }
        if ui.memory(|m| m.focused().is_none()) {
            let pressed = |key: Key| ui.input(|i| i.key_pressed(key));
            if pressed(Key::ArrowRight) {
                self.at = (self.at + 1).min(STEPS.len() - 1);
            }
            if pressed(Key::ArrowLeft) {
                self.at = self.at.saturating_sub(1);
            }
        }
        page(ui, "Learn", "How diagonal blocks work, in seven steps", |ui| {
            // In a small window the step itself is what there is room for; the arrows lead on.
            if ui.available_width() < 640.0 {
                return self.step(ui, shared);
            }
            split(ui, 250.0, &mut (self, shared), |ui, (page, _)| page.contents(ui), |ui, (page, shared)| page.step(ui, shared));
        });
    }

    fn contents(&mut self, ui: &mut Ui) {
        card(ui, "", |ui| {
            for (i, step) in STEPS.iter().enumerate() {
                if entry(ui, i, step.title, i == self.at).clicked() {
                    self.at = i;
                }
            }
        });
    }

    fn step(&mut self, ui: &mut Ui, shared: &mut Shared) {
        let step = &STEPS[self.at];
        let t = tokens(ui);
        card(ui, &format!("{} of {}: {}", self.at + 1, STEPS.len(), step.title), |ui| {
            ui.scope(|ui| {
                ui.set_max_width(700.0_f32.min(ui.available_width()));
                ui.label(RichText::new(step.text).color(t.text));
            });
            ui.add_space(space::LARGE);
            if let Some(error) = &self.lesson.error {
                trouble::show(ui, error);
            }
            match &self.lesson.value {
                Some(lesson) => self.turned.figure(ui, self.at, lesson, shared),
                None => {
                    ui.add(egui::Spinner::new().color(t.accent));
                }
            }
            ui.add_space(space::LARGE);
            ui.horizontal_wrapped(|ui| {
                if ui.add_enabled(self.at > 0, egui::Button::new("‹ Back")).clicked() {
                    self.at -= 1;
                }
                let last = self.at + 1 == STEPS.len();
                if !last && primary(ui, true, "Next ›").clicked() {
                    self.at += 1;
                }
                let show = ui
                    .button(format!("Show me {}", step.shows))
                    .on_hover_text(format!("Goes to {} and outlines it", step.spot.view().name()));
                if show.clicked() {
                    shared.spotlight = Some(step.spot);
                    shared.go(step.spot.view());
                }
            });
        });
    }
}

/// One line of the walk's contents.
fn entry(ui: &mut Ui, index: usize, title: &str, chosen: bool) -> egui::Response {
    let t = tokens(ui);
    let colour = if chosen { t.text_strong } else { t.text };
    let font = egui::TextStyle::Body.resolve(ui.style());
    let galley = ui.painter().layout(title.to_owned(), font.clone(), colour, ui.available_width() - 40.0);
    let size = Vec2::new(ui.available_width(), galley.size().y + 12.0);
    let (rect, response) = ui.allocate_exact_size(size, Sense::CLICK);
    response.widget_info(|| egui::WidgetInfo::selected(egui::Role::Tab, true, chosen, title));
    if chosen || response.hovered() || response.has_focus() {
        ui.painter().rect_filled(rect, space::RADIUS, if chosen { t.accent_soft } else { t.raised });
    }
    let number = egui::pos2(rect.left() + 14.0, rect.center().y);
    ui.painter().text(number, egui::Align2::CENTER_CENTER, index + 1, font, if chosen { t.accent } else { t.text_weak });
    ui.painter().galley(egui::pos2(rect.left() + 30.0, rect.top() + 6.0), galley, colour);
    response
}
