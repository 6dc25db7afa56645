//! Every response of many equals its single fit.

use crate::definition::{Data, METHODS, close, noise};
use faer::Mat;
use fastlmm_core::kernel::Kernel;
use fastlmm_core::kernel::dense::Dense;
use fastlmm_core::kernel::low_rank::LowRank;
use fastlmm_core::kernel::sparse::Sparse;
use fastlmm_core::likelihood::Method;
use fastlmm_core::likelihood::optimize::Location;
use fastlmm_core::lmm::fit::{Fit, Options, Status, fit};
use fastlmm_core::lmm::look::{look, only_looked_at};
use fastlmm_core::lmm::many::{Fits, ManyOptions, fit_many};
use fastlmm_core::rotation::Model;
use fastlmm_core::runtime::error::Result;

/// Responses of every kind: signal, noise, no noise, tiny and large units, X alone.
fn responses(data: &Data, q: usize) -> Mat<f64> {
    let n = data.y.len();
    let signal = |i: usize, j: usize| data.y[i] * [1.0, 0.02, 0.3, -2.0][j % 4];
    let error = |i: usize, j: usize| (noise(90 + j, i, 1) - 0.5) * [0.5, 1.0, 4.0, 1e-3, 0.0][j % 5];
    let unit = |j: usize| [1.0, 1e-90, 1e80][j % 3];
    let mut y = Mat::from_fn(n, q, |i, j| {
        unit(j) * (signal(i, j) + error(i, j) + 0.1 * (j % 7) as f64)
    });
    if data.x.ncols() > 1 {
        (0..n).for_each(|i| y[(i, q - 1)] = 2.0 - data.x[(i, 1)]);
    }
    y
}

fn options(method: Method) -> Options {
    Options {
        method,
        threads: 2,
        tolerance: None,
    }
}

fn model<'a>(data: &'a Data, kernel: Kernel<'a>, index: &'a [usize], y: &'a [f64]) -> Model<'a> {
    Model {
        y,
        x: data.x.as_ref(),
        weights: &data.weights,
        z: &data.z,
        group: &data.group,
        kernel,
        index,
    }
}

fn many(data: &Data, kernel: Kernel<'_>, y: &Mat<f64>, method: Method) -> Fits {
    let index: Vec<usize> = (0..data.k.nrows()).collect();
    let request = ManyOptions {
        options: options(method),
        effects: true,
        floored: false,
    };
    fit_many(y.as_ref(), &model(data, kernel, &index, &[]), request, &mut ()).unwrap()
}

/// The single fit of the observed rows of a column; groups without rows get alpha 0, as they are left out of the fit.
fn single(data: &Data, kernel: Kernel<'_>, y: &Mat<f64>, j: usize, method: Method) -> Result<Fit> {
    let rows: Vec<usize> = (0..y.nrows()).filter(|&i| !y[(i, j)].is_nan()).collect();
    let mut part = data.clone();
    part.y = rows.iter().map(|&i| y[(i, j)]).collect();
    part.x = Mat::from_fn(rows.len(), data.x.ncols(), |i, c| data.x[(rows[i], c)]);
    part.weights = rows.iter().map(|&i| data.weights[i]).collect();
    part.z = rows.iter().map(|&i| data.z[i]).collect();
    part.group = rows.iter().map(|&i| data.group[i]).collect();
    let index: Vec<usize> = (0..data.k.nrows()).collect();
    fit(&model(&part, kernel, &index, &part.y), options(method), &mut ())
}

fn same_fit(a: &Fit, b: &Fit, label: &str) {
    assert_eq!((a.status, &a.kept), (b.status, &b.kept), "{label}");
    let location = |f: &Fit| f.optimum.as_ref().map(|o| o.best.location);
    assert_eq!(location(a), location(b), "{label}");
    let relative = |x: f64, y: f64, tolerance: f64| {
        x == y || (x.is_nan() && y.is_nan()) || (x - y).abs() <= tolerance * x.abs().max(y.abs())
    };
    let (p, q) = (&a.point, &b.point);
    assert!(close(p.log_lik, q.log_lik, 1e-9), "{label} {} {}", p.log_lik, q.log_lik);
    for (x, y) in [
        (p.delta, q.delta),
        (p.h2, q.h2),
        (p.sigma2, q.sigma2),
        (p.sigma2_e, q.sigma2_e),
    ] {
        assert!(relative(x, y, 1e-6), "{label} {p:?} {q:?}");
    }
    for (x, y) in [(a.errors.h2, b.errors.h2), (a.errors.sigma2, b.errors.sigma2)] {
        assert!(relative(x, y, 1e-6), "{label} {:?} {:?}", a.errors, b.errors);
    }
    let vectors = |x: &[f64], y: &[f64], what: &str| {
        let size = x.iter().chain(y).fold(0.0, |m: f64, v| m.max(v.abs()));
        assert_eq!(x.len(), y.len(), "{label} {what}");
        for (x, y) in x.iter().zip(y) {
            assert!((x - y).abs() <= 1e-6 * size, "{label} {what} {x:e} {y:e} {size:e}");
        }
    };
    vectors(&a.beta, &b.beta, "beta");
    vectors(&a.vcov.concat(), &b.vcov.concat(), "vcov");
    vectors(&a.alpha, &b.alpha, "alpha");
}

