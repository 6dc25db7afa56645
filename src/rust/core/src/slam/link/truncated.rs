//! The standard normal distribution between two ends.

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
