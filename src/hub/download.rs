//! One file, from the hub into the cache: whole and checked, or a part that the next try goes on with.

use super::client::{Asked, Client, Fault};
use super::shelf::{Shelf, below};
use super::{Name, Told};
use crate::device::human_bytes;
use crate::error::{Error, Result};
use crate::files::{self, Appender, Locked, Mapped};
use sha2::{Digest, Sha256};
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::time::{Duration, Instant};
use ureq::http::HeaderMap;
use url::Url;

/// How often bytes are told.
const TELL: Duration = Duration::from_millis(100);
/// How often a lock of another process is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// Bytes that are read at a time.
const PIECE: usize = 1 << 16;
/// Bytes of a part that are hashed at a time.
const HASHED: usize = 1 << 20;

/// What the hub says of a file.
#[derive(Clone, Debug)]
pub(super) struct Remote {
    /// The name of its content in the cache.
    pub(super) etag: String,
    pub(super) size: Option<u64>,
    /// Of large files.
    pub(super) sha256: Option<String>,
}

impl Remote {
    /// Reads the answer to a request for a file's head.
    pub(super) fn of(headers: &HeaderMap, place: &str) -> Result<Self> {
        let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok());
        let number = |name: &str| text(name).and_then(|v| v.trim().parse::<u64>().ok());
        let tag = |text: &str| text.trim().trim_start_matches("W/").trim_matches('"').to_owned();
        let linked = text("X-Linked-Etag").map(tag);
        let Some(etag) = linked.clone().or_else(|| text("ETag").map(tag)) else {
            return Err(Error::input(place, "the answer has no ETag, so this is no hub", "is HF_ENDPOINT right?"));
        };
        // It becomes a file's name.
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        if !(1..=128).contains(&etag.len()) || etag.starts_with('.') || !etag.bytes().all(plain) {
            return Err(Error::input(place, format!("the ETag {etag:?} cannot be the name of a file"), "is HF_ENDPOINT right?"));
        }
        let sha256 = linked.filter(|tag| tag.len() == 64 && tag.bytes().all(|b| b.is_ascii_hexdigit())).map(|tag| tag.to_ascii_lowercase());
        // Where it leads to another host, the length is that of the page that says so.
        let own = if headers.contains_key("Location") { None } else { number("Content-Length") };
        Ok(Self { etag, size: number("X-Linked-Size").or(own), sha256 })
    }
}

/// A file to fetch.
pub(super) struct Download<'a> {
    pub(super) client: &'a Client,
    pub(super) shelf: &'a Shelf,
    pub(super) asked: Asked<'a>,
    pub(super) url: Url,
    pub(super) file: &'a str,
    pub(super) remote: &'a Remote,
}

