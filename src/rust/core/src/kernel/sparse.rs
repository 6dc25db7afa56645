//! A factor W of few entries, by columns: `x[p[c]..p[c + 1]]` are those of column c, in the rows that `i` says.

use crate::rotation::incidence::NONE;
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

    /// K over the square of a unit between some of its rows, each once, symmetric to the last bit; entries that are given twice add up.
    pub(crate) fn between(&self, rows: &[usize], unit: f64) -> Mat<f64> {
        let mut k = Mat::zeros(rows.len(), rows.len());
        let place = self.places(rows);
        for c in 0..self.ncols() {
            let kept: Vec<(usize, f64)> = self
                .column(c)
                .map(|(i, x)| (place[i], x / unit))
                .filter(|(i, _)| *i != NONE)
                .collect();
            for &(j, x) in &kept {
                kept.iter().for_each(|&(i, y)| k[(i, j)] += y * x);
            }
        }
        k
    }

    /// Place of each row of W in `rows`, or `NONE`.
    fn places(&self, rows: &[usize]) -> Vec<usize> {
        let mut place = vec![NONE; self.nrows];
        rows.iter().enumerate().for_each(|(at, &row)| place[row] = at);
        place
    }

    /// Entries of some rows of W, by those rows: column and value.
    pub(crate) fn entries(&self, rows: &[usize]) -> Vec<Vec<(usize, f64)>> {
        let place = self.places(rows);
        let mut entries = vec![vec![]; rows.len()];
        for c in 0..self.ncols() {
            for (i, x) in self.column(c).filter(|(i, _)| place[*i] != NONE) {
                entries[place[i]].push((c, x));
            }
        }
        entries
    }

    /// Some columns of W, in memory of its own.
    pub(crate) fn columns(&self, columns: &[usize]) -> CompressedColumns {
        let (mut p, mut i, mut x) = (vec![0], vec![], vec![]);
        for &c in columns {
            let range = self.p[c] as usize..self.p[c + 1] as usize;
            i.extend_from_slice(&self.i[range.clone()]);
            x.extend_from_slice(&self.x[range]);
            p.push(x.len() as i32);
        }
        CompressedColumns {
            nrows: self.nrows,
            p,
            i,
            x,
        }
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

/// Compressed columns that are owned.
pub(crate) struct CompressedColumns {
    nrows: usize,
    p: Vec<i32>,
    i: Vec<i32>,
    x: Vec<f64>,
}

impl CompressedColumns {
    pub(crate) fn view(&self) -> Sparse<'_> {
        let Self { nrows, p, i, x } = self;
        Sparse { nrows: *nrows, p, i, x }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Kernel;
    use crate::kernel::low_rank::LowRank;
    use faer::Par;

    /// 5 x 3 with an entry that is given twice and a column without any.
    const W: (&[i32], &[i32], &[f64]) = (&[0, 4, 4, 6], &[0, 2, 2, 4, 1, 2], &[1.0, 2.0, 0.5, -3.0, 4.0, 1.5]);

    #[test]
    fn what_is_asked_of_a_factor_is_that_of_its_dense_matrix() {
        let w = Sparse::new(5, W.0, W.1, W.2).unwrap();
        let mut full = Mat::zeros(5, 3);
        (0..3).for_each(|c| w.column(c).for_each(|(i, x)| full[(i, c)] += x));
        let (rows, a) = ([4, 2, 0], [1.0, -2.0, 0.25]);
        let (thin, dense) = (Kernel::Sparse(w), Kernel::LowRank(LowRank(full.as_ref(), false)));
        assert_eq!(thin.between(&rows, Par::Seq), dense.between(&rows, Par::Seq));
        assert_eq!(thin.factor_columns(), dense.factor_columns());
        assert_eq!(thin.factor_times(&rows, &a), dense.factor_times(&rows, &a));
        assert_eq!(
            thin.factor_rows(|i| rows[i], &a, 2.0),
            dense.factor_rows(|i| rows[i], &a, 2.0)
        );
        let left = w.columns(&[0, 2]);
        let left = Kernel::Sparse(left.view()).between(&rows, Par::Seq);
        assert_eq!(left, dense.between(&rows, Par::Seq));
    }
}
