//! Standard normal numbers, many at a time: by Box and Muller, in loops that become vector instructions.
//!
//! Their bits are of generators xoshiro256++ (Blackman and Vigna 2021), as many beside one another as become one instruction, whose states the stream gives: of a stream by itself they would cost more than all else.
//! A pair is `r (cos a, sin a)` with `r^2 = -2 log u`. The angle is within an eighth of the circle to both sides of an axis, which two bits choose.

use super::link::elementary::{Loops, fused, ln, vectorised};
use super::rng::Stream;
use rand::RngCore;
use std::f64::consts::{FRAC_PI_2, FRAC_PI_4};

/// Pairs that are made together.
const PAIRS: usize = 128;

/// Numbers below which a stream gives the bits itself: states cost as many.
const SMALL: usize = 64;

/// Where bits come from: the stream, or generators that begin where it says.
struct Bits<'a> {
    rng: &'a mut Stream,
    lanes: Option<Lanes>,
}

impl<'a> Bits<'a> {
    /// For so many numbers.
    fn new(count: usize, rng: &'a mut Stream) -> Self {
        let lanes = (count >= SMALL).then(|| Lanes::new(rng));
        Self { rng, lanes }
    }

    fn fill(&mut self, words: &mut [u64]) {
        match &mut self.lanes {
            Some(lanes) => vectorised(MoreWords { lanes, words }),
            None => words.iter_mut().for_each(|word| *word = self.rng.next_u64()),
        }
    }
}

/// Generators side by side.
const LANES: usize = 8;

/// States of all of them, word by word.
struct Lanes([[u64; LANES]; 4]);

impl Lanes {
    fn new(rng: &mut Stream) -> Self {
        let mut bytes = [0; 32 * LANES];
        rng.fill_bytes(&mut bytes);
        let mut words = bytes.chunks_exact(8).map(word_of);
        Self(std::array::from_fn(|_| {
            std::array::from_fn(|_| words.next().unwrap_or(1))
        }))
    }
}

struct MoreWords<'a> {
    lanes: &'a mut Lanes,
    words: &'a mut [u64],
}

impl Loops for MoreWords<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let mut state = self.lanes.0;
        let mut parts = self.words.chunks_exact_mut(LANES);
        for words in &mut parts {
            words.copy_from_slice(&step(&mut state));
        }
        let rest = parts.into_remainder();
        if !rest.is_empty() {
            rest.copy_from_slice(&step(&mut state)[..rest.len()]);
        }
        self.lanes.0 = state;
    }
}

/// The next word of each.
#[inline(always)]
fn step([a, b, c, d]: &mut [[u64; LANES]; 4]) -> [u64; LANES] {
    let mut words = [0; LANES];
    for l in 0..LANES {
        let sum = a[l].wrapping_add(d[l]);
        words[l] = sum.rotate_left(23).wrapping_add(a[l]);
    }
    let shifted = b.map(|b| b << 17);
    for l in 0..LANES {
        c[l] ^= a[l];
    }
    for l in 0..LANES {
        d[l] ^= b[l];
    }
    for l in 0..LANES {
        b[l] ^= c[l];
    }
    for l in 0..LANES {
        a[l] ^= d[l];
    }
    for l in 0..LANES {
        c[l] ^= shifted[l];
    }
    for d in d {
        *d = d.rotate_left(45);
    }
    words
}

/// Fills a slice.
pub fn normals(out: &mut [f64], rng: &mut Stream) {
    let mut bits = Bits::new(out.len(), rng);
    for part in out.chunks_mut(2 * PAIRS) {
        let half = part.len().div_ceil(2);
        let mut words = [0; 2 * PAIRS];
        bits.fill(&mut words[..2 * half]);
        let (first, second) = part.split_at_mut(half);
        vectorised(Pairs {
            words: &words[..2 * half],
            first,
            second,
        });
    }
}

