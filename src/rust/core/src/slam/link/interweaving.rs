//! Loadings and scale of values behind a link given what is left of eta, as `coefficients` has those of X. Two moves, each by slice sampling:
//!
//! ```text
//! lambda_m <- lambda_m + d, eta <- eta + d f_m
//! eta <- X b + c (eta - X b), lambda <- c lambda, sigma <- c sigma, and U with them
//! ```
//!
//! The last one moves along all scales that heavy tails of variances have: of rare counts the data bound them by little.

use super::Link;
use crate::slam::loading_means::{mean_at, means};
use crate::slam::model::FactorModel;
use crate::slam::prior::{InverseGamma, Variance};
use crate::slam::rng::{Stream, slice, uniform};
use crate::slam::state::State;
use faer::Mat;

/// A trait's coefficients and loadings, its variance and its values.
pub struct LinkedTrait<'a> {
    /// Coefficients of X, and loadings.
    pub theta: &'a mut [f64],
    /// Variance of what factors and X leave.
    pub sigma2: &'a mut f64,
    /// eta, all rows.
    pub eta: &'a mut [f64],
}

/// X, with columns of the trait's own where there are some, and F, in rows.
pub struct DesignInRows {
    pub x: Mat<f64>,
    pub f: Mat<f64>,
}

/// Mean and variance of a normal prior.
type Normal = (f64, f64);

/// One of the loadings, and the scale, of trait j.
pub fn draw(
    link: &dyn Link,
    parameters: &[f64],
    (model, state, j): (&FactorModel, &State, usize),
    design: &DesignInRows,
    mut values: LinkedTrait<'_>,
    rng: &mut Stream,
) {
    // coefficients of columns of the trait's own are beside those of X
    let (b, k) = (design.x.ncols(), model.k);
    let (means, unit) = (means(model, state), state.unit(model, j));
    let loading = |m: usize| (mean_at(&means, j * k + m), unit / state.shrinkage.precision(m, j));
    let priors: Vec<Normal> = (0..k).map(loading).collect();
    if k > 0 {
        let m = ((uniform(rng) * k as f64) as usize).min(k - 1);
        if model.known(m, j).is_none() {
            let column = design.f.col_as_slice(m);
            loading_of(link, parameters, column, (b + m, priors[m]), &mut values, rng);
        }
    }
    if let Variance::Drawn(residual) = model.prior.residual[j]
        && (0..k).all(|m| model.known(m, j).is_none())
    {
        let fixed = |i: usize| (0..b).map(|l| design.x[(i, l)] * values.theta[l]).sum::<f64>();
        let fixed: Vec<f64> = (0..design.x.nrows()).map(fixed).collect();
        let prior = ScalePrior {
            residual,
            loadings: &priors,
            scaled: model.prior.scaled,
        };
        scale(link, parameters, &fixed, (b, prior), &mut values, rng);
    }
}

/// One loading.
fn loading_of(
    link: &dyn Link,
    parameters: &[f64],
    column: &[f64],
    (at, (mean, variance)): (usize, Normal),
    values: &mut LinkedTrait<'_>,
    rng: &mut Stream,
) {
    let LinkedTrait { theta, eta, .. } = values;
    let size = column.iter().map(|x| x * x).sum::<f64>().sqrt();
    if size <= 0.0 {
        return;
    }
    let d = {
        let data = link.along(eta, column, parameters);
        let density = |d: f64| data(d) - 0.5 * (theta[at] + d - mean).powi(2) / variance;
        slice(0.0, 1.0 / size, density, rng)
    };
    theta[at] += d;
    eta.iter_mut().zip(column).for_each(|(eta, x)| *eta += d * x);
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
    link: &dyn Link,
    parameters: &[f64],
    fixed: &[f64],
    (b, prior): (usize, ScalePrior<'_>),
    values: &mut LinkedTrait<'_>,
    rng: &mut Stream,
) {
    let LinkedTrait { theta, sigma2, eta } = values;
    let left: Vec<f64> = eta.iter().zip(fixed).map(|(eta, fixed)| eta - fixed).collect();
    let c = {
        let data = link.along(eta, &left, parameters);
        let density = |log: f64| data(log.exp_m1()) + prior.log_density(log.exp(), &theta[b..], **sigma2);
        slice(0.0, 0.3, density, rng).exp()
    };
    theta[b..].iter_mut().for_each(|x| *x *= c);
    **sigma2 *= c * c;
    (eta.iter_mut().zip(fixed)).for_each(|(eta, fixed)| *eta = fixed + c * (*eta - fixed));
}
