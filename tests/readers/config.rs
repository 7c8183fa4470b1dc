//! config.json of every family, and what a window tells about such a model before anything of it is read.

use super::told;
use diablo::device::Limits;
use diablo::model::{ModelConfig, Source};
use diablo::train::RunConfig;
use diablo::train::config::Method;
use diablo::train::estimate::Estimate;
use std::path::Path;

/// Laying out more of them takes longer than a look is worth here.
const LAYERS: usize = 3;

pub fn read(_: &Path, bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Some(config) = told(ModelConfig::from_json(text, "config.json")) else { return };
    let written = serde_json::to_string(&config.raw).expect("JSON");
    let again = ModelConfig::from_json(&written, "again").expect("reads what it read");
    assert_eq!(format!("{config:?}"), format!("{again:?}"));
    let parameters = config.parameter_list();
    assert_eq!(parameters.iter().map(|p| p.elements()).sum::<u64>(), config.num_parameters());
    assert!(config.modules().len() <= 7 && !config.outline().is_empty());
    if config.num_hidden_layers > LAYERS {
        return;
    }
    let source = Source::drawn(config);
    for method in [Method::Diablo, Method::Lora, Method::Full] {
        told(Estimate::new(&RunConfig { method, ..RunConfig::default() }, &source, &[], 0, Limits::NONE, None));
    }
}
