//! Names on the hub, as a person uses them: the program against a small hub on this machine.
#![allow(clippy::unwrap_used)]

mod common;
mod loopback;

use common::{end, json_file, losses};
use diablo::app::shared::Shared;
use eframe::egui;
use loopback::place::{MODEL, Place, WEIGHTS, asset, model_files, rows};
use loopback::{TOKEN, Wrong, hex};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const SHORT: &str = "--blocks 8 --steps 2 --batch-size 4 --seq-len 32 --device cpu";

#[test]
fn a_run_by_name_keeps_its_commit() {
    let place = Place::new();
    place.hub.put("datasets", "demo/questions", 3, &[("data/train.jsonl", rows(0, 24)), ("README.md", b"x".to_vec())], &[]);
    place.run(&format!("train --model {MODEL} --data demo/questions --out run {SHORT} --save-every 1")).good();
    let (commit, data) = ("01".repeat(20), "03".repeat(20));
    let kept = std::fs::read_to_string(place.path("run/run.toml")).unwrap();
    assert!(
        kept.contains(&format!("model = \"{MODEL}@{commit}\"\n")) && kept.contains(&format!("data = \"demo/questions@{data}\"\n")),
        "{kept}"
    );
    assert_eq!(json_file(&place.path("run"), "adapter_config.json")["base_model_name_or_path"], MODEL);
    let mut names: Vec<String> =
        std::fs::read_dir(place.snapshot(1)).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["config.json", WEIGHTS, "tokenizer.json", "tokenizer_config.json"]);
    #[cfg(unix)]
    assert_eq!(
        std::fs::read_link(place.snapshot(1).join(WEIGHTS)).unwrap(),
        Path::new("../../blobs").join(hex(&asset("model/model.safetensors")))
    );

    // The branch moves on. The run stays where it was, by its own file and by the name; and nothing is asked for that.
    place.hub.put("models", MODEL, 2, &model_files(), &[WEIGHTS]);
    place.hub.log();
    place.run("train --resume --out run --steps 3").good();
    assert!(place.hub.log().is_empty());
    place.run(&format!("train --resume --out run --steps 4 --model {MODEL} --data demo/questions")).good();
    assert_eq!(losses(&place.path("run")).len(), 4);
    assert!(!place.snapshot(2).exists());
    // A run of the same options on the folder itself has the same losses.
    let folder = place.snapshot(1).display().to_string();
    let file = place.cache().join("datasets--demo--questions/snapshots").join(&data).join("data/train.jsonl");
    place.run(&format!("train --model {folder} --data {} --out same {SHORT}", file.display())).good();
    assert_eq!(losses(&place.path("same")), losses(&place.path("run"))[..2]);
}

#[test]
fn every_command_takes_a_name_and_the_cache_is_enough() {
    let place = Place::new();
    place.hub.put("datasets", "demo/q", 4, &[("train.jsonl", rows(0, 16)), ("test.jsonl", rows(40, 4)), ("valid.jsonl", rows(50, 3))], &[]);
    place.run(&format!("train --model {MODEL} --data demo/q --eval-data demo/q --out run {SHORT}")).good();
    // Fetched by no run, so it is fetched now.
    place.run("eval --model Demo/Model-1M --adapter run --data demo/q --max-new-tokens 4 --json").good();
    place.hub.log();
    for args in [
        "generate --model Demo/Model-1M --adapter run --prompt What --max-new-tokens 3",
        "eval --model Demo/Model-1M --data demo/q --max-new-tokens 0 --json",
        "info --model Demo/Model-1M --data demo/q --json",
        "data --model Demo/Model-1M --data demo/q:test --show 0",
        "export --model Demo/Model-1M --adapter run --out merged",
        "chat run --max-new-tokens 3",
        "train --model Demo/Model-1M --data demo/q --out again --blocks 8 --steps 1 --batch-size 4 --seq-len 32",
    ] {
        place.offline(args).good();
    }
    assert!(place.hub.log().is_empty(), "nothing is asked offline");
    let scored = place.offline("eval --model Demo/Model-1M --data demo/q --max-new-tokens 0 --json").json();
    assert_eq!(scored["rows"], 4, "the test split");
    let eval: serde_json::Value = json_file(&place.path("run"), "summary.json");
    assert_eq!((&eval["rows"], &eval["eval_rows"]), (&16.into(), &3.into()), "train, and the validation split");
    assert!(place.path("merged/config.json").is_file() && !place.path("merged/config.json").is_symlink());
}

