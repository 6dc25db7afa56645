//! The best with a parameter held: from the optima beside it, and off borders that slopes do not lead away from.

use super::held::Held;
use super::minimise::{LowPlace, minimise};
use super::search::{SMALL_COLUMN, SparseSearch};
use super::term_profile::TermProfile;
use crate::runtime::error::{Error, Result};

/// Variance of a term, in units of order one, that is next to none.
const FLAT: f64 = 1e-6;

/// The best with a value held: variables, -2 log L, its slope in the value, and by how much it may be too large.
pub(super) struct HeldOptimum {
    pub x: Vec<f64>,
    pub deviance: f64,
    pub along: f64,
    pub error: f64,
}

impl TermProfile<'_, '_> {
    /// The nearest optima on both sides, the nearest first, and the fit: far away an optimum may lie on a plateau, as where a variance is zero or a
    /// correlation 1, whose valley holds values nearer to the fit as well.
    pub(super) fn starts(&self, value: f64) -> Vec<Vec<f64>> {
        let tried = self.tried.borrow();
        let side = |above: bool| {
            let on = tried.iter().filter(move |t| (t.0 > value) == above);
            on.min_by(|a, b| (a.0 - value).abs().total_cmp(&(b.0 - value).abs()))
        };
        let mut chosen: Vec<&(f64, Vec<f64>)> =
            [side(false), side(true), tried.first()].into_iter().flatten().collect();
        chosen.sort_by(|a, b| (a.0 - value).abs().total_cmp(&(b.0 - value).abs()));
        chosen.dedup_by(|a, b| a.0 == b.0);
        chosen
            .iter()
            .map(|(from, x)| self.held.moved(x, *from, value))
            .collect()
    }

    /// From the first start, and from others where that ends on a plateau or above where they begin; off a border where it ends on one.
    pub(super) fn lowest(&self, search: &SparseSearch<'_, '_>, value: f64, starts: &[Vec<f64>]) -> Result<HeldOptimum> {
        let mut found = best(search, &self.held, value, &starts[0]);
        for start in &starts[1..] {
            let begins = self
                .held
                .at(search, value, start)?
                .map_or(f64::INFINITY, |f| search.problem.minus_twice_log_lik(f.value));
            let settled = |found: &HeldOptimum| found.deviance <= begins && !self.is_flat(search, value, &found.x);
            if !found.as_ref().is_ok_and(settled) {
                found = lower(found, best(search, &self.held, value, start));
            }
        }
        for start in self.off_border(
            search,
            value,
            &found.as_ref().map_or_else(|_| starts[0].clone(), |f| f.x.clone()),
        ) {
            found = lower(found, best(search, &self.held, value, &start));
        }
        found
    }

    /// Where a variance is next to zero, or a correlation 1, slopes do not lead away, by symmetry: the same with some variance, and without correlations.
    fn off_border(&self, search: &SparseSearch<'_, '_>, value: f64, x: &[f64]) -> Vec<Vec<f64>> {
        if !self.is_flat(search, value, x) {
            return vec![];
        }
        let entries = || {
            search
                .entries
                .iter()
                .enumerate()
                .filter(|(k, _)| self.held.is_entry(*k))
        };
        let (mut raised, mut apart) = (x.to_vec(), x.to_vec());
        for (k, &(r, a, b)) in entries() {
            let row = || entries().filter(move |(_, entry)| (entry.0, entry.1) == (r, a));
            let length = row().map(|(l, _)| x[l].powi(2)).sum::<f64>().sqrt();
            if a == b {
                raised[k] = x[k].abs().max(SMALL_COLUMN);
            }
            apart[k] = if a == b { length.max(SMALL_COLUMN) } else { 0.0 };
        }
        if apart == raised {
            vec![raised]
        } else {
            vec![raised, apart]
        }
    }

    /// Is a variance next to zero, or what is left of one once the terms before it are known, as where a correlation is 1?
    fn is_flat(&self, search: &SparseSearch<'_, '_>, value: f64, x: &[f64]) -> bool {
        let theta = self.held.theta(value, x);
        let mut diagonal = search
            .entries
            .iter()
            .zip(&theta)
            .filter(|(entry, _)| entry.1 == entry.2);
        diagonal.any(|(_, t)| t * t < FLAT)
    }
}

/// The lower of two, where both converged.
fn lower(one: Result<HeldOptimum>, other: Result<HeldOptimum>) -> Result<HeldOptimum> {
    match (one, other) {
        (Ok(a), Ok(b)) => Ok(if b.deviance < a.deviance { b } else { a }),
        (Ok(found), Err(Error::NoConvergence { .. })) | (Err(Error::NoConvergence { .. }), Ok(found)) => Ok(found),
        (Err(error), _) | (_, Err(error)) => Err(error),
    }
}

/// From some variables on.
pub(super) fn best(search: &SparseSearch<'_, '_>, held: &Held, value: f64, start: &[f64]) -> Result<HeldOptimum> {
    let failed = || Error::NoConvergence {
        what: "the profile: the likelihood with a parameter held",
        iterations: 0,
    };
    let reached = search.reach(&held.theta(value, start))?.ok_or_else(failed)?;
    let n = search.problem.counted();
    let unit = held.units(search.units(&reached), n, value, &reached.theta, start);
    let free: Vec<usize> = (0..start.len()).filter(|&k| held.is_free(k, value)).collect();
    let placed = |x: &[f64]| {
        let mut all = start.to_vec();
        free.iter().zip(x).for_each(|(&k, x)| all[k] = x * unit[k]);
        all
    };
    let first: Vec<f64> = free.iter().map(|&k| start[k] / unit[k]).collect();
    let found: Option<LowPlace> = minimise(&first, search.problem.told_apart(), |x| {
        let found = held.at(search, value, &placed(x))?;
        Ok(found.map(|f| (f.value, free.iter().map(|&k| f.slopes[k] * unit[k]).collect())))
    })?;
    let found = found.ok_or_else(failed)?;
    let x = placed(&found.x);
    Ok(HeldOptimum {
        along: held.at(search, value, &x)?.map_or(f64::NAN, |f| f.along),
        deviance: search.problem.minus_twice_log_lik(found.value),
        error: found.error(),
        x,
    })
}
