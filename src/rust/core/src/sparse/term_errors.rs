//! Standard errors of variances, shares and correlations by the delta method: `log sigma2_k = log s2 + log |T_k|^2`, T_k the row of T of a term, or of `A T` of combined ones.

use super::combination::Combination;
use super::estimates::SparseFit;
use crate::mix::fit::{ComponentErrors, Components};
use faer::Mat;

/// A fit, and its effects with their rows.
pub(super) struct TermErrors<'f> {
    found: &'f SparseFit,
    effects: &'f Combination<'f>,
    rows: Vec<Vec<f64>>,
}

impl<'f> TermErrors<'f> {
    pub(super) fn new(found: &'f SparseFit, effects: &'f Combination<'f>) -> Self {
        let row = |k: usize| effects.row(&found.best.factors, k);
        Self {
            rows: (0..effects.places.len()).map(row).collect(),
            found,
            effects,
        }
    }

    fn inner(&self, k: usize, l: usize) -> f64 {
        self.rows[k].iter().zip(&self.rows[l]).map(|(a, b)| a * b).sum()
    }

    /// Of a function with this slope in each free entry, and in log s2, the last.
    fn error(&self, slope: &dyn Fn(usize) -> f64) -> f64 {
        let covariance = &self.found.theta_vcov;
        if covariance.is_empty() {
            return f64::NAN;
        }
        let s: Vec<f64> = (0..=self.found.free.len()).map(slope).collect();
        let row = |(row, s_i): (&Vec<f64>, &f64)| s_i * row.iter().zip(&s).map(|(v, s_j)| v * s_j).sum::<f64>();
        covariance.iter().zip(&s).map(row).sum::<f64>().sqrt()
    }

    /// Slope of the row of effect k in free entry i: the column in which it is, and its size.
    fn row_slope(&self, k: usize, i: usize) -> Option<(usize, f64)> {
        let (places, &(r, row, column)) = (self.effects.places, self.found.free.get(i)?);
        let of = places.iter().position(|place| *place == (r, row))?;
        (places[k].0 == r).then(|| (column, self.effects.weight(k, of)))
    }

    /// Slope of the logarithm of variance k, the residual's last, in parameter i.
    fn log_slope(&self, k: usize, i: usize) -> f64 {
        if i == self.found.free.len() {
            return 1.0;
        }
        match self.rows.get(k).and_then(|row| Some((row, self.row_slope(k, i)?))) {
            Some((row, (column, by))) => 2.0 * by * row[column] / self.inner(k, k),
            None => 0.0,
        }
    }

    pub(super) fn of_components(&self, best: &Components) -> ComponentErrors {
        let value = best.variances();
        let (count, total) = (self.rows.len(), value.iter().sum::<f64>());
        let log_slope = |k: usize, i: usize| if value[k] > 0.0 { self.log_slope(k, i) } else { 0.0 };
        let known = |k: usize, slope: &dyn Fn(usize) -> f64| if value[k] > 0.0 { self.error(slope) } else { f64::NAN };
        let mean_slope = |i: usize| (0..=count).map(|l| value[l] / total * log_slope(l, i)).sum::<f64>();
        let sigma2 = |k: usize| value[k] * known(k, &|i| log_slope(k, i));
        let h2 = |k: usize| known(k, &|i| value[k] / total * (log_slope(k, i) - mean_slope(i)));
        let delta = |k: usize| value[count] / value[k] * known(k, &|i| log_slope(count, i) - log_slope(k, i));
        ComponentErrors {
            sigma2: (0..count).map(sigma2).collect(),
            sigma2_e: sigma2(count),
            h2: (0..count).map(h2).collect(),
            delta: (0..count).map(delta).collect(),
        }
    }

    /// Of the correlations of terms of one effect; not a number for others.
    pub(super) fn of_correlations(&self) -> Mat<f64> {
        let places = self.effects.places;
        Mat::from_fn(places.len(), places.len(), |k, l| {
            let size = (self.inner(k, k) * self.inner(l, l)).sqrt();
            if places[k].0 != places[l].0 || k == l || size == 0.0 {
                return f64::NAN;
            }
            let rho = self.inner(k, l) / size;
            let beside = |own: usize, other: usize, i: usize| match self.row_slope(own, i) {
                Some((c, by)) => by * (self.rows[other][c] / size - rho * self.rows[own][c] / self.inner(own, own)),
                None => 0.0,
            };
            self.error(&|i| beside(k, l, i) + beside(l, k, i))
        })
    }
}
