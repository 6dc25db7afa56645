//! A kernel given as a matrix: what can be wrong with it, and its symmetric part.

use crate::linalg::cholesky::Cholesky;
use crate::linalg::eigen::eigen;
use crate::linalg::{by_entries, clear_registers, max_abs, power_of_two, product};
use crate::runtime::error::Result;
use crate::runtime::memory::claim;
use crate::runtime::parallel::Workers;
use crate::runtime::stop::{self, pieces};
use faer::{Mat, MatRef, Par};
use std::ops::Range;

/// Largest relative asymmetry of a symmetric matrix: files hold ten digits, or numbers in single precision.
pub(crate) const ASYMMETRY_TOLERANCE: f64 = 1e-6;

/// Relative size of a negative eigenvalue, for the same reason, that is set to zero.
pub(crate) const NEGATIVE_TOLERANCE: f64 = 1e-6;

/// View of a square matrix, read through its symmetric part.
#[derive(Clone, Copy)]
pub struct Dense<'a>(pub MatRef<'a, f64>);

impl Dense<'_> {
    pub(crate) fn entry(&self, i: usize, j: usize) -> f64 {
        0.5 * self.0[(i, j)] + 0.5 * self.0[(j, i)]
    }

    pub(crate) fn n(&self) -> usize {
        self.0.nrows()
    }
}

/// Relative size below which an eigenvalue of an n x n kernel is rounding.
pub(crate) fn psd_tolerance(n: usize, tolerance: Option<f64>) -> f64 {
    tolerance.unwrap_or(10.0 * n as f64 * f64::EPSILON)
}

/// What a look at a matrix says of its use as a kernel.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facts {
    /// Number of cells that are not finite.
    pub non_finite: usize,
    /// First cell that is not finite.
    pub non_finite_at: Option<(usize, usize)>,
    /// max|K - K'| / max|K| and where.
    pub asymmetry: f64,
    /// The cell of the largest `|K - K'|`, row and column from 0.
    pub asymmetry_at: (usize, usize),
    /// `max|K|`
    pub max_abs: f64,
    /// Mean of the diagonal.
    pub mean_diag: f64,
    /// Positive semidefinite up to the tolerance; `None` when that was not asked because something above is wrong.
    pub positive: Option<bool>,
    /// Extreme eigenvalues, computed only for a matrix that is not positive semidefinite up to rounding.
    pub extremes: Option<(f64, f64)>,
    /// The nearest positive semidefinite matrix, where negative eigenvalues are larger than rounding and not than the tolerance.
    pub projected: Option<Mat<f64>>,
}

/// Examine a square matrix; `tolerance`, by default `NEGATIVE_TOLERANCE`, is relative to its largest eigenvalue.
pub fn examine(k: MatRef<'_, f64>, tolerance: Option<f64>, threads: usize) -> Result<Facts> {
    let mut facts = scan(k);
    let usable = facts.non_finite == 0 && facts.asymmetry <= ASYMMETRY_TOLERANCE;
    if usable && facts.max_abs > 0.0 {
        claim((k.nrows() as f64).powi(2))?;
        let tolerance = tolerance.unwrap_or(NEGATIVE_TOLERANCE);
        let scale = power_of_two(facts.max_abs);
        let workers = Workers::for_operations((k.nrows() as f64).powi(3), threads)?;
        workers.run(|par| positive(Dense(k), scale, tolerance, par, &mut facts))?;
    }
    Ok(facts)
}

/// Look at the entries of a square matrix, once, and no further.
pub fn scan(k: MatRef<'_, f64>) -> Facts {
    let n = k.nrows();
    let mut facts = Facts::default();
    let (mut worst, mut trace) = (0.0, 0.0);
    for columns in pieces(n, BLOCK) {
        let look = Look::new(k, columns.clone());
        for (j, (gap, i)) in columns.clone().zip(look.gaps) {
            if gap > worst {
                (worst, facts.asymmetry_at) = (gap, (i, j));
            }
        }
        trace += columns.map(|j| k[(j, j)] / n as f64).sum::<f64>();
        facts.max_abs = facts.max_abs.max(look.max_abs);
        facts.non_finite += usize::from(!look.finite);
    }
    if facts.non_finite > 0 {
        locate_non_finite(k, &mut facts);
    }
    facts.mean_diag = trace;
    facts.asymmetry = if worst > 0.0 { worst / facts.max_abs } else { 0.0 };
    facts
}

/// What there is in some columns down to the diagonal, and in the rows across it.
struct Look {
    /// The largest difference of each column from its row, and where.
    gaps: Vec<(f64, usize)>,
    max_abs: f64,
    finite: bool,
}