/// Fills a slice with numbers between 0 and 1.
pub fn uniforms(out: &mut [f64], rng: &mut Stream) {
    let mut bits = Bits::new(out.len(), rng);
    for part in out.chunks_mut(2 * PAIRS) {
        let mut words = [0; 2 * PAIRS];
        let words = &mut words[..part.len()];
        bits.fill(words);
        for (out, word) in part.iter_mut().zip(words) {
            *out = from_one_to_two(*word) - (1.0 - 0.5 * f64::EPSILON);
        }
    }
}

#[inline(always)]
fn word_of(bytes: &[u8]) -> u64 {
    let mut eight = [0; 8];
    eight.copy_from_slice(bytes);
    u64::from_le_bytes(eight)
}

struct Pairs<'a> {
    words: &'a [u64],
    first: &'a mut [f64],
    /// May have one less.
    second: &'a mut [f64],
}

/// Bits below the exponent, as a number from 1 to 2.
#[inline(always)]
fn from_one_to_two(bits: u64) -> f64 {
    f64::from_bits((bits >> 12) | 0x3ff0_0000_0000_0000)
}

/// Sine and cosine within an eighth of the circle, to 14 digits.
#[inline(always)]
fn sine_and_cosine(a: f64) -> (f64, f64) {
    const SINE: [f64; 6] = [
        -1.0 / 6.0,
        1.0 / 120.0,
        -1.0 / 5_040.0,
        1.0 / 362_880.0,
        -1.0 / 39_916_800.0,
        1.0 / 6_227_020_800.0,
    ];
    const COSINE: [f64; 6] = [
        1.0 / 24.0,
        -1.0 / 720.0,
        1.0 / 40_320.0,
        -1.0 / 3_628_800.0,
        1.0 / 479_001_600.0,
        -1.0 / 87_178_291_200.0,
    ];
    let z = a * a;
    let y = z * z;
    let six = |c: &[f64; 6]| {
        let pair = |first: usize| fused(c[first + 1], z, c[first]);
        fused(y, fused(y, pair(4), pair(2)), pair(0))
    };
    let (sine, cosine) = (fused(z, six(&SINE), 1.0), fused(y, six(&COSINE), fused(z, -0.5, 1.0)));
    (a * sine, cosine)
}

