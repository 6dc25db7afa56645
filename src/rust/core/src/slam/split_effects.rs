//! All random effects but one, of traits and of factors.
//!
//! Given the totals of all effects (`given_effects`) a factor's part of an effect hardly goes over to another factor or to the traits: the data know what these are together. Here all effects but r are
//! drawn, `u_s = sqrt(sigma2 h_s) n_s` with n_s ~ N(0, K_s), and given the n_s the model is one of a single effect, in whose basis rows are independent (`split_factors`, `split_traits`):
//!
//! ```text
//! y_j - X b_j - sum_s u_sj = F lambda_j + N(0, sigma2_j V_r),   f_m - X_F b_m - sum_s sqrt(h_sm) n_sm ~ N(0, V_r),   V_r = h_r K_r + (1 - H) I
//! ```

use super::factors::residual;
use super::model::{FactorModel, TILE};
use super::normals::normals;
use super::ray_effects::{Power, times_power};
use super::ray_traits::Left;
use super::rays::Ray;
use super::rng::{Block, Source};
use super::state::State;
use crate::linalg::axpy;
use faer::Mat;
use rayon::prelude::*;

/// The effect that is integrated out; none in iterations in which totals are given.
pub fn turn(model: &FactorModel, iteration: u64) -> Option<usize> {
    let effects = model.rays.first()?.shares.len() as u64;
    let vertices = (0..effects as usize).all(|s| vertex(model, s).is_some());
    let due = vertices && model.k > 0 && iteration.is_multiple_of(2);
    due.then_some((iteration / 2 % effects) as usize)
}

/// The ray on which an effect has all.
pub(super) fn vertex(model: &FactorModel, effect: usize) -> Option<usize> {
    model.rays.iter().position(|ray| ray.shares[effect] == 1.0)
}

/// Proportion of an effect at a point.
pub(super) fn part(model: &FactorModel, g: usize, effect: usize) -> f64 {
    model.proportions.h[g] * model.rays[model.basis_of(g)].shares[effect]
}

/// n_s of the effects that are given, of traits and then of factors, in rows.
pub struct SplitEffects {
    /// Empty for the effect that is integrated out.
    pub(super) each: Vec<Mat<f64>>,
}

/// Traits whose effects of the prior are made together.
pub(super) const WIDE: usize = 4 * TILE;

impl SplitEffects {
    /// All but one, by Matheron's rule: effects and residual of the prior, moved by what the rows lack of them. Also what all effects of each trait are together.
    pub fn draw(model: &FactorModel, state: &State, left: &Left, effect: usize, source: Source) -> (Self, Mat<f64>) {
        let (n, p, k, bf) = (model.n(), model.p(), model.k, model.bf());
        let mut values: Mat<f64> = Mat::zeros(n, p + k);
        for j in 0..p {
            let by = state.sigma2[j].sqrt().recip();
            let each = values.col_as_slice_mut(j).iter_mut().zip(left.rows.col_as_slice(j));
            each.for_each(|(value, left)| *value = by * left);
        }
        for m in 0..k {
            let (f, b) = (&state.f[m * n..(m + 1) * n], &state.bf[m * bf..(m + 1) * bf]);
            values
                .col_as_slice_mut(p + m)
                .copy_from_slice(&residual(&model.data.xf, f, b));
        }
        let points: Vec<usize> = state.g.iter().chain(&state.gf).copied().collect();
        let (each, mut totals) = effects_of(model, values, &points, effect, (state.iteration, source));
        totals.truncate(n, p);
        for j in 0..p {
            let sd = state.sigma2[j].sqrt();
            totals.col_as_slice_mut(j).iter_mut().for_each(|x| *x *= sd);
        }
        (Self { each }, totals)
    }

