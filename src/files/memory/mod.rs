//! Files in memory, for a browser: it has storage of its own, which a program can reach only while nothing else runs.
//!
//! The page fills the tree before a run ([`put`], [`put_outside`]). Whatever the library then writes changes the tree at once, and
//! [`take_changes`] tells the page what to bring to the browser's storage, in the order in which it must arrive there: where a
//! page is closed half way, what was written last is what is missing, as after a power cut.
//!
//! The tree belongs to the thread, as everything does in WebAssembly.

mod content;
mod tree;

pub use content::{Content, Outside};

use super::{Locked, Metadata, file_name, not_plain, text};
use crate::error::{Error, Result};
use content::extend;
use std::borrow::Cow;
use std::io::{ErrorKind, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use tree::{Mark, Node, error, tree, whole};

/// What the browser's storage has to be told.
#[derive(Clone, Debug)]
pub enum Change {
    /// A file has this content now.
    Written {
        /// The file.
        path: PathBuf,
        /// All of it.
        content: Content,
    },
    /// A file grew.
    Appended {
        /// The file.
        path: PathBuf,
        /// Where the new bytes begin.
        from: u64,
        /// All of it.
        content: Content,
    },
    /// A file, or a folder with everything in it, is no longer there.
    Removed {
        /// The file or folder.
        path: PathBuf,
    },
}

/// Puts a file into the tree, with the folders above it, without telling it as a change.
///
/// # Errors
/// Where one of the folders is a file.
pub fn put(path: &Path, bytes: Vec<u8>) -> std::io::Result<()> {
    put_content(path, Content::Held(Rc::new(bytes)))
}

/// As [`put`], for bytes that stay outside.
///
/// # Errors
/// Where one of the folders is a file.
pub fn put_outside(path: &Path, outside: Rc<dyn Outside>) -> std::io::Result<()> {
    put_content(path, Content::Outside(outside))
}

/// Replaces what stands behind the first `from` bytes of a file, which is made where it is missing, as [`put`] does.
///
/// # Errors
/// As [`put`], and where the file is shorter.
pub fn put_behind(path: &Path, from: usize, bytes: &[u8]) -> std::io::Result<()> {
    let grown = tree(|tree| match tree.nodes.get_mut(&whole(path)) {
        Some(Node::File(Content::Held(held))) if held.len() >= from => {
            let held = Rc::make_mut(held);
            held.truncate(from);
            extend(held, bytes);
            true
        }
        _ => false,
    });
    match grown {
        true => Ok(()),
        false if from == 0 => put(path, bytes.to_vec()),
        false => error(ErrorKind::UnexpectedEof),
    }
}

fn put_content(path: &Path, content: Content) -> std::io::Result<()> {
    let path = whole(path);
    tree(|tree| {
        if let Some(parent) = path.parent() {
            tree.create_dir_all(parent)?;
        }
        match tree.node(&path) {
            Some(Node::Folder) => error(ErrorKind::IsADirectory),
            _ => {
                tree.nodes.insert(path, Node::File(content));
                Ok(())
            }
        }
    })
}

/// What changed since the last call, in the order in which the browser's storage should see it.
pub fn take_changes() -> Vec<Change> {
    tree(|tree| {
        let mut changes: Vec<(PathBuf, u64, Mark)> =
            std::mem::take(&mut tree.changes).into_iter().map(|(path, (when, mark))| (path, when, mark)).collect();
        changes.sort_by_key(|(_, when, _)| *when);
        let told = changes.into_iter().filter_map(|(path, _, mark)| {
            let content = tree.content(&path);
            match mark {
                Mark::Removed => Some(Change::Removed { path }),
                Mark::Written => content.ok().map(|content| Change::Written { path, content }),
                Mark::Appended(from) => content.ok().map(|content| Change::Appended { path, from, content }),
            }
        });
        told.collect()
    })
}

/// Every file below a folder, sorted.
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let folder = whole(folder);
    tree(|tree| tree.below(&folder).into_iter().filter(|path| matches!(tree.node(path), Some(Node::File(_)))).collect())
}

