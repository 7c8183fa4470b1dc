//! A repository at one commit: what it holds, and bringing some of that into the cache.

use super::client::{Asked, Client, Fault};
use super::download::{Download, Remote, no_room};
use super::name::is_inside;
use super::shelf::{Kind, Shelf, is_commit};
use super::{Name, Settings, Told};
use crate::device::human_bytes;
use crate::error::{Error, Result};
use crate::files;
use serde_json::Value;
use std::path::PathBuf;

/// The largest answer about a repository that is read.
const ANSWER_LIMIT: u64 = 64 << 20;

/// The hub, or what is kept of it.
pub(super) struct Hub {
    client: Client,
}

/// A repository at a commit.
pub(super) struct Visit<'a> {
    client: &'a Client,
    kind: Kind,
    shelf: Shelf,
    /// The name as it was asked for.
    name: &'a Name,
    /// Its commit.
    pub(super) commit: String,
    /// The names of its files.
    pub(super) list: Vec<String>,
    /// Whether these are all: where nobody can be asked, they are those that are here.
    pub(super) complete: bool,
    /// Why the hub was not asked, where it should have been.
    trouble: Option<Error>,
}

impl Hub {
    pub(super) fn new(settings: Settings) -> Self {
        Self { client: Client::new(settings) }
    }

    /// Finds the commit and the names of its files. A commit whose files were once listed is not asked about again.
    pub(super) fn visit<'a>(&'a self, kind: Kind, name: &'a Name, tell: &mut dyn FnMut(Told)) -> Result<Visit<'a>> {
        let client = &self.client;
        let settings = &client.settings;
        let shelf = Shelf::new(&settings.cache, kind, name);
        let kept = shelf.commit();
        let list = kept.as_deref().and_then(|commit| shelf.list(commit));
        let fixed = name.revision.as_deref().is_some_and(is_commit);
        let visit = |commit: String, list: Option<Vec<String>>, trouble: Option<Error>, shelf: Shelf| {
            let complete = list.is_some();
            let list = list.unwrap_or_else(|| shelf.present(&commit));
            Visit { client, kind, shelf, name, commit, list, complete, trouble }
        };
        match (&kept, settings.offline) {
            (Some(commit), true) => return Ok(visit(commit.clone(), list, None, shelf)),
            (None, true) => {
                let what = "no such path is here, and HF_HUB_OFFLINE is set: the cache has nothing of it";
                let hint = format!("run once without HF_HUB_OFFLINE; the cache is {}", settings.cache.display());
                return Err(Error::input(name.to_string(), what, hint));
            }
            (Some(commit), false) if fixed && list.is_some() => return Ok(visit(commit.clone(), list, None, shelf)),
            _ => {}
        }
        // What is here may be enough, so the hub is asked once only.
        let usable = kept.filter(|commit| files::is_dir(&shelf.snapshot(commit)));
        match self.ask(kind, name, &shelf, usable.is_some(), tell) {
            Ok((commit, list)) => {
                // A cache that holds all that is wanted may be one that cannot be written; if more is wanted, that says so.
                let _ = shelf.keep_commit(&commit).and_then(|()| shelf.keep_list(&commit, &list));
                Ok(visit(commit, Some(list), None, shelf))
            }
            Err(error) => match usable {
                Some(commit) => Ok(visit(commit, list, Some(error), shelf)),
                None => Err(error),
            },
        }
    }

    /// The commit of a revision and the names of its files.
    fn ask(&self, kind: Kind, name: &Name, shelf: &Shelf, once: bool, tell: &mut dyn FnMut(Told)) -> Result<(String, Vec<String>)> {
        let asked = asked(kind, name, shelf, None);
        let route = if kind == Kind::Dataset { "datasets" } else { "models" };
        let revision = shelf.repo.revision();
        let pieces = ["api", route].into_iter().chain(name.repository.split('/')).chain(["revision", revision]);
        let url = self.client.address(pieces)?;
        let text = self.client.until_answered(&asked, self.client.patience(once), tell, || {
            let mut response = self.client.get(&url, &asked, 0)?;
            let text = response.body_mut().with_config().limit(ANSWER_LIMIT).read_to_string();
            text.map_err(|e| Fault::Passing(format!("the answer broke ({e})"), None))
        })?;
        answer(&text, &self.client.place(&asked))
    }
}

