//! Writing a GGUF file, a part of one tensor in memory at a time.

use super::Encoding;
use super::value::{Metadata, write_text};
use crate::error::{Error, Result};
use crate::files::atomic_write;
use std::collections::HashSet;
use std::path::Path;

/// Where tensors begin: multiples of this (`general.alignment`, of which this is the default).
const ALIGNMENT: usize = 32;
const VERSION: u32 = 3;

/// A tensor that is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GgufTensor {
    /// llama.cpp's name, unique in the file.
    pub name: String,
    /// Row-major, as everywhere here; the file has it the other way round.
    pub shape: Vec<usize>,
    /// The type of its numbers.
    pub encoding: Encoding,
}

impl GgufTensor {
    /// Bytes of its numbers; `None` where they are more than memory can be.
    pub fn byte_len(&self) -> Option<usize> {
        let numbers = self.shape.iter().try_fold(1usize, |n, &side| n.checked_mul(side))?;
        numbers.checked_mul(4).map(|_| self.encoding.bytes(numbers))
    }
}

/// Takes a tensor's bytes, part by part.
pub type Sink<'a> = dyn FnMut(&[u8]) -> Result<()> + 'a;

/// Writes `path` in full or not at all (see [`atomic_write`]). `body` is asked for each tensor's bytes, in order, and hands them on part
/// by part: a model never stands in memory whole. Returns the file's length.
///
/// # Errors
/// Where a name is taken twice, a shape is too large, `body` fails or gives another number of bytes, or the disk is full.
pub fn write_gguf(
    path: &Path,
    metadata: &Metadata,
    tensors: &[GgufTensor],
    mut body: impl FnMut(&GgufTensor, &mut Sink) -> Result<()>,
) -> Result<u64> {
    let place = |name: &str| format!("{}: tensor {name:?}", path.display());
    let mut header = Vec::new();
    header.extend(b"GGUF");
    header.extend(VERSION.to_le_bytes());
    header.extend((tensors.len() as u64).to_le_bytes());
    header.extend((metadata.len() as u64).to_le_bytes());
    let mut keys = HashSet::new();
    for (key, value) in metadata {
        if !keys.insert(key) {
            return Err(Error::input(format!("{}: {key}", path.display()), "cannot be written: the key is taken", ""));
        }
        write_text(&mut header, key);
        value.write(&mut header);
    }
    let (mut names, mut offset) = (HashSet::new(), 0usize);
    for tensor in tensors {
        if !names.insert(tensor.name.as_str()) {
            return Err(Error::input(place(&tensor.name), "cannot be written: the name is taken", ""));
        }
        write_text(&mut header, &tensor.name);
        header.extend((tensor.shape.len() as u32).to_le_bytes());
        header.extend(tensor.shape.iter().rev().flat_map(|side| (*side as u64).to_le_bytes()));
        header.extend(tensor.encoding.ggml_type().to_le_bytes());
        header.extend((offset as u64).to_le_bytes());
        let next = tensor.byte_len().and_then(|len| offset.checked_add(len)?.checked_next_multiple_of(ALIGNMENT));
        let too_large = || Error::input(place(&tensor.name), format!("shape {:?} is larger than memory can be", tensor.shape), "");
        offset = next.ok_or_else(too_large)?;
    }
    header.resize(header.len().next_multiple_of(ALIGNMENT), 0);

    atomic_write(path, |writer| {
        writer.write_all(&header).map_err(Error::io(path))?;
        for tensor in tensors {
            let wanted = tensor.byte_len().unwrap_or_default();
            let mut given = 0;
            body(tensor, &mut |bytes| {
                given += bytes.len();
                writer.write_all(bytes).map_err(Error::io(path))
            })?;
            if given != wanted {
                let what = format!("shape {:?} as {} needs {wanted} bytes, but {given} were given", tensor.shape, tensor.encoding);
                return Err(Error::input(place(&tensor.name), what, ""));
            }
            let padding = given.next_multiple_of(ALIGNMENT) - given;
            writer.write_all(&[0; ALIGNMENT][..padding]).map_err(Error::io(path))?;
        }
        Ok(())
    })?;
    Ok((header.len() + offset) as u64)
}

#[cfg(test)]
mod tests {
    use super::super::Value;
    use super::*;

    fn tensor(name: &str, shape: &[usize], encoding: Encoding) -> GgufTensor {
        GgufTensor { name: name.into(), shape: shape.to_vec(), encoding }
    }

    #[test]
    fn header_and_tensors_byte_for_byte() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("m.gguf");
        let metadata = vec![("a".to_owned(), Value::U32(7)), ("b".to_owned(), Value::Texts(vec!["x".into(), "é".into()]))];
        let tensors = [tensor("t", &[2, 3], Encoding::F32), tensor("u", &[1], Encoding::F32)];
        let len = write_gguf(&path, &metadata, &tensors, |tensor, sink| {
            sink(&vec![1; tensor.byte_len().expect("small") - 1])?;
            sink(&[2])
        });
        let mut want = b"GGUF\x03\0\0\0".to_vec();
        let long = |n: u64| n.to_le_bytes();
        let short = |n: u32| n.to_le_bytes();
        want.extend([long(2), long(2)].concat());
        want.extend([&long(1)[..], b"a", &short(4), &short(7)].concat());
        want.extend([&long(1)[..], b"b", &short(9), &short(8), &long(2), &long(1), b"x", &long(2), "é".as_bytes()].concat());
        want.extend([&long(1)[..], b"t", &short(2), &long(3), &long(2), &short(0), &long(0)].concat());
        want.extend([&long(1)[..], b"u", &short(1), &long(1), &short(0), &long(32)].concat());
        want.resize(want.len().next_multiple_of(32), 0);
        want.extend([&[1; 23][..], &[2], &[0; 8], &[1, 1, 1, 2], &[0; 28]].concat());
        let got = std::fs::read(&path).expect("read");
        assert_eq!((len.expect("written"), &got), (want.len() as u64, &want));
    }

    #[test]
    fn what_cannot_be_written_leaves_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("m.gguf");
        let twice = [tensor("t", &[1], Encoding::F32), tensor("t", &[1], Encoding::F32)];
        let huge = [tensor("t", &[usize::MAX, 2], Encoding::Q8)];
        let one = [tensor("t", &[2, 32], Encoding::Q8)];
        let keys = vec![("a".to_owned(), Value::Bool(true)); 2];
        let none = Metadata::new();
        for (metadata, tensors, said) in
            [(&none, &twice[..], "taken"), (&none, &huge, "larger"), (&none, &one, "needs 68 bytes, but 4"), (&keys, &one, "key is taken")]
        {
            let error = write_gguf(&path, metadata, tensors, |_, sink| sink(&[0; 4])).expect_err("refused").to_string();
            assert!(error.contains(said), "{error}");
        }
        assert_eq!(std::fs::read_dir(folder.path()).expect("folder").count(), 0);
    }
}
