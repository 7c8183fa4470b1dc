//! What can go wrong, said so that a person can mend it: where, what, and what to do.

use std::path::{Path, PathBuf};

/// The library's result.
pub type Result<T> = std::result::Result<T, Error>;

/// Every failure names its place (file, key, row, layer) and, where there is one, a way out.
///
/// `Display` gives place and cause on one line; [`Error::hint`] gives the way out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Something that came from outside (a file, a row, an option) is not what it must be.
    #[error("{place}: {what}")]
    Input {
        /// File, key, row or layer.
        place: String,
        /// What is wrong there.
        what: String,
        /// What to do about it; may be empty.
        hint: String,
    },
    /// The operating system refused a file operation.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's own reason.
        source: std::io::Error,
    },
    /// The options contradict each other or the model; nothing was started.
    #[error("{what}")]
    Usage {
        /// What is wrong.
        what: String,
        /// What to do about it; may be empty.
        hint: String,
    },
    /// No device, a device that was lost, or one that cannot hold the run.
    #[error("{what}")]
    Device {
        /// What is wrong.
        what: String,
        /// What to do about it; may be empty.
        hint: String,
    },
    /// The loss or the gradient stopped being a number.
    #[error("step {step}: {what}")]
    Diverged {
        /// The optimiser step, counted from 1.
        step: u64,
        /// Which number, and what it was.
        what: String,
        /// What to do about it.
        hint: String,
    },
}

impl Error {
    /// Bad input at a place, with what to do.
    pub fn input(place: impl Into<String>, what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Input { place: place.into(), what: what.into(), hint: hint.into() }
    }

    /// Options that cannot be met.
    pub fn usage(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Usage { what: what.into(), hint: hint.into() }
    }

    /// A device that is absent, lost or too small.
    pub fn device(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Device { what: what.into(), hint: hint.into() }
    }

    /// For `map_err` on file operations.
    pub fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self + use<> {
        let path = path.to_path_buf();
        move |source| Self::Io { path, source }
    }

    /// What the person can do, if anything is known.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Input { hint, .. } | Self::Usage { hint, .. } | Self::Device { hint, .. } | Self::Diverged { hint, .. } => {
                (!hint.is_empty()).then_some(hint)
            }
            Self::Io { source, .. } => match source.kind() {
                std::io::ErrorKind::StorageFull => Some("the disk is full: free some space; what was written before is intact"),
                std::io::ErrorKind::NotFound => Some("is the path right? A relative one starts at the working directory"),
                std::io::ErrorKind::PermissionDenied => Some("check the permissions of the file and its folder"),
                std::io::ErrorKind::IsADirectory => Some("it is a folder, and a file is needed"),
                std::io::ErrorKind::NotADirectory => Some("it, or a part of its path, is a file, and a folder is needed"),
                std::io::ErrorKind::AlreadyExists => Some("something else is there by that name; name another place"),
                _ => None,
            },
        }
    }

    /// Where it is: a file, key, row, layer or step; empty where the fault is in the options themselves.
    pub fn place(&self) -> String {
        match self {
            Self::Input { place, .. } => place.clone(),
            Self::Io { path, .. } => path.display().to_string(),
            Self::Diverged { step, .. } => format!("step {step}"),
            Self::Usage { .. } | Self::Device { .. } => String::new(),
        }
    }

    /// What is wrong, without the place.
    pub fn what(&self) -> String {
        match self {
            Self::Input { what, .. } | Self::Usage { what, .. } | Self::Device { what, .. } | Self::Diverged { what, .. } => what.clone(),
            Self::Io { source, .. } => source.to_string(),
        }
    }

    /// 2 for wrong usage, 1 for a run that failed.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage { .. } => 2,
            _ => 1,
        }
    }
}
