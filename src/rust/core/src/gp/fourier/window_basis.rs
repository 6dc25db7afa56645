//! The functions of a window of length scales.

use super::grid::Grid;
use crate::gp::bounds::{Bounds, Range};
use crate::kernel::stationary::Family;

/// The functions of a window of length scales.
pub struct WindowBasis {
    /// The grid that the frequencies are points of.
    pub grid: Grid,
    /// Frequencies of a half space, 0 first.
    pub frequencies: Vec<Vec<i64>>,
    /// Length scales that they serve.
    pub range: Range,
    /// Part of the variance that they may leave out.
    pub eps: f64,
}

impl WindowBasis {
    /// Of a window, all but `eps` of the variance of the process.
    pub(super) fn new(family: Family, bounds: &Bounds, range: &Range, eps: f64) -> Self {
        let grid = Grid::new(family, bounds, range, eps);
        Self {
            frequencies: grid.frequencies(family, &range.shortest, eps),
            grid,
            range: range.clone(),
            eps,
        }
    }
}