impl Download<'_> {
    /// Bytes that are still to come, where that is known.
    pub(super) fn missing(&self) -> u64 {
        if files::is_file(&self.shelf.blob(&self.remote.etag)) {
            return 0;
        }
        self.remote.size.unwrap_or(0).saturating_sub(length(&self.shelf.part(&self.remote.etag)))
    }

    /// Brings the content into the cache and lets `at` lead to it.
    pub(super) fn run(&self, at: &Path, tell: &mut dyn FnMut(Told)) -> Result<()> {
        let blob = self.shelf.blob(&self.remote.etag);
        below(&blob)?;
        below(at)?;
        let _lock = self.lock(tell)?;
        // Another process may have brought it while this one waited. What has another size was spoilt later.
        let whole = files::is_file(&blob) && self.remote.size.is_none_or(|size| size == length(&blob));
        if !whole {
            self.transfer(tell)?;
            let part = self.shelf.part(&self.remote.etag);
            files::rename(&part, &blob).map_err(Error::io(&blob))?;
        }
        if !files::is_file(at) {
            files::link(&blob, at)?;
        }
        Ok(())
    }

    /// The same lock that Python takes, so that no two processes fetch one content.
    fn lock(&self, tell: &mut dyn FnMut(Told)) -> Result<files::Lock> {
        let path = self.shelf.lock(&self.remote.etag);
        below(&path)?;
        let mut told = false;
        loop {
            match files::lock(&path).map_err(Error::io(&path))? {
                Locked::Ours(lock) => return Ok(lock),
                Locked::Theirs(who) => {
                    if !told {
                        let who = who.map(|id| format!(" ({id})")).unwrap_or_default();
                        tell(Told::Note(format!("{}: another process{who} fetches it; waiting", self.file)));
                        told = true;
                    }
                    std::thread::sleep(LOOK);
                }
            }
        }
    }

    /// Brings the part to its end. It is checked.
    fn transfer(&self, tell: &mut dyn FnMut(Told)) -> Result<()> {
        let part = self.shelf.part(&self.remote.etag);
        let mut patience = self.client.patience_for_file();
        let mut spoilt = false;
        loop {
            let before = length(&part);
            if let Err(fault) = self.stretch(&part, tell) {
                if length(&part) > before {
                    patience.refresh();
                }
                patience.bear(fault, &format!("{}: {}", self.client.place(&self.asked), self.file), tell)?;
                continue;
            }
            let Some(wrong) = self.wrong(&part)? else { return Ok(()) };
            files::remove(&part)?;
            let place = format!("{}: {}", self.client.place(&self.asked), self.file);
            if spoilt {
                return Err(Error::input(place, wrong, "it was fetched twice; something between here and the hub changes it"));
            }
            // A part of an earlier day may be to blame.
            tell(Told::Warning(format!("{place}: {wrong}; fetching it again")));
            spoilt = true;
        }
    }

    /// Why the content is not what the hub says it is.
    fn wrong(&self, part: &Path) -> Result<Option<String>> {
        let have = length(part);
        if let Some(size) = self.remote.size.filter(|size| *size != have) {
            return Ok(Some(format!("has {have} bytes, and the hub says {size}")));
        }
        let Some(wanted) = &self.remote.sha256 else { return Ok(None) };
        let got = sha256(part).map_err(Error::io(part))?;
        Ok((got != *wanted).then(|| format!("has the SHA-256 {got}, and the hub says {wanted}")))
    }

    /// Adds what one connection brings.
    fn stretch(&self, part: &Path, tell: &mut dyn FnMut(Told)) -> std::result::Result<(), Fault> {
        let size = self.remote.size;
        let mut have = length(part);
        if size.is_some_and(|size| have > size) {
            files::remove(part)?;
            have = 0;
        }
        if size == Some(have) && files::is_file(part) {
            return Ok(());
        }
        let response = self.client.get(&self.url, &self.asked, have)?;
        let begins = match response.status().as_u16() {
            206 => first_byte(response.headers()),
            416 => None,
            _ => Some(0),
        };
        if begins == Some(0) && have > 0 {
            // The server knows no ranges: it sends all.
            files::remove(part)?;
            have = 0;
        }
        if begins != Some(have) {
            files::remove(part)?;
            return Err(Fault::Passing(format!("the hub sends other bytes than those from {have} on"), None));
        }
        let mut out = Appender::open(part).map_err(|e| self.unwritten(part, e))?;
        let mut body = response.into_body().into_reader();
        let mut piece = vec![0; PIECE];
        let mut told: Option<Instant> = None;
        loop {
            let n = match body.read(&mut piece) {
                Ok(0) => break,
                Ok(n) => n,
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) => return Err(self.short(have, &e.to_string())),
            };
            out.append(&piece[..n]).map_err(|e| self.unwritten(part, e))?;
            have += n as u64;
            if size.is_some_and(|size| have > size) {
                break;
            }
            if told.is_none_or(|t| t.elapsed() >= TELL) && Some(have) != size {
                told = Some(Instant::now());
                tell(Told::Bytes { what: self.file.into(), done: have, total: size.unwrap_or(have + 1) });
            }
        }
        out.sync().map_err(|e| self.unwritten(part, e))?;
        if size.is_some_and(|size| have < size) {
            return Err(self.short(have, "it ended early"));
        }
        tell(Told::Bytes { what: self.file.into(), done: have, total: have });
        Ok(())
    }

    fn short(&self, have: u64, why: &str) -> Fault {
        let of = self.remote.size.map(|size| format!(" of {}", human_bytes(size))).unwrap_or_default();
        Fault::Passing(format!("{}: the connection broke after {}{of} ({why})", self.file, human_bytes(have)), None)
    }

    /// A full disk says how much is wanted.
    fn unwritten(&self, part: &Path, error: std::io::Error) -> Fault {
        let full = [ErrorKind::StorageFull, ErrorKind::QuotaExceeded, ErrorKind::FileTooLarge].contains(&error.kind());
        let Some(size) = self.remote.size.filter(|_| full) else { return Fault::Final(Error::io(part)(error)) };
        let more = size.saturating_sub(length(part));
        Fault::Final(no_room(self.asked.name, part, more, &format!("{error} while fetching {}", self.file)))
    }
}

