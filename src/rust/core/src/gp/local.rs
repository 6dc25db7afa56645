//! The deviance of a process about a point, to second order, and what is estimated there.

use crate::likelihood::Method;
use crate::likelihood::point::Point;
use crate::linalg::max_abs;
use faer::linalg::solvers::DenseSolveCore;
use faer::{Mat, Side};

/// -2 log L about a point, its scale profiled out, in some directions of the parameters' logarithms and in log delta (last).
#[derive(Debug, Clone)]
pub struct Quadratic {
    /// Contrasts.
    pub(crate) n: f64,
    /// -2 log L at the point, up to a constant.
    pub value: f64,
    /// First derivatives along the directions, then in log delta.
    pub gradient: Vec<f64>,
    /// Second derivatives in the same order, all of the matrix.
    pub hessian: Vec<Vec<f64>>,
    /// Slopes of log sigma2.
    pub log_q: Vec<f64>,
}

/// Where a deviance is taken to second order: parameters and delta, and combinations of the parameters' logarithms. Every process does so in these directions and in log delta.
#[derive(Debug, Clone, Copy)]
pub struct About<'a> {
    /// REML or ML.
    pub method: Method,
    /// Length scales, and whatever else scales a part of the kernel.
    pub at: &'a [f64],
    /// In the units of the response.
    pub delta: f64,
    /// Combinations of the parameters' logarithms.
    pub directions: &'a [Vec<f64>],
}

/// What is estimated at a point.
#[derive(Debug, Clone)]
pub struct Estimates {
    /// Variances and log-likelihood.
    pub point: Point,
    /// Coefficients of the kept columns of X.
    pub beta: Vec<f64>,
    /// Var(beta_hat), r x r by rows.
    pub vcov: Vec<Vec<f64>>,
    /// Of the process' functions.
    pub coefficients: Vec<f64>,
    /// -2 log L without the process.
    pub nothing: f64,
}

/// A process at a point, and the deviance about it.
#[derive(Debug, Clone)]
pub struct Here {
    /// The deviance to second order.
    pub local: Quadratic,
    /// Estimates at the point itself.
    pub estimates: Estimates,
}

/// A function's value, gradient, and the lower triangle of its Hessian.
pub(crate) struct Expansion {
    pub(crate) value: f64,
    pub(crate) first: Vec<f64>,
    pub(crate) second: Vec<Vec<f64>>,
}

impl Expansion {
    pub(crate) fn new(
        value: f64,
        count: usize,
        first: impl Fn(usize) -> f64,
        second: impl Fn(usize, usize) -> f64,
    ) -> Self {
        Self {
            value,
            first: (0..count).map(first).collect(),
            second: (0..count).map(|a| (0..=a).map(|b| second(a, b)).collect()).collect(),
        }
    }
}

impl Here {
    /// From S (or Q), the log-determinant, both to second order, and the deviance that they make with n contrasts; `shift`: what the slope of log sigma2 in log delta has beside that of log S.
    pub(crate) fn of(
        mut estimates: Estimates,
        (form, log_det): (&Expansion, &Expansion),
        (n, value): (f64, f64),
        shift: f64,
    ) -> Self {
        estimates.point.log_lik = -0.5 * value;
        let mut local = Quadratic::of(form, log_det, n, value);
        if let Some(last) = local.log_q.last_mut() {
            *last += shift;
        }
        Self { local, estimates }
    }
}

impl Quadratic {
    /// `n log S + L` of n contrasts, whose scale is S / n.
    fn of(form: &Expansion, log_det: &Expansion, n: f64, value: f64) -> Self {
        let log_s: Vec<f64> = form.first.iter().map(|s| s / form.value).collect();
        let count = log_s.len();
        let bend = |a: usize, b: usize| {
            let (a, b) = (a.max(b), a.min(b));
            log_det.second[a][b] + n * (form.second[a][b] / form.value - log_s[a] * log_s[b])
        };
        Self {
            n,
            value,
            gradient: (0..count).map(|a| log_det.first[a] + n * log_s[a]).collect(),
            hessian: (0..count).map(|a| (0..count).map(|b| bend(a, b)).collect()).collect(),
            log_q: log_s,
        }
    }
}

impl Quadratic {
    /// Covariance of the estimates: twice the inverse of the Hessian. None where that is not positive definite.
    pub(crate) fn covariance(&self) -> Option<Mat<f64>> {
        let half = |i: usize, j: usize| 0.5 * (self.hessian[i][j] + self.hessian[j][i]);
        let hessian = Mat::from_fn(self.hessian.len(), self.hessian.len(), half);
        Some(hessian.llt(Side::Lower).ok()?.inverse() * 2.0)
    }

    /// Newton's step to the optimum; none where the deviance is not convex.
    pub(crate) fn convex_step(&self) -> Option<Vec<f64>> {
        let (step, length) = self.step(&vec![false; self.gradient.len()])?;
        length.map(|_| step)
    }

    /// Downhill: Newton's step, each curvature taken by its size, no longer than `LONGEST`; and its length in standard errors where the deviance is convex. Coordinates that
    /// are held do not move.
    pub(super) fn step(&self, held: &[bool]) -> Option<(Vec<f64>, Option<f64>)> {
        let free: Vec<usize> = (0..held.len()).filter(|&i| !held[i]).collect();
        if free.is_empty() {
            return Some((vec![0.0; held.len()], Some(0.0)));
        }
        let hessian = Mat::from_fn(free.len(), free.len(), |i, j| self.hessian[free[i]][free[j]]);
        let eigen = hessian.self_adjoint_eigen(Side::Lower).ok()?;
        let (vectors, values) = (eigen.U(), eigen.S().column_vector());
        let mut step = vec![0.0; held.len()];
        let mut gain = 0.0;
        for (k, value) in values.iter().enumerate() {
            let slope: f64 = (0..free.len()).map(|i| vectors[(i, k)] * self.gradient[free[i]]).sum();
            gain += slope * slope / value;
            (0..free.len()).for_each(|i| step[free[i]] -= slope / value.abs() * vectors[(i, k)]);
        }
        let longest = max_abs(step.iter().copied());
        if longest > LONGEST {
            step.iter_mut().for_each(|s| *s *= LONGEST / longest);
        }
        let length = values.iter().all(|v| *v > 0.0).then(|| (0.5 * gain).sqrt());
        longest.is_finite().then_some((step, length))
    }
}

/// Longest step in the logarithm of a parameter, a factor of two: the quadratic model holds no farther.
pub(super) const LONGEST: f64 = 0.7;
