//! The deviance with one parameter held at a value, as a function of the entries of T that are left. With tau = log s2 it is, by what is known at the best s2,
//!
//! ```text
//! D(T, tau) = deviance(T) + N (tau - log s2(T) - 1 + s2(T) exp(-tau))
//! ```
//!
//! A standard deviation v of the term with row T_a, in units f: `tau = log(v^2 / (f^2 |T_a|^2))`. A share h of the term with entry k: `f_k^2 T_k^2 = h / (1 - h) (1 + sum_l f_l^2 T_l^2)`. A
//! correlation rho of the first two terms: `T_00 = exp(x_0), T_10 = rho exp(x_1), T_11 = root(1 - rho^2) exp(x_1)`.

use super::descent::Reached;
use super::search::SparseSearch;
use crate::runtime::error::Result;

/// What is held, by the numbers of entries of T.
#[derive(Clone)]
pub(super) enum Held {
    /// Nothing: s2 at its best.
    Nothing,
    /// The residual standard deviation.
    Residual,
    /// The standard deviation of the term with these entries, its diagonal last, in the problem's units of T times this one; and that of the residual.
    Sd(Vec<usize>, f64, f64),
    /// The same where s2 is known, with the unit in which T is a standard deviation.
    KnownSd(Vec<usize>, f64),
    /// The share of the term with this entry; units of all entries.
    Share(usize, Vec<f64>),
    /// The correlation of the terms with these entries: T_00, T_10, T_11.
    Correlation([usize; 3]),
}

/// Value, slopes in the variables, and slope in what is held.
pub(super) struct HeldValue {
    pub value: f64,
    pub slopes: Vec<f64>,
    pub along: f64,
}

impl Held {
    /// Entries of T at some variables, with `value` held.
    pub(super) fn theta(&self, value: f64, x: &[f64]) -> Vec<f64> {
        let mut theta = x.to_vec();
        match self {
            Held::Sd(row, ..) if value == 0.0 => row.iter().for_each(|&k| theta[k] = 0.0),
            Held::KnownSd(row, unit) => {
                let length = row.iter().map(|&k| x[k].powi(2)).sum::<f64>().sqrt();
                row.iter().for_each(|&k| theta[k] *= value / unit / length);
            }
            Held::Share(k, unit) => theta[*k] = share_entry(*k, unit, value, x),
            Held::Correlation([first, beside, second]) => {
                theta[*first] = x[*first].exp();
                theta[*beside] = value * x[*second].exp();
                theta[*second] = (1.0 - value * value).max(0.0).sqrt() * x[*second].exp();
            }
            _ => {}
        }
        theta
    }

    /// Variables of entries of T.
    pub(super) fn variables(&self, theta: &[f64]) -> Vec<f64> {
        let mut x = theta.to_vec();
        if let Held::KnownSd(row, _) = self
            && row.iter().all(|&k| x[k] == 0.0)
        {
            // a row of zeros has no direction
            row.last().into_iter().for_each(|&k| x[k] = 1.0);
        }
        if let Held::Correlation([first, beside, second]) = self {
            x[*first] = theta[*first].abs().max(1e-8).ln();
            x[*second] = theta[*beside].hypot(theta[*second]).max(1e-8).ln();
        }
        x
    }

    /// Units in which the curvature of the deviance is about one, from those of the entries; of log s2 it is N / 2.
    pub(super) fn units(&self, mut unit: Vec<f64>, n: f64, value: f64, theta: &[f64], x: &[f64]) -> Vec<f64> {
        // a variable moves its own entry, and another number that has a unit as well
        let joined = |own: f64, along: f64, other: f64| (own.powi(-2) + (along / other).powi(2)).powf(-0.5);
        match self {
            Held::Sd(row, ..) if value > 0.0 => {
                let length2: f64 = row.iter().map(|&k| theta[k].powi(2)).sum();
                let of_tau = (0.5 * n).powf(-0.5);
                (row.iter()).for_each(|&k| unit[k] = joined(unit[k], 2.0 * theta[k] / length2, of_tau));
            }
            Held::Share(own, units) if value > 0.0 => {
                let odds = value / (1.0 - value);
                let along = |k: usize| odds * (units[k] / units[*own]).powi(2) * theta[k] / theta[*own];
                let of_own = unit[*own];
                for k in (0..theta.len()).filter(|k| k != own) {
                    unit[k] = joined(unit[k], along(k), of_own);
                }
            }
            Held::Correlation([first, _, second]) => {
                unit[*first] = (unit[*first] / theta[*first].abs().max(1e-8)).min(1.0);
                unit[*second] = (unit[*second] / x[*second].exp().max(1e-8)).min(1.0);
            }
            _ => {}
        }
        unit
    }