fn check(data: &Data, kernel: Kernel<'_>, y: &Mat<f64>, label: &str) {
    for method in METHODS {
        let found = many(data, kernel, y, method);
        for j in 0..y.ncols() {
            let label = format!("{label} {method:?} response {j}");
            match (&found.fits[j], single(data, kernel, y, j, method)) {
                (Ok(a), Ok(b)) => same_fit(a, &b, &label),
                (Err(a), Err(b)) => assert_eq!(a.class(), b.class(), "{label}"),
                (a, b) => panic!("{label} {:?} {:?}", a.is_ok(), b.is_ok()),
            }
        }
    }
}

/// Dense, low rank and independent, by few responses (rotations) and by many (eigenvectors).
fn check_kernels(data: &Data, label: &str) {
    let m = data.k.nrows();
    let w = |rank: usize| Mat::from_fn(m, rank, |i, j| noise(7, i, j) - 0.5);
    let (narrow, wide) = (w(m / 5 + 1), w(m + 3));
    for q in [2, 23] {
        let y = responses(data, q);
        check(
            data,
            Kernel::Dense(Dense(data.k.as_ref())),
            &y,
            &format!("{label} dense {q}"),
        );
        check(
            data,
            Kernel::LowRank(LowRank(narrow.as_ref(), false)),
            &y,
            &format!("{label} narrow {q}"),
        );
        check(
            data,
            Kernel::LowRank(LowRank(wide.as_ref(), false)),
            &y,
            &format!("{label} wide {q}"),
        );
        check(data, Kernel::Identity, &y, &format!("{label} identity {q}"));
    }
}

#[test]
fn each_response_equals_its_single_fit() {
    for (seed, n, m, p, rank) in [
        (1, 40, 40, 3, 40),
        (2, 40, 40, 1, 6),
        (3, 60, 17, 2, 17),
        (4, 60, 30, 0, 4),
    ] {
        let mut data = Data::new(seed, n, m, p, rank);
        check_kernels(&data, &format!("seed {seed}"));
        data.weights = (0..n).map(|i| 0.2 + noise(seed, i, 5)).collect();
        data.z = (0..n).map(|i| noise(seed, i, 6) - 0.4).collect();
        check_kernels(&data, &format!("seed {seed}, weights and slopes"));
    }
}

#[test]
fn factors_by_cross_products_and_by_svd() {
    let data = Data::new(11, 120, 120, 3, 5);
    let w = Mat::from_fn(120, 6, |i, j| noise(12, i, j) - 0.5);
    let deficient = Mat::from_fn(120, 6, |i, j| w[(i, j % 4)]);
    for w in [&w, &deficient] {
        check(
            &data,
            Kernel::LowRank(LowRank(w.as_ref(), false)),
            &responses(&data, 12),
            "factor",
        );
    }
}

