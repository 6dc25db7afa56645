//! Likelihood along one parameter, all others at their best: curves and intervals.
//!
//! Variances are profiled in the fit's own likelihood. A fixed effect is profiled in ML, since REML does not contain it (lme4 does
//! the same).

pub use super::constrained::Parameter;
use super::constrained::{Constrained, Ingredients, LikelihoodTable, combine, ingredients};
pub use super::point::CurvePoint;
use crate::likelihood::delta_grid::delta_grid;
use crate::likelihood::optimize::Location;
use crate::likelihood::profiled::straddled;
use crate::likelihood::{Criterion, Method, proportions};
use crate::rotation::rotated::Rotated;
use crate::runtime::error::{Error, Result};

/// Profile of one parameter of one rotated data set.
///
/// Parameters are held on a working scale: log delta, log sigma2, log sigma2_e, or beta, in scaled units.
///
/// An interval ends where the deviance has risen by a quantile of chi-squared:
///
/// ```
/// # use fastlmm_core::{kernel::Kernel, likelihood::{Criterion, Method}, lmm::fit::{Options, fit}, rotation::Model};
/// use fastlmm_core::likelihood::profile::{Parameter, Profile};
/// # fn main() -> fastlmm_core::runtime::error::Result<()> {
/// # let x = faer::Mat::full(6, 1, 1.0);
/// # let model = Model {
/// #     y: &[1.0, 2.0, 4.0, 5.0, 9.0, 8.0], x: x.as_ref(), weights: &[1.0; 6], z: &[1.0; 6],
/// #     group: &[0, 0, 1, 1, 2, 2], kernel: Kernel::Identity, index: &[0, 1, 2],
/// # };
/// # let fit = fit(&model, Options { method: Method::Reml, threads: 1, tolerance: None }, &mut ())?;
/// let (lower, upper) = Profile::new(&fit.rotated, Method::Reml, Parameter::Delta)?.interval(3.84)?;
/// let criterion = Criterion { data: &fit.rotated, method: Method::Reml };
/// for delta in [lower, upper] {
///     let deviance = criterion.deviance((delta / fit.rotated.k_scale).ln());
///     assert!((deviance + 2.0 * fit.point.log_lik - 3.84).abs() < 1e-6);
/// }
/// # Ok(())
/// # }
/// ```
pub struct Profile<'a> {
    table: LikelihoodTable<'a>,
    best: f64,
    estimate: f64,
    unit: f64,
}

/// Data in whose likelihood a parameter can be profiled: a fixed effect is profiled in ML, which can have no optimum inside where the fit's REML has.
pub fn profiled(mut data: Rotated, parameter: Parameter) -> Result<Rotated> {
    if matches!(parameter, Parameter::Beta(_)) && data.null > data.dropped {
        let criterion = Criterion {
            data: &data,
            method: Method::Ml,
        };
        if delta_grid(&criterion).optimum(&criterion)?.is_none() {
            data.dropped = data.null;
        }
    }
    Ok(data)
}

impl<'a> Profile<'a> {
    /// `method` is that of the fit, and ML for a coefficient. Fails where the likelihood has no optimum.
    pub fn new(data: &'a Rotated, method: Method, parameter: Parameter) -> Result<Self> {
        let method = if matches!(parameter, Parameter::Beta(_)) {
            Method::Ml
        } else {
            method
        };
        let mut profile = Self {
            table: LikelihoodTable::new(Criterion { data, method }, parameter),
            best: f64::NAN,
            estimate: f64::NAN,
            unit: 1.0,
        };
        profile.locate()?;
        Ok(profile)
    }

    /// The deviance at its optimum.
    pub(crate) fn best(&self) -> f64 {
        self.best
    }

    /// Deviance with the parameter held at theta, which is log delta, log sigma2, log sigma2_e or beta in the user's units.
    pub(crate) fn deviance_at(&self, theta: f64) -> Result<f64> {
        self.deviance(match self.table.parameter {
            Parameter::Beta(_) => theta / self.unit_of_theta(),
            _ => theta - self.unit_of_theta(),
        })
    }

    /// theta at the optimum, and a step that is small beside its uncertainty.
    pub(crate) fn start(&self) -> (f64, f64) {
        match self.table.parameter {
            Parameter::Beta(_) => (
                self.estimate * self.unit_of_theta(),
                0.1 * self.unit * self.unit_of_theta(),
            ),
            _ => (self.estimate + self.unit_of_theta(), 1e-3),
        }
    }

    /// Difference of theta in the user's units and on the working scale; for beta their ratio.
    fn unit_of_theta(&self) -> f64 {
        let (y, k) = (self.table.criterion.data.y_scale, self.table.criterion.data.k_scale);
        match self.table.parameter {
            Parameter::Delta | Parameter::H2 => k.ln(),
            Parameter::SigmaU => 2.0 * y.ln() - k.ln(),
            Parameter::SigmaE => 2.0 * y.ln(),
            Parameter::Beta(_) => y,
        }
    }

