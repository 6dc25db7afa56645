//! Many responses, each with its own length scale or all with one, on a grid that they share.
//!
//! What a length scale makes of the kernel serves all responses: at each every response is searched over delta by the code of a single fit. From a coarse grid on, length
//! scales are put between others until no response would gain by more of them, as the parabola through its best three tells.
//!
//! A length scale that was looked for makes the likelihood ratio of no process larger than the boundary mixture of one variance knows. Under that hypothesis the
//! signed root of the ratio is nearly a standard normal process Z along the length scale, and (Davies 1977, by Rice's formula)
//!
//! ```text
//! P(max Z > c) <= P(Z > c) + arc / (2 pi) exp(-c^2 / 2),   arc = sum over neighbours of arccos cor(Z_i, Z_i+1)
//! ```

use super::fourier::window_basis::WindowBasis;
use super::settings::Settings;
use crate::gp::bounds::Bounds;
use crate::lmm::fit::{Fit, Options};
use crate::lmm::many::{Fits, ManyOptions};
use crate::runtime::error::{Error, Result};

/// Distance of length scales in the logarithm, before some are put between. Twice as far halves the decompositions of the first pass and makes more halvings.
const STEP: f64 = 0.2;
/// Log-likelihood that a response may miss between length scales that were looked at.
const GAIN: f64 = 0.01;
/// Halvings of a step at most: a sixty-fourth of STEP.
const HALVINGS: usize = 6;

/// The fits in the order of the responses, their length scales, and the length of the arc of each.
pub struct Together {
    /// `alpha`: coefficients of the rows, or of the functions of the window's basis.
    pub fits: Fits,
    /// Length scale and window of each response.
    pub fitted: Vec<FittedLength>,
    /// Length of the path of each response's unit direction of contrasts over the range of length scales, in radians: what Hotelling's tube test of a process needs.
    pub arcs: Vec<f64>,
    /// The range that was looked at.
    pub range: (f64, f64),
    /// Number of basis functions of the largest window; by kernel matrices the number of rows.
    pub size: usize,
    /// Smallest part of the process' variance that a basis holds; 1 by kernel matrices.
    pub captured: f64,
    /// In Fourier space the basis of each window.
    pub bases: Vec<WindowBasis>,
}

/// What is asked for: of the process, and of the fits.
#[derive(Clone, Copy)]
pub struct ManySettings<'a> {
    /// The process, and the range of its length scales.
    pub request: &'a Settings,
    /// Box of the rows and of later targets.
    pub bounds: &'a Bounds,
    /// One length scale for all responses?
    pub shared: bool,
    /// Coefficients as well?
    pub effects: bool,
    /// Threads of the call.
    pub threads: usize,
}

/// Where a response is fitted.
#[derive(Debug, Clone, Copy)]
pub struct FittedLength {
    /// Length scale, in units of the coordinates; not a number if the response has no fit.
    pub length: f64,
    /// The variance that a process of variance one is expected to have over the rows: (w'1 - w'K w / w'1) / (n - 1) with weights w.
    pub spread: f64,
    /// Number of the window of length scales.
    pub window: usize,
}

impl FittedLength {
    const MISSING: Self = Self {
        length: f64::NAN,
        spread: f64::NAN,
        window: 0,
    };
}

/// Fits of all responses with a kernel, and what its spread over the rows of each is.
pub(crate) struct Looked {
    pub(crate) fits: Vec<Result<Fit>>,
    pub(crate) spreads: Vec<f64>,
    pub(crate) window: usize,
}

/// The grid from the longest length scale down to the shortest.
pub(crate) fn descending(shortest: f64, longest: f64) -> Vec<f64> {
    let steps = ((longest / shortest).ln() / STEP).ceil() as usize;
    (0..=steps)
        .map(|i| longest * (shortest / longest).powf(i as f64 / steps.max(1) as f64))
        .collect()
}

/// The best of the length scales that were looked at.
pub(crate) struct Best {
    shared: bool,
    pub(crate) fits: Vec<Result<Fit>>,
    pub(crate) fitted: Vec<FittedLength>,
    deviance: f64,
}

impl Best {
    pub(crate) fn new(responses: usize, shared: bool) -> Self {
        Self {
            shared,
            fits: (0..responses).map(|_| Err(Error::Interrupted)).collect(),
            fitted: vec![FittedLength::MISSING; responses],
            deviance: f64::INFINITY,
        }
    }

