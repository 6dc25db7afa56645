use crate::definition::{Data, close, noise};
use faer::Mat;
use fastlmm_core::likelihood::Method;
use fastlmm_core::likelihood::optimize::Location;
use fastlmm_core::lmm::fit::Status;
use fastlmm_core::runtime::error::Error;

#[test]
fn an_identity_without_repeats_is_not_identifiable() {
    let mut data = Data::new(1, 20, 20, 2, 20);
    data.k = Mat::<f64>::identity(20, 20) * faer::Scale(3.0);
    assert!(matches!(data.fit(Method::Reml), Err(Error::NotIdentifiable { scale }) if close(scale, 3.0, 1e-12)));
}

#[test]
fn a_constant_kernel_is_confounded_with_the_intercept() {
    let mut data = Data::new(2, 20, 20, 2, 20);
    data.k = Mat::from_fn(20, 20, |_, _| 0.7);
    let fit = data.fit(Method::Reml).unwrap();
    assert_eq!(fit.status, Status::Confounded);
    assert!(fit.point.h2.is_nan() && fit.point.sigma2_e > 0.0);
}

#[test]
fn an_exact_fit_by_x_or_by_the_kernel_is_told() {
    let mut data = Data::new(3, 24, 8, 2, 8);
    (0..24).for_each(|i| data.y[i] = 2.0 + 3.0 * data.x[(i, 1)]);
    assert_eq!(data.fit(Method::Reml).unwrap().status, Status::PerfectFit);
    (0..24).for_each(|i| data.y[i] += noise(3, i % 8, 9));
    let fit = data.fit(Method::Reml).unwrap();
    assert_eq!((fit.status, fit.point.delta), (Status::ExplainedByKernel, 0.0));
    assert!(close(fit.beta[1], 3.0, 1e-9));
}

#[test]
fn no_group_variance_ends_at_the_upper_border() {
    let mut data = Data::new(4, 24, 6, 1, 6);
    data.k = Mat::identity(6, 6);
    (0..24).for_each(|i| data.y[i] = f64::from(u8::try_from(i / 6 % 2).unwrap()));
    let fit = data.fit(Method::Reml).unwrap();
    assert_eq!(fit.optimum.unwrap().best.location, Location::Upper);
    assert!(fit.point.sigma2 == 0.0 && fit.alpha.iter().all(|a| *a == 0.0));
    assert!(close(fit.point.sigma2_e, 6.0 / 23.0, 1e-12));
}

#[test]
fn no_residual_variance_ends_at_the_lower_border() {
    // y is one eigenvector of K in the middle of its spectrum, so that residual variance only hurts
    let n = 16;
    let mut data = Data::new(5, n, n, 0, n);
    data.k = Mat::from_fn(n, n, |i, j| if i == j { 1.0 + i as f64 } else { 0.0 });
    data.y = (0..n)
        .map(|i| (1.0 + i as f64).sqrt() * if i % 2 == 0 { 1.0 } else { -1.0 })
        .collect();
    let fit = data.fit(Method::Reml).unwrap();
    assert_eq!((fit.point.delta, fit.point.h2, fit.point.sigma2_e), (0.0, 1.0, 0.0));
    assert!(close(fit.point.sigma2, 1.0, 1e-12));
}

#[test]
fn two_optima_are_both_reported() {
    // large eigenvalues ask for a small delta, small ones for a large delta
    let mut found = 0;
    for seed in 0..400 {
        let mut data = Data::new(seed, 12, 12, 1, 2);
        data.k = Mat::from_fn(
            12,
            12,
            |i, j| if i == j { (6.0 * noise(seed, i, 1)).exp() } else { 0.0 },
        );
        let fit = data.fit(Method::Reml).unwrap();
        if fit.locals.len() > 1 {
            found += 1;
            assert!(fit.locals.windows(2).all(|w| w[0].log_lik >= w[1].log_lik));
            assert!(-2.0 * fit.point.log_lik <= data.best(Method::Reml) + 1e-6);
        }
    }
    assert!(found > 4, "{found}");
}

#[test]
fn ml_leaves_null_directions_inside_x_out() {
    // a centred kernel and an intercept: plain ML rises for ever as delta -> 0
    let mut data = Data::new(6, 30, 30, 2, 30);
    let (n, k) = (30, data.k.clone());
    let mean = |i: usize| (0..n).map(|j| k[(i, j)]).sum::<f64>() / n as f64;
    let grand = (0..n).map(mean).sum::<f64>() / n as f64;
    data.k = Mat::from_fn(n, n, |i, j| k[(i, j)] - mean(i) - mean(j) + grand);
    let fit = data.fit(Method::Ml).unwrap();
    assert_eq!((fit.status, fit.rotated.null), (Status::Ok, 1));
    assert!(fit.point.delta > 1e-4);
    // REML does not change when a multiple of 11' is added, and bounded ML hardly does
    let reml = data.fit(Method::Reml).unwrap().point.delta;
    data.k = Mat::from_fn(n, n, |i, j| data.k[(i, j)] + 0.3);
    assert!(close(data.fit(Method::Reml).unwrap().point.delta, reml, 1e-8));
}

#[test]
fn ml_with_a_kernel_that_misses_part_of_x_takes_no_spurious_border() {
    let (mut interior, mut refused) = (0, 0);
    for seed in 0..30 {
        let mut data = Data::new(seed, 30, 30, 3, 29);
        (0..30).for_each(|i| data.y[i] += 6.0 * noise(seed + 9, i, 0));
        match data.fit(Method::Ml) {
            Ok(fit) => {
                interior += 1;
                assert_eq!(fit.status, Status::MlBorder);
                assert!(fit.point.delta > 1e-6);
            }
            Err(error) => {
                refused += 1;
                assert_eq!(error, Error::MlUnbounded);
            }
        }
    }
    assert!(interior > 0 && refused > 0, "{interior} {refused}");
}

#[test]
fn numbers_that_a_double_cannot_hold_are_refused() {
    let mut data = Data::new(8, 20, 20, 1, 20);
    data.y.iter_mut().for_each(|y| *y *= 1e-310);
    assert!(matches!(data.fit(Method::Reml), Err(Error::Scale { .. })));
}

#[test]
fn an_indefinite_kernel_is_refused_with_its_eigenvalue() {
    let mut data = Data::new(9, 20, 20, 1, 20);
    (0..20).for_each(|i| data.k[(i, i)] -= 1.0);
    assert!(matches!(data.fit(Method::Reml), Err(Error::NotPositive { min, .. }) if min < -0.5));
}
