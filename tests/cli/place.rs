//! A model and rows, and room for what is made of them.

use crate::common::{Ended, diablo, line, shared, text};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// A reference case, and a folder to write into.
pub struct Place {
    pub case: PathBuf,
    pub folder: tempfile::TempDir,
}

impl Place {
    pub fn new() -> Option<Self> {
        Some(Self { case: shared("reference/llama-diablo")?, folder: tempfile::tempdir().unwrap() })
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn model(&self) -> String {
        text(&self.case.join("model")).to_owned()
    }

    pub fn data(&self) -> String {
        text(&self.case.join("train.jsonl")).to_owned()
    }

    /// A short run into `out`, with more options.
    pub fn train(&self, out: &str, more: &str) -> Ended {
        let (model, data, out) = (self.model(), self.data(), self.path(out));
        let run = "--blocks 4 --steps 20 --batch-size 4 --seq-len 128 --lr 2e-3 --schedule constant --no-shuffle";
        line(&format!("train --model {model} --data {data} --out {} {run} {more}", out.display()))
    }

    /// A copy of the model that may be spoilt.
    pub fn copy(&self, name: &str) -> PathBuf {
        let to = self.path(name);
        std::fs::create_dir(&to).unwrap();
        for entry in std::fs::read_dir(self.case.join("model")).unwrap() {
            let entry = entry.unwrap();
            // Read and written, not copied: the originals may be read-only.
            std::fs::write(to.join(entry.file_name()), std::fs::read(entry.path()).unwrap()).unwrap();
        }
        to
    }

    pub fn expected(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.case.join("expected.json")).unwrap()).unwrap()
    }

    pub fn generate(&self, model: &str, adapter: Option<&Path>) -> String {
        let expected = self.expected();
        let prompt = expected["prompt"].as_str().unwrap();
        let mut args = vec!["generate", "--model", model, "--prompt", prompt, "--max-new-tokens", "16", "--quiet"];
        if let Some(adapter) = adapter {
            args.extend(["--adapter", text(adapter)]);
        }
        diablo(&args).good()
    }
}

/// What lies in a folder.
pub fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Changes a file of JSON.
pub fn edit(path: &Path, change: impl FnOnce(&mut Value)) {
    let mut value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    change(&mut value);
    std::fs::write(path, value.to_string()).unwrap();
}
