//! One repository in the cache, laid out as Python's `huggingface_hub` lays it out, which reads and writes it too.
//!
//! ```text
//! models--owner--name/blobs/<etag>                     the files' contents
//! models--owner--name/blobs/<etag>.incomplete          a part of one
//! models--owner--name/refs/main                        the commit that a branch was at
//! models--owner--name/snapshots/<commit>/config.json   links to contents
//! models--owner--name/trees/<commit>.json              Python's list of a commit's files
//! models--owner--name/diablo/<commit>.json             ours, of names alone
//! .locks/models--owner--name/<etag>.lock               who fetches one
//! ```

use super::name::{Name, is_inside};
use crate::error::{Error, Result};
use crate::files;
use hf_hub::{Cache, CacheRepo, Repo, RepoType};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// The largest list of files that is read.
const LIST_LIMIT: u64 = 64 << 20;
/// The largest file of a commit's hash.
const REF_LIMIT: u64 = 1024;

/// What a repository holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Model,
    Dataset,
}

impl Kind {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Dataset => "dataset",
        }
    }
}

/// A repository's place in the cache.
pub(super) struct Shelf {
    /// Its routes on the hub.
    pub(super) repo: Repo,
    folder: PathBuf,
    locks: PathBuf,
    places: CacheRepo,
}

impl Shelf {
    pub(super) fn new(cache: &Path, kind: Kind, name: &Name) -> Self {
        let kind = match kind {
            Kind::Model => RepoType::Model,
            Kind::Dataset => RepoType::Dataset,
        };
        let revision = name.revision.clone().unwrap_or_else(|| "main".into());
        let repo = Repo::with_revision(name.repository.clone(), kind, revision);
        let folder = cache.join(repo.folder_name());
        let locks = cache.join(".locks").join(repo.folder_name());
        Self { folder, locks, places: Cache::new(cache.into()).repo(repo.clone()), repo }
    }

    /// The commit that the revision is, or was when it was last asked.
    pub(super) fn commit(&self) -> Option<String> {
        let revision = self.repo.revision();
        if is_commit(revision) {
            return Some(revision.to_owned());
        }
        let text = files::read_text(&self.folder.join("refs").join(revision), REF_LIMIT).ok()?;
        Some(text.trim().to_owned()).filter(|commit| is_commit(commit))
    }

    /// Writes down which commit the revision is.
    pub(super) fn keep_commit(&self, commit: &str) -> Result<()> {
        let path = self.folder.join("refs").join(self.repo.revision());
        if self.commit().as_deref() == Some(commit) {
            return Ok(());
        }
        below(&path)?;
        files::atomic_write_bytes(&path, commit.as_bytes())
    }

    /// The names of all files of a commit, where they were once asked for: by this program, or by Python.
    pub(super) fn list(&self, commit: &str) -> Option<Vec<String>> {
        let read = |folder: &str| files::read_text(&self.folder.join(folder).join(format!("{commit}.json")), LIST_LIMIT).ok();
        let own = || serde_json::from_str::<Vec<String>>(&read("diablo")?).ok();
        let pythons = || {
            let tree: Map<String, Value> = serde_json::from_str(&read("trees")?).ok()?;
            Some(tree.get("files")?.as_object()?.keys().cloned().collect())
        };
        let names: Vec<String> = own().or_else(pythons)?;
        Some(names.into_iter().filter(|name| is_inside(name)).collect())
    }

    /// Writes down the names of all files of a commit.
    pub(super) fn keep_list(&self, commit: &str, names: &[String]) -> Result<()> {
        let path = self.folder.join("diablo").join(format!("{commit}.json"));
        below(&path)?;
        files::atomic_write_bytes(&path, serde_json::to_string(names).unwrap_or_default().as_bytes())
    }

    /// The names of the files of a commit that are here.
    pub(super) fn present(&self, commit: &str) -> Vec<String> {
        let mut found = Vec::new();
        walk(&self.snapshot(commit), "", 0, &mut found);
        found.sort();
        found
    }

    /// The folder of a commit.
    pub(super) fn snapshot(&self, commit: &str) -> PathBuf {
        self.places.pointer_path(commit)
    }

