//! What a checkpoint's reader takes and refuses.

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
