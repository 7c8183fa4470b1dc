//! Templates against what transformers makes of them, and templates that mean harm.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::data::rows::{Reading, Rows, read_rows};
use crate::data::tokenizer::tests::small;

fn template(source: &str) -> Result<ChatTemplate> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("tokenizer_config.json"), r#"{"eos_token":{"content":"</s>"},"bos_token":"<s>","pad_token":null}"#)
        .unwrap();
    let path = dir.path().join("t.jinja");
    std::fs::write(&path, source).unwrap();
    ChatTemplate::from_file(&path, dir.path())
}

fn written(source: &str) -> String {
    let messages = [json!({"role": "user", "content": "é <b>", "n": 1.5, "list": [1, true, null, "it's"]})];
    template(source).unwrap().render(&messages, Some(&json!([{"a": {"b": [1, 2]}, "e": []}])), true).unwrap()
}

#[test]
fn python_s_ways_are_kept() {
    for (source, want) in [
        ("{{ messages[0] | tojson }}", r#"{"role": "user", "content": "é <b>", "n": 1.5, "list": [1, true, null, "it's"]}"#),
        (
            "{{ tools | tojson(indent=2) }}",
            "[\n  {\n    \"a\": {\n      \"b\": [\n        1,\n        2\n      ]\n    },\n    \"e\": []\n  }\n]",
        ),
        ("{{ messages[0].content | tojson(ensure_ascii=true) }}", "\"\\u00e9 <b>\""),
        ("{{ tools | tojson(separators=(',', ':')) }}", r#"[{"a":{"b":[1,2]},"e":[]}]"#),
        ("{{ messages[0].list }}{{ none }}{{ true }}{{ nothing }}", "[1, True, None, \"it's\"]NoneTrue"),
        ("{{ bos_token }}{{ eos_token }}{{ pad_token }}", "<s></s>"),
        ("{{ ' a b '.strip().split(' ')[-1] }}{{ 'ab'.startswith('a') }}{{ messages[::-1] | length }}", "bTrue1"),
        ("{% for k, v in messages[0].items() %}{% if k == 'n' %}{% break %}{% endif %}{{ k }},{% endfor %}", "role,content,"),
        ("{% set ns = namespace(x=1) %}\n  {% for i in range(3) %}\n  {% set ns.x = ns.x + i %}\n  {% endfor %}\n{{ ns.x }}", "4"),
        ("{% for m in messages %}{% generation %}{{ m.role }}{% endgeneration %}!{% endfor %}", "user!"),
        ("{{ strftime_now('%Y') | length }}{{ add_generation_prompt }}{{ documents is none }}", "4TrueTrue"),
        ("{%- macro f(x) -%}<{{ x }}>{%- endmacro -%}{{ f('a') ~ f(1) }}", "<a><1>"),
        ("{{ 1e-05 }} {{ 2.0 }} {{ 1e16 }} {{ 7 / 2 }} {{ 7 // 2 }}", "1e-05 2.0 1e+16 3.5 3"),
    ] {
        assert_eq!(written(source), want, "{source}");
    }
}

#[test]
fn harm_is_bounded() {
    for (source, want) in [
        ("{{ raise_exception('roles must alternate') }}", "roles must alternate"),
        ("{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}", "fuel"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "recursion"),
        ("{% for i in range(2000) %}{{ 'a' * 10000 }}{% endfor %}", "16 MiB"),
        ("{% include '/etc/passwd' %}", "include"),
        ("{{ messages[0].nothing.more }}", "undefined"),
        ("{% if %}", "chat template says"),
        ("a{%}b", "chat template says"),
        ("a{% b", "chat template says"),
        ("{{ messages | tojson(x=1) }}", "unknown keyword"),
        ("{{ messages | tojson(indent='x' * 1000) }}", "short string"),
        ("{{ messages | tojson(separators=['x' * 1000, ':']) }}", "short"),
        ("{{ [messages[0]] * 100000000 }}", "16 MiB"),
        ("{% set ns = namespace(a=[1]) %}{% for i in range(60) %}{% set ns.a = [ns.a, ns.a] %}{% endfor %}{{ ns.a }}", "fuel"),
    ] {
        let got = template(source).and_then(|t| t.render(&[json!({"role": "user", "content": "a"})], None, false));
        let error = got.map(|text| text.chars().take(50).collect::<String>()).unwrap_err();
        assert!(error.to_string().contains(want) && error.to_string().contains("t.jinja"), "{source}: {error}");
    }
}

/// A tenth of the fuel is enough for more turns than rows may have.
#[test]
fn long_conversations_are_far_from_the_bounds() {
    let turn = |at: usize| json!({"role": if at.is_multiple_of(2) { "user" } else { "assistant" }, "content": "What is there to say? ".repeat(20)});
    let messages: Vec<_> = (0..1000).map(turn).collect();
    let sources = ["alternating", "headers", "marked", "thinking", "turns"];
    for name in sources {
        let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/templates")).join(name).with_extension("jinja");
        let mut template = ChatTemplate::from_file(&path, path.parent().unwrap()).unwrap();
        template.environment.set_fuel(Some(FUEL / 10));
        let text = template.render(&messages, None, false).unwrap();
        assert!(text.len() > 400_000, "{name}");
    }
}

fn chat(messages: &[(&str, &str)]) -> Chat {
    let messages: Vec<Json> = messages.iter().map(|(role, content)| json!({"role": role, "content": content})).collect();
    Chat { learned: vec![true; messages.len()], messages, tools: None, plain: None, line: 1 }
}

/// The text with what is learned in brackets.
fn masked(template: &ChatTemplate, chat: &Chat, train_on: TrainOn) -> Result<String> {
    let tokenizer = small("");
    let Learned { ids, mask } = template.tokens(chat, &tokenizer, train_on, "x.jsonl:1")?;
    let mut out = String::new();
    for (at, id) in ids.iter().enumerate() {
        if mask[at] && (at == 0 || !mask[at - 1]) {
            out.push('[');
        }
        out += &tokenizer.decode(&[*id], false)?;
        if mask[at] && mask.get(at + 1) != Some(&true) {
            out.push(']');
        }
    }
    Ok(out)
}

const PLAIN: &str =
    "{% for m in messages %}{{ m.role[0] }} {{ m.content | trim }}{{ eos_token }}\n{% endfor %}{% if add_generation_prompt %}a {% endif %}";

#[test]
fn turns_are_found_to_the_token() {
    let talk = chat(&[("user", "b"), ("assistant", " cd "), ("user", "e"), ("assistant", "f")]);
    let t = template(PLAIN).unwrap();
    assert!(!t.marks_turns());
    assert_eq!(masked(&t, &talk, TrainOn::Assistant).unwrap(), "u b</s>\na [cd</s>]\nu e</s>\na [f</s>]\n");
    assert_eq!(masked(&t, &talk, TrainOn::Last).unwrap(), "u b</s>\na cd</s>\nu e</s>\na [f</s>]\n");
    assert_eq!(masked(&t, &talk, TrainOn::All).unwrap(), "[u b</s>\na cd</s>\nu e</s>\na f</s>\n]");
    let some = Chat { learned: vec![true, false, true, true], ..talk.clone() };
    assert_eq!(masked(&t, &some, TrainOn::Assistant).unwrap(), masked(&t, &talk, TrainOn::Last).unwrap());

    // The template's own marks win: here without the end.
    let marks = "{% for m in messages %}{{ m.role[0] }} {% if m.role == 'assistant' %}{% generation %}{{ m.content }}{% endgeneration %}{% else %}{{ m.content }}{% endif %}{{ eos_token }}{% endfor %}";
    let t = template(marks).unwrap();
    assert!(t.marks_turns());
    assert_eq!(masked(&t, &talk, TrainOn::Assistant).unwrap(), "u b</s>a [ cd ]</s>u e</s>a [f]</s>");
    assert_eq!(masked(&t, &talk, TrainOn::Last).unwrap(), "u b</s>a  cd </s>u e</s>a [f]</s>");
    assert_eq!(masked(&t, &some, TrainOn::Assistant).unwrap(), "u b</s>a  cd </s>u e</s>a [f]</s>");

    // What the model thought is left out once the talk goes on.
    let thinks = "{% for m in messages %}{{ m.role[0] }} {% if m.role == 'assistant' and loop.last %}think {% endif %}{{ m.content.split('.')[-1] }}{{ eos_token }}\n{% endfor %}{% if add_generation_prompt %}a {% endif %}";
    let talk = chat(&[("user", "b"), ("assistant", "x.cd"), ("user", "e"), ("assistant", "y.f")]);
    let got = masked(&template(thinks).unwrap(), &talk, TrainOn::Assistant).unwrap();
    assert_eq!(got, "u b</s>\na [cd</s>]\nu e</s>\na [think f</s>]\n");

    // What asks for an answer may go further than answers do.
    let asks = PLAIN.replace("%}a {%", "%}a think {%");
    let got = masked(&template(&asks).unwrap(), &talk, TrainOn::Last).unwrap();
    assert!(got.ends_with("a [y.f</s>]\n"), "{got}");
}

#[test]
fn tools_reach_templates_that_know_none() {
    let call =
        json!({"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": {"x": 1}}}]});
    let messages = [json!({"role": "user", "content": "a"}), call, json!({"role": "tool", "content": "b"})];
    let two = "{% for m in messages %}{% if m.role == 'user' %}U{{ m.content }}{% elif m.role == 'assistant' %}A{{ m.content }}{% endif %}{% endfor %}";
    assert_eq!(template(two).unwrap().render(&messages, None, false).unwrap(), "UaA{\"name\": \"f\", \"arguments\": {\"x\": 1}}Ub");
    let all =
        "{% for m in messages %}{{ m.role[0] }}{{ m.content }}{% for c in m.tool_calls %}{{ c.function.name }}{% endfor %}{% endfor %}";
    assert_eq!(template(all).unwrap().render(&messages, None, false).unwrap(), "uaaftb");
}