#[test]
fn a_sparse_factor_is_the_same_factor() {
    let data = Data::new(15, 60, 20, 2, 20);
    // few columns and as many as there are groups: by columns, and by ids
    for k in [5, 20] {
        let w = Mat::from_fn(20, k, |i, j| {
            if (i + j).is_multiple_of(3) {
                noise(16, i, j) - 0.5
            } else {
                0.0
            }
        });
        let column = |j: usize| (0..20).filter(move |i| (i + j).is_multiple_of(3));
        let p: Vec<i32> = (0..=k)
            .map(|c| (0..c).map(|j| column(j).count() as i32).sum())
            .collect();
        let rows: Vec<usize> = (0..k).flat_map(column).collect();
        let x: Vec<f64> = (0..k)
            .flat_map(|j| column(j).map(move |i| (i, j)))
            .map(|at| w[at])
            .collect();
        let rows: Vec<i32> = rows.iter().map(|&i| i as i32).collect();
        let mut y = responses(&data, 6).subcols(0, 4).to_owned();
        (0..4).for_each(|i| y[(i, 1)] = f64::NAN);
        (0..7).for_each(|i| (2..4).for_each(|j| y[(i, j)] = f64::NAN));
        for method in METHODS {
            let sparse = many(
                &data,
                Kernel::Sparse(Sparse::new(20, &p, &rows, &x).unwrap()),
                &y,
                method,
            );
            let dense = many(&data, Kernel::LowRank(LowRank(w.as_ref(), false)), &y, method);
            for (a, b) in sparse.fits.iter().zip(&dense.fits) {
                let (Ok(a), Ok(b)) = (a, b) else {
                    panic!("{k}: a response failed")
                };
                let (found, exact) = (a.point.log_lik, b.point.log_lik);
                assert!((found - exact).abs() < 1e-8 * exact.abs(), "{k}: {found} {exact}");
                assert_eq!(a.alpha.len(), k);
                let largest = b.alpha.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
                let loss = a
                    .alpha
                    .iter()
                    .zip(&b.alpha)
                    .map(|(a, b)| (a - b).abs())
                    .fold(0.0, f64::max);
                assert!(loss <= 1e-6 * largest, "{k}: {loss} {largest}");
            }
        }
    }
}

#[test]
fn a_centred_kernel_keeps_its_null_direction_out_of_ml() {
    let mut data = Data::new(13, 30, 30, 2, 30);
    let mean: Vec<f64> = (0..30).map(|j| data.k.col(j).iter().sum::<f64>() / 30.0).collect();
    let grand = mean.iter().sum::<f64>() / 30.0;
    let k = data.k.clone();
    data.k = Mat::from_fn(30, 30, |i, j| k[(i, j)] - mean[i] - mean[j] + grand);
    check(
        &data,
        Kernel::Dense(Dense(data.k.as_ref())),
        &responses(&data, 20),
        "centred",
    );
}

#[test]
fn responses_explained_by_the_kernel_or_by_x() {
    let data = Data::new(14, 36, 9, 2, 9);
    let y = Mat::from_fn(36, 8, |i, j| {
        if j < 6 {
            noise(j, i % 9, 3)
        } else {
            data.x[(i, 1)] + j as f64
        }
    });
    check(&data, Kernel::Dense(Dense(data.k.as_ref())), &y, "explained");
    check(&data, Kernel::Identity, &y, "explained, identity");
    let found = many(&data, Kernel::Identity, &y, Method::Reml);
    let status = |j: usize| found.fits[j].as_ref().unwrap().status;
    assert_eq!((status(0), status(7)), (Status::ExplainedByKernel, Status::PerfectFit));
}

#[test]
fn holes_make_patterns_and_groups_vanish() {
    let data = Data::new(15, 40, 12, 2, 12);
    let mut y = responses(&data, 70);
    for j in 0..70 {
        // shared patterns, patterns of one, a response without a group, one with too few rows
        let holes: Vec<usize> = match j % 6 {
            0 | 1 => vec![],
            2 | 3 => vec![0, 12, 24, 36],
            4 => vec![j % 40, (j * 7) % 40],
            _ if j == 5 => (2..40).collect(),
            _ => vec![5],
        };
        holes.into_iter().for_each(|i| y[(i, j)] = f64::NAN);
    }
    for kernel in [Kernel::Dense(Dense(data.k.as_ref())), Kernel::Identity] {
        check(&data, kernel, &y, "holes");
        let found = many(&data, kernel, &y, Method::Reml);
        assert_eq!((found.nobs[0], found.nobs[2], found.nobs[5]), (40, 36, 2));
        assert_eq!(found.fits[5].as_ref().err().unwrap().class(), "too_few_rows");
        assert_eq!(found.fits[2].as_ref().unwrap().alpha[0], 0.0);
    }
}

#[test]
fn a_bad_response_stops_nobody() {
    let data = Data::new(16, 30, 30, 2, 30);
    let mut y = responses(&data, 10);
    for i in 0..30 {
        y[(i, 1)] = 3.0;
        y[(i, 2)] = f64::NAN;
    }
    y[(4, 3)] = f64::INFINITY;
    let found = many(&data, Kernel::Dense(Dense(data.k.as_ref())), &y, Method::Reml);
    let class = |j: usize| {
        found.fits[j]
            .as_ref()
            .err()
            .map(fastlmm_core::runtime::error::Error::class)
    };
    assert_eq!(
        [class(1), class(2), class(3)],
        [Some("constant_response"), Some("no_rows"), Some("nonfinite")]
    );
    assert!([0, 4, 5, 6, 7, 8].iter().all(|&j| class(j).is_none()));
}

