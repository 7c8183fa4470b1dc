//! What a fuzzer begins with: for each reader, inputs that it reads. Made here, or the project's own files.

use super::BETWEEN;
use diablo::adapter::{AdapterFile, Spec, choose, files::Tensor, files::tensor_list};
use diablo::model::{Dtype, ModelConfig, TensorSpec, write_safetensors};
use diablo::train::RunConfig;
use std::borrow::Cow;

pub const TOKENIZER: &str = include_str!("../../assets/demo/model/tokenizer.json");
/// A template that shows everything that a message has.
pub const TURNS: &str =
    "{% for m in messages %}<s>{{ m.role }}: {{ m.content }}{% if m.tool_calls %}{{ m.tool_calls | tojson }}{% endif %}</s>
{% endfor %}{% if tools %}{{ tools | tojson(indent=2) }}{% endif %}{% if add_generation_prompt %}<s>assistant: {% endif %}";

const TEMPLATES: [&str; 5] = [
    include_str!("../templates/alternating.jinja"),
    include_str!("../templates/headers.jinja"),
    include_str!("../templates/marked.jinja"),
    include_str!("../templates/thinking.jinja"),
    include_str!("../templates/turns.jinja"),
];
const CONFIGS: [&str; 4] = [
    include_str!("../../assets/demo/model/config.json"),
    include_str!("../data/gemma3-full/model/config.json"),
    include_str!("../data/mistral-diablo/model/config.json"),
    include_str!("../data/phi3-diablo/model/config.json"),
];
const ROW: &str = r#"{"messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Where is Kyoto?"},
{"role":"assistant","content":"<think>\nHm.\n</think>\n\nIn Japan.","weight":0},{"role":"user","content":"Sky?"},{"role":"assistant",
"content":"","tool_calls":[{"type":"function","function":{"name":"sky","arguments":{"city":"Ky\u014dto","days":2,"exact":1.5,"unit":null}}}]},
{"role":"tool","content":"clear","name":"sky"},{"role":"assistant","content":"Clear."}],"tools":[{"name":"sky","parameters":{"type":"object"}}]}"#;

/// The inputs of a reader.
pub fn of(target: &str) -> Vec<Vec<u8>> {
    match target {
        "adapter" => adapters(),
        "checkpoint" => checkpoints(),
        "config" => configs(),
        "names" => texts(&[
            "openai/gsm8k@main:socratic/test\n{\"sha\":\"0123456789012345678901234567890123456789\",\"siblings\":[{\"rfilename\":\"README.md\"},\
             {\"rfilename\":\"main/train-00000-of-00002.parquet\"},{\"rfilename\":\"socratic/test-00000-of-00001.parquet\"}]}",
            "a/b\n{\"sha\":\"0123456789012345678901234567890123456789\",\"siblings\":[{\"rfilename\":\"train.jsonl\"},{\"rfilename\":\"dev.csv\"}]}",
            "rows.jsonl=0.5\n",
            "prompt=question,completion=answer\n",
            "#model=/demo/model&data=/demo/train.jsonl&blocks=16&steps=200&sample_prompt=Where%20is%20it?&view=train",
            r#"{"command":"start","run":{"model":"m","data":"d","steps":3},"resume":true}"#,
            r#"{"command":"start","run":"steps = 20\nblocks = \"q_proj=8,default=4\""}"#,
            r#"{"command":"cell","layer":1,"module":"q_proj","at":[0,1]}"#,
            r#"{"message":"cell","layer":0,"module":"q_proj","at":[0,0],"origin":[0,0],"shape":[1,2],"change":[1.0,2.0],"gradient":null,"weight":[3.0,4.0]}"#,
            r#"{"message":"changes","sites":[{"layer":0,"module":"up_proj","d_out":4,"d_in":2,"grid":2,"change":[1,2,3,4],"weight":[1,2,3,4]}]}"#,
            r#"{"message":"event","event":"step","step":1,"loss":3.25,"grad_norm":0.5,"lr":0.002,"tokens":1024,"tokens_per_second":2048.0,"epoch":0.1}"#,
        ]),
        "parquet" => tables(),
        "rows" => rows(),
        "run_folder" => run_folders(),
        "run_toml" => run_tomls(),
        "safetensors" => vec![
            tensors(&[("a", Dtype::F32, &[2, 3]), ("b.weight", Dtype::BF16, &[4]), ("c", Dtype::F16, &[])]),
            b"\x54\0\0\0\0\0\0\0{\"__metadata__\":{\"format\":\"pt\"},\"x\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}.."
                .to_vec(),
        ],
        "template" => TEMPLATES
            .iter()
            .chain([&TURNS, &MORE])
            .map(|t| joined(&[t.as_bytes(), ROW.replace('\n', "").as_bytes(), NAMES.as_bytes()]))
            .collect(),
        "tokenizer" => tokenizers(),
        "torch" => pickles(),
        _ => Vec::new(),
    }
}

