//! Whether runs can be compared: their losses are of the same rows only where they read the same rows in the same way.

use crate::train::record::RunRecord;
use std::path::Path;

/// The options that losses depend on, beside what is being compared.
pub const ROWS: [&str; 15] = [
    "model",
    "data",
    "split",
    "eval_data",
    "eval_split",
    "seq_len",
    "too_long",
    "prompt_column",
    "completion_column",
    "data_format",
    "columns",
    "chat_template",
    "train_on",
    "begin_token",
    "init_from_config",
];

/// In what runs differ that their losses depend on, a line for each option: `data: a.jsonl (first, second); b.jsonl (third)`. Each run
/// comes with its name.
pub fn differences<'a>(runs: impl IntoIterator<Item = (&'a str, &'a RunRecord)>) -> Vec<String> {
    let runs: Vec<(&str, &RunRecord)> = runs.into_iter().collect();
    let options: Vec<_> = runs.iter().map(|(_, run)| run.config.values()).collect();
    let show = |v: Option<&serde_json::Value>| match v {
        None | Some(serde_json::Value::Null) => "none".to_owned(),
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(v) => v.to_string(),
    };
    let mut all: Vec<(&str, Vec<String>)> =
        ROWS.iter().map(|key| (*key, options.iter().map(|values| show(values.get(*key))).collect())).collect();
    // A file may have changed between two runs. Where one has not said yet how many rows it has, nothing is known.
    let counts: Option<Vec<(u64, u64)>> = runs.iter().map(|(_, run)| run.summary.as_ref().map(|s| (s.rows, s.eval_rows))).collect();
    if let Some(counts) = counts.filter(|_| all.iter().all(|(_, values)| same(values))) {
        all.push(("rows", counts.iter().map(|(rows, held_out)| format!("{rows}, {held_out} held out")).collect()));
    }
    all.iter().filter(|(_, values)| !same(values)).map(|(key, values)| line(key, values, &runs)).collect()
}

fn same(values: &[String]) -> bool {
    values.windows(2).all(|pair| pair[0] == pair[1])
}

fn line(key: &str, values: &[String], runs: &[(&str, &RunRecord)]) -> String {
    let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
    for (value, (name, _)) in values.iter().zip(runs) {
        match groups.iter_mut().find(|(v, _)| v == value) {
            Some((_, names)) => names.push(name),
            None => groups.push((value, vec![name])),
        }
    }
    let groups: Vec<String> = groups.into_iter().map(|(value, names)| format!("{value} ({})", names.join(", "))).collect();
    format!("{key}: {}", groups.join("; "))
}

/// What runs are called beside each other: by their folder, and by the one above it too where two are called the same.
pub fn names<'a>(folders: impl IntoIterator<Item = &'a Path>) -> Vec<String> {
    let folders: Vec<&Path> = folders.into_iter().collect();
    let own = |path: &Path| path.file_name().map_or_else(|| path.display().to_string(), |n| n.to_string_lossy().into_owned());
    let short: Vec<String> = folders.iter().map(|folder| own(folder)).collect();
    let name = |(i, folder): (usize, &&Path)| {
        let twice = short.iter().filter(|s| **s == short[i]).count() > 1;
        match folder.parent().filter(|_| twice) {
            Some(above) => format!("{}/{}", own(above), short[i]),
            None => short[i].clone(),
        }
    };
    folders.iter().enumerate().map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::RunConfig;
    use crate::train::event::Summary;

    fn run(data: &str, rows: u64) -> RunRecord {
        let config = RunConfig { model: "m".into(), data: data.into(), lr: Some(rows as f64), ..RunConfig::default() };
        let summary = Some(Summary { rows, ..Summary::default() });
        RunRecord { folder: data.into(), config, summary, metrics: Vec::new(), written: Vec::new() }
    }

    #[test]
    fn what_losses_depend_on_is_told() {
        let (a, b, c) = (run("a.jsonl", 3), run("a.jsonl", 3), run("b.jsonl", 4));
        assert!(differences([("x", &a), ("y", &b)]).is_empty());
        assert_eq!(differences([("x", &a), ("y", &c), ("z", &b)]), ["data: a.jsonl (x, z); b.jsonl (y)"]);
        // The same name, and other rows in it. A run that has not begun says nothing.
        let mut grown = run("a.jsonl", 5);
        assert_eq!(differences([("x", &a), ("y", &grown)]), ["rows: 3, 0 held out (x); 5, 0 held out (y)"]);
        grown.summary = None;
        assert!(differences([("x", &a), ("y", &grown)]).is_empty() && differences([]).is_empty());
    }

    #[test]
    fn names_tell_runs_apart() {
        let folders = ["runs/a", "other/a", "runs/b"].map(Path::new);
        assert_eq!(names(folders), ["runs/a", "other/a", "b"]);
    }
}
