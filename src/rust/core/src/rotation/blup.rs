//! From the rotated data back to random effects.

use crate::kernel::Kernel;
use crate::likelihood::{Criterion, Method};
use crate::linalg::combine;
use crate::linalg::tridiagonal::Tridiagonal;
use crate::rotation::reused_eigen::Orthogonal;
use crate::rotation::thin_svd::Thin;
use crate::rotation::{Model, Reduction};
use faer::{Mat, Par};

/// What a kernel leaves behind for it.
pub(crate) enum WayBack {
    /// Through the ids: the tridiagonal form, and y2 before it was rotated.
    Ids(Tridiagonal, Vec<f64>),
    /// Through the columns of a factor, whose unit is the number.
    Columns(Thin, f64),
    /// Through the columns of a decomposition.
    Eigenvectors(Orthogonal),
}

impl Reduction {
    /// Coefficients of the random effects at (h, g): alpha with u_hat = K[, index] alpha, or, for a factor, the weights with u_hat = W alpha.
    pub fn alpha(&self, model: &Model<'_>, h: f64, g: f64, par: Par) -> Vec<f64> {
        let y_scale = self.rotated.y_scale;
        match (&self.way_back, model.kernel) {
            (WayBack::Columns(thin, unit), _) => thin.weights(h, g).iter().map(|a| a * y_scale / unit).collect(),
            (WayBack::Eigenvectors(taken), _) => {
                let c = self.coordinates_of_beta(h, g);
                taken
                    .weights(&c, h, g)
                    .iter()
                    .map(|a| a * y_scale / taken.unit)
                    .collect()
            }
            (WayBack::Ids(spectrum, y2), Kernel::LowRank(w)) => {
                let alpha = self.id_coefficients(spectrum, y2, model.index.len(), h, g, par);
                let column = |c: usize| alpha.iter().zip(model.index).map(|(a, &i)| a * w.0[(i, c)]).sum();
                (0..w.0.ncols()).map(column).collect()
            }
            (WayBack::Ids(spectrum, y2), Kernel::Sparse(w)) => {
                let mut alpha = vec![0.0; w.nrows];
                let observed = self.id_coefficients(spectrum, y2, model.index.len(), h, g, par);
                model.index.iter().zip(observed).for_each(|(&i, a)| alpha[i] = a);
                w.transpose_times(&alpha)
            }
            (WayBack::Ids(spectrum, y2), _) => self.id_coefficients(spectrum, y2, model.index.len(), h, g, par),
        }
    }

    /// y1 - K12 (h K22 + g I)^-1 h y2 along Q1, whatever turned the basis since.
    fn coordinates_of_beta(&self, h: f64, g: f64) -> Vec<f64> {
        let criterion = Criterion {
            data: &self.rotated,
            method: Method::Reml,
        };
        let floor = self.rotated.values.len() as f64 * f64::EPSILON * self.rotated.largest();
        let inverse = criterion.inverse(h, if g > 0.0 { g } else { floor });
        let r = self.rotated.rank();
        let unit = |i: usize| (0..r).map(|j| f64::from(i == j)).collect::<Vec<_>>();
        let turned: Vec<f64> = (0..r).map(|i| criterion.beta(&unit(i), h, &inverse)).collect();
        combine(&self.split.v, &turned, r)
    }

    /// N^(1/2) H D (h K22 + g I)^-1 y2, in the response's units over tau2's.
    pub(crate) fn id_coefficients(
        &self,
        spectrum: &Tridiagonal,
        y2: &[f64],
        groups: usize,
        h: f64,
        g: f64,
        par: Par,
    ) -> Vec<f64> {
        let n = spectrum.n();
        let mut c = Mat::from_fn(n, 1, |i, _| y2[i]);
        spectrum.transpose_apply(c.as_mut(), par);
        let mut solved: Vec<f64> = (0..n).map(|i| c[(i, 0)]).collect();
        spectrum.solve(h, g.max(self.floor(n)), &mut solved);
        (0..n).for_each(|i| c[(i, 0)] = solved[i]);
        spectrum.apply(c.as_mut(), par);
        let solved: Vec<f64> = (0..n).map(|i| c[(i, 0)]).collect();
        self.to_groups(&solved, groups, h)
    }

    /// Below this g the eigenvalues that are rounding would speak.
    pub(crate) fn floor(&self, n: usize) -> f64 {
        n as f64 * f64::EPSILON * self.rotated.largest()
    }

    /// h N^(1/2) H D c, one entry a group.
    pub(crate) fn to_groups(&self, c: &[f64], groups: usize, h: f64) -> Vec<f64> {
        let q0 = self.split.q0();
        let mut kept: Vec<f64> = (0..c.len() + q0)
            .map(|j| if j < q0 { 0.0 } else { self.split.d(j) * c[j - q0] })
            .collect();
        self.split.h.apply(&mut kept);
        let mut alpha = vec![0.0; groups];
        let z = &self.between.z;
        for ((&label, root), b) in z.label.iter().zip(&z.root).zip(self.between.expand(kept)) {
            alpha[label] = h * root * b * self.rotated.y_scale / self.rotated.k_scale;
        }
        alpha
    }
}
