//! Products of a square matrix with few columns: these read the matrix once each, and take no longer than that.

use super::link::elementary::{Loops, fused, vectorised};
use faer::{Mat, MatRef};

/// Columns beyond which products of matrices are faster.
const FEW: usize = 2;

/// Are these so few that each is multiplied on its own?
pub fn are_few(a: MatRef<'_, f64>) -> bool {
    a.ncols() <= FEW && a.row_stride() == 1
}

/// Some columns, one beside the other.
pub fn chosen(a: MatRef<'_, f64>, those: &[usize]) -> Mat<f64> {
    let mut some: Mat<f64> = Mat::zeros(a.nrows(), those.len());
    for (at, &j) in those.iter().enumerate() {
        some.col_mut(at).copy_from(a.col(j));
    }
    some
}

/// Q'A
pub fn transpose_times(q: &Mat<f64>, a: MatRef<'_, f64>) -> Mat<f64> {
    by_column(a, q.ncols(), |a, out| vectorised(ColumnDots { q, a, out }))
}

/// Q A
pub fn times(q: &Mat<f64>, a: MatRef<'_, f64>) -> Mat<f64> {
    by_column(a, q.nrows(), |a, out| vectorised(ColumnSums { q, a, out }))
}

fn by_column(a: MatRef<'_, f64>, rows: usize, work: impl Fn(&[f64], &mut [f64])) -> Mat<f64> {
    let mut whole: Mat<f64> = Mat::zeros(rows, a.ncols());
    for j in 0..a.ncols() {
        if let Some(column) = a.col(j).try_as_col_major() {
            work(column.as_slice(), whole.col_as_slice_mut(j));
        }
    }
    whole
}

struct ColumnDots<'a> {
    q: &'a Mat<f64>,
    a: &'a [f64],
    out: &'a mut [f64],
}

struct ColumnSums<'a> {
    q: &'a Mat<f64>,
    a: &'a [f64],
    out: &'a mut [f64],
}

/// Partial sums that need not wait for one another.
const LANES: usize = 32;

impl Loops for ColumnDots<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for (j, out) in self.out.iter_mut().enumerate() {
            let q = self.q.col_as_slice(j);
            let mut sums = [0.0; LANES];
            let (q_parts, a_parts) = (q.chunks_exact(LANES), self.a.chunks_exact(LANES));
            let tail = q_parts.remainder().iter().zip(a_parts.remainder());
            let mut rest = 0.0;
            tail.for_each(|(q, a)| rest += q * a);
            for (q, a) in q_parts.zip(a_parts) {
                (0..LANES).for_each(|l| sums[l] = fused(q[l], a[l], sums[l]));
            }
            sums.iter().for_each(|sum| rest += sum);
            *out = rest;
        }
    }
}

impl Loops for ColumnSums<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let (q, a) = (self.q, self.a);
        let (n, whole) = (self.out.len(), a.len() - a.len() % 4);
        let out = &mut self.out[..n];
        // four columns at a time: each number of the sum is read and written a quarter as often
        for j in (0..whole).step_by(4) {
            let [q0, q1, q2, q3] = [0, 1, 2, 3].map(|l| &q.col_as_slice(j + l)[..n]);
            for i in 0..n {
                let (two, more) = (fused(a[j], q0[i], out[i]), a[j + 2] * q2[i]);
                out[i] = fused(a[j + 1], q1[i], two) + fused(a[j + 3], q3[i], more);
            }
        }
        for (j, a) in a.iter().enumerate().skip(whole) {
            let q = &q.col_as_slice(j)[..n];
            (0..n).for_each(|i| out[i] += a * q[i]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_those_written_out() {
        for n in [1, 5, 32, 71] {
            let q = Mat::from_fn(n, n, |i, j| f64::sin((3 * i + 7 * j) as f64));
            let a = Mat::from_fn(n, 2, |i, j| f64::cos((i + 5 * j) as f64));
            assert!(are_few(a.as_ref()));
            let (found, back) = (transpose_times(&q, a.as_ref()), times(&q, a.as_ref()));
            for j in 0..2 {
                for i in 0..n {
                    let exact: f64 = (0..n).map(|l| q[(l, i)] * a[(l, j)]).sum();
                    assert!((found[(i, j)] - exact).abs() < 1e-12 * n as f64);
                    let exact: f64 = (0..n).map(|l| q[(i, l)] * a[(l, j)]).sum();
                    assert!((back[(i, j)] - exact).abs() < 1e-12 * n as f64);
                }
            }
        }
    }
}
