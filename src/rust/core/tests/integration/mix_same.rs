//! Transformations of data with several random effects that must not matter.

use crate::definition::METHODS;
use crate::mix_routes::routes;
use crate::mixed::{Mixed, Own, Term, effects, factor, same_fit};
use faer::Mat;
use fastlmm_core::likelihood::Method;

#[test]
fn aliased_columns_change_nothing() {
    for (name, data) in routes(2) {
        let (n, p) = data.x.shape();
        let mut aliased = data.clone();
        aliased.x = Mat::from_fn(n, p + 2, |i, j| match j {
            _ if j < p => data.x[(i, j)],
            _ if j == p => 3.0 * data.x[(i, p - 1)],
            _ => data.x[(i, 0)] - 2.0 * data.x[(i, p - 1)],
        });
        for method in METHODS {
            let (one, other) = (data.fit(method).unwrap(), aliased.fit(method).unwrap());
            assert_eq!(other.kept, (0..p).collect::<Vec<_>>(), "{name}");
            same_fit(&one, &other, name);
        }
    }
}

#[test]
fn permuting_rows_groups_and_effects_changes_nothing() {
    for (name, data) in routes(3) {
        let n = data.n();
        let row = |i: usize| (i * 37 + 5) % n;
        assert_eq!(
            (0..n).map(row).collect::<std::collections::HashSet<_>>().len(),
            n,
            "{name}"
        );
        let turned = |term: &Term| {
            let k = term.kernel.matrix();
            let m = k.nrows();
            let id = |g: usize| (g + m / 2) % m;
            let group = (0..n).map(|i| id(term.group[row(i)])).collect();
            let back = |a: usize| (a + m - m / 2) % m;
            let kernel = match &term.kernel {
                Own::Identity(m) => Own::Identity(*m),
                Own::Dense(k) => Own::Dense(Mat::from_fn(m, m, |a, b| k[(back(a), back(b))])),
                Own::LowRank(w) => Own::LowRank(Mat::from_fn(m, w.ncols(), |a, c| w[(back(a), c)])),
            };
            Term {
                z: (0..n).map(|i| term.z[row(i)]).collect(),
                group,
                kernel,
            }
        };
        let mut other = data.clone();
        (0..n).for_each(|i| other.y[i] = data.y[row(i)]);
        other.x = Mat::from_fn(n, data.x.ncols(), |i, j| data.x[(row(i), j)]);
        other.terms = data.terms.iter().rev().map(turned).collect();
        for method in METHODS {
            let (one, mut two) = (data.fit(method).unwrap(), other.fit(method).unwrap());
            two.best.sigma2.reverse();
            same_fit(&one, &two, name);
        }
    }
}

#[test]
fn scaling_and_shifting_the_response_moves_what_it_should() {
    for (name, data) in routes(2) {
        let base = data.fit(Method::Reml).unwrap();
        let df = (data.n() - data.x.ncols()) as f64;
        for c in [1e-100, 1e-9, 1e9, 1e100] {
            let mut scaled = data.clone();
            scaled.y.iter_mut().for_each(|y| *y *= c);
            let mut fit = scaled.fit(Method::Reml).unwrap();
            fit.best.log_lik += df * c.ln();
            fit.best.sigma2.iter_mut().for_each(|s| *s = *s / c / c);
            fit.best.sigma2_e = fit.best.sigma2_e / c / c;
            fit.beta.iter_mut().for_each(|b| *b /= c);
            same_fit(&base, &fit, &format!("{name}, y times {c:e}"));
        }
        let mut shifted = data.clone();
        (0..data.n()).for_each(|i| shifted.y[i] += 5.0 * data.x[(i, 0)]);
        let mut fit = shifted.fit(Method::Reml).unwrap();
        fit.beta[0] -= 5.0;
        same_fit(&base, &fit, &format!("{name}, shifted"));
    }
}

#[test]
fn units_of_kernels_slopes_and_weights_go_into_the_variances() {
    for (name, data) in routes(2) {
        let base = data.fit(Method::Reml).unwrap();
        for c in [1e-100, 1e-9, 1e9, 1e100] {
            let mut scaled = data.clone();
            scaled.terms[0].kernel = data.terms[0].kernel.times(c);
            let mut fit = scaled.fit(Method::Reml).unwrap();
            fit.best.sigma2[0] *= c;
            same_fit(&base, &fit, &format!("{name}, K times {c:e}"));
            let mut scaled = data.clone();
            scaled.terms[1].z.iter_mut().for_each(|z| *z *= c);
            let mut fit = scaled.fit(Method::Reml).unwrap();
            fit.best.sigma2[1] = fit.best.sigma2[1] * c * c;
            same_fit(&base, &fit, &format!("{name}, z times {c:e}"));
            let mut scaled = data.clone();
            scaled.weights.iter_mut().for_each(|w| *w *= c);
            let mut fit = scaled.fit(Method::Reml).unwrap();
            fit.best.sigma2_e /= c;
            same_fit(&base, &fit, &format!("{name}, weights times {c:e}"));
        }
    }
}

#[test]
fn a_kernel_and_its_factor_are_one_model() {
    let w = [factor(1, 10, 3), factor(2, 10, 17)];
    let terms = |own: fn(&Mat<f64>) -> Own| -> Vec<Term> { w.iter().map(|w| Term::cycled(40, 10, own(w))).collect() };
    let thin = Mixed::new(3, 40, 2, terms(|w| Own::LowRank(w.clone())));
    let full = Mixed {
        terms: terms(|w| Own::Dense(w * w.transpose())),
        ..thin.clone()
    };
    for method in METHODS {
        let (a, b) = (thin.fit(method).unwrap(), full.fit(method).unwrap());
        same_fit(&a, &b, "factor and matrix");
        for k in 0..2 {
            assert!((effects(&a, &thin, k) - effects(&b, &full, k)).norm_max() < 1e-8);
        }
    }
}
