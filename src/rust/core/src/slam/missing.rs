//! Cells that were not observed: drawn given all else, through the trait's own U.

use super::effects::effect;
use super::model::{Model, columns};
use super::rng::{Block, Source, normal};
use super::state::State;
use crate::linalg::{axpy, dot, sum_of};
use faer::{ColRef, Mat};
use rayon::prelude::*;

/// Draws the cells, and keeps `y` (Q'Y) as they are.
pub fn draw(model: &Model, state: &mut State, y: &mut Mat<f64>, source: Source) {
    if state.cells.is_empty() {
        return;
    }
    let traits: Vec<usize> = (0..model.p()).filter(|&j| !model.data.missing[j].is_empty()).collect();
    let now: &State = state;
    let drawn: Vec<Vec<f64>> = traits
        .par_iter()
        .map(|&j| cells_of(model, now, y.col(j), j, source))
        .collect();
    state.cells = drawn.concat();
    complete(model, &state.cells, y);
}

/// Puts cells into their places: Q'Y is that of the observed cells and, for each missing one, its value times its row of Q.
pub fn complete(model: &Model, cells: &[f64], y: &mut Mat<f64>) {
    if cells.is_empty() {
        return;
    }
    let mut cells = cells.iter();
    for (j, rows) in model
        .data
        .missing
        .iter()
        .enumerate()
        .filter(|(_, rows)| !rows.is_empty())
    {
        let mut column = y.col_mut(j);
        column.copy_from(model.data.y.col(j));
        for (&i, cell) in rows.iter().zip(&mut cells) {
            let row = row_of(model, i);
            (0..row.len()).for_each(|t| column[t] += row[t] * cell);
        }
    }
}

/// New values of the cells of one trait.
fn cells_of(model: &Model, state: &State, y: ColRef<'_, f64>, j: usize, source: Source) -> Vec<f64> {
    let rng = &mut source.stream(state.iteration, Block::Missing, j);
    let mut known = fitted(model, state, j);
    let residual: Vec<f64> = (0..known.len()).map(|i| y[i] - known[i]).collect();
    let (g, sigma2) = (state.g[j], state.sigma2[j]);
    let u = effect(model, &residual, g, sigma2, rng);
    axpy(1.0, &u, &mut known);
    let noise = (sigma2 * (1.0 - model.proportions.h[g])).sqrt();
    let missing = model.data.missing[j].iter();
    missing
        .map(|&i| dot(row_of(model, i), &known) + noise * normal(rng))
        .collect()
}

/// Row i of Q.
fn row_of(model: &Model, i: usize) -> &[f64] {
    model.data.rows.col(i).try_as_col_major().map_or(&[], |c| c.as_slice())
}

/// X b_j + F lambda_j, rotated.
pub fn fitted(model: &Model, state: &State, j: usize) -> Vec<f64> {
    let (b, c, n) = (model.b(), model.c(), model.n());
    let theta = &state.theta[j * c..(j + 1) * c];
    let f = columns(&state.f, n);
    let of = |i: usize| sum_of(b, |l| model.data.x[(i, l)] * theta[l]) + sum_of(model.k, |m| f[(i, m)] * theta[b + m]);
    (0..n).map(of).collect()
}
