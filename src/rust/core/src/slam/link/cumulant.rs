//! The functions A of links whose log likelihood is `y eta - n A(eta + shift)`: of counts and of proportions.

use super::EtaSlopes;
use super::elementary::{exp, exp_remainders, ln, log_parts};

/// A, and what is needed of it.
pub trait Cumulant {
    /// A' and A'' at z, and what [`Cumulant::remainder`] needs.
    fn slopes(z: f64) -> (EtaSlopes, f64);

    /// `A(z + x) - A(z) - A'(z) x`
    fn remainder(z: f64, helper: f64, x: f64) -> f64;

    /// About where `y = n A'(z)`, and n A'' there.
    fn start(y: f64, n: f64) -> (f64, f64);

    /// A
    fn value(z: f64) -> f64;
}

/// `e^z`
pub struct Exponential;

impl Cumulant for Exponential {
    #[inline(always)]
    fn slopes(z: f64) -> (EtaSlopes, f64) {
        let mean = exp(z);
        let slopes = EtaSlopes {
            first: mean,
            second: mean,
        };
        (slopes, mean)
    }

    #[inline(always)]
    fn remainder(_: f64, mean: f64, x: f64) -> f64 {
        mean * exp_remainders(x).1
    }

    #[inline(always)]
    fn start(y: f64, n: f64) -> (f64, f64) {
        (ln(y + 0.5), y + 0.5 * n)
    }

    #[inline(always)]
    fn value(z: f64) -> f64 {
        exp(z)
    }
}

/// `log(1 + e^z)`
pub struct Softplus;

impl Cumulant for Softplus {
    #[inline(always)]
    fn slopes(z: f64) -> (EtaSlopes, f64) {
        let e = exp(-z.abs());
        let large = 1.0 / (1.0 + e);
        let small = e * large;
        let slopes = EtaSlopes {
            first: if z > 0.0 { large } else { small },
            second: large * small,
        };
        (slopes, small)
    }

    /// By the side on which A' is small, as A(z) - z = A(-z).
    #[inline(always)]
    fn remainder(z: f64, small: f64, x: f64) -> f64 {
        let x = if z > 0.0 { -x } else { x };
        let (first, second) = exp_remainders(x);
        let u = small * first;
        let (linear, bend) = log_parts(u);
        let linear = if linear == u {
            small * second
        } else {
            linear - small * x
        };
        linear - bend
    }

    #[inline(always)]
    fn start(y: f64, n: f64) -> (f64, f64) {
        let (yes, no) = (y + 0.5, n - y + 0.5);
        (ln(yes / no), yes * no / (n + 1.0))
    }

    #[inline(always)]
    fn value(z: f64) -> f64 {
        let (linear, bend) = log_parts(exp(-z.abs()));
        (if z > 0.0 { z } else { 0.0 }) + (linear - bend)
    }
}
