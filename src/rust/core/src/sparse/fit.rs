//! A fit by penalised least squares.

use super::SparseModel;
use super::estimates::SparseFit;
use super::problem::SparseProblem;
use super::search::SparseSearch;
use crate::likelihood::Method;
use crate::runtime::error::Result;
use crate::runtime::monitor::Monitor;
use crate::runtime::parallel::Workers;

/// Fit `y ~ N(X beta, s2 (sum_r Z_r (T_r T_r' (x) P_r^-1) Z_r' + W^-1))`. `None`: the likelihood rises as the residual variance tends to zero, which T, relative to it, does not hold.
///
/// In a balanced one-way layout REML is the analysis of variance: `s2 = MSE`, `s2 T^2 = (MSA - MSE) / rows of a level`.
///
/// ```
/// use fastlmm_core::{likelihood::Method, sparse::{Precision, SparseEffect, SparseModel, fit::fit}};
/// # fn main() -> fastlmm_core::runtime::error::Result<()> {
/// let (y, ones) = ([1.0, 3.0, 6.0, 8.0, 4.0, 4.0], [1.0; 6]);
/// let level = SparseEffect {
///     label: "level", terms: vec![&ones], group: &[0, 0, 1, 1, 2, 2], levels: 3, correlated: true, precision: Precision::Identity,
/// };
/// let x = faer::Mat::full(6, 1, 1.0);
/// let model = SparseModel { y: &y, x: x.as_ref(), weights: &ones, sigma2_e: None, effects: vec![level] };
/// let fit = fit(&model, Method::Reml, 1, &mut ())?.expect("a residual variance");
/// // means 2, 7, 4: MSA = 2 * (49 + 64 + 1) / 9 / 2, MSE = (2 + 2 + 0) / 3
/// let (msa, mse) = (38.0 / 3.0, 4.0 / 3.0);
/// assert!((fit.best.sigma2_e / mse - 1.0).abs() < 1e-6);
/// assert!((fit.covariance(0)[(0, 0)] / ((msa - mse) / 2.0) - 1.0).abs() < 1e-6);
/// # Ok(())
/// # }
/// ```
pub fn fit(
    model: &SparseModel<'_>,
    method: Method,
    threads: usize,
    monitor: &mut dyn Monitor,
) -> Result<Option<SparseFit>> {
    fit_if(model, method, threads, monitor, |_| true)
}

/// The same of a problem that `suits`; `None` of another.
pub(super) fn fit_if(
    model: &SparseModel<'_>,
    method: Method,
    threads: usize,
    monitor: &mut dyn Monitor,
    mut suits: impl FnMut(&SparseProblem<'_>) -> bool,
) -> Result<Option<SparseFit>> {
    let workers = Workers::new(threads)?;
    monitor.check()?;
    let problem = workers.run(|_| SparseProblem::new(model, method))?;
    if !suits(&problem) {
        return Ok(None);
    }
    let search = SparseSearch::new(&problem, &workers, monitor);
    search.run()?.map(|optima| search.describe(&optima)).transpose()
}
