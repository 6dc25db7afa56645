//! Fixed effects of a model with several random effects, at variances that are known.

use super::likelihood::AtVariances;
use super::setup::Setup;
use faer::{Mat, Par};

/// X in an orthonormal basis of its span: `beta = basis along`, `Var(beta_hat) = basis covariance basis'`.
pub struct FixedPart {
    /// Coordinates of beta_hat along the basis, r.
    pub along: Vec<f64>,
    /// Their covariance, r x r by rows.
    pub covariance: Vec<Vec<f64>>,
    /// One row for each kept column of X, r x r.
    pub basis: Vec<Vec<f64>>,
    /// log|X'WX| of the kept columns.
    pub log_det_x: f64,
}

impl Setup {
    /// beta = R^-1 w' y and its covariance R^-1 S R^-T.
    pub(crate) fn fixed_effects(&self, point: &AtVariances<'_>, par: Par) -> (Vec<f64>, Vec<Vec<f64>>) {
        let r = self.coordinates.r();
        let fixed = self.problem.fixed_at(point, par);
        let mut along = fixed.w.transpose() * &self.problem.y;
        (0..r).for_each(|j| along[(j, 0)] += self.taken_off[j]);
        let design = &self.coordinates.design;
        let mut beta: Vec<f64> = (0..r).map(|j| along[(j, 0)] * self.y_scale).collect();
        design.solve(&mut beta);
        let solve_columns = |a: &dyn Fn(usize, usize) -> f64| -> Vec<Vec<f64>> {
            (0..r)
                .map(|j| {
                    let mut c: Vec<f64> = (0..r).map(|i| a(i, j)).collect();
                    design.solve(&mut c);
                    c
                })
                .collect()
        };
        let half = solve_columns(&|i, j| fixed.s[(i, j)]);
        let vcov = solve_columns(&|i, j| half[i][j]);
        (
            beta,
            vcov.iter()
                .map(|row| row.iter().map(|v| v * self.y_scale * self.y_scale).collect())
                .collect(),
        )
    }

    /// Coefficient j is this combination of those along the orthonormal basis of X.
    pub(super) fn direction(&self, j: usize) -> Mat<f64> {
        let r = self.coordinates.r();
        let entry = |i: usize| {
            let mut column: Vec<f64> = (0..r).map(|l| f64::from(l == i)).collect();
            self.coordinates.design.solve(&mut column);
            column[j]
        };
        Mat::from_fn(r, 1, |i, _| entry(i))
    }

    /// A coefficient of y as one of the scaled response that X's part has been taken off.
    pub(super) fn of_centred(&self, value: f64, direction: &Mat<f64>) -> f64 {
        let taken: f64 = (self.taken_off.iter().enumerate())
            .map(|(i, t)| direction[(i, 0)] * t)
            .sum();
        value / self.y_scale - taken
    }

    pub(super) fn fixed_part(&self, point: &AtVariances<'_>, par: Par) -> FixedPart {
        let (r, scale) = (self.coordinates.r(), self.y_scale);
        let fixed = self.problem.fixed_at(point, par);
        let mut along = fixed.w.transpose() * &self.problem.y;
        (0..r).for_each(|j| along[(j, 0)] += self.taken_off[j]);
        let design = &self.coordinates.design;
        let column = |j: usize| {
            let mut column: Vec<f64> = (0..r).map(|i| f64::from(i == j)).collect();
            design.solve(&mut column);
            column
        };
        let columns: Vec<Vec<f64>> = (0..r).map(column).collect();
        FixedPart {
            along: (0..r).map(|i| along[(i, 0)] * scale).collect(),
            covariance: (0..r)
                .map(|i| (0..r).map(|j| fixed.s[(i, j)] * scale * scale).collect())
                .collect(),
            basis: (0..r).map(|i| (0..r).map(|j| columns[j][i]).collect()).collect(),
            log_det_x: design.log_det(),
        }
    }
}
