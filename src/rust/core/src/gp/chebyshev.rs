//! Decompositions at Chebyshev nodes of the logarithm of a length scale, and the polynomial between them.
//!
//! Where a parameter at the end of its interval has its best length scale, the length scale's own deviance has risen no farther: so the nodes reach over the length
//! scale's interval and no farther, and are as many as the polynomial needs there.

use super::found::ProfilePoint;
use super::search::LengthSearch;
use crate::gp::bounds::Range;
use crate::likelihood::Method;
use crate::runtime::error::Result;
use std::f64::consts::PI;

/// The optimum, the parameters that are one length scale, and the range of log ell / ell_hat in which to look.
#[derive(Debug, Clone)]
pub struct Neighbourhood {
    pub(crate) lengths: Vec<f64>,
    pub(crate) together: usize,
    pub(crate) low: f64,
    pub(crate) high: f64,
    /// Ends that the model itself sets: beyond them there is nothing to look for.
    pub(crate) limits: (f64, f64),
    /// May the range be widened until it holds what is looked for?
    pub(crate) free: bool,
}

impl Neighbourhood {
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
    pub(crate) at: Vec<f64>,
    pub(crate) profiled: Vec<ProfilePoint>,
    pub(crate) method: Method,
    /// Ends of the range beyond which there may be more.
    pub(super) open: (bool, bool),
}

/// Fewest and most nodes, and the part of the rise that the last coefficients of the polynomial may have.
const COUNT: usize = 13;
const MOST: usize = 52;
const TAIL: f64 = 1e-4;
/// How far beyond the rise that is asked for the nodes reach, and how often the range of nodes is narrowed at most.
const MARGIN: f64 = 1.2;
const ROUNDS: usize = 6;
/// Part of the range of length scales that counts as its end.
const CLOSE: f64 = 0.01;

impl Nodes {
    /// Nodes that hold every length scale whose deviance lies at most `rise` above the best.
    pub fn new(search: &LengthSearch<'_>, neighbourhood: &Neighbourhood, rise: f64) -> Result<Self> {
        let mut neighbourhood = neighbourhood.clone();
        let mut nodes = Self::over(search, &neighbourhood, COUNT)?;
        for _ in 0..ROUNDS {
            if !neighbourhood.free || !nodes.is_open(&neighbourhood, rise) {
                break;
            }
            neighbourhood = neighbourhood.wider();
            nodes = Self::over(search, &neighbourhood, COUNT)?;
        }
        for _ in 0..ROUNDS {
            let closed = nodes.closed(&neighbourhood, MARGIN * rise);
            if closed.high - closed.low > 0.8 * (neighbourhood.high - neighbourhood.low) {
                break;
            }
            neighbourhood = closed;
            nodes = Self::over(search, &neighbourhood, COUNT)?;
        }
        let open = nodes.ends_within(&neighbourhood, rise);
        let mut count = COUNT;
        while nodes.tail() > TAIL * rise && count < MOST {
            count *= 2;
            nodes = Self::over(search, &neighbourhood, count)?;
        }
        nodes.open = open;
        Ok(nodes)
    }

    fn over(search: &LengthSearch<'_>, neighbourhood: &Neighbourhood, count: usize) -> Result<Self> {
        let (middle, half) = (
            0.5 * (neighbourhood.low + neighbourhood.high),
            0.5 * (neighbourhood.high - neighbourhood.low),
        );
        // a length scale that is given has one node
        let count = if half > 0.0 { count } else { 1 };
        let place = |i: usize| ((i as f64 + 0.5) * PI / count as f64).cos();
        let at: Vec<f64> = (0..count).map(|i| middle + half * place(i)).collect();
        let profiled = at
            .iter()
            .map(|t| search.value_at(&neighbourhood.at(*t)))
            .collect::<Result<_>>()?;
        Ok(Self {
            at,
            profiled,
            method: search.method,
            open: (false, false),
        })
    }

