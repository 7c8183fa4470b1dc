//! What is kept between runs, in the system's folder for caches: compiled pipelines, and which kernels a device runs fastest. It is a
//! convenience: what cannot be read is made again, what cannot be written is not kept, and each device, driver and version of the
//! program has its own.

use super::adapters::{AdapterReport, Gpu};
use crate::files;
use std::path::{Path, PathBuf};

/// FNV-1a, 64 bits: tells a file that is not as it was written.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3))
}

/// Where a device's file of that name stands.
pub(super) fn path(r: &AdapterReport, name: &str) -> Option<PathBuf> {
    let device = format!("{}, {}, {}, {}", r.name, r.backend, r.driver, env!("CARGO_PKG_VERSION"));
    Some(dirs::cache_dir()?.join("diablo").join(format!("{name}-{:016x}", hash(device.as_bytes()))))
}

/// What was kept under a name for a device, whole; none where nothing was, or it was damaged.
pub(super) fn read(adapter: &AdapterReport, name: &str) -> Option<Vec<u8>> {
    checked(&files::read(&path(adapter, name)?).ok()?)
}

/// Keeps bytes.
pub(super) fn write(gpu: &Gpu, name: &str, bytes: &[u8]) {
    if let Some(path) = path(gpu.report(), name) {
        write_to(&path, bytes);
    }
}

fn write_to(path: &Path, bytes: &[u8]) {
    if path.parent().is_some_and(|folder| files::create_dir_all(folder).is_ok()) {
        let _ = files::atomic_write_bytes(path, &sealed(bytes));
    }
}

fn sealed(bytes: &[u8]) -> Vec<u8> {
    [&hash(bytes).to_le_bytes()[..], bytes].concat()
}

fn checked(file: &[u8]) -> Option<Vec<u8>> {
    let (seal, bytes) = file.split_first_chunk::<8>()?;
    (hash(bytes) == u64::from_le_bytes(*seal)).then(|| bytes.to_vec())
}

/// The driver's own form of compiled pipelines. They are kept when the device is given up.
pub(super) struct PipelineCache {
    cache: wgpu::PipelineCache,
    path: Option<PathBuf>,
    /// The hash of what was read.
    before: u64,
}

const PIPELINES: &str = "pipelines";

impl PipelineCache {
    /// What was kept of a device's pipelines; none where the driver keeps none.
    pub fn open(gpu: &Gpu) -> Option<Self> {
        if !gpu.device.features().contains(wgpu::Features::PIPELINE_CACHE) {
            return None;
        }
        let data = read(gpu.report(), PIPELINES);
        let descriptor = wgpu::PipelineCacheDescriptor { label: Some("diablo"), data: data.as_deref(), fallback: true };
        // SAFETY: the data come from `get_data` of this device, driver and version, in a file of ours whose hash is right; wgpu and the
        // driver check their own headers on top of that.
        let cache = unsafe { gpu.device.create_pipeline_cache(&descriptor) };
        Some(Self { cache, path: path(gpu.report(), PIPELINES), before: data.as_deref().map_or(0, hash) })
    }

    /// For pipeline descriptors.
    pub fn get(&self) -> &wgpu::PipelineCache {
        &self.cache
    }
}

impl Drop for PipelineCache {
    fn drop(&mut self) {
        let Some((path, data)) = self.path.as_ref().zip(self.cache.get_data()) else { return };
        if hash(&data) != self.before {
            write_to(path, &data);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_is_noticed() {
        let file = sealed(b"compiled");
        assert_eq!(checked(&file).as_deref(), Some(&b"compiled"[..]));
        for i in 0..file.len() {
            let mut other = file.clone();
            other[i] ^= 1;
            assert_eq!(checked(&other), None, "byte {i}");
            assert_eq!(checked(&file[..i]), None, "cut at {i}");
        }
    }
}
