//! F and loadings that move with values behind links, against the joint density with V written out: chains of one move, everything else as it is.
//!
//! As in `conditionals`, the slope s of the log density has `E s = 0` and `E (x - x0) s = -1`; errors are those of batches.

use super::conditionals::{GAMMA, N, World};
use super::link::interweaving::LinkedTrait;
use super::link::lines::{OwnData, SharedData};
use super::link::{Curves, Joint, JointLink, KnownPrecision, Link, Poisson, loadings};
use super::linked_factors;
use super::model::columns;
use super::prior::InverseGamma;
use super::rng::{Block, Source};
use super::state::State;
use super::traits::lower;
use faer::Mat;
use std::sync::Arc;

const STEPS: u64 = 40_000;

fn counts() -> Poisson {
    Poisson {
        y: vec![0.0, 2.0, 5.0, f64::NAN, 1.0, 0.0],
        offset: vec![0.3; N],
    }
}

fn weighted() -> KnownPrecision {
    KnownPrecision {
        y: (0..N).map(|i| f64::sin(1.7 * i as f64)).collect(),
        w: vec![0.5, 3.0, 0.0, 1.0, 9.0, 0.2],
    }
}

/// Two coefficients of curves, with none, one or two points a row.
fn curves() -> Curves {
    let grams = [[0.0, 0.0, 0.0], [1.0, -0.5, 0.25], [2.0, 0.6, 1.4]];
    Curves {
        grams: grams
            .map(|[a, b, c]| Mat::from_fn(2, 2, |i, j| [a, b, c][i + j]))
            .into(),
        times: (0..N).map(|i| i % 3).collect(),
        fitted: Mat::from_fn(N, 2, |i, j| f64::cos((i + 3 * j) as f64)),
        start: Mat::zeros(N, 2),
        left: 1.0,
        points: 6.0,
        noise: InverseGamma { shape: 3.0, scale: 1.0 }.into(),
    }
}

/// Log likelihood of curves, by least squares.
fn of_curves(link: &Curves, eta: &Mat<f64>, v: f64) -> f64 {
    let one = |i: usize| {
        let gram = &link.grams[link.times[i]];
        let away = [0, 1].map(|j| eta[(i, j)] - link.fitted[(i, j)]);
        (0..4)
            .map(|at| away[at / 2] * gram[(at / 2, at % 2)] * away[at % 2])
            .sum::<f64>()
    };
    -0.5 / v * (0..N).map(one).sum::<f64>()
}

/// Values that are not those of the data, by columns.
fn start() -> Vec<f64> {
    (0..2 * N).map(|at| 0.8 * f64::cos(0.9 * at as f64)).collect()
}

fn own_links() -> World {
    let mut world = World::new(GAMMA, false);
    world.model.links = vec![Some(Arc::new(counts())), Some(Arc::new(weighted()))];
    world.model.data.x_prior_behind = world.model.data.x_prior.clone();
    linked(world)
}

fn joint_link() -> World {
    let mut world = World::new(GAMMA, false);
    world.model.joint = vec![Joint {
        first: 0,
        link: Arc::new(curves()),
    }];
    world.state.link = vec![0.7];
    linked(world)
}

fn linked(mut world: World) -> World {
    world.model.data.missing = vec![(0..N).collect(); 2];
    world.model.data.y = Mat::zeros(N, 2);
    world.state.cells = start();
    world.state.gf = vec![1, 2];
    world
}

/// Largest |z| of the identities at some coordinates of a chain.
fn largest(mut step: impl FnMut(u64) -> Vec<f64>, log: impl Fn(&[f64]) -> f64, coordinates: &[usize]) -> f64 {
    const BATCHES: usize = 50;
    let mut sums = vec![vec![0.0; BATCHES]; 2 * coordinates.len()];
    for t in 0..STEPS {
        let x = step(t);
        // neighbours say much the same
        if !t.is_multiple_of(4) {
            continue;
        }
        for (which, &at) in coordinates.iter().enumerate() {
            let shifted = |by: f64| {
                let mut there = x.clone();
                there[at] += by;
                log(&there)
            };
            let slope = (shifted(1e-4) - shifted(-1e-4)) / 2e-4;
            let batch = t as usize * BATCHES / STEPS as usize;
            sums[2 * which][batch] += slope;
            sums[2 * which + 1][batch] += x[at] * slope + 1.0;
        }
    }
    let z = |sums: &Vec<f64>| {
        let mean = sums.iter().sum::<f64>() / BATCHES as f64;
        let square: f64 = sums.iter().map(|s| (s - mean).powi(2)).sum();
        mean.abs() / (square / ((BATCHES - 1) * BATCHES) as f64).sqrt()
    };
    sums.iter().map(z).fold(0.0, f64::max)
}

/// Values in rows if F were so.
fn moved(world: &World, f: &[f64]) -> Mat<f64> {
    let step = Mat::from_fn(N, 2, |i, m| f[m * N + i] - world.state.f[m * N + i]);
    let lambda = Mat::from_fn(2, 2, |m, j| world.state.lambda(&world.model, j)[m]);
    columns(&start(), N) + world.model.data.rows.transpose() * step * lambda
}

fn log_of_f(world: &World, f: &[f64], data: impl Fn(&Mat<f64>) -> f64) -> f64 {
    let rows = world.model.data.rows.transpose() * columns(f, N);
    let prior = |m: usize| {
        let b = &world.state.bf[2 * m..2 * m + 2];
        let left: Vec<f64> = (0..N)
            .map(|i| rows[(i, m)] - world.xf[(i, 0)] * b[0] - world.xf[(i, 1)] * b[1])
            .collect();
        world.field(&left, world.state.gf[m], 1.0)
    };
    prior(0) + prior(1) + data(&moved(world, f))
}

