//! The tree itself: nodes by path, and the last change of each.

use super::content::{Content, extend};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::ops::Bound;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

/// What stands at a path.
#[derive(Clone)]
pub(super) enum Node {
    Folder,
    File(Content),
}

/// What happened to a path.
#[derive(Clone, Copy)]
pub(super) enum Mark {
    Written,
    Appended(u64),
    Removed,
}

/// Folders and files by path.
#[derive(Default)]
pub(super) struct Tree {
    /// By whole path from the root, which itself is always there.
    pub nodes: BTreeMap<PathBuf, Node>,
    pub locked: BTreeSet<PathBuf>,
    /// The last change of each path, and when it was. A file that is written a hundred times is told once.
    pub changes: BTreeMap<PathBuf, (u64, Mark)>,
    clock: u64,
}

thread_local! {
    static TREE: RefCell<Tree> = RefCell::default();
}

/// No function here calls out while it holds the tree, so it is never borrowed twice.
pub(super) fn tree<R>(f: impl FnOnce(&mut Tree) -> R) -> R {
    TREE.with_borrow_mut(f)
}

/// A path from the root: relative ones begin there, `.` and `..` are gone.
pub(super) fn whole(path: &Path) -> PathBuf {
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

pub(super) fn error<T>(kind: ErrorKind) -> std::io::Result<T> {
    Err(kind.into())
}

impl Tree {
    pub fn node(&self, path: &Path) -> Option<&Node> {
        if path == Path::new("/") { Some(&Node::Folder) } else { self.nodes.get(path) }
    }

    pub fn content(&self, path: &Path) -> std::io::Result<Content> {
        match self.node(path) {
            Some(Node::File(content)) => Ok(content.clone()),
            Some(Node::Folder) => error(ErrorKind::IsADirectory),
            None => error(ErrorKind::NotFound),
        }
    }

    /// That something of this name can be made: the folder above is there.
    pub fn check_parent(&self, path: &Path) -> std::io::Result<()> {
        match path.parent().map(|parent| self.node(parent)) {
            Some(Some(Node::Folder)) => Ok(()),
            Some(Some(Node::File(_))) => error(ErrorKind::NotADirectory),
            Some(None) => error(ErrorKind::NotFound),
            None => error(ErrorKind::IsADirectory),
        }
    }

    /// Everything below a folder.
    pub fn below(&self, folder: &Path) -> Vec<PathBuf> {
        // Paths are ordered name by name, so what lies below a folder follows it.
        let after = self.nodes.range::<Path, _>((Bound::Excluded(folder), Bound::Unbounded));
        after.map(|(path, _)| path).take_while(|path| path.starts_with(folder)).cloned().collect()
    }

    pub fn mark(&mut self, path: PathBuf, mark: Mark) {
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

    pub fn write(&mut self, path: PathBuf, content: Content) -> std::io::Result<()> {
        self.check_parent(&path)?;
        if let Some(Node::Folder) = self.nodes.get(&path) {
            return error(ErrorKind::IsADirectory);
        }
        self.nodes.insert(path.clone(), Node::File(content));
        self.mark(path, Mark::Written);
        Ok(())
    }

    pub fn append(&mut self, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
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

    pub fn create_dir_all(&mut self, path: &Path) -> std::io::Result<()> {
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

    pub fn rename(&mut self, from: &Path, to: &Path) -> std::io::Result<()> {
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
