//! What the app remembers from one start to the next, through eframe's storage.

use super::shared::View;
use crate::train::RunConfig;
use eframe::egui::ThemePreference;
use std::path::{Path, PathBuf};

/// Entries of a list of recent things.
const RECENT: usize = 8;
/// The storage's key.
const KEY: &str = "diablo.settings";

/// Everything that is remembered. Fields that a later version adds start as their defaults.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Light, dark, or as the system has it.
    pub theme: ThemePreference,
    /// The page that was open.
    pub view: View,
    /// Models, the newest first.
    pub models: Vec<PathBuf>,
    /// Files of rows, the newest first.
    pub data: Vec<PathBuf>,
    /// Run folders, the newest first.
    pub runs: Vec<PathBuf>,
    /// The last run's options, as run.toml has them.
    run: String,
}

impl Settings {
    /// Reads what was stored, and the last run's options.
    pub fn load(storage: Option<&dyn eframe::Storage>) -> (Self, RunConfig) {
        let settings: Self = storage.and_then(|s| eframe::get_value(s, KEY)).unwrap_or_default();
        // Options that a newer or older version does not understand are no reason not to open.
        let run = RunConfig::from_toml(&settings.run, "the last run").unwrap_or_default();
        (settings, run)
    }

    /// Stores it.
    pub fn save(&self, storage: &mut dyn eframe::Storage, run: &RunConfig) {
        let settings = Self { run: run.to_toml_string().unwrap_or_default(), ..self.clone() };
        eframe::set_value(storage, KEY, &settings);
    }

    /// Puts a model first among the recent ones.
    pub fn remember_model(&mut self, folder: &Path) {
        put_first(&mut self.models, folder);
    }

    /// Puts a file of rows first among the recent ones.
    pub fn remember_data(&mut self, file: &Path) {
        put_first(&mut self.data, file);
    }

    /// Puts a run first among the recent ones.
    pub fn remember_run(&mut self, folder: &Path) {
        put_first(&mut self.runs, folder);
    }
}

fn put_first(list: &mut Vec<PathBuf>, path: &Path) {
    list.retain(|p| p != path);
    list.insert(0, path.to_path_buf());
    list.truncate(RECENT);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Memory(std::collections::HashMap<String, String>);

    impl eframe::Storage for Memory {
        fn get_string(&self, key: &str) -> Option<String> {
            self.0.get(key).cloned()
        }
        fn set_string(&mut self, key: &str, value: String) {
            self.0.insert(key.into(), value);
        }
        fn remove_string(&mut self, key: &str) {
            self.0.remove(key);
        }
        fn flush(&mut self) {}
    }

    #[test]
    fn what_was_saved_comes_back() {
        let mut storage = Memory::default();
        let mut settings = Settings { theme: ThemePreference::Light, view: View::Method, ..Settings::default() };
        (0..20).for_each(|i| settings.remember_model(Path::new(&format!("m{}", i % 10))));
        let run =
            RunConfig { model: "m".into(), blocks: Some(crate::train::blocks::Blocks::One(8)), lr: Some(0.5), ..RunConfig::default() };
        settings.save(&mut storage, &run);
        let (back, run_back) = Settings::load(Some(&storage));
        assert_eq!(
            (back.theme, back.view, back.models.len(), back.models[0].as_path()),
            (settings.theme, settings.view, RECENT, Path::new("m9"))
        );
        assert_eq!(run_back, run);
        storage.0.insert(KEY.into(), "(theme: nonsense".into());
        assert_eq!(Settings::load(Some(&storage)), (Settings::default(), RunConfig::default()));
        assert_eq!(Settings::load(None).1, RunConfig::default());
    }
}
