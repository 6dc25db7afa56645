//! Newton's method beside an optimum.
//!
//! A variance that is not small is moved in its logarithm, in which its deviance is convex as long as it dominates; a small one as it is, so that it may come to
//! zero or leave it: there the deviance is smooth, and its slope at zero says whether zero is the optimum.

use super::likelihood::{AtVariances, Derivatives};
use super::search::{SMALL_SHARE, VarianceOptimum, VarianceSearch};
use crate::runtime::error::{Error, Result};
use faer::linalg::solvers::{Llt, Solve};
use faer::{Mat, Side};

/// Newton steps at most; correct digits double with each.
const MAX_NEWTON: usize = 20;
/// A place is next to an optimum if a Newton step promises no more; and the optimum itself, to the 12th digit of a deviance, if no more than `SETTLED`.
const NEAR: f64 = 30.0;
pub(super) const SETTLED: f64 = 1e-9;
/// Steps promise less by this factor at least, each than the one before; 4 and 0.5 for these two gave up where the search from anew took 20 steps.
const SLOWEST: f64 = 0.7;
/// A share below this is moved as it is, and so is a variance of which a step in its logarithm would take more than this part.
const LOW_SHARE: f64 = 1e-3;
const MOST_TAKEN: f64 = 0.4;

/// A place beside an optimum, the likelihood there, its derivatives (those of a tie not yet taken), and the last step, which is taken but not evaluated.
pub(super) struct NewtonIterate<'a> {
    pub local: VarianceOptimum,
    /// By which the deviance may be wrong: it is taken to the end of the last step, whose promise leaves the order of its power 3/2.
    pub error: f64,
    /// Where the derivatives belong to.
    pub theta: Vec<f64>,
    pub point: AtVariances<'a>,
    pub derivatives: Derivatives,
    pub model: NewtonStep,
}

/// The deviance about a place to second order, in coordinates that suit each variance.
pub(super) struct NewtonStep {
    /// Components that move, and how many units of each a unit of its coordinate is.
    active: Vec<usize>,
    unit: Vec<f64>,
    by_log: Vec<bool>,
    llt: Llt<f64>,
    /// Step of every component to the minimum over variances that are not negative.
    pub step: Vec<f64>,
    /// Twice what the step takes off the deviance.
    pub decrement: f64,
}

impl NewtonStep {
    /// `None` where the deviance is not convex.
    pub fn new(d: &Derivatives, theta: &[f64], free: &[bool], shares: &[f64]) -> Option<Self> {
        let count = theta.len();
        let mut by_log: Vec<bool> = (0..count).map(|k| shares[k] >= LOW_SHARE).collect();
        let mut emptied = vec![false; count];
        let moves = |k: usize| free[k] && (theta[k] > 0.0 || d.gradient[k] < 0.0);
        // each round moves a component to the next of three kinds
        for _ in 0..=2 * count {
            let active: Vec<usize> = (0..count).filter(|&k| moves(k) && !emptied[k]).collect();
            let found = Self::over(d, theta, active, &by_log, &emptied)?;
            let takes_much = |&k: &usize| by_log[k] && found.step[k] < -MOST_TAKEN * theta[k];
            let too_low = |&k: &usize| !by_log[k] && !emptied[k] && theta[k] + found.step[k] < 0.0;
            if let Some(&k) = found.active.iter().find(|k| takes_much(k)) {
                by_log[k] = false;
            } else if let Some(&k) = found.active.iter().find(|k| too_low(k)) {
                emptied[k] = true;
            } else {
                return Some(found);
            }
        }
        None
    }

