//! The small table that a pass over the data leaves: Fourier sums and cross products. Tables of parts of the data add up.

use super::gram::Sums;
use super::grid::Grid;
use faer::Mat;

/// Columns are those of X, then those of Y, each less its shift; rows count with their weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Moments {
    /// The frequencies of the table.
    pub grid: Grid,
    /// Number of rows.
    pub n: f64,
    /// Sum of the logarithms of the weights.
    pub log_weights: f64,
    /// What was taken off each column; nothing but 0 unless X has an intercept.
    pub shifts: Vec<f64>,
    /// Sums of the frequencies to twice the grid's, for ones.
    pub ones: Sums,
    /// Sums of the grid's frequencies for each column.
    pub columns: Vec<Sums>,
    /// X'[X, Y]
    pub cross: Mat<f64>,
    /// Sum of squares of each column of Y.
    pub squares: Vec<f64>,
    /// Sums for a grouping factor beside the process; empty without one.
    pub groups: GroupMoments,
}

/// A grouping factor of the rows: its incidence matrix Z against everything else. Empty without one.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct GroupMoments {
    /// Diagonal of Z'Z.
    pub counts: Vec<f64>,
    /// Z'F: sums of the grid's frequencies for each group.
    pub sums: Vec<Sums>,
    /// Z'[X, Y], a row for each group.
    pub cross: Vec<Vec<f64>>,
}

impl Moments {
    /// Columns of X.
    pub fn p(&self) -> usize {
        self.cross.nrows()
    }
}
