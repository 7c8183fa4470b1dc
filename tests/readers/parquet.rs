//! Rows in Parquet.

use diablo::data::Format;
use std::path::Path;

pub fn read(folder: &Path, bytes: &[u8]) {
    let path = folder.join("rows.parquet");
    std::fs::write(&path, bytes).unwrap();
    super::rows::file(&path, Format::Auto);
}
