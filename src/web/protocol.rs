//! What a page and its worker say to each other.
//!
//! ```text
//! page    {"command": "demo", "method": "diablo"}
//! worker  {"message": "options", "run": {...}}
//! page    {"command": "start", "run": {...}}              or "run": "steps = 20\n..." as in run.toml
//! worker  {"message": "event", "event": "started", ...}   and so on, the events of a run
//! page    {"command": "stop"}
//! worker  {"message": "event", "event": "finished", ...}
//! worker  {"message": "ended", "interrupted": true, ...}
//! ```

use crate::error::{Error, Result};
use crate::train::config::Method;
use crate::train::{Event, Outcome, RunConfig};
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
    /// Trains. Answered by events, and at last by [`Message::Ended`] or [`Message::Failed`].
    Start {
        /// The run's options: an object with the keys of `run.toml`, or the text of one.
        run: serde_json::Value,
        /// Goes on with the run that its folder holds.
        #[serde(default)]
        resume: bool,
    },
    /// Ends the run after the step it is at; it is saved and can go on.
    Stop,
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
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "message", rename_all = "snake_case")]
pub enum Message {
    /// It takes commands from now on.
    Ready {
        /// The program's version.
        version: &'static str,
    },
    /// Something happened in the run.
    Event(Event),
    /// Options to start from.
    Options {
        /// The options, resolved.
        run: Box<RunConfig>,
    },
    /// The run is over, by itself or because it was stopped.
    Ended(Outcome),
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
    /// A command could not be done. The worker goes on, unless this is the program's own fault.
    Failed {
        /// What is wrong, with its place.
        what: String,
        /// What to do about it.
        hint: Option<String>,
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
    /// The message as JSON.
    pub fn to_json(&self) -> String {
        // Only a path that is no text can fail, and there are none in a browser.
        serde_json::to_string(self).unwrap_or_else(|e| format!("{{\"message\":\"failed\",\"what\":\"{}\",\"fatal\":false}}", e.line()))
    }
}

impl From<Error> for Message {
    fn from(error: Error) -> Self {
        Self::Failed { what: error.to_string(), hint: error.hint().map(str::to_owned), fatal: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn commands_are_read_and_faults_named() {
        let command = Command::from_json(r#"{"command": "start", "run": "steps = 3\nmodel = '/demo/model'"}"#).expect("reads");
        let Command::Start { run, resume } = command else { panic!("{command:?}") };
        let options = |run: &serde_json::Value| super::options(run, resume);
        let config = options(&run).expect("options");
        assert_eq!((config.steps, config.model.to_str(), config.resume), (Some(3), Some("/demo/model"), false));
        assert_eq!(options(&json!({"steps": 3, "model": "/demo/model"})).expect("options"), config);
        assert!(super::options(&run, true).expect("options").resume);
        let fault = |run: serde_json::Value| options(&run).expect_err("refused").to_string();
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
    }
}
