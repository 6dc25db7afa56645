use crate::definition::{Data, METHODS, close, noise};
use faer::Mat;
use fastlmm_core::kernel::Kernel;
use fastlmm_core::kernel::low_rank::LowRank;
use fastlmm_core::likelihood::Criterion;

/// A fit by the factor equals the fit by the matrix, random effects included.
fn check(data: &Data, w: &Mat<f64>, label: &str) {
    let mut data = data.clone();
    data.k = w * w.transpose();
    for method in METHODS {
        let dense = data.fit(method).unwrap();
        let thin = data
            .fit_with(Kernel::LowRank(LowRank(w.as_ref(), false)), method)
            .unwrap();
        assert_eq!(dense.status, thin.status, "{label}");
        assert!(
            close(dense.point.log_lik, thin.point.log_lik, 1e-9),
            "{label} {method:?}"
        );
        assert!(
            dense.point.h2.is_nan() || close(dense.point.h2, thin.point.h2, 1e-7),
            "{label} {method:?}"
        );
        assert_eq!(dense.rotated.contrasts(), thin.rotated.contrasts(), "{label}");
        for (j, b) in dense.beta.iter().enumerate() {
            assert!(close(*b, thin.beta[j], 1e-7), "{label} {method:?} beta");
            assert!(
                close(dense.vcov[j][j], thin.vcov[j][j], 1e-7),
                "{label} {method:?} vcov"
            );
        }
        let weights = Mat::from_fn(w.ncols(), 1, |i, _| thin.alpha[i]);
        let alpha = Mat::from_fn(data.k.nrows(), 1, |i, _| dense.alpha[i]);
        let gap = (&data.k * &alpha - w * &weights).norm_max();
        assert!(
            gap < 1e-6 * (1.0 + (&data.k * &alpha).norm_max()),
            "{label} {method:?} u {gap}"
        );
        for (a, b) in dense.profile.iter().zip(&thin.profile).step_by(11) {
            if a.delta > 1e-8 && a.delta < 1e8 && close(a.delta, b.delta, 1e-6) {
                assert!(close(a.log_lik, b.log_lik, 1e-6), "{label} {method:?} {}", a.delta);
            }
        }
    }
}

fn factor(seed: usize, m: usize, k: usize) -> Mat<f64> {
    Mat::from_fn(m, k, |i, j| noise(seed + 5, i, j) - 0.5)
}

#[test]
fn a_factor_equals_its_cross_product() {
    for (seed, n, m, p, k) in [
        (1, 40, 40, 2, 5),
        (2, 40, 40, 0, 1),
        (3, 40, 40, 3, 60),
        (4, 50, 12, 3, 4),
        (5, 50, 12, 2, 30),
        (6, 40, 40, 6, 33),
        (7, 36, 30, 2, 12),
    ] {
        let mut data = Data::new(seed, n, m, p, k.min(m));
        check(&data, &factor(seed, m, k), &format!("{seed}"));
        data.weights = (0..n).map(|i| 0.3 + noise(seed, i, 8)).collect();
        data.z = (0..n).map(|i| noise(seed, i, 9) - 0.3).collect();
        check(&data, &factor(seed, m, k), &format!("weights {seed}"));
    }
}

#[test]
fn deficient_factors_and_factors_that_share_directions_with_x() {
    let data = Data::new(11, 40, 40, 3, 4);
    let w = factor(11, 40, 3);
    let doubled = Mat::from_fn(40, 6, |i, j| w[(i, j % 3)]);
    check(&data, &doubled, "doubled columns");
    let shared = Mat::from_fn(40, 4, |i, j| if j == 0 { data.x[(i, 1)] } else { w[(i, j - 1)] });
    check(&data, &shared, "a column of X");
    let within = Mat::from_fn(40, 2, |i, j| data.x[(i, j)] * 2.0);
    check(&data, &within, "inside span(X)");
}

#[test]
fn a_factor_of_any_unit_gives_the_same_fit() {
    let data = Data::new(12, 40, 20, 2, 4);
    let w = factor(12, 20, 4);
    let fit = |c: f64| {
        let scaled = &w * faer::Scale(c);
        data.fit_with(Kernel::LowRank(LowRank(scaled.as_ref(), false)), METHODS[0])
            .unwrap()
    };
    let base = fit(1.0);
    for c in [1e-75, 1e-4, 1e4, 1e75] {
        let other = fit(c);
        assert!(close(other.point.log_lik, base.point.log_lik, 1e-12));
        assert!(close(other.point.sigma2 * c * c, base.point.sigma2, 1e-10));
        assert!(close(other.alpha[0] * c, base.alpha[0], 1e-10));
    }
}

#[test]
fn cross_products_are_used_only_where_they_are_accurate() {
    // columns of very different length: the spectrum spans the square of the ratio
    for ratio in [1.0, 1e-2, 1e-3, 1e-5, 1e-7] {
        let data = Data::new(13, 60, 60, 3, 4);
        let w = factor(13, 60, 5);
        let uneven = Mat::from_fn(60, 5, |i, j| w[(i, j)] * f64::powf(ratio, j as f64 / 4.0));
        check(&data, &uneven, &format!("ratio {ratio}"));
    }
}

/// Both ways, cross products (m >= 4k) and the SVD, against V written out, over the whole range of delta.
#[test]
fn the_likelihood_is_that_of_the_definition_at_any_delta() {
    for (seed, k) in [(21, 10), (22, 12), (23, 30), (24, 45), (25, 1)] {
        let mut data = Data::new(seed, 60, 60, 3, 5);
        let w = factor(seed, 60, k);
        data.k = &w * w.transpose();
        for method in METHODS {
            let fit = data
                .fit_with(Kernel::LowRank(LowRank(w.as_ref(), false)), method)
                .unwrap();
            let rotated = &fit.rotated;
            let criterion = Criterion { data: rotated, method };
            for power in -8..=8 {
                let scaled = rotated.largest() * 10f64.powi(power);
                let fast = criterion.deviance(scaled.ln());
                let slow = data.at(scaled * rotated.k_scale, method).3;
                assert!(close(fast, slow, 1e-8), "{seed} {method:?} 1e{power}: {fast} {slow}");
            }
        }
    }
}
