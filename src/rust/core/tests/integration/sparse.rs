//! Penalised least squares against V written out.

use crate::definition::{close, noise};
use crate::sparse_world::{Given, Levels, SparseWorld};
use faer::Mat;
use fastlmm_core::likelihood::Method;
use fastlmm_core::runtime::error::Error;

const METHODS: [Method; 2] = [Method::Reml, Method::Ml];

/// D - rho A of the points of a grid of so many columns.
fn lattice(columns: usize, rows: usize) -> Mat<f64> {
    let m = columns * rows;
    let mut p = Mat::<f64>::zeros(m, m);
    let mut join = |i: usize, j: usize| {
        (p[(i, j)], p[(j, i)]) = (-0.9, -0.9);
        p[(i, i)] += 1.0;
        p[(j, j)] += 1.0;
    };
    for i in 0..m {
        if i % columns + 1 < columns {
            join(i, i + 1);
        }
        if i + columns < m {
            join(i, i + columns);
        }
    }
    p
}

fn dense_precision(m: usize) -> Mat<f64> {
    let w = Mat::from_fn(m, m, |i, j| noise(77, i, j) - 0.5);
    let mut p = &w * w.transpose();
    (0..m).for_each(|i| p[(i, i)] += 0.3);
    p
}

/// With whether what block elimination leaves is sparse.
fn worlds(p: usize) -> Vec<(&'static str, SparseWorld, bool)> {
    let given = |mut levels: Levels, given: Given| {
        levels.given = given;
        levels
    };
    let diagonal = |mut levels: Levels| {
        levels.correlated = false;
        levels
    };
    let n = 90;
    let crossed = |l: usize, m: usize| Levels::new(n, l, m, move |i| (i * 7 + i / 11) % m);
    let random = |l: usize, m: usize| Levels::new(n, l, m, move |i| (noise(5, i, m) * m as f64) as usize);
    let mut weighted = SparseWorld::new(8, n, p, vec![crossed(1, 12), random(2, 7)]);
    weighted.weights = (0..n).map(|i| 0.2 + 3.0 * noise(31, i, 0)).collect();
    vec![
        ("one factor", SparseWorld::new(1, n, p, vec![crossed(1, 17)]), false),
        (
            "one factor, three terms",
            SparseWorld::new(2, n, p, vec![crossed(3, 17)]),
            false,
        ),
        (
            "independent terms",
            SparseWorld::new(3, n, p, vec![diagonal(crossed(3, 17))]),
            false,
        ),
        (
            "crossed",
            SparseWorld::new(4, n, p, vec![random(1, 9), crossed(1, 21), random(1, 5)]),
            false,
        ),
        (
            "crossed with slopes",
            SparseWorld::new(5, n, p, vec![crossed(1, 7), random(2, 10), random(2, 6)]),
            false,
        ),
        (
            "levels without rows",
            SparseWorld::new(6, n, p, vec![Levels::new(n, 2, 40, |i| i % 13), crossed(1, 9)]),
            false,
        ),
        ("weights", weighted, false),
        (
            "dense precision",
            SparseWorld::new(
                9,
                n,
                p,
                vec![given(crossed(2, 14), Given::Dense(dense_precision(14))), random(1, 6)],
            ),
            false,
        ),
        (
            "dense precision alone",
            SparseWorld::new(10, n, p, vec![given(crossed(1, 14), Given::Dense(dense_precision(14)))]),
            false,
        ),
        (
            "sparse precision",
            SparseWorld::new(
                11,
                n,
                p,
                vec![given(random(2, 12), Given::Sparse(lattice(4, 3))), crossed(1, 15)],
            ),
            false,
        ),
        (
            "nested",
            SparseWorld::new(
                12,
                700,
                p,
                vec![
                    Levels::new(700, 1, 300, |i| i / 2 % 300),
                    Levels::new(700, 2, 350, |i| i / 2),
                ],
            ),
            true,
        ),
        (
            "large lattice",
            SparseWorld::new(
                13,
                500,
                p,
                vec![given(
                    Levels::new(500, 2, 225, |i| (i * 13) % 225),
                    Given::Sparse(lattice(15, 15)),
                )],
            ),
            true,
        ),
    ]
}

