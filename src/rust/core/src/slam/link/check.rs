//! Each link's draws against the density of eta, integrated by midpoints; limits in which a link is no link.

use super::*;
use crate::slam::rng::{Block, Source};

pub const DRAWS: usize = 20_000;

pub fn stream(place: usize) -> Stream {
    Source { seed: 4, chain: 0 }.stream(0, Block::Missing, place)
}

/// Mean and standard deviation of eta of a row given its datum.
pub fn moments(
    link: &dyn Link,
    parameters: &[f64],
    (row, expected): (usize, Expected),
    range: (f64, f64),
) -> (f64, f64) {
    const POINTS: usize = 400_000;
    let step = (range.1 - range.0) / POINTS as f64;
    let grid: Vec<f64> = (0..POINTS).map(|i| range.0 + step * (i as f64 + 0.5)).collect();
    let prior = |x: f64| -0.5 * (x - expected.mean).powi(2) / expected.variance;
    let log = |x: &f64| link.log_likelihood(row, *x, parameters) + prior(*x);
    let logs: Vec<f64> = grid.iter().map(log).collect();
    let top = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mean_of = |value: &dyn Fn(f64) -> f64| {
        let weighted = grid.iter().zip(&logs).map(|(x, l)| value(*x) * (l - top).exp());
        weighted.sum::<f64>() / logs.iter().map(|l| (l - top).exp()).sum::<f64>()
    };
    let mean = mean_of(&|x| x);
    (mean, mean_of(&|x| (x - mean).powi(2)).sqrt())
}

fn follows(name: &str, link: &dyn Link, parameters: &[f64], expected: Expected, far: f64) {
    let mut rng = stream(1);
    let mut now = link.start(0);
    let draws: Vec<f64> = (0..DRAWS)
        .map(|_| {
            now = link.draw(0, now, expected, parameters, &mut rng);
            now
        })
        .collect();
    let sd = expected.variance.sqrt();
    let (low, high) = (expected.mean.min(now) - far * sd, expected.mean.max(now) + far * sd);
    let (mean, spread) = moments(link, parameters, (0, expected), (low, high));
    let found = draws.iter().sum::<f64>() / DRAWS as f64;
    let deviation = (draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / DRAWS as f64).sqrt();
    assert!(
        (found - mean).abs() < 4.5 * spread / (DRAWS as f64).sqrt(),
        "{name}: {found}, not {mean}"
    );
    assert!(
        (deviation / spread - 1.0).abs() < 0.04,
        "{name}: spread {deviation}, not {spread}"
    );
}

fn cases() -> Vec<Expected> {
    let all = [(0.0, 1.0), (2.0, 0.1), (-3.0, 4.0), (5.0, 0.01), (-8.0, 9.0)];
    all.map(|(mean, variance)| Expected { mean, variance }).into()
}

#[test]
fn counts_and_proportions_follow_their_density() {
    for expected in cases() {
        for y in [0.0, 1.0, 7.0, 400.0, 1e6] {
            let (y, offset) = (vec![y], vec![0.7]);
            let poisson = Poisson {
                y: y.clone(),
                offset: offset.clone(),
            };
            follows(&format!("poisson {y:?} {expected:?}"), &poisson, &[], expected, 9.0);
            let negative = NegativeBinomial { y: y.clone(), offset };
            for r in [0.05, 3.0, 1e5] {
                follows(
                    &format!("negative binomial {y:?} {r} {expected:?}"),
                    &negative,
                    &[r],
                    expected,
                    9.0,
                );
            }
            for trials in [y[0].max(1.0), y[0] + 5.0] {
                let binomial = Binomial {
                    y: y.clone(),
                    trials: vec![trials],
                };
                follows(
                    &format!("binomial {y:?} of {trials} {expected:?}"),
                    &binomial,
                    &[],
                    expected,
                    9.0,
                );
            }
        }
    }
}

#[test]
fn levels_and_weights_follow_their_density() {
    for expected in cases() {
        for y in [0.0, 1.0, 3.0] {
            let ordinal = Ordinal { y: vec![y], levels: 4 };
            follows(&format!("level {y} {expected:?}"), &ordinal, &[0.8, 2.0], expected, 9.0);
            let weighted = KnownPrecision {
                y: vec![y],
                w: vec![2.5],
            };
            follows(&format!("weight {y} {expected:?}"), &weighted, &[], expected, 9.0);
            let columns = Probes {
                y: faer::Mat::from_fn(3, 1, |l, _| [y, f64::NAN, y - 2.0][l]),
                noise: vec![crate::slam::prior::Variance::Fixed(1.0); 3],
                spread: 1.0,
            };
            let parameters = [0.3, -0.5, 0.2, 0.4, 1.0, 2.0];
            follows(
                &format!("columns {y} {expected:?}"),
                &columns,
                &parameters,
                expected,
                9.0,
            );
        }
    }
}

