//! Curves and intervals of one parameter with all others at their best, for any likelihood that can be evaluated with it held.

use crate::likelihood::optimize::root;
use crate::likelihood::point::CurvePoint;
use crate::runtime::error::Result;

/// The likelihood with the parameter held.
#[derive(Debug, Clone, Copy)]
pub struct Rise {
    /// Deviance above its minimum; infinite where the likelihood is zero.
    pub(crate) rise: f64,
    /// Derivative of the deviance in the parameter; not a number if it is not known.
    pub(crate) slope: f64,
    /// By which the rise may be wrong.
    pub(crate) error: f64,
}

/// A parameter that can be held.
pub trait Profiled {
    /// The rise of the deviance above its minimum with the parameter held at `value`, all others at their best.
    fn deviance_with(&self, value: f64) -> Result<Rise>;

    /// The same with an error that may be large, and is told, on the way to a place.
    fn rough(&self, value: f64) -> Result<Rise> {
        self.deviance_with(value)
    }

    /// The parameter at the optimum.
    fn estimate(&self) -> f64;

    /// A step of the order of the standard error.
    fn step(&self) -> f64;

    /// Ends of the range in which values are tried.
    fn borders(&self) -> (f64, f64);

    /// Said of an end that is not reached on that side.
    fn open(&self, side: f64) -> f64 {
        let (low, high) = self.borders();
        if side < 0.0 { low } else { high }
    }

    /// Back to the estimate, before another side is looked at.
    fn reset(&self) {}

    /// Where the root of the rise is as near to its target, it is there.
    fn tolerance(&self) -> f64 {
        1e-9
    }

    /// Where the deviance has risen by `rise`; what `open` says where it never rises so far.
    fn interval(&self, rise: f64) -> Result<(f64, f64)> {
        Ok((self.end(-1.0, rise)?, self.end(1.0, rise)?))
    }

    /// The end on one side: outward by steps of Newton's method, or that double, then the root between the last two places.
    fn end(&self, side: f64, rise: f64) -> Result<f64> {
        self.reset();
        let target = rise.sqrt();
        let (low, high) = self.borders();
        let estimate = self.estimate();
        let mut step = target * self.step();
        let mut inner = Iterate {
            at: estimate,
            excess: -target,
            slope: side / self.step(),
            error: 0.0,
            last: false,
        };
        for _ in 0..OUTWARD {
            let next = (estimate + side * step).clamp(low, high);
            if next == inner.at || !step.is_normal() {
                break;
            }
            let outer = Iterate::new(next, self.rough(next)?, side, target);
            if outer.excess >= 0.0 {
                return self.crossing(inner, outer, side, target);
            }
            let newton = outer.newton();
            if outer.is_reached(self.tolerance(), target, newton.is_finite()) && newton > low && newton < high {
                return Ok(newton);
            }
            if next == low || next == high {
                break;
            }
            let further = side * (newton - estimate);
            step = if further > step {
                further.min(2.0 * step)
            } else {
                2.0 * step
            };
            inner = outer;
        }
        Ok(self.open(side))
    }

    /// Where zeta passes the target: Newton's method where the slope is known, else regula falsi that halves the weight of an end that stays (the Illinois
    /// method), kept between two places of which one lies on each side.
    fn crossing(&self, mut inner: Iterate, mut outer: Iterate, side: f64, target: f64) -> Result<f64> {
        let (mut low, mut high) = (inner.excess, outer.excess);
        for _ in 0..MOST {
            let (at, is_newton) = next_value(&inner, &outer, (low, high));
            let best = if high < -low { outer } else { inner };
            let close = (outer.at - inner.at).abs() <= CLOSE * (outer.at.abs() + inner.at.abs());
            if close || best.is_reached(self.tolerance(), target, is_newton) {
                return Ok(at);
            }
            let iterate = Iterate::new(at, self.rough(at)?, side, target);
            if iterate.excess >= 0.0 {
                low *= if outer.last { 0.5 } else { 1.0 };
                (outer, inner.last, high) = (Iterate { last: true, ..iterate }, false, iterate.excess);
            } else {
                high *= if inner.last { 0.5 } else { 1.0 };
                (inner, outer.last, low) = (Iterate { last: true, ..iterate }, false, iterate.excess);
            }
        }
        Ok(0.5 * (inner.at + outer.at))
    }

