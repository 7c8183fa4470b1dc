//! Links to files, and what a disk has left. A tree in memory has neither.

use super::is_listed;
use crate::error::{Error, Result};
use std::fs;
use std::path::{Component, Path, PathBuf};

/// Lets the name `at` lead to the file `target`, both below one folder: by a relative link, so that the folder can be moved.
///
/// Where the system has no links for everybody (Windows), by a second name of the same file, else by a copy. What was at `at` is
/// replaced. Two processes may do this at once.
///
/// # Errors
/// Where the system refuses all three.
pub fn link(target: &Path, at: &Path) -> Result<()> {
    if is_listed(at) {
        // Another process may have removed it between the two.
        super::remove(at)?;
    }
    let fault = match symlink(&relative(target, at), at) {
        Ok(()) => return Ok(()),
        Err(error) => error,
    };
    // The other process made it.
    if fault.kind() == std::io::ErrorKind::AlreadyExists {
        return Ok(());
    }
    fs::hard_link(target, at).or_else(|_| fs::copy(target, at).map(|_| ())).map_err(Error::io(at))
}

/// Bytes that are free for this user on the disk of a folder, or of the nearest folder above it that is there.
pub fn free_space(folder: &Path) -> Option<u64> {
    folder.ancestors().map(|a| if a.as_os_str().is_empty() { Path::new(".") } else { a }).find_map(|a| fs4::available_space(a).ok())
}

#[cfg(unix)]
fn symlink(target: &Path, at: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(target, at)
}

#[cfg(windows)]
fn symlink(target: &Path, at: &Path) -> std::io::Result<()> {
    std::os::windows::fs::symlink_file(target, at)
}

/// The way from the folder of `at` to `target`. Both are absolute, or both relative to the same place.
fn relative(target: &Path, at: &Path) -> PathBuf {
    let from: Vec<Component<'_>> = at.parent().map(|folder| folder.components().collect()).unwrap_or_default();
    let to: Vec<Component<'_>> = target.components().collect();
    let same = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    from[same..].iter().map(|_| Component::ParentDir).chain(to[same..].iter().copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_leads_to_its_file_and_can_be_moved() {
        let folder = tempfile::tempdir().expect("a folder");
        let (blob, at) = (folder.path().join("a/blobs/x"), folder.path().join("a/snapshots/c/deep/file.txt"));
        for file in [&blob, &at] {
            fs::create_dir_all(file.parent().expect("a folder")).expect("folders");
        }
        fs::write(&blob, "old").expect("writes");
        link(&blob, &at).expect("links");
        link(&blob, &at).expect("again");
        assert_eq!(fs::read_to_string(&at).expect("reads"), "old");
        #[cfg(unix)]
        assert_eq!(fs::read_link(&at).expect("a link"), Path::new("../../../blobs/x"));
        fs::rename(folder.path().join("a"), folder.path().join("b")).expect("moves");
        assert_eq!(fs::read_to_string(folder.path().join("b/snapshots/c/deep/file.txt")).expect("reads"), "old");
    }

    #[test]
    fn the_space_left_is_known_below_folders_that_are_not_there_yet() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(free_space(&folder.path().join("not/yet")).is_some_and(|bytes| bytes > 0));
    }
}
