//! Likelihood along one parameter with the length scale, delta and the scale at their best.
//!
//! A rotated object a length scale is kept at Chebyshev nodes of log ell about the optimum. With the parameter held, the deviance is profiled over delta at
//! each node by the code of a fit with a given kernel; between the nodes it is the polynomial through them, which converges geometrically. So an interval
//! takes no more decompositions than there are nodes.

use super::search::{Profiled, Search};
use crate::error::{Error, Result};
use crate::fourier::grid::Range;
use crate::likelihood::Method;
use crate::optimize::root;
use crate::profile::{CurvePoint, Profile, What};
use std::f64::consts::PI;

/// The optimum, the parameters that are one length scale, and the range of log ell / ell_hat in which to look.
pub struct Near {
    pub lengths: Vec<f64>,
    pub together: usize,
    pub low: f64,
    pub high: f64,
}

impl Near {
    /// No farther than a range of length scales goes.
    pub fn within(mut self, range: &Range) -> Self {
        self.low = self.low.max((range.shortest[0] / self.lengths[0]).ln());
        self.high = self.high.min((range.longest[0] / self.lengths[0]).ln());
        self
    }

    /// The length scales that are looked at.
    pub fn range(&self) -> Range {
        let end = |t: f64| self.at(t)[..self.together].to_vec();
        Range {
            shortest: end(self.low),
            longest: end(self.high),
        }
    }

    fn at(&self, t: f64) -> Vec<f64> {
        let scaled = |(i, l): (usize, &f64)| if i < self.together { l * t.exp() } else { *l };
        self.lengths.iter().enumerate().map(scaled).collect()
    }
}

/// Decompositions about the optimum.
pub struct Nodes {
    /// log ell / ell_hat, descending.
    at: Vec<f64>,
    profiled: Vec<Profiled>,
    method: Method,
}

const COUNT: usize = 13;
/// Steps outward from the optimum before a border is taken to be reached, and what is drawn of a logarithm without end.
const DOUBLINGS: usize = 16;
const WIDE: f64 = 8.0;
/// A rise of the deviance so large that nothing depends on how large.
const FAR: f64 = 1e6;

impl Nodes {
    pub fn new(search: &Search<'_>, near: &Near) -> Result<Self> {
        let (middle, half) = (0.5 * (near.low + near.high), 0.5 * (near.high - near.low));
        // a length scale that is given has one node
        let count = if half > 0.0 { COUNT } else { 1 };
        let place = |i: usize| ((i as f64 + 0.5) * PI / count as f64).cos();
        let at: Vec<f64> = (0..count).map(|i| middle + half * place(i)).collect();
        let profiled = at.iter().map(|t| search.at(&near.at(*t))).collect::<Result<_>>()?;
        Ok(Self {
            at,
            profiled,
            method: search.method,
        })
    }

    /// Smallest value between the nodes of the polynomial through values at them.
    fn least(&self, values: &[f64]) -> f64 {
        const FINE: usize = 200;
        let count = self.at.len();
        if count == 1 {
            return values[0];
        }
        let (high, low) = (self.at[0], self.at[count - 1]);
        let step = (high - low) / FINE as f64;
        let value = |t: f64| self.between(values, t);
        let best = (0..=FINE)
            .map(|i| low + step * i as f64)
            .min_by(|a, b| value(*a).total_cmp(&value(*b)));
        let centre = best.unwrap_or(0.5 * (low + high));
        let (below, at, above) = (value(centre - step), value(centre), value(centre + step));
        let bend = below - 2.0 * at + above;
        // a parabola whose vertex is the nearest of its three points, else there is only rounding
        if centre <= low || centre >= high || bend <= 0.0 || (below - above).abs() > bend {
            return at;
        }
        at - (below - above).powi(2) / (8.0 * bend)
    }

    /// Barycentric interpolation at Chebyshev points of the first kind.
    fn between(&self, values: &[f64], t: f64) -> f64 {
        let (mut top, mut bottom) = (0.0, 0.0);
        for (i, (node, value)) in self.at.iter().zip(values).enumerate() {
            if t == *node {
                return *value;
            }
            let sign = if i % 2 == 0 { 1.0 } else { -1.0 };
            let weight = sign * ((i as f64 + 0.5) * PI / self.at.len() as f64).sin() / (t - node);
            top += weight * value;
            bottom += weight;
        }
        top / bottom
    }

    fn held(&self, what: What) -> Result<Held<'_>> {
        let profile = |p| Profile::new(p, self.method, what);
        let profiles: Vec<Profile<'_>> = self
            .profiled
            .iter()
            .map(|p| &p.rotated)
            .map(profile)
            .collect::<Result<_>>()?;
        let least = self.least(&profiles.iter().map(Profile::best).collect::<Vec<_>>());
        Ok(Held {
            nodes: self,
            what,
            profiles,
            least,
        })
    }
}