impl Look {
    /// The columns of a block at once: their lines stay in the cache.
    fn new(k: MatRef<'_, f64>, columns: Range<usize>) -> Self {
        let mut look = Self {
            gaps: vec![(0.0, 0); columns.len()],
            max_abs: 0.0,
            finite: true,
        };
        for i in 0..columns.end {
            let from = columns.start.max(i);
            let of_row = k.col(i).subrows(from, columns.end - from);
            for (j, other) in (from..columns.end).zip(of_row.iter()) {
                let one = k[(i, j)];
                let (gap, size) = ((one - other).abs(), one.abs().max(other.abs()));
                look.max_abs = look.max_abs.max(size);
                look.finite &= one.is_finite() && other.is_finite();
                if gap > look.gaps[j - columns.start].0 {
                    look.gaps[j - columns.start] = (gap, i);
                }
            }
        }
        look
    }
}

/// How many cells are not finite, and the first of them.
fn locate_non_finite(k: MatRef<'_, f64>, facts: &mut Facts) {
    facts.non_finite = 0;
    for j in 0..k.ncols() {
        for i in 0..k.nrows() {
            if !k[(i, j)].is_finite() {
                facts.non_finite += 1;
                facts.non_finite_at.get_or_insert((i, j));
            }
        }
    }
}

/// Columns that are looked at together, and between two looks for a request to stop.
const BLOCK: usize = 64;

/// Cholesky of K + e |K| I, for rounding e: succeeds just when no eigenvalue lies below -e |K|. Else the eigenvalues tell.
fn positive(k: Dense<'_>, scale: f64, tolerance: f64, par: Par, facts: &mut Facts) -> Result<()> {
    let n = k.n();
    let rounding = psd_tolerance(n, None);
    let mut factor = by_entries(n, n, |i, j| if i >= j { k.entry(i, j) / scale } else { 0.0 });
    let shift = rounding * norm_bound(factor.as_ref());
    (0..n).for_each(|i| factor[(i, i)] += shift);
    let positive = Cholesky::new(factor, par).is_some();
    stop::check()?;
    facts.positive = Some(positive);
    if !positive {
        claim((n as f64).powi(2))?;
        let whole = by_entries(n, n, |i, j| k.entry(i, j) / scale);
        let (values, vectors) = eigen(whole, par)?;
        let (min, max) = (values[0], values[n - 1]);
        facts.positive = Some(min >= -tolerance.max(rounding) * max);
        facts.extremes = Some((min * scale, max * scale));
        if facts.positive == Some(true) && min < -rounding * max {
            claim(3.0 * (n as f64).powi(2))?;
            facts.projected = Some(without_negative(k, scale, &values, vectors.as_ref(), par));
        }
    }
    Ok(())
}

/// K less its negative part, sum of lambda v v' over lambda < 0; values ascending.
fn without_negative(k: Dense<'_>, scale: f64, values: &[f64], vectors: MatRef<'_, f64>, par: Par) -> Mat<f64> {
    let n = k.n();
    let negative = values.partition_point(|v| *v < 0.0);
    let root = Mat::from_fn(n, negative, |i, j| vectors[(i, j)] * (-values[j]).sqrt());
    let part = product(root.as_ref(), root.transpose(), par);
    clear_registers();
    by_entries(n, n, |i, j| k.entry(i, j) + scale * part[(i.max(j), i.min(j))])
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
    fn small_negative_eigenvalues_are_set_to_zero_and_larger_ones_are_not() {
        let x = |i: usize, j: usize| f64::sin((1 + 7 * i + 13 * j + i * j) as f64);
        for (size, scale) in [(1e-7, 1.0), (1e-7, 1e140), (1e-9, 1e-140)] {
            let w = Mat::from_fn(30, 10, x);
            let clean = &w * w.transpose();
            let max = eigen(clean.clone(), Par::Seq).unwrap().0[29];
            let shifted = Mat::from_fn(30, 30, |i, j| {
                scale * (clean[(i, j)] - if i == j { size * max } else { 0.0 })
            });
            let f = facts(shifted.clone());
            let (min, _) = f.extremes.unwrap();
            assert_eq!(f.positive, Some(true));
            assert!((min / (scale * max) + size).abs() < 1e-13);
            let k = f.projected.unwrap();
            assert_eq!(facts(k.clone()).projected, None);
            assert!((0..30).all(|j| (0..j).all(|i| k[(i, j)] == k[(j, i)])));
            let back = |i: usize, j: usize| k[(i, j)] / scale - shifted[(i, j)] / scale;
            let norm: f64 = (0..30)
                .flat_map(|j| (0..30).map(move |i| (i, j)))
                .map(|(i, j)| back(i, j).powi(2))
                .sum();
            assert!((norm.sqrt() - 20_f64.sqrt() * size * max).abs() < 1e-12 * max);
            assert_eq!(
                examine(shifted.as_ref(), Some(size / 2.0), 1).unwrap().positive,
                Some(false)
            );
        }
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
