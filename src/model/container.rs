//! One safetensors file, mapped into memory and checked in full before anything in it is believed.
//!
//! The header is read here and not by the safetensors crate (whose types are used), because that crate:
//! adds to the last offset unchecked, which panics near 2^64 in a build with overflow checks; takes the last of two entries with
//! one name; and leaves the tensor's name out of most errors.
//! Format: <https://github.com/huggingface/safetensors#format>.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::Range;
use std::path::Path;

use safetensors::tensor::TensorInfo;
use serde::Deserialize;
use serde::de::{Error as _, MapAccess, Visitor};

use crate::error::{Error, Result};
use crate::files::{self, Mapped};

use super::tensor::{Dtype, StoredTensor, TensorView};

/// safetensors' own limit for the header.
const HEADER_LIMIT: u64 = 100_000_000;
/// How a file begins that only says where Git LFS has the real one.
const LFS_POINTER: &[u8] = b"version https://git-lfs";
const AGAIN: &str = "the file is damaged or was not downloaded in full; download it again";

/// An open safetensors file whose header has been checked against the file.
#[derive(Debug)]
pub struct SafetensorsFile {
    place: String,
    bytes: Mapped,
    tensors: BTreeMap<String, Entry>,
    metadata: HashMap<String, String>,
}

#[derive(Debug)]
struct Entry {
    dtype: safetensors::Dtype,
    shape: Vec<usize>,
    /// Within the whole file.
    range: Range<usize>,
}

impl SafetensorsFile {
    /// Maps and checks a file.
    pub fn open(path: &Path) -> Result<Self> {
        let place = path.display().to_string();
        let metadata = files::metadata(path).map_err(Error::io(path))?;
        // Asked before opening: opening a pipe would wait for ever.
        if !metadata.is_file {
            return Err(Error::input(place, "is not a plain file", ""));
        }
        if metadata.len < 8 {
            return Err(too_short(&place, metadata.len));
        }
        Self::checked(place, Mapped::open(path).map_err(Error::io(path))?)
    }

    /// Checks a file that is already in memory; `place` names it in errors.
    pub fn from_bytes(place: &str, bytes: Vec<u8>) -> Result<Self> {
        Self::checked(place.to_owned(), Mapped::from(bytes))
    }

    fn checked(place: String, bytes: Mapped) -> Result<Self> {
        let (tensors, metadata) = read_header(&place, &bytes)?;
        Ok(Self { place, bytes, tensors, metadata })
    }

    /// The tensor of that name with its numbers. Refuses other element types than [`Dtype`]'s.
    pub fn tensor(&self, name: &str) -> Result<TensorView<'_>> {
        self.stored(name)?.read()
    }

    /// Where the tensor of that name lies; nothing of it is read. Refuses other element types than [`Dtype`]'s.
    pub fn stored(&self, name: &str) -> Result<StoredTensor<'_>> {
        let Some((name, entry)) = self.tensors.get_key_value(name) else {
            return Err(Error::input(&self.place, format!("holds no tensor {name:?}"), ""));
        };
        let Some(dtype) = Dtype::from_safetensors(entry.dtype) else {
            let what = format!("has type {}; only F32, F16 and BF16 are supported", entry.dtype);
            return Err(tensor_error(&self.place, name, what, "use the model saved in bf16, f16 or f32"));
        };
        Ok(StoredTensor { file: self, name, dtype, shape: entry.shape.clone(), range: entry.range.clone(), transposed: false })
    }

    /// A part of the file, which must lie inside.
    pub(super) fn part(&self, range: Range<usize>) -> Result<std::borrow::Cow<'_, [u8]>> {
        self.bytes.part(range).map_err(Error::io(Path::new(&self.place)))
    }

    /// Whether a tensor of that name is there, of whatever type.
    pub fn contains(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// The `__metadata__` of the header; empty where there is none.
    pub fn metadata(&self) -> &HashMap<String, String> {
        &self.metadata
    }

    /// Bytes of all tensors together.
    pub fn tensor_bytes(&self) -> u64 {
        self.tensors.values().map(|entry| entry.range.len() as u64).sum()
    }

    /// How errors name this file: its path.
    pub fn place(&self) -> &str {
        &self.place
    }
}

fn too_short(place: &str, len: u64) -> Error {
    Error::input(place, format!("is {len} bytes long, too short for a safetensors file"), AGAIN)
}

fn tensor_error(place: &str, name: &str, what: impl Into<String>, hint: &str) -> Error {
    Error::input(format!("{place}: tensor {name:?}"), what, hint)
}

type Tensors = BTreeMap<String, Entry>;

