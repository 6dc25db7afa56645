//! Ordered levels: `y_i = k` where `c_k < eta_i <= c_{k+1}`, with `c_1 = 0`; with two levels a probit model. The scale of eta is that of the prior. Gaps between cut points have exponential priors with mean 1, and
//! are drawn with eta integrated out: given eta they would hardly move.

use super::truncated::{draw_between, log_probability};
use super::{Expected, Link};
use crate::slam::rng::{Stream, slice};

/// Levels, from 0.
pub struct Ordinal {
    /// Level of each row; not a number where nothing was observed.
    pub y: Vec<f64>,
    /// Number of levels, at least 2.
    pub levels: usize,
}

impl Ordinal {
    /// Where a level begins and ends, given the gaps.
    fn ends(&self, level: usize, gaps: &[f64]) -> (f64, f64) {
        let cut = |k: usize| gaps[..k - 1].iter().sum::<f64>();
        let low = if level == 0 { f64::NEG_INFINITY } else { cut(level) };
        let high = if level + 1 == self.levels {
            f64::INFINITY
        } else {
            cut(level + 1)
        };
        (low, high)
    }
}

impl Link for Ordinal {
    fn start(&self, row: usize) -> f64 {
        if self.y[row].is_nan() { 0.0 } else { self.y[row] - 0.5 }
    }

    fn parameters(&self) -> usize {
        self.levels - 2
    }

    fn start_parameters(&self) -> Vec<f64> {
        vec![1.0; self.levels - 2]
    }

    fn parameters_are_costly(&self) -> bool {
        true
    }

    fn draw_parameters(&self, _: &[f64], expected: &[Expected], gaps: &mut [f64], rng: &mut Stream) {
        for k in 0..gaps.len() {
            let mut at = gaps.to_vec();
            let density = |log: f64| {
                at[k] = log.exp();
                let one = |(y, expected): (&f64, &Expected)| {
                    let (low, high) = self.ends(*y as usize, &at);
                    let sd = expected.variance.sqrt();
                    log_probability((low - expected.mean) / sd, (high - expected.mean) / sd)
                };
                // lower levels end before the gap
                let behind = self.y.iter().zip(expected).filter(|(y, _)| **y > k as f64);
                let data: f64 = behind.map(one).sum();
                data - at[k] + log
            };
            gaps[k] = slice(gaps[k].ln(), 0.3, density, rng).exp();
        }
    }

    fn draw(&self, row: usize, _now: f64, expected: Expected, gaps: &[f64], rng: &mut Stream) -> f64 {
        if self.y[row].is_nan() {
            return expected.draw(rng);
        }
        let (low, high) = self.ends(self.y[row] as usize, gaps);
        let sd = expected.variance.sqrt();
        expected.mean + sd * draw_between((low - expected.mean) / sd, (high - expected.mean) / sd, rng)
    }

    fn is_smooth(&self) -> bool {
        false
    }

    fn log_likelihood(&self, row: usize, eta: f64, gaps: &[f64]) -> f64 {
        if self.y[row].is_nan() {
            return 0.0;
        }
        let (low, high) = self.ends(self.y[row] as usize, gaps);
        if low < eta && eta <= high {
            0.0
        } else {
            f64::NEG_INFINITY
        }
    }

    fn simulate(&self, _row: usize, eta: f64, gaps: &[f64], _: &mut Stream) -> f64 {
        let within = |level: &usize| eta <= self.ends(*level, gaps).1;
        (0..self.levels).find(within).unwrap_or(self.levels - 1) as f64
    }
}
