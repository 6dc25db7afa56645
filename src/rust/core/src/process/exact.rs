//! Gaussian processes of some thousand rows by their kernel matrix, without any approximation.
//!
//! With `V = K + delta W^-1`, `P = V^-1 - V^-1 X (X'V^-1 X)^-1 X'V^-1` and dK the slope of K in the logarithm of a length scale
//!
//! ```text
//! d logdet = tr(P dK)  (ML: tr(V^-1 dK)),   d Q = -(P y)' dK (P y)
//! ```

use super::search::{Found, Search};
use super::{Process, Slopes};
use crate::design::Design;
use crate::error::{Error, Result};
use crate::fourier::grid::Bounds;
use crate::fourier::refine::singles;
use crate::fourier::request::Request;
use crate::kernel::Kernel;
use crate::kernel::dense::Dense;
use crate::kernel::stationary::Family;
use crate::likelihood::Method;
use crate::linalg::product;
use crate::parallel::{Workers, check_memory};
use crate::reduce::{Model, Reduction};
use crate::rotated::Rotated;
use faer::linalg::solvers::{DenseSolveCore, Solve};
use faer::{Mat, MatRef, Par, Side};

pub struct Exact<'a> {
    pub family: Family,
    /// A slice for each coordinate.
    coordinates: Vec<&'a [f64]>,
    y: &'a [f64],
    /// The columns of X that do not depend on others, and which those are.
    x: Mat<f64>,
    kept: Vec<usize>,
    /// One for each row.
    weights: &'a [f64],
}

impl<'a> Exact<'a> {
    pub fn new(
        family: Family,
        coordinates: Vec<&'a [f64]>,
        y: &'a [f64],
        x: MatRef<'_, f64>,
        weights: &'a [f64],
    ) -> Result<Self> {
        let root: Vec<f64> = weights.iter().map(|w| w.sqrt()).collect();
        let kept = Design::new(x, &root)?.kept;
        let x = Mat::from_fn(x.nrows(), kept.len(), |i, j| x[(i, kept[j])]);
        Ok(Self {
            family,
            coordinates,
            y,
            x,
            kept,
            weights,
        })
    }

    pub fn kept(&self) -> &[usize] {
        &self.kept
    }

    /// Optima of the length scales over their range: from a tenth of the mean distance of neighbours to three times the box, if not asked otherwise.
    pub fn optima(&self, search: &Search<'_>, request: &Request, bounds: &Bounds) -> Result<Found> {
        if let Some(lengths) = &request.lengths {
            return Ok(Found::one(search.at(lengths)?));
        }
        let unit = request.unit(bounds);
        let side = request.widest(bounds);
        let neighbours = side / (self.n() as f64).powf(1.0 / bounds.d() as f64);
        let ends = (
            request.shortest.unwrap_or(0.1 * neighbours),
            request.longest.unwrap_or(3.0 * side),
        );
        let found = search.isotropic(&unit, ends.0, ends.1)?;
        match found.locals.first() {
            Some(best) if request.ard => {
                let range = request.range(bounds, ends.0, ends.1);
                Ok(Found::one(search.each(&best.lengths, &range, &singles(bounds.d()))?))
            }
            _ => Ok(found),
        }
    }

    fn n(&self) -> usize {
        self.y.len()
    }

    /// Squares of the lag of two rows along each axis, in length scales.
    fn squares(&self, i: usize, j: usize, at: &[f64]) -> [f64; 3] {
        squares(&self.coordinates, &self.coordinates, (i, j), at)
    }

    fn symmetric(&self, entry: impl Fn(usize, usize) -> f64) -> Mat<f64> {
        let mut k = Mat::zeros(self.n(), self.n());
        for j in 0..self.n() {
            for i in j..self.n() {
                k[(i, j)] = entry(i, j);
                k[(j, i)] = k[(i, j)];
            }
        }
        k
    }

