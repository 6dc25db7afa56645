use crate::definition::{Data, METHODS, close, noise};
use faer::Mat;
use fastlmm_core::likelihood::Method;

/// Estimates equal the definition at the fitted delta, and no delta of the definition's grid is better.
fn check(data: &Data, label: &str) {
    for method in METHODS {
        let fit = data.fit(method).unwrap();
        let found = -2.0 * fit.point.log_lik;
        if fit.point.delta.is_finite() && fit.point.delta > 0.0 {
            let (beta, inverse, sigma2, deviance) = data.at(fit.point.delta, method);
            assert!(close(found, deviance, 1e-9), "{label} {method:?} {found} {deviance}");
            assert!(close(fit.point.sigma2, sigma2, 1e-8), "{label} {method:?}");
            for (j, b) in beta.iter().enumerate() {
                assert!(close(fit.beta[j], *b, 1e-8), "{label} {method:?} beta {j}");
                assert!(
                    close(fit.vcov[j][j], sigma2 * inverse[(j, j)], 1e-8),
                    "{label} {method:?} vcov {j}"
                );
            }
        }
        assert!(
            found <= data.best(method) + 1e-6,
            "{label} {method:?} {found} {}",
            data.best(method)
        );
        for point in fit
            .profile
            .iter()
            .filter(|p| p.delta > 1e-6 && p.delta < 1e6)
            .step_by(17)
        {
            assert!(
                close(-2.0 * point.log_lik, data.at(point.delta, method).3, 1e-7),
                "{label} {method:?} profile"
            );
        }
    }
}

#[test]
fn one_row_a_group() {
    for (seed, p, rank) in [
        (1, 0, 30),
        (2, 1, 30),
        (3, 3, 30),
        (4, 6, 30),
        (5, 2, 3),
        (6, 1, 1),
        (7, 4, 90),
    ] {
        check(&Data::new(seed, 30, 30, p, rank), &format!("seed {seed}"));
    }
}

#[test]
fn repeats_weights_and_slopes() {
    for (seed, m, p, rank) in [
        (11, 9, 3, 9),
        (12, 9, 0, 9),
        (13, 20, 6, 2),
        (14, 28, 4, 28),
        (15, 3, 2, 1),
    ] {
        let mut data = Data::new(seed, 36, m, p, rank);
        check(&data, "repeats");
        data.weights = (0..36).map(|i| 0.2 + noise(seed, i, 5)).collect();
        check(&data, "weights");
        data.z = (0..36).map(|i| noise(seed, i, 6) - 0.4).collect();
        check(&data, "slopes");
    }
}

#[test]
fn columns_between_and_within_groups() {
    let mut data = Data::new(21, 40, 10, 4, 10);
    for i in 0..40 {
        data.x[(i, 1)] = (i % 10) as f64;
        data.x[(i, 2)] = (i / 10) as f64;
    }
    check(&data, "between and within");
}

#[test]
fn permuting_rows_and_groups_changes_nothing() {
    let data = Data::new(31, 24, 12, 3, 12);
    let mut turned = data.clone();
    let row = |i: usize| (i * 7 + 5) % 24;
    let id = |g: usize| (g * 5 + 2) % 12;
    for i in 0..24 {
        turned.y[i] = data.y[row(i)];
        turned.group[i] = id(data.group[row(i)]);
        (0..3).for_each(|j| turned.x[(i, j)] = data.x[(row(i), j)]);
    }
    for a in 0..12 {
        (0..12).for_each(|b| turned.k[(id(a), id(b))] = data.k[(a, b)]);
    }
    let (a, b) = (data.fit(Method::Reml).unwrap(), turned.fit(Method::Reml).unwrap());
    assert!(close(a.point.log_lik, b.point.log_lik, 1e-12) && close(a.point.delta, b.point.delta, 1e-9));
    for g in 0..12 {
        assert!(close(a.alpha[g], b.alpha[id(g)], 1e-9));
    }
}

