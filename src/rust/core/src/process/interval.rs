//! Likelihood along one parameter with the length scale, delta and the scale at their best.
//!
//! A rotated object a length scale is kept at Chebyshev nodes of log ell about the optimum. With the parameter held, the deviance is profiled over delta at
//! each node by the code of a fit with a given kernel; between the nodes it is the polynomial through them, which converges geometrically. So an interval
//! takes no more decompositions than there are nodes. Where a parameter at the end of its interval has its best length scale, the length scale's own deviance
//! has risen no farther: so the nodes reach over the length scale's interval and no farther, and are as many as the polynomial needs there.

use super::search::{Profiled, Search};
use crate::error::{Error, Result};
use crate::fourier::grid::Range;
use crate::likelihood::Method;
use crate::optimize::root;
use crate::profile::{CurvePoint, Profile, What};
use std::f64::consts::PI;

/// The optimum, the parameters that are one length scale, and the range of log ell / ell_hat in which to look.
#[derive(Debug, Clone)]
pub struct Near {
    pub lengths: Vec<f64>,
    pub together: usize,
    pub low: f64,
    pub high: f64,
    /// Ends that the model itself sets: beyond them there is nothing to look for.
    pub limits: (f64, f64),
    /// May the range be widened until it holds what is looked for?
    pub free: bool,
}

impl Near {
    /// About some length scales, as far as `width` on the logarithmic scale, but not beyond a range that was asked for.
    pub fn about(lengths: Vec<f64>, together: usize, width: f64, shortest: Option<f64>, longest: Option<f64>) -> Self {
        let log = |l: f64| (l / lengths[0]).ln();
        let limits = (
            shortest.map_or(f64::NEG_INFINITY, log).min(0.0),
            longest.map_or(f64::INFINITY, log).max(0.0),
        );
        Self {
            lengths,
            together,
            low: limits.0.max(-width),
            high: limits.1.min(width),
            limits,
            free: true,
        }
    }

    /// No farther than a range of length scales goes.
    pub fn within(mut self, range: &Range) -> Self {
        self.free = false;
        self.low = self.low.max((range.shortest[0] / self.lengths[0]).ln());
        self.high = self.high.min((range.longest[0] / self.lengths[0]).ln());
        self
    }

    /// Half as far again.
    fn wider(&self) -> Self {
        Self {
            low: self.limits.0.max(1.5 * self.low),
            high: self.limits.1.min(1.5 * self.high),
            ..self.clone()
        }
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
    /// Ends of the range beyond which there may be more.
    open: (bool, bool),
}

/// Fewest and most nodes, and the part of the rise that the last coefficients of the polynomial may have.
const COUNT: usize = 13;
const MOST: usize = 52;
const TAIL: f64 = 1e-4;
/// How far beyond the rise that is asked for the nodes reach, and how often the range of nodes is narrowed at most.
const MARGIN: f64 = 1.2;
const ROUNDS: usize = 6;
/// Steps outward from the optimum before a border is taken to be reached, and what is drawn of a logarithm without end.
const DOUBLINGS: usize = 16;
const WIDE: f64 = 8.0;
/// A rise of the deviance so large that nothing depends on how large.
const FAR: f64 = 1e6;
/// Part of the range of length scales that counts as its end.
const CLOSE: f64 = 0.01;

impl Nodes {
    /// Nodes that hold every length scale whose deviance lies at most `rise` above the best.
    pub fn new(search: &Search<'_>, near: &Near, rise: f64) -> Result<Self> {
        let mut near = near.clone();
        let mut nodes = Self::over(search, &near, COUNT)?;
        for _ in 0..ROUNDS {
            if !near.free || !nodes.is_open(&near, rise) {
                break;
            }
            near = near.wider();
            nodes = Self::over(search, &near, COUNT)?;
        }
        for _ in 0..ROUNDS {
            let closed = nodes.closed(&near, MARGIN * rise);
            if closed.high - closed.low > 0.8 * (near.high - near.low) {
                break;
            }
            near = closed;
            nodes = Self::over(search, &near, COUNT)?;
        }
        let open = nodes.ends_within(&near, rise);
        let mut count = COUNT;
        while nodes.tail() > TAIL * rise && count < MOST {
            count *= 2;
            nodes = Self::over(search, &near, count)?;
        }
        nodes.open = open;
        Ok(nodes)
    }

    fn over(search: &Search<'_>, near: &Near, count: usize) -> Result<Self> {
        let (middle, half) = (0.5 * (near.low + near.high), 0.5 * (near.high - near.low));
        // a length scale that is given has one node
        let count = if half > 0.0 { count } else { 1 };
        let place = |i: usize| ((i as f64 + 0.5) * PI / count as f64).cos();
        let at: Vec<f64> = (0..count).map(|i| middle + half * place(i)).collect();
        let profiled = at.iter().map(|t| search.at(&near.at(*t))).collect::<Result<_>>()?;
        Ok(Self {
            at,
            profiled,
            method: search.method,
            open: (false, false),
        })
    }

