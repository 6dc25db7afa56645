//! Proportions of factors with F integrated out, just before F is drawn.
//!
//! Given F, a factor that is all residual tells its proportion to stay at 0, and given the proportion F stays so: between mostly genetic and mostly residual a factor would hardly
//! ever change, and G and R would share their factors' directions. Given loadings and traits the rows of Q'F are independent, with `A_i` and `c_i` of [`super::factors::draw`];
//! with `d_i = c_i - A_i X_F b_F`, `S_i = A_i^-1` and `q_i = S_i d_i`, a change of row i's weight of factor m by delta changes the log density of the responses by
//!
//! ```text
//! 1/2 log(w + delta) - 1/2 log w - 1/2 log(1 + delta S_mm) - 1/2 delta q_m^2 / (1 + delta S_mm)
//! ```

use super::factors::RowPrecisions;
use super::gaussian::Gaussian;
use super::model::{FactorModel, TILE};
use super::rng::{Block, Source, Stream, index, uniform};
use super::state::State;
use super::traits::Gathered;
use crate::linalg::sum_of;
use rayon::prelude::*;

/// Factors that are drawn, at random, in every so many iterations: a row costs its Cholesky factor and as many solutions.
const AT_ONCE: usize = 8;
const EVERY: u64 = 2;

/// Rows that share a logarithm.
const ROWS: usize = 8;

/// What the rows' precisions say of the chosen factors: S of each row by columns, and q.
pub(super) struct Rows {
    count: usize,
    s: Vec<f64>,
    q: Vec<f64>,
}

/// h_Fm of some factors, one after the other, each from its conditional density with F integrated out.
pub fn draw(model: &FactorModel, state: &mut State, gathered: &Gathered, source: Source) {
    if model.k == 0 || model.proportions.count() < 2 || !state.iteration.is_multiple_of(EVERY) {
        return;
    }
    let mut rng = source.stream(state.iteration, Block::Moves, 2);
    let chosen = some_of(model.k, &mut rng);
    // a precision that is not positive definite to rounding: the draw of F tells it
    let Some(mut rows) = Rows::new(model, &RowPrecisions::new(model, state, gathered), &chosen) else {
        return;
    };
    for (at, &m) in chosen.iter().enumerate() {
        let before = state.gf[m];
        state.gf[m] = index(&rows.log_densities(model, at, before), &mut rng);
        if state.gf[m] != before {
            rows.update(model, at, before, state.gf[m]);
        }
    }
}

/// The first numbers of a random order.
pub(super) fn some_of(count: usize, rng: &mut Stream) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    for i in 0..count.min(AT_ONCE) {
        let other = i + (uniform(rng) * (count - i) as f64) as usize;
        order.swap(i, other.min(count - 1));
    }
    order.truncate(AT_ONCE);
    order
}

impl Rows {
    /// `None` if a row's precision is not positive definite to rounding.
    pub(super) fn new(model: &FactorModel, rows: &RowPrecisions<'_>, chosen: &[usize]) -> Option<Self> {
        let tile = |t: usize| {
            let range = t * TILE..((t + 1) * TILE).min(model.n());
            let prepared = rows.prepare(range.clone());
            let mut gaussian = Gaussian::new(model.k);
            let (mut s, mut q) = (vec![], vec![]);
            for (at, i) in range.enumerate() {
                rows.set_about_mean(&prepared, at, i, &mut gaussian);
                gaussian.inverse_at(chosen, &mut s, &mut q).then_some(())?;
            }
            Some((s, q))
        };
        let tiles = (0..model.n().div_ceil(TILE)).into_par_iter().map(tile);
        let (s, q): (Vec<Vec<f64>>, Vec<Vec<f64>>) = tiles.collect::<Option<Vec<_>>>()?.into_iter().unzip();
        Some(Self {
            count: chosen.len(),
            s: s.concat(),
            q: q.concat(),
        })
    }

    /// Log density of each point of the grid for the factor at a place of the chosen ones, which is at point `now`.
    pub(super) fn log_densities(&self, model: &FactorModel, at: usize, now: usize) -> Vec<f64> {
        let (grid, count) = (&model.proportions, self.count);
        let s: Vec<f64> = self.s.chunks(count * count).map(|s| s[at * count + at]).collect();
        let square: Vec<f64> = self.q.chunks(count).map(|q| q[at] * q[at]).collect();
        let point =
            |g: usize| grid.log_factors[g] - 0.5 * (grid.log_det[g] + change(grid.at(now), grid.at(g), &s, &square));
        (0..grid.count()).into_par_iter().map(point).collect()
    }

    /// S and q after a factor went from one point to another.
    pub(super) fn update(&mut self, model: &FactorModel, at: usize, before: usize, after: usize) {
        let (old, new) = (model.proportions.at(before), model.proportions.at(after));
        let count = self.count;
        let rows = self.s.chunks_mut(count * count).zip(self.q.chunks_mut(count));
        for (i, (s, q)) in rows.enumerate() {
            let delta = new[i] - old[i];
            let column: Vec<f64> = s[at * count..(at + 1) * count].to_vec();
            let by = delta / (1.0 + delta * column[at]);
            let own = q[at];
            for a in 0..count {
                q[a] -= by * own * column[a];
                (0..count).for_each(|b| s[a * count + b] -= by * column[a] * column[b]);
            }
        }
    }
}

/// `sum_i log(1 + delta_i s_i) + delta_i q_i^2 / (1 + delta_i s_i)`
fn change(old: &[f64], new: &[f64], s: &[f64], square: &[f64]) -> f64 {
    let mut sum = 0.0;
    for first in (0..s.len()).step_by(ROWS) {
        let rows = first..(first + ROWS).min(s.len());
        let (old, new, s, square) = (&old[rows.clone()], &new[rows.clone()], &s[rows.clone()], &square[rows]);
        let mut product = 1.0_f64;
        for i in 0..s.len() {
            let delta = new[i] - old[i];
            let ratio = 1.0 + delta * s[i];
            sum += delta * square[i] / ratio;
            product *= ratio;
        }
        sum += if product.is_normal() {
            product.ln()
        } else {
            sum_of(s.len(), |i| ((new[i] - old[i]) * s[i]).ln_1p())
        };
    }
    sum
}
