use crate::definition::{Data, close, noise};
use faer::Mat;
use fastlmm_core::likelihood::Method;
use fastlmm_core::likelihood::profile::{Parameter, Profile};

const RISE: f64 = 3.841458820694124;

/// The definition's deviance with log sigma2 and log sigma2_e held.
fn held(data: &Data, sigma2: f64, sigma2_e: f64, n: f64, method: Method) -> f64 {
    let (_, _, s, deviance) = data.at(sigma2_e / sigma2, method);
    deviance - n * s.ln() - n + n * sigma2.ln() + n * s / sigma2
}

fn least(f: impl Fn(f64) -> f64, middle: f64) -> f64 {
    (-4000..=4000)
        .map(|i| f(middle * (f64::from(i) * 1e-3).exp()))
        .fold(f64::INFINITY, f64::min)
}

#[test]
fn interval_ends_lie_where_the_definition_has_risen() {
    let data = Data::new(61, 24, 12, 2, 12);
    for (method, n) in [(Method::Reml, 22.0), (Method::Ml, 24.0)] {
        let fit = data.fit(method).unwrap();
        let target = -2.0 * fit.point.log_lik + RISE;
        let bounds = |what| {
            Profile::new(&fit.rotated, method, what)
                .unwrap()
                .interval(RISE)
                .unwrap()
        };
        let (a, b) = bounds(Parameter::Delta);
        for delta in [a, b] {
            assert!(close(data.at(delta, method).3, target, 1e-9));
        }
        let (c, d) = bounds(Parameter::H2);
        assert!(close(1.0 / (1.0 + b), c, 1e-10) && close(1.0 / (1.0 + a), d, 1e-10));
        let (a, b) = bounds(Parameter::SigmaU);
        for sd in [a, b] {
            let value = least(|e| held(&data, sd * sd, e, n, method), fit.point.sigma2_e);
            assert!(close(value, target, 1e-6), "{method:?} sigma_u {value} {target}");
        }
        let (a, b) = bounds(Parameter::SigmaE);
        for sd in [a, b] {
            let value = least(|s| held(&data, s, sd * sd, n, method), fit.point.sigma2);
            assert!(close(value, target, 1e-6), "{method:?} sigma_e {value} {target}");
        }
    }
}

#[test]
fn a_coefficient_is_profiled_by_refitting_without_its_column() {
    let data = Data::new(62, 24, 12, 3, 12);
    let fit = data.fit(Method::Ml).unwrap();
    let target = -2.0 * fit.point.log_lik + RISE;
    for j in 0..3 {
        let (a, b) = Profile::new(&fit.rotated, Method::Reml, Parameter::Beta(j))
            .unwrap()
            .interval(RISE)
            .unwrap();
        assert!(a < fit.beta[j] && fit.beta[j] < b);
        for end in [a, b] {
            let mut rest = data.clone();
            let kept: Vec<usize> = (0..3).filter(|k| *k != j).collect();
            rest.x = faer::Mat::from_fn(24, 2, |i, k| data.x[(i, kept[k])]);
            (0..24).for_each(|i| rest.y[i] -= end * data.x[(i, j)]);
            assert!(
                close(-2.0 * rest.fit(Method::Ml).unwrap().point.log_lik, target, 1e-9),
                "beta {j}"
            );
        }
    }
}

#[test]
fn curves_pass_through_the_interval_and_change_sign_at_the_estimate() {
    let data = Data::new(63, 30, 15, 2, 15);
    let fit = data.fit(Method::Reml).unwrap();
    for what in [
        Parameter::Delta,
        Parameter::H2,
        Parameter::SigmaU,
        Parameter::SigmaE,
        Parameter::Beta(1),
    ] {
        let profile = Profile::new(&fit.rotated, Method::Reml, what).unwrap();
        let (a, b) = profile.interval(4.0).unwrap();
        let curve = profile.curve(2.0, 9).unwrap();
        assert!(
            curve
                .windows(2)
                .all(|w| w[0].value < w[1].value && w[0].zeta < w[1].zeta),
            "{what:?}"
        );
        if a > 0.0 || what == Parameter::Beta(1) {
            assert!(
                close(curve[0].value, a, 1e-8) && close(curve[0].zeta, -2.0, 1e-6),
                "{what:?}"
            );
        }
        assert!(
            close(curve[8].value, b, 1e-8) && close(curve[8].zeta, 2.0, 1e-6),
            "{what:?}"
        );
    }
}

#[test]
fn an_interval_of_a_variance_ends_at_zero_where_that_of_h2_ends_at_a_border() {
    let mut borders = [0, 0];
    for seed in 0..40 {
        let mut data = Data::new(seed, 24, 24, 2, 24);
        // a walk: one eigenvalue is most of the trace
        data.k = Mat::from_fn(24, 24, |i, j| i.min(j) as f64 + 1.0);
        let mut at = 0.0;
        for (i, y) in data.y.iter_mut().enumerate() {
            at += noise(seed, i, 7) - 0.5;
            *y = at + 0.3 * (noise(seed, i, 8) - 0.5);
        }
        let fit = data.fit(Method::Reml).unwrap();
        let bounds = |what| {
            Profile::new(&fit.rotated, Method::Reml, what)
                .unwrap()
                .interval(RISE)
                .unwrap()
        };
        let (low, high) = bounds(Parameter::H2);
        for (k, (at_border, what)) in [(low == 0.0, Parameter::SigmaU), (high == 1.0, Parameter::SigmaE)]
            .into_iter()
            .enumerate()
        {
            assert_eq!(at_border, bounds(what).0 == 0.0, "{what:?} {seed}");
            borders[k] += usize::from(at_border);
        }
    }
    assert!(
        borders[0] > 0 && borders[1] > 0 && borders[0] + borders[1] < 80,
        "{borders:?}"
    );
}
