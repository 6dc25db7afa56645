//! The standard normal distribution between two ends.

use super::elementary::{Loops, exp, fused, vectorised};
use crate::slam::rng::{Stream, exponential, normal, uniform};
use libm::erfc;
use std::f64::consts::{PI, SQRT_2};

/// A draw between two ends, by the proposal of Robert (1995) that fits: normal, exponential or uniform.
pub fn draw_between(low: f64, high: f64, rng: &mut Stream) -> f64 {
    if high < 0.0 {
        return -draw_between(-high, -low, rng);
    }
    if low <= 0.0 && high - low > (2.0 * PI).sqrt() {
        loop {
            let x = normal(rng);
            if low < x && x <= high {
                return x;
            }
        }
    }
    // nearest to 0, where the density is largest
    let near = low.max(0.0);
    let rate = 0.5 * (near + (near * near + 4.0).sqrt());
    if low > 0.0 && (high - low) * rate > 1.0 {
        loop {
            let x = low + exponential(rng) / rate;
            if x <= high && uniform(rng).ln() <= -0.5 * (x - rate).powi(2) {
                return x;
            }
        }
    }
    loop {
        let x = low + (high - low) * uniform(rng);
        if uniform(rng).ln() <= 0.5 * (near * near - x * x) {
            return x;
        }
    }
}

/// Log probability between two ends, far in the tails, too.
pub fn log_probability(low: f64, high: f64) -> f64 {
    if high < 0.0 || low == f64::NEG_INFINITY && high <= 0.0 {
        return log_probability(-high, -low);
    }
    if low <= 0.0 {
        return (1.0 - upper(high) - upper(-low)).ln();
    }
    // above 0: of the lower end's tail what the upper end leaves
    let (from, to) = (log_upper(low), log_upper(high));
    from + (-(to - from).exp()).ln_1p()
}

/// Probabilities below are not had from differences of tails.
const SMALL: f64 = 1e-4;

/// The sum of [`log_probability`] of many pairs of ends: eight probabilities have their logarithm together, unless one is small.
pub fn sum_of_log_probabilities(low: &[f64], high: &[f64]) -> f64 {
    let probabilities = vectorised(Probabilities { low, high });
    let parts = probabilities.chunks(8).zip(low.chunks(8)).zip(high.chunks(8));
    let one = |((some, low), high): ((&[f64], &[f64]), &[f64])| {
        let product: f64 = some.iter().product();
        // of a small one too few digits are right
        match some.iter().all(|p| *p > SMALL) {
            true => product.ln(),
            false => low
                .iter()
                .zip(high)
                .map(|(low, high)| log_probability(*low, *high))
                .sum(),
        }
    };
    parts.map(one).sum()
}

/// Probabilities between pairs of ends.
struct Probabilities<'a> {
    low: &'a [f64],
    high: &'a [f64],
}

impl Loops for Probabilities<'_> {
    type Output = Vec<f64>;

    #[inline(always)]
    fn run(self) -> Vec<f64> {
        let mut all = vec![0.0; self.low.len()];
        for ((p, low), high) in all.iter_mut().zip(self.low).zip(self.high) {
            // on the side of 0 where both tails are small
            let is_below = *high < 0.0;
            let (near, far) = if is_below { (-*high, -*low) } else { (*low, *high) };
            let (tail, beyond) = (tail(near.abs()), tail(far));
            *p = if near > 0.0 {
                tail - beyond
            } else {
                (1.0 - tail) - beyond
            };
        }
        all
    }
}

/// P(X > x), x not negative, to 15 places (Hart and others 1968, no. 5666; Mills' ratio beyond). One division, which is what takes time.
#[inline(always)]
fn tail(x: f64) -> f64 {
    const ABOVE: [f64; 7] = [
        220.206_867_912_376,
        221.213_596_169_931,
        112.079_291_497_871,
        33.912_866_078_383,
        6.373_962_203_531_65,
        0.700_383_064_443_688,
        0.035_262_496_599_891_1,
    ];
    const BELOW: [f64; 8] = [
        440.413_735_824_752,
        793.826_512_519_948,
        637.333_633_378_831,
        296.564_248_779_674,
        86.780_732_202_946_1,
        16.064_177_579_207,
        1.755_667_163_182_64,
        0.088_388_347_648_318_4,
    ];
    // beyond there the density is 0
    let x = if x < 40.0 { x } else { 40.0 };
    let (mut above, mut below) = (ABOVE[6], BELOW[7]);
    for i in (0..6).rev() {
        above = fused(above, x, ABOVE[i]);
    }
    for i in (0..7).rev() {
        below = fused(below, x, BELOW[i]);
    }
    // of the series in 1 / x^2, times x^9
    let z = x * x;
    let series = fused(fused(fused(z - 1.0, z, 3.0), z, -15.0), z, 105.0);
    let fourth = z * z;
    let is_near = x < 7.071_067_811_865_47;
    let above = if is_near { above } else { series };
    let below = if is_near {
        below
    } else {
        2.506_628_274_631_000_7 * x * fourth * fourth
    };
    exp(-0.5 * z) * (above / below)
}

fn upper(x: f64) -> f64 {
    0.5 * erfc(x / SQRT_2)
}

/// log P(X > x), x above 0
fn log_upper(x: f64) -> f64 {
    if x < 25.0 {
        return upper(x).ln();
    }
    if x == f64::INFINITY {
        return f64::NEG_INFINITY;
    }
    // Mills' ratio
    let square = (x * x).recip();
    let series = 1.0 - square * (1.0 - 3.0 * square * (1.0 - 5.0 * square));
    -0.5 * x * x - (x * (2.0 * PI).sqrt()).ln() + series.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_are_those_of_the_library() {
        for i in 0..=3000 {
            let x = f64::from(i) / 100.0;
            let exact = 0.5 * erfc(x / SQRT_2);
            assert!((tail(x) - exact).abs() < 1e-15, "{x}: {} {exact}", tail(x));
        }
    }

    #[test]
    fn sums_of_logarithms_are_those_of_each() {
        let infinity = f64::INFINITY;
        let ends = [
            (-infinity, 0.3),
            (0.3, infinity),
            (-1.0, 2.0),
            (1.5, 1.6),
            (-3.0, -2.9),
            (-infinity, -9.0),
            (12.0, infinity),
            (40.0, 41.0),
            (-60.0, -50.0),
            (0.0, 1e-9),
            (-infinity, infinity),
            (5.0, 5.5),
        ];
        for first in 0..ends.len() {
            let some: Vec<(f64, f64)> = ends[first..].iter().chain(&ends[..3]).copied().collect();
            let (low, high): (Vec<f64>, Vec<f64>) = some.iter().copied().unzip();
            let exact: f64 = some.iter().map(|(low, high)| log_probability(*low, *high)).sum();
            let found = sum_of_log_probabilities(&low, &high);
            assert!((found - exact).abs() < 1e-6 + 1e-12 * exact.abs(), "{found} {exact}");
        }
    }
}
