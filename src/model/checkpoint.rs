//! A model's weights: the file or files of a folder, and each parameter's tensor among them.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use crate::error::{Error, Result};
use crate::files;

use super::config::{ModelConfig, ParamSpec};
use super::container::SafetensorsFile;
use super::index::Index;
use super::names::{HEAD, Names};
use super::tensor::{StoredTensor, TensorView};

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// The weights of a model folder, mapped, checked, and not copied.
#[derive(Debug)]
pub struct Checkpoint {
    /// The folder, for errors.
    place: String,
    files: Vec<SafetensorsFile>,
    /// Tensor name to its file.
    tensors: BTreeMap<String, usize>,
}

impl Checkpoint {
    /// Opens `folder/model.safetensors`, or the files that `folder/model.safetensors.index.json` names.
    ///
    /// Where both are there the single file counts, as in transformers. Every file is checked before this returns.
    pub fn open(folder: &Path) -> Result<Self> {
        let place = folder.display().to_string();
        if !files::metadata(folder).map_err(Error::io(folder))?.is_dir {
            return Err(Error::input(place, "is not a folder", "give the model's folder, not a file in it"));
        }
        // A link that leads nowhere is there too: opening it says what is wrong.
        let is_there = |name: &str| files::is_listed(&folder.join(name));
        if is_there(SINGLE) {
            Self::from_files(place, vec![SafetensorsFile::open(&folder.join(SINGLE))?])
        } else if is_there(INDEX) {
            Self::open_shards(folder, place)
        } else {
            Err(no_model(folder, place))
        }
    }

    /// Takes files that are open already, as in a browser. Refuses a tensor that is in two of them.
    pub fn from_files(place: impl Into<String>, files: Vec<SafetensorsFile>) -> Result<Self> {
        let mut tensors = BTreeMap::new();
        for (at, file) in files.iter().enumerate() {
            for name in file.names() {
                if let Some(first) = tensors.insert(name.to_owned(), at) {
                    return Err(Error::input(
                        format!("{}: tensor {name:?}", file.place()),
                        format!("is in {} too", files[first].place()),
                        "files of two different models may have been mixed; download the folder again",
                    ));
                }
            }
        }
        Ok(Self { place: place.into(), files, tensors })
    }

    fn open_shards(folder: &Path, place: String) -> Result<Self> {
        let path = folder.join(INDEX);
        let index = Index::read(&path)?;
        let mut files = Vec::with_capacity(index.files.len());
        for name in &index.files {
            let file = folder.join(name);
            if !files::is_listed(&file) {
                let what = format!("names {name}, which is not in the folder");
                return Err(Error::input(path.display().to_string(), what, "download the missing file"));
            }
            files.push(SafetensorsFile::open(&file)?);
        }
        for (tensor, at) in &index.tensors {
            if !files[*at].contains(tensor) {
                let what = format!("says that {} holds it, but it does not", index.files[*at]);
                let hint = "index and files do not belong together; download the folder again";
                return Err(Error::input(format!("{}: tensor {tensor:?}", path.display()), what, hint));
            }
        }
        Self::from_files(place, files)
    }

