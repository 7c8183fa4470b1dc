//! What README and docs tell a person to type is typed: commands run on a small model, options are read, files and links are there.
//!
//! Each page's commands run in their order in a folder of its own, in which the models and rows that documents name exist ([`place`]):
//! they are the bundled model and a few of its rows. Runs are cut to two steps ([`shortened`]). What is not run is listed with its
//! reason ([`NOT_RUN`], [`SHOWN`]), so that nothing new slips by.
#![allow(clippy::unwrap_used)]

mod common;
mod pages;

use common::{command, line, text};
use diablo::demo::Files;
use pages::{Block, Command, HERE, Page, pages};
use std::io::Write;
use std::path::Path;
use std::process::Stdio;

/// Commands that are not run, by how they begin, and why. Their options are read all the same where they are diablo's.
const NOT_RUN: [(&str, &str); 15] = [
    ("diablo app", "opens a window"),
    ("diablo demo", "trains for 400 steps; tests/runs/demo.rs runs it"),
    ("diablo bench", "measures for minutes; tests/cli runs a short one"),
    ("diablo check", "needs a GPU; tests/cli runs it"),
    ("make", "its targets are looked up in the Makefile"),
    ("cargo", "builds; its tests and examples are looked up"),
    ("cd mine && ollama", "another program"),
    ("cp target/base/run/model/", "a step of make base-model, minutes of training"),
    ("tensorboard", "another program"),
    ("apt-get", "installs"),
    ("mpirun", "needs MPI; tests/ranks.rs runs it (make mpi-test)"),
    ("for method in", "a loop of the shell"),
    ("cd recipe && pip", "installs; tests/runs/recipe.rs runs what follows"),
    ("python train.py", "another program; tests/runs/recipe.rs runs it"),
    ("target/debug/config", "an instrumented build (make fuzz)"),
];

/// Blocks that are no commands, by page and first line, and what they are.
const SHOWN: [(&str, &str, &str); 4] = [
    ("README.md", "  What does Beaver play?", "what the demo prints"),
    ("README.md", "                        trained", "what compare --paper prints"),
    ("ARCHITECTURE.md", " RunConfig (one struct", "a picture"),
    ("docs/evaluation.md", "rows               20", "what eval prints"),
];

/// Inline commands that are patterns, not commands.
const PATTERNS: [&str; 2] = ["diablo COMMAND --help", "diablo completions SHELL"];

/// What documents call models, and what stands in for them; with a chat template where the model that is named has one.
const MODELS: [(&str, bool); 6] = [
    ("models/SmolLM2-135M", false),
    ("models/Qwen2-0.5B-Instruct", true),
    ("models/Qwen3-0.6B", false),
    ("Qwen/Qwen3-0.6B", false),
    ("Qwen/Qwen3-0.6B@main", false),
    ("runs/demo/model", false),
];
/// Run folders that documents take for granted.
const RUNS: [&str; 8] =
    ["runs/first", "runs/lora", "runs/a", "runs/b", "runs/math", "runs/sense", "runs/demo/diablo", "sweeps/first/lr-1e-4_rank-8"];

const TEMPLATE: &str =
    "{% for m in messages %}<s>{{ m.role }}: {{ m.content }}</s>{% endfor %}{% if add_generation_prompt %}<s>assistant: {% endif %}";
const CHATS: &str = r#"{"messages": [{"role": "user", "content": "Where does Otter live?"}, {"role": "assistant", "content": "In the mill."}]}
{"messages": [{"role": "user", "content": "What does Beaver eat?"}, {"role": "assistant", "content": "Soup."}]}
"#;
const WORKED: &str = r#"{"question": "What is 2 and 3?", "answer": "2 + 3 = 5\n#### 5"}
{"question": "What is 2 and 2?", "answer": "2 + 2 = 4\n#### 4"}
"#;
const CHOICES: &str = r#"[{"instruction": "Is a beaver an animal?\n\nAnswer format: true/false", "output": "the correct answer is true", "answer": "true"}]
"#;

fn write(path: &Path, content: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target)
        } else {
            std::fs::copy(entry.path(), target).map(|_| ()).unwrap()
        }
    }
}

