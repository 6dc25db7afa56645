//! Where the deviance is least: from each valley of a grid over shares downhill, columns of T that are zero found and their sign checked.

use super::descent::Reached;
use super::problem::SparseProblem;
use crate::mix::search::{compositions, valleys};
use crate::runtime::error::Result;
use crate::runtime::monitor::Monitor;
use crate::runtime::parallel::Workers;
use crate::runtime::work::{Work, count};
use faer::{Mat, Side};
use std::cell::RefCell;

/// Share that every effect has at a start: at T = 0 the slope vanishes, and a descent would stay there.
const LEAST_SHARE: f64 = 0.02;
/// Valleys of the grid that are followed, lowest first.
const MAX_STARTS: usize = 4;
/// Length of a column of T, the residual's standard deviation being 1, below which it is tried at zero.
pub(super) const SMALL_COLUMN: f64 = 0.1;
/// Length at which the slope of a column that is zero is looked at.
const BESIDE_ZERO: f64 = 1e-3;
/// Variance of the effects over that of the residual beyond which the residual's is said to vanish.
const NO_RESIDUAL: f64 = 1e7;
/// Times that a descent is begun anew from a saddle point, or from a column that should not be zero.
const RETURNS: usize = 6;

/// A problem, and whom to ask whether to stop.
pub(crate) struct SparseSearch<'p, 'a> {
    pub problem: &'p SparseProblem<'a>,
    pub workers: &'p Workers,
    pub monitor: RefCell<Box<dyn Monitor + 'p>>,
    /// Effect, row and column of each entry of theta.
    pub entries: Vec<(usize, usize, usize)>,
}

/// The optimum, with its Hessian over the entries that are not zero; all optima; the grid.
pub(crate) struct SparseOptima {
    pub best: Reached,
    pub free: Vec<usize>,
    pub hessian: Mat<f64>,
    pub locals: Vec<Reached>,
    pub grid: Vec<Visited>,
}

/// A place where the deviance is known, and s2 there.
#[derive(Clone)]
pub(crate) struct Visited {
    pub theta: Vec<f64>,
    pub deviance: f64,
    pub s2: f64,
}

/// An optimum.
struct SettledOptimum {
    at: Reached,
    free: Vec<usize>,
    hessian: Mat<f64>,
}

impl<'p, 'a> SparseSearch<'p, 'a> {
    pub(crate) fn new(problem: &'p SparseProblem<'a>, workers: &'p Workers, monitor: &'p mut dyn Monitor) -> Self {
        let of_effect = |r: usize| {
            problem.arrangement.effects[r]
                .entries()
                .into_iter()
                .map(move |(a, b)| (r, a, b))
        };
        Self {
            entries: (0..problem.arrangement.effects.len()).flat_map(of_effect).collect(),
            monitor: RefCell::new(Box::new(monitor)),
            problem,
            workers,
        }
    }

    /// T of each effect.
    pub(crate) fn factors(&self, theta: &[f64]) -> Vec<Mat<f64>> {
        let mut t: Vec<Mat<f64>> = self
            .problem
            .units()
            .iter()
            .map(|t| Mat::zeros(t.nrows(), t.nrows()))
            .collect();
        for (&(r, a, b), value) in self.entries.iter().zip(theta) {
            t[r][(a, b)] = *value;
        }
        t
    }

    /// Number of a diagonal entry.
    pub(super) fn diagonal(&self, r: usize, a: usize) -> usize {
        self.entries.iter().position(|entry| *entry == (r, a, a)).unwrap_or(0)
    }

    /// The deviance and its slopes.
    pub(super) fn reach(&self, theta: &[f64]) -> Result<Option<Reached>> {
        self.monitor.borrow_mut().check()?;
        let (problem, t) = (self.problem, self.factors(theta));
        let found = self.workers.run(|par| {
            let point = problem.point(t, par)?;
            Some((
                point.deviance,
                point.r2 / problem.counted(),
                problem.slopes_at(&point, par),
            ))
        });
        let read = |d: &[Mat<f64>]| self.entries.iter().map(|&(r, a, b)| d[r][(a, b)]).collect();
        let reached = found.map(|(deviance, s2, slopes)| Reached {
            theta: theta.to_vec(),
            deviance,
            s2,
            slopes: read(&slopes.deviance),
            log_det: read(&slopes.log_det),
        });
        Ok(reached.map(|at| match problem.known {
            Some(tau) => at.with_s2(problem.counted(), tau).0,
            None => at,
        }))
    }

    /// Infinite where C is not positive definite.
    fn visit(&self, theta: Vec<f64>) -> Result<Visited> {
        self.monitor.borrow_mut().check()?;
        let (problem, t) = (self.problem, self.factors(&theta));
        let found = self
            .workers
            .run(|par| problem.point(t, par).map(|p| (p.deviance, p.r2 / problem.counted())));
        let (mut deviance, mut s2) = found.unwrap_or((f64::INFINITY, f64::NAN));
        if let Some(tau) = problem.known {
            let ratio = s2 * (-tau).exp();
            deviance += problem.counted() * (tau - s2.ln() - 1.0 + ratio);
            s2 = tau.exp();
        }
        if deviance.is_nan() {
            deviance = f64::INFINITY;
        }
        Ok(Visited { theta, deviance, s2 })
    }

