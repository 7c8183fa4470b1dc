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
mod tests {
    use super::*;
    use crate::model::config::Family;
    use crate::model::save::{TensorSpec, write_safetensors};
    use crate::model::tensor::Dtype;
    use std::borrow::Cow;
    use std::fs;

    const EMBED: &str = "model.embed_tokens.weight";

    fn write(folder: &Path, name: &str, tensors: &[(&str, &[usize])]) {
        let specs: Vec<_> = tensors.iter().map(|(name, shape)| TensorSpec::new(*name, Dtype::BF16, shape.to_vec())).collect();
        write_safetensors(&folder.join(name), &specs, &[], |spec| Ok(Cow::Owned(vec![1; spec.shape.iter().product::<usize>() * 2])))
            .expect("write");
    }

    fn config(extra: &str) -> ModelConfig {
        let text = format!(
            r#"{{"architectures":["LlamaForCausalLM"],"vocab_size":10,"hidden_size":8,"intermediate_size":12,"num_hidden_layers":2,"num_attention_heads":2{extra}}}"#
        );
        ModelConfig::from_json(&text, "config.json").expect("config")
    }

    /// A folder with every tensor of `config`, after `change` has had its way with names and shapes.
    fn folder(config: &ModelConfig, change: impl Fn(&mut Vec<ParamSpec>)) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("tempdir");
        let mut specs = config.parameter_list();
        change(&mut specs);
        let tensors: Vec<(&str, &[usize])> = specs.iter().map(|spec| (spec.name.as_str(), spec.shape.as_slice())).collect();
        write(folder.path(), SINGLE, &tensors);
        folder
    }

    fn spec(name: &str, shape: &[usize]) -> ParamSpec {
        ParamSpec { name: name.into(), shape: shape.to_vec(), transposed: false }
    }

    fn open_error(folder: &Path) -> (String, String) {
        let error = Checkpoint::open(folder).expect_err("must be refused");
        (error.to_string(), error.hint().unwrap_or_default().to_owned())
    }

    #[test]
    fn resolves_names_with_and_without_the_prefix() {
        let config = config(r#","tie_word_embeddings":true"#);
        for strip in [false, true] {
            let folder = folder(&config, |specs| {
                for spec in specs.iter_mut().filter(|_| strip) {
                    spec.name = spec.name.trim_start_matches("model.").to_owned();
                }
                specs.push(spec("model.layers.0.self_attn.rotary_emb.inv_freq", &[2]));
                specs.push(spec("v_head.summary.weight", &[3]));
            });
            let checkpoint = Checkpoint::open(folder.path()).expect("open");
            let resolved = checkpoint.resolve(&config).expect("resolve");
            assert_eq!(resolved.len(), config.parameter_list().len());
            assert!(resolved.iter().all(|(spec, view)| spec.shape == view.shape && view.byte_len() as u64 == 2 * spec.elements()));
        }
    }

    #[test]
    fn gpt2_s_matrices_are_turned_and_its_masks_left() {
        let text = r#"{"model_type": "gpt2", "vocab_size": 10, "n_embd": 8, "n_layer": 2, "n_head": 2, "n_positions": 6, "n_inner": 12}"#;
        let config = ModelConfig::from_json(text, "config.json").expect("config");
        for strip in [false, true] {
            let folder = folder(&config, |specs| {
                for spec in specs.iter_mut() {
                    spec.shape = spec.stored_shape();
                    spec.name = if strip { spec.name.trim_start_matches("transformer.").to_owned() } else { spec.name.clone() };
                }
                let root = if strip { "" } else { "transformer." };
                specs.push(spec(&format!("{root}h.0.attn.bias"), &[1, 1, 6, 6]));
                specs.push(spec(&format!("{root}h.1.attn.masked_bias"), &[1]));
            });
            let checkpoint = Checkpoint::open(folder.path()).expect("open");
            let resolved = checkpoint.resolve(&config).expect("resolve");
            assert_eq!(resolved.len(), config.parameter_list().len());
            let c_fc = resolved.iter().find(|(spec, _)| spec.name == "transformer.h.1.mlp.c_fc.weight").expect("c_fc");
            assert_eq!((c_fc.1.shape.as_slice(), c_fc.1.stored_shape()), ([12, 8].as_slice(), vec![8, 12]));
            assert!(resolved.iter().all(|(spec, view)| spec.shape == view.shape));
        }
        let wrong = folder(&config, |_| {});
        let error = Checkpoint::open(wrong.path()).expect("open").resolve(&config).expect_err("not turned").to_string();
        assert!(
            error.contains("c_attn.weight") && error.contains("[24, 8]") && error.contains("[8, 24]") && error.contains("n_embd"),
            "{error}"
        );
        let more = folder(&config, |specs| {
            specs.iter_mut().for_each(|spec| spec.shape = spec.stored_shape());
            specs.push(spec("transformer.h.2.ln_1.weight", &[8]));
        });
        let error = Checkpoint::open(more.path()).expect("open").resolve(&config).expect_err("a layer too many").to_string();
        assert!(error.contains("h.2.ln_1.weight") && error.contains("not part"), "{error}");
    }

    #[test]
    fn a_tied_table_under_either_name() {
        let config = config(r#","tie_word_embeddings":true"#);
        let stored = |change: &dyn Fn(&mut Vec<ParamSpec>)| {
            let folder = folder(&config, change);
            let checkpoint = Checkpoint::open(folder.path()).expect("open");
            let resolved = checkpoint.resolve(&config).expect("resolve");
            assert_eq!(resolved[0].0.name, EMBED);
            resolved[0].1.name.to_owned()
        };
        assert_eq!(stored(&|_| {}), EMBED);
        assert_eq!(stored(&|specs| specs[0].name = HEAD.into()), HEAD);
        assert_eq!(stored(&|specs| specs.push(spec(HEAD, &[10, 8]))), EMBED);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let plain = config("");
        type Change<'a> = &'a dyn Fn(&mut Vec<ParamSpec>);
        let cases: [(Change, &[&str]); 6] = [
            (&|specs| specs.retain(|spec| spec.name != HEAD), &["no lm_head.weight", "tie_word_embeddings", "random"]),
            (
                &|specs| specs.retain(|spec| !spec.name.contains("layers.1")),
                &["lacks 9 of the 21 tensors", "model.layers.1.input_layernorm", "4 more"],
            ),
            (&|specs| specs[0].name = "elsewhere".into(), &["lacks 1 of the 21 tensors", EMBED]),
            (&|specs| specs[0].shape = vec![11, 8], &[SINGLE, "embed_tokens", "[11, 8]", "[10, 8]", "vocab_size"]),
            (&|specs| specs.push(spec("model.layers.0.self_attn.q_proj.bias", &[8])), &[SINGLE, "q_proj.bias", "not part"]),
            (&|specs| specs.push(spec("model.layers.2.mlp.up_proj.weight", &[12, 8])), &["layers.2", "not part"]),
        ];
        for (change, words) in cases {
            let folder = folder(&plain, change);
            let error = Checkpoint::open(folder.path()).expect("open").resolve(&plain).expect_err(words[0]).to_string();
            assert!(words.iter().all(|word| error.contains(word)), "{words:?}: {error}");
        }
    }

    #[test]
    fn folders_without_a_model() {
        let folder = tempfile::tempdir().expect("tempdir");
        let (error, hint) = open_error(folder.path());
        assert!(error.contains(SINGLE) && error.contains(INDEX) && hint.contains("config.json"));
        fs::write(folder.path().join("part.safetensors"), b"").expect("write");
        assert!(open_error(folder.path()).1.contains("part.safetensors"));
        fs::write(folder.path().join("adapter_model.safetensors"), b"").expect("write");
        assert!(open_error(folder.path()).0.contains("adapter"));
        fs::write(folder.path().join("pytorch_model.bin"), b"").expect("write");
        let (error, hint) = open_error(folder.path());
        assert!(error.contains("pytorch_model.bin") && hint.contains("convert"));
        assert!(open_error(&folder.path().join("pytorch_model.bin")).0.contains("not a folder"));
        assert!(Checkpoint::open(&folder.path().join("absent")).is_err());
        fs::create_dir(folder.path().join(SINGLE)).expect("mkdir");
        assert!(open_error(folder.path()).0.contains("not a plain file"));
    }

    #[test]
    fn files_on_disk_are_checked() {
        let folder = tempfile::tempdir().expect("tempdir");
        for (bytes, words) in [
            (&b""[..], "too short"),
            (b"1234567", "too short"),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "Git LFS"),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff{}", "above the limit"),
        ] {
            fs::write(folder.path().join(SINGLE), bytes).expect("write");
            let (error, hint) = open_error(folder.path());
            assert!(error.contains(SINGLE) && error.contains(words), "{error}");
            assert!(words != "Git LFS" || hint.contains("git lfs pull"));
        }
    }

    #[test]
    fn shards() {
        let folder = tempfile::tempdir().expect("tempdir");
        let index = |text: &str| fs::write(folder.path().join(INDEX), text).expect("write");
        write(folder.path(), "x.safetensors", &[("a", &[2]), ("b", &[3])]);
        write(folder.path(), "y.safetensors", &[("c", &[4])]);
        let good = r#"{"weight_map":{"a":"x.safetensors","b":"x.safetensors","c":"y.safetensors"}}"#;
        index(good);
        let checkpoint = Checkpoint::open(folder.path()).expect("open");
        assert_eq!(checkpoint.names().collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(checkpoint.total_bytes(), 18);
        assert_eq!(checkpoint.tensor("c").expect("c").shape, [4]);
        assert!(checkpoint.contains("b") && checkpoint.tensor("d").is_err());

        index(&good.replace("y.safetensors", "../y.safetensors"));
        assert!(open_error(folder.path()).0.contains("beside the index"));
        index(&good.replace("y.safetensors", "z.safetensors"));
        let (error, hint) = open_error(folder.path());
        assert!(error.contains("z.safetensors") && hint.contains("download"));
        index(&good.replace(r#""c""#, r#""d""#));
        assert!(open_error(folder.path()).0.contains("tensor \"d\""));
        index("version https://git-lfs.github.com/spec/v1\n");
        assert!(open_error(folder.path()).0.contains("Git LFS"));
        index(good);
        write(folder.path(), "y.safetensors", &[("c", &[4]), ("a", &[2])]);
        let error = open_error(folder.path()).0;
        assert!(error.contains("tensor \"a\"") && error.contains("x.safetensors") && error.contains("y.safetensors"), "{error}");
        fs::write(folder.path().join("y.safetensors"), b"short").expect("write");
        assert!(open_error(folder.path()).0.contains("y.safetensors: is 5 bytes"));
    }

    /// Hugging Face's cache: the folder holds links into a folder of blobs.
    #[cfg(unix)]
    #[test]
    fn links_are_followed_and_broken_ones_named() {
        let folder = tempfile::tempdir().expect("tempdir");
        let (blobs, snapshot) = (folder.path().join("blobs"), folder.path().join("snapshot"));
        fs::create_dir(&blobs).and_then(|()| fs::create_dir(&snapshot)).expect("mkdir");
        write(&blobs, "0123", &[("a", &[2])]);
        std::os::unix::fs::symlink("../blobs/0123", snapshot.join("x.safetensors")).expect("link");
        fs::write(snapshot.join(INDEX), r#"{"weight_map":{"a":"x.safetensors"}}"#).expect("write");
        assert!(Checkpoint::open(&snapshot).expect("open").contains("a"));
        fs::remove_file(blobs.join("0123")).expect("remove");
        assert!(open_error(&snapshot).0.contains("x.safetensors"));
    }

    #[test]
    fn real_checkpoints() {
        let shared = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared"));
        if !shared.is_dir() {
            println!("skipped: no ../shared");
            return;
        }
        let stories = shared.join("real/tinystories-656k");
        let config = ModelConfig::from_dir(&stories).expect("config");
        let checkpoint = Checkpoint::open(&stories).expect("open");
        assert!(config.tie_word_embeddings && !checkpoint.contains(EMBED));
        let resolved = checkpoint.resolve(&config).expect("resolve");
        assert_eq!((resolved[0].0.name.as_str(), resolved[0].1.name), (EMBED, HEAD));
        assert_eq!(config.num_parameters() * 4, checkpoint.total_bytes());

        for (name, family, tied, dtype) in [
            ("llama-diablo", Family::Llama, true, Dtype::F32),
            ("llama-full", Family::Llama, true, Dtype::F32),
            ("llama-lora", Family::Llama, true, Dtype::F32),
            ("llama3-bf16-accumulate", Family::Llama, false, Dtype::BF16),
            ("qwen2-diablo", Family::Qwen2, true, Dtype::F32),
            ("qwen3-diablo", Family::Qwen3, true, Dtype::F32),
            ("gemma3-diablo", Family::Gemma3, true, Dtype::F32),
        ] {
            let folder = shared.join("reference").join(name).join("model");
            let config = ModelConfig::from_dir(&folder).expect(name);
            assert_eq!((config.architecture, config.tie_word_embeddings), (family, tied), "{name}");
            let checkpoint = Checkpoint::open(&folder).expect(name);
            let resolved = checkpoint.resolve(&config).expect(name);
            assert_eq!(resolved.len(), checkpoint.names().count(), "{name}");
            assert_eq!(config.num_parameters() * dtype.size() as u64, checkpoint.total_bytes(), "{name}");
            for (spec, view) in resolved {
                assert_eq!(view.dtype, dtype);
                let values = view.read().expect(name).to_f32();
                assert!(values.len() as u64 == spec.elements() && values.iter().all(|value| value.is_finite()), "{name}: {}", spec.name);
            }
        }
        ModelConfig::from_dir(&shared.join("real/qwen2-tokenizer")).expect("Qwen2-1.5B");
    }
}
