//! Several random effects: `y ~ N(X beta, sum_k sigma2_k Z_k K_k Z_k' + sigma2_e W^-1)`.
//!
//! X is projected out once and everything is expressed in few orthonormal coordinates, as with a single kernel: the covariance of effect k
//! becomes a matrix A_k. The likelihood is then a function of the variances alone,
//!
//! ```text
//! -2 log L = log|V22| + y2' V22^-1 y2 + ...,   V22 = sum_k sigma2_k A_k + sigma2_e I,   A_e = I
//! d/dk     = tr(V22^-1 A_k) - a' A_k a,        a = V22^-1 y2
//! d2/dkdl  = -tr(V22^-1 A_k V22^-1 A_l) + 2 a' A_k V22^-1 A_l a
//! ```
//!
//! (Harville 1977; Patterson and Thompson 1971), with the term of X added for ML.
//!
//! | module | holds |
//! |---|---|
//! | `coordinates` | from rows to the coordinates of the contrasts and of X, and back |
//! | `inner` | the kernel of the observed groups |
//! | `grouped` | coordinates for crossed effects without a kernel |
//! | `covariance_term` | the covariance of one effect |
//! | `covariance` | what the likelihood asks of V22 |
//! | `dense`, `spectral` | V22 as a matrix; as the spectrum of one kernel plus factors |
//! | `likelihood` | REML and ML with gradient and Hessian |
//! | `search`, `trust`, `newton` | simplex grid, trust region, Newton's method and variances of zero |
//! | `column`, `distance` | a coefficient that is held, and how far it is from its estimate |
//! | `setup` | a model in its coordinates and units |
//! | `fit`, `fixed`, `conditional`, `predict`, `uncertainty` | what users ask for: the fit, its fixed effects, variances of its effects, of predictions, what tests need |
//! | `profiles`, `profile`, `path`, `read_profile` | likelihood along a parameter: what all parameters share, one of them, where the next optimum is expected, what is read of it |

pub mod conditional;
pub(crate) mod constrained_coefficient;
pub(crate) mod coordinates;
pub(crate) mod covariance;
pub(crate) mod covariance_term;
pub(crate) mod dense;
mod distance;
pub mod fit;
pub mod fixed;
pub(crate) mod grouped;
mod inner;
pub(crate) mod likelihood;
mod newton;
mod path;
pub mod predict;
pub mod profile;
pub mod profiles;
mod read_profile;
pub(crate) mod search;
pub(crate) mod setup;
pub(crate) mod spectral;
pub(crate) mod trust;
pub mod uncertainty;

use crate::kernel::Kernel;
use faer::MatRef;

/// One of several random effects, n rows in groups.
#[derive(Clone, Copy)]
pub struct Effect<'a> {
    /// Name for messages.
    pub label: &'a str,
    /// Multiplier of the effect in row i.
    pub z: &'a [f64],
    /// Group of row i, below `index.len()`.
    pub group: &'a [usize],
    /// Covariance of the groups over sigma2_k.
    pub kernel: Kernel<'a>,
    /// Row of the kernel of each group.
    pub index: &'a [usize],
}

/// A data set and its random effects. Rows are observations.
///
/// In a balanced two-way layout with one row a cell REML is the analysis of variance: `sigma2_a = (MSA - MSE) / b`, `sigma2_b = (MSB - MSE) / a`.
///
/// ```
/// use fastlmm_core::{kernel::Kernel, likelihood::Method, mix::{Effect, MixModel, fit::fit}};
/// # fn main() -> fastlmm_core::runtime::error::Result<()> {
/// let (rows, columns) = ([0, 0, 0, 1, 1, 1, 2, 2, 2], [0, 1, 2, 0, 1, 2, 0, 1, 2]);
/// let y = [1.0, 4.0, 5.0, 3.0, 5.0, 9.0, 8.0, 9.0, 13.0];
/// let effect = |label, group| Effect { label, z: &[1.0; 9], group, kernel: Kernel::Identity, index: &[0, 1, 2] };
/// let x = faer::Mat::full(9, 1, 1.0);
/// let model = MixModel { y: &y, x: x.as_ref(), weights: &[1.0; 9], effects: vec![effect("a", &rows), effect("b", &columns)] };
/// let fit = fit(&model, Method::Reml, 1, &mut ())?;
///
/// let mean = |which: &dyn Fn(usize) -> bool| {
///     let y: Vec<f64> = (0..9).filter(|&i| which(i)).map(|i| y[i]).collect();
///     y.iter().sum::<f64>() / y.len() as f64
/// };
/// let all = mean(&|_| true);
/// let (a, b) = (|k| mean(&|i| rows[i] == k), |k| mean(&|i| columns[i] == k));
/// let (msa, msb) = ((0..3).map(|k| 1.5 * (a(k) - all).powi(2)).sum::<f64>(), (0..3).map(|k| 1.5 * (b(k) - all).powi(2)).sum::<f64>());
/// let mse = (0..9).map(|i| (y[i] - a(rows[i]) - b(columns[i]) + all).powi(2) / 4.0).sum::<f64>();
/// for (found, expected) in [(fit.best.sigma2[0], (msa - mse) / 3.0), (fit.best.sigma2[1], (msb - mse) / 3.0), (fit.best.sigma2_e, mse)] {
///     assert!((found / expected - 1.0).abs() < 1e-5);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct MixModel<'a> {
    /// Response, n.
    pub y: &'a [f64],
    /// n x p, p = 0 allowed, aliased columns allowed.
    pub x: MatRef<'a, f64>,
    /// Residual variance of row i is `sigma2_e / weights[i]`.
    pub weights: &'a [f64],
    /// At least one.
    pub effects: Vec<Effect<'a>>,
}
