//! Requests to the hub: where redirects may lead, what each answer means, and when another try is made.

use super::{Name, Settings, Told};
use crate::error::{Error, Result};
use std::time::Duration;
use ureq::http::{HeaderMap, Response};
use ureq::{Agent, Body};
use url::Url;

/// Tries of one question.
const TRIES: u32 = 4;
/// Tries of one file without a new byte: what has begun is worth more patience.
const FILE_TRIES: u32 = 6;
/// The longest wait for a host that does not answer at all.
const LONGEST_CONNECT: Duration = Duration::from_secs(10);
/// The longest pause between two of them, where the hub asks for none.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// The longest pause that the hub may ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(120);
/// Redirects in a row.
const REDIRECTS: usize = 10;
/// The longest message of a server that is shown.
const MESSAGE: usize = 200;

/// Why a request brought nothing.
pub(super) enum Fault {
    /// Another try may go better; after so long, where the hub says so.
    Passing(String, Option<Duration>),
    /// No other try would.
    Final(Error),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Final(error)
    }
}

/// What is asked for, for errors.
pub(super) struct Asked<'a> {
    pub(super) name: &'a Name,
    /// `model` or `dataset`.
    pub(super) kind: &'static str,
    /// Its page, as a path below the endpoint.
    pub(super) page: String,
    /// The file; none where the repository itself is asked about.
    pub(super) file: Option<&'a str>,
}

/// Who asks the hub.
pub(super) struct Client {
    agent: Agent,
    pub(super) settings: Settings,
}

impl Client {
    pub(super) fn new(settings: Settings) -> Self {
        let config = Agent::config_builder()
            .user_agent(concat!("diablo/", env!("CARGO_PKG_VERSION")))
            // Sizes are those of the files, and parts are parts of them.
            .accept_encoding("identity")
            // Statuses and redirects are looked at here.
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_resolve(Some(settings.silence.min(LONGEST_CONNECT)))
            .timeout_connect(Some(settings.silence.min(LONGEST_CONNECT)))
            .timeout_recv_response(Some(settings.silence))
            .timeout_per_read(Some(settings.silence))
            .build();
        Self { agent: config.into(), settings }
    }

