//! From the rotated data back to random effects: best linear unbiased prediction.

use super::decomposition::Decomposition;
use super::projection::{Projected, columns};
use super::reused_eigen::Reused;
use super::{NullModel, ResponseBlock};
use crate::linalg::band::Band;
use crate::linalg::product;
use crate::linalg::weighted;
use faer::{Mat, Par};
use rayon::prelude::*;

impl NullModel<'_> {
    /// Coefficients of the random effects of each response at its (h, g): alpha with u_hat = K[, index] alpha, or, for a factor, the weights with u_hat = W alpha.
    pub fn blup(&self, block: &ResponseBlock, at: &[(f64, f64)], par: Par) -> Vec<Vec<f64>> {
        let n = self.values().len();
        let floor = n as f64 * f64::EPSILON * self.frame.largest();
        // below the floor the eigenvalues that are rounding would speak
        let safe: Vec<(f64, f64)> = at.iter().map(|(h, g)| (*h, g.max(floor))).collect();
        match &self.decomposition {
            Decomposition::ThinSvd(thin) => scaled(thin.weights(&block.rotated, at, par), block, thin.unit()),
            Decomposition::Reused(reused) => scaled(self.reused_weights(reused, block, at, &safe), block, reused.unit),
            Decomposition::Banded(band, _) => self.of_ids(&self.solved(band, block, &safe, par), block, at),
            Decomposition::Spectral(values, u) => {
                let shrunk = Mat::from_fn(n, at.len(), |i, j| {
                    block.rotated[(i, j)] / (safe[j].0 * values[i] + safe[j].1)
                });
                self.of_ids(&product(u.as_ref(), shrunk.as_ref(), par), block, at)
            }
        }
    }

    /// (h K22 + g I)^-1 y2
    fn solved(&self, band: &Band, block: &ResponseBlock, at: &[(f64, f64)], par: Par) -> Mat<f64> {
        let mut c = columns(&block.parts, band.n());
        band.transpose_apply(c.as_mut(), par);
        c.par_col_iter_mut().zip(at).for_each(|(column, (h, g))| {
            if let Some(column) = column.try_as_col_major_mut() {
                band.solve(*h, *g, column.as_slice_mut());
            }
        });
        band.apply(c.as_mut(), par);
        c
    }

    /// From columns in the coordinates of y2 to ids, and for a factor on to its columns.
    fn of_ids(&self, c: &Mat<f64>, block: &ResponseBlock, at: &[(f64, f64)]) -> Vec<Vec<f64>> {
        let one = |(j, part): (usize, Option<&Projected>)| {
            let Some(part) = part else { return vec![] };
            let c: Vec<f64> = c.col(j).iter().copied().collect();
            let mut alpha = self.projection.to_groups(&c, part, self.index.len());
            let scale = at[j].0 * part.scale / self.frame.k_scale;
            alpha.iter_mut().for_each(|a| *a *= scale);
            self.of_columns(alpha)
        };
        let parts: Vec<Option<&Projected>> = block.parts.iter().map(|part| part.as_ref().ok()).collect();
        parts.into_par_iter().enumerate().map(one).collect()
    }

    /// W' alpha over the rows of the groups.
    fn of_columns(&self, alpha: Vec<f64>) -> Vec<f64> {
        self.kernel.factor_times(self.index, &alpha).unwrap_or(alpha)
    }

    /// From the residuals y - X beta_hat in rows: along X they are h K12 (h K22 + g I)^-1 y2.
    fn reused_weights(
        &self,
        reused: &Reused<'_>,
        block: &ResponseBlock,
        at: &[(f64, f64)],
        safe: &[(f64, f64)],
    ) -> Vec<Vec<f64>> {
        let fixed = self.projection.fixed();
        let one = |(j, part): (usize, &Projected)| {
            let (h, g) = safe[j];
            let inverse: Vec<f64> = self.frame.values.iter().map(|v| (h * v + g).recip()).collect();
            let y: Vec<f64> = block.rotated.col(j).iter().copied().collect();
            let mut rows = self.projection.lift(&part.y2);
            for (q, b) in fixed.iter().zip(&self.frame.b) {
                crate::linalg::axpy(h * weighted(b, &y, &inverse), q, &mut rows);
            }
            reused.weights(&rows, at[j].0, at[j].1)
        };
        let parts = block.parts.iter().enumerate();
        parts
            .map(|(j, part)| part.as_ref().map_or(vec![], |part| one((j, part))))
            .collect()
    }
}

/// In the units of the responses and of the factor.
fn scaled(mut weights: Vec<Vec<f64>>, block: &ResponseBlock, unit: f64) -> Vec<Vec<f64>> {
    for (weights, part) in weights.iter_mut().zip(&block.parts) {
        let scale = part.as_ref().map_or(1.0, |part| part.scale);
        weights.iter_mut().for_each(|a| *a = *a * scale / unit);
    }
    weights
}
