//! From a start to the bottom of its valley: a quasi-Newton method of argmin over the entries of T, each in the unit in which the curvature of the deviance is about one, then Newton
//! steps with the Hessian by differences of the slopes.
//!
//! The deviance is smooth in T and does not change with the sign of a column, so that a column of zeros is an ordinary stationary point.

use super::search::SparseSearch;
use crate::runtime::error::{Error, Result};
use argmin::core::{CostFunction, Executor, Gradient};
use argmin::solver::linesearch::MoreThuenteLineSearch;
use argmin::solver::quasinewton::BFGS;
use faer::linalg::solvers::Solve;
use faer::{Mat, Side};
use std::cell::RefCell;

/// Iterations of the quasi-Newton method at most.
const ITERATIONS: u64 = 60;
/// Length of the slopes, in these units, at which Newton's method takes over; that of slopes that lead to no more than rounding if it is longer.
const NEAR: f64 = 1e-4;
/// Step of the differences, in these units.
const STEP: f64 = 1e-3;
/// The shorter step of differences that are extrapolated.
const WIDE: f64 = 4e-3;
/// Newton steps at most, all with one Hessian.
const NEWTON_STEPS: usize = 6;
/// Decrease of the deviance that a Newton step promises, relative to it, at which no other is taken ...
const NOTHING_TO_GAIN: f64 = 1e-17;
/// ... and with which the optimum is reached.
const SETTLED: f64 = 1e-12;
/// Rise of the deviance, relative to it, that counts as none ...
const LOWER: f64 = 1e-12;
/// ... and as rounding where the slopes have fallen, which have more digits than it.
const ABOUT_AS_LOW: f64 = 1e-8;
/// Part of the slopes that a Newton step leaves: half of what the Hessian changes by along it.
const SAME_HESSIAN: f64 = 1e-5;

/// A place that was reached: entries of T, deviance, s2, slopes of the deviance.
#[derive(Clone)]
pub(crate) struct Reached {
    pub theta: Vec<f64>,
    pub deviance: f64,
    pub s2: f64,
    pub slopes: Vec<f64>,
    /// Halves of the slopes of the log-determinant.
    pub log_det: Vec<f64>,
}

impl Reached {
    /// The same with s2 held at another value, tau being its logarithm: `D = deviance + N (tau - log s2 - 1 + s2 exp(-tau))`; and the slope in tau.
    pub(super) fn with_s2(&self, n: f64, tau: f64) -> (Reached, f64) {
        let ratio = self.s2 * (-tau).exp();
        let slope = |(of_profiled, half): (&f64, &f64)| 2.0 * half + ratio * (of_profiled - 2.0 * half);
        let held = Reached {
            theta: self.theta.clone(),
            deviance: self.deviance + n * (tau - self.s2.ln() - 1.0 + ratio),
            s2: tau.exp(),
            slopes: self.slopes.iter().zip(&self.log_det).map(slope).collect(),
            log_det: self.log_det.clone(),
        };
        (held, n * (1.0 - ratio))
    }
}

/// The deviance over the free entries, in their units.
struct SparseSurface<'s, 'p, 'a> {
    search: &'s SparseSearch<'p, 'a>,
    start: &'s [f64],
    free: &'s [usize],
    unit: &'s [f64],
    last: RefCell<Option<(Vec<f64>, Reached)>>,
    best: RefCell<Reached>,
    stopped: RefCell<Option<Error>>,
}

type Failed = argmin::core::Error;

impl SparseSurface<'_, '_, '_> {
    fn theta(&self, x: &[f64]) -> Vec<f64> {
        let mut theta = self.start.to_vec();
        self.free.iter().zip(x).for_each(|(&k, x)| theta[k] = x * self.unit[k]);
        theta
    }

    fn read<T>(&self, x: &[f64], of: impl Fn(&Reached) -> T) -> std::result::Result<T, Failed> {
        let mut last = self.last.borrow_mut();
        if let Some((at, reached)) = last.as_ref()
            && at == x
        {
            return Ok(of(reached));
        }
        match self.search.reach(&self.theta(x)) {
            Ok(Some(reached)) => {
                let value = of(&reached);
                if reached.deviance < self.best.borrow().deviance {
                    *self.best.borrow_mut() = reached.clone();
                }
                *last = Some((x.to_vec(), reached));
                Ok(value)
            }
            Ok(None) => Err(Failed::msg("C is not positive definite")),
            Err(error) => {
                *self.stopped.borrow_mut() = Some(error);
                Err(Failed::msg("stopped"))
            }
        }
    }
}

