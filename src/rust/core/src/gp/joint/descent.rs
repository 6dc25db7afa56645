//! A trust region over s and the steps of log ell, with variances `theta = s^2 / size`: there a variance of zero is an ordinary stationary point.
//!
//! The Hessian is `4 s_i s_j AI_ij / (size_i size_j)` and, on the diagonal, twice the slope over the size: exact at a variance of zero, and in expectation elsewhere.

use super::problem::{JointPoint, JointProblem};
use crate::runtime::stop;
use faer::{Mat, Par, Side};

/// Steps at most.
const STEPS: usize = 80;
/// Decrease of the deviance that does not matter.
const SMALL: f64 = 1e-9;
/// Largest radius of the trust region, in s and log ell.
const LONGEST: f64 = 0.7;
/// A share of the variance below this is looked at as zero.
const NOTHING: f64 = 1e-7;

/// Where a descent begins, and which parameters it may not change.
#[derive(Debug, Clone)]
pub struct DescentStart {
    pub theta: Vec<f64>,
    pub steps: Vec<f64>,
    pub held: Vec<bool>,
}

impl DescentStart {
    pub fn free(problem: &JointProblem<'_>, theta: Vec<f64>, steps: Vec<f64>) -> Self {
        let held = vec![false; problem.variances() + steps.len()];
        Self { theta, steps, held }
    }
}

impl DescentStart {
    /// What is held as in `self`, all else as in another start.
    pub fn merged(&self, other: Self) -> Self {
        let variances = self.theta.len();
        let pick = |held: bool, own: f64, other: f64| if held { own } else { other };
        Self {
            theta: (0..variances)
                .map(|i| pick(self.held[i], self.theta[i], other.theta[i]))
                .collect(),
            steps: (0..self.steps.len())
                .map(|i| pick(self.held[variances + i], self.steps[i], other.steps[i]))
                .collect(),
            held: self.held.clone(),
        }
    }
}

/// The model of the deviance about a point, in s and the steps.
struct Downhill {
    gradient: Vec<f64>,
    hessian: Mat<f64>,
    scale: f64,
}

fn roots(problem: &JointProblem<'_>, theta: &[f64]) -> Vec<f64> {
    theta
        .iter()
        .zip(&problem.size)
        .map(|(t, size)| (t * size).sqrt())
        .collect()
}

impl Downhill {
    fn new(problem: &JointProblem<'_>, point: &JointPoint, tie: Option<&[f64]>) -> Self {
        let s = roots(problem, &point.theta);
        let slope = |i: usize| s.get(i).map_or(1.0, |s| 2.0 * s / problem.size[i]);
        let (count, last) = (point.gradient.len(), s.len() - 1);
        // a residual that is tied to the other variances, theta_e = sum_k c_k theta_k, moves with them
        let c = |i: usize| tie.and_then(|c| c.get(i)).copied().unwrap_or(0.0);
        let gradient = |i: usize| point.gradient[i] + c(i) * point.gradient[last];
        let information = |i: usize, j: usize| {
            let own = &point.information;
            own[(i, j)] + c(i) * own[(last, j)] + c(j) * own[(i, last)] + c(i) * c(j) * own[(last, last)]
        };
        let bend = |i: usize| s.get(i).map_or(0.0, |_| 2.0 * gradient(i) / problem.size[i]);
        Self {
            gradient: (0..count).map(|i| gradient(i) * slope(i)).collect(),
            hessian: Mat::from_fn(count, count, |i, j| {
                information(i, j) * slope(i) * slope(j) + if i == j { bend(i) } else { 0.0 }
            }),
            scale: s.iter().map(|s| s * s).sum::<f64>().sqrt(),
        }
    }

    /// Standard deviations are measured in that of the response, steps of log ell as they are.
    fn unit(&self, variances: usize, i: usize) -> f64 {
        if i < variances { self.scale } else { 1.0 }
    }

    /// The best step of some length at most in the free coordinates, in their units, and what the model promises of it.
    fn step(&self, free: &[usize], variances: usize, radius: f64) -> Option<Vec<f64>> {
        let unit = |i: usize| self.unit(variances, free[i]);
        let count = free.len();
        let h = Mat::from_fn(count, count, |i, j| {
            self.hessian[(free[i], free[j])] * unit(i) * unit(j)
        });
        let eigen = h.self_adjoint_eigen(Side::Lower).ok()?;
        let (u, values) = (eigen.U(), eigen.S().column_vector());
        let slope: Vec<f64> = (0..count)
            .map(|k| (0..count).map(|i| u[(i, k)] * self.gradient[free[i]] * unit(i)).sum())
            .collect();
        let length = |mu: f64| {
            (0..count)
                .map(|k| (slope[k] / (values[k] + mu)).powi(2))
                .sum::<f64>()
                .sqrt()
        };
        let least = (0..count).map(|k| values[k]).fold(f64::INFINITY, f64::min);
        let largest = (0..count).map(|k| values[k].abs()).fold(0.0, f64::max);
        let mut low = (-least).max(0.0) + 1e-12 * largest + f64::MIN_POSITIVE;
        let mut mu = if least > 0.0 { 0.0 } else { low };
        if length(mu) > radius {
            let mut high = low.max(1e-3 * largest);
            while length(high) > radius {
                high *= 4.0;
            }
            for _ in 0..50 {
                mu = 0.5 * (low + high);
                if length(mu) > radius { low = mu } else { high = mu }
            }
            mu = high;
        }
        let along = |i: usize| -> f64 { -(0..count).map(|k| u[(i, k)] * slope[k] / (values[k] + mu)).sum::<f64>() };
        let mut step = vec![0.0; self.gradient.len()];
        (0..count).for_each(|i| step[free[i]] = along(i) * unit(i));
        step.iter().all(|s| s.is_finite()).then_some(step)
    }

