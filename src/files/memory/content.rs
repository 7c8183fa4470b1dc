//! What a file holds: bytes here, or bytes elsewhere.

use std::borrow::Cow;
use std::fmt;
use std::io::ErrorKind;
use std::ops::Range;
use std::rc::Rc;

/// Bytes that stay outside this program's memory and are fetched in parts: a file that a visitor picked.
pub trait Outside {
    /// Bytes in all.
    fn size(&self) -> u64;

    /// Fills `buffer` with the bytes from `start` on.
    ///
    /// # Errors
    /// Where the bytes are gone.
    fn read_at(&self, start: u64, buffer: &mut [u8]) -> std::io::Result<()>;
}

/// What a file holds. Cloning one copies no bytes.
#[derive(Clone)]
pub enum Content {
    /// Bytes in this program's memory.
    Held(Rc<Vec<u8>>),
    /// Bytes elsewhere.
    Outside(Rc<dyn Outside>),
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if matches!(self, Self::Held(_)) { "held" } else { "outside" };
        write!(f, "{} bytes {kind}", self.len())
    }
}

impl Content {
    /// Bytes in all.
    pub fn len(&self) -> u64 {
        match self {
            Self::Held(bytes) => bytes.len() as u64,
            Self::Outside(outside) => outside.size(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A part of the bytes, which must lie inside.
    ///
    /// # Errors
    /// Where bytes outside are gone.
    pub fn part(&self, range: Range<usize>) -> std::io::Result<Cow<'_, [u8]>> {
        match self {
            Self::Held(bytes) => Ok(Cow::Borrowed(&bytes[range])),
            Self::Outside(outside) => {
                let mut buffer = zeroed(range.len())?;
                outside.read_at(range.start as u64, &mut buffer)?;
                Ok(Cow::Owned(buffer))
            }
        }
    }

    pub(super) fn all(&self) -> std::io::Result<Vec<u8>> {
        let len = usize::try_from(self.len()).map_err(|_| std::io::Error::from(ErrorKind::FileTooLarge))?;
        self.part(0..len).map(Cow::into_owned)
    }
}

/// Memory that may not be there is no reason to end the program.
fn zeroed(len: usize) -> std::io::Result<Vec<u8>> {
    let mut buffer = Vec::new();
    buffer.try_reserve_exact(len).map_err(|_| std::io::Error::from(ErrorKind::OutOfMemory))?;
    buffer.resize(len, 0);
    Ok(buffer)
}

/// Adds bytes. A file that grows line by line leaves an eighth of itself free at most: memory that a browser has once given is never
/// taken back.
pub(super) fn extend(held: &mut Vec<u8>, bytes: &[u8]) {
    const LEAST: usize = 16 << 10;
    if held.capacity() - held.len() < bytes.len() {
        held.reserve_exact(bytes.len().max(held.len() / 8).max(LEAST));
    }
    held.extend_from_slice(bytes);
}
