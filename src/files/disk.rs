//! The system's own files.

use super::{Locked, Metadata, file_name, not_plain, text};
use crate::error::{Error, Result};
use memmap2::Mmap;
use std::borrow::Cow;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{BufWriter, ErrorKind, Read, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Two threads of one process may write the same name; the process id alone would not part them.
static WRITES: AtomicU64 = AtomicU64::new(0);

/// Writes `path` in full or not at all.
///
/// The bytes go to `.<name>.tmp-<pid>-<n>` in the same folder, are synced to disk, and then take the name over in one step.
/// If `write` fails, panics, or the disk does, the temporary file is removed and an older `path` stays as it was.
/// A file that is mapped or open elsewhere keeps its old content there (on Windows such a file cannot be replaced: an error).
///
/// # Errors
/// What `write` returns, or what the system refuses.
pub fn atomic_write(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let name = file_name(path)?;
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let number = WRITES.fetch_add(1, Ordering::Relaxed);
    let temporary = folder.join(format!(".{}.tmp-{}-{number}", name.to_string_lossy(), std::process::id()));
    // The name that was asked for is told: the other one is nobody's.
    let file = create_fresh(&temporary).map_err(Error::io(path))?;
    let mut guard = RemoveOnDrop(Some(temporary.clone()));

    let mut writer = BufWriter::with_capacity(1 << 20, file);
    // The writer must be closed before the guard removes the file: Windows does not remove an open one.
    let written = write(&mut writer).and_then(|()| {
        writer.flush().map_err(Error::io(path))?;
        writer.get_ref().sync_all().map_err(Error::io(path))
    });
    // On failure what is still buffered is dropped, not written.
    drop(writer.into_parts());
    written?;

    fs::rename(&temporary, path).map_err(Error::io(path))?;
    guard.0 = None;
    // Some file systems cannot sync a folder; the content is safe all the same.
    let _ = sync_folder(folder);
    Ok(())
}

/// The file as text, refusing one that is longer than `limit` bytes, not a plain file, or not UTF-8.
///
/// # Errors
/// Names the file and what is wrong with it.
pub fn read_text(path: &Path, limit: u64) -> Result<String> {
    // Opening a pipe would wait for ever.
    if !metadata(path).map_err(Error::io(path))?.is_file {
        return Err(not_plain(path));
    }
    let mut bytes = Vec::new();
    // The limit is held while reading: the file may grow after its size was asked for.
    File::open(path).and_then(|file| file.take(limit.saturating_add(1)).read_to_end(&mut bytes)).map_err(Error::io(path))?;
    text(path, limit, bytes)
}

/// A file's bytes.
///
/// # Errors
/// The system's own.
pub fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    fs::read(path)
}

/// What is at a path, links followed.
///
/// # Errors
/// The system's own; not found where nothing is there.
pub fn metadata(path: &Path) -> std::io::Result<Metadata> {
    fs::metadata(path).map(|m| Metadata { is_file: m.is_file(), is_dir: m.is_dir(), len: m.len() })
}

/// Whether the folder has an entry of that name, be it a link that leads nowhere.
pub fn is_listed(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// The names in a folder, in no particular order; a name that is no text with its bad bytes replaced.
///
/// # Errors
/// The system's own.
pub fn names(folder: &Path) -> std::io::Result<Vec<String>> {
    fs::read_dir(folder)?.map(|entry| entry.map(|e| e.file_name().to_string_lossy().into_owned())).collect()
}

/// Makes a folder inside one that is there.
///
/// # Errors
/// The system's own; also where it is there already.
pub fn create_dir(path: &Path) -> std::io::Result<()> {
    fs::create_dir(path)
}

/// Makes a folder and those above it. One that is there already is no error.
///
/// # Errors
/// The system's own.
pub fn create_dir_all(path: &Path) -> std::io::Result<()> {
    fs::create_dir_all(path)
}

/// Gives a file or folder another name; a file of that name is replaced.
///
/// # Errors
/// The system's own.
pub fn rename(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::rename(from, to)
}

/// Removes a file.
///
/// # Errors
/// The system's own.
pub fn remove_file(path: &Path) -> std::io::Result<()> {
    fs::remove_file(path)
}

/// Removes a folder with everything in it.
///
/// # Errors
/// The system's own.
pub fn remove_dir_all(path: &Path) -> std::io::Result<()> {
    fs::remove_dir_all(path)
}

/// Copies a file; the copy is whole or not there.
///
/// # Errors
/// Where one cannot be read or the other not be written.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    let mut file = File::open(from).map_err(Error::io(from))?;
    atomic_write(to, |out| std::io::copy(&mut file, out).map(|_| ()).map_err(Error::io(to)))
}

