//! What is known of a process, and where its length scales are looked for.

use crate::gp::bounds::{Bounds, Range};
use crate::kernel::stationary::Family;
use crate::likelihood::Method;

/// What is known of the process.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Family of the kernel.
    pub family: Family,
    /// REML or ML.
    pub method: Method,
    /// Given length scales, one an axis.
    pub lengths: Option<Vec<f64>>,
    /// One length scale an axis, or one for all.
    pub ard: bool,
    /// The shortest length scale to be looked at; `None`: what rows and basis can tell.
    pub shortest: Option<f64>,
    /// The longest length scale to be looked at; `None`: what box and rows allow.
    pub longest: Option<f64>,
    /// Part of the variance that may be left out, relative to delta.
    pub tol: f64,
    /// Most functions that the basis may have.
    pub largest: usize,
    /// Is a basis that leaves out more than asked for of no use, since the kernel matrix of all rows can be had?
    pub strict: bool,
}

impl Settings {
    /// Length scales in proportion: equal ones, or each to its side of the box.
    pub(crate) fn unit(&self, bounds: &Bounds) -> Vec<f64> {
        let side = |a| if self.ard { bounds.side(a) } else { 1.0 };
        (0..bounds.d()).map(side).collect()
    }

    /// Longest side of the box in that proportion.
    pub fn widest(&self, bounds: &Bounds) -> f64 {
        let sides = self.unit(bounds).into_iter().enumerate();
        sides.map(|(a, unit)| bounds.side(a) / unit).fold(0.0, f64::max)
    }

    /// From one factor of that proportion to another.
    pub fn range(&self, bounds: &Bounds, shortest: f64, longest: f64) -> Range {
        let of = |t: f64| self.unit(bounds).iter().map(|u| u * t).collect();
        Range {
            shortest: of(shortest),
            longest: of(longest),
        }
    }
}
