//! Pivoted Cholesky decomposition of a positive semidefinite matrix that stops where little is left, its pivots taken block by block so that the work is matrix products.

use super::{axpy, clear_registers};
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, Par};

/// `T = L L' + R` with R positive semidefinite.
pub struct PivotedCholesky {
    pub l: Mat<f64>,
    /// Rows at which L, in this order, is lower triangular.
    pub pivots: Vec<usize>,
    /// `sum_j w_j^2 R_jj`
    pub left: f64,
}

/// Pivots of a block at most, and the part of the largest weighted residual that one must have.
const BLOCK: usize = 48;
const CANDIDATE: f64 = 0.03;
/// Part of the largest diagonal entry below which a residual is rounding.
const ROUNDING: f64 = 1e-12;

impl PivotedCholesky {
    /// Of a matrix given by its lower triangle, until `sum_j w_j^2 R_jj <= enough` or only rounding remains; none if that takes more than `most` columns.
    pub fn new(t: &Mat<f64>, w: &[f64], enough: f64, most: usize, par: Par) -> Option<Self> {
        let mut state = Pivoting::new(t, w);
        loop {
            let weighted = state.weighted();
            let left = state.left();
            if left <= enough || weighted.iter().all(|v| *v == 0.0) {
                let (size, rank) = (t.nrows(), state.pivots.len());
                let l = Mat::from_fn(size, rank, |i, k| state.l[k * size + i]);
                let pivots = state.pivots;
                return Some(Self { l, pivots, left });
            }
            if state.pivots.len() >= most {
                return None;
            }
            state.block(&weighted, par);
        }
    }
}

struct Pivoting<'t> {
    t: &'t Mat<f64>,
    w: &'t [f64],
    /// Diagonal of the residual.
    diagonal: Vec<f64>,
    floor: f64,
    /// L by columns.
    l: Vec<f64>,
    pivots: Vec<usize>,
}

impl<'t> Pivoting<'t> {
    fn new(t: &'t Mat<f64>, w: &'t [f64]) -> Self {
        let diagonal: Vec<f64> = (0..t.nrows()).map(|j| t[(j, j)]).collect();
        Self {
            floor: ROUNDING * diagonal.iter().copied().fold(0.0, f64::max),
            t,
            w,
            diagonal,
            l: vec![],
            pivots: vec![],
        }
    }

    /// Residuals by their weights, 0 where they are rounding.
    fn weighted(&self) -> Vec<f64> {
        let one = |(d, w): (&f64, &f64)| if *d > self.floor { d * w * w } else { 0.0 };
        self.diagonal.iter().zip(self.w).map(one).collect()
    }

    /// Residuals by their weights, those of rounding too.
    fn left(&self) -> f64 {
        self.diagonal.iter().zip(self.w).map(|(d, w)| d.abs() * w * w).sum()
    }

    /// The columns of the next pivots.
    fn block(&mut self, weighted: &[f64], par: Par) {
        let size = self.t.nrows();
        let least = CANDIDATE * weighted.iter().copied().fold(0.0, f64::max);
        let mut places: Vec<usize> = (0..size).filter(|&j| weighted[j] >= least).collect();
        places.sort_by(|a, b| weighted[*b].total_cmp(&weighted[*a]));
        places.truncate(BLOCK);
        let mut residual = self.residual(&places, par);
        let mut open: Vec<usize> = (0..places.len()).collect();
        while let Some(best) = self.best(&residual, &places, &open, least) {
            open.retain(|k| *k != best);
            let (p, pivot) = (places[best], residual[(places[best], best)]);
            let column: Vec<f64> = residual.col(best).iter().map(|c| c / pivot.sqrt()).collect();
            for &k in &open {
                axpy(-column[places[k]], &column, residual.col_as_slice_mut(k));
            }
            self.diagonal.iter_mut().zip(&column).for_each(|(d, c)| *d -= c * c);
            self.diagonal[p] = 0.0;
            self.l.extend(column);
            self.pivots.push(p);
        }
        // computed anew they are more accurate than by subtraction
        open.iter()
            .for_each(|&k| self.diagonal[places[k]] = residual[(places[k], k)]);
    }

    /// The column with the largest weighted residual at its own place, if that is large enough; the first of a block always is.
    fn best(&self, residual: &Mat<f64>, places: &[usize], open: &[usize], least: f64) -> Option<usize> {
        let value = |k: usize| residual[(places[k], k)] * self.w[places[k]].powi(2);
        let best = open.iter().copied().max_by(|a, b| value(*a).total_cmp(&value(*b)))?;
        let large = residual[(places[best], best)] > self.floor && value(best) >= least;
        large.then_some(best)
    }

    /// Columns of `T - L L'`.
    fn residual(&self, places: &[usize], par: Par) -> Mat<f64> {
        let (size, rank) = (self.t.nrows(), self.pivots.len());
        let entry = |i: usize, j: usize| self.t[(i.max(j), i.min(j))];
        let mut residual = Mat::from_fn(size, places.len(), |i, k| entry(i, places[k]));
        let l = faer::MatRef::from_column_major_slice(&self.l, size, rank);
        let rows = Mat::from_fn(rank, places.len(), |k, c| l[(places[c], k)]);
        matmul(residual.as_mut(), Accum::Add, l, rows.as_ref(), -1.0, par);
        clear_registers();
        residual
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_what_was_asked_for() {
        // smooth kernel: singular values fall geometrically
        let t = Mat::from_fn(60, 60, |i, j| (-0.002 * (i as f64 - j as f64).powi(2)).exp());
        let w: Vec<f64> = (0..60).map(|j| 1.0 / (1.0 + 0.1 * j as f64)).collect();
        let whole = |enough: f64| PivotedCholesky::new(&t, &w, enough, 60, Par::Seq).unwrap();
        for enough in [1e-2, 1e-6] {
            let found = whole(enough);
            let residual = &t - &found.l * found.l.transpose();
            let left: f64 = (0..60).map(|j| w[j] * w[j] * residual[(j, j)]).sum();
            let rank = found.pivots.len();
            assert!(rank < 30, "{rank}");
            // an entry of a residual is 1 less a sum of `rank` products, weights are 1 at most
            let rounding = 4.0 * rank as f64 * f64::EPSILON;
            assert!(left <= enough + 60.0 * rounding, "{left}");
            assert!((left - found.left).abs() < 60.0 * rounding, "{left} {}", found.left);
            for (k, &p) in found.pivots.iter().enumerate() {
                // a column is a residual by the root of its pivot
                let above = |j: usize| (found.l[(p, j)] * found.l[(found.pivots[j], j)]).abs();
                assert!((k + 1..rank).all(|j| above(j) < rounding));
            }
        }
        assert!(PivotedCholesky::new(&t, &w, 1e-6, 3, Par::Seq).is_none());
    }
}
