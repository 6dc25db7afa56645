//! Many responses by the kernel matrix: the rows as a model, and what is left to do at the length scales that are best.

use super::many_search::{Best, ManySettings};
use super::places::correlations;
use crate::gp::observations::Observations;
use crate::kernel::Kernel;
use crate::kernel::dense::Dense;
use crate::lmm::look::{columns_of, only_looked_at};
use crate::lmm::many::fit_many;
use crate::rotation::Model;
use crate::runtime::error::Result;
use crate::runtime::monitor::Monitor;
use faer::{Mat, MatRef};

/// The rows as a model with a kernel over them.
pub(super) struct OfRows<'a> {
    pub data: &'a Observations<'a>,
    pub x: MatRef<'a, f64>,
    pub weights: &'a [f64],
    pub ones: &'a [f64],
    pub rows: &'a [usize],
    pub settings: ManySettings<'a>,
}

impl OfRows<'_> {
    pub(super) fn kernel(&self, length: f64) -> Result<Mat<f64>> {
        let places = &self.data.coordinates;
        correlations(self.settings.request.family, places, places, &self.lengths(length))
    }

    pub(super) fn lengths(&self, length: f64) -> Vec<f64> {
        self.settings.request.lengths.clone().unwrap_or(vec![length; 3])
    }

    pub(super) fn model<'b>(&'b self, kernel: &'b Mat<f64>) -> Model<'b> {
        Model {
            y: self.ones,
            x: self.x,
            weights: self.weights,
            z: self.ones,
            group: self.rows,
            kernel: Kernel::Dense(Dense(kernel.as_ref())),
            index: self.rows,
        }
    }

    /// Responses that were only looked at are fitted where they are best, those of one length scale together.
    pub(super) fn complete(&self, best: &mut Best, y: MatRef<'_, f64>, monitor: &mut dyn Monitor) -> Result<()> {
        let mut left: Vec<usize> = only_looked_at(y);
        left.retain(|&j| best.fits[j].is_ok());
        left.sort_by(|&a, &b| best.fitted[a].length.total_cmp(&best.fitted[b].length));
        for some in left.chunk_by(|&a, &b| best.fitted[a].length == best.fitted[b].length) {
            let kernel = self.kernel(best.fitted[some[0]].length)?;
            let responses = columns_of(y, some);
            let found = fit_many(
                responses.as_ref(),
                &self.model(&kernel),
                self.settings.of_many(),
                monitor,
            )?;
            some.iter().zip(found.fits).for_each(|(&j, fit)| best.fits[j] = fit);
        }
        Ok(())
    }
}
