//! A factor with orthogonal columns, W = U diag(lambda)^(1/2), is a decomposition made before: X is projected out of it one direction at a time
//! (`linalg::rank_one`), in n^2 instead of n^3.
//!
//! The coordinates are those along U and along the part of span(X) outside of it, where the kernel is zero.

use super::built::{Built, EigenCoordinates};
use super::projection::Projection;
use crate::linalg::rank_one::{Diagonal, Removed};
use crate::linalg::{axpy, dot, norm, power_of_two, product};
use crate::runtime::error::Result;
use faer::{Mat, MatRef, Par};

pub struct Reused<'a> {
    /// Eigenvalues of the projected kernel.
    pub values: Vec<f64>,
    /// Power of two that was divided out of W.
    pub unit: f64,
    w: MatRef<'a, f64>,
    /// Row of W of each row of the data.
    row: Vec<usize>,
    /// Lengths of W's columns, those that are rounding 0, and the numbers of the others.
    lengths: Vec<f64>,
    columns: Vec<usize>,
    outside: Outside,
    /// The basis of span(X) along U and along its part outside of it.
    q: Vec<Vec<f64>>,
}

impl<'a> Reused<'a> {
    /// `w`: n x k with orthogonal columns; `row`: the row of W of each row of the data, all of them once.
    pub(crate) fn build(
        w: MatRef<'a, f64>,
        row: Vec<usize>,
        projection: &Projection,
        y2: &Mat<f64>,
        par: Par,
    ) -> Result<Built<Self>> {
        let mut reused = Self::of_columns(w, row);
        let q1 = projection.design.q.thin();
        let (along, left) = reused.split(&q1, par);
        left.iter().for_each(|q| reused.outside.extend(q));
        let join = |(along, left): (&Vec<f64>, &Vec<f64>)| [&along[..], &reused.outside.along(left)].concat();
        reused.q = along.iter().zip(&left).map(join).collect();
        let (responses, rest) = reused.joined(projection, y2, par);
        let projected = reused.project(responses);
        reused.values = projected.diagonal.values.iter().map(|v| v.max(0.0)).collect();
        let mut rows = projected.diagonal.vectors.into_iter();
        let y: Vec<Vec<f64>> = rows.by_ref().take(y2.ncols()).collect();
        let along_x: f64 = (0..q1.len()).map(|j| projected.k11[j][j]).sum();
        Ok(Built {
            k11: projected.k11,
            b: rows.collect(),
            first: EigenCoordinates {
                y: Mat::from_fn(reused.values.len(), y2.ncols(), |i, j| y[j][i]),
                rest,
            },
            k_scale: reused.unit * reused.unit,
            trace: reused.values.iter().sum::<f64>() + along_x,
            smallest: 0.0,
            decomposition: reused,
        })
    }

    fn of_columns(w: MatRef<'a, f64>, row: Vec<usize>) -> Self {
        let mut lengths: Vec<f64> = (0..w.ncols()).map(|c| w.col(c).norm_l2()).collect();
        let unit = power_of_two(lengths.iter().copied().fold(0.0, f64::max));
        let cut = row.len() as f64 * f64::EPSILON * unit;
        lengths
            .iter_mut()
            .filter(|length| **length <= cut)
            .for_each(|length| *length = 0.0);
        Self {
            columns: (0..w.ncols()).filter(|&c| lengths[c] > 0.0).collect(),
            values: vec![],
            outside: Outside { basis: vec![] },
            q: vec![],
            lengths,
            unit,
            row,
            w,
        }
    }

    /// U'y2 and the square of the rest: X is projected out along with each block of responses.
    pub(crate) fn coordinates(&self, projection: &Projection, y2: &Mat<f64>, par: Par) -> EigenCoordinates {
        let (responses, rest) = self.joined(projection, y2, par);
        let y = self.project(responses).diagonal.vectors;
        EigenCoordinates {
            y: Mat::from_fn(self.values.len(), y2.ncols(), |i, j| y[j][i]),
            rest,
        }
    }