/// What a file holds.
///
/// # Errors
/// Where there is none.
pub fn content(path: &Path) -> std::io::Result<Content> {
    tree(|tree| tree.content(&whole(path)))
}

/// Writes `path` in full or not at all. If `write` fails or panics, an older `path` stays as it was.
/// A file that is mapped elsewhere keeps its old content there.
///
/// # Errors
/// What `write` returns, or where the folder is not there.
pub fn atomic_write(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    file_name(path)?;
    let to = whole(path);
    tree(|tree| tree.check_parent(&to)).map_err(Error::io(path))?;
    let mut bytes = Vec::new();
    write(&mut bytes)?;
    tree(|tree| tree.write(to, Content::Held(Rc::new(bytes)))).map_err(Error::io(path))
}

/// The file as text, refusing one that is longer than `limit` bytes, not a plain file, or not UTF-8.
///
/// # Errors
/// Names the file and what is wrong with it.
pub fn read_text(path: &Path, limit: u64) -> Result<String> {
    let metadata = metadata(path).map_err(Error::io(path))?;
    if !metadata.is_file {
        return Err(not_plain(path));
    }
    let most = usize::try_from(metadata.len.min(limit.saturating_add(1))).unwrap_or(usize::MAX);
    let bytes = content(path).and_then(|content| content.part(0..most).map(Cow::into_owned)).map_err(Error::io(path))?;
    text(path, limit, bytes)
}

/// A file's bytes.
///
/// # Errors
/// Where there is no such file.
pub fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    content(path)?.all()
}

/// What is at a path.
///
/// # Errors
/// Not found where nothing is there.
pub fn metadata(path: &Path) -> std::io::Result<Metadata> {
    tree(|tree| match tree.node(&whole(path)) {
        Some(Node::Folder) => Ok(Metadata { is_file: false, is_dir: true, len: 0 }),
        Some(Node::File(content)) => Ok(Metadata { is_file: true, is_dir: false, len: content.len() }),
        None => error(ErrorKind::NotFound),
    })
}

/// Whether the folder has an entry of that name.
pub fn is_listed(path: &Path) -> bool {
    metadata(path).is_ok()
}

/// The names in a folder, in no particular order.
///
/// # Errors
/// Where there is no such folder.
pub fn names(folder: &Path) -> std::io::Result<Vec<String>> {
    let folder = whole(folder);
    tree(|tree| match tree.node(&folder) {
        Some(Node::Folder) => {
            let inside = tree.below(&folder).into_iter().filter(|path| path.parent() == Some(&folder));
            Ok(inside.filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect())
        }
        Some(Node::File(_)) => error(ErrorKind::NotADirectory),
        None => error(ErrorKind::NotFound),
    })
}

/// Makes a folder inside one that is there.
///
/// # Errors
/// Where it is there already, or the folder above is not.
pub fn create_dir(path: &Path) -> std::io::Result<()> {
    let path = whole(path);
    tree(|tree| {
        if tree.node(&path).is_some() {
            return error(ErrorKind::AlreadyExists);
        }
        tree.check_parent(&path)?;
        tree.nodes.insert(path, Node::Folder);
        Ok(())
    })
}

/// Makes a folder and those above it. One that is there already is no error.
///
/// # Errors
/// Where one of them is a file.
pub fn create_dir_all(path: &Path) -> std::io::Result<()> {
    tree(|tree| tree.create_dir_all(&whole(path)))
}

/// Gives a file or folder another name; a file of that name is replaced.
///
/// # Errors
/// Where there is no such file, or a folder that is not empty has the new name.
pub fn rename(from: &Path, to: &Path) -> std::io::Result<()> {
    tree(|tree| tree.rename(&whole(from), &whole(to)))
}

/// Removes a file.
///
/// # Errors
/// Where there is none.
pub fn remove_file(path: &Path) -> std::io::Result<()> {
    let path = whole(path);
    tree(|tree| {
        tree.content(&path)?;
        tree.nodes.remove(&path);
        tree.mark(path, Mark::Removed);
        Ok(())
    })
}

