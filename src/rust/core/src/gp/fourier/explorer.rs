//! A search for the basis that serves the length scale: its data, and what its steps hand on.
//!
//! The fewer functions the narrower the range of length scales that a basis serves. So the whole range is first explored window by window, on a sample of rows and with
//! few functions; then all rows pass over a table for the neighbourhood of what was found, fine enough that what it leaves out of the kernel's variance is small beside
//! delta, and a narrow window is moved until the optimum lies inside.

use super::grid::Grid;
use super::moments::Moments;
use super::nested::Ladder;
use super::sufficient::moments;
use super::weights::WeightSpace;
use crate::gp::Process;
use crate::gp::bounds::{Bounds, Range};
use crate::gp::found::Optima;
use crate::gp::observations::Observations;
use crate::gp::search::LengthSearch;
use crate::gp::settings::Settings;
use crate::runtime::error::{Error, Result};
use crate::runtime::monitor::Monitor;
use crate::runtime::parallel::Workers;
use std::cell::RefCell;

/// The process on the basis that serves its optimum, and the table of that basis.
pub struct Settled {
    /// Part of the process' variance that the basis may leave out.
    pub eps: f64,
    /// The table of sums of that basis.
    pub moments: Moments,
    /// The data of the response in that basis.
    pub space: WeightSpace,
    /// The space that the length scale was estimated in, if it is not `space`.
    pub guarded: Option<WeightSpace>,
    /// Length scales that the basis serves.
    pub range: Range,
    /// Optima over the length scales, best first.
    pub found: Optima,
    /// Does the length scale lie at an end that the search could not pass?
    pub at_end: bool,
    /// Does the length scale still depend on how far the basis reaches, which is as far as it may?
    pub limited: bool,
}

/// Least half width of a window, in log length scale: where the length scale is known better than this, a narrower window saves no functions that matter.
pub(super) const HALF: f64 = 0.1;
/// Least part of the variance that a grid is asked to leave out: the transforms' own error is 1e-12 of a sum.
pub(super) const FINEST: f64 = 1e-10;
/// Part of the process' variance that the basis of the exploration leaves out: an estimate of delta is right to about that much. A tenth takes more functions, by the tail of the spectral density.
pub(super) const COARSE: f64 = 1e-2;

pub(super) const NOTHING: Error = Error::NoConvergence {
    what: "the search for the length scale",
    iterations: 0,
};

/// All rows, or the table that they left.
pub enum MomentSource<'a> {
    /// The rows themselves: every basis takes a pass over them.
    Rows(&'a Observations<'a>),
    /// A table of sums, and which of its responses: no pass over rows.
    Table(&'a Ladder, usize),
}

/// The search for a basis that serves the optimum of one response.
pub struct Explorer<'a> {
    /// Where the sums come from.
    pub source: MomentSource<'a>,
    /// Box of the rows and of later targets.
    pub bounds: &'a Bounds,
    /// The process, and the range of its length scales.
    pub request: &'a Settings,
    /// Threads of the call.
    pub workers: &'a Workers,
}

impl Explorer<'_> {
    pub(crate) fn d(&self) -> usize {
        self.bounds.d()
    }

    /// A search over the length scales of `process`, by this explorer's likelihood and threads.
    pub fn search<'s>(&'s self, process: &'s dyn Process, monitor: &'s mut dyn Monitor) -> LengthSearch<'s> {
        LengthSearch {
            process,
            method: self.request.method,
            workers: self.workers,
            monitor: RefCell::new(monitor),
        }
    }

    /// A space in as few coordinates as it needs.
    pub(super) fn lean<'s>(&self, space: &'s WeightSpace, range: &Range, eps: f64) -> Box<dyn Process + Send + 's> {
        self.workers.run(|par| space.lean(self.bounds, range, eps, par))
    }

    /// Number of rows, and the finest part of the variance that a table can hold.
    pub(super) fn rows(&self) -> (f64, f64) {
        match &self.source {
            MomentSource::Rows(data) => (data.n() as f64, FINEST),
            MomentSource::Table(ladder, _) => (ladder.moments.n, ladder.eps),
        }
    }

    /// Which response of a table.
    pub(super) fn response(&self) -> usize {
        match &self.source {
            MomentSource::Rows(_) => 0,
            MomentSource::Table(_, response) => *response,
        }
    }

    /// A table of some rows for a range.
    pub(crate) fn pass(
        &self,
        data: &Observations<'_>,
        shifts: &[f64],
        range: Range,
        eps: f64,
        monitor: &mut dyn Monitor,
    ) -> Result<Ladder> {
        let grid = Grid::new(self.request.family, self.bounds, &range, eps);
        Ok(Ladder {
            family: self.request.family,
            bounds: self.bounds.clone(),
            eps,
            moments: moments(data, &grid, shifts, self.workers, monitor)?,
            range,
        })
    }
}
