//! Some rows and columns of a square matrix beside their mirror image, tile by tile: both lie in the cache while they are looked at.

use crate::runtime::stop;
use faer::MatRef;
use std::borrow::Cow;
use std::ops::Range;

/// Side of a tile.
pub const SIDE: usize = 32;

/// Numbers of a tile, column after column.
type Tile = [[f64; SIDE]; SIDE];

/// Entries `(at[i], at[j])` of a square matrix.
pub struct Mirrored<'a> {
    columns: Vec<Cow<'a, [f64]>>,
    at: &'a [usize],
    /// Does each place follow the one before?
    in_a_row: bool,
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
            in_a_row: at.windows(2).all(|pair| pair[1] == pair[0] + 1),
        }
    }

    /// Strips as wide as a tile.
    pub fn strips(&self) -> usize {
        self.at.len().div_ceil(SIDE)
    }

    /// Looks at the tiles on and below the diagonal, those of the same columns one after another: at rows i of each column j, the entries
    /// (i, j) and then (j, i). A request to stop leaves it unfinished.
    pub fn each(&self, mut look: impl FnMut(usize, Range<usize>, &[f64], &[f64])) {
        (0..self.strips()).for_each(|strip| self.strip(strip, &mut look));
    }

    /// The tiles of a strip of columns.
    pub fn strip(&self, strip: usize, mut look: impl FnMut(usize, Range<usize>, &[f64], &[f64])) {
        let n = self.at.len();
        if stop::check().is_err() {
            return;
        }
        let columns = strip * SIDE..n.min((strip + 1) * SIDE);
        let (mut below, mut above) = ([[0.0; SIDE]; SIDE], [[0.0; SIDE]; SIDE]);
        for first in (columns.start..n).step_by(SIDE) {
            let rows = first..n.min(first + SIDE);
            self.put(&rows, &columns, &mut below);
            self.put_transposed(&rows, &columns, &mut above);
            for ((j, below), above) in columns.clone().zip(&below).zip(&above) {
                look(j, rows.clone(), &below[..rows.len()], &above[..rows.len()]);
            }
        }
    }

    /// Some rows of some columns.
    fn put(&self, rows: &Range<usize>, columns: &Range<usize>, tile: &mut Tile) {
        for (tile, column) in tile.iter_mut().zip(&self.columns[columns.clone()]) {
            self.pick(column, rows, &mut tile[..rows.len()]);
        }
    }

    fn put_transposed(&self, rows: &Range<usize>, columns: &Range<usize>, tile: &mut Tile) {
        let mut row = [0.0; SIDE];
        for (i, column) in self.columns[rows.clone()].iter().enumerate() {
            self.pick(column, columns, &mut row[..columns.len()]);
            for (tile, entry) in tile.iter_mut().zip(row) {
                tile[i] = entry;
            }
        }
    }

    fn pick(&self, column: &[f64], rows: &Range<usize>, to: &mut [f64]) {
        let at = &self.at[rows.clone()];
        match at.first() {
            Some(&first) if self.in_a_row => to.copy_from_slice(&column[first..first + at.len()]),
            _ => to.iter_mut().zip(at).for_each(|(to, &i)| *to = column[i]),
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
            let scattered: Vec<usize> = (0..n).map(|i| (7 * i + 3) % 90).collect();
            let in_a_row: Vec<usize> = (90 - n..90).collect();
            for at in [scattered, in_a_row] {
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
}
