//! The fit: reduce, search, and say what the optimum means in the user's units.

use super::estimates::{Case, Located, assemble};
pub use super::estimates::{Fit, Status};
use crate::likelihood::delta_grid::{delta_grid, delta_grid_above};
use crate::likelihood::information::errors;
use crate::likelihood::optimize::{DeltaGrid, Location, Optimum};
use crate::likelihood::point::{Point, at, point};
use crate::likelihood::{Criterion, Method, proportions};
use crate::lmm::degenerate::{degenerate, diagnose, interpolated};
use crate::rotation::rotated::Rotated;
use crate::rotation::{Model, NullModel, ResponseBlock};
use crate::runtime::error::{Error, Result};
use crate::runtime::memory::claim;
use crate::runtime::monitor::Monitor;
use crate::runtime::parallel::Workers;
use crate::runtime::work::{Work, count};
use faer::Par;

/// How a fit is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// REML or ML.
    pub method: Method,
    /// Threads of the call, at least 1.
    pub threads: usize,
    /// Relative tolerance of the kernel's smallest eigenvalue; `None`: 10 n eps.
    pub tolerance: Option<f64>,
}

/// Fit `y ~ N(X beta, sigma2 (Z K Z' + delta W^-1))`.
///
/// In a balanced one-way layout of m groups of r rows REML is the analysis of variance: `sigma2_e = MSE`, `sigma2 = (MSG - MSE) / r`.
///
/// ```
/// use fastlmm_core::{kernel::Kernel, likelihood::Method, lmm::fit::{Options, fit}, rotation::Model};
/// # fn main() -> fastlmm_core::runtime::error::Result<()> {
/// let x = faer::Mat::full(6, 1, 1.0);
/// let model = Model {
///     y: &[1.0, 2.0, 4.0, 5.0, 9.0, 8.0],
///     x: x.as_ref(),
///     weights: &[1.0; 6],
///     z: &[1.0; 6],
///     group: &[0, 0, 1, 1, 2, 2],
///     kernel: Kernel::Identity,
///     index: &[0, 1, 2],
/// };
/// let fit = fit(&model, Options { method: Method::Reml, threads: 1, tolerance: None }, &mut ())?;
/// let (between, within) = (74.0 / 3.0, 0.5);
/// assert!((fit.point.sigma2_e - within).abs() < 1e-7);
/// assert!((fit.point.sigma2 - (between - within) / 2.0).abs() < 1e-6);
/// assert!((fit.beta[0] - 29.0 / 6.0).abs() < 1e-12);
/// # Ok(())
/// # }
/// ```
pub fn fit(model: &Model<'_>, options: Options, monitor: &mut dyn Monitor) -> Result<Fit> {
    let workers = Workers::for_operations((model.y.len() as f64).powi(3), options.threads)?;
    fit_by(model, options, 0.0, &workers, monitor)
}

/// On some threads, with delta at least `floor`.
pub(crate) fn fit_by(
    model: &Model<'_>,
    options: Options,
    floor: f64,
    workers: &Workers,
    monitor: &mut dyn Monitor,
) -> Result<Fit> {
    claim(5.0 * (model.y.len() * (model.x.ncols() + 1)) as f64)?;
    let (mut null, block) = NullModel::of_response(model, workers, monitor)?;
    // before directions of X are turned
    let definite = workers.run(|_| null.is_definite());
    workers.run(|_| null.check(options.tolerance))?;
    let fit = workers.run(|par| estimate(&null, &block, options.method, floor, par))?;
    Ok(Fit { definite, ..fit })
}

/// A fit whose delta is at least `floor`.
pub(crate) fn fit_above(model: &Model<'_>, method: Method, floor: f64, workers: &Workers) -> Result<Fit> {
    let (mut null, block) = NullModel::of_response(model, workers, &mut ())?;
    workers.run(|_| null.check(Some(f64::INFINITY)))?;
    workers.run(|par| estimate(&null, &block, method, floor, par))
}

fn estimate(null: &NullModel<'_>, block: &ResponseBlock, method: Method, floor: f64, par: Par) -> Result<Fit> {
    let mut data = null.respond(block, 0)?;
    let status = above_floor(diagnose(&data, block.length(0), null.trace)?, floor);
    let located = locate_inside(&mut data, method, null.kept(), status, |criterion| {
        delta_grid_above(criterion, floor)
    })?;
    let alpha = null.blup(block, &[(located.h, located.g)], par).swap_remove(0);
    Ok(Fit {
        status: above_floor(located.fit.status, floor),
        alpha,
        ..complete(located, &Criterion { data: &data, method })
    })
}

