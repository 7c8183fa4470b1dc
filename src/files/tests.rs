//! What both rooms must do, and what only memory does.

use super::memory::{self, Change, Outside};
use super::{Locked, disk};
use crate::error::{Error, Result};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// The same tests for each room, in a fresh folder of it.
macro_rules! same_tests {
    ($name:ident, $room:ident, $folder:expr) => {
        mod $name {
            use super::$room::*;
            use super::*;

            fn sorted(folder: &Path) -> Vec<String> {
                let mut names = names(folder).expect("a folder");
                names.sort();
                names
            }

            fn write(path: &Path, bytes: &[u8]) {
                atomic_write(path, |writer| writer.write_all(bytes).map_err(Error::io(path))).expect("writes");
            }

            #[test]
            fn writes_and_replaces() {
                let folder = $folder;
                let path = folder.path().join("a.txt");
                write(&path, b"one");
                write(&path, b"two");
                assert_eq!(read_text(&path, 100).expect("reads"), "two");
                assert_eq!(read(&path).expect("reads"), b"two");
                assert_eq!(sorted(folder.path()), ["a.txt"]);
            }

            #[test]
            fn a_failed_write_leaves_the_old_file_and_nothing_else() {
                let folder = $folder;
                let path = folder.path().join("a.txt");
                write(&path, b"old");
                for size in [0usize, 10, 3 << 20] {
                    let result: Result<()> = atomic_write(&path, |writer| {
                        writer.write_all(&vec![b'x'; size]).map_err(Error::io(&path))?;
                        Err(Error::io(&path)(ErrorKind::StorageFull.into()))
                    });
                    assert!(result.expect_err("must fail").hint().is_some_and(|hint| hint.contains("disk is full")));
                    assert_eq!(read_text(&path, 100).expect("reads"), "old");
                    assert_eq!(sorted(folder.path()), ["a.txt"]);
                }
            }

            #[test]
            fn a_panic_leaves_nothing_behind() {
                let folder = $folder;
                let path = folder.path().join("a.txt");
                let result = std::panic::catch_unwind(|| atomic_write(&path, |_| panic!("in the middle")));
                assert!(result.is_err());
                assert!(sorted(folder.path()).is_empty());
            }

            #[test]
            fn a_name_that_cannot_be_taken_is_left_alone() {
                let folder = $folder;
                let path = folder.path().join("taken");
                create_dir(&path).expect("makes");
                write(&path.join("inside"), b"kept");
                let fails = |path: &Path| atomic_write(path, |_| Ok(())).is_err();
                assert!(fails(&path));
                assert_eq!(sorted(folder.path()), ["taken"]);
                assert!(fails(&folder.path().join("absent/file")));
                assert!(fails(Path::new("/")));
            }

            #[test]
            fn reading_has_a_limit() {
                let folder = $folder;
                let path = folder.path().join("a");
                write(&path, b"12345");
                assert_eq!(read_text(&path, 5).expect("fits"), "12345");
                assert!(read_text(&path, 4).expect_err("too long").to_string().contains("larger than 4 bytes"));
                write(&path, &[b'a', 0xff]);
                assert!(read_text(&path, 5).expect_err("not text").to_string().contains("UTF-8"));
                assert!(read_text(folder.path(), 5).expect_err("a folder").to_string().contains("not a plain file"));
                assert!(read_text(&folder.path().join("b"), 5).is_err());
            }

            #[test]
            fn folders_hold_what_they_should() {
                let folder = $folder;
                let deep = folder.path().join("a/b");
                assert_eq!(create_dir(&deep).expect_err("no a").kind(), ErrorKind::NotFound);
                create_dir_all(&deep).expect("makes");
                create_dir_all(&deep).expect("is there");
                assert_eq!(create_dir(&deep).expect_err("is there").kind(), ErrorKind::AlreadyExists);
                write(&deep.join("c"), b"123");
                let m = metadata(&deep.join("c")).expect("is there");
                assert!(m.is_file && !m.is_dir && m.len == 3);
                assert!(metadata(&deep).is_ok_and(|m| m.is_dir && !m.is_file));
                assert_eq!(metadata(&deep.join("d")).expect_err("is not").kind(), ErrorKind::NotFound);
                assert!(is_listed(&deep.join("c")) && !is_listed(&deep.join("d")));
                assert_eq!((sorted(folder.path()), sorted(&deep)), (vec!["a".to_owned()], vec!["c".to_owned()]));
                assert!(names(&deep.join("c")).is_err());
                assert_eq!(names(&deep.join("d")).expect_err("is not").kind(), ErrorKind::NotFound);
                assert_eq!(sync_file(&deep.join("c")).expect("syncs"), 3);
                sync_folder(&deep).expect("syncs");
                assert!(create_dir_all(&deep.join("c/d")).is_err());
            }

            #[test]
            fn names_change_hands() {
                let folder = $folder;
                let at = |name: &str| folder.path().join(name);
                create_dir(&at("one")).expect("makes");
                write(&at("one/a"), b"1");
                // A neighbour whose name goes on where the folder's ends stays where it is.
                create_dir(&at("one-more")).expect("makes");
                rename(&at("one"), &at("two")).expect("renames");
                assert_eq!(sorted(folder.path()), ["one-more", "two"]);
                assert_eq!(read(&at("two/a")).expect("reads"), b"1");
                create_dir(&at("full")).expect("makes");
                write(&at("full/b"), b"2");
                assert!(rename(&at("two"), &at("full")).is_err());
                assert_eq!(rename(&at("none"), &at("x")).expect_err("is not").kind(), ErrorKind::NotFound);
                rename(&at("full/b"), &at("two/a")).expect("replaces");
                assert_eq!(read(&at("two/a")).expect("reads"), b"2");
                copy(&at("two/a"), &at("c")).expect("copies");
                write(&at("two/a"), b"3");
                assert_eq!(read(&at("c")).expect("reads"), b"2");
                assert!(copy(&at("none"), &at("d")).is_err());
                remove_file(&at("c")).expect("removes");
                assert_eq!(remove_file(&at("c")).expect_err("gone").kind(), ErrorKind::NotFound);
                remove_dir_all(&at("two")).expect("removes");
                assert_eq!(remove_dir_all(&at("two")).expect_err("gone").kind(), ErrorKind::NotFound);
                assert_eq!(sorted(folder.path()), ["full", "one-more"]);
            }

            #[test]
            fn a_file_grows_at_its_end() {
                let folder = $folder;
                let path = folder.path().join("log");
                let mut log = Appender::open(&path).expect("opens");
                assert_eq!(read(&path).expect("is there"), b"");
                log.append(b"1\n").expect("appends");
                let mut again = Appender::open(&path).expect("opens");
                again.append(b"2\n").expect("appends");
                again.sync().expect("syncs");
                log.append(b"3\n").expect("appends");
                assert_eq!(read(&path).expect("reads"), b"1\n2\n3\n");
                assert!(Appender::open(folder.path()).is_err());
                assert!(Appender::open(&folder.path().join("absent/log")).is_err());
            }

            #[test]
            fn a_map_shows_the_file_as_it_was() {
                let folder = $folder;
                let path = folder.path().join("a");
                write(&path, b"0123456789");
                let map = Mapped::open(&path).expect("opens");
                if cfg!(unix) {
                    write(&path, b"other");
                }
                assert_eq!((map.len(), map.is_empty()), (10, false));
                assert_eq!(*map.part(2..5).expect("reads"), *b"234");
                assert_eq!(*Mapped::from(vec![7]).part(0..1).expect("reads"), [7]);
                assert!(Mapped::open(&folder.path().join("b")).is_err());
            }

            #[test]
            fn one_lock_at_a_time() {
                let folder = $folder;
                let path = folder.path().join("lock");
                let first = lock(&path).expect("locks");
                assert!(matches!(first, Locked::Ours(_)));
                assert!(matches!(lock(&path).expect("is told"), Locked::Theirs(_)));
                drop(first);
                assert!(matches!(lock(&path).expect("locks"), Locked::Ours(_)));
                assert!(lock(&folder.path().join("absent/lock")).is_err());
            }
        }
    };
}