    /// The log-likelihoods that decide: of each response, or their sum.
    fn deciding(&self, fits: &[Result<Fit>]) -> Vec<f64> {
        let log_lik = |fit: &Result<Fit>| fit.as_ref().map_or(0.0, |fit| fit.point.log_lik);
        match self.shared {
            true => vec![fits.iter().map(log_lik).sum()],
            false => fits.iter().map(log_lik).collect(),
        }
    }

    /// Each response by itself, or all if the sum of their deviances falls.
    pub(crate) fn take(&mut self, length: f64, looked: Looked) {
        let (fits, window) = (looked.fits, looked.window);
        let log_lik = |fit: &Result<Fit>| fit.as_ref().map_or(0.0, |fit| fit.point.log_lik);
        let deviance: f64 = -2.0 * fits.iter().map(log_lik).sum::<f64>();
        let better = |new: &Result<Fit>, old: &Result<Fit>| match (new, old) {
            (Ok(new), Ok(old)) => new.point.log_lik > old.point.log_lik,
            (_, Err(Error::Interrupted)) | (Ok(_), Err(_)) => true,
            (Err(_), _) => false,
        };
        let all = deviance < self.deviance;
        let current = self.fits.iter_mut().zip(&mut self.fitted);
        for ((new, spread), (old, at)) in fits.into_iter().zip(looked.spreads).zip(current) {
            let first = matches!(old, Err(Error::Interrupted));
            if first || (if self.shared { all } else { better(&new, old) }) {
                *at = match new {
                    Ok(_) => FittedLength { length, spread, window },
                    Err(_) => FittedLength::MISSING,
                };
                *old = new;
            }
        }
        self.deviance = self.deviance.min(deviance);
    }
}

/// Length scales of a window, and what each response makes of them.
pub(crate) struct GridSearch {
    /// log ell, ascending, with the log-likelihoods that decide.
    seen: Vec<(f64, Vec<f64>)>,
}

impl GridSearch {
    /// Looks along a grid, and then between its points.
    pub(crate) fn look(best: &mut Best, grid: &[f64], mut at: impl FnMut(f64) -> Result<Looked>) -> Result<()> {
        let mut search = Self { seen: vec![] };
        let mut wanted: Vec<f64> = grid.to_vec();
        for _ in 0..=HALVINGS {
            for length in wanted {
                let looked = at(length)?;
                let place = search.seen.partition_point(|(t, _)| *t < length.ln());
                search.seen.insert(place, (length.ln(), best.deciding(&looked.fits)));
                best.take(length, looked);
            }
            wanted = search.wanted();
            if wanted.is_empty() {
                break;
            }
        }
        Ok(())
    }

    /// Length scales between those that were seen, towards the optimum of some response.
    fn wanted(&self) -> Vec<f64> {
        let responses = self.seen.first().map_or(0, |(_, values)| values.len());
        let mut wanted: Vec<f64> = (0..responses).filter_map(|j| self.between(j)).collect();
        wanted.sort_by(f64::total_cmp);
        wanted.dedup();
        wanted.into_iter().map(f64::exp).collect()
    }

    /// The middle of the interval that holds the vertex of the parabola through the best point of a response and its neighbours, if there is much to gain.
    fn between(&self, j: usize) -> Option<f64> {
        let value = |i: usize| self.seen[i].1[j];
        let top = (0..self.seen.len()).max_by(|a, b| value(*a).total_cmp(&value(*b)))?;
        let (before, after) = (top.checked_sub(1)?, Some(top + 1).filter(|i| *i < self.seen.len())?);
        let (left, right) = (
            self.seen[top].0 - self.seen[before].0,
            self.seen[after].0 - self.seen[top].0,
        );
        let (rise, fall) = ((value(top) - value(before)) / left, (value(after) - value(top)) / right);
        let curvature = 2.0 * (rise - fall) / (left + right);
        let slope = (rise * right + fall * left) / (left + right);
        let half = 0.5 * if slope > 0.0 { right } else { left };
        // half a step away the log-likelihood may be higher by as much
        let gain = 0.5 * curvature * half * half;
        (gain > GAIN).then_some(self.seen[top].0 + half.copysign(slope))
    }
}

/// The angle between neighbours of a process with unit variance.
pub(crate) fn angle(correlation: f64) -> f64 {
    correlation.clamp(-1.0, 1.0).acos()
}

impl ManySettings<'_> {
    pub(crate) fn of_many(&self) -> ManyOptions {
        let options = Options {
            method: self.request.method,
            threads: self.threads,
            tolerance: None,
        };
        ManyOptions {
            options,
            effects: self.effects,
            floored: true,
        }
    }
}

/// From w'K w, w'1 and n.
pub(crate) fn spread(form: f64, total: f64, n: f64) -> f64 {
    (total - form / total) / (n - 1.0)
}