    /// `count` points from a to b, evenly spaced. `log_lik`: at the optimum.
    fn points(&self, (a, b): (f64, f64), count: usize, log_lik: f64) -> Result<Vec<CurvePoint>> {
        self.reset();
        let (steps, estimate) = (count.max(2) - 1, self.estimate());
        let point = |i: usize| {
            let value = a + (b - a) * i as f64 / steps as f64;
            let rise = self.deviance_with(value)?.rise;
            Ok(CurvePoint {
                value,
                zeta: rise.max(0.0).sqrt().copysign(value - estimate),
                log_lik: log_lik - 0.5 * rise,
            })
        };
        (0..=steps).map(point).collect()
    }
}

/// Outward steps before a border is taken to be reached.
const OUTWARD: usize = 14;
/// Steps to an end at most.
const MOST: usize = 100;
/// Relative distance of two places that a double does not tell apart for a deviance.
const CLOSE: f64 = 1e-14;
/// Cap of zeta's excess: an infinite deviance must not make a secant infinite.
const FAR: f64 = 1e3;

/// A value of the parameter, how far zeta is above the target there, and the derivative of that.
#[derive(Debug, Clone, Copy)]
pub struct Iterate {
    at: f64,
    excess: f64,
    slope: f64,
    /// By which the excess may be wrong.
    error: f64,
    /// Was it the last to be looked at?
    last: bool,
}

impl Iterate {
    fn new(at: f64, held: Rise, side: f64, target: f64) -> Self {
        let zeta = held.rise.max(0.0).sqrt();
        let slope = held.slope / (2.0 * zeta);
        Self {
            at,
            excess: (zeta - target).min(FAR + target),
            slope: if slope * side > 0.0 && zeta - target < FAR {
                slope
            } else {
                f64::NAN
            },
            error: held.error / (2.0 * zeta),
            last: false,
        }
    }

    fn newton(&self) -> f64 {
        self.at - self.excess / self.slope
    }

    /// Is the root as near as that, or a step of Newton's method from here, which has the square of the error before it?
    fn is_reached(&self, tolerance: f64, target: f64, by_newton: bool) -> bool {
        let relative = if by_newton { tolerance.sqrt() } else { tolerance };
        self.excess.abs() <= relative * target && self.error <= tolerance * target
    }
}

/// The next place to look at, and whether it is Newton's from the better of the two.
fn next_value(inner: &Iterate, outer: &Iterate, (low, high): (f64, f64)) -> (f64, bool) {
    let better = if outer.excess < -inner.excess { outer } else { inner };
    let newton = better.newton();
    let (a, b) = (inner.at.min(outer.at), inner.at.max(outer.at));
    if newton > a && newton < b {
        return (newton, true);
    }
    (inner.at - low * (outer.at - inner.at) / (high - low), false)
}

/// First and last root among points of which those inside straddle it; infinite on a side that is open or has no point outside.
pub(crate) fn straddled(
    points: &[f64],
    (first, last): (usize, usize),
    open: (bool, bool),
    excess: impl Fn(f64) -> f64,
) -> Result<(f64, f64)> {
    let left = match first == 0 || open.0 {
        true => f64::NEG_INFINITY,
        false => root(&excess, points[first - 1], points[first])?,
    };
    let right = match last + 1 == points.len() || open.1 {
        true => f64::INFINITY,
        false => root(&excess, points[last], points[last + 1])?,
    };
    Ok((left, right))
}
