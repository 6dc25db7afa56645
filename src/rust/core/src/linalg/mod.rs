//! Small dense helpers: powers of two that scale without rounding, Householder reflectors, products, a Cholesky generic in its scalar.

pub(crate) mod band;
pub(crate) mod chase;
pub(crate) mod cholesky;
pub(crate) mod decomposition;
pub(crate) mod eigen;
mod lower_triangle;
pub(crate) mod pivoted_cholesky;
mod products;
pub(crate) mod ql;
pub(crate) mod rank_one;
pub(crate) mod secular;
pub(crate) mod sparse_cholesky;
pub(crate) mod sparse_inverse;

use crate::runtime::stop::pieces;
use faer::linalg::matmul::matmul;
use faer::{Accum, ColRef, Mat, MatMut, MatRef, Par};
use lower_triangle::{lower_times, subtract_both};
use num_dual::DualNumCopy;
pub(crate) use products::{product, put_product};
use std::hint::black_box;

/// A number that the objective can be evaluated with: `f64` for the value, dual numbers for derivatives.
pub trait Scalar: DualNumCopy<Primitive = f64> {}
impl<T: DualNumCopy<Primitive = f64>> Scalar for T {}

/// Largest power of two not above `x`: multiplying by it or its inverse is exact. 1 for 0.
pub(crate) fn power_of_two(x: f64) -> f64 {
    if x > 0.0 && x.is_finite() {
        x.log2().floor().clamp(-1022.0, 1023.0).exp2()
    } else {
        1.0
    }
}

pub(crate) fn max_abs(x: impl IntoIterator<Item = f64>) -> f64 {
    x.into_iter().fold(0.0, |m, v| v.abs().max(m))
}

pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let n = a.len().min(b.len());
    let (a, b) = (&a[..n], &b[..n]);
    sum_of(n, |i| a[i] * b[i])
}

/// `sum_i log x_i` of positive numbers, eight at a time: of those whose product is beyond what a double can hold, one by one.
pub(crate) fn sum_of_logs(x: &[f64]) -> f64 {
    let log = |some: &[f64]| {
        let product: f64 = some.iter().product();
        match product.is_normal() {
            true => product.ln(),
            false => some.iter().map(|x| x.ln()).sum(),
        }
    };
    x.chunks(8).map(log).sum()
}

/// Sum of terms 0..n, by partial sums: additions need not wait for one another.
pub(crate) fn sum_of<D: Scalar>(n: usize, term: impl Fn(usize) -> D) -> D {
    const LANES: usize = 8;
    let mut partial = [D::from(0.0); LANES];
    let whole = n - n % LANES;
    for first in (0..whole).step_by(LANES) {
        for (lane, sum) in partial.iter_mut().enumerate() {
            *sum += term(first + lane);
        }
    }
    let tail = (whole..n).fold(D::from(0.0), |sum, i| sum + term(i));
    partial.into_iter().fold(tail, |sum, part| sum + part)
}

/// sum_i a_i b_i / (h lambda_i + g): the quadratic form that every likelihood term is made of.
pub(crate) fn weighted<D: Scalar>(a: &[f64], b: &[f64], inverse: &[D]) -> D {
    let n = a.len().min(b.len()).min(inverse.len());
    let (a, b, inverse) = (&a[..n], &b[..n], &inverse[..n]);
    sum_of(n, |i| inverse[i] * (a[i] * b[i]))
}

pub(crate) fn norm(a: &[f64]) -> f64 {
    let scale = power_of_two(max_abs(a.iter().copied()));
    scale * a.iter().map(|x| (x / scale).powi(2)).sum::<f64>().sqrt()
}

/// y <- y + a x
pub(crate) fn axpy(a: f64, x: &[f64], y: &mut [f64]) {
    for (yi, xi) in y.iter_mut().zip(x) {
        *yi += a * xi;
    }
}

/// Linear combination of columns of length n.
pub(crate) fn combine(columns: &[Vec<f64>], v: &[f64], n: usize) -> Vec<f64> {
    let mut sum = vec![0.0; n];
    columns.iter().zip(v).for_each(|(column, a)| axpy(*a, column, &mut sum));
    sum
}

/// Orthogonal matrix H = H_1 H_2 ... H_r of Householder reflectors H_j = I - tau_j v_j v_j'.
///
/// `v` holds the vectors (zero above the diagonal, one on it).
#[derive(Debug, Clone, Default)]
pub struct Reflectors {
    n: usize,
    v: Vec<Vec<f64>>,
    tau: Vec<f64>,
}

impl Reflectors {
    pub(crate) fn new(n: usize) -> Self {
        Self { n, ..Self::default() }
    }

    /// From vectors v_j and numbers tau_j.
    pub fn from_parts(n: usize, v: Vec<Vec<f64>>, tau: Vec<f64>) -> Self {
        Self { n, v, tau }
    }