/// Checks everything: what this lets through can be sliced without a further look.
fn read_header(place: &str, bytes: &Mapped) -> Result<(Tensors, HashMap<String, String>)> {
    let part = |range: Range<usize>| bytes.part(range).map_err(Error::io(Path::new(place)));
    let start = part(0..bytes.len().min(LFS_POINTER.len()))?;
    if *start == *LFS_POINTER {
        return Err(Error::input(place, "is a Git LFS pointer, not the file itself", "run `git lfs pull` in the model's folder"));
    }
    let Some(length) = start.first_chunk() else { return Err(too_short(place, bytes.len() as u64)) };
    let length = u64::from_le_bytes(*length);
    if length > HEADER_LIMIT {
        let what = format!("claims a header of {length} bytes, above the limit of {HEADER_LIMIT}; it is not a safetensors file");
        return Err(Error::input(place, what, AGAIN));
    }
    let length = length as usize;
    let rest = bytes.len() - 8;
    let Some(body) = rest.checked_sub(length) else {
        let what = format!("claims a header of {length} bytes, but only {rest} follow");
        return Err(Error::input(place, what, AGAIN));
    };
    let header: Header = serde_json::from_slice(&part(8..8 + length)?)
        .map_err(|error| Error::input(place, format!("has a header that is not valid: {error}"), AGAIN))?;

    let mut entries = header.tensors;
    entries.sort_by_key(|(_, info)| info.data_offsets);
    let mut covered = 0;
    let mut tensors = BTreeMap::new();
    for (name, TensorInfo { dtype, shape, data_offsets: (start, end) }) in entries {
        let error = |what: String| tensor_error(place, &name, what, AGAIN);
        if end < start {
            return Err(error(format!("ends at byte {end}, before its start at {start}")));
        }
        if end > body {
            return Err(error(format!("ends at byte {end}, but the file holds only {body} bytes of tensors")));
        }
        if start < covered {
            return Err(error(format!("starts at byte {start}, inside the tensor before it, which ends at {covered}")));
        }
        if start > covered {
            return Err(error(format!("starts at byte {start}; bytes {covered} to {start} belong to no tensor")));
        }
        let bits = shape.iter().try_fold(dtype.bitsize(), |bits, &size| bits.checked_mul(size));
        // A zero after an overflow would make a size of zero, but no such tensor is real.
        let Some(bits) = bits else { return Err(error(format!("shape {shape:?} of {dtype} is larger than memory can be"))) };
        if !bits.is_multiple_of(8) || bits / 8 != end - start {
            return Err(error(format!("shape {shape:?} of {dtype} does not fill the {} bytes it has", end - start)));
        }
        covered = end;
        let offset = 8 + length;
        if tensors.contains_key(&name) {
            return Err(error("is there twice".into()));
        }
        tensors.insert(name, Entry { dtype, shape, range: offset + start..offset + end });
    }
    if covered != body {
        return Err(Error::input(place, format!("has {} bytes after its last tensor", body - covered), AGAIN));
    }
    Ok((tensors, header.metadata))
}

