//! Many responses, each on its own, on one decomposition for each pattern of missing cells.
//!
//! What the kernel, X and the rows say is worked out once for a pattern: the projection, the spectrum, and on a grid of log delta that all
//! responses share the weights 1 / (h lambda + g) and the log-determinants. Rotation and quadratic forms of all responses are matrix
//! products. From the grid on each response is searched by the code of a single fit, so that its optimum is as exact.

use super::many_rotation::{PatternOptions, Shared};
use super::missing_pattern::Subset;
use super::missing_pattern::{Pattern, patterns};
use crate::kernel::Kernel;
use crate::lmm::fit::{Fit, Options, condition_floor, fit_by};
use crate::rotation::Model;
use crate::rotation::projection::{Projected, Projection};
use crate::runtime::error::{Error, Result};
use crate::runtime::memory::claim;
use crate::runtime::monitor::Monitor;
use crate::runtime::parallel::Workers;
use faer::MatRef;
use rayon::prelude::*;

/// The fits in the order of the responses, and how many rows each has.
pub struct Fits {
    /// Without profile and rotated data; `alpha` is over the groups of the whole model, and empty if it was not asked for.
    pub fits: Vec<Result<Fit>>,
    /// Rows that each response was observed in.
    pub nobs: Vec<usize>,
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct ManyOptions {
    /// Likelihood and tolerance of every fit.
    pub options: Options,
    /// Coefficients of the random effects as well?
    pub effects: bool,
    /// Is delta at least what the condition of the covariance can tell?
    pub floored: bool,
}

impl ManyOptions {
    /// The smallest delta for rows with these weights; 0: none.
    pub(super) fn floor(&self, weights: &[f64]) -> f64 {
        if self.floored {
            condition_floor(weights.len()) * weights.iter().sum::<f64>()
        } else {
            0.0
        }
    }
}

/// A pattern with fewer responses than this is one task among others; with more it has all threads.
const FEW: usize = 64;
/// Tasks between two looks at the monitor.
const BATCH: usize = 64;
/// Numbers in a block of responses: large enough for matrix products, small against the responses.
const BLOCK: usize = 1 << 20;

/// Copies of a block in the coordinates that it passes through.
const COPIES: usize = 8;

/// Fit each column of `y` (n x q, NaN where missing); `model.y` is not read.
///
/// Each fit is that of its response alone:
///
/// ```
/// # use fastlmm_core::{kernel::Kernel, likelihood::Method, lmm::fit::{Options, fit}, rotation::Model};
/// use fastlmm_core::lmm::many::{ManyOptions, fit_many};
/// # fn main() -> fastlmm_core::runtime::error::Result<()> {
/// # let x = faer::Mat::full(6, 1, 1.0);
/// # let (first, second) = ([1.0, 2.0, 4.0, 5.0, 9.0, 8.0], [3.0, 1.0, 4.0, 1.0, 5.0, 9.0]);
/// let y = faer::Mat::from_fn(6, 2, |i, j| if j == 0 { first[i] } else { second[i] });
/// let options = Options { method: Method::Reml, threads: 1, tolerance: None };
/// let model = |y| Model {
///     y, x: x.as_ref(), weights: &[1.0; 6], z: &[1.0; 6],
///     group: &[0, 0, 1, 1, 2, 2], kernel: Kernel::Identity, index: &[0, 1, 2],
/// };
/// let request = ManyOptions { options, effects: false, floored: false };
/// let many = fit_many(y.as_ref(), &model(&[]), request, &mut ())?;
/// for (fits, y) in many.fits.into_iter().zip([&first, &second]) {
///     assert!((fits?.point.sigma2 / fit(&model(y), options, &mut ())?.point.sigma2 - 1.0).abs() < 1e-6);
/// }
/// # Ok(())
/// # }
/// ```
pub fn fit_many(
    y: MatRef<'_, f64>,
    model: &Model<'_>,
    request: ManyOptions,
    monitor: &mut dyn Monitor,
) -> Result<Fits> {
    let alpha = if request.effects { model.index.len() } else { 0 };
    claim(2.0 * (y.ncols() * (alpha + model.x.ncols().pow(2))) as f64)?;
    let workers = Workers::new(request.options.threads)?;
    let (all, nobs) = patterns(y);
    let table = ResponseTable { y, model, request };
    let mut fits: Vec<Result<Fit>> = (0..y.ncols()).map(|_| Err(Error::Interrupted)).collect();
    for (j, fit) in table.patterns(&all, &workers, monitor)? {
        fits[j] = fit;
    }
    Ok(Fits { fits, nobs })
}

type PatternFits<'p> = Vec<(&'p Pattern, Vec<Result<Fit>>)>;

/// Responses, their model, and what is asked for.
#[derive(Clone, Copy)]
pub(super) struct ResponseTable<'a> {
    pub y: MatRef<'a, f64>,
    pub model: &'a Model<'a>,
    pub request: ManyOptions,
}

