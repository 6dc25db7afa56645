//! Precisions of the loadings, `1 / v_jm = local_jm column_m`: what they are made of, and as plain numbers.

use super::model::FactorModel;
use super::prior::Loadings;
use super::rng::{Stream, gamma};

/// Precisions of a gamma process or of a horseshoe, with what they are made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Shrinkage {
    /// One precision a loading, k x p: phi, or 1 / phi^2.
    pub local: Vec<f64>,
    /// Factors of the columns' precisions; the first of a horseshoe is 1.
    pub delta: Vec<f64>,
    /// Helpers of the horseshoe: one a loading (k x p), omega2 and xi. Empty, 1 and 1 for the gamma process.
    pub helpers: Vec<f64>,
    pub omega2: f64,
    pub xi: f64,
    /// The columns' precisions: tau_m, or `1 / (omega2 Delta_m)`.
    pub column: Vec<f64>,
}

impl Shrinkage {
    pub fn start(model: &FactorModel, rng: &mut Stream) -> Self {
        let count = model.k * model.p();
        let horseshoe = matches!(model.prior.loadings, Loadings::Horseshoe { .. });
        let delta = match model.prior.loadings {
            Loadings::Gamma { .. } => (0..model.k).map(|_| 1.0 + gamma(2.0, 4.0, rng)).collect(),
            Loadings::Horseshoe { .. } => vec![1.0; model.k],
        };
        let mut start = Self {
            local: vec![1.0; count],
            delta,
            helpers: if horseshoe { vec![1.0; count] } else { vec![] },
            omega2: 1.0,
            xi: 1.0,
            column: vec![],
        };
        start.update_columns(&model.prior.loadings);
        start
    }

    pub(super) fn update_columns(&mut self, loadings: &Loadings) {
        let mut product = 1.0;
        let column = |delta: &f64| {
            product *= delta;
            match loadings {
                Loadings::Gamma { .. } => product,
                Loadings::Horseshoe { .. } => 1.0 / (self.omega2 * product),
            }
        };
        self.column = self.delta.iter().map(column).collect();
    }

    /// 1 / v_jm
    pub fn precision(&self, m: usize, j: usize) -> f64 {
        self.local[j * self.column.len() + m] * self.column[m]
    }

    pub fn numbers(&self) -> Vec<f64> {
        let ends = [self.omega2, self.xi];
        let parts = [&self.local[..], &self.delta, &self.helpers, &ends, &self.column];
        parts.concat()
    }

    pub fn count(model: &FactorModel) -> usize {
        let count = model.k * model.p();
        let horseshoe = matches!(model.prior.loadings, Loadings::Horseshoe { .. });
        count * if horseshoe { 2 } else { 1 } + 2 * model.k + 2
    }

    pub fn from_numbers(model: &FactorModel, numbers: &[f64]) -> Self {
        let (count, k) = (model.k * model.p(), model.k);
        let (local, rest) = numbers.split_at(count);
        let (delta, rest) = rest.split_at(k);
        let (helpers, rest) = rest.split_at(rest.len() - 2 - k);
        Self {
            local: local.to_vec(),
            delta: delta.to_vec(),
            helpers: helpers.to_vec(),
            omega2: rest[0],
            xi: rest[1],
            column: rest[2..].to_vec(),
        }
    }
}
