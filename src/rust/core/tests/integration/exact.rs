//! The exact route of Gaussian processes: its deviance to second order against differences, and against the rotated data.

use faer::{Mat, Par};
use fastlmm_core::gp::Process;
use fastlmm_core::gp::exact::Exact;
use fastlmm_core::gp::local::About;
use fastlmm_core::kernel::stationary::Family;
use fastlmm_core::likelihood::{Criterion, Method};

const STEP: f64 = 1e-5;

fn rows(n: usize) -> (Vec<Vec<f64>>, Vec<f64>, Mat<f64>, Vec<f64>) {
    let scattered = |i: usize, k: f64| (i as f64 * k).fract();
    let coordinates: Vec<Vec<f64>> = [0.618_033_988_7, 0.754_877_666_2]
        .iter()
        .map(|k| (0..n).map(|i| scattered(i + 1, *k)).collect())
        .collect();
    let y = (0..n)
        .map(|i| (5.0 * coordinates[0][i]).sin() + scattered(i + 1, 0.414_213_56))
        .collect();
    let x = Mat::from_fn(n, 2, |i, j| if j == 0 { 1.0 } else { 1e4 + coordinates[1][i] });
    let weights = (0..n).map(|i| 0.5 + scattered(i + 1, 0.236_067_98)).collect();
    (coordinates, y, x, weights)
}

#[test]
fn the_exact_deviance_to_second_order_is_that_of_differences() {
    let (coordinates, y, x, weights) = rows(40);
    let columns = || coordinates.iter().map(Vec::as_slice).collect();
    let directions = [vec![1.0, 0.0], vec![1.0, 1.0]];
    for family in [Family::ExpQuad, Family::Matern12, Family::Matern32, Family::Matern52] {
        let exact = Exact::new(family, columns(), &y, x.as_ref(), &weights).unwrap();
        for method in [Method::Reml, Method::Ml] {
            let moved = |by: [f64; 3]| {
                let at = [0.3 * (by[0] + by[1]).exp(), 0.2 * by[1].exp()];
                let here = exact
                    .near(
                        About {
                            method,
                            at: &at,
                            delta: 0.4 * by[2].exp(),
                            directions: &directions,
                        },
                        Par::Seq,
                    )
                    .unwrap()
                    .unwrap();
                let alone = exact
                    .estimates(method, &at, 0.4 * by[2].exp(), Par::Seq)
                    .unwrap()
                    .unwrap();
                assert!((alone.point.log_lik - here.estimates.point.log_lik).abs() < 1e-10 * here.local.value.abs());
                here
            };
            let here = moved([0.0; 3]);
            let close = |exact: f64, up: f64, down: f64| {
                let difference = (up - down) / (2.0 * STEP);
                assert!(
                    (exact - difference).abs() < 1e-5 * (1.0 + exact.abs()),
                    "{family:?} {method:?} {exact} {difference}"
                );
            };
            for k in 0..3 {
                let by = |step: f64| moved(std::array::from_fn(|i| if i == k { step } else { 0.0 }));
                let (up, down) = (by(STEP), by(-STEP));
                close(here.local.gradient[k], up.local.value, down.local.value);
                let log = |h: &fastlmm_core::gp::local::Here| h.estimates.point.sigma2.ln();
                close(here.local.log_q[k], log(&up), log(&down));
                (0..3).for_each(|l| close(here.local.hessian[k][l], up.local.gradient[l], down.local.gradient[l]));
            }
            let rotated = exact.rotated(&[0.3, 0.2], Par::Seq).unwrap();
            let criterion = Criterion { data: &rotated, method };
            let t = (0.4 / rotated.k_scale).ln();
            assert!((criterion.deviance(t) - here.local.value).abs() < 1e-9 * here.local.value.abs());
            assert!((criterion.deviance_at(0.0, 1.0) - here.estimates.nothing).abs() < 1e-9 * here.local.value.abs());
        }
    }
}
