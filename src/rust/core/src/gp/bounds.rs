//! The box of the coordinates, and the range of length scales that a search may take.

/// Sides of the box beyond which a length scale hardly changes the likelihood: a process that is that smooth is a trend.
pub const SIDES: f64 = 3.0;

/// The box of data and targets, one entry an axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Bounds {
    /// Smallest coordinate of each axis.
    pub low: Vec<f64>,
    /// Largest coordinate of each axis.
    pub high: Vec<f64>,
}

impl Bounds {
    pub(crate) fn side(&self, axis: usize) -> f64 {
        self.high[axis] - self.low[axis]
    }

    /// Number of axes.
    pub fn d(&self) -> usize {
        self.low.len()
    }
}

/// Shortest and longest length scale of each axis that the grid has to serve.
#[derive(Debug, Clone, PartialEq)]
pub struct Range {
    /// Shortest length scale of each axis, in units of its coordinate.
    pub shortest: Vec<f64>,
    /// Longest length scale of each axis.
    pub longest: Vec<f64>,
}

impl Range {
    /// Is another range a part of this one, but for rounding?
    pub(crate) fn holds(&self, other: &Self) -> bool {
        const ROUNDING: f64 = 1e-9;
        let shorter = |(a, b): (&f64, &f64)| *a >= *b * (1.0 - ROUNDING);
        other.shortest.iter().zip(&self.shortest).all(shorter) && self.longest.iter().zip(&other.longest).all(shorter)
    }
}
