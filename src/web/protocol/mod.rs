//! What a page and its worker say to each other.
//!
//! ```text
//! page    {"command": "demo", "method": "diablo"}
//! worker  {"message": "options", "run": {...}}
//! page    {"command": "start", "run": {...}}              or "run": "steps = 20\n..." as in run.toml
//! worker  {"message": "state", "state": "preparing"}
//! worker  {"message": "event", "event": "started", ...}   and so on, the events of a run
//! page    {"command": "pause"}
//! worker  {"message": "state", "state": "paused"}
//! page    {"command": "stop"}
//! worker  {"message": "event", "event": "finished", ...}
//! worker  {"message": "ended", "interrupted": true, ...}
//! worker  {"message": "state", "state": "ended"}
//! ```

mod layers;

use super::parcel::Parcel;
use super::talk::Said;
use crate::device::gpu::AdapterReport;
use crate::error::{Error, Result};
use crate::generate::together::Question;
use crate::model::gguf::Encoding;
use crate::train::config::Method;
use crate::train::driver::{News, Order, State};
use crate::train::{Event, Outcome, RunConfig};
use layers::site;
pub use layers::{Cell, Moved};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What the page asks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Command {
    /// The demo's options, whose files lie in `/demo` by then. Answered by [`Message::Options`].
    Demo {
        /// What is to train.
        method: Method,
    },
    /// Asks what can compute here. Answered by [`Message::Devices`].
    Devices,
    /// Trains. Answered by the news of a run. What an earlier run left to be looked at is forgotten.
    Start {
        /// The run's options: an object with the keys of `run.toml`, or the text of one.
        run: serde_json::Value,
        /// Goes on with the run that its folder holds.
        #[serde(default)]
        resume: bool,
    },
    /// Stand still after the step that goes on.
    Pause,
    /// Go on.
    Continue,
    /// One step, then stand still.
    Step,
    /// Save and end.
    Stop,
    /// How far has each layer moved? Answered by [`Message::Changes`].
    Changes,
    /// One cell in full. Answered by [`Message::Cell`].
    Cell {
        /// Decoder layer.
        layer: usize,
        /// Its linear layer.
        module: String,
        /// Row and column of the cell.
        at: (usize, usize),
    },
    /// Asks a model, and adapters beside it. Answered by [`Message::Said`], many times.
    Talk {
        /// A number that comes back with every part of the answer.
        turn: u64,
        /// The model's folder.
        model: PathBuf,
        /// What it computes on.
        device: String,
        /// What is asked.
        question: Question,
    },
    /// Ends the answer that is being given.
    Hush,
    /// Puts a run together to be taken away. Answered by [`Message::Exported`] with the bytes beside it.
    Export {
        /// The run's folder.
        run: PathBuf,
        /// What is taken.
        parcel: Parcel,
        /// The type of merged weights; none for the model's own. Types in blocks are GGUF's alone.
        dtype: Option<Encoding>,
    },
    /// Asks for a file. Answered by [`Message::File`] with the bytes beside it.
    Read {
        /// The file.
        path: PathBuf,
    },
    /// Asks for the names of all files below a folder. Answered by [`Message::Files`].
    List {
        /// The folder.
        folder: PathBuf,
    },
    /// Forgets a file or a folder.
    Remove {
        /// The file or folder.
        path: PathBuf,
    },
}

