//! From a band to tridiagonal form, `B = S T S'`, with a few vectors turned along.
//!
//! A sweep takes the entries of one column that are beyond the first below its diagonal to 0 by a reflector; what this fills in below the band is
//! chased off its end, block by block, of which only the first column is taken to 0 each time (Murata and Horikoshi 1975). The sweep of the next
//! column can follow two blocks behind. Sweeps therefore run in groups, each some blocks at a time: groups at work at one time touch columns apart
//! from one another, and the columns that a group touches stay near to the processor.
//!
//! A column of P below its diagonal is stored in 3 P places, of which the last P stay 0: blocks, whose columns are contiguous, then have
//! zeros above their diagonal. `bulge` is what is done to a block.

use super::bulge::Sweep;
use super::registers::{RegisterColumns, TurnedRows};
use crate::runtime::error::Result;
use crate::runtime::parallel::worth;
use crate::runtime::stop;
use faer::Par;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// Widths that the loops are compiled for.
#[cfg(test)]
pub const WIDTHS: [usize; 3] = [8, 16, 24];

/// Sweeps of a group. They pass twice as many blocks at a time, so that a group that is as far behind another touches none of its columns.
const GROUP: usize = 8;

/// `lower(i, j)`, i >= j, of a matrix with nothing beyond `width` below its diagonal; `rows`, n of them, become `S' rows`.
/// Gives the diagonal of T and what is beside it, with a 0 behind.
pub fn tridiagonal(
    n: usize,
    width: usize,
    lower: impl Fn(usize, usize) -> f64,
    rows: &mut TurnedRows,
    par: Par,
) -> Result<(Vec<f64>, Vec<f64>)> {
    match width {
        8 => Chase::<8>::new(n, lower, rows).run(par),
        16 => Chase::<16>::new(n, lower, rows).run(par),
        24 => Chase::<24>::new(n, lower, rows).run(par),
        _ => unreachable!("no such width"),
    }
}

/// Columns of the matrix, and rows that are turned along.
struct Chase<'a, const P: usize> {
    n: usize,
    /// Entry (i, j) is number `i - j + 3 P j`.
    entries: Vec<f64>,
    rows: &'a mut TurnedRows,
}

/// A group of sweeps, one column after another.
struct Group<const P: usize> {
    sweeps: Vec<Sweep<P>>,
    /// First column.
    first: usize,
    /// Blocks that the first sweep has passed.
    passed: usize,
}

impl<'a, const P: usize> Chase<'a, P> {
    fn new(n: usize, lower: impl Fn(usize, usize) -> f64, rows: &'a mut TurnedRows) -> Self {
        let mut entries = vec![0.0; 3 * P * (n + P)];
        for j in 0..n {
            for i in j..n.min(j + P + 1) {
                entries[i - j + 3 * P * j] = lower(i, j);
            }
        }
        rows.numbers.resize((n + P) * rows.wide, 0.0);
        Self { n, entries, rows }
    }

    fn run(mut self, par: Par) -> Result<(Vec<f64>, Vec<f64>)> {
        let (n, columns) = (self.n, self.n.saturating_sub(2));
        let mut groups: Vec<Group<P>> = vec![];
        let mut next = 0;
        while next < columns || !groups.is_empty() {
            stop::check()?;
            if next < columns && groups.last().is_none_or(Group::is_far_ahead) {
                groups.push(Group::new(next, GROUP.min(columns - next)));
                next += GROUP;
            }
            self.advance(&mut groups, par);
            groups.retain(|group| group.passed < n.div_ceil(P) + 2 * GROUP);
        }
        self.rows.numbers.truncate(n * self.rows.wide);
        let entry = |i: usize, j: usize| self.entries[i - j + 3 * P * j];
        let beside = |i: usize| if i + 1 < n { entry(i + 1, i) } else { 0.0 };
        Ok(((0..n).map(|i| entry(i, i)).collect(), (0..n).map(beside).collect()))
    }

    /// Every group goes some blocks on. The first is farthest ahead.
    fn advance(&mut self, groups: &mut [Group<P>], par: Par) {
        let (n, wide) = (self.n, self.rows.wide);
        let (mut entries, mut rows) = (&mut self.entries[..], &mut self.rows.numbers[..]);
        let mut stretches = Vec::with_capacity(groups.len());
        for group in groups {
            let low = group.first_column().min(n + P);
            let (before, own) = entries.split_at_mut(3 * P * low);
            let (rows_before, own_rows) = rows.split_at_mut(wide * low);
            (entries, rows) = (before, rows_before);
            stretches.push(Stretch {
                group,
                entries: own,
                rows: own_rows,
                low,
                n,
                wide,
            });
        }
        let arch = Arch::new();
        // they are in vectors as short as the band is wide, and take twice as long as those of a product
        let operations = 2 * 12 * P * P * 2 * GROUP * GROUP * stretches.len();
        match worth(operations as f64, par) {
            Par::Seq => stretches.into_iter().for_each(|stretch| arch.dispatch(stretch)),
            _ => stretches.into_par_iter().for_each(|stretch| arch.dispatch(stretch)),
        }
    }
}

