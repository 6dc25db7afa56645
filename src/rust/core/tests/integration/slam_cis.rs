//! Columns that one trait alone has: Geweke's joint test, planted bugs, and columns that all traits have, which are columns of X.

use crate::definition::noise;
use crate::slam::{GAMMA, HORSESHOE, Kind, LIMIT, World, geweke, invariance};
use faer::Mat;
use fastlmm_core::slam::rng::Source;
use fastlmm_core::slam::{Chain, Cis, Coefficient, State};

impl World {
    /// One column of the first trait, two of the last one, about as large as each other and as X.
    fn with_cis(mut self) -> Self {
        let (n, p) = (self.model.n(), self.model.p());
        let columns = Mat::from_fn(n, 3, |i, l| 1.5 * (noise(21, i, l) - 0.3));
        self.model.cis = Cis::new(columns, vec![Some(0.8), Some(0.3), Some(1.5)], &[0, p - 1, p - 1], p);
        self
    }

    fn with_missing(mut self) -> Self {
        self.model.data.missing = vec![vec![0, 2], vec![1], vec![0, 2]];
        self
    }
}

#[test]
fn geweke_columns_of_one_trait() {
    for (name, scaled, missing) in [("all there", false, false), ("missing", true, true)] {
        let world = World::new(8, 3, 2, GAMMA, scaled).with_cis();
        let mut world = if missing { world.with_missing() } else { world };
        let z = geweke(&mut world, 15_000, |_| ());
        assert!(z < LIMIT, "{name}: {z}");
    }
    let mut world = World::new(8, 3, 2, HORSESHOE, false).with_cis();
    let z = invariance(&mut world, 6000, 4, |_| ());
    assert!(z < LIMIT, "horseshoe: {z}");
}

#[test]
fn geweke_columns_of_one_trait_with_several_effects() {
    let mut world = World::several(9, 3, 2, GAMMA, true).with_missing().with_cis();
    let z = geweke(&mut world, 15_000, |_| ());
    assert!(z < LIMIT, "{z}");
}

/// The first trait is behind a link, the last one, without, has columns of its own, too.
#[test]
fn geweke_columns_of_a_trait_behind_a_link() {
    for several in [false, true] {
        let world = match several {
            true => World::several(9, 3, 2, GAMMA, false),
            false => World::new(8, 3, 2, GAMMA, true),
        };
        let mut world = world.linked(&[Some(Kind::Poisson), None, None]).with_cis();
        let z = invariance(&mut world, 5_000, 3, |_| ());
        assert!(z < LIMIT, "several {several}: {z}");
    }
}

#[test]
fn geweke_catches_bugs_of_columns_of_one_trait() {
    type Bug = fn(&mut State);
    let bugs: [(&str, Bug); 2] = [
        ("coefficients shrunk", |s| s.cis.iter_mut().for_each(|x| *x *= 0.8)),
        ("coefficients of the wrong column", |s| s.cis.swap(1, 2)),
    ];
    for (name, bug) in bugs {
        for world in [World::new(8, 3, 2, GAMMA, false), World::several(9, 3, 2, GAMMA, false)] {
            let z = invariance(&mut world.with_cis(), 5_000, 3, bug);
            assert!(z > 6.0, "{name}: {z}");
        }
    }
}

/// Posterior means, and their standard errors, of coefficients, variances and products of loadings.
fn posterior(world: &World, coefficient: impl Fn(&State, usize) -> f64) -> Vec<(f64, f64)> {
    const BATCHES: usize = 40;
    const DRAWS: usize = 1500;
    let (model, c) = (&world.model, world.model.c());
    let mut chain = Chain::new(model, Source { seed: 31, chain: 0 });
    (0..1000).for_each(|_| chain.step());
    let mut means = vec![];
    for _ in 0..BATCHES {
        let mut sums = [0.0; 10];
        for _ in 0..DRAWS {
            chain.step();
            let state = &chain.state;
            let loadings = |j: usize| &state.theta[(j + 1) * c - model.k..(j + 1) * c];
            let product = |i: usize, j: usize| loadings(i).iter().zip(loadings(j)).map(|(a, b)| a * b).sum::<f64>();
            let at = |j: usize| [coefficient(state, j), state.theta[j * c], state.sigma2[j].ln()];
            let own = (0..3).flat_map(at).chain([product(0, 1).tanh()]);
            sums.iter_mut().zip(own).for_each(|(sum, x)| *sum += x / DRAWS as f64);
        }
        means.push(sums);
    }
    let of = |f: usize| {
        let mean = means.iter().map(|m| m[f]).sum::<f64>() / BATCHES as f64;
        let variance = means.iter().map(|m| (m[f] - mean).powi(2)).sum::<f64>() / (BATCHES - 1) as f64;
        (mean, (variance / BATCHES as f64).sqrt())
    };
    (0..10).map(of).collect()
}

#[test]
fn a_column_of_each_trait_is_a_column_of_x() {
    for several in [false, true] {
        let make = || {
            let mut world = match several {
                true => World::several(12, 3, 1, GAMMA, false),
                false => World::new(12, 3, 1, GAMMA, false),
            };
            world.model.data.x_prior[1] = Coefficient::Normal(0.7);
            world.model.data.y = Mat::from_fn(12, 3, |i, j| 3.0 * (noise(41, i, j) - 0.5) + 0.2 * (i * j) as f64);
            world
        };
        let (shared, mut own) = (make(), make());
        let x = own.model.data.x.subcols(1, 1).to_owned();
        own.model.data.x = own.model.data.x.subcols(0, 1).to_owned();
        own.model.data.x_prior.truncate(1);
        if several {
            own = own.with_rays_of_x();
        }
        own.model.cis = Cis::new(Mat::from_fn(12, 3, |i, _| x[(i, 0)]), vec![Some(0.7); 3], &[0, 1, 2], 3);
        let c = shared.model.c();
        let of_x = posterior(&shared, |state, j| state.theta[j * c + 1]);
        let of_each = posterior(&own, |state, j| state.cis[j]);
        for (f, ((a, sa), (b, sb))) in of_x.into_iter().zip(of_each).enumerate() {
            let z = (a - b) / (sa * sa + sb * sb).sqrt();
            assert!(z.abs() < 4.0, "several {several}, {f}: {a} and {b}, {z}");
        }
    }
}
