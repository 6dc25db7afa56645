//! Some rows and columns of a square matrix beside their mirror image, tile by tile: both lie in the cache while they are looked at.

use crate::runtime::stop::pieces;
use faer::MatRef;
use std::borrow::Cow;
use std::ops::Range;

/// Side of a tile.
const SIDE: usize = 32;

/// Entries `(at[i], at[j])` of a square matrix.
pub struct Mirrored<'a> {
    columns: Vec<Cow<'a, [f64]>>,
    at: &'a [usize],
}

impl<'a> Mirrored<'a> {
    pub fn new(k: MatRef<'a, f64>, at: &'a [usize]) -> Self {
        let column = |&j: &usize| match k.col(j).try_as_col_major() {
            Some(column) => Cow::Borrowed(column.as_slice()),
            None => Cow::Owned(k.col(j).iter().copied().collect()),
        };
        Self {
            columns: at.iter().map(column).collect(),
            at,
        }
    }

    /// Looks at the tiles on and below the diagonal, those of the same columns one after another: at rows i of each column j, the entries
    /// (i, j) and then (j, i). A request to stop leaves it unfinished.
    pub fn each(&self, mut look: impl FnMut(usize, Range<usize>, &[f64], &[f64])) {
        let n = self.at.len();
        let (mut below, mut above) = ([[0.0; SIDE]; SIDE], [[0.0; SIDE]; SIDE]);
        for columns in pieces(n, SIDE) {
            for first in (columns.start..n).step_by(SIDE) {
                let rows = first..n.min(first + SIDE);
                for (i, k) in rows.clone().enumerate() {
                    let column = &self.columns[k];
                    for (above, &j) in above.iter_mut().zip(&self.at[columns.clone()]) {
                        above[i] = column[j];
                    }
                }
                for (below, j) in below.iter_mut().zip(columns.clone()) {
                    let column = &self.columns[j];
                    for (below, &i) in below.iter_mut().zip(&self.at[rows.clone()]) {
                        *below = column[i];
                    }
                }
                let count = rows.len();
                for ((j, below), above) in columns.clone().zip(&below).zip(&above) {
                    look(j, rows.clone(), &below[..count], &above[..count]);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use faer::Mat;

    #[test]
    fn each_pair_on_and_below_the_diagonal_is_looked_at() {
        let entry = |i: usize, j: usize| (1000 * i + j) as f64;
        let k = Mat::from_fn(90, 90, entry);
        for n in [0, 1, SIDE, 2 * SIDE + 7] {
            let at: Vec<usize> = (0..n).map(|i| (7 * i + 3) % 90).collect();
            let mut seen = Mat::<f64>::zeros(n, n);
            for (matrix, turned) in [(k.as_ref(), false), (k.transpose(), true)] {
                Mirrored::new(matrix, &at).each(|j, rows, below, above| {
                    for ((i, &one), &other) in rows.zip(below).zip(above) {
                        let pair = (entry(at[i], at[j]), entry(at[j], at[i]));
                        assert_eq!(if turned { (other, one) } else { (one, other) }, pair);
                        seen[(i, j)] += 1.0;
                    }
                });
            }
            (0..n).for_each(|j| (j..n).for_each(|i| assert_eq!(seen[(i, j)], 2.0)));
        }
    }
}