/// A folder in which what documents name exists.
fn place(folder: &Path) {
    let demo = Files { folder: Path::new(HERE).join("assets/demo") };
    for (name, chats) in MODELS {
        copy(&demo.model(), &folder.join(name));
        if chats {
            write(&folder.join(name).join("chat_template.jinja"), TEMPLATE);
        }
    }
    let rows = |path: &Path, n: usize| -> String {
        std::fs::read_to_string(path).unwrap().lines().take(n).map(|line| format!("{line}\n")).collect()
    };
    write(&folder.join("train.jsonl"), &rows(&demo.train(), 40));
    write(&folder.join("test.jsonl"), &rows(&demo.held_out(), 2));
    write(&folder.join("general.jsonl"), &rows(&demo.train(), 8));
    write(&folder.join("conversations.json"), CHATS);
    write(&folder.join("openai/gsm8k:main"), WORKED);
    write(&folder.join("boolq/test.json"), CHOICES);
    let run = |method: &str| {
        let out = folder.join(format!("earlier-{method}"));
        let (model, data) = (folder.join(MODELS[0].0), folder.join("train.jsonl"));
        let options = format!("--model {} --data {} --eval-split 0.1 --steps 2 --batch-size 2", text(&model), text(&data));
        line(&format!("train {options} --method {method} --rank 4 --out {} --quiet", text(&out))).good();
        out
    };
    let (diablo, lora) = (run("diablo"), run("lora"));
    for name in RUNS {
        copy(if name == "runs/lora" { &lora } else { &diablo }, &folder.join(name));
    }
    std::fs::copy(lora.join("run.toml"), folder.join("run.toml")).unwrap();
}

/// A command with its run cut short.
fn shortened(command: Command) -> Command {
    let makes_runs = command.words[1] == "compare" && command.words.iter().any(|w| w == "--paper");
    let c = match command.words[1].as_str() {
        "train" | "sweep" if command.words.iter().any(|w| w == "--resume") => command,
        "train" | "sweep" => command.without("--steps").without("--epochs").with("--steps", "2").with("--batch-size", "2"),
        "compare" if makes_runs => {
            let c = ["--steps", "--seeds", "--methods"].iter().fold(command, |c, option| c.without(option));
            let c = c.with("--steps", "2").with("--seeds", "1").with("--methods", "diablo");
            // Of the bundled rows, too, only a few are held out.
            if c.words.iter().any(|w| w == "--data") { c } else { c.with("--eval-data", "test.jsonl") }
        }
        "eval" if command.value("--task") == Some("choice") => command,
        "eval" | "generate" | "chat" => command.with("--max-new-tokens", "4"),
        _ => command,
    };
    assert!(c.words[0] == "diablo");
    c
}

/// Whether the program understands a command's words. Where an inline command leaves out what is needed, that is no fault.
fn understood(page: &Page, command: &Command, whole: bool) {
    use clap::error::ErrorKind::{DisplayHelp, DisplayHelpOnMissingArgumentOrSubcommand, InvalidValue, MissingRequiredArgument};
    let Err(e) = diablo::cli::declaration().try_get_matches_from(&command.words) else { return };
    let last = command.words.last().is_some_and(|w| w.starts_with("--"));
    let fine = match e.kind() {
        DisplayHelp => true,
        MissingRequiredArgument | DisplayHelpOnMissingArgumentOrSubcommand => !whole,
        // An option that is named without its value.
        InvalidValue => !whole && last && e.to_string().contains("a value is required"),
        _ => false,
    };
    assert!(fine, "{}: {}: {e}", page.name, command.line);
}

fn makefile_has(page: &Page, target: &str) {
    let makefile = std::fs::read_to_string(Path::new(HERE).join("Makefile")).unwrap();
    assert!(makefile.lines().any(|l| l.starts_with(&format!("{target}:"))), "{}: make {target}: no such target", page.name);
}

