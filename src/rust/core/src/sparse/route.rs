//! Which way a model with several effects is fitted.

use super::terms::fit_mix;
use crate::kernel::Kernel;
use crate::likelihood::Method;
use crate::mix::MixModel;
use crate::mix::fit::{MixFit, fit_from};
use crate::runtime::error::Result;
use crate::runtime::monitor::Monitor;

/// The way of a fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// Covariances in the coordinates of the contrasts ([`crate::mix`]).
    Rotated,
    /// Penalised least squares ([`crate::sparse`]).
    Sparse,
}

impl Route {
    /// As users read it.
    pub fn name(self) -> &'static str {
        match self {
            Route::Rotated => "rotated",
            Route::Sparse => "sparse",
        }
    }
}

/// Operations of the rotated way from which on the other is tried: both take some hundredths of a second there.
const LARGE: f64 = 2e8;
/// Evaluations of a search.
const EVALUATIONS: f64 = 40.0;

/// Operations of the rotated way for effects without kernels: a basis of all columns but those of the largest effect, and the spectrum of that effect plus a factor of the others at each
/// evaluation.
fn operations(model: &MixModel<'_>) -> f64 {
    let levels: Vec<f64> = model.effects.iter().map(|effect| effect.index.len() as f64).collect();
    let largest = levels.iter().copied().fold(0.0, f64::max);
    let others = levels.iter().sum::<f64>() - largest;
    let columns = others + largest;
    (2.0 * model.y.len() as f64 + EVALUATIONS * columns) * others * others
}

/// Fit several effects the way that costs less. `start`: variances, the residual's last, below which an optimum is known to lie, or nothing.
pub fn fit(
    model: &MixModel<'_>,
    method: Method,
    start: &[f64],
    threads: usize,
    monitor: &mut dyn Monitor,
) -> Result<(MixFit, Route)> {
    let plain = model
        .effects
        .iter()
        .all(|effect| matches!(effect.kernel, Kernel::Identity));
    if plain
        && start.is_empty()
        && operations(model) > LARGE
        && let Some(found) = fit_mix(model, method, threads, monitor)?
    {
        return Ok((found, Route::Sparse));
    }
    Ok((fit_from(model, method, start, threads, monitor)?, Route::Rotated))
}
