//! What the likelihood asks of `V22 = sum_k theta_k A_k + theta_e I`. The residual is the last component.

use faer::{Mat, MatRef, Par};

pub trait MarginalCovariance: Send + Sync {
    /// Number of coordinates of V22.
    fn m(&self) -> usize;

    /// How many of them are contrasts: fewer where X is not projected out, and V22^-1 stands for P.
    fn contrasts(&self) -> usize {
        self.m()
    }

    /// A_k x, for x with a row for each coordinate and then, where X is projected out, for each direction of X; A_e is the identity.
    fn apply(&self, k: usize, x: MatRef<'_, f64>, par: Par) -> Mat<f64>;

    /// F with A_k = F F', if that is at hand.
    fn factor(&self, _k: usize) -> Option<EffectFactor<'_>> {
        None
    }

    /// `None` if V22 is not positive definite.
    fn factorise<'a>(&'a self, theta: &[f64], par: Par) -> Option<Box<dyn Factorised + 'a>>;
}

/// The columns of an effect.
pub enum EffectFactor<'a> {
    /// One along each of the first coordinates, with the squares of their lengths.
    Diagonal(&'a [f64]),
    Full(MatRef<'a, f64>),
}

/// V22 ready for solving.
pub trait Factorised: Send + Sync {
    fn log_det(&self) -> f64;

    /// V22^-1 b
    fn solve(&self, b: MatRef<'_, f64>, par: Par) -> Mat<f64>;

    fn traces(&self, par: Par) -> Traces;

    /// w and S of X where it is not projected out.
    fn fixed(&self, _: Par) -> Option<GlsEstimator> {
        None
    }
}

/// The part of X: w = V^-1 Q1 S and S = (Q1' V^-1 Q1)^-1, with Q1 an orthonormal basis of span(X).
pub struct GlsEstimator {
    pub w: Mat<f64>,
    pub s: Mat<f64>,
}

/// tr(V22^-1 A_k) and tr(V22^-1 A_k V22^-1 A_l).
#[derive(Debug, Clone)]
pub struct Traces {
    pub first: Vec<f64>,
    pub second: Vec<Vec<f64>>,
}
