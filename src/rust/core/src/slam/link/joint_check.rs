//! Links of several columns and of several traits against conditional normal distributions that are written out.

use super::*;
use crate::slam::prior::{InverseGamma, Variance};
use crate::slam::rng::{Block, Source};
use faer::linalg::solvers::DenseSolveCore;
use faer::{Mat, MatRef};

const DRAWS: usize = 20_000;

/// Parameters that do not look at what is expected of eta.
const NOTHING: ExpectedRows<'_> = ExpectedRows {
    means: &[],
    variance: 1.0,
};

fn stream(place: usize) -> Stream {
    Source { seed: 6, chain: 0 }.stream(0, Block::Missing, place)
}

/// Draws have this mean and covariance.
fn follow(name: &str, draw: impl Fn(&mut Stream) -> Vec<f64>, mean: MatRef<'_, f64>, covariance: MatRef<'_, f64>) {
    let (mut rng, size) = (stream(1), mean.nrows());
    let (mut sum, mut square) = (vec![0.0; size], Mat::<f64>::zeros(size, size));
    for _ in 0..DRAWS {
        let away: Vec<f64> = draw(&mut rng)
            .iter()
            .enumerate()
            .map(|(a, x)| x - mean[(a, 0)])
            .collect();
        for a in 0..size {
            sum[a] += away[a];
            (0..size).for_each(|b| square[(a, b)] += away[a] * away[b]);
        }
    }
    let count = DRAWS as f64;
    for a in 0..size {
        let z = sum[a] / (count * covariance[(a, a)]).sqrt();
        assert!(z.abs() < 4.5, "{name}: mean of {a}: {z}");
        for b in 0..size {
            let spread = (covariance[(a, a)] * covariance[(b, b)] + covariance[(a, b)].powi(2)).sqrt();
            let z = (square[(a, b)] / count - covariance[(a, b)]) * count.sqrt() / spread;
            assert!(z.abs() < 4.5, "{name}: covariance of {a} and {b}: {z}");
        }
    }
}

fn probes(spread: f64) -> Probes {
    let y = |l: usize, i: usize| {
        if (l + 2 * i).is_multiple_of(5) {
            f64::NAN
        } else {
            (l * 7 + i * 3) as f64 % 5.0
        }
    };
    Probes {
        y: Mat::from_fn(4, 6, y),
        noise: [0.5, 2.0, 1.0, 0.1].map(Variance::Fixed).into(),
        spread,
    }
}

/// Means that sum to 0 are C a, C any basis of what sums to 0.
#[test]
fn means_of_columns_follow_their_density() {
    let eta: Vec<f64> = (0..6).map(|i| 0.3 * i as f64).collect();
    let contrasts = Mat::from_fn(4, 3, |l, m| {
        if l == m {
            1.0
        } else if l == 3 {
            -1.0
        } else {
            0.0
        }
    });
    for spread in [f64::INFINITY, 0.7] {
        let link = probes(spread);
        let v: Vec<f64> = link.start_parameters()[4..].to_vec();
        let mut weights = Mat::<f64>::zeros(4, 4);
        let mut right = Mat::<f64>::zeros(4, 1);
        for l in 0..4 {
            weights[(l, l)] = spread.recip();
            for i in (0..6).filter(|&i| !link.y[(l, i)].is_nan()) {
                weights[(l, l)] += v[l].recip();
                right[(l, 0)] += (link.y[(l, i)] - eta[i]) / v[l];
            }
        }
        let precision = contrasts.transpose() * &weights * &contrasts;
        let covariance = &contrasts * precision.partial_piv_lu().inverse() * contrasts.transpose();
        let mean = &covariance * &right;
        let draw = |rng: &mut Stream| {
            let mut parameters = link.start_parameters();
            link.draw_parameters(&eta, NOTHING, &mut parameters, rng);
            assert!(parameters[..4].iter().sum::<f64>().abs() < 1e-12);
            parameters[..3].to_vec()
        };
        follow("means", draw, mean.subrows(0, 3), covariance.submatrix(0, 0, 3, 3));
    }
}

