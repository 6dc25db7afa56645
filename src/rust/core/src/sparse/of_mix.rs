//! Effects of a [`MixModel`], one variance each, as a model of levels. Effects of the same block are correlated terms of one effect; others of the same levels and without a kernel are
//! independent terms of one.

use super::{Precision, SparseEffect, SparseModel};
use crate::kernel::Kernel;
use crate::kernel::sparse::Sparse;
use crate::linalg::cholesky::Cholesky;
use crate::mix::{Effect, MixModel};
use crate::runtime::error::{Error, Result};
use crate::runtime::memory::claim;
use faer::{Mat, Par};

/// Where each effect is: effect and term of the model of levels.
pub(super) type Places = Vec<(usize, usize)>;

/// Least square of a pivot of K over the largest that leaves its inverse some digits.
const REGULAR: f64 = 1e-12;

/// Effects, and which of them are correlated.
pub struct TermModel<'a> {
    /// Effects with one variance each.
    pub mix: &'a MixModel<'a>,
    /// Effects with the same number are correlated; nothing: none are.
    pub blocks: &'a [usize],
    /// Residual variance of a row of weight 1, if it is known.
    pub sigma2_e: Option<f64>,
    /// K^-1 of the effects that have a kernel, of the first of a block.
    inverses: Vec<Option<Mat<f64>>>,
}

impl<'a> TermModel<'a> {
    /// Inverts the kernels.
    pub fn new(mix: &'a MixModel<'a>, blocks: &'a [usize], sigma2_e: Option<f64>, par: Par) -> Result<Self> {
        if !blocks.is_empty() && blocks.len() != mix.effects.len() {
            let (what, found, expected) = ("blocks", blocks.len(), mix.effects.len());
            return Err(Error::Shape { what, found, expected });
        }
        let mut model = Self {
            mix,
            blocks,
            sigma2_e,
            inverses: vec![],
        };
        for k in 0..mix.effects.len() {
            let inverse = match model.first_of_block(k) == k {
                true => inverse(&mix.effects[k], par)?,
                false => None,
            };
            model.inverses.push(inverse);
        }
        Ok(model)
    }

    fn first_of_block(&self, k: usize) -> usize {
        match self.blocks {
            [] => k,
            blocks => blocks.iter().position(|b| *b == blocks[k]).unwrap_or(k),
        }
    }

    /// Is an effect a term among others?
    pub(super) fn is_correlated(&self, k: usize) -> bool {
        !self.blocks.is_empty() && self.blocks.iter().filter(|b| **b == self.blocks[k]).count() > 1
    }

    /// K^-1 of an effect.
    pub(super) fn precision(&self, k: usize) -> Precision<'_> {
        let first = self.first_of_block(k);
        match (self.mix.effects[first].kernel, &self.inverses[first]) {
            (Kernel::Precision(p), _) => Precision::Sparse(p),
            (_, Some(inverse)) => Precision::Dense(inverse.as_ref()),
            (_, None) => Precision::Identity,
        }
    }

    /// The model of levels, and where the effects are in it.
    pub(super) fn levels(&self) -> (SparseModel<'_>, Places) {
        let MixModel { y, x, weights, .. } = *self.mix;
        let (mut effects, mut places): (Vec<SparseEffect<'_>>, Places) = (vec![], vec![]);
        for (k, effect) in self.mix.effects.iter().enumerate() {
            let at = self.home(k, &effects, &places);
            if at == effects.len() {
                effects.push(SparseEffect {
                    label: effect.label,
                    terms: vec![],
                    group: effect.group,
                    levels: effect.index.len(),
                    correlated: self.is_correlated(k),
                    precision: self.precision(k),
                });
            }
            places.push((at, effects[at].terms.len()));
            effects[at].terms.push(effect.z);
        }
        let model = SparseModel {
            y,
            x,
            weights,
            sigma2_e: self.sigma2_e,
            effects,
        };
        (model, places)
    }

    /// Which effect of levels an effect is a term of; their number if it begins one.
    fn home(&self, k: usize, effects: &[SparseEffect<'_>], places: &Places) -> usize {
        if self.is_correlated(k) {
            return places
                .get(self.first_of_block(k))
                .map_or(effects.len(), |place| place.0);
        }
        let effect = &self.mix.effects[k];
        let same = |other: &SparseEffect<'_>| {
            !other.correlated
                && matches!(other.precision, Precision::Identity)
                && other.levels == effect.index.len()
                && other.group == effect.group
        };
        match self.precision(k) {
            Precision::Identity => effects.iter().position(same).unwrap_or(effects.len()),
            _ => effects.len(),
        }
    }
}

/// P is the inverse of K between all of its levels.
fn all_levels(effect: &Effect<'_>, p: &Sparse<'_>) -> Result<()> {
    if effect.index.iter().copied().eq(0..p.nrows) {
        return Ok(());
    }
    let what = "levels of a kernel known by its inverse";
    let (found, expected) = (effect.index.len(), p.nrows);
    Err(Error::Shape { what, found, expected })
}

/// K^-1 between the levels.
fn inverse(effect: &Effect<'_>, par: Par) -> Result<Option<Mat<f64>>> {
    match effect.kernel {
        Kernel::Identity => return Ok(None),
        Kernel::Precision(p) => return all_levels(effect, &p).map(|()| None),
        _ => {}
    }
    claim(3.0 * (effect.index.len() as f64).powi(2))?;
    let singular = || Error::SingularKernel {
        label: effect.label.to_owned(),
    };
    let factor = Cholesky::new(effect.kernel.between(effect.index, par), par).ok_or_else(singular)?;
    let pivot = |i: usize| factor.factor()[(i, i)].powi(2);
    let size = factor.size();
    let largest = (0..size).map(pivot).fold(0.0, f64::max);
    if (0..size).map(pivot).any(|p| p <= REGULAR * largest) {
        return Err(singular());
    }
    Ok(Some(factor.inverse(par)))
}
