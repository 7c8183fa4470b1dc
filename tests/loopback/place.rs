//! A hub on this machine, and somebody's home to fetch into.

use super::Loopback;
use crate::common::{self, Ended, end};
use std::path::{Path, PathBuf};
use std::process::Command;

pub const MODEL: &str = "Demo/Model-1M";
pub const WEIGHTS: &str = "model.safetensors";

/// A hub, and somebody's home.
pub struct Place {
    pub hub: Loopback,
    pub folder: tempfile::TempDir,
}

pub fn asset(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/demo").join(name)).unwrap()
}

/// The bundled model, and what a repository has beside.
pub fn model_files() -> Vec<(&'static str, Vec<u8>)> {
    let own = ["config.json", "tokenizer.json", "tokenizer_config.json", WEIGHTS];
    let own = own.into_iter().map(|file| (file, asset(&format!("model/{file}"))));
    let others = ["README.md", ".gitattributes", "pytorch_model.bin", "onnx/model.onnx"].map(|file| (file, b"not wanted".to_vec()));
    own.chain(others).collect()
}

/// So many of the demo's rows.
pub fn rows(from: usize, count: usize) -> Vec<u8> {
    let all = String::from_utf8(asset("train.jsonl")).unwrap();
    all.lines().skip(from).take(count).flat_map(|line| [line.as_bytes(), b"\n"].concat()).collect()
}

impl Place {
    /// A hub with the bundled model.
    pub fn new() -> Self {
        let place = Self { hub: Loopback::start(), folder: tempfile::tempdir().unwrap() };
        place.hub.put("models", MODEL, 1, &model_files(), &[WEIGHTS]);
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn cache(&self) -> PathBuf {
        self.path("home/hub")
    }

    pub fn snapshot(&self, version: u8) -> PathBuf {
        self.cache().join("models--Demo--Model-1M/snapshots").join(format!("{version:02x}").repeat(20))
    }

    /// The program at this hub's door.
    pub fn command(&self, args: &str) -> Command {
        let mut command = common::command(&args.split_whitespace().collect::<Vec<_>>());
        self.at_home(&mut command);
        command
    }

    pub fn at_home(&self, command: &mut Command) {
        for name in ["HF_TOKEN", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"] {
            command.env_remove(name);
        }
        command.env("HF_ENDPOINT", self.hub.endpoint()).env("HF_HOME", self.path("home")).env("NO_PROXY", "127.0.0.1");
        command.current_dir(self.folder.path());
    }

    pub fn run(&self, args: &str) -> Ended {
        end(self.command(args))
    }

    pub fn offline(&self, args: &str) -> Ended {
        let mut command = self.command(args);
        command.env("HF_HUB_OFFLINE", "1");
        end(command)
    }

    pub fn info(&self) -> Ended {
        self.run(&format!("info --model {MODEL}"))
    }
}
