//! The small table that a pass over the data leaves: Fourier sums and cross products. Tables of parts of the data add up.

use super::gram::Sums;
use super::grid::Grid;
use faer::Mat;

/// Columns are those of X, then those of Y; all are taken about the shifts that the table was begun with.
#[derive(Debug, Clone, PartialEq)]
pub struct Moments {
    pub grid: Grid,
    pub n: f64,
    /// Sums of the frequencies to twice the grid's, for ones.
    pub ones: Sums,
    /// Sums of the grid's frequencies for each column.
    pub columns: Vec<Sums>,
    /// [X, Y]'[X, Y]
    pub cross: Mat<f64>,
    pub p: usize,
}

impl Moments {
    /// The table of both parts of the data.
    pub fn add(&mut self, other: &Self) {
        self.n += other.n;
        self.cross += &other.cross;
        let pairs = std::iter::once((&mut self.ones, &other.ones)).chain(self.columns.iter_mut().zip(&other.columns));
        for (a, b) in pairs {
            a.cos.iter_mut().zip(&b.cos).for_each(|(a, b)| *a += b);
            a.sin.iter_mut().zip(&b.sin).for_each(|(a, b)| *a += b);
        }
    }
}
