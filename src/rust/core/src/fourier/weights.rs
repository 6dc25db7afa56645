//! REML in weight space: the kernel is `F D^2 F'` with F the basis functions at the data and D their weights, so that all that the
//! likelihood needs of the data is `F'F`, `F'X`, `F'Y` and the cross products of X and Y. Only D depends on the length scales.
//!
//! ```text
//! T = F'PF,  c = F'Py,  rho0 = y'Py,  P = I - X (X'X)^-1 X'
//! A = D T D = V diag(lambda) V',  z = V' D c,  the rotated response is z_i / sqrt(lambda_i)
//! ```

use super::grid::Grid;
use super::moments::Moments;
use crate::design::ALIAS_TOLERANCE;
use crate::error::{Error, Result};
use crate::kernel::stationary::Family;
use crate::linalg::{axpy, combine, dot, product};
use crate::rotated::Rotated;
use crate::spectrum::Tridiagonal;
use faer::{Mat, Par};
use num_dual::Dual64;

/// The data of one response in weight space, X projected out.
pub struct WeightSpace {
    pub family: Family,
    pub grid: Grid,
    /// Frequencies of a half space, 0 first; function f > 0 belongs to frequency (f + 1) / 2.
    pub frequencies: Vec<Vec<i64>>,
    /// Lower triangle of F'PF.
    t: Mat<f64>,
    /// F'Py
    pub c: Vec<f64>,
    pub rho0: f64,
    n: f64,
    fixed: Fixed,
}

/// X'X = L L' of the kept columns.
#[derive(Debug, Clone)]
pub struct Fixed {
    pub kept: Vec<usize>,
    /// L by rows.
    l: Vec<Vec<f64>>,
    /// Q1'F by rows, and Q1'y: Q1 = X L^-T.
    pub qf: Vec<Vec<f64>>,
    pub y1: Vec<f64>,
}

impl WeightSpace {
    /// `response`: which column of Y.
    pub fn new(family: Family, moments: &Moments, frequencies: Vec<Vec<i64>>, response: usize) -> Result<Self> {
        let column = moments.p + response;
        let functions = |c: usize| moments.columns[c].functions(&frequencies);
        let (kept, l) = cholesky(&moments.cross, moments.p);
        if kept.len() as f64 >= moments.n {
            return Err(Error::TooFewRows {
                n: moments.n as usize,
                rank: kept.len(),
            });
        }
        // with more functions than contrasts the Gram matrix is singular, and small eigenvalues cannot be told from rounding
        if (2 * frequencies.len() - 1 + kept.len()) as f64 >= moments.n {
            return Err(Error::Shape {
                what: "the basis",
                found: 2 * frequencies.len() - 1,
                expected: moments.n as usize - kept.len(),
            });
        }
        let rows = solve_rows(&l, kept.iter().map(|&j| functions(j)).collect());
        let y1: Vec<f64> = solve_rows(&l, kept.iter().map(|&j| vec![moments.cross[(j, column)]]).collect()).concat();
        let mut t = moments.ones.gram(&frequencies);
        for row in &rows {
            for b in 0..t.ncols() {
                (b..t.nrows()).for_each(|a| t[(a, b)] -= row[a] * row[b]);
            }
        }
        let mut c = functions(column);
        rows.iter().zip(&y1).for_each(|(row, y)| axpy(-y, row, &mut c));
        let rho0 = moments.cross[(column, column)] - dot(&y1, &y1);
        let fixed = Fixed { kept, l, qf: rows, y1 };
        Ok(Self {
            family,
            grid: moments.grid.clone(),
            frequencies,
            t,
            c,
            rho0,
            n: moments.n,
            fixed,
        })
    }

    /// Weight of each function for these length scales; 0 beyond the frequencies that matter.
    pub fn weights(&self, lengths: &[f64]) -> Vec<f64> {
        let squares = self.grid.squares(self.family, &self.frequencies, lengths);
        (0..self.t.nrows()).map(|f| squares[f.div_ceil(2)].sqrt()).collect()
    }

    /// The part of the kernel's variance that the functions hold.
    pub fn captured(&self, lengths: &[f64]) -> f64 {
        Grid::captured(&self.grid.squares(self.family, &self.frequencies, lengths))
    }

    /// Lower triangle of A = D T D.
    pub fn a(&self, d: &[f64]) -> Mat<f64> {
        let m = d.len();
        Mat::from_fn(m, m, |i, j| if i >= j { d[i] * self.t[(i, j)] * d[j] } else { 0.0 })
    }

    /// Lower triangle of D F'F D: X not projected out.
    pub fn whole(&self, d: &[f64], par: Par) -> Mat<f64> {
        let r = self.fixed.kept.len();
        let mut whole = self.a(d);
        let rows = Mat::from_fn(r, d.len(), |i, j| self.fixed.qf[i][j] * d[j]);
        whole += product(rows.transpose(), rows.as_ref(), par);
        whole
    }

