use super::*;
use serde_json::{Value as Json, json};

fn parts(json: Json) -> Parts {
    serde_json::from_value(json).expect("parts")
}

fn get<'a>(metadata: &'a Metadata, key: &str) -> &'a Value {
    &metadata.iter().find(|(k, _)| k == key).unwrap_or_else(|| panic!("{key}")).1
}

/// A byte-level tokenizer with these steps before its words are merged.
fn byte_level(pre_tokenizer: Json, merges: Json, ignore_merges: bool) -> Parts {
    parts(
        json!({"pre_tokenizer": pre_tokenizer, "added_tokens": [{"id": 2, "content": "<s>", "special": true}, {"id": 3, "content": "<t>"}],
        "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 4}, "merges": merges, "ignore_merges": ignore_merges}}),
    )
}

fn steps(rule: &str) -> Json {
    json!({"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"Regex": rule}, "behavior": "Isolated", "invert": false},
        {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}]})
}

#[test]
fn rules_that_cut_words_have_names() {
    let own = json!({"type": "ByteLevel", "add_prefix_space": false, "use_regex": true});
    let digits = json!({"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": true}, own]});
    let llama3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
    let qwen2 = llama3.replace("{1,3}", "");
    let pairs = json!([["a", "b"]]);
    let name = |pre: &Json, merges: &Json, ignore| pre_tokenizer::name(&byte_level(pre.clone(), merges.clone(), ignore));
    assert_eq!(name(&own, &pairs, false), Some(("gpt-2", true)));
    assert_eq!(name(&digits, &pairs, false), Some(("smollm", true)));
    assert_eq!(name(&steps(&qwen2), &json!(["a b"]), false), Some(("qwen2", true)));
    assert_eq!(name(&steps(llama3), &pairs, true), Some(("llama-bpe", true)));
    assert_eq!(name(&steps(llama3), &pairs, false), Some(("dbrx", true)));
    assert_eq!(name(&own, &pairs, true), Some(("gpt-2", false)), "llama.cpp would merge whole words");
    // Another rule, a blank before the text: no name.
    assert_eq!(name(&steps(r"\w+"), &pairs, false), None);
    assert_eq!(name(&json!({"type": "ByteLevel", "add_prefix_space": true}), &pairs, false), None);
    assert_eq!(name(&json!({"type": "ByteLevel", "add_prefix_space": false, "use_regex": false}), &pairs, false), None);
    // Bytes that nothing joins are the same however they are cut.
    assert_eq!(
        name(&json!({"type": "ByteLevel", "add_prefix_space": false, "use_regex": false}), &json!([]), false),
        Some(("gpt-2", true))
    );

    let mut notes = Vec::new();
    let whole = byte_level(own, pairs.clone(), true);
    byte_level::describe(&whole, &mut Table::new(&whole, 5), &mut notes);
    assert!(notes.len() == 1 && notes[0].contains("ignore_merges"), "{notes:?}");
    notes.clear();
    let strange = byte_level(steps(r"\w+"), pairs, false);
    let told = byte_level::describe(&strange, &mut Table::new(&strange, 5), &mut notes);
    assert_eq!(get(&told, "tokenizer.ggml.pre"), &Value::Text("default".into()));
    assert!(notes.len() == 1 && notes[0].contains("default"), "{notes:?}");
}

#[test]
fn every_row_of_the_embedding_has_a_token() {
    let all = byte_level(json!({"type": "ByteLevel", "add_prefix_space": false}), json!(["a b"]), false);
    let mut table = Table::new(&all, 6);
    let told = byte_level::describe(&all, &mut table, &mut Vec::new());
    let want = [("a", 1), ("b", 1), ("<s>", 3), ("<t>", 4), ("ab", 1), ("[PAD5]", 5)];
    assert!(table.tokens.iter().map(|(text, kind)| (text.as_str(), *kind as i32)).eq(want), "{:?}", table.tokens);
    assert_eq!(get(&told, "tokenizer.ggml.merges"), &Value::Texts(vec!["a b".into()]));
}

#[test]
fn scores_keep_the_order_of_merges() {
    let vocab = json!({"<unk>": 0, "<s>": 1, "<0x0A>": 2, "▁": 3, "a": 4, "b": 5, "▁a": 6, "▁ab": 7, "ab": 8, "▁▁": 9});
    let all = parts(json!({
        "added_tokens": [{"id": 0, "content": "<unk>", "special": true}, {"id": 1, "content": "<s>", "special": true},
            {"id": 9, "content": "▁▁", "special": false}],
        "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
        "model": {"type": "BPE", "byte_fallback": true, "unk_token": "<unk>", "vocab": vocab,
            "merges": [["▁", "a"], ["a", "b"], ["▁a", "b"], ["▁", "ab"]]}}));
    let (mut table, mut notes) = (Table::new(&all, 10), Vec::new());
    let told = sentence_piece::describe(&all, &mut table, &mut notes);
    assert!(notes.is_empty(), "{notes:?}");
    let kinds: Vec<i32> = table.tokens.iter().map(|token| token.1 as i32).collect();
    assert_eq!(kinds, [2, 3, 6, 1, 1, 1, 1, 1, 1, 4]);
    assert_eq!(table.tokens[9].0, "  ", "looked for in the text as it is");
    let Value::F32s(scores) = get(&told, "tokenizer.ggml.scores") else { panic!("numbers") };
    let mut notes = Vec::new();
    sentence_piece::describe(&all, &mut Table::new(&all, 2), &mut notes);
    assert!(notes.len() == 1 && notes[0].contains("no tokens for bytes"), "{notes:?}");
    // A token that two merges make has the score of the first.
    assert_eq!(scores[2..9], [0.0, 0.0, 0.0, 0.0, -0.0, -2.0, -1.0]);
    assert_eq!(get(&told, "tokenizer.ggml.add_space_prefix"), &Value::Bool(true));
}