/// The header as written: in order, with what occurs twice still there twice.
struct Header {
    metadata: HashMap<String, String>,
    tensors: Vec<(String, TensorInfo)>,
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_map(HeaderVisitor)
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = Header;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Header, A::Error> {
        let mut header = Header { metadata: HashMap::new(), tensors: Vec::new() };
        while let Some(name) = map.next_key::<String>()? {
            if name == "__metadata__" {
                header.metadata = map.next_value::<Option<_>>()?.unwrap_or_default();
            } else {
                // The name goes into the error: serde's own says only line and column of a header that is one line.
                let info = map.next_value().map_err(|error| A::Error::custom(format_args!("tensor {name:?}: {error}")))?;
                header.tensors.push((name, info));
            }
        }
        Ok(header)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A file with this header over a body of zeros.
    pub fn file(header: &str, body: usize) -> Vec<u8> {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(header.as_bytes());
        bytes.resize(bytes.len() + body, 0);
        bytes
    }

    const TWO: &str = r#"{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"b":{"dtype":"BF16","shape":[4],"data_offsets":[24,32]}}"#;

    fn refused(bytes: Vec<u8>) -> String {
        SafetensorsFile::from_bytes("f", bytes).expect_err("must be refused").to_string()
    }

    #[test]
    fn a_good_file_opens() {
        let file = SafetensorsFile::from_bytes("f", file(TWO, 32)).expect("valid");
        assert_eq!(file.names().collect::<Vec<_>>(), ["a", "b"]);
        let a = file.tensor("a").expect("a");
        assert_eq!((a.name, a.dtype, a.shape.as_slice(), a.bytes.len()), ("a", Dtype::F32, [2, 3].as_slice(), 24));
        assert_eq!(file.tensor("b").expect("b").to_f32(), [0.0; 4]);
        assert_eq!(file.tensor_bytes(), 32);
        assert_eq!(file.metadata().get("format").map(String::as_str), Some("pt"));
        assert!(file.tensor("c").expect_err("absent").to_string().contains("no tensor \"c\""));
    }

    #[test]
    fn empty_tensors_and_scalars_are_fine() {
        let header = r#"{"e":{"dtype":"F32","shape":[0,7],"data_offsets":[0,0]},"s":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}  "#;
        let file = SafetensorsFile::from_bytes("f", file(header, 4)).expect("valid");
        assert!(file.tensor("e").expect("e").to_f32().is_empty());
        assert_eq!(file.tensor("s").expect("s").to_f32(), [0.0]);
        SafetensorsFile::from_bytes("f", tests::file("{}", 0)).expect("no tensors");
    }

    #[test]
    fn other_types_are_refused_by_name() {
        let header = r#"{"q":{"dtype":"I8","shape":[4],"data_offsets":[0,4]}}"#;
        let file = SafetensorsFile::from_bytes("f", file(header, 4)).expect("valid");
        let error = file.tensor("q").expect_err("I8").to_string();
        assert!(error.contains("f: tensor \"q\"") && error.contains("I8"), "{error}");
    }

    #[test]
    fn hostile_files_are_refused() {
        for (bytes, words) in [
            (vec![], "too short"),
            (vec![0; 7], "too short"),
            (0u64.to_le_bytes().to_vec(), "header that is not valid"),
            (u64::MAX.to_le_bytes().to_vec(), "above the limit"),
            (100_000_001u64.to_le_bytes().to_vec(), "above the limit"),
            (100u64.to_le_bytes().to_vec(), "only 0 follow"),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n".to_vec(), "Git LFS"),
            (b"<!DOCTYPE html><html>not found</html>".to_vec(), "not a safetensors file"),
            (file("not json", 0), "header that is not valid"),
            (file("[]", 0), "header that is not valid"),
            (file("{} {}", 0), "header that is not valid"),
            (file("\u{feff}{}", 0), "header that is not valid"),
            (file(TWO, 31), "holds only 31"),
            (file(TWO, 33), "1 bytes after"),
            (file(r#"{"__metadata__":{"a":1}}"#, 0), "header that is not valid"),
            (file(r#"{"a":{"dtype":"F99","shape":[1],"data_offsets":[0,4]}}"#, 4), "tensor \"a\""),
            (file(r#"{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}"#, 4), "tensor \"a\""),
            (file(r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,8]}}"#, 4), "tensor \"a\""),
            (file(r#"{"a":{"dtype":"F32","shape":[1]}}"#, 4), "data_offsets"),
            (file(r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}"#, 4), "before its start"),
            (file(r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}"#, 4), "does not fill"),
            (file(r#"{"a":{"dtype":"F4","shape":[3],"data_offsets":[0,1]}}"#, 1), "does not fill"),
            (file(r#"{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]}}"#, 4), "larger than memory"),
            (file(r#"{"a":{"dtype":"F32","shape":[4294967296,4294967296,0],"data_offsets":[0,0]}}"#, 0), "larger than memory"),
            (file(r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#, 8), "belong to no tensor"),
            (
                file(r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#, 12),
                "inside the tensor before",
            ),
            (
                file(r#"{"a":{"dtype":"F16","shape":[2],"data_offsets":[0,4]},"a":{"dtype":"BF16","shape":[2],"data_offsets":[4,8]}}"#, 8),
                "twice",
            ),
        ] {
            let error = refused(bytes);
            assert!(error.starts_with("f: ") && error.contains(words), "{words}: {error}");
        }
    }

    /// Nine tensors that end at 2^64 - 1: adding the header's length to that overflows.
    #[test]
    fn offsets_near_the_end_of_the_numbers_are_refused() {
        let step = u64::MAX / 8 - 7;
        let mut header = String::from("{");
        let mut start = 0u64;
        for i in 0..8 {
            header += &format!(
                r#"{}"t{i}":{{"dtype":"U8","shape":[{step}],"data_offsets":[{start},{}]}}"#,
                if i > 0 { "," } else { "" },
                start + step
            );
            start += step;
        }
        let last = u64::MAX - start;
        header += &format!(r#","t8":{{"dtype":"U8","shape":[{last}],"data_offsets":[{start},{}]}}}}"#, u64::MAX);
        assert!(refused(file(&header, 0)).contains("holds only 0"));
    }

    /// Deterministic damage: no panic, no trust in a damaged size, and what passes is what the safetensors crate passes too.
    #[test]
    fn twenty_thousand_mutations() {
        let good = file(TWO, 32);
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        let mut random = move |below: usize| {
            // xorshift64*
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % below
        };
        let mut passed = 0;
        for _ in 0..20_000 {
            let mut bytes = good.clone();
            for _ in 0..1 + random(3) {
                let at = random(bytes.len().max(1));
                match random(5) {
                    _ if bytes.is_empty() => bytes.push(random(256) as u8),
                    0 => bytes[at] ^= 1 << random(8),
                    1 => bytes[at] = random(256) as u8,
                    // A digit for a digit reaches the checks behind the parser.
                    2 => bytes[at] = if bytes[at].is_ascii_digit() { b'0' + random(10) as u8 } else { bytes[at] },
                    3 => bytes.truncate(at),
                    _ => bytes.insert(at, b"0123456789,[]{}\":-e"[random(19)]),
                }
            }
            if let Ok(file) = SafetensorsFile::from_bytes("f", bytes.clone()) {
                passed += 1;
                assert!(safetensors::SafeTensors::deserialize(&bytes).is_ok());
                for name in file.names() {
                    if let Ok(view) = file.tensor(name) {
                        assert_eq!(view.to_f32().len(), view.shape.iter().product::<usize>());
                    }
                }
            }
        }
        // Flips in the body and in names pass; most others do not.
        assert!((500..15_000).contains(&passed), "{passed} passed");
    }
}