    /// The optimum of the criterion and the parameter's estimate there.
    fn locate(&mut self) -> Result<()> {
        let free = Constrained {
            table: &self.table,
            theta: None,
        };
        let optimum = free.grid().optimum(&free)?.ok_or(Error::MlUnbounded)?;
        self.best = optimum.best.value;
        let part = match optimum.best.location {
            Location::Interior | Location::Floor => {
                let (h, g) = proportions(optimum.best.at);
                ingredients(&self.table.criterion, self.table.parameter, h, g)
            }
            Location::Upper => self.table.upper,
            Location::Lower => self.table.lower.ok_or(Error::MlUnbounded)?,
        };
        let tau2 = part.terms.q / self.table.criterion.n() as f64;
        // where the estimate has no error to rounding, as at delta = 0 along a direction that the kernel does not reach, that of equal parts
        let halves = || ingredients(&self.table.criterion, self.table.parameter, 0.5, 0.5).variance;
        let variance = if part.variance > 0.0 { part.variance } else { halves() };
        self.unit = (tau2 * variance).sqrt();
        self.estimate = match self.table.parameter {
            Parameter::Delta | Parameter::H2 => optimum.best.at,
            Parameter::SigmaU => tau2.ln() + part.log_h,
            Parameter::SigmaE => tau2.ln() + part.log_g,
            Parameter::Beta(_) => part.beta,
        };
        Ok(())
    }

    /// Deviance with the parameter held at `theta` on the working scale.
    fn deviance(&self, theta: f64) -> Result<f64> {
        if let Some(value) = self.border(theta) {
            return Ok(value);
        }
        match self.table.parameter {
            Parameter::Delta | Parameter::H2 => Ok(self.table.criterion.deviance(theta)),
            _ => {
                let held = Constrained {
                    table: &self.table,
                    theta: Some(theta),
                };
                let optimum = held.grid().optimum(&held)?;
                Ok(optimum.map_or(f64::MAX, |o| o.best.value))
            }
        }
    }

    /// Deviance at an infinite `theta`: the model without one of its variances.
    fn border(&self, theta: f64) -> Option<f64> {
        let free = |part: &Ingredients<f64>| combine(&self.table.criterion, self.table.parameter, part, None);
        let no_kernel = free(&self.table.upper);
        let no_residual = self.table.lower.as_ref().map_or(f64::MAX, free);
        match (self.table.parameter, theta == f64::INFINITY, theta == f64::NEG_INFINITY) {
            (_, false, false) => None,
            (Parameter::Delta | Parameter::H2, true, _) | (Parameter::SigmaU, _, true) => Some(no_kernel),
            (Parameter::Delta | Parameter::H2, _, true) | (Parameter::SigmaE, _, true) => Some(no_residual),
            _ => Some(f64::MAX),
        }
    }

    /// Where the deviance has risen by `drop`, in the user's units; a border when it never rises so far.
    pub fn interval(&self, drop: f64) -> Result<(f64, f64)> {
        let (a, b) = self.working_interval(drop)?;
        let (a, b) = (self.to_user(a), self.to_user(b));
        Ok((a.min(b), a.max(b)))
    }

    fn working_interval(&self, drop: f64) -> Result<(f64, f64)> {
        let points = self.search_points(drop)?;
        let excess = |theta: f64| {
            self.deviance(theta)
                .map_or(f64::NAN, |d| (d - self.best - drop).min(1e6 + drop))
        };
        let inside: Vec<bool> = points.iter().map(|theta| excess(*theta) <= 0.0).collect();
        let Some(first) = inside.iter().position(|x| *x) else {
            return Ok((f64::NAN, f64::NAN));
        };
        let last = inside.iter().rposition(|x| *x).unwrap_or(first);
        let (first, last) = self.valley(&points, &inside).unwrap_or((first, last));
        // held near a border, a variance can have its best delta beyond the grid: the border itself is asked
        let open = |border: f64| self.border(border).is_some_and(|d| d - self.best <= drop);
        straddled(
            &points,
            (first, last),
            (open(f64::NEG_INFINITY), open(f64::INFINITY)),
            excess,
        )
    }

    /// First and last point of the valley that holds the estimate, where the likelihood has no bound as delta -> 0: beyond its ridge it says nothing.
    fn valley(&self, points: &[f64], inside: &[bool]) -> Option<(usize, usize)> {
        let start = points.partition_point(|p| *p < self.estimate).min(points.len() - 1);
        if !self.table.criterion.is_unbounded() || !inside[start] {
            return None;
        }
        let before = inside[..start].iter().rev().take_while(|x| **x).count();
        let behind = inside[start..].iter().take_while(|x| **x).count();
        Some((start - before, start + behind - 1))
    }

