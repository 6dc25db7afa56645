//! The fit: reduce, search, and say what the optimum means in the user's units.

pub use crate::likelihood::information::Errors;
use crate::likelihood::information::errors;
use crate::likelihood::optimize::{Grid, Objective, Optimum, Place, grid_points};
use crate::likelihood::{Criterion, Method, proportions};
use crate::lmm::degenerate::{degenerate, diagnose, interpolated};
use crate::rotation::rotated::Rotated;
use crate::rotation::{Block, Model, NullModel};
use crate::runtime::error::{Error, Result};
use crate::runtime::memory::claim;
use crate::runtime::monitor::Monitor;
use crate::runtime::parallel::Workers;
use crate::runtime::work::{Work, count};
use faer::Par;
use num_dual::{Dual2_64, Dual64};

impl Objective for Criterion<'_> {
    fn dual(&self, at: Dual64) -> Dual64 {
        self.deviance(at)
    }

    fn dual2(&self, at: Dual2_64) -> Dual2_64 {
        self.deviance(at)
    }

    fn value(&self, at: f64) -> f64 {
        self.deviance(at)
    }
}

/// What kind of answer a fit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Ok,
    /// X explains y to rounding: no variance is left to divide.
    PerfectFit,
    /// y - X beta lies in the range of a singular kernel: the likelihood grows without bound as delta -> 0.
    ExplainedByKernel,
    /// The kernel vanishes once X is projected out, so its variance is unknown.
    Confounded,
    /// One contrast is left, which any delta fits equally well.
    OneContrast,
    /// The border delta = 0 of ML is spurious for a direction that X holds in part; the best optimum away from it is given.
    MlBorder,
}

/// How a fit is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    pub method: Method,
    pub threads: usize,
    /// Relative tolerance of the kernel's smallest eigenvalue; `None`: 10 n eps.
    pub tolerance: Option<f64>,
}

/// Estimates that go with one value of delta.
#[derive(Debug, Clone, Copy)]
pub struct Point {
    pub delta: f64,
    pub h2: f64,
    pub sigma2: f64,
    pub sigma2_e: f64,
    pub log_lik: f64,
}

/// A fitted model.
pub struct Fit {
    pub status: Status,
    /// Coefficients of the kept columns of X, their covariance, and which columns those are.
    pub beta: Vec<f64>,
    pub vcov: Vec<Vec<f64>>,
    pub kept: Vec<usize>,
    pub point: Point,
    pub errors: Errors,
    /// Where delta lies; absent when there is nothing to search for.
    pub optimum: Option<Optimum>,
    /// Directions of X that ML leaves out, where it has no optimum with them.
    pub dropped: usize,
    /// All local optima, best first.
    pub locals: Vec<Point>,
    /// The log-likelihood profile, ascending in delta.
    pub profile: Vec<Point>,
    /// u_hat = K[, index] alpha.
    pub alpha: Vec<f64>,
    pub rotated: Rotated,
}

impl Fit {
    /// Variances, and nothing else yet.
    pub(crate) fn at_point(point: Point) -> Self {
        Self {
            status: Status::Ok,
            beta: vec![],
            vcov: vec![],
            kept: vec![],
            point,
            errors: Errors::UNKNOWN,
            optimum: None,
            dropped: 0,
            locals: vec![point],
            profile: vec![point],
            alpha: vec![],
            rotated: Rotated::default(),
        }
    }
}

/// Fit `y ~ N(X beta, sigma2 (Z K Z' + delta W^-1))`.
pub fn fit(model: &Model<'_>, options: Options, monitor: &mut dyn Monitor) -> Result<Fit> {
    fit_by(model, options, 0.0, &Workers::new(options.threads)?, monitor)
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
    workers.run(|_| null.check(options.tolerance))?;
    workers.run(|par| estimate(&null, &block, options.method, floor, par))
}

