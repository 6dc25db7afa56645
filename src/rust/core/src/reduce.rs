//! From data to the rotated object: X projected out of both sides of the kernel, repeats collapsed, the kernel diagonalised.
//!
//! With Q1 an orthonormal basis of span(X), split by Z into a part between groups and a part within them (a cosine-sine
//! decomposition): `Q1 v_j = s_j Q_Z u_j + c_j w_j`. The complement of X on which the kernel acts is then spanned by
//! `c_j Q_Z u_j - s_j w_j` and by Q_Z times the complement of the u_j, so that with H the reflectors that hold the u_j
//!
//! ```text
//! M = H' N^(1/2) K N^(1/2) H,   K22 = D M D without the rows where c_j = 0,   D = diag(c, 1)
//! ```
//!
//! Without repeats every c_j is 0 and this is the two-sided Householder projection of K.

use crate::design::Design;
use crate::error::{Error, Result};
use crate::incidence::Incidence;
use crate::kernel::Kernel;
use crate::linalg::{Reflectors, axpy, dot, max_abs, norm, power_of_two};
use crate::monitor::Monitor;
use crate::parallel::Workers;
use crate::rotated::Rotated;
use crate::spectrum::Tridiagonal;
use faer::{Mat, Par};

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
    incidence: Incidence,
    split: Split,
    spectrum: Tridiagonal,
    /// y2 before diagonalisation, in units of `y_scale`.
    y2: Vec<f64>,
    k12: Vec<Vec<f64>>,
    /// Length of the scaled response.
    pub length: f64,
    /// Trace of the scaled kernel over the data.
    pub trace: f64,
    /// Smallest eigenvalue before rounding was cut off.
    pub smallest: f64,
}

/// Cosine-sine decomposition of Q1 between and within groups.
struct Split {
    /// c_j, ascending, and the signed s_j (0 from `q` on).
    c: Vec<f64>,
    s: Vec<f64>,
    /// V: the rotation of Q1, r x r by columns.
    v: Vec<Vec<f64>>,
    /// w_j; empty where c_j = 0.
    w: Vec<Vec<f64>>,
    /// H, whose first q columns are the u_j.
    h: Reflectors,
}

impl Split {
    fn new(design: &Design, z: &Incidence) -> Result<Self> {
        let r = design.rank();
        let mut within = design.q.thin();
        let between: Vec<Vec<f64>> = within.iter().map(|column| z.between(column)).collect();
        within
            .iter_mut()
            .zip(&between)
            .for_each(|(column, b)| z.subtract(b, column));
        let (c, v, w) = singular(&within, r)?;
        let mut split = Self {
            c,
            s: vec![0.0; r],
            v,
            w,
            h: Reflectors::new(z.m()),
        };
        let tolerance = f64::EPSILON * design.q.rows() as f64;
        for j in 0..r {
            let mut u = combine(&between, &split.v[j], z.m());
            split.h.transpose_apply(&mut u);
            if j < z.m() && norm(&u[j..]) > tolerance {
                split.s[j] = split.h.push(&u);
            } else {
                break;
            }
        }
        Ok(split)
    }

    fn r(&self) -> usize {
        self.c.len()
    }

    /// Number of directions of X that the kernel reaches.
    fn q(&self) -> usize {
        self.h.len()
    }

    /// Number of directions of X that lie wholly between groups.
    fn q0(&self) -> usize {
        self.c[..self.q()].iter().take_while(|c| **c == 0.0).count()
    }

    /// Diagonal of D.
    fn d(&self, j: usize) -> f64 {
        if j < self.q() { self.c[j] } else { 1.0 }
    }
}

fn combine(columns: &[Vec<f64>], v: &[f64], n: usize) -> Vec<f64> {
    let mut sum = vec![0.0; n];
    columns.iter().zip(v).for_each(|(column, a)| axpy(*a, column, &mut sum));
    sum
}

type Singular = (Vec<f64>, Vec<Vec<f64>>, Vec<Vec<f64>>);

/// Singular values (ascending, rounding cut to 0), right and left vectors of a thin matrix given by columns.
fn singular(columns: &[Vec<f64>], r: usize) -> Result<Singular> {
    let n = columns.first().map_or(0, Vec::len);
    let identity = |j: usize| (0..r).map(|i| f64::from(i == j)).collect();
    if max_abs(columns.iter().map(|c| norm(c))) <= f64::EPSILON * n as f64 {
        return Ok((vec![0.0; r], (0..r).map(identity).collect(), vec![vec![]; r]));
    }
    let svd = Mat::from_fn(n, r, |i, j| columns[j][i]).thin_svd();
    let svd = svd.map_err(|_| Error::NoConvergence {
        what: "a singular value decomposition",
        iterations: 0,
    })?;
    let mut c: Vec<f64> = (0..r).rev().map(|j| svd.S()[j]).collect();
    c.iter_mut()
        .filter(|c| **c <= f64::EPSILON * n as f64)
        .for_each(|c| *c = 0.0);
    let v = (0..r)
        .rev()
        .map(|j| (0..r).map(|i| svd.V()[(i, j)]).collect())
        .collect();
    let left = |j: usize| (0..n).map(|i| svd.U()[(i, j)]).collect();
    let w = (0..r)
        .map(|k| if c[k] > 0.0 { left(r - 1 - k) } else { vec![] })
        .collect();
    Ok((c, v, w))
}