#[test]
fn blanks_as_the_file_treats_them() {
    let told = |normalizer: Json, pre_tokenizer: Json| {
        let all = parts(json!({"normalizer": normalizer, "pre_tokenizer": pre_tokenizer,
            "model": {"type": "BPE", "byte_fallback": true, "vocab": {"a": 0, "<0x00>": 1}, "merges": []}}));
        let mut notes = Vec::new();
        let told = sentence_piece::describe(&all, &mut Table::new(&all, 2), &mut notes);
        (get(&told, "tokenizer.ggml.add_space_prefix") == &Value::Bool(true), notes.len())
    };
    let replace = json!({"type": "Replace", "pattern": {"String": " "}, "content": "▁"});
    let space = |scheme: &str| json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": false});
    let gemma = json!({"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": false});
    assert_eq!(told(replace.clone(), gemma), (false, 0));
    assert_eq!(told(json!(null), space("first")), (true, 0));
    assert_eq!(told(json!(null), space("never")), (false, 0));
    assert_eq!(told(json!({"type": "Lowercase"}), space("first")), (true, 1));
    assert_eq!(told(json!(null), json!(null)), (false, 1));
}

/// A Unigram tokenizer with these steps.
fn unigram_parts(normalizer: Json, pre_tokenizer: Json, more: Json) -> Parts {
    let vocab = json!([["<unk>", 0.0], ["<s>", 0.0], ["<0x0A>", 0.0], ["▁", -2.5], ["a", -1.0], ["▁a", -1.25], ["▁▁", -3.0]]);
    let mut model = json!({"type": "Unigram", "unk_id": 0, "vocab": vocab, "byte_fallback": false});
    model.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    parts(json!({"normalizer": normalizer, "pre_tokenizer": pre_tokenizer, "model": model,
        "added_tokens": [{"id": 0, "content": "<unk>", "special": true}, {"id": 1, "content": "<s>", "special": true},
            {"id": 7, "content": "▁of", "special": false}]}))
}

#[test]
fn unigram_s_scores_and_kinds() {
    let replace = json!({"type": "Replace", "pattern": {"String": " "}, "content": "▁"});
    let both = json!({"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, replace]});
    for (byte_fallback, normalizer, prefix) in [(false, replace, false), (true, both, true)] {
        let all = unigram_parts(normalizer, json!(null), json!({"byte_fallback": byte_fallback}));
        let (mut table, mut notes) = (Table::new(&all, 9), Vec::new());
        let told = unigram::describe(&all, &mut table, &mut notes).expect("told");
        let kinds: Vec<i32> = table.tokens.iter().map(|token| token.1 as i32).collect();
        assert_eq!(kinds, [2, 3, if byte_fallback { 6 } else { 1 }, 1, 1, 1, 1, 4, 5]);
        assert_eq!(table.tokens[7].0, " of", "looked for in the text as it is");
        assert_eq!(get(&told, "tokenizer.ggml.model"), &Value::Text("t5".into()));
        let scores = Value::F32s(vec![0.0, 0.0, 0.0, -2.5, -1.0, -1.25, -3.0, UNMADE, UNMADE]);
        assert_eq!(get(&told, "tokenizer.ggml.scores"), &scores);
        assert_eq!(get(&told, "tokenizer.ggml.add_space_prefix"), &Value::Bool(prefix));
        assert_eq!(get(&told, "tokenizer.ggml.remove_extra_whitespaces"), &Value::Bool(false));
        assert_eq!((notes.len(), all.unknown(), all.id("a"), all.id("<s>")), (usize::from(byte_fallback), Some(0), Some(4), Some(1)));
    }
}

#[test]
fn unigram_that_llama_cpp_reads_otherwise_is_refused() {
    let told = |normalizer: Json, pre_tokenizer: Json, more: Json| {
        let all = unigram_parts(normalizer, pre_tokenizer, more);
        unigram::describe(&all, &mut Table::new(&all, 8), &mut Vec::new()).map(|_| ())
    };
    let space = |scheme: &str, split: bool| json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": split});
    let prepend = json!({"type": "Prepend", "prepend": "▁"});
    let (none, same) = (json!(null), json!({}));
    assert_eq!(told(none.clone(), space("never", false), same.clone()), Ok(()));
    assert_eq!(told(prepend, space("always", false), same.clone()), Ok(()), "there is a blank already");
    for (normalizer, pre_tokenizer, more, said) in [
        (none.clone(), space("always", false), &same, "before a text that has none"),
        (none.clone(), json!({"type": "Metaspace", "replacement": "▁"}), &same, "before a text that has none"),
        (none.clone(), space("never", true), &same, "across them"),
        (none.clone(), none.clone(), &same, "keeps blanks"),
        (json!({"type": "Precompiled", "precompiled_charsmap": ""}), space("never", false), &same, "step Precompiled"),
        (json!({"type": "Strip", "strip_right": true}), space("never", false), &same, "step Strip"),
        (json!({"type": "NFKC"}), space("never", false), &same, "step NFKC"),
        (none.clone(), space("never", false), &json!({"unk_id": null}), "unk_id"),
        (none, space("never", false), &json!({"vocab": [["<unk>", -9.0], ["<s>", 0.0], ["a", -1.0]]}), "lowest score"),
    ] {
        let error = told(normalizer, pre_tokenizer, more.clone()).expect_err(said);
        assert!(error.contains(said), "{error}");
    }
}
