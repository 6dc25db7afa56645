//! Where the deviance is least: a coarse grid over the simplex of shares, a trust region from each of its valleys, Newton steps to rounding.
//!
//! `trust` has the trust region.

use super::constrained_coefficient::ConstrainedCoefficient;
use super::likelihood::{AtVariances, Derivatives, MixProblem};
use crate::runtime::error::{Error, Result};
use crate::runtime::monitor::Monitor;
use crate::runtime::parallel::Workers;
use crate::runtime::work::{Work, count};
use std::cell::RefCell;

/// One local optimum: variances, and the deviance there.
#[derive(Debug, Clone)]
pub struct VarianceOptimum {
    pub theta: Vec<f64>,
    pub deviance: f64,
}

/// All local optima, best first, and the values on the grid.
pub struct VarianceOptima {
    pub locals: Vec<VarianceOptimum>,
    pub grid: Vec<VarianceOptimum>,
}

/// How finely the simplex of shares is divided: the fewer components the finer. Few contrasts make rough likelihoods, and their points cost little.
fn divisions(effects: usize, contrasts: usize) -> usize {
    match (effects, contrasts <= FEW) {
        (0..=2, true) => 10,
        (0..=2, false) | (3, true) => 5,
        (3, false) | (4, true) => 4,
        _ => 3,
    }
}

/// Contrasts up to which likelihoods are rough and evaluations cheap: the grid is finer and more starts are followed.
pub(super) const FEW: usize = 250;

/// Share that every variance has at a start: with `theta = s^2` the derivative in s vanishes at zero, and a descent would stay there.
const LEAST_SHARE: f64 = 0.02;
/// Share of the total variance below which a variance is tried at zero; it is set to zero only if the deviance rises from there.
pub const SMALL_SHARE: f64 = 1e-7;
/// Where the lowest point of the grid is on a face of the simplex: share that all components there are raised to for a start inside ...
const INSIDE: f64 = 0.1;
/// ... and share that one of them is raised to, for a start with it alone.
const AWAY: f64 = 0.25;
/// Valleys of the grid that are followed, lowest first. Each costs a descent; those beyond are higher on the grid.
const MAX_STARTS: usize = 6;
/// Lowest interior points of the grid that are followed as well where contrasts are few.
const INTERIOR_STARTS: usize = 2;

/// What the search works with: the problem, its workers, and whom to ask whether to stop.
pub struct VarianceSearch<'a> {
    pub problem: &'a MixProblem,
    pub workers: &'a Workers,
    pub monitor: RefCell<Box<dyn Monitor + 'a>>,
    /// Mean variance that one unit of theta gives a contrast.
    pub size: Vec<f64>,
    /// Components that may differ from their value at the start.
    pub free: Vec<bool>,
    pub tie: Option<Tie>,
    /// A coefficient that is held.
    pub coefficient: Option<ConstrainedCoefficient>,
}

/// Shares, and the best point with each.
type Grid = (Vec<Vec<f64>>, Vec<Option<VarianceOptimum>>);

/// theta_k = sum_l c_l theta_l over the other components.
pub struct Tie {
    pub k: usize,
    pub c: Vec<f64>,
}

impl Tie {
    pub(super) fn theta(&self, free: &[f64]) -> Vec<f64> {
        let mut theta = free.to_vec();
        theta[self.k] = (0..free.len())
            .filter(|l| *l != self.k)
            .map(|l| self.c[l] * free[l])
            .sum();
        theta
    }

    /// Derivatives in the other components.
    pub(super) fn pull_back(&self, d: &Derivatives) -> Derivatives {
        let (k, c) = (self.k, &self.c);
        let entry = |i: usize, j: usize| {
            d.hessian[i][j] + c[i] * d.hessian[k][j] + c[j] * d.hessian[i][k] + c[i] * c[j] * d.hessian[k][k]
        };
        let count = c.len();
        Derivatives {
            gradient: (0..count).map(|i| d.gradient[i] + c[i] * d.gradient[k]).collect(),
            hessian: (0..count).map(|i| (0..count).map(|j| entry(i, j)).collect()).collect(),
        }
    }
}

/// Shares of one component at which valleys beside a face are looked for: the grid's first points inside are at shares of 0.1 to 0.3.
const BESIDE: [f64; 2] = [1e-2, 1e-3];

/// Component k with a small share, the others in their proportions.
fn beside(shares: &[f64], k: usize, least: f64) -> Vec<f64> {
    let mut start: Vec<f64> = shares.iter().map(|s| s * (1.0 - least)).collect();
    start[k] = least;
    start
}

