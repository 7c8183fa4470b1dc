//! GGUF files of many models.
#![allow(dead_code, missing_docs, clippy::unwrap_used)]

use crate::reader::{File, read};
use diablo::adapter::{AdapterFile, Blend, Spec, choose, files};
use diablo::model::gguf::Encoding;
use diablo::model::{Dtype, ModelConfig, Source};
use diablo::random::Random;
use diablo::train::export::write_merged;
use diablo::train::gguf;
use std::path::{Path, PathBuf};

/// The demo's model and tiny ones of three families, which are in the repository; then from ../shared Llama, Llama 3's rotary scaling,
/// Qwen2, Qwen3, Gemma 3, and a real one with SentencePiece's kind of tokenizer; GPT-2 from the repository again.
pub const MODELS: [&str; 11] = [
    "assets/demo/model",
    "tests/data/mistral-diablo/model",
    "tests/data/phi3-diablo/model",
    "tests/data/gemma3-full/model",
    "reference/llama-lora/model",
    "reference/llama3-bf16-accumulate/model",
    "reference/qwen2-diablo/model",
    "reference/qwen3-diablo/model",
    "reference/gemma3-diablo/model",
    "real/tinystories-656k",
    "tests/data/gpt2-diablo/model",
];

pub const ENCODINGS: [Encoding; 5] = [Encoding::F32, Encoding::Bf16, Encoding::F16, Encoding::Q8, Encoding::Q4];

pub fn folder(model: &str) -> Option<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join(model);
    if here.is_dir() { Some(here) } else { crate::common::shared(model) }
}

/// An adapter with drawn numbers, large enough to be seen.
pub fn adapter(config: &ModelConfig, lora: bool) -> AdapterFile {
    let modules = config.modules();
    let spec = if lora {
        Spec { targets: modules, ..Spec::lora(3, 6.0) }
    } else {
        choose::diablo(config, &modules, |_| Some(3), true, 0.0).expect("padded blocks fit every layer")
    };
    let draw = |(name, shape): (String, Vec<usize>)| {
        let mut random = Random::new(5).stream(&name);
        let values = (0..shape.iter().product()).map(|_| (random.normal() * 0.1) as f32).collect();
        files::Tensor { name, shape, values }
    };
    let tensors = files::tensor_list(&spec, config).expect("a list").into_iter().map(draw).collect();
    AdapterFile { spec, base: String::new(), tensors }
}

/// Files made from one base: merged in f32, and as GGUF in every type.
pub struct Work {
    pub base: Source,
    pub dir: tempfile::TempDir,
}

impl Work {
    pub fn make(model: &str) -> Option<Self> {
        let work = Self { base: Source::open(&folder(model)?).expect("model"), dir: tempfile::tempdir().expect("a folder") };
        let adapters = [adapter(&work.base.config, false), adapter(&work.base.config, true)];
        let blend = || Blend::new(vec![(&adapters[0], 0.7), (&adapters[1], 0.3)]).expect("one base");
        let checkpoint = work.base.checkpoint().expect("a checkpoint");
        write_merged(&work.base, checkpoint, blend(), &work.path("merged"), Some(Dtype::F32)).expect("merged");
        for encoding in ENCODINGS {
            let out = work.path(&encoding.to_string());
            let written = gguf::write(&work.base, checkpoint, blend(), &out, Some(encoding)).expect("written");
            assert_eq!(
                (written.file.clone(), written.bytes),
                (out.join("model.gguf"), std::fs::metadata(&written.file).expect("a file").len())
            );
            let again = gguf::write(&work.base, checkpoint, blend(), &out, Some(encoding)).expect_err("there is something");
            assert!(again.to_string().contains("not empty"), "{again}");
        }
        Some(work)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn file(&self, encoding: Encoding) -> File {
        read(&self.path(&encoding.to_string()).join("model.gguf"))
    }

    pub fn merged(&self) -> Source {
        Source::open(&self.path("merged")).expect("merged model")
    }
}