#[test]
fn the_model_s_own_template_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let of = || ChatTemplate::of_model(dir.path()).map(|t| t.map(|t| t.render(&[], None, false).unwrap()));
    let write = |file: &str, text: &str| std::fs::write(dir.path().join(file), text).unwrap();
    assert_eq!(of().unwrap(), None);
    write("tokenizer_config.json", r#"{"chat_template":[{"name":"tool_use","template":"x"},{"name":"default","template":"list"}]}"#);
    assert_eq!(of().unwrap().as_deref(), Some("list"));
    write("tokenizer_config.json", r#"{"chat_template":"text"}"#);
    assert_eq!(of().unwrap().as_deref(), Some("text"));
    write("chat_template.jinja", "file\n");
    assert_eq!(of().unwrap().as_deref(), Some("file"));
    write("chat_template.jinja", "{% nonsense %}");
    assert!(of().unwrap_err().to_string().contains("chat_template.jinja, line 1"));
    // A broken template is told by the row that needs it, not before.
    let chatting = Chatting::new("auto", dir.path(), TrainOn::Assistant).unwrap();
    let pair = Rows::Pairs(vec![crate::data::Row { prompt: "a".into(), completion: "b".into(), line: 1 }]);
    assert_eq!(chatting.questions(&pair, &small("")).unwrap(), [(vec![3], "b".to_owned())]);
    let talk = Rows::Chats(vec![chat(&[("user", "a"), ("assistant", "b")])]);
    assert!(chatting.questions(&talk, &small("")).unwrap_err().to_string().contains("chat_template.jinja"));
    assert!(Chatting::new("model", dir.path(), TrainOn::Assistant).is_err());
    assert!(Chatting::new("no/such.jinja", dir.path(), TrainOn::Assistant).unwrap_err().to_string().contains("no such file"));
    let none = Chatting::new("none", dir.path(), TrainOn::Assistant).unwrap();
    assert!(none.questions(&talk, &small("")).unwrap_err().to_string().contains("need a chat template"));
}

#[test]
fn pairs_go_through_a_template_that_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let (data, file) = (dir.path().join("x.jsonl"), dir.path().join("t.jinja"));
    std::fs::write(&data, "{\"prompt\":\"b\",\"completion\":\"c\"}\n{\"text\":\"d\"}\n").unwrap();
    std::fs::write(&file, "{% for m in messages %}{{ m.role[0] }}{{ m.content }}.{% endfor %}").unwrap();
    let rows = read_rows(&data, &Reading::default()).unwrap();
    let ids = |word: &str, train_on| {
        let chat = Chatting::new(word, dir.path(), train_on).unwrap();
        let options = crate::data::Options { seq_len: 64, eos: 2, chat, ..Default::default() };
        let (data, _) = crate::data::Dataset::build(&rows, &small(""), &options, "x", &|_, _| ()).unwrap();
        data.samples.iter().map(|s| (small("").decode(&s.ids, false).unwrap(), s.learn_from)).collect::<Vec<_>>()
    };
    let sample = |text: &str, from| (text.to_owned(), from);
    assert_eq!(ids("auto", TrainOn::Assistant), [sample("bc</s>", 1), sample("d</s>", 1)]);
    let file = file.to_str().unwrap();
    // Nothing asks for an answer here: the turn is all that the assistant adds.
    assert_eq!(ids(file, TrainOn::Assistant), [sample("ub.ac.", 3), sample("d</s>", 1)]);
    assert_eq!(ids(file, TrainOn::All), [sample("ub.ac.", 1), sample("d</s>", 1)]);
}