    /// v_j, zero before entry j, and tau_j.
    pub fn parts(&self) -> (&[Vec<f64>], &[f64]) {
        (&self.v, &self.tau)
    }

    /// Length of the vectors that H acts on.
    pub fn rows(&self) -> usize {
        self.n
    }

    /// Number of reflectors.
    pub(crate) fn len(&self) -> usize {
        self.v.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.v.is_empty()
    }

    /// Reflect the entries from `len()` on of `x` (already multiplied by the transpose) onto the next axis.
    pub(crate) fn push(&mut self, x: &[f64]) -> f64 {
        let j = self.len();
        let length = norm(&x[j..]);
        let alpha = if x[j] > 0.0 { -length } else { length };
        let mut v = vec![0.0; self.n];
        let head = x[j] - alpha;
        let mut tau = 0.0;
        v[j] = 1.0;
        if head != 0.0 {
            for (vi, xi) in v[j + 1..].iter_mut().zip(&x[j + 1..]) {
                *vi = xi / head;
            }
            tau = 2.0 / dot(&v[j..], &v[j..]);
        }
        self.v.push(v);
        self.tau.push(tau);
        alpha
    }

    fn reflect(&self, j: usize, x: &mut [f64]) {
        let v = &self.v[j][j..];
        axpy(-self.tau[j] * dot(v, &x[j..]), v, &mut x[j..]);
    }

    /// x <- H' x
    pub(crate) fn transpose_apply(&self, x: &mut [f64]) {
        (0..self.len()).for_each(|j| self.reflect(j, x));
    }

    /// x <- H x
    pub(crate) fn apply(&self, x: &mut [f64]) {
        (0..self.len()).rev().for_each(|j| self.reflect(j, x));
    }

    /// First `len()` columns of H.
    pub(crate) fn thin(&self) -> Vec<Vec<f64>> {
        let column = |j| {
            let mut e = vec![0.0; self.n];
            e[j] = 1.0;
            self.apply(&mut e);
            e
        };
        (0..self.len()).map(column).collect()
    }

    /// Compact form H = I - V T V' with T upper triangular.
    fn compact(&self) -> (Mat<f64>, Mat<f64>) {
        let r = self.len();
        let v = Mat::from_fn(self.n, r, |i, j| self.v[j][i]);
        let mut t = Mat::<f64>::zeros(r, r);
        for j in 0..r {
            t[(j, j)] = self.tau[j];
            let cross: Vec<f64> = (0..j).map(|i| dot(&self.v[i], &self.v[j])).collect();
            for i in 0..j {
                let sum: f64 = (i..j).map(|l| t[(i, l)] * cross[l]).sum();
                t[(i, j)] = -self.tau[j] * sum;
            }
        }
        (v, t)
    }

    /// M <- H' M H for a symmetric M, its lower triangle: M - Z V' - V Z' with Z = M V T - V (T' V' M V T) / 2.
    pub(crate) fn conjugate(&self, m: MatMut<'_, f64>, par: Par) {
        if self.is_empty() {
            return;
        }
        let (v, t) = self.compact();
        let (n, r) = (v.nrows(), v.ncols());
        let mut mv = Mat::zeros(n, r);
        lower_times(m.as_ref(), v.as_ref(), mv.as_mut(), par);
        let mut z = product(mv.as_ref(), t.as_ref(), par);
        let vz = product(v.transpose(), z.as_ref(), par);
        let g = product(t.transpose(), vz.as_ref(), par);
        matmul(z.as_mut(), Accum::Add, v.as_ref(), g.as_ref(), -0.5, par);
        let beside = Mat::from_fn(n, 3 * r, |i, j| if j / r == 1 { z[(i, j - r)] } else { v[(i, j % r)] });
        subtract_both(m, beside.as_ref(), par);
        clear_registers();
    }
}

impl Reflectors {
    /// F <- H' F, in matrix products: F - V T' (V' F).
    pub(crate) fn transpose_multiply(&self, mut f: MatMut<'_, f64>, par: Par) {
        if self.is_empty() {
            return;
        }
        let (v, t) = self.compact();
        let vf = product(v.transpose(), f.as_ref(), par);
        let tvf = product(t.transpose(), vf.as_ref(), par);
        matmul(f.as_mut(), Accum::Add, v.as_ref(), tvf.as_ref(), -1.0, par);
        clear_registers();
    }
}

/// C <- C + A B, A of few columns.
pub(crate) fn add_product(c: MatMut<'_, f64>, a: MatRef<'_, f64>, b: MatRef<'_, f64>) {
    matmul(c, Accum::Add, a, b, 1.0, Par::Seq);
    clear_registers();
}