impl Nodes {
    /// Where the deviance has risen by `rise`, in the user's units; `None`: of the factor of the length scales. A border where it never rises so far.
    pub fn interval(&self, what: Option<What>, rise: f64) -> Result<(f64, f64)> {
        let Some(what) = what else {
            let (a, b) = self.length_interval(rise)?;
            return Ok((a.exp(), b.exp()));
        };
        let (a, b) = self.held(what)?.interval(rise)?;
        let (a, b) = (what.in_user_units(a), what.in_user_units(b));
        Ok((a.min(b), a.max(b)))
    }

    /// Curve of one parameter out to |zeta| = `zeta_max`.
    pub fn curve(&self, what: Option<What>, zeta_max: f64, count: usize) -> Result<Vec<CurvePoint>> {
        match what {
            Some(what) => self.held(what)?.curve(zeta_max, count),
            None => self.length_curve(zeta_max, count),
        }
    }

    /// In the logarithm of the factor; infinite where the deviance does not rise so far between the nodes.
    fn length_interval(&self, rise: f64) -> Result<(f64, f64)> {
        const FINE: usize = 100;
        let values: Vec<f64> = self.profiled.iter().map(|p| p.deviance).collect();
        let least = self.least(&values);
        let (low, high) = (self.at[self.at.len() - 1], self.at[0]);
        let points: Vec<f64> = (0..=FINE)
            .map(|i| low + (high - low) * i as f64 / FINE as f64)
            .collect();
        ends(&points, |t| self.between(&values, t) - least - rise)
    }

    fn length_curve(&self, zeta_max: f64, count: usize) -> Result<Vec<CurvePoint>> {
        let values: Vec<f64> = self.profiled.iter().map(|p| p.deviance).collect();
        let (a, b) = self.length_interval(zeta_max * zeta_max)?;
        let (a, b) = (a.max(self.at[self.at.len() - 1]), b.min(self.at[0]));
        let at: Vec<f64> = (0..count)
            .map(|i| a + (b - a) * i as f64 / (count - 1) as f64)
            .collect();
        let deviance = |t: f64| self.between(&values, t);
        let best = at
            .iter()
            .copied()
            .min_by(|x, y| deviance(*x).total_cmp(&deviance(*y)))
            .unwrap_or(0.0);
        let least = self.least(&values);
        let point = |t: &f64| CurvePoint {
            value: t.exp(),
            zeta: (deviance(*t) - least).max(0.0).sqrt().copysign(t - best),
            log_lik: -0.5 * deviance(*t),
        };
        Ok(at.iter().map(point).collect())
    }
}

/// The likelihood with one parameter held.
struct Held<'n> {
    nodes: &'n Nodes,
    what: What,
    profiles: Vec<Profile<'n>>,
    least: f64,
}

impl Held<'_> {
    /// Rise of the deviance with the parameter at theta.
    fn rise(&self, theta: f64) -> f64 {
        let held = |p: &Profile<'_>| p.deviance_at(theta).unwrap_or(f64::NAN);
        let values: Vec<f64> = self.profiles.iter().map(held).collect();
        if values.iter().any(|v| v.is_nan() || *v - self.least > FAR) {
            return FAR;
        }
        self.nodes.least(&values) - self.least
    }

    /// On the working scale: outward in steps that double.
    fn interval(&self, rise: f64) -> Result<(f64, f64)> {
        let middle = self.nodes.at.iter().position(|t| *t <= 0.0).unwrap_or(0);
        let (estimate, step) = self.profiles[middle].start();
        let centre = if estimate.is_finite() {
            estimate
        } else {
            self.inside(rise)
        };
        Ok((self.side(centre, -step, rise)?, self.side(centre, step, rise)?))
    }

    fn side(&self, centre: f64, mut step: f64, rise: f64) -> Result<f64> {
        let excess = |theta: f64| self.rise(theta) - rise;
        let mut inner = centre;
        for _ in 0..DOUBLINGS {
            let outer = centre + step;
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
        let side = if self.what == What::H2 { -side } else { side };
        CurvePoint {
            value: self.what.in_user_units(theta),
            zeta: side * rise.sqrt(),
            log_lik: -0.5 * (self.least + rise),
        }
    }

    /// Points evenly spaced on the working scale, and one at the best.
    fn curve(&self, zeta_max: f64, count: usize) -> Result<Vec<CurvePoint>> {
        let (a, b) = self.interval(zeta_max * zeta_max)?;
        let inside = if a.is_finite() { a } else { b };
        let (a, b) = (a.max(inside - WIDE), b.min(inside + WIDE));
        let theta: Vec<f64> = (0..count)
            .map(|i| a + (b - a) * i as f64 / (count - 1) as f64)
            .collect();
        let least = theta
            .iter()
            .copied()
            .min_by(|x, y| self.rise(*x).total_cmp(&self.rise(*y)));
        Ok(theta.iter().map(|t| self.point(*t, least.unwrap_or(a))).collect())
    }
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
    let left = if first == 0 {
        f64::NEG_INFINITY
    } else {
        root(&excess, points[first - 1], points[first])?
    };
    let right = if last + 1 == points.len() {
        f64::INFINITY
    } else {
        root(&excess, points[last], points[last + 1])?
    };
    Ok((left, right))
}
