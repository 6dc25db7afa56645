//! REML in weight space: the kernel is `F D^2 F'` with F the basis functions at the data and D their weights, so that all that the
//! likelihood needs of the data is `F'F`, `F'X`, `F'Y` and the cross products of X and Y. Only D depends on the length scales.
//!
//! ```text
//! T = F'PF,  c = F'Py,  rho0 = y'Py,  P = I - X (X'X)^-1 X'
//! A = D T D = V diag(lambda) V',  z = V' D c,  the rotated response is z_i / sqrt(lambda_i)
//! ```
//!
//! A grouping factor adds its indicators to the functions, with one weight for all: then D has one more parameter, the ratio of the standard
//! deviations of groups and process. With `e_j = d log D_j / d log ell` and `w = (A + delta I)^-1 D c`
//!
//! ```text
//! d logdet / d log ell = 2 sum_j e_j (1 - delta [(A + delta I)^-1]_jj),   d Q / d log ell = -2 sum_j e_j w_j^2
//! ```
//!
//! where for ML the log-determinant is that of the matrix without X projected out.

use super::fixed::{FixedEffects, cholesky, solve_rows};
use super::grid::Grid;
use super::moments::Moments;
use crate::gp::local::{About, Estimates, Here};
use crate::gp::{Process, Slopes};
use crate::kernel::stationary::Family;
use crate::likelihood::Method;
use crate::linalg::cholesky::Cholesky;
use crate::linalg::eigen::diagonalise_graded;
use crate::linalg::{axpy, dot, product};
use crate::lmm::fit::condition_floor;
use crate::rotation::rotated::Rotated;
use crate::runtime::error::{Error, Result};
use crate::runtime::memory::claim;
use faer::{Mat, Par};

/// The data of one response in weight space, X projected out.
pub struct WeightSpace {
    /// Family of the kernel.
    pub family: Family,
    /// The grid that the frequencies are points of.
    pub grid: Grid,
    /// Frequencies of a half space, 0 first; function f > 0 belongs to frequency (f + 1) / 2. Indicators of groups follow.
    pub frequencies: Vec<Vec<i64>>,
    pub(super) groups: usize,
    /// Lower triangle of F'PF.
    pub(super) t: Mat<f64>,
    /// F'Py
    pub(crate) c: Vec<f64>,
    pub(crate) rho0: f64,
    pub(super) n: f64,
    pub(super) log_weights: f64,
    /// X in the same sums: its projection, and the way back to beta.
    pub fixed: FixedEffects,
}

pub(super) const NOT_DEFINITE: Error = Error::NoConvergence {
    what: "a Cholesky decomposition in weight space",
    iterations: 0,
};
/// Functions whose matrices take some 20 MB.
const SMALL: usize = 1500;

impl WeightSpace {
    /// `response`: which column of Y.
    pub fn new(family: Family, moments: &Moments, frequencies: Vec<Vec<i64>>, response: usize) -> Result<Self> {
        let (kept, l) = cholesky(&moments.cross);
        let groups = moments.groups.counts.len();
        let size = 2 * frequencies.len() - 1 + groups;
        check_rows(moments.n, kept.len(), size)?;
        // the matrix, and for each place that is looked at its weighted copy, a root of the inverse and the inverse
        let places = if size <= SMALL { 2.0 } else { 1.0 };
        claim((1.0 + 3.0 * places) * (size as f64).powi(2))?;
        let qf = solve_rows(&l, kept.iter().map(|&j| column(moments, &frequencies, j)).collect());
        let mut t = bordered(moments, &frequencies, size);
        for row in &qf {
            for b in 0..size {
                (b..size).for_each(|a| t[(a, b)] -= row[a] * row[b]);
            }
        }
        let mut space = Self {
            family,
            grid: moments.grid.clone(),
            frequencies,
            groups,
            t,
            c: vec![],
            rho0: 0.0,
            n: moments.n,
            log_weights: moments.log_weights,
            fixed: FixedEffects {
                shifts: kept.iter().map(|&j| moments.shifts[j]).collect(),
                y_shift: 0.0,
                kept,
                l,
                qf,
                y1: vec![],
            },
        };
        space.respond(moments, response);
        Ok(space)
    }

    /// Takes another response, of the same rows.
    pub(crate) fn respond(&mut self, moments: &Moments, response: usize) {
        let (at, fixed) = (moments.p() + response, &mut self.fixed);
        let cross = fixed.kept.iter().map(|&j| vec![moments.cross[(j, at)]]).collect();
        fixed.y1 = solve_rows(&fixed.l, cross).concat();
        fixed.y_shift = moments.shifts[at];
        self.rho0 = moments.squares[response] - dot(&fixed.y1, &fixed.y1);
        self.c = column(moments, &self.frequencies, at);
        for (row, y) in fixed.qf.iter().zip(&fixed.y1) {
            axpy(-y, row, &mut self.c);
        }
    }

    /// Coordinates of the response along Q1.
    pub(crate) fn unshifted_y1(&self) -> Vec<f64> {
        self.fixed.unshifted_y1()
    }

