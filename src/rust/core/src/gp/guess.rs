//! Where to look for a length scale more closely: a place, and how far it may be off.

use super::found::ProfilePoint;
use crate::likelihood::optimize::Location;

/// A place to look, with the standard deviation of the logarithm of the length scale there.
pub(crate) struct Guess {
    pub(crate) lengths: Vec<f64>,
    pub(crate) delta: f64,
    pub(crate) width: f64,
    pub(crate) deviance: f64,
    /// Was it made with so few functions that it leans to short length scales?
    pub(crate) leans: bool,
}

/// The lowest point of the cubic polynomial through two points and their slopes, if it lies between: near enough to start from.
pub(crate) fn valley(step: f64, a: &ProfilePoint, b: &ProfilePoint) -> Option<Guess> {
    if a.slope() >= 0.0 || b.slope() < 0.0 {
        return None;
    }
    let mean = (b.deviance - a.deviance) / step;
    let bend = a.slope() + b.slope() - 3.0 * mean;
    let root = (bend * bend - a.slope() * b.slope()).sqrt();
    let part = 1.0 - (b.slope() + root - bend) / (b.slope() - a.slope() + 2.0 * root);
    let t = part * step;
    let between = |a: f64, b: f64| (a.ln() + part * (b / a).ln()).exp();
    Some(Guess {
        lengths: a.lengths.iter().zip(&b.lengths).map(|(a, b)| between(*a, *b)).collect(),
        delta: match (a.location, b.location) {
            (Location::Interior, Location::Interior) => between(a.delta, b.delta),
            (Location::Interior, _) => a.delta,
            _ => b.delta,
        },
        width: (step / root).sqrt(),
        leans: false,
        deviance: a.deviance
            + t * (a.slope() + t * (3.0 * mean - 2.0 * a.slope() - b.slope()) / step)
            + t * t * t * (a.slope() + b.slope() - 2.0 * mean) / (step * step),
    })
}
