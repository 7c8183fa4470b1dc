use super::*;
use serde_json::json;

fn read(rows: &[Value]) -> Result<Vec<ChoiceRow>> {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("rows.jsonl");
    let text: String = rows.iter().map(|row| format!("{row}\n")).collect();
    std::fs::write(&path, text).expect("a file");
    read_choices(&path, &Reading::default())
}

fn one(row: Value) -> ChoiceRow {
    read(&[row]).expect("a question").remove(0)
}

#[test]
fn plain_rows_by_index_text_and_label() {
    let row = |answer: Value| one(json!({"question": "Q?", "choices": ["a b", "c", "1"], "answer": answer}));
    for (answer, right) in [(json!(1), 1), (json!("c"), 1), (json!(" a b "), 0), (json!("C"), 1), (json!("0"), 0), (json!("1"), 2)] {
        assert_eq!(row(answer.clone()).right, right, "{answer}");
    }
    let row = row(json!(1));
    assert_eq!(row.candidates, ["a b", "c", "1"]);
    assert_eq!(row.asked, Rows::Pairs(vec![Row { prompt: "Q?".into(), completion: "c".into(), line: 1 }]));
    let arc = json!({"question": "Q?", "choices": {"text": ["x", "y"], "label": ["A", "B"]}, "answerKey": "B"});
    assert_eq!((one(arc.clone()).right, one(arc).candidates), (1, vec!["x".to_owned(), "y".into()]));
    assert_eq!(one(json!({"ctx": "He", "endings": ["runs", "sits"], "label": "1"})).right, 1);
    // As CSV and Parquet hold lists.
    assert_eq!(one(json!({"prompt": "Q?", "options": "[\"x\", \"y\"]", "answer": "y"})).right, 1);
}

#[test]
fn the_words_of_an_answer_format() {
    for (words, answer) in [
        ("answer1/answer2/answer3/answer4", "answer3"),
        ("true/false", "false"),
        ("ending1/ending2", "ending2"),
        ("solution1/solution2", "solution1"),
        ("option1/option2", "option2"),
    ] {
        let asked = format!("Please choose.\n\nAnswer1: x Answer2: y\n\nAnswer format: {words}");
        let row = one(json!({"instruction": asked, "input": "", "output": format!("the correct answer is {answer}"), "answer": answer}));
        assert_eq!(row.candidates.join("/"), words);
        assert_eq!((row.candidates[row.right].as_str(), row.lead.as_str()), (answer, "the correct answer is "));
        let Rows::Chats(chats) = &row.asked else { panic!("{row:?}") };
        let (prompt, completion) = chats[0].plain.as_ref().expect("two texts");
        assert!(prompt.contains(&asked) && prompt.ends_with("### Response:\n"), "{prompt}");
        assert_eq!(completion, &format!("the correct answer is {answer}"));
    }
    // Within a line, capital letters, a point, and the words in the row's own case.
    let row = one(json!({"instruction": "Option1: x Option2: y ANSWER FORMAT: Option1/Option2.", "answer": "option2"}));
    assert_eq!((row.candidates[row.right].as_str(), row.lead.as_str()), ("Option2", ""));
}

#[test]
fn numbered_answers_without_their_format() {
    let row = one(json!({"instruction": "Which?\n\nAnswer1: x Answer2: y Answer3: z", "answer": "answer2"}));
    assert_eq!((row.candidates.join("/").as_str(), row.right), ("answer1/answer2/answer3", 1));
    assert_eq!(one(json!({"instruction": "Is it?", "answer": "false"})).candidates, ["true", "false"]);
    assert_eq!(one(json!({"instruction": "Is it?", "answer": true})).right, 0);
}

#[test]
fn a_lead_gives_nothing_away() {
    let row = |output: &str| json!({"instruction": "Is it? Answer format: true/false", "output": output, "answer": "true"});
    assert_eq!(one(row("it is true.")).lead, "it is ");
    assert_eq!(one(row("untrue")).lead, "", "not a word of its own");
    assert_eq!(one(row("no word of it")).lead, "");
    assert_eq!(one(row(&format!("{} true", "because ".repeat(9)))).lead, "", "reasoning");
    let two = read(&[row("it is true"), row("that is true")]).expect("questions");
    assert!(two.iter().all(|row| row.lead.is_empty()), "{two:?}");
}

#[test]
fn what_is_wrong_is_named() {
    let said = |row: Value| {
        let error = read(&[json!({"question": "Q?", "choices": ["a", "b"], "answer": 0}), row]).expect_err("a fault");
        assert!(error.place().ends_with("rows.jsonl:2") && error.hint().is_some_and(|h| h.contains("Answer format")), "{error}");
        error.what()
    };
    assert!(said(json!({"question": "Q?", "choices": ["a", "b"]})).contains("\"answer\""));
    assert!(said(json!({"question": "Q?", "choices": ["a", "b"], "answer": 2})).contains("is 2, which is none of"));
    assert!(said(json!({"question": "Q?", "choices": ["a", "b"], "answer": "z"})).contains("\"z\", which is none of"));
    assert!(said(json!({"question": "Q?", "choices": "a", "answer": "a"})).contains("not a list of texts"));
    assert!(said(json!({"question": "Q?", "choices": ["a"], "answer": "a"})).contains("1 candidates"));
    assert!(said(json!({"question": "Q?", "choices": ["a", " "], "answer": "a"})).contains("none may be empty"));
    assert!(said(json!({"question": " ", "choices": ["a", "b"], "answer": 0})).contains("empty"));
    assert!(said(json!({"instruction": "Which?", "answer": "a"})).contains("\"choices\""));
}
