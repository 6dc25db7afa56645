//! Means of loadings that depend on covariates of the traits: with `v_jm = 1 / (phi_jm tau_m)`, `s_j` 1 or the residual variance, and column l of C in group g
//!
//! ```text
//! lambda_jm ~ N(c_j'w_m, s_j v_jm),   w_lm ~ N(0, v_gm / tau_m),   v_gm ~ IG
//! ```
//!
//! Whatever a move makes of a factor's loadings it makes of w too, and what is left of the loadings moves alike: for a move w are loadings of as many more traits, of mean 0, unit 1 and local precision
//! `1 / v_gm`. The mean is in the units of the loadings whatever s_j is.

use super::gaussian::Gaussian;
use super::model::FactorModel;
use super::prior::InverseGamma;
use super::rng::{Block, Source, inverse_gamma};
use super::state::State;
use crate::linalg::{product, sum_of};
use faer::{Mat, Par};

/// Covariates of the traits, and what their effects are drawn from; none by default.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadingMeans {
    /// C, p x q.
    pub covariates: Mat<f64>,
    /// Group of each column, q: numbers from 0 on.
    pub groups: Vec<usize>,
    /// Prior of the variance of a group's effects on the loadings of a factor.
    pub variance: InverseGamma,
}

impl Default for LoadingMeans {
    fn default() -> Self {
        Self {
            covariates: Mat::zeros(0, 0),
            groups: vec![],
            variance: InverseGamma { shape: 3.0, scale: 1.0 },
        }
    }
}

impl LoadingMeans {
    /// Number of columns of C.
    pub(crate) fn q(&self) -> usize {
        self.covariates.ncols()
    }

    /// Number of groups.
    pub(crate) fn count(&self) -> usize {
        self.groups.iter().max().map_or(0, |last| last + 1)
    }

    /// The rows of some traits.
    pub(super) fn of(&self, traits: &[usize]) -> Self {
        let rows = if self.q() == 0 { 0 } else { traits.len() };
        Self {
            covariates: Mat::from_fn(rows, self.q(), |i, l| self.covariates[(traits[i], l)]),
            ..self.clone()
        }
    }
}

/// Effects of the covariates of traits on loadings, and their variances; empty without covariates.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadingEffects {
    /// q x k
    pub w: Vec<f64>,
    /// groups x k
    pub v: Vec<f64>,
}

impl LoadingEffects {
    pub(super) fn start(model: &FactorModel) -> Self {
        let means = &model.prior.means;
        let middle = means.variance.scale / (means.variance.shape + 1.0);
        Self {
            w: vec![0.0; means.q() * model.k],
            v: vec![middle; means.count() * model.k],
        }
    }

    /// As a state stores them: nothing if there are none.
    pub(super) fn parts(&self) -> Vec<Vec<f64>> {
        let parts = [self.w.clone(), self.v.clone()];
        parts.into_iter().filter(|part| !part.is_empty()).collect()
    }

    /// `sized`: the next stored part, if it has a length.
    pub(super) fn read(model: &FactorModel, mut sized: impl FnMut(usize) -> Option<Vec<f64>>) -> Option<Self> {
        let mut read = |length: usize| if length == 0 { Some(vec![]) } else { sized(length) };
        Some(Self {
            w: read(model.prior.means.q() * model.k)?,
            v: read(model.prior.means.count() * model.k)?,
        })
    }
}

/// `c_j'w_m`, k x p; empty without covariates.
pub fn means(model: &FactorModel, state: &State) -> Vec<f64> {
    let (prior, k) = (&model.prior.means, model.k);
    let q = prior.q();
    if q == 0 {
        return vec![];
    }
    let w = Mat::from_fn(q, k, |l, m| state.effects.w[m * q + l]);
    let means = product(prior.covariates.as_ref(), w.as_ref(), Par::Seq);
    (0..k * model.p()).map(|at| means[(at / k, at % k)]).collect()
}

