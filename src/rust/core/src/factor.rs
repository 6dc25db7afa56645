//! F = N^(1/2) W of the observed groups over its unit, read in blocks of rows: no copy of W is made unless it is asked for.

use crate::incidence::Incidence;
use crate::linalg::{clear_registers, max_abs, power_of_two};
use faer::linalg::matmul::{matmul, triangular};
use faer::{Accum, Mat, MatRef, Par};

/// Rows in a block: large enough for matrix products, small against W.
const BLOCK: usize = 2048;

pub struct Factor<'a> {
    w: MatRef<'a, f64>,
    /// Row of W and multiplier of each coordinate.
    row: Vec<usize>,
    root: Vec<f64>,
    /// Power of two that was divided out.
    pub unit: f64,
}

impl<'a> Factor<'a> {
    pub fn new(w: MatRef<'a, f64>, index: &[usize], z: &Incidence) -> Self {
        let row: Vec<usize> = z.label.iter().map(|&g| index[g]).collect();
        let largest = (0..w.ncols()).map(|c| max_abs((0..row.len()).map(|i| w[(row[i], c)] * z.root[i])));
        let unit = power_of_two(max_abs(largest));
        let root = z.root.iter().map(|root| root / unit).collect();
        Self { w, row, root, unit }
    }

    pub fn m(&self) -> usize {
        self.row.len()
    }

    pub fn k(&self) -> usize {
        self.w.ncols()
    }

    /// Rows `first..last` of F.
    fn rows(&self, first: usize, last: usize) -> Mat<f64> {
        Mat::from_fn(last - first, self.k(), |i, c| {
            self.w[(self.row[first + i], c)] * self.root[first + i]
        })
    }

    /// All of F, m x k.
    pub fn matrix(&self) -> Mat<f64> {
        self.rows(0, self.m())
    }

    fn blocks(&self) -> impl Iterator<Item = (usize, usize)> {
        let m = self.m();
        (0..m).step_by(BLOCK).map(move |first| (first, m.min(first + BLOCK)))
    }

    /// Lower triangle of F'F, and F' times the given columns (m entries each).
    pub fn cross_products(&self, columns: &[Vec<f64>], par: Par) -> (Mat<f64>, Mat<f64>) {
        let (mut gram, mut cross) = (Mat::zeros(self.k(), self.k()), Mat::zeros(self.k(), columns.len()));
        for (first, last) in self.blocks() {
            let f = self.rows(first, last);
            let c = Mat::from_fn(last - first, columns.len(), |i, j| columns[j][first + i]);
            let (lower, full) = (
                triangular::BlockStructure::TriangularLower,
                triangular::BlockStructure::Rectangular,
            );
            triangular::matmul(
                gram.as_mut(),
                lower,
                Accum::Add,
                f.transpose(),
                full,
                f.as_ref(),
                full,
                1.0,
                par,
            );
            matmul(cross.as_mut(), Accum::Add, f.transpose(), c.as_ref(), 1.0, par);
        }
        clear_registers();
        (gram, cross)
    }

    /// F' times the given columns (m entries each).
    pub fn transpose_times(&self, columns: &[Vec<f64>], par: Par) -> Mat<f64> {
        let mut cross = Mat::zeros(self.k(), columns.len());
        for (first, last) in self.blocks() {
            let f = self.rows(first, last);
            let c = Mat::from_fn(last - first, columns.len(), |i, j| columns[j][first + i]);
            matmul(cross.as_mut(), Accum::Add, f.transpose(), c.as_ref(), 1.0, par);
        }
        clear_registers();
        cross
    }

    /// F X
    pub fn times_each(&self, x: MatRef<'_, f64>, par: Par) -> Mat<f64> {
        let mut y = Mat::zeros(self.m(), x.ncols());
        for (first, last) in self.blocks() {
            let f = self.rows(first, last);
            let rows = y.as_mut().subrows_mut(first, last - first);
            matmul(rows, Accum::Replace, f.as_ref(), x, 1.0, par);
        }
        clear_registers();
        y
    }

    /// F x
    pub fn times(&self, x: &[f64]) -> Vec<f64> {
        let mut y = vec![0.0; self.m()];
        for (c, x) in x.iter().enumerate() {
            let column = self.w.col(c);
            y.iter_mut().zip(&self.row).for_each(|(y, &row)| *y += column[row] * x);
        }
        y.iter_mut().zip(&self.root).for_each(|(y, root)| *y *= root);
        y
    }

    /// Sum of squares of F.
    pub fn square(&self) -> f64 {
        let entry = |c: usize, i: usize| (self.w[(self.row[i], c)] * self.root[i]).powi(2);
        (0..self.k())
            .map(|c| (0..self.m()).map(|i| entry(c, i)).sum::<f64>())
            .sum()
    }
}
