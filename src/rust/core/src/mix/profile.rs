//! Likelihood along one parameter of a model with several effects, all others at their best.
//!
//! A variance is held as it is; a share h of the total is held by tying its variance to the others, theta_k = sum_l c_l theta_l with
//! c_l = h / (1 - h) in the user's units; a coefficient is held in ML, by the distance of its estimate (`constrained_coefficient`).

use super::constrained_coefficient::ConstrainedCoefficient;
use super::distance::Distance;
use super::fit::ComponentErrors;
use super::likelihood::{AtVariances, Derivatives, MixProblem};
use super::newton::{NewtonIterate, SETTLED};
use super::path::{NuisanceOptimum, Path};
use super::profiles::{OptimumExpansion, Profiles};
use super::search::{Tie, VarianceOptimum, VarianceSearch};
use crate::likelihood::profile::CurvePoint;
use crate::likelihood::profiled::{Profiled, Rise};
use crate::runtime::error::{Error, Result};
use faer::Mat;
use std::cell::RefCell;

/// The parameter that is held: effects are counted from 0, and the residual follows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MixParameter {
    /// Standard deviation.
    Sigma(usize),
    /// Share of the sum of all variances.
    Share(usize),
    /// Coefficient of a kept column of X.
    Beta(usize),
}

/// A deviance that is lower by this share of it is lower by more than rounding.
const BETTER: f64 = 1e-7;
/// What a step may promise at an optimum that only shows the way.
const ROUGH: f64 = 1e-2;

/// One parameter.
pub struct MixProfile<'p, 'a> {
    of: &'p Profiles<'a>,
    parameter: MixParameter,
    problem: &'p MixProblem,
    constant: f64,
    /// A coefficient as a combination of those along an orthonormal basis of X.
    direction: Mat<f64>,
    best: VarianceOptimum,
    /// A point below the best one that the profile came upon.
    pub(super) better: RefCell<Option<VarianceOptimum>>,
    estimate: f64,
    step: f64,
    /// How the optimum moves with the parameter at the estimate.
    tangent: Option<Vec<f64>>,
    path: RefCell<Path>,
}

/// Derivative of the deviance in the parameter, all variances but the held one kept; the derivatives of the abscissa's slope in the variances; and the rate
/// at which the abscissa moves with the parameter.
struct Along {
    slope: f64,
    mixed: Vec<f64>,
    rate: f64,
}

impl Along {
    /// `slope`: in the abscissa.
    fn new(slope: f64, mixed: Vec<f64>, rate: f64) -> Self {
        Self {
            slope: slope * rate,
            mixed,
            rate,
        }
    }
}

impl<'p, 'a> MixProfile<'p, 'a> {
    pub(super) fn new(
        of: &'p Profiles<'a>,
        parameter: MixParameter,
        OptimumExpansion { local, derivatives }: OptimumExpansion,
    ) -> Result<Self> {
        let setup = &of.setup;
        let (problem, constant) = match parameter {
            MixParameter::Beta(_) => (&of.ml.0, of.ml.1),
            _ => (&setup.problem, setup.constant),
        };
        let mut profile = Self {
            of,
            parameter,
            problem,
            constant,
            direction: Mat::zeros(0, 1),
            best: local,
            better: RefCell::new(None),
            estimate: 0.0,
            step: 0.0,
            tangent: None,
            path: RefCell::default(),
        };
        profile.locate(&derivatives)?;
        Ok(profile)
    }