impl<'a> VarianceSearch<'a> {
    pub fn point(&self, theta: &[f64]) -> Result<Option<AtVariances<'a>>> {
        self.monitor.borrow_mut().check()?;
        let tied = self.tie.as_ref().map(|tie| tie.theta(theta));
        let (problem, coefficient) = (self.problem, &self.coefficient);
        Ok(self.workers.run(|par| {
            let mut point = problem.point(tied.as_deref().unwrap_or(theta), par)?;
            if let Some(coefficient) = coefficient {
                coefficient.add(problem, &mut point, par);
            }
            Some(point)
        }))
    }

    pub(super) fn derivatives(&self, point: &AtVariances<'_>) -> Derivatives {
        let d = self.workers.run(|par| self.problem.derivatives(point, par));
        self.tie.as_ref().map_or_else(|| d.clone(), |tie| tie.pull_back(&d))
    }

    /// Every local optimum that the grid shows, and the one below `known`, which may be empty.
    pub fn run(&self, known: &[f64]) -> Result<VarianceOptima> {
        count(Work::Search);
        let (shares, grid) = self.grid()?;
        let mut locals: Vec<VarianceOptimum> = vec![];
        if !known.is_empty() {
            locals.push(self.descend(known)?);
        }
        for start in self.starts(&shares, &grid) {
            let found = self.valley(&start)?;
            locals.extend(found.filter(|local| !locals.iter().any(|other| self.same(other, local))));
        }
        // beside a face a valley counts only if it is the deepest
        for start in self.beside_faces(&shares)? {
            let least = locals.iter().map(|local| local.deviance).fold(f64::INFINITY, f64::min);
            let found = match self.valley(&start) {
                // a further look only
                Err(Error::NoConvergence { .. }) => None,
                found => found?,
            };
            locals.extend(found.filter(|local| {
                self.shares(&local.theta)[self.problem.effects] >= SMALL_SHARE
                    && local.deviance < least
                    && !locals.iter().any(|other| self.same(other, local))
            }));
        }
        locals.sort_by(|a, b| a.deviance.total_cmp(&b.deviance));
        let grid = grid.into_iter().flatten().collect();
        Ok(VarianceOptima { locals, grid })
    }

    /// The optimum below some shares; none where the likelihood has no bound and the search runs away.
    fn valley(&self, shares: &[f64]) -> Result<Option<VarianceOptimum>> {
        let Some(start) = self.scaled(shares)? else {
            return Ok(None);
        };
        let local = match self.descend(&start.theta) {
            Err(Error::NoConvergence { .. }) if self.problem.may_be_unbounded() => return Ok(None),
            found => found?,
        };
        Ok((!self.runs_away(&local)?).then_some(local))
    }

    /// Has a search gone where the likelihood has no bound, the residual variance tending to 0 and V to a matrix that is singular along X?
    pub(super) fn runs_away(&self, local: &VarianceOptimum) -> Result<bool> {
        let tied = self.tie.as_ref().map(|tie| tie.theta(&local.theta));
        let shares = self.shares(tied.as_ref().unwrap_or(&local.theta));
        if !self.problem.may_be_unbounded() || shares[self.problem.effects] >= SMALL_SHARE {
            return Ok(false);
        }
        Ok(self.problem.missed() > 0 || self.falls_for_ever(&local.theta)?)
    }

    /// Does the deviance fall by log delta for some directions of X, not towards a limit? Rounding hides that V is singular along them.
    fn falls_for_ever(&self, theta: &[f64]) -> Result<bool> {
        // shares of the residual, two decades apart
        const DECADES: [f64; 2] = [1e-6, 1e-8];
        let residual = self.problem.effects;
        let total: f64 = theta.iter().zip(&self.size).map(|(t, size)| t * size).sum();
        let deviance = |share: f64| {
            let mut at = theta.to_vec();
            at[residual] = share * total / self.size[residual];
            Ok::<_, Error>(self.point(&at)?.map(|point| point.deviance))
        };
        let [Some(before), Some(after)] = [deviance(DECADES[0])?, deviance(DECADES[1])?] else {
            return Ok(true);
        };
        let directions = (before - after) / 100.0f64.ln();
        Ok(directions > 0.5 && directions < self.problem.r as f64 + 0.5)
    }

    /// Shares from which to go downhill: the valleys of the grid, and where the lowest of them is a corner also a point well inside, since a valley beside
    /// the corner may be narrower than the grid. Where points cost little the lowest interior ones too.
    fn starts(&self, shares: &[Vec<f64>], grid: &[Option<VarianceOptimum>]) -> Vec<Vec<f64>> {
        let raised = |i: usize, least: f64| shares[i].iter().map(|s| s.max(least)).collect::<Vec<f64>>();
        let found = valleys(shares, |i| deviance_of(grid, i));
        let mut starts: Vec<Vec<f64>> = found.iter().take(MAX_STARTS).map(|&i| raised(i, LEAST_SHARE)).collect();
        if let Some(&lowest) = found.first().filter(|&&i| shares[i].contains(&0.0)) {
            starts.push(raised(lowest, INSIDE));
            let away = |k: usize| {
                let mut start = raised(lowest, LEAST_SHARE);
                start[k] = AWAY;
                start
            };
            starts.extend((0..self.size.len()).filter(|&k| shares[lowest][k] == 0.0).map(away));
        }
        if self.problem.contrasts() <= FEW {
            let mut interior: Vec<usize> = (0..shares.len()).filter(|&i| !shares[i].contains(&0.0)).collect();
            interior.sort_by(|&a, &b| deviance_of(grid, a).total_cmp(&deviance_of(grid, b)));
            starts.extend(interior.into_iter().take(INTERIOR_STARTS).map(|i| shares[i].clone()));
        }
        starts
    }

    /// The lowest point beside each face, where one component has a small share: a valley there is narrower than the grid. Where points cost little.
    fn beside_faces(&self, shares: &[Vec<f64>]) -> Result<Vec<Vec<f64>>> {
        let mut starts = vec![];
        if self.problem.contrasts() > FEW {
            return Ok(starts);
        }
        for (k, least) in (0..self.size.len()).flat_map(|k| BESIDE.map(|least| (k, least))) {
            let on_face = shares.iter().filter(|s| s[k] == 0.0);
            let mut lowest = (f64::INFINITY, None);
            for start in on_face.map(|s| beside(s, k, least)) {
                if let Some(local) = self.scaled(&start)?.filter(|local| local.deviance < lowest.0) {
                    lowest = (local.deviance, Some(start));
                }
            }
            starts.extend(lowest.1);
        }
        Ok(starts)
    }

    fn grid(&self) -> Result<Grid> {
        let parts = divisions(self.problem.effects, self.problem.contrasts());
        let shares: Vec<Vec<f64>> = compositions(parts, self.problem.effects + 1)
            .into_iter()
            .map(|c| c.iter().map(|i| *i as f64 / parts as f64).collect())
            .collect();
        let values = shares.iter().map(|s| self.scaled(s)).collect::<Result<_>>()?;
        Ok((shares, values))
    }

    /// The point with these shares and the best scale.
    fn scaled(&self, shares: &[f64]) -> Result<Option<VarianceOptimum>> {
        let theta: Vec<f64> = shares.iter().zip(&self.size).map(|(s, size)| s / size).collect();
        let n = self.problem.n() as f64;
        Ok(self.point(&theta)?.map(|p| {
            let scale = p.q / n;
            VarianceOptimum {
                theta: theta.iter().map(|t| t * scale).collect(),
                deviance: p.deviance - p.q + n + n * scale.ln(),
            }
        }))
    }

    pub(super) fn shares(&self, theta: &[f64]) -> Vec<f64> {
        let parts: Vec<f64> = theta.iter().zip(&self.size).map(|(t, size)| t * size).collect();
        let sum: f64 = parts.iter().sum();
        parts.iter().map(|p| p / sum).collect()
    }

    fn same(&self, a: &VarianceOptimum, b: &VarianceOptimum) -> bool {
        let near = self
            .shares(&a.theta)
            .iter()
            .zip(self.shares(&b.theta))
            .all(|(a, b)| (a - b).abs() < 1e-4);
        near && (a.deviance - b.deviance).abs() < 1e-5 * (1.0 + a.deviance.abs())
    }
}

