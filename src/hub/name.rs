//! `owner/name@revision:part`: what a person writes for something on the hub.

use std::fmt;
use std::path::Path;

/// Ends of files' names: what has one is a path that is not there, not something on the hub.
const FILES: [&str; 16] =
    ["jsonl", "ndjson", "json", "csv", "tsv", "parquet", "pq", "txt", "text", "md", "toml", "safetensors", "gguf", "bin", "zip", "gz"];
/// The longest owner, name or piece of a path.
const LONGEST: usize = 96;

/// A model or a dataset on the hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// `owner/name`.
    pub repository: String,
    /// A branch, a tag or a commit; the main branch where there is none.
    pub revision: Option<String>,
    /// Of a dataset: a subset, a split of it, or a file.
    pub part: Option<String>,
}

impl Name {
    /// Reads a name. `None` where it is not of this form; nothing is looked up.
    pub fn parse(text: &str) -> Option<Self> {
        let (head, part) = match text.split_once(':') {
            Some((head, part)) => (head, Some(part)),
            None => (text, None),
        };
        let (repository, revision) = match head.split_once('@') {
            Some((repository, revision)) => (repository, Some(revision)),
            None => (head, None),
        };
        let (owner, name) = repository.split_once('/')?;
        let names = [owner, name].into_iter().all(is_name);
        let file = Path::new(name).extension().and_then(|e| e.to_str()).is_some_and(|e| FILES.contains(&e.to_ascii_lowercase().as_str()));
        let rest = revision.is_none_or(is_revision) && part.is_none_or(is_inside);
        (names && !file && rest).then(|| Self {
            repository: repository.to_owned(),
            revision: revision.map(str::to_owned),
            part: part.map(str::to_owned),
        })
    }

    /// Reads the name in a path's place. `None` where something lies at that path: that always wins.
    pub fn of(path: &Path) -> Option<Self> {
        if crate::files::exists(path) { None } else { Self::parse(path.to_str()?) }
    }

    /// The same at a fixed commit.
    pub fn at(&self, commit: &str) -> Self {
        Self { revision: Some(commit.to_owned()), ..self.clone() }
    }

    /// `name`, without its owner and all else.
    pub fn short(&self) -> &str {
        self.repository.split_once('/').map_or(&self.repository, |(_, name)| name)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.repository)?;
        if let Some(revision) = &self.revision {
            write!(f, "@{revision}")?;
        }
        if let Some(part) = &self.part {
            write!(f, ":{part}")?;
        }
        Ok(())
    }
}

/// The rules of the hub for an owner or a name.
fn is_name(text: &str) -> bool {
    (1..=LONGEST).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        && !text.starts_with(['-', '.'])
        && !text.ends_with(['-', '.'])
        && !text.contains("--")
        && !text.contains("..")
}

/// A branch, a tag (`refs/pr/1` too) or a commit, which become names of files in the cache.
fn is_revision(text: &str) -> bool {
    is_inside(text) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./+".contains(&b))
}

/// Whether a path of `/` stays inside the folder that it is below, on every system. What the hub says is not trusted.
pub fn is_inside(path: &str) -> bool {
    let piece = |p: &str| {
        (1..=255).contains(&p.len())
            && p != "."
            && p != ".."
            && !p.ends_with(['.', ' '])
            && !p.chars().any(|c| "\\:*?\"<>|".contains(c) || c.is_control())
    };
    path.len() <= 1024 && path.split('/').all(piece)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_written() {
        for (text, repository, revision, part) in [
            ("Qwen/Qwen3-0.6B", "Qwen/Qwen3-0.6B", None, None),
            ("a/b@refs/pr/1", "a/b", Some("refs/pr/1"), None),
            ("openai/gsm8k:main", "openai/gsm8k", None, Some("main")),
            ("a/b@v1.0:main/test-00000-of-00001.parquet", "a/b", Some("v1.0"), Some("main/test-00000-of-00001.parquet")),
        ] {
            let name = Name::parse(text).expect(text);
            assert_eq!((name.repository.as_str(), name.revision.as_deref(), name.part.as_deref()), (repository, revision, part));
            assert_eq!(name.to_string(), text);
        }
        assert_eq!(Name::parse("a/b:c").expect("a name").at("0f").to_string(), "a/b@0f:c");
    }

    #[test]
    fn paths_are_no_names() {
        for text in [
            "",
            "model",
            "a/b/c",
            "/a/b",
            "a/",
            "/b",
            "./a",
            "../a",
            "a/..",
            "~/a",
            "a/b.jsonl",
            "data/train.parquet",
            "a/b@",
            "a/b:",
            "a/b@../x",
            "a/b:../x",
            "a/b:/x",
            "a/b@x y",
            "a b/c",
            "a/b--c",
            ".a/b",
            "a/b.",
            "C:/a",
            "C:\\a",
            "a\\b/c",
            "a/b:c\\d",
            "a/b:c\u{0}",
        ] {
            assert_eq!(Name::parse(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_there_wins() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(Name::of(folder.path()), None);
        assert!(Name::of(Path::new("no-such-owner/no-such-name")).is_some());
    }

    #[test]
    fn nothing_leads_out() {
        for path in ["a.json", "a/b/c.json", "..a", "a..b", ".gitattributes"] {
            assert!(is_inside(path), "{path}");
        }
        for path in ["", "/a", "a/", "a//b", "..", "a/../b", "./a", "a\\b", "C:a", "a\nb", "a.", "a ", "a/\u{0}"] {
            assert!(!is_inside(path), "{path}");
        }
    }
}