impl ResponseTable<'_> {
    /// The fits of the responses of some patterns, with their places.
    pub fn patterns(
        self,
        all: &[Pattern],
        workers: &Workers,
        monitor: &mut dyn Monitor,
    ) -> Result<Vec<(usize, Result<Fit>)>> {
        let (few, many): (Vec<&Pattern>, Vec<&Pattern>) = all.iter().partition(|p| p.columns.len() < FEW);
        let mut found = vec![];
        for pattern in many {
            found.push((pattern, self.pattern(pattern, workers, monitor)?));
        }
        for batch in few.chunks(BATCH) {
            monitor.check()?;
            found.extend(self.batch(batch, workers, monitor)?);
        }
        let placed = |(pattern, fits): (&Pattern, Vec<Result<Fit>>)| pattern.columns.clone().into_iter().zip(fits);
        Ok(found.into_iter().flat_map(placed).collect())
    }

    fn batch<'p>(self, batch: &[&'p Pattern], workers: &Workers, monitor: &mut dyn Monitor) -> Result<PatternFits<'p>> {
        if let [one] = batch {
            return Ok(vec![(one, self.pattern(one, workers, monitor)?)]);
        }
        let task = |pattern: &&'p Pattern| Ok((*pattern, self.pattern(pattern, &Workers::inline(), &mut ())?));
        workers.run(|_| batch.par_iter().map(task).collect())
    }

    /// The fits of one pattern: what is wrong with its rows or its kernel is said of each of its responses.
    fn pattern(self, pattern: &Pattern, workers: &Workers, monitor: &mut dyn Monitor) -> Result<Vec<Result<Fit>>> {
        let subset = Subset::new(self.model, &pattern.rows);
        let fits = match check_groups(&subset) {
            Err(error) => Err(error),
            Ok(()) if pattern.columns.len() == 1 => Ok(vec![self.one(pattern, &subset, workers, monitor)]),
            Ok(()) => self.columns(pattern, &subset, workers, monitor),
        };
        let mut fits = match fits {
            Err(error) if error.concerns_all() => return Err(error),
            Err(error) => pattern.columns.iter().map(|_| Err(error.clone())).collect(),
            Ok(fits) => fits,
        };
        // coefficients of a factor are over its columns
        if self.model.kernel.factor_columns().is_none() {
            fits.iter_mut()
                .flatten()
                .for_each(|fit| fit.alpha = subset.spread(&fit.alpha, self.model.index.len()));
        }
        unless_of_all(fits)
    }

    /// A pattern of one response is an ordinary fit.
    fn one(self, pattern: &Pattern, subset: &Subset<'_>, workers: &Workers, monitor: &mut dyn Monitor) -> Result<Fit> {
        let column = pattern.response(self.y, pattern.columns[0])?;
        let model = subset.model(self.model, &column);
        let floor = self.request.floor(model.weights);
        let mut fit = fit_by(&model, self.request.options, floor, workers, monitor)?;
        (fit.profile, fit.rotated) = (vec![], Default::default());
        if !self.request.effects {
            fit.alpha = vec![];
        }
        Ok(fit)
    }

    fn columns(
        self,
        pattern: &Pattern,
        subset: &Subset<'_>,
        workers: &Workers,
        monitor: &mut dyn Monitor,
    ) -> Result<Vec<Result<Fit>>> {
        let model = subset.model(self.model, &[]);
        let projection = Projection::new(&model, workers)?;
        let options = PatternOptions {
            count: pattern.columns.len(),
            options: self.request.options,
            floor: self.request.floor(model.weights),
        };
        let (first, others) = pattern.columns.split_at(width(pattern).min(pattern.columns.len()));
        let parts = self.projected(&projection, pattern, first, workers)?;
        let (shared, block) = Shared::new(&model, projection, parts, options, workers, monitor)?;
        let mut fits = shared.fit(&block, self.request.effects, workers);
        drop(block);
        fits.extend(self.further(&shared, pattern, others, workers, monitor)?);
        Ok(fits)
    }

    /// Further responses of a pattern whose rows are those of a null model.
    pub fn further(
        self,
        shared: &Shared<'_>,
        pattern: &Pattern,
        columns: &[usize],
        workers: &Workers,
        monitor: &mut dyn Monitor,
    ) -> Result<Vec<Result<Fit>>> {
        let mut fits = vec![];
        for columns in columns.chunks(width(pattern)) {
            monitor.check()?;
            let parts = self.projected(&shared.null.projection, pattern, columns, workers)?;
            let block = workers.run(|par| shared.null.rotate(parts, par))?;
            fits.extend(shared.fit(&block, self.request.effects, workers));
        }
        unless_of_all(fits)
    }

    fn projected(
        self,
        projection: &Projection,
        pattern: &Pattern,
        columns: &[usize],
        workers: &Workers,
    ) -> Result<Vec<Result<Projected>>> {
        claim((COPIES * pattern.rows.len() * columns.len()) as f64)?;
        let one = |&j: &usize| projection.project(&pattern.response(self.y, j)?);
        Ok(workers.run(|_| columns.par_iter().map(one).collect()))
    }
}

/// Responses in a block.
fn width(pattern: &Pattern) -> usize {
    (BLOCK / pattern.rows.len().max(1)).max(FEW)
}

/// Fits, none of which failed for a reason that concerns all.
fn unless_of_all(mut fits: Vec<Result<Fit>>) -> Result<Vec<Result<Fit>>> {
    match fits.iter().position(|fit| fit.as_ref().is_err_and(Error::concerns_all)) {
        Some(at) => Err(fits.swap_remove(at).err().unwrap_or(Error::Interrupted)),
        None => Ok(fits),
    }
}

/// Independent groups need at least two.
fn check_groups(subset: &Subset<'_>) -> Result<()> {
    match subset.kernel {
        Kernel::Identity if subset.index.len() == 1 => Err(Error::Response {
            class: "one_group",
            why: "has rows of a single id only: a variance between ids needs at least two",
        }),
        _ => Ok(()),
    }
}
