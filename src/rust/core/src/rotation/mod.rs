//! From data to the rotated object: X projected out of both sides of the kernel, repeats collapsed, the kernel diagonalised.
//!
//! `split` says in which basis.

pub mod blup;
pub mod cs_decomposition;
pub mod factor;
pub mod fixed_qr;
pub mod groups;
pub mod incidence;
pub mod reused_eigen;
pub mod rotated;
pub mod thin_svd;

use crate::kernel::Kernel;
use crate::kernel::low_rank::LowRank;
use crate::linalg::tridiagonal::Tridiagonal;
use crate::linalg::{combine, max_abs, norm, power_of_two, product};
use crate::rotation::blup::WayBack;
use crate::rotation::cs_decomposition::{Response, Split};
use crate::rotation::factor::Factor;
use crate::rotation::fixed_qr::Design;
use crate::rotation::groups::Between;
use crate::rotation::incidence::Incidence;
use crate::rotation::reused_eigen::Orthogonal;
use crate::rotation::rotated::Rotated;
use crate::rotation::thin_svd::Thin;
use crate::runtime::error::{Error, Result};
use crate::runtime::memory::claim;
use crate::runtime::monitor::Monitor;
use crate::runtime::parallel::Workers;
use faer::{Mat, MatRef, Par};

/// One data set and its kernel. Rows are observations.
pub struct Model<'a> {
    pub y: &'a [f64],
    /// n x p, p = 0 allowed, aliased columns allowed.
    pub x: faer::MatRef<'a, f64>,
    /// Residual variance of row i is sigma2_e / weights[i].
    pub weights: &'a [f64],
    /// Multiplier of the random effect in row i.
    pub z: &'a [f64],
    /// Group of row i, below `index.len()`.
    pub group: &'a [usize],
    pub kernel: Kernel<'a>,
    /// Row of the kernel of each group.
    pub index: &'a [usize],
}

/// The rotated data, and what leads from them back to random effects.
pub struct Reduction {
    pub rotated: Rotated,
    pub design: Design,
    pub(crate) between: Between,
    pub(crate) split: Split,
    pub(crate) way_back: WayBack,
    /// K12 before it is rotated; empty for a factor.
    pub(crate) k12: Vec<Vec<f64>>,
    /// Length of the scaled response.
    pub length: f64,
    /// Trace of the scaled kernel over the data.
    pub trace: f64,
    /// Smallest eigenvalue before rounding was cut off.
    pub smallest: f64,
}

/// Columns that making a matrix tridiagonal takes beside it: coefficients of reflectors by blocks, and room to work.
const BESIDE: f64 = 96.0;

impl Reduction {
    pub fn new(model: &Model<'_>, workers: &Workers, monitor: &mut dyn Monitor) -> Result<Self> {
        let mut reduction = Self::unrotated(model, workers, monitor)?;
        workers.run(|par| reduction.rotate(par))?;
        Ok(reduction)
    }

    /// A matrix is only made tridiagonal: `rotate` or `rotate_by_vectors` is still to come.
    pub(crate) fn unrotated(model: &Model<'_>, workers: &Workers, monitor: &mut dyn Monitor) -> Result<Self> {
        if let Kernel::Sparse(w) = model.kernel
            && w.ncols() + model.x.ncols() >= model.index.len()
        {
            claim(w.nrows as f64 * w.ncols() as f64)?;
            let dense = w.to_dense();
            let kernel = Kernel::LowRank(LowRank(dense.as_ref(), false));
            return Self::unrotated(&Model { kernel, ..*model }, workers, monitor);
        }
        let root: Vec<f64> = model.weights.iter().map(|w| w.sqrt()).collect();
        let design = Design::new(model.x, &root)?;
        let z: Vec<f64> = model.z.iter().zip(&root).map(|(z, s)| z * s).collect();
        let incidence = Incidence::new(model.group, &z, model.index.len())?;
        let (y, y_scale) = scaled_response(model.y, &root)?;
        let q1 = design.q.thin();
        let reached = incidence.m();
        let between = coordinates(model, incidence, &q1, &y);
        let split = workers.run(|_| Split::new(q1, &between))?;
        let response = Response::new(&y, &between, &split);
        monitor.check()?;
        let rotated = Rotated {
            rho: response.rho,
            n_rest: model.y.len() - design.rank() - (reached - split.q0()),
            y1: response.y1,
            log_det_x: design.log_det(),
            log_weights: model.weights.iter().map(|w| w.ln()).sum(),
            y_scale,
            ..Rotated::default()
        };
        let mut reduction = Self {
            rotated,
            design,
            between,
            split,
            way_back: WayBack::Ids(Tridiagonal::new(Mat::zeros(0, 0), 0, Par::Seq), vec![]),
            k12: vec![],
            length: norm(&y),
            trace: 0.0,
            smallest: 0.0,
        };
        reduction.take_kernel(model, response.y2, workers, monitor)?;
        reduction.rotated.drop_rounding();
        reduction.rotated.basis = reduction.basis(&reduction.split.v);
        Ok(reduction)
    }

