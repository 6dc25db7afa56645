//! Points and variances of traits with F and one of several random effects integrated out, the other effects given.
//!
//! Given F a variance changes by little, and F given a small variance is what its trait is: where factors explain a trait nearly whole, both together hardly move. With F integrated out the other traits say
//! that `f_i'lambda_j` has mean m_i and variance s_i, so that, in the basis of the effect,
//!
//! ```text
//! y_ij - x_i'b_j ~ N(m_i + sqrt(sigma2) sum_s sqrt(h_s) n_si, s_i + sigma2 v_i)
//! ```
//!
//! with the n_s of `split_effects`, which stay as they are.

use super::factor_proportions::some_of;
use super::few_columns;
use super::loading_means::means;
use super::model::FactorModel;
use super::prior::Variance;
use super::rng::{Block, Source, index, slice};
use super::split_effects::{SplitEffects, part};
use super::split_factors::{SeenFactors, SplitRows, points_of_two, weights};
use super::state::State;
use super::trait_priors::Priors;
use crate::linalg::{sum_of, sum_of_logs};
use faer::{Mat, MatRef};
use rayon::prelude::*;

/// Of some traits. `y`: Y - X B, in rows; `left`: that of `split_factors::left_in_basis`, which goes with them; `place`: the effect that is integrated out, and the ray on which it has all.
pub fn draw(
    model: &FactorModel,
    state: &mut State,
    (y, effects): (MatRef<'_, f64>, &SplitEffects),
    (turned, place): (&mut Mat<f64>, (usize, usize)),
    source: Source,
) {
    let mut rng = source.stream(state.iteration, Block::Moves, 3);
    // a precision that is not positive definite to rounding: the draw of F tells it
    let Some(mut seen) = SeenFactors::new(&SplitRows::new(model, state, (turned, effects), place)) else {
        return;
    };
    let chosen = some_of(model.p(), &mut rng);
    let some = |a: MatRef<'_, f64>| model.in_basis(place.1, few_columns::chosen(a, &chosen).as_ref());
    let y = some(y);
    let others: Vec<(usize, Mat<f64>)> = effects.given().map(|(s, other)| (s, some(other.as_ref()))).collect();
    let means = means(model, state);
    for (at, &j) in chosen.iter().enumerate() {
        let lambda = state.lambda(model, j).to_vec();
        let columns = others.iter().map(|(s, other)| (*s, other.col_as_slice(at))).collect();
        let own = SplitTrait {
            model,
            place,
            y: y.col_as_slice(at),
            others: columns,
        };
        let now = own.precisions(state.g[j], state.sigma2[j]);
        let Some(data) = cavity(&seen.along(&lambda), &now) else {
            continue;
        };
        let priors = Priors::new(model, &state.shrinkage, &state.shared, &means);
        let log_prior = priors.log_variance(j, &state.theta[j * model.c()..(j + 1) * model.c()]);
        if let Variance::Drawn(_) = model.prior.residual[j] {
            let density = |log: f64| own.log_density(&data, state.g[j], log.exp()) + log_prior(log.exp());
            state.sigma2[j] = slice(state.sigma2[j].ln(), 0.5, density, &mut rng).exp();
        }
        let points = points_of_two(model, state.g[j], &mut rng);
        let log = |&g: &usize| model.proportions.log_traits[g] + own.log_density(&data, g, state.sigma2[j]);
        let logs: Vec<f64> = points.par_iter().map(log).collect();
        state.g[j] = points[index(&logs, &mut rng)];
        let new = own.precisions(state.g[j], state.sigma2[j]);
        let change = |i: usize| (new[i].0 - now[i].0, new[i].0 * new[i].1 - now[i].0 * now[i].1);
        seen.update(&lambda, change);
        let left = turned.col_as_slice_mut(j).iter_mut().zip(&new);
        left.for_each(|(left, (_, there))| *left = *there);
    }
}

/// A trait in the basis of the effect.
pub(super) struct SplitTrait<'a> {
    pub model: &'a FactorModel,
    pub place: (usize, usize),
    /// y - X b
    pub y: &'a [f64],
    /// n_s of the other effects.
    pub others: Vec<(usize, &'a [f64])>,
}

impl SplitTrait<'_> {
    /// What the other effects leave, row by row.
    fn left(&self, g: usize, sigma2: f64) -> Vec<f64> {
        let mut left = self.y.to_vec();
        for (s, other) in &self.others {
            let sd = (sigma2 * part(self.model, g, *s)).sqrt();
            left.iter_mut().zip(*other).for_each(|(left, x)| *left -= sd * x);
        }
        left
    }

    /// Precision of each row given F, and what the other effects leave.
    pub fn precisions(&self, g: usize, sigma2: f64) -> Vec<(f64, f64)> {
        let weights = weights(self.model, self.place, g);
        weights.iter().map(|w| w / sigma2).zip(self.left(g, sigma2)).collect()
    }

    /// Log density of the trait at a point with a variance. `data`: variance and mean of `F lambda` of each row.
    pub fn log_density(&self, data: &[(f64, f64)], g: usize, sigma2: f64) -> f64 {
        let (weights, left) = (weights(self.model, self.place, g), self.left(g, sigma2));
        let variances: Vec<f64> = data
            .iter()
            .zip(&weights)
            .map(|((variance, _), w)| variance + sigma2 / w)
            .collect();
        let square = |i: usize| (left[i] - data[i].1).powi(2) / variances[i];
        -0.5 * (sum_of(left.len(), square) + sum_of_logs(&variances))
    }
}

/// Variance and mean of `F lambda` of each row without the trait itself, which has these precisions and values. `None` where rounding leaves nothing of them.
pub(super) fn cavity(along: &[(f64, f64)], now: &[(f64, f64)]) -> Option<Vec<(f64, f64)>> {
    let one = |((variance, mean), (precision, y)): (&(f64, f64), &(f64, f64))| {
        let rest = 1.0 - precision * variance;
        (rest > 1e-9).then(|| (variance / rest, (mean - precision * variance * y) / rest))
    };
    along.iter().zip(now).map(one).collect()
}