    /// Number of functions.
    pub fn size(&self) -> usize {
        self.t.nrows()
    }

    /// Number of groups.
    pub(crate) fn groups(&self) -> usize {
        self.groups
    }

    pub(super) fn waves(&self) -> usize {
        self.size() - self.groups
    }

    fn d(&self) -> usize {
        self.grid.d()
    }

    /// Weight of each function at these length scales, and at this ratio for the groups.
    pub fn weights(&self, at: &[f64]) -> Vec<f64> {
        let mut weights = self.grid.weights(self.family, &self.frequencies, &at[..self.d()]);
        weights.extend((0..self.groups).map(|_| at[self.d()]));
        weights
    }

    /// The part of the kernel's variance that the functions hold.
    pub fn captured(&self, lengths: &[f64]) -> f64 {
        Grid::captured(&self.grid.squares(self.family, &self.frequencies, &lengths[..self.d()]))
    }

    /// Lower triangle of A = D T D.
    pub(crate) fn a(&self, d: &[f64]) -> Mat<f64> {
        let mut a = Mat::zeros(d.len(), d.len());
        for j in 0..d.len() {
            let below = a.col_as_slice_mut(j)[j..].iter_mut();
            for ((a, t), d_i) in below.zip(&self.t.col_as_slice(j)[j..]).zip(&d[j..]) {
                *a = d_i * t * d[j];
            }
        }
        a
    }

    /// Lower triangle of D F'F D: X not projected out.
    pub(crate) fn whole(&self, d: &[f64], par: Par) -> Mat<f64> {
        let r = self.fixed.kept.len();
        let mut whole = self.a(d);
        let rows = Mat::from_fn(r, d.len(), |i, j| self.fixed.qf[i][j] * d[j]);
        whole += product(rows.transpose(), rows.as_ref(), par);
        whole
    }

    /// Cholesky decomposition of A + delta I; for ML of D F'F D + delta I.
    /// None where rounding leaves none: the spectrum tells more.
    pub(super) fn shifted(&self, mut a: Mat<f64>, delta: f64, par: Par) -> Option<Cholesky> {
        (0..a.nrows()).for_each(|i| a[(i, i)] += delta);
        Cholesky::new(a, par)
    }

    /// The same, an error where there is none.
    pub(super) fn definite(&self, a: Mat<f64>, delta: f64, par: Par) -> Result<Cholesky> {
        self.shifted(a, delta, par).ok_or(NOT_DEFINITE)
    }

    /// D (A + delta I)^-1 D c: the predicted process is the functions times these coefficients.
    pub fn coefficients(&self, at: &[f64], delta: f64, par: Par) -> Result<Vec<f64>> {
        let d = self.weights(at);
        if delta == f64::INFINITY {
            return Ok(vec![0.0; d.len()]);
        }
        let w = self.definite(self.a(&d), delta, par)?.solve(self.right(&d), par);
        Ok((0..d.len()).map(|j| d[j] * w[(j, 0)]).collect())
    }

    /// D (A + delta I)^-1 D, lower triangle; its product with sigma2_e is the covariance of the coefficients given y.
    pub(crate) fn covariance(&self, at: &[f64], delta: f64, par: Par) -> Result<Mat<f64>> {
        let d = self.weights(at);
        let mut inverse = self
            .definite(self.a(&d), delta, par)?
            .solve(Mat::identity(d.len(), d.len()), par);
        for j in 0..d.len() {
            (0..d.len()).for_each(|i| inverse[(i, j)] *= d[i] * d[j]);
        }
        Ok(inverse)
    }

    /// D c
    pub(super) fn right(&self, d: &[f64]) -> Mat<f64> {
        Mat::from_fn(d.len(), 1, |i, _| d[i] * self.c[i])
    }
}

impl Process for WeightSpace {
    fn slopes(&self, method: Method, at: &[f64], delta: f64, par: Par) -> Result<Vec<Slopes>> {
        let d = self.weights(at);
        let b = self.right(&d);
        let projected = self.definite(self.a(&d), delta, par)?;
        let w = projected.solve(b.clone(), par);
        let q = (self.rho0 - (b.transpose() * &w)[(0, 0)]) / delta;
        let inverse = match method {
            Method::Reml => projected.inverse_diagonal(par),
            Method::Ml => self.definite(self.whole(&d, par), delta, par)?.inverse_diagonal(par),
        };
        let slope = |e: &Vec<f64>| Slopes {
            log_det: (0..d.len()).map(|j| 2.0 * e[j] * (1.0 - delta * inverse[j])).sum(),
            log_q: (0..d.len()).map(|j| -2.0 * e[j] * w[(j, 0)] * w[(j, 0)]).sum::<f64>() / q,
        };
        Ok(self.log_weight_slopes(at).iter().map(slope).collect())
    }

    fn floor(&self) -> f64 {
        let largest = (0..self.waves()).map(|j| self.t[(j, j)]).fold(0.0, f64::max);
        condition_floor(self.size()) * largest
    }

