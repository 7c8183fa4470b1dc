//! A model folder that other tools load: weights, config.json, tokenizer.

use crate::adapter::Blend;
use crate::error::{Error, Result};
use crate::files::{self, atomic_write_bytes};
use crate::model::tensor::transpose;
use crate::model::weights::Site;
use crate::model::{Checkpoint, Dtype, ModelConfig, Source, TensorSpec, modules, write_safetensors};
use half::{bf16, f16};
use rayon::prelude::*;
use std::borrow::Cow;
use std::path::Path;

/// Files that are taken over from the base model where they are there.
const COMPANIONS: [&str; 11] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "generation_config.json",
    "chat_template.jinja",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
    "LICENSE",
    "LICENSE.txt",
];

/// Values in a type's bytes, rounded to nearest even.
pub fn encode(values: &[f32], dtype: Dtype) -> Vec<u8> {
    match dtype {
        Dtype::F32 => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        Dtype::F16 => values.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect(),
        Dtype::BF16 => values.iter().flat_map(|v| bf16::from_f32(*v).to_le_bytes()).collect(),
    }
}

/// Writes a model whose parameters `values` gives by transformers' name and shape. config.json comes last: a folder that was not
/// finished has none.
///
/// # Errors
/// Where a file cannot be written.
pub fn write_model(source: &Source, folder: &Path, dtype: Dtype, values: impl Fn(&str, &[usize]) -> Result<Vec<f32>>) -> Result<()> {
    let parameters = source.config.parameter_list();
    let specs: Vec<TensorSpec> = parameters.iter().map(|p| TensorSpec::new(p.name.clone(), dtype, p.stored_shape())).collect();
    write_folder(source, folder, dtype, &specs, |spec| {
        let own = parameters.iter().find(|p| p.name == spec.name).ok_or_else(|| Error::input(&spec.name, "is no parameter", ""))?;
        let values = values(&own.name, &own.shape)?;
        let values = if own.transposed { transpose(&values, own.shape[1], 0..own.shape[1]) } else { values };
        Ok(Cow::Owned(encode(&values, dtype)))
    })
}

/// Writes base and adapters as one model, in `dtype` or the checkpoint's own types. Tensors keep their stored names.
///
/// # Errors
/// Where the folder holds something already, or a file cannot be written.
pub fn write_merged<'a>(
    source: &Source,
    checkpoint: &Checkpoint,
    adapters: impl Into<Blend<'a>>,
    folder: &Path,
    dtype: Option<Dtype>,
) -> Result<()> {
    let adapters = adapters.into();
    refuse_what_is_there(folder)?;
    let parameters = checkpoint.resolve(&source.config)?;
    let specs: Vec<TensorSpec> =
        parameters.iter().map(|(_, t)| TensorSpec::new(t.name, dtype.unwrap_or(t.dtype), t.stored_shape())).collect();
    write_folder(source, folder, dtype.unwrap_or(source.dtype()), &specs, |spec| {
        let (own, tensor) =
            parameters.iter().find(|(_, t)| t.name == spec.name).ok_or_else(|| Error::input(&spec.name, "is not in the checkpoint", ""))?;
        if let Some(change) = site_of(&source.config, &own.name).and_then(|site| adapters.change(site)) {
            let mut values = tensor.read()?.to_f32();
            let rows = values.par_chunks_mut(tensor.shape[1]).enumerate();
            rows.for_each_init(Vec::new, |sums, (o, row)| change.add_to_row(o, row, sums));
            return Ok(Cow::Owned(encode(&tensor.in_stored_order(values), spec.dtype)));
        }
        let tensor = tensor.read_stored()?;
        Ok(if spec.dtype == tensor.dtype { tensor.bytes } else { Cow::Owned(encode(&tensor.to_f32(), spec.dtype)) })
    })
}

/// The linear layer that a parameter is the weight of, if it is one's.
pub(super) fn site_of(config: &ModelConfig, name: &str) -> Option<Site> {
    let path = name.strip_suffix(".weight")?;
    let (layer, _) = name.strip_prefix(config.architecture.names().layers)?.strip_prefix('.')?.split_once('.')?;
    let layer = layer.parse().ok()?;
    let module = config.modules().into_iter().find(|module| path == modules::path(layer, module))?;
    Some(Site { layer, module })
}

/// Refuses a folder that holds something.
pub(super) fn refuse_what_is_there(folder: &Path) -> Result<()> {
    if files::exists(folder) && !files::is_dir(folder) {
        return Err(Error::usage(format!("{}: is a file", folder.display()), "give a new folder with --out"));
    }
    if files::names(folder).is_ok_and(|names| !names.is_empty()) {
        return Err(Error::usage(format!("{}: the folder is not empty", folder.display()), "give a new folder with --out"));
    }
    Ok(())
}

fn write_folder<'a>(
    source: &Source,
    folder: &Path,
    dtype: Dtype,
    specs: &[TensorSpec],
    body: impl FnMut(&TensorSpec) -> Result<Cow<'a, [u8]>>,
) -> Result<()> {
    files::create_dir_all(folder).map_err(Error::io(folder))?;
    write_safetensors(&folder.join("model.safetensors"), specs, &[("format", "pt")], body)?;
    for name in COMPANIONS {
        let from = source.folder.join(name);
        if files::is_file(&from) {
            files::copy(&from, &folder.join(name))?;
        }
    }
    let mut config = source.config.raw.clone();
    let name = match dtype {
        Dtype::F32 => "float32",
        Dtype::F16 => "float16",
        Dtype::BF16 => "bfloat16",
    };
    let key = if config.contains_key("dtype") { "dtype" } else { "torch_dtype" };
    config.insert(key.into(), name.into());
    let mut text = serde_json::to_string_pretty(&serde_json::Value::Object(config)).unwrap_or_default();
    text.push('\n');
    atomic_write_bytes(&folder.join("config.json"), text.as_bytes())
}
