//! A symmetric matrix in band form, `A = Q B Q'`, which `band_reduction` brings it to.
//!
//! Vectors are turned by its reflectors, `chase` makes the band tridiagonal, and `ql` makes that diagonal.

use crate::linalg::band_reduction::width_for;
use crate::linalg::chase;
use crate::linalg::ql::rotate;
use crate::linalg::registers::TurnedRows;
use crate::linalg::{clear_registers, max_abs, power_of_two};
use crate::runtime::error::Result;
use crate::runtime::parallel::worth;
use dyn_stack::{MemBuffer, MemStack};
use faer::linalg::householder;
use faer::{Conj, Mat, MatMut, MatRef, Par};

/// Columns of room that it takes beside the matrix: a panel and its products, T, and the band while it is made tridiagonal.
pub const BESIDE: f64 = 320.0;

/// `A = Q B Q'` of the trailing block, from row and column `first` on, of a symmetric matrix.
pub struct Band {
    /// The lower triangle: B as far as it is wide, and the reflectors below it.
    pub(super) storage: Mat<f64>,
    pub(super) first: usize,
    pub(super) width: usize,
    /// T of each block of reflectors, side by side.
    pub(super) factors: Mat<f64>,
}

/// A block of reflectors: where its columns begin, how many rows it has below the band, and how many reflectors.
#[derive(Clone, Copy)]
pub(super) struct Panel {
    pub column: usize,
    pub rows: usize,
    pub count: usize,
}

impl Band {
    /// Consumes the storage of A; only its lower triangle is read.
    pub fn new(a: Mat<f64>, first: usize, par: Par) -> Result<Self> {
        let n = a.nrows() - first;
        Self::of_width(a, first, width_for(n), par)
    }

    pub fn n(&self) -> usize {
        self.storage.nrows() - self.first
    }

    pub(super) fn panels(&self) -> impl DoubleEndedIterator<Item = Panel> + use<> {
        let (n, width) = (self.n(), self.width);
        let panel = move |column| Panel {
            column,
            rows: n - column - width,
            count: width.min(n - column - width),
        };
        (0..n.saturating_sub(width + 1)).step_by(width).map(panel)
    }

    /// Place of a panel in the storage.
    pub(super) fn corner(&self, panel: Panel) -> (usize, usize) {
        (self.first + panel.column + self.width, self.first + panel.column)
    }

