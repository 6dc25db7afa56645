//! What a search finds: the profile at some length scales, and its local optima.

use super::local::Here;
use crate::likelihood::optimize::Location;
use crate::likelihood::point::Point;
use crate::rotation::rotated::Rotated;

/// The profile at one set of length scales.
#[derive(Debug, Clone)]
pub struct ProfilePoint {
    /// Length scales, one an axis, and what else is searched over, in the user's units.
    pub lengths: Vec<f64>,
    /// Not there if a process told its optimum without it.
    pub(crate) rotated: Option<Rotated>,
    /// Variances and log-likelihood at the best delta.
    pub(crate) point: Point,
    /// -2 log L at the best delta, and its slope in the logarithm of each length scale.
    pub deviance: f64,
    /// Slopes of the deviance in the logarithm of each.
    pub gradient: Vec<f64>,
    /// Does the best delta lie inside, or at an end?
    pub location: Location,
    /// delta in the units of the response: 0 or infinite at an end point.
    pub delta: f64,
}

impl ProfilePoint {
    /// Slope of the deviance where all length scales change in proportion.
    pub(crate) fn slope(&self) -> f64 {
        self.gradient.iter().sum()
    }

    /// Estimates at these length scales.
    pub(crate) fn seen(&self) -> Seen {
        Seen {
            length: self.lengths[0],
            point: self.point,
        }
    }
}

/// What the search saw at one length scale.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// Length scale of the first axis.
    pub length: f64,
    /// Variances and log-likelihood at the best delta there.
    pub point: Point,
}

/// Local optima over the length scales, best first; `grid` is the profile as the search saw it.
pub struct Optima {
    /// Local optima, best first.
    pub locals: Vec<ProfilePoint>,
    /// Length scales that were looked at, in no order.
    pub grid: Vec<Seen>,
    /// Standard error of the logarithm of the length scale at the best, if the slopes that were seen tell it.
    pub width: Option<f64>,
    /// All about the best, if the process knows it.
    pub here: Option<Here>,
}

impl Optima {
    pub(crate) fn one(profiled: ProfilePoint) -> Self {
        Self {
            grid: vec![],
            locals: vec![profiled],
            width: None,
            here: None,
        }
    }

    /// Optima of some searches together, best first, with what all of them saw.
    pub(crate) fn best_first(mut found: Vec<Self>, mut grid: Vec<Seen>) -> Self {
        let deviance = |f: &Self| f.locals.first().map_or(f64::INFINITY, |p| p.deviance);
        found.sort_by(|a, b| deviance(a).total_cmp(&deviance(b)));
        let best = found.first();
        let (width, here) = (best.and_then(|f| f.width), best.and_then(|f| f.here.clone()));
        let locals: Vec<ProfilePoint> = found.into_iter().flat_map(|f| f.locals).collect();
        grid.extend(locals.iter().map(ProfilePoint::seen));
        Self {
            locals,
            grid,
            width,
            here,
        }
    }
}

impl Optima {
    pub(super) fn here(lengths: Vec<f64>, here: Here, grid: Vec<Seen>) -> Self {
        let best = ProfilePoint {
            lengths,
            rotated: None,
            point: here.estimates.point,
            deviance: here.local.value,
            gradient: vec![here.local.gradient[0]],
            location: Location::Interior,
            delta: here.estimates.point.delta,
        };
        Self {
            locals: vec![best],
            grid,
            width: here.local.covariance().map(|c| c[(0, 0)].sqrt()),
            here: Some(here),
        }
    }
}
