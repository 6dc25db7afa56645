//! Proportions against joint densities written out: of traits and factors given all else, and of factors with F integrated out.

use super::conditionals::{DRAWS, GAMMA, N, World};
use super::prior::Variance;
use super::rng::Source;
use super::state::State;
use super::{factor_proportions, factors, traits};
use faer::Mat;
use faer::linalg::solvers::DenseSolveCore;

/// log density of the responses with F integrated out: `sum_m lambda_m lambda_m' x V(h_Fm)` and each trait's own variance, written out.
fn without_factors(world: &World, state: &State) -> f64 {
    let (model, c) = (&world.model, world.model.c());
    let v = |h: f64, i: usize, o: usize| h * world.k[(i, o)] + if i == o { 1.0 - h } else { 0.0 };
    let lambda = |j: usize, m: usize| state.theta[j * c + 2 + m];
    let covariance = Mat::from_fn(2 * N, 2 * N, |a, b| {
        let ((j, i), (l, o)) = ((a / N, a % N), (b / N, b % N));
        let own = if j == l {
            state.sigma2[j] * v(model.proportions.h[state.g[j]], i, o)
        } else {
            0.0
        };
        let common = (0..2).map(|m| lambda(j, m) * lambda(l, m) * v(model.proportions.h[state.gf[m]], i, o));
        own + common.sum::<f64>()
    });
    let e = Mat::from_fn(2 * N, 1, |a, _| {
        let (j, i) = (a / N, a % N);
        let own: f64 = (0..2).map(|l| world.x[(i, l)] * state.theta[j * c + l]).sum();
        let of_factor = |m: usize| (0..2).map(|l| world.xf[(i, l)] * state.bf[m * 2 + l]).sum::<f64>();
        world.y[(i, j)] - own - (0..2).map(|m| lambda(j, m) * of_factor(m)).sum::<f64>()
    });
    let square = (e.transpose() * covariance.partial_piv_lu().inverse() * &e)[(0, 0)];
    -0.5 * (covariance.determinant().ln() + square)
}

#[test]
fn proportions_without_factors_follow_the_dense_density() {
    let world = World::new(GAMMA, true);
    let (model, mut state) = (&world.model, world.state.clone());
    (state.g, state.gf) = (vec![1, 2], vec![2, 0]);
    let gathered = traits::draw(model, &mut state, model.data.y.as_ref(), Source { seed: 3, chain: 0 });
    let rows = factors::RowPrecisions::new(model, &state, &gathered);
    let chosen = [1, 0];
    let mut rows = factor_proportions::Rows::new(model, &rows, &chosen).unwrap();
    // the second factor first; then the other, once the second has gone to another point
    for (at, m) in chosen.into_iter().enumerate() {
        let logs = rows.log_densities(model, at, state.gf[m]);
        let dense = |g: usize| {
            let mut there = state.clone();
            there.gf[m] = g;
            without_factors(&world, &there) + model.proportions.log_factors[g]
        };
        for g in 1..3 {
            let (found, expected) = (logs[g] - logs[0], dense(g) - dense(0));
            assert!((found - expected).abs() < 1e-9, "{m}, {g}: {found}, not {expected}");
        }
        let (before, after) = (state.gf[m], (state.gf[m] + 1) % 3);
        rows.update(model, at, before, after);
        state.gf[m] = after;
    }
}

#[test]
fn points_of_the_grid_follow_the_joint_density() {
    let mut world = World::new(GAMMA, true);
    points_follow(&world);
    // a variance that is known stays so
    world.model.prior.residual[1] = Variance::Fixed(world.state.sigma2[1]);
    points_follow(&world);
    let mut state = world.state.clone();
    traits::draw(
        &world.model,
        &mut state,
        world.model.data.y.as_ref(),
        Source { seed: 4, chain: 0 },
    );
    assert_eq!(state.sigma2[1], world.state.sigma2[1]);
}

fn points_follow(world: &World) {
    let mut excess = [[0.0; 3]; 2];
    for t in 0..DRAWS {
        let mut state = world.state.clone();
        state.iteration = t;
        let source = Source { seed: 4, chain: 0 };
        traits::draw(&world.model, &mut state, world.model.data.y.as_ref(), source);
        factors::draw_parameters(&world.model, &mut state, source);
        let mut compare = |which: usize, point: usize, set: &dyn Fn(&mut State, usize)| {
            let log = |g: usize| {
                let mut there = state.clone();
                set(&mut there, g);
                world.joint(&there)
            };
            let logs: Vec<f64> = (0..3).map(log).collect();
            let total: f64 = logs.iter().map(|l| (l - logs[0]).exp()).sum();
            for g in 0..3 {
                excess[which][g] += f64::from(u8::from(point == g)) - (logs[g] - logs[0]).exp() / total;
            }
        };
        compare(0, state.g[1], &|s, g| s.g[1] = g);
        compare(1, state.gf[0], &|s, g| s.gf[0] = g);
    }
    for row in excess {
        for sum in row {
            // at most the spread of a coin
            assert!(sum.abs() < 4.5 * 0.5 * (DRAWS as f64).sqrt(), "{row:?}");
        }
    }
}