/// What templates of the wild do beside those that are kept here.
const MORE: &str = "{%- set ns = namespace(last=-1) -%}{%- macro show(x, depth=0) -%}{{ x | upper | trim }}{%- endmacro -%}
{%- for m in messages | selectattr('role', 'equalto', 'user') | list -%}{%- set ns.last = loop.index0 -%}{{ show(m['content'].split('</think>')[-1].lstrip('\\n')) }}
{%- if loop.index0 % 2 == 0 and m.content is string and 'x' in m.content -%}{%- continue -%}{%- endif -%}{{ raise_exception('no') if false else '' }}{%- endfor -%}
{{ strftime_now('%d %b %Y') }}{{ (messages | length * 2) ~ '|' ~ bos_token ~ messages[1:][::-1] | map(attribute='role') | join(', ') }}
{%- for k, v in {'a': 1, 'b': [1.5, none, true]}.items() | sort -%}{{ k.center(9) ~ (v | string).replace('1', '22').zfill(4) }}{%- endfor -%}
{{ 'ab' * 3 }}{{ range(4) | list }}{{ tools | tojson(indent=2, sort_keys=true) | indent(4) | default('none', true) }}";
const NAMES: &str = r#"{"bos_token":"<s>","eos_token":{"content":"</s>"},"pad_token":null}"#;

fn texts(all: &[&str]) -> Vec<Vec<u8>> {
    all.iter().map(|text| text.as_bytes().to_vec()).collect()
}

fn joined(parts: &[&[u8]]) -> Vec<u8> {
    parts.join(BETWEEN)
}

fn configs() -> Vec<Vec<u8>> {
    let mut all = texts(&CONFIGS);
    all.extend(texts(&[
        r#"{"architectures":["Qwen2ForCausalLM"],"vocab_size":99,"hidden_size":16,"intermediate_size":24,"num_hidden_layers":2,"num_attention_heads":2,
        "use_sliding_window":false,"sliding_window":4096,"rope_theta":1000000.0,"eos_token_id":[1,2],"dtype":"float16","attention_bias":true}"#,
        r#"{"model_type":"qwen3","vocab_size":99,"hidden_size":16,"intermediate_size":24,"num_hidden_layers":2,"num_attention_heads":2,"head_dim":8,
        "layer_types":["full_attention","full_attention"],"attention_bias":true,"max_position_embeddings":64}"#,
        r#"{"architectures":["LlamaModel"],"vocab_size":99,"hidden_size":16,"intermediate_size":24,"num_hidden_layers":2,"num_attention_heads":4,
        "num_key_value_heads":2,"mlp_bias":true,"attention_bias":true,"rope_scaling":{"rope_type":"llama3","factor":8.0,"low_freq_factor":1.0,
        "high_freq_factor":4.0,"original_max_position_embeddings":8192},"hidden_act":"swish","partial_rotary_factor":1.0}"#,
        r#"{"architectures":["Gemma3ForCausalLM"],"vocab_size":99,"hidden_size":16,"intermediate_size":24,"num_hidden_layers":3,"num_attention_heads":2,
        "sliding_window_pattern":3,"rope_scaling":{"type":"linear","factor":8.0},"rope_local_base_freq":10000.0,"torch_dtype":"bfloat16"}"#,
        super::TINY_JSON,
    ]));
    all
}

