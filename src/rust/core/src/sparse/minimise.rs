//! Least value of a smooth function of few variables whose curvatures are of order one, by the quasi-Newton method of argmin.

use crate::runtime::error::{Error, Result};
use argmin::core::{CostFunction, Executor, Gradient};
use argmin::solver::linesearch::MoreThuenteLineSearch;
use argmin::solver::quasinewton::BFGS;
use std::cell::RefCell;

/// Iterations of one run at most.
const ITERATIONS: u64 = 60;
/// Runs: a line search may end one early.
const RUNS: usize = 4;
/// Length of the slopes at which it is done, if rounding allows it.
const FLAT: f64 = 1e-5;

/// A place, the value and the slopes there.
#[derive(Clone)]
pub(super) struct LowPlace {
    pub x: Vec<f64>,
    pub value: f64,
    pub slopes: Vec<f64>,
}

impl LowPlace {
    /// By which the value may be above the least one.
    pub(super) fn error(&self) -> f64 {
        self.slopes.iter().map(|s| s * s).sum()
    }
}

/// Value and slopes, `None` where there are none.
type Evaluated = Result<Option<(f64, Vec<f64>)>>;

struct SmoothFunction<F> {
    of: F,
    last: RefCell<Option<LowPlace>>,
    best: RefCell<LowPlace>,
    stopped: RefCell<Option<Error>>,
}

type Failed = argmin::core::Error;

impl<F: Fn(&[f64]) -> Evaluated> SmoothFunction<F> {
    fn read<T>(&self, x: &[f64], of: impl Fn(&LowPlace) -> T) -> std::result::Result<T, Failed> {
        let mut last = self.last.borrow_mut();
        if let Some(place) = last.as_ref().filter(|place| place.x == x) {
            return Ok(of(place));
        }
        match (self.of)(x) {
            Ok(Some((value, slopes))) => {
                let x = x.to_vec();
                let place = LowPlace { x, value, slopes };
                let found = of(&place);
                if place.value < self.best.borrow().value {
                    *self.best.borrow_mut() = place.clone();
                }
                *last = Some(place);
                Ok(found)
            }
            Ok(None) => Err(Failed::msg("no value")),
            Err(error) => {
                *self.stopped.borrow_mut() = Some(error);
                Err(Failed::msg("stopped"))
            }
        }
    }
}

impl<F: Fn(&[f64]) -> Evaluated> CostFunction for &SmoothFunction<F> {
    type Param = Vec<f64>;
    type Output = f64;

    fn cost(&self, x: &Vec<f64>) -> std::result::Result<f64, Failed> {
        self.read(x, |place| place.value)
    }
}

impl<F: Fn(&[f64]) -> Evaluated> Gradient for &SmoothFunction<F> {
    type Param = Vec<f64>;
    type Gradient = Vec<f64>;

    fn gradient(&self, x: &Vec<f64>) -> std::result::Result<Vec<f64>, Failed> {
        self.read(x, |place| place.slopes.clone())
    }
}

/// From a start; `None` if there is no value at the start. `told_apart`: the least difference between values that is not rounding.
pub(super) fn minimise(start: &[f64], told_apart: f64, of: impl Fn(&[f64]) -> Evaluated) -> Result<Option<LowPlace>> {
    let flat = FLAT.max(told_apart.sqrt());
    let Some((value, slopes)) = of(start)? else {
        return Ok(None);
    };
    let x = start.to_vec();
    let function = SmoothFunction {
        of,
        last: RefCell::new(None),
        best: RefCell::new(LowPlace { x, value, slopes }),
        stopped: RefCell::new(None),
    };
    for _ in 0..RUNS {
        let from = function.best.borrow().clone();
        if start.is_empty() || from.error() <= flat * flat {
            break;
        }
        run(&function, &from, flat);
        if let Some(error) = function.stopped.borrow_mut().take() {
            return Err(error);
        }
        if function.best.borrow().value >= from.value {
            break;
        }
    }
    Ok(Some(function.best.into_inner()))
}

fn run<F: Fn(&[f64]) -> Evaluated>(function: &SmoothFunction<F>, from: &LowPlace, flat: f64) {
    let n = from.x.len();
    let identity: Vec<Vec<f64>> = (0..n).map(|i| (0..n).map(|j| f64::from(i == j)).collect()).collect();
    let solver = BFGS::new(MoreThuenteLineSearch::new()).with_tolerance_grad(flat);
    if let Ok(solver) = solver.and_then(|solver| solver.with_tolerance_cost(0.0)) {
        let run = Executor::new(function, solver)
            .configure(|state| {
                state
                    .param(from.x.clone())
                    .cost(from.value)
                    .gradient(from.slopes.clone())
                    .inv_hessian(identity)
                    .max_iters(ITERATIONS)
            })
            .timer(false);
        // a line search that cannot improve any more ends with an error: what was seen counts
        drop(run.run());
    }
}
