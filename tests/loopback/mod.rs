//! A small hub on this machine: the routes that the real one has, files of its own, and faults on demand.
#![allow(dead_code, missing_docs, clippy::unwrap_used)]

pub mod place;

use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A token that the hub knows.
pub const TOKEN: &str = "hf_loopback";

/// One repository.
#[derive(Clone, Default)]
pub struct Repository {
    pub commit: String,
    /// By name; the flag says whether the content lies on the other host, as large files do.
    pub files: BTreeMap<String, (Vec<u8>, bool)>,
    /// Whether a token is needed.
    pub gated: bool,
}

/// What goes wrong with a request whose path has this in it.
#[derive(Clone)]
pub struct Fault {
    pub path: String,
    pub what: Wrong,
    /// How often.
    pub times: usize,
}

#[derive(Clone)]
pub enum Wrong {
    /// The connection is closed after so many bytes of the body.
    Breaks(usize),
    /// A status, with headers.
    Status(u16, &'static str),
    /// `Range` is not looked at.
    NoRange,
    /// One byte of the body is another.
    Spoilt,
    /// The body comes in pieces, with a pause after each.
    Slow(usize, Duration),
}

/// A request as it was answered.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    pub path: String,
    /// The first byte that was asked for.
    pub from: usize,
    pub token: Option<String>,
    pub status: u16,
}

#[derive(Default)]
struct State {
    /// By `models/owner/name` or `datasets/owner/name`, and by revision.
    repositories: BTreeMap<(String, String), Repository>,
    faults: Vec<Fault>,
    log: Vec<Asked>,
}

/// The hub. It serves until the test ends.
pub struct Loopback {
    pub hub: SocketAddr,
    state: Arc<Mutex<State>>,
}

pub fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

impl Loopback {
    pub fn start() -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let large = TcpListener::bind("127.0.0.1:0").unwrap();
        let hub = TcpListener::bind("127.0.0.1:0").unwrap();
        let (hub_at, large_at) = (hub.local_addr().unwrap(), large.local_addr().unwrap());
        for listener in [hub, large] {
            let state = state.clone();
            std::thread::spawn(move || {
                for stream in listener.incoming().map_while(Result::ok) {
                    let state = state.clone();
                    // A client that goes away in the middle is part of what is tested.
                    std::thread::spawn(move || _ = serve(stream, &state, large_at));
                }
            });
        }
        Self { hub: hub_at, state }
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.hub)
    }

    /// Puts a repository there, at its `main` branch and its commit. `large`: names of files that lie on the other host.
    pub fn put(&self, kind: &str, name: &str, version: u8, files: &[(&str, Vec<u8>)], large: &[&str]) -> String {
        let commit = format!("{version:02x}").repeat(20);
        let files = files.iter().map(|(file, bytes)| ((*file).to_owned(), (bytes.clone(), large.contains(file)))).collect();
        let repository = Repository { commit: commit.clone(), files, gated: false };
        let mut state = self.state.lock().unwrap();
        for revision in ["main", &commit] {
            state.repositories.insert((format!("{kind}/{name}"), revision.into()), repository.clone());
        }
        commit
    }

    /// From now on it needs a token.
    pub fn close(&self, kind: &str, name: &str) {
        let of = format!("{kind}/{name}");
        let mut state = self.state.lock().unwrap();
        state.repositories.iter_mut().filter(|((name, _), _)| *name == of).for_each(|(_, r)| r.gated = true);
    }

    pub fn fault(&self, path: &str, what: Wrong, times: usize) {
        self.state.lock().unwrap().faults.push(Fault { path: path.into(), what, times });
    }

    /// What was asked since the last look.
    pub fn log(&self) -> Vec<Asked> {
        std::mem::take(&mut self.state.lock().unwrap().log)
    }
}

struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

fn answer(status: u16, code: &str, message: &str) -> Answer {
    let headers = vec![("X-Error-Code", code.to_owned()), ("X-Error-Message", message.to_owned())];
    Answer { status, headers, body: Vec::new() }
}

