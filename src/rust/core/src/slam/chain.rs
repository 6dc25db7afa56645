//! One chain: the order of the blocks, and where it stands.

use super::model::FactorModel;
use super::rng::Source;
use super::state::State;
use super::{
    factor_proportions, factors, given_effects, group_moves, linked_factors, loading_means, missing, missing_completed,
    missing_patterns, mixing, ray_traits, shrinkage, split_effects, split_factors, traits,
};
use faer::Mat;

/// A chain at work on a model.
pub struct Chain<'a> {
    /// Data and priors.
    pub model: &'a FactorModel,
    /// Seed and number of the chain.
    pub source: Source,
    /// Where it stands.
    pub state: State,
    /// Q'Y, cells that were missing as the state has them.
    y: Mat<f64>,
}

impl<'a> Chain<'a> {
    /// From a start in the prior.
    pub fn new(model: &'a FactorModel, source: Source) -> Self {
        Self::from(model, source, State::start(model, source))
    }

    /// From a state on: the draws are those of a chain that was never interrupted.
    pub fn from(model: &'a FactorModel, source: Source, state: State) -> Self {
        let mut y = model.data.y.clone();
        missing::complete(model, &state.cells, &mut y);
        Self {
            y,
            model,
            source,
            state,
        }
    }

    /// One iteration. Whatever is drawn with U integrated out is drawn before anything could read a U.
    pub fn step(&mut self) {
        let (model, source, state) = (self.model, self.source, &mut self.state);
        state.iteration += 1;
        linked_factors::draw(model, state, &mut self.y, source);
        if !model.rays.is_empty() {
            let left = ray_traits::draw(model, state, self.y.as_ref(), source);
            factors::draw_parameters(model, state, source);
            if let Some(effect) = split_effects::turn(model, state.iteration) {
                let (effects, mut totals) = split_effects::SplitEffects::draw(model, state, &left, effect, source);
                missing::draw_given_effects(model, state, &mut self.y, (&left, &mut totals), source);
                let y = traits::without_fixed(model, state, self.y.as_ref());
                split_factors::draw_factors(model, state, (y.as_ref(), &effects), effect, source);
            } else {
                let mut totals = given_effects::totals(model, state, &left, source);
                missing::draw_given_effects(model, state, &mut self.y, (&left, &mut totals), source);
                let w = traits::without_fixed(model, state, self.y.as_ref()) - totals;
                given_effects::draw_factors(model, state, w.as_ref(), source);
            }
        } else if model.sets.is_empty() {
            missing::draw(model, state, &mut self.y, source);
            let gathered = traits::draw(model, state, self.y.as_ref(), source);
            factors::draw_parameters(model, state, source);
            factor_proportions::draw(model, state, &gathered, source);
            factors::draw(model, state, &gathered, source);
        } else {
            missing_patterns::draw_traits(model, state, source);
            factors::draw_parameters(model, state, source);
            if missing_completed::is_due(state) {
                missing_completed::draw_factors(model, state, source);
            } else {
                missing_patterns::draw_factors(model, state, source);
            }
        }
        group_moves::draw(model, state, source);
        // the local precisions and variances that a rotation leaves out are drawn next
        mixing::draw(model, state, source);
        loading_means::draw_variances(model, state, source);
        shrinkage::draw(model, state, source);
        loading_means::draw(model, state, source);
        shrinkage::draw_shared(model, state, source);
    }

    /// Q'Y, completed.
    pub fn y(&self) -> &Mat<f64> {
        &self.y
    }
}
