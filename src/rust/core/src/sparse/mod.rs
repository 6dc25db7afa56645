//! Many levels, correlated terms and known precisions, by penalised least squares:
//!
//! ```text
//! y = X beta + sum_r Z_r b_r + e,   e ~ N(0, s2 W^-1)
//! b_r = (T_r (x) I) u_r,            u_r ~ N(0, s2 I (x) P_r^-1)
//! ```
//!
//! Effect r has l terms a level (an intercept, slopes) and T_r is l x l, lower triangular or diagonal; `T_r T_r'` may be singular. No covariance is ever inverted, and no matrix
//! has a row for each row of the data. With `Lambda = blockdiag(T_r (x) I)` and `Pen = blockdiag(I (x) P_r)` one evaluation is a decomposition of
//!
//! ```text
//! C = [ Lambda'Z'WZ Lambda + Pen   Lambda'Z'WX ]   = [ A  . ]
//!     [ X'WZ Lambda                X'WX        ]     [ .  . ]
//! ```
//!
//! and the answer to its least squares problem (Bates, Maechler, Bolker and Walker 2015; Henderson 1976):
//!
//! ```text
//! r2   = |y - X beta - Z Lambda u|^2_W + u' Pen u
//! ML   : log|A| - log|Pen| - sum log w + n (1 + log(2 pi r2 / n)),             s2 = r2 / n
//! REML : log|C| - log|Pen| - sum log w + (n - p) (1 + log(2 pi r2 / (n - p))), s2 = r2 / (n - p)
//! ```
//!
//! | module | holds |
//! |---|---|
//! | `penalty` | P_r: entries, log-determinant, quadratic form |
//! | `units` | the effects in the order of their elimination and in units of order one |
//! | `cross_products` | Z'WZ, Z'WX, Z'Wy by pairs of levels, from one pass over the rows |
//! | `elimination` | the effect with the most levels eliminated level by level |
//! | `rest` | what is left, as a dense or as a sparse matrix |
//! | `problem` | a model in these terms, [`problem::SparseProblem`] |
//! | `point` | the deviance at some T_r |
//! | `gradient` | its slopes, by C^-1 on the pattern of C |
//! | `search`, `descent` | starts, a quasi-Newton method and Newton steps, columns of T_r that are zero |
//! | `fit`, `estimates` | [`fit::fit`], and what it says in the user's units |
//! | `identified` | whether the variances of independent terms can be told apart |
//! | `of_mix` | effects of [`crate::mix`] as effects of levels, with their blocks |
//! | `terms`, `term_errors`, `combination` | a fit in terms of these effects or of others that they make, standard errors of variances and correlations |
//! | `term_targets` | variances of predictions, leverages |
//! | `uncertainty`, `expected`, `level_products`, `gram_parts` | what tests of fixed effects need; traces for Kenward's and Roger's; Z'PZ and Z'Z for these |
//! | `term_profile`, `held`, `minimise` | likelihood along one parameter |
//! | `route` | which way a model with several effects is fitted |

mod combination;
mod cross_products;
mod descent;
pub(crate) mod elimination;
pub mod estimates;
mod expected;
pub mod fit;
pub(crate) mod gradient;
mod gram_parts;
mod held;
mod held_optimum;
mod identified;
mod level_products;
mod minimise;
pub mod of_mix;
mod penalty;
pub(crate) mod point;
pub mod problem;
pub(crate) mod rest;
pub mod route;
mod search;
mod term_errors;
pub mod term_profile;
pub mod term_targets;
pub mod terms;
pub mod uncertainty;
mod units;

use crate::kernel::sparse::Sparse;
use faer::MatRef;

/// P of an effect: the inverse of the covariance of its levels, up to a factor.
#[derive(Clone, Copy)]
pub enum Precision<'a> {
    /// Independent levels.
    Identity,
    /// Symmetric, both triangles by compressed columns.
    Sparse(Sparse<'a>),
    /// Symmetric; the lower triangle is read.
    Dense(MatRef<'a, f64>),
}

/// One of several random effects, n rows in levels.
#[derive(Clone)]
pub struct SparseEffect<'a> {
    /// Name for messages.
    pub label: &'a str,
    /// Multiplier of each term in row i: ones for an intercept.
    pub terms: Vec<&'a [f64]>,
    /// Level of row i, below `levels`.
    pub group: &'a [usize],
    /// Number of levels; some may have no rows.
    pub levels: usize,
    /// Is T lower triangular? Else it is diagonal.
    pub correlated: bool,
    /// P
    pub precision: Precision<'a>,
}

/// A data set and its random effects. Rows are observations.
#[derive(Clone)]
pub struct SparseModel<'a> {
    /// Response, n.
    pub y: &'a [f64],
    /// n x p, p = 0 allowed, aliased columns allowed.
    pub x: MatRef<'a, f64>,
    /// Residual variance of row i is `s2 / weights[i]`.
    pub weights: &'a [f64],
    /// s2 where it is known, the weights being the inverses of known variances then.
    pub sigma2_e: Option<f64>,
    /// At least one.
    pub effects: Vec<SparseEffect<'a>>,
}