    /// What they are of the traits together.
    pub fn of_traits(&self, model: &FactorModel, state: &State) -> Mat<f64> {
        let mut sum: Mat<f64> = Mat::zeros(model.n(), model.p());
        for (s, own) in self.given() {
            for j in 0..model.p() {
                let sd = (state.sigma2[j] * part(model, state.g[j], s)).sqrt();
                axpy(sd, own.col_as_slice(j), sum.col_as_slice_mut(j));
            }
        }
        sum
    }

    /// Those that are given, by their numbers.
    pub(super) fn given(&self) -> impl Iterator<Item = (usize, &Mat<f64>)> {
        self.each.iter().enumerate().filter(|(_, own)| own.ncols() > 0)
    }
}

/// n_s of columns that are each a sum of effects and residual with variance 1 at a point of the grid, but of the effect that is `left_out`, and the sums of all effects.
fn effects_of(
    model: &FactorModel,
    mut lack: Mat<f64>,
    points: &[usize],
    left_out: usize,
    (iteration, source): (u64, Source),
) -> (Vec<Mat<f64>>, Mat<f64>) {
    let effects = model.rays[0].shares.len();
    let rays: Vec<&Ray> = (0..effects)
        .filter_map(|s| Some(&*model.rays[vertex(model, s)?]))
        .collect();
    let sd = |s: usize, at: usize| part(model, points[at], s).sqrt();
    let rest = |at: usize| 1.0 - model.proportions.h[points[at]];
    let all: Vec<usize> = (0..points.len()).collect();
    let tiles = all
        .par_chunks(WIDE)
        .map(|some| prior_draws(model, &rays, some, (iteration, source)));
    let tiles: Vec<Vec<Mat<f64>>> = tiles.collect();
    let own = |s: usize, at: usize| tiles[at / WIDE][s].col_as_slice(at % WIDE);
    // becomes what effects and residual of the prior lack of the values; `totals`: the values without that residual
    let mut totals = lack.clone();
    for at in 0..points.len() {
        let column = totals.col_as_slice_mut(at);
        axpy(-rest(at).sqrt(), own(effects, at), column);
        let lack = lack.col_as_slice_mut(at);
        lack.copy_from_slice(column);
        (0..effects).for_each(|s| axpy(-sd(s, at), own(s, at), lack));
    }
    let lack = times_power(model, lack.as_ref(), points, Power::Inverse);
    for at in 0..points.len() {
        axpy(-rest(at), lack.col_as_slice(at), totals.col_as_slice_mut(at));
    }
    let one = |(s, ray): (usize, &&Ray)| {
        if s == left_out {
            return Mat::new();
        }
        let moved = |some: &[usize]| ray.covariance_times(lack.subcols(some[0], some.len()));
        let moved: Vec<Mat<f64>> = all.par_chunks(WIDE).map(moved).collect();
        let mut whole: Mat<f64> = Mat::zeros(model.n(), points.len());
        for at in 0..points.len() {
            let column = whole.col_as_slice_mut(at);
            column.copy_from_slice(own(s, at));
            axpy(sd(s, at), moved[at / WIDE].col_as_slice(at % WIDE), column);
        }
        whole
    };
    (rays.iter().enumerate().map(one).collect(), totals)
}

/// Each effect of the prior of some columns, in rows, and standard normal numbers for their residuals.
fn prior_draws(
    model: &FactorModel,
    rays: &[&Ray],
    some: &[usize],
    (iteration, source): (u64, Source),
) -> Vec<Mat<f64>> {
    let ranks = rays.iter().map(|ray| ray.rank());
    let mut numbers: Vec<Mat<f64>> = (ranks.chain([model.n()]))
        .map(|rows| Mat::zeros(rows, some.len()))
        .collect();
    for (at, &j) in some.iter().enumerate() {
        let rng = &mut source.stream(iteration, Block::Effects, j);
        numbers
            .iter_mut()
            .for_each(|part| normals(part.col_as_slice_mut(at), rng));
    }
    let residual = numbers.pop();
    let effects = rays.iter().zip(numbers).map(|(ray, numbers)| ray.root_times(numbers));
    effects.chain(residual).collect()
}