    /// The tensor of that name with its numbers. Refuses other element types than f32, f16 and bf16.
    pub fn tensor(&self, name: &str) -> Result<TensorView<'_>> {
        self.stored(name)?.read()
    }

    /// Where the tensor of that name lies; nothing of it is read. Refuses other element types than f32, f16 and bf16.
    pub fn stored(&self, name: &str) -> Result<StoredTensor<'_>> {
        match self.tensors.get(name) {
            Some(&at) => self.files[at].stored(name),
            None => Err(Error::input(&self.place, format!("holds no tensor {name:?}"), "")),
        }
    }

    /// Whether a tensor of that name is there, of whatever type.
    pub fn contains(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Bytes of all tensors together.
    pub fn total_bytes(&self) -> u64 {
        self.files.iter().map(SafetensorsFile::tensor_bytes).sum()
    }

    /// Every parameter of `config` with where its tensor lies, in the order of [`ModelConfig::parameter_list`].
    ///
    /// Names may lack the family's root (`model.`) in front, as when the bare decoder was saved. A tied table may be stored as embedding or as
    /// `lm_head.weight`; where both are there the embedding counts. The tensor keeps the name it is stored under.
    ///
    /// Refuses missing tensors, shapes that differ from config.json's, and tensors of a layer that the architecture does not have
    /// (a bias, a scale): leaving those out would compute another model. Tensors outside the decoder are ignored.
    pub fn resolve(&self, config: &ModelConfig) -> Result<Vec<(ParamSpec, StoredTensor<'_>)>> {
        let names = config.architecture.names();
        let mut used = HashSet::new();
        let mut missing = Vec::new();
        let mut found = Vec::new();
        for spec in config.parameter_list() {
            match self.stored_name(&spec.name, names, config.tie_word_embeddings) {
                Some(name) => {
                    used.insert(name);
                    found.push((spec, name));
                }
                None => missing.push(spec.name),
            }
        }
        if !missing.is_empty() {
            return Err(self.missing(&missing, missing.len() + found.len()));
        }
        for name in self.names().filter(|name| !used.contains(name)) {
            self.refuse_if_it_matters(name, config)?;
        }
        found
            .into_iter()
            .map(|(spec, name)| {
                let tensor = self.stored(name)?;
                let wanted = spec.stored_shape();
                if tensor.shape == wanted {
                    let tensor = if spec.transposed { tensor.transposed() } else { tensor };
                    return Ok((spec, tensor));
                }
                let what = format!("has shape {:?}, but config.json makes it {wanted:?} (from {})", tensor.shape, sizing_keys(&spec.name));
                Err(Error::input(self.tensor_place(name), what, "config.json and weights must come from the same model"))
            })
            .collect()
    }

    /// The name under which a parameter is stored, if it is.
    fn stored_name(&self, name: &str, names: &Names, tied: bool) -> Option<&str> {
        let bare = name.strip_prefix(names.root);
        let alias = (tied && name == names.embed).then_some(HEAD);
        let names = [Some(name), bare, alias];
        names.into_iter().flatten().find_map(|name| self.tensors.get_key_value(name)).map(|(name, _)| name.as_str())
    }

    fn missing(&self, missing: &[String], all: usize) -> Error {
        if missing == [HEAD] {
            return Error::input(
                &self.place,
                "holds no lm_head.weight, and config.json does not say tie_word_embeddings: the output layer would be random",
                "if the model shares its table, set tie_word_embeddings to true in config.json; if not, the weights are incomplete",
            );
        }
        let shown = missing.iter().take(5).map(String::as_str).collect::<Vec<_>>().join(", ");
        let more = if missing.len() > 5 { format!(" and {} more", missing.len() - 5) } else { String::new() };
        let what = format!("lacks {} of the {all} tensors that config.json asks for: {shown}{more}", missing.len());
        Error::input(&self.place, what, "config.json and weights must come from the same model")
    }

    fn refuse_if_it_matters(&self, name: &str, config: &ModelConfig) -> Result<()> {
        let names = config.architecture.names();
        let bare = name.strip_prefix(names.root).unwrap_or(name);
        let known = names.ignored.iter().any(|end| bare.ends_with(end)) || (config.tie_word_embeddings && name == HEAD);
        // Both names of one parameter: the other one is in use.
        let double = bare == name && self.contains(&format!("{}{name}", names.root));
        let inside = names.inside.iter().any(|part| bare.starts_with(part));
        if known || double || !inside {
            return Ok(());
        }
        let what = "is not part of the architecture that config.json describes";
        let hint = "compare architectures, num_hidden_layers and the bias keys in config.json; quantised models are not supported";
        Err(Error::input(self.tensor_place(name), what, hint))
    }

    fn tensor_place(&self, name: &str) -> String {
        let file = self.tensors.get(name).map_or(self.place.as_str(), |&at| self.files[at].place());
        format!("{file}: tensor {name:?}")
    }
}

/// The keys of config.json that a parameter's shape follows from.
fn sizing_keys(name: &str) -> &'static str {
    let parts = [
        "qkv_proj",
        "q_proj",
        "k_proj",
        "v_proj",
        "o_proj",
        "gate_proj",
        "up_proj",
        "down_proj",
        "q_norm",
        "k_norm",
        "embed_tokens",
        "lm_head",
        "wte",
        "wpe",
        "c_fc",
        "mlp.c_proj",
        ".h.",
        "ln_f",
    ];
    match parts.into_iter().find(|part| name.contains(part)) {
        Some("q_proj" | "o_proj") => "num_attention_heads, head_dim, hidden_size",
        Some("qkv_proj") => "num_attention_heads, num_key_value_heads, head_dim, hidden_size",
        Some("k_proj" | "v_proj") => "num_key_value_heads, head_dim, hidden_size",
        Some("gate_proj" | "up_proj" | "down_proj") => "intermediate_size, hidden_size",
        Some("q_norm" | "k_norm") => "head_dim",
        Some("embed_tokens" | "lm_head") => "vocab_size, hidden_size",
        Some("wte") => "vocab_size, n_embd",
        Some("wpe") => "n_positions, n_embd",
        Some("c_fc" | "mlp.c_proj") => "n_inner, n_embd",
        Some(".h." | "ln_f") => "n_embd",
        _ => "hidden_size",
    }
}

/// Says what was looked for, and what to do with what is there instead.
fn no_model(folder: &Path, place: String) -> Error {
    let names = files::names(folder).unwrap_or_default();
    let what = format!("holds neither {SINGLE} nor {INDEX}");
    if let Some(name) = names.iter().find(|name| name.starts_with("pytorch_model") && name.contains(".bin")) {
        let hint = "convert it to safetensors: in transformers, load the model and call save_pretrained(folder)";
        return Error::input(place, format!("{what}, only {name}"), hint);
    }
    if names.iter().any(|name| name == "adapter_model.safetensors") {
        return Error::input(place, format!("{what}; it is the folder of an adapter"), "give the folder of the model it belongs to");
    }
    if let Some(name) = names.iter().find(|name| name.ends_with(".safetensors")) {
        let hint = format!("rename {name} to {SINGLE} if it is the whole model, or download {INDEX} if it is a part");
        return Error::input(place, what, hint);
    }
    Error::input(place, what, "give the folder of a model in Hugging Face layout: config.json, model.safetensors, tokenizer.json")
}

#[cfg(test)]
#[path = "checkpoint_tests.rs"]
mod tests;