/// A disk that cannot hold what is to come.
pub(super) fn no_room(name: &Name, place: &Path, more: u64, why: &str) -> Error {
    let what = format!("{name} needs {} more here: {why}", human_bytes(more));
    Error::input(
        place.display().to_string(),
        what,
        "free some space, or name a folder on another disk in HF_HOME; what is here is gone on with",
    )
}

fn length(path: &Path) -> u64 {
    files::metadata(path).map_or(0, |m| m.len)
}

/// `bytes 100-199/200`: 100.
fn first_byte(headers: &HeaderMap) -> Option<u64> {
    let range = headers.get("Content-Range")?.to_str().ok()?;
    range.trim().strip_prefix("bytes ")?.split('-').next()?.trim().parse().ok()
}

fn sha256(path: &Path) -> std::io::Result<String> {
    let mut hash = Sha256::new();
    // An empty file cannot be mapped everywhere.
    if length(path) > 0 {
        let file = Mapped::open(path)?;
        for start in (0..file.len()).step_by(HASHED) {
            hash.update(&*file.part(start..(start + HASHED).min(file.len()))?);
        }
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ureq::http::{HeaderName, HeaderValue};

    fn remote(headers: &[(&str, &str)]) -> Result<Remote> {
        let pair =
            |(name, value): &(&str, &str)| (HeaderName::try_from(*name).expect("a name"), HeaderValue::from_str(value).expect("a value"));
        Remote::of(&headers.iter().map(pair).collect(), "here")
    }

    #[test]
    fn heads_are_read() {
        let plain = remote(&[("ETag", "W/\"abc\""), ("Content-Length", "5")]).expect("a file");
        assert_eq!((plain.etag.as_str(), plain.size, plain.sha256), ("abc", Some(5), None));
        let hash = "0F".repeat(32);
        let large = [("ETag", "x"), ("X-Linked-Etag", hash.as_str()), ("X-Linked-Size", "7"), ("Content-Length", "9"), ("Location", "/y")];
        let large = remote(&large).expect("a file");
        assert_eq!((large.etag, large.size, large.sha256), (hash.clone(), Some(7), Some("0f".repeat(32))));
        assert_eq!(remote(&[("ETag", "x"), ("Content-Length", "9"), ("Location", "/y")]).expect("a file").size, None);
        for wrong in ["../../x", "a/b", "", ".x", "a\\b", "a b"] {
            assert!(remote(&[("ETag", wrong)]).is_err(), "{wrong}");
        }
        assert!(remote(&[]).is_err());
    }

    #[test]
    fn hashes_are_known_ones() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a");
        for (text, hash) in [
            ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        ] {
            std::fs::write(&path, text).expect("writes");
            assert_eq!(sha256(&path).expect("hashes"), hash);
        }
    }

    #[test]
    fn a_full_disk_says_how_much_it_lacks() {
        let error = no_room(&Name::parse("a/b").expect("a name"), Path::new("cache"), 3 << 20, "1.00 MiB are free");
        assert_eq!(error.to_string(), "cache: a/b needs 3.0 MiB more here: 1.00 MiB are free");
        assert!(error.hint().is_some_and(|hint| hint.contains("HF_HOME")));
    }
}