/// A fit whose delta is at least `floor`.
pub(crate) fn fit_above(model: &Model<'_>, method: Method, floor: f64, workers: &Workers) -> Result<Fit> {
    let (mut null, block) = NullModel::of_response(model, workers, &mut ())?;
    workers.run(|_| null.check(Some(f64::INFINITY)))?;
    workers.run(|par| estimate(&null, &block, method, floor, par))
}

/// A response in the coordinates of a null model, as far as its search needs it.
pub(crate) struct Case<'a> {
    pub criterion: Criterion<'a>,
    pub kept: &'a [usize],
}

/// A fit without random effects, profile and rotated data; where it lies, and the grid of the search.
pub(crate) struct Located {
    pub fit: Fit,
    pub h: f64,
    pub g: f64,
    pub grid: Option<Grid>,
}

fn estimate(null: &NullModel<'_>, block: &Block, method: Method, floor: f64, par: Par) -> Result<Fit> {
    let mut data = null.respond(block, 0)?;
    let status = above_floor(diagnose(&data, block.length(0), null.trace)?, floor);
    let located = locate_inside(&mut data, method, null.kept(), status, |criterion| {
        dual_grid_above(criterion, floor)
    })?;
    let alpha = null.blup(block, &[(located.h, located.g)], par).swap_remove(0);
    Ok(Fit {
        alpha,
        ..complete(located, &Criterion { data: &data, method })
    })
}