    /// Responses along U and along the part of span(X) outside of it, and the squares of the remainder.
    fn joined(&self, projection: &Projection, y2: &Mat<f64>, par: Par) -> (Vec<Vec<f64>>, Vec<f64>) {
        let lifted = |j: usize| projection.lift(&y2.col(j).iter().copied().collect::<Vec<f64>>());
        let rows: Vec<Vec<f64>> = (0..y2.ncols()).map(lifted).collect();
        let (along, left) = self.split(&rows, par);
        let one = |(along, mut left): (Vec<f64>, Vec<f64>)| {
            let joined = [along, self.outside.along(&left)].concat();
            self.outside.subtract(&mut left);
            (joined, norm(&left).powi(2))
        };
        along.into_iter().zip(left).map(one).unzip()
    }

    /// U'v and v - U U'v of vectors of rows, by Gram-Schmidt twice: the second pass removes the rounding of the first.
    fn split(&self, vectors: &[Vec<f64>], par: Par) -> (Vec<Vec<f64>>, Vec<Vec<f64>>) {
        let (n, q) = (self.row.len(), vectors.len());
        let mut left = Mat::zeros(n, q);
        let mut scattered = |j: usize| self.row.iter().zip(&vectors[j]).for_each(|(&i, v)| left[(i, j)] = *v);
        (0..q).for_each(&mut scattered);
        let mut along = Mat::zeros(self.columns.len(), q);
        for _ in 0..2 {
            let wv = product(self.w.transpose(), left.as_ref(), par);
            let step = Mat::from_fn(along.nrows(), q, |i, j| {
                wv[(self.columns[i], j)] / self.lengths[self.columns[i]]
            });
            let mut back = Mat::zeros(self.lengths.len(), q);
            for (i, &c) in self.columns.iter().enumerate() {
                (0..q).for_each(|j| back[(c, j)] = step[(i, j)] / self.lengths[c]);
            }
            left -= product(self.w, back.as_ref(), par);
            along += step;
        }
        let gathered = |j: usize| self.row.iter().map(|&i| left[(i, j)]).collect();
        let column = |j: usize| along.col(j).iter().copied().collect();
        ((0..q).map(column).collect(), (0..q).map(gathered).collect())
    }

    /// One direction of X after the other.
    fn project(&self, responses: Vec<Vec<f64>>) -> ProjectedDiagonal {
        let (count, r) = (responses.len(), self.q.len());
        let lambda = self.columns.iter().map(|&c| (self.lengths[c] / self.unit).powi(2));
        let mut diagonal = Diagonal {
            values: lambda
                .chain(std::iter::repeat_n(0.0, self.outside.basis.len()))
                .collect(),
            vectors: responses.into_iter().chain(self.q.iter().cloned()).collect(),
        };
        let mut k11 = vec![vec![0.0; r]; r];
        #[allow(clippy::needless_range_loop)] // j is a row and a column
        for j in 0..r {
            let q = diagonal.vectors.remove(count);
            let Removed { along, square } = diagonal.remove(&q);
            // after the responses come the directions that are left, then K12 of those that are gone
            let gone = &along[count + r - j - 1..];
            gone.iter().enumerate().for_each(|(i, entry)| k11[i][j] = *entry);
            k11[j][..j].copy_from_slice(gone);
            k11[j][j] = square;
        }
        ProjectedDiagonal { diagonal, k11 }
    }

    /// Best linear unbiased prediction of the weights on the columns of W from residuals y - X beta_hat: h W'H^-1 of them.
    pub fn weights(&self, residuals: &[f64], h: f64, g: f64) -> Vec<f64> {
        let mut rows = vec![0.0; residuals.len()];
        self.row.iter().zip(residuals).for_each(|(&i, v)| rows[i] = *v);
        let one = |c: usize| {
            let (root, length) = (self.lengths[c] / self.unit, self.lengths[c]);
            let total = h * root * root + g;
            if length == 0.0 || total <= 0.0 {
                return 0.0;
            }
            let along: f64 = (0..rows.len()).map(|i| self.w[(i, c)] * rows[i]).sum();
            h * root / total * along / length
        };
        (0..self.lengths.len()).map(one).collect()
    }
}

/// After all directions of X: responses and K12 along the eigenvectors.
struct ProjectedDiagonal {
    diagonal: Diagonal,
    k11: Vec<Vec<f64>>,
}

/// Orthonormal basis of what span(X) has outside of U.
struct Outside {
    basis: Vec<Vec<f64>>,
}

impl Outside {
    /// Columns of Q1 have length one: a remainder of rounding is no direction.
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
