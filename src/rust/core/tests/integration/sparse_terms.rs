//! Correlated effects with and without kernels, and variances of predictions, against V written out.

use crate::definition::{close, noise};
use crate::mixed::{Mixed, Own, Term};
use faer::prelude::*;
use faer::{Mat, Par, Side};
use fastlmm_core::likelihood::Method;
use fastlmm_core::runtime::error::Error;
use fastlmm_core::sparse::of_mix::TermModel;
use fastlmm_core::sparse::term_targets::{TargetLevels, TargetTerm, TermTargets, TermVariances, target_variances};
use fastlmm_core::sparse::terms::{TermFit, fit_terms};

const METHODS: [Method; 2] = [Method::Reml, Method::Ml];

/// V, its inverse, and what goes with them, at a covariance of the effects.
struct Definition {
    log_lik: f64,
    beta: Mat<f64>,
    vcov: Mat<f64>,
    inverse: Mat<f64>,
    residual: Mat<f64>,
}

/// Z_k K Z_l' of two terms of the same levels.
fn between(world: &Mixed, k: usize, l: usize) -> Mat<f64> {
    let (a, b, kernel) = (&world.terms[k], &world.terms[l], world.terms[k].kernel.matrix());
    Mat::from_fn(world.n(), world.n(), |i, j| {
        a.z[i] * kernel[(a.group[i], b.group[j])] * b.z[j]
    })
}

fn definition(world: &Mixed, covariance: &Mat<f64>, s2: f64, method: Method) -> Definition {
    let (n, p) = world.x.shape();
    let mut v = Mat::from_fn(n, n, |i, j| if i == j { s2 / world.weights[i] } else { 0.0 });
    for k in 0..world.terms.len() {
        for l in (0..world.terms.len()).filter(|&l| covariance[(k, l)] != 0.0) {
            v += Scale(covariance[(k, l)]) * between(world, k, l);
        }
    }
    let root = v.llt(Side::Lower).unwrap();
    let log_det = |l: MatRef<'_, f64>| (0..l.nrows()).map(|i| 2.0 * l[(i, i)].ln()).sum::<f64>();
    let y = Mat::from_fn(n, 1, |i, _| world.y[i]);
    let xvx = (world.x.transpose() * root.solve(&world.x)).llt(Side::Lower).unwrap();
    let beta = xvx.solve(world.x.transpose() * root.solve(&y));
    let residual = &y - &world.x * &beta;
    let q = (residual.transpose() * root.solve(&residual))[(0, 0)];
    let (counted, of_x) = match method {
        Method::Reml => (n - p, log_det(xvx.L())),
        Method::Ml => (n, 0.0),
    };
    Definition {
        log_lik: -0.5 * (log_det(root.L()) + of_x + q + counted as f64 * std::f64::consts::TAU.ln()),
        beta,
        vcov: xvx.solve(Mat::<f64>::identity(p, p)),
        inverse: root.solve(Mat::<f64>::identity(n, n)),
        residual,
    }
}

fn covariance(fit: &TermFit) -> Mat<f64> {
    &fit.relative * fit.relative.transpose() * Scale(fit.mix.best.sigma2_e)
}

/// An intercept and slopes of the same levels.
fn terms(n: usize, m: usize, l: usize, kernel: &Own) -> Vec<Term> {
    let one = |a: usize| {
        let mut term = Term::cycled(n, m, kernel.clone());
        if a > 0 {
            term.z = (0..n).map(|i| 2.0 * noise(60 + a, i, 3) - 0.7).collect();
        }
        term
    };
    (0..l).map(one).collect()
}

fn regular(m: usize) -> Own {
    let w = Mat::from_fn(m, m + 4, |i, j| noise(50, i, j) - 0.5);
    Own::Dense(&w * w.transpose())
}