impl Loops for Pairs<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let (mut x, mut y) = ([0.0; PAIRS], [0.0; PAIRS]);
        let half = self.first.len();
        let (of_radius, of_angle) = self.words[..2 * half].split_at(half);
        let (x, y) = (&mut x[..half], &mut y[..half]);
        for i in 0..half {
            let u = 2.0 - from_one_to_two(of_radius[i]);
            let r = (-2.0 * ln(u)).sqrt();
            let (sine, cosine) = sine_and_cosine(FRAC_PI_2 * from_one_to_two(of_angle[i]) - (FRAC_PI_2 + FRAC_PI_4));
            // a sign for the cosine
            let r_cosine = f64::from_bits((r * cosine).to_bits() ^ (of_angle[i] << 63));
            let r_sine = r * sine;
            let swapped = of_angle[i] & 2 == 0;
            x[i] = if swapped { r_sine } else { r_cosine };
            y[i] = if swapped { r_cosine } else { r_sine };
        }
        self.first.copy_from_slice(x);
        self.second.copy_from_slice(&y[..self.second.len()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slam::rng::{Block, Source};

    #[test]
    fn sines_and_cosines_are_those_of_the_library() {
        for i in -100..=100 {
            let a = FRAC_PI_4 * f64::from(i) / 100.0;
            let (sine, cosine) = sine_and_cosine(a);
            assert!(
                (sine - a.sin()).abs() < 1e-13 && (cosine - a.cos()).abs() < 1e-13,
                "{a}"
            );
        }
    }

    /// The first numbers that its authors' program gives from the state 1, 2, 3, 4, in each lane; and lanes differ.
    #[test]
    fn words_are_those_of_the_generator() {
        let exact: [u64; 4] = [41_943_041, 58_720_359, 3_588_806_011_781_223, 3_591_011_842_654_386];
        let mut lanes = Lanes([1, 2, 3, 4].map(|word| [word; LANES]));
        let mut words = [0; 4 * LANES];
        vectorised(MoreWords {
            lanes: &mut lanes,
            words: &mut words,
        });
        for (words, exact) in words.chunks(LANES).zip(exact) {
            assert_eq!(words, [exact; LANES]);
        }
        let mut own = Lanes::new(&mut Source { seed: 2, chain: 0 }.stream(0, Block::Start, 4))
            .0
            .concat();
        own.sort_unstable();
        own.dedup();
        assert_eq!(own.len(), 4 * LANES);
    }

    /// Probabilities between points from -4 to 4, of each number and of sums and differences of those that were made together.
    #[test]
    fn numbers_are_standard_normal_and_independent() {
        const COUNT: usize = 1 << 20;
        let rng = &mut Source { seed: 2, chain: 0 }.stream(0, Block::Start, 1);
        let mut all = vec![0.0; COUNT];
        all.chunks_mut(1024).for_each(|part| normals(part, rng));
        let whole: Vec<f64> = all.chunks_exact(2 * PAIRS).flatten().copied().collect();
        let halves = || whole.chunks_exact(PAIRS).collect::<Vec<&[f64]>>();
        let turned = |sign: f64| -> Vec<f64> {
            let pairs = halves();
            let both = pairs.chunks_exact(2).flat_map(|two| two[0].iter().zip(two[1]));
            both.map(|(x, y)| (x + sign * y) / 2f64.sqrt()).collect()
        };
        for (name, values) in [
            ("plain", all.clone()),
            ("sum", turned(1.0)),
            ("difference", turned(-1.0)),
        ] {
            let n = values.len() as f64;
            for point in (-16..=16).map(|i| f64::from(i) / 4.0) {
                let p = 0.5 * libm::erfc(-point / 2f64.sqrt());
                let below = values.iter().filter(|x| **x < point).count() as f64;
                assert!(
                    (below - n * p).abs() < 4.5 * (n * p * (1.0 - p)).sqrt(),
                    "{name} at {point}: {below} of {n}, {p}"
                );
            }
            // products of neighbours, of squares, too
            let product = |f: fn(f64) -> f64| values.windows(2).map(|w| f(w[0]) * f(w[1])).sum::<f64>() / n;
            assert!(product(|x| x).abs() * n.sqrt() < 4.5, "{name}");
            assert!(product(|x| x * x - 1.0).abs() * n.sqrt() < 9.0, "{name}");
        }
        let squares = |f: fn(f64) -> f64| {
            let pairs = halves();
            let both = pairs.chunks_exact(2).flat_map(|two| two[0].iter().zip(two[1]));
            both.map(|(x, y)| f(*x) * f(*y)).sum::<f64>() / (COUNT as f64 / 2.0).sqrt()
        };
        assert!(squares(|x| x).abs() < 4.5 && squares(|x| x * x - 1.0).abs() < 9.0);
    }

    #[test]
    fn uniform_numbers_are_uniform() {
        let mut all = vec![0.0; 1 << 18];
        uniforms(&mut all, &mut Source { seed: 2, chain: 0 }.stream(0, Block::Start, 3));
        assert!(all.iter().all(|x| *x > 0.0 && *x < 1.0));
        for tenth in 1..10 {
            let (p, n) = (f64::from(tenth) / 10.0, all.len() as f64);
            let below = all.iter().filter(|x| **x < p).count() as f64;
            assert!((below - n * p).abs() < 4.5 * (n * p * (1.0 - p)).sqrt(), "{p}: {below}");
        }
    }

    #[test]
    fn any_number_of_them_is_made() {
        for count in [0, 1, 2, 3, 255, 256, 257, 500] {
            let rng = &mut Source { seed: 2, chain: 0 }.stream(0, Block::Start, 2);
            let mut some = vec![f64::NAN; count];
            normals(&mut some, rng);
            assert!(some.iter().all(|x| x.is_finite()));
        }
    }
}