/// Above a floor of delta an explained response is searched like any other, and the border at 0 is none.
pub(crate) fn above_floor(status: Status, floor: f64) -> Status {
    match status {
        Status::ExplainedByKernel | Status::MlBorder if floor > 0.0 => Status::Ok,
        other => other,
    }
}

/// With profile and rotated data.
pub(crate) fn complete(located: Located, criterion: &Criterion<'_>) -> Fit {
    let Located { mut fit, grid, .. } = located;
    if let (Some(grid), Some(optimum)) = (grid, &fit.optimum) {
        fit.profile = profile(criterion, &grid, optimum);
    }
    fit.rotated = criterion.data.clone();
    fit
}

/// The part of the trace of a covariance that its noise must be for a decomposition to have digits left.
pub(crate) fn condition_floor(n: usize) -> f64 {
    16.0 * f64::EPSILON * n as f64
}

/// The estimates that go with a diagnosis. The density of y is taken at its best optimum inside; only where it has none the directions of X that the kernel does not reach are left out.
pub(crate) fn locate_inside(
    data: &mut Rotated,
    method: Method,
    kept: &[usize],
    status: Status,
    grid: impl FnOnce(&Criterion<'_>) -> DeltaGrid,
) -> Result<Located> {
    let criterion = Criterion { data, method };
    let located = locate(&Case { criterion, kept }, status, || grid(&criterion));
    if data.null == 0 || !matches!(located, Err(Error::MlUnbounded)) {
        return located;
    }
    data.dropped = data.null;
    let criterion = Criterion { data, method };
    locate(&Case { criterion, kept }, status, || delta_grid(&criterion))
}

/// The same with the directions that are left out.
pub(crate) fn locate(case: &Case<'_>, status: Status, grid: impl FnOnce() -> DeltaGrid) -> Result<Located> {
    match status {
        Status::PerfectFit => Ok(degenerate(case, status, f64::NAN)),
        Status::Confounded | Status::OneContrast => Ok(degenerate(case, status, 0.0)),
        Status::ExplainedByKernel => interpolated(case),
        _ => search(case, grid()),
    }
}

/// The search over the whole range of log delta.
fn search(case: &Case<'_>, grid: DeltaGrid) -> Result<Located> {
    let criterion = &case.criterion;
    count(Work::Search);
    let optimum = grid.optimum(criterion)?.ok_or(nothing_found(criterion))?;
    let (h, g) = at(optimum.best.location, optimum.best.at);
    let mut located = assemble(case, criterion, h, g);
    let fit = &mut located.fit;
    fit.status = if criterion.misses_part_of_x() {
        Status::MlBorder
    } else {
        Status::Ok
    };
    fit.errors = errors(criterion, &optimum, &fit.point);
    fit.locals = optimum
        .locals
        .iter()
        .map(|l| at(l.location, l.at))
        .map(|(h, g)| point(criterion, h, g))
        .collect();
    check_scale(&fit.point, Some(optimum.best.location))?;
    fit.optimum = Some(optimum);
    located.grid = Some(grid);
    Ok(located)
}

fn nothing_found(criterion: &Criterion<'_>) -> Error {
    if criterion.method == Method::Ml && criterion.data.full_rank() {
        return Error::MlUnbounded;
    }
    Error::NoConvergence {
        what: "the search for delta, whose optimum lies below the rounding of this likelihood (try REML)",
        iterations: 0,
    }
}

/// The search's grid, refined about an interior optimum. Where the likelihood has no bound as delta -> 0, from the ridge before the optimum on.
fn profile(criterion: &Criterion<'_>, grid: &DeltaGrid, optimum: &Optimum) -> Vec<Point> {
    const FINE: i32 = 20;
    let first = if criterion.is_unbounded() {
        grid.ridge(optimum.best.at)
    } else {
        0
    };
    let mut log_delta = grid.at[first..].to_vec();
    if optimum.best.location == Location::Interior && optimum.curvature > 0.0 {
        let step = 4.0 * (2.0 / optimum.curvature).sqrt() / f64::from(FINE);
        log_delta.extend((-FINE..=FINE).map(|i| optimum.best.at + step * f64::from(i)));
        log_delta.sort_by(f64::total_cmp);
    }
    log_delta
        .iter()
        .map(|t| proportions(*t))
        .map(|(h, g)| point(criterion, h, g))
        .collect()
}

/// A variance below or above what a double holds would be a wrong number.
fn check_scale(point: &Point, location: Option<Location>) -> Result<()> {
    let fits = |value: f64, border: Location| value.is_normal() || (value == 0.0 && location == Some(border));
    for (value, border) in [(point.sigma2, Location::Upper), (point.sigma2_e, Location::Lower)] {
        if !fits(value, border) {
            return Err(Error::Scale { value });
        }
    }
    Ok(())
}
