//! A kernel given as a matrix: what can be wrong with it, and its symmetric part.

use crate::kernel::mirrored::{Mirrored, SIDE};
use crate::linalg::cholesky::Cholesky;
use crate::linalg::eigen::eigen;
use crate::linalg::{by_entries, clear_registers, max_abs, power_of_two, product};
use crate::runtime::error::Result;
use crate::runtime::memory::claim;
use crate::runtime::parallel::{Workers, worth};
use crate::runtime::stop;
use faer::{Mat, MatMut, MatRef, Par};
use rayon::prelude::*;

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

    /// Lower triangle between some rows; what stands above it means nothing.
    pub(crate) fn lower(&self, rows: &[usize], par: Par) -> Mat<f64> {
        let mut lower = Mat::zeros(rows.len(), rows.len());
        let mirrored = Mirrored::new(self.0, rows);
        let strip = |(strip, mut columns): (usize, MatMut<'_, f64>)| {
            mirrored.strip(strip, |j, rows, below, above| {
                let column = columns
                    .as_mut()
                    .col_mut(j - strip * SIDE)
                    .subrows_mut(rows.start, rows.len());
                let pairs = below.iter().zip(above);
                column
                    .iter_mut()
                    .zip(pairs)
                    .for_each(|(k, (a, b))| *k = 0.5 * a + 0.5 * b);
            });
        };
        let strips = lower.as_mut().par_col_chunks_mut(SIDE).enumerate();
        match worth(8.0 * (rows.len() as f64).powi(2), par) {
            Par::Seq => strips.with_min_len(mirrored.strips().max(1)).for_each(strip),
            _ => strips.with_max_len(2).for_each(strip),
        }
        lower
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
    let (n, mut facts) = (k.nrows(), Facts::default());
    let (all, mut total) = ((0..n).collect::<Vec<_>>(), Look::default());
    let mut worst = 0.0;
    Mirrored::new(k, &all).each(|j, rows, below, above| {
        let look = Look::new(below, above);
        if look.gap > worst {
            worst = look.gap;
            let gaps = rows.zip(below.iter().zip(above).map(|(a, b)| (a - b).abs()));
            let at = gaps.fold((j, 0.0), |best, (i, gap)| if gap > best.1 { (i, gap) } else { best });
            facts.asymmetry_at = (at.0.min(j), at.0.max(j));
        }
        total = total.with(look);
    });
    facts.max_abs = total.size;
    if total.not_finite {
        locate_non_finite(k, &mut facts);
    }
    facts.mean_diag = (0..n).map(|j| k[(j, j)] / n as f64).sum();
    facts.asymmetry = if worst > 0.0 { worst / facts.max_abs } else { 0.0 };
    facts
}

/// What there is in some entries and in their mirror images.
#[derive(Clone, Copy, Default)]
struct Look {
    /// The largest difference.
    gap: f64,
    size: f64,
    not_finite: bool,
}

impl Look {
    /// By eight maxima: comparisons need not wait for one another.
    fn new(one: &[f64], other: &[f64]) -> Self {
        const LANES: usize = 8;
        let larger = |a: f64, b: f64| if a > b { a } else { b };
        let (mut gap, mut size, mut zero) = ([0.0; LANES], [0.0; LANES], [0.0; LANES]);
        let mut look = |lane: usize, a: f64, b: f64| {
            gap[lane] = larger((a - b).abs(), gap[lane]);
            size[lane] = larger(larger(a.abs(), b.abs()), size[lane]);
            // NaN of what is not finite
            zero[lane] += 0.0 * a + 0.0 * b;
        };
        let ((ones, one), (others, other)) = (one.as_chunks::<LANES>(), other.as_chunks::<LANES>());
        for (a, b) in ones.iter().zip(others) {
            (0..LANES).for_each(|lane| look(lane, a[lane], b[lane]));
        }
        one.iter().zip(other).for_each(|(a, b)| look(0, *a, *b));
        Self {
            gap: max_abs(gap),
            size: max_abs(size),
            not_finite: zero.iter().any(|zero| zero.is_nan()),
        }
    }

    fn with(self, other: Self) -> Self {
        Self {
            gap: self.gap.max(other.gap),
            size: self.size.max(other.size),
            not_finite: self.not_finite || other.not_finite,
        }
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

/// Cholesky of K + e |K| I, for rounding e: succeeds just when no eigenvalue lies below -e |K|. Else the eigenvalues tell.
fn positive(k: Dense<'_>, scale: f64, tolerance: f64, par: Par, facts: &mut Facts) -> Result<()> {
    let n = k.n();
    let rounding = psd_tolerance(n, None);
    let mut factor = k.lower(&(0..n).collect::<Vec<_>>(), par);
    factor
        .as_mut()
        .col_iter_mut()
        .for_each(|column| column.iter_mut().for_each(|k| *k /= scale));
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
