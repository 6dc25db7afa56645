//! The null model as a linear map from rows to rotated data.

use crate::error::Result;
use crate::factor::Factor;
use crate::fit::{Options, check_positive};
use crate::kernel::Kernel;
use crate::linalg::{axpy, combine, dot};
use crate::monitor::Monitor;
use crate::parallel::{Workers, check_memory};
use crate::reduce::{Model, Reduction, scaled_response};
use crate::rotated::Rotated;
use crate::way_back::WayBack;
use faer::{Mat, MatRef, Par};
use rayon::prelude::*;

/// What a scan needs of its null model. A cell is a row, or all rows of an id: candidates have one number a cell.
pub struct Basis<'a> {
    pub rotated: &'a Rotated,
    /// cells x eigenvalues: the rotated coordinates of a candidate are E'g.
    pub e: MatRef<'a, f64>,
    /// cells x rank(X): its coordinates along X.
    pub q: MatRef<'a, f64>,
    /// Sum of the weights of a cell.
    pub weight: &'a [f64],
    /// Response without X, times the weights' root, so that g'v = g'Py in units of `y_scale`.
    pub v: &'a [f64],
}

/// The same in memory of its own.
pub struct Null {
    pub rotated: Rotated,
    pub e: Mat<f64>,
    pub q: Mat<f64>,
    pub weight: Vec<f64>,
    pub v: Vec<f64>,
}

impl Null {
    pub fn basis(&self) -> Basis<'_> {
        Basis {
            rotated: &self.rotated,
            e: self.e.as_ref(),
            q: self.q.as_ref(),
            weight: &self.weight,
            v: &self.v,
        }
    }

    /// `cell`: the cell of each row, below `cells`.
    pub fn new(
        model: &Model<'_>,
        cell: &[usize],
        cells: usize,
        options: Options,
        workers: &Workers,
        monitor: &mut dyn Monitor,
    ) -> Result<Self> {
        let model = &Model {
            kernel: model.kernel.without_order(),
            ..*model
        };
        let mut reduction = Reduction::unrotated(model, workers, monitor)?;
        let u = workers.run(|par| vectors(&mut reduction, model, par))?;
        check_memory((cells * u.ncols()) as f64 * 2.0)?;
        check_positive(&reduction, model.index.len(), options.tolerance)?;
        if reduction.rotated.full_rank() {
            reduction.separate_null_directions()?;
        }
        let root: Vec<f64> = model.weights.iter().map(|w| w.sqrt()).collect();
        let (mut y, _) = scaled_response(model.y, &root)?;
        let q1 = turned(&reduction);
        for q in &q1 {
            axpy(-dot(q, &y), q, &mut y);
        }
        let gathered = |x: &[f64]| {
            let mut sums = vec![0.0; cells];
            gather(x, &root, cell, &mut sums);
            sums
        };
        let along: Vec<Vec<f64>> = q1.iter().map(|q| gathered(q)).collect();
        let mut e = Mat::zeros(cells, u.ncols());
        workers.run(|_| {
            let columns = e.par_col_iter_mut().enumerate();
            columns.for_each(|(k, column)| {
                if let Some(column) = column.try_as_col_major_mut() {
                    gather(&back(&reduction, &u, k), &root, cell, column.as_slice_mut());
                }
            });
        });
        Ok(Self {
            e,
            q: Mat::from_fn(cells, along.len(), |i, k| along[k][i]),
            weight: gathered(&root),
            v: gathered(&y),
            rotated: reduction.rotated,
        })
    }
}

/// Eigenvectors in the coordinates of y2, a column each, and the reduction in their order.
fn vectors(reduction: &mut Reduction, model: &Model<'_>, par: Par) -> Result<Mat<f64>> {
    if let Some(u) = reduction.rotate_by_vectors(par)? {
        return Ok(u);
    }
    let factor = match model.kernel {
        Kernel::LowRank(w) => Factor::new(w.0, model.index, &reduction.between.z),
        Kernel::Sparse(w) => Factor::sparse(w, model.index, &reduction.between.z),
        _ => return Ok(Mat::zeros(0, 0)),
    };
    match &reduction.way_back {
        WayBack::Columns(thin, _) => Ok(thin.vectors(&factor, &reduction.split, par)),
        _ => Ok(Mat::zeros(0, 0)),
    }
}

/// The orthonormal basis of span(X) that the rotated data use.
fn turned(reduction: &Reduction) -> Vec<Vec<f64>> {
    let q1 = reduction.design.q.thin();
    let n = q1.first().map_or(0, Vec::len);
    reduction.split.v.iter().map(|v| combine(&q1, v, n)).collect()
}

/// Column k of U as a vector of rows: the transpose of `Response`.
fn back(reduction: &Reduction, u: &Mat<f64>, k: usize) -> Vec<f64> {
    let split = &reduction.split;
    let u: Vec<f64> = u.col(k).iter().copied().collect();
    let mut rows = reduction.between.z.lift(&split.between_part(&u));
    for j in split.q0()..split.q() {
        if !split.w[j].is_empty() {
            axpy(-split.s[j] * u[j - split.q0()], &split.w[j], &mut rows);
        }
    }
    rows
}

/// Adds up the rows of each cell, times the weights' root.
fn gather(x: &[f64], root: &[f64], cell: &[usize], sums: &mut [f64]) {
    for ((x, root), &c) in x.iter().zip(root).zip(cell) {
        sums[c] += x * root;
    }
}