/// What the worker says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "message", rename_all = "snake_case")]
pub enum Message {
    /// It takes commands from now on.
    Ready {
        /// The program's version.
        version: String,
    },
    /// What can compute here, beside the CPU executor.
    Devices {
        /// The browser's adapter, if it has one.
        adapters: Vec<serde_json::Value>,
        /// The one that `auto` takes; none for the CPU executor.
        chosen: Option<usize>,
        /// Why that one.
        why: String,
    },
    /// Options to start from.
    Options {
        /// The options, resolved.
        run: Box<RunConfig>,
    },
    /// Something happened in the run.
    Event(Event),
    /// The run does something else now.
    State {
        /// What.
        state: State,
    },
    /// How far the layers have moved.
    Changes {
        /// One for each linear layer that the method moves.
        sites: Vec<Moved>,
    },
    /// One cell in full.
    Cell(Box<Cell>),
    /// The run is over, by itself or because it was stopped.
    Ended(Outcome),
    /// Something of an answer.
    Said {
        /// The question's number.
        turn: u64,
        /// What.
        said: Said,
    },
    /// Whether what runs write is kept when the page is closed.
    Storage {
        /// Whether it is.
        kept: bool,
        /// Why not.
        why: Option<String>,
    },
    /// The storage has taken so many files.
    Kept {
        /// How many.
        files: usize,
    },
    /// The bytes of a `.tar` or `.gguf` file stand beside this, for the visitor.
    Exported {
        /// Its name.
        name: String,
        /// Its size.
        bytes: u64,
        /// What a person should know.
        #[serde(default)]
        notes: Vec<String>,
        /// The Modelfile that Ollama wants beside a `.gguf` file.
        #[serde(default)]
        modelfile: Option<String>,
    },
    /// A run could not be put together.
    NotExported {
        /// What is wrong.
        what: String,
        /// What to do about it.
        hint: String,
    },
    /// A file's bytes stand beside this.
    File {
        /// The file.
        path: PathBuf,
    },
    /// The names asked for.
    Files {
        /// The folder.
        folder: PathBuf,
        /// Every file below it, whole paths.
        paths: Vec<PathBuf>,
    },
    /// A command could not be done, or the run failed. The worker goes on, unless this is the program's own fault.
    Failed {
        /// What is wrong, with its place.
        what: String,
        /// What to do about it; may be empty.
        hint: String,
        /// Whether the program broke down and the worker must be started anew.
        fatal: bool,
    },
}

impl Command {
    /// Reads a command.
    ///
    /// # Errors
    /// Where the text is none.
    pub fn from_json(text: &str) -> Result<Self> {
        serde_json::from_str(text).map_err(|e| Error::input("command", e.to_string(), ""))
    }

    /// The command as JSON.
    pub fn to_json(&self) -> String {
        json(self)
    }

    /// The order to a run that this is, if it is one.
    ///
    /// # Errors
    /// Where it names a layer that there is not.
    pub fn order(&self) -> Result<Option<Order>> {
        Ok(Some(match self {
            Self::Pause => Order::Pause,
            Self::Continue => Order::Continue,
            Self::Step => Order::Step,
            Self::Stop => Order::Stop,
            Self::Changes => Order::Changes,
            Self::Cell { layer, module, at } => Order::Cell(site(*layer, module)?, *at),
            _ => return Ok(None),
        }))
    }
}

impl From<Order> for Command {
    fn from(order: Order) -> Self {
        match order {
            Order::Pause => Self::Pause,
            Order::Continue => Self::Continue,
            Order::Step => Self::Step,
            Order::Stop => Self::Stop,
            Order::Changes => Self::Changes,
            Order::Cell(site, at) => Self::Cell { layer: site.layer, module: site.module.into(), at },
        }
    }
}

/// The options of a [`Command::Start`].
///
/// # Errors
/// Names the key, and in a text the line, that is wrong.
pub fn options(run: &serde_json::Value, resume: bool) -> Result<RunConfig> {
    let run = match run {
        serde_json::Value::String(text) => RunConfig::from_toml(text, "options")?,
        other => RunConfig::deserialize(other).map_err(|e| Error::input("options", e.to_string(), ""))?,
    };
    Ok(RunConfig { resume, ..run })
}

impl Message {
    /// Reads a message.
    ///
    /// # Errors
    /// Where the text is none.
    pub fn from_json(text: &str) -> Result<Self> {
        serde_json::from_str(text).map_err(|e| Error::input("message", e.to_string(), ""))
    }

    /// The message as JSON.
    pub fn to_json(&self) -> String {
        json(self)
    }

    /// What can compute here.
    pub fn devices(reports: &[AdapterReport], chosen: Option<usize>, why: String) -> Self {
        Self::Devices { adapters: reports.iter().filter_map(|r| serde_json::to_value(r).ok()).collect(), chosen, why }
    }

    /// The news of a run that this is, if it is one.
    pub fn news(self) -> Option<News> {
        Some(match self {
            Self::Event(event) => News::Event(event),
            Self::State { state } => News::State(state),
            Self::Changes { sites } => News::Changes(sites.into_iter().filter_map(Moved::change).collect()),
            Self::Cell(cell) => News::Cell(Box::new(cell.values()?)),
            Self::Ended(outcome) => News::Ended(outcome),
            Self::Failed { what, hint, .. } => News::Failed(Error::usage(what, hint)),
            _ => return None,
        })
    }
}

/// Only a path that is no text cannot be written, and a browser has none.
fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

impl From<News> for Message {
    fn from(news: News) -> Self {
        match news {
            News::Event(event) => Self::Event(event),
            News::State(state) => Self::State { state },
            News::Changes(sites) => Self::Changes { sites: sites.into_iter().map(Moved::from).collect() },
            News::Cell(cell) => Self::Cell(Box::new((*cell).into())),
            News::Failed(error) => error.into(),
            News::Ended(outcome) => Self::Ended(outcome),
        }
    }
}

