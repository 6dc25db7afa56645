//! From a band to tridiagonal form, `B = S T S'`, with a few vectors turned along.
//!
//! A sweep takes the entries of one column that are beyond the first below its diagonal to 0 by a reflector; what this fills in below the band is
//! chased off its end, block by block, of which only the first column is taken to 0 each time (Murata and Horikoshi 1975). The sweep of the next
//! column can follow two blocks behind. Sweeps therefore run in groups, each some blocks at a time: groups at work at one time touch columns apart
//! from one another, and the columns that a group touches stay near to the processor.
//!
//! A column of P below its diagonal is stored in 3 P places, of which the last P stay 0: blocks, whose columns are contiguous, then have
//! zeros above their diagonal, and all loops have a length that is known to the compiler.

use crate::runtime::error::Result;
use crate::runtime::parallel::worth;
use crate::runtime::stop;
use faer::Par;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// Widths that the loops are compiled for.
#[cfg(test)]
pub const WIDTHS: [usize; 3] = [8, 16, 32];

/// Sweeps of a group. They pass twice as many blocks at a time, so that a group that is as far behind another touches none of its columns.
const GROUP: usize = 8;

/// `lower(i, j)`, i >= j, of a matrix with nothing beyond `width` below its diagonal; `rows`: n rows of `wide` numbers each, which become
/// `S' rows`. Gives the diagonal of T and what is beside it, with a 0 behind.
pub fn tridiagonal(
    n: usize,
    width: usize,
    lower: impl Fn(usize, usize) -> f64,
    rows: &mut Vec<f64>,
    wide: usize,
    par: Par,
) -> Result<(Vec<f64>, Vec<f64>)> {
    match width {
        8 => Chase::<8>::new(n, lower, rows, wide).run(par),
        16 => Chase::<16>::new(n, lower, rows, wide).run(par),
        32 => Chase::<32>::new(n, lower, rows, wide).run(par),
        _ => unreachable!("no such width"),
    }
}

/// Columns of the matrix, and rows that are turned along.
struct Chase<'a, const P: usize> {
    n: usize,
    wide: usize,
    /// Entry (i, j) is number `i - j + 3 P j`.
    entries: Vec<f64>,
    rows: &'a mut Vec<f64>,
}

/// Where a sweep is: the reflector that is to be applied next, from row `at` on.
#[derive(Clone, Copy)]
struct Sweep<const P: usize> {
    v: [f64; P],
    tau: f64,
    at: usize,
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
    fn new(n: usize, lower: impl Fn(usize, usize) -> f64, rows: &'a mut Vec<f64>, wide: usize) -> Self {
        let mut entries = vec![0.0; 3 * P * (n + P)];
        for j in 0..n {
            for i in j..n.min(j + P + 1) {
                entries[i - j + 3 * P * j] = lower(i, j);
            }
        }
        rows.resize((n + P) * wide, 0.0);
        Self { n, wide, entries, rows }
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
        self.rows.truncate(n * self.wide);
        let entry = |i: usize, j: usize| self.entries[i - j + 3 * P * j];
        let beside = |i: usize| if i + 1 < n { entry(i + 1, i) } else { 0.0 };
        Ok(((0..n).map(|i| entry(i, i)).collect(), (0..n).map(beside).collect()))
    }

    /// Every group goes some blocks on. The first is farthest ahead.
    fn advance(&mut self, groups: &mut [Group<P>], par: Par) {
        let (n, wide) = (self.n, self.wide);
        let (mut entries, mut rows) = (&mut self.entries[..], &mut self.rows[..]);
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
        // they are in vectors as short as the band is wide, and take four times as long as those of a product
        let operations = 4 * 12 * P * P * 2 * GROUP * GROUP * stretches.len();
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
    fn with_simd<S: Simd>(mut self, _: S) {
        match is_fused::<S>() {
            true => self.run::<true>(),
            false => self.run::<false>(),
        }
    }
}

impl<const P: usize> Stretch<'_, P> {
    #[inline(always)]
    fn run<const FUSED: bool>(&mut self) {
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
                    (sweep.v, sweep.tau) = reflector::<P, FUSED>(array(&mut self.entries[column..]));
                }
                self.turn_rows::<FUSED>(&sweep);
                let block = &mut self.entries[3 * P * (sweep.at - self.low)..];
                both_sides::<P, FUSED>(block, &sweep);
                (sweep.v, sweep.tau) = below::<P, FUSED>(block, &sweep);
                sweep.at += P;
            }
            self.group.sweeps[q] = sweep;
        }
    }

    #[inline(always)]
    fn turn_rows<const FUSED: bool>(&mut self, sweep: &Sweep<P>) {
        let wide = self.wide;
        let rows = &mut self.rows[wide * (sweep.at - self.low)..][..wide * P];
        for k in 0..wide {
            let column: [f64; P] = std::array::from_fn(|i| rows[i * wide + k]);
            let turned = axpy::<P, FUSED>(-sweep.tau * dot::<P, FUSED>(&sweep.v, &column), &sweep.v, column);
            (0..P).for_each(|i| rows[i * wide + k] = turned[i]);
        }
    }
}

