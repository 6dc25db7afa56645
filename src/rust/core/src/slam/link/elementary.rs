//! Exponential and logarithm without a branch, so that loops over the rows of a trait become vector instructions. Their errors are a few units in the last place.

use pulp::{Arch, Simd, WithSimd};

/// Loops over rows, to be compiled for the vector instructions of the machine that they run on. All that they call is to be inlined.
pub trait Loops {
    type Output;

    fn run(self) -> Self::Output;
}

struct Vectorised<T>(T);

impl<T: Loops> WithSimd for Vectorised<T> {
    type Output = T::Output;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> T::Output {
        self.0.run()
    }
}

pub fn vectorised<T: Loops>(loops: T) -> T::Output {
    Arch::new().dispatch(Vectorised(loops))
}

/// a b + c, rounded once: one instruction where loops become those of vectors.
#[inline(always)]
pub fn fused(a: f64, b: f64, c: f64) -> f64 {
    a.mul_add(b, c)
}

/// `e^x = scale (1 + r + square)`
struct ExpParts {
    scale: f64,
    r: f64,
    /// `e^r - 1 - r`, all its digits right.
    square: f64,
}

/// `1 / k!` from k = 2.
const FACTORIALS: [f64; 12] = [
    1.0 / 2.0,
    1.0 / 6.0,
    1.0 / 24.0,
    1.0 / 120.0,
    1.0 / 720.0,
    1.0 / 5_040.0,
    1.0 / 40_320.0,
    1.0 / 362_880.0,
    1.0 / 3_628_800.0,
    1.0 / 39_916_800.0,
    1.0 / 479_001_600.0,
    1.0 / 6_227_020_800.0,
];

// log 2 in two parts, the first of which has zeros behind, so that its multiples are exact
const LN_2_HIGH: f64 = 6.931_471_803_691_238e-1;
const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;

#[inline(always)]
fn parts(x: f64) -> ExpParts {
    // adding it rounds to a whole number, which then stands in the last bits
    const ROUND: f64 = 6_755_399_441_055_744.0;
    // beyond there is no normal number
    let x = if x < -708.0 { -708.0 } else { x };
    let x = if x > 709.0 { 709.0 } else { x };
    let shifted = fused(x, std::f64::consts::LOG2_E, ROUND);
    let k = shifted - ROUND;
    let r = fused(-k, LN_2_LOW, fused(-k, LN_2_HIGH, x));
    let scale = f64::from_bits((shifted.to_bits() << 52).wrapping_add(1.0f64.to_bits()));
    let f = &FACTORIALS;
    // by pairs: half as many steps wait for one another
    let z = r * r;
    let pair = |first: usize| fused(f[first + 1], r, f[first]);
    let four = |first: usize| fused(z, pair(first + 2), pair(first));
    let fourth = z * z;
    ExpParts {
        scale,
        r,
        square: z * fused(fourth, fused(fourth, four(8), four(4)), four(0)),
    }
}

/// `e^x`, within the normal numbers.
#[inline(always)]
pub fn exp(x: f64) -> f64 {
    let ExpParts { scale, r, square } = parts(x);
    scale * (1.0 + (r + square))
}

/// `e^x - 1` and `e^x - 1 - x`, right for small x, too.
#[inline(always)]
pub fn exp_remainders(x: f64) -> (f64, f64) {
    let ExpParts { scale, r, square } = parts(x);
    // with scale 1 nothing but r + square is left
    let first = scale * square + ((scale - 1.0) + scale * r);
    (first, scale * square + ((scale - 1.0) * (1.0 + r) + (r - x)))
}

/// `log(1 + u)`, u above -1, as `linear - bend`: where 1 + u is between 0.71 and 1.41 linear is u.
#[inline(always)]
pub fn log_parts(u: f64) -> (f64, f64) {
    log_of(1.0 + u, u)
}

/// `log(x)` of a positive normal number.
#[inline(always)]
pub fn ln(x: f64) -> f64 {
    let (linear, bend) = log_of(x, x - 1.0);
    linear - bend
}

