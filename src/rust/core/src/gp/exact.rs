//! Gaussian processes of some thousand rows by their kernel matrix, without any approximation.
//!
//! In the coordinates of `Turned`, with V22 the contrasts' block of `V = K + delta I`, `a = V22^-1 y2` and dK the slope of K in the logarithm of a length scale
//!
//! ```text
//! d logdet = tr(V22^-1 dK22)  (ML: tr(V^-1 dK)),   d Q = -a' dK22 a
//! ```

use super::newton::{Estimates, Here};
use super::search::{Found, Search};
use super::turned::Turned;
use super::{Process, Slopes};
use crate::gp::bounds::Bounds;
use crate::gp::fourier::window::SIDES;
use crate::gp::settings::Request;
use crate::kernel::Kernel;
use crate::kernel::dense::Dense;
use crate::kernel::stationary::Family;
use crate::likelihood::Method;
use crate::likelihood::optimize::Place;
use crate::linalg::cholesky::Cholesky;
use crate::linalg::{by_entries, product};
use crate::lmm::fit::{Fit, condition_floor, fit_above};
use crate::rotation::rotated::Rotated;
use crate::rotation::{Model, NullModel};
use crate::runtime::error::{Error, Result};
use crate::runtime::memory::claim;
use crate::runtime::parallel::Workers;
use crate::runtime::stop::{self, pieces};
use faer::{Mat, MatRef, Par};
use rayon::prelude::*;

/// Where the rows lie, and the family of the kernel between them.
pub(crate) struct Places<'a> {
    pub(crate) family: Family,
    /// A slice for each coordinate.
    pub(crate) coordinates: Vec<&'a [f64]>,
}

/// The process by its kernel matrix, n x n: exact for any layout of the rows, in time n^3 for each length scale.
///
/// At a given length scale it is an ordinary fit by the matrix of correlations:
///
/// ```
/// use fastlmm_core::gp::exact::{Exact, correlations};
/// use fastlmm_core::{kernel::{Kernel, dense::Dense, stationary::Family}, likelihood::Method, runtime::parallel::Workers};
/// # use fastlmm_core::{lmm::fit::{Options, fit}, rotation::Model};
/// # fn main() -> fastlmm_core::runtime::error::Result<()> {
/// let at = [0.0, 0.7, 1.1, 2.0, 3.4, 4.0, 5.2, 6.1];
/// let y = [0.1, 0.9, 1.0, 1.2, -0.1, -0.9, -0.7, 0.2];
/// let x = faer::Mat::full(8, 1, 1.0);
/// let exact = Exact::new(Family::Matern52, vec![&at], &y, x.as_ref(), &[1.0; 8])?;
/// let process = exact.fit(Method::Reml, &[1.5], &Workers::new(1)?)?;
///
/// let k = correlations(Family::Matern52, &[&at], &[&at], &[1.5])?;
/// let rows: Vec<usize> = (0..8).collect();
/// let model = Model {
///     y: &y, x: x.as_ref(), weights: &[1.0; 8], z: &[1.0; 8], group: &rows, kernel: Kernel::Dense(Dense(k.as_ref())), index: &rows,
/// };
/// let dense = fit(&model, Options { method: Method::Reml, threads: 1, tolerance: None }, &mut ())?;
/// assert!((process.point.log_lik - dense.point.log_lik).abs() < 1e-7);
/// # Ok(())
/// # }
/// ```
pub struct Exact<'a> {
    pub(crate) places: Places<'a>,
    turned: Turned,
    y: &'a [f64],
    x: MatRef<'a, f64>,
    /// One for each row.
    weights: &'a [f64],
}

impl<'a> Places<'a> {
    fn n(&self) -> usize {
        self.coordinates[0].len()
    }

    /// Squares of the lag of two rows along each axis, in length scales.
    fn squares(&self, i: usize, j: usize, at: &[f64]) -> [f64; 3] {
        squares(&self.coordinates, &self.coordinates, (i, j), at)
    }

    fn symmetric(&self, entry: impl Fn(usize, usize) -> f64) -> Mat<f64> {
        let mut k = Mat::zeros(self.n(), self.n());
        for j in pieces(self.n(), COLUMNS).flatten() {
            for i in j..self.n() {
                k[(i, j)] = entry(i, j);
                k[(j, i)] = k[(i, j)];
            }
        }
        k
    }

    pub(crate) fn kernel(&self, at: &[f64]) -> Mat<f64> {
        let distance = |i, j| self.squares(i, j, at).iter().sum::<f64>().sqrt();
        self.symmetric(|i, j| self.family.correlation(distance(i, j)))
    }

