//! Adapters on disk: `adapter_config.json` and `adapter_model.safetensors`, as peft writes and reads them.

use super::patterns::Patterns;
use super::spec::{Kind, Spec};
use super::{Installed, authors, choose};
use crate::device::{Layout, Limits, Session};
use crate::error::{Error, Result};
use crate::files::{self, atomic_write_bytes, read_text};
use crate::model::modules::{short, transposed};
use crate::model::{Arena, Dtype, Inputs, ModelConfig, SafetensorsFile, TensorSpec, write_safetensors};
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::path::Path;

/// The configuration's file name.
pub const CONFIG_FILE: &str = "adapter_config.json";
/// The numbers' file name.
pub const WEIGHTS_FILE: &str = "adapter_model.safetensors";
/// What peft's LoRA can be told that changes what it computes, and that is not done here.
const UNSUPPORTED: [&str; 14] = [
    "modules_to_save",
    "layers_to_transform",
    "exclude_modules",
    "layer_replication",
    "lora_bias",
    "target_parameters",
    "trainable_token_indices",
    "alora_invocation_tokens",
    "use_qalora",
    "use_bdlora",
    "velora_config",
    "arrow_config",
    "kasa_config",
    "monteclora_config",
];
/// Starts of LoRA's factors that leave the base's weights alone.
const BASE_KEPT: [&str; 6] = ["true", "gaussian", "eva", "orthogonal", "mica", "lora_ga"];
const OLD_WEIGHTS_FILE: &str = "adapter_model.bin";
const CONFIG_LIMIT: u64 = 1 << 20;

/// One tensor of an adapter: name, shape, values.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Its name in the file.
    pub name: String,
    /// Row-major.
    pub shape: Vec<usize>,
    /// Widened to 32 bits.
    pub values: Vec<f32>,
}

/// An adapter with its numbers.
#[derive(Clone, Debug)]
pub struct AdapterFile {
    /// What it is.
    pub spec: Spec,
    /// `base_model_name_or_path`.
    pub base: String,
    /// Its tensors, in the arena's order.
    pub tensors: Vec<Tensor>,
}

/// Names and shapes of the tensors of a spec on a model, in the arena's order.
///
/// # Errors
/// Where a layer cannot be divided as the spec asks.
pub fn tensor_list(spec: &Spec, config: &ModelConfig) -> Result<Vec<(String, Vec<usize>)>> {
    let mut layout = Layout::new(Limits::NONE);
    let mut arena = Arena::new(false);
    let inputs = Inputs::declare(config, &mut layout, 1, 1);
    Installed::declare(spec, config, &mut layout, &mut arena, inputs.step)?;
    Ok(arena.tensors.into_iter().map(|t| (t.name, t.shape)).collect())
}

impl AdapterFile {
    /// Reads and checks the adapter in a folder against the model that it is meant for. A file is one of the DiaBlo authors'
    /// ([`super::authors`]), as is [`authors::CHECKPOINT_FILE`] in a folder that holds no adapter of peft's shape.
    ///
    /// # Errors
    /// Names the file and the key or tensor that does not fit.
    pub fn open(folder: &Path, config: &ModelConfig) -> Result<Self> {
        let path = folder.join(CONFIG_FILE);
        let place = path.display().to_string();
        if !files::exists(folder) {
            let hint = "is the path right? A relative one starts at the working directory";
            return Err(Error::input(folder.display().to_string(), "there is no such adapter", hint));
        }
        if files::is_file(folder) {
            return authors::open(folder, config);
        }
        if !files::is_file(&path) {
            let checkpoint = folder.join(authors::CHECKPOINT_FILE);
            if files::is_file(&checkpoint) {
                return authors::open(&checkpoint, config);
            }
            return Err(Error::input(
                folder.display().to_string(),
                format!("no {CONFIG_FILE} here"),
                "an adapter's folder holds adapter_config.json and adapter_model.safetensors; a run writes them when it ends",
            ));
        }
        let raw: Value = serde_json::from_str(&read_text(&path, CONFIG_LIMIT)?)
            .map_err(|e| Error::input(&place, format!("not JSON: {e}"), "write the adapter again"))?;
        let spec = parse_spec(&raw, &place, config)?;
        if !files::is_file(&folder.join(WEIGHTS_FILE)) && files::is_file(&folder.join(OLD_WEIGHTS_FILE)) {
            return Err(Error::input(
                folder.join(OLD_WEIGHTS_FILE).display().to_string(),
                format!("is how peft before 0.7 wrote adapters; {WEIGHTS_FILE} is read"),
                "load it with peft and save it again: PeftModel.from_pretrained(..).save_pretrained(..)",
            ));
        }
        let file = SafetensorsFile::open(&folder.join(WEIGHTS_FILE))?;
        let patterns = Patterns::of_spec(&raw, &place, spec, config)?;
        let wanted = tensor_list(&patterns.whole, config)?;
        let mut tensors = Vec::with_capacity(wanted.len());
        for (name, shape) in &wanted {
            if !file.contains(name) {
                let what = format!("holds no tensor {name:?}: the adapter belongs to a model of another shape");
                return Err(Error::input(file.place(), what, of_another(&raw)));
            }
            let (tensor, shape) = (file.tensor(name)?, patterns.stored_shape(name, shape));
            if tensor.shape != shape {
                return Err(Error::input(
                    file.place(),
                    format!(
                        "{name} has shape {:?}, and the model asks for {shape:?}: the adapter belongs to a model of another shape",
                        tensor.shape
                    ),
                    of_another(&raw),
                ));
            }
            tensors.push(patterns.widen(Tensor { name: name.clone(), shape, values: tensor.to_f32() }));
        }
        if let Some(extra) = file.names().find(|n| !wanted.iter().any(|(name, _)| name == n)) {
            return Err(Error::input(file.place(), format!("{extra} belongs to no layer that {CONFIG_FILE} targets"), of_another(&raw)));
        }
        let base = raw["base_model_name_or_path"].as_str().unwrap_or_default().to_string();
        Ok(Self { spec: patterns.whole, base, tensors })
    }

