//! Priors of coefficients, variances and loadings.

use super::loading_means::LoadingMeans;

/// Density proportional to `x^(-shape - 1) exp(-scale / x)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct InverseGamma {
    /// Shape, above 0.
    pub shape: f64,
    /// Scale, above 0.
    pub scale: f64,
}

/// Prior of a variance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Variance {
    /// Inverse gamma.
    Drawn(InverseGamma),
    /// Known.
    Fixed(f64),
}

impl Variance {
    /// A value to begin with, if the prior's alone counts.
    pub(crate) fn start(&self) -> f64 {
        match self {
            Self::Drawn(prior) => prior.scale / (prior.shape + 1.0),
            Self::Fixed(value) => *value,
        }
    }
}

impl From<InverseGamma> for Variance {
    fn from(prior: InverseGamma) -> Self {
        Self::Drawn(prior)
    }
}

/// Prior of a coefficient.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Coefficient {
    /// Flat over all numbers.
    Flat,
    /// Normal about 0 with a given variance.
    Normal(f64),
    /// Normal about 0 with a variance of this number, which other coefficients share.
    Shared(usize),
}

/// Prior of the precisions `1 / v_jm` of loadings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Loadings {
    /// `phi_jm tau_m`, phi gamma distributed with shape and rate nu / 2, tau_m the product of the first m of gamma distributed deltas (shape, rate): the first, the others.
    Gamma {
        /// Degrees of freedom of the loadings' local precisions.
        nu: f64,
        /// Shape and rate of the first delta.
        first: (f64, f64),
        /// Shape and rate of the others.
        others: (f64, f64),
        /// Are all deltas but the first at least 1?
        truncated: bool,
    },
    /// `1 / (phi2_jm omega2 Delta_m)`: phi half Cauchy, omega half Cauchy with scale tau0, Delta_m the product of all but the first of the first m deltas, inverse gamma.
    Horseshoe {
        /// Scale of omega: the smaller, the fewer loadings are away from 0.
        tau0: f64,
        /// Prior of the deltas.
        delta: InverseGamma,
    },
}

/// Priors of residual variances, loadings and shared variances.
#[derive(Debug, Clone, PartialEq)]
pub struct Prior {
    /// Of each trait's variance sigma2_j, p.
    pub residual: Vec<Variance>,
    /// Of the precisions of loadings.
    pub loadings: Loadings,
    /// Are the loadings' variances multiples of the residual variance?
    pub scaled: bool,
    /// Variances that coefficients share.
    pub shared: Vec<Variance>,
    /// What the means of loadings depend on.
    pub means: LoadingMeans,
}
