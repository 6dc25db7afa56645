//! The effects in the order of their elimination, in units of order one: roots of the weights in Z, each term over a power of two.

use super::penalty::Penalty;
use super::{SparseEffect, SparseModel};
use crate::linalg::power_of_two;
use crate::runtime::error::{Error, Result};
use faer::Mat;

/// Pairs of rows for each row up to which an elimination leaves a sparse matrix sparse.
const FILL: usize = 8;

/// An effect in these units.
pub(crate) struct ScaledEffect<'a> {
    /// Its number in the model.
    pub number: usize,
    /// Terms a level, l.
    pub terms: usize,
    pub levels: usize,
    /// Unknown of its first level and term; those of a level stand together.
    pub first: usize,
    /// `root(w) z / unit`, the terms of a row together.
    pub z: Vec<f64>,
    pub group: &'a [usize],
    pub correlated: bool,
    /// Powers of two by terms.
    pub unit: Vec<f64>,
    pub penalty: Penalty,
}

impl<'a> ScaledEffect<'a> {
    fn new(number: usize, effect: &SparseEffect<'a>, root: &[f64]) -> Result<Self> {
        check(effect, root.len())?;
        let terms = effect.terms.len();
        let mean_square = |z: &[f64]| {
            let sum: f64 = z.iter().zip(root).map(|(z, s)| (z * s).powi(2)).sum();
            sum / root.len() as f64
        };
        let unit: Vec<f64> = effect
            .terms
            .iter()
            .map(|z| power_of_two(mean_square(z).sqrt()))
            .collect();
        let row = |i: usize| {
            let entry = move |(z, unit): (&&[f64], &f64)| z[i] * root[i] / unit;
            effect.terms.iter().zip(&unit).map(entry).collect::<Vec<_>>()
        };
        Ok(Self {
            number,
            terms,
            levels: effect.levels,
            first: 0,
            z: (0..root.len()).flat_map(row).collect(),
            group: effect.group,
            correlated: effect.correlated,
            penalty: Penalty::new(effect.label, &effect.precision, effect.levels)?,
            unit,
        })
    }

    pub(crate) fn unknowns(&self) -> usize {
        self.terms * self.levels
    }

    /// Pairs of rows of one level, over all levels.
    fn pairs_of_rows(&self) -> usize {
        let mut rows = vec![0_usize; self.levels];
        self.group.iter().for_each(|&g| rows[g] += 1);
        rows.iter().map(|count| count * count).sum()
    }

    /// Terms of row i.
    pub(crate) fn row(&self, i: usize) -> &[f64] {
        &self.z[i * self.terms..(i + 1) * self.terms]
    }

    /// Which entries of T may differ from zero, by columns.
    pub(crate) fn entries(&self) -> Vec<(usize, usize)> {
        let column = |b: usize| (b..if self.correlated { self.terms } else { b + 1 }).map(move |a| (a, b));
        (0..self.terms).flat_map(column).collect()
    }

    /// T in the user's units.
    pub(crate) fn of_user(&self, t: &Mat<f64>) -> Mat<f64> {
        Mat::from_fn(self.terms, self.terms, |a, b| {
            t[(a, b)] * (self.penalty.root_unit / self.unit[a])
        })
    }

    /// The way back.
    pub(crate) fn of_units(&self, t: &Mat<f64>) -> Mat<f64> {
        Mat::from_fn(self.terms, self.terms, |a, b| {
            t[(a, b)] / (self.penalty.root_unit / self.unit[a])
        })
    }
}

fn check(effect: &SparseEffect<'_>, n: usize) -> Result<()> {
    let lengths = effect.terms.iter().map(|z| z.len()).chain([effect.group.len()]);
    for found in lengths {
        if found != n {
            let what = "a term or the levels of an effect";
            return Err(Error::Shape {
                what,
                found,
                expected: n,
            });
        }
    }
    if effect.terms.is_empty() || effect.group.iter().any(|&g| g >= effect.levels) {
        let why = format!("\"{}\" has no terms, or rows of a level that it has not", effect.label);
        return Err(Error::Argument {
            what: "the effect",
            why,
        });
    }
    Ok(())
}

/// Effects in the order of their elimination.
pub(crate) struct Arrangement<'a> {
    pub effects: Vec<ScaledEffect<'a>>,
    /// Unknowns of the first effect if its levels are independent, which are then eliminated level by level; else 0.
    pub eliminated: usize,
    /// Unknowns of all effects.
    pub unknowns: usize,
}

impl<'a> Arrangement<'a> {
    /// First the effect with the most unknowns among those with independent levels, then the others as they come. Beside a precision of few entries it is one whose levels have few rows:
    /// others would leave an entry for each two levels that meet in one of theirs.
    pub(crate) fn new(model: &SparseModel<'a>, root: &[f64]) -> Result<Self> {
        let scaled = |(k, effect): (usize, &SparseEffect<'a>)| ScaledEffect::new(k, effect, root);
        let mut effects: Vec<ScaledEffect<'a>> = model.effects.iter().enumerate().map(scaled).collect::<Result<_>>()?;
        let sparse = effects.iter().any(|effect| effect.penalty.is_sparse());
        let independent = |k: &usize| {
            effects[*k].penalty.is_diagonal() && (!sparse || effects[*k].pairs_of_rows() <= FILL * root.len())
        };
        let largest = (0..effects.len())
            .filter(independent)
            .max_by_key(|&k| (effects[k].unknowns(), std::cmp::Reverse(k)));
        if let Some(k) = largest {
            effects[..=k].rotate_right(1);
        }
        let mut first = 0;
        for effect in &mut effects {
            effect.first = first;
            first += effect.unknowns();
        }
        Ok(Self {
            eliminated: largest.map_or(0, |_| effects[0].unknowns()),
            unknowns: first,
            effects,
        })
    }

    /// The effects that are not eliminated, with their numbers here.
    pub(crate) fn rest(&self) -> impl Iterator<Item = (usize, &ScaledEffect<'a>)> {
        self.effects.iter().enumerate().skip(usize::from(self.eliminated > 0))
    }
}
