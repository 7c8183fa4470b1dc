//! What cannot be meant, or cannot be done, is said in words that help.

use crate::common::{command, diablo, end, json_file, line, text};
use crate::place::{Place, names};

#[test]
fn a_run_that_is_over_keeps_its_record() {
    let Some(p) = Place::new() else { return };
    p.train("o", "--quiet").good();
    let out = p.path("o");
    let record = || std::fs::read(out.join("run.toml")).unwrap();
    let before = record();
    let resumed = |more: &str| line(&format!("train --resume --out {} {more}", text(&out)));
    resumed("--lr 5").bad(2, &["all its 20 steps are made", "--lr would change nothing", "--steps 40"]);
    resumed("--steps 5").bad(2, &["it has made 20 steps, and 5 are asked for"]);
    resumed("--quiet").good();
    assert_eq!(record(), before);
    // What its files make of it may be asked for later, and so may more steps.
    resumed("--log csv --quiet").good();
    assert!(out.join("metrics.csv").is_file());
    resumed("--lr 5e-4 --steps 21 --quiet").good();
}

#[test]
fn a_run_needs_its_checkpoints_and_its_rows() {
    let Some(p) = Place::new() else { return };
    let rows = p.path("rows.jsonl");
    let write = |from: usize, count: usize| {
        let all = std::fs::read_to_string(p.data()).unwrap();
        std::fs::write(&rows, all.lines().skip(from).take(count).collect::<Vec<_>>().join("\n")).unwrap();
    };
    write(0, 20);
    let out = p.path("o");
    line(&format!("train --model {} --data {} --out {} --steps 3 --quiet", p.model(), text(&rows), text(&out))).good();
    let resumed = || line(&format!("train --resume --out {} --steps 5 --quiet", text(&out)));
    write(0, 21);
    resumed().bad(2, &["cannot go on with this run", "there are 21 rows, and the checkpoint was made with 20"]);
    // As many others, as a template makes them that writes today's date.
    write(5, 20);
    let other = line(&format!("train --resume --out {} --steps 4", text(&out)));
    assert!(other.err.contains("as many as those that the checkpoint was made with, and not the same"), "{}", other.said());
    other.good();
    write(0, 20);
    std::fs::remove_dir_all(out.join("checkpoints")).unwrap();
    resumed().bad(2, &["adapter_config.json", "no checkpoint", "--init-adapter"]);
    // As a kill before the first checkpoint leaves it.
    std::fs::remove_file(out.join("adapter_config.json")).unwrap();
    let begun = resumed();
    assert!(begun.err.contains("no checkpoint of its 4 steps: it begins again at step 1"), "{}", begun.said());
    begun.good();
    // A file of options that says nothing.
    std::fs::write(out.join("run.toml"), "").unwrap();
    resumed().bad(1, &["run.toml: names no model", "--model"]);
    line("train --resume").bad(2, &["--out is needed"]);
}

/// A path that could be a name on the hub stays a path, wherever the command is started; nobody asks the hub for it.
#[test]
fn a_local_path_is_never_asked_of_the_hub() {
    let Some(p) = Place::new() else { return };
    std::fs::create_dir(p.path("models")).unwrap();
    p.copy("models/Small");
    let at = |folder: &str, args: &str| {
        let mut command = command(&args.split_whitespace().collect::<Vec<_>>());
        // Were it asked, this would be the error.
        command.current_dir(p.path(folder)).env("HF_ENDPOINT", "http://127.0.0.1:9");
        end(command)
    };
    at("", &format!("train --model models/Small --data {} --out r --steps 2 --quiet", p.data())).good();
    let stored = std::fs::read_to_string(p.path("r/run.toml")).unwrap();
    assert!(stored.contains("model = \"./models/Small\""), "{stored}");
    let parts = ["run.toml: its model ./models/Small is not there: it was looked for at", "models/models/Small"];
    for older in [false, true] {
        if older {
            std::fs::write(p.path("r/run.toml"), stored.replace("./models/Small", "models/Small")).unwrap();
        }
        at("models", "train --resume --out ../r --steps 3").bad(1, &parts);
        at("models", "chat ../r").bad(1, &parts);
        let steps = if older { 4 } else { 3 };
        at("", &format!("train --resume --out r --steps {steps} --quiet")).good();
    }
    at("", &format!("train --resume --out r --model models/Small --data {} --steps 5 --quiet", p.data())).good();
}