#[inline(always)]
fn array<const P: usize>(x: &mut [f64]) -> &mut [f64; P] {
    &mut x.as_chunks_mut().0[0]
}

/// `a x + y`, in registers: values in and out tell the compiler that nothing overlaps.
#[inline(always)]
fn axpy<const P: usize, const FUSED: bool>(a: f64, x: &[f64; P], mut y: [f64; P]) -> [f64; P] {
    for i in 0..P {
        y[i] = if FUSED { a.mul_add(x[i], y[i]) } else { a * x[i] + y[i] };
    }
    y
}

#[inline(always)]
fn dot<const P: usize, const FUSED: bool>(x: &[f64; P], y: &[f64; P]) -> f64 {
    let mut sums = [0.0; 8];
    for first in (0..P).step_by(8) {
        for lane in 0..8 {
            let (x, y) = (x[first + lane], y[first + lane]);
            sums[lane] = if FUSED {
                x.mul_add(y, sums[lane])
            } else {
                x * y + sums[lane]
            };
        }
    }
    let [a, b, c, d, e, f, g, h] = sums;
    ((a + e) + (c + g)) + ((b + f) + (d + h))
}

/// `x <- (I - tau v v') x`, all but its first entry 0.
#[inline(always)]
fn reflector<const P: usize, const FUSED: bool>(x: &mut [f64; P]) -> ([f64; P], f64) {
    let mut v = *x;
    v[0] = 0.0;
    let square = dot::<P, FUSED>(&v, &v);
    let head = x[0];
    // T is of order one: what has no square is 0
    if square < f64::MIN_POSITIVE {
        *x = [0.0; P];
        x[0] = head;
        v = [0.0; P];
        v[0] = 1.0;
        return (v, 0.0);
    }
    let beta = -(head * head + square).sqrt().copysign(head);
    let scale = 1.0 / (head - beta);
    v.iter_mut().for_each(|v| *v *= scale);
    v[0] = 1.0;
    *x = [0.0; P];
    x[0] = beta;
    (v, (beta - head) / beta)
}

/// The reflector on both sides of the diagonal block.
#[inline(always)]
fn both_sides<const P: usize, const FUSED: bool>(block: &mut [f64], sweep: &Sweep<P>) {
    let Sweep { v, tau, .. } = sweep;
    let (mut w, mut across) = ([0.0; P], [0.0; P]);
    for q in 0..P {
        let column = array(&mut block[(3 * P - 1) * q..]);
        w = axpy::<P, FUSED>(v[q], column, w);
        across[q] = dot::<P, FUSED>(column, v) - column[q] * v[q];
    }
    for i in 0..P {
        w[i] = tau * (w[i] + across[i]);
    }
    w = axpy::<P, FUSED>(-0.5 * tau * dot::<P, FUSED>(&w, v), v, w);
    for q in 0..P {
        let column = array(&mut block[(3 * P - 1) * q..]);
        let changed = axpy::<P, FUSED>(-v[q], &w, axpy::<P, FUSED>(-w[q], v, *column));
        for i in 0..P {
            column[i] = if i < q { 0.0 } else { changed[i] };
        }
    }
}

/// The reflector on the right side of the block below, and the next one, which takes its first column to 0, on its left side.
#[inline(always)]
fn below<const P: usize, const FUSED: bool>(block: &mut [f64], sweep: &Sweep<P>) -> ([f64; P], f64) {
    let place = |q: usize| P + (3 * P - 1) * q;
    let mut u = [0.0; P];
    for q in 0..P {
        u = axpy::<P, FUSED>(sweep.v[q], array(&mut block[place(q)..]), u);
    }
    u.iter_mut().for_each(|u| *u *= sweep.tau);
    let first = array(&mut block[place(0)..]);
    *first = axpy::<P, FUSED>(-sweep.v[0], &u, *first);
    let (v, tau) = reflector::<P, FUSED>(first);
    for q in 1..P {
        let column = array(&mut block[place(q)..]);
        let changed = axpy::<P, FUSED>(-sweep.v[q], &u, *column);
        *column = axpy::<P, FUSED>(-tau * dot::<P, FUSED>(&v, &changed), &v, changed);
    }
    (v, tau)
}

/// A fused multiplication is slow where the processor has none.
const fn is_fused<S: Simd>() -> bool {
    !S::IS_SCALAR && cfg!(any(target_arch = "x86_64", target_arch = "aarch64"))
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
        let mut rows: Vec<f64> = (0..n * n).map(|k| if k / n == k % n { 1.0 } else { 0.0 }).collect();
        let (d, e) = tridiagonal(n, width, |i, j| a[(i, j)], &mut rows, n, par).unwrap();
        let t = Mat::from_fn(n, n, |i, j| match (i == j, i.abs_diff(j) == 1) {
            (true, _) => d[i],
            (_, true) => e[i.min(j)],
            _ => 0.0,
        });
        (t, Mat::from_fn(n, n, |i, j| rows[i * n + j]))
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