    /// The kernel, its slopes along combinations of the logarithms of the length scales, and the lower triangle of its second derivatives.
    pub(super) fn to_second(&self, directions: &[Vec<f64>], at: &[f64]) -> Vec<Mat<f64>> {
        let (n, count) = (self.n(), directions.len());
        let matrices = 1 + count + count * (count + 1) / 2;
        let column = |j: usize| -> Vec<f64> {
            if stop::check().is_err() {
                return vec![0.0; (n - j) * matrices];
            }
            let mut entries = vec![];
            for i in j..n {
                let u = self.squares(i, j, at);
                let [k, steepness, bend] = self.family.to_second(u.iter().sum::<f64>().sqrt());
                let along = |a: usize| -> f64 { directions[a].iter().zip(u).map(|(d, u)| d * u).sum() };
                let both = |a: usize, b: usize| -> f64 {
                    let (a, b) = (&directions[a], &directions[b]);
                    a.iter().zip(b).zip(u).map(|((a, b), u)| a * b * u).sum()
                };
                entries.push(k);
                entries.extend((0..count).map(|a| steepness * along(a)));
                for a in 0..count {
                    entries.extend((0..=a).map(|b| bend * along(a) * along(b) - 2.0 * steepness * both(a, b)));
                }
            }
            entries
        };
        let columns: Vec<Vec<f64>> = (0..n).into_par_iter().map(column).collect();
        let at = |which: usize, i: usize, j: usize| columns[j][(i - j) * matrices + which];
        (0..matrices)
            .map(|which| self.symmetric(|i, j| at(which, i, j)))
            .collect()
    }

    /// Slope of the kernel along a combination of the logarithms of the length scales.
    pub(crate) fn slope_along(&self, direction: &[f64], at: &[f64]) -> Mat<f64> {
        self.symmetric(|i, j| {
            let u = self.squares(i, j, at);
            let along: f64 = direction.iter().zip(u).map(|(d, u)| d * u).sum();
            self.family.steepness(u.iter().sum::<f64>().sqrt()) * along
        })
    }
}

/// Columns of a kernel matrix between two looks for a request to stop, which leaves it unfinished.
const COLUMNS: usize = 64;

/// Difference of two evaluations of the log-likelihood, by two factorisations, above which the fit is refused as rounding.
const AGREE: f64 = 0.02;
/// The same for residuals, in units of their standard deviation.
const RESIDUALS: f64 = 0.5;

pub(super) fn singular() -> Error {
    Error::NoConvergence {
        what: "a Cholesky decomposition of the covariance",
        iterations: 0,
    }
}

/// Factors of `unit` between which length scales are looked for, if not asked otherwise: from half the distance of the nearest neighbours, of the closest twentieth of the rows, to
/// three times the longest side of the data's box.
pub fn default_range(request: &Request, bounds: &Bounds, coordinates: &[&[f64]]) -> (f64, f64) {
    let unit = request.unit(bounds);
    let side = |a: usize| {
        let ends = coordinates[a]
            .iter()
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), x| (l.min(*x), h.max(*x)));
        (ends.1 - ends.0) / unit[a]
    };
    let widest = (0..coordinates.len()).map(side).fold(0.0, f64::max);
    let longest = request.longest.unwrap_or(SIDES * widest);
    let shortest = request.shortest.unwrap_or_else(|| 0.5 * neighbours(coordinates, &unit));
    (shortest.min(0.5 * longest), longest)
}

/// The distance of nearest neighbours that a twentieth of the rows has at most; rows at the same place count as one.
fn neighbours(coordinates: &[&[f64]], unit: &[f64]) -> f64 {
    const CLOSEST: usize = 20;
    let n = coordinates[0].len();
    let distance = |i: usize, j: usize| squares(coordinates, coordinates, (i, j), unit).iter().sum::<f64>();
    let nearest = |i: usize| {
        let others = (0..n).filter(|j| *j != i).map(|j| distance(i, j));
        others.filter(|d| *d > 0.0).fold(f64::INFINITY, f64::min)
    };
    let mut all: Vec<f64> = pieces(n, COLUMNS)
        .flatten()
        .map(nearest)
        .filter(|d| d.is_finite())
        .collect();
    all.sort_by(f64::total_cmp);
    all.get(all.len() / CLOSEST).map_or(f64::NAN, |d| d.sqrt())
}

impl<'a> Exact<'a> {
    /// n rows: a slice of n for each coordinate, `x` n x p, `weights` n. X is projected out here, once. Fails when no contrast is left.
    pub fn new(
        family: Family,
        coordinates: Vec<&'a [f64]>,
        y: &'a [f64],
        x: MatRef<'a, f64>,
        weights: &'a [f64],
    ) -> Result<Self> {
        Ok(Self {
            places: Places { family, coordinates },
            turned: Turned::new(x, y, weights)?,
            y,
            x,
            weights,
        })
    }

