//! Starts: variances at their best on a coarse grid of length scales, for the model and for those without some of its effects, then all parameters together.
//!
//! What is found is never worse than a model without one of the effects, since that model's own optimum is among the candidates.

use super::descent::{DescentStart, descend};
use super::problem::{JointPoint, JointProblem};
use crate::runtime::error::{Error, Result};
use crate::runtime::monitor::Monitor;
use crate::runtime::parallel::Workers;
use crate::runtime::work::{Work, count};
use std::cell::RefCell;

/// Distance of grid points in log ell, a factor of two: descents move length scales from there.
const STEP: f64 = 0.7;
/// Steps of a descent over variances on the grid: enough to rank its points.
const BRIEF: usize = 8;
/// Valleys of the grid that are followed to the end.
const VALLEYS: usize = 3;
/// Share of the variance with which an effect starts at least: at zero its derivative in s vanishes.
const LIFTED: f64 = 0.05;
/// Logarithm of the factor by which the length scale of one axis is moved alone, for starts with unequal ones.
const AXIS: f64 = 2.0;
/// Deviances and logarithms so near to each other are of one optimum.
const SAME: f64 = 1e-4;

pub struct JointSearch<'s, 'a> {
    pub problem: &'s JointProblem<'a>,
    pub workers: &'s Workers,
    pub monitor: RefCell<&'s mut dyn Monitor>,
}

/// Local optima, best first, and the grid.
pub struct JointOptima {
    pub locals: Vec<JointPoint>,
    pub seen: Vec<JointPoint>,
}

impl JointSearch<'_, '_> {
    pub fn descend(&self, start: &DescentStart, most: usize) -> Result<Option<JointPoint>> {
        self.monitor.borrow_mut().check()?;
        Ok(self.workers.run(|par| descend(self.problem, start, most, par)))
    }

    pub fn run(&self) -> Result<JointOptima> {
        count(Work::Search);
        let (mut locals, mut seen) = (vec![], vec![]);
        for present in subsets(self.problem.variances() - 1) {
            let grid = self.along(&present)?;
            let starts = valleys(&grid).into_iter().take(VALLEYS).map(|i| grid[i].clone());
            for start in starts.flat_map(|point| self.around(point)) {
                let own = self.descend(&start, usize::MAX)?;
                let lifted = match &own {
                    Some(own) => self.descend(&self.lifted(&own.theta, &own.steps, None), usize::MAX)?,
                    None => None,
                };
                own.into_iter().chain(lifted).for_each(|p| keep(&mut locals, p));
            }
            if present.iter().all(|p| *p) {
                seen = grid;
            }
        }
        locals.sort_by(|a, b| a.deviance.total_cmp(&b.deviance));
        let best = locals.first().map_or(f64::INFINITY, |p| p.deviance);
        // the optimum without an effect is none where the deviance falls as soon as that has some variance
        locals.retain(|p| p.deviance == best || p.theta.iter().zip(&p.gradient).all(|(t, g)| *t > 0.0 || *g >= 0.0));
        match locals.is_empty() {
            true => Err(Error::NoConvergence {
                what: "the search for the length scale and the variances",
                iterations: 0,
            }),
            false => Ok(JointOptima { locals, seen }),
        }
    }

    /// Every effect that is present has some variance.
    fn lifted(&self, theta: &[f64], steps: &[f64], present: Option<&[bool]>) -> DescentStart {
        let size = &self.problem.size;
        let all: f64 = theta.iter().zip(size).map(|(t, s)| t * s).sum();
        let there = |i: usize| present.is_none_or(|p| p.get(i).copied().unwrap_or(true));
        let least = |i: usize| if there(i) { LIFTED * all / size[i] } else { 0.0 };
        let theta = (0..theta.len()).map(|i| theta[i].max(least(i))).collect();
        DescentStart::free(self.problem, theta, steps.to_vec())
    }