fn worlds() -> Vec<(&'static str, Mixed, Vec<usize>)> {
    let n = 96;
    let both = |kernel: Own, l: usize, other: Term| [terms(n, 12, l, &kernel), vec![other]].concat();
    let block = Term::blocked(n, 7, Own::Identity(7));
    let mut weighted = Mixed::new(4, n, 2, both(regular(12), 2, block.clone()));
    weighted.weights = (0..n).map(|i| 0.4 + noise(3, i, 1)).collect();
    let factor = Own::LowRank(Mat::from_fn(12, 15, |i, j| noise(51, i, j) - 0.5));
    vec![
        (
            "identity",
            Mixed::new(1, n, 2, terms(n, 12, 2, &Own::Identity(12))),
            vec![0, 0],
        ),
        ("kernel", Mixed::new(2, n, 2, terms(n, 12, 2, &regular(12))), vec![0, 0]),
        (
            "with another",
            Mixed::new(3, n, 2, both(Own::Identity(12), 3, block.clone())),
            vec![0, 0, 0, 1],
        ),
        ("kernel, weights", weighted, vec![0, 0, 1]),
        (
            "factor",
            Mixed::new(5, n, 1, both(factor, 2, Term::blocked(n, 7, regular(7)))),
            vec![0, 0, 1],
        ),
    ]
}

fn fitted(world: &Mixed, blocks: &[usize], method: Method) -> TermFit {
    world
        .with(|model| fit_terms(model, blocks, None, None, method, 1, &mut ()))
        .unwrap()
}

#[test]
fn correlated_fits_are_optima_of_the_definition() {
    for (name, world, blocks) in worlds() {
        for method in METHODS {
            let fit = fitted(&world, &blocks, method);
            let (found, s2) = (covariance(&fit), fit.mix.best.sigma2_e);
            let at = definition(&world, &found, s2, method);
            assert!(close(fit.mix.best.log_lik, at.log_lik, 1e-9), "{name}");
            (0..at.beta.nrows()).for_each(|j| assert!(close(fit.mix.beta[j], at.beta[(j, 0)], 1e-7), "{name}"));
            // no covariance beside it is better
            for k in 0..blocks.len() {
                for l in (0..=k).filter(|&l| blocks[l] == blocks[k]) {
                    for step in [-0.02, 0.02] {
                        let mut beside = fit.relative.clone();
                        beside[(k, l)] += step;
                        let moved = &beside * beside.transpose() * Scale(s2);
                        assert!(
                            definition(&world, &moved, s2, method).log_lik < at.log_lik + 1e-9,
                            "{name} {k} {l}"
                        );
                    }
                }
            }
            effects_are_predicted(name, &world, &fit, &found, &at);
        }
    }
}

/// K alpha_k = sum_l S_kl K Z_l' V^-1 r
fn effects_are_predicted(name: &str, world: &Mixed, fit: &TermFit, covariance: &Mat<f64>, at: &Definition) {
    let solved = &at.inverse * &at.residual;
    for (k, term) in world.terms.iter().enumerate() {
        let kernel = term.kernel.matrix();
        let mut sums = vec![0.0; kernel.nrows()];
        for (l, other) in world
            .terms
            .iter()
            .enumerate()
            .filter(|(l, _)| covariance[(k, *l)] != 0.0)
        {
            (0..world.n()).for_each(|i| sums[other.group[i]] += covariance[(k, l)] * other.z[i] * solved[(i, 0)]);
        }
        let expected = |g: usize| (0..sums.len()).map(|h| kernel[(g, h)] * sums[h]).sum::<f64>();
        let alpha = &fit.mix.alpha[k];
        let found = |g: usize| match &term.kernel {
            Own::LowRank(w) => (0..w.ncols()).map(|c| w[(g, c)] * alpha[c]).sum::<f64>(),
            _ => (0..alpha.len()).map(|h| kernel[(g, h)] * alpha[h]).sum(),
        };
        for g in 0..sums.len() {
            assert!(
                (found(g) - expected(g)).abs() < 1e-6,
                "{name} {k} {g} {} {}",
                found(g),
                expected(g)
            );
        }
    }
}