/// A command of another program: what it names is there.
fn looked_up(page: &Page, command: &Command) {
    let words: Vec<&str> = command.words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["make", target, ..] => makefile_has(page, target),
        ["cargo", rest @ ..] => {
            for pair in rest.windows(2) {
                let path = match pair {
                    ["--test", name] if Path::new(HERE).join("tests").join(name).is_dir() => format!("tests/{name}/main.rs"),
                    ["--test", name] => format!("tests/{name}.rs"),
                    ["--example", name] => format!("examples/{name}.rs"),
                    ["--bench", name] => format!("benches/{name}.rs"),
                    _ => continue,
                };
                assert!(Path::new(HERE).join(&path).is_file(), "{}: {}: {path} is not there", page.name, command.line);
            }
            if let (Some("run"), false, Some(at)) =
                (rest.first().copied(), rest.contains(&"--example"), rest.iter().position(|w| *w == "--"))
            {
                let own = std::iter::once("diablo").chain(rest[at + 1..].iter().copied()).map(String::from).collect();
                understood(page, &Command { words: own, ..command.clone() }, true);
            }
        }
        ["mpirun", rest @ ..] => {
            if let Some(at) = rest.iter().position(|w| *w == "diablo") {
                let own = rest[at..].iter().copied().map(String::from).collect();
                understood(page, &Command { words: own, ..command.clone() }, true);
            }
        }
        _ => {}
    }
}

fn reason(command: &Command) -> Option<&'static str> {
    NOT_RUN.iter().find(|(start, _)| command.line.starts_with(start)).map(|(start, _)| *start)
}

/// Runs a page's commands, as somebody who reads it from its top would. What was not run, by the start of its entry in the list.
fn follow(page: &Page, folder: &Path) -> Vec<&'static str> {
    let mut not_run = Vec::new();
    for block in page.blocks() {
        match block.language.as_str() {
            "json" => rows_block(page, &block, folder),
            "" | "sh" | "console" => {
                let first = block.text.lines().next().unwrap_or_default();
                let Some(commands) = block.commands() else {
                    let shown = SHOWN.iter().any(|(name, start, _)| *name == page.name && first.starts_with(start));
                    assert!(shown, "{}: a block that is neither commands nor listed in SHOWN: {first}", page.name);
                    continue;
                };
                for command in commands {
                    if command.words[0] == "diablo" {
                        understood(page, &command, true);
                    } else {
                        looked_up(page, &command);
                    }
                    match reason(&command) {
                        Some(start) => not_run.push(start),
                        None => typed(page, command, folder),
                    }
                }
            }
            _ => {}
        }
    }
    not_run
}

/// Rows that the page has the reader write into the file that it names before them.
fn rows_block(page: &Page, block: &Block, folder: &Path) {
    let name = block.before.trim_end_matches(':').rsplit('`').nth(1).unwrap_or_default();
    assert!(name.ends_with(".jsonl"), "{}: which file are these rows? {}", page.name, block.before);
    for row in block.text.lines() {
        serde_json::from_str::<serde_json::Value>(row).unwrap_or_else(|e| panic!("{}: {e}: {row}", page.name));
    }
    write(&folder.join(name), &block.text);
}