    /// The cheaper side of a factor is taken: its columns, or the ids that it relates.
    fn take_kernel(
        &mut self,
        model: &Model<'_>,
        y2: Vec<f64>,
        workers: &Workers,
        monitor: &mut dyn Monitor,
    ) -> Result<()> {
        match model.kernel {
            Kernel::LowRank(w) if w.1 && is_one_to_one(model) => {
                self.take_decomposition(model, w.0, workers);
                Ok(())
            }
            Kernel::LowRank(w) if w.0.ncols() < y2.len() => {
                self.take_factor(Factor::new(w.0, model.index, &self.between.z), y2, workers)
            }
            Kernel::Sparse(w) if w.ncols() < y2.len() => {
                self.take_factor(Factor::sparse(w, model.index, &self.between.z), y2, workers)
            }
            _ => self.take_matrix(model, y2, workers, monitor),
        }
    }

    fn take_factor(&mut self, factor: Factor<'_>, y2: Vec<f64>, workers: &Workers) -> Result<()> {
        let unit = factor.unit;
        self.trace = factor.square();
        let thin = workers.run(|par| Thin::new(&factor, &self.split, &y2, par))?;
        self.rotated.k_scale = unit * unit;
        self.rotated.k11.clone_from(&thin.k11);
        self.rotated.b.clone_from(&thin.b);
        self.rotated.values.clone_from(&thin.values);
        self.rotated.y.clone_from(&thin.y);
        self.rotated.n_rest += thin.lost;
        if thin.lost > 0 {
            self.rotated.rho += thin.rest;
        }
        self.way_back = WayBack::Columns(thin, unit);
        Ok(())
    }

    fn take_decomposition(&mut self, model: &Model<'_>, w: MatRef<'_, f64>, workers: &Workers) {
        let row: Vec<usize> = model.group.iter().map(|&g| model.index[g]).collect();
        let y: Vec<f64> = model.y.iter().map(|y| y / self.rotated.y_scale).collect();
        let q1 = self.design.q.thin();
        let taken = workers.run(|_| Orthogonal::new(w, &row, &q1, &y));
        let r = q1.len();
        self.rotated.k_scale = taken.unit * taken.unit;
        self.trace = taken.values.iter().sum::<f64>() + (0..r).map(|j| taken.k11[j][j]).sum::<f64>();
        self.rotated.values.clone_from(&taken.values);
        self.rotated.y.clone_from(&taken.y);
        self.rotated.b.clone_from(&taken.b);
        self.rotated.k11.clone_from(&taken.k11);
        self.rotated.y1.clone_from(&taken.y1);
        (self.rotated.rho, self.rotated.n_rest) = (taken.rho, taken.n_rest);
        self.split.v = (0..r).map(|i| (0..r).map(|j| f64::from(i == j)).collect()).collect();
        self.way_back = WayBack::Eigenvectors(taken);
    }