    /// `None`: the residual variance tends to zero, which T, relative to it, does not hold.
    pub(crate) fn run(&self) -> Result<Option<SparseOptima>> {
        count(Work::Search);
        let effects = self.problem.arrangement.effects.len();
        let shares = share_grid(effects);
        let grid: Vec<Visited> = shares
            .iter()
            .map(|s| self.visit(self.of_shares(s)))
            .collect::<Result<_>>()?;
        let mut found: Vec<SettledOptimum> = vec![];
        for i in valleys(&shares, |i| grid[i].deviance).into_iter().take(MAX_STARTS) {
            let raised: Vec<f64> = shares[i].iter().map(|s| s.max(LEAST_SHARE)).collect();
            let Some(settled) = self.valley(&self.of_shares(&raised))? else {
                continue;
            };
            if !found.iter().any(|other| same(&other.at, &settled.at)) {
                found.push(settled);
            }
        }
        found.sort_by(|a, b| a.at.deviance.total_cmp(&b.at.deviance));
        let locals: Vec<Reached> = found.iter().map(|settled| settled.at.clone()).collect();
        let grid = grid
            .into_iter()
            .filter(|visited| visited.deviance.is_finite())
            .collect();
        let best = found
            .into_iter()
            .next()
            .filter(|best| self.relative(&best.at) < NO_RESIDUAL);
        Ok(best.map(|SettledOptimum { at, free, hessian }| SparseOptima {
            best: at,
            free,
            hessian,
            locals,
            grid,
        }))
    }

    /// T = t I of each effect by its share, the residual's last; where its variance is known, of the mean square over that.
    fn of_shares(&self, shares: &[f64]) -> Vec<f64> {
        let unit = self.problem.excess().unwrap_or(1.0 / shares[shares.len() - 1]);
        let entry = |&(r, a, b): &(usize, usize, usize)| match a == b {
            true => (shares[r] * unit / self.problem.arrangement.effects[r].terms as f64).sqrt(),
            false => 0.0,
        };
        self.entries.iter().map(entry).collect()
    }

    /// Variance of the effects over that of the residual; nothing where that is known.
    fn relative(&self, at: &Reached) -> f64 {
        match self.problem.known {
            Some(_) => 0.0,
            None => at.theta.iter().map(|t| t * t).sum(),
        }
    }

    /// The optimum below a start, columns of zeros and saddle points looked at; `None` where there is none.
    fn valley(&self, start: &[f64]) -> Result<Option<SettledOptimum>> {
        let all: Vec<usize> = (0..self.entries.len()).collect();
        let Some(mut at) = self.reach(start)? else {
            return Ok(None);
        };
        for again in 0..RETURNS {
            at = self.descend(at, &all, again)?;
            if self.relative(&at) > NO_RESIDUAL {
                return Ok(None);
            }
            let (zeroed, zero) = self.at_zeros(at)?;
            at = zeroed;
            if let Some(beside) = self.falls_beside(&at, &zero)? {
                at = beside;
                continue;
            }
            let free: Vec<usize> = all.iter().copied().filter(|k| !zero.contains(k)).collect();
            at = self.turned(at);
            let Some(hessian) = self.hessian(&at, &free)? else {
                return Ok(None);
            };
            match self.settle(at.clone(), &free, &hessian)? {
                Some(found) if found.done => {
                    let at = self.turned(found.at.clone());
                    // standard errors are those of the optimum itself
                    let hessian = match found.steady && at.theta == found.at.theta {
                        true => Some(hessian),
                        false => self.hessian(&at, &free)?,
                    };
                    return Ok(hessian.map(|hessian| SettledOptimum { at, free, hessian }));
                }
                // far away for one Hessian
                Some(found) => at = found.at,
                None => match self.off_saddle(&at, &free, &hessian)? {
                    Some(beside) => at = beside,
                    None => return Ok(None),
                },
            }
        }
        Ok(None)
    }

    /// Terms and columns that are better at zero, set to that, and which entries they are.
    fn at_zeros(&self, mut at: Reached) -> Result<(Reached, Vec<usize>)> {
        let mut zero: Vec<usize> = vec![];
        for entries in self.terms().into_iter().chain(self.columns()) {
            let length = |of: &[usize]| of.iter().map(|&k| at.theta[k].powi(2)).sum::<f64>().sqrt();
            if entries.iter().all(|k| zero.contains(k)) || length(&entries) >= SMALL_COLUMN {
                continue;
            }
            let theta = self.triangular(&at.theta, &entries);
            let rounding = 1e-11 * (1.0 + at.deviance.abs());
            if let Some(without) = self.reach(&theta)?.filter(|w| w.deviance <= at.deviance + rounding) {
                zero.extend(
                    (0..theta.len())
                        .filter(|k| theta[*k] == 0.0 && !zero.contains(k))
                        .collect::<Vec<_>>(),
                );
                at = without;
            }
        }
        Ok((at, zero))
    }