same_tests!(on_disk, disk, tempfile::tempdir().expect("a folder"));
same_tests!(in_memory, memory, InMemory::new());

/// A folder in the tree; each test has a thread and so a tree of its own.
struct InMemory;

impl InMemory {
    fn new() -> Self {
        memory::create_dir_all(Path::new("/some/folder")).expect("makes");
        Self
    }

    fn path(&self) -> &Path {
        Path::new("/some/folder")
    }
}

/// The changes as words, with what was written.
fn told() -> Vec<String> {
    let show = |path: PathBuf, content: &memory::Content, from: u64| {
        let bytes = content.part(from as usize..content.len() as usize).expect("reads").into_owned();
        format!("{}={}", path.display(), String::from_utf8_lossy(&bytes))
    };
    let told = memory::take_changes().into_iter().map(|change| match change {
        Change::Written { path, content } => show(path, &content, 0),
        Change::Appended { path, from, content } => format!("+{from} {}", show(path, &content, from)),
        Change::Removed { path } => format!("-{}", path.display()),
    });
    told.collect()
}

fn write(path: &str, text: &str) {
    let path = Path::new(path);
    memory::atomic_write(path, |w| w.write_all(text.as_bytes()).map_err(Error::io(path))).expect("writes");
}

#[test]
fn changes_are_told_once_and_in_order() {
    memory::put(Path::new("/model/config.json"), b"{}".to_vec()).expect("puts");
    memory::create_dir_all(Path::new("run")).expect("makes");
    assert!(told().is_empty(), "what the page put there is no news");
    let mut log = memory::Appender::open(Path::new("run/log")).expect("opens");
    log.append(b"1").expect("appends");
    write("run/b", "x");
    write("run/a", "x");
    write("run/b", "y");
    assert_eq!(told(), ["/run/log=1", "/run/a=x", "/run/b=y"]);
    log.append(b"2").expect("appends");
    log.append(b"3").expect("appends");
    assert_eq!(told(), ["+1 /run/log=23"]);
    assert!(told().is_empty());
    memory::remove_file(Path::new("/run/a")).expect("removes");
    log.append(b"4").expect("appends");
    write("run/log", "new");
    assert_eq!(told(), ["-/run/a", "/run/log=new"]);
}