/// `whole = 1 + u` to rounding: u counts where that is near 1, else whole (the series of fdlibm).
#[inline(always)]
fn log_of(whole: f64, u: f64) -> (f64, f64) {
    const ABOVE: u64 = 0x3ff0_0000_0000_0000 - 0x3fe6_a09e_667f_3bcd;
    const SERIES: [f64; 7] = [
        6.666_666_666_666_735e-1,
        3.999_999_999_940_942e-1,
        2.857_142_874_366_239e-1,
        2.222_219_843_214_978_4e-1,
        1.818_357_216_161_805e-1,
        1.531_383_769_920_937_3e-1,
        1.479_819_860_511_658_6e-1,
    ];
    let bits = whole.to_bits();
    let exponent = bits.wrapping_add(ABOVE) >> 52;
    let mantissa = f64::from_bits(bits.wrapping_sub(exponent.wrapping_sub(1023) << 52));
    // the exponent as a number, by its place in the last bits
    let k = f64::from_bits(exponent | 0x4330_0000_0000_0000) - (4_503_599_627_370_496.0 + 1023.0);
    let f = if k == 0.0 { u } else { mantissa - 1.0 };
    let s = f / (2.0 + f);
    let (z, half) = (s * s, 0.5 * f * f);
    let fourth = z * z;
    let even = z * fused(
        fourth,
        fused(fourth, fused(fourth, SERIES[6], SERIES[4]), SERIES[2]),
        SERIES[0],
    );
    let odd = fourth * fused(fourth, fused(fourth, SERIES[5], SERIES[3]), SERIES[1]);
    let bend = half - fused(s, half + (even + odd), k * LN_2_LOW);
    (fused(k, LN_2_HIGH, f), bend)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against the library's, to a few units in the last place.
    fn same(name: &str, x: f64, found: f64, expected: f64) {
        let error = (found - expected).abs() / expected.abs().max(f64::MIN_POSITIVE);
        assert!(
            error < 2e-15 || found == expected,
            "{name}({x}): {found}, not {expected}"
        );
    }

    #[test]
    fn they_are_those_of_the_library() {
        for i in 0..200_000 {
            let x = f64::from(i) * 0.007 - 700.0;
            same("exp", x, exp(x), x.exp());
            same("expm1", x, exp_remainders(x).0, x.exp_m1());
            let size = (x / 2.0).exp();
            same("log", size, ln(size), size.ln());
            let near = 1.0 + x / 1000.0;
            same("log", near, ln(near), near.ln());
            for u in [size, (x / 800.0).sin() * 0.99] {
                let (linear, bend) = log_parts(u);
                same("log1p", u, linear - bend, u.ln_1p());
            }
        }
    }

    /// What is left where whole terms cancel, by the series.
    #[test]
    fn remainders_of_small_numbers_keep_their_digits() {
        for x in [1e-9, -1e-9, 3e-5, -2e-3, 0.03, -0.03] {
            let series =
                x * x * (0.5 + x * (1.0 / 6.0 + x * (1.0 / 24.0 + x * (1.0 / 120.0 + x * (1.0 / 720.0 + x / 5040.0)))));
            assert!(
                (exp_remainders(x).1 / series - 1.0).abs() < 1e-8 * x.abs() + 1e-15,
                "{x}"
            );
            let bend = x * x * (0.5 - x * (1.0 / 3.0 - x * (0.25 - x * (0.2 - x * (1.0 / 6.0 - x / 7.0)))));
            assert!((log_parts(x).1 / bend - 1.0).abs() < 1e-6 * x.abs() + 1e-14, "{x}");
        }
    }

    #[test]
    fn ends_and_what_is_no_number() {
        assert!(exp(-800.0) < 1e-300 && exp(800.0) > 1e300 && exp(f64::NAN).is_nan());
        assert!(exp_remainders(f64::NAN).1.is_nan() && exp(0.0) == 1.0 && ln(1.0) == 0.0);
        assert_eq!(exp_remainders(0.0), (0.0, 0.0));
    }
}