#[test]
fn a_smaller_run_makes_the_same_steps() {
    let Some(p) = Place::new() else { return };
    let run = |more: &str| {
        let ended = line(&format!(
            "train --model {} --data {} --out {} --blocks 4 --seq-len 128 --batch-size 24 --accumulate 3 {more}",
            p.model(),
            p.data(),
            text(&p.path("o"))
        ));
        ended.bad(1, &["--memory allows"]);
        let number = |option: &str| {
            let rest = ended.err.split_once("help: ").unwrap().1.split_once(option).unwrap().1;
            rest.split_whitespace().next().unwrap().parse::<usize>().unwrap()
        };
        (number("--batch-size ") * number("--accumulate "), ended.err)
    };
    assert_eq!(run("--memory 3MiB").0, 72);
    // What the person said is named, not said again.
    let (rows, said) = run("--memory 1600KiB --gradient-checkpointing=false");
    assert_eq!(rows, 72);
    assert!(!said.contains("--gradient-checkpointing takes") && !said.contains("--gradient-checkpointing\n"), "{said}");
}

#[test]
fn what_is_known_at_once_is_said_first() {
    let Some(p) = Place::new() else { return };
    let out = p.path("theirs");
    std::fs::create_dir(&out).unwrap();
    std::fs::write(out.join("adapter_config.json"), "{}").unwrap();
    let refused = line(&format!("train --model {} --data {} --out {}", p.model(), p.data(), text(&out)));
    refused.bad(2, &["holds a run already"]);
    assert!(!refused.err.contains("tokenizing"), "{}", refused.said());
    assert_eq!(names(&out), ["adapter_config.json"]);
}

#[test]
fn a_run_is_no_model_and_a_model_no_run() {
    let Some(p) = Place::new() else { return };
    p.train("o", "--quiet").good();
    let out = p.path("o");
    for command in ["generate --prompt a", "train --data d --out x", &format!("eval --data {}", p.data())] {
        line(&format!("{command} --model {}", text(&out))).bad(2, &["is the folder of a run", "--adapter"]);
    }
    line("chat").bad(2, &["Neither a run nor a model is named", "diablo chat RUN"]);
    for context in ["0", "1"] {
        line(&format!("chat {} --context {context}", text(&out))).bad(2, &[&format!("--context {context}")]);
    }
    line(&format!("generate --model {} --prompt a --adapter {}", p.model(), p.data())).bad(1, &["an adapter is the folder"]);
    let scaled = format!("{}=0", text(&out));
    line(&format!("export --model {} --adapter {scaled} --out {}", p.model(), text(&p.path("x")))).bad(2, &["a factor of 0"]);
}