    /// Writes both files, each beside its place first and then renamed.
    ///
    /// # Errors
    /// Where a file cannot be written.
    pub fn save(&self, folder: &Path) -> Result<()> {
        let specs: Vec<TensorSpec> = self.tensors.iter().map(|t| TensorSpec::new(t.name.clone(), Dtype::F32, t.shape.clone())).collect();
        write_safetensors(&folder.join(WEIGHTS_FILE), &specs, &[("format", "pt")], |spec| {
            let tensor = self.tensors.iter().find(|t| t.name == spec.name);
            Ok(Cow::Owned(tensor.map(|t| f32_bytes(&t.values)).unwrap_or_default()))
        })?;
        let mut text = serde_json::to_string_pretty(&Value::Object(self.config_json())).unwrap_or_default();
        text.push('\n');
        atomic_write_bytes(&folder.join(CONFIG_FILE), text.as_bytes())
    }

    /// Copies the numbers to where the arena holds them.
    ///
    /// # Errors
    /// Where a tensor of the arena is not in the file, or the device was lost.
    pub fn upload(&self, session: &mut Session, arena: &Arena, place: &str) -> Result<()> {
        for t in &arena.tensors {
            let from = self.tensors.iter().find(|f| f.name == t.name && f.shape == t.shape);
            let from =
                from.ok_or_else(|| Error::input(place, format!("no {} of shape {:?}", t.name, t.shape), "is it of another model?"))?;
            let begin = t.first_row * t.shape.iter().skip(1).product::<usize>();
            session.write_f32(t.value, &from.values[begin..begin + t.len])?;
        }
        Ok(())
    }

    fn config_json(&self) -> Map<String, Value> {
        let common = json!({
            "base_model_name_or_path": self.base,
            "bias": "none",
            "inference_mode": true,
            "target_modules": self.spec.targets,
            "task_type": "CAUSAL_LM",
        });
        let own = match &self.spec.kind {
            Kind::Lora { rank, alpha, rslora, dora, .. } => json!({
                "peft_type": "LORA",
                "r": rank,
                "lora_alpha": if alpha.fract() == 0.0 { json!(*alpha as i64) } else { json!(alpha) },
                "lora_dropout": self.spec.dropout,
                "use_rslora": rslora,
                "use_dora": dora,
                "fan_in_fan_out": self.spec.targets.iter().any(|module| transposed(module)),
                "init_lora_weights": true,
                "modules_to_save": null,
                "layers_to_transform": null,
                "layers_pattern": null,
                "rank_pattern": {},
                "alpha_pattern": {},
            }),
            Kind::Diablo { blocks, pad } => {
                let mut numbers = blocks.values();
                let first = numbers.next();
                let same = numbers.all(|n| Some(n) == first);
                json!({
                    "peft_type": "DIABLO",
                    "num_blocks": if same { json!(first) } else { json!(blocks) },
                    "pad_blocks": pad,
                    "diablo_dropout": self.spec.dropout,
                })
            }
            Kind::None | Kind::Full => json!({}),
        };
        let mut all = Map::new();
        for part in [own, common] {
            if let Value::Object(part) = part {
                all.extend(part);
            }
        }
        all
    }
}