/// Removes a folder with everything in it.
///
/// # Errors
/// Where there is none.
pub fn remove_dir_all(path: &Path) -> std::io::Result<()> {
    let path = whole(path);
    tree(|tree| {
        match tree.node(&path) {
            Some(Node::Folder) => {}
            Some(Node::File(_)) => return error(ErrorKind::NotADirectory),
            None => return error(ErrorKind::NotFound),
        }
        for inside in tree.below(&path) {
            tree.nodes.remove(&inside);
        }
        tree.nodes.remove(&path);
        tree.mark(path, Mark::Removed);
        Ok(())
    })
}

/// Copies a file; both share their bytes until one is written.
///
/// # Errors
/// Where one is not there or the other cannot be.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    file_name(to)?;
    let content = content(from).map_err(Error::io(from))?;
    tree(|tree| tree.write(whole(to), content)).map_err(Error::io(to))
}

/// Nothing is lost that is here; the file's length.
///
/// # Errors
/// Where there is no such file.
pub fn sync_file(path: &Path) -> std::io::Result<u64> {
    content(path).map(|content| content.len())
}

/// Nothing to do here: order is kept by [`take_changes`].
///
/// # Errors
/// None.
pub fn sync_folder(_: &Path) -> std::io::Result<()> {
    Ok(())
}

/// A file that grows at its end.
#[derive(Debug)]
pub struct Appender {
    path: PathBuf,
}

impl Appender {
    /// Opens a file, or makes it.
    ///
    /// # Errors
    /// Where its folder is not there, or it is a folder.
    pub fn open(path: &Path) -> std::io::Result<Self> {
        let path = whole(path);
        tree(|tree| match tree.content(&path) {
            Err(e) if e.kind() == ErrorKind::NotFound => tree.write(path.clone(), Content::Held(Rc::default())),
            other => other.map(|_| ()),
        })?;
        Ok(Self { path })
    }

    /// Adds bytes.
    ///
    /// # Errors
    /// Where a folder has taken the name.
    pub fn append(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        tree(|tree| tree.append(&self.path, bytes))
    }

    /// Nothing to do here.
    ///
    /// # Errors
    /// None.
    pub fn sync(&self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A lock that is held, against others in this thread; another page needs the browser's own.
#[derive(Debug)]
pub struct Lock {
    path: PathBuf,
}

impl Drop for Lock {
    fn drop(&mut self) {
        tree(|tree| tree.locked.remove(&self.path));
    }
}

/// Takes the lock of a file, which does not have to be there.
///
/// # Errors
/// Where its folder is not there.
pub fn lock(path: &Path) -> std::io::Result<Locked<Lock>> {
    let path = whole(path);
    tree(|tree| {
        tree.check_parent(&path)?;
        Ok(if tree.locked.insert(path.clone()) { Locked::Ours(Lock { path }) } else { Locked::Theirs(None) })
    })
}

/// A file's bytes as they were when it was opened.
#[derive(Debug)]
pub struct Mapped(Content);

impl Mapped {
    /// Opens a file; nothing is copied.
    ///
    /// # Errors
    /// Where there is no such file, or it is larger than this program can address.
    pub fn open(path: &Path) -> std::io::Result<Self> {
        let content = content(path)?;
        if usize::try_from(content.len()).is_err() { error(ErrorKind::FileTooLarge) } else { Ok(Self(content)) }
    }

    /// Bytes of the file.
    pub fn len(&self) -> usize {
        self.0.len() as usize
    }

    /// Whether the file holds nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A part of the file, which must lie inside. Bytes in memory are not copied, others are fetched.
    ///
    /// # Errors
    /// Where bytes outside are gone.
    pub fn part(&self, range: Range<usize>) -> std::io::Result<Cow<'_, [u8]>> {
        self.0.part(range)
    }
}

impl From<Vec<u8>> for Mapped {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Content::Held(Rc::new(bytes)))
    }
}
