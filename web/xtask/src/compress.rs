//! Compressed twins of the files, made once: a host that knows them sends them as they are.

use anyhow::Result;
use std::io::Write;

/// The file's bytes by gzip.
pub fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    out.write_all(bytes)?;
    Ok(out.finish()?)
}

/// The file's bytes by brotli. Its highest level costs many times more for a few per cent.
pub fn brotli(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    let parameters = brotli::enc::BrotliEncoderParams { quality: 9, lgwin: 22, ..Default::default() };
    brotli::BrotliCompress(&mut &bytes[..], &mut out, &parameters)?;
    Ok(out)
}

/// Whether a file of this name is worth it. Trained weights do not shrink.
pub fn is_worth_it(name: &str) -> bool {
    !name.ends_with(".safetensors") && !name.ends_with(".png")
}