    /// Does a variable count?
    pub(super) fn is_free(&self, k: usize, value: f64) -> bool {
        match self {
            Held::Sd(row, ..) => value != 0.0 || !row.contains(&k),
            Held::Share(own, _) => k != *own,
            Held::Correlation([_, beside, _]) => k != *beside,
            _ => true,
        }
    }

    /// Is a variable the entry of T itself?
    pub(super) fn is_entry(&self, k: usize) -> bool {
        match self {
            Held::KnownSd(row, _) => !row.contains(&k),
            Held::Share(own, _) => k != *own,
            Held::Correlation(entries) => !entries.contains(&k),
            _ => true,
        }
    }

    /// The variables from which another value is looked for.
    pub(super) fn moved(&self, x: &[f64], from: f64, to: f64) -> Vec<f64> {
        let mut x = x.to_vec();
        let ratio = if from > 0.0 && to > 0.0 { to / from } else { 1.0 };
        match self {
            Held::Sd(row, unit, residual) if row.iter().all(|&k| x[k] == 0.0) => {
                row.last().into_iter().for_each(|&k| x[k] = to / (unit * residual));
            }
            Held::Sd(row, ..) => row.iter().for_each(|&k| x[k] *= ratio),
            Held::Residual => x.iter_mut().for_each(|x| *x /= ratio),
            _ => {}
        }
        x
    }

    /// `None` where C is not positive definite.
    pub(super) fn at(&self, search: &SparseSearch<'_, '_>, value: f64, x: &[f64]) -> Result<Option<HeldValue>> {
        let theta = self.theta(value, x);
        let found = search.reach(&theta)?;
        Ok(found.map(|reached| self.read(search, &reached, value, x)))
    }

    fn read(&self, search: &SparseSearch<'_, '_>, at: &Reached, value: f64, x: &[f64]) -> HeldValue {
        let (theta, scale) = (&at.theta, search.problem.centred.scale);
        let mut found = HeldValue {
            value: at.deviance,
            slopes: at.slopes.clone(),
            along: f64::NAN,
        };
        match self {
            Held::Nothing => {}
            Held::Residual => {
                let of_tau = found.hold_s2(search, at, 2.0 * (value / scale).ln());
                found.along = of_tau * 2.0 / value;
            }
            Held::Sd(..) if value == 0.0 => {}
            Held::Sd(row, unit, _) => {
                let length2: f64 = row.iter().map(|&k| theta[k].powi(2)).sum();
                let of_tau = found.hold_s2(search, at, 2.0 * (value / scale / unit).ln() - length2.ln());
                row.iter()
                    .for_each(|&k| found.slopes[k] -= of_tau * 2.0 * theta[k] / length2);
                found.along = of_tau * 2.0 / value;
            }
            Held::KnownSd(row, unit) => {
                let (sum, length2) = row
                    .iter()
                    .fold((0.0, 0.0), |(s, l), &k| (s + at.slopes[k] * theta[k], l + x[k].powi(2)));
                found.along = if value > 0.0 { sum / value } else { f64::NAN };
                let ratio = value / unit / length2.sqrt();
                row.iter()
                    .for_each(|&k| found.slopes[k] = ratio * at.slopes[k] - sum * x[k] / length2);
            }
            Held::Share(..) if value == 0.0 => {}
            Held::Share(own, unit) => {
                let odds = value / (1.0 - value);
                let of_own = found.slopes[*own] / (unit[*own].powi(2) * theta[*own].max(1e-300));
                for k in (0..theta.len()).filter(|k| k != own) {
                    found.slopes[k] += of_own * odds * unit[k].powi(2) * theta[k];
                }
                let total = (unit[*own] * theta[*own]).powi(2) / odds;
                found.along = of_own * 0.5 * total / (1.0 - value).powi(2);
            }
            Held::Correlation([first, beside, second]) => {
                let (length, rest) = (x[*second].exp(), (1.0 - value * value).max(0.0).sqrt());
                found.along = at.slopes[*beside] * length - at.slopes[*second] * length * value / rest;
                found.slopes[*first] *= theta[*first];
                found.slopes[*second] = at.slopes[*beside] * theta[*beside] + at.slopes[*second] * theta[*second];
                found.slopes[*beside] = 0.0;
            }
        }
        found
    }
}

impl HeldValue {
    /// Value and slopes at another s2, and the slope in its logarithm tau.
    fn hold_s2(&mut self, search: &SparseSearch<'_, '_>, at: &Reached, tau: f64) -> f64 {
        let (held, of_tau) = at.with_s2(search.problem.counted(), tau);
        (self.value, self.slopes) = (held.deviance, held.slopes);
        of_tau
    }
}

/// The entry whose term has the share h.
fn share_entry(own: usize, unit: &[f64], h: f64, x: &[f64]) -> f64 {
    let others: f64 = (0..x.len())
        .filter(|k| *k != own)
        .map(|k| (unit[k] * x[k]).powi(2))
        .sum();
    (h / (1.0 - h) * (1.0 + others)).sqrt() / unit[own]
}