/// The commit that an answer names, and the names of its files that stay inside the repository's folder.
pub(super) fn answer(text: &str, place: &str) -> Result<(String, Vec<String>)> {
    let strange = |what: &str| Error::input(place, what, "is HF_ENDPOINT right?");
    let answer: Value = serde_json::from_str(text).map_err(|_| strange("the answer is no JSON, so this is no hub"))?;
    let commit = answer["sha"].as_str().filter(|sha| is_commit(sha)).ok_or_else(|| strange("the answer names no commit"))?;
    let siblings = answer["siblings"].as_array().ok_or_else(|| strange("the answer names no files"))?;
    let names = siblings.iter().filter_map(|s| s["rfilename"].as_str()).filter(|file| is_inside(file));
    Ok((commit.to_owned(), names.map(str::to_owned).collect()))
}

impl Visit<'_> {
    /// The folder of the commit.
    pub(super) fn folder(&self) -> PathBuf {
        self.shelf.snapshot(&self.commit)
    }

    /// Where a file is, or will be.
    pub(super) fn path(&self, file: &str) -> PathBuf {
        self.shelf.file(&self.commit, file)
    }

    /// Whether it holds a file of this name.
    pub(super) fn has(&self, file: &str) -> bool {
        self.list.iter().any(|f| f == file)
    }

    /// The name at this commit.
    pub(super) fn pinned(&self) -> PathBuf {
        self.name.at(&self.commit).to_string().into()
    }

    /// What is wrong with the repository.
    pub(super) fn lacks(&self, what: impl Into<String>, hint: impl Into<String>) -> Error {
        Error::input(format!("{} ({})", self.name, self.client.settings.endpoint), what, hint)
    }

    /// A file that is not here where nobody can be asked.
    pub(super) fn missing(&self, file: &str) -> Error {
        if let Some(error) = &self.trouble {
            let what = format!("{} (and {file} is not in the cache)", error.what());
            return Error::input(error.place(), what, error.hint().unwrap_or_default());
        }
        let what = format!("{file} of {} is not in the cache, and HF_HUB_OFFLINE is set", self.name);
        Error::input(self.path(file).display().to_string(), what, "run once without HF_HUB_OFFLINE")
    }

    /// Brings files that are not here yet.
    pub(super) fn bring(&self, wanted: &[String], tell: &mut dyn FnMut(Told)) -> Result<()> {
        let absent: Vec<&String> = wanted.iter().filter(|file| !files::is_file(&self.path(file))).collect();
        let Some(first) = absent.first() else { return Ok(()) };
        if self.client.settings.offline || self.trouble.is_some() {
            return Err(self.missing(first));
        }
        let mut remotes = Vec::with_capacity(absent.len());
        for file in &absent {
            remotes.push(self.head(file, tell)?);
        }
        let downloads = absent.iter().zip(&remotes).map(|(file, remote)| {
            let asked = asked(self.kind, self.name, &self.shelf, Some(file));
            Ok(Download { client: self.client, shelf: &self.shelf, asked, url: self.url(file)?, file, remote })
        });
        let downloads = downloads.collect::<Result<Vec<_>>>()?;
        let more: u64 = downloads.iter().map(Download::missing).sum();
        if let Some(free) = files::free_space(&self.folder()).filter(|free| *free < more) {
            let why = format!("{} are free", human_bytes(free));
            return Err(no_room(self.name, &self.client.settings.cache, more, &why));
        }
        for download in &downloads {
            download.run(&self.path(download.file), tell)?;
        }
        Ok(())
    }

    /// Says that older files had to do, once it is known that they do.
    pub(super) fn warn(&self, tell: &mut dyn FnMut(Told)) {
        if let Some(error) = &self.trouble {
            let commit = self.commit.get(..8).unwrap_or_default();
            tell(Told::Warning(format!("{}: {}; taking what was fetched before (commit {commit})", error.place(), error.what())));
        }
    }

    fn url(&self, file: &str) -> Result<url::Url> {
        // Of the commit, not of the branch: that may move between two files.
        let route = self.shelf.repo.url();
        self.client.address(route.split('/').chain(["resolve", self.commit.as_str()]).chain(file.split('/')))
    }

    fn head(&self, file: &str, tell: &mut dyn FnMut(Told)) -> Result<Remote> {
        let (asked, url) = (asked(self.kind, self.name, &self.shelf, Some(file)), self.url(file)?);
        let headers = self.client.until_answered(&asked, self.client.patience(false), tell, || self.client.head(&url, &asked))?;
        Remote::of(&headers, &format!("{}: {file}", self.client.place(&asked)))
    }
}

fn asked<'a>(kind: Kind, name: &'a Name, shelf: &Shelf, file: Option<&'a str>) -> Asked<'a> {
    Asked { name, kind: kind.word(), page: shelf.repo.url(), file }
}