#[test]
fn deviance_is_that_of_v_written_out() {
    for p in [0, 1, 3] {
        for (name, world, sparse) in worlds(p) {
            for method in METHODS {
                for seed in 0..2 {
                    let t = world.some_factors(seed);
                    let expected = world.at(&t, method).deviance;
                    let found = world.problem(method, |problem| {
                        assert_eq!(problem.is_sparse(), sparse, "{name}");
                        problem.deviance(&t).unwrap()
                    });
                    assert!(close(found, expected, 1e-10), "{name} {p} {found} {expected}");
                }
            }
        }
    }
}

#[test]
fn slopes_are_those_of_the_deviance() {
    for (name, world, _) in worlds(2) {
        for method in METHODS {
            let t = world.some_factors(3);
            world.problem(method, |problem| {
                let slopes = problem.slopes(&t).unwrap();
                for (r, effect) in world.effects.iter().enumerate() {
                    for (a, b) in (0..effect.terms.len()).flat_map(|a| (0..=a).map(move |b| (a, b))) {
                        if a != b && !effect.correlated {
                            continue;
                        }
                        let moved = |step: f64| {
                            let mut t = t.clone();
                            t[r][(a, b)] += step;
                            problem.deviance(&t).unwrap()
                        };
                        // fourth order
                        let h = 1e-3;
                        let expected = (8.0 * (moved(h) - moved(-h)) - (moved(2.0 * h) - moved(-2.0 * h))) / (12.0 * h);
                        let found = slopes[r][(a, b)];
                        assert!(
                            (found - expected).abs() < 1e-6 * (1.0 + expected.abs()),
                            "{name} {r} {a} {b} {found} {expected}"
                        );
                    }
                }
            });
        }
    }
}

#[test]
fn a_boundary_is_an_ordinary_argument() {
    for (name, world, _) in worlds(1) {
        for method in METHODS {
            let mut t = world.some_factors(1);
            t[0] *= faer::Scale(0.0);
            let found = world.problem(method, |problem| {
                let slopes = problem.slopes(&t).unwrap();
                assert!(slopes[0].norm_max() < 1e-8, "{name}: even in each column");
                problem.deviance(&t).unwrap()
            });
            assert!(close(found, world.at(&t, method).deviance, 1e-10), "{name}");
        }
    }
}