    fn deviances(&self) -> Vec<f64> {
        self.profiled.iter().map(|p| p.deviance).collect()
    }

    /// Nodes whose deviance lies at most `rise` above the best.
    fn within(&self, rise: f64) -> Vec<usize> {
        let values = self.deviances();
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        (0..values.len()).filter(|i| values[*i] <= least + rise).collect()
    }

    /// From the last node before those to the first one after them.
    fn closed(&self, near: &Near, rise: f64) -> Near {
        let within = self.within(rise);
        let (Some(&first), Some(&last)) = (within.first(), within.last()) else {
            return near.clone();
        };
        Near {
            high: if first == 0 { near.high } else { self.at[first - 1] },
            low: self.at.get(last + 1).copied().unwrap_or(near.low),
            ..near.clone()
        }
    }

    /// Last coefficients of the Chebyshev series of the length scale's deviance: its error.
    fn tail(&self) -> f64 {
        let (values, count) = (self.deviances(), self.at.len());
        let angle = |i: usize| (i as f64 + 0.5) * PI / count as f64;
        let coefficient = |k: usize| -> f64 {
            let term = |(i, value): (usize, &f64)| value * (k as f64 * angle(i)).cos();
            values.iter().enumerate().map(term).sum::<f64>() * 2.0 / count as f64
        };
        (count.saturating_sub(2).max(1)..count)
            .map(|k| coefficient(k).abs())
            .fold(0.0, f64::max)
    }

    /// Do the ends of the range, where the model goes on, lie below the rise?
    fn ends_within(&self, near: &Near, rise: f64) -> (bool, bool) {
        let within = self.within(rise);
        (
            within.last() == Some(&(self.at.len() - 1)) && near.low > near.limits.0 + CLOSE && near.high > near.low,
            within.first() == Some(&0) && near.high < near.limits.1 - CLOSE && near.high > near.low,
        )
    }

    fn is_open(&self, near: &Near, rise: f64) -> bool {
        let (low, high) = self.ends_within(near, rise);
        low || high
    }

    /// Smallest value between the nodes of the polynomial through values at them.
    fn least(&self, values: &[f64]) -> f64 {
        self.lowest(values).1
    }

    /// Does the best length scale lie at an end beyond which it may be better still?
    fn leans(&self, values: &[f64]) -> bool {
        let count = self.at.len();
        if count == 1 {
            return false;
        }
        let (t, (low, high)) = (self.lowest(values).0, (self.at[count - 1], self.at[0]));
        let near = CLOSE * (high - low);
        self.open.0 && t - low < near || self.open.1 && high - t < near
    }

    /// Place and value of the smallest.
    fn lowest(&self, values: &[f64]) -> (f64, f64) {
        const FINE: usize = 200;
        let count = self.at.len();
        if count == 1 {
            return (self.at[0], values[0]);
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
            return (centre, at);
        }
        (centre, at - (below - above).powi(2) / (8.0 * bend))
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
    /// Where the deviance has risen by `rise`, in the user's units; `None`: of the factor of the length scales. A border where it never rises so far; not a
    /// number where it cannot be told because the length scale that belongs to it lies beyond the nodes.
    pub fn interval(&self, what: Option<What>, rise: f64) -> Result<(f64, f64)> {
        let Some(what) = what else {
            let (a, b) = self.length_interval(rise)?;
            return Ok((a.exp(), b.exp()));
        };
        let (a, b) = self.held(what)?.interval(rise)?;
        let (a, b) = (what.in_user_units(a), what.in_user_units(b));
        // h2 falls with its working scale
        Ok(if what == What::H2 { (b, a) } else { (a, b) })
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
    fn values(&self, theta: f64) -> Vec<f64> {
        let held = |p: &Profile<'_>| p.deviance_at(theta).unwrap_or(f64::NAN);
        self.profiles.iter().map(held).collect()
    }

    /// Rise of the deviance with the parameter at theta.
    fn rise(&self, theta: f64) -> f64 {
        let values = self.values(theta);
        if values.iter().any(|v| v.is_nan() || *v - self.least > FAR) {
            return FAR;
        }
        self.nodes.least(&values) - self.least
    }

    /// On the working scale; not a number where the best length scale is not among the nodes.
    fn interval(&self, rise: f64) -> Result<(f64, f64)> {
        let (a, b) = self.ends(rise)?;
        let told = |end: f64| match end.is_finite() && self.nodes.leans(&self.values(end)) {
            true => f64::NAN,
            false => end,
        };
        Ok((told(a), told(b)))
    }

    /// Where the deviance has risen, among the nodes: outward in steps that double.
    fn ends(&self, rise: f64) -> Result<(f64, f64)> {
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
        let (a, b) = self.ends(zeta_max * zeta_max)?;
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
