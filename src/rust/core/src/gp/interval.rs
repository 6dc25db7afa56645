//! Likelihood along one parameter with the length scale, delta and the scale at their best.
//!
//! With the parameter held, the deviance is profiled over delta at each node by the code of a fit with a given kernel; between the nodes it is the polynomial through
//! them, which converges geometrically. So an interval takes no more decompositions than there are nodes.

use super::chebyshev::Nodes;
use crate::likelihood::optimize::root;
use crate::likelihood::profile::{CurvePoint, Parameter, Profile};
use crate::likelihood::profiled::straddled;
use crate::runtime::error::{Error, Result};
use std::cell::RefCell;

/// Steps outward from the optimum before a border is taken to be reached, and what is drawn of a logarithm without end.
const DOUBLINGS: usize = 16;
const WIDE: f64 = 8.0;
const FARTHEST: f64 = 40.0;
/// A rise of the deviance so large that nothing depends on how large.
const FAR: f64 = 1e6;
/// Nodes so much above the lowest are none that a polynomial should go through, where it has not converged.
const HIGH: f64 = 50.0;
/// Last coefficients of a polynomial that has converged.
const CONVERGED: f64 = 1e-3;

impl Nodes {
    fn constrained(&self, parameter: Parameter) -> Result<ConstrainedDeviance<'_>> {
        let profile = |p| Profile::new(p, self.method, parameter);
        let profiles: Vec<Profile<'_>> = self
            .profiled
            .iter()
            .filter_map(|p| p.rotated.as_ref())
            .map(profile)
            .collect::<Result<_>>()?;
        let least = self.least(&profiles.iter().map(Profile::best).collect::<Vec<_>>());
        Ok(ConstrainedDeviance {
            nodes: self,
            parameter,
            profiles,
            least,
            stopped: RefCell::new(None),
        })
    }

    /// Where the deviance has risen by `rise`, in the user's units; `None`: of the factor of the length scales. A border where it never rises so far; not a
    /// number where it cannot be told because the length scale that belongs to it lies beyond the nodes.
    pub fn interval(&self, parameter: Option<Parameter>, rise: f64) -> Result<(f64, f64)> {
        let Some(parameter) = parameter else {
            let (a, b) = self.length_interval(rise)?;
            let told = |end: f64, open: bool| if open && end.is_infinite() { f64::NAN } else { end.exp() };
            return Ok((told(a, self.open.0), told(b, self.open.1)));
        };
        let (a, b) = self.constrained(parameter)?.interval(rise)?;
        let (a, b) = (parameter.in_user_units(a), parameter.in_user_units(b));
        // h2 falls with its working scale
        Ok(if parameter == Parameter::H2 { (b, a) } else { (a, b) })
    }

    /// Curve of one parameter out to |zeta| = `zeta_max`.
    pub fn curve(&self, parameter: Option<Parameter>, zeta_max: f64, count: usize) -> Result<Vec<CurvePoint>> {
        match parameter {
            Some(parameter) => self.constrained(parameter)?.curve(zeta_max, count),
            None => self.length_curve(zeta_max, count),
        }
    }

    /// In the logarithm of the factor; infinite where the deviance does not rise so far between the nodes.
    fn length_interval(&self, rise: f64) -> Result<(f64, f64)> {
        const FINE: usize = 100;
        let values = self.deviances();
        let least = self.least(&values);
        let (low, high) = (self.at[self.at.len() - 1], self.at[0]);
        let points: Vec<f64> = (0..=FINE)
            .map(|i| low + (high - low) * i as f64 / FINE as f64)
            .collect();
        ends(&points, |t| self.between(&values, t) - least - rise)
    }

    fn length_curve(&self, zeta_max: f64, count: usize) -> Result<Vec<CurvePoint>> {
        let values = self.deviances();
        let (a, b) = self.length_interval(zeta_max * zeta_max)?;
        let (a, b) = (a.max(self.at[self.at.len() - 1]), b.min(self.at[0]));
        let at: Vec<f64> = (0..count)
            .map(|i| a + (b - a) * i as f64 / (count - 1) as f64)
            .collect();
        let deviance = |t: f64| self.between(&values, t);
        let least = self.least(&values);
        let point = |t: &f64| CurvePoint {
            value: t.exp(),
            // the estimate is at 0
            zeta: (deviance(*t) - least).max(0.0).sqrt().copysign(*t),
            log_lik: -0.5 * deviance(*t),
        };
        Ok(at.iter().map(point).collect())
    }
}

/// The likelihood with one parameter held.
struct ConstrainedDeviance<'n> {
    nodes: &'n Nodes,
    parameter: Parameter,
    profiles: Vec<Profile<'n>>,
    least: f64,
    /// What stops the whole call: the searches over theta know numbers only.
    stopped: RefCell<Option<Error>>,
}