fn spec(tensors: &[(&str, Dtype, &[usize])]) -> Vec<TensorSpec> {
    tensors.iter().map(|(name, dtype, shape)| TensorSpec::new(*name, *dtype, shape.to_vec())).collect()
}

/// A safetensors file of these tensors.
fn tensors(list: &[(&str, Dtype, &[usize])]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.safetensors");
    let bytes =
        |spec: &TensorSpec| -> Vec<u8> { (0..spec.shape.iter().product::<usize>() * spec.dtype.size()).map(|i| (i % 61) as u8).collect() };
    write_safetensors(&path, &spec(list), &[("format", "pt")], |spec| Ok(Cow::Owned(bytes(spec)))).unwrap();
    std::fs::read(path).unwrap()
}

fn checkpoints() -> Vec<Vec<u8>> {
    let config = ModelConfig::from_json(super::TINY_JSON, "config.json").unwrap();
    let parameters = config.parameter_list();
    let all: Vec<(&str, Dtype, &[usize])> = parameters.iter().map(|p| (p.name.as_str(), Dtype::BF16, p.shape.as_slice())).collect();
    let (a, b) = all.split_at(4);
    let entry = |file: &'static str| move |t: &(&str, Dtype, &[usize])| format!("\"{}\":\"{file}\"", t.0);
    let map: Vec<String> = a.iter().map(entry("a.safetensors")).chain(b.iter().map(entry("b.safetensors"))).collect();
    let index = format!("{{\"metadata\":{{\"total_size\":1}},\"weight_map\":{{{}}}}}", map.join(","));
    let config = super::TINY_JSON.as_bytes();
    vec![joined(&[config, index.as_bytes(), &tensors(a), &tensors(b)]), joined(&[config, b"", b"", b"", &tensors(&all)])]
}

fn adapters() -> Vec<Vec<u8>> {
    let config = super::tiny();
    let lora = |dora| {
        let mut spec = Spec { targets: config.modules(), ..Spec::lora(2, 4.0) };
        if let diablo::adapter::Kind::Lora { dora: d, .. } = &mut spec.kind {
            *d = dora;
        }
        spec
    };
    let blocks = |n, pad| choose::diablo(config, &["q_proj", "up_proj"], |_| Some(n), pad, 0.1).unwrap();
    let specs = [lora(false), lora(true), blocks(2, false), blocks(3, true)];
    let file = |spec: Spec| {
        let made = |(name, shape): (String, Vec<usize>)| Tensor { name, values: vec![0.5; shape.iter().product()], shape };
        let tensors = tensor_list(&spec, config).unwrap().into_iter().map(made).collect();
        let folder = tempfile::tempdir().unwrap();
        AdapterFile { spec, base: "base".into(), tensors }.save(folder.path()).unwrap();
        let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
        joined(&[&read("adapter_config.json"), &read("adapter_model.safetensors")])
    };
    specs.map(file).to_vec()
}

