//! A block of candidates in rotated coordinates, X projected out.

use super::basis::ScanBasis;
use super::standardise::{StandardisedCandidate, clean};
use crate::linalg::{dot, product, sum_of};
use crate::runtime::error::Result;
use crate::runtime::memory::claim;
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatMut, MatRef, Par};
use rayon::prelude::*;

/// A block of candidates.
pub struct RotatedBlock {
    pub columns: Vec<StandardisedCandidate>,
    /// Values with missing cells at their mean, scaled to order one: cells x candidates.
    g: Vec<f64>,
    cells: usize,
    /// eigenvalues x candidates
    e: Vec<f64>,
    q: Mat<f64>,
    /// g'Py
    pub v: Vec<f64>,
}

/// Part of a candidate's square that is rounding where the kernel does not reach it.
const REACHED: f64 = 1e-12;

impl RotatedBlock {
    /// Some columns of G.
    pub fn new(basis: &ScanBasis<'_>, g: MatRef<'_, f64>, which: &[usize], par: Par) -> Result<Self> {
        let cells = g.nrows();
        let count = basis.e.ncols();
        // with the squares of the coordinates, which all tests sum up
        claim(((cells + 2 * count + basis.q.ncols()) * which.len()) as f64)?;
        let mut values = vec![0.0; cells * which.len()];
        let one = |(out, &j): (&mut [f64], &usize)| {
            out.iter_mut().zip(g.col(j).iter()).for_each(|(out, x)| *out = *x);
            (clean(out, basis.weight, basis.constant), dot(basis.v, out))
        };
        // a candidate of no cells has no chunk
        let chunks = values.par_chunks_mut(cells.max(1));
        let (columns, v) = chunks.zip(which).map(one).unzip();
        let cleaned = MatRef::from_column_major_slice(&values, cells, which.len());
        let mut e = vec![0.0; count * which.len()];
        let rotated = MatMut::from_column_major_slice_mut(&mut e, count, which.len());
        matmul(rotated, Accum::Replace, basis.e.transpose(), cleaned, 1.0, par);
        Ok(Self {
            e,
            q: product(basis.q.transpose(), cleaned, par),
            v,
            columns,
            g: values,
            cells,
        })
    }

    /// Values with missing cells at their mean, cells x candidates.
    pub fn values(&self) -> MatRef<'_, f64> {
        MatRef::from_column_major_slice(&self.g, self.cells, self.columns.len())
    }

    fn cleaned(&self, j: usize) -> &[f64] {
        &self.g[j * self.cells..(j + 1) * self.cells]
    }

    /// g_a'P g_b, X projected out.
    pub fn projected(&self, basis: &ScanBasis<'_>, a: usize, b: usize) -> f64 {
        let (x, y, w) = (self.cleaned(a), self.cleaned(b), &basis.weight[..self.cells]);
        let whole: f64 = if a == b {
            self.columns[a].square
        } else {
            sum_of(self.cells, |i| w[i] * x[i] * y[i])
        };
        whole
            - (0..self.q.nrows())
                .map(|k| self.q[(k, a)] * self.q[(k, b)])
                .sum::<f64>()
    }

    /// What the kernel does not reach of a candidate's square; rounding is nothing.
    pub fn rest(&self, basis: &ScanBasis<'_>, j: usize) -> f64 {
        if basis.rotated.n_rest == 0 {
            return 0.0;
        }
        let rest = self.projected(basis, j, j) - dot(self.column(j), self.column(j));
        if rest > REACHED * self.columns[j].square {
            rest
        } else {
            0.0
        }
    }

    /// The same written out, where a cell is a row.
    pub fn unreached(&self, basis: &ScanBasis<'_>, j: usize) -> Vec<f64> {
        let along: Vec<f64> = (0..self.q.nrows()).map(|k| self.q[(k, j)]).collect();
        let g = self.cleaned(j);
        let x: Vec<f64> = (0..self.cells).map(|i| basis.weight[i] * g[i]).collect();
        basis.left(&x, &along, self.column(j))
    }

    /// RotatedBlock coordinates, eigenvalues x candidates.
    pub fn e(&self) -> MatRef<'_, f64> {
        let m = self.columns.len();
        MatRef::from_column_major_slice(&self.e, self.e.len() / m.max(1), m)
    }

    pub fn column(&self, j: usize) -> &[f64] {
        let n = self.e.len() / self.columns.len();
        &self.e[j * n..(j + 1) * n]
    }
}
