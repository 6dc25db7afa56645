//! Ordered levels: `y_i = k` where `c_k < eta_i <= c_{k+1}`, with `c_1 = 0`; with two levels a probit model. The scale of eta is that of the prior. Gaps between cut points have exponential priors with mean 1, and
//! are drawn with eta integrated out: given eta they would hardly move.

use super::truncated::{draw_between, sum_of_log_probabilities};
use super::{Expected, ExpectedRows, Link};
use crate::slam::normals::normals;
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

    /// The same of every level.
    fn all_ends(&self, gaps: &[f64]) -> Vec<(f64, f64)> {
        (0..self.levels).map(|level| self.ends(level, gaps)).collect()
    }
}

/// Numbers from the whole line that a row tries, before those between its ends are drawn for it alone.
const TRIALS: usize = 5;

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

    fn draw_parameters(&self, _: &[f64], expected: ExpectedRows<'_>, gaps: &mut [f64], rng: &mut Stream) {
        let by = expected.variance.sqrt().recip();
        let mut scaled = vec![vec![]; self.levels];
        for (y, mean) in self.y.iter().zip(expected.means).filter(|(y, _)| !y.is_nan()) {
            scaled[*y as usize].push(by * mean);
        }
        let (mut low, mut high) = (vec![], vec![]);
        for k in 0..gaps.len() {
            let mut at = gaps.to_vec();
            let density = |log: f64| {
                at[k] = log.exp();
                low.clear();
                high.clear();
                // lower levels end before the gap
                for (level, means) in scaled.iter().enumerate().skip(k + 1) {
                    let (first, last) = self.ends(level, &at);
                    low.extend(means.iter().map(|mean| by * first - mean));
                    high.extend(means.iter().map(|mean| by * last - mean));
                }
                sum_of_log_probabilities(&low, &high) - at[k] + log
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

    fn draw_rows(&self, eta: &mut [f64], expected: ExpectedRows<'_>, gaps: &[f64], rng: &mut Stream) {
        let (sd, ends) = (expected.variance.sqrt(), self.all_ends(gaps));
        let between = |row: usize, y: f64| {
            let (low, high) = if y.is_nan() {
                (f64::NEG_INFINITY, f64::INFINITY)
            } else {
                ends[y as usize]
            };
            let mean = expected.means[row];
            ((low - mean) / sd, (high - mean) / sd)
        };
        let mut open: Vec<(usize, f64, f64)> = (self.y[..eta.len()].iter().enumerate())
            .map(|(row, y)| {
                let (low, high) = between(row, *y);
                (row, low, high)
            })
            .collect();
        let mut numbers = vec![0.0; open.len()];
        for _ in 0..TRIALS {
            normals(&mut numbers[..open.len()], rng);
            let mut left = 0;
            for at in 0..open.len() {
                let ((row, low, high), x) = (open[at], numbers[at]);
                eta[row] = expected.means[row] + sd * x;
                // overwritten by the next one unless it is still open
                open[left] = (row, low, high);
                left += usize::from(!(low < x && x <= high));
            }
            open.truncate(left);
        }
        for (row, low, high) in open {
            eta[row] = expected.means[row] + sd * draw_between(low, high, rng);
        }
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
