//! Files that are either whole or not there: atomic writing, and reading with a limit.

use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, Result};

/// Two threads of one process may write the same name; the process id alone would not part them.
static WRITES: AtomicU64 = AtomicU64::new(0);

/// Writes `path` in full or not at all.
///
/// The bytes go to `.<name>.tmp-<pid>-<n>` in the same folder, are synced to disk, and then take the name over in one step.
/// If `write` fails, panics, or the disk does, the temporary file is removed and an older `path` stays as it was.
/// A file that is mapped or open elsewhere keeps its old content there (on Windows such a file cannot be replaced: an error).
pub fn atomic_write(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let Some(name) = path.file_name() else {
        return Err(Error::input(path.display().to_string(), "is not the name of a file", "give a file name, not a folder"));
    };
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let number = WRITES.fetch_add(1, Ordering::Relaxed);
    let temporary = folder.join(format!(".{}.tmp-{}-{number}", name.to_string_lossy(), std::process::id()));
    let file = create_fresh(&temporary).map_err(Error::io(&temporary))?;
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
    sync_folder(folder);
    Ok(())
}

/// [`atomic_write`] of bytes that are already in memory.
pub fn atomic_write_bytes(path: &Path, bytes: &[u8]) -> Result<()> {
    atomic_write(path, |writer| writer.write_all(bytes).map_err(Error::io(path)))
}

/// Adds a line to a file, which is made where it is not there. One write for one line: a reader beside us never sees half of it.
pub fn append_line(path: &Path, line: &str) -> Result<()> {
    let mut file = OpenOptions::new().append(true).create(true).open(path).map_err(Error::io(path))?;
    file.write_all(format!("{line}\n").as_bytes()).map_err(Error::io(path))
}

/// The file as text, refusing one that is longer than `limit` bytes, not a plain file, or not UTF-8.
pub fn read_text(path: &Path, limit: u64) -> Result<String> {
    let place = || path.display().to_string();
    let metadata = fs::metadata(path).map_err(Error::io(path))?;
    // Opening a pipe would wait for ever.
    if !metadata.is_file() {
        return Err(Error::input(place(), "is not a plain file", ""));
    }
    let mut bytes = Vec::new();
    // The limit is held while reading: the file may grow after its size was asked for.
    File::open(path).and_then(|file| file.take(limit.saturating_add(1)).read_to_end(&mut bytes)).map_err(Error::io(path))?;
    if bytes.len() as u64 > limit {
        return Err(Error::input(place(), format!("is larger than {limit} bytes, too large for a file of this kind"), ""));
    }
    String::from_utf8(bytes).map_err(|error| {
        Error::input(place(), format!("is not UTF-8 text (byte {})", error.utf8_error().valid_up_to()), "the file may be damaged")
    })
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

/// Without this a power cut may undo the rename. Some file systems cannot sync a folder; the content is safe all the same.
fn sync_folder(folder: &Path) {
    if cfg!(unix) {
        let _ = File::open(folder).and_then(|folder| folder.sync_all());
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

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("folder");
        entries.map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn writes_and_replaces() {
        let folder = tempfile::tempdir().expect("tempdir");
        let path = folder.path().join("a.txt");
        atomic_write_bytes(&path, b"one").expect("first");
        atomic_write_bytes(&path, b"two").expect("second");
        assert_eq!(read_text(&path, 100).expect("read"), "two");
        assert_eq!(names(folder.path()), ["a.txt"]);
    }

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().expect("tempdir");
        let path = folder.path().join("a.txt");
        atomic_write_bytes(&path, b"old").expect("first");
        for size in [0usize, 10, 3 << 20] {
            let result = atomic_write(&path, |writer| {
                writer.write_all(&vec![b'x'; size]).map_err(Error::io(&path))?;
                Err(Error::io(&path)(ErrorKind::StorageFull.into()))
            });
            assert!(result.expect_err("must fail").hint().is_some_and(|hint| hint.contains("disk is full")));
            assert_eq!(read_text(&path, 100).expect("read"), "old");
            assert_eq!(names(folder.path()), ["a.txt"]);
        }
    }

    #[test]
    fn a_panic_leaves_nothing_behind() {
        let folder = tempfile::tempdir().expect("tempdir");
        let path = folder.path().join("a.txt");
        let result = std::panic::catch_unwind(|| atomic_write(&path, |_| panic!("in the middle")));
        assert!(result.is_err());
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn a_failed_rename_leaves_nothing_behind() {
        let folder = tempfile::tempdir().expect("tempdir");
        let path = folder.path().join("taken");
        fs::create_dir(&path).expect("mkdir");
        fs::write(path.join("inside"), b"kept").expect("write");
        assert!(atomic_write_bytes(&path, b"x").is_err());
        assert_eq!(names(folder.path()), ["taken"]);
        assert!(atomic_write_bytes(&folder.path().join("absent/file"), b"x").is_err());
        assert!(atomic_write_bytes(Path::new("/"), b"x").is_err());
    }

    #[test]
    fn reading_has_a_limit() {
        let folder = tempfile::tempdir().expect("tempdir");
        let path = folder.path().join("a");
        fs::write(&path, b"12345").expect("write");
        assert_eq!(read_text(&path, 5).expect("fits"), "12345");
        assert!(read_text(&path, 4).expect_err("too long").to_string().contains("larger than 4 bytes"));
        fs::write(&path, [b'a', 0xff]).expect("write");
        assert!(read_text(&path, 5).expect_err("not text").to_string().contains("UTF-8"));
        assert!(read_text(folder.path(), 5).is_err());
        assert!(read_text(&folder.path().join("b"), 5).is_err());
    }
}