#[test]
fn estimates_are_those_of_v_written_out() {
    for (name, world, _) in worlds(2) {
        for method in METHODS {
            let fit = world.fit(method).unwrap().unwrap();
            let at = world.at(&fit.best.factors, method);
            assert!(close(-2.0 * fit.best.log_lik, at.deviance, 1e-10), "{name}");
            assert!(close(fit.best.sigma2_e, at.s2, 1e-9), "{name}");
            for i in 0..2 {
                assert!(close(fit.beta[i], at.beta[(i, 0)], 1e-8), "{name}");
                assert!((0..2).all(|j| close(fit.vcov[i][j], at.vcov[(i, j)], 1e-8)), "{name}");
            }
            for (r, (b, covariance)) in at.effects.iter().enumerate() {
                let l = world.effects[r].terms.len();
                for i in 0..b.nrows() {
                    assert!(
                        (fit.effects[r][i] - b[(i, 0)]).abs() < 1e-8 * (1.0 + b.norm_max()),
                        "{name} {r}"
                    );
                    for a in 0..l {
                        let found = fit.conditional[r][i * l + a];
                        let expected = covariance[(i, i / l * l + a)];
                        assert!(
                            (found - expected).abs() < 1e-8 * (1.0 + covariance.norm_max()),
                            "{name} {r} {i} {a}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn no_place_near_the_optimum_is_lower() {
    for (name, world, _) in worlds(1) {
        for method in METHODS {
            let fit = world.fit(method).unwrap().unwrap();
            let least = -2.0 * fit.best.log_lik;
            assert!(fit.slope < 1e-4, "{name} {}", fit.slope);
            world.problem(method, |problem| {
                for (r, effect) in world.effects.iter().enumerate() {
                    for (a, b) in (0..effect.terms.len()).flat_map(|a| (0..=a).map(move |b| (a, b))) {
                        for step in [-0.3, -0.03, 0.03, 0.3, 1.0] {
                            let mut t = fit.best.factors.clone();
                            t[r][(a, b)] += if a == b || effect.correlated { step } else { 0.0 };
                            let beside = problem.deviance(&t).unwrap();
                            assert!(
                                beside >= least - 1e-8 * least.abs(),
                                "{name} {r} {a} {b} {step} {beside} {least}"
                            );
                        }
                    }
                }
            });
        }
    }
}

/// Standard errors of log s2 and T against the dense deviance with s2 free, by differences.
#[test]
fn covariance_of_theta_is_the_inverse_of_half_the_hessian() {
    let (_, world, _) = worlds(1).swap_remove(4);
    let method = Method::Reml;
    let fit = world.fit(method).unwrap().unwrap();
    let count = fit.free.len();
    assert_eq!(fit.theta_vcov.len(), count + 1);
    let counted = (world.y.len() - 1) as f64;
    let deviance = |x: &[f64]| {
        let mut t = fit.best.factors.clone();
        fit.free.iter().zip(x).for_each(|(&(r, a, b), x)| t[r][(a, b)] += x);
        let at = world.at(&t, method);
        let s2 = fit.best.sigma2_e * x[count].exp();
        at.deviance - counted * (1.0 + at.s2.ln()) + counted * s2.ln() + counted * at.s2 / s2
    };
    let h = 1e-3;
    let hessian = Mat::from_fn(count + 1, count + 1, |i, j| {
        let at = |a: f64, b: f64| {
            let mut x = vec![0.0; count + 1];
            x[i] += a * h;
            x[j] += b * h;
            deviance(&x)
        };
        (at(1.0, 1.0) - at(1.0, -1.0) - at(-1.0, 1.0) + at(-1.0, -1.0)) / (4.0 * h * h)
    });
    let covariance = Mat::from_fn(count + 1, count + 1, |i, j| fit.theta_vcov[i][j]);
    let one = &covariance * hessian * faer::Scale(0.5);
    assert!((one - Mat::<f64>::identity(count + 1, count + 1)).norm_max() < 1e-3);
}

#[test]
fn an_effect_that_is_not_there_has_the_variance_zero() {
    let mut world = SparseWorld::new(
        21,
        120,
        1,
        vec![Levels::new(120, 1, 20, |i| i % 20), Levels::new(120, 2, 12, |i| i / 10)],
    );
    // what is left of the first effect: each level's mean of the rest taken off
    for level in 0..20 {
        let mean = (0..6).map(|k| world.y[level + 20 * k]).sum::<f64>() / 6.0;
        (0..6).for_each(|k| world.y[level + 20 * k] -= mean);
    }
    for method in METHODS {
        let fit = world.fit(method).unwrap().unwrap();
        assert_eq!(fit.best.factors[0][(0, 0)], 0.0);
        assert!(fit.free.iter().all(|(effect, ..)| *effect != 0));
        assert!(fit.effects[0].iter().all(|b| *b == 0.0));
        let mut without = world.clone();
        without.effects.remove(0);
        let other = without.fit(method).unwrap().unwrap();
        assert!(close(fit.best.log_lik, other.best.log_lik, 1e-10));
    }
}

#[test]
fn aliased_columns_change_nothing() {
    let (_, world, _) = worlds(2).swap_remove(3);
    let mut aliased = world.clone();
    aliased.x = Mat::from_fn(90, 4, |i, j| match j {
        0 | 1 => world.x[(i, j)],
        2 => 2.0 - 3.0 * world.x[(i, 1)],
        _ => 0.0,
    });
    let (a, b) = (
        world.fit(Method::Reml).unwrap().unwrap(),
        aliased.fit(Method::Reml).unwrap().unwrap(),
    );
    assert_eq!(b.kept, [0, 1]);
    assert!(close(a.best.log_lik, b.best.log_lik, 1e-12) && close(a.beta[1], b.beta[1], 1e-9));
}

#[test]
fn units_of_y_x_z_and_p_do_not_matter() {
    let (_, world, _) = worlds(2).swap_remove(9);
    let a = world.fit(Method::Reml).unwrap().unwrap();
    let mut other = world.clone();
    let (y, x, z, p) = (1e-70, 1e60, 1e40, 1e-30);
    other.y.iter_mut().for_each(|v| *v = (*v + 1e6) * y);
    other.x = Mat::from_fn(90, 2, |i, j| world.x[(i, j)] * if j == 1 { x } else { 1.0 });
    other.effects[0].terms[1].iter_mut().for_each(|v| *v *= z);
    other.effects[0].given = Given::Sparse(lattice(4, 3) * faer::Scale(p));
    let b = other.fit(Method::Reml).unwrap().unwrap();
    let lost = -88.0 * f64::ln(y) - f64::ln(x);
    assert!(
        close(b.best.log_lik, a.best.log_lik + lost, 1e-9),
        "{} {}",
        b.best.log_lik,
        a.best.log_lik + lost
    );
    assert!(close(b.beta[1], a.beta[1] * y / x, 1e-6));
    let sd = |fit: &fastlmm_core::sparse::estimates::SparseFit| fit.covariance(0)[(1, 1)].sqrt();
    assert!(close(sd(&b), sd(&a) * y / z * f64::sqrt(p), 1e-6));
}

#[test]
fn where_the_effects_explain_all_there_is_no_fit() {
    let mut world = SparseWorld::new(
        3,
        40,
        1,
        vec![Levels::new(40, 1, 20, |i| i % 20), Levels::new(40, 1, 4, |i| i / 10)],
    );
    world.y = (0..40).map(|i| noise(1, i % 20, 0) + noise(2, i / 10, 0)).collect();
    assert!(world.fit(Method::Reml).unwrap().is_none());
}

#[test]
fn a_precision_that_is_none_is_refused() {
    let refused = |p: Mat<f64>, dense: bool| {
        let mut world = SparseWorld::new(1, 30, 1, vec![Levels::new(30, 1, 6, |i| i % 6)]);
        world.effects[0].given = if dense { Given::Dense(p) } else { Given::Sparse(p) };
        match world.fit(Method::Reml) {
            Err(Error::Argument { why, .. }) => why,
            _ => panic!("not refused"),
        }
    };
    let mut p = lattice(3, 2);
    p[(0, 1)] = -0.5;
    assert!(refused(p, false).contains("not symmetric"));
    for dense in [true, false] {
        let mut p = lattice(3, 2);
        (p[(0, 1)], p[(1, 0)]) = (-5.0, -5.0);
        assert!(refused(p, dense).contains("not positive definite"));
        let mut p = lattice(3, 2);
        p[(2, 2)] = 0.0;
        assert!(refused(p, dense).contains("not positive definite"));
    }
    let narrow = Mat::identity(5, 5);
    let mut world = SparseWorld::new(1, 30, 1, vec![Levels::new(30, 1, 6, |i| i % 6)]);
    world.effects[0].given = Given::Dense(narrow);
    assert!(matches!(world.fit(Method::Reml), Err(Error::Argument { why, .. }) if why.contains("5 x 5")));
}
