//! Point of the grid and variance of a trait behind a link given its effect and its residual in units of their standard deviations (interweaving, Yu and Meng 2011). With `a = sigma2 h`, `e = sigma2 (1 - h)`
//!
//! ```text
//! eta = X b + F lambda + sqrt(a) v + sqrt(e) z
//! ```
//!
//! where v and z do not depend on (h, sigma2) a priori: these are drawn by the data themselves, and u, the residual and eta go with them. Given eta a small variance is drawn near what it was, for
//! whatever the data say, as the residuals have the size that it had. Three moves: the variance with h as it is; the point with the effect as it is; the point with the residual as it is. Where the variance is known, the point alone.

use super::interweaving::LinkedTrait;
use super::lines::DataAlong;
use crate::slam::model::FactorModel;
use crate::slam::prior::Variance;
use crate::slam::rng::{Stream, index, slice, uniform};
use crate::slam::state::State;
use crate::slam::trait_priors::Priors;

/// What a trait is beside X b + F lambda, in rows.
pub struct EtaParts {
    pub effect: Vec<f64>,
    pub residual: Vec<f64>,
}

/// What stays as it is when the point changes.
#[derive(Debug, Clone, Copy, PartialEq)]
enum KeptPart {
    Effect,
    Residual,
    Variance,
}

/// A point, and a variance.
#[derive(Debug, Clone, Copy)]
struct Place {
    h: f64,
    sigma2: f64,
}

impl Place {
    fn effect(self) -> f64 {
        self.sigma2 * self.h
    }

    fn residual(self) -> f64 {
        self.sigma2 * (1.0 - self.h)
    }

    /// With another proportion. The logarithm of sigma2 moves by a number that it does not depend on: the map has no volume of its own.
    fn at(self, h: f64, kept: KeptPart) -> Self {
        let sigma2 = match kept {
            KeptPart::Effect => self.effect() / h,
            KeptPart::Residual => self.residual() / (1.0 - h),
            KeptPart::Variance => self.sigma2,
        };
        Self { h, sigma2 }
    }
}

/// Points that are looked at, the own among them.
const WINDOW: usize = 5;

/// Point and variance of trait j. `means`: those of the loadings' priors.
pub fn draw(
    data: &dyn DataAlong,
    (model, state, j): (&FactorModel, &State, usize),
    means: &[f64],
    mut parts: EtaParts,
    values: &mut LinkedTrait<'_>,
    rng: &mut Stream,
) {
    let priors = Priors::new(model, &state.shrinkage, &state.shared, means);
    // without coefficients of columns of the trait's own
    let (b, loadings) = (
        &values.theta[..model.b()],
        &values.theta[values.theta.len() - model.k..],
    );
    let log_variance = priors.log_variance(j, &[b, loadings].concat());
    let moves: &[KeptPart] = match model.prior.residual[j] {
        Variance::Fixed(_) => &[KeptPart::Variance],
        Variance::Drawn(_) => {
            variance(data, &log_variance, &mut parts, values, rng);
            &[KeptPart::Effect, KeptPart::Residual]
        }
    };
    // without an effect there is none to go with a point
    if model.proportions.h[*values.point] > 0.0 {
        for kept in moves {
            point(data, (model, &log_variance, *kept), &mut parts, values, rng);
        }
    }
}

/// The variance, effect and residual going with it.
fn variance(
    data: &dyn DataAlong,
    log_prior: &impl Fn(f64) -> f64,
    parts: &mut EtaParts,
    values: &mut LinkedTrait<'_>,
    rng: &mut Stream,
) {
    let both: Vec<f64> = parts.effect.iter().zip(&parts.residual).map(|(u, r)| u + r).collect();
    let now = *values.sigma2;
    let log = {
        let data = data.along(values.eta, &both);
        slice(
            0.0,
            0.6,
            |log| data((0.5 * log).exp_m1()) + log_prior(now * log.exp()),
            rng,
        )
    };
    *values.sigma2 *= log.exp();
    let factor = (0.5 * log).exp();
    parts.scale((factor, factor), values.eta);
}

/// The point, among some near it.
fn point(
    data: &dyn DataAlong,
    (model, log_prior, kept): (&FactorModel, &impl Fn(f64) -> f64, KeptPart),
    parts: &mut EtaParts,
    values: &mut LinkedTrait<'_>,
    rng: &mut Stream,
) {
    let grid = &model.proportions;
    let now = Place {
        h: grid.h[*values.point],
        sigma2: *values.sigma2,
    };
    let near = near(model, *values.point, rng);
    let places: Vec<Place> = near.iter().map(|&g| now.at(grid.h[g], kept)).collect();
    let factors = |to: &Place| {
        let root = |to: f64, from: f64| (to / from).sqrt();
        (root(to.effect(), now.effect()), root(to.residual(), now.residual()))
    };
    let of_data = parts.log_likelihoods(data, values.eta, kept, places.iter().map(factors));
    let log = |(at, place): (usize, &Place)| of_data[at] + grid.log_traits[near[at]] + log_prior(place.sigma2);
    let logs: Vec<f64> = places.iter().enumerate().map(log).collect();
    let at = index(&logs, rng);
    if near[at] != *values.point {
        (*values.point, *values.sigma2) = (near[at], places[at].sigma2);
        parts.scale(factors(&places[at]), values.eta);
    }
}

/// Points on the same ray that have an effect, as many to both sides of the own as chance has it: each is as likely to be seen from the other.
fn near(model: &FactorModel, point: usize, rng: &mut Stream) -> Vec<usize> {
    let grid = &model.proportions;
    let points = model.points_in(model.basis_of(point)).filter(|&g| grid.h[g] > 0.0);
    let points: Vec<usize> = points.collect();
    let own = points.iter().position(|&g| g == point).unwrap_or(0);
    let before = ((uniform(rng) * WINDOW as f64) as usize).min(WINDOW - 1);
    let (first, end) = (own.saturating_sub(before), own + WINDOW - before);
    points[first..end.min(points.len())].to_vec()
}

impl EtaParts {
    /// The data's log likelihoods with effect and residual times some factors.
    fn log_likelihoods(
        &self,
        data: &dyn DataAlong,
        eta: &[f64],
        kept: KeptPart,
        factors: impl Iterator<Item = (f64, f64)>,
    ) -> Vec<f64> {
        match kept {
            KeptPart::Effect => {
                let along = data.along(eta, &self.residual);
                factors.map(|(_, residual)| along(residual - 1.0)).collect()
            }
            KeptPart::Residual => {
                let along = data.along(eta, &self.effect);
                factors.map(|(effect, _)| along(effect - 1.0)).collect()
            }
            KeptPart::Variance => factors
                .map(|factors| {
                    let x = self.step(factors);
                    let zero = data.along(eta, &x);
                    zero(1.0) - zero(0.0)
                })
                .collect(),
        }
    }

    /// How eta moves.
    fn step(&self, (effect, residual): (f64, f64)) -> Vec<f64> {
        let both = self.effect.iter().zip(&self.residual);
        both.map(|(u, r)| (effect - 1.0) * u + (residual - 1.0) * r).collect()
    }

    fn scale(&mut self, factors: (f64, f64), eta: &mut [f64]) {
        eta.iter_mut()
            .zip(self.step(factors))
            .for_each(|(eta, step)| *eta += step);
        self.effect.iter_mut().for_each(|u| *u *= factors.0);
        self.residual.iter_mut().for_each(|r| *r *= factors.1);
    }
}
