//! The null model as a linear map from rows to rotated data.

use crate::linalg::{axpy, dot, norm};
use crate::lmm::fit::Options;
use crate::rotation::fixed_qr::Design;
use crate::rotation::projection::Projection;
use crate::rotation::response::Centred;
use crate::rotation::rotated::Rotated;
use crate::rotation::{Model, NullModel};
use crate::runtime::error::Result;
use crate::runtime::memory::claim;
use crate::runtime::monitor::Monitor;
use crate::runtime::parallel::Workers;
use faer::{Mat, MatRef};
use rayon::prelude::*;

/// What a scan needs of its null model. A cell is a row, or all rows of an id: candidates have one number a cell.
pub struct ScanBasis<'a> {
    /// The null model's rotated data.
    pub rotated: &'a Rotated,
    /// cells x eigenvalues: the rotated coordinates of a candidate are E'g.
    pub e: MatRef<'a, f64>,
    /// cells x rank(X): its coordinates along X.
    pub q: MatRef<'a, f64>,
    /// Sum of the weights of a cell.
    pub weight: &'a [f64],
    /// Response without X, times the weights' root, so that g'v = g'Py in units of `y_scale`.
    pub v: &'a [f64],
    /// Length of the response, X included, which rounding is measured by.
    pub length: f64,
    /// Is each cell one row? Then what the kernel does not reach can be written out.
    pub by_rows: bool,
    /// Does X hold constants? Then means may be taken off first, and numbers far from zero are subtracted exactly.
    pub constant: bool,
}

impl ScanBasis<'_> {
    /// Contrasts that the kernel does not reach.
    pub(crate) fn free(&self) -> usize {
        self.rotated.n_rest + self.rotated.values.iter().filter(|v| **v == 0.0).count()
    }

    /// What the kernel does not reach of the response, where a cell is a row.
    pub(crate) fn unreached(&self) -> Vec<f64> {
        self.left(self.v, &[], &self.rotated.y)
    }

    /// A vector of cells, times the weights, without its parts along X and along the eigenvectors.
    pub(crate) fn left(&self, x: &[f64], along_x: &[f64], along_e: &[f64]) -> Vec<f64> {
        let mut left = x.to_vec();
        let parts = along_x.iter().enumerate().map(|(k, a)| (self.q.col(k), a));
        for (column, a) in parts.chain(along_e.iter().enumerate().map(|(k, a)| (self.e.col(k), a))) {
            left.iter_mut().zip(column.iter()).for_each(|(l, c)| *l -= a * c);
        }
        left.iter_mut().zip(self.weight).for_each(|(l, w)| *l /= w.sqrt());
        left
    }

    /// Length of rounding: of a response as it is given, and of sums over its contrasts when `taken` is taken off it.
    pub(crate) fn rounding(&self, taken: f64) -> f64 {
        let n = self.rotated.contrasts() as f64;
        8.0 * f64::EPSILON * (self.length + n.sqrt() * (self.rotated.square().sqrt() + taken))
    }
}

/// The same in memory of its own.
pub struct Null {
    /// See [`ScanBasis::rotated`].
    pub rotated: Rotated,
    /// See [`ScanBasis::e`].
    pub e: Mat<f64>,
    /// See [`ScanBasis::q`].
    pub q: Mat<f64>,
    /// See [`ScanBasis::weight`].
    pub weight: Vec<f64>,
    /// See [`ScanBasis::v`].
    pub v: Vec<f64>,
    /// See [`ScanBasis::length`].
    pub length: f64,
    /// See [`ScanBasis::by_rows`].
    pub by_rows: bool,
    /// See [`ScanBasis::constant`].
    pub constant: bool,
}

impl Null {
    /// `cell`: the cell of each row, below `cells`.
    pub fn new(
        model: &Model<'_>,
        cell: &[usize],
        cells: usize,
        options: Options,
        workers: &Workers,
        monitor: &mut dyn Monitor,
    ) -> Result<Self> {
        Self::build(model, (cell, cells), FEW, options, workers, monitor)
    }

    /// With a coordinate for every contrast, whether the kernel reaches it or not; a cell is a row.
    pub fn complete(model: &Model<'_>, options: Options, workers: &Workers, monitor: &mut dyn Monitor) -> Result<Self> {
        let rows: Vec<usize> = (0..model.y.len()).collect();
        Self::build(model, (&rows, rows.len()), usize::MAX, options, workers, monitor)
    }