/// Brings a file's content to the disk; its length.
///
/// # Errors
/// The system's own.
pub fn sync_file(path: &Path) -> std::io::Result<u64> {
    // Opened for writing: Windows brings nothing else to the disk.
    let file = File::options().write(true).open(path)?;
    file.sync_all()?;
    Ok(file.metadata()?.len())
}

/// Brings a folder's names to the disk; without this a power cut may undo a rename. Windows has no such call and needs none.
///
/// # Errors
/// The system's own.
pub fn sync_folder(folder: &Path) -> std::io::Result<()> {
    if cfg!(unix) { File::open(folder).and_then(|folder| folder.sync_all()) } else { Ok(()) }
}

/// A file that grows at its end.
#[derive(Debug)]
pub struct Appender {
    file: File,
}

impl Appender {
    /// Opens a file, or makes it.
    ///
    /// # Errors
    /// The system's own.
    pub fn open(path: &Path) -> std::io::Result<Self> {
        Ok(Self { file: OpenOptions::new().append(true).create(true).open(path)? })
    }

    /// Adds bytes in one write: a reader beside us never sees half of them. They are handed to the system before this returns.
    ///
    /// # Errors
    /// The system's own.
    pub fn append(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.file.write_all(bytes)?;
        self.file.flush()
    }

    /// Makes sure that a power cut cannot lose them either.
    ///
    /// # Errors
    /// The system's own.
    pub fn sync(&self) -> std::io::Result<()> {
        self.file.sync_data()
    }
}

/// A lock that is held. It is the system's own on an open file, so a killed process holds nothing.
#[derive(Debug)]
pub struct Lock {
    /// Held, never read.
    _file: File,
}

/// Takes the lock of a file, which is made where it is not there and stays: removing it would race with the next one.
///
/// # Errors
/// The system's own. A file system without locks is no error: some network file systems have none.
pub fn lock(path: &Path) -> std::io::Result<Locked<Lock>> {
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    let mut locked = file.try_lock();
    // A process that was just killed may take a moment to let go, and "kill, then resume" must not depend on luck.
    for _ in 0..10 {
        if !matches!(locked, Err(TryLockError::WouldBlock)) {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
        locked = file.try_lock();
    }
    match locked {
        Ok(()) => {
            // Only for people who look; the lock itself is the system's.
            let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
            Ok(Locked::Ours(Lock { _file: file }))
        }
        Err(TryLockError::WouldBlock) => Ok(Locked::Theirs(fs::read_to_string(path).ok().and_then(|s| s.trim().parse().ok()))),
        Err(TryLockError::Error(e)) if e.kind() == ErrorKind::Unsupported => Ok(Locked::Ours(Lock { _file: file })),
        Err(TryLockError::Error(e)) => Err(e),
    }
}

/// A file's bytes without reading them all at once.
#[derive(Debug)]
pub struct Mapped(Bytes);

#[derive(Debug)]
enum Bytes {
    File(Mmap),
    Owned(Vec<u8>),
}

impl Mapped {
    /// Maps a file.
    ///
    /// # Errors
    /// The system's own.
    pub fn open(path: &Path) -> std::io::Result<Self> {
        let file = File::open(path)?;
        // SAFETY: the map is read-only and private to this value. Another process that truncates the file while it is mapped can
        // still kill this one with SIGBUS, as with every mapped file; files written here are replaced by rename, never in place.
        let map = unsafe { Mmap::map(&file) }?;
        Ok(Self(Bytes::File(map)))
    }

    fn all(&self) -> &[u8] {
        match &self.0 {
            Bytes::File(map) => map,
            Bytes::Owned(bytes) => bytes,
        }
    }

    /// Bytes of the file.
    pub fn len(&self) -> usize {
        self.all().len()
    }

    /// Whether the file holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A part of the file. It must lie inside; on disk nothing is copied.
    ///
    /// # Errors
    /// None on disk; in a browser the file may have gone.
    pub fn part(&self, range: Range<usize>) -> std::io::Result<Cow<'_, [u8]>> {
        Ok(Cow::Borrowed(&self.all()[range]))
    }
}

impl From<Vec<u8>> for Mapped {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Bytes::Owned(bytes))
    }
}

/// A new file; one left by a crashed process of the same id is replaced, a link put there is not followed.
fn create_fresh(path: &Path) -> std::io::Result<File> {
    let create = || OpenOptions::new().write(true).create_new(true).open(path);
    match create() {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            fs::remove_file(path)?;
            create()
        }
        other => other,
    }
}

struct RemoveOnDrop(Option<PathBuf>);

impl Drop for RemoveOnDrop {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            let _ = fs::remove_file(path);
        }
    }
}