    /// The estimate, its standard error if it has one, and how the optimum moves from there.
    fn locate(&mut self, derivatives: &Derivatives) -> Result<()> {
        if let MixParameter::Beta(j) = self.parameter {
            return self.locate_coefficient(j, derivatives);
        }
        let setup = &self.of.setup;
        let theta = &self.best.theta;
        let variance: Vec<f64> = theta.iter().zip(&setup.unit).map(|(t, unit)| t * unit).collect();
        let total: f64 = variance.iter().sum();
        let errors = setup.errors(&setup.components(&self.best), derivatives, theta);
        let (estimate, error, wide) = match self.parameter {
            MixParameter::Sigma(k) => {
                let sigma = variance[k].sqrt();
                (sigma, of_variance(&errors, k) / (2.0 * sigma), 0.2 * total.sqrt())
            }
            MixParameter::Share(k) => (variance[k] / total, errors.h2[k], 0.1),
            MixParameter::Beta(_) => (0.0, 0.0, 0.0),
        };
        self.estimate = estimate;
        self.step = if error.is_normal() { error.min(5.0 * wide) } else { wide };
        let mixed = self.along(estimate, theta, derivatives).mixed;
        self.tangent = self.tangent_at(estimate, derivatives, &mixed);
        Ok(())
    }

    fn locate_coefficient(&mut self, j: usize, derivatives: &Derivatives) -> Result<()> {
        let (setup, workers) = (&self.of.setup, self.of.workers);
        let rank = setup.coordinates.r();
        if j >= rank {
            return Err(Error::outside("column", j + 1, rank));
        }
        let singular = Error::NoConvergence {
            what: "the fit at its optimum",
            iterations: 0,
        };
        let point = workers
            .run(|par| self.problem.point(&self.best.theta, par))
            .ok_or(singular)?;
        let (beta, vcov) = workers.run(|par| setup.fixed_effects(&point, par));
        (self.estimate, self.step) = (beta[j], vcov[j][j].sqrt());
        self.direction = setup.direction(j);
        let coefficient = self.coefficient(self.estimate);
        let mut derivatives = derivatives.clone();
        let problem = self.problem;
        let mixed = workers.run(|par| {
            let distance = coefficient.distance(problem, &point, par);
            distance.add_derivatives(problem, &point, &mut derivatives, par);
            distance.slopes_in_variances(problem, &point, par)
        });
        let mixed: Vec<f64> = mixed.iter().map(|m| m / setup.y_scale).collect();
        self.tangent = self.tangent_at(self.estimate, &derivatives, &mixed);
        Ok(())
    }

    /// How the optimum moves with the parameter, there.
    fn tangent_at(&self, value: f64, derivatives: &Derivatives, mixed: &[f64]) -> Option<Vec<f64>> {
        let (search, _) = self.held(value);
        Some(search.quadratic(derivatives, &self.best.theta)?.moved_by(mixed))
    }

    fn coefficient(&self, value: f64) -> ConstrainedCoefficient {
        ConstrainedCoefficient {
            direction: self.direction.clone(),
            value: self.of.setup.of_centred(value, &self.direction),
        }
    }

    /// No variance but that of component k.
    fn alone(&self, k: usize) -> f64 {
        let theta: Vec<f64> = (0..self.best.theta.len()).map(|l| f64::from(l == k)).collect();
        let n = self.problem.n() as f64;
        let point = self.of.workers.run(|par| self.problem.point(&theta, par));
        point.map_or(f64::INFINITY, |p| p.deviance - p.q + n + n * (p.q / n).ln())
    }

    fn at(&self, value: f64, enough: f64) -> Result<Rise> {
        match self.parameter {
            MixParameter::Share(k) if value >= 1.0 => Ok(self.rise(self.alone(k), f64::NAN, 0.0)),
            _ => self.least(value, enough),
        }
    }

    /// The search with the parameter held, and which component it leaves alone.
    fn held(&self, value: f64) -> (VarianceSearch<'p>, Option<usize>) {
        let mut search = self.of.search(self.problem);
        let unit = &self.of.setup.unit;
        let held = match self.parameter {
            MixParameter::Beta(_) => {
                search.coefficient = Some(self.coefficient(value));
                return (search, None);
            }
            MixParameter::Share(k) if value > 0.0 => {
                let c = unit.iter().map(|u| value / (1.0 - value) * u / unit[k]).collect();
                search.tie = Some(Tie { k, c });
                k
            }
            MixParameter::Share(k) | MixParameter::Sigma(k) => k,
        };
        search.free[held] = false;
        (search, Some(held))
    }