    /// The variances at their best along the grid, from the longest length scale down.
    fn along(&self, present: &[bool]) -> Result<Vec<JointPoint>> {
        let problem = self.problem;
        let equal: Vec<f64> = (0..problem.variances())
            .map(|i| f64::from(present.get(i).copied().unwrap_or(true)) / problem.size[i])
            .collect();
        let scale = self.scale(present);
        let mut theta: Vec<f64> = equal.iter().map(|t| t * scale).collect();
        let mut points = vec![];
        for t in self.grid(present[0]) {
            let mut start = self.lifted(&theta, &vec![t; problem.ends.len()], Some(present));
            start.held[problem.variances()..].fill(true);
            if let Some(point) = self.descend(&start, BRIEF)? {
                theta.clone_from(&point.theta);
                points.push(point);
            }
        }
        Ok(points)
    }

    /// Steps of all axes together; one where there is no process or its length scale is given.
    fn grid(&self, process: bool) -> Vec<f64> {
        let ends = &self.problem.ends;
        if ends.is_empty() {
            return vec![0.0];
        }
        let low = ends.iter().map(|e| e.0).fold(f64::NEG_INFINITY, f64::max);
        let high = ends.iter().map(|e| e.1).fold(f64::INFINITY, f64::min);
        let count = ((high - low) / STEP).ceil().max(1.0) as usize;
        let count = if process { count } else { 0 };
        (0..=count)
            .map(|i| high - (high - low) * i as f64 / count.max(1) as f64)
            .collect()
    }

    /// Mean square of a contrast for each component that is present.
    fn scale(&self, present: &[bool]) -> f64 {
        let basis = &self.problem.basis;
        let m = basis.contrasts();
        let square: f64 = basis.y[..m].iter().map(|y| y * y).sum::<f64>() / m as f64;
        square / (1 + present.iter().filter(|p| **p).count()) as f64
    }

    /// A point, and where each axis has its own length scale those with one axis much longer.
    fn around(&self, point: JointPoint) -> Vec<DescentStart> {
        let ends = &self.problem.ends;
        let start = |steps: Vec<f64>| DescentStart::free(self.problem, point.theta.clone(), steps);
        let mut starts = vec![start(point.steps.clone())];
        if ends.len() > 1 {
            starts.extend((0..ends.len()).map(|axis| {
                let mut steps = point.steps.clone();
                steps[axis] = (steps[axis] + AXIS).min(ends[axis].1);
                start(steps)
            }));
        }
        starts
    }
}

fn keep(locals: &mut Vec<JointPoint>, point: JointPoint) {
    let same = |other: &JointPoint| {
        let steps = other
            .steps
            .iter()
            .zip(&point.steps)
            .all(|(a, b)| (a - b).abs() < 100.0 * SAME);
        let variances = other
            .theta
            .iter()
            .zip(&point.theta)
            .all(|(a, b)| (a - b).abs() <= 100.0 * SAME * (a + b));
        (other.deviance - point.deviance).abs() < SAME && steps && variances
    };
    match locals.iter_mut().find(|other| same(other)) {
        Some(other) if point.deviance < other.deviance => *other = point,
        Some(_) => {}
        None => locals.push(point),
    }
}

/// Which effects, the process at their head, are there: all, and with up to two others every smaller model; with more those without one of them.
fn subsets(effects: usize) -> Vec<Vec<bool>> {
    let all = vec![true; effects];
    let smaller: Vec<Vec<bool>> = if effects <= 3 {
        let bit = |set: usize| (0..effects).map(|k| set >> k & 1 == 1).collect();
        (1..(1usize << effects) - 1).map(bit).collect()
    } else {
        (0..effects)
            .map(|out| (0..effects).map(|k| k != out).collect())
            .collect()
    };
    std::iter::once(all).chain(smaller).collect()
}

/// Points of a line that no neighbour undercuts, lowest first.
fn valleys(points: &[JointPoint]) -> Vec<usize> {
    let value = |i: usize| points[i].deviance;
    let lowest =
        |&i: &usize| (i == 0 || value(i) <= value(i - 1)) && (i + 1 == points.len() || value(i) <= value(i + 1));
    let mut found: Vec<usize> = (0..points.len()).filter(lowest).collect();
    found.sort_by(|&a, &b| value(a).total_cmp(&value(b)));
    found
}