    /// Columns of X that do not depend on those before them.
    pub fn kept(&self) -> &[usize] {
        &self.turned.design.kept
    }

    /// Optima of the length scales over their range.
    pub fn optima(&self, search: &Search<'_>, request: &Request, bounds: &Bounds) -> Result<Found> {
        if let Some(lengths) = &request.lengths {
            return Ok(Found::one(search.at(lengths)?));
        }
        let unit = request.unit(bounds);
        let ends = default_range(request, bounds, &self.places.coordinates);
        let found = self.isotropic(search, &unit, ends)?;
        match found.locals.first() {
            Some(best) if request.ard => search.each_axis(&best.lengths, &request.range(bounds, ends.0, ends.1)),
            _ => Ok(found),
        }
    }

    /// Does a length scale that was looked for lie at an end of its range?
    pub fn at_end(&self, lengths: &[f64], request: &Request, bounds: &Bounds) -> bool {
        const NEAR: f64 = 0.02;
        let (unit, ends) = (
            request.unit(bounds),
            default_range(request, bounds, &self.places.coordinates),
        );
        let at = |end: f64| (0..lengths.len()).any(|a| (lengths[a] / (unit[a] * end)).ln().abs() < NEAR);
        request.lengths.is_none() && (at(ends.0) || at(ends.1))
    }

    pub(super) fn n(&self) -> usize {
        self.y.len()
    }

    pub(super) fn y(&self) -> &[f64] {
        self.y
    }

    pub(super) fn x(&self) -> MatRef<'_, f64> {
        self.x
    }

    pub(super) fn weights(&self) -> &[f64] {
        self.weights
    }

    pub(super) fn turned(&self) -> &Turned {
        &self.turned
    }

    pub(super) fn contrasts(&self) -> usize {
        self.turned.contrasts()
    }

    /// Observations that count.
    pub(super) fn observations(&self, method: Method) -> f64 {
        match method {
            Method::Reml => self.contrasts() as f64,
            Method::Ml => self.n() as f64,
        }
    }

    /// The contrasts of the response.
    pub(super) fn y2(&self) -> MatRef<'_, f64> {
        let m = self.contrasts();
        MatRef::from_column_major_slice(&self.turned.y[..m], m, 1)
    }

    pub(super) fn turned_kernel(&self, at: &[f64], par: Par) -> Mat<f64> {
        self.turned.matrix(self.places.kernel(at), par)
    }

    /// The first rows and columns of K + delta I.
    pub(super) fn noisy(&self, k: &Mat<f64>, size: usize, delta: f64, par: Par) -> Result<Cholesky> {
        stop::check()?;
        let mut v = k.as_ref().submatrix(0, 0, size, size).to_owned();
        (0..size).for_each(|i| v[(i, i)] += delta);
        Cholesky::new(v, par).ok_or(singular())
    }

    /// The fit with these length scales, its coefficients included.
    pub fn fit(&self, method: Method, lengths: &[f64], workers: &Workers) -> Result<Fit> {
        let n = self.n();
        let (k, ones, rows) = (
            self.places.kernel(lengths),
            vec![1.0; n],
            (0..n).collect::<Vec<usize>>(),
        );
        let fit = fit_above(&self.model(&k, &ones, &rows), method, self.floor(), workers)?;
        // at the floor of delta, which is told as a boundary, rounding is as large as the noise
        let inside = fit.optimum.as_ref().is_some_and(|o| o.best.place == Place::Interior);
        if inside {
            let (delta, log_lik) = (fit.point.delta, fit.point.log_lik);
            let again = workers.run(|par| self.estimated(method, lengths, delta, par))?;
            let residuals = workers.run(|par| self.missed(&fit, &k, par));
            if (again.point.log_lik - log_lik).abs() > AGREE || residuals > RESIDUALS {
                return Err(Error::NoConvergence {
                    what: "the check of the fit, whose likelihood or residuals differ by another factorisation of the covariance; it",
                    iterations: 0,
                });
            }
        }
        Ok(fit)
    }

    /// Largest difference of a residual from what its coefficient says that it is, `delta alpha / w`, in standard deviations, beyond the rounding of what is subtracted.
    fn missed(&self, fit: &Fit, k: &Mat<f64>, par: Par) -> f64 {
        let (n, point) = (self.n(), &fit.point);
        // coefficients beyond a double are told by the caller, who knows the columns' names
        if fit.beta.iter().any(|b| !b.is_normal() && *b != 0.0) {
            return 0.0;
        }
        let surface = product(k.as_ref(), MatRef::from_column_major_slice(&fit.alpha, n, 1), par);
        let terms = |i: usize| fit.kept.iter().zip(&fit.beta).map(move |(j, b)| self.x[(i, *j)] * b);
        let missed = |i: usize| {
            let residual = self.y[i] - terms(i).sum::<f64>() - surface[(i, 0)];
            let noise = point.delta * fit.alpha[i] / self.weights[i];
            let rounding = 8.0 * f64::EPSILON * terms(i).fold(self.y[i].abs(), |sum, t| sum + t.abs());
            ((residual - noise).abs() - rounding).max(0.0) * (self.weights[i] / point.sigma2_e).sqrt()
        };
        (0..n).map(missed).fold(0.0, f64::max)
    }

    /// The model whose kernel is that of these length scales.
    fn model<'m>(&'m self, k: &'m Mat<f64>, ones: &'m [f64], rows: &'m [usize]) -> Model<'m> {
        Model {
            y: self.y,
            x: self.x,
            weights: self.weights,
            z: ones,
            group: rows,
            kernel: Kernel::Dense(Dense(k.as_ref())),
            index: rows,
        }
    }
}

