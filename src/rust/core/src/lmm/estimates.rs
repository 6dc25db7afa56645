//! What a fit says, and the estimates that go with one (h, g).

use crate::likelihood::Criterion;
use crate::likelihood::information::PointErrors;
use crate::likelihood::optimize::{DeltaGrid, Optimum};
use crate::likelihood::point::{Point, point};
use crate::linalg::dot;
use crate::rotation::rotated::Rotated;

/// What kind of answer a fit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// An ordinary optimum.
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

/// A fitted model.
pub struct Fit {
    /// Whether the optimum is an ordinary one.
    pub status: Status,
    /// Coefficients of the kept columns of X, in the user's units.
    pub beta: Vec<f64>,
    /// Var(beta_hat), r x r by rows.
    pub vcov: Vec<Vec<f64>>,
    /// Which columns of X those are, from 0.
    pub kept: Vec<usize>,
    /// Variances and log-likelihood at the optimum.
    pub point: Point,
    /// Standard errors of the variances and of their ratios.
    pub errors: PointErrors,
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
    /// Is the kernel known to be positive semidefinite to rounding, without a look of its own?
    pub definite: bool,
    /// The rotated data: profiles, scans and predictions need no more of the rows.
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
            errors: PointErrors::UNKNOWN,
            optimum: None,
            dropped: 0,
            locals: vec![point],
            profile: vec![point],
            alpha: vec![],
            definite: false,
            rotated: Rotated::default(),
        }
    }
}

/// A response in the coordinates of a null model, as far as its search needs it.
pub(crate) struct Case<'a> {
    pub(crate) criterion: Criterion<'a>,
    pub(crate) kept: &'a [usize],
}

/// A fit without random effects, profile and rotated data; where it lies, and the grid of the search.
pub(crate) struct Located {
    pub(crate) fit: Fit,
    pub(crate) h: f64,
    pub(crate) g: f64,
    pub(crate) grid: Option<DeltaGrid>,
}

/// Estimates at (h, g) by the given criterion.
pub(crate) fn assemble(case: &Case<'_>, criterion: &Criterion<'_>, h: f64, g: f64) -> Located {
    let data = criterion.data;
    let inverse = criterion.inverse(h, g);
    let along = criterion.beta_along_basis(h, &inverse);
    let beta = |row: &Vec<f64>| dot(row, &along) * data.y_scale;
    let point = point(criterion, h, g);
    let tau2 = criterion.terms(h, g).q / criterion.n() as f64 * data.y_scale * data.y_scale;
    let vcov = criterion
        .vcov(h, g)
        .iter()
        .map(|row| row.iter().map(|v| v * tau2).collect())
        .collect();
    let fit = Fit {
        beta: data.basis.iter().map(beta).collect(),
        vcov,
        kept: case.kept.to_vec(),
        dropped: data.dropped,
        ..Fit::at_point(point)
    };
    Located { fit, h, g, grid: None }
}