/// Coordinates of the response along the bases of `Split`.
struct Response {
    y1: Vec<f64>,
    y2: Vec<f64>,
    rho: f64,
}

impl Response {
    fn new(y: &[f64], z: &Incidence, split: &Split) -> Self {
        let mut t = z.between(y);
        let mut within = y.to_vec();
        z.subtract(&t, &mut within);
        split.h.transpose_apply(&mut t);
        let along: Vec<f64> = split.w.iter().map(|w| dot(w, &within)).collect();
        // twice is enough: what the first pass leaves is rounding of the first pass
        for _ in 0..2 {
            for w in &split.w {
                axpy(-dot(w, &within), w, &mut within);
            }
        }
        let (q, q0) = (split.q(), split.q0());
        let y1 = (0..split.r()).map(|j| split.c[j] * along[j] + if j < q { split.s[j] * t[j] } else { 0.0 });
        let y2 = (q0..z.m()).map(|j| split.d(j) * t[j] - if j < q { split.s[j] * along[j] } else { 0.0 });
        Self {
            y1: y1.collect(),
            y2: y2.collect(),
            rho: norm(&within).powi(2),
        }
    }
}

impl Reduction {
    pub fn new(model: &Model<'_>, workers: &Workers, monitor: &mut dyn Monitor) -> Result<Self> {
        let root: Vec<f64> = model.weights.iter().map(|w| w.sqrt()).collect();
        let design = Design::new(model.x, &root)?;
        let z: Vec<f64> = model.z.iter().zip(&root).map(|(z, s)| z * s).collect();
        let incidence = Incidence::new(model.group, &z, model.index.len())?;
        let split = workers.run(|_| Split::new(&design, &incidence))?;
        let (y, y_scale) = scaled_response(model.y, &root);
        let response = Response::new(&y, &incidence, &split);
        monitor.check()?;
        let (m, k_scale) = workers.run(|_| kernel_between(model, &incidence));
        let trace = (0..m.nrows()).map(|i| m[(i, i)]).sum();
        let rotated = Rotated {
            rho: response.rho,
            n_rest: model.y.len() - design.rank() - (incidence.m() - split.q0()),
            y1: response.y1,
            log_det_x: design.log_det(),
            log_weights: model.weights.iter().map(|w| w.ln()).sum(),
            y_scale,
            k_scale,
            ..Rotated::default()
        };
        let parts = (rotated, design, incidence, split, response.y2);
        Self::diagonalise(parts, m, norm(&y), trace, workers, monitor)
    }

    fn diagonalise(
        (rotated, design, incidence, split, y2): (Rotated, Design, Incidence, Split, Vec<f64>),
        mut m: Mat<f64>,
        length: f64,
        trace: f64,
        workers: &Workers,
        monitor: &mut dyn Monitor,
    ) -> Result<Self> {
        workers.run(|par| split.h.conjugate(m.as_mut(), par));
        let (k11, k12) = fixed_blocks(&mut m, &split);
        monitor.check()?;
        let spectrum = workers.run(|par| Tridiagonal::new(m, split.q0(), par));
        monitor.check()?;
        let mut reduction = Self {
            rotated,
            design,
            incidence,
            split,
            spectrum,
            y2,
            k12,
            length,
            trace,
            smallest: 0.0,
        };
        reduction.rotated.k11 = k11;
        workers.run(|par| reduction.rotate(par))?;
        Ok(reduction)
    }

    /// Rotate y2 and K12 to the eigenvectors of K22, and cut the eigenvalues that are rounding to 0.
    fn rotate(&mut self, par: Par) -> Result<()> {
        let (n, r) = (self.spectrum.n(), self.k12.len());
        let mut c = Mat::from_fn(n, r + 1, |i, j| if j < r { self.k12[j][i] } else { self.y2[i] });
        self.spectrum.transpose_apply(c.as_mut(), par);
        let mut rows: Vec<f64> = (0..n * (r + 1)).map(|k| c[(k / (r + 1), k % (r + 1))]).collect();
        let mut values = self.spectrum.rotate(&mut rows, r + 1)?;
        let column = |j: usize| (0..n).map(|i| rows[i * (r + 1) + j]).collect();
        self.rotated.b = (0..r).map(column).collect();
        self.rotated.y = column(r);
        self.smallest = values.iter().copied().fold(f64::INFINITY, f64::min);
        let cut = n as f64 * f64::EPSILON * values.iter().copied().fold(0.0, f64::max);
        values.iter_mut().filter(|v| **v <= cut).for_each(|v| *v = 0.0);
        self.rotated.values = values;
        self.rotated.basis = self.basis(&self.split.v);
        Ok(())
    }