#[test]
fn variances_of_predictions_are_those_of_the_definition() {
    for (name, world, blocks) in worlds() {
        let fit = fitted(&world, &blocks, Method::Reml);
        let (found, s2) = (covariance(&fit), fit.mix.best.sigma2_e);
        let at = definition(&world, &found, s2, Method::Reml);
        let (count, p) = (6, world.x.ncols());
        let x = Mat::from_fn(count, p, |i, j| noise(71, i, j));
        let z: Vec<Vec<f64>> = (0..blocks.len())
            .map(|k| (0..count).map(|i| noise(72, i, k) - 0.3).collect())
            .collect();
        // levels of some effects, weights of all levels of others; the last target has none
        let levels = |k: usize| world.terms[k].kernel.matrix().nrows();
        let weights: Vec<Mat<f64>> = (0..blocks.len())
            .map(|k| {
                Mat::from_fn(count, levels(k), |i, g| match (blocks[k] == 0, i == count - 1) {
                    (_, true) => 0.0,
                    (true, _) => f64::from(g == (3 * i) % levels(k)),
                    (false, _) => noise(73, i, g),
                })
            })
            .collect();
        let target = |k: usize| TargetTerm {
            z: &z[k],
            at: match blocks[k] == 0 {
                true => TargetLevels::Level(
                    (0..count)
                        .map(|i| (i < count - 1).then_some((3 * i) % levels(k)))
                        .collect(),
                ),
                false => TargetLevels::Weights(weights[k].as_ref()),
            },
        };
        // covariance of a target with the rows, and with another
        let part = |k: usize, i: usize| {
            let kernel = world.terms[k].kernel.matrix();
            Mat::from_fn(levels(k), 1, |g, _| {
                z[k][i] * (0..levels(k)).map(|h| kernel[(g, h)] * weights[k][(i, h)]).sum::<f64>()
            })
        };
        let cross = |i: usize| {
            Mat::from_fn(world.n(), 1, |row, _| {
                let pair = |k: usize, l: usize| world.terms[l].z[row] * part(k, i)[(world.terms[l].group[row], 0)];
                (0..blocks.len())
                    .flat_map(|k| (0..blocks.len()).map(move |l| (k, l)))
                    .filter(|&(k, l)| found[(k, l)] != 0.0)
                    .map(|(k, l)| found[(k, l)] * pair(k, l))
                    .sum::<f64>()
            })
        };
        let prior = |i: usize, j: usize| -> f64 {
            (0..blocks.len())
                .flat_map(|k| (0..blocks.len()).map(move |l| (k, l)))
                .filter(|&(k, l)| found[(k, l)] != 0.0)
                .map(|(k, l)| {
                    found[(k, l)]
                        * z[l][j]
                        * (0..levels(l))
                            .map(|g| part(k, i)[(g, 0)] * weights[l][(j, g)])
                            .sum::<f64>()
                })
                .sum()
        };
        let row = |i: usize| Mat::from_fn(p, 1, |j, _| x[(i, j)]);
        let left = |i: usize| row(i) - world.x.transpose() * (&at.inverse * cross(i));
        let known = |i: usize, j: usize| prior(i, j) - (cross(i).transpose() * &at.inverse * cross(j))[(0, 0)];
        let expected = |i: usize, j: usize| known(i, j) + (left(i).transpose() * &at.vcov * left(j))[(0, 0)];
        let answer = |x: Option<MatRef<'_, f64>>| {
            let terms = (0..blocks.len()).map(target).collect();
            let targets = TermTargets { terms, x, count };
            let variances = TermVariances {
                relative: fit.relative.as_ref(),
                sigma2_e: s2,
            };
            world.with(|mix| {
                let model = TermModel::new(mix, &blocks, None, Par::Seq).unwrap();
                target_variances(&model, &variances, &targets, &[vec![4, 0, 2]], 1).unwrap()
            })
        };
        let (all, of_effects) = (answer(Some(x.as_ref())), answer(None));
        for i in 0..count {
            assert!(close(all.variance[i], expected(i, i), 1e-7), "{name} {i}");
            assert!((of_effects.variance[i] - known(i, i)).abs() < 1e-7, "{name} {i}");
            let with_beta = &at.vcov * left(i);
            (0..p).for_each(|j| assert!((s2 * all.with_beta[(j, i)] - with_beta[(j, 0)]).abs() < 1e-8, "{name}"));
        }
        for (a, i) in [4, 0, 2].into_iter().enumerate() {
            for (b, j) in [4, 0, 2].into_iter().enumerate() {
                assert!((all.sets[0][(a, b)] - expected(i, j)).abs() < 1e-7, "{name} {i} {j}");
            }
        }
    }
}