    /// A file of a commit. The name must stay inside.
    pub(super) fn file(&self, commit: &str, name: &str) -> PathBuf {
        name.split('/').fold(self.snapshot(commit), |path, piece| path.join(piece))
    }

    /// Where the content with this tag lies.
    pub(super) fn blob(&self, etag: &str) -> PathBuf {
        self.places.blob_path(etag)
    }

    /// Where a part of it lies.
    pub(super) fn part(&self, etag: &str) -> PathBuf {
        self.places.blob_path(&format!("{etag}.incomplete"))
    }

    /// The file whose lock says who fetches it.
    pub(super) fn lock(&self, etag: &str) -> PathBuf {
        self.locks.join(format!("{etag}.lock"))
    }
}

/// Whether this is the hash of a commit, which never means anything else later.
pub(super) fn is_commit(text: &str) -> bool {
    (40..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Makes the folder that a file will be in.
pub(super) fn below(path: &Path) -> Result<()> {
    let Some(folder) = path.parent() else { return Ok(()) };
    files::create_dir_all(folder).map_err(Error::io(folder))
}

fn walk(folder: &Path, prefix: &str, depth: usize, found: &mut Vec<String>) {
    // Deeper than any dataset: a link that leads to a folder above must end.
    if depth > 16 {
        return;
    }
    for name in files::names(folder).unwrap_or_default() {
        let (path, inside) = (folder.join(&name), format!("{prefix}{name}"));
        if files::is_dir(&path) {
            walk(&path, &format!("{inside}/"), depth + 1, found);
        } else if files::is_file(&path) && is_inside(&inside) {
            found.push(inside);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    #[test]
    fn places_are_pythons() {
        let folder = tempfile::tempdir().expect("a folder");
        let name = Name::parse("Owner/Name").expect("a name");
        let shelf = Shelf::new(folder.path(), Kind::Dataset, &name);
        assert_eq!((shelf.commit(), shelf.list(COMMIT)), (None, None));
        shelf.keep_commit(COMMIT).expect("writes");
        let at = folder.path().join("datasets--Owner--Name");
        assert_eq!(std::fs::read_to_string(at.join("refs/main")).expect("a ref"), COMMIT);
        assert_eq!(shelf.file(COMMIT, "a/b.csv"), at.join("snapshots").join(COMMIT).join("a/b.csv"));
        assert_eq!(shelf.part("e"), at.join("blobs/e.incomplete"));
        assert_eq!(shelf.lock("e"), folder.path().join(".locks/datasets--Owner--Name/e.lock"));
        let deep = Name::parse("o/n@refs/pr/1").expect("a name");
        let deep = Shelf::new(folder.path(), Kind::Model, &deep);
        deep.keep_commit(COMMIT).expect("writes");
        assert!(folder.path().join("models--o--n/refs/refs/pr/1").is_file() && deep.commit().as_deref() == Some(COMMIT));
    }

    #[test]
    fn commits_are_hashes() {
        assert!(is_commit(COMMIT) && !is_commit("main") && !is_commit(&COMMIT[1..]) && !is_commit(&COMMIT.replace('a', "g")));
    }

    #[test]
    fn lists_are_kept_and_pythons_are_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let shelf = Shelf::new(folder.path(), Kind::Model, &Name::parse("o/n").expect("a name"));
        let trees = folder.path().join("models--o--n/trees");
        std::fs::create_dir_all(&trees).expect("a folder");
        let tree = r#"{"format_version":1,"files":{"config.json":{"size":1,"blob_id":"a"},"../x":{"size":1,"blob_id":"b"}}}"#;
        std::fs::write(trees.join(format!("{COMMIT}.json")), tree).expect("writes");
        assert_eq!(shelf.list(COMMIT).expect("Python's"), ["config.json"]);
        shelf.keep_list(COMMIT, &["a".into(), "b/c".into()]).expect("writes");
        assert_eq!(shelf.list(COMMIT).expect("ours"), ["a", "b/c"]);
        assert!(shelf.present(COMMIT).is_empty());
    }
}
