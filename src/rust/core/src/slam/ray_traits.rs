//! Traits with several random effects given the factors, all U integrated out: coefficients and loadings in the basis of the trait's ray, then its point, on that ray or another one, and variance together.

use super::cis::{self, OwnRegression};
use super::few_columns;
use super::gaussian::Gaussian;
use super::loading_means::means;
use super::model::FactorModel;
use super::rng::{Block, Source, Stream, uniform};
use super::state::State;
use super::trait_priors::{Priors, Regression, Variances};
use crate::linalg::{axpy, product};
use faer::{Mat, MatRef, Par};
use rayon::prelude::*;
use std::ops::Range;

/// What is left of the traits.
pub struct Left {
    /// Y - X B - F Lambda', without what is of one trait alone, in rows.
    pub rows: Mat<f64>,
    /// The same of each trait in the basis of its new ray.
    pub own: Mat<f64>,
}

/// Draws everything of the traits. `y`: in rows.
pub fn draw(model: &FactorModel, state: &mut State, y: MatRef<'_, f64>, source: Source) -> Left {
    let iteration = state.iteration;
    let stream = |j: usize| source.stream(iteration, Block::Traits, j);
    let mut rngs: Vec<Stream> = (0..model.p()).map(stream).collect();
    let design = state.design(model);
    let mut own: Mat<f64> = Mat::zeros(model.n(), model.p());
    for (basis, traits) in by_basis(model, &state.g).into_iter().enumerate() {
        if !traits.is_empty() {
            let left = coefficients(model, state, basis, (&traits, y, &design), &mut rngs);
            put(&mut own, &traits, &left);
        }
    }
    let theta = Mat::from_fn(model.c(), model.p(), |l, j| state.theta[j * model.c() + l]);
    let rows = y - product(design.as_ref(), theta.as_ref(), Par::Seq);
    let without = model.cis.without(0..model.p(), &state.cis, rows.as_ref());
    let rows = without.unwrap_or(rows);
    // the other ray is drawn whatever the first one is, so that each leads to the other as often
    let others: Vec<usize> = (rngs.iter_mut().zip(&state.g))
        .map(|(rng, &g)| other_basis(model, model.basis_of(g), rng))
        .collect();
    let points: Vec<usize> = others.iter().map(|&basis| model.points_in(basis).start).collect();
    let there = model.by_basis(rows.as_ref(), &points, |basis, _, some| {
        model.in_basis(basis, some.as_ref())
    });
    let sums = [squares(model, &own, &state.g), squares(model, &there, &points)];
    variances(model, state, &sums, &others, &mut rngs);
    for (j, &other) in others.iter().enumerate() {
        if model.basis_of(state.g[j]) == other {
            own.col_mut(j).copy_from(there.col(j));
        }
    }
    Left { rows, own }
}

fn put(whole: &mut Mat<f64>, at: &[usize], part: &Mat<f64>) {
    for (column, &j) in part.col_iter().zip(at) {
        whole.col_mut(j).copy_from(column);
    }
}

/// Another basis than this one, each as likely.
pub fn other_basis(model: &FactorModel, basis: usize, rng: &mut Stream) -> usize {
    let others = model.bases() - 1;
    let at = ((uniform(rng) * others as f64) as usize).min(others.saturating_sub(1));
    if others > 0 && at >= basis { at + 1 } else { at }
}

/// `e'We` of columns in the bases of some points, at each point of these bases: points x columns.
fn squares(model: &FactorModel, e: &Mat<f64>, g: &[usize]) -> Mat<f64> {
    let mut all: Mat<f64> = Mat::zeros(model.points_in(0).len(), e.ncols());
    for (basis, those) in by_basis(model, g)
        .into_iter()
        .enumerate()
        .filter(|(_, those)| !those.is_empty())
    {
        let points = model.points_in(basis);
        let weights = model.proportions.weights.subcols(points.start, points.len());
        let mut some = few_columns::chosen(e.as_ref(), &those);
        for column in some.col_iter_mut() {
            column.iter_mut().for_each(|e| *e *= *e);
        }
        put(&mut all, &those, &product(weights.transpose(), some.as_ref(), Par::Seq));
    }
    all
}

/// Numbers of those in each basis.
fn by_basis(model: &FactorModel, g: &[usize]) -> Vec<Vec<usize>> {
    let mut those = vec![vec![]; model.bases()];
    g.iter()
        .enumerate()
        .for_each(|(j, &g)| those[model.basis_of(g)].push(j));
    those
}