    fn take_matrix(
        &mut self,
        model: &Model<'_>,
        y2: Vec<f64>,
        workers: &Workers,
        monitor: &mut dyn Monitor,
    ) -> Result<()> {
        let (m, r) = (self.between.groups().len() as f64, self.design.rank() as f64);
        claim(m * (m + BESIDE + 8.0 * (r + 1.0)))?;
        let (mut m, k_scale) = workers.run(|_| kernel_between(model, &self.between));
        self.rotated.k_scale = k_scale;
        self.trace = (0..m.nrows()).map(|i| m[(i, i)]).sum();
        workers.run(|par| self.split.h.conjugate(m.as_mut(), par));
        let (k11, k12) = fixed_blocks(&mut m, &self.split);
        self.rotated.k11 = k11;
        monitor.check()?;
        let spectrum = workers.run(|par| Tridiagonal::new(m, self.split.q0(), par));
        monitor.check()?;
        self.k12 = k12;
        self.way_back = WayBack::Ids(spectrum, y2);
        Ok(())
    }

    /// y2 and K12 in the coordinates of K22's eigenvectors, without these.
    pub(crate) fn rotate(&mut self, par: Par) -> Result<()> {
        let WayBack::Ids(spectrum, y2) = &self.way_back else {
            return Ok(());
        };
        let (n, r) = (spectrum.n(), self.k12.len());
        let mut c = self.beside_k12(y2);
        spectrum.transpose_apply(c.as_mut(), par);
        let mut rows: Vec<f64> = (0..n * (r + 1)).map(|k| c[(k / (r + 1), k % (r + 1))]).collect();
        let values = spectrum.rotate(&mut rows, r + 1)?;
        self.take_spectrum(values, |i, j| rows[i * (r + 1) + j]);
        Ok(())
    }

    /// The same by the eigenvectors, which are given; none for kernels that have another way.
    pub(crate) fn rotate_by_vectors(&mut self, par: Par) -> Result<Option<Mat<f64>>> {
        let WayBack::Ids(spectrum, y2) = &self.way_back else {
            return Ok(None);
        };
        let (values, u) = spectrum.vectors(par)?;
        let c = product(u.transpose(), self.beside_k12(y2).as_ref(), par);
        self.take_spectrum(values, |i, j| c[(i, j)]);
        Ok(Some(u))
    }

    /// [K12' y2]
    fn beside_k12(&self, y2: &[f64]) -> Mat<f64> {
        let r = self.k12.len();
        Mat::from_fn(y2.len(), r + 1, |i, j| if j < r { self.k12[j][i] } else { y2[i] })
    }

    /// Eigenvalues of K22 and [K12' y2] rotated to its eigenvectors. Eigenvalues that are rounding are cut to 0.
    fn take_spectrum(&mut self, mut values: Vec<f64>, rotated: impl Fn(usize, usize) -> f64) {
        let n = values.len();
        self.smallest = values.iter().copied().fold(f64::INFINITY, f64::min);
        let cut = n as f64 * f64::EPSILON * values.iter().copied().fold(0.0, f64::max);
        values.iter_mut().filter(|v| **v <= cut).for_each(|v| *v = 0.0);
        let column = |j: usize| -> Vec<f64> { (0..n).map(|i| rotated(i, j)).collect() };
        let r = self.k12.len();
        self.rotated.values = values;
        self.rotated.b = (0..r).map(column).collect();
        self.rotated.y = column(r);
        self.append_set_aside();
    }

    /// Eigenvalues of directions that neither X nor y touches.
    fn append_set_aside(&mut self) {
        let scale = self.rotated.k_scale.sqrt();
        for (group, count) in self.between.set_aside() {
            let value = (self.between.z.root[group] / scale).powi(2);
            let n = self.rotated.values.len() + count;
            self.rotated.values.resize(n, value);
            self.rotated.y.resize(n, 0.0);
            self.rotated.b.iter_mut().for_each(|row| row.resize(n, 0.0));
        }
    }

    /// Rows of (R diag(scale))^-1 V.
    fn basis(&self, v: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let mut columns = v.to_vec();
        columns.iter_mut().for_each(|column| self.design.solve(column));
        (0..v.len())
            .map(|i| columns.iter().map(|column| column[i]).collect())
            .collect()
    }

