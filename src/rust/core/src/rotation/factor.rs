//! F = N^(1/2) W of the observed groups over its unit, read in blocks of rows: no copy of W is made unless it is asked for. A sparse W is
//! turned to rows once.

use crate::kernel::sparse::Sparse;
use crate::linalg::{clear_registers, max_abs, power_of_two};
use crate::rotation::incidence::Incidence;
use crate::runtime::error::Result;
use crate::runtime::stop;
use faer::linalg::matmul::{matmul, triangular};
use faer::{Accum, Mat, MatRef, Par};

/// Rows in a block: large enough for matrix products, small against W.
pub(super) const BLOCK: usize = 2048;

pub struct Factor<'a> {
    w: Entries<'a>,
    k: usize,
    /// Row of W and multiplier of each coordinate.
    row: Vec<usize>,
    root: Vec<f64>,
    /// Power of two that was divided out.
    pub unit: f64,
}

impl<'a> Factor<'a> {
    pub fn new(w: MatRef<'a, f64>, index: &[usize], z: &Incidence) -> Self {
        let row = rows_of(index, z);
        let of_column = |c: usize| max_abs((0..row.len()).map(|i| w[(row[i], c)] * z.root[i]));
        let largest = max_abs((0..w.ncols()).map(of_column));
        Self::scaled(Entries::Dense(w), w.ncols(), row, z, largest)
    }

    fn scaled(w: Entries<'a>, k: usize, row: Vec<usize>, z: &Incidence, largest: f64) -> Self {
        let unit = power_of_two(largest);
        let root = z.root.iter().map(|root| root / unit).collect();
        Self { w, k, row, root, unit }
    }

    pub fn sparse(w: Sparse<'_>, index: &[usize], z: &Incidence) -> Self {
        let row = rows_of(index, z);
        let entries = w.entries(&row);
        let largest = entries
            .iter()
            .zip(&z.root)
            .map(|(row, root)| root * max_abs(row.iter().map(|(_, x)| *x)));
        let largest = max_abs(largest);
        Self::scaled(Entries::Rows(entries), w.ncols(), row, z, largest)
    }

    pub fn m(&self) -> usize {
        self.row.len()
    }

    pub fn k(&self) -> usize {
        self.k
    }

    /// Rows `first..last` of F.
    fn rows(&self, first: usize, last: usize) -> Mat<f64> {
        match &self.w {
            Entries::Dense(w) => Mat::from_fn(last - first, self.k, |i, c| {
                w[(self.row[first + i], c)] * self.root[first + i]
            }),
            Entries::Rows(rows) => {
                let mut f = Mat::zeros(last - first, self.k);
                for (i, row) in rows[first..last].iter().enumerate() {
                    row.iter().for_each(|&(c, x)| f[(i, c)] += x * self.root[first + i]);
                }
                f
            }
        }
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
    pub fn cross_products(&self, columns: &[Vec<f64>], par: Par) -> Result<(Mat<f64>, Mat<f64>)> {
        let (mut gram, mut cross) = (Mat::zeros(self.k(), self.k()), Mat::zeros(self.k(), columns.len()));
        if let Entries::Rows(rows) = &self.w {
            self.sparse_gram(rows, &mut gram);
            return Ok((gram, self.transpose_times(columns, par)));
        }
        for (first, last) in self.blocks() {
            stop::check()?;
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
        Ok((gram, cross))
    }

    /// F' times the given columns (m entries each).
    pub fn transpose_times(&self, columns: &[Vec<f64>], par: Par) -> Mat<f64> {
        let mut cross = Mat::zeros(self.k(), columns.len());
        if let Entries::Rows(rows) = &self.w {
            for (i, row) in rows.iter().enumerate() {
                for &(c, x) in row {
                    columns
                        .iter()
                        .enumerate()
                        .for_each(|(j, v)| cross[(c, j)] += x * self.root[i] * v[i]);
                }
            }
            return cross;
        }
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
        if let Some(x) = (x.ncols() == 1).then(|| x.col(0).iter().copied().collect::<Vec<f64>>()) {
            let y = self.times(&x);
            return Mat::from_fn(y.len(), 1, |i, _| y[i]);
        }
        let mut y = Mat::zeros(self.m(), x.ncols());
        if let Entries::Rows(rows) = &self.w {
            for (i, row) in rows.iter().enumerate() {
                for &(c, w) in row {
                    (0..x.ncols()).for_each(|j| y[(i, j)] += w * self.root[i] * x[(c, j)]);
                }
            }
            return y;
        }
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
        match &self.w {
            Entries::Dense(w) => {
                for (c, x) in x.iter().enumerate() {
                    let column = w.col(c);
                    y.iter_mut().zip(&self.row).for_each(|(y, &row)| *y += column[row] * x);
                }
            }
            Entries::Rows(rows) => {
                let product = |row: &Vec<(usize, f64)>| row.iter().map(|&(c, w)| w * x[c]).sum();
                y.iter_mut().zip(rows).for_each(|(y, row)| *y = product(row));
            }
        }
        y.iter_mut().zip(&self.root).for_each(|(y, root)| *y *= root);
        y
    }

    /// Sum of squares of F.
    pub fn square(&self) -> f64 {
        match &self.w {
            Entries::Dense(w) => {
                let entry = |c: usize, i: usize| (w[(self.row[i], c)] * self.root[i]).powi(2);
                (0..self.k)
                    .map(|c| (0..self.m()).map(|i| entry(c, i)).sum::<f64>())
                    .sum()
            }
            Entries::Rows(rows) => {
                let square =
                    |(row, root): (&Vec<(usize, f64)>, &f64)| row.iter().map(|(_, x)| (x * root).powi(2)).sum::<f64>();
                rows.iter().zip(&self.root).map(square).sum()
            }
        }
    }

    /// Lower triangle of F'F, row by row.
    fn sparse_gram(&self, rows: &[Vec<(usize, f64)>], gram: &mut Mat<f64>) {
        for (row, root) in rows.iter().zip(&self.root) {
            for (at, &(b, x)) in row.iter().enumerate() {
                row[at..]
                    .iter()
                    .for_each(|&(a, y)| gram[(a, b)] += (x * root) * (y * root));
            }
        }
    }
}

/// Row of W of each coordinate.
fn rows_of(index: &[usize], z: &Incidence) -> Vec<usize> {
    z.label.iter().map(|&g| index[g]).collect()
}

/// W as it was given, or the columns and entries of each coordinate, columns ascending.
enum Entries<'a> {
    Dense(MatRef<'a, f64>),
    Rows(Vec<Vec<(usize, f64)>>),
}
