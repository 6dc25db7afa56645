//! What the likelihood asks of `V22 = sum_k theta_k A_k + theta_e I`. The residual is the last component.

use faer::{Mat, MatRef, Par};

pub trait Covariance: Send + Sync {
    /// Number of contrasts that the effects reach.
    fn m(&self) -> usize;

    /// A_k x, for x with a row for each contrast and then for each direction of X; A_e is the identity.
    fn apply(&self, k: usize, x: MatRef<'_, f64>, par: Par) -> Mat<f64>;

    /// `None` if V22 is not positive definite.
    fn factorise<'a>(&'a self, theta: &[f64], par: Par) -> Option<Box<dyn Factorised + 'a>>;
}

/// V22 ready for solving.
pub trait Factorised: Send + Sync {
    fn log_det(&self) -> f64;

    /// V22^-1 b
    fn solve(&self, b: MatRef<'_, f64>, par: Par) -> Mat<f64>;

    fn traces(&self, par: Par) -> Traces;
}

/// tr(V22^-1 A_k) and tr(V22^-1 A_k V22^-1 A_l).
#[derive(Debug, Clone)]
pub struct Traces {
    pub first: Vec<f64>,
    pub second: Vec<Vec<f64>>,
}