/// Lower triangle of A'B, which is known to be symmetric; what stands above it means nothing.
pub(crate) fn symmetric_product(a: MatRef<'_, f64>, b: MatRef<'_, f64>, par: Par) -> Mat<f64> {
    let n = a.ncols();
    let mut c = Mat::zeros(n, n);
    for part in pieces(n, share(2.0 * (a.nrows() * n) as f64).min(WIDEST)) {
        let (first, rest) = (part.start, n - part.start);
        let below = c.as_mut().submatrix_mut(first, first, rest, part.len());
        let (rows, columns) = (a.subcols(first, rest).transpose(), b.subcols(first, part.len()));
        matmul(below, Accum::Replace, rows, columns, 1.0, par);
    }
    clear_registers();
    c
}

/// Columns of a symmetric product beside one another: half of their square is computed in vain.
const WIDEST: usize = 256;

/// A matrix entry by entry, in tiles: an entry that looks at the mirror image of another finds it in the cache. A request to stop leaves it unfinished.
pub(crate) fn by_entries(m: usize, n: usize, entry: impl Fn(usize, usize) -> f64) -> Mat<f64> {
    const TILE: usize = 64;
    let mut c = Mat::zeros(m, n);
    for columns in pieces(n, TILE) {
        for first in (0..m).step_by(TILE) {
            for j in columns.clone() {
                let tile = &mut c.col_as_slice_mut(j)[first..m.min(first + TILE)];
                tile.iter_mut().zip(first..).for_each(|(c, i)| *c = entry(i, j));
            }
        }
    }
    c
}

/// Rows or columns that are worked on between two looks for a request to stop, where each takes so many operations: some hundredths of a second.
pub(crate) fn share(operations: f64) -> usize {
    const AT_ONCE: f64 = 2e9;
    const LEAST: usize = 16;
    // nothing to do is one piece, whatever its size
    (AT_ONCE / operations.max(1.0)) as usize / LEAST * LEAST + LEAST
}

/// Matrix products leave the upper halves of this thread's vector registers in use, and scalar code that follows, logarithms above all, is
/// then up to 40 times slower. A sum in vector code ends with the instruction that clears them.
pub fn clear_registers() {
    let x = [1.0; 64];
    black_box(ColRef::from_slice(black_box(&x)).norm_l2());
}

/// log|S| of a small symmetric positive definite S by Cholesky, `None` when a pivot is not positive.
///
/// `s` is the lower triangle by rows: `s[i][j]`, j <= i. It is overwritten with the factor.
pub(crate) fn log_det<D: Scalar>(s: &mut [Vec<D>]) -> Option<D> {
    let mut sum = D::from(0.0);
    for j in 0..s.len() {
        for i in j..s.len() {
            let mut entry = s[i][j];
            for (a, b) in s[i][..j].iter().zip(&s[j]) {
                entry -= *a * *b;
            }
            s[i][j] = if i > j { entry / s[j][j] } else { entry };
            if i == j {
                if entry.re().is_nan() || entry.re() <= 0.0 {
                    return None;
                }
                sum += entry.ln();
                s[j][j] = entry.sqrt();
            }
        }
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_of_products_beyond_doubles_are_sums_of_logs() {
        let x: Vec<f64> = (0..21)
            .map(|i| 10.0_f64.powi([-60, 50, 0][i / 8]) * (1.0 + i as f64))
            .collect();
        let sum: f64 = x.iter().map(|x| x.ln()).sum();
        assert!((sum_of_logs(&x) - sum).abs() < 1e-11);
        assert_eq!(sum_of_logs(&[]), 0.0);
    }

    #[test]
    fn log_det_of_a_known_matrix() {
        // det [4 2 1; 2 5 3; 1 3 6] = 67
        let mut s = vec![vec![4.0], vec![2.0, 5.0], vec![1.0, 3.0, 6.0]];
        assert!((log_det(&mut s).unwrap() - f64::ln(67.0)).abs() < 1e-14);
        assert!(log_det(&mut [vec![1.0], vec![2.0, 1.0]]).is_none());
    }

    #[test]
    fn conjugation_equals_reflecting_rows_then_columns() {
        let mut h = Reflectors::new(6);
        for k in 0..3 {
            let mut x: Vec<f64> = (0..6).map(|i| f64::sin((1 + i * (k + 2)) as f64)).collect();
            h.transpose_apply(&mut x);
            h.push(&x);
        }
        let mut m = Mat::from_fn(6, 6, |i, j| 1.0 / (1 + i + j) as f64);
        let mut slow = m.clone();
        for _ in 0..2 {
            for j in 0..6 {
                let mut column: Vec<f64> = slow.col(j).iter().copied().collect();
                h.transpose_apply(&mut column);
                (0..6).for_each(|i| slow[(i, j)] = column[i]);
            }
            slow = slow.transpose().to_owned();
        }
        h.conjugate(m.as_mut(), Par::Seq);
        (0..6).for_each(|j| (j..6).for_each(|i| assert!((m[(i, j)] - slow[(i, j)]).abs() < 1e-14)));
    }
}