#[test]
fn a_path_that_is_there_wins_and_neither_says_both() {
    let place = Place::new();
    std::fs::create_dir_all(place.path(MODEL)).unwrap();
    place.info().bad(1, &["config.json"]);
    assert!(place.hub.log().is_empty());
    place.run("info --model Demo/Nothing").bad(1, &["no such path is here", "no such model", "401", "HF_TOKEN", &place.hub.endpoint()]);
    place.run("info --model nothing").bad(1, &["nothing: there is no such folder", "no name on the hub (owner/name)"]);
    place.run("info --model a/b/c").bad(1, &["no such folder"]);
    place.run(&format!("info --model {MODEL}-2 --data rows/train.jsonl")).bad(1, &["no such path"]);
    place.run("data --model Demo/Model-1M@main --data rows/train.jsonl").bad(1, &["rows/train.jsonl: there is no such file"]);
    place.run("info --model Demo/Model-1M@v9").bad(1, &["it has no revision v9"]);
    place.run("info --model Demo/Model-1M:part").bad(2, &["a model has no parts"]);
}

#[test]
fn broken_connections_are_gone_on_with() {
    let place = Place::new();
    let size = asset("model/model.safetensors").len();
    // More often than there are tries without a new byte.
    place.hub.fault("/lfs/", Wrong::Breaks(200_000), 7);
    place.hub.fault("tokenizer.json", Wrong::Breaks(100), 1);
    let said = place.info();
    assert!(said.err.contains("the connection broke after"), "{}", said.said());
    said.good();
    let starts: Vec<usize> = place.hub.log().iter().filter(|a| a.path.contains("/lfs/")).map(|a| a.from).collect();
    assert_eq!(starts, (0..8).map(|i| i * 200_000).collect::<Vec<_>>());
    assert!(size > 7 * 200_000);
    let got = std::fs::read(place.snapshot(1).join(WEIGHTS)).unwrap();
    assert!(got == asset("model/model.safetensors"));
    assert!(std::fs::read(place.snapshot(1).join("tokenizer.json")).unwrap() == asset("model/tokenizer.json"));
    let left = std::fs::read_dir(place.cache().join("models--Demo--Model-1M/blobs")).unwrap();
    assert!(left.map(|e| e.unwrap().file_name().into_string().unwrap()).all(|name| !name.ends_with("incomplete")));
}

#[test]
fn servers_without_ranges_send_all_again() {
    let place = Place::new();
    place.hub.fault("/lfs/", Wrong::Breaks(200_000), 1);
    place.hub.fault("/lfs/", Wrong::NoRange, 1);
    place.info().good();
    assert!(std::fs::read(place.snapshot(1).join(WEIGHTS)).unwrap() == asset("model/model.safetensors"));
}

#[test]
fn what_is_spoilt_on_the_way_is_not_kept() {
    let place = Place::new();
    place.hub.fault("/lfs/", Wrong::Spoilt, 1);
    let said = place.info();
    assert!(said.err.contains("warning: ") && said.err.contains("SHA-256"), "{}", said.said());
    said.good();
    let place = Place::new();
    place.hub.fault("/lfs/", Wrong::Spoilt, 2);
    place.info().bad(1, &[WEIGHTS, "SHA-256", "the hub says"]);
    assert!(!place.snapshot(1).join(WEIGHTS).exists());
    place.info().good();
}