fn serve(mut stream: TcpStream, state: &Mutex<State>, large: SocketAddr) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut words = first.split_whitespace();
    let (method, path) = (words.next().unwrap_or_default().to_owned(), words.next().unwrap_or_default().to_owned());
    let (mut from, mut token) = (0, None);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim().split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "range" => from = value.trim().trim_start_matches("bytes=").trim_end_matches('-').parse().unwrap_or(0),
            "authorization" => token = Some(value.trim().trim_start_matches("Bearer ").to_owned()),
            _ => {}
        }
    }
    let fault = {
        let mut state = state.lock().unwrap();
        // Heads are left alone but for statuses, so that what breaks is the body.
        let meant = |f: &&mut Fault| f.times > 0 && path.contains(&f.path) && (method == "GET" || matches!(f.what, Wrong::Status(..)));
        state.faults.iter_mut().find(meant).map(|f| {
            f.times -= 1;
            f.what.clone()
        })
    };
    let mut answer = match fault {
        Some(Wrong::Status(status, headers)) => {
            let headers = headers.split(';').filter_map(|h| h.split_once(": ")).map(|(n, v)| (n, v.to_owned())).collect();
            Answer { status, headers, body: Vec::new() }
        }
        _ => route(&state.lock().unwrap(), &path, token.as_deref(), large),
    };
    let size = answer.body.len();
    if from > 0 && answer.status == 200 && !matches!(fault, Some(Wrong::NoRange)) {
        if from >= size {
            answer = Answer { status: 416, headers: vec![("Content-Range", format!("bytes */{size}"))], body: Vec::new() };
        } else {
            answer.status = 206;
            answer.headers.push(("Content-Range", format!("bytes {from}-{}/{size}", size - 1)));
            answer.body.drain(..from);
        }
    }
    state.lock().unwrap().log.push(Asked { method: method.clone(), path, from, token, status: answer.status });
    if let (Some(Wrong::Spoilt), Some(byte)) = (&fault, answer.body.last_mut()) {
        *byte ^= 1;
    }
    let mut head = format!("HTTP/1.1 {} Said\r\nConnection: close\r\nContent-Length: {}\r\n", answer.status, answer.body.len());
    for (name, value) in &answer.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    if method != "GET" {
        return Ok(());
    }
    match fault {
        Some(Wrong::Breaks(after)) => stream.write_all(&answer.body[..after.min(answer.body.len())]),
        Some(Wrong::Slow(piece, pause)) => answer.body.chunks(piece).try_for_each(|piece| {
            stream.write_all(piece)?;
            std::thread::sleep(pause);
            Ok(())
        }),
        _ => stream.write_all(&answer.body),
    }
}

fn route(state: &State, path: &str, token: Option<&str>, large: SocketAddr) -> Answer {
    let plain = path.split('?').next().unwrap_or_default();
    let pieces: Vec<&str> = plain.trim_start_matches('/').split('/').collect();
    if let ["lfs", hash] = pieces[..] {
        let mut contents = state.repositories.values().flat_map(|r| r.files.values());
        return match contents.find(|(bytes, _)| hex(bytes) == hash) {
            Some((bytes, _)) => Answer { status: 200, headers: Vec::new(), body: bytes.clone() },
            None => answer(404, "", ""),
        };
    }
    let (kind, rest) = match &pieces[..] {
        ["api", kind, rest @ ..] => (*kind, rest),
        ["datasets", rest @ ..] => ("datasets", rest),
        rest => ("models", rest),
    };
    let [owner, name, route, revision, file @ ..] = rest else { return answer(404, "", "") };
    // One that has another name now, and one that this hub is only a mirror of.
    for (prefix, host) in [("Old-", String::new()), ("Mirrored-", format!("http://{large}"))] {
        if name.starts_with(prefix) {
            let headers = vec![("Location", format!("{host}{}", plain.replace(prefix, "")))];
            return Answer { status: 307, headers, body: Vec::new() };
        }
    }
    let of = format!("{kind}/{owner}/{name}");
    if !state.repositories.keys().any(|(name, _)| *name == of) {
        // The real one does not tell strangers what there is not.
        return if token.is_some() { answer(404, "RepoNotFound", "Repository not found") } else { answer(401, "RepoNotFound", "") };
    }
    let Some(repository) = state.repositories.get(&(of, revision.replace("%2F", "/"))) else {
        return answer(404, "RevisionNotFound", &format!("Invalid rev id: {revision}"));
    };
    if repository.gated && token != Some(TOKEN) {
        let status = if token.is_some() { 403 } else { 401 };
        return answer(status, "GatedRepo", "Access to this model is restricted");
    }
    if pieces[0] == "api" && *route == "revision" {
        let siblings: Vec<_> = repository.files.keys().map(|file| serde_json::json!({ "rfilename": file })).collect();
        let body = serde_json::json!({ "id": format!("{owner}/{name}"), "sha": repository.commit, "siblings": siblings });
        return Answer { status: 200, headers: Vec::new(), body: body.to_string().into_bytes() };
    }
    let file = file.join("/");
    let mut headers = vec![("X-Repo-Commit", repository.commit.clone())];
    match repository.files.get(&file).filter(|_| *route == "resolve") {
        None => answer(404, "EntryNotFound", "Entry not found"),
        Some((bytes, true)) => {
            let hash = hex(bytes);
            headers.push(("ETag", "\"of-the-pointer\"".into()));
            headers.push(("X-Linked-Etag", format!("\"{hash}\"")));
            headers.push(("X-Linked-Size", bytes.len().to_string()));
            headers.push(("Location", format!("http://{large}/lfs/{hash}?signed=yes")));
            Answer { status: 302, headers, body: Vec::new() }
        }
        Some((bytes, false)) => {
            headers.push(("ETag", format!("\"{}\"", &hex(bytes)[..40])));
            Answer { status: 200, headers, body: bytes.clone() }
        }
    }
}
