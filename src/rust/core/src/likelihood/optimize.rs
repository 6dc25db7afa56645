//! Global search for the minimum of a function of log delta: grid, polish of every bracket, both end points.

use crate::rotation::rotated::Rotated;
use crate::runtime::error::{Error, Result};
use argmin::core::{CostFunction, Executor, State};
use argmin::solver::brent::BrentRoot;
use num_dual::{Dual2_64, Dual64, first_derivative, second_derivative};

/// Where a local minimum lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Location {
    /// Between the end points: the slope is zero.
    Interior,
    /// delta = 0, h2 = 1.
    Lower,
    /// The smallest delta whose likelihood can be told.
    Floor,
    /// delta = infinity, h2 = 0.
    Upper,
}

/// One local minimum.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Local {
    /// Inside, or at which end.
    pub location: Location,
    /// log delta; infinite at an end point.
    pub(crate) at: f64,
    /// The function there, -2 log L.
    pub value: f64,
}

/// The best local minimum and all the others.
#[derive(Debug, Clone, PartialEq)]
pub struct Optimum {
    /// The lowest of all local minima.
    pub best: Local,
    /// First derivative in log delta, zero to rounding; 0 at an end point.
    pub slope: f64,
    /// Second derivative in log delta, not a number at an end point.
    pub curvature: f64,
    /// Every local minimum, best first.
    pub(crate) locals: Vec<Local>,
    /// Value at the end point delta = infinity, without the kernel.
    pub nothing: f64,
}

/// A function of log delta that can be evaluated with dual numbers.
pub(crate) trait Objective {
    fn dual(&self, at: Dual64) -> Dual64;
    fn dual2(&self, at: Dual2_64) -> Dual2_64;
    fn value(&self, at: f64) -> f64;
}

/// Values of the function on the grid, and at its end points.
pub(crate) struct DeltaGrid {
    pub(crate) at: Vec<f64>,
    pub(crate) value: Vec<f64>,
    pub(crate) slope: Vec<f64>,
    /// Limits for delta -> 0 and delta -> infinity; infinite if that end point is not to be used.
    pub(crate) lower: f64,
    pub(crate) upper: f64,
    /// Is the first point the smallest that can be told, a minimum if the function falls towards it?
    pub(crate) floored: bool,
}

/// Distance of grid points in log delta. Each eigenvalue's term is a logistic function that changes over about one unit, and a sign change of the slope between two
/// points shows an optimum. Twice the distance halves the cost of the grid and could step over a shallow pair of optima.
const STEP: f64 = 0.5;
/// Ends of the grid in log delta, relative to eigenvalues of order one: `e^-36` is about eps, below which eigenvalues are rounding; at `e^23` the kernel changes log|V| by n 1e-10 at most.
const REACH: (f64, f64) = (-36.0, 23.0);

/// The points at which every search looks.
///
/// Where the kernel does not reach every contrast, delta can be as small as the square of y there says, however small.
pub(crate) fn grid_points(data: &Rotated) -> Vec<f64> {
    let largest = data.largest().ln();
    let (first, last) = (largest + REACH.0, largest + REACH.1);
    let noise = data.null_square() / (data.contrasts() as f64 * data.square());
    let first = if noise > 0.0 && !data.full_rank() {
        first.min(largest + noise.ln() - 4.0)
    } else {
        first
    };
    let count = ((last - first) / STEP).ceil() as usize;
    (0..=count).map(|i| last - STEP * (count - i) as f64).collect()
}

impl DeltaGrid {
    pub(crate) fn new(f: &impl Objective, at: Vec<f64>, lower: f64, upper: f64) -> Self {
        let (value, slope) = at.iter().map(|t| first_derivative(|x| f.dual(x), *t)).unzip();
        Self {
            at,
            value,
            slope,
            lower,
            upper,
            floored: false,
        }
    }

    /// From `least` on, which becomes the first point.
    pub(crate) fn above(self, f: &impl Objective, least: f64) -> Self {
        let first = self.at.partition_point(|t| *t <= least);
        let (value, slope) = first_derivative(|x| f.dual(x), least);
        let joined = |head: f64, tail: &[f64]| std::iter::once(head).chain(tail[first..].iter().copied()).collect();
        Self {
            at: joined(least, &self.at),
            value: joined(value, &self.value),
            slope: joined(slope, &self.slope),
            lower: f64::INFINITY,
            floored: true,
            upper: self.upper,
        }
    }

