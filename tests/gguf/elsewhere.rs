//! GGUF files in other programs: where Python with gguf and transformers is found, by those (`interop/check_gguf.py`); and by llama.cpp
//! itself, where `NODE_LLAMA_CPP` names a folder in which `npm install --ignore-scripts node-llama-cpp` was run (`interop/llama_cpp.mjs`).

use crate::common::{apart, diablo, logits, python, text};
use crate::model_files::{ENCODINGS, MODELS, Work};
use crate::reader;
use diablo::adapter::Blend;
use diablo::data::Tokenizer;
use diablo::device::Device;
use diablo::generate::Decoder;
use diablo::kernels::Activation;
use diablo::model::gguf::Encoding;
use diablo::model::{Dtype, Family, ModelConfig, Source, TensorSpec, write_safetensors};
use diablo::random::Random;
use diablo::train::gguf;
use serde_json::{Value as Json, json};
use std::path::Path;
use std::process::Command;

const TEXTS: [&str; 5] = [
    "Each of 8 friends gives Ada 22 apples.\n",
    "Once upon a time",
    " It's  the year 1999, isn't it?\n\n  \"Été\" 猫!",
    "</s> and <s>",
    "  It was the year 1999, wasn't it?",
];

/// Work that other tools check, texts for it, and what diablo makes of them.
struct Expected {
    work: Work,
    texts: Vec<&'static str>,
    ids: Vec<Vec<u32>>,
    /// The beginnings of the texts that both compute alike.
    prompts: Vec<Vec<u32>>,
    /// Of what follows each prompt.
    logits: Vec<f32>,
}

fn expected(model: &str) -> Option<Expected> {
    let work = Work::make(model)?;
    let tokenizer = Tokenizer::from_dir(&work.base.folder).expect("tokenizer");
    let unknown = tokenizer.token_to_id("<unk>");
    // What a tokenizer without bytes does not know stops llama.cpp.
    let known = |text: &str| tokenizer.encode(text).expect("ids").iter().all(|id| Some(*id) != unknown);
    let texts: Vec<&str> = TEXTS.into_iter().filter(|text| known(text)).collect();
    assert!(texts.len() > 1, "{model}");
    let ids: Vec<Vec<u32>> = texts.iter().map(|t| tokenizer.encode(t).expect("ids")).collect();
    let prompts: Vec<Vec<u32>> = ids.iter().map(|ids| ids[..ids.len().min(prompt(&work.base.config))].to_vec()).collect();
    // Gemma's embedding is scaled in 32 bits by the others; so it is by the merged model here, which is in f32.
    let logits = logits(&work.merged(), None, &prompts);
    Some(Expected { work, texts, ids, prompts, logits })
}