#[test]
fn a_part_of_another_day_is_checked_too() {
    let place = Place::new();
    let blobs = place.cache().join("models--Demo--Model-1M/blobs");
    std::fs::create_dir_all(&blobs).unwrap();
    let bytes = asset("model/model.safetensors");
    let part = blobs.join(format!("{}.incomplete", hex(&bytes)));
    for old in [vec![0; 1000], vec![0; bytes.len()], vec![0; bytes.len() + 1], bytes[..5000].to_vec(), bytes.clone()] {
        std::fs::write(&part, &old).unwrap();
        place.info().good();
        assert!(std::fs::read(place.snapshot(1).join(WEIGHTS)).unwrap() == bytes);
        std::fs::remove_file(blobs.join(hex(&bytes))).unwrap();
    }
}

#[test]
fn refusals_say_what_to_do() {
    let place = Place::new();
    place.hub.close("models", MODEL);
    place.info().bad(1, &["access is refused (401: Access to this model is restricted)", "accept its terms", MODEL, "HF_TOKEN"]);
    let with = |token: &str| {
        let mut command = place.command(&format!("info --model {MODEL}"));
        command.env("HF_TOKEN", token);
        end(command)
    };
    let refused = with("hf_wrong");
    refused.bad(1, &["403", "accept its terms"]);
    assert!(!refused.err.contains("hf_wrong"));
    place.hub.log();
    with(TOKEN).good();
    let log = place.hub.log();
    let (large, own): (Vec<_>, Vec<_>) = log.iter().partition(|a| a.path.contains("/lfs/"));
    assert!(own.iter().all(|a| a.token.as_deref() == Some(TOKEN)) && !own.is_empty());
    assert!(large.iter().all(|a| a.token.is_none()) && !large.is_empty(), "the token is for the hub alone: {large:?}");
}

#[test]
fn redirects_are_followed_and_the_token_stays_at_home() {
    for name in ["Demo/Old-Model-1M", "Demo/Mirrored-Model-1M"] {
        let place = Place::new();
        let mut command = place.command(&format!("info --model {name}"));
        command.env("HF_TOKEN", TOKEN);
        end(command).good();
        let snapshot = place.cache().join(format!("models--{}/snapshots/{}", name.replace('/', "--"), "01".repeat(20)));
        assert!(std::fs::read(snapshot.join(WEIGHTS)).unwrap() == asset("model/model.safetensors"));
        let log = place.hub.log();
        assert!(log.iter().any(|a| a.status == 307));
        // The mirror's answers lead to another host for everything.
        let strange = |a: &&loopback::Asked| a.path.contains("/lfs/") || (name.contains("Mirrored") && a.status != 307);
        assert!(log.iter().filter(strange).all(|a| a.token.is_none()) && log.iter().any(|a| a.token.is_some()), "{log:?}");
    }
}

#[test]
fn a_busy_hub_is_waited_for_within_bounds() {
    let place = Place::new();
    place.hub.fault("/api/", Wrong::Status(429, "Retry-After: 2"), 1);
    place.hub.fault("config.json", Wrong::Status(503, ""), 1);
    let begun = Instant::now();
    let said = place.info();
    assert!(said.err.contains("asks to wait (429); trying again in 2.0 s") && said.err.contains("(503)"), "{}", said.said());
    assert!(begun.elapsed() >= Duration::from_secs(2));
    said.good();
    place.hub.put("models", "Demo/Other", 5, &model_files(), &[WEIGHTS]);
    place.hub.fault("/api/", Wrong::Status(429, "Retry-After: 3600"), 1);
    let begun = Instant::now();
    place.run("info --model Demo/Other").bad(1, &["429", "3600 seconds", "HF_TOKEN"]);
    assert!(begun.elapsed() < Duration::from_secs(30));
    // What is here already does, where the hub has trouble.
    place.hub.fault("/api/", Wrong::Status(500, ""), 1);
    let said = place.info();
    assert!(said.err.contains("warning: ") && said.err.contains("taking what was fetched before (commit 01010101)"), "{}", said.said());
    said.good();
}

