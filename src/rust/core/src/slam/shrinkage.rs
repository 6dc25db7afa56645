//! Draws of the precisions of the loadings, and of the variances that coefficients share.

use super::loading_means::{effects, mean_at, means};
use super::model::{FactorModel, TILE};
use super::precisions::Shrinkage;
use super::prior::{Coefficient, InverseGamma, Loadings, Variance};
use super::rng::{Block, Source, Stream, gamma, gamma_above_one, inverse_gamma};
use super::state::State;
use rayon::prelude::*;

/// How often the columns' factors are drawn an iteration: a pass costs nothing beside the loadings.
const PASSES: usize = 10;

/// Squares of loadings about their means in units of their variances' scale, k x p; 0 where they are known.
fn squares(model: &FactorModel, state: &State) -> Vec<f64> {
    let (k, means) = (model.k, means(model, state));
    let one = |at: usize| {
        let (j, m) = (at / k, at % k);
        let lambda = state.lambda(model, j)[m] - mean_at(&means, at);
        if model.known(m, j).is_some() {
            0.0
        } else {
            lambda * lambda / state.unit(model, j)
        }
    };
    (0..k * model.p()).map(one).collect()
}

/// Sums over the traits, and over effects on the means of their loadings, of squares times local precisions.
pub fn sums(model: &FactorModel, state: &State) -> Vec<f64> {
    let (k, local) = (model.k, &state.shrinkage.local);
    let mut sums = vec![0.0; k];
    for (at, square) in squares(model, state).into_iter().enumerate() {
        sums[at % k] += square * local[at];
    }
    for (m, sum) in sums.iter_mut().enumerate() {
        effects(model, state, m).for_each(|(precision, w)| *sum += precision * w * w);
    }
    sums
}

/// All precisions, given the loadings.
pub fn draw(model: &FactorModel, state: &mut State, source: Source) {
    if model.k == 0 {
        return;
    }
    draw_local(model, state, source);
    let mut rng = source.stream(state.iteration, Block::Shrinkage, 0);
    let (sums, q) = (sums(model, state), model.prior.means.q());
    let free: Vec<usize> = model.free().iter().map(|count| count + q).collect();
    let shrinkage = &mut state.shrinkage;
    for _ in 0..PASSES {
        match model.prior.loadings {
            Loadings::Gamma {
                first,
                others,
                truncated,
                ..
            } => draw_gammas(shrinkage, &sums, &free, [first, others], truncated, &mut rng),
            Loadings::Horseshoe { tau0, delta } => draw_columns(shrinkage, &sums, &free, tau0, delta, &mut rng),
        }
        shrinkage.update_columns(&model.prior.loadings);
    }
}

fn draw_local(model: &FactorModel, state: &mut State, source: Source) {
    let squares = squares(model, state);
    let (k, iteration) = (model.k, state.iteration);
    let Shrinkage {
        local, helpers, column, ..
    } = &mut state.shrinkage;
    let prior = model.prior.loadings;
    // a known loading keeps a precision from the prior's middle, which nothing reads
    let one = |at: usize, local: &mut f64, helper: Option<&mut f64>, rng: &mut Stream| {
        let square = squares[at] * column[at % k];
        match (prior, helper) {
            (Loadings::Gamma { nu, .. }, _) => *local = gamma(0.5 * (nu + 1.0), 0.5 * (nu + square), rng),
            (_, Some(helper)) => {
                *helper = inverse_gamma(1.0, 1.0 + *local, rng);
                *local = gamma(1.0, 1.0 / *helper + 0.5 * square, rng);
            }
            _ => (),
        }
    };
    let tile = k * TILE;
    let stream = |t: usize| source.stream(iteration, Block::Precisions, t);
    if helpers.is_empty() {
        local.par_chunks_mut(tile).enumerate().for_each(|(t, chunk)| {
            let mut rng = stream(t);
            chunk
                .iter_mut()
                .enumerate()
                .for_each(|(i, x)| one(t * tile + i, x, None, &mut rng));
        });
    } else {
        let both = local.par_chunks_mut(tile).zip(helpers.par_chunks_mut(tile));
        both.enumerate().for_each(|(t, (chunk, helpers))| {
            let mut rng = stream(t);
            let each = chunk.iter_mut().zip(helpers).enumerate();
            each.for_each(|(i, (x, helper))| one(t * tile + i, x, Some(helper), &mut rng));
        });
    }
}

