//! A kernel given as a matrix: what can be wrong with it, and its symmetric part.

use crate::error::Result;
use crate::linalg::{max_abs, power_of_two};
use crate::parallel::{Workers, check_memory};
use crate::spectrum;
use faer::linalg::cholesky::llt;
use faer::{Mat, MatRef, Par};

/// Largest relative asymmetry that is taken for rounding.
pub const ASYMMETRY_TOLERANCE: f64 = 1e-8;

/// View of a square matrix, read through its symmetric part.
#[derive(Clone, Copy)]
pub struct Dense<'a>(pub MatRef<'a, f64>);

impl Dense<'_> {
    pub fn entry(&self, i: usize, j: usize) -> f64 {
        0.5 * self.0[(i, j)] + 0.5 * self.0[(j, i)]
    }

    pub fn n(&self) -> usize {
        self.0.nrows()
    }
}

/// Relative size below which an eigenvalue of an n x n kernel is rounding.
pub fn psd_tolerance(n: usize, tolerance: Option<f64>) -> f64 {
    tolerance.unwrap_or(10.0 * n as f64 * f64::EPSILON)
}

/// What a look at a matrix says of its use as a kernel.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facts {
    pub non_finite: usize,
    /// First cell that is not finite.
    pub non_finite_at: Option<(usize, usize)>,
    /// max|K - K'| / max|K| and where.
    pub asymmetry: f64,
    pub asymmetry_at: (usize, usize),
    pub max_abs: f64,
    pub mean_diag: f64,
    /// Positive semidefinite up to the tolerance; `None` when that was not asked because something above is wrong.
    pub positive: Option<bool>,
    /// Extreme eigenvalues, computed only for a matrix that is not positive semidefinite.
    pub extremes: Option<(f64, f64)>,
}

/// Examine a square matrix; `tolerance` is relative to its largest eigenvalue.
pub fn examine(k: MatRef<'_, f64>, tolerance: Option<f64>, threads: usize) -> Result<Facts> {
    let mut facts = scan(k);
    let usable = facts.non_finite == 0 && facts.asymmetry <= ASYMMETRY_TOLERANCE;
    if usable && facts.max_abs > 0.0 {
        check_memory((k.nrows() as f64).powi(2))?;
        let tolerance = psd_tolerance(k.nrows(), tolerance);
        let scale = power_of_two(facts.max_abs);
        Workers::new(threads)?.run(|par| positive(Dense(k), scale, tolerance, par, &mut facts))?;
    }
    Ok(facts)
}

fn scan(k: MatRef<'_, f64>) -> Facts {
    let n = k.nrows();
    let mut facts = Facts::default();
    let (mut worst, mut trace) = (0.0, 0.0);
    for j in 0..n {
        trace += k[(j, j)] / n as f64;
        for i in 0..n {
            let x = k[(i, j)];
            if !x.is_finite() {
                facts.non_finite += 1;
                facts.non_finite_at.get_or_insert((i, j));
            }
            facts.max_abs = x.abs().max(facts.max_abs);
        }
        for i in 0..j {
            let gap = (k[(i, j)] - k[(j, i)]).abs();
            if gap > worst {
                (worst, facts.asymmetry_at) = (gap, (i, j));
            }
        }
    }
    facts.mean_diag = trace;
    facts.asymmetry = if worst > 0.0 { worst / facts.max_abs } else { 0.0 };
    facts
}

/// Cholesky of K + tolerance |K| I: succeeds just when no eigenvalue lies below -tolerance |K|.
fn positive(k: Dense<'_>, scale: f64, tolerance: f64, par: Par, facts: &mut Facts) -> Result<()> {
    let n = k.n();
    let mut factor = Mat::from_fn(n, n, |i, j| if i >= j { k.entry(i, j) / scale } else { 0.0 });
    let shift = tolerance * norm_bound(factor.as_ref());
    (0..n).for_each(|i| factor[(i, i)] += shift);
    let scratch = llt::factor::cholesky_in_place_scratch::<f64>(n, par, Default::default());
    let mut memory = dyn_stack::MemBuffer::new(scratch);
    let stack = dyn_stack::MemStack::new(&mut memory);
    let done = llt::factor::cholesky_in_place(factor.as_mut(), Default::default(), par, stack, Default::default());
    facts.positive = Some(done.is_ok());
    if done.is_err() {
        factor = Mat::from_fn(n, n, |i, j| k.entry(i, j) / scale);
        let values = spectrum::eigenvalues(factor, par)?;
        let extreme = |pick: fn(f64, f64) -> f64| values.iter().copied().reduce(pick).unwrap_or(0.0) * scale;
        let (min, max) = (extreme(f64::min), extreme(f64::max));
        facts.positive = Some(min >= -tolerance * max);
        facts.extremes = Some((min, max));
    }
    Ok(())
}

/// Upper bound of the largest eigenvalue: the smaller of the row-sum and Frobenius norms of the lower triangle's matrix.
fn norm_bound(lower: MatRef<'_, f64>) -> f64 {
    let n = lower.nrows();
    let (mut rows, mut square) = (vec![0.0; n], 0.0);
    for j in 0..n {
        for i in j..n {
            let x = lower[(i, j)].abs();
            rows[i] += x;
            if i > j {
                rows[j] += x;
            }
            square += if i > j { 2.0 } else { 1.0 } * x * x;
        }
    }
    max_abs(rows).min(f64::sqrt(square))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(k: Mat<f64>) -> Facts {
        examine(k.as_ref(), None, 1).unwrap()
    }

    #[test]
    fn an_indefinite_matrix_is_told_with_its_eigenvalues() {
        let f = facts(Mat::from_fn(3, 3, |i, j| if i == j { 1.0 } else { 2.0 }));
        assert_eq!(f.positive, Some(false));
        let (min, max) = f.extremes.unwrap();
        assert!((min + 1.0).abs() < 1e-12 && (max - 5.0).abs() < 1e-12);
    }

    #[test]
    fn singular_kernels_are_positive_at_any_scale() {
        for scale in [1e-150, 1.0, 1e150] {
            let k = Mat::from_fn(40, 40, |i, j| scale * ((i % 3) as f64 - 1.0) * ((j % 3) as f64 - 1.0));
            assert_eq!(facts(k).positive, Some(true));
        }
    }

    #[test]
    fn cells_that_are_wrong_are_located() {
        let mut k = Mat::from_fn(4, 4, |i, j| if i == j { 1.0 } else { 0.1 });
        k[(1, 2)] = 0.7;
        let f = facts(k.clone());
        assert_eq!((f.asymmetry_at, f.positive), ((1, 2), None));
        assert!((f.asymmetry - 0.6).abs() < 1e-15);
        k[(3, 0)] = f64::NAN;
        assert_eq!((facts(k.clone()).non_finite, facts(k).non_finite_at), (1, Some((3, 0))));
    }
}
