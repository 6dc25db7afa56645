//! Which part of span(X) lies between groups, which within, and the basis of its complement.
//!
//! With Q1 an orthonormal basis of span(X), split by Z into a part between groups and a part within them (a cosine-sine
//! decomposition): `Q1 v_j = s_j Q_Z u_j + c_j w_j`. The complement of X on which the kernel acts is then spanned by
//! `c_j Q_Z u_j - s_j w_j` and by Q_Z times the complement of the u_j, so that with H the reflectors that hold the u_j
//!
//! ```text
//! M = H' N^(1/2) K N^(1/2) H,   K22 = D M D without the rows where c_j = 0,   D = diag(c, 1)
//! ```
//!
//! Without repeats every c_j is 0 and this is the two-sided Householder projection of K.

use crate::linalg::{Reflectors, combine_each, matrix_of, max_abs, norm};
use crate::rotation::groups::BetweenGroups;
use crate::runtime::error::{Error, Result};

/// Cosine-sine decomposition of Q1 between and within groups.
pub struct Split {
    /// c_j, ascending, and the signed s_j (0 from `q` on).
    pub c: Vec<f64>,
    pub s: Vec<f64>,
    /// V: the rotation of Q1, r x r by columns.
    pub v: Vec<Vec<f64>>,
    /// w_j; empty where c_j = 0.
    pub w: Vec<Vec<f64>>,
    /// H, whose first q columns are the u_j.
    pub h: Reflectors,
}

impl Split {
    /// Split an orthonormal basis of span(X), given by columns.
    pub fn new(q1: Vec<Vec<f64>>, space: &BetweenGroups) -> Result<Self> {
        let (r, n) = (q1.len(), q1.first().map_or(0, Vec::len));
        let (between, within): (Vec<_>, Vec<_>) = q1
            .iter()
            .map(|column| space.parts(column))
            .map(|(between, within)| (space.compress(&between), within))
            .unzip();
        let m = between.first().map_or(space.groups().len(), Vec::len);
        let Singular { c, v, w } = singular(&within, r, n - space.z.m())?;
        let between = match c.iter().all(|c| *c == 0.0) {
            true => between,
            false => combine_each(&between, &v, m),
        };
        let mut reached = true;
        let keep = |_: usize, u: &[f64], j: usize| {
            reached &= j < m && norm(&u[j..]) > rounding(n);
            reached
        };
        let (h, along) = Reflectors::of_columns(&mut matrix_of(&between, m), keep)?;
        let mut s: Vec<f64> = along.into_iter().map(|(_, s)| s).collect();
        s.resize(r, 0.0);
        Ok(Self { c, s, v, w, h })
    }

    pub fn r(&self) -> usize {
        self.c.len()
    }

    /// Number of directions of X that the kernel reaches.
    pub fn q(&self) -> usize {
        self.h.len()
    }

    /// Number of directions of X that lie wholly between groups.
    pub fn q0(&self) -> usize {
        self.c[..self.q()].iter().take_while(|c| **c == 0.0).count()
    }

    /// H D y2, one entry a coordinate between groups.
    pub fn between_part(&self, y2: &[f64]) -> Vec<f64> {
        let q0 = self.q0();
        let mut v = vec![0.0; q0 + y2.len()];
        y2.iter().enumerate().for_each(|(j, y)| v[q0 + j] = self.d(q0 + j) * y);
        self.h.apply(&mut v);
        v
    }

    /// Diagonal of D.
    pub fn d(&self, j: usize) -> f64 {
        if j < self.q() { self.c[j] } else { 1.0 }
    }
}

/// Singular values (ascending, rounding cut to 0), right vectors, and left ones where the value is not 0.
struct Singular {
    c: Vec<f64>,
    v: Vec<Vec<f64>>,
    w: Vec<Vec<f64>>,
}

/// Length of a part of a unit vector that is rounding.
fn rounding(n: usize) -> f64 {
    4.0 * f64::EPSILON * (n + 32) as f64
}

/// Of a thin matrix of at most this rank, given by columns.
fn singular(columns: &[Vec<f64>], r: usize, rank: usize) -> Result<Singular> {
    let n = columns.first().map_or(0, Vec::len);
    let identity = |j: usize| (0..r).map(|i| f64::from(i == j)).collect();
    if max_abs(columns.iter().map(|c| norm(c))) <= rounding(n) {
        return Ok(Singular {
            c: vec![0.0; r],
            v: (0..r).map(identity).collect(),
            w: vec![vec![]; r],
        });
    }
    let svd = matrix_of(columns, n).thin_svd();
    let svd = svd.map_err(|_| Error::NoConvergence {
        what: "a singular value decomposition",
        iterations: 0,
    })?;
    let mut c: Vec<f64> = (0..r).rev().map(|j| svd.S()[j]).collect();
    // X has no more directions within groups than there are
    c[..r.saturating_sub(rank)].fill(0.0);
    c.iter_mut().filter(|c| **c <= rounding(n)).for_each(|c| *c = 0.0);
    let v = (0..r)
        .rev()
        .map(|j| (0..r).map(|i| svd.V()[(i, j)]).collect())
        .collect();
    let left = |j: usize| (0..n).map(|i| svd.U()[(i, j)]).collect();
    let w = (0..r)
        .map(|k| if c[k] > 0.0 { left(r - 1 - k) } else { vec![] })
        .collect();
    Ok(Singular { c, v, w })
}