fn rows() -> Vec<Vec<u8>> {
    // The first byte chooses name and format: see `rows.rs`.
    let with = |kind: u8, text: &str| [&[kind], text.as_bytes()].concat();
    let one = ROW.replace('\n', "");
    vec![
        with(0, "{\"prompt\":\"a\",\"completion\":\"b\"}\r\n\n{\"question\":\"a\",\"answer\":\"b\",\"text\":\"c\"}"),
        with(0, &one),
        with(0, "{\"instruction\":\"a\",\"input\":\"b\",\"output\":\"c\",\"system\":\"s\",\"history\":[[\"q\",\"a\"]]}"),
        with(
            0,
            "{\"conversations\":[{\"from\":\"human\",\"value\":\"a\"},{\"from\":\"gpt\",\"value\":\"b\"},{\"from\":\"function_call\",\"value\":\"{\\\"name\\\":\\\"f\\\",\\\"arguments\\\":{}}\"},{\"from\":\"observation\",\"value\":\"c\"}],\"tools\":\"[]\"}",
        ),
        with(
            0,
            "{\"prompt\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"}]}],\"completion\":[{\"role\":\"assistant\",\"content\":\"b\"}]}",
        ),
        with(
            0,
            "{\"question\":\"Which?\",\"choices\":{\"text\":[\"a\",\"b\"],\"label\":[\"A\",\"B\"]},\"answerKey\":\"B\"}\n{\"question\":\"Which?\",\"options\":[\"x\",\"y\"],\"answer\":1}",
        ),
        with(
            0,
            "{\"instruction\":\"Choose. Answer1: x Answer2: y\\nAnswer format: answer1/answer2\",\"output\":\"the correct answer is answer2\",\"answer\":\"answer2\"}",
        ),
        with(1, "[{\"text\":\"a\"},\n{\"text\":\"b\"}]"),
        with(1, "{\"data\":[{\"prompt\":\"a\",\"completion\":\"b\"}]}"),
        with(2, "prompt,completion\n\"a, \"\"b\"\"\",c\n"),
        with(3, "messages\ttools\n\"[{\"\"role\"\":\"\"assistant\"\",\"\"content\"\":\"\"x\"\"}]\"\t\"\"\n"),
        with(4, "Once upon a time\u{2028}there was\r\na fox.\n"),
        with(5, "\u{feff}{\"query\":\"a\",\"response\":\"b\"}"),
        with(7, "{\"prompt\":\"a\",\"completion\":\"b\"}"),
        with(14, "{\"instruction\":\"a\",\"output\":\"c\"}"),
        with(21, "{\"conversations\":[{\"from\":\"human\",\"value\":\"a\"},{\"from\":\"gpt\",\"value\":\"b\"}]}"),
        with(28, &one),
    ]
}

