//! What `torch.save` wrote. With a first byte of 0 the whole archive follows, otherwise its pickle alone: an archive's places follow from
//! lengths, which hardly any change of a pickle leaves as they are.

use super::{seeds, tiny, told};
use diablo::adapter::authors;
use diablo::model::TorchFile;
use std::path::Path;

pub fn read(_: &Path, bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    let bytes = if *kind == 0 { bytes.to_vec() } else { seeds::archive(bytes) };
    let all = bytes.len();
    let Some(file) = told(TorchFile::from_bytes("file", bytes)) else { return };
    for name in file.names() {
        let shape = file.shape(name).expect("a name of its own");
        if let Some(tensor) = told(file.tensor(name)) {
            assert_eq!(tensor.shape, shape);
            assert!(tensor.bytes.len() <= all);
            assert_eq!(tensor.to_f32().len(), shape.iter().product::<usize>());
        }
    }
    told(authors::read(&file, tiny()));
}
