//! Names that change with the content, so that a browser may keep a file for ever.

/// Twelve letters and digits that depend on every byte (FNV-1a, 64 bits).
pub fn of(bytes: &[u8]) -> String {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3));
    format!("{hash:016x}")[..12].to_owned()
}

/// `name.ext` with the content's hash before its extension.
pub fn name(name: &str, bytes: &[u8]) -> String {
    let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
    let dot = if extension.is_empty() { "" } else { "." };
    format!("{stem}-{}{dot}{extension}", of(bytes))
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_follow_content() {
        assert_eq!(super::name("a.b.js", b""), "a.b-cbf29ce48422.js");
        assert_ne!(super::name("a", b"1"), super::name("a", b"2"));
    }
}
