//! Covariances of rows by where they lie: symmetric matrices, made column by column.

use crate::kernel::stationary::Family;
use crate::linalg::by_entries;
use crate::runtime::error::Result;
use crate::runtime::memory::claim;
use crate::runtime::stop;
use faer::{Mat, MatRef};
use rayon::prelude::*;

/// Where the rows lie, and the family of the kernel between them.
pub(crate) struct Places<'a> {
    pub(crate) family: Family,
    /// A slice for each coordinate.
    pub(crate) coordinates: Vec<&'a [f64]>,
}

impl Places<'_> {
    fn n(&self) -> usize {
        self.coordinates[0].len()
    }

    pub(crate) fn kernel(&self, at: &[f64]) -> Mat<f64> {
        let entry = |u: [f64; 3], to: &mut [f64]| to[0] = self.family.correlation(distance(u));
        self.symmetric(1, at, entry).swap_remove(0)
    }

    /// The kernel, its slopes along combinations of the logarithms of the length scales, and the lower triangle of its second derivatives.
    pub(super) fn to_second(&self, directions: &[Vec<f64>], at: &[f64]) -> Vec<Mat<f64>> {
        let count = directions.len();
        let entry = |u: [f64; 3], to: &mut [f64]| {
            let [k, steepness, bend] = self.family.to_second(distance(u));
            to[0] = k;
            let mut next = 1 + count;
            for (a, direction) in directions.iter().enumerate() {
                let along = combined(direction, u);
                to[1 + a] = steepness * along;
                for (b, other) in directions[..=a].iter().enumerate() {
                    let both: f64 = (0..direction.len()).map(|i| direction[i] * other[i] * u[i]).sum();
                    to[next + b] = bend * along * combined(other, u) - 2.0 * steepness * both;
                }
                next += a + 1;
            }
        };
        self.symmetric(1 + count + count * (count + 1) / 2, at, entry)
    }

    /// The kernel and its slopes.
    pub(super) fn to_first(&self, directions: &[Vec<f64>], at: &[f64]) -> Vec<Mat<f64>> {
        let entry = |u: [f64; 3], to: &mut [f64]| {
            let [k, steepness, _] = self.family.to_second(distance(u));
            to[0] = k;
            let slopes = to[1..].iter_mut().zip(directions);
            slopes.for_each(|(slope, direction)| *slope = steepness * combined(direction, u));
        };
        self.symmetric(1 + directions.len(), at, entry)
    }

    /// Slope of the kernel along a combination of the logarithms of the length scales.
    pub(crate) fn slope_along(&self, direction: &[f64], at: &[f64]) -> Mat<f64> {
        let entry = |u: [f64; 3], to: &mut [f64]| to[0] = self.family.steepness(distance(u)) * combined(direction, u);
        self.symmetric(1, at, entry).swap_remove(0)
    }

    /// Some symmetric matrices at once, from their entries at the squares of the lags of two rows.
    fn symmetric(&self, count: usize, at: &[f64], entry: impl Fn([f64; 3], &mut [f64]) + Sync) -> Vec<Mat<f64>> {
        let n = self.n();
        let mut lower = Mat::<f64>::zeros(count * n, n);
        lower.par_col_iter_mut().enumerate().for_each(|(j, mut column)| {
            // a request to stop leaves them unfinished
            if stop::check().is_err() {
                return;
            }
            let mut entries = vec![0.0; count];
            for i in j..n {
                entry(squares(&self.coordinates, &self.coordinates, (i, j), at), &mut entries);
                (0..count).for_each(|k| column[k * n + i] = entries[k]);
            }
        });
        (0..count).map(|k| mirrored(lower.as_ref().subrows(k * n, n))).collect()
    }
}

fn combined(direction: &[f64], u: [f64; 3]) -> f64 {
    direction.iter().zip(u).map(|(d, u)| d * u).sum()
}

#[inline]
fn distance(u: [f64; 3]) -> f64 {
    (u[0] + u[1] + u[2]).sqrt()
}

/// Squares of the lag of two places along each axis, in length scales.
#[inline]
pub(super) fn squares(a: &[&[f64]], b: &[&[f64]], (i, j): (usize, usize), at: &[f64]) -> [f64; 3] {
    let mut u = [0.0; 3];
    for k in 0..a.len() {
        let lag = (a[k][i] - b[k][j]) / at[k];
        u[k] = lag * lag;
    }
    u
}

/// Correlations of two sets of points, one row for each of the first.
pub fn correlations(family: Family, a: &[&[f64]], b: &[&[f64]], lengths: &[f64]) -> Result<Mat<f64>> {
    let (n, m) = (a[0].len(), b[0].len());
    claim(n as f64 * m as f64)?;
    let k = by_entries(n, m, |i, j| {
        family.correlation(distance(squares(a, b, (i, j), lengths)))
    });
    stop::check()?;
    Ok(k)
}

/// Rows and columns of a square that both stay in the cache.
const BLOCK: usize = 32;

/// Squares on and below the diagonal of an n x n matrix: first rows and columns, and their ends.
fn blocks(n: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..n)
        .step_by(BLOCK)
        .flat_map(move |j| (j..n).step_by(BLOCK).map(move |i| (i, j)))
}

/// The symmetric matrix of a lower triangle.
pub(super) fn mirrored(lower: MatRef<'_, f64>) -> Mat<f64> {
    let n = lower.ncols();
    let mut whole = lower.to_owned();
    for (i, j) in blocks(n) {
        for c in j..(j + BLOCK).min(n) {
            for r in i.max(c + 1)..(i + BLOCK).min(n) {
                whole[(c, r)] = lower[(r, c)];
            }
        }
    }
    whole
}

/// tr AB
pub(super) fn trace_of_product(a: &Mat<f64>, b: &Mat<f64>) -> f64 {
    let n = a.nrows();
    let corner = |(i, j): (usize, usize)| {
        let mut sum = 0.0;
        for c in j..(j + BLOCK).min(n) {
            for r in i..(i + BLOCK).min(n) {
                sum += a[(r, c)] * b[(c, r)];
                if i > j {
                    sum += a[(c, r)] * b[(r, c)];
                }
            }
        }
        sum
    };
    let all: Vec<(usize, usize)> = blocks(n).collect();
    all.into_par_iter().map(corner).collect::<Vec<f64>>().into_iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_cover_a_matrix_once() {
        for n in [1, 31, 32, 33, 70] {
            let a = Mat::from_fn(n, n, |i, j| f64::sin((1 + i + 3 * j) as f64));
            let b = Mat::from_fn(n, n, |i, j| f64::cos((2 + 5 * i + j) as f64));
            let trace: f64 = (0..n).map(|i| (&a * &b)[(i, i)]).sum();
            assert!((trace_of_product(&a, &b) - trace).abs() < 1e-12 * n as f64);
            let whole = mirrored(a.as_ref());
            assert!((0..n).all(|j| (0..n).all(|i| whole[(i, j)] == a[(i.max(j), i.min(j))])));
        }
    }
}
