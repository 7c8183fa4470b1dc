//! Every format, in the shapes it comes in.
#![allow(clippy::unwrap_used)]

use super::super::rows::read_file;
use super::*;
use std::path::PathBuf;

fn found_with(name: &str, text: &str, reading: &Reading) -> Result<Found> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, text).unwrap();
    read_file(&path, reading)
}

fn found(name: &str, text: &str) -> Found {
    found_with(name, text, &Reading::default()).unwrap()
}

fn fails(name: &str, text: &str) -> String {
    found_with(name, text, &Reading::default()).unwrap_err().to_string()
}

fn chats(found: Found) -> Vec<Chat> {
    let Rows::Chats(chats) = found.rows else { panic!("{:?}", found.rows) };
    chats
}

fn said(chat: &Chat) -> Vec<(&str, &str)> {
    chat.messages.iter().map(|m| (m["role"].as_str().unwrap(), m["content"].as_str().unwrap())).collect()
}

#[test]
fn pairs_come_under_several_names() {
    let want = |line| Rows::Pairs(vec![Row { prompt: "a".into(), completion: "b".into(), line }]);
    for (name, text, told, line) in [
        ("x.jsonl", r#"{"question":"a","answer":"b"}"#, "JSON lines, prompt and completion (question, answer)", 1),
        ("x.json", "[\n\n{\"prompt\":\"a\",\"completion\":\"b\"}]", "JSON, prompt and completion (prompt, completion)", 3),
        ("x.json", "{\"data\": [\n{\"query\":\"a\",\"response\":\"b\"}]}", "JSON, prompt and completion (query, response)", 2),
        ("x.csv", "\"answer\",question\r\nb,a\r\n", "CSV, prompt and completion (question, answer)", 2),
        ("x.tsv", "prompt\tcompletion\na\tb\n", "CSV, prompt and completion (prompt, completion)", 2),
    ] {
        let got = found(name, text);
        assert_eq!((got.describe().as_str(), &got.rows), (told, &want(line)), "{text}");
    }
    let reading = Reading { format: Format::Auto, columns: "prompt=q, completion=a".parse().unwrap() };
    assert_eq!(found_with("x.csv", "instruction,output,q,a\nx,y,a,b\n", &reading).unwrap().rows, want(2));
    assert_eq!(
        found("x.csv", "text\n\"a \"\"b\"\"\nc\"\n").rows,
        Rows::Pairs(vec![Row { prompt: "".into(), completion: "a \"b\"\nc".into(), line: 2 }])
    );
    let text = Reading { format: Format::Text, ..Reading::default() };
    assert_eq!(found_with("x.jsonl", "{\"a\":1}", &text).unwrap().rows, Rows::Text("{\"a\":1}".into()));
}

#[test]
fn alpaca_has_two_prompts() {
    let got = found(
        "x.json",
        r#"[{"instruction":"Do","input":"","output":"done"},{"instruction":"Do","input":"it","output":"yes","history":[["a","b"]],"system":"s"}]"#,
    );
    assert_eq!(got.describe(), "JSON, Alpaca (instruction, input, output)");
    let chats = chats(got);
    assert_eq!(said(&chats[0]), [("user", "Do"), ("assistant", "done")]);
    assert_eq!(said(&chats[1]), [("system", "s"), ("user", "a"), ("assistant", "b"), ("user", "Do\nit"), ("assistant", "yes")]);
    let (prompt, completion) = chats[0].plain.clone().unwrap();
    assert!(prompt.ends_with("### Instruction:\nDo\n\n### Response:\n") && completion == "done" && chats[1].plain.is_none(), "{prompt}");
    let dolly = found("x.jsonl", r#"{"instruction":"a","context":"b","response":"c","category":"d"}"#);
    assert_eq!(said(&self::chats(dolly)[0]), [("user", "a\nb"), ("assistant", "c")]);
}

#[test]
fn conversations_come_in_many_shapes() {
    let call = r#"{"from":"function_call","value":"{\"name\":\"f\",\"arguments\":{\"x\":1}}"}"#;
    let text = format!(
        r#"{{"conversations":[{{"from":"system","value":"s"}},{{"from":"human","value":"a"}},{call},{{"from":"observation","value":"o"}},{{"from":"gpt","value":"b","weight":0}}],
        "tools":"[{{\"name\":\"f\"}}]"}}"#
    )
    .replace('\n', "");
    let got = found("x.jsonl", &text);
    assert_eq!((got.format, got.columns.as_slice()), (Format::ShareGpt, ["conversations".to_owned(), "tools".to_owned()].as_slice()));
    let chat = chats(got).remove(0);
    assert_eq!(said(&chat), [("system", "s"), ("user", "a"), ("assistant", ""), ("tool", "o"), ("assistant", "b")]);
    assert_eq!(chat.learned, [true, true, true, true, false]);
    assert_eq!(chat.messages[2]["tool_calls"], json!([{"type": "function", "function": {"name": "f", "arguments": {"x": 1}}}]));
    assert_eq!(chat.tools, Some(json!([{"type": "function", "function": {"name": "f"}}])));

    let openai = r#"{"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},
        {"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{\"x\": 1}"}}]},
        {"role":"tool","tool_call_id":"1","content":"o"},{"role":"assistant","content":"c"}]}"#
        .replace('\n', "");
    let chat = chats(found("x.jsonl", &openai)).remove(0);
    assert_eq!(said(&chat), [("user", "ab"), ("assistant", ""), ("tool", "o"), ("assistant", "c")]);
    assert_eq!(chat.messages[1]["tool_calls"][0]["function"]["arguments"], json!({"x": 1}));
    assert_eq!((&chat.messages[1]["tool_calls"][0]["id"], &chat.messages[2]["tool_call_id"]), (&json!("1"), &json!("1")));

    // The one's turns under the other's name, and a list that a table holds as a text.
    let swapped = found("x.jsonl", r#"{"conversations":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}"#);
    assert_eq!((swapped.format, swapped.columns.as_slice()), (Format::Messages, ["conversations".to_owned()].as_slice()));
    let table = found(
        "x.csv",
        "conversations\n\"[{\"\"from\"\": \"\"human\"\", \"\"value\"\": \"\"a\"\"}, {\"\"from\"\": \"\"gpt\"\", \"\"value\"\": \"\"b\"\"}]\"\n",
    );
    assert_eq!(said(&chats(table)[0]), [("user", "a"), ("assistant", "b")]);
    let lists = found("x.jsonl", r#"{"prompt":[{"role":"user","content":"a"}],"completion":[{"role":"assistant","content":"b"}]}"#);
    assert_eq!(chats(lists)[0].learned, [false, true]);
}

#[test]
fn bad_conversations_are_named() {
    let turns = |turns: &str| format!("{{\"conversations\":[{{\"from\":\"human\",\"value\":\"a\"}},{turns}]}}");
    for (text, want) in [
        (turns(r#"{"from":"alien","value":"b"}"#), "x.jsonl:1: \"conversations\", turn 2: \"from\" is \"alien\", which is nobody known"),
        (turns(r#"{"from":"gpt"}"#), "turn 2: no key \"value\""),
        (turns(r#"{"from":"gpt","value":7}"#), "\"value\" is a number"),
        (turns("7"), "turn 2: the turn is a number"),
        (turns(r#"{"from":"human","value":"b"}"#), "no turn of the assistant"),
        (turns(r#"{"from":"gpt","value":[{"type":"image"}]}"#), "a part that is no text"),
        (turns(r#"{"from":"gpt","value":"b","tool_calls":[{}]}"#), "a tool call without a name"),
        (format!("{{\"tools\":\"[{{\",{}", &turns(r#"{"from":"gpt","value":"b"}"#)[1..]), "\"tools\" is broken JSON"),
        (turns(&vec![r#"{"from":"gpt","value":"b"}"#; 1000].join(",")), "1001 turns"),
    ] {
        let got = fails("x.jsonl", &text);
        assert!(got.contains(want), "{got}, want {want}");
    }
    assert!(fails("x.csv", "prompt,completion\na\n").contains("x.csv:2: broken CSV"), "{}", fails("x.csv", "prompt,completion\na\n"));
    assert!(fails("x.csv", "prompt,completion\n").contains("only a heading"));
    assert!(fails("x.parquet", "PAR1 and not more").contains("broken Parquet"), "{}", fails("x.parquet", "PAR1 and not more"));
    for (text, want) in
        [("prompt", "has no ="), ("prmpt=a", "'prmpt' is none of"), ("prompt=", "needs one column"), ("prompt=a,prompt=b", "needs one")]
    {
        assert!(text.parse::<Columns>().unwrap_err().contains(want));
    }
}

#[cfg(feature = "parquet")]
#[test]
fn parquet_is_read_as_json_would_be() {
    use parquet::basic::{BrotliLevel, Compression, GzipLevel, ZstdLevel};
    use parquet::data_type::{ByteArray, ByteArrayType};
    use parquet::file::properties::WriterProperties;
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;

    let schema = || parse_message_type("message rows { required binary question (UTF8); optional binary answer (UTF8); }").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path: PathBuf = dir.path().join("x.parquet");
    let long = "long enough to be worth it, ".repeat(50);
    for compression in [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::GZIP(GzipLevel::default()),
        Compression::BROTLI(BrotliLevel::default()),
        Compression::LZ4_RAW,
        Compression::ZSTD(ZstdLevel::default()),
    ] {
        let properties = WriterProperties::builder().set_compression(compression).build();
        let mut writer = SerializedFileWriter::new(std::fs::File::create(&path).unwrap(), schema().into(), properties.into()).unwrap();
        let mut group = writer.next_row_group().unwrap();
        for values in [["a", &long], ["b", "é"]] {
            let mut column = group.next_column().unwrap().unwrap();
            let values: Vec<ByteArray> = values.iter().map(|v| ByteArray::from(*v)).collect();
            column.typed::<ByteArrayType>().write_batch(&values, Some(&[1, 1]), None).unwrap();
            column.close().unwrap();
        }
        group.close().unwrap();
        writer.close().unwrap();
        let got = read_file(&path, &Reading::default()).unwrap_or_else(|e| panic!("{compression}: {e}"));
        assert_eq!(got.describe(), "Parquet, prompt and completion (question, answer)");
        let row = |p: &str, c: &str, line| Row { prompt: p.into(), completion: c.into(), line };
        assert_eq!(got.rows, Rows::Pairs(vec![row("a", "b", 1), row(&long, "é", 2)]), "{compression}");
    }
}

#[test]
fn the_real_files_are_recognised() {
    let shared = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/real"));
    if !shared.is_dir() {
        println!("skipped: no ../shared");
        return;
    }
    for (file, told, rows) in [
        ("gsm8k/train.jsonl", "JSON lines, prompt and completion (question, answer)", 7473),
        ("instructions/instruction-data.json", "JSON, Alpaca (instruction, input, output)", 1100),
        ("conversations/glaive_toolcall_en_demo.json", "JSON, ShareGPT (conversations, tools)", 300),
    ] {
        let found = read_file(&shared.join(file), &Reading::default()).unwrap();
        assert_eq!((found.describe().as_str(), found.rows.len()), (told, rows));
    }
}