/// Which model an adapter says that it belongs to.
fn of_another(raw: &Value) -> String {
    match raw["base_model_name_or_path"].as_str() {
        Some(base) if !base.is_empty() => format!("it says that it was trained on {base}: give that with --model"),
        _ => "give the model that it was trained on with --model".into(),
    }
}

/// Little-endian bytes of floats.
pub fn f32_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn parse_spec(raw: &Value, place: &str, config: &ModelConfig) -> Result<Spec> {
    let wrong = |key: &str, what: &str| Error::input(format!("{place}: {key}"), what, "");
    let modules = config.modules();
    let targets = match &raw["target_modules"] {
        Value::Array(names) => {
            let mut targets = Vec::new();
            for name in names {
                let name = name.as_str().unwrap_or_default();
                // peft means every layer whose path ends so.
                let meant: Vec<_> = modules.iter().copied().filter(|m| *m == name || short(m) == name).collect();
                if meant.is_empty() {
                    let what = format!("{name:?} is no linear layer that adapters attach to; this model has {}", modules.join(", "));
                    return Err(wrong("target_modules", &what));
                }
                targets.extend(meant);
            }
            targets
        }
        Value::String(s) if s == "all-linear" => modules.clone(),
        _ => return Err(wrong("target_modules", "must be a list of module names")),
    };
    // The arena's order, whatever order the file names them in.
    let targets: Vec<&'static str> = modules.into_iter().filter(|m| targets.contains(m)).collect();
    if targets.is_empty() {
        return Err(wrong("target_modules", "is empty"));
    }
    let unsupported = |key: &str| -> Result<()> {
        let set = match &raw[key] {
            Value::Null | Value::Bool(false) => false,
            Value::Array(a) => !a.is_empty(),
            Value::Object(o) => !o.is_empty(),
            _ => true,
        };
        let hint = "merge it into the model with peft (merge_and_unload) and use that as --model";
        if set { Err(Error::input(format!("{place}: {key}"), "is not supported", hint)) } else { Ok(()) }
    };
    let dropout = |key: &str| raw[key].as_f64().filter(|p| (0.0..1.0).contains(p)).unwrap_or(0.0) as f32;
    match raw["peft_type"].as_str() {
        Some("LORA") => {
            for key in UNSUPPORTED {
                unsupported(key)?;
            }
            // A and B lie the same way whether or not the base's weights lie turned in its files; peft sets it by itself for GPT-2.
            if !targets.iter().any(|module| transposed(module)) {
                unsupported("fan_in_fan_out")?;
            }
            if let Some(start) = raw["init_lora_weights"].as_str().filter(|s| !BASE_KEPT.contains(&s.to_lowercase().as_str())) {
                return Err(Error::input(
                    format!("{place}: init_lora_weights"),
                    format!("{start:?} changes the base's weights, and this adapter belongs to the changed ones"),
                    "save it with peft's path_initial_model_for_weight_conversion, which makes it one for the base as it was",
                ));
            }
            if !matches!(raw["bias"].as_str(), None | Some("none")) {
                return Err(wrong("bias", "only \"none\" is supported"));
            }
            let rank =
                raw["r"].as_u64().filter(|r| (1..=65_536).contains(r)).ok_or_else(|| wrong("r", "must be a whole number above 0"))?;
            let alpha = raw["lora_alpha"].as_f64().filter(|a| a.is_finite()).ok_or_else(|| wrong("lora_alpha", "must be a number"))?;
            let rslora = raw["use_rslora"].as_bool().unwrap_or(false);
            let dora = raw["use_dora"].as_bool().unwrap_or(false);
            let kind = Kind::Lora { rank: rank as usize, alpha, rslora, dora, pissa: false, b_rate: 1.0 };
            Ok(Spec { kind, targets, dropout: dropout("lora_dropout") })
        }
        Some("DIABLO") => {
            let pad = raw["pad_blocks"].as_bool().unwrap_or(false);
            let number = |v: &Value| v.as_u64().filter(|n| (1..=65_536).contains(n)).map(|n| n as usize);
            let asked = |module: &str| number(&raw["num_blocks"]).or_else(|| number(&raw["num_blocks"][module]));
            if let Some(module) = targets.iter().find(|m| asked(m).is_none()) {
                return Err(wrong("num_blocks", &format!("no whole number above 0 for {module}")));
            }
            choose::diablo(config, &targets, asked, pad, dropout("diablo_dropout"))
        }
        other => Err(wrong("peft_type", &format!("{} is not known here; known: LORA, DIABLO", other.unwrap_or("(none)")))),
    }
}
