//! Which files rows come from, and how often the rows of each are taken.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::path::{Path, PathBuf};

/// More of one file than this is a slip of the keys.
pub const MOST: f64 = 1000.0;

/// A file of rows.
#[derive(Clone, Debug, PartialEq)]
pub struct DataFile {
    /// Where it lies.
    pub path: PathBuf,
    /// How often its rows are taken in a pass: 2 takes each twice, 0.5 half of them.
    pub weight: f64,
}

impl From<&str> for DataFile {
    /// `rows.jsonl`, or with a weight `rows.jsonl=0.5`.
    fn from(text: &str) -> Self {
        let weight = text.rsplit_once('=').and_then(|(path, weight)| Some((path, weight.parse::<f64>().ok()?)));
        match weight.filter(|(path, _)| !path.is_empty()) {
            Some((path, weight)) => Self { path: path.into(), weight },
            None => Self { path: text.into(), weight: 1.0 },
        }
    }
}

impl fmt::Display for DataFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display().to_string();
        // The weight of a file whose own name ends in one is always written.
        let plain = self.weight == 1.0 && Self::from(path.as_str()).path == self.path;
        if plain { f.write_str(&path) } else { write!(f, "{path}={}", self.weight) }
    }
}

/// The files of a run. As text: one file, or a list of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DataFiles(pub Vec<DataFile>);

impl DataFiles {
    /// The first file; empty where there is none.
    pub fn first(&self) -> &Path {
        self.0.first().map_or(Path::new(""), |file| &file.path)
    }

    /// Whether no file is named.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|file| file.path.as_os_str().is_empty())
    }
}

impl fmt::Display for DataFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
    }
}

impl From<PathBuf> for DataFiles {
    /// A path as it is: no weight is looked for in it.
    fn from(path: PathBuf) -> Self {
        Self(if path.as_os_str().is_empty() { Vec::new() } else { vec![DataFile { path, weight: 1.0 }] })
    }
}

impl From<&Path> for DataFiles {
    fn from(path: &Path) -> Self {
        path.to_path_buf().into()
    }
}

impl From<&str> for DataFiles {
    fn from(text: &str) -> Self {
        Self(if text.is_empty() { Vec::new() } else { vec![text.into()] })
    }
}

impl From<Vec<DataFile>> for DataFiles {
    fn from(files: Vec<DataFile>) -> Self {
        Self(files)
    }
}

impl Serialize for DataFiles {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0[..] {
            [] => serializer.serialize_str(""),
            [one] => serializer.serialize_str(&one.to_string()),
            many => serializer.collect_seq(many.iter().map(ToString::to_string)),
        }
    }
}

impl<'de> Deserialize<'de> for DataFiles {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a file of rows, or a list of them")]
        enum Given {
            One(String),
            Many(Vec<String>),
        }
        Ok(match Given::deserialize(deserializer)? {
            Given::One(text) => text.as_str().into(),
            Given::Many(texts) => Self(texts.iter().map(|text| text.as_str().into()).collect()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_written_as_they_are_read() {
        let both = DataFiles(vec!["a=b.jsonl".into(), "c.csv=0.5".into()]);
        assert_eq!((both.0[0].weight, both.0[1].weight, both.0[1].path.as_path()), (1.0, 0.5, Path::new("c.csv")));
        let one = DataFiles::from("x.txt");
        // A name that looks as if a weight followed it.
        let odd = DataFiles::from(Path::new("x=2"));
        for (files, text) in
            [(both, r#"["a=b.jsonl","c.csv=0.5"]"#), (one, r#""x.txt""#), (odd, r#""x=2=1""#), (DataFiles::default(), r#""""#)]
        {
            assert_eq!(serde_json::to_string(&files).expect("text"), text);
            assert_eq!(serde_json::from_str::<DataFiles>(text).expect("files"), files);
        }
    }
}
