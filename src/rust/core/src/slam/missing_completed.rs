//! Missing cells that are integrated out, drawn for a moment: with complete rows h_Fm is drawn with F integrated out, and F after it.
//!
//! Given F a factor hardly ever changes between genetic and residual ([`super::factor_proportions`]), and where rows of Y differ in what was observed there is no basis in which F could be integrated out.
//! The cells are drawn given all else, h_Fm and F given them, and the cells forgotten: an exact step, whose only price is that F moves less than without them.

use super::factor_proportions;
use super::factors;
use super::model::{FactorModel, Set};
use super::rng::{Block, Source, normal};
use super::state::State;
use super::traits;
use crate::linalg::product;
use faer::{Mat, Par};

/// One iteration in so many draws F so, those in which proportions of factors are drawn among them.
const EVERY: u64 = 4;

/// Is it this iteration's turn?
pub fn is_due(state: &State) -> bool {
    state.iteration.is_multiple_of(EVERY)
}

/// h_Fm and F, given cells that are drawn here.
pub fn draw_factors(model: &FactorModel, state: &mut State, source: Source) {
    if model.k == 0 {
        return;
    }
    let y = completed(model, state, source);
    let gathered = traits::gather(model, state, y.as_ref());
    factor_proportions::draw(model, state, &gathered, source);
    factors::draw(model, state, &gathered, source);
}

/// Q'Y with the missing cells drawn given all else.
pub fn completed(model: &FactorModel, state: &State, source: Source) -> Mat<f64> {
    let theta = Mat::from_fn(model.c(), model.p(), |l, j| state.theta[j * model.c() + l]);
    let fitted = product(state.design(model).as_ref(), theta.as_ref(), Par::Seq);
    let mut y = fitted.clone();
    for set in &model.sets {
        let own = set.own(model, state, &fitted, source);
        for (at, &j) in set.traits.iter().enumerate() {
            (0..model.n()).for_each(|i| y[(i, j)] += own[(i, at)]);
        }
    }
    y
}

impl Set {
    /// What is the traits' own, `e ~ N(0, sigma2 V(h))`, in all rows given the rows of the set: a draw from the prior, moved by its covariance with those rows times what they lack (Matheron's rule).
    fn own(&self, whole: &FactorModel, state: &State, fitted: &Mat<f64>, source: Source) -> Mat<f64> {
        let (n, count) = (whole.n(), self.traits.len());
        let weights = |at: usize| whole.proportions.at(state.g[self.traits[at]]);
        let mut e: Mat<f64> = Mat::zeros(n, count);
        for (at, &j) in self.traits.iter().enumerate() {
            let rng = &mut source.stream(state.iteration, Block::Missing, j);
            let (sd, w) = (state.sigma2[j].sqrt(), weights(at));
            (0..n).for_each(|i| e[(i, at)] = sd * normal(rng) / w[i].sqrt());
        }
        // fitted and drawn, in the rows of the set
        let total = Mat::from_fn(n, count, |i, at| fitted[(i, self.traits[at])] + e[(i, at)]);
        let total = product(whole.data.rows.transpose(), total.as_ref(), Par::Seq);
        let some = Mat::from_fn(self.rows.len(), count, |i, at| total[(self.rows[i], at)]);
        let mut lack = &self.model.data.y - self.basis.transpose_times(some.as_ref());
        for at in 0..count {
            let w = self.model.proportions.at(state.g[self.traits[at]]);
            (0..self.rows.len()).for_each(|i| lack[(i, at)] *= w[i]);
        }
        let solved = self.basis.times(lack.as_ref());
        let mut padded: Mat<f64> = Mat::zeros(n, count);
        for (i, &row) in self.rows.iter().enumerate() {
            (0..count).for_each(|at| padded[(row, at)] = solved[(i, at)]);
        }
        let moved = product(whole.data.rows.as_ref(), padded.as_ref(), Par::Seq);
        Mat::from_fn(n, count, |i, at| e[(i, at)] + moved[(i, at)] / weights(at)[i])
    }
}