fn typed(page: &Page, said: Command, folder: &Path) {
    assert_eq!(said.words[0], "diablo", "{}: {}: not run, and not listed in NOT_RUN", page.name, said.line);
    let resumes = said.words.iter().any(|w| w == "--resume");
    if let Some(out) = said.value("--out").filter(|_| !resumes) {
        // A folder that is taken for granted elsewhere on the page, or that an earlier way of doing the same made.
        let _ = std::fs::remove_dir_all(folder.join(out));
    }
    let short = shortened(said.clone());
    let words: Vec<&str> = short.words[1..].iter().map(String::as_str).collect();
    let mut child = command(&words)
        .current_dir(folder)
        .env("HF_HUB_OFFLINE", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that reads nothing may have ended.
    let _ = child.stdin.take().unwrap().write_all(said.input.unwrap_or_default().as_bytes());
    let ended = child.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(ended.status.success(), "{}: {}\n(as {})\n{told}", page.name, said.line, words.join(" "));
    assert!(!told.contains("panicked"), "{}: {}\n{told}", page.name, said.line);
}

#[test]
fn commands_run_as_they_are_written() {
    let ready = tempfile::tempdir().unwrap();
    place(ready.path());
    let pages = pages();
    let not_run = std::thread::scope(|scope| {
        let halves: Vec<_> = (0..2)
            .map(|half| {
                let (pages, ready) = (&pages, ready.path());
                scope.spawn(move || {
                    let mut not_run = Vec::new();
                    for page in pages.iter().skip(half).step_by(2) {
                        let folder = tempfile::tempdir().unwrap();
                        copy(ready, folder.path());
                        not_run.extend(follow(page, folder.path()));
                    }
                    not_run
                })
            })
            .collect();
        halves.into_iter().flat_map(|half| half.join().unwrap_or_else(|e| std::panic::resume_unwind(e))).collect::<Vec<_>>()
    });
    for (start, why) in NOT_RUN {
        if !not_run.contains(&start) {
            println!("no block has: {start} ({why})");
        }
    }
}

#[test]
fn commands_inside_sentences_are_known() {
    for page in pages() {
        for code in page.code() {
            let command = Command::read(&code);
            match command.words.first().map(String::as_str) {
                Some("diablo") if !PATTERNS.contains(&code.as_str()) => understood(&page, &command, false),
                Some("make" | "cargo") => looked_up(&page, &command),
                _ => {}
            }
        }
    }
}

#[test]
fn snippets_of_other_languages_are_right() {
    let mut scripts = Vec::new();
    for page in pages() {
        for block in page.blocks() {
            match block.language.as_str() {
                "" | "sh" | "console" | "json" => {}
                "toml" => {
                    let folder = tempfile::tempdir().unwrap();
                    let file = folder.path().join("run.toml");
                    write(&file, &block.text);
                    let run = diablo::train::RunConfig::from_toml_file(&file).and_then(|run| run.validate_options());
                    run.unwrap_or_else(|e| panic!("{}: {e}\n{}", page.name, block.text));
                }
                // What the library's own documentation has is compiled there.
                "rust" => {
                    let examples = std::fs::read_to_string(Path::new(HERE).join("examples/train.rs")).unwrap();
                    assert!(examples.contains(block.text.trim()), "{}: not in examples/train.rs:\n{}", page.name, block.text);
                }
                "js" => scripts.push((page.name.clone(), block.text)),
                "html" => elements(&page.name, &block.text),
                other => panic!("{}: nobody looks at blocks of '{other}'", page.name),
            }
        }
    }
    assert!(!scripts.is_empty());
    let known: String =
        ["page/api.d.ts", "page/page.js", "tests/harness.mjs", "tests/demo.test.mjs", "tests/app.test.mjs", "tests/gpu.test.mjs"]
            .map(|name| std::fs::read_to_string(Path::new(HERE).join("web").join(name)).unwrap())
            .concat();
    let protocol = std::fs::read_to_string(Path::new(HERE).join("src/web/protocol/mod.rs")).unwrap();
    for (page, script) in &scripts {
        for call in script.split("diablo.").skip(1).filter_map(|rest| rest.split_once('(')) {
            assert!(call.0.contains([' ', '"', '\n']) || known.contains(&format!("{}(", call.0)), "{page}: diablo.{} is not there", call.0);
        }
        for word in script.split("command: \"").skip(1).filter_map(|rest| rest.split_once('"')) {
            let variant = word.0[..1].to_uppercase() + &word.0[1..];
            assert!(protocol.contains(&format!("    {variant}")), "{page}: the protocol has no command '{}'", word.0);
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("snippet.mjs");
        write(&file, script);
        match std::process::Command::new("node").arg("--check").arg(&file).output() {
            Ok(ended) => assert!(ended.status.success(), "{page}: {}", String::from_utf8_lossy(&ended.stderr)),
            Err(_) => println!("skipped: no node to read {page}'s scripts"),
        }
    }
}

/// The attributes of the page's element are options of a run, or its own.
fn elements(page: &str, html: &str) {
    let keys: Vec<String> = diablo::train::config_file::keys().map(|k| k.replace('_', "-")).collect();
    for element in html.split("<diablo-trainer ").skip(1).filter_map(|rest| rest.split_once('>')) {
        for attribute in element.0.split("=\"").filter_map(|part| part.rsplit([' ', '"']).next()).filter(|name| !name.is_empty()) {
            assert!(attribute == "prompt" || keys.iter().any(|k| k == attribute), "{page}: <diablo-trainer> has no '{attribute}'");
        }
    }
}

#[test]
fn links_and_files_are_there() {
    let all = pages();
    for page in &all {
        for link in page.links().into_iter().filter(|link| !link.starts_with("http")) {
            let (path, anchor) = link.split_once('#').map_or((link.as_str(), None), |(path, anchor)| (path, Some(anchor)));
            let target = if path.is_empty() { page.beside(page.name.rsplit('/').next().unwrap()) } else { page.beside(path) };
            assert!(target.exists(), "{}: the link {link} leads nowhere", page.name);
            if let Some(anchor) = anchor {
                let other = all.iter().find(|p| Path::new(HERE).join(&p.name).canonicalize().unwrap() == target.canonicalize().unwrap());
                let found = other.is_some_and(|p| p.anchors().iter().any(|a| a == anchor));
                assert!(found, "{}: {link}: no such heading", page.name);
            }
        }
        for code in page.code() {
            let rooms = ["src/", "docs/", "tests/", "shaders/", "web/", "assets/", "benches/", "examples/"];
            let plain =
                code.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c)) && !["NAME", "HASH"].iter().any(|p| code.contains(p));
            // What is made, not kept.
            if plain && rooms.iter().any(|room| code.starts_with(room)) && !code.starts_with("web/dist") {
                let inside = page.name.starts_with("web/") && Path::new(HERE).join("web").join(&code).exists();
                assert!(
                    inside || page.beside(&code).exists() || Path::new(HERE).join(&code).exists(),
                    "{}: {code} is not there",
                    page.name
                );
            }
        }
    }
    let index = all.iter().find(|p| p.name == "docs/README.md").unwrap().links();
    for page in all.iter().filter(|p| p.name.starts_with("docs/") && p.name != "docs/README.md") {
        let name = page.name.trim_start_matches("docs/");
        assert!(index.iter().any(|link| link == name), "docs/README.md does not name {name}");
    }
    assert!(all[0].links().iter().any(|link| link == "docs/README.md"), "README.md does not lead to docs/README.md");
}