/// All ways to divide `total` into `parts`.
pub(crate) fn compositions(total: usize, parts: usize) -> Vec<Vec<usize>> {
    if parts == 1 {
        return vec![vec![total]];
    }
    let with = |first: usize| {
        compositions(total - first, parts - 1)
            .into_iter()
            .map(move |rest| [vec![first], rest].concat())
    };
    (0..=total).flat_map(with).collect()
}

/// Infinite where a point of the grid is not usable.
fn deviance_of(grid: &[Option<VarianceOptimum>], i: usize) -> f64 {
    grid[i].as_ref().map_or(f64::INFINITY, |l| l.deviance)
}

/// Grid points that no neighbour undercuts, lowest first; neighbours differ by one step from one share to another.
pub(crate) fn valleys(shares: &[Vec<f64>], value: impl Fn(usize) -> f64) -> Vec<usize> {
    let step = shares
        .iter()
        .flatten()
        .copied()
        .filter(|s| *s > 0.0)
        .fold(1.0, f64::min);
    let near = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum::<f64>() < 2.5 * step;
    let lowest = |&i: &usize| {
        value(i).is_finite() && (0..shares.len()).all(|j| !near(&shares[i], &shares[j]) || value(i) <= value(j))
    };
    let mut found: Vec<usize> = (0..shares.len()).filter(lowest).collect();
    found.sort_by(|&a, &b| value(a).total_cmp(&value(b)));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compositions_are_all_points_of_the_simplex() {
        let points = compositions(4, 3);
        assert_eq!(points.len(), 15);
        assert!(points.iter().all(|p| p.iter().sum::<usize>() == 4));
    }
}