#[test]
fn gguf_and_transformers_agree() {
    let Some(python) = python() else { return };
    let probe = "import importlib.util as u, sys; sys.exit(u.find_spec('gguf') is None)";
    if !Command::new(&python).args(["-c", probe]).status().is_ok_and(|s| s.success()) {
        println!("skipped: no gguf package");
        return;
    }
    let works: Vec<Work> = MODELS
        .iter()
        .filter_map(|model| {
            let Expected { work, texts, ids, prompts, logits } = expected(model)?;
            let rows: Vec<&[f32]> = logits.chunks(work.base.config.vocab_size).collect();
            let types: Vec<String> = ENCODINGS.iter().map(Encoding::to_string).collect();
            let all = json!({"texts": texts, "ids": ids, "prompts": prompts, "logits": rows, "types": types});
            std::fs::write(work.path("expected.json"), all.to_string()).expect("written");
            Some(work)
        })
        .collect();
    let mut command = Command::new(&python);
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/check_gguf.py"));
    command.env("HF_HUB_OFFLINE", "1").env("TOKENIZERS_PARALLELISM", "false").args(works.iter().map(|work| work.dir.path()));
    let output = command.output().expect("Python starts");
    print!("{}", String::from_utf8_lossy(&output.stdout));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The most likely token, so many times.
fn greedy(source: &Source, prompt: &[u32], count: usize) -> Vec<usize> {
    let mut decoder = pollster::block_on(Decoder::new(&Device::Cpu, source, None, 128, &mut |_, _| ())).expect("decoder");
    let mut logits = pollster::block_on(decoder.feed(prompt)).expect("logits");
    (0..count)
        .map(|_| {
            let best = (0..logits.len()).reduce(|best, id| if logits[id] > logits[best] { id } else { best }).expect("a token");
            logits = pollster::block_on(decoder.feed(&[best as u32])).expect("logits");
            best
        })
        .collect()
}

/// How far llama.cpp's logits may be from those of the merged weights in 32 bits, in parts of the largest.
fn most_apart(config: &ModelConfig, encoding: Encoding) -> f64 {
    match encoding {
        // Sums of 32 bits in another order. The gelu of Gemma and GPT-2 is read from a table in 16 bits there.
        Encoding::F32 if config.activation == Activation::GeluTanh => 1e-3,
        Encoding::F32 => 1e-5,
        // Activations are rounded to the weights' type too: by 1/2048, 1/256, 1/254 of a value or of a block's largest.
        Encoding::F16 => 5e-3,
        Encoding::Bf16 => 3e-2,
        Encoding::Q8 => 1e-1,
        // One part in sixteen of a block's largest: the text is another one. What the bits are is compared with gguf's.
        Encoding::Q4 => 1.0,
    }
}

/// What llama.cpp makes of these files; none where it is not here.
fn llama_cpp(jobs: &Json) -> Option<Vec<Json>> {
    let Some(modules) = std::env::var_os("NODE_LLAMA_CPP").filter(|v| !v.is_empty()) else {
        println!("skipped: NODE_LLAMA_CPP names no folder with node-llama-cpp");
        return None;
    };
    let dir = tempfile::tempdir().expect("a folder");
    let (jobs_file, out) = (dir.path().join("jobs.json"), dir.path().join("out.json"));
    std::fs::write(&jobs_file, jobs.to_string()).expect("written");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/llama_cpp.mjs");
    let output = Command::new("node").arg(script).args([&jobs_file, &out]).env("NODE_LLAMA_CPP", modules).output().expect("node starts");
    assert!(output.status.success(), "{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    print!("{}", String::from_utf8_lossy(&output.stdout));
    Some(serde_json::from_slice(&std::fs::read(&out).expect("answers")).expect("JSON"))
}

#[test]
fn llama_cpp_writes_the_same_text() {
    let all: Vec<_> = MODELS.iter().filter_map(|model| Some((model, expected(model)?))).collect();
    let mut jobs = Vec::new();
    for (_, Expected { work, texts, prompts, .. }) in &all {
        for encoding in ENCODINGS {
            let steps = steps(&work.base.config);
            let file = work.path(&encoding.to_string()).join("model.gguf");
            jobs.push(json!({"file": file, "texts": texts, "prompts": prompts, "greedy": steps}));
        }
    }
    let Some(answers) = llama_cpp(&Json::from(jobs)) else { return };
    let mut answers = answers.iter();
    for (model, Expected { work, ids, prompts, logits: want, .. }) in &all {
        let merged = work.merged();
        for encoding in ENCODINGS {
            let answer = answers.next().expect("an answer for each file");
            assert_eq!(answer["ids"], json!(ids), "{model}: tokens");
            let begins = !Tokenizer::from_dir(&work.base.folder).expect("tokenizer").begin().expect("begin").is_empty();
            assert_eq!(answer["bos"], begins, "{model}: begin token");
            let got: Vec<f32> = answer["logits"]
                .as_array()
                .expect("rows")
                .iter()
                .flat_map(|row| row.as_array().expect("numbers"))
                .map(|x| x.as_f64().expect("a number") as f32)
                .collect();
            let off = apart(&got, want);
            println!("  {model} {encoding}: llama.cpp's logits {off:.1e} of the largest apart");
            assert!(off <= most_apart(&work.base.config, encoding), "{model} {encoding}: {off}");
            if encoding == Encoding::F32 {
                let want: Vec<_> = prompts.iter().map(|ids| greedy(&merged, ids, steps(&work.base.config))).collect();
                assert_eq!(answer["greedy"], json!(want), "{model}: the same text");
            }
        }
    }
}

/// Tokens of a prompt, and tokens written after it, that a window which others leave out still holds, and the positions that there are.
fn prompt(config: &ModelConfig) -> usize {
    if left_out(config) {
        6
    } else if config.learned_positions {
        64.min(config.max_position_embeddings - steps(config))
    } else {
        64
    }
}

fn steps(config: &ModelConfig) -> usize {
    if left_out(config) { 4 } else { 24 }
}

fn left_out(config: &ModelConfig) -> bool {
    config.architecture != Family::Gemma3 && config.sliding_window.is_some()
}

/// A tiny model of drawn weights with another one's tokenizer.
fn tiny(dir: &Path, class: &str, vocab_size: usize, ends: u32, files: &[(&str, String)]) -> Source {
    let config = json!({"architectures": [format!("{class}ForCausalLM")], "vocab_size": vocab_size, "hidden_size": 32, "intermediate_size": 32,
        "num_hidden_layers": 1, "num_attention_heads": 2, "head_dim": 16, "tie_word_embeddings": true, "bos_token_id": 1, "eos_token_id": ends,
        "sliding_window": 8});
    std::fs::create_dir_all(dir).expect("a folder");
    std::fs::write(dir.join("config.json"), config.to_string()).expect("written");
    for (name, text) in files {
        std::fs::write(dir.join(name), text).expect("written");
    }
    let config = ModelConfig::from_dir(dir).expect("config");
    let specs: Vec<_> = config.parameter_list().into_iter().map(|p| TensorSpec::new(p.name, Dtype::F32, p.shape)).collect();
    write_safetensors(&dir.join("model.safetensors"), &specs, &[], |spec| {
        let mut random = Random::new(1).stream(&spec.name);
        let numbers = spec.shape.iter().product::<usize>();
        Ok((0..numbers).flat_map(|_| (random.uniform() as f32 - 0.5).to_le_bytes()).collect::<Vec<u8>>().into())
    })
    .expect("written");
    Source::open(dir).expect("model")
}

/// SentencePiece's kind with bytes: tokens of its own, letters, and merges; `gemma` is without a blank before texts.
fn sentence_piece(gemma: bool) -> (Json, usize) {
    let mut tokens: Vec<String> = ["<unk>", "<s>", "</s>"].map(String::from).into();
    tokens.extend((0..=255).map(|byte| format!("<0x{byte:02X}>")));
    tokens.extend(["\n", "\n\n", "▁", "▁▁", "▁▁▁"].map(String::from));
    tokens.extend(('a'..='z').chain(['.', ',', '1', '9']).map(String::from));
    // In the order of their rank; several ways make some of them. What Gemma has as tokens to look for first is merged first too.
    let merges = [
        "\n \n",
        "▁ ▁",
        "▁▁ ▁",
        "h e",
        "▁ t",
        "▁t he",
        "▁ a",
        "i n",
        "r e",
        "e r",
        "▁ w",
        "▁ s",
        "in g",
        "he r",
        "▁the re",
        "▁the r",
        "t he",
        "o n",
        "▁ the",
    ];
    let merges: Vec<(&str, &str)> = merges.iter().map(|pair| pair.split_once(' ').expect("a pair")).collect();
    for (left, right) in &merges {
        let joined = format!("{left}{right}");
        if !tokens.contains(&joined) {
            tokens.push(joined);
        }
    }
    let added = |id: usize, special: bool| {
        json!({"id": id, "content": tokens[id], "special": special, "normalized": false,
        "single_word": false, "lstrip": false, "rstrip": false})
    };
    let special = (0..3).map(|id| added(id, true));
    let more = [260, 262, 263].into_iter().filter(|_| gemma).map(|id| added(id, false));
    let replace = json!({"type": "Replace", "pattern": {"String": " "}, "content": "▁"});
    let (normalizer, pre_tokenizer) = if gemma {
        (replace, json!({"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": false}))
    } else {
        (json!({"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, replace]}), Json::Null)
    };
    let vocab: serde_json::Map<String, Json> = tokens.iter().enumerate().map(|(id, token)| (token.clone(), json!(id))).collect();
    let begin = json!({"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}});
    let all = json!({"version": "1.0", "truncation": null, "padding": null, "added_tokens": special.chain(more).collect::<Vec<_>>(),
        "normalizer": normalizer, "pre_tokenizer": pre_tokenizer, "post_processor": begin,
        "decoder": {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"}]},
        "model": {"type": "BPE", "unk_token": "<unk>", "fuse_unk": true, "byte_fallback": true, "vocab": vocab, "merges": merges}});
    (all, tokens.len())
}

/// SentencePiece's unigram kind: pieces with scores that several ways of writing a text share; `prefix` puts a blank before texts, `bytes`
/// has them for what is not known.
fn unigram(prefix: bool, bytes: bool) -> (Json, usize) {
    let mut vocab: Vec<(String, f64)> = ["<unk>", "<s>", "</s>"].map(|token| (token.to_owned(), 0.0)).into();
    if bytes {
        vocab.extend((0..=255).map(|byte| (format!("<0x{byte:02X}>"), 0.0)));
    }
    let pieces = [
        "\n",
        "▁",
        "▁▁",
        "▁▁▁",
        "▁the",
        "▁there",
        "the",
        "he",
        "her",
        "re",
        "▁re",
        "in",
        "ing",
        "ins",
        "sing",
        "▁sing",
        "▁s",
        "on",
        "▁on",
        "19",
        "199",
        "1999",
        "▁1",
        "ada",
        "isn't",
        "▁It",
        "an",
        "and",
        "and▁",
        "friend",
        "ends",
        "zyx",
    ];
    let letters = ('a'..='y').chain(['.', ',', '1', '9', 'A', 'I', 'E', '\'', 'ß']).map(String::from);
    let mut random = Random::new(3).stream("scores");
    for piece in letters.chain(pieces.map(String::from)) {
        // Steps of a quarter, so that some ways cost the same.
        let steps = (random.uniform() * 12.0).floor() / 4.0;
        vocab.push((piece.clone(), -8.0 - steps + 3.0 * (piece.chars().count() - 1).min(2) as f64));
    }
    let replace = json!({"type": "Replace", "pattern": {"String": " "}, "content": "▁"});
    let (normalizer, pre_tokenizer) = if prefix {
        (json!({"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, replace]}), Json::Null)
    } else {
        (Json::Null, json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "never", "split": false}))
    };
    let special = (0..3).map(|id| {
        json!({"id": id, "content": vocab[id].0, "special": true, "normalized": false, "single_word": false, "lstrip": false, "rstrip": false})
    });
    let begin = json!({"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}});
    let all = json!({"version": "1.0", "truncation": null, "padding": null, "added_tokens": special.collect::<Vec<_>>(),
        "normalizer": normalizer, "pre_tokenizer": pre_tokenizer, "post_processor": begin,
        "decoder": {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"}]},
        "model": {"type": "Unigram", "unk_id": 0, "vocab": vocab, "byte_fallback": bytes}});
    (all, vocab.len())
}

/// Drawn texts of words, parts of words, blanks and what may not be known.
fn drawn_texts(count: usize, parts: &[&str]) -> Vec<String> {
    let mut random = Random::new(7).stream("texts");
    let mut draw = |end: usize| (random.uniform() * end as f64) as usize;
    (0..count).map(|_| (0..1 + draw(12)).map(|_| parts[draw(parts.len())]).collect()).collect()
}

/// The demo's tokenizer with another rule that cuts words, and tokens that show where it does.
fn byte_level(pre_tokenizer: Json, ignore_merges: bool) -> (Json, usize) {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/demo/model/tokenizer.json");
    let mut all: Json = serde_json::from_slice(&std::fs::read(file).expect("the demo's tokenizer")).expect("JSON");
    let pairs = ["1 9", "19 9", "199 9", "Ċ Ċ", "Ġ Ġ", "! Ċ", "/ Ċ", "' s", "' S", "I T", "t h", "a B"];
    let mut size = all["model"]["vocab"].as_object().expect("tokens").len();
    for (left, right) in pairs.iter().map(|pair| pair.split_once(' ').expect("a pair")) {
        let vocab = all["model"]["vocab"].as_object_mut().expect("tokens");
        if !vocab.contains_key(&format!("{left}{right}")) {
            vocab.insert(format!("{left}{right}"), json!(size));
            size += 1;
        }
        all["model"]["merges"].as_array_mut().expect("merges").push(json!([left, right]));
    }
    // A token that no merge makes: taken as a word or not at all.
    all["model"]["vocab"]["zzyzx"] = json!(size);
    all["model"]["ignore_merges"] = json!(ignore_merges);
    all["pre_tokenizer"] = pre_tokenizer;
    (all, size + 1)
}

/// Every rule that has a name, as released files have it, and llama.cpp's name.
fn rules() -> Vec<(&'static str, Json, bool)> {
    let bytes = |own: bool| json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": own});
    let steps = |first: Json, own: bool| json!({"type": "Sequence", "pretokenizers": [first, bytes(own)]});
    let split = |rule: &str| steps(json!({"type": "Split", "pattern": {"Regex": rule}, "behavior": "Isolated", "invert": false}), false);
    let three = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
    let marks = three.replace("{1,3}", "").replace(r"?\p{L}+", r"?[\p{L}\p{M}]+").replace(r"[^\s\p{L}\p{N}]", r"[^\s\p{L}\p{M}\p{N}]");
    let (upper, lower) = (r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]");
    let capitals = |ends: &str, figures: &str| {
        let word = format!(r"[^\r\n\p{{L}}\p{{N}}]?{upper}*{lower}+{ends}|[^\r\n\p{{L}}\p{{N}}]?{upper}+{lower}*{ends}");
        format!(r"{word}|\p{{N}}{figures}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
    };
    vec![
        ("gpt-2", bytes(true), false),
        ("smollm", steps(json!({"type": "Digits", "individual_digits": true}), true), false),
        ("llama-bpe", split(three), true),
        ("dbrx", split(three), false),
        ("qwen2", split(&three.replace("{1,3}", "")), false),
        ("qwen35", split(&marks), false),
        ("tekken", split(&capitals("", "")), true),
        ("gpt-4o", split(&capitals("(?i:'s|'t|'re|'ve|'m|'ll|'d)?", "{1,3}")), false),
    ]
}

/// Texts of real tokenizers, of every rule that cuts words and of both ways with blanks, in llama.cpp.
#[test]
fn llama_cpp_tokenises_alike() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut sources = Vec::new();
    let texts = |more: &str| -> Vec<String> {
        let own = ["the there her", "  the  \n\nsinging, on   a\n\n\nthe", "Über 猫 19.", "the</s>the<s>", "\nthe 1999 reins"];
        own.iter().chain(&TEXTS).map(|t| (*t).to_owned()).chain(more.lines().take(200).map(str::to_owned)).collect()
    };
    for (name, gemma) in [("Llama", false), ("Gemma3", true)] {
        let (tokenizer, size) = sentence_piece(gemma);
        sources.push((tiny(&dir.path().join(name), name, size, 2, &[("tokenizer.json", tokenizer.to_string())]), texts("")));
    }
    let words = [
        " ", "  ", "   ", "the", "there", "sing", "ing", "ins", "on", "re", "and ", " friends", "1999", "199", "isn't", "It", "a", "x",
        "\n", "</s>",
    ];
    let unknown = ["猫", "é", "z", "!", "猫猫 "];
    for (name, prefix, bytes) in [("unigram", true, false), ("unigram-plain", false, false), ("unigram-bytes", true, true)] {
        let (tokenizer, size) = unigram(prefix, bytes);
        let source = tiny(&dir.path().join(name), "Llama", size, 2, &[("tokenizer.json", tokenizer.to_string())]);
        let all: Vec<&str> = words.iter().copied().chain(unknown.into_iter().filter(|_| !bytes)).collect();
        let drawn = drawn_texts(400, &all);
        let mut texts = if bytes { drawn } else { texts("").into_iter().chain(drawn).collect() };
        // Between special tokens too: llama.cpp puts no blank before a text of blanks alone.
        let blank = |text: &String| text.split("</s>").any(|part| !part.is_empty() && part.trim_matches(' ').is_empty());
        texts.retain(|text| !(prefix && blank(text)));
        assert!(texts.len() > 200, "{}", texts.len());
        sources.push((source, texts));
    }
    for (name, pre_tokenizer, ignore_merges) in rules() {
        let (tokenizer, size) = byte_level(pre_tokenizer, ignore_merges);
        let source = tiny(&dir.path().join(name), "Llama", size, 1, &[("tokenizer.json", tokenizer.to_string())]);
        let more = "1999 19 199999x9\nit's IT'S aBcD  x zzyzx a zzyzx\nthe!/the a/b ... !!\n \tthe   \n١٩٩٩ Ελλάδα e\u{301}te\u{301} 你好";
        let lines = ["!\n\n\n  the\n", "a/\nb \n \n\n c", "the\r\nthe\r\n\r\n"].map(str::to_owned);
        sources.push((source, texts(more).into_iter().chain(lines).collect()));
    }
    if let Some(folder) = crate::common::shared("real/qwen2-tokenizer") {
        let file = |name: &'static str| (name, std::fs::read_to_string(folder.join(name)).expect(name));
        let files = ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json"].map(file);
        let more = ["real/gsm8k/test.jsonl", "real/tinyshakespeare/input.txt"].map(|name| {
            let path = crate::common::shared(name).expect("beside it");
            std::fs::read_to_string(path).expect(name).lines().take(100).map(|line| format!("{line}\n")).collect::<String>()
        });
        let said = "<|im_start|>user Hi there<|im_end|> <|im_start|>assistant";
        // Its `</s>` is a word like others, which llama.cpp takes for a special token whatever the file says.
        let texts = texts(&(more.concat() + said)).into_iter().filter(|text| !text.contains("</s>")).collect();
        sources.push((tiny(&dir.path().join("Qwen2"), "Qwen2", 151_936, 151_645, &files), texts));
    }
    let jobs: Vec<Json> = sources
        .iter()
        .map(|(source, texts)| {
            let out = source.folder.join("out");
            let written = gguf::write(source, source.checkpoint().expect("weights"), Blend::none(), &out, None).expect("written");
            let notes = usize::from(source.folder.ends_with("unigram-bytes"));
            assert!(written.notes.len() == notes, "{:?}", written.notes);
            let named = rules().iter().find(|rule| source.folder.ends_with(rule.0)).map(|rule| rule.0);
            assert!(named.is_none_or(|name| reader::read(&written.file).keys["tokenizer.ggml.pre"] == name), "{named:?}");
            json!({"file": written.file, "texts": texts, "prompts": [], "greedy": 0})
        })
        .collect();
    let Some(answers) = llama_cpp(&Json::from(jobs)) else { return };
    for ((source, texts), answer) in sources.iter().zip(&answers) {
        let tokenizer = Tokenizer::from_dir(&source.folder).expect("tokenizer");
        for (text, got) in texts.iter().zip(answer["ids"].as_array().expect("rows")) {
            let got: Vec<u32> = serde_json::from_value(got.clone()).expect("ids");
            let ids = tokenizer.encode(text).expect("ids");
            let place = ids.iter().zip(&got).position(|(a, b)| a != b).unwrap_or(ids.len().min(got.len()));
            let told = |ids: &[u32]| tokenizer.decode(&ids[place..ids.len().min(place + 9)], false).expect("text");
            assert!(ids == got, "{}: {text:?}: {:?} and not {:?}", source.folder.display(), told(&got), told(&ids));
        }
        println!("  {}: {} texts", source.folder.file_name().expect("a name").display(), texts.len());
        assert_eq!(answer["bos"], !tokenizer.begin().expect("begin").is_empty());
        assert_eq!(answer["template"].is_string(), source.folder.join("chat_template.jinja").exists());
    }
}

/// What the demo's model learned, it answers in llama.cpp too, also from 8 and 4 bits.
#[test]
fn llama_cpp_answers_the_demo_s_questions() {
    if std::env::var_os("NODE_LLAMA_CPP").is_none() {
        println!("skipped: NODE_LLAMA_CPP names no folder with node-llama-cpp");
        return;
    }
    let demo = |name: &str| format!("{}/assets/demo/{name}", env!("CARGO_MANIFEST_DIR"));
    let (model, dir) = (demo("model"), tempfile::tempdir().expect("a folder"));
    let run = dir.path().join("run");
    let options = ["--steps", "200", "--blocks", "16", "--lr", "1e-2", "--quiet"];
    diablo(&[&["train", "--model", &model, "--data", &demo("train.jsonl"), "--out", text(&run)], &options[..]].concat()).good();
    let args = ["eval", "--model", &model, "--adapter", text(&run), "--data", &demo("held-out.jsonl"), "--json"];
    let own = diablo(&args).json()["exact_match"].as_f64().expect("a share");
    let tokenizer = Tokenizer::from_dir(Path::new(&model)).expect("tokenizer");
    let lines = std::fs::read_to_string(demo("held-out.jsonl")).expect("questions");
    let rows: Vec<Json> = lines.lines().map(|line| serde_json::from_str(line).expect("a row")).collect();
    let part = |row: &Json, key: &str| row[key].as_str().expect("text").to_owned();
    let prompts: Vec<Vec<u32>> = rows.iter().map(|row| tokenizer.encode(&part(row, "prompt")).expect("ids")).collect();
    let types = ["f32", "q8_0", "q4_0"];
    let jobs = types.map(|kind| {
        let out = dir.path().join(kind);
        let args = ["export", "--model", &model, "--adapter", text(&run), "--format", "gguf", "--dtype", kind, "--out", text(&out)];
        diablo(&args).good();
        json!({"file": out.join("model.gguf"), "texts": [], "prompts": prompts, "greedy": 16})
    });
    let Some(answers) = llama_cpp(&json!(jobs)) else { return };
    for (kind, answer) in types.iter().zip(&answers) {
        let written: Vec<Vec<u32>> = serde_json::from_value(answer["greedy"].clone()).expect("ids");
        let right = rows.iter().zip(&written).filter(|(row, ids)| {
            let end = ids.iter().position(|id| json!(id) == answer["eos"]).unwrap_or(ids.len());
            tokenizer.decode(&ids[..end], false).expect("text").trim() == part(row, "completion").trim()
        });
        let right = right.count();
        println!("  {kind}: {right} of {} questions answered as they should be; diablo: {own}", rows.len());
        let share = right as f64 / rows.len() as f64;
        assert!(if *kind == "f32" { (share - own).abs() < 1e-9 } else { share > own - 0.05 }, "{kind}: {right}");
    }
}
