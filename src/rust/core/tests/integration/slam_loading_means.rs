//! Means of loadings that depend on covariates of the traits: the joint test, planted bugs, stored states.

use crate::definition::noise;
use crate::slam::{GAMMA, HORSESHOE, LIMIT, TRUNCATED, World, geweke, invariance};
use faer::Mat;
use fastlmm_core::slam::rng::{Source, Stream, inverse_gamma, normal};
use fastlmm_core::slam::{Chain, InverseGamma, LoadingMeans, Loadings, State};

impl World {
    /// With covariates of the traits in two groups.
    pub fn with_means(mut self) -> Self {
        self.model.prior.means = LoadingMeans {
            covariates: Mat::from_fn(self.model.p(), 3, |j, l| 3.0 * (noise(21, j, l) - 0.5)),
            groups: vec![0, 1, 0],
            variance: InverseGamma { shape: 4.0, scale: 2.0 },
        };
        self
    }

    /// Effects of covariates of the traits on loadings.
    pub fn draw_effects(&self, state: &mut State, rng: &mut Stream) {
        let prior = &self.model.prior.means;
        let q = prior.groups.len();
        for m in 0..if q == 0 { 0 } else { self.model.k } {
            let InverseGamma { shape, scale } = prior.variance;
            (0..2).for_each(|g| state.effects.v[m * 2 + g] = inverse_gamma(shape, scale, rng));
            for l in 0..q {
                let v = state.effects.v[m * 2 + prior.groups[l]];
                state.effects.w[m * q + l] = (v / state.shrinkage.column[m]).sqrt() * normal(rng);
            }
        }
    }

    /// Prior mean of a loading.
    pub fn mean(&self, state: &State, j: usize, m: usize) -> f64 {
        let prior = &self.model.prior.means;
        let q = prior.groups.len();
        (0..q)
            .map(|l| prior.covariates[(j, l)] * state.effects.w[m * q + l])
            .sum()
    }

    /// Functions of effects, their variances and the loadings whose means they are.
    pub fn functionals_of_effects(&self, state: &State) -> Vec<f64> {
        let (model, k) = (&self.model, self.model.k);
        let (n, b, mut all) = (model.n(), model.b(), vec![]);
        let (q, groups) = (state.effects.w.len() / k.max(1), state.effects.v.len() / k.max(1));
        for m in 0..if q == 0 { 0 } else { k } {
            let (w, v) = (
                &state.effects.w[m * q..(m + 1) * q],
                &state.effects.v[m * groups..(m + 1) * groups],
            );
            all.extend(w.iter().map(|w| w.tanh()));
            all.extend(w.iter().map(|w| w.abs().ln()));
            all.extend(v.iter().map(|v| v.ln()));
            all.push((w[0] * w[1]).tanh());
            // a mean and its loading have one sign, if any
            all.push((self.mean(state, 0, m) * state.theta[b + m]).tanh());
            all.push((w[1] * state.f[m * n]).tanh());
        }
        all
    }
}

/// Means of loadings that depend on covariates of the traits, with every prior of loadings in both units.
#[test]
fn geweke_loading_means() {
    for (name, loadings) in [("gamma", GAMMA), ("truncated", TRUNCATED), ("horseshoe", HORSESHOE)] {
        for scaled in [false, true] {
            let mut world = World::new(8, 3, 2, loadings, scaled).with_means();
            let z = invariance(&mut world, 6000, 4, |_| ());
            assert!(z < LIMIT, "{name}, scaled {scaled}: {z}");
            if !matches!(loadings, Loadings::Horseshoe { .. }) {
                let z = geweke(&mut world, 15_000, |_| ());
                assert!(z < LIMIT, "{name}, scaled {scaled}, one chain: {z}");
            }
        }
    }
    // cells integrated out, a loading that is known
    let mut world = World::new(8, 3, 2, GAMMA, true).with_means();
    world.model.data.missing = vec![vec![0, 2], vec![1], vec![0, 2]];
    world.model.data.known = Mat::from_fn(2, 3, |m, j| if (m, j) == (0, 2) { 0.7 } else { f64::NAN });
    world.model.sets = world.sets(&Mat::zeros(8, 3));
    let z = geweke(&mut world, 15_000, |_| ());
    assert!(z < LIMIT, "sets: {z}");
    let mut world = World::several(9, 3, 2, GAMMA, true).with_means();
    let z = invariance(&mut world, 6000, 4, |_| ());
    assert!(z < LIMIT, "several effects: {z}");
}

#[test]
fn geweke_catches_planted_bugs_in_loading_means() {
    let mut world = World::new(8, 3, 2, GAMMA, false).with_means();
    type Bug = fn(&mut State);
    let bugs: [(&str, Bug); 4] = [
        ("loadings scaled without the effects on them", |s| {
            s.f.iter_mut().for_each(|f| *f *= 0.93);
            s.theta
                .chunks_mut(4)
                .for_each(|theta| theta[2..].iter_mut().for_each(|x| *x /= 0.93));
        }),
        ("columns too precise, as from sums without the effects", |s| {
            s.shrinkage.delta[0] *= 1.1;
            s.shrinkage.column.iter_mut().for_each(|x| *x *= 1.1);
        }),
        ("factors swapped without their effects", |s| {
            let (a, b) = s.effects.w.split_at_mut(3);
            a.swap_with_slice(b);
        }),
        ("variances of effects too large", |s| {
            s.effects.v.iter_mut().for_each(|v| *v *= 1.15)
        }),
    ];
    for (name, bug) in bugs {
        let z = invariance(&mut world, 6_000, 4, bug);
        assert!(z > 6.0, "{name}: {z}");
    }
}

/// Effects of covariates of the traits are stored, and a model without them stores none.
#[test]
fn a_state_holds_effects_on_loadings() {
    let plain = World::new(8, 3, 2, GAMMA, false);
    let size = |world: &World| {
        Chain::new(&world.model, Source { seed: 3, chain: 0 })
            .state
            .to_bytes()
            .len()
    };
    let world = World::new(8, 3, 2, GAMMA, false).with_means();
    // two lengths, 6 effects and 4 variances
    assert_eq!(size(&world) - size(&plain), 8 * 12);
    let source = Source { seed: 3, chain: 0 };
    let mut whole = Chain::new(&world.model, source);
    (0..9).for_each(|_| whole.step());
    let mut first = Chain::new(&world.model, source);
    (0..4).for_each(|_| first.step());
    let bytes = first.state.to_bytes();
    let mut second = Chain::from(&world.model, source, State::from_bytes(&world.model, &bytes).unwrap());
    (0..5).for_each(|_| second.step());
    assert_eq!(second.state, whole.state);
    assert!(State::from_bytes(&plain.model, &bytes).is_none());
    assert!(State::from_bytes(&world.model, &Chain::new(&plain.model, source).state.to_bytes()).is_none());
}
