//! A small server for this machine alone: the right types, the compressed twins, the headers. It reads the files anew for each
//! request, so a build shows at once.

use crate::policy;
use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

/// Longest head of a request.
const HEAD_LIMIT: u64 = 16 * 1024;

/// Serves `dist` until it is stopped. Port 0 takes a free one; the line that is printed names it.
pub fn serve(dist: &Path, port: u16) -> Result<()> {
    if !dist.join("index.html").is_file() {
        bail!("{} holds no page: run `make web` first", dist.display());
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).with_context(|| format!("port {port} on this machine"))?;
    println!("http://127.0.0.1:{}/", listener.local_addr()?.port());
    std::io::stdout().flush()?;
    for stream in listener.incoming().flatten() {
        let dist = dist.to_path_buf();
        std::thread::spawn(move || {
            // A visitor who went away is no fault.
            let _ = answer_all(&stream, &dist);
        });
    }
    Ok(())
}

fn answer_all(stream: &TcpStream, dist: &Path) -> Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut reader = BufReader::new(stream);
    while let Some(request) = Request::read(&mut reader)? {
        let response = Response::to(&request, dist);
        (&mut &*stream).write_all(&response.bytes(request.method == "HEAD"))?;
    }
    Ok(())
}

#[derive(Debug, PartialEq)]
struct Request {
    method: String,
    path: String,
    accepts: String,
}

impl Request {
    /// The next request of a connection, or none where it ends.
    fn read(reader: &mut impl BufRead) -> Result<Option<Self>> {
        let mut reader = reader.take(HEAD_LIMIT);
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let mut words = line.split_whitespace();
        let (Some(method), Some(target)) = (words.next(), words.next()) else { bail!("no request: {line:?}") };
        let (method, target) = (method.to_owned(), target.to_owned());
        let mut accepts = String::new();
        loop {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                bail!("the request's head does not end");
            }
            match line.trim_end().split_once(':') {
                None if line.trim_end().is_empty() => break,
                Some((name, value)) if name.eq_ignore_ascii_case("accept-encoding") => accepts = value.to_ascii_lowercase(),
                _ => {}
            }
        }
        let path = target.split(['?', '#']).next().unwrap_or("/").to_owned();
        Ok(Some(Self { method, path, accepts }))
    }
}

struct Response {
    status: &'static str,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Response {
    fn plain(status: &'static str) -> Self {
        Self { status, headers: vec![("Content-Type", "text/plain; charset=utf-8".into())], body: status.as_bytes().to_vec() }
    }

    fn to(request: &Request, dist: &Path) -> Self {
        if request.method != "GET" && request.method != "HEAD" {
            return Self::plain("405 Method Not Allowed");
        }
        let Some(path) = inside(dist, &request.path) else { return Self::plain("404 Not Found") };
        let encodings = [("br", ".br"), ("gzip", ".gz")];
        let twin = encodings.into_iter().filter(|(name, _)| request.accepts.split(',').any(|a| a.trim().split(';').next() == Some(name)));
        let mut found = twin.filter_map(|(name, ending)| Some((Some(name), std::fs::read(with_ending(&path, ending)).ok()?)));
        let Some((encoding, body)) = found.next().or_else(|| Some((None, std::fs::read(&path).ok()?))) else {
            return Self::plain("404 Not Found");
        };
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let mut headers = policy::headers().to_vec();
        headers.push(("Content-Type", policy::content_type(&name).into()));
        let hashed = path.parent().is_some_and(|folder| folder.ends_with("assets"));
        headers.push(("Cache-Control", if hashed { "public, max-age=31536000, immutable" } else { "no-cache" }.into()));
        headers.push(("Vary", "Accept-Encoding".into()));
        if let Some(encoding) = encoding {
            headers.push(("Content-Encoding", encoding.into()));
        }
        Self { status: "200 OK", headers, body }
    }

    fn bytes(&self, head_only: bool) -> Vec<u8> {
        let mut out = format!("HTTP/1.1 {}\r\nContent-Length: {}\r\n", self.status, self.body.len());
        for (name, value) in &self.headers {
            out.push_str(&format!("{name}: {value}\r\n"));
        }
        out.push_str("\r\n");
        let mut out = out.into_bytes();
        if !head_only {
            out.extend_from_slice(&self.body);
        }
        out
    }
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// The file that a request's path names, which cannot lead out of the folder. No name of the page needs escapes.
fn inside(dist: &Path, path: &str) -> Option<PathBuf> {
    let relative = path.strip_prefix('/')?;
    let relative = if relative.is_empty() { "index.html" } else { relative };
    let plain = Path::new(relative).components().all(|part| matches!(part, Component::Normal(_)));
    (plain && !relative.contains(['\\', ':', '%', '\0'])).then(|| dist.join(relative))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_inside() {
        let dist = Path::new("/d");
        assert_eq!(inside(dist, "/"), Some("/d/index.html".into()));
        assert_eq!(inside(dist, "/assets/a.js"), Some("/d/assets/a.js".into()));
        for path in ["", "x", "//x", "/../x", "/a/../../x", "/%2e%2e/x", "/c:x", "/a\\x"] {
            assert_eq!(inside(dist, path), None, "{path}");
        }
    }

    #[test]
    fn requests_are_read() {
        let text = "GET /a.js?x HTTP/1.1\r\nHost: h\r\nAccept-Encoding: gzip, BR;q=1\r\n\r\n";
        let mut reader = text.as_bytes();
        let request = Request::read(&mut reader).expect("reads").expect("is there");
        assert_eq!((request.method.as_str(), request.path.as_str(), request.accepts.as_str()), ("GET", "/a.js", " gzip, br;q=1"));
        assert!(Request::read(&mut reader).expect("ends").is_none());
        assert!(Request::read(&mut "GET / HTTP/1.1\r\nHost: h\r\n".as_bytes()).is_err());
    }
}