#[test]
fn what_a_score_cannot_be_made_of_is_named() {
    let Some(p) = Place::new() else { return };
    let eval = |more: &str| line(&format!("eval --model {} --data {} {more}", p.model(), p.data()));
    eval("--seq-len 0").bad(2, &["--seq-len 0"]);
    let many = eval("--batch-size 1000000000");
    many.bad(2, &["--batch-size 1000000000"]);
    assert!(!many.err.contains("--accumulate"), "{}", many.said());
    let rows = p.path("choices.jsonl");
    std::fs::write(&rows, r#"{"question": "Is it?", "answer": "answer1"}"#).unwrap();
    line(&format!("eval --task choice --model {} --data {}", p.model(), text(&rows))).bad(1, &["no key \"choices\""]);
    // A text longer than the model was made for.
    let book = p.path("book.txt");
    std::fs::write(&book, "many words and more ".repeat(400)).unwrap();
    let ended = line(&format!("eval --model {} --data {} --seq-len 1000 --max-new-tokens 0", p.model(), text(&book)));
    assert!(ended.err.contains("and the model was made for"), "{}", ended.said());
    ended.good();
    let data = |from: &str| line(&format!("data --model {} --data {} --from {from}", p.model(), p.data()));
    data("0").bad(2, &["--from 0"]);
    data("81").bad(2, &["--from 81", "there are 80 rows"]);
    data("80").good();
}

#[test]
fn files_and_folders_in_each_others_place() {
    let Some(p) = Place::new() else { return };
    let (model, folder) = (p.model(), text(p.folder.path()).to_owned());
    let run = format!("--out {}", text(&p.path("o")));
    line(&format!("train --model {model} --data {folder} {run}")).bad(1, &["it is a folder, and a file is needed"]);
    line(&format!("train --config {folder}")).bad(1, &["it is a folder"]);
    line(&format!("generate --model {} --prompt a", p.data())).bad(1, &["is a file, and a folder is needed"]);
    p.train("o", "--quiet").good();
    line(&format!("export --model {model} --adapter {} --out {}", text(&p.path("o")), p.data())).bad(2, &["is a file"]);
    // The table is there though the picture is not.
    let svg = p.path("nowhere/c.svg");
    let ended = line(&format!("compare {} --svg {}", text(&p.path("o")), text(&svg)));
    ended.bad(1, &["nowhere/c.svg"]);
    assert!(!ended.err.contains(".tmp-") && ended.out.contains("diablo, 4 blocks"), "{}", ended.said());
    // The same option is wrong usage wherever it stands.
    let config = p.path("options.toml");
    std::fs::write(&config, "batchsize = 3\n").unwrap();
    line(&format!("train --config {}", text(&config))).bad(2, &["line 1: unknown key 'batchsize'"]);
}

/// What may not be looked into is not said to be empty. Whoever may read everything asks as somebody else.
#[cfg(target_os = "linux")]
#[test]
fn a_folder_that_may_not_be_read_is_told() {
    use std::os::unix::fs::PermissionsExt;
    let Some(p) = Place::new() else { return };
    let model = p.copy("closed");
    let mode = |path: &std::path::Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    mode(p.folder.path(), 0o755);
    let other = |args: &[&str]| {
        let mut command = std::process::Command::new("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", env!("CARGO_BIN_EXE_diablo")]).args(args);
        command.env("DIABLO_DEVICE", "cpu").output().map(|ended| (ended.status.code(), String::from_utf8_lossy(&ended.stderr).into_owned()))
    };
    if !other(&["--version"]).is_ok_and(|(code, _)| code == Some(0)) {
        println!("skipped: nobody else can be asked");
        return;
    }
    mode(&model, 0o700);
    let (code, said) = other(&["info", "--model", text(&model)]).unwrap();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("Permission denied") && said.contains("check the permissions"), "{said}");
}

#[test]
fn the_variable_that_names_a_device_is_named() {
    let Some(p) = Place::new() else { return };
    let model = p.model();
    for args in [&["info", "--model", &model][..], &["generate", "--model", &model, "--prompt", "a"]] {
        let mut command = command(args);
        command.env("DIABLO_DEVICE", "no such thing");
        end(command).bad(1, &["no such thing\"", "DIABLO_DEVICE says no such thing"]);
    }
    let said = diablo(&["generate", "--model", &model, "--prompt", "a", "--device", "none"]);
    assert!(!said.err.contains("DIABLO_DEVICE says"), "{}", said.said());
}

#[test]
fn weights_that_are_no_numbers_are_no_matter_of_the_rate() {
    let Some(p) = Place::new() else { return };
    let model = p.copy("broken");
    let path = model.join("model.safetensors");
    let mut bytes = std::fs::read(&path).unwrap();
    let begin = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    // NaN in every type that floats have here.
    bytes[begin..].fill(0xff);
    std::fs::write(&path, bytes).unwrap();
    let run = |out: &str| format!("train --model {} --data {} --out {} --steps 3", text(&model), p.data(), text(&p.path(out)));
    line(&run("o")).bad(1, &["step 1", "hold values that are not finite"]);
    assert!(json_file(&p.path("o"), "summary.json")["steps"] == 3);
}