#[test]
fn noise_of_columns_is_inverse_gamma() {
    let prior = InverseGamma { shape: 3.0, scale: 1.5 };
    let link = Probes {
        noise: vec![prior.into()],
        y: Mat::from_fn(1, 6, |_, i| i as f64),
        spread: 1.0,
    };
    let (eta, mut rng) = ([0.5; 6], stream(2));
    let square: f64 = (0..6).map(|i| (i as f64 - 0.5).powi(2)).sum();
    let (shape, scale) = (3.0 + 3.0, 1.5 + 0.5 * square);
    let mut parameters = link.start_parameters();
    assert_eq!(parameters.len(), 1);
    let draw = |_: usize| {
        link.draw_parameters(&eta, NOTHING, &mut parameters, &mut rng);
        parameters[0].recip()
    };
    let mean = (0..DRAWS).map(draw).sum::<f64>() / DRAWS as f64;
    let z = (mean - shape / scale) / (shape.sqrt() / scale) * (DRAWS as f64).sqrt();
    assert!(z.abs() < 4.5, "{z}");
}

/// Points at times of each row: none, one, two, five.
fn design(row: usize) -> Mat<f64> {
    let points = [0, 1, 2, 5][row % 4];
    Mat::from_fn(points, 3, |t, j| ((t + 1) as f64 * 0.4).powi(j as i32))
}

const ROWS: usize = 8;

fn data(row: usize) -> Mat<f64> {
    Mat::from_fn(design(row).nrows(), 1, |t, _| ((3 * row + 5 * t) % 7) as f64 - 2.0)
}

/// Least squares of the smallest size, by the inverse of X'X plus next to nothing.
fn least_squares(x: &Mat<f64>, y: &Mat<f64>) -> Mat<f64> {
    let gram = x * x.transpose();
    let inverse = (&gram + Mat::<f64>::identity(gram.nrows(), gram.nrows()) * faer::Scale(1e-13))
        .partial_piv_lu()
        .inverse();
    if x.nrows() <= x.ncols() {
        return x.transpose() * inverse * y;
    }
    (x.transpose() * x).partial_piv_lu().inverse() * x.transpose() * y
}

fn curves() -> Curves {
    let fitted: Vec<Mat<f64>> = (0..ROWS).map(|i| least_squares(&design(i), &data(i))).collect();
    let left = |i: usize| (&data(i) - design(i) * &fitted[i]).squared_norm_l2();
    Curves {
        grams: (0..4).map(|set| design(set).transpose() * design(set)).collect(),
        times: (0..ROWS).map(|i| i % 4).collect(),
        fitted: Mat::from_fn(ROWS, 3, |i, j| fitted[i][(j, 0)]),
        start: Mat::zeros(ROWS, 3),
        left: (0..ROWS).map(left).sum(),
        points: (0..ROWS).map(|i| data(i).nrows() as f64).sum(),
        noise: InverseGamma { shape: 3.0, scale: 1.5 }.into(),
    }
}

#[test]
fn coefficients_of_curves_follow_their_density() {
    let link = curves();
    let mean = Mat::from_fn(ROWS, 3, |i, j| (i as f64 - 2.0) * 0.3 + j as f64);
    let (variance, v) = ([0.7, 0.2, 3.0], 0.4);
    for row in 0..ROWS {
        let x = design(row);
        let prior = Mat::from_fn(3, 3, |i, j| if i == j { 1.0 / variance[i] } else { 0.0 });
        let precision = x.transpose() * &x * faer::Scale(1.0 / v) + &prior;
        let covariance = precision.partial_piv_lu().inverse();
        let right = x.transpose() * data(row) * faer::Scale(1.0 / v) + &prior * mean.row(row).transpose().as_mat();
        let centre = &covariance * right;
        let draw = |rng: &mut Stream| {
            let eta = link.draw(mean.as_ref(), &variance, &[v], rng).unwrap();
            (0..3).map(|j| eta[(row, j)]).collect()
        };
        follow(&format!("row {row}"), draw, centre.as_ref(), covariance.as_ref());
    }
}