/// Factors of a gamma process, one after the other.
fn draw_gammas(
    shrinkage: &mut Shrinkage,
    sums: &[f64],
    free: &[usize],
    prior: [(f64, f64); 2],
    truncated: bool,
    rng: &mut Stream,
) {
    let k = sums.len();
    for h in 0..k {
        let (shape, rate) = prior[usize::from(h > 0)];
        let others: f64 = (h..k).map(|m| shrinkage.column[m] * sums[m]).sum::<f64>() / shrinkage.delta[h];
        let count: usize = free[h..].iter().sum();
        let (shape, rate) = (shape + 0.5 * count as f64, rate + 0.5 * others);
        let new = if h > 0 && truncated {
            gamma_above_one(shape, rate, rng)
        } else {
            gamma(shape, rate, rng)
        };
        let change = new / shrinkage.delta[h];
        shrinkage.delta[h] = new;
        shrinkage.column[h..].iter_mut().for_each(|tau| *tau *= change);
    }
}

/// Scales of a horseshoe's columns (Makalic and Schmidt 2016).
fn draw_columns(
    shrinkage: &mut Shrinkage,
    sums: &[f64],
    free: &[usize],
    tau0: f64,
    prior: InverseGamma,
    rng: &mut Stream,
) {
    let k = sums.len();
    // S_m / (2 Delta_m)
    let scaled = |s: &Shrinkage, m: usize| 0.5 * sums[m] * s.column[m] * s.omega2;
    let all: f64 = (0..k).map(|m| scaled(shrinkage, m)).sum();
    let count: usize = free.iter().sum();
    let before = shrinkage.omega2;
    shrinkage.omega2 = inverse_gamma(0.5 * (count as f64 + 1.0), 1.0 / shrinkage.xi + all, rng);
    shrinkage.xi = inverse_gamma(1.0, 1.0 / (tau0 * tau0) + 1.0 / shrinkage.omega2, rng);
    let change = before / shrinkage.omega2;
    shrinkage.column.iter_mut().for_each(|c| *c *= change);
    for h in 1..k {
        let beyond: f64 = (h..k).map(|m| scaled(shrinkage, m)).sum();
        let count: usize = free[h..].iter().sum();
        let scale = prior.scale + shrinkage.delta[h] * beyond / shrinkage.omega2;
        let new = inverse_gamma(prior.shape + 0.5 * count as f64, scale, rng);
        let change = shrinkage.delta[h] / new;
        shrinkage.delta[h] = new;
        shrinkage.column[h..].iter_mut().for_each(|c| *c *= change);
    }
}

/// Variances that coefficients of traits and factors share, given the coefficients.
pub fn draw_shared(model: &FactorModel, state: &mut State, source: Source) {
    let mut rng = source.stream(state.iteration, Block::Shrinkage, 1);
    let (b, bf, c) = (model.b(), model.bf(), model.c());
    for (number, prior) in model.prior.shared.iter().enumerate() {
        let (mut count, mut square) = (0, 0.0);
        let mut add = |values: &mut dyn Iterator<Item = f64>| {
            for x in values {
                count += 1;
                square += x * x;
            }
        };
        for l in (0..b).filter(|&l| model.data.x_prior[l] == Coefficient::Shared(number)) {
            add(&mut (0..model.p()).map(|j| state.theta[j * c + l]));
        }
        for l in (0..bf).filter(|&l| model.data.xf_prior[l] == Coefficient::Shared(number)) {
            add(&mut (0..model.k).map(|m| state.bf[m * bf + l]));
        }
        if let Variance::Drawn(prior) = prior {
            let (shape, scale) = (prior.shape + 0.5 * f64::from(count), prior.scale + 0.5 * square);
            state.shared[number] = inverse_gamma(shape, scale, &mut rng);
        }
    }
}