    pub(super) fn factor(&self, panel: Panel) -> MatRef<'_, f64> {
        self.factors
            .as_ref()
            .submatrix(0, panel.column, panel.count, panel.count)
    }

    /// C <- Q' C
    pub fn transpose_apply(&self, mut c: MatMut<'_, f64>, par: Par) {
        for panel in self.panels() {
            self.reflect(panel, c.as_mut(), par, true);
        }
    }

    /// C <- Q C
    pub fn apply(&self, mut c: MatMut<'_, f64>, par: Par) {
        for panel in self.panels().rev() {
            self.reflect(panel, c.as_mut(), par, false);
        }
    }

    /// Entry (i, j) of B, i >= j.
    fn entry(&self, i: usize, j: usize) -> f64 {
        match i - j <= self.width {
            true => self.storage[(self.first + i, self.first + j)],
            false => 0.0,
        }
    }

    /// Eigenvalues of A, and columns along its eigenvectors.
    pub fn diagonalise(&self, mut c: Mat<f64>, par: Par) -> Result<(Vec<f64>, Mat<f64>)> {
        self.transpose_apply(c.as_mut(), par);
        let mut rows = TurnedRows::of(c.as_ref());
        let values = self.rotate(&mut rows, par)?;
        Ok((values, rows.matrix()))
    }

    /// Eigenvalues of B = S Lambda S', and `rows <- S' rows`, n of them.
    fn rotate(&self, rows: &mut TurnedRows, par: Par) -> Result<Vec<f64>> {
        let (n, width) = (self.n(), self.width);
        let columns = (0..n).flat_map(|j| (j..n.min(j + width + 1)).map(move |i| (i, j)));
        let unit = power_of_two(max_abs(columns.map(|(i, j)| self.entry(i, j))));
        let (diagonal, beside) = chase::tridiagonal(n, width, |i, j| self.entry(i, j) / unit, rows, par)?;
        let values = rotate(diagonal, beside, rows)?;
        Ok(values.into_iter().map(|v| v * unit).collect())
    }

    /// (h B + g I)^-1 b by LDL', for h B + g I positive definite.
    pub fn solve(&self, h: f64, g: f64, b: &mut [f64]) {
        let (n, width) = (self.n(), self.width);
        let mut factor = vec![0.0; n * (width + 1)];
        let place = |i: usize, j: usize| j * (width + 1) + i - j;
        for j in 0..n {
            let end = n.min(j + width + 1);
            for i in j..end {
                factor[place(i, j)] += h * self.entry(i, j) + if i == j { g } else { 0.0 };
            }
            let pivot = factor[place(j, j)];
            for k in j + 1..end {
                let share = factor[place(k, j)] / pivot;
                (k..end).for_each(|i| factor[place(i, k)] -= share * factor[place(i, j)]);
                b[k] -= share * b[j];
            }
        }
        for j in (0..n).rev() {
            let end = n.min(j + width + 1);
            let after: f64 = (j + 1..end).map(|i| factor[place(i, j)] * b[i]).sum();
            b[j] = (b[j] - after) / factor[place(j, j)];
        }
    }

    fn reflect(&self, panel: Panel, c: MatMut<'_, f64>, par: Par, transpose: bool) {
        let (top, left) = self.corner(panel);
        let basis = self.storage.as_ref().submatrix(top, left, panel.rows, panel.count);
        let scratch = householder::apply_block_householder_on_the_left_in_place_scratch::<f64>;
        let mut memory = MemBuffer::new(scratch(panel.rows, panel.count, c.ncols()));
        let stack = MemStack::new(&mut memory);
        let par = worth(4.0 * (panel.rows * panel.count * c.ncols()) as f64, par);
        let (factor, rows) = (self.factor(panel), c.subrows_mut(panel.column + self.width, panel.rows));
        let apply = match transpose {
            true => householder::apply_block_householder_transpose_on_the_left_in_place_with_conj,
            false => householder::apply_block_householder_on_the_left_in_place_with_conj,
        };
        apply(basis, factor, Conj::No, rows, par, stack);
        clear_registers();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::chase::WIDTHS;
    use crate::linalg::eigen::eigen;

    /// A matrix, and how large it is.
    fn kernels(n: usize) -> Vec<(Mat<f64>, f64)> {
        let entry = |i: usize, j: usize| f64::sin((1 + i * 37 + j * 101 + i * j) as f64);
        let of = |rank: usize, weight: &dyn Fn(usize) -> f64| {
            let w = Mat::from_fn(n, rank, |i, j| entry(i, j) * weight(j));
            &w * w.transpose()
        };
        let plain = of(n, &|_| 1.0);
        let indefinite = Mat::from_fn(n, n, |i, j| entry(i.max(j), i.min(j)));
        let graded = Mat::from_fn(n, n, |i, j| plain[(i, j)] * 0.8f64.powi((i + j) as i32));
        let clustered = Mat::from_fn(n, n, |i, j| if i == j { 1.0 } else { 0.0 } + 1e-9 * plain[(i, j)]);
        let small = Mat::from_fn(n, n, |i, j| plain[(i, j)] * 2f64.powi(-400));
        [
            plain,
            of(n.min(5), &|_| 1.0),
            of(n, &|j| 0.5f64.powi(j as i32)),
            indefinite,
            graded,
            clustered,
            small,
        ]
        .into_iter()
        .map(|a| (a.norm_l2(), a))
        .map(|(norm, a)| (a, norm))
        .collect()
    }

    /// With rows and columns in front that must not be touched.
    fn embedded(a: &Mat<f64>, first: usize) -> Mat<f64> {
        let n = a.nrows() + first;
        let is_front = |i: usize, j: usize| i < first || j < first;
        Mat::from_fn(
            n,
            n,
            |i, j| if is_front(i, j) { 9.0 } else { a[(i - first, j - first)] },
        )
    }

    #[test]
    fn band_and_reflectors_are_the_matrix() {
        for width in WIDTHS {
            for (n, first) in [
                (1, 0),
                (2, 1),
                (width, 0),
                (width + 2, 2),
                (2 * width + 1, 1),
                (133, 3),
                (400, 1),
            ] {
                for (a, norm) in kernels(n) {
                    let band = Band::of_width(embedded(&a, first), first, width, Par::Seq).unwrap();
                    let mut q = Mat::identity(n, n);
                    band.apply(q.as_mut(), Par::Seq);
                    assert!((&q * q.transpose() - Mat::<f64>::identity(n, n)).norm_l2() < 1e-13 * n as f64);
                    let entry = |i: usize, j: usize| band.entry(i.max(j), i.min(j));
                    let b = Mat::from_fn(n, n, entry);
                    assert!(
                        (&q * b * q.transpose() - &a).norm_l2() <= 1e-14 * n as f64 * norm,
                        "{n} {width} {first}"
                    );
                    let mut back = q.clone();
                    band.transpose_apply(back.as_mut(), Par::Seq);
                    assert!((back - Mat::<f64>::identity(n, n)).norm_l2() < 1e-13 * n as f64);
                }
            }
        }
    }

    #[test]
    fn rotated_vectors_reproduce_quadratic_forms_and_eigenvalues() {
        let n = 260;
        let y: Vec<f64> = (0..n).map(|i| f64::cos(3.0 * i as f64)).collect();
        for (a, norm) in kernels(n) {
            for par in [Par::Seq, Par::rayon(2)] {
                let band = Band::new(a.clone(), 0, par).unwrap();
                let column = Mat::from_fn(n, 1, |i, _| y[i]);
                let (mut values, rotated) = band.diagonalise(column.clone(), par).unwrap();
                let direct = (column.transpose() * &a * &column)[(0, 0)];
                let form: f64 = values.iter().zip(rotated.col(0).iter()).map(|(v, r)| v * r * r).sum();
                assert!((form - direct).abs() <= 1e-13 * norm * n as f64);
                values.sort_by(f64::total_cmp);
                // in units of order one, as divide and conquer wants them
                let (expected, _) = eigen(&a * (1.0 / norm), par).unwrap();
                let off = values.iter().zip(&expected).map(|(v, e)| (v / norm - e).abs());
                let worst = off.fold(0.0, f64::max);
                assert!(worst <= 1e-14 * n as f64, "{worst:e}, norm {norm:e}");
            }
        }
    }

    /// Of pairs of relatives, and of a projection: with two eigenvalues, each of many vectors.
    #[test]
    fn eigenvalues_that_repeat_are_found() {
        for n in (32..200).step_by(2) {
            let w = Mat::from_fn(n, n, |i, j| f64::sin((1 + i * 37 + j * 101 + i * j) as f64));
            let q = w.qr().compute_Q();
            for (low, high) in [(0.0, 1.0), (0.5, 1.5), (1.0, 1.0 + 1e-10)] {
                let turned = Mat::from_fn(n, n, |i, j| q[(i, j)] * if j % 2 == 0 { low } else { high });
                let a = &turned * q.transpose();
                let column = Mat::from_fn(n, 1, |i, _| f64::cos(3.0 * i as f64));
                for width in WIDTHS {
                    let band = Band::of_width(a.clone(), 0, width, Par::Seq).unwrap();
                    let (mut values, _) = band.diagonalise(column.clone(), Par::Seq).unwrap();
                    values.sort_by(f64::total_cmp);
                    let expected = |i: usize| if i < n - n / 2 { low } else { high };
                    assert!(
                        (0..n).all(|i| (values[i] - expected(i)).abs() < 1e-13),
                        "{n} {low} {width}"
                    );
                }
            }
        }
    }

    #[test]
    fn solutions_are_those_of_the_matrix() {
        for n in [1, 3, 40, 133] {
            let (a, _) = kernels(n).swap_remove(0);
            let band = Band::new(a.clone(), 0, Par::Seq).unwrap();
            let y = Mat::from_fn(n, 1, |i, _| f64::cos(3.0 * i as f64));
            let mut c = y.clone();
            band.transpose_apply(c.as_mut(), Par::Seq);
            let mut b: Vec<f64> = c.col(0).iter().copied().collect();
            band.solve(0.7, 0.3, &mut b);
            (0..n).for_each(|i| c[(i, 0)] = b[i]);
            band.apply(c.as_mut(), Par::Seq);
            assert!((&a * &c * 0.7 + &c * 0.3 - &y).norm_max() < 1e-11, "{n}");
        }
    }
}
