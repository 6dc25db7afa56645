//! Gaussian processes of some thousand rows by their kernel matrix, without any approximation.
//!
//! In the coordinates of `ContrastCoordinates`, with V22 the contrasts' block of `V = K + delta I`, `a = V22^-1 y2` and dK the slope of K in the logarithm of a length scale
//!
//! ```text
//! d logdet = tr(V22^-1 dK22)  (ML: tr(V^-1 dK)),   d Q = -a' dK22 a
//! ```

use super::contrast_basis::ContrastBasis;
use super::found::Optima;
use super::local::{About, Estimates, Here};
use super::places::{Places, squares};
use super::search::LengthSearch;
use super::{Process, Slopes};
use crate::gp::bounds::{Bounds, SIDES};
use crate::gp::settings::Settings;
use crate::kernel::stationary::Family;
use crate::likelihood::Method;
use crate::linalg::cholesky::Cholesky;
use crate::linalg::dot;
use crate::lmm::fit::condition_floor;
use crate::rotation::NullModel;
use crate::rotation::rotated::Rotated;
use crate::runtime::error::{Error, Result};
use crate::runtime::memory::claim;
use crate::runtime::parallel::Workers;
use crate::runtime::stop::{self, pieces};
use faer::{Mat, MatRef, Par};

/// The process by its kernel matrix, n x n: exact for any layout of the rows, in time n^3 for each length scale.
///
/// At a given length scale it is an ordinary fit by the matrix of correlations:
///
/// ```
/// use fastlmm_core::gp::{exact::Exact, places::correlations};
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
    basis: ContrastBasis,
    y: &'a [f64],
    x: MatRef<'a, f64>,
    /// One for each row.
    weights: &'a [f64],
}

/// Rows from which on what the first look found is followed on half of them before it is on all: two steps there cost less than the one that they save.
pub(super) const MANY: usize = 1000;
/// Rows between two looks for a request to stop, which leaves the search for neighbours unfinished.
const ROWS: usize = 64;

pub(super) fn singular() -> Error {
    Error::NoConvergence {
        what: "a Cholesky decomposition of the covariance",
        iterations: 0,
    }
}

/// Factors of `unit` between which length scales are looked for, if not asked otherwise: from half the distance of the nearest neighbours, of the closest twentieth of the rows, to
/// three times the longest side of the data's box.
pub fn default_range(request: &Settings, bounds: &Bounds, coordinates: &[&[f64]]) -> (f64, f64) {
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
    // a row has no distance from itself
    let nearest = |i: usize| {
        let mut least = f64::INFINITY;
        for j in 0..n {
            let d = distance(i, j);
            if d > 0.0 && d < least {
                least = d;
            }
        }
        least
    };
    let mut all: Vec<f64> = pieces(n, ROWS)
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
            basis: ContrastBasis::new(x, y, weights)?,
            y,
            x,
            weights,
        })
    }

    /// Columns of X that do not depend on those before them.
    pub fn kept(&self) -> &[usize] {
        &self.basis.design.kept
    }

    /// Optima of the length scales over their range.
    pub fn optima(&self, search: &LengthSearch<'_>, request: &Settings, bounds: &Bounds) -> Result<Optima> {
        if let Some(lengths) = &request.lengths {
            return Ok(Optima::one(search.at(lengths)?));
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
    pub fn at_end(&self, lengths: &[f64], request: &Settings, bounds: &Bounds) -> bool {
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

    pub(super) fn basis(&self) -> &ContrastBasis {
        &self.basis
    }

    pub(super) fn contrasts(&self) -> usize {
        self.basis.contrasts()
    }

    /// The smallest delta whose likelihood can be told.
    pub(super) fn least_delta(&self) -> f64 {
        condition_floor(self.n()) * self.weights.iter().sum::<f64>()
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
        MatRef::from_column_major_slice(&self.basis.y[..m], m, 1)
    }

    pub(super) fn turned_kernel(&self, at: &[f64], par: Par) -> Mat<f64> {
        self.basis.matrix(self.places.kernel(at), par)
    }

    /// The first rows and columns of K + delta I.
    pub(super) fn noisy(&self, k: &Mat<f64>, size: usize, delta: f64, par: Par) -> Result<Cholesky> {
        stop::check()?;
        let mut v = k.as_ref().submatrix(0, 0, size, size).to_owned();
        (0..size).for_each(|i| v[(i, i)] += delta);
        let stopped = || stop::check().err().unwrap_or(singular());
        Cholesky::new(v, par).ok_or_else(stopped)
    }
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
        self.least_delta()
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
            let dk = self.basis.matrix(self.places.slope_along(&direction, at), par);
            Slopes {
                log_det: product_trace(&inverse, &dk),
                log_q: -form(&dk, &a) / q,
            }
        };
        Ok((0..at.len()).map(axis).collect())
    }

    fn estimates(&self, method: Method, at: &[f64], delta: f64, par: Par) -> Result<Option<Estimates>> {
        known(self.estimated(method, at, delta, par))
    }

    fn near(&self, about: About<'_>, par: Par) -> Result<Option<Here>> {
        known(self.here(about, par))
    }

    fn averaged(&self, about: About<'_>, par: Par) -> Result<Option<Here>> {
        match self.n() > MANY {
            true => known(self.about_average(about, par)),
            false => Ok(None),
        }
    }
}

/// Nothing where the covariance has no Cholesky decomposition; what stops the whole call is an error.
fn known<T>(found: Result<T>) -> Result<Option<T>> {
    match found {
        Err(error) if error.concerns_all() => Err(error),
        found => Ok(found.ok()),
    }
}

/// tr(P A) of symmetric matrices, P by its lower triangle.
pub(super) fn product_trace(p: &Mat<f64>, a: &Mat<f64>) -> f64 {
    let n = p.nrows();
    let column = |j: usize| {
        let (p, a) = (&p.col_as_slice(j)[j..], &a.col_as_slice(j)[j..n]);
        2.0 * dot(p, a) - p[0] * a[0]
    };
    (0..n).map(column).sum()
}

/// a' A a, of the first rows and columns of A.
fn form(matrix: &Mat<f64>, a: &Mat<f64>) -> f64 {
    let m = a.nrows();
    let column = |j: usize| a[(j, 0)] * dot(&matrix.col_as_slice(j)[..m], a.col_as_slice(0));
    (0..m).map(column).sum()
}