fn tokenizers() -> Vec<Vec<u8>> {
    let with = |parts: &str, model: &str| {
        let json = format!(
            r#"{{"version":"1.0","truncation":null,"padding":null,"added_tokens":[{{"id":1,"content":"</s>","single_word":false,"lstrip":false,"rstrip":true,"normalized":false,"special":true}}],{parts}"model":{model}}}"#
        );
        joined(&[json.as_bytes(), NAMES.as_bytes(), NAMES.as_bytes(), br#"{"eos_token_id":[1,2]}"#, "ab a </s> \u{e9} 12\n".as_bytes()])
    };
    let bpe = r#"{"type":"BPE","dropout":null,"unk_token":"<unk>","continuing_subword_prefix":null,"end_of_word_suffix":null,"fuse_unk":true,"byte_fallback":true,
        "ignore_merges":false,"vocab":{"<unk>":0,"</s>":1,"a":2,"b":3,"ab":4,"▁":5,"▁a":6,"<0x0A>":7},"merges":[["a","b"],["▁","a"]]}"#;
    vec![
        with(r#""normalizer":null,"pre_tokenizer":null,"post_processor":null,"decoder":null,"#, bpe),
        with(
            r#""normalizer":{"type":"Sequence","normalizers":[{"type":"Prepend","prepend":"▁"},{"type":"Replace","pattern":{"String":" "},"content":"▁"},{"type":"NFKC"},{"type":"Strip","strip_left":true,"strip_right":true},{"type":"Lowercase"}]},
            "pre_tokenizer":{"type":"Metaspace","replacement":"▁","prepend_scheme":"first","split":true},
            "post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"</s>","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],"pair":[{"Sequence":{"id":"A","type_id":0}},{"Sequence":{"id":"B","type_id":0}}],"special_tokens":{"</s>":{"id":"</s>","ids":[1],"tokens":["</s>"]}}},
            "decoder":{"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":"▁"},"content":" "},{"type":"ByteFallback"},{"type":"Fuse"},{"type":"Strip","content":" ","start":1,"stop":0}]},"#,
            bpe,
        ),
        with(
            r#""normalizer":{"type":"NFC"},"pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"(?i:'s|'t)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|\\s+(?!\\S)|\\s+"},"behavior":"Isolated","invert":false},{"type":"Digits","individual_digits":true},{"type":"Punctuation","behavior":"Isolated"},{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":false}]},
            "post_processor":{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":false,"use_regex":true},"decoder":{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,"use_regex":true},"#,
            r#"{"type":"BPE","vocab":{"a":0,"</s>":1,"b":2,"Ġ":3,"ab":4,"Ã":5,"©":6},"merges":["a b"]}"#,
        ),
        with(
            r#""normalizer":{"type":"BertNormalizer","clean_text":true,"handle_chinese_chars":true,"strip_accents":null,"lowercase":true},"pre_tokenizer":{"type":"BertPreTokenizer"},
            "post_processor":{"type":"BertProcessing","sep":["</s>",1],"cls":["</s>",1]},"decoder":{"type":"WordPiece","prefix":"\u0023\u0023","cleanup":true},"#,
            r###"{"type":"WordPiece","unk_token":"[UNK]","continuing_subword_prefix":"##","max_input_chars_per_word":100,"vocab":{"[UNK]":0,"</s>":1,"a":2,"##b":3}}"###,
        ),
        with(
            r#""normalizer":{"type":"Sequence","normalizers":[{"type":"Precompiled","precompiled_charsmap":"AAAAAA=="},{"type":"StripAccents"},{"type":"Nmt"}]},"pre_tokenizer":{"type":"WhitespaceSplit"},"post_processor":{"type":"RobertaProcessing","sep":["</s>",1],"cls":["</s>",1],"trim_offsets":true,"add_prefix_space":false},"decoder":{"type":"Metaspace","replacement":"▁","prepend_scheme":"always","split":true},"#,
            r#"{"type":"Unigram","unk_id":0,"vocab":[["<unk>",0.0],["</s>",0.0],["a",-1.5],["ab",-2.5],["b",-3.0]],"byte_fallback":false}"#,
        ),
        with(
            r#""normalizer":{"type":"ByteLevel"},"pre_tokenizer":{"type":"CharDelimiterSplit","delimiter":" "},"post_processor":null,"decoder":{"type":"CTC","pad_token":"<pad>","word_delimiter_token":"|","cleanup":true},"#,
            r#"{"type":"WordLevel","vocab":{"<unk>":0,"</s>":1,"ab":2},"unk_token":"<unk>"}"#,
        ),
        joined(&[include_bytes!("../data/gemma3-full/model/tokenizer.json"), NAMES.as_bytes()]),
    ]
}

/// A text of a pickle.
fn text(s: &str) -> Vec<u8> {
    [b"X".as_slice(), &(s.len() as u32).to_le_bytes(), s.as_bytes()].concat()
}

/// A zip archive as torch writes it: this pickle, and two storages of 16 numbers.
pub fn archive(pickle: &[u8]) -> Vec<u8> {
    let numbers: Vec<u8> = (0..16).flat_map(|i| (i as f32).to_le_bytes()).collect();
    let (mut out, mut list) = (Vec::new(), Vec::new());
    let members: [(&str, &[u8]); 4] =
        [("a/data.pkl", pickle), ("a/byteorder", b"little"), ("a/data/0", &numbers), ("a/data/1", &numbers[..32])];
    for (name, body) in members {
        let (at, len) = ((out.len() as u32).to_le_bytes(), (body.len() as u32).to_le_bytes());
        let name_len = (name.len() as u16).to_le_bytes();
        out.extend([b"PK\x03\x04".as_slice(), &[0; 14], &len, &len, &name_len, &[0; 2], name.as_bytes(), body].concat());
        list.extend([b"PK\x01\x02".as_slice(), &[0; 16], &len, &len, &name_len, &[0; 12], &at, name.as_bytes()].concat());
    }
    let (count, size, start) = ((members.len() as u16).to_le_bytes(), (list.len() as u32).to_le_bytes(), (out.len() as u32).to_le_bytes());
    out.extend(list);
    out.extend([b"PK\x05\x06".as_slice(), &[0; 4], &count, &count, &size, &start, &[0; 2]].concat());
    out
}