#[test]
fn a_renamed_folder_arrives_before_the_old_one_goes() {
    memory::create_dir_all(Path::new("/run/.new")).expect("makes");
    write("/run/.new/arena", "1");
    write("/run/.new/state", "2");
    memory::rename(Path::new("/run/.new"), Path::new("/run/step")).expect("renames");
    assert_eq!(told(), ["/run/step/arena=1", "/run/step/state=2", "-/run/.new"]);
    // Replaced, as a checkpoint of the same step is.
    memory::create_dir(Path::new("/run/.new")).expect("makes");
    write("/run/.new/arena", "3");
    memory::rename(Path::new("/run/step"), Path::new("/run/.old")).expect("renames");
    memory::rename(Path::new("/run/.new"), Path::new("/run/step")).expect("renames");
    memory::remove_dir_all(Path::new("/run/.old")).expect("removes");
    assert_eq!(told(), ["-/run/step", "/run/step/arena=3", "-/run/.new", "-/run/.old"]);
}

#[test]
fn paths_have_one_form() {
    memory::put(Path::new("a/./b/../c"), b"1".to_vec()).expect("puts");
    assert_eq!(memory::files_below(Path::new("/")), [Path::new("/a/c")]);
    assert_eq!(memory::read(Path::new("/../a/c")).expect("reads"), b"1");
    assert!(memory::put(Path::new("/a/c/d"), Vec::new()).is_err());
    assert!(memory::put(Path::new("/a"), Vec::new()).is_err());
    assert!(memory::rename(Path::new("/a"), Path::new("/a/b")).is_err());
}

/// A picked file: bytes that can go away.
struct Picked(Vec<u8>);

impl Outside for Picked {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, start: u64, buffer: &mut [u8]) -> std::io::Result<()> {
        if self.0.starts_with(b"gone") {
            return Err(ErrorKind::NotFound.into());
        }
        buffer.copy_from_slice(&self.0[start as usize..start as usize + buffer.len()]);
        Ok(())
    }
}

#[test]
fn bytes_outside_are_fetched_in_parts() {
    let picked = |text: &str| Rc::new(Picked(text.as_bytes().to_vec()));
    memory::put_outside(Path::new("/big"), picked("0123456789")).expect("puts");
    let map = memory::Mapped::open(Path::new("/big")).expect("opens");
    assert_eq!((map.len(), &*map.part(3..6).expect("reads")), (10, b"345".as_slice()));
    assert_eq!(memory::read_text(Path::new("/big"), 10).expect("reads"), "0123456789");
    assert!(memory::read_text(Path::new("/big"), 9).is_err());
    memory::Appender::open(Path::new("/big")).expect("opens").append(b"x").expect("appends");
    assert_eq!(told(), ["+10 /big=x"]);
    assert_eq!(map.len(), 10);
    memory::put_outside(Path::new("/lost"), picked("gone")).expect("puts");
    assert!(memory::read(Path::new("/lost")).is_err());
    assert!(memory::Mapped::open(Path::new("/lost")).expect("opens").part(0..1).is_err());
}

#[test]
fn the_end_of_a_file_is_put_anew() {
    let path = Path::new("/put-behind/metrics.jsonl");
    memory::put_behind(path, 0, b"one\n").expect("made");
    memory::put_behind(path, 4, b"two\n").expect("grows");
    memory::put_behind(path, 4, b"three\n").expect("replaced");
    assert_eq!(memory::read(path).expect("reads"), b"one\nthree\n");
    assert_eq!(memory::put_behind(path, 99, b"far").expect_err("a gap").kind(), ErrorKind::UnexpectedEof);
}
