//! Fits with several random effects: every form of V22 against V written out.

use crate::definition::{METHODS, close, noise};
use crate::mix_routes::routes;
use crate::mixed::{Mixed, all_variances, effects};
use faer::{Mat, Par};
use fastlmm_core::likelihood::Method;
use fastlmm_core::mix::predict::{MixTargets, variance};

fn each_route(check: impl Fn(&str, &Mixed)) {
    for p in [0, 1, 3, 4] {
        for (name, data) in routes(p) {
            check(&format!("{name}, p = {p}"), &data);
            let mut weighted = data.clone();
            weighted.weights = (0..data.n()).map(|i| 0.2 + noise(1, i, 5)).collect();
            check(&format!("{name}, p = {p}, weights"), &weighted);
        }
    }
}

/// Variances of many proportions, zeros among them.
fn thetas(effects: usize) -> Vec<Vec<f64>> {
    let mut out: Vec<Vec<f64>> = (0..4)
        .map(|t| (0..=effects).map(|k| (8.0 * (noise(t, k, 3) - 0.5)).exp()).collect())
        .collect();
    for k in 0..effects {
        out.push((0..=effects).map(|l| if l == k { 0.0 } else { 0.7 }).collect());
    }
    out
}

#[test]
fn the_deviance_is_the_definitions() {
    each_route(|name, data| {
        for method in METHODS {
            let setup = data.setup(method);
            for sigma2 in thetas(data.terms.len()) {
                let theta: Vec<f64> = sigma2.iter().zip(&setup.unit).map(|(s, unit)| s / unit).collect();
                let found = setup.problem.point(&theta, Par::Seq).unwrap().deviance + setup.constant;
                let slow = data.at(&sigma2, method).deviance;
                assert!(close(found, slow, 1e-9), "{name} {method:?} {sigma2:?}: {found} {slow}");
            }
        }
    });
}

/// Derivative at 0 of a vector of functions, to the fourth order.
fn differences(f: impl Fn(f64) -> Vec<f64>) -> Vec<f64> {
    let h = 1e-2;
    let near: Vec<f64> = f(h).iter().zip(f(-h)).map(|(up, down)| up - down).collect();
    let far: Vec<f64> = f(2.0 * h).iter().zip(f(-2.0 * h)).map(|(up, down)| up - down).collect();
    near.iter()
        .zip(far)
        .map(|(near, far)| (8.0 * near - far) / (12.0 * h))
        .collect()
}

#[test]
fn gradient_and_hessian_are_the_differences_of_the_definition() {
    each_route(|name, data| {
        for method in METHODS {
            let setup = data.setup(method);
            let derivatives = |sigma2: &[f64]| {
                let theta: Vec<f64> = sigma2.iter().zip(&setup.unit).map(|(s, unit)| s / unit).collect();
                let point = setup.problem.point(&theta, Par::Seq).unwrap();
                (setup.problem.derivatives(&point, Par::Seq), theta)
            };
            let sigma2 = &thetas(data.terms.len())[1];
            let (d, theta) = derivatives(sigma2);
            for k in 0..theta.len() {
                let moved = |e: f64| -> Vec<f64> {
                    let one = |(l, s): (usize, &f64)| if l == k { s * (1.0 + e) } else { *s };
                    sigma2.iter().enumerate().map(one).collect()
                };
                let slope = differences(|e| vec![data.at(&moved(e), method).deviance])[0];
                let found = theta[k] * d.gradient[k];
                assert!(
                    close(found, slope, 1e-6),
                    "{name} {method:?} gradient {k}: {found} {slope}"
                );
                let slopes = differences(|e| derivatives(&moved(e)).0.gradient);
                for l in 0..theta.len() {
                    let (found, slope) = (theta[k] * theta[l] * d.hessian[k][l], theta[l] * slopes[l]);
                    assert!(
                        close(found, slope, 1e-6),
                        "{name} {method:?} Hessian {k} {l}: {found} {slope}"
                    );
                }
            }
        }
    });
}

