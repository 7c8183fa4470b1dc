//! Short texts that people and pages send: names, weights and columns, a hub's answers, addresses and messages of a page.

use std::path::Path;

pub fn read(folder: &Path, bytes: &[u8]) {
    super::hub::read(folder, bytes);
    #[cfg(feature = "fuzzing")]
    super::page::read(folder, bytes);
}
