//! How much of a device's memory a run may take.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// Bytes with the text that a person wrote for them, such as `4GiB`, `900 MB` or `0.5g`; a number alone is bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    text: String,
    bytes: u64,
}

impl Budget {
    /// What it comes to.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl FromStr for Budget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("'{text}' is no amount of memory; write 4GiB, 900MB or 0.5GiB");
        let trimmed = text.trim();
        let split = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
        let number: f64 = trimmed[..split].parse().map_err(|_| wrong())?;
        let unit = match trimmed[split..].trim().to_ascii_lowercase().as_str() {
            "" | "b" => 1.0,
            "k" | "kib" => 1024.0,
            "m" | "mib" => 1024.0 * 1024.0,
            "g" | "gib" => 1024.0 * 1024.0 * 1024.0,
            "t" | "tib" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
            "kb" => 1e3,
            "mb" => 1e6,
            "gb" => 1e9,
            "tb" => 1e12,
            _ => return Err(wrong()),
        };
        // 2^60: more than any machine has, and far from where a float stops to count bytes.
        let bytes = number * unit;
        if !(1.0..=1.152_921_504_606_847e18).contains(&bytes) {
            return Err(wrong());
        }
        Ok(Self { text: trimmed.to_owned(), bytes: bytes as u64 })
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Budget {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        self.text.serialize(s)
    }
}

impl<'de> Deserialize<'de> for Budget {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_as_people_write_them() {
        let bytes = |text: &str| text.parse::<Budget>().map(|b| b.bytes());
        assert_eq!(bytes("4GiB"), Ok(4 << 30));
        assert_eq!(bytes(" 0.5 g "), Ok(512 << 20));
        assert_eq!(bytes("900MB"), Ok(900_000_000));
        assert_eq!(bytes("1048576"), Ok(1 << 20));
        for wrong in ["", "GiB", "-1GiB", "4 bananas", "0", "1e30", "nan", "99999999999TiB", "1.2.3g"] {
            assert!(bytes(wrong).is_err_and(|e| e.contains("4GiB")), "{wrong}");
        }
    }

    #[test]
    fn the_text_is_kept() {
        let budget: Budget = toml::from_str::<std::collections::BTreeMap<String, Budget>>("m = '3.7 GiB'").expect("reads")["m"].clone();
        assert_eq!(budget.to_string(), "3.7 GiB");
        assert_eq!(serde_json::to_string(&budget).expect("writes"), "\"3.7 GiB\"");
    }
}
