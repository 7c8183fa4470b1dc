//! How many diagonal blocks a layer gets: one number for all, or one for each module name.

use crate::model::modules::short;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde::ser::{Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// The key of [`Blocks::PerModule`] that stands for every module without a number of its own.
pub const DEFAULT_KEY: &str = "default";

/// The number of blocks N. Written `8` or `q_proj=8,down_proj=4,default=8`; in TOML also a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Blocks {
    /// The same number everywhere.
    One(usize),
    /// A number for each module name; `default` is for the rest.
    PerModule(BTreeMap<String, usize>),
}

impl Blocks {
    /// What was resolved, by module: one number where all are the same.
    pub fn of(blocks: &BTreeMap<&'static str, usize>) -> Self {
        let mut numbers = blocks.values();
        match numbers.next() {
            Some(first) if numbers.all(|n| n == first) => Self::One(*first),
            _ => Self::PerModule(blocks.iter().map(|(m, n)| ((*m).to_owned(), *n)).collect()),
        }
    }

    /// N for a module such as `q_proj`; `None` leaves the choice to the program.
    pub fn get(&self, module: &str) -> Option<usize> {
        match self {
            Self::One(n) => Some(*n),
            Self::PerModule(map) => [module, short(module), DEFAULT_KEY].iter().find_map(|name| map.get(*name)).copied(),
        }
    }
}

impl FromStr for Blocks {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |s: &str| s.trim().parse::<usize>().map_err(|_| format!("'{}' is no number of blocks", s.trim()));
        if !text.contains('=') {
            return number(text).map(Self::One).map_err(|e| format!("{e}; write 8, or q_proj=8,down_proj=4,default=8"));
        }
        let mut map = BTreeMap::new();
        for part in text.split(',') {
            let Some((name, n)) = part.split_once('=') else {
                return Err(format!("'{}' has no number; write it as {}=8", part.trim(), part.trim()));
            };
            if map.insert(name.trim().to_owned(), number(n)?).is_some() {
                return Err(format!("'{}' is given twice", name.trim()));
            }
        }
        Ok(Self::PerModule(map))
    }
}

impl fmt::Display for Blocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(n) => write!(f, "{n}"),
            Self::PerModule(map) => {
                let parts: Vec<String> = map.iter().map(|(k, v)| format!("{k}={v}")).collect();
                f.write_str(&parts.join(","))
            }
        }
    }
}

impl Serialize for Blocks {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::One(n) => n.serialize(s),
            Self::PerModule(map) => map.serialize(s),
        }
    }
}

impl<'de> Deserialize<'de> for Blocks {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Blocks;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a number of blocks, or a table such as { q_proj = 8, default = 4 }")
            }

            fn visit_u64<E: serde::de::Error>(self, n: u64) -> Result<Blocks, E> {
                usize::try_from(n).map(Blocks::One).map_err(E::custom)
            }

            fn visit_i64<E: serde::de::Error>(self, n: i64) -> Result<Blocks, E> {
                usize::try_from(n).map(Blocks::One).map_err(|_| E::custom(format!("{n} is no number of blocks")))
            }

            fn visit_str<E: serde::de::Error>(self, s: &str) -> Result<Blocks, E> {
                s.parse().map_err(E::custom)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Blocks, A::Error> {
                let mut out = BTreeMap::new();
                while let Some((key, n)) = map.next_entry::<String, i64>()? {
                    let n = usize::try_from(n).map_err(|_| A::Error::custom(format!("{key}: {n} is no number of blocks")))?;
                    out.insert(key, n);
                }
                Ok(Blocks::PerModule(out))
            }
        }
        d.deserialize_any(Any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number_or_many() {
        assert_eq!("8".parse(), Ok(Blocks::One(8)));
        let many: Blocks = "q_proj=8, down_proj=4,default=2".parse().expect("parses");
        assert_eq!((many.get("q_proj"), many.get("down_proj"), many.get("up_proj")), (Some(8), Some(4), Some(2)));
        assert_eq!(many.to_string().parse::<Blocks>(), Ok(many));
        assert_eq!("q_proj=8".parse::<Blocks>().map(|b| b.get("k_proj")), Ok(None));
    }

    #[test]
    fn nonsense_is_named() {
        for (text, part) in
            [("eight", "'eight'"), ("q_proj=8,down_proj", "'down_proj' has no number"), ("a=1,a=2", "twice"), ("q=-1", "'-1'"), ("", "''")]
        {
            let e = text.parse::<Blocks>().expect_err(text);
            assert!(e.contains(part), "{text}: {e}");
        }
    }
}