#[test]
fn a_singular_kernel_and_a_term_that_x_explains_are_named() {
    let n = 80;
    let w = Mat::from_fn(10, 4, |i, j| noise(52, i, j));
    let singular = Mixed::new(6, n, 1, terms(n, 10, 2, &Own::Dense(&w * w.transpose())));
    let refused = singular
        .with(|model| fit_terms(model, &[0, 0], None, None, Method::Reml, 1, &mut ()))
        .err();
    assert!(matches!(refused, Some(Error::SingularKernel { .. })));
    let mut fixed = Mixed::new(7, n, 3, terms(n, 3, 2, &Own::Identity(3)));
    (0..n).for_each(|i| (0..3).for_each(|j| fixed.x[(i, j)] = f64::from(i % 3 == j)));
    let gone = fixed
        .with(|model| fit_terms(model, &[0, 0], None, None, Method::Reml, 1, &mut ()))
        .err();
    assert!(matches!(gone, Some(Error::Vanishes { .. })));
}

#[test]
fn a_known_residual_variance_is_held() {
    for (name, world, blocks) in worlds() {
        for method in METHODS {
            let s2 = 0.31;
            let fit = world
                .with(|model| fit_terms(model, &blocks, Some(s2), None, method, 1, &mut ()))
                .unwrap();
            assert!(close(fit.mix.best.sigma2_e, s2, 1e-12), "{name}");
            let at = definition(&world, &covariance(&fit), s2, method);
            assert!(close(fit.mix.best.log_lik, at.log_lik, 1e-9), "{name}");
            for k in 0..blocks.len() {
                for step in [-0.02, 0.02] {
                    let mut beside = fit.relative.clone();
                    beside[(k, k)] += step;
                    let moved = &beside * beside.transpose() * Scale(s2);
                    assert!(
                        definition(&world, &moved, s2, method).log_lik < at.log_lik + 1e-9,
                        "{name} {k}"
                    );
                }
            }
        }
    }
}

#[test]
fn variances_of_combined_effects_are_those_of_their_own_fit() {
    for ((name, world, blocks), (_, mut moved, _)) in worlds().into_iter().zip(worlds()) {
        let count = blocks.len();
        let mut a: Mat<f64> = Mat::identity(count, count);
        for k in (1..count).filter(|&k| blocks[k] == 0) {
            let shift = 0.4 + 0.3 * k as f64;
            a[(0, k)] = -shift;
            moved.terms[k].z.iter_mut().for_each(|z| *z -= shift);
        }
        for method in METHODS {
            let own = fitted(&world, &blocks, method);
            let combined = moved
                .with(|model| fit_terms(model, &blocks, None, Some(a.as_ref()), method, 1, &mut ()))
                .unwrap();
            let same = |x: f64, y: f64| (x.is_nan() && y.is_nan()) || close(x, y, 2e-4);
            let all = |x: &[f64], y: &[f64]| x.len() == y.len() && x.iter().zip(y).all(|(x, y)| same(*x, *y));
            let (one, other) = (&own.mix, &combined.mix);
            assert!(close(one.best.log_lik, other.best.log_lik, 1e-9), "{name}");
            assert!(all(&one.best.sigma2, &other.best.sigma2), "{name}");
            assert!((covariance(&own) - covariance(&combined)).norm_max() < 1e-4, "{name}");
            assert!(all(&one.errors.sigma2, &other.errors.sigma2), "{name}");
            assert!(all(&one.errors.h2, &other.errors.h2), "{name}");
            assert!(all(&one.errors.delta, &other.errors.delta), "{name}");
            let correlation = |fit: &TermFit| {
                fit.correlation
                    .col_iter()
                    .flat_map(|c| c.iter().copied().collect::<Vec<_>>())
                    .collect::<Vec<f64>>()
            };
            assert!(all(&correlation(&own), &correlation(&combined)), "{name}");
        }
    }
}
