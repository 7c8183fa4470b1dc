//! Writes what the bundled model is made from, and what the demo teaches it: see assets/README.md.
//!
//! `write_demo_data BASE DEMO`: BASE receives text.txt, tokenizer.json, tokenizer_config.json and config.json, from which
//! `diablo train --init-from-config` makes the base model; DEMO receives train.jsonl and held-out.jsonl.

use diablo::demo::{tokenizer, world};
use std::error::Error;
use std::fs;
use std::path::PathBuf;

const SEED: u64 = 2506;
const TEXT_BYTES: usize = 3_000_000;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1).map(PathBuf::from);
    let (Some(base), Some(demo)) = (args.next(), args.next()) else {
        return Err("usage: write_demo_data BASE DEMO".into());
    };
    let animals = world::animals(SEED);
    let text = world::base_text(&animals, TEXT_BYTES, SEED);
    let json = tokenizer::train(&text, 640).map_err(|e| e.to_string())?;
    let vocab_size = tokenizers::Tokenizer::from_bytes(&json).map_err(|e| e.to_string())?.get_vocab_size(true);
    let config = serde_json::json!({
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": vocab_size,
        "hidden_size": 128,
        "intermediate_size": 384,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 32,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "max_position_embeddings": 256,
        "initializer_range": 0.04,
        "tie_word_embeddings": true,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "pad_token_id": 2,
        "torch_dtype": "bfloat16",
    });
    fs::create_dir_all(&base)?;
    fs::create_dir_all(&demo)?;
    fs::write(base.join("text.txt"), text)?;
    fs::write(base.join("tokenizer.json"), json)?;
    fs::write(base.join("tokenizer_config.json"), tokenizer::config())?;
    fs::write(base.join("config.json"), format!("{config:#}\n"))?;
    let (train, held_out) = world::questions(&animals, SEED);
    for (name, rows) in [("train.jsonl", train), ("held-out.jsonl", held_out)] {
        let lines: String =
            rows.iter().map(|r| format!("{}\n", serde_json::json!({ "prompt": r.prompt, "completion": r.completion }))).collect();
        fs::write(demo.join(name), lines)?;
    }
    println!("vocabulary {vocab_size}");
    Ok(())
}