impl CostFunction for &SparseSurface<'_, '_, '_> {
    type Param = Vec<f64>;
    type Output = f64;

    fn cost(&self, x: &Vec<f64>) -> std::result::Result<f64, Failed> {
        self.read(x, |r| r.deviance)
    }
}

impl Gradient for &SparseSurface<'_, '_, '_> {
    type Param = Vec<f64>;
    type Gradient = Vec<f64>;

    fn gradient(&self, x: &Vec<f64>) -> std::result::Result<Vec<f64>, Failed> {
        self.read(x, |r| self.free.iter().map(|&k| r.slopes[k] * self.unit[k]).collect())
    }
}

impl SparseSearch<'_, '_> {
    /// The lowest place that was seen on the way down from a start; entries that are not free stay. `again`: how often it was begun anew, as where a direction
    /// is nearly flat, along which slopes say little of how far the bottom is.
    pub(super) fn descend(&self, start: Reached, free: &[usize], again: usize) -> Result<Reached> {
        let unit = self.units(&start);
        let x = free.iter().map(|&k| start.theta[k] / unit[k]).collect::<Vec<_>>();
        let slopes = free.iter().map(|&k| start.slopes[k] * unit[k]).collect();
        let (theta, deviance) = (start.theta.clone(), start.deviance);
        let surface = SparseSurface {
            search: self,
            start: &theta,
            free,
            unit: &unit,
            last: RefCell::new(None),
            best: RefCell::new(start),
            stopped: RefCell::new(None),
        };
        let identity: Vec<Vec<f64>> = (0..x.len())
            .map(|i| (0..x.len()).map(|j| f64::from(i == j)).collect())
            .collect();
        // a run begins with no decrease of the cost, which must not end it
        let near = NEAR.max(self.problem.told_apart().sqrt()) * 0.1_f64.powi(again.min(3) as i32);
        let solver = BFGS::new(MoreThuenteLineSearch::new()).with_tolerance_grad(near);
        if let Ok(solver) = solver.and_then(|solver| solver.with_tolerance_cost(0.0)) {
            let run = Executor::new(&surface, solver)
                .configure(|state| {
                    state
                        .param(x)
                        .cost(deviance)
                        .gradient(slopes)
                        .inv_hessian(identity)
                        .max_iters(ITERATIONS)
                })
                .timer(false);
            // a line search that cannot improve any more ends with an error: what was seen counts
            drop(run.run());
        }
        match surface.stopped.into_inner() {
            Some(error) => Err(error),
            None => Ok(surface.best.into_inner()),
        }
    }

    /// The unit of each entry: `m - tr(P C^-1)`, by which the log-determinant rises with the logarithm of T, is what the data know of an effect, and half of its curvature.
    pub(super) fn units(&self, at: &Reached) -> Vec<f64> {
        let unit = |(k, &(r, a, _)): (usize, &(usize, usize, usize))| {
            let diagonal = self.diagonal(r, a);
            let ratio = at.log_det[diagonal] / at.theta[diagonal];
            let own = (2.0 * ratio).powf(-0.5);
            if own.is_finite() && own > 0.0 {
                own
            } else {
                at.theta[k].abs().max(0.1)
            }
        };
        self.entries.iter().enumerate().map(unit).collect()
    }

    /// Hessian over the free entries, by differences of the slopes.
    pub(super) fn hessian(&self, at: &Reached, free: &[usize]) -> Result<Option<Mat<f64>>> {
        self.hessian_by(at, free, STEP)
    }

    /// The same without the first term of the error of differences.
    pub(super) fn extrapolated_hessian(&self, at: &Reached, free: &[usize]) -> Result<Option<Mat<f64>>> {
        let (near, far) = (WIDE, 2.0 * WIDE);
        let both = (self.hessian_by(at, free, near)?, self.hessian_by(at, free, far)?);
        Ok(match both {
            (Some(near), Some(far)) => Some((near * faer::Scale(4.0) - far) * faer::Scale(1.0 / 3.0)),
            _ => None,
        })
    }

