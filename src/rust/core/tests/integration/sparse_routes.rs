//! Effects of independent levels by penalised least squares and by the coordinates of the contrasts.

use crate::definition::{close, noise};
use crate::mixed::{Mixed, Own, Term, dense};
use fastlmm_core::likelihood::Method;
use fastlmm_core::mix::fit::MixFit;
use fastlmm_core::sparse::route::{Route, fit};
use fastlmm_core::sparse::terms::fit_mix;

fn slope(mut term: Term) -> Term {
    term.z = (0..term.group.len()).map(|i| 2.0 * noise(3, i, 7) - 0.4).collect();
    term
}

fn worlds() -> Vec<(&'static str, Mixed)> {
    let n = 160;
    let cycled = |m: usize| Term::cycled(n, m, Own::Identity(m));
    let blocked = |m: usize| Term::blocked(n, m, Own::Identity(m));
    let mut weighted = Mixed::new(5, n, 3, vec![cycled(30), blocked(8)]);
    weighted.weights = (0..n).map(|i| 0.3 + noise(1, i, 1)).collect();
    let mut nothing = Mixed::new(6, n, 1, vec![cycled(20), blocked(8)]);
    for g in 0..20 {
        let mean = (0..8).map(|k| nothing.y[g + 20 * k]).sum::<f64>() / 8.0;
        (0..8).for_each(|k| nothing.y[g + 20 * k] -= mean);
    }
    vec![
        ("crossed", Mixed::new(1, n, 2, vec![cycled(30), blocked(12)])),
        (
            "three",
            Mixed::new(
                2,
                n,
                1,
                vec![
                    cycled(11),
                    blocked(20),
                    Term::new((0..n).map(|i| (i * i) % 13).collect(), Own::Identity(13)),
                ],
            ),
        ),
        (
            "independent terms",
            Mixed::new(3, n, 2, vec![cycled(25), slope(cycled(25))]),
        ),
        ("nested", Mixed::new(4, n, 0, vec![blocked(40), blocked(10)])),
        ("weights", weighted),
        ("a variance of zero", nothing),
    ]
}

fn both(world: &Mixed, method: Method) -> (MixFit, MixFit) {
    let sparse = world.with(|model| fit_mix(model, method, 1, &mut ())).unwrap().unwrap();
    (sparse, world.fit(method).unwrap())
}

fn same_numbers(name: &str, a: &[f64], b: &[f64], tolerance: f64) {
    let size = b.iter().filter(|b| b.is_finite()).fold(0.0, |m: f64, b| m.max(b.abs()));
    assert_eq!(a.len(), b.len(), "{name}");
    for (a, b) in a.iter().zip(b) {
        assert!(
            a.is_nan() && b.is_nan() || (a - b).abs() <= tolerance * (size + 1e-7),
            "{name} {a} {b}"
        );
    }
}

#[test]
fn both_routes_agree() {
    for (name, world) in worlds() {
        for method in [Method::Reml, Method::Ml] {
            let (sparse, rotated) = both(&world, method);
            assert!(close(sparse.best.log_lik, rotated.best.log_lik, 1e-8), "{name}");
            let variances = |fit: &MixFit| [fit.best.sigma2.clone(), vec![fit.best.sigma2_e]].concat();
            same_numbers(name, &variances(&sparse), &variances(&rotated), 1e-5);
            assert_eq!(
                sparse.best.sigma2.iter().position(|s| *s == 0.0),
                rotated.best.sigma2.iter().position(|s| *s == 0.0)
            );
            let errors = |fit: &MixFit| {
                let e = &fit.errors;
                [&e.sigma2[..], &e.h2, &e.delta, &[e.sigma2_e]].map(<[f64]>::to_vec)
            };
            errors(&sparse)
                .iter()
                .zip(errors(&rotated))
                .for_each(|(a, b)| same_numbers(name, a, &b, 1e-3));
            same_numbers(name, &sparse.beta, &rotated.beta, 1e-6);
            same_numbers(name, &sparse.vcov.concat(), &rotated.vcov.concat(), 1e-5);
            same_numbers(
                name,
                &sparse.fixed.covariance.concat(),
                &rotated.fixed.covariance.concat(),
                1e-5,
            );
            for (a, b) in sparse.alpha.iter().zip(&rotated.alpha) {
                same_numbers(name, a, b, 1e-5);
            }
            for pair in &rotated.conditional {
                let found = sparse
                    .conditional
                    .iter()
                    .find(|c| (c.first, c.second) == (pair.first, pair.second))
                    .unwrap();
                same_numbers(name, &found.covariance, &pair.covariance, 1e-5);
            }
        }
    }
}

#[test]
fn large_fits_without_kernels_take_the_sparse_route() {
    let n = 1200;
    let route = |world: &Mixed| world.with(|model| fit(model, Method::Reml, &[], 1, &mut ())).unwrap().1;
    let crossed = |kernel: Own| {
        Mixed::new(
            7,
            n,
            1,
            vec![Term::cycled(n, 300, Own::Identity(300)), Term::blocked(n, 120, kernel)],
        )
    };
    assert_eq!(route(&crossed(Own::Identity(120))), Route::Sparse);
    assert_eq!(route(&crossed(dense(1, 120, 120))), Route::Rotated);
    assert_eq!(route(&worlds()[0].1), Route::Rotated);
}

#[test]
fn variances_that_cannot_be_told_apart_go_the_other_way() {
    let (n, m) = (160, 20);
    let twice = Mixed::new(
        8,
        n,
        1,
        vec![
            Term::cycled(n, m, Own::Identity(m)),
            Term::cycled(n, m, Own::Identity(m)),
        ],
    );
    let rows = Mixed::new(
        8,
        n,
        1,
        vec![
            Term::cycled(n, n, Own::Identity(n)),
            Term::cycled(n, m, Own::Identity(m)),
        ],
    );
    let mut fixed = Mixed::new(
        9,
        n,
        2,
        vec![
            Term::cycled(n, 2, Own::Identity(2)),
            Term::blocked(n, m, Own::Identity(m)),
        ],
    );
    (0..n).for_each(|i| fixed.x[(i, 1)] = (i % 2) as f64);
    for world in [twice, rows, fixed] {
        assert!(
            world
                .with(|model| fit_mix(model, Method::Reml, 1, &mut ()))
                .unwrap()
                .is_none()
        );
        assert!(world.fit(Method::Reml).is_err());
    }
}