    /// Rows of (R diag(scale))^-1 V.
    fn basis(&self, v: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let mut columns = v.to_vec();
        columns.iter_mut().for_each(|column| self.design.solve(column));
        (0..v.len())
            .map(|i| columns.iter().map(|column| column[i]).collect())
            .collect()
    }

    /// Turn the basis of span(X) so that null directions of the kernel come last, and count them.
    /// Only asked for when the kernel reaches every contrast: then ML is unbounded along them as delta -> 0.
    pub fn separate_null_directions(&mut self) -> Result<()> {
        let (n, r) = (self.k12.first().map_or(0, Vec::len), self.k12.len());
        if r == 0 {
            return Ok(());
        }
        let data = &self.rotated;
        let columns: Vec<Vec<f64>> = (0..r).map(|j| [&data.k11[j][..], &self.k12[j][..]].concat()).collect();
        let svd = Mat::from_fn(n + r, r, |i, j| columns[j][i]).thin_svd();
        let svd = svd.map_err(|_| Error::NoConvergence {
            what: "a singular value decomposition",
            iterations: 0,
        })?;
        let small = f64::EPSILON.sqrt() * data.largest();
        self.rotated.null = (0..r).filter(|&j| svd.S()[j] <= small).count();
        if self.rotated.null > 0 {
            let turn: Vec<Vec<f64>> = (0..r).map(|j| (0..r).map(|i| svd.V()[(i, j)]).collect()).collect();
            self.turn(&turn);
        }
        Ok(())
    }

    fn turn(&mut self, by: &[Vec<f64>]) {
        let r = by.len();
        let rows = |a: &[Vec<f64>]| {
            by.iter()
                .map(|t| combine(a, t, a.first().map_or(0, Vec::len)))
                .collect()
        };
        let half: Vec<Vec<f64>> = rows(&self.rotated.k11);
        self.rotated.k11 = half.iter().map(|a| by.iter().map(|t| dot(a, t)).collect()).collect();
        self.rotated.b = rows(&self.rotated.b);
        self.rotated.y1 = by.iter().map(|t| dot(t, &self.rotated.y1)).collect();
        let v: Vec<Vec<f64>> = by.iter().map(|t| combine(&self.split.v, t, r)).collect();
        self.rotated.basis = self.basis(&v);
    }

    /// alpha with u_hat = K[, index] alpha, at (h, g): N^(1/2) H D (h K22 + g I)^-1 y2, in the response's units over tau2's.
    pub fn alpha(&self, h: f64, g: f64, groups: usize, par: Par) -> Vec<f64> {
        let n = self.spectrum.n();
        let floor = n as f64 * f64::EPSILON * self.rotated.largest();
        let mut c = Mat::from_fn(n, 1, |i, _| self.y2[i]);
        self.spectrum.transpose_apply(c.as_mut(), par);
        let mut solved: Vec<f64> = (0..n).map(|i| c[(i, 0)]).collect();
        self.spectrum.solve(h, g.max(floor), &mut solved);
        (0..n).for_each(|i| c[(i, 0)] = solved[i]);
        self.spectrum.apply(c.as_mut(), par);
        let q0 = self.split.q0();
        let mut between: Vec<f64> = (0..n + q0)
            .map(|j| if j < q0 { 0.0 } else { self.split.d(j) * c[(j - q0, 0)] })
            .collect();
        self.split.h.apply(&mut between);
        let mut alpha = vec![0.0; groups];
        for ((&label, root), b) in self.incidence.label.iter().zip(&self.incidence.root).zip(between) {
            alpha[label] = h * root * b * self.rotated.y_scale / self.rotated.k_scale;
        }
        alpha
    }
}

/// Response times the root of the weights, scaled by a power of two to be of order one.
fn scaled_response(y: &[f64], root: &[f64]) -> (Vec<f64>, f64) {
    let y: Vec<f64> = y.iter().zip(root).map(|(y, s)| y * s).collect();
    let scale = power_of_two(max_abs(y.iter().copied()));
    (y.iter().map(|v| v / scale).collect(), scale)
}

/// N^(1/2) K N^(1/2) of the observed groups, divided by a power of two.
fn kernel_between(model: &Model<'_>, z: &Incidence) -> (Mat<f64>, f64) {
    let row: Vec<usize> = z.label.iter().map(|&g| model.index[g]).collect();
    let root_scale = power_of_two(max_abs(z.root.iter().copied()));
    let root: Vec<f64> = z.root.iter().map(|v| v / root_scale).collect();
    let diagonal = (0..z.m()).map(|i| model.kernel.entry(row[i], row[i]) * root[i] * root[i]);
    let scale = power_of_two(max_abs(diagonal));
    let m = Mat::from_fn(z.m(), z.m(), |i, j| {
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