    fn over(d: &Derivatives, theta: &[f64], active: Vec<usize>, by_log: &[bool], emptied: &[bool]) -> Option<Self> {
        let count = theta.len();
        let given: Vec<f64> = (0..count).map(|k| if emptied[k] { -theta[k] } else { 0.0 }).collect();
        let slope_with =
            |k: usize, step: &[f64]| d.gradient[k] + (0..count).map(|l| d.hessian[k][l] * step[l]).sum::<f64>();
        let unit: Vec<f64> = active.iter().map(|&k| if by_log[k] { theta[k] } else { 1.0 }).collect();
        let n = active.len();
        let slope = Mat::from_fn(n, 1, |i, _| -unit[i] * slope_with(active[i], &given));
        let curvature = Mat::from_fn(n, n, |i, j| {
            let (k, l) = (active[i], active[j]);
            let of_log = if i == j && by_log[k] {
                theta[k] * d.gradient[k]
            } else {
                0.0
            };
            unit[i] * unit[j] * d.hessian[k][l] + of_log
        });
        let llt = curvature.llt(Side::Lower).ok()?;
        let along = llt.solve(&slope);
        let mut step = given.clone();
        (0..n).for_each(|i| step[active[i]] = unit[i] * along[(i, 0)]);
        let of_given: f64 = (0..count)
            .map(|k| given[k] * (d.gradient[k] + slope_with(k, &given)))
            .sum();
        let decrement = (slope.transpose() * &along)[(0, 0)] - of_given;
        Some(Self {
            active,
            unit,
            by_log: by_log.to_vec(),
            llt,
            step,
            decrement,
        })
    }

    /// How the minimum moves with a number whose mixed derivatives with the variances are these.
    pub fn moved_by(&self, mixed: &[f64]) -> Vec<f64> {
        let right = Mat::from_fn(self.active.len(), 1, |i, _| -self.unit[i] * mixed[self.active[i]]);
        let along = self.llt.solve(&right);
        let mut moved = vec![0.0; self.step.len()];
        for (i, &k) in self.active.iter().enumerate() {
            moved[k] = self.unit[i] * along[(i, 0)];
        }
        moved
    }

    /// The end of the step; what is moved by its logarithm is at most halved or doubled.
    fn end(&self, theta: &[f64]) -> Vec<f64> {
        let moved = |k: usize| match (theta[k] + self.step[k], self.by_log[k]) {
            (to, true) => to.clamp(0.5 * theta[k], 2.0 * theta[k]),
            (to, false) => to.max(0.0),
        };
        (0..theta.len()).map(moved).collect()
    }
}

impl<'a> VarianceSearch<'a> {
    /// The local optimum below a start.
    pub fn descend(&self, theta: &[f64]) -> Result<VarianceOptimum> {
        let s: Vec<f64> = theta
            .iter()
            .zip(&self.size)
            .map(|(t, size)| (t * size).sqrt())
            .collect();
        let reached = self.trust_region(&s)?;
        let theta: Vec<f64> = reached.iter().zip(&self.size).map(|(s, size)| s * s / size).collect();
        self.settle(theta)
    }

    /// Variances that are next to zero are set to zero if the deviance rises from there, and the others brought to rounding. All of them, or else one by one:
    /// V may need the one, as the residual where it is singular without, and not the other.
    fn settle(&self, mut theta: Vec<f64>) -> Result<VarianceOptimum> {
        let shares = self.shares(&theta);
        let mut small: Vec<usize> = (0..theta.len())
            .filter(|&k| self.free[k] && theta[k] > 0.0 && shares[k] < SMALL_SHARE)
            .collect();
        small.sort_by(|&a, &b| shares[a].total_cmp(&shares[b]));
        let one_by_one: Vec<Vec<usize>> = small.iter().map(|&k| vec![k]).collect();
        let mut settled = None;
        for zero in [vec![small.clone()], one_by_one].concat() {
            if let Some((at, local)) = self.without(&theta, &zero)? {
                (theta, settled) = (at, Some(local));
            }
            if small.iter().all(|&k| theta[k] == 0.0) {
                break;
            }
        }
        let failed = Error::NoConvergence {
            what: "the search for the variances",
            iterations: MAX_NEWTON,
        };
        match settled {
            Some(local) => Ok(local),
            None => Ok(self.newton(theta)?.ok_or(failed)?.0),
        }
    }

