//! The grid of log delta that the responses of a pattern share.

use crate::likelihood::delta_grid::{borders, log_least};
use crate::likelihood::optimize::{DeltaGrid, grid_points};
use crate::likelihood::{Criterion, proportions};
use crate::linalg::product;
use faer::{Mat, Par};
use num_dual::{Dual64, DualNum, first_derivative};

/// log-determinants and weights at each point, with their slopes in log delta.
pub struct Common {
    at: Vec<f64>,
    log_det: Vec<Dual64>,
    /// 1 / g, the weight of what the kernel does not reach.
    rest: Vec<Dual64>,
    /// 1 / (h lambda + g): a row a point, then a row for each slope.
    weights: Mat<f64>,
}

impl Common {
    /// From a criterion whose response is 0.
    pub fn new(criterion: &Criterion<'_>) -> Self {
        let at = grid_points(criterion.data);
        let duals: Vec<(Dual64, Dual64)> = at.iter().map(|t| proportions(Dual64::from(*t).derivative())).collect();
        let inverse: Vec<Vec<Dual64>> = duals.iter().map(|&(h, g)| criterion.inverse(h, g)).collect();
        let points = at.len();
        let entry = |i: usize, j: usize| {
            if i < points {
                inverse[i][j].re
            } else {
                inverse[i - points][j].eps
            }
        };
        Self {
            log_det: duals.iter().map(|&(h, g)| criterion.terms(h, g).log_det).collect(),
            rest: duals.iter().map(|&(_, g)| g.recip()).collect(),
            weights: Mat::from_fn(2 * points, criterion.data.values.len(), entry),
            at,
        }
    }

    /// Quadratic forms of rotated responses, a column each, for `grid`.
    pub fn forms(&self, rotated: &Mat<f64>, par: Par) -> Mat<f64> {
        let square = Mat::from_fn(rotated.nrows(), rotated.ncols(), |i, j| {
            rotated[(i, j)] * rotated[(i, j)]
        });
        product(self.weights.as_ref(), square.as_ref(), par)
    }

    /// The grid of one response from column `j` of its forms. Points that it alone needs, below the common ones, are added.
    pub fn grid(&self, criterion: &Criterion<'_>, forms: &Mat<f64>, j: usize) -> DeltaGrid {
        let at = grid_points(criterion.data);
        let own = at.len() - self.at.len();
        let deviance =
            |i: usize| self.deviance(criterion, i, Dual64::new(forms[(i, j)], forms[(i + self.at.len(), j)]));
        let below = at[..own]
            .iter()
            .map(|t| first_derivative(|x| criterion.deviance(x), *t));
        let common = (0..self.at.len()).map(|i| (deviance(i).re, deviance(i).eps));
        let (value, slope) = below.chain(common).unzip();
        let (lower, upper) = borders(criterion);
        DeltaGrid {
            at,
            value,
            slope,
            lower,
            upper,
            floored: false,
        }
    }

    /// The same with no delta below `floor` (0: none), unless the kernel is so far from singular that delta may be 0.
    pub fn grid_above(&self, criterion: &Criterion<'_>, forms: &Mat<f64>, j: usize, floor: f64) -> DeltaGrid {
        let grid = self.grid(criterion, forms, j);
        match log_least(criterion.data, floor) {
            None => grid,
            Some(least) => grid.above(criterion, least),
        }
    }

    fn deviance(&self, criterion: &Criterion<'_>, i: usize, mut q: Dual64) -> Dual64 {
        let n = criterion.n() as f64;
        if criterion.data.rho > 0.0 {
            q += self.rest[i] * criterion.data.rho;
        }
        (q / n).ln() * n + self.log_det[i] + (n + criterion.constant())
    }
}
