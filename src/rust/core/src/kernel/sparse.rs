//! A factor W of few entries, by columns: `x[p[c]..p[c + 1]]` are those of column c, in the rows that `i` says.

use crate::runtime::error::{Error, Result};
use faer::Mat;

/// Compressed columns of W, `nrows` rows; borrowed.
#[derive(Clone, Copy)]
pub struct Sparse<'a> {
    /// Number of rows.
    pub(crate) nrows: usize,
    p: &'a [i32],
    i: &'a [i32],
    x: &'a [f64],
}

impl<'a> Sparse<'a> {
    /// Compressed columns, rows from 0.
    pub fn new(nrows: usize, p: &'a [i32], i: &'a [i32], x: &'a [f64]) -> Result<Self> {
        let ascending = p.first() == Some(&0) && p.windows(2).all(|w| w[0] <= w[1]);
        let inside = i.iter().all(|&i| usize::try_from(i).is_ok_and(|i| i < nrows));
        let complete = i.len() == x.len() && p.last().map(|&last| last as usize) == Some(x.len());
        let why = match (ascending, inside, complete) {
            (true, true, true) => return Ok(Self { nrows, p, i, x }),
            (false, ..) => "has column pointers that do not ascend from 0".to_owned(),
            (_, false, _) => format!("has entries outside its {nrows} rows"),
            _ => "has not a row and a value for each of its entries".to_owned(),
        };
        let what = "the sparse factor W";
        Err(Error::Argument { what, why })
    }

    pub(crate) fn ncols(&self) -> usize {
        self.p.len() - 1
    }

    /// Rows and entries of a column.
    pub(crate) fn column(&self, c: usize) -> impl Iterator<Item = (usize, f64)> {
        let range = self.p[c] as usize..self.p[c + 1] as usize;
        self.i[range.clone()]
            .iter()
            .zip(&self.x[range])
            .map(|(&i, &x)| (i as usize, x))
    }

    /// W with its zeros; entries that are given twice add up.
    pub fn to_dense(self) -> Mat<f64> {
        let mut w = Mat::zeros(self.nrows, self.ncols());
        (0..self.ncols()).for_each(|c| self.column(c).for_each(|(i, x)| w[(i, c)] += x));
        w
    }

    /// W' a, for a with an entry for each row.
    pub fn transpose_times(&self, a: &[f64]) -> Vec<f64> {
        (0..self.ncols())
            .map(|c| self.column(c).map(|(i, x)| x * a[i]).sum())
            .collect()
    }

    /// (W W')_ij
    pub fn entry(&self, i: usize, j: usize) -> f64 {
        let at = |c: usize, row: usize| self.column(c).filter(|(i, _)| *i == row).map(|(_, x)| x).sum::<f64>();
        (0..self.ncols()).map(|c| at(c, i) * at(c, j)).sum()
    }
}
