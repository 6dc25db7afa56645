//! All loadings of a trait given what is left of eta (interweaving): `lambda <- lambda + d, eta <- eta + F d`.
//!
//! By elliptical slice sampling (Murray, Adams and MacKay 2010; Nishihara, Murray and Adams 2014) about the normal distribution that the loadings had if the data were normal ones: where they are, as weights of voom, this is their distribution.

use super::interweaving::{LinkedTrait, Normal};
use super::lines::DataAlong;
use crate::linalg::{axpy, product, sum_of};
use crate::slam::few_columns;
use crate::slam::gaussian::Gaussian;
use crate::slam::rng::{Stream, uniform};
use crate::slam::traits::lower;
use faer::{Mat, MatRef, Par};
use std::f64::consts::PI;

/// Proposals, after which loadings stay as they are.
pub const PROPOSALS: usize = 30;

/// `F' diag(w) F` of some traits: lower triangles in columns. `w`: a column a trait.
pub fn grams(f: MatRef<'_, f64>, w: MatRef<'_, f64>) -> Mat<f64> {
    // as many products of columns as one product of matrices takes at once
    const ROWS: usize = 4;
    let (n, k) = (f.nrows(), f.ncols());
    let mut all = Mat::zeros(lower(k, 0), w.ncols());
    for first in (0..k).step_by(ROWS) {
        let rows = first..(first + ROWS).min(k);
        let places: Vec<(usize, usize)> = rows.flat_map(|m| (0..=m).map(move |o| (m, o))).collect();
        let mut pairs = Mat::zeros(n, places.len());
        for (at, (m, o)) in places.iter().enumerate() {
            let each = f.col(*m).iter().zip(f.col(*o).iter());
            (pairs.col_as_slice_mut(at).iter_mut().zip(each)).for_each(|(pair, (a, b))| *pair = a * b);
        }
        let part = product(pairs.transpose(), w, Par::Seq);
        all.subrows_mut(lower(first, 0), places.len()).copy_from(part);
    }
    all
}

/// Of the loadings, given what F'W F and F'W (y - eta) are of pseudodata; `now`: what they are in eta.
fn given_pseudodata(
    gram: &[f64],
    lack: impl Fn(usize) -> f64,
    (free, priors): (&[usize], &[Normal]),
    now: &[f64],
) -> Gaussian {
    let k = free.len();
    let gram = |l: usize, m: usize| gram[lower(free[l.max(m)], free[l.min(m)])];
    let prior = |m: usize| (priors[free[m]].0, priors[free[m]].1.recip());
    // without what the loadings say now
    let along = |l: usize| sum_of(k, |m| gram(l, m) * now[m]);
    let mut gaussian = Gaussian::new(k);
    gaussian.set(
        |l, m| gram(l, m) + if l == m { prior(l).1 } else { 0.0 },
        |l| lack(l) + along(l) + prior(l).0 * prior(l).1,
    );
    gaussian
}

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
    let now: Vec<f64> = free.iter().map(|&m| values.theta[b + m]).collect();
    let lack: Vec<f64> = (0..n).map(|i| about.w[i] * (about.y[i] - values.eta[i])).collect();
    let weights = MatRef::from_column_major_slice(&about.w, n, 1);
    let own = data.gram().is_none().then(|| grams(f.as_ref(), weights));
    let gram = own
        .as_ref()
        .map_or_else(|| data.gram().unwrap_or_default(), |own| own.col_as_slice(0));
    let lack = few_columns::transpose_times(f, MatRef::from_column_major_slice(&lack, n, 1));
    let mut gaussian = given_pseudodata(gram, |l| lack[(free[l], 0)], (free, priors), &now);
    let (mut mean, mut other) = (vec![0.0; k], vec![0.0; k]);
    if !gaussian.mean(&mut mean) {
        return;
    }
    gaussian.draw_for(|_| 0.0, &mut other, rng);
    let at = |angle: f64| -> Vec<f64> { (0..k).map(|m| turned(now[m], mean[m], other[m], angle)).collect() };
    // how eta moves with loadings
    let along = |by: &dyn Fn(usize) -> f64| -> Mat<f64> {
        let mut all = vec![0.0; f.ncols()];
        (free.iter().enumerate()).for_each(|(at, &m)| all[m] = by(at));
        few_columns::times(f, MatRef::from_column_major_slice(&all, f.ncols(), 1))
    };
    if data.are_normal() {
        let new = at(Ellipse::INDEPENDENT.angle);
        axpy(1.0, along(&|m| new[m] - now[m]).col_as_slice(0), values.eta);
        (free.iter().zip(&new)).for_each(|(&m, new)| values.theta[b + m] = *new);
        return;
    }
    let (towards, across) = (along(&|m| mean[m] - now[m]), along(&|m| other[m]));
    let mut ellipse = Ellipse::new(rng);
    let level = uniform(rng).ln();
    // what the data say beyond normal ones
    let eta = &*values.eta;
    let here = data.along(eta, eta)(0.0) + about.lack(eta);
    let gain = |step: &[f64]| {
        let there: Vec<f64> = eta.iter().zip(step).map(|(eta, step)| eta + step).collect();
        data.along(eta, step)(1.0) + about.lack(&there) - here
    };
    for _ in 0..PROPOSALS {
        let (sine, cosine) = ellipse.angle.sin_cos();
        let each = towards.col_as_slice(0).iter().zip(across.col_as_slice(0));
        let step: Vec<f64> = each.map(|(a, b)| (1.0 - cosine) * a + sine * b).collect();
        if gain(&step) > level {
            let new = at(ellipse.angle);
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
    /// Where what is has no say.
    pub const INDEPENDENT: Self = Self {
        angle: 0.5 * PI,
        low: 0.0,
        high: 0.5 * PI,
    };

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
