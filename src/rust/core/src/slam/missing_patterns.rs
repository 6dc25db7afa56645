//! Missing cells integrated out: traits that were observed in the same rows make a set with a basis of its own.
//!
//! In the eigenvectors of the rows of a set V(h) is diagonal, and its traits are drawn as if there were no others. But the bases of the sets differ, so F is drawn row by
//! row given all U: the traits' (in the bases of their sets) and its own, each drawn just before and forgotten after.

use super::effects::effect;
use super::factors::{by_columns, draw_rows, residual};
use super::gaussian::Gaussian;
use super::model::{FactorModel, Set, columns};
use super::precisions::Shrinkage;
use super::rng::{Block, Source};
use super::state::{Failed, State};
use super::traits;
use crate::linalg::product;
use faer::{Mat, MatRef, Par};
use rayon::prelude::*;

impl Set {
    /// The state of these traits, F in the basis of the set.
    fn part(&self, whole: &FactorModel, state: &State, f: &Mat<f64>) -> State {
        let (c, k) = (whole.c(), whole.k);
        let some = Mat::from_fn(self.rows.len(), k, |i, m| f[(self.rows[i], m)]);
        let rotated = self.basis.transpose_times(some.as_ref());
        let gather = |values: &[f64], width: usize| -> Vec<f64> {
            let of = |j: &usize| values[j * width..(j + 1) * width].iter().copied();
            self.traits.iter().flat_map(of).collect()
        };
        State {
            cis: vec![],
            iteration: state.iteration,
            f: by_columns(&rotated),
            theta: gather(&state.theta, c),
            sigma2: gather(&state.sigma2, 1),
            g: self.traits.iter().map(|j| state.g[*j]).collect(),
            gf: state.gf.clone(),
            bf: vec![],
            shared: state.shared.clone(),
            shrinkage: Shrinkage {
                local: gather(&state.shrinkage.local, k),
                helpers: vec![],
                ..state.shrinkage.clone()
            },
            cells: vec![],
            link: vec![],
            failed: Failed::default(),
            effects: state.effects.clone(),
        }
    }

    /// `sum_j lambda_j lambda_j' / e_j` with `e_j = sigma2_j (1 - h_j)`, and for each row of the set `sum_j lambda_j (y_ij - x_i'b_j - u_ij) / e_j`, U drawn.
    fn given_effects(&self, part: &State, source: Source) -> (Mat<f64>, Mat<f64>) {
        let (model, n) = (&self.model, self.rows.len());
        let h = |j: usize| model.proportions.h[part.g[j]];
        let e: Vec<f64> = (0..self.traits.len()).map(|j| part.sigma2[j] * (1.0 - h(j))).collect();
        let theta = Mat::from_fn(model.c(), self.traits.len(), |l, j| part.theta[j * model.c() + l]);
        let fixed = product(model.data.x.as_ref(), theta.as_ref().subrows(0, model.b()), Par::Seq);
        let fitted = product(part.design(model).as_ref(), theta.as_ref(), Par::Seq);
        let one = |j: usize| -> Vec<f64> {
            let rng = &mut source.stream(part.iteration, Block::Effects, self.traits[j]);
            let left: Vec<f64> = (0..n).map(|i| model.data.y[(i, j)] - fitted[(i, j)]).collect();
            let u = effect(model, &left, part.g[j], part.sigma2[j], rng);
            (0..n).map(|i| model.data.y[(i, j)] - fixed[(i, j)] - u[i]).collect()
        };
        let left: Vec<f64> = (0..self.traits.len())
            .into_par_iter()
            .map(one)
            .collect::<Vec<_>>()
            .concat();
        let weighted = Mat::from_fn(self.traits.len(), model.k, |j, m| part.lambda(model, j)[m] / e[j]);
        let lambda = Mat::from_fn(self.traits.len(), model.k, |j, m| part.lambda(model, j)[m]);
        let right = product(columns(&left, n), weighted.as_ref(), Par::Seq);
        (
            product(lambda.transpose(), weighted.as_ref(), Par::Seq),
            self.basis.times(right.as_ref()),
        )
    }
}

/// Coefficients, loadings, proportions and variances of all traits, set by set.
pub fn draw_traits(model: &FactorModel, state: &mut State, source: Source) {
    let f = rows_of(model, columns(&state.f, model.n()));
    for set in &model.sets {
        let mut part = set.part(model, state, &f);
        traits::draw(&set.model, &mut part, set.model.data.y.as_ref(), source);
        state.failed.traits += part.failed.traits;
        let c = model.c();
        for (at, &j) in set.traits.iter().enumerate() {
            state.theta[j * c..(j + 1) * c].copy_from_slice(&part.theta[at * c..(at + 1) * c]);
            state.sigma2[j] = part.sigma2[at];
            state.g[j] = part.g[at];
        }
    }
}

/// From the rotated basis to rows: Q times it.
fn rows_of(model: &FactorModel, rotated: MatRef<'_, f64>) -> Mat<f64> {
    product(model.data.rows.transpose(), rotated, Par::Seq)
}

/// F, row by row given all U.
pub fn draw_factors(model: &FactorModel, state: &mut State, source: Source) {
    let (n, k) = (model.n(), model.k);
    if k == 0 {
        return;
    }
    let f = rows_of(model, columns(&state.f, n));
    let parts: Vec<(Mat<f64>, Mat<f64>)> = (model.sets.iter())
        .map(|set| set.given_effects(&set.part(model, state, &f), source))
        .collect();
    let mut right = rows_of(model, own_means(model, state, source).as_ref());
    let own: Vec<f64> = state.gf.iter().map(|g| 1.0 / (1.0 - model.proportions.h[*g])).collect();
    (0..k).for_each(|m| (0..n).for_each(|i| right[(i, m)] *= own[m]));
    let mut member: Vec<Vec<usize>> = vec![vec![]; n];
    for (s, set) in model.sets.iter().enumerate() {
        for (at, &i) in set.rows.iter().enumerate() {
            member[i].push(s);
            (0..k).for_each(|m| right[(i, m)] += parts[s].1[(at, m)]);
        }
    }
    let set = |_: &(), _: usize, i: usize, gaussian: &mut Gaussian| {
        let entry = |m: usize, o: usize| {
            let shared: f64 = member[i].iter().map(|&s| parts[s].0[(m, o)]).sum();
            shared + if m == o { own[m] } else { 0.0 }
        };
        gaussian.set(entry, |m| right[(i, m)]);
    };
    let (drawn, failed) = draw_rows(f.as_ref(), state.iteration, source, |_| (), set);
    state.failed.factors += failed;
    state.f = by_columns(&product(model.data.rows.as_ref(), drawn.as_ref(), Par::Seq));
}

/// X_F b_F + U_F, rotated, U_F drawn.
fn own_means(model: &FactorModel, state: &State, source: Source) -> Mat<f64> {
    let (n, bf) = (model.n(), model.bf());
    let mean = |m: usize| -> Vec<f64> {
        // places of traits are below p
        let rng = &mut source.stream(state.iteration, Block::Effects, model.p() + m);
        let f = &state.f[m * n..(m + 1) * n];
        let left = residual(&model.data.xf, f, &state.bf[m * bf..(m + 1) * bf]);
        let u = effect(model, &left, state.gf[m], 1.0, rng);
        (0..n).map(|i| f[i] - left[i] + u[i]).collect()
    };
    let means: Vec<Vec<f64>> = (0..model.k).map(mean).collect();
    Mat::from_fn(n, model.k, |i, m| means[m][i])
}