/// Above a floor of delta an explained response is searched like any other.
pub(crate) fn above_floor(status: Status, floor: f64) -> Status {
    match status {
        Status::ExplainedByKernel if floor > 0.0 => Status::Ok,
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

pub(crate) fn dual_grid(criterion: &Criterion<'_>) -> Grid {
    let (lower, upper) = borders(criterion);
    Grid::new(criterion, grid_points(criterion.data), lower, upper)
}

/// With no delta below `floor` (0: none), unless the kernel is so far from singular that delta may be 0.
pub(crate) fn dual_grid_above(criterion: &Criterion<'_>, floor: f64) -> Grid {
    let Some(least) = log_least(criterion.data, floor) else {
        return dual_grid(criterion);
    };
    let above = grid_points(criterion.data).into_iter().filter(|t| *t > least);
    let at = std::iter::once(least).chain(above).collect();
    Grid {
        floored: true,
        ..Grid::new(criterion, at, f64::INFINITY, borders(criterion).1)
    }
}

/// log delta at a floor, if there is one that the kernel needs.
pub(crate) fn log_least(data: &Rotated, floor: f64) -> Option<f64> {
    const REGULAR: f64 = 100.0;
    let least = floor / data.k_scale;
    let smallest = data.values.iter().copied().fold(f64::INFINITY, f64::min);
    let regular = data.n_rest == 0 && smallest > REGULAR * least;
    (floor > 0.0 && !regular).then(|| least.ln())
}

/// The part of the trace of a covariance that its noise must be for a decomposition to have digits left.
pub fn condition_floor(n: usize) -> f64 {
    16.0 * f64::EPSILON * n as f64
}

/// The estimates that go with a diagnosis. The density of y is taken at its best optimum inside; only where it has none the directions of X that the kernel does not reach are left out.
pub(crate) fn locate_inside(
    data: &mut Rotated,
    method: Method,
    kept: &[usize],
    status: Status,
    grid: impl FnOnce(&Criterion<'_>) -> Grid,
) -> Result<Located> {
    let criterion = Criterion { data, method };
    let located = locate(&Case { criterion, kept }, status, || grid(&criterion));
    if data.null == 0 || !matches!(located, Err(Error::MlUnbounded)) {
        return located;
    }
    data.dropped = data.null;
    let criterion = Criterion { data, method };
    locate(&Case { criterion, kept }, status, || dual_grid(&criterion))
}

/// The same with the directions that are left out.
pub(crate) fn locate(case: &Case<'_>, status: Status, grid: impl FnOnce() -> Grid) -> Result<Located> {
    match status {
        Status::PerfectFit => Ok(degenerate(case, status, f64::NAN)),
        Status::Confounded | Status::OneContrast => Ok(degenerate(case, status, 0.0)),
        Status::ExplainedByKernel => interpolated(case),
        _ => search(case, grid()),
    }
}

/// The deviance's limits for delta -> 0, if it has one, and for delta -> infinity.
pub(crate) fn borders(criterion: &Criterion<'_>) -> (f64, f64) {
    let lower = if criterion.is_bounded() {
        criterion.deviance_at(1.0, 0.0)
    } else {
        f64::INFINITY
    };
    (lower, criterion.deviance_at(0.0, 1.0))
}

/// The search over the whole range of log delta.
fn search(case: &Case<'_>, grid: Grid) -> Result<Located> {
    let criterion = &case.criterion;
    count(Work::Search);
    let optimum = grid.optimum(criterion)?.ok_or(nothing_found(criterion))?;
    let (h, g) = at(optimum.best.place, optimum.best.at);
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
        .map(|l| at(l.place, l.at))
        .map(|(h, g)| point(criterion, h, g))
        .collect();
    check_scale(&fit.point, Some(optimum.best.place))?;
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

pub(crate) fn at(place: Place, log_delta: f64) -> (f64, f64) {
    match place {
        Place::Interior | Place::Floor => proportions(log_delta),
        Place::Lower => (1.0, 0.0),
        Place::Upper => (0.0, 1.0),
    }
}

/// Variances and log-likelihood at (h, g), in the user's units.
pub fn point(criterion: &Criterion<'_>, h: f64, g: f64) -> Point {
    let data = criterion.data;
    let tau2 = criterion.terms(h, g).q / criterion.n() as f64;
    let sigma2 = h * tau2 * data.y_scale / data.k_scale * data.y_scale;
    let sigma2_e = g * tau2 * data.y_scale * data.y_scale;
    Point {
        delta: g / h * data.k_scale,
        h2: 1.0 / (1.0 + sigma2_e / sigma2),
        sigma2,
        sigma2_e,
        log_lik: -0.5 * criterion.deviance_at(h, g),
    }
}

/// Estimates at (h, g) by the given criterion.
pub(crate) fn assemble(case: &Case<'_>, criterion: &Criterion<'_>, h: f64, g: f64) -> Located {
    let data = criterion.data;
    let inverse = criterion.inverse(h, g);
    let beta = data
        .basis
        .iter()
        .map(|row| criterion.beta(row, h, &inverse) * data.y_scale)
        .collect();
    let point = point(criterion, h, g);
    let tau2 = criterion.terms(h, g).q / criterion.n() as f64 * data.y_scale * data.y_scale;
    let vcov = criterion
        .vcov(h, g)
        .iter()
        .map(|row| row.iter().map(|v| v * tau2).collect())
        .collect();
    let fit = Fit {
        beta,
        vcov,
        kept: case.kept.to_vec(),
        dropped: data.dropped,
        ..Fit::at_point(point)
    };
    Located { fit, h, g, grid: None }
}

/// The search's grid, refined about an interior optimum. Where the likelihood has no bound as delta -> 0, from the ridge before the optimum on.
fn profile(criterion: &Criterion<'_>, grid: &Grid, optimum: &Optimum) -> Vec<Point> {
    const FINE: i32 = 20;
    let first = if criterion.is_unbounded() {
        grid.ridge(optimum.best.at)
    } else {
        0
    };
    let mut log_delta = grid.at[first..].to_vec();
    if optimum.best.place == Place::Interior && optimum.curvature > 0.0 {
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
fn check_scale(point: &Point, place: Option<Place>) -> Result<()> {
    let fits = |value: f64, border: Place| value.is_normal() || (value == 0.0 && place == Some(border));
    for (value, border) in [(point.sigma2, Place::Upper), (point.sigma2_e, Place::Lower)] {
        if !fits(value, border) {
            return Err(Error::Scale { value });
        }
    }
    Ok(())
}
