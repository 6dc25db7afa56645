//! Coordinates for crossed effects without a kernel: the groups of one effect are coordinates themselves, and its covariance is diagonal.
//!
//! Rows are split into what lies between the groups of that effect and what lies within them (`Incidence`). Only the other effects' columns
//! and those of X need a basis within groups. X is not projected out of these coordinates, which would destroy the diagonal; it goes along as
//! a factor with infinite variance instead (`spectral`).

use crate::linalg::decomposition::pivoted_qr;
use crate::linalg::product;
use crate::rotation::incidence::Incidence;
use crate::runtime::error::Result;
use faer::reborrow::*;
use faer::{Mat, MatRef, Par};

pub struct Grouped {
    pub z: Incidence,
    /// Orthonormal basis within groups of the other columns, n x q.
    q: Mat<f64>,
}

impl Grouped {
    /// `columns`: those of the other effects and of X, n x k.
    pub fn new(z: Incidence, mut columns: Mat<f64>, par: Par) -> Result<Self> {
        let n = columns.nrows();
        // to length one before the split: what is then left within groups of a column between them is seen to be rounding
        for mut column in columns.col_iter_mut() {
            let length = column.norm_l2();
            if length > 0.0 {
                column *= faer::Scale(1.0 / length);
            }
        }
        split(&z, columns.as_mut());
        let (q, r) = pivoted_qr(columns, par)?;
        let large = |j: &usize| r[(*j, *j)].abs() > f64::EPSILON * n as f64;
        let rank = (0..q.ncols()).take_while(large).count();
        Ok(Self {
            z,
            q: q.subcols(0, rank).to_owned(),
        })
    }

    pub fn m(&self) -> usize {
        self.z.m() + self.q.ncols()
    }

    /// Coordinates of the columns of v, and the squares of what they leave out.
    pub fn forward(&self, mut v: Mat<f64>, par: Par) -> (Mat<f64>, Vec<f64>) {
        let between = split(&self.z, v.as_mut());
        let mut within = Mat::<f64>::zeros(self.q.ncols(), v.ncols());
        // Gram-Schmidt twice: the second pass removes the rounding of the first
        for _ in 0..2 {
            let step = product(self.q.transpose(), v.as_ref(), par);
            v -= product(self.q.as_ref(), step.as_ref(), par);
            within += step;
        }
        let rest = (0..v.ncols()).map(|j| v.col(j).squared_norm_l2()).collect();
        (stacked(&between, &within), rest)
    }

    /// Coordinates alone: one product serves them, to rounding.
    pub fn along(&self, mut v: Mat<f64>, par: Par) -> Mat<f64> {
        let between = split(&self.z, v.as_mut());
        stacked(&between, &product(self.q.transpose(), v.as_ref(), par))
    }

    pub fn back(&self, a: &[f64]) -> Vec<f64> {
        let groups = self.z.m();
        let within = MatRef::from_column_major_slice(&a[groups..], a.len() - groups, 1);
        let v = &self.q * within;
        let mut v: Vec<f64> = (0..self.q.nrows()).map(|i| v[(i, 0)]).collect();
        let negative: Vec<f64> = a[..groups].iter().map(|a| -a).collect();
        self.z.subtract(&negative, &mut v);
        v
    }
}

fn stacked(above: &Mat<f64>, below: &Mat<f64>) -> Mat<f64> {
    let first = above.nrows();
    let entry = |i: usize, j: usize| {
        if i < first {
            above[(i, j)]
        } else {
            below[(i - first, j)]
        }
    };
    Mat::from_fn(first + below.nrows(), above.ncols(), entry)
}

/// What lies between groups, one row a group; v keeps what lies within them.
fn split(z: &Incidence, mut v: faer::MatMut<'_, f64>) -> Mat<f64> {
    let mut between = Mat::zeros(z.m(), v.ncols());
    for j in 0..v.ncols() {
        let mut column: Vec<f64> = v.rb().col(j).iter().copied().collect();
        let b = z.between(&column);
        z.subtract(&b, &mut column);
        (0..b.len()).for_each(|i| between[(i, j)] = b[i]);
        (0..column.len()).for_each(|i| v[(i, j)] = column[i]);
    }
    between
}
