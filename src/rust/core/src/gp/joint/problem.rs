//! The likelihood as a function of variances and logarithms of length scales.

use crate::gp::contrast_basis::ContrastBasis;
use crate::gp::exact::product_trace;
use crate::gp::places::Places;
use crate::kernel::stationary::Family;
use crate::likelihood::Method;
use crate::linalg::cholesky::Cholesky;
use crate::linalg::{by_entries, product};
use crate::lmm::fit::condition_floor;
use crate::mix::Effect;
use crate::runtime::error::{Error, Result};
use crate::runtime::stop;
use faer::{Mat, MatRef, Par};
use std::f64::consts::TAU;
use std::sync::{Arc, Mutex};

/// The kernel and its slopes along the directions, turned.
struct Correlations {
    k: Mat<f64>,
    slopes: Vec<Mat<f64>>,
}

/// Variances come first, that of the process at their head and the residual's at their end; then steps of log ell along the directions.
pub struct JointProblem<'a> {
    pub places: Places<'a>,
    pub basis: ContrastBasis,
    pub method: Method,
    /// Covariances of the other effects, turned.
    parts: Vec<Mat<f64>>,
    /// Length scales at step 0, combinations of their logarithms that are estimated, and how far each step may go.
    pub unit: Vec<f64>,
    pub directions: Vec<Vec<f64>>,
    pub ends: Vec<(f64, f64)>,
    /// Mean variance that one unit of each variance gives a contrast.
    pub size: Vec<f64>,
    last: Mutex<Option<(Vec<f64>, Arc<Correlations>)>>,
}

/// The likelihood at some parameters.
#[derive(Debug, Clone)]
pub struct JointPoint {
    pub theta: Vec<f64>,
    pub steps: Vec<f64>,
    /// -2 log L, all constants included.
    pub deviance: f64,
    /// Slopes in the variances and the steps, and the average information.
    pub gradient: Vec<f64>,
    pub information: Mat<f64>,
}

/// Length scales: those at step 0, the directions and the ends of the steps.
pub struct Lengths {
    pub unit: Vec<f64>,
    pub directions: Vec<Vec<f64>>,
    pub ends: Vec<(f64, f64)>,
}