    /// Some entries at zero, and T made lower triangular anew, which it need not be for T T' of lower rank: rotations of its columns leave T T' as it is.
    fn triangular(&self, theta: &[f64], zero: &[usize]) -> Vec<f64> {
        let mut left = theta.to_vec();
        zero.iter().for_each(|&k| left[k] = 0.0);
        let factors: Vec<Mat<f64>> = self.factors(&left).iter().map(semidefinite_root).collect();
        let read =
            |(k, &(r, a, b)): (usize, &(usize, usize, usize))| match self.problem.arrangement.effects[r].correlated {
                true => factors[r][(a, b)],
                false => left[k],
            };
        self.entries.iter().enumerate().map(read).collect()
    }

    /// Entries by rows of T, of effects with correlated terms: a term whose variance may be zero.
    fn terms(&self) -> Vec<Vec<usize>> {
        let mut terms = vec![];
        for (r, effect) in self
            .problem
            .arrangement
            .effects
            .iter()
            .enumerate()
            .filter(|(_, e)| e.correlated)
        {
            let of_term = |a: usize| {
                (0..self.entries.len())
                    .filter(|&k| (self.entries[k].0, self.entries[k].1) == (r, a))
                    .collect()
            };
            terms.extend((0..effect.terms).map(of_term));
        }
        terms
    }

    /// Entries by columns of T.
    fn columns(&self) -> Vec<Vec<usize>> {
        let mut columns: Vec<((usize, usize), Vec<usize>)> = vec![];
        for (k, &(r, _, b)) in self.entries.iter().enumerate() {
            match columns.last_mut().filter(|(column, _)| *column == (r, b)) {
                Some((_, entries)) => entries.push(k),
                None => columns.push(((r, b), vec![k])),
            }
        }
        columns.into_iter().map(|(_, entries)| entries).collect()
    }

    /// A lower place beside a column of zeros, if the deviance falls from there.
    fn falls_beside(&self, at: &Reached, zero: &[usize]) -> Result<Option<Reached>> {
        let rounding = 1e-9 * (1.0 + at.deviance.abs());
        for &k in zero {
            let mut theta = at.theta.clone();
            theta[k] = BESIDE_ZERO;
            let Some(beside) = self.reach(&theta)? else { continue };
            if beside.slopes[k] * BESIDE_ZERO < -rounding {
                theta[k] = SMALL_COLUMN;
                return self.reach(&theta);
            }
        }
        Ok(None)
    }

    /// A lower place in the direction of the least curvature.
    fn off_saddle(&self, at: &Reached, free: &[usize], hessian: &Mat<f64>) -> Result<Option<Reached>> {
        let Ok(eigen) = hessian.self_adjoint_eigen(Side::Lower) else {
            return Ok(None);
        };
        for step in [0.3, -0.3, 0.03, -0.03] {
            let mut theta = at.theta.clone();
            free.iter()
                .enumerate()
                .for_each(|(i, &k)| theta[k] += step * eigen.U()[(i, 0)]);
            let lower = self.reach(&theta)?.filter(|next| next.deviance < at.deviance);
            if lower.is_some() {
                return Ok(lower);
            }
        }
        Ok(None)
    }

    /// The same with diagonals of T that are not negative.
    fn turned(&self, mut at: Reached) -> Reached {
        for column in self.columns() {
            if at.theta[column[0]] < 0.0 {
                for k in column {
                    (at.theta[k], at.slopes[k], at.log_det[k]) = (-at.theta[k], -at.slopes[k], -at.log_det[k]);
                }
            }
        }
        at
    }
}

/// Shares of the effects and the residual, which has one.
fn share_grid(effects: usize) -> Vec<Vec<f64>> {
    let parts = match effects {
        1 => 6,
        2 | 3 => 4,
        _ => 3,
    };
    let with_residual = compositions(parts, effects + 1).into_iter().filter(|c| c[effects] > 0);
    with_residual
        .map(|c| c.iter().map(|i| *i as f64 / parts as f64).collect())
        .collect()
}

/// The lower triangular root of T T', with columns of zeros for pivots that are zero.
pub(super) fn semidefinite_root(t: &Mat<f64>) -> Mat<f64> {
    let (l, full) = (t.nrows(), t * t.transpose());
    let mut root = Mat::<f64>::zeros(l, l);
    for j in 0..l {
        let pivot = full[(j, j)] - (0..j).map(|k| root[(j, k)].powi(2)).sum::<f64>();
        if pivot <= 1e-14 * full[(j, j)] {
            continue;
        }
        root[(j, j)] = pivot.sqrt();
        for i in j + 1..l {
            let known: f64 = (0..j).map(|k| root[(i, k)] * root[(j, k)]).sum();
            root[(i, j)] = (full[(i, j)] - known) / root[(j, j)];
        }
    }
    root
}

fn same(a: &Reached, b: &Reached) -> bool {
    let near = a
        .theta
        .iter()
        .zip(&b.theta)
        .all(|(a, b)| (a - b).abs() < 1e-3 * (1.0 + b.abs()));
    near && (a.deviance - b.deviance).abs() < 1e-5 * (1.0 + a.deviance.abs())
}