#[test]
fn estimates_are_the_definitions_at_the_optimum() {
    each_route(|name, data| {
        for method in METHODS {
            let fit = data.fit(method).unwrap();
            let sigma2 = all_variances(&fit);
            let at = data.at(&sigma2, method);
            assert!(close(-2.0 * fit.best.log_lik, at.deviance, 1e-9), "{name} {method:?}");
            assert!(fit.slope < 1e-6, "{name} {method:?} slope {}", fit.slope);
            for i in 0..at.beta.len() {
                assert!(close(fit.beta[i], at.beta[i], 1e-8), "{name} {method:?} beta {i}");
                for j in 0..at.beta.len() {
                    assert!(
                        close(fit.vcov[i][j], at.vcov[(i, j)], 1e-8),
                        "{name} {method:?} vcov {i} {j}"
                    );
                }
            }
            for (k, term) in data.terms.iter().enumerate() {
                let mut sums = Mat::<f64>::zeros(term.kernel.matrix().nrows(), 1);
                for i in 0..data.n() {
                    sums[(term.group[i], 0)] += sigma2[k] * term.z[i] * at.residual[(i, 0)];
                }
                let gap = (effects(&fit, data, k) - term.kernel.matrix() * &sums).norm_max();
                assert!(gap < 1e-8, "{name} {method:?} effects {k}: {gap}");
            }
            // along each coordinate the deviance of the definition only rises
            for k in 0..sigma2.len() {
                for c in [0.9, 1.1] {
                    let mut moved = sigma2.clone();
                    moved[k] = if moved[k] > 0.0 { moved[k] * c } else { 1e-3 };
                    assert!(
                        data.at(&moved, method).deviance >= at.deviance - 1e-9,
                        "{name} {method:?} {k}"
                    );
                }
            }
        }
    });
}

#[test]
fn no_proportion_of_a_fine_grid_is_better() {
    for (name, data) in routes(2).into_iter().filter(|(_, d)| d.terms.len() == 2 && d.n() <= 40) {
        for method in METHODS {
            let found = -2.0 * data.fit(method).unwrap().best.log_lik;
            let best = data.best_of_two(method);
            assert!(
                found <= best + 1e-7 && found > best - 0.5,
                "{name} {method:?} {found} {best}"
            );
        }
    }
}

#[test]
fn standard_errors_are_the_curvature_of_the_definition() {
    for (name, data) in routes(2) {
        let fit = data.fit(Method::Reml).unwrap();
        let at = all_variances(&fit);
        if at.contains(&0.0) {
            continue;
        }
        let e = 1e-3;
        let f = |moves: &[(usize, f64)]| {
            let mut s = at.clone();
            moves.iter().for_each(|(k, e)| s[*k] *= 1.0 + e);
            data.at(&s, Method::Reml).deviance
        };
        let entry = |k: usize, l: usize| {
            0.5 * (f(&[(k, e), (l, e)]) - f(&[(k, e), (l, -e)]) - f(&[(k, -e), (l, e)]) + f(&[(k, -e), (l, -e)]))
                / (4.0 * e * e)
        };
        let information = Mat::from_fn(at.len(), at.len(), entry);
        let inverse = faer::linalg::solvers::DenseSolveCore::inverse(&information.partial_piv_lu());
        let total: f64 = at.iter().sum();
        for k in 0..data.terms.len() {
            let se = at[k] * inverse[(k, k)].sqrt();
            assert!(
                close(fit.errors.sigma2[k] / se, 1.0, 1e-3),
                "{name} {k} {} {se}",
                fit.errors.sigma2[k]
            );
            let h = at[k] / total;
            let slope = |l: usize| at[l] * (f64::from(l == k) - h) / total;
            let of_share: f64 = (0..at.len())
                .flat_map(|i| (0..at.len()).map(move |j| (i, j)))
                .map(|(i, j)| slope(i) * slope(j) * inverse[(i, j)])
                .sum();
            assert!(close(fit.errors.h2[k] / of_share.sqrt(), 1.0, 1e-3), "{name} share {k}");
        }
    }
}

#[test]
fn predictions_have_the_definitions_variance() {
    for (name, data) in routes(2) {
        let (n, p) = data.x.shape();
        let sigma2: Vec<f64> = (0..=data.terms.len()).map(|k| 0.5 + noise(k, 3, 3)).collect();
        let at = data.at(&sigma2, Method::Reml);
        let term = &data.terms[0];
        let k = term.kernel.matrix();
        let t = 5;
        let cross = Mat::from_fn(n, t, |i, j| sigma2[0] * term.z[i] * k[(term.group[i], j)]);
        let prior: Vec<f64> = (0..t).map(|j| sigma2[0] * k[(j, j)]).collect();
        let x = Mat::from_fn(t, p, |i, j| noise(9, i, j));
        let v = faer::linalg::solvers::DenseSolveCore::inverse(&data.v(&sigma2).llt(faer::Side::Lower).unwrap());
        let d = &x - cross.transpose() * &v * &data.x;
        let given = Mat::from_fn(t, t, |i, j| if i == j { prior[i] } else { 0.0 }) - cross.transpose() * &v * &cross;
        let uncertain = &given + &d * &at.vcov * d.transpose();
        for (x, slow) in [(None, given), (Some(x.as_ref()), uncertain)] {
            let targets = MixTargets {
                cross: cross.as_ref(),
                prior: &prior,
                x,
            };
            let found = data.with(|model| variance(model, &sigma2, &targets, 1)).unwrap();
            (0..t).for_each(|j| {
                assert!(
                    close(found[j], slow[(j, j)], 1e-8),
                    "{name} {j} {} {}",
                    found[j],
                    slow[(j, j)]
                )
            });
        }
    }
}
