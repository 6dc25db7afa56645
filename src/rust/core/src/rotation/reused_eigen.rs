//! A factor with orthogonal columns, W = U diag(lambda)^(1/2), is a decomposition made before: X is projected out of it one direction at a time
//! (`compress`), in n^2 instead of n^3.
//!
//! The coordinates are those along U and along what span(X) has outside of it, where the kernel is zero.

use crate::linalg::rank_one::{Diagonal, Removed};
use crate::linalg::{axpy, dot, norm, power_of_two};
use faer::{Mat, MatRef};

pub struct Orthogonal {
    /// Eigenvalues of the projected kernel, the rotated response, and K12 and K11 in the basis Q1.
    pub values: Vec<f64>,
    pub y: Vec<f64>,
    pub b: Vec<Vec<f64>>,
    pub k11: Vec<Vec<f64>>,
    pub y1: Vec<f64>,
    /// Square of what no coordinate holds of y, and the number of directions without one.
    pub rho: f64,
    pub n_rest: usize,
    /// Unit of W.
    pub unit: f64,
    /// Roots of lambda, U'y and U'Q1.
    root: Vec<f64>,
    uy: Vec<f64>,
    uq: Vec<Vec<f64>>,
}

impl Orthogonal {
    /// `w`: n x k with orthogonal columns, rows in the order of the data; `q1`: orthonormal basis of span(X) by columns.
    pub fn new(w: MatRef<'_, f64>, row: &[usize], q1: &[Vec<f64>], y: &[f64]) -> Self {
        let (n, k) = (row.len(), w.ncols());
        let lengths: Vec<f64> = (0..k)
            .map(|c| norm(&row.iter().map(|&i| w[(i, c)]).collect::<Vec<_>>()))
            .collect();
        let unit = power_of_two(lengths.iter().copied().fold(0.0, f64::max));
        let cut = n as f64 * f64::EPSILON * unit;
        let columns: Vec<usize> = (0..k).filter(|&c| lengths[c] > cut).collect();
        let u = Mat::from_fn(n, columns.len(), |i, c| w[(row[i], columns[c])] / lengths[columns[c]]);
        let along = |v: &[f64]| -> Vec<f64> {
            (0..u.ncols())
                .map(|c| dot(u.col(c).try_as_col_major().map_or(&[], |c| c.as_slice()), v))
                .collect()
        };
        let uq: Vec<Vec<f64>> = q1.iter().map(|q| along(q)).collect();
        let uy = along(y);
        let mut outside = Outside { basis: vec![] };
        q1.iter()
            .zip(&uq)
            .for_each(|(q, uq)| outside.extend(&without(&u, q, uq)));
        let mut rest = without(&u, y, &uy);
        let join = |inner: &[f64], v: &[f64]| [inner, &outside.along(v)].concat();
        let vectors: Vec<Vec<f64>> = std::iter::once(join(&uy, &rest))
            .chain(q1.iter().zip(&uq).map(|(q, uq)| join(uq, &without(&u, q, uq))))
            .collect();
        outside.subtract(&mut rest);
        let lambda = columns.iter().map(|&c| (lengths[c] / unit).powi(2));
        let values = lambda.chain(std::iter::repeat_n(0.0, outside.basis.len())).collect();
        let n_rest = n - columns.len() - outside.basis.len();
        let mut projected = Self::project(Diagonal { values, vectors }, q1.len());
        projected.rho = norm(&rest).powi(2) * f64::from(n_rest > 0);
        projected.n_rest = n_rest;
        projected.unit = unit;
        projected.root = lengths.iter().map(|l| l / unit).collect();
        (projected.uy, projected.uq) = (
            scatter(&uy, &columns, k),
            uq.iter().map(|q| scatter(q, &columns, k)).collect(),
        );
        projected
    }

    /// Vectors: y, then the r directions of X.
    fn project(mut diagonal: Diagonal, r: usize) -> Self {
        let (mut k11, mut y1) = (vec![vec![0.0; r]; r], vec![]);
        #[allow(clippy::needless_range_loop)] // j is a row and a column
        for j in 0..r {
            let q = diagonal.vectors.remove(1);
            let Removed { along, square } = diagonal.remove(&q);
            y1.push(along[0]);
            // after y come the directions that are left, then K12 of those that are gone
            let gone = &along[r - j..];
            gone.iter().enumerate().for_each(|(i, entry)| k11[i][j] = *entry);
            k11[j][..j].copy_from_slice(gone);
            k11[j][j] = square;
        }
        let mut rows = diagonal.vectors.into_iter();
        let y = rows.next().unwrap_or_default();
        let values: Vec<f64> = diagonal.values.iter().map(|v| v.max(0.0)).collect();
        Self {
            values,
            y,
            b: rows.collect(),
            k11,
            y1,
            rho: 0.0,
            n_rest: 0,
            unit: 1.0,
            root: vec![],
            uy: vec![],
            uq: vec![],
        }
    }

    /// Best linear unbiased prediction of the weights on the columns of W: h W' H^-1 (y - Q1 c), with c the coordinates of beta.
    pub fn weights(&self, c: &[f64], h: f64, g: f64) -> Vec<f64> {
        let residual = |i: usize| self.uy[i] - c.iter().zip(&self.uq).map(|(c, q)| c * q[i]).sum::<f64>();
        let one = |(i, root): (usize, &f64)| {
            let total = h * root * root + g;
            if total > 0.0 {
                h * root / total * residual(i)
            } else {
                0.0
            }
        };
        self.root.iter().enumerate().map(one).collect()
    }
}

/// v - U U'v, twice: what the first pass leaves is rounding of the first pass.
fn without(u: &Mat<f64>, v: &[f64], along: &[f64]) -> Vec<f64> {
    let subtract = |v: &[f64], along: &Mat<f64>| -> Vec<f64> {
        let inside = u * along;
        v.iter().enumerate().map(|(i, x)| x - inside[(i, 0)]).collect()
    };
    let once = subtract(v, &Mat::from_fn(along.len(), 1, |i, _| along[i]));
    let again = u.transpose() * Mat::from_fn(once.len(), 1, |i, _| once[i]);
    subtract(&once, &again)
}

/// Entries of the columns that count, zero for the others.
fn scatter(x: &[f64], columns: &[usize], k: usize) -> Vec<f64> {
    let mut all = vec![0.0; k];
    columns.iter().zip(x).for_each(|(&c, x)| all[c] = *x);
    all
}

/// Orthonormal basis of what span(X) has outside of U.
struct Outside {
    basis: Vec<Vec<f64>>,
}

impl Outside {
    /// Q1 has length one: what is left of it below rounding is no direction.
    fn extend(&mut self, v: &[f64]) {
        let mut v = v.to_vec();
        self.subtract(&mut v);
        let length = norm(&v);
        if length > f64::EPSILON * v.len() as f64 {
            v.iter_mut().for_each(|x| *x /= length);
            self.subtract(&mut v);
            let length = norm(&v);
            v.iter_mut().for_each(|x| *x /= length);
            self.basis.push(v);
        }
    }

    fn along(&self, v: &[f64]) -> Vec<f64> {
        self.basis.iter().map(|b| dot(b, v)).collect()
    }

    fn subtract(&self, v: &mut [f64]) {
        for _ in 0..2 {
            self.basis.iter().for_each(|b| axpy(-dot(b, v), b, v));
        }
    }
}