    fn hessian_by(&self, at: &Reached, free: &[usize], by: f64) -> Result<Option<Mat<f64>>> {
        let unit = self.units(at);
        let mut columns = vec![];
        for &k in free {
            let moved = |step: f64| {
                let mut theta = at.theta.clone();
                theta[k] += step * unit[k];
                self.reach(&theta)
            };
            let (Some(up), Some(down)) = (moved(by)?, moved(-by)?) else {
                return Ok(None);
            };
            let width = 2.0 * by * unit[k];
            columns.push(
                free.iter()
                    .map(|&l| (up.slopes[l] - down.slopes[l]) / width)
                    .collect::<Vec<_>>(),
            );
        }
        Ok(Some(Mat::from_fn(free.len(), free.len(), |i, j| {
            0.5 * (columns[i][j] + columns[j][i])
        })))
    }

    /// Newton steps with one Hessian; `None` where it is not positive definite.
    pub(super) fn settle(&self, mut at: Reached, free: &[usize], hessian: &Mat<f64>) -> Result<Option<SettledPlace>> {
        let Some(root) = scaled_root(hessian) else {
            return Ok(None);
        };
        let first = promise(&at, free, &root);
        let mut steady = true;
        for _ in 0..NEWTON_STEPS {
            let (step, gain) = newton_step(&at, free, &root);
            if gain <= NOTHING_TO_GAIN * (1.0 + at.deviance.abs()) {
                break;
            }
            let mut theta = at.theta.clone();
            free.iter().enumerate().for_each(|(i, &k)| theta[k] -= step[(i, 0)]);
            let size = 1.0 + at.deviance.abs();
            let about = at.deviance + ABOUT_AS_LOW * size + self.problem.told_apart();
            let lower = |next: &Reached| next.deviance <= at.deviance + LOWER * size;
            let flatter = |next: &Reached| next.deviance <= about && promise(next, free, &root) < 0.25 * gain;
            match self.reach(&theta)?.filter(|next| lower(next) || flatter(next)) {
                Some(next) => at = next,
                None => break,
            }
            steady &= promise(&at, free, &root) <= SAME_HESSIAN.powi(2) * first;
        }
        let gain = promise(&at, free, &root);
        Ok(Some(SettledPlace {
            done: gain <= SETTLED * (1.0 + at.deviance.abs()),
            steady,
            at,
        }))
    }
}

/// Where Newton steps end.
pub(super) struct SettledPlace {
    pub at: Reached,
    /// Is there nothing left to gain?
    pub done: bool,
    /// Is the Hessian there what it was?
    pub steady: bool,
}

fn promise(at: &Reached, free: &[usize], root: &ScaledRoot) -> f64 {
    newton_step(at, free, root).1
}

/// H^-1 g, and the decrease g' H^-1 g that it promises, twice over.
fn newton_step(at: &Reached, free: &[usize], root: &ScaledRoot) -> (Mat<f64>, f64) {
    let slopes = Mat::from_fn(free.len(), 1, |i, _| at.slopes[free[i]]);
    let step = root.solve(&slopes);
    let promise = (step.transpose() * &slopes)[(0, 0)];
    (step, promise)
}

/// A Cholesky decomposition that sees numbers of order one: `D (D^-1 H D^-1) D`.
pub(crate) struct ScaledRoot {
    root: faer::linalg::solvers::Llt<f64>,
    scale: Vec<f64>,
}

impl ScaledRoot {
    /// H^-1 B
    pub(crate) fn solve(&self, b: &Mat<f64>) -> Mat<f64> {
        let scaled = Mat::from_fn(b.nrows(), b.ncols(), |i, j| b[(i, j)] / self.scale[i]);
        let solved = self.root.solve(&scaled);
        Mat::from_fn(b.nrows(), b.ncols(), |i, j| solved[(i, j)] / self.scale[i])
    }
}

/// `None` if H is not positive definite.
pub(crate) fn scaled_root(hessian: &Mat<f64>) -> Option<ScaledRoot> {
    let n = hessian.nrows();
    if !(0..n).all(|i| hessian[(i, i)] > 0.0) {
        return None;
    }
    let scale: Vec<f64> = (0..n).map(|i| hessian[(i, i)].sqrt()).collect();
    let scaled = Mat::from_fn(n, n, |i, j| hessian[(i, j)] / scale[i] / scale[j]);
    let root = scaled.llt(Side::Lower).ok()?;
    Some(ScaledRoot { root, scale })
}
