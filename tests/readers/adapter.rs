//! An adapter of peft's shape for a tiny model: what is read, written and read again, is the same.

use super::{put, tiny, told};
use diablo::adapter::{AdapterFile, Kind, shira};
use std::path::Path;

pub fn read(folder: &Path, bytes: &[u8]) {
    put(folder, ["adapter_config.json", "adapter_model.safetensors"], bytes);
    let Some(adapter) = told(AdapterFile::open(folder, tiny())) else { return };
    let (again, sparse) = (folder.join("again"), folder.join("sparse"));
    std::fs::create_dir_all(&again).unwrap();
    adapter.save(&again).expect("writes");
    let back = AdapterFile::open(&again, tiny()).expect("reads what it wrote");
    assert_eq!((format!("{:?}", adapter.spec), &adapter.base), (format!("{:?}", back.spec), &back.base));
    // By bits: a number that is none is not equal to itself.
    let bits = |a: &AdapterFile| a.tensors.iter().flat_map(|t| t.values.iter().map(|v| v.to_bits())).collect::<Vec<_>>();
    assert_eq!(bits(&adapter), bits(&back));
    if matches!(adapter.spec.kind, Kind::Diablo { .. }) {
        told(shira::save(&adapter, tiny(), &sparse));
        let _ = std::fs::remove_dir_all(&sparse);
    }
}
