//! A short number that tells many words from others. Checkpoints keep one of their rows: a change here makes them look like others.

/// A number for many words: the same one for the same words, and hardly ever for others.
#[derive(Clone, Copy, Debug)]
pub struct Digest(u64);

impl Default for Digest {
    /// FNV-1a's start.
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Digest {
    /// Takes in words, one at a time as FNV-1a does with bytes; the turn brings high bits back down.
    pub fn take(&mut self, words: impl IntoIterator<Item = u32>) {
        for word in words {
            self.0 = (self.0 ^ u64::from(word)).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(29);
        }
    }

    /// Takes in bytes.
    pub fn take_bytes(&mut self, bytes: &[u8]) {
        self.take([bytes.len() as u32]);
        self.take(bytes.iter().map(|b| u32::from(*b)));
    }

    /// The number.
    pub fn word(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_sees_one_bit_and_the_order() {
        let of = |words: &[u32]| {
            let mut digest = Digest::default();
            digest.take(words.iter().copied());
            digest.word()
        };
        assert_eq!(of(&[1, 2, 3]), of(&[1, 2, 3]));
        assert!(of(&[1, 2, 3]) != of(&[1, 3, 2]) && of(&[1, 2, 3]) != of(&[1, 2, 3 | 1 << 31]) && of(&[0]) != of(&[0, 0]));
    }
}
