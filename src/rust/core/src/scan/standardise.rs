//! Candidates as they are read: what is missing or cannot be tested, and values of order one.

use crate::linalg::{power_of_two, sum_of};

/// Why a candidate has no test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CandidateState {
    /// It has a test.
    Ok,
    /// No cell is observed.
    Missing,
    /// A cell is infinite.
    Infinite,
    /// All cells are equal, which X explains.
    Constant,
    /// X, or what is adjusted for, explains the candidate.
    Collinear,
    /// No contrast is left.
    NoContrast,
    /// Candidates explain the response to rounding.
    PerfectFit,
    /// What candidates leave of the response lies in the range of a singular kernel: the likelihood grows without bound as delta -> 0.
    Explained,
    /// Maximum likelihood has no optimum inside.
    Unbounded,
    /// The search for the null model's delta failed.
    NotConverged,
}

/// One candidate: its state, its scale, and its square before X is projected out, in that scale.
pub(crate) struct StandardisedCandidate {
    pub(crate) state: CandidateState,
    pub(crate) scale: f64,
    pub(crate) square: f64,
    pub(crate) constant: bool,
    /// Number of cells that are not missing.
    pub(crate) observed: usize,
}

/// Largest size of a number, NaN passed over; by partial maxima, as `sum_of`.
fn largest_of(g: &[f64]) -> f64 {
    const LANES: usize = 8;
    let larger = |m: f64, x: f64| if x.abs() > m { x.abs() } else { m };
    let (whole, tail) = g.as_chunks::<LANES>();
    let mut partial = [0.0; LANES];
    for chunk in whole {
        for (m, x) in partial.iter_mut().zip(chunk) {
            *m = larger(*m, *x);
        }
    }
    partial.iter().chain(tail).fold(0.0, |m, x| larger(m, *x))
}

/// Missing cells at the mean of the others, the mean taken off where it does not matter, scaled by a power of two.
pub(crate) fn clean(g: &mut [f64], weight: &[f64], centred: bool) -> StandardisedCandidate {
    let n = g.len();
    let missing = g.iter().filter(|x| x.is_nan()).count();
    let observed = n - missing;
    let largest = largest_of(g);
    let first = g.iter().copied().find(|x| !x.is_nan());
    let (Some(first), true) = (first, largest.is_finite()) else {
        g.fill(0.0);
        return StandardisedCandidate {
            state: if largest.is_finite() {
                CandidateState::Missing
            } else {
                CandidateState::Infinite
            },
            scale: 1.0,
            square: 0.0,
            constant: false,
            observed,
        };
    };
    let size = power_of_two(largest);
    let unit = size.recip();
    let scaled = |x: f64| if x.is_nan() { 0.0 } else { x * unit };
    let mean = sum_of(n, |i| scaled(g[i])) / observed as f64;
    let whole: f64 = sum_of(n, |i| scaled(g[i]) * scaled(g[i]));
    let constant = g.iter().all(|x| *x == first || x.is_nan());
    let shift = if centred { mean } else { 0.0 };
    let filled = |x: f64| if x.is_nan() { mean - shift } else { x * unit - shift };
    g.iter_mut().for_each(|x| *x = filled(*x));
    let again = power_of_two(largest_of(g));
    let unit = again.recip();
    g.iter_mut().for_each(|x| *x *= unit);
    let square = sum_of(n, |i| weight[i] * g[i] * g[i]);
    // a shift that leaves only rounding leaves nothing
    let rounding = (f64::EPSILON / again).powi(2) * whole * 100.0;
    StandardisedCandidate {
        state: if square <= rounding {
            CandidateState::Constant
        } else {
            CandidateState::Ok
        },
        scale: size * again,
        square,
        constant,
        observed,
    }
}
