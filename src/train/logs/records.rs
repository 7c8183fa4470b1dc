//! TFRecord's frame: length, its checksum, the bytes, their checksum.

/// Bytes in a frame. Numbers are little-endian; checksums are CRC-32C, masked so that a checksum of bytes that hold checksums stays good.
pub(super) fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let mut out = Vec::with_capacity(data.len() + 16);
    out.extend(length);
    out.extend(masked(&length).to_le_bytes());
    out.extend(data);
    out.extend(masked(data).to_le_bytes());
    out
}

/// The masked checksum: rotated by 15 bits, and a constant added.
fn masked(data: &[u8]) -> u32 {
    crc32c::crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The contents of frames, each checked.
    pub(in super::super) fn read(mut bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        while !bytes.is_empty() {
            let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"));
            let length = u64::from_le_bytes(bytes[..8].try_into().expect("8 bytes")) as usize;
            assert_eq!(word(8), masked(&bytes[..8]));
            let data = &bytes[12..12 + length];
            assert_eq!(word(12 + length), masked(data));
            all.push(data.to_vec());
            bytes = &bytes[16 + length..];
        }
        all
    }

    #[test]
    fn frames_are_those_of_the_format() {
        // CRC-32C of nine digits (RFC 3720's polynomial), and the empty frame.
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(masked(&0u64.to_le_bytes()).to_le_bytes(), [0x29, 0x03, 0x98, 0x07]);
        assert_eq!(read(&[record(b"a"), record(b""), record(b"bcd")].concat()), [&b"a"[..], b"", b"bcd"]);
    }
}
