//! Log densities of priors, up to constants, for the joint density that the draws are checked against.

use super::precisions::Shrinkage;
use super::prior::{InverseGamma, Loadings};

fn log_gamma(x: f64, shape: f64, rate: f64) -> f64 {
    (shape - 1.0) * x.ln() - rate * x
}

pub(super) fn log_inverse_gamma(x: f64, prior: InverseGamma) -> f64 {
    -(prior.shape + 1.0) * x.ln() - prior.scale / x
}

/// Log density of what the prior of the loadings has, up to a constant.
pub(super) fn log_shrinkage(prior: Loadings, s: &Shrinkage) -> f64 {
    match prior {
        Loadings::Gamma { nu, first, others, .. } => {
            let locals: f64 = s.local.iter().map(|x| log_gamma(*x, 0.5 * nu, 0.5 * nu)).sum();
            locals + log_gamma(s.delta[0], first.0, first.1) + log_gamma(s.delta[1], others.0, others.1)
        }
        Loadings::Horseshoe { tau0, delta } => {
            let half = |scale: f64| InverseGamma { shape: 0.5, scale };
            // local = 1 / phi^2: gamma with shape 1/2 and rate 1 / helper
            let locals = s.local.iter().zip(&s.helpers);
            let locals: f64 = locals
                .map(|(x, nu)| log_gamma(*x, 0.5, 1.0 / nu) - 0.5 * nu.ln() + log_inverse_gamma(*nu, half(1.0)))
                .sum();
            let global = log_inverse_gamma(s.omega2, half(1.0 / s.xi)) - 0.5 * s.xi.ln()
                + log_inverse_gamma(s.xi, half(1.0 / (tau0 * tau0)));
            locals + global + log_inverse_gamma(s.delta[1], delta)
        }
    }
}
