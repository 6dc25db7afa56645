//! The fit of the exact route at its estimates, coefficients included, and what it checks of itself.
//!
//! In the coordinates of `ContrastBasis`, with `V = K + delta I`, X's directions first (1) and contrasts second (2), `a = V22^-1 y2` and R the triangle of X's decomposition
//!
//! ```text
//! R beta = y1 - V12 a,   vcov(beta) = sigma2 R^-1 S R^-T,   S = V11 - V12 V22^-1 V21,   log|V| = log|V22| + log|S|
//! ```

use super::answer::Answer;
use super::exact::{Exact, singular};
use super::subsample::FEW;
use crate::kernel::Kernel;
use crate::kernel::dense::Dense;
use crate::likelihood::Method;
use crate::likelihood::optimize::Location;
use crate::likelihood::point::Point;
use crate::linalg::{dot, log_det, product};
use crate::lmm::fit::{Fit, fit_above};
use crate::rotation::Model;
use crate::runtime::error::{Error, Result};
use crate::runtime::memory::claim;
use crate::runtime::parallel::Workers;
use faer::{Mat, MatRef, Par};

/// Difference of two evaluations of the log-likelihood, by two factorisations, above which the fit is refused as rounding.
const AGREE: f64 = 0.02;
/// The same for residuals, in units of their standard deviation.
pub(super) const RESIDUALS: f64 = 0.5;

