//! Genotypes of PLINK's .bed files: two bits a sample, the first sample in the lowest bits.

/// Bytes of one variant of n samples.
pub fn bytes(n: usize) -> usize {
    n.div_ceil(4)
}

/// Copies of the variant's first allele of each sample; `None` where missing.
pub fn decode(packed: &[u8], n: usize) -> impl Iterator<Item = Option<u8>> + '_ {
    let code = |byte: u8, k: usize| (byte >> (2 * k)) & 0b11;
    let copies = |code: u8| match code {
        0b00 => Some(2),
        0b10 => Some(1),
        0b11 => Some(0),
        _ => None,
    };
    packed
        .iter()
        .flat_map(move |byte| (0..4).map(move |k| copies(code(*byte, k))))
        .take(n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_the_format_are_copies_of_the_first_allele() {
        // from the lowest bits: 00 10 11 01, then 00 and padding
        let copies: Vec<Option<u8>> = decode(&[0b01_11_10_00, 0b00], 5).collect();
        assert_eq!(copies, [Some(2), Some(1), Some(0), None, Some(2)]);
        assert_eq!((bytes(4), bytes(5)), (1, 2));
    }
}