impl From<Error> for Message {
    fn from(error: Error) -> Self {
        Self::Failed { what: error.to_string(), hint: error.hint().unwrap_or_default().to_owned(), fatal: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapter::change::Cells;
    use crate::model::weights::Site;
    use crate::train::inspect::{CellValues, SiteChange};
    use crate::train::metrics::StepMetrics;
    use serde_json::json;

    #[test]
    fn commands_are_read_and_faults_named() {
        let command = Command::from_json(r#"{"command": "start", "run": "steps = 3\nmodel = '/demo/model'"}"#).expect("reads");
        let Command::Start { run, resume } = command else { panic!("{command:?}") };
        let read = |run: &serde_json::Value| options(run, resume);
        let config = read(&run).expect("options");
        assert_eq!((config.steps, config.model.to_str(), config.resume), (Some(3), Some("/demo/model"), false));
        assert_eq!(read(&json!({"steps": 3, "model": "/demo/model"})).expect("options"), config);
        assert!(options(&run, true).expect("options").resume);
        let fault = |run: serde_json::Value| read(&run).expect_err("refused").to_string();
        assert!(fault(json!("\nstesp = 3")).contains("options: line 2: unknown key 'stesp'"));
        assert!(fault(json!({"stesp": 3})).contains("unknown field `stesp`"));
        assert!(Command::from_json("{}").is_err());
        assert!(Command::from_json(r#"{"command": "fly"}"#).expect_err("unknown").to_string().contains("fly"));
        let stop = Command::from_json(r#"{"command": "stop"}"#).expect("reads");
        assert_eq!(Command::from_json(&serde_json::to_string(&stop).expect("writes")).expect("reads"), stop);
    }

    #[test]
    fn messages_say_what_they_are() {
        let note = Message::Event(Event::note("so far"));
        assert_eq!(note.to_json(), r#"{"message":"event","event":"note","text":"so far"}"#);
        let failed = Message::from(Error::usage("no", "do this"));
        assert_eq!(failed.to_json(), r#"{"message":"failed","what":"no","hint":"do this","fatal":false}"#);
        let state = Message::from(News::State(State::Preparing));
        assert_eq!(state.to_json(), r#"{"message":"state","state":"preparing"}"#);
    }

    #[test]
    fn news_and_orders_come_through_whole() {
        let site = Site { layer: 3, module: "down_proj" };
        let step = StepMetrics { step: 7, loss: 0.1, grad_norm: f32::NAN, tokens_per_second: 1e3, ..StepMetrics::default() };
        let change = SiteChange { site, cells: Cells { d_out: 4, d_in: 6, grid: 2 }, change: vec![0.1, 0.0], weight: vec![1.0] };
        let cell = CellValues {
            site,
            at: (1, 1),
            origin: (2, 3),
            shape: (2, 3),
            change: vec![0.5; 6],
            gradient: Some(vec![-1.0; 6]),
            weight: Vec::new(),
        };
        let outcome = Outcome { steps: 9, interrupted: true, best_eval_loss: Some(0.5), last_eval_loss: None, seconds: 1.5, tokens: 4 };
        let all = [
            News::Event(Event::Step(step)),
            News::Event(Event::Eval { step: 1, loss: 1.0, perplexity: 2.0, best: true }),
            News::Event(Event::Checkpoint { step: 1, path: "/runs/a".into() }),
            News::State(State::Paused),
            News::Changes(vec![change]),
            News::Cell(Box::new(cell)),
            News::Ended(outcome),
            News::Failed(Error::usage("no", "do this")),
        ];
        for news in all {
            let said = format!("{news:?}");
            let back = Message::from_json(&Message::from(news).to_json()).expect(&said).news().expect(&said);
            assert_eq!(format!("{back:?}"), said);
        }
        let orders = [Order::Pause, Order::Continue, Order::Step, Order::Stop, Order::Changes, Order::Cell(site, (0, 1))];
        for order in orders {
            let command = Command::from_json(&Command::from(order.clone()).to_json()).expect("reads");
            assert_eq!(command.order().expect("is one"), Some(order));
        }
        let nowhere = Command::Cell { layer: 0, module: "nose".into(), at: (0, 0) };
        assert!(nowhere.order().expect_err("refused").to_string().contains("\"nose\" is none of"));
        assert_eq!(Command::Devices.order().expect("is none"), None);
    }
}