/// One of `means`, 0 without covariates.
pub fn mean_at(means: &[f64], at: usize) -> f64 {
    means.get(at).copied().unwrap_or(0.0)
}

/// Effects on a factor's loadings: of each its local precision `1 / v_gm`, its size.
pub fn effects<'a>(model: &'a FactorModel, state: &'a State, m: usize) -> impl Iterator<Item = (f64, f64)> + 'a {
    let prior = &model.prior.means;
    let (q, groups) = (prior.q(), prior.count());
    let one = move |l: usize| {
        let v = state.effects.v[m * groups + prior.groups[l]];
        (v.recip(), state.effects.w[m * q + l])
    };
    (0..q).map(one)
}

/// Variances of the groups' effects; mixing leaves them to be drawn next.
pub fn draw_variances(model: &FactorModel, state: &mut State, source: Source) {
    let prior = &model.prior.means;
    let (q, groups) = (prior.q(), prior.count());
    if q == 0 {
        return;
    }
    let mut rng = source.stream(state.iteration, Block::Shrinkage, 2);
    for m in 0..model.k {
        let (w, tau) = (&state.effects.w[m * q..(m + 1) * q], state.shrinkage.column[m]);
        for (g, (size, square)) in squares(prior, w).into_iter().enumerate() {
            let (shape, scale) = (
                prior.variance.shape + 0.5 * size,
                prior.variance.scale + 0.5 * tau * square,
            );
            state.effects.v[m * groups + g] = inverse_gamma(shape, scale, &mut rng);
        }
    }
}

/// Number of columns of each group and the sum of the squares of their effects.
fn squares(prior: &LoadingMeans, w: &[f64]) -> Vec<(f64, f64)> {
    let mut all = vec![(0.0, 0.0); prior.count()];
    for (&g, w) in prior.groups.iter().zip(w) {
        all[g].0 += 1.0;
        all[g].1 += w * w;
    }
    all
}

/// Log prior density of a factor's effects, up to a constant, their variances integrated out.
pub fn log_density(prior: &LoadingMeans, tau: f64, w: &[f64]) -> f64 {
    let InverseGamma { shape, scale } = prior.variance;
    let log = |(size, square): (f64, f64)| -(shape + 0.5 * size) * (1.0 + 0.5 * tau * square / scale).ln();
    squares(prior, w).into_iter().map(log).sum()
}

/// w_m given the loadings that are estimated: normal with precision `tau_m (sum_j phi_jm c_j c_j' / s_j + diag(1 / v))`.
pub fn draw(model: &FactorModel, state: &mut State, source: Source) {
    let (c, q) = (&model.prior.means.covariates, model.prior.means.q());
    if q == 0 {
        return;
    }
    let mut rng = source.stream(state.iteration, Block::Shrinkage, 3);
    let mut gaussian = Gaussian::new(q);
    for m in 0..model.k {
        let weight = |j: usize| match model.known(m, j) {
            None => state.shrinkage.local[j * model.k + m] / state.unit(model, j),
            Some(_) => 0.0,
        };
        let weights: Vec<f64> = (0..model.p()).map(weight).collect();
        let along =
            |l: usize, value: &dyn Fn(usize) -> f64| sum_of(weights.len(), |j| weights[j] * c[(j, l)] * value(j));
        let ridge: Vec<f64> = effects(model, state, m).map(|(precision, _)| precision).collect();
        let entry = |l: usize, o: usize| along(l, &|j| c[(j, o)]) + if l == o { ridge[l] } else { 0.0 };
        gaussian.set(entry, |l| along(l, &|j| state.lambda(model, j)[m]));
        let mut w = vec![0.0; q];
        if gaussian.draw(state.shrinkage.column[m].sqrt().recip(), |_| true, &mut w, &mut rng) {
            state.effects.w[m * q..(m + 1) * q].copy_from_slice(&w);
        } else {
            state.failed.coefficients += 1;
        }
    }
}
