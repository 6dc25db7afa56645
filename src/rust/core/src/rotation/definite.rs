//! Is a kernel positive semidefinite? The parts of it that a fit has, along and across X, may tell without a factorisation of their own.
//!
//! With e for rounding, `K + e |K| I` is positive definite just when `K22 + e |K| I` is, and
//! `S = K11 + e |K| I - K12 (K22 + e |K| I)^-1 K21`. Eigenvalues and `K12 U` have errors of rounding, and S is r x r.

use super::NullModel;
use crate::kernel::Kernel;
use crate::kernel::dense::psd_tolerance;
use crate::likelihood::{Criterion, Method};
use crate::linalg::log_det;

impl NullModel<'_> {
    /// `false`: is not, or cannot be told, because the kernel has ids without data or S is within its rounding.
    pub(crate) fn is_definite(&self) -> bool {
        let between = &self.projection.between;
        let n = match self.kernel {
            Kernel::Dense(k) if k.n() == between.z.m() && !between.is_shared() => k.n(),
            _ => return false,
        };
        // eigenvalues of N^(1/2) K N^(1/2) are those of K times numbers between the smallest and the largest of N
        let squares = || between.z.root.iter().map(|root| root * root);
        let ratio = squares().fold(f64::INFINITY, f64::min) / squares().fold(0.0, f64::max);
        let size = self.frame.largest().max(self.trace / n as f64);
        let shift = 0.5 * ratio * psd_tolerance(n, None) * size;
        self.smallest > -shift && self.along_x(shift, size).is_some()
    }

    /// log|S| less what rounding may have added to it.
    fn along_x(&self, shift: f64, size: f64) -> Option<f64> {
        let (data, r) = (&self.frame, self.frame.rank());
        let criterion = Criterion {
            data,
            method: Method::Reml,
        };
        let inverse = criterion.inverse(1.0, shift);
        let mut s = criterion.schur(1.0, shift, &inverse, r);
        // of an entry of K12 U, and of an eigenvalue
        let (of_entry, of_value) = (
            f64::EPSILON * (data.values.len() as f64).sqrt() * size,
            f64::EPSILON * size,
        );
        let error = |b: &Vec<f64>| {
            let terms = b.iter().zip(&inverse).map(|(b, w)| {
                let shrunk = b.abs() * w;
                2.0 * shrunk * of_entry + shrunk * shrunk * of_value
            });
            terms.sum::<f64>()
        };
        let error: f64 = data.b.iter().map(error).sum();
        (0..r).for_each(|i| s[i][i] -= error);
        log_det(&mut s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::dense::Dense;
    use crate::linalg::eigen::eigen;
    use crate::rotation::Model;
    use crate::runtime::parallel::Workers;
    use faer::{Mat, Par};

    /// What the fit tells, and what the eigenvalues do: smallest over largest.
    fn told(k: &Mat<f64>, x: &Mat<f64>, weight: impl Fn(usize) -> f64) -> (bool, f64) {
        let n = k.nrows();
        let y: Vec<f64> = (0..n).map(|i| f64::sin(5.0 * i as f64)).collect();
        let rows: Vec<usize> = (0..n).collect();
        let model = Model {
            y: &y,
            x: x.as_ref(),
            weights: &(0..n).map(weight).collect::<Vec<_>>(),
            z: &vec![1.0; n],
            group: &rows,
            kernel: Kernel::Dense(Dense(k.as_ref())),
            index: &rows,
        };
        let (null, _) = NullModel::of_response(&model, &Workers::inline(), &mut ()).unwrap();
        let (values, _) = eigen(k.clone(), Par::Seq).unwrap();
        (null.is_definite(), values[0] / values[n - 1])
    }

    fn entry(i: usize, j: usize) -> f64 {
        f64::sin((1 + 37 * i + 101 * j + i * j) as f64)
    }

    #[test]
    fn definite_kernels_are_told_and_no_other() {
        let n = 60;
        let w = Mat::from_fn(n, 90, entry);
        let plain = &w * w.transpose();
        let mean = |j: usize| (0..n).map(|i| w[(i, j)]).sum::<f64>() / n as f64;
        let means: Vec<f64> = (0..90).map(mean).collect();
        let centred = Mat::from_fn(n, 90, |i, j| w[(i, j)] - means[j]);
        let centred = &centred * centred.transpose();
        let x = Mat::from_fn(n, 3, |i, j| if j == 0 { 1.0 } else { entry(i + 7, j) });
        let equal = |_: usize| 1.0;
        for k in [&plain, &centred] {
            assert!(told(k, &x, equal).0);
        }
        assert!(told(&plain, &x, |i| 1.0 + (i % 3) as f64).0);
        // less along the constant, along another column of X, across X
        let directions = [
            x.col(0).to_owned(),
            x.col(2).to_owned(),
            Mat::from_fn(n, 1, |i, _| entry(i, 50)).col(0).to_owned(),
        ];
        for k in [&plain, &centred] {
            for direction in &directions {
                for size in [1e-3, 1e-7, 1e-11, 1e-12, 1e-13, 1e-14] {
                    let u = direction * (1.0 / direction.norm_l2());
                    // all that is there along the direction, and so much more
                    let along = k * &u;
                    let form = u.transpose() * &along;
                    let less = size * k.norm_l2() / n as f64;
                    let down = Mat::from_fn(n, n, |i, j| {
                        let taken = if form > 1e-9 { along[i] * along[j] / form } else { 0.0 };
                        k[(i, j)] - taken - less * u[i] * u[j]
                    });
                    let (definite, smallest) = told(&down, &x, equal);
                    assert!(
                        !definite || smallest >= -psd_tolerance(n, None),
                        "{size:e}: {smallest:e}"
                    );
                }
            }
        }
    }
}
