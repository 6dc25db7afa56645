//! Householder's reflectors of columns: one after another, and many at a time in matrix products by their compact form (Schreiber and Van Loan 1989).

use super::lower_triangle::{pass, subtract_both};
use super::{axpy, clear_registers, columns_of, dot, norm, product};
use crate::runtime::error::Result;
use crate::runtime::stop::{self, pieces};
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatMut, MatRef, Par};
use std::ops::Range;

/// Columns that are worked on together.
const WIDE: usize = 32;

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

    /// Those of columns, of which each is turned by all before it and reflected onto the next axis where `keep` says so of its number, of itself and of
    /// how many axes are taken. Columns end as H'x. Gives the numbers of those kept, each with what it is along its axis.
    pub(crate) fn of_columns(
        x: &mut Mat<f64>,
        mut keep: impl FnMut(usize, &[f64], usize) -> bool,
    ) -> Result<(Self, Vec<(usize, f64)>)> {
        let (mut h, mut kept) = (Self::new(x.nrows()), vec![]);
        let mut before: Vec<Compact> = vec![];
        for first in (0..x.ncols()).step_by(WIDE) {
            let (count, taken) = (WIDE.min(x.ncols() - first), h.len());
            for earlier in &before {
                stop::check()?;
                earlier.transpose_multiply(x.subcols_mut(first, count), Par::Seq);
            }
            for j in first..first + count {
                let column = x.col_as_slice_mut(j);
                (taken..h.len()).for_each(|k| h.reflect(k, column));
                if keep(j, column, h.len()) {
                    kept.push((j, h.push(column)));
                }
            }
            before.push(h.compact(taken..h.len()));
        }
        Ok((h, kept))
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

    /// First `len()` columns of H. A request to stop leaves them unfinished.
    pub(crate) fn thin(&self) -> Vec<Vec<f64>> {
        let r = self.len();
        let mut h = Mat::from_fn(self.n, r, |i, j| f64::from(i == j));
        let blocks: Vec<Range<usize>> = pieces(r, WIDE).collect();
        for some in blocks.into_iter().rev() {
            // columns before are turned by earlier reflectors alone
            let later = h.as_mut().subcols_mut(some.start, r - some.start);
            self.compact(some).multiply(later);
        }
        columns_of(h.as_ref())
    }

    /// F <- H' F, in matrix products.
    pub(crate) fn transpose_multiply(&self, f: MatMut<'_, f64>, par: Par) {
        if !self.is_empty() {
            self.compact(0..self.len()).transpose_multiply(f, par);
        }
    }

    fn compact(&self, some: Range<usize>) -> Compact {
        let (first, r) = (some.start, some.len());
        let v = Mat::from_fn(self.n - first, r, |i, j| self.v[first + j][first + i]);
        let cross = product(v.transpose(), v.as_ref(), Par::Seq);
        let mut t = Mat::<f64>::zeros(r, r);
        for j in 0..r {
            let tau = self.tau[first + j];
            let (before, mut column) = t.as_mut().split_at_col_mut(j);
            for l in 0..j {
                let share = -tau * cross[(l, j)];
                (0..=l).for_each(|i| column[(i, 0)] += before[(i, l)] * share);
            }
            column[(j, 0)] = tau;
        }
        Compact { first, v, t }
    }

    /// M <- H' M H for a symmetric M, its lower triangle: M - Z V' - V Z' with Z = M V T - V (T' V' M V T) / 2.
    pub(crate) fn conjugate(&self, mut m: MatMut<'_, f64>, par: Par) {
        if self.is_empty() {
            return;
        }
        let Compact { v, t, .. } = self.compact(0..self.len());
        let (n, r) = (v.nrows(), v.ncols());
        let mut mv = Mat::zeros(n, r);
        pass(m.as_mut(), None, v.as_ref(), mv.as_mut(), par);
        let mut z = product(mv.as_ref(), t.as_ref(), par);
        let vz = product(v.transpose(), z.as_ref(), par);
        let g = product(t.transpose(), vz.as_ref(), par);
        matmul(z.as_mut(), Accum::Add, v.as_ref(), g.as_ref(), -0.5, par);
        let beside = Mat::from_fn(n, 3 * r, |i, j| if j / r == 1 { z[(i, j - r)] } else { v[(i, j % r)] });
        subtract_both(m, beside.as_ref(), par);
        clear_registers();
    }
}

/// Some reflectors in a row: I - V T V', T upper triangular, V from row `first` on.
struct Compact {
    first: usize,
    v: Mat<f64>,
    t: Mat<f64>,
}

impl Compact {
    /// F <- (I - V T V') F
    fn multiply(&self, f: MatMut<'_, f64>) {
        self.turn(self.t.as_ref(), f, Par::Seq);
    }

    /// F <- (I - V T' V') F
    fn transpose_multiply(&self, f: MatMut<'_, f64>, par: Par) {
        self.turn(self.t.transpose(), f, par);
    }

    fn turn(&self, t: MatRef<'_, f64>, f: MatMut<'_, f64>, par: Par) {
        let below = f.nrows() - self.first;
        let mut f = f.subrows_mut(self.first, below);
        let vf = product(self.v.transpose(), f.as_ref(), par);
        let tvf = product(t, vf.as_ref(), par);
        matmul(f.as_mut(), Accum::Add, self.v.as_ref(), tvf.as_ref(), -1.0, par);
        clear_registers();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(n: usize, p: usize) -> Mat<f64> {
        // every seventh follows from the two before it
        let entry = |i: usize, j: usize| f64::sin((1 + i * (j + 2) + j) as f64);
        Mat::from_fn(n, p, |i, j| match j % 7 {
            6 => entry(i, j - 1) - 2.0 * entry(i, j - 2),
            _ => entry(i, j),
        })
    }

    fn independent(_: usize, x: &[f64], taken: usize) -> bool {
        norm(&x[taken..]) > 1e-9
    }

    #[test]
    fn many_columns_at_a_time_are_those_one_after_another() {
        for (n, p) in [(6, 3), (40, 31), (90, 33), (150, 100), (100, 110)] {
            let (x, mut turned) = (columns(n, p), columns(n, p));
            let (h, kept) = Reflectors::of_columns(&mut turned, independent).unwrap();
            let (mut slow, mut diagonal) = (Reflectors::new(n), vec![]);
            for (j, column) in columns_of(x.as_ref()).iter_mut().enumerate() {
                slow.transpose_apply(column);
                if independent(j, column, slow.len()) {
                    diagonal.push((j, slow.push(column)));
                }
            }
            assert_eq!(kept.len(), diagonal.len());
            assert_eq!(kept.len(), (p - p / 7).min(n));
            for (one, other) in kept.iter().zip(&diagonal) {
                assert!(one.0 == other.0 && (one.1 - other.1).abs() < 1e-11);
            }
            let close = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-11);
            assert!(h.v.iter().zip(&slow.v).all(|(a, b)| close(a, b)));
            for (j, thin) in h.thin().iter().enumerate() {
                let mut axis = vec![0.0; n];
                axis[j] = 1.0;
                slow.apply(&mut axis);
                assert!(close(thin, &axis));
            }
        }
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