    /// d log D_j / d log ell_i, a row for each axis.
    pub fn log_weight_slopes(&self, lengths: &[f64]) -> Vec<Vec<f64>> {
        let d = self.grid.d();
        let slope = |axis: usize, j: &[i64]| {
            let rho2 = Dual64::from(self.grid.rho2(j, lengths)).derivative();
            let along = (lengths[axis] * self.grid.h[axis] * j[axis] as f64).powi(2);
            0.5 + self.family.log_density(rho2, d).eps * along
        };
        let of_functions = |axis: usize| {
            (0..self.t.nrows())
                .map(|f| slope(axis, &self.frequencies[f.div_ceil(2)]))
                .collect()
        };
        (0..d).map(of_functions).collect()
    }

    /// The rotated object for these length scales, in units of the response.
    pub fn rotated(&self, lengths: &[f64], par: Par) -> Result<Rotated> {
        let d = self.weights(lengths);
        let (m, r) = (d.len(), self.fixed.kept.len());
        let spectrum = Tridiagonal::new(self.a(&d), 0, par);
        let mut columns = Mat::from_fn(m, r + 1, |i, j| {
            d[i] * if j < r { self.fixed.qf[j][i] } else { self.c[i] }
        });
        spectrum.transpose_apply(columns.as_mut(), par);
        let mut rows: Vec<f64> = (0..m * (r + 1)).map(|k| columns[(k / (r + 1), k % (r + 1))]).collect();
        let values = spectrum.rotate(&mut rows, r + 1)?;
        let cut = m as f64 * f64::EPSILON * values.iter().copied().fold(0.0, f64::max);
        let reached: Vec<usize> = (0..m).filter(|&i| values[i] > cut).collect();
        let turned = |j: usize, i: usize| rows[i * (r + 1) + j];
        let y: Vec<f64> = reached.iter().map(|&i| turned(r, i) / values[i].sqrt()).collect();
        let b = (0..r)
            .map(|j| reached.iter().map(|&i| turned(j, i) * values[i].sqrt()).collect())
            .collect();
        let weighted: Vec<Vec<f64>> = self
            .fixed
            .qf
            .iter()
            .map(|q| q.iter().zip(&d).map(|(q, d)| q * d).collect())
            .collect();
        Ok(Rotated {
            rho: (self.rho0 - dot(&y, &y)).max(0.0),
            n_rest: self.n as usize - r - reached.len(),
            values: reached.iter().map(|&i| values[i]).collect(),
            y,
            y1: self.fixed.y1.clone(),
            k11: weighted
                .iter()
                .map(|a| weighted.iter().map(|b| dot(a, b)).collect())
                .collect(),
            b,
            basis: self.fixed.basis(),
            log_det_x: self.fixed.log_det(),
            y_scale: 1.0,
            k_scale: 1.0,
            ..Rotated::default()
        })
    }
}

impl Fixed {
    /// L^-T by rows: beta = L^-T (coordinates along Q1).
    fn basis(&self) -> Vec<Vec<f64>> {
        let r = self.kept.len();
        let unit = (0..r).map(|i| (0..r).map(|j| f64::from(i == j)).collect()).collect();
        let inverse = solve_rows(&self.l, unit);
        (0..r).map(|i| (0..r).map(|j| inverse[j][i]).collect()).collect()
    }

    fn log_det(&self) -> f64 {
        2.0 * self.l.iter().enumerate().map(|(i, row)| row[i].ln()).sum::<f64>()
    }
}

/// Cholesky decomposition of the first p columns of the cross products, columns that depend on those before them left out.
fn cholesky(cross: &Mat<f64>, p: usize) -> (Vec<usize>, Vec<Vec<f64>>) {
    let (mut kept, mut l): (Vec<usize>, Vec<Vec<f64>>) = (vec![], vec![]);
    for j in 0..p {
        let mut row: Vec<f64> = vec![];
        for (i, &k) in kept.iter().enumerate() {
            row.push((cross[(j, k)] - dot(&l[i][..i], &row)) / l[i][i]);
        }
        let rest = cross[(j, j)] - dot(&row, &row);
        if rest > ALIAS_TOLERANCE * cross[(j, j)] {
            row.push(rest.sqrt());
            kept.push(j);
            l.push(row);
        }
    }
    (kept, l)
}

/// L^-1 times the given rows.
fn solve_rows(l: &[Vec<f64>], mut rows: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    for i in 0..l.len() {
        let done = combine(&rows[..i], &l[i][..i], rows[i].len());
        rows[i].iter_mut().zip(done).for_each(|(x, s)| *x = (*x - s) / l[i][i]);
    }
    rows
}
