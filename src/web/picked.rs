//! A file that the visitor picked, or one in the browser's storage: read in parts, in the worker, as it is asked for.

use crate::files::memory::Outside;
use std::io::{Error, ErrorKind};
use web_sys::{Blob, FileReaderSync};

/// Bytes that the browser holds.
pub struct Picked {
    blob: Blob,
    reader: FileReaderSync,
}

impl Picked {
    /// The bytes of a `Blob` or `File`. Only a worker may read them so.
    pub fn new(blob: Blob) -> Option<Self> {
        Some(Self { blob, reader: FileReaderSync::new().ok()? })
    }
}

impl Outside for Picked {
    fn size(&self) -> u64 {
        self.blob.size() as u64
    }

    fn read_at(&self, start: u64, buffer: &mut [u8]) -> std::io::Result<()> {
        // The browser's reason is a name such as NotReadableError: the file was changed or moved since it was picked.
        let gone = |_| Error::new(ErrorKind::NotFound, "the browser cannot read it any more; pick it again");
        let end = start + buffer.len() as u64;
        let part = self.blob.slice_with_f64_and_f64(start as f64, end as f64).map_err(gone)?;
        let bytes = js_sys::Uint8Array::new(&self.reader.read_as_array_buffer(&part).map_err(gone)?.into());
        if bytes.length() as usize != buffer.len() {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        bytes.copy_to(buffer);
        Ok(())
    }
}