impl<const P: usize> Group<P> {
    fn new(first: usize, count: usize) -> Self {
        let sweep = |column: usize| Sweep {
            v: [0.0; P],
            tau: 0.0,
            at: column + 1,
        };
        Self {
            sweeps: (first..first + count).map(sweep).collect(),
            first,
            passed: 0,
        }
    }

    /// May the next group begin, all of whose next blocks lie before this one's?
    fn is_far_ahead(&self) -> bool {
        self.passed >= 4 * GROUP
    }

    /// Of those that its sweeps touch next: the last one is 2 blocks behind the one before, and so on.
    fn first_column(&self) -> usize {
        let count = self.sweeps.len();
        match (self.passed + 2).checked_sub(2 * count) {
            Some(blocks) if blocks > 0 => self.first + count + blocks * P,
            _ => self.first,
        }
    }
}

/// Sweeps of a group over their next blocks: columns and rows from `low` on.
struct Stretch<'a, const P: usize> {
    group: &'a mut Group<P>,
    entries: &'a mut [f64],
    rows: &'a mut [f64],
    low: usize,
    n: usize,
    wide: usize,
}

impl<const P: usize> WithSimd for Stretch<'_, P> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        match P / S::F64_LANES {
            2 => self.run(RegisterColumns::<S, P, 2>(simd)),
            4 => self.run(RegisterColumns::<S, P, 4>(simd)),
            6 => self.run(RegisterColumns::<S, P, 6>(simd)),
            8 => self.run(RegisterColumns::<S, P, 8>(simd)),
            12 => self.run(RegisterColumns::<S, P, 12>(simd)),
            16 => self.run(RegisterColumns::<S, P, 16>(simd)),
            24 => self.run(RegisterColumns::<S, P, 24>(simd)),
            _ => unreachable!("no such width"),
        }
    }
}

impl<const P: usize> Stretch<'_, P> {
    #[inline(always)]
    fn run<S: Simd, const L: usize>(&mut self, columns: RegisterColumns<S, P, L>) {
        let (from, until) = (self.group.passed, self.group.passed + 2 * GROUP);
        self.group.passed = until;
        for q in 0..self.group.sweeps.len() {
            let mut sweep = self.group.sweeps[q];
            for block in from.saturating_sub(2 * q)..until.saturating_sub(2 * q) {
                if sweep.at >= self.n {
                    break;
                }
                if block == 0 {
                    let column = 3 * P * (sweep.at - 1 - self.low) + 1;
                    (sweep.v, sweep.tau) = columns.reflector(&mut self.entries[column..]);
                }
                let rows = &mut self.rows[self.wide * (sweep.at - self.low)..][..self.wide * P];
                columns.turn_rows(rows, &sweep);
                let block = &mut self.entries[3 * P * (sweep.at - self.low)..];
                columns.both_sides(block, &sweep);
                (sweep.v, sweep.tau) = columns.below(block, &sweep);
                sweep.at += P;
            }
            self.group.sweeps[q] = sweep;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::eigen::eigen;
    use faer::Mat;

    fn banded(n: usize, width: usize) -> Mat<f64> {
        let entry = |i: usize, j: usize| f64::sin((1 + 37 * i + 101 * j + i * j) as f64);
        Mat::from_fn(n, n, |i, j| {
            if i.abs_diff(j) <= width {
                entry(i.max(j), i.min(j))
            } else {
                0.0
            }
        })
    }

    /// T, and S' by its columns.
    fn chased(a: &Mat<f64>, width: usize, par: Par) -> (Mat<f64>, Mat<f64>) {
        let n = a.nrows();
        let mut rows = TurnedRows::of(Mat::<f64>::identity(n, n).as_ref());
        let (d, e) = tridiagonal(n, width, |i, j| a[(i, j)], &mut rows, par).unwrap();
        let t = Mat::from_fn(n, n, |i, j| match (i == j, i.abs_diff(j) == 1) {
            (true, _) => d[i],
            (_, true) => e[i.min(j)],
            _ => 0.0,
        });
        (t, rows.matrix())
    }

    #[test]
    fn the_band_is_tridiagonal_in_a_basis_that_is_orthonormal() {
        for width in WIDTHS {
            for n in [1, 2, 3, 5, width, width + 1, 2 * width + 1, 100, 301] {
                for par in [Par::Seq, Par::rayon(2)] {
                    let a = banded(n, width);
                    let (t, s) = chased(&a, width, par);
                    assert!(
                        (&s * s.transpose() - Mat::<f64>::identity(n, n)).norm_max() < 1e-13,
                        "{n} {width}"
                    );
                    assert!((&s * &a * s.transpose() - &t).norm_max() < 1e-12, "{n} {width}");
                }
            }
        }
    }

    #[test]
    fn a_band_of_little_rank_keeps_its_eigenvalues() {
        let (n, width) = (200, 16);
        let w = Mat::from_fn(n, 3, |i, j| {
            f64::sin((1 + i * (j + 2)) as f64) * if i < 9 { 1.0 } else { 0.0 }
        });
        let a = &w * w.transpose();
        let (t, s) = chased(&a, width, Par::Seq);
        assert!((&s * &a * s.transpose() - &t).norm_max() < 1e-12);
        let (values, _) = eigen(t, Par::Seq).unwrap();
        let (expected, _) = eigen(a, Par::Seq).unwrap();
        assert!(values.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-12));
    }
}