#[test]
fn scaling_is_exact_and_shifting_moves_beta_only() {
    let data = Data::new(41, 30, 30, 3, 30);
    let base = data.fit(Method::Reml).unwrap();
    for c in [1e-150, 1e-8, 1e8, 1e150] {
        let mut scaled = data.clone();
        scaled.y.iter_mut().for_each(|y| *y *= c);
        let fit = scaled.fit(Method::Reml).unwrap();
        assert!(close(fit.point.h2, base.point.h2, 1e-10) && close(fit.beta[1] / c, base.beta[1], 1e-10));
        let mut scaled = data.clone();
        scaled.k = &data.k * faer::Scale(c);
        let fit = scaled.fit(Method::Reml).unwrap();
        assert!(close(fit.point.sigma2 * c, base.point.sigma2, 1e-10));
        assert!(close(fit.point.log_lik, base.point.log_lik, 1e-11));
        let mut scaled = data.clone();
        scaled.x = &data.x * faer::Scale(c);
        assert!(close(
            scaled.fit(Method::Reml).unwrap().beta[2] * c,
            base.beta[2],
            1e-10
        ));
    }
    let mut shifted = data.clone();
    (0..30).for_each(|i| shifted.y[i] += 5.0 * data.x[(i, 0)] - 3.0 * data.x[(i, 2)]);
    let fit = shifted.fit(Method::Reml).unwrap();
    assert!(close(fit.beta[0], base.beta[0] + 5.0, 1e-10) && close(fit.beta[2], base.beta[2] - 3.0, 1e-10));
    assert!(close(fit.point.delta, base.point.delta, 1e-9));
}

#[test]
fn standard_errors_are_the_curvature_of_the_definition() {
    let data = Data::new(51, 40, 20, 2, 20);
    let fit = data.fit(Method::Reml).unwrap();
    let t = fit.point.delta.ln();
    let f = |t: f64| data.at(t.exp(), Method::Reml).3;
    let curvature = (f(t + 1e-3) - 2.0 * f(t) + f(t - 1e-3)) / 1e-6;
    assert!(close(fit.errors.log_delta, (2.0 / curvature).sqrt(), 1e-4));
    // joint information of (log sigma2, log sigma2_e) by differences of the full deviance
    let full = |a: f64, b: f64| {
        let (_, _, s, deviance) = data.at((b - a).exp(), Method::Reml);
        let n = 38.0;
        deviance - n * s.ln() - n + n * a + n * s * (-a).exp()
    };
    let (a, b, e) = (fit.point.sigma2.ln(), fit.point.sigma2_e.ln(), 1e-3);
    let aa = (full(a + e, b) - 2.0 * full(a, b) + full(a - e, b)) / (e * e);
    let bb = (full(a, b + e) - 2.0 * full(a, b) + full(a, b - e)) / (e * e);
    let ab = (full(a + e, b + e) - full(a + e, b - e) - full(a - e, b + e) + full(a - e, b - e)) / (4.0 * e * e);
    let det = aa * bb - ab * ab;
    assert!(close(
        fit.errors.sigma2 / fit.point.sigma2,
        (2.0 * bb / det).sqrt(),
        1e-4
    ));
    assert!(close(
        fit.errors.sigma2_e / fit.point.sigma2_e,
        (2.0 * aa / det).sqrt(),
        1e-4
    ));
}

#[test]
fn an_identity_kernel_equals_the_identity_matrix() {
    for (seed, n, m, p) in [(71, 60, 20, 2), (72, 60, 20, 0), (73, 90, 40, 3), (74, 30, 28, 1)] {
        let mut data = Data::new(seed, n, m, p, m);
        // sizes with many ties, and some groups without
        data.group = (0..n).map(|i| if i < m { i } else { (i * i) % (m / 2) }).collect();
        for i in 0..n {
            data.y[i] += 0.5 * noise(seed, data.group[i], 3);
        }
        data.k = Mat::identity(m, m);
        for weighted in [false, true] {
            if weighted {
                data.weights = (0..n).map(|i| 0.5 + (i % 2) as f64).collect();
            }
            let (dense, tied) = (
                data.fit(Method::Reml).unwrap(),
                data.fit_identity(Method::Reml).unwrap(),
            );
            assert_eq!(dense.rotated.values.len(), tied.rotated.values.len());
            assert!(close(dense.point.log_lik, tied.point.log_lik, 1e-11), "{seed}");
            assert!(close(dense.point.delta, tied.point.delta, 1e-8), "{seed}");
            assert!((0..m).all(|g| close(dense.alpha[g], tied.alpha[g], 1e-9)), "{seed}");
            assert!((0..p).all(|j| close(dense.vcov[j][j], tied.vcov[j][j], 1e-9)), "{seed}");
        }
        check(&data, "ties");
    }
}