fn pickles() -> Vec<Vec<u8>> {
    let tensor = |storage: &str, key: &str, stored: u8, shape: [u8; 3]| -> Vec<u8> {
        [
            b"ctorch._utils\n_rebuild_tensor_v2\n((".as_slice(),
            &text("storage"),
            format!("ctorch\n{storage}\n").as_bytes(),
            &text(key),
            &text("cpu"),
            &[b'K', stored, b't', b'Q', b'K', 0, b'K', shape[0], b'K', shape[1], b'K', shape[2], 0x87],
            &[b'K', shape[1] * shape[2], b'K', shape[2], b'K', 1, 0x87, 0x89],
            b"ccollections\nOrderedDict\n)RtR",
        ]
        .concat()
    };
    let dictionary = |entries: &[(&str, Vec<u8>)]| {
        let entries: Vec<u8> = entries.iter().flat_map(|(name, value)| [text(name), value.clone()].concat()).collect();
        [b"\x80\x02}(".as_slice(), &entries, b"u."].concat()
    };
    let q = dictionary(&[("model.layers.0.self_attn.q_proj.block_A", tensor("FloatStorage", "0", 16, [1, 4, 4]))]);
    let both = dictionary(&[
        ("model.layers.0.self_attn.q_proj.block_A", tensor("FloatStorage", "0", 16, [2, 4, 2])),
        ("model.layers.0.mlp.up_proj.block_A", tensor("BFloat16Storage", "1", 16, [2, 2, 4])),
    ]);
    let four =
        [b"\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x01w\x94".as_slice(), b"\x8c\x05torch\x8c\x0cFloatStorage\x93\x94u."]
            .concat();
    let pickled = [q, both, four];
    let whole = pickled.iter().map(|p| [b"\0".as_slice(), &archive(p)].concat());
    whole.chain(pickled.iter().map(|p| [b"p".as_slice(), p].concat())).collect()
}

fn run_tomls() -> Vec<Vec<u8>> {
    let lora = "method = \"lora\"\nrank = 4\nalpha = 8\nrslora = true\ndora = true\ninit = \"pissa\"\nlora_plus_ratio = 16.0\nsteps = 10\nwarmup = 2\nlr = 1e-4\n";
    let full = "method = \"full\"\nepochs = 1.5\nweights = \"nf4\"\ninit_from_config = true\npacking = true\ntoo_long = \"drop\"\nmemory = \"4GB\"\nthreads = 2\n";
    let more = "data = [\"a=b.jsonl\", \"c.csv=0.5\"]\nblocks = { q_proj = 8, default = 2 }\npad_blocks = true\ntargets = [\"q_proj\", \"up_proj\"]\n\
                columns = { prompt = \"q\" }\nlog = [\"csv\", \"tensorboard\"]\neval_split = 0.1\neval_every = 5\npatience = 2\nsave_every = 7\n\
                sample_prompt = \"Once\"\nsample_every = 3\ngradient_checkpointing = true\nseed = 7\nbatch_size = 2\naccumulate = 3\nseq_len = 64\n";
    let mut all = texts(&[lora, full, more, "blocks = \"q_proj=8\"\n[columns]\nprompt = \"x\"\n"]);
    all.push(RunConfig::default().resolved().to_toml_string().unwrap().into_bytes());
    all
}