    /// Variances to start from, the held one at its value.
    fn start(&self, theta: &[f64], value: f64) -> Vec<f64> {
        let mut theta = theta.to_vec();
        match self.parameter {
            MixParameter::Sigma(k) => theta[k] = value * value / self.of.setup.unit[k],
            MixParameter::Share(k) if value <= 0.0 => theta[k] = 0.0,
            _ => {}
        }
        theta
    }

    /// Deviance at a value that is no border, and its slope, where a step promises at most `enough`.
    fn least(&self, value: f64, enough: f64) -> Result<Rise> {
        let (search, held) = self.held(value);
        let expected = self.path.borrow().at(self.abscissa(value));
        let start = self.start(expected.as_ref().unwrap_or(&self.best.theta), value);
        if let Some(found) = search.near(start, enough)?
            && !search.runs_away(&found.local)?
        {
            return Ok(self.followed(value, found, search.tie.as_ref()));
        }
        Ok(self.rise(self.descended(&search, held, value)?, f64::NAN, 0.0))
    }

    fn rise(&self, deviance: f64, slope: f64, error: f64) -> Rise {
        Rise {
            rise: deviance - self.best.deviance,
            slope,
            error,
        }
    }

    /// By the envelope theorem the slope of the profile is that of the deviance with all variances but the held one kept, at the end of the last step.
    fn followed(&self, value: f64, found: NewtonIterate<'_>, tie: Option<&Tie>) -> Rise {
        let along = match &found.point.distance {
            Some(distance) => self.along_coefficient(distance, &found.point),
            None => self.along(value, &found.theta, &found.derivatives),
        };
        let inner: f64 = found
            .model
            .step
            .iter()
            .zip(&along.mixed)
            .map(|(step, m)| step * m)
            .sum();
        let rise = self.rise(found.local.deviance, along.slope + inner * along.rate, found.error);
        self.remember(&found.local, found.error, tie);
        self.path.borrow_mut().push(NuisanceOptimum {
            at: self.abscissa(value),
            tangent: Some(found.model.moved_by(&along.mixed)),
            theta: found.local.theta,
        });
        rise
    }

    /// By what the optima are followed: a variance moves the others, its root does not where it is zero.
    fn abscissa(&self, value: f64) -> f64 {
        match self.parameter {
            MixParameter::Sigma(_) => value * value,
            _ => value,
        }
    }

    /// Of a standard deviation or a share. With t the derivative of the held variance k in the abscissa the slope is D_k t, and the mixed derivatives are D_kl t,
    /// for a tied variance also by way of the tie.
    fn along(&self, value: f64, theta: &[f64], d: &Derivatives) -> Along {
        let unit = &self.of.setup.unit;
        let count = theta.len();
        match self.parameter {
            MixParameter::Share(k) => {
                let ratio = |l: usize| if l == k { 0.0 } else { unit[l] / unit[k] };
                let (tie, square) = (value / (1.0 - value), (1.0 - value).powi(2));
                let t = (0..count).map(|l| ratio(l) * theta[l]).sum::<f64>() / square;
                let mixed = |l: usize| {
                    (d.hessian[k][l] + tie * ratio(l) * d.hessian[k][k]) * t + d.gradient[k] * ratio(l) / square
                };
                Along::new(d.gradient[k] * t, (0..count).map(mixed).collect(), 1.0)
            }
            MixParameter::Sigma(k) => {
                let mixed = (0..count).map(|l| d.hessian[k][l] / unit[k]).collect();
                Along::new(d.gradient[k] / unit[k], mixed, 2.0 * value)
            }
            MixParameter::Beta(_) => Along::new(f64::NAN, vec![f64::NAN; count], 1.0),
        }
    }