#[test]
fn truncated_draws_stay_inside_and_tails_keep_their_digits() {
    let mut rng = stream(2);
    for (low, high) in [
        (8.0, f64::INFINITY),
        (30.0, 30.001),
        (-40.0, -39.0),
        (f64::NEG_INFINITY, -12.0),
        (-0.1, 0.1),
    ] {
        for _ in 0..1000 {
            let x = truncated::draw_between(low, high, &mut rng);
            assert!(low <= x && x <= high, "{x} of {low} to {high}");
        }
    }
    // against the tail by its continued fraction, and a small interval by its density
    let log = truncated::log_probability(8.0, f64::INFINITY);
    assert!((log - -35.013_437_159_914_55).abs() < 1e-9, "{log}");
    let near = truncated::log_probability(-1e-5, 1e-5);
    assert!((near - (2e-5 * 0.398_942_280_401_432_7f64).ln()).abs() < 1e-9);
    let far = truncated::log_probability(f64::NEG_INFINITY, -60.0);
    assert!((far - truncated::log_probability(60.0, f64::INFINITY)).abs() < 1e-12 && far < -1800.0);
    assert_eq!(truncated::log_probability(f64::NEG_INFINITY, f64::INFINITY), 0.0);
}

/// Weights without bound: the datum; none: no datum.
#[test]
fn known_precisions_have_both_ends() {
    let expected = Expected {
        mean: 3.0,
        variance: 2.0,
    };
    let link = KnownPrecision {
        y: vec![1.5, f64::NAN],
        w: vec![1e300, 0.0],
    };
    let mut rng = stream(3);
    assert!((link.draw(0, 0.0, expected, &[], &mut rng) - 1.5).abs() < 1e-12);
    let free: Vec<f64> = (0..4000).map(|_| link.draw(1, 0.0, expected, &[], &mut rng)).collect();
    let mean = free.iter().sum::<f64>() / 4000.0;
    assert!((mean - 3.0).abs() < 0.1, "{mean}");
    assert_eq!(link.log_likelihood(1, 2.0, &[]), 0.0);
}

/// Wherever the search for the mode begins, also where the exponential overflows, it ends at the mode.
#[test]
fn searches_come_back_from_where_slopes_overflow() {
    let mut rng = stream(4);
    for offset in [-900.0, 0.0, 900.0] {
        let expected = Expected {
            mean: -offset,
            variance: 1e6,
        };
        let data = || (vec![5.0], vec![offset]);
        let links: [(Box<dyn Link>, &[f64]); 2] = [
            (
                Box::new(Poisson {
                    y: data().0,
                    offset: data().1,
                }),
                &[],
            ),
            (
                Box::new(NegativeBinomial {
                    y: data().0,
                    offset: data().1,
                }),
                &[2.0],
            ),
        ];
        for (link, parameters) in &links {
            for now in [-3000.0, 0.0, 700.0, 5000.0] {
                let eta = link.draw(0, now - offset, expected, parameters, &mut rng);
                assert!((eta + offset).abs() < 30.0, "{eta} from {now} with offset {offset}");
            }
        }
    }
}

/// Normal data are these themselves: log likelihoods differ from theirs by what does not depend on eta.
#[test]
fn normal_data_of_normal_links_are_theirs() {
    let weighted = KnownPrecision {
        y: vec![0.4, -2.0, f64::NAN],
        w: vec![2.5, 0.1, 0.0],
    };
    let columns = Probes {
        y: faer::Mat::from_fn(
            3,
            3,
            |l, i| if l <= i { f64::sin((l + 4 * i) as f64) } else { f64::NAN },
        ),
        noise: vec![crate::slam::prior::Variance::Fixed(1.0); 3],
        spread: 1.0,
    };
    let links: [(&dyn Link, &[f64]); 2] = [(&weighted, &[]), (&columns, &[0.3, -0.5, 0.2, 0.4, 1.0, 2.0])];
    for (link, parameters) in links {
        let about = link.normal_data(parameters, 3);
        for row in 0..3 {
            let left = |eta: f64| {
                link.log_likelihood(row, eta, parameters) + 0.5 * about.w[row] * (about.y[row] - eta).powi(2)
            };
            assert!(link.is_normal() && (left(-1.3) - left(2.1)).abs() < 1e-12, "{row}");
        }
    }
}

/// Of large counts they are where the likelihood is largest, as sharp as it is; of none they are nothing.
#[test]
fn normal_data_of_counts_are_about_their_likelihood() {
    let (y, offset, r) = (vec![3.0, 4e4, 0.0, f64::NAN, 0.0], vec![0.7; 5], 6.0);
    let about = NegativeBinomial {
        y: y.clone(),
        offset: offset.clone(),
    }
    .normal_data(&[r], 5);
    assert!(about.w[3] == 0.0 && about.w.iter().chain(&about.y).all(|x| x.is_finite()));
    assert!((about.y[1] - (4e4_f64.ln() - 0.7)).abs() < 1e-3 && (about.w[1] - r).abs() < 1e-2);
    let about = Poisson { y, offset }.normal_data(&[], 5);
    assert!((about.y[1] - (4e4_f64.ln() - 0.7)).abs() < 1e-3 && (about.w[1] / 4e4 - 1.0).abs() < 1e-2);
    assert!(about.w[0] > about.w[2] && about.w[2] > 0.0 && about.y[2] < about.y[0]);
}
