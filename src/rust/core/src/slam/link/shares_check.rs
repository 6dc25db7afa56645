//! Point and variance given effect and residual in units, against their density integrated over a grid.

use super::Link;
use super::Poisson;
use super::interweaving::LinkedTrait;
use super::lines::OwnData;
use super::shares::{self, EtaParts};
use crate::slam::conditionals::{GAMMA, N, World};
use crate::slam::loading_means::{mean_at, means};
use crate::slam::prior::Variance;
use crate::slam::rng::{Block, Source};

const STEPS: usize = 60_000;

struct Standard {
    mean: Vec<f64>,
    v: Vec<f64>,
    z: Vec<f64>,
}

impl Standard {
    fn new() -> Self {
        let wave = |by: f64| (0..N).map(|i| 1.3 * f64::sin(by * (1.0 + i as f64))).collect();
        Self {
            mean: wave(0.7),
            v: wave(2.3),
            z: wave(3.1),
        }
    }

    fn eta(&self, h: f64, sigma2: f64) -> Vec<f64> {
        let (a, e) = ((sigma2 * h).sqrt(), (sigma2 * (1.0 - h)).sqrt());
        (0..N).map(|i| self.mean[i] + a * self.v[i] + e * self.z[i]).collect()
    }
}

fn counts() -> Poisson {
    Poisson {
        y: vec![0.0, 2.0, 5.0, f64::NAN, 1.0, 0.0],
        offset: vec![0.3; N],
    }
}

/// Log of likelihood times prior at a point, by the logarithm of sigma2.
fn density(world: &World, all: &Standard, g: usize, sigma2: f64) -> f64 {
    let (model, state, link) = (&world.model, &world.state, counts());
    let eta = all.eta(model.proportions.h[g], sigma2);
    let mut log: f64 = (0..N).map(|i| link.log_likelihood(i, eta[i], &[])).sum();
    log += model.proportions.log_traits[g];
    if let Variance::Drawn(prior) = model.prior.residual[0] {
        log -= prior.shape * sigma2.ln() + prior.scale / sigma2;
        for m in 0..2 {
            let unit = if model.prior.scaled { sigma2 } else { 1.0 };
            let v = unit / state.shrinkage.precision(m, 0);
            let away = state.lambda(model, 0)[m] - mean_at(&means(model, state), m);
            log -= 0.5 * (v.ln() + away * away / v);
        }
    }
    log
}

/// Probabilities of the second and third point, and means of log sigma2 and of its square.
fn exact(world: &World, all: &Standard, sigma2: &[f64]) -> [f64; 4] {
    let logs = [1, 2].map(|g| sigma2.iter().map(move |s| (g, *s)).collect::<Vec<_>>());
    let places: Vec<(usize, f64)> = logs.concat();
    let log: Vec<f64> = places.iter().map(|(g, s)| density(world, all, *g, *s)).collect();
    let top = log.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mean = |of: fn(usize, f64) -> f64| {
        let weight = |at: usize| (log[at] - top).exp();
        let sum: f64 = (0..log.len())
            .map(|at| weight(at) * of(places[at].0, places[at].1))
            .sum();
        sum / (0..log.len()).map(weight).sum::<f64>()
    };
    of_place(mean)
}

fn of_place(mean: impl Fn(fn(usize, f64) -> f64) -> f64) -> [f64; 4] {
    [
        mean(|g, _| f64::from(u8::from(g == 1))),
        mean(|g, _| f64::from(u8::from(g == 2))),
        mean(|_, s| s.ln()),
        mean(|_, s| s.ln().powi(2)),
    ]
}

fn visited(world: &World, all: &Standard, start: f64) -> Vec<(usize, f64)> {
    let (model, link) = (&world.model, counts());
    let mut rng = Source { seed: 8, chain: 0 }.stream(0, Block::Missing, 3);
    let (mut point, mut sigma2) = (2, start);
    let mut theta = world.state.theta[..model.c()].to_vec();
    let data = OwnData {
        link: &link,
        parameters: &[],
        gram: None,
    };
    let step = |_| {
        let h = model.proportions.h[point];
        let mut eta = all.eta(h, sigma2);
        let parts = EtaParts {
            effect: all.v.iter().map(|v| (sigma2 * h).sqrt() * v).collect(),
            residual: all.z.iter().map(|z| (sigma2 * (1.0 - h)).sqrt() * z).collect(),
        };
        let values = &mut LinkedTrait {
            theta: &mut theta,
            sigma2: &mut sigma2,
            point: &mut point,
            eta: &mut eta,
        };
        shares::draw(&data, (model, &world.state, 0), &[], parts, values, &mut rng);
        let there = all.eta(model.proportions.h[point], sigma2);
        assert!(
            eta.iter().zip(&there).all(|(a, b)| (a - b).abs() < 1e-9),
            "eta goes with them"
        );
        (point, sigma2)
    };
    (0..STEPS).map(step).collect()
}

#[test]
fn point_and_variance_follow_their_density() {
    let all = Standard::new();
    let grid: Vec<f64> = (0..6000)
        .map(|i| f64::exp(-9.0 + 18.0 * (f64::from(i) + 0.5) / 6000.0))
        .collect();
    let mut worlds = vec![World::new(GAMMA, false), World::new(GAMMA, true).with_means()];
    let mut known = World::new(GAMMA, false);
    known.model.prior.residual[0] = Variance::Fixed(0.8);
    worlds.push(known);
    for (case, world) in worlds.iter().enumerate() {
        let exact = match world.model.prior.residual[0] {
            Variance::Fixed(sigma2) => exact(world, &all, &[sigma2]),
            Variance::Drawn(_) => exact(world, &all, &grid),
        };
        let draws = visited(world, &all, 0.8);
        for (which, expected) in exact.into_iter().enumerate() {
            let batches: Vec<f64> = draws
                .chunks(STEPS / 50)
                .map(|batch| {
                    let mean = |of: fn(usize, f64) -> f64| {
                        batch.iter().map(|(g, s)| of(*g, *s)).sum::<f64>() / batch.len() as f64
                    };
                    of_place(mean)[which]
                })
                .collect();
            let mean = batches.iter().sum::<f64>() / 50.0;
            let error = (batches.iter().map(|b| (b - mean).powi(2)).sum::<f64>() / (50.0 * 49.0)).sqrt();
            assert!(
                (mean - expected).abs() < 4.5 * error + 1e-9,
                "case {case}, {which}: {mean} not {expected}, error {error}"
            );
        }
    }
}
