//! A kernel given by its decomposition against the same kernel as a matrix.

use crate::definition::{Data, METHODS, close, noise};
use faer::{Mat, Side};
use fastlmm_core::kernel::Kernel;
use fastlmm_core::kernel::low_rank::LowRank;
use fastlmm_core::likelihood::Method;
use fastlmm_core::lmm::fit::Fit;

/// U diag(lambda)^(1/2) of the columns whose lambda is not rounding.
fn factor(k: &Mat<f64>) -> Mat<f64> {
    let eigen = k.self_adjoint_eigen(Side::Lower).unwrap();
    let n = k.nrows();
    let largest = eigen.S()[n - 1];
    let kept: Vec<usize> = (0..n).filter(|&j| eigen.S()[j] > 1e-13 * largest).collect();
    Mat::from_fn(n, kept.len(), |i, j| {
        eigen.U()[(i, kept[j])] * eigen.S()[kept[j]].sqrt()
    })
}

fn same(a: &Fit, b: &Fit, what: &str) {
    let numbers = |fit: &Fit| {
        [
            fit.point.log_lik,
            fit.point.h2,
            fit.point.sigma2,
            fit.point.sigma2_e,
            fit.errors.h2,
        ]
    };
    for (x, y) in numbers(a).iter().zip(numbers(b)) {
        assert!(
            x.is_nan() && y.is_nan() || close(*x, y, 1e-8),
            "{what}: {:?} {:?}",
            numbers(a),
            numbers(b)
        );
    }
    assert!(
        a.beta.iter().zip(&b.beta).all(|(x, y)| close(*x, *y, 1e-9)),
        "{what}: {:?} {:?}",
        a.beta,
        b.beta
    );
    assert!(
        a.vcov
            .concat()
            .iter()
            .zip(b.vcov.concat())
            .all(|(x, y)| close(*x, y, 1e-8)),
        "{what}"
    );
}

fn check(data: &Data, method: Method, what: &str) {
    let w = factor(&data.k);
    let fast = data.fit_with(Kernel::LowRank(LowRank(w.as_ref(), true)), method);
    let (slow, fast) = match (data.fit(method), fast) {
        (Ok(slow), Ok(fast)) => (slow, fast),
        // ML may have no optimum: then neither way
        (slow, fast) => return assert_eq!(slow.err(), fast.err(), "{what}"),
    };
    same(&fast, &slow, what);
    // u = W alpha against u = K alpha
    let n = data.y.len();
    let predicted = |m: &Mat<f64>, alpha: &[f64], i: usize| (0..alpha.len()).map(|j| m[(i, j)] * alpha[j]).sum::<f64>();
    for i in 0..n {
        let (a, b) = (predicted(&w, &fast.alpha, i), predicted(&data.k, &slow.alpha, i));
        assert!((a - b).abs() < 1e-7, "{what} {i}: {a} {b}");
    }
}

#[test]
fn a_decomposition_gives_the_fit_of_its_matrix() {
    for (seed, n, p, rank) in [
        (1, 30, 0, 30),
        (2, 40, 1, 40),
        (3, 60, 3, 60),
        (4, 60, 2, 10),
        (5, 80, 6, 79),
        (6, 9, 2, 4),
    ] {
        for method in METHODS {
            check(&Data::new(seed, n, n, p, rank), method, &format!("{seed} {method:?}"));
        }
    }
}

#[test]
fn equal_eigenvalues_and_fixed_effects_inside_an_eigenspace_do_no_harm() {
    let n = 48;
    let mut data = Data::new(7, n, n, 3, n);
    // families of four: eigenvalues with multiplicities, and X constant within families
    data.k = Mat::from_fn(n, n, |i, j| match (i == j, i / 4 == j / 4) {
        (true, _) => 1.0,
        (_, true) => 0.5,
        _ => 0.0,
    });
    data.x = Mat::from_fn(n, 3, |i, j| [1.0, noise(8, i / 4, 0), noise(9, i, 0)][j]);
    for method in METHODS {
        check(&data, method, "families");
    }
    // a centred kernel: the intercept is its null vector
    let w = Mat::from_fn(n, 20, |i, j| noise(10, i, j));
    let mean = |j: usize| (0..n).map(|i| w[(i, j)]).sum::<f64>() / n as f64;
    let centred = Mat::from_fn(n, 20, |i, j| w[(i, j)] - mean(j));
    data.k = &centred * centred.transpose();
    check(&data, Method::Reml, "centred");
}

#[test]
fn scales_do_not_matter() {
    let data = Data::new(11, 40, 40, 2, 40);
    let w = factor(&data.k);
    let fit = |s: f64, t: f64| {
        let mut scaled = data.clone();
        scaled.y.iter_mut().for_each(|y| *y *= t);
        let w = Mat::from_fn(w.nrows(), w.ncols(), |i, j| w[(i, j)] * s);
        scaled
            .fit_with(Kernel::LowRank(LowRank(w.as_ref(), true)), Method::Reml)
            .unwrap()
    };
    let base = fit(1.0, 1.0);
    for (s, t) in [(1e-70, 1.0), (1e70, 1e100), (1.0, 1e-120)] {
        let other = fit(s, t);
        assert!(close(other.point.sigma2_e / t / t, base.point.sigma2_e, 1e-9));
        assert!(close(other.point.delta / s / s, base.point.delta, 1e-9));
    }
}