fn run_folders() -> Vec<Vec<u8>> {
    let metrics = "{\"step\":1,\"loss\":3.25,\"grad_norm\":0.5,\"lr\":0.002,\"tokens\":1024,\"tokens_per_second\":2048.0,\"epoch\":0.1}\n\
                   {\"step\":2,\"loss\":null,\"grad_norm\":0.5,\"lr\":0.002,\"tokens\":1024,\"tokens_per_second\":2048.0,\"epoch\":0.2,\"eval_loss\":1.0,\"eval_perplexity\":2.7}\n";
    let state = "{\"version\":1,\"step\":2,\"position\":8,\"tokens\":9,\"best_eval_loss\":\"1.5\",\"best_step\":2,\"evals_without_improvement\":0,\
                 \"fingerprint\":\"f\",\"layout\":[{\"name\":\"x\",\"shape\":[2,2]}],\"files\":{}}";
    let summary = "{\"device\":\"cpu\",\"model\":\"m\",\"method\":\"diablo\",\"trainable\":1,\"parameters\":2,\"first_step\":0,\"steps\":2,\"rows\":3,\"eval_rows\":1,\"memory\":5,\"out\":\"o\"}";
    let parts: [&[u8]; 7] = [
        b"model = \"nowhere\"\ndata = \"d.jsonl\"\nout = \"o\"\nsteps = 2\nblocks = 4\n",
        metrics.as_bytes(),
        state.as_bytes(),
        b"{\"folder\":\"step-00000002\",\"step\":2,\"eval_loss\":\"1.5\"}",
        summary.as_bytes(),
        b"{\"step\":1,\"prompt\":\"a\",\"text\":\"b\"}\n",
        b"{\"set\":[\"lr=1e-4,3e-4\"],\"random\":3,\"halving\":true,\"failed\":{\"a\":\"b\"}}",
    ];
    vec![joined(&parts), joined(&parts[..2])]
}

#[cfg(not(feature = "parquet"))]
fn tables() -> Vec<Vec<u8>> {
    Vec::new()
}

#[cfg(feature = "parquet")]
fn tables() -> Vec<Vec<u8>> {
    use parquet::basic::Compression;
    use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
    use parquet::file::{properties::WriterProperties, writer::SerializedFileWriter};
    let table = |compression: Compression, dictionary: bool| {
        let schema = "message rows { required binary prompt (UTF8); required binary completion (UTF8); optional int64 n; required double x;
                      optional group tags (LIST) { repeated group list { optional binary element (UTF8); } } }";
        let schema = parquet::schema::parser::parse_message_type(schema).unwrap();
        let properties = WriterProperties::builder().set_compression(compression).set_dictionary_enabled(dictionary).build();
        let mut bytes = Vec::new();
        let mut writer = SerializedFileWriter::new(&mut bytes, schema.into(), properties.into()).unwrap();
        let mut group = writer.next_row_group().unwrap();
        let texts = |all: &[&str]| all.iter().map(|text| ByteArray::from(*text)).collect::<Vec<_>>();
        for column in 0..5 {
            let mut writer = group.next_column().unwrap().unwrap();
            let written = match column {
                0 | 1 => writer.typed::<ByteArrayType>().write_batch(&texts(&["one", "two", "one"]), None, None),
                2 => writer.typed::<Int64Type>().write_batch(&[1, -2], Some(&[1, 0, 1]), None),
                3 => writer.typed::<DoubleType>().write_batch(&[0.5, 1.5, 2.5], None, None),
                _ => writer.typed::<ByteArrayType>().write_batch(&texts(&["a", "b"]), Some(&[3, 3, 0, 1]), Some(&[0, 1, 0, 0])),
            };
            written.unwrap();
            writer.close().unwrap();
        }
        group.close().unwrap();
        writer.close().unwrap();
        bytes
    };
    vec![
        table(Compression::UNCOMPRESSED, false),
        table(Compression::UNCOMPRESSED, true),
        table(Compression::SNAPPY, true),
        table(Compression::GZIP(Default::default()), false),
        table(Compression::LZ4_RAW, true),
        table(Compression::BROTLI(Default::default()), false),
    ]
}
