//! Files in memory, for a browser: it has storage of its own, which a program can reach only while nothing else runs.
//!
//! The page fills the tree before a run ([`put`], [`put_outside`]). Whatever the library then writes changes the tree at once, and
//! [`take_changes`] tells the page what to bring to the browser's storage, in the order in which it must arrive there: where a
//! page is closed half way, what was written last is what is missing, as after a power cut.
//!
//! The tree belongs to the thread, as everything does in WebAssembly.

use super::{Locked, Metadata, file_name, not_plain, text};
use crate::error::{Error, Result};
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{ErrorKind, Write};
use std::ops::{Bound, Range};
use std::path::{Component, Path, PathBuf};
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

    fn all(&self) -> std::io::Result<Vec<u8>> {
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
fn extend(held: &mut Vec<u8>, bytes: &[u8]) {
    const LEAST: usize = 16 << 10;
    if held.capacity() - held.len() < bytes.len() {
        held.reserve_exact(bytes.len().max(held.len() / 8).max(LEAST));
    }
    held.extend_from_slice(bytes);
}

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

#[derive(Clone)]
enum Node {
    Folder,
    File(Content),
}

#[derive(Clone, Copy)]
enum Mark {
    Written,
    Appended(u64),
    Removed,
}

#[derive(Default)]
struct Tree {
    /// By whole path from the root, which itself is always there.
    nodes: BTreeMap<PathBuf, Node>,
    locked: BTreeSet<PathBuf>,
    /// The last change of each path, and when it was. A file that is written a hundred times is told once.
    changes: BTreeMap<PathBuf, (u64, Mark)>,
    clock: u64,
}

thread_local! {
    static TREE: RefCell<Tree> = RefCell::default();
}

/// No function here calls out while it holds the tree, so it is never borrowed twice.
fn tree<R>(f: impl FnOnce(&mut Tree) -> R) -> R {
    TREE.with_borrow_mut(f)
}

/// A path from the root: relative ones begin there, `.` and `..` are gone.
fn whole(path: &Path) -> PathBuf {
    let mut out = PathBuf::from("/");
    for part in path.components() {
        match part {
            Component::Normal(name) => out.push(name),
            Component::ParentDir => {
                out.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    out
}

fn error<T>(kind: ErrorKind) -> std::io::Result<T> {
    Err(kind.into())
}

impl Tree {
    fn node(&self, path: &Path) -> Option<&Node> {
        if path == Path::new("/") { Some(&Node::Folder) } else { self.nodes.get(path) }
    }

    fn content(&self, path: &Path) -> std::io::Result<Content> {
        match self.node(path) {
            Some(Node::File(content)) => Ok(content.clone()),
            Some(Node::Folder) => error(ErrorKind::IsADirectory),
            None => error(ErrorKind::NotFound),
        }
    }

    /// That something of this name can be made: the folder above is there.
    fn check_parent(&self, path: &Path) -> std::io::Result<()> {
        match path.parent().map(|parent| self.node(parent)) {
            Some(Some(Node::Folder)) => Ok(()),
            Some(Some(Node::File(_))) => error(ErrorKind::NotADirectory),
            Some(None) => error(ErrorKind::NotFound),
            None => error(ErrorKind::IsADirectory),
        }
    }

    /// Everything below a folder.
    fn below(&self, folder: &Path) -> Vec<PathBuf> {
        // Paths are ordered name by name, so what lies below a folder follows it.
        let after = self.nodes.range::<Path, _>((Bound::Excluded(folder), Bound::Unbounded));
        after.map(|(path, _)| path).take_while(|path| path.starts_with(folder)).cloned().collect()
    }

    fn mark(&mut self, path: PathBuf, mark: Mark) {
        self.clock += 1;
        let mark = match (mark, self.changes.get(&path)) {
            // Not told yet: the whole file is, or its earlier end.
            (Mark::Appended(_), Some((_, Mark::Written))) => Mark::Written,
            (Mark::Appended(_), Some((_, Mark::Appended(from)))) => Mark::Appended(*from),
            (mark, _) => mark,
        };
        if matches!(mark, Mark::Removed) {
            self.changes.retain(|changed, _| !changed.starts_with(&path));
        }
        self.changes.insert(path, (self.clock, mark));
    }

    fn write(&mut self, path: PathBuf, content: Content) -> std::io::Result<()> {
        self.check_parent(&path)?;
        if let Some(Node::Folder) = self.nodes.get(&path) {
            return error(ErrorKind::IsADirectory);
        }
        self.nodes.insert(path.clone(), Node::File(content));
        self.mark(path, Mark::Written);
        Ok(())
    }

    fn append(&mut self, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
        let from = match self.nodes.get_mut(path) {
            Some(Node::File(content)) => {
                let from = content.len();
                if let Content::Outside(_) = content {
                    *content = Content::Held(Rc::new(content.all()?));
                }
                if let Content::Held(held) = content {
                    // Copied first where somebody has it mapped: a map shows the file as it was.
                    extend(Rc::make_mut(held), bytes);
                }
                from
            }
            Some(Node::Folder) => return error(ErrorKind::IsADirectory),
            // Removed while it was open: the system would write on into a file without a name.
            None => return Ok(()),
        };
        self.mark(path.to_path_buf(), Mark::Appended(from));
        Ok(())
    }

    fn create_dir_all(&mut self, path: &Path) -> std::io::Result<()> {
        let mut above: Vec<&Path> = path.ancestors().filter(|p| *p != Path::new("/")).collect();
        above.reverse();
        for folder in above {
            match self.nodes.get(folder) {
                Some(Node::Folder) => {}
                Some(Node::File(_)) => return error(ErrorKind::NotADirectory),
                None => {
                    self.nodes.insert(folder.to_path_buf(), Node::Folder);
                }
            }
        }
        Ok(())
    }

    fn rename(&mut self, from: &Path, to: &Path) -> std::io::Result<()> {
        let Some(node) = self.nodes.get(from).cloned() else { return error(ErrorKind::NotFound) };
        self.check_parent(to)?;
        if from == to {
            return Ok(());
        }
        if to.starts_with(from) {
            return error(ErrorKind::InvalidInput);
        }
        match (&node, self.nodes.get(to)) {
            (_, None) | (Node::File(_), Some(Node::File(_))) => {}
            (Node::File(_), Some(Node::Folder)) => return error(ErrorKind::IsADirectory),
            (Node::Folder, Some(Node::File(_))) => return error(ErrorKind::NotADirectory),
            (Node::Folder, Some(Node::Folder)) if self.below(to).is_empty() => {}
            (Node::Folder, Some(Node::Folder)) => return error(ErrorKind::DirectoryNotEmpty),
        }
        let mut moved = vec![from.to_path_buf()];
        moved.extend(self.below(from));
        for path in moved {
            let Some(node) = self.nodes.remove(&path) else { continue };
            let rest = path.strip_prefix(from).unwrap_or(Path::new(""));
            // Joining an empty rest would leave a slash at the end.
            let target = if rest.as_os_str().is_empty() { to.to_path_buf() } else { to.join(rest) };
            if let Node::File(_) = node {
                self.mark(target.clone(), Mark::Written);
            }
            self.nodes.insert(target, node);
        }
        // Last: where the page is closed in between, both names are there rather than none.
        self.mark(from.to_path_buf(), Mark::Removed);
        Ok(())
    }
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