#[test]
fn offline_names_the_file_that_is_missing() {
    let place = Place::new();
    place.offline(&format!("info --model {MODEL}")).bad(1, &[MODEL, "HF_HUB_OFFLINE is set", "the cache has nothing of it"]);
    // Weights are not needed to look at rows.
    place.hub.put("datasets", "demo/q", 4, &[("train.jsonl", rows(0, 4)), ("test.jsonl", rows(4, 4))], &[]);
    place.run(&format!("data --model {MODEL} --data demo/q --show 0")).good();
    assert!(!place.snapshot(1).join(WEIGHTS).exists());
    place.offline(&format!("info --model {MODEL}")).bad(1, &["model.safetensors of Demo/Model-1M is not in the cache", "HF_HUB_OFFLINE"]);
    place.offline(&format!("data --model {MODEL} --data demo/q:test --show 0")).bad(1, &["test.jsonl of demo/q:test is not in the cache"]);
}

#[test]
fn shards_are_those_that_the_index_names() {
    let place = Place::new();
    let index = |files: [&str; 2]| format!(r#"{{"weight_map":{{"a":"{}","b":"{}"}}}}"#, files[0], files[1]).into_bytes();
    let shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
    let mut files: Vec<_> = model_files().into_iter().filter(|(name, _)| *name != WEIGHTS).collect();
    files.push(("model.safetensors.index.json", index(shards)));
    let whole = [files.clone(), shards.map(|s| (s, s.as_bytes().to_vec())).to_vec(), vec![("other.safetensors", Vec::new())]].concat();
    place.hub.put("models", MODEL, 1, &whole, &shards);
    // The shards are no safetensors, which is found after they have come.
    place.info().bad(1, &[shards[0]]);
    assert!(shards.iter().all(|s| place.snapshot(1).join(s).exists()) && !place.snapshot(1).join("other.safetensors").exists());
    place.hub.put("models", MODEL, 2, &[files.clone(), vec![(shards[0], Vec::new())]].concat(), &[]);
    place.info().bad(1, &["names model-00002-of-00002.safetensors, which it does not hold"]);
    files.pop();
    place.hub.put("models", MODEL, 3, &files, &[]);
    place.info().bad(1, &["holds no model.safetensors", "save_pretrained"]);
}

#[test]
fn hostile_answers_stay_outside() {
    let place = Place::new();
    let mut files = model_files();
    files.extend([("../../../evil.json", b"evil".to_vec()), ("a/../../evil.jsonl", b"evil".to_vec()), ("C:evil.json", b"evil".to_vec())]);
    place.hub.put("models", MODEL, 1, &files, &[WEIGHTS]);
    place.hub.fault("tokenizer_config.json", Wrong::Status(200, "ETag: \"../../../../evil\""), 1);
    place.info().bad(1, &["tokenizer_config.json", "cannot be the name of a file"]);
    place.info().good();
    files.retain(|(name, _)| *name != WEIGHTS);
    files.push(("model.safetensors.index.json", br#"{"weight_map":{"a":"../../evil.safetensors"}}"#.to_vec()));
    place.hub.put("models", MODEL, 2, &files, &[]);
    place.info().bad(1, &["evil.safetensors", "beside the index"]);
    let every = Command::new("find").arg(place.folder.path()).output().unwrap();
    assert!(!String::from_utf8_lossy(&every.stdout).contains("evil"));
    place.hub.put("datasets", "demo/q", 4, &files, &[]);
    place.run("data --model Demo/Model-1M@main --data demo/q:a/../../evil.jsonl").bad(1, &["no such file"]);
}

#[test]
fn splits_subsets_and_shards_of_datasets() {
    let place = Place::new();
    let files = [
        ("main/train-00000-of-00002.jsonl", rows(0, 5)),
        ("main/train-00001-of-00002.jsonl", rows(5, 7)),
        ("main/test-00000-of-00001.jsonl", rows(20, 3)),
        ("socratic/train-00000-of-00001.jsonl", rows(30, 2)),
    ];
    place.hub.put("datasets", "demo/two", 4, &files, &[files[1].0]);
    let look = |data: &str| place.run(&format!("data --model {MODEL} --data {data} --show 0"));
    look("demo/two").bad(1, &["several subsets with a split train: main, socratic", "demo/two:main"]);
    look("demo/two:mian").bad(1, &["no subset, split or file mian", "main/test, main/train, socratic/train"]);
    for (data, count) in [
        ("demo/two:main", "12"),
        ("demo/two:socratic", "2"),
        ("demo/two:main --split test", "3"),
        ("demo/two:main/test", "3"),
        ("demo/two:main/train-00001-of-00002.jsonl", "7"),
        ("demo/two:main --data demo/two:socratic/train", "14"),
    ] {
        let ended = look(data);
        assert!(ended.err.contains("demo/two@0404") && ended.err.contains(".jsonl"), "the choice is said: {}", ended.said());
        let out = ended.good();
        assert!(out.contains(&format!("rows        {count}, of which")), "{data}: {out}");
    }
    // A file of another day without its brother is no split.
    let gone = place.cache().join("datasets--demo--two/snapshots").join("04".repeat(20)).join(files[1].0);
    std::fs::remove_file(gone).unwrap();
    std::fs::remove_dir_all(place.cache().join("datasets--demo--two/diablo")).unwrap();
    let said = place.offline(&format!("data --model {MODEL} --data demo/two:main --show 0"));
    said.bad(1, &["main/train-00001-of-00002.jsonl of demo/two:main is not in the cache"]);
}

#[test]
fn two_processes_fetch_a_file_once() {
    let place = Place::new();
    place.hub.fault("/lfs/", Wrong::Slow(100_000, Duration::from_millis(100)), 2);
    let start = || {
        let mut command = place.command(&format!("info --model {MODEL}"));
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let both = [start(), start()];
    for child in both {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let fetched = place.hub.log().iter().filter(|a| a.path.contains("/lfs/")).count();
    assert_eq!(fetched, 1);
    assert!(std::fs::read(place.snapshot(1).join(WEIGHTS)).unwrap() == asset("model/model.safetensors"));
}

#[cfg(unix)]
#[test]
fn a_download_that_was_ended_is_gone_on_with() {
    let place = Place::new();
    // A second until the part is as long as is waited for, and a quarter of a minute after that: on a busy machine this test sleeps long.
    place.hub.fault("/lfs/", Wrong::Slow(10_000, Duration::from_millis(100)), 1);
    let mut child = place.command(&format!("train --model {MODEL} --data x.txt --out run")).stderr(Stdio::null()).spawn().unwrap();
    let part = place.cache().join(format!("models--Demo--Model-1M/blobs/{}.incomplete", hex(&asset("model/model.safetensors"))));
    let begun = Instant::now();
    while std::fs::metadata(&part).map_or(0, |m| m.len()) < 100_000 && begun.elapsed().as_secs() < 60 {
        std::thread::sleep(Duration::from_millis(20));
    }
    // Not INT: a shell has what it starts in the background ignore that.
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    assert!(!child.wait().unwrap().success());
    let have = std::fs::metadata(&part).unwrap().len() as usize;
    place.hub.log();
    place.info().good();
    let starts: Vec<usize> = place.hub.log().iter().filter(|a| a.path.contains("/lfs/")).map(|a| a.from).collect();
    assert_eq!(starts, [have]);
}

/// A limit on the size of files stands in for a full disk: the same way through the program.
#[cfg(unix)]
#[test]
fn a_full_disk_says_how_much_is_needed() {
    let place = Place::new();
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; ulimit -f 1000; exec \"$0\" info --model Demo/Model-1M", env!("CARGO_BIN_EXE_diablo")]);
    place.at_home(&mut command);
    end(command).bad(1, &["Demo/Model-1M needs", "MiB more here", WEIGHTS, "HF_HOME"]);
    place.info().good();
}

#[test]
fn a_silent_server_is_given_up_and_asked_again() {
    let place = Place::new();
    place.hub.fault("/lfs/", Wrong::Slow(300_000, Duration::from_secs(20)), 1);
    let mut command = place.command(&format!("info --model {MODEL}"));
    command.env("HF_HUB_DOWNLOAD_TIMEOUT", "1");
    let begun = Instant::now();
    end(command).good();
    assert!(begun.elapsed() < Duration::from_secs(15));
}

/// The layout that openai/gsm8k has.
#[cfg(feature = "parquet")]
#[test]
fn parquet_of_a_subset_is_learned_from() {
    let table = |pairs: &[[&str; 2]]| {
        use parquet::data_type::{ByteArray, ByteArrayType};
        use parquet::file::{properties::WriterProperties, writer::SerializedFileWriter};
        let schema = "message rows { required binary question (UTF8); required binary answer (UTF8); }";
        let schema = parquet::schema::parser::parse_message_type(schema).unwrap();
        let properties = WriterProperties::builder().set_compression(parquet::basic::Compression::SNAPPY).build();
        let mut bytes = Vec::new();
        let mut writer = SerializedFileWriter::new(&mut bytes, schema.into(), properties.into()).unwrap();
        let mut group = writer.next_row_group().unwrap();
        for column in 0..2 {
            let values: Vec<ByteArray> = pairs.iter().map(|pair| ByteArray::from(pair[column])).collect();
            let mut writer = group.next_column().unwrap().unwrap();
            writer.typed::<ByteArrayType>().write_batch(&values, None, None).unwrap();
            writer.close().unwrap();
        }
        group.close().unwrap();
        writer.close().unwrap();
        bytes
    };
    let place = Place::new();
    let shard = |subset: &str, split: &str| format!("{subset}/{split}-00000-of-00001.parquet");
    let (train, test, other) = (shard("main", "train"), shard("main", "test"), shard("socratic", "train"));
    let pairs = [["What does Crow play?", "The trumpet."], ["Where does Goat live?", "In the swamp."]];
    let files = [(train.as_str(), table(&pairs)), (&test, table(&pairs[..1])), (&other, table(&pairs))];
    place.hub.put("datasets", "openai/gsm8k", 6, &files, &[&train, &test, &other]);
    let run = place.run(&format!("train --model {MODEL} --data openai/gsm8k:main --eval-data openai/gsm8k:main --out run {SHORT}"));
    assert!(run.err.contains("Parquet, prompt and completion (question, answer), 2 rows"), "{}", run.said());
    run.good();
    let summary = json_file(&place.path("run"), "summary.json");
    assert_eq!((&summary["rows"], &summary["eval_rows"]), (&2.into(), &1.into()));
    let kept = std::fs::read_to_string(place.path("run/run.toml")).unwrap();
    assert!(kept.contains(&format!("data = \"openai/gsm8k@{}:main\"\n", "06".repeat(20))), "{kept}");
}

/// Python's own client, where it is installed.
fn python(place: &Place, script: &str, offline: bool) -> Option<String> {
    let python = common::python()?;
    let mut command = Command::new(python);
    place.at_home(&mut command);
    command.args(["-c", script]).stdin(Stdio::null()).env("HF_HUB_DISABLE_TELEMETRY", "1").env("HF_HUB_DISABLE_XET", "1");
    command.env("HF_HUB_OFFLINE", if offline { "1" } else { "0" });
    Some(end(command).good())
}

#[test]
fn python_finds_what_was_fetched_here() {
    let place = Place::new();
    place.hub.put("datasets", "demo/q", 4, &[("main/train-00000-of-00001.jsonl", rows(0, 4))], &[]);
    place.run(&format!("info --model {MODEL} --data demo/q")).good();
    let script = "
import huggingface_hub as h, os
folder = h.snapshot_download('Demo/Model-1M')
print(sorted(os.listdir(folder)))
print(os.path.islink(h.hf_hub_download('Demo/Model-1M', 'model.safetensors')))
print(h.hf_hub_download('demo/q', 'main/train-00000-of-00001.jsonl', repo_type='dataset')[-31:])
cache = h.scan_cache_dir()
print(sorted((r.repo_type, r.repo_id, sorted(x for v in r.revisions for x in v.refs)) for r in cache.repos), len(cache.warnings))
from transformers import AutoModelForCausalLM, AutoTokenizer
model = AutoModelForCausalLM.from_pretrained('Demo/Model-1M')
print(len(AutoTokenizer.from_pretrained('Demo/Model-1M')) > 0, model.config.hidden_size > 0)
";
    let Some(out) = python(&place, script, true) else { return };
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[0], "['config.json', 'model.safetensors', 'tokenizer.json', 'tokenizer_config.json']");
    assert_eq!(lines[1], "True");
    assert_eq!(lines[2], "main/train-00000-of-00001.jsonl");
    assert_eq!(lines[3], "[('dataset', 'demo/q', ['main']), ('model', 'Demo/Model-1M', ['main'])] 0");
    assert_eq!(lines[4], "True True");
}

#[test]
fn what_python_fetched_is_found_here() {
    let place = Place::new();
    place.hub.put("datasets", "demo/q", 4, &[("main/train-00000-of-00001.jsonl", rows(0, 4)), ("main/test.jsonl", rows(4, 4))], &[]);
    let script = "
import huggingface_hub as h
for f in ['config.json', 'tokenizer.json', 'tokenizer_config.json', 'model.safetensors']:
    h.hf_hub_download('Demo/Model-1M', f)
h.hf_hub_download('demo/q', 'main/train-00000-of-00001.jsonl', repo_type='dataset')
";
    if python(&place, script, false).is_none() {
        return;
    }
    place.hub.log();
    let info = place.offline(&format!("info --model {MODEL} --data demo/q --json")).json();
    assert_eq!(info["rows"], 4);
    place.offline("eval --model Demo/Model-1M --data demo/q").bad(1, &["no split test", "as far as the cache has it"]);
    assert!(place.hub.log().is_empty());
    // Asked again, nothing comes a second time.
    place.info().good();
    assert!(place.hub.log().iter().all(|a| !a.path.contains("/lfs/")));
}

/// Not a test of its own: the process that the next test starts, since its settings are the environment's.
#[test]
fn window() {
    if std::env::var_os("DIABLO_TEST_WINDOW").is_none() {
        return;
    }
    let (ctx, mut shared) = (egui::Context::default(), Shared::default());
    let begun = Instant::now();
    let wait = |shared: &mut Shared, done: &dyn Fn(&Shared) -> bool| {
        while !done(shared) && begun.elapsed().as_secs() < 60 {
            std::thread::sleep(Duration::from_millis(5));
            shared.poll(&ctx);
        }
    };
    shared.open_model(&ctx, MODEL.into());
    wait(&mut shared, &|s| s.model.value.is_some() || s.model.error.is_some());
    assert!(shared.model.error.is_none(), "{:?}", shared.model.error);
    assert_eq!(shared.model.value.as_ref().unwrap().name, "Model-1M");
    assert_eq!(shared.run.model, PathBuf::from(format!("{MODEL}@{}", "01".repeat(20))));
    shared.open_data(&ctx, "demo/q");
    wait(&mut shared, &|s| s.rows.value.is_some() || s.rows.error.is_some());
    assert_eq!(shared.rows.value.as_ref().unwrap().len(512), 6);
    shared.open_model(&ctx, "Demo/Nothing".into());
    wait(&mut shared, &|s| s.model.error.is_some());
    assert!(shared.model.error.as_ref().unwrap().to_string().contains("no such model"));
}

#[test]
fn the_window_takes_names() {
    let place = Place::new();
    place.hub.put("datasets", "demo/q", 4, &[("train.jsonl", rows(0, 6))], &[]);
    let mut command = Command::new(std::env::current_exe().unwrap());
    place.at_home(&mut command);
    command.args(["window", "--exact", "--nocapture"]).env("DIABLO_TEST_WINDOW", "1").stdin(Stdio::null());
    end(command).good();
}
