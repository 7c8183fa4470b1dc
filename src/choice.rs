//! Options that are one of a few words: the word is the same on the command line, in `run.toml` and in messages.

/// An option with a fixed list of words.
pub trait Choice: Sized + Copy + Send + Sync + 'static {
    /// Every word, in the order in which help shows them.
    const WORDS: &'static [&'static str];

    /// The value that a word names.
    fn from_word(word: &str) -> Option<Self>;
}

/// Declares an enum with its words: [`Choice`], `Display`, `FromStr` and serde all use the same ones.
macro_rules! choice {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        pub enum $name { $($(#[$vmeta])* #[serde(rename = $word)] $variant),+ }

        impl $crate::choice::Choice for $name {
            const WORDS: &'static [&'static str] = &[$($word),+];

            fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(match self { $(Self::$variant => $word),+ })
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;

            fn from_str(word: &str) -> std::result::Result<Self, String> {
                <Self as $crate::choice::Choice>::from_word(word).ok_or_else(|| format!("'{word}' is none of {}", [$($word),+].join(", ")))
            }
        }
    };
}
pub(crate) use choice;

/// The known word nearest to a mistyped one, if any is near enough to be meant.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |s: &str| s.to_lowercase().replace('-', "_");
    let word = plain(word);
    known
        .into_iter()
        .map(|k| (distance(&word, &plain(k)), k))
        .filter(|&(d, k)| d <= 1.max(k.len().max(word.len()) / 3))
        .min_by_key(|&(d, _)| d)
        .map(|(_, k)| k)
}

/// Edits (insert, delete, replace, swap of neighbours) between two words.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut d = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            d[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let swap = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
                let replace = d[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let near = replace.min(d[i - 1][j] + 1).min(d[i][j - 1] + 1);
                if swap { near.min(d[i - 2][j - 2] + 1) } else { near }
            };
        }
    }
    d[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_word_is_near() {
        let known = ["batch_size", "seed", "steps", "lr"];
        assert_eq!(nearest("batch-size", known), Some("batch_size"));
        assert_eq!(nearest("stpes", known), Some("steps"));
        assert_eq!(nearest("batchsize", known), Some("batch_size"));
        assert_eq!(nearest("optimizer", known), None);
        assert_eq!(distance("ab", "ba"), 1);
    }
}
