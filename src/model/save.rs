//! Writing a safetensors file, one tensor in memory at a time.

use std::borrow::Cow;
use std::collections::HashSet;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::error::{Error, Result};
use crate::files::atomic_write;

use super::tensor::Dtype;

/// What the header says about a tensor that is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorSpec {
    /// Unique in the file.
    pub name: String,
    /// The type of its elements.
    pub dtype: Dtype,
    /// Row-major.
    pub shape: Vec<usize>,
}

impl TensorSpec {
    /// A tensor's name, type and shape.
    pub fn new(name: impl Into<String>, dtype: Dtype, shape: Vec<usize>) -> Self {
        Self { name: name.into(), dtype, shape }
    }

    /// Bytes of the tensor; `None` where they are more than memory can be.
    pub fn byte_len(&self) -> Option<usize> {
        self.shape.iter().try_fold(self.dtype.size(), |bytes, &size| bytes.checked_mul(size))
    }
}

/// Writes `path` in full or not at all (see [`atomic_write`]), with `metadata` as the header's `__metadata__`.
///
/// The header is made from `tensors` alone; then `body` is asked for the little-endian bytes of each, once, in the file's order:
/// f32 first (which keeps every tensor aligned), by name within a type. A checkpoint thus never stands in memory twice.
/// transformers asks for `("format", "pt")` in the metadata. Fails if `body` does, or if it gives another number of bytes than
/// the shape has.
pub fn write_safetensors<'a>(
    path: &Path,
    tensors: &[TensorSpec],
    metadata: &[(&str, &str)],
    mut body: impl FnMut(&TensorSpec) -> Result<Cow<'a, [u8]>>,
) -> Result<()> {
    let place = |spec: &TensorSpec| format!("{}: tensor {:?}", path.display(), spec.name);
    let mut order: Vec<&TensorSpec> = tensors.iter().collect();
    order.sort_by(|a, b| b.dtype.size().cmp(&a.dtype.size()).then_with(|| a.name.cmp(&b.name)));

    let mut header = Map::new();
    if !metadata.is_empty() {
        let metadata = metadata.iter().map(|&(key, value)| (key.to_owned(), Value::from(value))).collect::<Map<_, _>>();
        header.insert("__metadata__".into(), metadata.into());
    }
    let mut names = HashSet::new();
    let mut lengths = Vec::with_capacity(order.len());
    let mut end = 0usize;
    for spec in &order {
        if spec.name == "__metadata__" || !names.insert(spec.name.as_str()) {
            return Err(Error::input(place(spec), "cannot be written: the name is taken", ""));
        }
        let start = end;
        let Some((len, next)) = spec.byte_len().and_then(|len| Some((len, start.checked_add(len)?))) else {
            return Err(Error::input(place(spec), format!("shape {:?} is larger than memory can be", spec.shape), ""));
        };
        end = next;
        lengths.push(len);
        header.insert(spec.name.clone(), json!({"dtype": spec.dtype.name(), "shape": spec.shape, "data_offsets": [start, end]}));
    }
    let mut header = Value::Object(header).to_string();
    // Spaces up to a multiple of 8: the body then starts aligned.
    header.extend(std::iter::repeat_n(' ', header.len().next_multiple_of(8) - header.len()));

    atomic_write(path, |writer| {
        writer.write_all(&(header.len() as u64).to_le_bytes()).map_err(Error::io(path))?;
        writer.write_all(header.as_bytes()).map_err(Error::io(path))?;
        for (spec, len) in order.iter().zip(lengths) {
            let bytes = body(spec)?;
            if bytes.len() != len {
                let what = format!("shape {:?} of {} needs {len} bytes, but {} were given", spec.shape, spec.dtype, bytes.len());
                return Err(Error::input(place(spec), what, ""));
            }
            writer.write_all(&bytes).map_err(Error::io(path))?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::container::SafetensorsFile;

    fn specs() -> Vec<TensorSpec> {
        vec![
            TensorSpec::new("z", Dtype::BF16, vec![3]),
            TensorSpec::new("b", Dtype::F32, vec![2, 1]),
            TensorSpec::new("a", Dtype::F32, vec![1]),
            TensorSpec::new("é \"quoted\"", Dtype::F16, vec![0, 4]),
        ]
    }

    fn bytes(spec: &TensorSpec) -> Vec<u8> {
        (0..spec.byte_len().expect("small")).map(|i| i as u8 ^ spec.name.as_bytes()[0]).collect()
    }

    #[test]
    fn what_is_written_reads_back_here_and_in_the_safetensors_crate() {
        let folder = tempfile::tempdir().expect("tempdir");
        let path = folder.path().join("m.safetensors");
        let mut asked = Vec::new();
        write_safetensors(&path, &specs(), &[("format", "pt"), ("step", "7")], |spec| {
            asked.push(spec.name.clone());
            Ok(Cow::Owned(bytes(spec)))
        })
        .expect("write");
        assert_eq!(asked, ["a", "b", "z", "é \"quoted\""]);

        let file = SafetensorsFile::open(&path).expect("open");
        let raw = std::fs::read(&path).expect("read");
        let theirs = safetensors::SafeTensors::deserialize(&raw).expect("theirs");
        for spec in specs() {
            let view = file.tensor(&spec.name).expect("tensor");
            assert_eq!((view.dtype, &view.shape, &*view.bytes), (spec.dtype, &spec.shape, bytes(&spec).as_slice()));
            assert_eq!(theirs.tensor(&spec.name).expect("tensor").data(), bytes(&spec));
        }
        assert_eq!(file.metadata().get("step").map(String::as_str), Some("7"));
        assert!(raw.len().is_multiple_of(2) && theirs.len() == 4);
    }

    #[test]
    fn a_file_may_be_rewritten_from_itself() {
        let folder = tempfile::tempdir().expect("tempdir");
        let path = folder.path().join("m.safetensors");
        write_safetensors(&path, &specs(), &[], |spec| Ok(Cow::Owned(bytes(spec)))).expect("write");
        let before = std::fs::read(&path).expect("read");
        // Windows does not replace a mapped file.
        if cfg!(unix) {
            let file = SafetensorsFile::open(&path).expect("open");
            write_safetensors(&path, &specs(), &[], |spec| Ok(file.tensor(&spec.name)?.bytes)).expect("rewrite");
        }
        assert_eq!(std::fs::read(&path).expect("read"), before);
    }

    #[test]
    fn a_failure_leaves_the_old_file() {
        let folder = tempfile::tempdir().expect("tempdir");
        let path = folder.path().join("m.safetensors");
        std::fs::write(&path, b"old").expect("write");
        let mut calls = 0;
        let failed = write_safetensors(&path, &specs(), &[], |spec| {
            calls += 1;
            if calls == 3 { Err(Error::device("lost", "")) } else { Ok(Cow::Owned(bytes(spec))) }
        });
        assert!(failed.expect_err("third tensor").to_string().contains("lost"));
        let short = write_safetensors(&path, &specs(), &[], |_| Ok(Cow::Borrowed(&[0u8; 4])));
        assert!(short.expect_err("second tensor").to_string().contains("needs 8 bytes, but 4"));
        for bad in [
            vec![TensorSpec::new("a", Dtype::F32, vec![1]), TensorSpec::new("a", Dtype::F16, vec![1])],
            vec![TensorSpec::new("__metadata__", Dtype::F32, vec![1])],
            vec![TensorSpec::new("a", Dtype::F32, vec![usize::MAX, 2])],
            vec![TensorSpec::new("a", Dtype::F16, vec![usize::MAX / 2]), TensorSpec::new("b", Dtype::F16, vec![usize::MAX / 2])],
        ] {
            assert!(write_safetensors(&path, &bad, &[], |_| Ok(Cow::Borrowed(&[]))).is_err());
        }
        assert_eq!(std::fs::read(&path).expect("read"), b"old");
        assert_eq!(std::fs::read_dir(folder.path()).expect("folder").count(), 1);
    }
}
