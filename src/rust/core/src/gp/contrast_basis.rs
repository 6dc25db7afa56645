//! Rows turned by the Householder QR of X so that the contrasts come first and the directions of X last: X is projected out and never enters a normal equation.
//! No [`NullModel`](crate::rotation::NullModel): that decomposes one kernel, and here slopes and second derivatives of the kernel are turned along with it.

use crate::rotation::fixed_qr::Design;
use crate::rotation::response::Centred;
use crate::runtime::error::Result;
use crate::runtime::stop::pieces;
use faer::{Mat, MatRef, Par};

pub struct ContrastBasis {
    pub design: Design,
    /// Roots of the weights.
    root: Vec<f64>,
    /// The response over `y_scale`, turned.
    pub y: Vec<f64>,
    pub y_scale: f64,
}

impl ContrastBasis {
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

    /// Coefficients of the rows, in the units of the response, from those of the contrasts over `y_scale`.
    pub fn rows(&self, contrasts: &[f64]) -> Vec<f64> {
        let mut rows = [&vec![0.0; self.design.rank()][..], contrasts].concat();
        self.design.q.apply(&mut rows);
        let unit = |(v, root): (f64, &f64)| v * root * self.y_scale;
        rows.into_iter().zip(&self.root).map(unit).collect()
    }

    /// A covariance of the rows times the roots of the weights on both sides, turned.
    pub fn matrix(&self, mut k: Mat<f64>, par: Par) -> Mat<f64> {
        let n = self.n();
        if self.root.iter().any(|s| *s != 1.0) {
            for j in pieces(n, 64).flatten() {
                let column = k.col_as_slice_mut(j).iter_mut().zip(&self.root);
                column.for_each(|(k, s)| *k *= s * self.root[j]);
            }
        }
        self.design.contrasts_first(k, par)
    }
}
