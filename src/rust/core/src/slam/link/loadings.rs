//! All loadings of a trait given what is left of eta (interweaving): `lambda <- lambda + d, eta <- eta + F d`.
//!
//! By elliptical slice sampling (Murray, Adams and MacKay 2010; Nishihara, Murray and Adams 2014) about the normal distribution that the loadings had if the data were normal ones: where they are, as weights of voom, this is their distribution.

use super::interweaving::{LinkedTrait, Normal};
use super::lines::DataAlong;
use crate::linalg::{axpy, dot, sum_of};
use crate::slam::gaussian::Gaussian;
use crate::slam::rng::{Stream, uniform};
use faer::Mat;
use std::f64::consts::PI;

/// Proposals, after which loadings stay as they are.
pub const PROPOSALS: usize = 30;

/// `f`: in rows; `free`: numbers of the factors whose loadings are not known; `b`: number of coefficients before them.
pub fn draw(
    data: &dyn DataAlong,
    f: &Mat<f64>,
    (free, b, priors): (&[usize], usize, &[Normal]),
    values: &mut LinkedTrait<'_>,
    rng: &mut Stream,
) {
    let (k, n) = (free.len(), values.eta.len());
    let about = data.pseudodata(values.eta);
    let columns: Vec<&[f64]> = free.iter().map(|&m| f.col_as_slice(m)).collect();
    let now: Vec<f64> = free.iter().map(|&m| values.theta[b + m]).collect();
    let mut others = values.eta.to_vec();
    columns.iter().zip(&now).for_each(|(f, by)| axpy(-by, f, &mut others));
    let weighted = |m: usize| -> Vec<f64> { columns[m].iter().zip(&about.w).map(|(f, w)| f * w).collect() };
    let weighted: Vec<Vec<f64>> = (0..k).map(weighted).collect();
    let mut gaussian = Gaussian::new(k);
    let prior = |m: usize| (priors[free[m]].0, priors[free[m]].1.recip());
    let entry = |l: usize, m: usize| dot(&weighted[l], columns[m]) + if l == m { prior(l).1 } else { 0.0 };
    let right = |l: usize| sum_of(n, |i| weighted[l][i] * (about.y[i] - others[i])) + prior(l).0 * prior(l).1;
    gaussian.set(entry, right);
    let (mut mean, mut other) = (vec![0.0; k], vec![0.0; k]);
    if !gaussian.mean(&mut mean) {
        return;
    }
    gaussian.draw_for(|_| 0.0, &mut other, rng);
    let at = |angle: f64| -> Vec<f64> { (0..k).map(|m| turned(now[m], mean[m], other[m], angle)).collect() };
    let step = |new: &[f64]| {
        let mut step = vec![0.0; n];
        (0..k).for_each(|m| axpy(new[m] - now[m], columns[m], &mut step));
        step
    };
    // what the data say beyond normal ones
    let eta = &*values.eta;
    let before = about.lack(eta);
    let gain = |new: &[f64]| {
        let step = step(new);
        let there: Vec<f64> = eta.iter().zip(&step).map(|(eta, step)| eta + step).collect();
        let along = data.along(eta, &step);
        along(1.0) - along(0.0) + about.lack(&there) - before
    };
    let mut ellipse = Ellipse::new(rng);
    let level = uniform(rng).ln();
    for _ in 0..PROPOSALS {
        let new = at(ellipse.angle);
        if gain(&new) > level {
            let step = step(&new);
            axpy(1.0, &step, values.eta);
            (free.iter().zip(&new)).for_each(|(&m, new)| values.theta[b + m] = *new);
            return;
        }
        ellipse.shrink(rng);
    }
}

/// On the ellipse about a mean through what is and another draw about it.
pub fn turned(now: f64, mean: f64, other: f64, angle: f64) -> f64 {
    mean + (now - mean) * angle.cos() + other * angle.sin()
}

/// An angle, and where it may be.
#[derive(Debug, Clone, Copy)]
pub struct Ellipse {
    pub angle: f64,
    low: f64,
    high: f64,
}

impl Ellipse {
    /// Of the whole circle.
    pub fn new(rng: &mut Stream) -> Self {
        let angle = 2.0 * PI * uniform(rng);
        Self {
            angle,
            low: angle - 2.0 * PI,
            high: angle,
        }
    }

    /// After an angle that is rejected, another one nearer to what is.
    pub fn shrink(&mut self, rng: &mut Stream) {
        if self.angle < 0.0 {
            self.low = self.angle;
        } else {
            self.high = self.angle;
        }
        self.angle = self.low + (self.high - self.low) * uniform(rng);
    }
}
