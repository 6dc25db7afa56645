//! One null model, and the blocks of responses that are searched on it.

use super::shared_grid::Common;
use crate::likelihood::{Criterion, Method};
use crate::linalg::clear_registers;
use crate::lmm::degenerate::diagnose;
use crate::lmm::estimates::Located;
use crate::lmm::fit::{Fit, Options, above_floor, locate_inside};
use crate::rotation::projection::{Projected, Projection};
use crate::rotation::response::Length;
use crate::rotation::rotated::Rotated;
use crate::rotation::{Model, NullModel, ResponseBlock};
use crate::runtime::error::Result;
use crate::runtime::monitor::Monitor;
use crate::runtime::parallel::Workers;
use faer::{Mat, Par};
use rayon::prelude::*;

/// What is asked of the responses of a pattern.
#[derive(Clone, Copy)]
pub struct PatternOptions {
    /// Number of responses in all.
    pub count: usize,
    pub options: Options,
    /// The smallest delta; 0: none.
    pub floor: f64,
}

pub struct Shared<'a> {
    pub null: NullModel<'a>,
    common: Common,
    pub method: Method,
    pub floor: f64,
}

impl<'a> Shared<'a> {
    /// `first`: the first of all responses.
    pub fn new(
        model: &Model<'a>,
        projection: Projection,
        first: Vec<Result<Projected>>,
        options: PatternOptions,
        workers: &Workers,
        monitor: &mut dyn Monitor,
    ) -> Result<(Self, ResponseBlock)> {
        // a reused decomposition is turned anew for each block: many responses are rotated by that of its factor
        let kernel = model.kernel.without_order();
        // eigenvectors pay from about n / 8 responses on
        let vectors = 8 * options.count > projection.coordinates();
        let (mut null, block) = NullModel::new(
            &Model { kernel, ..*model },
            projection,
            first,
            vectors,
            workers,
            monitor,
        )?;
        workers.run(|_| null.check(options.options.tolerance))?;
        let criterion = Criterion {
            data: &null.frame,
            method: options.options.method,
        };
        let common = Common::new(&criterion);
        let (method, floor) = (options.options.method, options.floor);
        Ok((
            Self {
                null,
                common,
                method,
                floor,
            },
            block,
        ))
    }

    /// Fit a block of responses.
    pub fn fit(&self, block: &ResponseBlock, effects: bool, workers: &Workers) -> Vec<Result<Fit>> {
        let located = workers.run(|par| self.search(block, par));
        let place = |l: &Result<Located>| l.as_ref().map_or((0.0, 1.0), |l| (l.h, l.g));
        let at: Vec<(f64, f64)> = located.iter().map(place).collect();
        let alpha = if effects {
            workers.run(|par| self.null.blup(block, &at, par))
        } else {
            vec![vec![]; at.len()]
        };
        let finish = |(located, alpha): (Result<Located>, Vec<f64>)| {
            Ok(Fit {
                alpha,
                profile: vec![],
                ..located?.fit
            })
        };
        located.into_iter().zip(alpha).map(finish).collect()
    }

    /// Each response on its own, in one copy of the rotated data for each thread.
    fn search(&self, block: &ResponseBlock, par: Par) -> Vec<Result<Located>> {
        let forms = self.common.forms(&block.rotated, par);
        let one = |data: &mut Rotated, j: usize| {
            clear_registers();
            self.null.fill(data, block, j)?;
            self.locate(data, block.length(j), &forms, j)
        };
        let copy = || self.null.frame.clone();
        (0..block.parts.len()).into_par_iter().map_init(copy, one).collect()
    }

    fn locate(&self, data: &mut Rotated, length: Length, forms: &Mat<f64>, j: usize) -> Result<Located> {
        let status = above_floor(diagnose(data, length, self.null.trace)?, self.floor);
        let mut located = locate_inside(data, self.method, self.null.kept(), status, |criterion| {
            self.common.grid_above(criterion, forms, j, self.floor)
        })?;
        located.fit.status = above_floor(located.fit.status, self.floor);
        Ok(located)
    }
}
