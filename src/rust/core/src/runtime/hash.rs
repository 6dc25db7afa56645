//! MurmurHash3 of 128 bits (A. Appleby, public domain; the x64 variant, seed 0): tells whether bytes are those that were hashed before.
//! It finds faults, not forgeries.

const C1: u64 = 0x87c3_7b91_1142_53d5;
const C2: u64 = 0x4cf5_ad43_2745_937f;

fn first(k: u64) -> u64 {
    k.wrapping_mul(C1).rotate_left(31).wrapping_mul(C2)
}

fn second(k: u64) -> u64 {
    k.wrapping_mul(C2).rotate_left(33).wrapping_mul(C1)
}

fn spread(mut k: u64) -> u64 {
    k = (k ^ (k >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    k = (k ^ (k >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    k ^ (k >> 33)
}

/// Of little-endian words, of which only `bytes` bytes count; those beyond are 0.
fn of_words(mut words: impl Iterator<Item = u64>, bytes: u64) -> u128 {
    let (mut h1, mut h2) = (0u64, 0u64);
    for _ in 0..bytes / 16 {
        h1 ^= first(words.next().unwrap_or(0));
        h1 = h1
            .rotate_left(27)
            .wrapping_add(h2)
            .wrapping_mul(5)
            .wrapping_add(0x52dc_e729);
        h2 ^= second(words.next().unwrap_or(0));
        h2 = h2
            .rotate_left(31)
            .wrapping_add(h1)
            .wrapping_mul(5)
            .wrapping_add(0x3849_5ab5);
    }
    h1 ^= first(words.next().unwrap_or(0)) ^ bytes;
    h2 ^= second(words.next().unwrap_or(0)) ^ bytes;
    h1 = h1.wrapping_add(h2);
    h2 = h2.wrapping_add(h1);
    (h1, h2) = (spread(h1), spread(h2));
    h1 = h1.wrapping_add(h2);
    h2 = h2.wrapping_add(h1);
    (u128::from(h1) << 64) | u128::from(h2)
}

/// Hash of bytes.
pub fn bytes(x: &[u8]) -> u128 {
    let word = |chunk: &[u8]| chunk.iter().rev().fold(0, |word, byte| (word << 8) | u64::from(*byte));
    of_words(x.chunks(8).map(word), x.len() as u64)
}

/// Hash of numbers by their bits, the same on every machine.
pub fn numbers(x: &[f64]) -> u128 {
    of_words(x.iter().map(|x| x.to_bits()), 8 * x.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_values() {
        assert_eq!(bytes(b""), 0);
        let fox = bytes(b"The quick brown fox jumps over the lazy dog");
        assert_eq!(fox, 0xe34b_bc7b_bc07_1b6c_7a43_3ca9_c49a_9347);
    }

    #[test]
    fn numbers_are_their_bytes() {
        let x = [1.5, -0.0, f64::NAN, 1e-310, 7.0];
        for n in 0..=5 {
            let flat: Vec<u8> = x[..n].iter().flat_map(|x| x.to_le_bytes()).collect();
            assert_eq!(numbers(&x[..n]), bytes(&flat));
        }
    }
}