#[test]
fn noise_of_curves_is_inverse_gamma() {
    let link = curves();
    let eta = Mat::from_fn(ROWS, 3, |i, j| (i as f64 - 2.0) * 0.3 + j as f64);
    let away = |i: usize| (data(i) - design(i) * eta.row(i).transpose().as_mat()).squared_norm_l2();
    let square: f64 = (0..ROWS).map(away).sum();
    let (shape, scale) = (3.0 + 0.5 * link.points, 1.5 + 0.5 * square);
    let (mut rng, mut parameters) = (stream(3), vec![1.0]);
    let draw = |_: usize| {
        link.draw_parameters(eta.as_ref(), &mut parameters, &mut rng);
        parameters[0].recip()
    };
    let mean = (0..DRAWS).map(draw).sum::<f64>() / DRAWS as f64;
    let z = (mean - shape / scale) / (shape.sqrt() / scale) * (DRAWS as f64).sqrt();
    assert!(z.abs() < 4.5, "{z}");
}

/// The step of B in vec(B), columns of X first: rows of data see `(x_i' x X_i) vec(d)`.
#[test]
fn steps_of_coefficients_follow_their_density() {
    let (link, v) = (curves(), 0.4);
    let eta = Mat::from_fn(ROWS, 3, |i, j| (i as f64 - 2.0) * 0.3 + j as f64);
    let x = Mat::from_fn(ROWS, 2, |i, l| if l == 0 { 1.0 } else { (i % 3) as f64 });
    let b = Mat::from_fn(2, 3, |l, j| l as f64 - 0.4 * j as f64);
    let prior = [None, Some(0.6)];
    let mut precision = Mat::<f64>::zeros(6, 6);
    let mut right = Mat::<f64>::zeros(6, 1);
    for l in 0..2 {
        for j in 0..3 {
            let own = prior[l].map_or(0.0, f64::recip);
            precision[(l * 3 + j, l * 3 + j)] += own;
            right[(l * 3 + j, 0)] -= own * b[(l, j)];
        }
    }
    for row in 0..ROWS {
        let points = design(row);
        let seen = Mat::from_fn(points.nrows(), 6, |t, at| x[(row, at / 3)] * points[(t, at % 3)]);
        precision += seen.transpose() * &seen * faer::Scale(1.0 / v);
        let left = data(row) - &points * eta.row(row).transpose().as_mat();
        right += seen.transpose() * left * faer::Scale(1.0 / v);
    }
    let covariance = precision.partial_piv_lu().inverse();
    let mean = &covariance * right;
    let draw = |rng: &mut Stream| {
        let step = link
            .draw_step(x.as_ref(), (b.as_ref(), &prior), eta.as_ref(), &[v], rng)
            .unwrap();
        (0..6).map(|at| step[(at / 3, at % 3)]).collect()
    };
    follow("steps", draw, mean.as_ref(), covariance.as_ref());
}

/// Points without noise are the coefficients, as far as they tell; without points there is what is expected.
#[test]
fn curves_have_both_ends() {
    let link = curves();
    let mean = Mat::from_fn(ROWS, 3, |i, j| (i + j) as f64);
    let mut rng = stream(4);
    let sure = link.draw(mean.as_ref(), &[1.0, 2.0, 3.0], &[1e-12], &mut rng).unwrap();
    for row in 0..ROWS {
        let found = design(row) * sure.row(row).transpose().as_mat();
        let wanted = design(row) * link.fitted.row(row).transpose().as_mat();
        assert!((found - wanted).norm_max() < 1e-5, "{row}");
    }
    let vague = link.draw(mean.as_ref(), &[1e-20; 3], &[1e20], &mut rng).unwrap();
    assert!((vague - mean).norm_max() < 1e-8);
    let one = Probes {
        y: Mat::from_fn(1, 2, |_, i| [1.5, f64::NAN][i]),
        noise: vec![Variance::Fixed(1e-300)],
        spread: f64::INFINITY,
    };
    let expected = Expected {
        mean: 3.0,
        variance: 2.0,
    };
    assert!((one.draw(0, 0.0, expected, &one.start_parameters(), &mut rng) - 1.5).abs() < 1e-12);
}