    /// Points that straddle the interval's ends, ascending, the estimate among them.
    fn search_points(&self, drop: f64) -> Result<Vec<f64>> {
        let mut points = match self.table.parameter {
            Parameter::Delta | Parameter::H2 => self.table.at.clone(),
            Parameter::SigmaU => self.around_total(
                -self.table.at[self.table.at.len() - 1],
                25.0 - self.table.criterion.data.largest().ln(),
            ),
            Parameter::SigmaE => self.around_total(self.table.at[0] - self.table.criterion.data.largest().ln(), 15.0),
            Parameter::Beta(_) => return self.outward(drop),
        };
        if self.estimate.is_finite() {
            points.push(self.estimate);
            points.sort_by(f64::total_cmp);
        }
        Ok(points)
    }

    /// Logarithms of a variance from as far below the residual variance without a kernel as the grid of delta can follow.
    fn around_total(&self, below: f64, above: f64) -> Vec<f64> {
        let total = (self.table.upper.terms.q / self.table.criterion.n() as f64).ln();
        let (first, step) = (total + below + 2.0, 0.5);
        (0..=((above - below) / step) as usize)
            .map(|i| first + step * i as f64)
            .collect()
    }

    /// Steps away from beta_hat, doubling, until the deviance has risen enough on both sides.
    fn outward(&self, drop: f64) -> Result<Vec<f64>> {
        let mut points = vec![self.estimate];
        for side in [-1.0, 1.0] {
            let mut step = drop.sqrt() * self.unit;
            loop {
                let theta = self.estimate + side * step;
                points.push(theta);
                if !(step.is_normal() && self.deviance(theta)? - self.best < drop) {
                    break;
                }
                step *= 2.0;
            }
        }
        points.sort_by(f64::total_cmp);
        Ok(points)
    }

    /// `count` points of the curve out to |zeta| = `zeta_max`, evenly spaced in the parameter (delta: in its logarithm).
    pub fn curve(&self, zeta_max: f64, count: usize) -> Result<Vec<CurvePoint>> {
        let (a, b) = self.working_interval(zeta_max * zeta_max)?;
        let (a, b) = (self.finite(a), self.finite(b));
        let steps = count.max(2) - 1;
        let point = |i: usize| self.curve_point(self.between(a, b, i as f64 / steps as f64));
        (0..=steps).map(point).collect()
    }

    fn curve_point(&self, theta: f64) -> Result<CurvePoint> {
        let deviance = self.deviance(theta)?;
        let side = if theta < self.estimate { -1.0 } else { 1.0 };
        // h2 falls as delta rises
        let side = if self.table.parameter == Parameter::H2 {
            -side
        } else {
            side
        };
        let zeta = side * (deviance - self.best).max(0.0).sqrt();
        Ok(CurvePoint {
            value: self.to_user(theta),
            zeta,
            log_lik: -0.5 * deviance,
        })
    }

    /// An infinite border of delta is drawn at the end of the grid.
    fn finite(&self, theta: f64) -> f64 {
        match self.table.parameter {
            Parameter::Delta => theta.clamp(self.table.at[0], self.table.at[self.table.at.len() - 1]),
            _ => theta,
        }
    }

    fn between(&self, a: f64, b: f64, fraction: f64) -> f64 {
        let mix = |a: f64, b: f64| a + (b - a) * fraction;
        match self.table.parameter {
            Parameter::Delta | Parameter::Beta(_) => mix(a, b),
            Parameter::H2 => {
                let h2 = mix(self.to_user(b), self.to_user(a));
                (((1.0 - h2) / h2) / self.table.criterion.data.k_scale).ln()
            }
            Parameter::SigmaU | Parameter::SigmaE => 2.0 * mix((0.5 * a).exp(), (0.5 * b).exp()).ln(),
        }
    }

    fn to_user(&self, theta: f64) -> f64 {
        let data = self.table.criterion.data;
        match self.table.parameter {
            Parameter::Delta => theta.exp() * data.k_scale,
            Parameter::H2 => 1.0 / (1.0 + theta.exp() * data.k_scale),
            Parameter::SigmaU => (0.5 * theta).exp() * data.y_scale / data.k_scale.sqrt(),
            Parameter::SigmaE => (0.5 * theta).exp() * data.y_scale,
            Parameter::Beta(_) => theta * data.y_scale,
        }
    }
}

impl Parameter {
    /// The parameter of a theta in the user's units.
    pub(crate) fn in_user_units(self, theta: f64) -> f64 {
        match self {
            Parameter::Delta => theta.exp(),
            Parameter::H2 => 1.0 / (1.0 + theta.exp()),
            Parameter::SigmaU | Parameter::SigmaE => (0.5 * theta).exp(),
            Parameter::Beta(_) => theta,
        }
    }
}