    /// Every local minimum, each bracket polished to rounding.
    fn minima(&self, f: &impl Objective) -> Result<Vec<Local>> {
        let last = self.at.len() - 1;
        let usable = |i: usize| self.value[i].is_finite() && self.slope[i].is_finite();
        let mut minima = vec![];
        if self.floored && usable(0) && self.slope[0] >= 0.0 {
            minima.push(Local {
                location: Location::Floor,
                at: self.at[0],
                value: self.value[0],
            });
        }
        if self.lower < f64::INFINITY && usable(0) && self.slope[0] >= 0.0 {
            minima.push(Local {
                location: Location::Lower,
                at: f64::NEG_INFINITY,
                value: self.lower,
            });
        }
        for i in 0..last {
            if usable(i) && usable(i + 1) && self.slope[i] < 0.0 && self.slope[i + 1] >= 0.0 {
                let at = root(|t| first_derivative(|x| f.dual(x), t).1, self.at[i], self.at[i + 1])?;
                minima.push(Local {
                    location: Location::Interior,
                    at,
                    value: f.value(at),
                });
            }
        }
        if self.upper < f64::INFINITY && usable(last) && self.slope[last] <= 0.0 {
            minima.push(Local {
                location: Location::Upper,
                at: f64::INFINITY,
                value: self.upper,
            });
        }
        Ok(minima)
    }

    /// The highest point before `at`.
    pub(crate) fn ridge(&self, at: f64) -> usize {
        let before = (0..self.at.len()).filter(|&i| self.at[i] < at);
        before
            .max_by(|&a, &b| self.value[a].total_cmp(&self.value[b]))
            .unwrap_or(0)
    }

    /// The lowest point of the grid itself.
    pub(crate) fn lowest(&self) -> Option<Local> {
        let usable = (0..self.at.len()).filter(|&i| self.value[i].is_finite());
        let best = usable.min_by(|&a, &b| self.value[a].total_cmp(&self.value[b]))?;
        Some(Local {
            location: Location::Interior,
            at: self.at[best],
            value: self.value[best],
        })
    }

    /// The global minimum. `None` if no local minimum is usable.
    pub(crate) fn optimum(&self, f: &impl Objective) -> Result<Option<Optimum>> {
        let mut locals = self.minima(f)?;
        locals.sort_by(|a, b| a.value.total_cmp(&b.value));
        let Some(&best) = locals.first() else { return Ok(None) };
        let (slope, curvature) = match best.location {
            Location::Interior => {
                let (_, slope, curvature) = second_derivative(|x| f.dual2(x), best.at);
                (slope, curvature)
            }
            _ => (0.0, f64::NAN),
        };
        Ok(Some(Optimum {
            best,
            slope,
            curvature,
            locals,
            nothing: self.upper,
        }))
    }
}

struct Function<F>(F);

impl<F: Fn(f64) -> f64> CostFunction for Function<F> {
    type Param = f64;
    type Output = f64;

    fn cost(&self, at: &f64) -> std::result::Result<f64, argmin::core::Error> {
        Ok((self.0)(*at))
    }
}

/// Steps of Brent's method at most: it ends where a function is not a number.
const MAX_ITERATIONS: u64 = 200;

/// Root of `f` between two points of opposite sign, by Brent's method to rounding.
pub(crate) fn root(f: impl Fn(f64) -> f64, a: f64, b: f64) -> Result<f64> {
    let failed = Error::NoConvergence {
        what: "Brent's method",
        iterations: MAX_ITERATIONS as usize,
    };
    let tolerance = 1e-13 * (1.0 + a.abs().max(b.abs()));
    let solver = BrentRoot::new(a, b, tolerance);
    let run = Executor::new(Function(f), solver)
        .configure(|state| state.param(a).max_iters(MAX_ITERATIONS).target_cost(0.0))
        .timer(false)
        .run();
    let state = run.map_err(|_| failed.clone())?;
    state.state().get_best_param().copied().ok_or(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// (t - 1)^2 (t + 2)^2 + t / 5: two minima, the left one lower.
    struct Double;

    fn double<D: crate::linalg::Scalar>(t: D) -> D {
        (t - 1.0).powi(2) * (t + 2.0).powi(2) + t * 0.2
    }

    impl Objective for Double {
        fn dual(&self, at: Dual64) -> Dual64 {
            double(at)
        }
        fn dual2(&self, at: Dual2_64) -> Dual2_64 {
            double(at)
        }
        fn value(&self, at: f64) -> f64 {
            double(at)
        }
    }

    fn search(lower: f64, upper: f64) -> Optimum {
        let at = (0..21).map(|i| -5.0 + 0.5 * i as f64).collect();
        DeltaGrid::new(&Double, at, lower, upper)
            .optimum(&Double)
            .unwrap()
            .unwrap()
    }

    #[test]
    fn both_minima_are_found_and_ranked() {
        let found = search(f64::INFINITY, f64::INFINITY);
        assert_eq!(found.locals.len(), 2);
        assert!(found.best.at < -2.0 && found.locals[1].at > 0.9);
        assert!(found.slope.abs() < 1e-10 && found.curvature > 17.0);
    }

    #[test]
    fn an_end_point_counts_only_when_the_function_falls_towards_it() {
        assert_eq!(search(-9.0, -9.0).best.location, Location::Interior);
        let falling = DeltaGrid {
            at: vec![0.0, 1.0],
            value: vec![1.0, 0.5],
            slope: vec![-1.0, -0.2],
            lower: 2.0,
            upper: 0.3,
            floored: false,
        };
        assert_eq!(
            falling.optimum(&Double).unwrap().unwrap().best.location,
            Location::Upper
        );
    }
}
