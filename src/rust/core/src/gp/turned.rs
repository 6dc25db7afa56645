//! Rows turned by the Householder QR of X so that the contrasts come first and the directions of X last: X is projected out and never enters a normal equation.

use crate::linalg::by_entries;
use crate::rotation::fixed_qr::Design;
use crate::rotation::response::Centred;
use crate::runtime::error::Result;
use crate::runtime::stop::{self, pieces};
use faer::{Mat, MatRef, Par};

pub struct Turned {
    pub design: Design,
    /// Roots of the weights.
    root: Vec<f64>,
    /// The response over `y_scale`, turned.
    pub y: Vec<f64>,
    pub y_scale: f64,
}

impl Turned {
    pub fn new(x: MatRef<'_, f64>, y: &[f64], weights: &[f64]) -> Result<Self> {
        let root: Vec<f64> = weights.iter().map(|w| w.sqrt()).collect();
        let design = Design::new(x, &root)?;
        let Centred {
            mut y, along, scale, ..
        } = Centred::new(&design, y, &root)?;
        design.q.transpose_apply(&mut y);
        y.iter_mut().zip(&along).for_each(|(y, along)| *y += along);
        y.rotate_left(design.rank());
        Ok(Self {
            design,
            root,
            y,
            y_scale: scale,
        })
    }

    pub fn n(&self) -> usize {
        self.root.len()
    }

    pub fn contrasts(&self) -> usize {
        self.n() - self.design.rank()
    }

    pub fn log_weights(&self) -> f64 {
        2.0 * self.root.iter().map(|s| s.ln()).sum::<f64>()
    }

    /// A covariance of the rows times the roots of the weights on both sides, turned.
    pub fn matrix(&self, mut k: Mat<f64>, par: Par) -> Mat<f64> {
        let (n, r) = (self.n(), self.design.rank());
        for j in pieces(n, 64).flatten() {
            (0..n).for_each(|i| k[(i, j)] *= self.root[i] * self.root[j]);
        }
        if r == 0 || stop::check().is_err() {
            return k;
        }
        self.design.q.conjugate(k.as_mut(), par);
        let at = |i: usize| if i < n - r { i + r } else { i + r - n };
        by_entries(n, n, |i, j| k[(at(i), at(j))])
    }
}
