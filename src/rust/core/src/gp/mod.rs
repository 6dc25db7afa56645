//! Gaussian processes: kernels with parameters of their own, whose logarithms are searched over while delta is at its best.

pub mod answer;
pub mod bounds;
pub mod chebyshev;
pub(crate) mod contrast_basis;
mod each_axis;
pub mod exact;
pub mod found;
pub mod fourier;
mod guess;
pub(crate) mod information;
pub(crate) mod interval;
pub mod joint;
mod line;
pub mod local;
pub mod many;
pub(crate) mod many_check;
mod many_rows;
pub mod many_search;
mod newton;
pub mod observations;
pub mod places;
pub mod search;
pub(crate) mod second_order;
pub mod settings;
pub(crate) mod solution;
mod subsample;

use crate::likelihood::Method;
use crate::rotation::rotated::Rotated;
use crate::runtime::error::Result;
use faer::Par;
use local::{About, Estimates, Here};

/// A kernel with parameters: length scales, and whatever else scales a part of it.
pub trait Process: Sync {
    /// The rotated object at these parameters.
    fn rotated(&self, at: &[f64], par: Par) -> Result<Rotated>;

    /// Is its memory so little that several may be decomposed side by side?
    fn is_small(&self) -> bool {
        false
    }

    /// The smallest delta whose likelihood can be told: below it the condition of K + delta I leaves no digits.
    fn floor(&self) -> f64 {
        0.0
    }

    /// Slopes in the logarithm of each parameter, at fixed delta in the units of the response.
    fn slopes(&self, method: Method, at: &[f64], delta: f64, par: Par) -> Result<Vec<Slopes>>;

    /// Estimates at a point, if the process knows them without its rotated object; what stops the whole call is an error.
    fn estimates(&self, _method: Method, _at: &[f64], _delta: f64, _par: Par) -> Result<Option<Estimates>> {
        Ok(None)
    }

    /// The same, and the deviance to second order in the directions and in log delta.
    fn near(&self, _about: About<'_>, _par: Par) -> Result<Option<Here>> {
        Ok(None)
    }

    /// The same with the average of observed and expected information for the curvature, where the second derivatives cost much more than the first: nothing elsewhere.
    fn averaged(&self, _about: About<'_>, _par: Par) -> Result<Option<Here>> {
        Ok(None)
    }
}

impl<P: Process> Process for &P {
    fn rotated(&self, at: &[f64], par: Par) -> Result<Rotated> {
        (**self).rotated(at, par)
    }

    fn is_small(&self) -> bool {
        (**self).is_small()
    }

    fn floor(&self) -> f64 {
        (**self).floor()
    }

    fn slopes(&self, method: Method, at: &[f64], delta: f64, par: Par) -> Result<Vec<Slopes>> {
        (**self).slopes(method, at, delta, par)
    }

    fn estimates(&self, method: Method, at: &[f64], delta: f64, par: Par) -> Result<Option<Estimates>> {
        (**self).estimates(method, at, delta, par)
    }

    fn near(&self, about: About<'_>, par: Par) -> Result<Option<Here>> {
        (**self).near(about, par)
    }

    fn averaged(&self, about: About<'_>, par: Par) -> Result<Option<Here>> {
        (**self).averaged(about, par)
    }
}

/// Slopes of the log-determinant and of log Q.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Slopes {
    /// Of log|h K22 + g I|, and for ML of log|h K + g I|.
    pub log_det: f64,
    /// Of log Q.
    pub log_q: f64,
}

impl Slopes {
    /// Slope of -2 log L with n contrasts.
    pub(crate) fn deviance(self, n: f64) -> f64 {
        self.log_det + n * self.log_q
    }
}