/// D'W D of a design D in a basis, at its points that are used.
fn grams(
    model: &FactorModel,
    basis: usize,
    design: &Mat<f64>,
    used: impl Fn(usize) -> bool + Sync,
) -> Vec<Option<Mat<f64>>> {
    let at = |g: usize| {
        let mut weighted = design.clone();
        weigh(&mut weighted, 0..design.ncols(), model.proportions.at(g));
        product(design.transpose(), weighted.as_ref(), Par::Seq)
    };
    let points = model.points_in(basis).into_par_iter();
    points.map(|g| used(g).then(|| at(g))).collect()
}

/// Some columns times weights of the rows.
fn weigh(a: &mut Mat<f64>, those: Range<usize>, w: &[f64]) {
    for j in those {
        a.col_as_slice_mut(j).iter_mut().zip(w).for_each(|(x, w)| *x *= w);
    }
}

/// b_j and lambda_j of the traits that are in a basis; what they leave of them there.
fn coefficients(
    model: &FactorModel,
    state: &mut State,
    basis: usize,
    (traits, y, design): (&[usize], MatRef<'_, f64>, &Mat<f64>),
    rngs: &mut [Stream],
) -> Mat<f64> {
    let (n, b, c) = (model.n(), model.b(), model.c());
    let y = model.in_basis(basis, few_columns::chosen(y, traits).as_ref());
    let (x, f) = (model.x_in(basis), model.in_basis(basis, design.subcols(b, c - b)));
    let design = Mat::from_fn(n, c, |i, l| if l < b { x[(i, l)] } else { f[(i, l - b)] });
    let used = |g: usize| traits.iter().any(|&j| state.g[j] == g);
    let grams = grams(model, basis, &design, used);
    let mut weighted = y.clone();
    (traits.iter().enumerate()).for_each(|(at, &j)| weigh(&mut weighted, at..at + 1, model.proportions.at(state.g[j])));
    let right = product(design.transpose(), weighted.as_ref(), Par::Seq);
    let means = means(model, state);
    let priors = Priors::new(model, &state.shrinkage, &state.shared, &means);
    let first = model.points_in(basis).start;
    let (columns, places) = cis::in_basis(model, basis, traits);
    let mut gaussian = Gaussian::new(c);
    let mut theta = Mat::zeros(c, traits.len());
    for (at, &j) in traits.iter().enumerate() {
        let own = &mut state.theta[j * c..(j + 1) * c];
        if let Some(gram) = &grams[state.g[j] - first] {
            let regression = Regression {
                gram,
                right: right.col_as_slice(at),
            };
            let rng = &mut rngs[j];
            let drawn = if places[at].is_empty() {
                priors.coefficients_of(j, regression, state.sigma2[j], own, &mut gaussian, rng)
            } else {
                let whole = OwnRegression {
                    shared: regression,
                    design: &design,
                    columns: columns.subcols(places[at].start, places[at].len()),
                    y: y.subcols(at, 1),
                    w: model.proportions.at(state.g[j]),
                };
                let coefficients = &mut state.cis[model.cis.of(j)];
                whole.draw((&priors, j), state.sigma2[j], (own, coefficients), rng)
            };
            state.failed.traits += u64::from(!drawn);
        }
        (0..c).for_each(|l| theta[(l, at)] = own[l]);
    }
    let mut left = y - product(design.as_ref(), theta.as_ref(), Par::Seq);
    for (at, &j) in traits.iter().enumerate() {
        for (l, own) in places[at].clone().zip(&state.cis[model.cis.of(j)]) {
            axpy(-own, columns.col_as_slice(l), left.col_as_slice_mut(at));
        }
    }
    left
}

/// Point and variance of each trait, on its ray and on the other one that is looked at. `sums`: [`squares`] on either.
fn variances(model: &FactorModel, state: &mut State, sums: &[Mat<f64>; 2], others: &[usize], rngs: &mut [Stream]) {
    let c = model.c();
    let means = means(model, state);
    let priors = Priors::new(model, &state.shrinkage, &state.shared, &means);
    let each = state.g.par_iter_mut().zip(&mut state.sigma2).zip(rngs).enumerate();
    each.for_each(|(j, ((g, sigma2), rng))| {
        let here = model.basis_of(*g);
        let mut points: Vec<usize> = model.points_in(here).collect();
        let mut own = sums[0].col_as_slice(j).to_vec();
        if others[j] != here {
            own.extend(sums[1].col_as_slice(j));
            points.extend(model.points_in(others[j]));
        }
        let theta = &state.theta[j * c..(j + 1) * c];
        priors.variances_of(j, theta, &points, &own, Variances { g, sigma2 }, rng);
    });
}
