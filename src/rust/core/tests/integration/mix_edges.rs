//! Variances of zero, several optima, and what is refused, with several random effects.

use crate::definition::{METHODS, close, noise};
use crate::mix_routes::routes;
use crate::mixed::{Mixed, Own, Term, dense, low_rank, same_fit};
use faer::Mat;
use fastlmm_core::likelihood::Method;
use fastlmm_core::runtime::error::Error;

#[test]
fn a_variance_of_zero_is_exactly_zero_and_leaves_the_model_without_it() {
    let mut seen = 0;
    for seed in 0..3 {
        for (name, mut data) in routes(1) {
            data.y = (0..data.n()).map(|i| noise(seed, i, 8)).collect();
            for method in METHODS {
                let fit = data.fit(method).unwrap();
                let zero = |k: &usize| fit.best.sigma2[*k] == 0.0;
                let kept: Vec<usize> = (0..data.terms.len()).filter(|k| !zero(k)).collect();
                if kept.len() == data.terms.len() || kept.is_empty() {
                    continue;
                }
                seen += 1;
                for k in (0..data.terms.len()).filter(zero) {
                    assert!(
                        fit.alpha[k].iter().all(|a| *a == 0.0) && fit.errors.sigma2[k].is_nan(),
                        "{name}"
                    );
                }
                let mut without = data.clone();
                without.terms = kept.iter().map(|&k| data.terms[k].clone()).collect();
                let mut less = without.fit(method).unwrap();
                let whole = |k| kept.iter().position(|j| *j == k).map_or(0.0, |at| less.best.sigma2[at]);
                less.best.sigma2 = (0..data.terms.len()).map(whole).collect();
                same_fit(&fit, &less, name);
            }
        }
    }
    assert!(seen > 15, "{seen}");
}

/// Take from y what lies between the groups of a term.
fn level(data: &mut Mixed, k: usize) {
    let group = data.terms[k].group.clone();
    for g in 0..=group.iter().copied().max().unwrap() {
        let rows: Vec<usize> = (0..group.len()).filter(|&i| group[i] == g).collect();
        let mean = rows.iter().map(|&i| data.y[i]).sum::<f64>() / rows.len() as f64;
        rows.iter().for_each(|&i| data.y[i] -= mean);
    }
}

#[test]
fn all_variances_may_be_zero() {
    let mut data = Mixed::new(
        8,
        30,
        1,
        vec![
            Term::cycled(30, 6, Own::Identity(6)),
            Term::blocked(30, 5, Own::Identity(5)),
        ],
    );
    level(&mut data, 0);
    level(&mut data, 1);
    let fit = data.fit(Method::Reml).unwrap();
    assert_eq!(fit.best.sigma2, [0.0, 0.0]);
    let mean = data.y.iter().sum::<f64>() / 30.0;
    let variance = data.y.iter().map(|y| (y - mean).powi(2)).sum::<f64>() / 29.0;
    assert!(close(fit.best.sigma2_e, variance, 1e-12));
}

#[test]
fn the_residual_variance_may_be_zero() {
    // squares in proportion to the diagonals, the small ones below them: a residual would only hurt
    let n = 16;
    let diagonal = |odd: usize| {
        Own::Dense(Mat::from_fn(n, n, |i, j| {
            if i == j && i % 2 == odd { 1.0 + i as f64 } else { 0.0 }
        }))
    };
    let mut data = Mixed::new(
        1,
        n,
        0,
        vec![Term::cycled(n, n, diagonal(0)), Term::cycled(n, n, diagonal(1))],
    );
    let draw = |i: usize| (1.0 + i as f64) * (0.5 + (i / 2) as f64 / 7.0);
    data.y = (0..n).map(|i| draw(i).sqrt()).collect();
    for method in METHODS {
        let fit = data.fit(method).unwrap();
        assert_eq!(fit.best.sigma2_e, 0.0);
        assert!(fit.best.sigma2.iter().all(|s| close(*s, 1.0, 1e-9)), "{:?}", fit.best);
        assert!(
            fit.errors.sigma2_e.is_nan() && fit.errors.sigma2.iter().all(|s| close(*s, (2.0f64 / 8.0).sqrt(), 1e-7))
        );
    }
}