impl Exact<'_> {
    /// The fit with given length scales, its coefficients included: delta is searched along the eigenvalues of the kernel.
    pub fn fit(&self, method: Method, lengths: &[f64], workers: &Workers) -> Result<Fit> {
        claim(3.0 * (self.n() * self.n()) as f64)?;
        let k = workers.run(|_| self.places.kernel(lengths));
        let fit = self.decomposed(method, &k, workers)?;
        workers.run(|par| match is_inside(&fit) {
            true => self.confirm(method, lengths, &fit, par),
            false => Ok(()),
        })?;
        self.checked(fit, &k, workers)
    }

    /// The fit with the length scales of an answer, its coefficients included.
    pub fn fit_of(&self, method: Method, answer: &Answer, workers: &Workers) -> Result<Fit> {
        claim(3.0 * (self.n() * self.n()) as f64)?;
        let k = workers.run(|_| self.places.kernel(&answer.lengths));
        let solved = || workers.run(|par| self.solved(method, answer, k.clone(), par));
        let decomposed = || self.decomposed(method, &k, workers);
        let fit = match (is_inside(&answer.fit), self.is_certain(answer.fit.point.delta)) {
            (true, true) if self.n() > FEW => solved()?,
            // a Cholesky decomposition loses fewer digits than eigenvalues
            (true, false) => match solved() {
                Ok(fit) => self.agreeing(fit, &decomposed()?)?,
                Err(error) if error.concerns_all() => return Err(error),
                Err(_) => decomposed()?,
            },
            _ => decomposed()?,
        };
        self.checked(fit, &k, workers)
    }

    /// A fit whose residuals are those of its coefficients. At the floor of delta, which is told as a boundary, rounding is as large as the noise.
    fn checked(&self, fit: Fit, k: &Mat<f64>, workers: &Workers) -> Result<Fit> {
        match is_inside(&fit) && workers.run(|par| self.missed(&fit, k, par)) > RESIDUALS {
            true => Err(unlike()),
            false => Ok(fit),
        }
    }

    /// Can rounding not change log|V| by what two evaluations may differ by?
    fn is_certain(&self, delta: f64) -> bool {
        (self.n() as f64) * self.rounding(delta) < AGREE
    }

    /// A fit whose likelihood that of another decomposition confirms, but for the rounding of n eigenvalues.
    fn agreeing(&self, fit: Fit, other: &Fit) -> Result<Fit> {
        let slack = (self.n() as f64).sqrt() * self.rounding(fit.point.delta);
        match (fit.point.log_lik - other.point.log_lik).abs() <= AGREE + slack {
            true => Ok(fit),
            false => Err(unlike()),
        }
    }

    /// By how much log|V| changes if its n smallest eigenvalues do by eps tr(V) each, as they may in a decomposition.
    fn rounding(&self, delta: f64) -> f64 {
        let trace = self.weights().iter().sum::<f64>() + self.n() as f64 * delta;
        self.n() as f64 * f64::EPSILON * trace / delta
    }

    /// The check of a fit by eigenvalues: estimates that a second factorisation gives the same likelihood, where rounding may have changed it.
    pub(super) fn confirm(&self, method: Method, lengths: &[f64], fit: &Fit, par: Par) -> Result<()> {
        if self.is_certain(fit.point.delta) {
            return Ok(());
        }
        let again = self.estimated(method, lengths, fit.point.delta, par)?;
        self.agreeing(Fit::at_point(again.point), fit).map(|_| ())
    }

    /// From one Cholesky decomposition at the estimates.
    fn solved(&self, method: Method, answer: &Answer, k: Mat<f64>, par: Par) -> Result<Fit> {
        let (basis, m, delta) = (self.basis(), self.contrasts(), answer.fit.point.delta);
        let k = basis.matrix(k, par);
        let contrasts = self.noisy(&k, m, delta, par)?;
        let r = basis.design.rank();
        let a = contrasts.solve(self.y2().to_owned(), par);
        let across = k.as_ref().submatrix(0, m, m, r);
        let solved = contrasts.solve(across.to_owned(), par);
        let inner = |i: usize, b: &Mat<f64>, j: usize| dot(&k.col_as_slice(m + i)[..m], b.col_as_slice(j));
        let schur = |i: usize, j: usize| {
            let noise = if i == j { delta } else { 0.0 };
            k[(m + i, m + j)] + noise - inner(i, &solved, j)
        };
        let s: Vec<Vec<f64>> = (0..r).map(|i| (0..=i).map(|j| schur(i, j)).collect()).collect();
        let fixed = match method {
            Method::Reml => 0.0,
            Method::Ml => log_det(&mut s.clone()).ok_or(singular())?,
        };
        let form = dot(&basis.y[..m], a.col_as_slice(0));
        let estimates = self.estimates_by(method, form, contrasts.log_det() + fixed, delta);
        self.agreeing(Fit::at_point(estimates.point), &answer.fit)?;
        let mut beta: Vec<f64> = (0..r).map(|i| basis.y[m + i] - inner(i, &a, 0)).collect();
        basis.design.solve(&mut beta);
        Ok(Fit {
            beta: beta.iter().map(|b| b * basis.y_scale).collect(),
            vcov: self.covariance(&s, &estimates.point),
            kept: basis.design.kept.clone(),
            optimum: answer.fit.optimum.clone(),
            alpha: basis.rows(a.col_as_slice(0)),
            ..Fit::at_point(estimates.point)
        })
    }

    /// sigma2 R^-1 S R^-T, S by its lower triangle.
    fn covariance(&self, s: &[Vec<f64>], point: &Point) -> Vec<Vec<f64>> {
        let (r, design) = (s.len(), &self.basis().design);
        let mut half: Vec<Vec<f64>> = (0..r)
            .map(|j| (0..r).map(|i| s[i.max(j)][i.min(j)]).collect())
            .collect();
        half.iter_mut().for_each(|column| design.solve(column));
        let row = |i: usize| {
            let mut row: Vec<f64> = half.iter().map(|column| column[i]).collect();
            design.solve(&mut row);
            row.iter().map(|v| v * point.sigma2).collect()
        };
        (0..r).map(row).collect()
    }

    /// By the code of a fit with a given kernel.
    fn decomposed(&self, method: Method, k: &Mat<f64>, workers: &Workers) -> Result<Fit> {
        let (ones, rows) = (vec![1.0; self.n()], (0..self.n()).collect::<Vec<usize>>());
        fit_above(&self.model(k, &ones, &rows), method, self.least_delta(), workers)
    }

    /// Largest difference of a residual from what its coefficient says that it is, `delta alpha / w`, in standard deviations, beyond the rounding of what is subtracted.
    fn missed(&self, fit: &Fit, k: &Mat<f64>, par: Par) -> f64 {
        let n = self.n();
        if beyond_a_double(fit) {
            return 0.0;
        }
        let surface = product(k.as_ref(), MatRef::from_column_major_slice(&fit.alpha, n, 1), par);
        self.missed_by(fit, &fit.alpha, surface.col_as_slice(0))
    }

    /// The same with the coefficients and the process at the rows.
    pub(super) fn missed_by(&self, fit: &Fit, alpha: &[f64], surface: &[f64]) -> f64 {
        let point = &fit.point;
        let terms = |i: usize| fit.kept.iter().zip(&fit.beta).map(move |(j, b)| self.x()[(i, *j)] * b);
        let missed = |i: usize| {
            let residual = self.y()[i] - terms(i).sum::<f64>() - surface[i];
            let noise = point.delta * alpha[i] / self.weights()[i];
            let rounding = 8.0 * f64::EPSILON * terms(i).fold(self.y()[i].abs(), |sum, t| sum + t.abs());
            ((residual - noise).abs() - rounding).max(0.0) * (self.weights()[i] / point.sigma2_e).sqrt()
        };
        (0..self.n()).map(missed).fold(0.0, f64::max)
    }

    /// The model whose kernel is that of these length scales.
    pub(super) fn model<'m>(&'m self, k: &'m Mat<f64>, ones: &'m [f64], rows: &'m [usize]) -> Model<'m> {
        Model {
            y: self.y(),
            x: self.x(),
            weights: self.weights(),
            z: ones,
            group: rows,
            kernel: Kernel::Dense(Dense(k.as_ref())),
            index: rows,
        }
    }
}

/// Such coefficients are told by the caller, who knows the columns' names.
pub(super) fn beyond_a_double(fit: &Fit) -> bool {
    fit.beta.iter().any(|b| !b.is_normal() && *b != 0.0)
}

fn is_inside(fit: &Fit) -> bool {
    fit.optimum
        .as_ref()
        .is_some_and(|o| o.best.location == Location::Interior)
}

pub(super) fn unlike() -> Error {
    Error::NoConvergence {
        what: "the check of the fit, whose likelihood or residuals differ by another factorisation of the covariance; it",
        iterations: 0,
    }
}
