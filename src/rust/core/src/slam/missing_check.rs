//! Missing cells of traits in sets, drawn given all else, against the conditional normal distribution written out.

use super::conditionals::{GAMMA, N, World};
use super::missing_completed::completed;
use super::model::Set;
use super::rng::Source;
use faer::linalg::solvers::DenseSolveCore;
use faer::{Mat, Side};

const DRAWS: u64 = 6000;

/// Each trait a set of its own.
fn sets(world: &World, missing: &[Vec<usize>]) -> Vec<Set> {
    let set = |(j, gone): (usize, &Vec<usize>)| {
        let rows: Vec<usize> = (0..N).filter(|i| !gone.contains(i)).collect();
        let part = Mat::from_fn(rows.len(), rows.len(), |a, b| world.k[(rows[a], rows[b])]);
        let eigen = part.self_adjoint_eigen(Side::Lower).unwrap();
        let s = eigen.S().column_vector().iter().map(|s| s.max(0.0)).collect();
        let y = Mat::from_fn(rows.len(), 1, |a, _| world.y[(rows[a], j)]);
        Set::new(&world.model, vec![j], rows, eigen.U().to_owned(), s, &y, j)
    };
    missing.iter().enumerate().map(set).collect()
}

/// Fixed effects and factors of a trait, in rows.
fn fitted(world: &World, j: usize) -> Vec<f64> {
    let design = world.state.design(&world.model);
    let theta = &world.state.theta[j * world.model.c()..];
    let rotated = Mat::from_fn(N, 1, |i, _| {
        (0..world.model.c()).map(|l| design[(i, l)] * theta[l]).sum::<f64>()
    });
    let rows = world.model.data.rows.transpose() * rotated;
    (0..N).map(|i| rows[(i, 0)]).collect()
}

#[test]
fn cells_drawn_for_a_moment_follow_their_conditional_density() {
    let mut world = World::new(GAMMA, true);
    let missing = vec![vec![0, 2], vec![1, 4, 5]];
    world.model.data.missing = missing.clone();
    world.model.sets = sets(&world, &missing);
    world.state.g = vec![1, 2];
    for (j, gone) in missing.iter().enumerate() {
        let (h, sigma2) = (world.model.proportions.h[world.state.g[j]], world.state.sigma2[j]);
        let v = |i: usize, o: usize| sigma2 * (h * world.k[(i, o)] + if i == o { 1.0 - h } else { 0.0 });
        let seen: Vec<usize> = (0..N).filter(|i| !gone.contains(i)).collect();
        let block = |a: &[usize], b: &[usize]| Mat::from_fn(a.len(), b.len(), |i, o| v(a[i], b[o]));
        let fitted = fitted(&world, j);
        let left = Mat::from_fn(seen.len(), 1, |i, _| world.y[(seen[i], j)] - fitted[seen[i]]);
        let share = block(gone, &seen) * block(&seen, &seen).partial_piv_lu().inverse();
        let (mean, covariance) = (&share * left, block(gone, gone) - &share * block(&seen, gone));
        let mut sums = (vec![0.0; gone.len()], Mat::<f64>::zeros(gone.len(), gone.len()));
        for t in 0..DRAWS {
            let mut state = world.state.clone();
            state.iteration = t;
            let y = completed(&world.model, &state, Source { seed: 9, chain: 0 });
            let rows = world.model.data.rows.transpose() * &y;
            // what was observed is as it was
            for &i in &seen {
                assert!((rows[(i, j)] - world.y[(i, j)]).abs() < 1e-10);
            }
            let away: Vec<f64> = gone
                .iter()
                .enumerate()
                .map(|(a, &i)| rows[(i, j)] - fitted[i] - mean[(a, 0)])
                .collect();
            for a in 0..gone.len() {
                sums.0[a] += away[a];
                (0..gone.len()).for_each(|b| sums.1[(a, b)] += away[a] * away[b]);
            }
        }
        let count = DRAWS as f64;
        for a in 0..gone.len() {
            let z = sums.0[a] / (count * covariance[(a, a)]).sqrt();
            assert!(z.abs() < 4.5, "mean of {a}: {z}");
            for b in 0..gone.len() {
                let spread = (covariance[(a, a)] * covariance[(b, b)] + covariance[(a, b)].powi(2)).sqrt();
                let z = (sums.1[(a, b)] / count - covariance[(a, b)]) * count.sqrt() / spread;
                assert!(z.abs() < 4.5, "covariance of {a} and {b}: {z}");
            }
        }
    }
}
