//! What the hub's users set in their environment: the same names with the same meaning as in Python.

use crate::error::{Error, Result};
use crate::files;
use std::path::PathBuf;
use std::time::Duration;

/// Where the public hub is.
const ENDPOINT: &str = "https://huggingface.co";
/// The largest file of a token that is read.
const TOKEN_LIMIT: u64 = 1 << 16;

/// Where the hub is, who asks, and where files are kept.
///
/// | variable | meaning |
/// | --- | --- |
/// | `HF_ENDPOINT` | another hub than the public one |
/// | `HF_TOKEN`, `HF_TOKEN_PATH` | who asks; without them the file that `hf auth login` writes (`HF_HOME/token`) |
/// | `HF_HUB_DISABLE_IMPLICIT_TOKEN` | that file is not read |
/// | `HF_HUB_CACHE`, `HF_HOME`, `XDG_CACHE_HOME` | where files are kept; without them `~/.cache/huggingface/hub` |
/// | `HF_HUB_OFFLINE` | nothing is asked: what is kept must do |
/// | `HF_HUB_DOWNLOAD_TIMEOUT` | seconds without a byte after which a connection counts as broken |
///
/// Proxies are those of `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`.
#[derive(Clone)]
pub struct Settings {
    /// Without `/` at its end.
    pub endpoint: String,
    /// Sent to the endpoint's own host only.
    pub token: Option<String>,
    /// The folder of `models--owner--name` and its like.
    pub cache: PathBuf,
    /// Whether nothing may be asked.
    pub offline: bool,
    /// The longest silence of a server.
    pub silence: Duration,
    /// The pause before the second try; it doubles with each.
    pub pause: Duration,
}

impl Settings {
    /// Reads the environment.
    ///
    /// # Errors
    /// Names the variable that cannot be meant.
    pub fn from_env() -> Result<Self> {
        Self::from(|name| std::env::var(name).ok(), std::env::home_dir())
    }

    fn from(variable: impl Fn(&str) -> Option<String>, home: Option<PathBuf>) -> Result<Self> {
        let set = |name: &str| variable(name).map(|v| v.trim().to_owned()).filter(|v| !v.is_empty());
        let on = |name: &str| set(name).is_some_and(|v| ["1", "ON", "YES", "TRUE"].contains(&v.to_ascii_uppercase().as_str()));
        let folder = |name: &str| {
            set(name).map(|v| match (v.strip_prefix("~/"), &home) {
                (Some(below), Some(home)) => home.join(below),
                _ => PathBuf::from(v),
            })
        };
        let caches = || folder("XDG_CACHE_HOME").or_else(|| home.as_ref().map(|home| home.join(".cache")));
        let own = folder("HF_HOME").or_else(|| caches().map(|caches| caches.join("huggingface")));
        let cache = folder("HF_HUB_CACHE").or_else(|| folder("HUGGINGFACE_HUB_CACHE")).or_else(|| own.as_ref().map(|own| own.join("hub")));
        let cache = cache.ok_or_else(|| Error::usage("there is no home folder to keep the hub's files in", "name a folder in HF_HOME"))?;
        let endpoint = set("HF_ENDPOINT").unwrap_or_else(|| ENDPOINT.into()).trim_end_matches('/').to_owned();
        if !url::Url::parse(&endpoint).is_ok_and(|url| ["http", "https"].contains(&url.scheme()) && url.has_host()) {
            let hint = format!("the public hub is {ENDPOINT}; leave the variable out to use it");
            return Err(Error::usage(format!("HF_ENDPOINT={endpoint}: is not the address of a hub"), hint));
        }
        let stored = || {
            let path = folder("HF_TOKEN_PATH").or_else(|| own.as_ref().map(|own| own.join("token")))?;
            let text = files::read_text(&path, TOKEN_LIMIT).ok()?;
            Some(text.trim().to_owned()).filter(|token| !token.is_empty())
        };
        let implicit = !on("HF_HUB_DISABLE_IMPLICIT_TOKEN");
        let token = set("HF_TOKEN").or_else(|| set("HUGGING_FACE_HUB_TOKEN")).or_else(|| if implicit { stored() } else { None });
        if token.as_ref().is_some_and(|token| !token.bytes().all(|b| b.is_ascii_graphic())) {
            return Err(Error::usage("HF_TOKEN: holds characters that no token has", "copy it again; it begins with hf_"));
        }
        let silence = match set("HF_HUB_DOWNLOAD_TIMEOUT") {
            None => 30,
            Some(text) => text
                .parse()
                .ok()
                .filter(|s| (1..=3600).contains(s))
                .ok_or_else(|| Error::usage(format!("HF_HUB_DOWNLOAD_TIMEOUT={text}: must be whole seconds from 1 to 3600"), ""))?,
        };
        Ok(Self {
            endpoint,
            token,
            cache,
            offline: on("HF_HUB_OFFLINE") || on("TRANSFORMERS_OFFLINE"),
            silence: Duration::from_secs(silence),
            pause: Duration::from_millis(500),
        })
    }
}

