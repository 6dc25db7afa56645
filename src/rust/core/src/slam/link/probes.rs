//! `y_il = mu_l + eta_i + e_il`, `e_il ~ N(0, v_l)`: several columns of data, each with a mean and a noise of its own, that measure one trait, as the probes of a gene do.
//!
//! The means sum to 0, which leaves the level to eta and each mean to its column, whatever noise the columns have: a constraint that weighs them by their precision would change with it, and `1 / v` given all else
//! would not be gamma distributed. Where a row has all columns and they are as precise, eta is what their mean measures.

use super::{Expected, ExpectedRows, Link, Pseudodata};
use crate::linalg::sum_of;
use crate::slam::prior::Variance;
use crate::slam::rng::{Stream, inverse_gamma, normal};
use faer::Mat;
use std::f64::consts::PI;

/// Columns that measure one trait. Parameters are the means mu, if there are several columns, and then the variances v of their noise.
pub struct Probes {
    /// Data, a row a column: columns of data x rows of the model; NaN where nothing was observed.
    pub y: Mat<f64>,
    /// Priors of the variances of noise, one each.
    pub noise: Vec<Variance>,
    /// Variance of the means' normal prior, before they are made to sum to 0; infinite: it is flat, and each column has data.
    pub spread: f64,
}

impl Probes {
    fn count(&self) -> usize {
        self.y.nrows()
    }

    /// Number of parameters that are means.
    fn means(&self) -> usize {
        if self.count() > 1 { self.count() } else { 0 }
    }

    /// Number, datum, mean and variance of the columns that were observed in a row.
    fn seen<'a>(&'a self, row: usize, parameters: &'a [f64]) -> impl Iterator<Item = (usize, f64, f64, f64)> + 'a {
        let (mu, v) = parameters.split_at(self.means());
        let one = move |l: usize| (l, self.y[(l, row)], mu.get(l).copied().unwrap_or(0.0), v[l]);
        (0..self.count()).map(one).filter(|(_, y, ..)| !y.is_nan())
    }

    /// Of each column: how many rows it has, and the sum of `part` over them.
    fn sums(&self, eta: &[f64], part: impl Fn(usize, f64) -> f64) -> Vec<(f64, f64)> {
        let mut all = vec![(0.0, 0.0); self.count()];
        for (i, eta) in eta.iter().enumerate() {
            for (l, sums) in all.iter_mut().enumerate() {
                let y = self.y[(l, i)];
                if !y.is_nan() {
                    sums.0 += 1.0;
                    sums.1 += part(l, y - eta);
                }
            }
        }
        all
    }

    /// Independent normal means, moved along their variances to where they sum to 0: so conditioned.
    fn draw_means(&self, eta: &[f64], parameters: &mut [f64], rng: &mut Stream) {
        let (mu, v) = parameters.split_at_mut(self.means());
        if mu.is_empty() {
            return;
        }
        let sums = self.sums(eta, |_, left| left);
        let variance = |l: usize| (sums[l].0 / v[l] + self.spread.recip()).recip();
        for (l, mu) in mu.iter_mut().enumerate() {
            *mu = variance(l) * sums[l].1 / v[l] + variance(l).sqrt() * normal(rng);
        }
        let share = mu.iter().sum::<f64>() / sum_of(mu.len(), variance);
        (0..mu.len()).for_each(|l| mu[l] -= variance(l) * share);
    }
}

impl Link for Probes {
    fn start(&self, row: usize) -> f64 {
        let parameters = self.start_parameters();
        let (count, sum) =
            (self.seen(row, &parameters)).fold((0.0, 0.0), |(count, sum), seen| (count + 1.0, sum + seen.1));
        if count > 0.0 { sum / count } else { 0.0 }
    }

    fn is_normal(&self) -> bool {
        true
    }

    fn normal_data(&self, parameters: &[f64], rows: usize) -> Pseudodata {
        let one = |row: usize| {
            let add = |(w, sum): (f64, f64), (_, y, mu, v): (usize, f64, f64, f64)| (w + v.recip(), sum + (y - mu) / v);
            let (w, sum) = self.seen(row, parameters).fold((0.0, 0.0), add);
            (if w > 0.0 { sum / w } else { 0.0 }, w)
        };
        let (y, w) = (0..rows).map(one).unzip();
        Pseudodata { y, w }
    }

    fn parameters(&self) -> usize {
        self.means() + self.count()
    }

    fn start_parameters(&self) -> Vec<f64> {
        let noise = self.noise.iter().map(Variance::start);
        std::iter::repeat_n(0.0, self.means()).chain(noise).collect()
    }

    fn may_be(&self, parameters: &[f64]) -> bool {
        let (mu, v) = parameters.split_at(self.means());
        mu.iter().all(|x| x.is_finite()) && v.iter().all(|x| x.is_finite() && *x > 0.0)
    }

    fn draw_parameters(&self, eta: &[f64], _: ExpectedRows<'_>, parameters: &mut [f64], rng: &mut Stream) {
        self.draw_means(eta, parameters, rng);
        let (mu, v) = parameters.split_at_mut(self.means());
        let sums = self.sums(eta, |l, left| (left - mu.get(l).copied().unwrap_or(0.0)).powi(2));
        for ((v, prior), (count, square)) in v.iter_mut().zip(&self.noise).zip(sums) {
            if let Variance::Drawn(prior) = prior {
                *v = inverse_gamma(prior.shape + 0.5 * count, prior.scale + 0.5 * square, rng);
            }
        }
    }

    fn draw(&self, row: usize, _now: f64, expected: Expected, parameters: &[f64], rng: &mut Stream) -> f64 {
        let about = |(w, sum): (f64, f64), (_, y, mu, v): (usize, f64, f64, f64)| {
            (w + v.recip(), sum + (y - mu - expected.mean) / v)
        };
        let (w, sum) = self.seen(row, parameters).fold((0.0, 0.0), about);
        let variance = (w + expected.variance.recip()).recip();
        expected.mean + variance * sum + variance.sqrt() * normal(rng)
    }

    fn log_likelihood(&self, row: usize, eta: f64, parameters: &[f64]) -> f64 {
        let one = |(_, y, mu, v): (usize, f64, f64, f64)| -0.5 * ((2.0 * PI * v).ln() + (y - mu - eta).powi(2) / v);
        self.seen(row, parameters).map(one).sum()
    }

    /// The mean of a row's columns.
    fn simulate(&self, row: usize, eta: f64, parameters: &[f64], rng: &mut Stream) -> f64 {
        let add = |(count, sum): (f64, f64), (_, _, mu, v): (usize, f64, f64, f64)| {
            (count + 1.0, sum + eta + mu + v.sqrt() * normal(rng))
        };
        let (count, sum) = self.seen(row, parameters).fold((0.0, 0.0), add);
        sum / count
    }
}