pub(super) fn squares(a: &[&[f64]], b: &[&[f64]], (i, j): (usize, usize), at: &[f64]) -> [f64; 3] {
    let mut u = [0.0; 3];
    for (u, ((a, b), length)) in u.iter_mut().zip(a.iter().zip(b).zip(at)) {
        *u = ((a[i] - b[j]) / length).powi(2);
    }
    u
}

/// Correlations of two sets of points, one row for each of the first.
pub fn correlations(family: Family, a: &[&[f64]], b: &[&[f64]], lengths: &[f64]) -> Result<Mat<f64>> {
    let (n, m) = (a[0].len(), b[0].len());
    claim(n as f64 * m as f64)?;
    let distance = |i, j| squares(a, b, (i, j), lengths).iter().sum::<f64>().sqrt();
    let k = by_entries(n, m, |i, j| family.correlation(distance(i, j)));
    stop::check()?;
    Ok(k)
}

impl Process for Exact<'_> {
    fn rotated(&self, at: &[f64], par: Par) -> Result<Rotated> {
        let n = self.n();
        claim((n * n) as f64)?;
        let (k, ones, rows) = (self.places.kernel(at), vec![1.0; n], (0..n).collect::<Vec<usize>>());
        let (null, block) = NullModel::of_response(&self.model(&k, &ones, &rows), &Workers::within(par), &mut ())?;
        null.respond(&block, 0)
    }

    fn is_small(&self) -> bool {
        const ROWS: usize = 2000;
        self.n() <= ROWS
    }

    fn floor(&self) -> f64 {
        condition_floor(self.n()) * self.weights.iter().sum::<f64>()
    }

    fn slopes(&self, method: Method, at: &[f64], delta: f64, par: Par) -> Result<Vec<Slopes>> {
        // the kernel, V, its inverse and what makes it, a slope
        claim(5.0 * (self.n() * self.n()) as f64)?;
        let k = self.turned_kernel(at, par);
        let contrasts = self.noisy(&k, self.contrasts(), delta, par)?;
        let y = self.y2();
        let a = contrasts.solve(y.to_owned(), par);
        let q = (y.transpose() * &a)[(0, 0)];
        let inverse = match method {
            Method::Reml => contrasts.into_inverse(par),
            Method::Ml => self.noisy(&k, self.n(), delta, par)?.into_inverse(par),
        };
        let axis = |axis: usize| {
            let direction: Vec<f64> = (0..at.len()).map(|i| f64::from(i == axis)).collect();
            let dk = self.turned.matrix(self.places.slope_along(&direction, at), par);
            Slopes {
                log_det: product_trace(&inverse, &dk),
                log_q: -form(&dk, &a) / q,
            }
        };
        Ok((0..at.len()).map(axis).collect())
    }

    fn estimates(&self, method: Method, at: &[f64], delta: f64, par: Par) -> Option<Estimates> {
        self.estimated(method, at, delta, par).ok()
    }

    fn near(&self, method: Method, at: &[f64], delta: f64, directions: &[Vec<f64>], par: Par) -> Option<Here> {
        self.here(method, at, delta, directions, par).ok()
    }
}

/// tr(P A) of symmetric matrices, P by its lower triangle.
pub(super) fn product_trace(p: &Mat<f64>, a: &Mat<f64>) -> f64 {
    let n = p.nrows();
    let column = |j: usize| {
        let below: f64 = (j + 1..n).map(|i| p[(i, j)] * a[(i, j)]).sum();
        p[(j, j)] * a[(j, j)] + 2.0 * below
    };
    (0..n).map(column).sum()
}

/// a' A a, of the first rows and columns of A.
fn form(matrix: &Mat<f64>, a: &Mat<f64>) -> f64 {
    let m = a.nrows();
    let column = |j: usize| a[(j, 0)] * (0..m).map(|i| matrix[(i, j)] * a[(i, 0)]).sum::<f64>();
    (0..m).map(column).sum()
}