fn largest_of_f(world: &World, data: impl Fn(&Mat<f64>) -> f64) -> f64 {
    let mut state: State = world.state.clone();
    let mut y = &world.model.data.rows * columns(&start(), N);
    let step = |t: u64| {
        state.iteration = 32 * t + 1;
        linked_factors::draw(&world.model, &mut state, &mut y, Source { seed: 4, chain: 0 });
        if t.is_multiple_of(1000) {
            let there = moved(world, &state.f);
            assert!(
                (columns(&state.cells, N) - &there).norm_max() < 1e-9,
                "values go with F"
            );
            assert!((&world.model.data.rows * there - &y).norm_max() < 1e-9, "and so turned");
        }
        state.f.clone()
    };
    largest(step, |f| log_of_f(world, f, &data), &[0, 3, 5, 8, 11])
}

fn of_own(eta: &Mat<f64>) -> f64 {
    let one = |i: usize| counts().log_likelihood(i, eta[(i, 0)], &[]) + weighted().log_likelihood(i, eta[(i, 1)], &[]);
    (0..N).map(one).sum()
}

#[test]
fn rows_of_f_follow_the_joint_density() {
    let world = own_links();
    let z = largest_of_f(&world, of_own);
    assert!(z < 4.5, "{z}");
    // the identities see a likelihood that is not the data's
    let z = largest_of_f(&world, |eta| 0.7 * of_own(eta));
    assert!(z > 6.0, "{z}");
    let z = largest_of_f(&joint_link(), |eta| of_curves(&curves(), eta, 0.7));
    assert!(z < 4.5, "curves: {z}");
}

/// Loadings of the first trait, with priors about 0 and elsewhere.
fn largest_of_loadings(data: &dyn super::link::lines::DataAlong, log_data: impl Fn(&[f64]) -> f64) -> f64 {
    let f = Mat::from_fn(N, 3, |i, m| f64::sin(1.0 + (i * (m + 2)) as f64));
    let priors = [(0.0, 1.3), (0.7, 0.4), (0.0, 1e-3)];
    let mut theta = vec![9.0, 0.4, -0.3, 0.0];
    let mut eta = start()[..N].to_vec();
    let first = theta.clone();
    let there = |theta: &[f64]| -> Vec<f64> {
        let by = |i: usize| (0..2).map(|m| f[(i, m)] * (theta[1 + m] - first[1 + m])).sum::<f64>();
        (0..N).map(|i| start()[i] + by(i)).collect()
    };
    let mut rng = Source { seed: 5, chain: 0 }.stream(0, Block::Missing, 1);
    let step = |_: u64| {
        let mut values = LinkedTrait {
            theta: &mut theta,
            sigma2: &mut 1.0,
            point: &mut 0,
            eta: &mut eta,
        };
        loadings::draw(data, &f, (&[0, 1], 1, &priors), &mut values, &mut rng);
        assert!(theta[0] == 9.0 && theta[3] == 0.0, "what is known stays");
        let off = eta
            .iter()
            .zip(there(&theta))
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f64::max);
        assert!(off < 1e-8, "values go with loadings: {off}");
        theta.clone()
    };
    let log = |theta: &[f64]| {
        let prior = |m: usize| -0.5 * (theta[1 + m] - priors[m].0).powi(2) / priors[m].1;
        prior(0) + prior(1) + log_data(&there(theta))
    };
    largest(step, log, &[1, 2])
}

#[test]
fn loadings_follow_the_joint_density() {
    let (link, parameters) = (counts(), &[][..]);
    let own = OwnData {
        link: &link,
        parameters,
        gram: None,
    };
    let log = |eta: &[f64]| (0..N).map(|i| link.log_likelihood(i, eta[i], &[])).sum::<f64>();
    let z = largest_of_loadings(&own, log);
    assert!(z < 4.5, "counts: {z}");
    let z = largest_of_loadings(&own, |eta| 0.7 * log(eta));
    assert!(z > 6.0, "{z}");
    let (joint, all) = (curves(), columns(&start(), N).to_owned());
    let shared = SharedData {
        link: &joint as &dyn JointLink,
        eta: &all,
        at: 0,
        parameters: &[0.7],
    };
    let log = |eta: &[f64]| {
        of_curves(
            &joint,
            &Mat::from_fn(N, 2, |i, j| if j == 0 { eta[i] } else { all[(i, 1)] }),
            0.7,
        )
    };
    let z = largest_of_loadings(&shared, log);
    assert!(z < 4.5, "curves: {z}");
}

/// By definition, of more factors than one product takes.
#[test]
fn grams_are_weighted_squares() {
    let f = Mat::from_fn(N, 7, |i, m| f64::cos((2 * i + 3 * m) as f64));
    let w = Mat::from_fn(N, 3, |i, j| 0.3 * (i * j) as f64);
    let all = loadings::grams(f.as_ref(), w.as_ref());
    for j in 0..3 {
        for (m, o) in (0..7).flat_map(|m| (0..=m).map(move |o| (m, o))) {
            let expected: f64 = (0..N).map(|i| f[(i, m)] * w[(i, j)] * f[(i, o)]).sum();
            assert!((all[(lower(m, o), j)] - expected).abs() < 1e-13, "{j} {m} {o}");
        }
    }
}