impl ConstrainedDeviance<'_> {
    /// The deviance at each node, not a number where it has no optimum with the parameter there.
    fn values(&self, theta: f64) -> Vec<f64> {
        let held = |p: &Profile<'_>| {
            p.deviance_at(theta).unwrap_or_else(|error| {
                if error.concerns_all() {
                    self.stopped.borrow_mut().get_or_insert(error);
                }
                f64::NAN
            })
        };
        self.profiles.iter().map(held).collect()
    }

    fn unless_stopped<T>(&self, found: Result<T>) -> Result<T> {
        self.stopped.borrow_mut().take().map_or(found, Err)
    }

    /// Rise of the deviance with the parameter at theta.
    fn rise(&self, theta: f64) -> f64 {
        let values = self.values(theta);
        let lowest = values.iter().copied().fold(f64::INFINITY, f64::min);
        let told = |v: &f64| *v - lowest <= HIGH;
        if values.iter().all(|v| v.is_finite()) && self.nodes.tail_of(&values) <= CONVERGED {
            return self.nodes.least(&values) - self.least;
        }
        // a polynomial through all nodes would not survive one that is far above or cannot be told
        let near = self.nodes.least_near(&values, told);
        near.map_or(FAR, |least| (least - self.least).min(FAR))
    }

    /// On the working scale; not a number where the best length scale is not among the nodes.
    fn interval(&self, rise: f64) -> Result<(f64, f64)> {
        let (a, b) = self.unless_stopped(self.ends(rise))?;
        let told = |end: f64| match end.is_finite() && self.nodes.leans(&self.values(end)) {
            true => f64::NAN,
            false => end,
        };
        self.unless_stopped(Ok((told(a), told(b))))
    }

    /// Where the deviance has risen, among the nodes: outward in steps that double.
    fn ends(&self, rise: f64) -> Result<(f64, f64)> {
        let (centre, step) = (self.centre(rise), self.start().1);
        Ok((self.side(centre, -step, rise)?, self.side(centre, step, rise)?))
    }

    /// The estimate, and a step of the order of its uncertainty, at the length scale of the fit.
    fn start(&self) -> (f64, f64) {
        let middle = self.nodes.at.iter().position(|t| *t <= 0.0).unwrap_or(0);
        self.profiles[middle].start()
    }

    fn centre(&self, rise: f64) -> f64 {
        let estimate = self.start().0;
        if estimate.is_finite() {
            estimate
        } else {
            self.inside(rise)
        }
    }

    fn side(&self, centre: f64, mut step: f64, rise: f64) -> Result<f64> {
        let excess = |theta: f64| self.rise(theta) - rise;
        let mut inner = centre;
        for _ in 0..DOUBLINGS {
            let outer = centre + step;
            // so far out a logarithm is at its border, and the likelihood there rounding
            if step.abs() > FARTHEST && !matches!(self.parameter, Parameter::Beta(_)) {
                break;
            }
            if excess(outer) > 0.0 {
                return root(excess, inner, outer);
            }
            inner = outer;
            step *= 2.0;
        }
        Ok(f64::INFINITY.copysign(step))
    }

    /// Somewhere inside the interval of a parameter whose estimate lies at a border.
    fn inside(&self, rise: f64) -> f64 {
        let far = |side: f64| (0..).map(move |i| side * 0.5 * f64::from(i)).take(120);
        far(-1.0).chain(far(1.0)).find(|t| self.rise(*t) <= rise).unwrap_or(0.0)
    }

    fn point(&self, theta: f64, best: f64) -> CurvePoint {
        let rise = self.rise(theta).max(0.0);
        let side = if theta < best { -1.0 } else { 1.0 };
        let side = if self.parameter == Parameter::H2 { -side } else { side };
        CurvePoint {
            value: self.parameter.in_user_units(theta),
            zeta: side * rise.sqrt(),
            log_lik: -0.5 * (self.least + rise),
        }
    }

    /// Points evenly spaced on the working scale, and one at the best.
    fn curve(&self, zeta_max: f64, count: usize) -> Result<Vec<CurvePoint>> {
        let (a, b) = self.unless_stopped(self.ends(zeta_max * zeta_max))?;
        let centre = match (a.is_finite(), b.is_finite()) {
            (true, true) => 0.5 * (a + b),
            (true, false) => a + 0.5 * WIDE,
            (false, true) => b - 0.5 * WIDE,
            (false, false) => self.centre(zeta_max * zeta_max),
        };
        let a = if a.is_finite() { a } else { centre - 0.5 * WIDE };
        let b = if b.is_finite() { b } else { centre + 0.5 * WIDE };
        let theta: Vec<f64> = (0..count)
            .map(|i| a + (b - a) * i as f64 / (count - 1) as f64)
            .collect();
        let lowest = (0..count).min_by(|&i, &j| self.rise(theta[i]).total_cmp(&self.rise(theta[j])));
        let lowest = lowest.unwrap_or(0);
        let (below, above) = (theta[lowest.saturating_sub(1)], theta[(count - 1).min(lowest + 1)]);
        let best = place_of_least(|t| self.rise(t), below, above);
        let points = theta.iter().map(|t| self.point(*t, best)).collect();
        self.unless_stopped(Ok(points))
    }
}

/// Golden section search in an interval that holds one minimum, to a part of it that no picture shows.
fn place_of_least(f: impl Fn(f64) -> f64, mut a: f64, mut b: f64) -> f64 {
    const STEPS: usize = 30;
    let golden = 0.5 * (f64::sqrt(5.0) - 1.0);
    for _ in 0..STEPS {
        let part = golden * (b - a);
        match f(b - part) <= f(a + part) {
            true => b = a + part,
            false => a = b - part,
        }
    }
    0.5 * (a + b)
}

/// First and last root among points that straddle them, on the working scale.
fn ends(points: &[f64], excess: impl Fn(f64) -> f64) -> Result<(f64, f64)> {
    let inside: Vec<bool> = points.iter().map(|theta| excess(*theta) <= 0.0).collect();
    let Some(first) = inside.iter().position(|x| *x) else {
        return Err(Error::NoConvergence {
            what: "the search for an interval",
            iterations: points.len(),
        });
    };
    let last = inside.iter().rposition(|x| *x).unwrap_or(first);
    straddled(points, (first, last), (false, false), excess)
}
