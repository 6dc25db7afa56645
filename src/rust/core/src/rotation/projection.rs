//! X out of the data and repeats collapsed: what a model knows before it sees a kernel's entries or a response.
//!
//! `cs_decomposition` says in which basis. Coordinates of a response are y1 along span(X), y2 on the complement of X that the random effect reaches, and
//! the square rho of what lies within groups.

use super::cs_decomposition::Split;
use super::fixed_qr::Design;
use super::groups::BetweenGroups;
use super::incidence::Incidence;
use super::model::Model;
use super::response::{Centred, Length};
use crate::kernel::Kernel;
use crate::linalg::{axpy, clear_registers, combine_each, dot, norm};
use crate::runtime::error::Result;
use crate::runtime::parallel::Workers;
use faer::Mat;

/// The fixed effects, the incidence of the random effect, and the weights.
pub struct Projection {
    pub design: Design,
    pub(crate) between: BetweenGroups,
    pub(crate) split: Split,
    /// Roots of the weights.
    pub(crate) root: Vec<f64>,
}

/// A response in these coordinates, in units of `scale`.
pub struct Projected {
    /// Of the centred response.
    pub y1: Vec<f64>,
    pub y2: Vec<f64>,
    pub rho: f64,
    pub scale: f64,
    pub length: Length,
    /// What was taken off, along the orthonormal basis of span(X) before it is turned.
    pub taken_off: Vec<f64>,
    /// Its part between groups, where groups share coordinates.
    between: Vec<f64>,
}

impl Projection {
    /// Groups of an identity kernel share coordinates where they can. `model.y` is not read.
    pub fn new(model: &Model<'_>, workers: &Workers) -> Result<Self> {
        match model.kernel {
            Kernel::Identity => Self::with(model, BetweenGroups::touched, workers),
            _ => Self::of_each_group(model, workers),
        }
    }

    /// With a coordinate for each group, so that vectors go back to rows by `lift`.
    pub fn of_each_group(model: &Model<'_>, workers: &Workers) -> Result<Self> {
        Self::with(model, |z, _| BetweenGroups::all(z), workers)
    }

    fn with(
        model: &Model<'_>,
        between: fn(Incidence, &[Vec<f64>]) -> BetweenGroups,
        workers: &Workers,
    ) -> Result<Self> {
        let root: Vec<f64> = model.weights.iter().map(|w| w.sqrt()).collect();
        let design = Design::new(model.x, &root)?;
        let z: Vec<f64> = model.z.iter().zip(&root).map(|(z, s)| z * s).collect();
        let incidence = Incidence::new(model.group, &z, model.index.len())?;
        let q1 = design.q.thin();
        let between = between(incidence, &q1);
        let split = workers.run(|_| Split::new(q1, &between))?;
        Ok(Self {
            design,
            between,
            split,
            root,
        })
    }

    /// Number of rows.
    pub fn n(&self) -> usize {
        self.root.len()
    }

    /// Number of coordinates of y2.
    pub fn coordinates(&self) -> usize {
        self.split.h.rows() - self.split.q0()
    }

    /// Contrasts within groups, which no kernel reaches.
    pub fn within(&self) -> usize {
        self.n() - self.design.rank() - (self.between.z.m() - self.split.q0())
    }

    pub fn project(&self, y: &[f64]) -> Result<Projected> {
        clear_registers();
        let centred = Centred::new(&self.design, y, &self.root)?;
        let (between, mut within) = self.between.parts(&centred.y);
        let mut t = self.between.fold(&between);
        let split = &self.split;
        split.h.transpose_apply(&mut t);
        let along: Vec<f64> = split.w.iter().map(|w| dot(w, &within)).collect();
        // Gram-Schmidt twice: the second pass removes the rounding of the first
        for w in split.w.iter().chain(&split.w) {
            axpy(-dot(w, &within), w, &mut within);
        }
        let (q, q0) = (split.q(), split.q0());
        let y1 = (0..split.r()).map(|j| split.c[j] * along[j] + if j < q { split.s[j] * t[j] } else { 0.0 });
        let y2 = (q0..t.len()).map(|j| split.d(j) * t[j] - if j < q { split.s[j] * along[j] } else { 0.0 });
        Ok(Projected {
            y1: y1.collect(),
            y2: y2.collect(),
            rho: norm(&within).powi(2),
            scale: centred.scale,
            length: centred.length,
            taken_off: centred.along,
            between: if self.between.is_shared() { between } else { vec![] },
        })
    }

    /// The vector of rows whose y2 is `u` and which has no other part: the transpose of `project`. Not for groups that share coordinates.
    pub fn lift(&self, u: &[f64]) -> Vec<f64> {
        let split = &self.split;
        let mut rows = self.between.z.lift(&split.between_part(u));
        for j in split.q0()..split.q() {
            if !split.w[j].is_empty() {
                axpy(-split.s[j] * u[j - split.q0()], &split.w[j], &mut rows);
            }
        }
        rows
    }

    /// Coordinates along the basis that y1 refers to, of coordinates along the basis of the design.
    pub(crate) fn along(&self, taken_off: &[f64]) -> Vec<f64> {
        self.split.v.iter().map(|v| dot(v, taken_off)).collect()
    }

    /// Orthonormal basis of span(X) that y1 refers to, by columns.
    pub fn fixed(&self) -> Vec<Vec<f64>> {
        let q1 = self.design.q.thin();
        combine_each(&q1, &self.split.v, self.n())
    }

    /// Rows of (R diag(scale))^-1 V, which turn coordinates along the basis into coefficients.
    pub fn coefficients(&self) -> Vec<Vec<f64>> {
        let mut columns = self.split.v.clone();
        columns.iter_mut().for_each(|column| self.design.solve(column));
        (0..columns.len())
            .map(|i| columns.iter().map(|column| column[i]).collect())
            .collect()
    }

    /// Turn the basis of span(X), given by rows.
    pub(crate) fn turn(&mut self, by: &[Vec<f64>]) {
        self.split.v = combine_each(&self.split.v, by, by.len());
    }

    /// N^(1/2) H D c, one entry a group, from c in the coordinates of y2.
    pub(crate) fn to_groups(&self, c: &[f64], of: &Projected, groups: usize) -> Vec<f64> {
        let kept = self.split.between_part(c);
        let z = &self.between.z;
        let mut all = vec![0.0; groups];
        for ((&label, root), b) in z.label.iter().zip(&z.root).zip(self.between.expand(kept, &of.between)) {
            all[label] = root * b;
        }
        all
    }
}

/// y2 of responses, a column each, zeros for those that have none.
pub(crate) fn columns(parts: &[Result<Projected>], n: usize) -> Mat<f64> {
    Mat::from_fn(n, parts.len(), |i, j| parts[j].as_ref().map_or(0.0, |part| part.y2[i]))
}
