//! Loadings and scale of values behind a link given what is left of eta, as `coefficients` has those of X. Two moves, loadings by `loadings`, the scale by slice sampling:
//!
//! ```text
//! lambda <- lambda + d, eta <- eta + F d
//! eta <- X b + c (eta - X b), lambda <- c lambda, sigma <- c sigma, and U with them
//! ```
//!
//! The last one moves along all scales that heavy tails of variances have: of rare counts the data bound them by little.

use super::lines::DataAlong;
use super::loadings;
use crate::slam::design_in_rows::{DesignInRows, Move};
use crate::slam::loading_means::mean_at;
use crate::slam::model::FactorModel;
use crate::slam::prior::{InverseGamma, Variance};
use crate::slam::rng::{Stream, slice};
use crate::slam::state::State;

/// A trait's coefficients and loadings, its variance and its values.
pub struct LinkedTrait<'a> {
    /// Coefficients of X, and loadings.
    pub theta: &'a mut [f64],
    /// Variance of what factors and X leave.
    pub sigma2: &'a mut f64,
    /// Its point of the grid.
    pub point: &'a mut usize,
    /// eta, all rows.
    pub eta: &'a mut [f64],
}

/// Mean and variance of a normal prior.
pub type Normal = (f64, f64);

/// Loadings and scale of trait j.
pub fn draw(
    data: &dyn DataAlong,
    (model, state, j): (&FactorModel, &State, usize),
    design: &DesignInRows,
    values: &mut LinkedTrait<'_>,
    rng: &mut Stream,
) {
    // coefficients of columns of the trait's own are beside those of X
    let (b, k) = (design.x.ncols(), model.k);
    let unit = if model.prior.scaled { *values.sigma2 } else { 1.0 };
    let loading = |m: usize| {
        (
            mean_at(&design.means, j * k + m),
            unit / state.shrinkage.precision(m, j),
        )
    };
    let priors: Vec<Normal> = (0..k).map(loading).collect();
    let free: Vec<usize> = (0..k).filter(|&m| model.known(m, j).is_none()).collect();
    if Move::Loadings.is_due(model, j, state.iteration) && !free.is_empty() {
        loadings::draw(data, &design.f, (&free, b, &priors), values, rng);
    }
    if Move::Scale.is_due(model, j, state.iteration)
        && let Variance::Drawn(residual) = model.prior.residual[j]
        && free.len() == k
    {
        let fixed = |i: usize| (0..b).map(|l| design.x[(i, l)] * values.theta[l]).sum::<f64>();
        let fixed: Vec<f64> = (0..design.x.nrows()).map(fixed).collect();
        let prior = ScalePrior {
            residual,
            loadings: &priors,
            scaled: model.prior.scaled,
        };
        scale(data, &fixed, (b, prior), values, rng);
    }
}

/// What the prior says of a trait's scale.
struct ScalePrior<'a> {
    residual: InverseGamma,
    loadings: &'a [Normal],
    /// Do the variances of loadings go with the scale?
    scaled: bool,
}

impl ScalePrior<'_> {
    /// Log density of the logarithm of a factor c, with the volume of all that it moves but eta and U, whose volume is that of their density.
    fn log_density(&self, c: f64, loadings: &[f64], sigma2: f64) -> f64 {
        let unit = if self.scaled { c * c } else { 1.0 };
        let square = |(x, (mean, v)): (&f64, &Normal)| (c * x - mean).powi(2) / (v * unit);
        let volume = if self.scaled { 0.0 } else { loadings.len() as f64 };
        let squares: f64 = loadings.iter().zip(self.loadings).map(square).sum();
        (volume - 2.0 * self.residual.shape) * c.ln() - self.residual.scale / (c * c * sigma2) - 0.5 * squares
    }
}

/// The scale of all that X leaves of eta. `fixed`: X b; `b`: number of its coefficients.
fn scale(
    data: &dyn DataAlong,
    fixed: &[f64],
    (b, prior): (usize, ScalePrior<'_>),
    values: &mut LinkedTrait<'_>,
    rng: &mut Stream,
) {
    let LinkedTrait { theta, sigma2, eta, .. } = values;
    let left: Vec<f64> = eta.iter().zip(fixed).map(|(eta, fixed)| eta - fixed).collect();
    let c = {
        let data = data.along(eta, &left);
        let density = |log: f64| data(log.exp_m1()) + prior.log_density(log.exp(), &theta[b..], **sigma2);
        slice(0.0, 0.3, density, rng).exp()
    };
    theta[b..].iter_mut().for_each(|x| *x *= c);
    **sigma2 *= c * c;
    (eta.iter_mut().zip(fixed)).for_each(|(eta, fixed)| *eta = fixed + c * (*eta - fixed));
}
