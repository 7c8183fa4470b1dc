//! One safetensors file: what is read is what the format's own crate reads.

use super::told;
use diablo::model::{Dtype, SafetensorsFile};
use safetensors::SafeTensors;
use std::path::Path;

pub fn read(_: &Path, bytes: &[u8]) {
    let Some(file) = told(SafetensorsFile::from_bytes("file", bytes.to_vec())) else { return };
    let theirs = SafeTensors::deserialize(bytes).ok();
    let mut all = 0;
    for name in file.names() {
        let other = theirs.as_ref().map(|t| t.tensor(name).expect("a tensor that is only here"));
        let Some(tensor) = told(file.tensor(name)) else {
            assert!(other.is_none_or(|t| Dtype::from_safetensors(t.dtype()).is_none()), "{name:?} is refused");
            continue;
        };
        if let Some(other) = other {
            assert_eq!((&*tensor.bytes, &tensor.shape[..]), (other.data(), other.shape()), "{name:?}");
        }
        let values = tensor.to_f32();
        assert_eq!(values.len(), tensor.shape.iter().product::<usize>(), "{name:?}");
        let half = values.len() / 2;
        let slice = file.stored(name).and_then(|stored| Ok(stored.read_slice(half..values.len())?.to_f32())).expect("is there");
        assert!(slice.iter().zip(&values[half..]).all(|(a, b)| a.to_bits() == b.to_bits()), "{name:?}");
        all += tensor.bytes.len() as u64;
    }
    assert!(all <= file.tensor_bytes() && file.tensor_bytes() <= bytes.len() as u64);
}