    /// The address of a path below the endpoint; each piece is escaped.
    pub(super) fn address<'a>(&self, pieces: impl IntoIterator<Item = &'a str>) -> Result<Url> {
        let wrong = || Error::usage(format!("HF_ENDPOINT={}: is not the address of a hub", self.settings.endpoint), "");
        let mut url = Url::parse(&self.settings.endpoint).map_err(|_| wrong())?;
        url.path_segments_mut().map_err(|()| wrong())?.pop_if_empty().extend(pieces);
        Ok(url)
    }

    /// The head of a file. A redirect to another host is not followed: what describes the file stands in it.
    pub(super) fn head(&self, url: &Url, asked: &Asked<'_>) -> std::result::Result<HeaderMap, Fault> {
        let response = self.send(url, asked, true, 0)?;
        if !response.status().is_redirection() {
            self.check(&response, asked)?;
        }
        Ok(response.into_parts().0.headers)
    }

    /// A body, from a byte on. The status is 200, 206 or 416.
    pub(super) fn get(&self, url: &Url, asked: &Asked<'_>, from: u64) -> std::result::Result<Response<Body>, Fault> {
        let response = self.send(url, asked, false, from)?;
        if response.status() != 416 || from == 0 {
            self.check(&response, asked)?;
        }
        Ok(response)
    }

    fn send(&self, url: &Url, asked: &Asked<'_>, head: bool, from: u64) -> std::result::Result<Response<Body>, Fault> {
        let home = Url::parse(&self.settings.endpoint).map(|url| url.origin()).ok();
        let mut url = url.clone();
        for _ in 0..REDIRECTS {
            let at_home = Some(url.origin()) == home;
            let mut request = if head { self.agent.head(url.as_str()) } else { self.agent.get(url.as_str()) };
            // Files lie on other hosts, whose addresses are signed: the token is not for them.
            if let Some(token) = self.settings.token.as_ref().filter(|_| at_home) {
                request = request.header("Authorization", format!("Bearer {token}"));
            }
            if from > 0 {
                request = request.header("Range", format!("bytes={from}-"));
            }
            let response = request.call().map_err(|error| self.broken(error, &url))?;
            let next = response.headers().get("Location").filter(|_| response.status().is_redirection());
            let Some(next) = next.and_then(|l| l.to_str().ok()).and_then(|l| url.join(l).ok()) else { return Ok(response) };
            // What leads to the content describes it; what does not, such as a mirror, leads to the hub.
            let describes = ["X-Linked-Etag", "X-Repo-Commit"].iter().any(|name| response.headers().contains_key(*name));
            if head && describes && Some(next.origin()) != home {
                return Ok(response);
            }
            if !["http", "https"].contains(&next.scheme()) || (url.scheme() == "https" && next.scheme() != "https") {
                let what = format!("leads from {} to {}", url.scheme(), next.scheme());
                return Err(Fault::Final(Error::input(self.place(asked), what, "is HF_ENDPOINT right?")));
            }
            url = next;
        }
        Err(Fault::Final(Error::input(self.place(asked), format!("leads on more than {REDIRECTS} times"), "is HF_ENDPOINT right?")))
    }

    fn broken(&self, error: ureq::Error, url: &Url) -> Fault {
        use ureq::Error as E;
        let host = url.host_str().unwrap_or_default();
        match error {
            // A certificate that is not trusted comes as this.
            E::Io(e) if e.kind() == std::io::ErrorKind::InvalidData => {
                let hint = "is HF_ENDPOINT right? A network that reads along puts its own certificate there";
                Fault::Final(Error::input(host, format!("cannot be trusted: {e}"), hint))
            }
            E::Io(_) | E::Timeout(_) | E::HostNotFound | E::ConnectionFailed | E::Protocol(_) => {
                Fault::Passing(format!("no such path is here, and {host} cannot be reached ({error})"), None)
            }
            other => {
                let hint = "is HF_ENDPOINT right? A proxy is named in HTTPS_PROXY";
                Fault::Final(Error::input(host, format!("cannot be asked: {other}"), hint))
            }
        }
    }

    fn check(&self, response: &Response<Body>, asked: &Asked<'_>) -> std::result::Result<(), Fault> {
        let status = response.status().as_u16();
        match status {
            200..=299 => return Ok(()),
            429 => {
                let after = response.headers().get("Retry-After").and_then(|v| v.to_str().ok()).and_then(|v| v.trim().parse().ok());
                return Err(Fault::Passing("the hub asks to wait (429)".into(), after.map(Duration::from_secs)));
            }
            408 | 500 | 502 | 503 | 504 => return Err(Fault::Passing(format!("the hub has a fault of its own ({status})"), None)),
            _ => {}
        }
        let header = |name: &str| {
            let text = response.headers().get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
            text.chars().filter(|c| !c.is_control()).take(MESSAGE).collect::<String>()
        };
        Err(Fault::Final(self.refused(status, &header("X-Error-Code"), &header("X-Error-Message"), asked)))
    }

    /// What a refusal means.
    fn refused(&self, status: u16, code: &str, message: &str, asked: &Asked<'_>) -> Error {
        let Asked { name, kind, file, page } = asked;
        let endpoint = &self.settings.endpoint;
        let said = if message.is_empty() { status.to_string() } else { format!("{status}: {message}") };
        let revision = name.revision.as_deref().unwrap_or("main");
        let (what, hint) = match (status, code, file) {
            (403, ..) | (_, "GatedRepo", _) => (
                format!("access is refused ({said})"),
                format!("accept its terms on {endpoint}/{page}, and set HF_TOKEN to a token of that account ({endpoint}/settings/tokens)"),
            ),
            (401, ..) if self.settings.token.is_some() => (
                format!("there is no such {kind}, or your token may not read it ({said})"),
                format!("is the name right, and HF_TOKEN a token that may read it ({endpoint}/settings/tokens)?"),
            ),
            (401, ..) => (
                format!("there is no such {kind}, or it is not for everybody ({said})"),
                format!("is the name right? If so, set HF_TOKEN to a token that may read it ({endpoint}/settings/tokens)"),
            ),
            (404, "RevisionNotFound", _) => (format!("it has no revision {revision} ({said})"), "name a branch, a tag or a commit".into()),
            (404, _, Some(file)) => (format!("it has no file {file} ({said})"), String::new()),
            (404, ..) => {
                (format!("there is no such {kind}, or it has no revision {revision} ({said})"), format!("look at {endpoint}/{page}"))
            }
            _ => (format!("the hub answered {said}"), String::new()),
        };
        Error::input(self.place(asked), format!("no such path is here, and on the hub {what}"), hint)
    }

    /// A name and where it was looked for.
    pub(super) fn place(&self, asked: &Asked<'_>) -> String {
        format!("{} ({})", asked.name, self.settings.endpoint)
    }

    /// How much is borne for a question. `once`: nothing, because there is another way.
    pub(super) fn patience(&self, once: bool) -> Patience {
        self.tries(if once { 1 } else { TRIES })
    }

    /// How much is borne for a file's content.
    pub(super) fn patience_for_file(&self) -> Patience {
        self.tries(FILE_TRIES)
    }

    fn tries(&self, tries: u32) -> Patience {
        Patience { tries, left: tries - 1, first: self.settings.pause, pause: self.settings.pause }
    }

    /// Asks until there is an answer, or no hope of one.
    pub(super) fn until_answered<T>(
        &self,
        asked: &Asked<'_>,
        mut patience: Patience,
        tell: &mut dyn FnMut(Told),
        mut request: impl FnMut() -> std::result::Result<T, Fault>,
    ) -> Result<T> {
        loop {
            match request() {
                Ok(answer) => return Ok(answer),
                Err(fault) => patience.bear(fault, &self.place(asked), tell)?,
            }
        }
    }
}

/// Tries that are left.
pub(super) struct Patience {
    tries: u32,
    left: u32,
    first: Duration,
    pause: Duration,
}

impl Patience {
    /// Waits before another try, or gives the error.
    pub(super) fn bear(&mut self, fault: Fault, place: &str, tell: &mut dyn FnMut(Told)) -> Result<()> {
        let (what, after) = match fault {
            Fault::Final(error) => return Err(error),
            Fault::Passing(what, after) => (what, after),
        };
        if let Some(after) = after.filter(|after| *after > LONGEST_WAIT) {
            let what = format!("{what}, for {} seconds", after.as_secs());
            return Err(Error::input(place, what, "try again then; a token in HF_TOKEN is allowed more. What was fetched is kept"));
        }
        if self.left == 0 {
            let hint = "try again later; what was fetched is kept and gone on with. With HF_HUB_OFFLINE=1 nothing is asked";
            return Err(Error::input(place, what, hint));
        }
        self.left -= 1;
        let wait = after.unwrap_or_default().max(self.pause);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        tell(Told::Note(format!("{what}; trying again in {:.1} s", wait.as_secs_f64())));
        std::thread::sleep(wait);
        Ok(())
    }

    /// Something came: it goes on, so there is hope again.
    pub(super) fn refresh(&mut self) {
        (self.left, self.pause) = (self.tries - 1, self.first);
    }
}
