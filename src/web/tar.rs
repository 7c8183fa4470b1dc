//! Many files as one, for a visitor who takes a folder with them: the tar format (ustar), which every system unpacks.

use crate::error::{Error, Result};

const BLOCK: usize = 512;

/// Files by name, in one. Names have `/` between folders.
///
/// # Errors
/// Where a name is too long for the format.
pub fn pack(files: &[(String, Vec<u8>)]) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(files.iter().map(|(_, bytes)| BLOCK + bytes.len().next_multiple_of(BLOCK)).sum::<usize>() + 2 * BLOCK);
    for (name, bytes) in files {
        out.extend(header(name, bytes.len())?);
        out.extend(bytes);
        out.resize(out.len().next_multiple_of(BLOCK), 0);
    }
    out.resize(out.len() + 2 * BLOCK, 0);
    Ok(out)
}

fn header(name: &str, size: usize) -> Result<[u8; BLOCK]> {
    let mut header = [0; BLOCK];
    let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    let (before, last) = split(name)
        .ok_or_else(|| Error::input(name, "the name is too long to be put into a .tar file", "name the run's folder shorter"))?;
    put(0, last);
    put(100, "0000644");
    // Owner and group: nobody's.
    put(108, "0000000");
    put(116, "0000000");
    put(124, &format!("{size:011o}"));
    // The time: none, so that the same files give the same bytes.
    put(136, "00000000000");
    // The sum counts its own field as spaces.
    put(148, "        ");
    put(156, "0");
    put(257, "ustar");
    put(263, "00");
    put(345, before);
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    Ok(header)
}

/// A name in the format's two fields: up to 155 bytes, a slash that is left out, up to 100.
fn split(name: &str) -> Option<(&str, &str)> {
    if name.len() <= 100 {
        return Some(("", name));
    }
    name.match_indices('/').map(|(at, _)| (&name[..at], &name[at + 1..])).find(|(before, last)| before.len() <= 155 && last.len() <= 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_unpacks_it() {
        let long = format!("{}/{}/z", "x".repeat(90), "y".repeat(40));
        let files = [("a/one.txt".to_owned(), b"one".to_vec()), ("a/two".to_owned(), vec![7; 1000]), (long.clone(), Vec::new())];
        let packed = pack(&files).expect("packs");
        assert_eq!(packed.len() % BLOCK, 0);
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("all.tar"), &packed).expect("writes");
        let Ok(status) = std::process::Command::new("tar").args(["xf", "all.tar"]).current_dir(folder.path()).status() else { return };
        assert!(status.success());
        for (name, bytes) in &files {
            assert_eq!(&std::fs::read(folder.path().join(name)).expect("is there"), bytes);
        }
        assert!(pack(&[("n".repeat(101), Vec::new())]).expect_err("refused").to_string().contains("too long"));
    }
}