    /// Of a coefficient.
    fn along_coefficient(&self, distance: &Distance, point: &AtVariances<'_>) -> Along {
        let (problem, y_scale) = (self.problem, self.of.setup.y_scale);
        let mixed = self
            .of
            .workers
            .run(|par| distance.slopes_in_variances(problem, point, par));
        let mixed = mixed.iter().map(|m| m / y_scale).collect();
        Along::new(distance.slope() / y_scale, mixed, 1.0)
    }

    /// From the optimum of the fit, each variance large enough to move.
    fn descended(&self, search: &VarianceSearch<'_>, held: Option<usize>, value: f64) -> Result<f64> {
        let mut theta = self.start(&self.best.theta, value);
        let share = |(t, size): (&f64, &f64)| t * size;
        let largest = theta.iter().zip(&search.size).map(share).fold(0.0, f64::max);
        for k in (0..theta.len()).filter(|k| Some(*k) != held) {
            theta[k] = theta[k].max(1e-3 * largest / search.size[k]);
        }
        if search.point(&theta)?.is_none() {
            return Ok(f64::INFINITY);
        }
        let found = match search.descend(&theta) {
            Err(Error::NoConvergence { .. }) if self.problem.may_be_unbounded() => return Ok(f64::INFINITY),
            found => found?,
        };
        // the optimum's valley has ended
        if search.runs_away(&found)? {
            return Ok(f64::INFINITY);
        }
        self.remember(&found, 0.0, search.tie.as_ref());
        self.path.borrow_mut().push(NuisanceOptimum {
            at: self.abscissa(value),
            theta: found.theta,
            tangent: None,
        });
        Ok(found.deviance)
    }

    /// A profile lies above its optimum: one that does not has found a better one.
    fn remember(&self, found: &VarianceOptimum, error: f64, tie: Option<&Tie>) {
        let mut better = self.better.borrow_mut();
        let least = better.as_ref().map_or(self.best.deviance, |better| better.deviance);
        if found.deviance + error < least - BETTER * (1.0 + least.abs()) {
            let theta = tie.map_or_else(|| found.theta.clone(), |tie| tie.theta(&found.theta));
            *better = Some(VarianceOptimum {
                theta,
                deviance: found.deviance,
            });
        }
    }

    /// `count` points of the curve out to |zeta| = `zeta_max`, evenly spaced.
    pub fn curve(&self, zeta_max: f64, count: usize) -> Result<Vec<CurvePoint>> {
        let ends = self.interval(zeta_max * zeta_max)?;
        self.points(ends, count, -0.5 * (self.best.deviance + self.constant))
    }
}

impl Profiled for MixProfile<'_, '_> {
    fn deviance_with(&self, value: f64) -> Result<Rise> {
        self.at(value, SETTLED)
    }

    fn rough(&self, value: f64) -> Result<Rise> {
        self.at(value, ROUGH)
    }

    fn estimate(&self) -> f64 {
        self.estimate
    }

    fn step(&self) -> f64 {
        self.step
    }

    fn borders(&self) -> (f64, f64) {
        match self.parameter {
            MixParameter::Beta(_) => (f64::NEG_INFINITY, f64::INFINITY),
            MixParameter::Sigma(_) => (0.0, f64::INFINITY),
            MixParameter::Share(_) => (0.0, 1.0),
        }
    }

    fn reset(&self) {
        *self.path.borrow_mut() = Path::from(NuisanceOptimum {
            at: self.abscissa(self.estimate),
            theta: self.best.theta.clone(),
            tangent: self.tangent.clone(),
        });
    }
}

/// The residual's is the last.
fn of_variance(errors: &ComponentErrors, k: usize) -> f64 {
    errors.sigma2.get(k).copied().unwrap_or(errors.sigma2_e)
}
