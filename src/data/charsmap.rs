//! SentencePiece's table of characters in a `tokenizer.json` (`precompiled_charsmap`, in base64), before the library believes it.
//!
//! The table begins with the size of its trie in bytes, as a little-endian number of 32 bits. The library asks for the memory of that many before it
//! looks whether they are there: up to 8 GB for a table of ten bytes.

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// That no table in `json` claims more than it has.
///
/// # Errors
/// What is wrong, in words: what is no JSON too.
pub(super) fn check(json: &[u8]) -> Result<(), serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_slice(json);
    Part { is_table: false }.deserialize(&mut reader)?;
    reader.end()
}

/// Any part of a document. All that is written is looked at, also what stands there twice under one name.
struct Part {
    is_table: bool,
}

impl<'de> DeserializeSeed<'de> for Part {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Part {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        if self.is_table && claims_too_much(text.as_bytes()) {
            return Err(E::custom("precompiled_charsmap is shorter than it says"));
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Part { is_table: false })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        while let Some(Key { is_vocabulary, is_table }) = entries.next_key()? {
            // Where nearly all of a file is, and names are tokens.
            if is_vocabulary {
                entries.next_value::<IgnoredAny>()?;
            } else {
                entries.next_value_seed(Part { is_table })?;
            }
        }
        Ok(())
    }
}

/// A name in an object.
struct Key {
    is_vocabulary: bool,
    is_table: bool,
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;

        impl Visitor<'_> for Name {
            type Value = Key;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Key, E> {
                Ok(Key { is_vocabulary: matches!(name, "vocab" | "merges"), is_table: name == "precompiled_charsmap" })
            }
        }

        deserializer.deserialize_str(Name)
    }
}

/// Whether the size at the beginning is more than what follows it. What is no base64 is left to the library.
fn claims_too_much(base64: &[u8]) -> bool {
    let six = |c: &u8| match c {
        b'A'..=b'Z' => Some(u64::from(c - b'A')),
        b'a'..=b'z' => Some(u64::from(c - b'a') + 26),
        b'0'..=b'9' => Some(u64::from(c - b'0') + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    // Six characters are 36 bits: four bytes, and four bits of the fifth.
    let Some(bits) = base64.get(..6).and_then(|first| first.iter().try_fold(0, |bits, c| Some(bits << 6 | six(c)?))) else {
        return false;
    };
    let size = ((bits >> 4) as u32).swap_bytes();
    let there = base64.len() / 4 * 3;
    u64::from(size) + 4 > there as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_what_it_claims() {
        // Sizes of 4, 8 and 0xf003c0ff bytes before eight bytes.
        for (table, fits) in
            [("BAAAAAEAAABhAGIA", true), ("CAAAAAEAAABhAGIA", true), ("CQAAAAEAAABhAGIA", false), ("BAA9/8ADAA/hAA==", false)]
        {
            for json in [
                format!(r#"{{"normalizer": {{"type": "Precompiled", "precompiled_charsmap": "{table}"}}}}"#),
                format!(r#"[1, -1.5, null, true, {{"a": [{{"precompiled_charsmap": "{table}", "precompiled_charsmap": ""}}]}}]"#),
                format!(r#"{{"precompiled\u005fcharsmap": "{table}"}}"#),
            ] {
                let said = check(json.as_bytes());
                assert_eq!(said.is_ok(), fits, "{json}: {said:?}");
            }
        }
        assert!(check(br#"{"vocab": {"precompiled_charsmap": 3}, "precompiled_charsmap": "?"}"#).is_ok());
        assert!(check(b"{").is_err() && check(b"{} {}").is_err());
    }
}