    pub(crate) fn deviances(&self) -> Vec<f64> {
        self.profiled.iter().map(|p| p.deviance).collect()
    }

    /// Nodes whose deviance lies at most `rise` above the best.
    fn within(&self, rise: f64) -> Vec<usize> {
        let values = self.deviances();
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        (0..values.len()).filter(|i| values[*i] <= least + rise).collect()
    }

    /// From the last node before those to the first one after them.
    fn closed(&self, neighbourhood: &Neighbourhood, rise: f64) -> Neighbourhood {
        let within = self.within(rise);
        let (Some(&first), Some(&last)) = (within.first(), within.last()) else {
            return neighbourhood.clone();
        };
        Neighbourhood {
            high: if first == 0 {
                neighbourhood.high
            } else {
                self.at[first - 1]
            },
            low: self.at.get(last + 1).copied().unwrap_or(neighbourhood.low),
            ..neighbourhood.clone()
        }
    }

    /// Of the length scale's deviance.
    fn tail(&self) -> f64 {
        self.tail_of(&self.deviances())
    }

    /// Last coefficients of the Chebyshev series through values at the nodes: its error.
    pub(crate) fn tail_of(&self, values: &[f64]) -> f64 {
        let count = self.at.len();
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
    fn ends_within(&self, neighbourhood: &Neighbourhood, rise: f64) -> (bool, bool) {
        let within = self.within(rise);
        (
            within.last() == Some(&(self.at.len() - 1))
                && neighbourhood.low > neighbourhood.limits.0 + CLOSE
                && neighbourhood.high > neighbourhood.low,
            within.first() == Some(&0)
                && neighbourhood.high < neighbourhood.limits.1 - CLOSE
                && neighbourhood.high > neighbourhood.low,
        )
    }

    fn is_open(&self, neighbourhood: &Neighbourhood, rise: f64) -> bool {
        let (low, high) = self.ends_within(neighbourhood, rise);
        low || high
    }

    /// Smallest value between the nodes of the polynomial through values at them.
    pub(crate) fn least(&self, values: &[f64]) -> f64 {
        self.lowest(values).1
    }

    /// Smallest value of the polynomial through the lowest of the nodes that are told and their neighbours; none if there is no such node.
    pub(crate) fn least_near(&self, values: &[f64], told: impl Fn(&f64) -> bool) -> Option<f64> {
        const REACH: usize = 3;
        const FINE: usize = 60;
        let usable = |i: &usize| told(&values[*i]);
        let lowest = (0..values.len())
            .filter(usable)
            .min_by(|a, b| values[*a].total_cmp(&values[*b]))?;
        let first = (0..lowest)
            .rev()
            .take(REACH)
            .take_while(usable)
            .last()
            .unwrap_or(lowest);
        let last = (lowest + 1..values.len())
            .take(REACH)
            .take_while(usable)
            .last()
            .unwrap_or(lowest);
        let window = first..=last;
        let (high, low) = (
            self.at[first.max(lowest.saturating_sub(1))],
            self.at[last.min(lowest + 1)],
        );
        let fine = (0..=FINE).map(|i| low + (high - low) * i as f64 / FINE as f64);
        let least = fine
            .map(|t| lagrange(&self.at[window.clone()], &values[window.clone()], t))
            .fold(f64::INFINITY, f64::min);
        Some(least.min(values[lowest]))
    }

    /// Does the best length scale lie at an end beyond which it may be better still?
    pub(crate) fn leans(&self, values: &[f64]) -> bool {
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
    pub(crate) fn between(&self, values: &[f64], t: f64) -> f64 {
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
}

/// The polynomial through some values, at t.
fn lagrange(at: &[f64], values: &[f64], t: f64) -> f64 {
    let weight = |i: usize| -> f64 {
        let factor = |j: usize| if i == j { 1.0 } else { (t - at[j]) / (at[i] - at[j]) };
        (0..at.len()).map(factor).product()
    };
    (0..at.len()).map(|i| weight(i) * values[i]).sum()
}
