//! Standard errors of variances, shares and correlations by the delta method: `log sigma2_k = log s2 + log |T_k|^2`, T_k the row of T of a term.

use super::estimates::SparseFit;
use super::of_mix::Places;
use crate::mix::fit::{ComponentErrors, Components};
use faer::Mat;

/// A fit, and where its effects are.
pub(super) struct TermErrors<'f> {
    found: &'f SparseFit,
    places: &'f Places,
}

impl<'f> TermErrors<'f> {
    pub(super) fn new(found: &'f SparseFit, places: &'f Places) -> Self {
        Self { found, places }
    }

    /// Row and column in T of a term's effect of a free entry; `None`: of another effect, or log s2.
    fn entry(&self, i: usize, r: usize) -> Option<(usize, usize)> {
        let entry = self.found.free.get(i).filter(|entry| entry.0 == r)?;
        Some((entry.1, entry.2))
    }

    fn inner(&self, r: usize, a: usize, b: usize) -> f64 {
        let t = &self.found.best.factors[r];
        (0..t.ncols()).map(|c| t[(a, c)] * t[(b, c)]).sum()
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

    /// Slope of the logarithm of variance k, the residual's last, in parameter i.
    fn log_slope(&self, k: usize, i: usize) -> f64 {
        if i == self.found.free.len() {
            return 1.0;
        }
        let Some(&(r, a)) = self.places.get(k) else { return 0.0 };
        match self.entry(i, r) {
            Some((row, column)) if row == a => 2.0 * self.found.best.factors[r][(a, column)] / self.inner(r, a, a),
            _ => 0.0,
        }
    }

    pub(super) fn of_components(&self, best: &Components) -> ComponentErrors {
        let value = best.variances();
        let (count, total) = (self.places.len(), value.iter().sum::<f64>());
        let log_slope = |k: usize, i: usize| if value[k] > 0.0 { self.log_slope(k, i) } else { 0.0 };
        let known = |k: usize, slope: &dyn Fn(usize) -> f64| if value[k] > 0.0 { self.error(slope) } else { f64::NAN };
        let mean_slope = |i: usize| (0..=count).map(|l| value[l] / total * log_slope(l, i)).sum::<f64>();
        let sigma2 = |k: usize| known(k, &|i| value[k] * log_slope(k, i));
        let h2 = |k: usize| known(k, &|i| value[k] / total * (log_slope(k, i) - mean_slope(i)));
        let delta = |k: usize| {
            known(k, &|i| {
                value[count] / value[k] * (log_slope(count, i) - log_slope(k, i))
            })
        };
        ComponentErrors {
            sigma2: (0..count).map(sigma2).collect(),
            sigma2_e: sigma2(count),
            h2: (0..count).map(h2).collect(),
            delta: (0..count).map(delta).collect(),
        }
    }

    /// Of the correlations of terms of one effect; not a number for others.
    pub(super) fn of_correlations(&self) -> Mat<f64> {
        Mat::from_fn(self.places.len(), self.places.len(), |k, l| {
            let ((r, a), (s, b)) = (self.places[k], self.places[l]);
            let size = (self.inner(r, a, a) * self.inner(s, b, b)).sqrt();
            if r != s || a == b || size == 0.0 {
                return f64::NAN;
            }
            let (t, rho) = (&self.found.best.factors[r], self.inner(r, a, b) / size);
            let beside =
                |own: usize, other: usize, c: usize| t[(other, c)] / size - rho * t[(own, c)] / self.inner(r, own, own);
            self.error(&|i| match self.entry(i, r) {
                Some((row, c)) if row == a => beside(a, b, c),
                Some((row, c)) if row == b => beside(b, a, c),
                _ => 0.0,
            })
        })
    }
}
