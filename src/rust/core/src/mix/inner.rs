//! The kernel of the groups of one effect that are observed: K, a factor of it, or nothing for the identity.

use super::Effect;
use crate::kernel::Kernel;
use crate::linalg::tridiagonal::eigen;
use crate::linalg::{by_entries, max_abs, power_of_two, product};
use crate::runtime::error::Result;
use faer::{Mat, Par};

/// Kernel or factor of the observed groups over its unit; nothing for the identity.
pub fn inner(effect: &Effect<'_>) -> (Option<Mat<f64>>, f64) {
    let index = effect.index;
    let m = index.len();
    match effect.kernel {
        Kernel::Identity => (None, 1.0),
        Kernel::LowRank(w) => {
            let largest = (0..w.0.ncols()).map(|c| max_abs(index.iter().map(|&i| w.0[(i, c)])));
            let unit = power_of_two(max_abs(largest));
            (
                Some(Mat::from_fn(m, w.0.ncols(), |i, c| w.0[(index[i], c)] / unit)),
                unit * unit,
            )
        }
        kernel => {
            let unit = power_of_two(max_abs(index.iter().map(|&i| kernel.entry(i, i))));
            (
                Some(by_entries(m, m, |i, j| kernel.entry(index[i], index[j]) / unit)),
                unit,
            )
        }
    }
}

/// L with K = L L' from what `inner` gives; negative eigenvalues are rounding.
pub fn root(effect: &Effect<'_>, inner: Option<Mat<f64>>, par: Par) -> Result<Option<Mat<f64>>> {
    match (inner, effect.kernel) {
        (Some(k), Kernel::Dense(_)) => {
            let (values, mut u) = eigen(k, par)?;
            for (j, value) in values.iter().enumerate() {
                let root = value.max(0.0).sqrt();
                (0..u.nrows()).for_each(|i| u[(i, j)] *= root);
            }
            Ok(Some(u))
        }
        (inner, _) => Ok(inner),
    }
}

/// K itself from what `inner` gives.
pub fn square(effect: &Effect<'_>, inner: Option<Mat<f64>>, par: Par) -> Mat<f64> {
    match (inner, effect.kernel) {
        (None, _) => Mat::identity(effect.index.len(), effect.index.len()),
        (Some(w), Kernel::LowRank(_)) => product(w.as_ref(), w.transpose(), par),
        (Some(k), _) => k,
    }
}

/// Is Z W taken for the columns of an effect?
pub fn is_narrow(effect: &Effect<'_>) -> bool {
    matches!(effect.kernel, Kernel::LowRank(w) if w.0.ncols() < effect.index.len())
}

pub fn width(effect: &Effect<'_>) -> usize {
    match effect.kernel {
        Kernel::LowRank(w) if is_narrow(effect) => w.0.ncols(),
        _ => effect.index.len(),
    }
}

pub fn narrow_factor(effect: &Effect<'_>) -> Option<Mat<f64>> {
    if is_narrow(effect) { inner(effect).0 } else { None }
}