    fn is_small(&self) -> bool {
        self.size() <= SMALL
    }

    fn estimates(&self, method: Method, at: &[f64], delta: f64, par: Par) -> Result<Option<Estimates>> {
        Ok(self.estimated(method, at, delta, par))
    }

    fn near(&self, about: About<'_>, par: Par) -> Result<Option<Here>> {
        Ok(self.here(about, par))
    }

    fn rotated(&self, at: &[f64], par: Par) -> Result<Rotated> {
        let d = self.weights(at);
        let (values, columns) = diagonalise_graded(self.a(&d), self.weighted_columns(&d), par)?;
        Ok(self.reduced(&d, &values, |j, i| columns[(i, j)]).1)
    }
}

impl WeightSpace {
    /// The rotated object from eigenvalues of A and what the eigenvectors make of `D qf'` and, as the last column, of `D c`: entry i of column j. Eigenvalues of rounding are left
    /// out; those that are not come first.
    pub(crate) fn reduced(
        &self,
        d: &[f64],
        values: &[f64],
        turned: impl Fn(usize, usize) -> f64,
    ) -> (Vec<usize>, Rotated) {
        let (m, r) = (d.len(), self.fixed.kept.len());
        let cut = m as f64 * f64::EPSILON * values.iter().copied().fold(0.0, f64::max);
        let reached: Vec<usize> = (0..m).filter(|&i| values[i] > cut).collect();
        let y: Vec<f64> = reached.iter().map(|&i| turned(r, i) / values[i].sqrt()).collect();
        let b = (0..r)
            .map(|j| reached.iter().map(|&i| turned(j, i) * values[i].sqrt()).collect())
            .collect();
        let weighted: Vec<Vec<f64>> = self
            .fixed
            .qf
            .iter()
            .map(|q| q.iter().zip(d).map(|(q, d)| q * d).collect())
            .collect();
        let kept = reached.iter().map(|&i| values[i]).collect();
        let rho = (self.rho0 - dot(&y, &y)).max(0.0);
        let k11 = |i: usize, j: usize| dot(&weighted[i], &weighted[j]);
        (reached, self.rotated_of(kept, (y, b), k11, rho))
    }

    /// The rotated object of these eigenvalues: what the eigenvectors make of the response and of Q1'F, K11, and the square of the response beyond them.
    pub(super) fn rotated_of(
        &self,
        values: Vec<f64>,
        (y, b): (Vec<f64>, Vec<Vec<f64>>),
        k11: impl Fn(usize, usize) -> f64,
        rho: f64,
    ) -> Rotated {
        let r = self.fixed.kept.len();
        Rotated {
            n_rest: self.n as usize - r - values.len(),
            values,
            y,
            b,
            k11: (0..r).map(|i| (0..r).map(|j| k11(i, j)).collect()).collect(),
            rho,
            y1: self.fixed.unshifted_y1(),
            basis: self.fixed.basis(),
            log_det_x: self.fixed.log_det(),
            log_weights: self.log_weights,
            y_scale: 1.0,
            k_scale: 1.0,
            ..Rotated::default()
        }
    }

    /// D qf' and D c, a column each.
    pub(crate) fn weighted_columns(&self, d: &[f64]) -> Mat<f64> {
        let r = self.fixed.kept.len();
        Mat::from_fn(d.len(), r + 1, |i, j| {
            d[i] * if j < r { self.fixed.qf[j][i] } else { self.c[i] }
        })
    }
}

/// Sums of all functions for a column.
fn column(moments: &Moments, frequencies: &[Vec<i64>], c: usize) -> Vec<f64> {
    let mut sums = moments.columns[c].functions(frequencies);
    sums.extend(moments.groups.cross.iter().map(|row| row[c]));
    sums
}

/// Lower triangle of the cross products of all functions, those of the groups last.
fn bordered(moments: &Moments, frequencies: &[Vec<i64>], size: usize) -> Mat<f64> {
    let waves = moments.ones.gram(frequencies);
    if moments.groups.counts.is_empty() {
        return waves;
    }
    let first = waves.nrows();
    let mut t = Mat::zeros(size, size);
    t.submatrix_mut(0, 0, first, first).copy_from(&waves);
    for (g, sums) in moments.groups.sums.iter().enumerate() {
        let row = first + g;
        sums.functions(frequencies)
            .iter()
            .enumerate()
            .for_each(|(f, s)| t[(row, f)] = *s);
        t[(row, row)] = moments.groups.counts[g];
    }
    t
}

/// With more functions than contrasts the Gram matrix is singular, and small eigenvalues cannot be told from rounding.
fn check_rows(n: f64, rank: usize, size: usize) -> Result<()> {
    if rank as f64 >= n {
        return Err(Error::TooFewRows { n: n as usize, rank });
    }
    if (size + rank) as f64 >= n {
        return Err(Error::BasisAboveRows { size, n: n as usize });
    }
    Ok(())
}
