//! The kernel of the groups of one effect that are observed: K, a factor with fewer columns than groups, or nothing for the identity.

use super::Effect;
use crate::kernel::Kernel;
use crate::linalg::eigen::eigen;
use crate::linalg::{max_abs, power_of_two};
use crate::runtime::error::Result;
use faer::{Mat, Par};

/// Power of two that K is divided by; of a factor the square of that of W.
pub fn unit(effect: &Effect<'_>) -> f64 {
    match effect.kernel {
        Kernel::Identity => 1.0,
        kernel => match factor_unit(effect) {
            Some(unit) => unit * unit,
            None => power_of_two(max_abs(effect.index.iter().map(|&i| kernel.entry(i, i)))),
        },
    }
}

fn factor_unit(effect: &Effect<'_>) -> Option<f64> {
    effect.kernel.factor_largest(effect.index).map(power_of_two)
}

/// K of the observed groups over its unit; nothing for the identity.
pub fn inner(effect: &Effect<'_>, par: Par) -> Option<Mat<f64>> {
    let (kernel, index) = (effect.kernel, effect.index);
    if matches!(kernel, Kernel::Identity) {
        return None;
    }
    if let Some(unit) = factor_unit(effect) {
        return kernel.factor_between(index, unit, par);
    }
    let mut k = kernel.between(index, par);
    let unit = unit(effect);
    k.col_iter_mut()
        .for_each(|column| column.iter_mut().for_each(|k| *k /= unit));
    Some(k)
}

/// L with K = L L'; negative eigenvalues are rounding.
pub fn root(effect: &Effect<'_>, par: Par) -> Result<Option<Mat<f64>>> {
    let Some(k) = inner(effect, par) else { return Ok(None) };
    let (values, mut u) = eigen(k, par)?;
    for (j, value) in values.iter().enumerate() {
        let root = value.max(0.0).sqrt();
        (0..u.nrows()).for_each(|i| u[(i, j)] *= root);
    }
    Ok(Some(u))
}

/// K as a matrix, the identity too.
pub fn square(effect: &Effect<'_>, par: Par) -> Mat<f64> {
    let m = effect.index.len();
    inner(effect, par).unwrap_or_else(|| Mat::identity(m, m))
}

/// Is Z W taken for the columns of an effect?
pub fn is_narrow(effect: &Effect<'_>) -> bool {
    width(effect) < effect.index.len()
}

pub fn width(effect: &Effect<'_>) -> usize {
    let m = effect.index.len();
    effect.kernel.factor_columns().map_or(m, |k| k.min(m))
}

/// Z W over the unit of W, with the given multipliers of the rows, where that is narrow.
pub fn narrow_columns(effect: &Effect<'_>, z: &[f64]) -> Option<Mat<f64>> {
    let unit = factor_unit(effect).filter(|_| is_narrow(effect))?;
    effect.kernel.factor_rows(|i| effect.index[effect.group[i]], z, unit)
}