#[test]
fn several_optima_are_reported_and_the_best_is_taken() {
    let mut found = 0;
    for seed in 0..120 {
        let wild = |t: usize| {
            let value = move |i: usize| (7.0 * noise(seed, i, t)).exp();
            Term::cycled(
                12,
                12,
                Own::Dense(Mat::from_fn(12, 12, |i, j| if i == j { value(i) } else { 0.0 })),
            )
        };
        let mut data = Mixed::new(seed, 12, 1, vec![wild(1), wild(2)]);
        data.y = (0..12).map(|i| noise(seed, i, 9) - 0.5).collect();
        let fit = data.fit(Method::Reml).unwrap();
        assert!(fit.locals.windows(2).all(|w| w[0].log_lik >= w[1].log_lik));
        if fit.locals.len() > 1 {
            found += 1;
            assert!(fit.locals[0].log_lik == fit.best.log_lik);
        }
        if seed % 8 == 0 {
            let (least, best) = (-2.0 * fit.best.log_lik, data.best_of_two(Method::Reml));
            assert!(least <= best + 1e-6, "seed {seed}: {least} {best}");
        }
    }
    assert!(found > 4, "{found}");
}

fn error_of(data: &Mixed) -> Error {
    data.fit(Method::Reml).err().unwrap()
}

#[test]
fn kernels_that_cannot_be_told_apart_are_named() {
    let twice = |kernel: Own, n: usize, m: usize| {
        let term = Term::cycled(n, m, kernel);
        Mixed::new(
            1,
            n,
            2,
            vec![
                Term::blocked(n, 4, Own::Identity(4)),
                term.clone(),
                Term {
                    kernel: term.kernel.times(3.0),
                    ..term
                },
            ],
        )
    };
    for (kernel, n, m) in [
        (dense(1, 30, 30), 30, 30),
        (dense(2, 8, 8), 40, 8),
        (low_rank(3, 8, 2), 40, 8),
    ] {
        let Error::Alike { labels } = error_of(&twice(kernel, n, m)) else {
            panic!("identical kernels")
        };
        assert_eq!(labels, "\"b\" and \"c\"");
    }
    let own = |m: usize, kernel| {
        Mixed::new(
            2,
            30,
            2,
            vec![Term::blocked(30, 4, Own::Identity(4)), Term::cycled(30, m, kernel)],
        )
    };
    for kernel in [
        Own::Identity(30),
        Own::Dense(Mat::<f64>::identity(30, 30) * faer::Scale(1e-7)),
    ] {
        let Error::Alike { labels } = error_of(&own(30, kernel)) else {
            panic!("the identity")
        };
        assert_eq!(labels, "\"b\" and the residual");
    }
    assert!(own(15, Own::Identity(15)).fit(Method::Reml).is_ok());
}

#[test]
fn a_kernel_that_vanishes_in_x_is_named() {
    for (n, m) in [(20, 20), (40, 8)] {
        let constant = Own::Dense(Mat::from_fn(m, m, |_, _| 0.7));
        let data = Mixed::new(
            1,
            n,
            2,
            vec![Term::cycled(n, m, dense(1, m, m)), Term::cycled(n, m, constant)],
        );
        assert_eq!(error_of(&data), Error::Vanishes { label: "b".to_owned() });
    }
    // groups that are columns of X too, beside groups that are the coordinates
    let mut data = Mixed::new(
        2,
        240,
        3,
        vec![
            Term::cycled(240, 120, Own::Identity(120)),
            Term::blocked(240, 3, Own::Identity(3)),
        ],
    );
    data.x = Mat::from_fn(240, 3, |i, j| f64::from(i * 3 / 240 == j));
    assert_eq!(error_of(&data), Error::Vanishes { label: "b".to_owned() });
}

#[test]
fn a_response_that_is_explained_exactly_is_refused() {
    for (name, mut data) in routes(3) {
        (0..data.n()).for_each(|i| data.y[i] = 2.0 * data.x[(i, data.x.ncols() - 1)] + 1.0);
        let by = Error::Explained {
            by: "the fixed effects",
        };
        assert_eq!(error_of(&data), by, "{name}");
    }
    let mut data = routes(2).swap_remove(2).1;
    (0..40).for_each(|i| data.y[i] = (i % 6) as f64 + 0.3 * (i / 8) as f64);
    assert_eq!(
        error_of(&data),
        Error::Explained {
            by: "the random effects"
        }
    );
}

#[test]
fn numbers_that_a_double_cannot_hold_are_refused() {
    let mut data = routes(1).swap_remove(2).1;
    data.y.iter_mut().for_each(|y| *y *= 1e-170);
    assert!(matches!(error_of(&data), Error::Scale { .. }));
}
