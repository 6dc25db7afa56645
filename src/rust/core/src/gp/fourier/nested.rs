//! One table of sums that serves a wide range of length scales, and for each part of the range a basis no larger than that part needs.
//!
//! The table's frequencies are close enough for the longest length scale and reach far enough for the shortest. A shorter length scale needs only
//! every s-th of them, a longer one only the low ones: both are parts of the table.

use super::gram::Sums;
use super::grid::{Grid, ball_size};
use super::moments::{GroupMoments, Moments};
use super::weights::WeightSpace;
use crate::gp::bounds::{Bounds, Range};
use crate::kernel::stationary::Family;
use crate::runtime::error::{Error, Result};

/// The table of sums, with what it was made for.
#[derive(Debug, Clone)]
pub struct Ladder {
    /// Family of the kernel.
    pub family: Family,
    /// Box that the table serves.
    pub bounds: Bounds,
    /// Length scales that the table serves.
    pub range: Range,
    /// Part of the variance that may be left out.
    pub eps: f64,
    /// Sums over all rows, which depend on no length scale.
    pub moments: Moments,
}

impl Ladder {
    /// Part of a table for a part of its range; the sums of every s-th frequency.
    pub(crate) fn part(&self, range: &Range, eps: f64) -> Moments {
        let (stride, grid) = self.steps(range, eps);
        self.moments.strided(&stride, grid)
    }

    /// Which frequencies a part of the range takes, and the grid that they are.
    fn steps(&self, range: &Range, eps: f64) -> (Vec<usize>, Grid) {
        let wanted = Grid::new(self.family, &self.bounds, range, eps);
        let Grid { h, m, centre } = &self.moments.grid;
        let step = |a: usize| ((wanted.h[a] / h[a] * (1.0 + 1e-9)).floor() as usize).clamp(1, m[a]);
        let stride: Vec<usize> = (0..h.len()).map(step).collect();
        let reach = |a: usize| (wanted.m[a] as f64 * wanted.h[a] / (h[a] * stride[a] as f64)).ceil() as usize;
        let grid = Grid {
            centre: centre.clone(),
            h: (0..h.len()).map(|a| h[a] * stride[a] as f64).collect(),
            m: (0..h.len()).map(|a| reach(a).min(m[a] / stride[a])).collect(),
        };
        (stride, grid)
    }

    /// The space of one response for a part of the range that leaves out no more than `eps` of the variance, and its table.
    pub(crate) fn space(&self, range: &Range, eps: f64, response: usize) -> Result<(Moments, WeightSpace)> {
        let part = self.part(range, eps);
        let frequencies = part.grid.frequencies(self.family, &range.shortest, eps);
        let space = WeightSpace::new(self.family, &part, frequencies, response)?;
        Ok((part, space))
    }

    /// The table as if there were no groups.
    pub(crate) fn without_groups(&self) -> Self {
        let moments = Moments {
            groups: GroupMoments::default(),
            ..self.moments.clone()
        };
        Self {
            moments,
            ..self.clone()
        }
    }

    /// How many functions a part of the range takes, before they are made.
    pub(crate) fn size(&self, range: &Range, eps: f64) -> f64 {
        let (_, grid) = self.steps(range, eps);
        ball_size(self.family, &grid.h, &range.shortest, eps)
    }
}

/// An error for a basis that is too large, with the size that it would have.
pub(crate) fn check_size(size: f64, range: &Range, eps: f64, largest: usize) -> Result<()> {
    if size <= largest as f64 {
        return Ok(());
    }
    Err(Error::Rough {
        size,
        largest,
        length: range.shortest.iter().copied().fold(f64::INFINITY, f64::min),
        missing: eps,
    })
}

impl Moments {
    fn strided(&self, stride: &[usize], grid: Grid) -> Self {
        let twice: Vec<usize> = grid.m.iter().map(|m| 2 * m).collect();
        let part = |sums: &Sums| sums.strided(stride, &grid.m);
        Self {
            ones: self.ones.strided(stride, &twice),
            columns: self.columns.iter().map(part).collect(),
            groups: GroupMoments {
                sums: self.groups.sums.iter().map(part).collect(),
                ..self.groups.clone()
            },
            grid,
            ..self.clone()
        }
    }
}