    /// `most`: as many directions that the kernel does not reach have coordinates.
    fn build(
        model: &Model<'_>,
        (cell, cells): (&[usize], usize),
        most: usize,
        options: Options,
        workers: &Workers,
        monitor: &mut dyn Monitor,
    ) -> Result<Self> {
        let projection = Projection::of_each_group(model, workers)?;
        let root = projection.root.clone();
        let whole = norm(&model.y.iter().zip(&root).map(|(y, s)| y * s).collect::<Vec<_>>());
        let constant = holds_constants(&projection);
        let centred = without_mean(model.y, constant);
        let kernel = model.kernel.without_order();
        let first = vec![projection.project(&centred)];
        let (mut null, block) = NullModel::new(&Model { kernel, ..*model }, projection, first, true, workers, monitor)?;
        workers.run(|_| null.check(options.tolerance))?;
        let mut rotated = null.respond(&block, 0)?;
        let u = workers.run(|par| null.vectors(par))?;
        // here, and in the caller's hands
        claim((cells * u.ncols()) as f64 * 2.0)?;
        let back = |k: usize| null.projection.lift(&u.col(k).iter().copied().collect::<Vec<f64>>());
        let q1 = null.projection.fixed();
        let (y, y_scale) = projected_response(&null.projection.design, &centred, &root, &q1)?;
        let gathered = |x: &[f64]| {
            let mut sums = vec![0.0; cells];
            gather(x, &root, cell, &mut sums);
            sums
        };
        let along: Vec<Vec<f64>> = q1.iter().map(|q| gathered(q)).collect();
        let rest = if rotated.n_rest <= most {
            unreached(rotated.n_rest, &q1, u.ncols(), &back)?
        } else {
            vec![]
        };
        let mut e = Mat::zeros(cells, u.ncols() + rest.len());
        workers.run(|_| {
            let columns = e.par_col_iter_mut().enumerate();
            columns.for_each(|(k, column)| {
                if let Some(column) = column.try_as_col_major_mut() {
                    let sums = column.as_slice_mut();
                    match k.checked_sub(u.ncols()) {
                        None => gather(&back(k), &root, cell, sums),
                        Some(k) => gather(&rest[k], &root, cell, sums),
                    }
                }
            });
        });
        append(&mut rotated, &rest, &y);
        Ok(Self {
            length: whole / y_scale,
            by_rows: one_row_each(cell, cells),
            constant,
            e,
            q: Mat::from_fn(cells, along.len(), |i, k| along[k][i]),
            weight: gathered(&root),
            v: gathered(&y),
            rotated,
        })
    }
}

/// The scaled response without X, and its scale.
fn projected_response(design: &Design, y: &[f64], root: &[f64], q1: &[Vec<f64>]) -> Result<(Vec<f64>, f64)> {
    let Centred { mut y, scale, .. } = Centred::new(design, y, root)?;
    // Gram-Schmidt twice: the second pass removes the rounding of the first
    for q in q1.iter().chain(q1) {
        axpy(-dot(q, &y), q, &mut y);
    }
    Ok((y, scale))
}

/// Directions that the kernel does not reach and that are so few that a candidate may fill them have a coordinate each.
const FEW: usize = 32;

fn holds_constants(projection: &Projection) -> bool {
    let mut constant = projection.root.clone();
    projection.design.q.transpose_apply(&mut constant);
    norm(&constant[projection.design.rank()..]) <= 1e-10 * norm(&projection.root)
}

/// The response without its mean where X holds constants: numbers far from zero are subtracted exactly, and by nothing else.
fn without_mean(y: &[f64], constant: bool) -> Vec<f64> {
    let mean = if constant {
        y.iter().sum::<f64>() / y.len() as f64
    } else {
        0.0
    };
    y.iter().map(|y| y - mean).collect()
}

/// Orthonormal directions of rows that neither X nor the kernel reaches: from the axes that hold most of them.
fn unreached(count: usize, q1: &[Vec<f64>], reached: usize, back: &dyn Fn(usize) -> Vec<f64>) -> Result<Vec<Vec<f64>>> {
    if count == 0 {
        return Ok(vec![]);
    }
    claim((reached * q1.first().map_or(0, Vec::len)) as f64)?;
    let mut known: Vec<Vec<f64>> = (0..reached).map(back).collect();
    known.extend(q1.iter().cloned());
    let n = known.first().map_or(0, Vec::len);
    let mut left: Vec<f64> = (0..n)
        .map(|i| 1.0 - known.iter().map(|e| e[i] * e[i]).sum::<f64>())
        .collect();
    for _ in 0..count {
        let axis = (0..n).max_by(|&a, &b| left[a].total_cmp(&left[b])).unwrap_or(0);
        let mut next: Vec<f64> = (0..n).map(|i| f64::from(i == axis)).collect();
        for e in known.iter().chain(&known) {
            axpy(-dot(e, &next), e, &mut next);
        }
        let length = norm(&next);
        next.iter_mut().for_each(|x| *x /= length);
        left.iter_mut().zip(&next).for_each(|(l, x)| *l -= x * x);
        known.push(next);
    }
    Ok(known.split_off(known.len() - count))
}

/// The coordinates of `unreached`: the kernel's eigenvalue there is 0.
fn append(rotated: &mut Rotated, rest: &[Vec<f64>], y: &[f64]) {
    if rest.is_empty() {
        return;
    }
    rotated.values.resize(rotated.values.len() + rest.len(), 0.0);
    rotated.y.extend(rest.iter().map(|e| dot(e, y)));
    let count = rotated.values.len();
    rotated.b.iter_mut().for_each(|row| row.resize(count, 0.0));
    (rotated.n_rest, rotated.rho) = (0, 0.0);
}

fn one_row_each(cell: &[usize], cells: usize) -> bool {
    let mut seen = vec![false; cells];
    cell.len() == cells && cell.iter().all(|&c| !std::mem::replace(&mut seen[c], true))
}

/// Adds up the rows of each cell, times the weights' root.
fn gather(x: &[f64], root: &[f64], cell: &[usize], sums: &mut [f64]) {
    for ((x, root), &c) in x.iter().zip(root).zip(cell) {
        sums[c] += x * root;
    }
}
