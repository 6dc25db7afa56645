//! Bytes that tell whether they are whole: a tag, which names what they are and the version of their format, a hash of all that follows, a line end, and the content.
//! Files of finished work and states of chains have this one format.

use super::hash;

/// Digits of the hash.
const DIGITS: usize = 32;

/// A kind of content in the version that is written and read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seal(&'static str);

/// A file of finished work.
pub const CHECKPOINT: Seal = Seal("fastlmm checkpoint 3");

/// The state of a chain of the sparse-factor sampler.
pub const CHAIN_STATE: Seal = Seal("fastlmm state 2");

impl Seal {
    /// What stands before the content.
    pub fn head(self, content: &[u8]) -> String {
        format!("{} {:032x}\n", self.0, hash::bytes(content))
    }

    /// Bytes of the head.
    pub fn head_len(self) -> usize {
        self.0.len() + DIGITS + 2
    }

    /// Do bytes begin with the tag?
    pub fn marks(self, bytes: &[u8]) -> bool {
        let rest = bytes.strip_prefix(self.0.as_bytes());
        rest.is_some_and(|rest| rest.first() == Some(&b' '))
    }

    /// The content of bytes that are whole, else `None`.
    pub fn content(self, bytes: &[u8]) -> Option<&[u8]> {
        let (head, content) = bytes.split_at_checked(self.head_len())?;
        (head == self.head(content).as_bytes()).then_some(content)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_is_read_and_nothing_else() {
        for content in [&b""[..], b"x", b"some words of a state"] {
            let whole = [CHAIN_STATE.head(content).as_bytes(), content].concat();
            assert_eq!(CHAIN_STATE.content(&whole), Some(content));
            assert!(CHAIN_STATE.marks(&whole) && !CHECKPOINT.marks(&whole));
            assert_eq!(CHECKPOINT.content(&whole), None);
            for i in 0..whole.len() {
                let mut turned = whole.clone();
                turned[i] ^= 4;
                assert_eq!(CHAIN_STATE.content(&turned), None, "byte {i}");
                assert_eq!(CHAIN_STATE.content(&whole[..i]), None, "first {i}");
            }
        }
    }
}
