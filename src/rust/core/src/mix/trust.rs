//! A trust region by argmin, from a start to the bottom of its valley.
//!
//! The variances are written as squares, theta = s^2. In s nothing is bounded and the deviance is smooth and even, so that a variance of zero
//! is an ordinary stationary point, which the second-order method reaches fast.

use super::likelihood::{AtVariances, Derivatives};
use super::search::VarianceSearch;
use crate::runtime::error::{Error, Result};
use argmin::core::{
    CostFunction, Executor, Gradient, Hessian, IterState, KV, Problem as Counted, Solver, State, TerminationReason,
    TerminationStatus,
};
use argmin::solver::trustregion::{Steihaug, TrustRegion};
use faer::linalg::solvers::Solve;
use faer::{Mat, Side};
use std::cell::RefCell;

/// Steps at most.
const MAX_ITERATIONS: u64 = 200;

impl VarianceSearch<'_> {
    pub(super) fn trust_region(&self, s: &[f64]) -> Result<Vec<f64>> {
        let surface = VarianceSurface {
            search: self,
            last: RefCell::new(None),
            stopped: RefCell::new(None),
        };
        let radius = 0.5 * s.iter().map(|s| s * s).sum::<f64>().sqrt();
        let failed = |_| Error::NoConvergence {
            what: "the trust region",
            iterations: MAX_ITERATIONS as usize,
        };
        let solver = TrustRegion::new(Steihaug::new()).with_radius(radius).map_err(failed)?;
        let run = Executor::new(&surface, Settling(solver))
            .configure(|state| state.param(s.to_vec()).max_iters(MAX_ITERATIONS))
            .timer(false)
            .run();
        if let Some(error) = surface.stopped.borrow_mut().take() {
            return Err(error);
        }
        let state = run.map_err(failed)?;
        state
            .state()
            .get_best_param()
            .cloned()
            .ok_or(failed(argmin::core::Error::msg("no parameter")))
    }
}

/// A place, and what is known there.
type Seen<'a> = (Vec<f64>, Option<AtVariances<'a>>, Option<Derivatives>);

/// The deviance over s, with the last point kept: argmin asks for value, gradient and Hessian one by one.
struct VarianceSurface<'s, 'a> {
    search: &'s VarianceSearch<'a>,
    last: RefCell<Option<Seen<'a>>>,
    stopped: RefCell<Option<Error>>,
}

type Failed = argmin::core::Error;

impl VarianceSurface<'_, '_> {
    fn theta(&self, s: &[f64]) -> Vec<f64> {
        s.iter().zip(&self.search.size).map(|(s, size)| s * s / size).collect()
    }

    fn at(&self, s: &[f64]) -> std::result::Result<(), Failed> {
        let mut last = self.last.borrow_mut();
        if last.as_ref().is_some_and(|(at, ..)| at == s) {
            return Ok(());
        }
        match self.search.point(&self.theta(s)) {
            Ok(point) => {
                *last = Some((s.to_vec(), point, None));
                Ok(())
            }
            Err(error) => {
                *self.stopped.borrow_mut() = Some(error);
                Err(Failed::msg("stopped"))
            }
        }
    }

    /// ds of a function of theta: theta_k = s_k^2 / size_k.
    fn with_derivatives<T>(
        &self,
        s: &[f64],
        read: impl Fn(&Derivatives, &[f64]) -> T,
    ) -> std::result::Result<T, Failed> {
        self.at(s)?;
        let mut last = self.last.borrow_mut();
        let Some((_, Some(point), derivatives)) = last.as_mut() else {
            return Err(Failed::msg("no derivatives where V is singular"));
        };
        let derivatives = derivatives.get_or_insert_with(|| self.search.derivatives(point));
        let slope: Vec<f64> = s
            .iter()
            .zip(&self.search.size)
            .map(|(s, size)| 2.0 * s / size)
            .collect();
        Ok(read(derivatives, &slope))
    }
}

impl CostFunction for &VarianceSurface<'_, '_> {
    type Param = Vec<f64>;
    type Output = f64;

    fn cost(&self, s: &Vec<f64>) -> std::result::Result<f64, Failed> {
        self.at(s)?;
        let last = self.last.borrow();
        Ok(last
            .as_ref()
            .and_then(|(_, point, _)| point.as_ref())
            .map_or(f64::MAX, |p| p.deviance))
    }
}

impl Gradient for &VarianceSurface<'_, '_> {
    type Param = Vec<f64>;
    type Gradient = Vec<f64>;

    fn gradient(&self, s: &Vec<f64>) -> std::result::Result<Vec<f64>, Failed> {
        let free = &self.search.free;
        self.with_derivatives(s, |d, slope| {
            (0..slope.len())
                .map(|k| if free[k] { d.gradient[k] * slope[k] } else { 0.0 })
                .collect()
        })
    }
}

impl Hessian for &VarianceSurface<'_, '_> {
    type Param = Vec<f64>;
    type Hessian = Vec<Vec<f64>>;

    fn hessian(&self, s: &Vec<f64>) -> std::result::Result<Vec<Vec<f64>>, Failed> {
        let VarianceSearch { free, size, .. } = self.search;
        self.with_derivatives(s, |d, slope| {
            let entry = |k: usize, l: usize| match (free[k] && free[l], k == l) {
                (true, same) => {
                    d.hessian[k][l] * slope[k] * slope[l] + if same { 2.0 * d.gradient[k] / size[k] } else { 0.0 }
                }
                (false, same) => f64::from(same),
            };
            (0..slope.len())
                .map(|k| (0..slope.len()).map(|l| entry(k, l)).collect())
                .collect()
        })
    }
}

/// argmin's trust region, which has no end of its own, stopped where a Newton step promises next to nothing.
struct Settling(TrustRegion<Steihaug<Vec<f64>, f64>, f64>);

type Steps = IterState<Vec<f64>, Vec<f64>, (), Vec<Vec<f64>>, (), f64>;

impl<O> Solver<O, Steps> for Settling
where
    TrustRegion<Steihaug<Vec<f64>, f64>, f64>: Solver<O, Steps>,
{
    fn name(&self) -> &str {
        "trust region until it settles"
    }

    fn init(&mut self, problem: &mut Counted<O>, state: Steps) -> std::result::Result<(Steps, Option<KV>), Failed> {
        self.0.init(problem, state)
    }

    fn next_iter(
        &mut self,
        problem: &mut Counted<O>,
        state: Steps,
    ) -> std::result::Result<(Steps, Option<KV>), Failed> {
        self.0.next_iter(problem, state)
    }

    fn terminate(&mut self, state: &Steps) -> TerminationStatus {
        let promised = state
            .get_gradient()
            .zip(state.get_hessian())
            .and_then(|(g, h)| promise(g, h));
        match promised {
            Some(p) if p < 1e-8 => TerminationStatus::Terminated(TerminationReason::SolverConverged),
            _ => TerminationStatus::NotTerminated,
        }
    }
}

/// g' H^-1 g, if H is positive definite.
fn promise(g: &[f64], h: &[Vec<f64>]) -> Option<f64> {
    let n = g.len();
    let gradient = Mat::from_fn(n, 1, |i, _| g[i]);
    if g.iter().all(|g| *g == 0.0) {
        return Some(0.0);
    }
    let llt = Mat::from_fn(n, n, |i, j| h[i][j]).llt(Side::Lower).ok()?;
    Some((gradient.transpose() * llt.solve(&gradient))[(0, 0)])
}
