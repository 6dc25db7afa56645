//! Equispaced frequencies that represent a stationary kernel on a box (Greengard, Rachh and Barnett 2025).
//!
//! With frequencies `xi_j = h j` the kernel becomes `sum_j h^d khat(h j) exp(2 pi i h j.(x - x'))`, a periodic covariance of period 1/h that is
//! positive semidefinite whatever is left out. It differs from the kernel by its images at distance 1/h - L and more (aliasing) and by the
//! frequencies that are left out (truncation). h follows from the longest length scale, the number of frequencies from the shortest.

use crate::gp::bounds::{Bounds, Range};
use crate::kernel::stationary::Family;

/// Largest correlation that images may add, whatever the part of the variance that may be left out.
const IMAGE: f64 = 1e-3;

/// Frequencies `xi_j = h j`, `|j_a| <= m_a` on axis a, about the middle of the box.
#[derive(Debug, Clone, PartialEq)]
pub struct Grid {
    /// Middle of the box, from which phases are counted.
    pub centre: Vec<f64>,
    /// Distance of frequencies of each axis, in turns per unit of the coordinate.
    pub h: Vec<f64>,
    /// Largest index of each axis.
    pub m: Vec<usize>,
}

impl Grid {
    /// `eps`: bound of the images' correlation, and of the part of the variance that is left out.
    pub fn new(family: Family, bounds: &Bounds, range: &Range, eps: f64) -> Self {
        let d = bounds.d();
        let reach = family.reach(eps.min(IMAGE) / (2.0 * d as f64));
        let band = family.band(eps, d);
        let h: Vec<f64> = (0..d)
            .map(|i| 1.0 / (bounds.side(i) + range.longest[i] * reach))
            .collect();
        // one step beyond the band of the integral, since it is a sum that has to hold the variance
        let m = (0..d)
            .map(|i| (band / (range.shortest[i] * h[i])).ceil() as usize + 1)
            .collect();
        let centre = (0..d).map(|i| 0.5 * (bounds.low[i] + bounds.high[i])).collect();
        Self { centre, h, m }
    }

    /// Number of axes.
    pub fn d(&self) -> usize {
        self.h.len()
    }

    /// The fewest frequencies of one half space that hold all but `eps` of the variance, lowest first; 0, its own mirror image, is the first.
    pub fn frequencies(&self, family: Family, lengths: &[f64], eps: f64) -> Vec<Vec<i64>> {
        let mut all = self.half_space();
        all.sort_by(|a, b| self.rho2(a, lengths).total_cmp(&self.rho2(b, lengths)));
        let squares = self.squares(family, &all, lengths);
        let mut captured = -squares[0];
        let enough = squares.iter().position(|s| {
            captured += 2.0 * s;
            captured >= 1.0 - eps
        });
        all.truncate(enough.map_or(all.len(), |last| last + 1));
        all
    }

    fn half_space(&self) -> Vec<Vec<i64>> {
        let limit: Vec<i64> = self.m.iter().map(|m| *m as i64).collect();
        let mut found = vec![vec![0; self.d()]];
        let mut j: Vec<i64> = limit.iter().map(|m| -m).collect();
        loop {
            if is_positive(&j) {
                found.push(j.clone());
            }
            let Some(axis) = (0..j.len()).find(|&i| j[i] < limit[i]) else {
                return found;
            };
            j[axis] += 1;
            (0..axis).for_each(|i| j[i] = -limit[i]);
        }
    }

    /// |ell_i xi_i|^2
    pub(crate) fn rho2(&self, j: &[i64], lengths: &[f64]) -> f64 {
        (0..j.len())
            .map(|i| (lengths[i] * self.h[i] * j[i] as f64).powi(2))
            .sum()
    }

    /// Squares of the weights, h^d khat(h j).
    pub fn squares(&self, family: Family, frequencies: &[Vec<i64>], lengths: &[f64]) -> Vec<f64> {
        let d = self.d();
        let volume: f64 = (0..d).map(|i| self.h[i] * lengths[i]).product();
        let square = |j: &Vec<i64>| volume * family.log_density(self.rho2(j, lengths), d).exp();
        frequencies.iter().map(square).collect()
    }

    /// Weight of each real function: one of frequency 0, two of each other one.
    pub fn weights(&self, family: Family, frequencies: &[Vec<i64>], lengths: &[f64]) -> Vec<f64> {
        let squares = self.squares(family, frequencies, lengths);
        (0..2 * squares.len() - 1)
            .map(|f| squares[f.div_ceil(2)].sqrt())
            .collect()
    }

    /// Bound of what the images of the box add to the correlation of two of its points, in units of the variance.
    pub fn aliasing(&self, family: Family, bounds: &Bounds, lengths: &[f64]) -> f64 {
        let image = |a: usize| 2.0 * family.correlation((1.0 / self.h[a] - bounds.side(a)) / lengths[a]);
        (0..self.d()).map(image).sum()
    }

    /// About which part of the functions are independent on a box: that of their period which it takes up, and a few more at its ends on each axis (of prolate spheroidal functions as many as the
    /// logarithm of what may be left out; 5.8 to 7.3 were seen).
    pub fn directions(&self, bounds: &Bounds) -> f64 {
        const ENDS: f64 = 7.0;
        let axis = |a: usize| self.h[a] * bounds.side(a) + ENDS / (2 * self.m[a] + 1) as f64;
        (0..self.d()).map(|a| axis(a).min(1.0)).product()
    }

    /// The part of the variance that the frequencies hold; 0 counts once, the others twice.
    pub(crate) fn captured(squares: &[f64]) -> f64 {
        2.0 * squares.iter().sum::<f64>() - squares[0]
    }
}

/// First entry that is not zero is positive, the last axis first.
fn is_positive(j: &[i64]) -> bool {
    j.iter().rev().find(|v| **v != 0).is_some_and(|v| *v > 0)
}

/// How many real functions a grid with these length scales has, before it is made.
pub(crate) fn size(family: Family, bounds: &Bounds, range: &Range, eps: f64) -> f64 {
    let grid = Grid::new(family, bounds, range, eps);
    ball_size(family, &grid.h, &range.shortest, eps)
}

/// Number of frequencies at distances h in the ball that holds all but `eps` of the variance.
pub(crate) fn ball_size(family: Family, h: &[f64], shortest: &[f64], eps: f64) -> f64 {
    let d = h.len();
    let ball = [2.0, std::f64::consts::PI, 4.0 / 3.0 * std::f64::consts::PI][d - 1];
    let cells = h.iter().zip(shortest).map(|(h, l)| 1.0 / (h * l));
    ball * family.band(eps, d).powi(d as i32) * cells.product::<f64>()
}