    /// `Rotated::separate_null_directions`, and the same turn of the way back.
    pub fn separate_null_directions(&mut self) -> Result<Option<Vec<Vec<f64>>>> {
        let turn = self.rotated.separate_null_directions()?;
        if let Some(turn) = &turn {
            let r = turn.len();
            self.split.v = turn.iter().map(|t| combine(&self.split.v, t, r)).collect();
        }
        Ok(turn)
    }
}

/// Does every row of the data stand for an id of its own, all ids and nothing else?
fn is_one_to_one(model: &Model<'_>) -> bool {
    let ones = |x: &[f64]| x.iter().all(|v| *v == 1.0);
    let all = matches!(model.kernel, Kernel::LowRank(w) if w.0.nrows() == model.y.len());
    all && model.index.len() == model.y.len() && ones(model.z) && ones(model.weights)
}

/// Response times the root of the weights, scaled by a power of two to be of order one.
pub fn scaled_response(y: &[f64], root: &[f64]) -> Result<(Vec<f64>, f64)> {
    let unit = |x: &[f64]| power_of_two(max_abs(x.iter().copied()));
    let (y_unit, root_unit) = (unit(y), unit(root));
    let product: Vec<f64> = y
        .iter()
        .zip(root)
        .map(|(y, s)| (y / y_unit) * (s / root_unit))
        .collect();
    let rest = unit(&product);
    let scale = y_unit * root_unit * rest;
    if !scale.is_normal() {
        return Err(Error::Scale { value: scale * scale });
    }
    Ok((product.iter().map(|v| v / rest).collect(), scale))
}

/// Coordinates between groups. An identity kernel needs only those that X and y touch.
fn coordinates(model: &Model<'_>, z: Incidence, q1: &[Vec<f64>], y: &[f64]) -> Between {
    match model.kernel {
        Kernel::Dense(_) | Kernel::LowRank(_) | Kernel::Sparse(_) => Between::all(z),
        Kernel::Identity => {
            let vectors: Vec<&[f64]> = q1.iter().map(Vec::as_slice).chain([y]).collect();
            Between::touched(z, &vectors)
        }
    }
}

/// N^(1/2) K N^(1/2) in the coordinates between groups, divided by a power of two.
fn kernel_between(model: &Model<'_>, between: &Between) -> (Mat<f64>, f64) {
    let (z, groups) = (&between.z, between.groups());
    let row: Vec<usize> = groups.iter().map(|&g| model.index[z.label[g]]).collect();
    let root_scale = power_of_two(max_abs(z.root.iter().copied()));
    let root: Vec<f64> = groups.iter().map(|&g| z.root[g] / root_scale).collect();
    let m = groups.len();
    let diagonal = (0..m).map(|i| model.kernel.entry(row[i], row[i]) * root[i] * root[i]);
    let scale = power_of_two(max_abs(diagonal));
    let m = Mat::from_fn(m, m, |i, j| {
        model.kernel.entry(row[i], row[j]) / scale * root[i] * root[j]
    });
    (m, scale * root_scale * root_scale)
}

/// K11 and K12 from M = H' N^(1/2) K N^(1/2) H; M itself is turned into D M D.
fn fixed_blocks(m: &mut Mat<f64>, split: &Split) -> (Vec<Vec<f64>>, Vec<Vec<f64>>) {
    let (r, q, q0, n) = (split.r(), split.q(), split.q0(), m.nrows());
    let reached = |i: usize, j: usize| i < q && j < q;
    let entry = |i: usize, j: usize| {
        if reached(i, j) {
            split.s[i] * m[(i, j)] * split.s[j]
        } else {
            0.0
        }
    };
    let k11 = (0..r).map(|i| (0..r).map(|j| entry(i, j)).collect()).collect();
    let cross = |i: usize, j: usize| {
        if i < q {
            split.s[i] * m[(i, j)] * split.d(j)
        } else {
            0.0
        }
    };
    let k12 = (0..r).map(|i| (q0..n).map(|j| cross(i, j)).collect()).collect();
    for j in q0..q {
        for i in q0..n {
            m[(i, j)] *= split.c[j];
            m[(j, i)] *= split.c[j];
        }
    }
    (k11, k12)
}
