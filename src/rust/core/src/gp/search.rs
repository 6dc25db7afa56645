//! The profile of the likelihood at some length scales, delta at its best for them, with exact gradients.
//!
//! By the envelope theorem the slope at the best delta is that at fixed delta, `d deviance = d logdet + n' d log Q`.

use super::Process;
use super::found::ProfilePoint;
use super::local::{About, Here};
use crate::likelihood::delta_grid::delta_grid_above;
use crate::likelihood::optimize::Location;
use crate::likelihood::point::{at, point};
use crate::likelihood::{Criterion, Method};
use crate::rotation::rotated::Rotated;
use crate::runtime::error::{Error, Result};
use crate::runtime::monitor::Monitor;
use crate::runtime::parallel::Workers;
use crate::runtime::work::{Work, count};
use faer::Par;
use std::cell::RefCell;

/// A search over the length scales of one process, delta at its best for each.
pub struct LengthSearch<'a> {
    /// The process: kernel matrix or Fourier basis.
    pub process: &'a dyn Process,
    /// REML or ML.
    pub method: Method,
    /// Threads of the call.
    pub workers: &'a Workers,
    /// Asked before each evaluation whether to stop.
    pub monitor: RefCell<&'a mut dyn Monitor>,
}

impl LengthSearch<'_> {
    /// The profile at given length scales: one decomposition, then the search over delta.
    pub fn at(&self, lengths: &[f64]) -> Result<ProfilePoint> {
        self.monitor.borrow_mut().check()?;
        let (process, method) = (self.process, self.method);
        self.workers.run(|par| profiled(process, method, lengths, true, par))
    }

    /// The same without slopes: values are all that an interval asks for.
    pub(super) fn value_at(&self, lengths: &[f64]) -> Result<ProfilePoint> {
        self.monitor.borrow_mut().check()?;
        let (process, method) = (self.process, self.method);
        self.workers.run(|par| profiled(process, method, lengths, false, par))
    }

    /// The process about some length scales, the first `d` of which change in proportion.
    pub fn near(&self, at: &[f64], delta: f64, d: usize) -> Result<Option<Here>> {
        let together = (0..at.len()).map(|i| f64::from(i < d)).collect();
        self.along(at, delta, together, |about, par| self.process.near(about, par))
    }

    /// The same with the average information for the curvature, if that saves work.
    pub(super) fn averaged(&self, at: &[f64], delta: f64) -> Result<Option<Here>> {
        let together = vec![1.0; at.len()];
        self.along(at, delta, together, |about, par| self.process.averaged(about, par))
    }

    fn along(
        &self,
        at: &[f64],
        delta: f64,
        direction: Vec<f64>,
        look: impl Fn(About<'_>, Par) -> Result<Option<Here>> + Sync,
    ) -> Result<Option<Here>> {
        self.monitor.borrow_mut().check()?;
        let about = About {
            method: self.method,
            at,
            delta,
            directions: &[direction],
        };
        let look = &look;
        let here = self.workers.run(|par| look(about, par))?;
        Ok(here.filter(|here| here.local.value.is_finite()))
    }
}

/// `sloped`: with the gradient, zero without it.
pub(super) fn profiled(
    process: &dyn Process,
    method: Method,
    lengths: &[f64],
    sloped: bool,
    par: Par,
) -> Result<ProfilePoint> {
    count(Work::Decomposition);
    let rotated = process.rotated(lengths, par)?;
    let criterion = Criterion { data: &rotated, method };
    let grid = delta_grid_above(&criterion, process.floor());
    let none = Error::NoConvergence {
        what: "the search for delta",
        iterations: 0,
    };
    // far too long a length scale may ask for less noise than rounding leaves: others will be better
    let best = match grid.optimum(&criterion)? {
        Some(optimum) => optimum.best,
        None => grid.lowest().ok_or(none)?,
    };
    let n = criterion.n() as f64;
    let delta = best.at.exp() * rotated.k_scale;
    let gradient = match best.location {
        Location::Upper => vec![0.0; lengths.len()],
        _ if !sloped => vec![0.0; lengths.len()],
        _ => {
            let slopes = process.slopes(method, lengths, delta.max(floor(&rotated)), par)?;
            slopes.iter().map(|s| s.deviance(n)).collect()
        }
    };
    let (h, g) = at(best.location, best.at);
    Ok(ProfilePoint {
        lengths: lengths.to_vec(),
        point: point(&criterion, h, g),
        deviance: best.value,
        gradient,
        location: best.location,
        delta,
        rotated: Some(rotated),
    })
}

/// Below the rounding of the largest eigenvalue delta no longer shows.
fn floor(rotated: &Rotated) -> f64 {
    100.0 * f64::EPSILON * rotated.values.len() as f64 * rotated.largest() * rotated.k_scale
}