/// A token is shown to nobody.
impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let token = if self.token.is_some() { "set" } else { "none" };
        write!(f, "{} (token: {token}, offline: {}) in {}", self.endpoint, self.offline, self.cache.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(variables: &[(&str, &str)]) -> Result<Settings> {
        let found = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        Settings::from(found, Some("/home/me".into()))
    }

    #[test]
    fn the_cache_is_where_python_has_it() {
        for (variables, cache) in [
            (&[][..], "/home/me/.cache/huggingface/hub"),
            (&[("XDG_CACHE_HOME", "/x")], "/x/huggingface/hub"),
            (&[("XDG_CACHE_HOME", "/x"), ("HF_HOME", "/h")], "/h/hub"),
            (&[("HF_HOME", "~/h")], "/home/me/h/hub"),
            (&[("HF_HOME", "/h"), ("HF_HUB_CACHE", "/c")], "/c"),
            (&[("HF_HOME", "")], "/home/me/.cache/huggingface/hub"),
        ] {
            assert_eq!(from(variables).expect("settings").cache, PathBuf::from(cache), "{variables:?}");
        }
    }

    #[test]
    fn words_are_read_as_python_reads_them() {
        for (word, offline) in [("1", true), ("yes", true), ("TRUE", true), ("on", true), ("0", false), ("false", false), ("", false)] {
            assert_eq!(from(&[("HF_HUB_OFFLINE", word)]).expect("settings").offline, offline, "{word}");
        }
        let settings = from(&[("HF_ENDPOINT", "http://127.0.0.1:8080/"), ("HF_HUB_DOWNLOAD_TIMEOUT", "3")]).expect("settings");
        assert_eq!((settings.endpoint.as_str(), settings.silence.as_secs()), ("http://127.0.0.1:8080", 3));
        assert_eq!(from(&[]).expect("settings").endpoint, ENDPOINT);
        for wrong in ["huggingface.co", "ftp://a", "http://"] {
            assert!(from(&[("HF_ENDPOINT", wrong)]).is_err(), "{wrong}");
        }
        assert!(from(&[("HF_HUB_DOWNLOAD_TIMEOUT", "0")]).is_err());
    }

    #[test]
    fn the_token_is_the_variable_or_the_file_and_is_never_shown() {
        let home = tempfile::tempdir().expect("a folder");
        std::fs::write(home.path().join("token"), "hf_file\n").expect("writes");
        let at = home.path().to_str().expect("text");
        let token = |more: (&str, &str)| from(&[("HF_HOME", at), more]).expect("settings").token;
        assert_eq!(token(("", "")).as_deref(), Some("hf_file"));
        assert_eq!(token(("HF_TOKEN", " hf_variable ")).as_deref(), Some("hf_variable"));
        assert_eq!(token(("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")), None);
        let error = from(&[("HF_TOKEN", "hf_a\nb")]).expect_err("refused").to_string();
        assert!(!error.contains("hf_a"), "{error}");
        assert!(!format!("{:?}", from(&[("HF_TOKEN", "hf_secret")])).contains("secret"));
    }
}
