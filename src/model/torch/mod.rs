//! Tensors of a file that `torch.save` wrote, read without running anything in it.
//!
//! Such a file is a zip archive of uncompressed members: `NAME/data.pkl` is a pickle that describes the tensors, `NAME/data/KEY` the
//! numbers of each storage. A pickle is a program; [`pickle`] knows the few instructions that a dictionary of tensors needs and the
//! few names that torch gives them, and refuses all others by name. Nothing is unpacked to a disk.

pub mod pickle;
mod zip;

use super::tensor::{Dtype, TensorView};
use crate::error::{Error, Result};
use crate::files::{self, Mapped};
use pickle::Described;
use std::collections::BTreeMap;
use std::path::Path;
use zip::Archive;

/// The largest description that is read; a model's has some hundred bytes a tensor.
const DESCRIPTION_LIMIT: usize = 64 << 20;

/// An open file of tensors.
#[derive(Debug)]
pub struct TorchFile {
    place: String,
    archive: Archive,
    /// What stands before `data.pkl` and `data/` in the members' names.
    folder: String,
    tensors: BTreeMap<String, Described>,
}

impl TorchFile {
    /// Opens a file and reads its description; the numbers stay where they are.
    ///
    /// # Errors
    /// Names what the file holds that is no tensor, or where it is damaged.
    pub fn open(path: &Path) -> Result<Self> {
        let place = path.display().to_string();
        // Asked before opening: opening a pipe would wait for ever.
        if !files::metadata(path).map_err(Error::io(path))?.is_file {
            return Err(Error::input(place, "is not a plain file", ""));
        }
        Self::checked(place, Mapped::open(path).map_err(Error::io(path))?)
    }

    /// Checks a file that is already in memory; `place` names it in errors.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn from_bytes(place: &str, bytes: Vec<u8>) -> Result<Self> {
        Self::checked(place.to_owned(), Mapped::from(bytes))
    }

    fn checked(place: String, bytes: Mapped) -> Result<Self> {
        let archive = Archive::open(&place, bytes)?;
        let name = archive.names().find(|n| n.ends_with("/data.pkl") && n.matches('/').count() == 1).map(str::to_owned);
        let Some(name) = name else {
            return Err(Error::input(place, "is a zip archive without NAME/data.pkl, so torch.save did not write it", ""));
        };
        let folder = name.trim_end_matches("data.pkl").to_owned();
        if let Some(order) = archive.member(&format!("{folder}byteorder"), 16)?
            && *order != *b"little"
        {
            return Err(Error::input(place, "was written on a machine with another order of bytes", "save it on a little-endian machine"));
        }
        let description = archive.member(&name, DESCRIPTION_LIMIT)?.unwrap_or_default();
        let tensors = pickle::tensors(&format!("{place}: {name}"), &description)?;
        Ok(Self { place, archive, folder, tensors })
    }

    /// How errors name this file: its path.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// A tensor's shape, if it is there.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|t| t.shape.as_slice())
    }

    /// The tensor of that name with its numbers.
    ///
    /// # Errors
    /// Where it is not there, or its storage is not as long as the description says.
    pub fn tensor(&self, name: &str) -> Result<TensorView<'_>> {
        let Some((name, t)) = self.tensors.get_key_value(name) else {
            return Err(Error::input(&self.place, format!("holds no tensor {name:?}"), ""));
        };
        let wrong = |what: String| Error::input(format!("{}: tensor {name:?}", self.place), what, "");
        let member = format!("{}data/{}", self.folder, t.storage);
        let size = t.dtype.size();
        let stored =
            self.archive.member(&member, usize::MAX)?.ok_or_else(|| wrong(format!("its numbers, {member}, are not in the file")))?;
        if t.stored.checked_mul(size) != Some(stored.len()) {
            return Err(wrong(format!("{member} has {} bytes, and not {} numbers of {}", stored.len(), t.stored, t.dtype)));
        }
        // The description was checked: offset and count lie within what is stored.
        let range = t.offset * size..(t.offset + t.count) * size;
        let bytes = match stored {
            std::borrow::Cow::Borrowed(bytes) => std::borrow::Cow::Borrowed(&bytes[range]),
            std::borrow::Cow::Owned(bytes) => std::borrow::Cow::Owned(bytes[range].to_vec()),
        };
        Ok(TensorView { name, dtype: t.dtype, shape: t.shape.clone(), bytes })
    }
}

/// torch's name of a storage of numbers, and its type here.
fn storage(name: &str) -> Option<Dtype> {
    match name {
        "torch.FloatStorage" => Some(Dtype::F32),
        "torch.HalfStorage" => Some(Dtype::F16),
        "torch.BFloat16Storage" => Some(Dtype::BF16),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