impl<'a> JointProblem<'a> {
    pub fn new(
        family: Family,
        coordinates: Vec<&'a [f64]>,
        basis: ContrastBasis,
        effects: &[Effect<'_>],
        method: Method,
        lengths: Lengths,
        par: Par,
    ) -> Result<Self> {
        let m = basis.contrasts();
        let parts: Vec<Mat<f64>> = effects.iter().map(|e| basis.matrix(covariance(e, par), par)).collect();
        let mut problem = Self {
            places: Places { family, coordinates },
            basis,
            method,
            parts,
            unit: lengths.unit,
            directions: lengths.directions,
            ends: lengths.ends,
            size: vec![],
            last: Mutex::new(None),
        };
        let middle: Vec<f64> = problem.ends.iter().map(|(a, b)| 0.5 * (a + b)).collect();
        stop::check()?;
        let process = trace(&problem.correlations(&middle, par).k, m) / m as f64;
        let of = |part: &Mat<f64>| trace(part, m) / m as f64;
        problem.size = std::iter::once(process)
            .chain(problem.parts.iter().map(of))
            .chain([1.0])
            .collect();
        problem.check(effects)?;
        Ok(problem)
    }

    /// The same settings for other fixed effects or another response.
    pub fn with(&self, basis: ContrastBasis, effects: &[Effect<'_>]) -> Result<Self> {
        let lengths = Lengths {
            unit: self.unit.clone(),
            directions: self.directions.clone(),
            ends: self.ends.clone(),
        };
        let Places { family, coordinates } = &self.places;
        Self::new(
            *family,
            coordinates.clone(),
            basis,
            effects,
            self.method,
            lengths,
            Par::Seq,
        )
    }

    fn check(&self, effects: &[Effect<'_>]) -> Result<()> {
        let n = self.basis.n();
        for (k, effect) in effects.iter().enumerate() {
            let all = trace(&self.parts[k], n);
            let of_contrasts = trace(&self.parts[k], self.basis.contrasts());
            if of_contrasts <= 10.0 * f64::EPSILON * n as f64 * all {
                return Err(Error::Vanishes {
                    label: effect.label.to_owned(),
                });
            }
        }
        Ok(())
    }

    /// Number of variances.
    pub fn variances(&self) -> usize {
        self.size.len()
    }

    pub fn n(&self) -> usize {
        match self.method {
            Method::Reml => self.basis.contrasts(),
            Method::Ml => self.basis.n(),
        }
    }

    pub fn lengths(&self, steps: &[f64]) -> Vec<f64> {
        let log = |i: usize| -> f64 { self.directions.iter().zip(steps).map(|(d, t)| d[i] * t).sum() };
        (0..self.unit.len()).map(|i| self.unit[i] * log(i).exp()).collect()
    }

    /// The smallest part of all other variance that the residual's may be: below it the condition of V leaves no digits.
    pub fn floor(&self) -> f64 {
        condition_floor(self.basis.n())
    }

    fn correlations(&self, steps: &[f64], par: Par) -> Arc<Correlations> {
        if let Ok(last) = self.last.lock()
            && let Some((at, found)) = last.as_ref()
            && at == steps
        {
            return found.clone();
        }
        let lengths = self.lengths(steps);
        let along = |d: &Vec<f64>| self.basis.matrix(self.places.slope_along(d, &lengths), par);
        let found = Arc::new(Correlations {
            k: self.basis.matrix(self.places.kernel(&lengths), par),
            slopes: self.directions.iter().map(along).collect(),
        });
        if let Ok(mut last) = self.last.lock() {
            *last = Some((steps.to_vec(), found.clone()));
        }
        found
    }

    /// What -2 log L has beyond log|V22| + y' P y.
    fn constant(&self) -> f64 {
        let x = if self.method == Method::Reml {
            self.basis.design.log_det()
        } else {
            0.0
        };
        self.n() as f64 * (TAU.ln() + 2.0 * self.basis.y_scale.ln()) + x - self.basis.log_weights()
    }

    /// The first `rows` rows and columns of V, its lower triangle.
    fn covariance(&self, theta: &[f64], k: &Mat<f64>, rows: usize) -> Mat<f64> {
        let mut v = Mat::zeros(rows, rows);
        let residual = theta[theta.len() - 1];
        for (share, a) in theta.iter().zip(std::iter::once(k).chain(&self.parts)) {
            if *share > 0.0 {
                for j in 0..rows {
                    (j..rows).for_each(|i| v[(i, j)] += share * a[(i, j)]);
                }
            }
        }
        (0..rows).for_each(|i| v[(i, i)] += residual);
        v
    }

    /// None where V is not positive definite, or so nearly singular that its likelihood would be rounding.
    pub fn point(&self, theta: &[f64], steps: &[f64], par: Par) -> Option<JointPoint> {
        let (n, m) = (self.basis.n(), self.basis.contrasts());
        let residual = theta[theta.len() - 1];
        let others: f64 = theta.iter().zip(&self.size).map(|(t, s)| t * s).sum::<f64>() - residual;
        if residual < 0.999 * self.floor() * others * m as f64 || theta.iter().any(|t| !t.is_finite()) {
            return None;
        }
        let at = self.correlations(steps, par);
        stop::check().ok()?;
        let y = MatRef::from_column_major_slice(&self.basis.y[..m], m, 1);
        let contrasts = Cholesky::new(self.covariance(theta, &at.k, m), par)?;
        let a = contrasts.solve(y.to_owned(), par);
        let slopes: Vec<(f64, &Mat<f64>)> = std::iter::once(&at.k)
            .chain(&self.parts)
            .map(|part| (1.0, part))
            .chain(at.slopes.iter().map(|slope| (theta[0], slope)))
            .collect();
        let va = self.slopes_times(&slopes, a.as_ref(), par);
        let solved = contrasts.solve(va.clone(), par);
        let q = (y.transpose() * &a)[(0, 0)];
        let (log_det, inverse) = match self.method {
            Method::Reml => (contrasts.log_det(), contrasts.into_inverse(par)),
            Method::Ml => {
                let whole = Cholesky::new(self.covariance(theta, &at.k, n), par)?;
                (whole.log_det(), whole.into_inverse(par))
            }
        };
        let last = theta.len() - 1;
        let quadratic = |i: usize| (a.transpose() * va.col(i))[0];
        let slope = |i: usize| match i.cmp(&last) {
            std::cmp::Ordering::Less => product_trace(&inverse, slopes[i].1),
            std::cmp::Ordering::Equal => trace(&inverse, inverse.nrows()),
            std::cmp::Ordering::Greater => slopes[i - 1].0 * product_trace(&inverse, slopes[i - 1].1),
        };
        let deviance = log_det + q + self.constant();
        deviance.is_finite().then(|| JointPoint {
            theta: theta.to_vec(),
            steps: steps.to_vec(),
            deviance,
            gradient: (0..va.ncols()).map(|i| slope(i) - quadratic(i)).collect(),
            information: product(va.transpose(), solved.as_ref(), par),
        })
    }

    /// V_i a for every parameter, the residual's in its place.
    fn slopes_times(&self, slopes: &[(f64, &Mat<f64>)], a: MatRef<'_, f64>, par: Par) -> Mat<f64> {
        let (m, last) = (a.nrows(), self.variances() - 1);
        let mut va = Mat::zeros(m, slopes.len() + 1);
        for (i, (share, part)) in slopes.iter().enumerate() {
            let one = product(part.as_ref().submatrix(0, 0, m, m), a, par);
            let at = if i < last { i } else { i + 1 };
            (0..m).for_each(|row| va[(row, at)] = share * one[(row, 0)]);
        }
        (0..m).for_each(|row| va[(row, last)] = a[(row, 0)]);
        va
    }
}

/// Z K Z' of one effect.
fn covariance(effect: &Effect<'_>, par: Par) -> Mat<f64> {
    let (z, g, index) = (effect.z, effect.group, effect.index);
    let n = z.len();
    if let Some(k) = effect.kernel.factor_between(index, 1.0, par) {
        return by_entries(n, n, |i, j| z[i] * z[j] * k[(g[i], g[j])]);
    }
    by_entries(n, n, |i, j| z[i] * z[j] * effect.kernel.entry(index[g[i]], index[g[j]]))
}

fn trace(a: &Mat<f64>, rows: usize) -> f64 {
    (0..rows).map(|i| a[(i, i)]).sum()
}
