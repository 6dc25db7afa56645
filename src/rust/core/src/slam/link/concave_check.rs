//! Rows of a trait that are drawn together, each against its density; the log likelihood along a line against its rows.

use super::check::{DRAWS, moments, stream};
use super::*;

/// Rows are drawn together, and each has the density that it has alone.
fn follows(name: &str, link: &dyn Link, parameters: &[f64], expected: ExpectedRows<'_>) {
    const FAR: f64 = 9.0;
    let (mut rng, rows) = (stream(1), expected.means.len());
    let mut eta: Vec<f64> = (0..rows).map(|row| link.start(row)).collect();
    let mut draws = vec![vec![]; rows];
    for _ in 0..DRAWS {
        link.draw_rows(&mut eta, expected, parameters, &mut rng);
        draws.iter_mut().zip(&eta).for_each(|(draws, eta)| draws.push(*eta));
    }
    let sd = expected.variance.sqrt();
    for row in 0..rows {
        let (name, prior, last) = (format!("{name}, row {row}"), expected.means[row], eta[row]);
        let range = (prior.min(last) - FAR * sd, prior.max(last) + FAR * sd);
        let (mean, spread) = moments(link, parameters, (row, expected.row(row)), range);
        let found = draws[row].iter().sum::<f64>() / DRAWS as f64;
        let deviation = (draws[row].iter().map(|x| (x - mean).powi(2)).sum::<f64>() / DRAWS as f64).sqrt();
        assert!(
            (found - mean).abs() < 4.7 * spread / (DRAWS as f64).sqrt(),
            "{name}: {found}, not {mean}"
        );
        assert!(
            (deviation / spread - 1.0).abs() < 0.04,
            "{name}: spread {deviation}, not {spread}"
        );
    }
}

/// Means and a variance.
const CASES: [(f64, f64); 5] = [(0.0, 1.0), (2.0, 0.1), (-3.0, 4.0), (5.0, 0.01), (-8.0, 9.0)];

const COUNTS: [f64; 6] = [0.0, 1.0, 7.0, f64::NAN, 400.0, 1e6];

#[test]
fn counts_follow_their_density() {
    for (mean, variance) in CASES {
        let means = &[mean; COUNTS.len()];
        let expected = ExpectedRows { means, variance };
        let (y, offset) = (COUNTS.to_vec(), vec![0.7; COUNTS.len()]);
        let poisson = Poisson {
            y: y.clone(),
            offset: offset.clone(),
        };
        follows(&format!("poisson {mean} {variance}"), &poisson, &[], expected);
        let negative = NegativeBinomial { y, offset };
        for r in [0.05, 3.0, 1e5] {
            let name = format!("negative binomial {r} {mean} {variance}");
            follows(&name, &negative, &[r], expected);
        }
    }
}

#[test]
fn proportions_follow_their_density() {
    for (mean, variance) in CASES {
        for more in [0.0, 5.0] {
            let binomial = Binomial {
                y: COUNTS.to_vec(),
                trials: COUNTS.iter().map(|y| or_zero(*y).max(1.0) + more).collect(),
            };
            let means = &[mean; COUNTS.len()];
            let expected = ExpectedRows { means, variance };
            follows(&format!("binomial {more} {mean} {variance}"), &binomial, &[], expected);
        }
    }
}

#[test]
fn levels_and_weights_follow_their_density() {
    for (mean, variance) in CASES {
        let (y, means) = (vec![0.0, 1.0, f64::NAN, 3.0, 2.0], &[mean; 5]);
        let expected = ExpectedRows { means, variance };
        let ordinal = Ordinal { y, levels: 4 };
        follows(&format!("level {mean} {variance}"), &ordinal, &[0.8, 2.0], expected);
        let weighted = KnownPrecision {
            y: vec![0.0, 1.0, 3.0, 7.0, -2.0],
            w: vec![2.5, 0.1, 40.0, 0.0, 1.0],
        };
        follows(&format!("weight {mean} {variance}"), &weighted, &[], expected);
    }
}

/// Curves along which coefficients are drawn, against the sum of log likelihoods.
#[test]
fn likelihoods_along_a_line_are_sums_of_rows() {
    let y = vec![0.0, 3.0, f64::NAN, 1.0, 2.0, 30.0];
    let known = vec![0.3, -1.0, 0.5, 2.0, 0.0, 1.0];
    let weights: Vec<f64> = known.iter().map(|x: &f64| x.abs()).collect();
    let trials = vec![1.0, 3.0, 2.0, 4.0, 2.0, 50.0];
    let observed: Vec<f64> = y.iter().map(|y| or_zero(*y)).collect();
    let links: [(Box<dyn Link>, &[f64]); 4] = [
        (
            Box::new(Poisson {
                y: y.clone(),
                offset: known.clone(),
            }),
            &[],
        ),
        (
            Box::new(NegativeBinomial {
                y: y.clone(),
                offset: known,
            }),
            &[1.7],
        ),
        (Box::new(Binomial { y, trials }), &[]),
        (
            Box::new(KnownPrecision {
                y: observed,
                w: weights,
            }),
            &[],
        ),
    ];
    let eta = [0.2, -0.5, 3.0, 1.0, -2.0, 0.7];
    for (link, parameters) in &links {
        for x in [[1.5; 6], [0.3, -1.0, 2.0, 0.0, 1.0, 0.5]] {
            let along = link.along(&eta, &x, parameters);
            let whole = |d: f64| -> f64 {
                (0..6)
                    .map(|i| link.log_likelihood(i, eta[i] + d * x[i], parameters))
                    .sum()
            };
            for d in [-2.0, 0.1, 1.3] {
                let (found, expected) = (along(d) - along(0.4), whole(d) - whole(0.4));
                assert!(
                    (found - expected).abs() < 1e-12 * (1.0 + expected.abs()),
                    "{found} {expected}"
                );
            }
        }
    }
}