#[test]
fn both_borders_are_found() {
    let n = 16;
    let mut data = Data::new(5, n, n, 0, n);
    data.k = Mat::from_fn(n, n, |i, j| if i == j { 1.0 + i as f64 } else { 0.0 });
    let y = Mat::from_fn(n, 4, |i, j| (1.0 + i as f64).powf(if j % 2 == 0 { 0.5 } else { -0.5 }));
    check(&data, Kernel::Dense(Dense(data.k.as_ref())), &y, "borders");
    let found = many(&data, Kernel::Dense(Dense(data.k.as_ref())), &y, Method::Reml);
    let location = |j: usize| found.fits[j].as_ref().unwrap().optimum.as_ref().unwrap().best.location;
    assert_eq!((location(0), location(1)), (Location::Lower, Location::Upper));
}

#[test]
fn an_interrupt_ends_the_call() {
    struct Impatient;
    impl fastlmm_core::runtime::monitor::Monitor for Impatient {
        fn stop(&mut self) -> bool {
            true
        }
    }
    let data = Data::new(17, 20, 20, 1, 20);
    let index: Vec<usize> = (0..20).collect();
    let model = model(&data, Kernel::Identity, &index, &[]);
    let request = ManyOptions {
        options: options(Method::Reml),
        effects: false,
        floored: false,
    };
    let error = fit_many(responses(&data, 3).as_ref(), &model, request, &mut Impatient);
    assert_eq!(error.err().map(|e| e.class()), Some("interrupted"));
}

/// REML and ML of the rows that are left, weights and covariates too; a response that no pattern makes cheap is fitted.
#[test]
fn responses_that_lack_rows_have_their_likelihood_by_the_decomposition_of_all_rows() {
    let (n, q) = (60, 7);
    let place = |i: usize| noise(3, i, 0);
    for (roughness, floored) in [(1.0, false), (2.0, true)] {
        let k = Mat::from_fn(n, n, |i, j| {
            (-(4.0 * (place(i) - place(j))).abs().powf(roughness)).exp()
        });
        let x = Mat::from_fn(n, 3, |i, j| if j == 0 { 1.0 } else { noise(4, i, j) });
        let weights: Vec<f64> = (0..n).map(|i| 0.5 + noise(5, i, 0)).collect();
        let (ones, rows): (Vec<f64>, Vec<usize>) = (vec![1.0; n], (0..n).collect());
        let hole = |i: usize, j: usize| j > 0 && (i * 7 + 11 * j) % n < j;
        let signal = |i: usize, j: usize| (6.0 * place(i) + j as f64).sin() * [1.0, 0.2, 3.0][j % 3] + x[(i, 1)];
        let y = Mat::from_fn(n, q, |i, j| {
            if hole(i, j) {
                f64::NAN
            } else {
                signal(i, j) + noise(6, i, j)
            }
        });
        let model = Model {
            y: &ones,
            x: x.as_ref(),
            weights: &weights,
            z: &ones,
            group: &rows,
            kernel: Kernel::Dense(Dense(k.as_ref())),
            index: &rows,
        };
        let cheap = only_looked_at(y.as_ref());
        assert!(cheap.len() >= 3 && cheap.len() < q, "{cheap:?}");
        for method in METHODS {
            let request = ManyOptions {
                options: options(method),
                effects: false,
                floored,
            };
            let looked = look(y.as_ref(), &model, request, &mut ()).unwrap();
            let fitted = fit_many(y.as_ref(), &model, request, &mut ()).unwrap();
            assert_eq!(looked.nobs, fitted.nobs);
            for j in 0..q {
                let value = |fits: &Fits| fits.fits[j].as_ref().unwrap().point.log_lik;
                let (a, b) = (value(&looked), value(&fitted));
                assert!(
                    (a - b).abs() < 1e-8 * b.abs().max(1.0),
                    "{roughness} {method:?} {j}: {a} {b}"
                );
                assert_eq!(looked.fits[j].as_ref().unwrap().beta.is_empty(), cheap.contains(&j));
            }
        }
    }
}
