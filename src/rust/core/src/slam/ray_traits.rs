//! Traits with several random effects given the factors, all U integrated out: coefficients and loadings in the basis of the trait's ray, then its point, on that ray or another one, and variance together.

use super::cis::{self, OwnRegression};
use super::gaussian::Gaussian;
use super::loading_means::means;
use super::model::FactorModel;
use super::rng::{Block, Source, Stream, uniform};
use super::state::State;
use super::trait_priors::{Priors, Regression, Variances};
use crate::linalg::{axpy, product, sum_of};
use faer::{Mat, MatRef, Par};
use rayon::prelude::*;

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
    let by_basis = |g: &[usize]| {
        let mut traits = vec![vec![]; model.bases()];
        g.iter()
            .enumerate()
            .for_each(|(j, &g)| traits[model.basis_of(g)].push(j));
        traits
    };
    let mut own: Mat<f64> = Mat::zeros(model.n(), model.p());
    for (basis, traits) in by_basis(&state.g).into_iter().enumerate() {
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
    let mut there: Mat<f64> = Mat::zeros(model.n(), model.p());
    for basis in 0..model.bases() {
        let traits: Vec<usize> = (0..model.p()).filter(|&j| others[j] == basis).collect();
        let some = Mat::from_fn(model.n(), traits.len(), |i, at| rows[(i, traits[at])]);
        put(&mut there, &traits, &model.in_basis(basis, some.as_ref()));
    }
    variances(model, state, (&mut own, &there), &others, &mut rngs);
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

/// W D and D'W D of a design D in a basis, at its points that are used.
fn weighted_designs(
    model: &FactorModel,
    basis: usize,
    design: &Mat<f64>,
    used: impl Fn(usize) -> bool + Sync,
) -> Vec<Option<(Mat<f64>, Mat<f64>)>> {
    let at = |g: usize| {
        let w = model.proportions.at(g);
        let weighted = Mat::from_fn(design.nrows(), design.ncols(), |i, l| w[i] * design[(i, l)]);
        let gram = product(design.transpose(), weighted.as_ref(), Par::Seq);
        (weighted, gram)
    };
    let points = model.points_in(basis).into_par_iter();
    points.map(|g| used(g).then(|| at(g))).collect()
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
    let y = model.in_basis(
        basis,
        Mat::from_fn(n, traits.len(), |i, at| y[(i, traits[at])]).as_ref(),
    );
    let (x, f) = (model.x_in(basis), model.in_basis(basis, design.subcols(b, c - b)));
    let design = Mat::from_fn(n, c, |i, l| if l < b { x[(i, l)] } else { f[(i, l - b)] });
    let used = |g: usize| traits.iter().any(|&j| state.g[j] == g);
    let weighted = weighted_designs(model, basis, &design, used);
    let means = means(model, state);
    let priors = Priors::new(model, &state.shrinkage, &state.shared, &means);
    let first = model.points_in(basis).start;
    let (columns, places) = cis::in_basis(model, basis, traits);
    let mut gaussian = Gaussian::new(c);
    let mut theta = Mat::zeros(c, traits.len());
    for (at, &j) in traits.iter().enumerate() {
        let own = &mut state.theta[j * c..(j + 1) * c];
        if let Some((weighted, gram)) = &weighted[state.g[j] - first] {
            let right = product(weighted.transpose(), y.subcols(at, 1), Par::Seq);
            let regression = Regression {
                gram,
                right: right.col_as_slice(0),
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

/// Point and variance of each trait, on its ray and on the other one that is looked at. `own` becomes what is left in the basis of the new one.
fn variances(
    model: &FactorModel,
    state: &mut State,
    (own, there): (&mut Mat<f64>, &Mat<f64>),
    others: &[usize],
    rngs: &mut [Stream],
) {
    let c = model.c();
    let means = means(model, state);
    let priors = Priors::new(model, &state.shrinkage, &state.shared, &means);
    let square = |g: usize, e: &[f64]| {
        let w = model.proportions.at(g);
        sum_of(w.len(), |i| w[i] * e[i] * e[i])
    };
    let each = state.g.par_iter_mut().zip(&mut state.sigma2).zip(rngs).enumerate();
    each.for_each(|(j, ((g, sigma2), rng))| {
        let here = model.basis_of(*g);
        let mut points: Vec<usize> = model.points_in(here).collect();
        let mut sums: Vec<f64> = points.iter().map(|&g| square(g, own.col_as_slice(j))).collect();
        if others[j] != here {
            let more = model.points_in(others[j]);
            sums.extend(more.clone().map(|g| square(g, there.col_as_slice(j))));
            points.extend(more);
        }
        let theta = &state.theta[j * c..(j + 1) * c];
        priors.variances_of(j, theta, &points, &sums, Variances { g, sigma2 }, rng);
    });
    for (j, &other) in others.iter().enumerate() {
        if model.basis_of(state.g[j]) == other {
            own.col_mut(j).copy_from(there.col(j));
        }
    }
}