    /// The optimum with some variances at zero, if the deviance rises from zero in each of them; and where it was looked for.
    fn without(&self, theta: &[f64], zero: &[usize]) -> Result<Option<(Vec<f64>, VarianceOptimum)>> {
        if zero.is_empty() {
            return Ok(None);
        }
        let mut at = theta.to_vec();
        zero.iter().for_each(|&k| at[k] = 0.0);
        let found = self.newton(at.clone())?;
        let rises = |gradient: &[f64]| zero.iter().all(|&k| gradient[k] >= 0.0);
        Ok(found
            .filter(|(_, gradient)| rises(gradient))
            .map(|(local, _)| (at, local)))
    }

    /// Newton's method from a place next to an optimum until a step promises at most `enough`; none if it does not get there at once.
    pub(super) fn near(&self, mut theta: Vec<f64>, enough: f64) -> Result<Option<NewtonIterate<'a>>> {
        let mut least = NEAR;
        for _ in 0..MAX_NEWTON {
            let Some(point) = self.point(&theta)? else {
                return Ok(None);
            };
            let derivatives = self.workers.run(|par| self.problem.derivatives(&point, par));
            let Some(model) = self.quadratic(&derivatives, &theta) else {
                return Ok(None);
            };
            if model.decrement.is_nan() || model.decrement > least {
                return Ok(None);
            }
            let end = model.end(&theta);
            if model.decrement <= enough {
                let deviance = point.deviance - 0.5 * model.decrement;
                return Ok(Some(NewtonIterate {
                    local: VarianceOptimum { theta: end, deviance },
                    error: model.decrement.max(0.0).powf(1.5),
                    theta,
                    point,
                    derivatives,
                    model,
                }));
            }
            (least, theta) = (SLOWEST * model.decrement, end);
        }
        Ok(None)
    }

    pub(super) fn quadratic(&self, derivatives: &Derivatives, theta: &[f64]) -> Option<NewtonStep> {
        let tied = self.tie.as_ref().map(|tie| tie.pull_back(derivatives));
        NewtonStep::new(
            tied.as_ref().unwrap_or(derivatives),
            theta,
            &self.free,
            &self.shares(theta),
        )
    }

    /// Newton steps in the positive variances while they make the slope smaller; the last gradient too.
    fn newton(&self, mut theta: Vec<f64>) -> Result<Option<(VarianceOptimum, Vec<f64>)>> {
        let free: Vec<usize> = (0..theta.len()).filter(|&k| self.free[k] && theta[k] > 0.0).collect();
        let mut best: Option<(f64, VarianceOptimum, Vec<f64>)> = None;
        for _ in 0..MAX_NEWTON {
            let Some(point) = self.point(&theta)? else { break };
            let d = self.derivatives(&point);
            let (step, decrement) = newton_step(&d, &theta, &free);
            if best.as_ref().is_some_and(|(least, ..)| decrement >= 0.25 * least) {
                break;
            }
            let local = VarianceOptimum {
                theta: theta.clone(),
                deviance: point.deviance,
            };
            best = Some((decrement, local, d.gradient));
            for (&k, step) in free.iter().zip(&step) {
                theta[k] *= step.clamp(-0.5, 1.0) + 1.0;
            }
        }
        Ok(best.map(|(_, local, gradient)| (local, gradient)))
    }
}

/// Newton's step for log theta of the given components, and half of the decrease that it promises.
fn newton_step(d: &Derivatives, theta: &[f64], free: &[usize]) -> (Vec<f64>, f64) {
    let n = free.len();
    let slope = Mat::from_fn(n, 1, |i, _| -theta[free[i]] * d.gradient[free[i]]);
    let curvature = Mat::from_fn(n, n, |i, j| {
        let (k, l) = (free[i], free[j]);
        theta[k] * theta[l] * d.hessian[k][l] + if k == l { theta[k] * d.gradient[k] } else { 0.0 }
    });
    let Ok(llt) = curvature.llt(Side::Lower) else {
        return (vec![0.0; n], f64::INFINITY);
    };
    let step = llt.solve(&slope);
    (
        (0..n).map(|i| step[(i, 0)]).collect(),
        (slope.transpose() * &step)[(0, 0)],
    )
}