#[test]
fn every_kernel_has_its_section() {
    let page = pages().into_iter().find(|p| p.name == "docs/kernels.md").unwrap();
    let prose = page.prose();
    let sections: Vec<(&str, &str)> = prose.split("\n### `").skip(1).filter_map(|s| s.split_once("`\n")).collect();
    let names: Vec<&str> = diablo::kernels::ALL.iter().map(|kernel| kernel.name).collect();
    for name in &names {
        let section = sections.iter().find(|(n, _)| n == name).unwrap_or_else(|| panic!("docs/kernels.md has no section `{name}`"));
        let text = section.1.split("\n## ").next().unwrap();
        let refers = names.iter().any(|other| other != name && text.contains(&format!("`{other}`"))) || text.contains("Same bindings");
        assert!(text.to_lowercase().contains("bindings") || refers, "{name}: what is bound?");
    }
    for (name, _) in sections {
        assert!(names.contains(&name), "docs/kernels.md tells of `{name}`, which is no kernel");
    }
}

/// The table of choosing-n.md is what `diablo info` says.
#[test]
fn sizes_by_n_are_those_of_info() {
    let page = pages().into_iter().find(|p| p.name == "docs/choosing-n.md").unwrap();
    let model = Path::new(HERE).join("assets/demo/model");
    let mut seen = 0;
    for row in page.text.lines().filter(|l| l.contains("iB |")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let told = line(&format!("info --model {} --blocks {} --batch-size 16 --seq-len 64", text(&model), cells[0])).good();
        let said = |key: &str| told.lines().find_map(|l| l.strip_prefix(key)).map(str::trim).unwrap().to_owned();
        assert_eq!(said("trainable").split(' ').next(), Some(cells[1]), "{row}");
        assert_eq!(said("memory "), cells[3], "{row}");
        seen += 1;
    }
    assert_eq!(seen, 7);
}

/// What errors.md quotes is said somewhere in the program.
#[test]
fn quoted_errors_are_errors() {
    fn sources(folder: &Path, all: &mut String) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { sources(&path, all) } else { all.push_str(&std::fs::read_to_string(&path).unwrap_or_default()) }
        }
    }
    let mut all = String::new();
    sources(&Path::new(HERE).join("src"), &mut all);
    let page = pages().into_iter().find(|p| p.name == "docs/errors.md").unwrap();
    let quoted: Vec<&str> =
        page.text.lines().filter_map(|line| line.strip_prefix("| `")).filter_map(|rest| rest.split_once('`')).map(|(q, _)| q).collect();
    assert!(quoted.len() > 15);
    for quote in quoted {
        assert!(all.contains(quote), "no error says '{quote}'");
    }
}