    fn kernel(&self, at: &[f64]) -> Mat<f64> {
        let distance = |i, j| self.squares(i, j, at).iter().sum::<f64>().sqrt();
        self.symmetric(|i, j| self.family.correlation(distance(i, j)))
    }

    fn slope(&self, axis: usize, at: &[f64]) -> Mat<f64> {
        self.symmetric(|i, j| {
            let u = self.squares(i, j, at);
            self.family.steepness(u.iter().sum::<f64>().sqrt()) * u[axis]
        })
    }
}

fn squares(a: &[&[f64]], b: &[&[f64]], (i, j): (usize, usize), at: &[f64]) -> [f64; 3] {
    let mut u = [0.0; 3];
    for (u, ((a, b), length)) in u.iter_mut().zip(a.iter().zip(b).zip(at)) {
        *u = ((a[i] - b[j]) / length).powi(2);
    }
    u
}

/// Correlations of two sets of points, one row for each of the first.
pub fn correlations(family: Family, a: &[&[f64]], b: &[&[f64]], lengths: &[f64]) -> Result<Mat<f64>> {
    let (n, m) = (a[0].len(), b[0].len());
    check_memory(n as f64 * m as f64)?;
    let distance = |i, j| squares(a, b, (i, j), lengths).iter().sum::<f64>().sqrt();
    Ok(Mat::from_fn(n, m, |i, j| family.correlation(distance(i, j))))
}

impl Process for Exact<'_> {
    fn rotated(&self, at: &[f64], par: Par) -> Result<Rotated> {
        let n = self.n();
        check_memory(4.0 * (n * n) as f64)?;
        let k = self.kernel(at);
        let rows: Vec<usize> = (0..n).collect();
        let model = Model {
            y: self.y,
            x: self.x.as_ref(),
            weights: self.weights,
            z: &vec![1.0; n],
            group: &rows,
            kernel: Kernel::Dense(Dense(k.as_ref())),
            index: &rows,
        };
        Ok(Reduction::new(&model, &Workers::within(par), &mut ())?.rotated)
    }

    fn slopes(&self, method: Method, at: &[f64], delta: f64, par: Par) -> Result<Vec<Slopes>> {
        let mut v = self.kernel(at);
        (0..self.n()).for_each(|i| v[(i, i)] += delta / self.weights[i]);
        let singular = |_| Error::NoConvergence {
            what: "a Cholesky decomposition of the covariance",
            iterations: 0,
        };
        let llt = v.llt(Side::Lower).map_err(singular)?;
        let y = Mat::from_fn(self.n(), 1, |i, _| self.y[i]);
        let (vx, vy) = (llt.solve(&self.x), llt.solve(&y));
        let mut p = llt.inverse();
        let information = product(self.x.transpose(), vx.as_ref(), par);
        let half = information.col_piv_qr().solve(vx.transpose());
        let py = &vy - product(vx.as_ref(), (&half * &y).as_ref(), par);
        if method == Method::Reml {
            p -= product(vx.as_ref(), half.as_ref(), par);
        }
        let q = (y.transpose() * &py)[(0, 0)];
        let py: Vec<f64> = py.col(0).iter().copied().collect();
        Ok((0..at.len())
            .map(|axis| slopes(&self.slope(axis, at), &p, &py, q))
            .collect())
    }
}

fn slopes(dk: &Mat<f64>, p: &Mat<f64>, py: &[f64], q: f64) -> Slopes {
    let columns = 0..dk.ncols();
    let trace = |j: usize| -> f64 { dk.col(j).iter().zip(p.col(j).iter()).map(|(a, b)| a * b).sum() };
    let form = |j: usize| py[j] * dk.col(j).iter().zip(py).map(|(a, b)| a * b).sum::<f64>();
    Slopes {
        log_det: columns.clone().map(trace).sum(),
        log_q: -columns.map(form).sum::<f64>() / q,
    }
}