    /// How far the model falls along a step.
    fn promise(&self, step: &[f64]) -> f64 {
        let row = |i: usize| -> f64 { (0..step.len()).map(|j| self.hessian[(i, j)] * step[j]).sum() };
        -(0..step.len())
            .map(|i| step[i] * (self.gradient[i] + 0.5 * row(i)))
            .sum::<f64>()
    }
}

/// The bottom of the valley below a start; none if its likelihood cannot be told.
pub fn descend(problem: &JointProblem<'_>, start: &DescentStart, most: usize, par: Par) -> Option<JointPoint> {
    let variances = problem.variances();
    let mut here = problem.point(&start.theta, &start.steps, par)?;
    let mut radius = 0.5;
    for _ in 0..most.min(STEPS) {
        stop::check().ok()?;
        let tie = problem.tie(&here).filter(|_| !start.held[variances - 1]);
        let local = Downhill::new(problem, &here, tie.as_deref());
        let mut free = free(problem, start, &here);
        free.retain(|i| tie.is_none() || *i != variances - 1);
        if free.is_empty() {
            break;
        }
        let Some(wanted) = local.step(&free, variances, radius) else {
            break;
        };
        let (theta, steps, taken) = problem.moved(&here, &wanted, tie.as_deref());
        let promise = local.promise(&taken);
        if promise < SMALL {
            break;
        }
        let next = problem.point(&theta, &steps, par);
        let gain = next
            .as_ref()
            .map_or(f64::NEG_INFINITY, |next| here.deviance - next.deviance);
        let quality = gain / promise;
        radius = match quality {
            q if q < 0.25 => 0.3 * radius,
            q if q > 0.75 => (2.0 * radius).min(LONGEST),
            _ => radius,
        };
        match next {
            Some(next) if quality > 1e-4 => here = next,
            _ if radius < 1e-9 => break,
            _ => {}
        }
    }
    Some(settle(problem, here, par))
}

/// Coordinates that may move: not held, not a step at an end that it would leave, nor a length scale of a process without variance.
fn free(problem: &JointProblem<'_>, start: &DescentStart, here: &JointPoint) -> Vec<usize> {
    let variances = problem.variances();
    let outward = |i: usize| {
        let (t, (low, high)) = (here.steps[i - variances], problem.ends[i - variances]);
        (t <= low && here.gradient[i] > 0.0) || (t >= high && here.gradient[i] < 0.0)
    };
    let moves = |i: &usize| {
        let i = *i;
        let still = if i < variances {
            here.theta[i] == 0.0
        } else {
            here.theta[0] == 0.0 || outward(i)
        };
        !start.held[i] && !still
    };
    (0..here.gradient.len()).filter(moves).collect()
}

impl JointProblem<'_> {
    /// The smallest residual variance beside others.
    fn wall(&self, theta: &[f64]) -> f64 {
        self.shares_of_wall().iter().zip(theta).map(|(c, t)| c * t).sum()
    }

    fn shares_of_wall(&self) -> Vec<f64> {
        let unit = self.floor() * self.basis.contrasts() as f64;
        self.size[..self.size.len() - 1]
            .iter()
            .map(|size| unit * size)
            .collect()
    }

    /// How the residual's variance follows the others where it is as small as it may be and would be smaller.
    fn tie(&self, here: &JointPoint) -> Option<Vec<f64>> {
        let last = here.theta.len() - 1;
        let at = here.theta[last] <= 1.01 * self.wall(&here.theta) && here.gradient[last] > 0.0;
        at.then(|| self.shares_of_wall())
    }

    /// Parameters after a step, steps of log ell within their ends; and the step that was taken.
    fn moved(&self, from: &JointPoint, step: &[f64], tie: Option<&[f64]>) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
        let variances = self.variances();
        let before = roots(self, &from.theta);
        let s: Vec<f64> = before.iter().zip(step).map(|(s, d)| s + d).collect();
        let mut theta: Vec<f64> = s.iter().zip(&self.size).map(|(s, size)| s * s / size).collect();
        let wall = self.wall(&theta);
        let last = variances - 1;
        theta[last] = if tie.is_some() { wall } else { theta[last].max(wall) };
        let inside = |i: usize| (from.steps[i] + step[variances + i]).clamp(self.ends[i].0, self.ends[i].1);
        let steps: Vec<f64> = (0..from.steps.len()).map(inside).collect();
        let mut taken = step.to_vec();
        if tie.is_none() {
            taken[last] = (theta[last] * self.size[last]).sqrt() - before[last];
        }
        (0..steps.len()).for_each(|i| taken[variances + i] = steps[i] - from.steps[i]);
        (theta, steps, taken)
    }
}

/// Variances next to zero are set to zero where the deviance rises from there.
fn settle(problem: &JointProblem<'_>, here: JointPoint, par: Par) -> JointPoint {
    let part = |i: usize| here.theta[i] * problem.size[i];
    let residual = here.theta.len() - 1;
    let all: f64 = (0..here.theta.len()).map(part).sum();
    let small = |i: usize| i != residual && here.theta[i] > 0.0 && part(i) < NOTHING * all;
    let zeroed: Vec<f64> = (0..here.theta.len())
        .map(|i| if small(i) { 0.0 } else { here.theta[i] })
        .collect();
    if zeroed == here.theta {
        return here;
    }
    match problem.point(&zeroed, &here.steps, par) {
        Some(point) if (0..zeroed.len()).all(|i| !small(i) || point.gradient[i] >= 0.0) => point,
        _ => here,
    }
}
