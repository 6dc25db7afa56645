//! A first look at some of the rows: those of a scattered order and the nearest neighbour of each, so that they show short length scales as well as long ones.
//!
//! What so few rows do not show is weak. That is looked for on all rows where there is no process yet: with `V = I + K / delta` and P the projection on contrasts the deviance
//! begins in 1 / delta with the slope and, without a process, the mean curvature
//!
//! ```text
//! s = tr PK - m y'PKPy / y'Py,   tr (PK)^2 - (tr PK)^2 / m
//! ```

use super::Process;
use super::exact::{Exact, MANY};
use super::found::{Optima, ProfilePoint};
use super::places::squares;
use super::search::LengthSearch;
use crate::gp::bounds::Range;
use crate::likelihood::optimize::Location;
use crate::linalg::product;
use crate::runtime::error::Result;
use crate::runtime::monitor::Monitor;
use faer::Mat;
use std::cell::RefCell;

/// Rows up to which all are looked at.
pub(super) const FEW: usize = 400;
/// Rows that the first look takes of more.
const LOOK: usize = 350;
/// Difference of deviances on the part, times the root of the ratio of the rows, above which a valley cannot be the best on all rows.
const HOPELESS: f64 = 20.0;
/// Starts of each kind that are followed at most.
const FOLLOWED: usize = 3;
/// Decrease of the deviance on a part of the rows from which on the part is taken to show the process; weaker ones are looked for by the score on all rows.
const STRONG: f64 = 40.0;
/// Distance of the score's length scales in the logarithm, that of the search.
const STEP: f64 = 0.45;
/// A smaller gain than this is none.
const NOTHING: f64 = 1e-3;

/// Some of the rows.
struct Subsample {
    coordinates: Vec<Vec<f64>>,
    y: Vec<f64>,
    x: Mat<f64>,
    weights: Vec<f64>,
}

/// A length scale and delta to start from.
struct StartingValues {
    lengths: Vec<f64>,
    delta: f64,
}

impl LengthSearch<'_> {
    /// The same of another process.
    fn of<'s>(&'s self, process: &'s dyn Process, monitor: &'s mut dyn Monitor) -> LengthSearch<'s> {
        LengthSearch {
            process,
            method: self.method,
            workers: self.workers,
            monitor: RefCell::new(monitor),
        }
    }
}

impl Exact<'_> {
    /// Local optima of one length scale for all axes in proportion to `unit`, best first.
    pub(super) fn isotropic(&self, search: &LengthSearch<'_>, unit: &[f64], ends: (f64, f64)) -> Result<Optima> {
        if self.n() > FEW
            && let Some(found) = self.beginning_at_part(search, unit, ends)?
        {
            return Ok(found);
        }
        search.isotropic(unit, ends.0, ends.1)
    }

    /// By Newton's method on all rows from each optimum of a part of them; none where this leads nowhere.
    fn beginning_at_part(&self, search: &LengthSearch<'_>, unit: &[f64], ends: (f64, f64)) -> Result<Option<Optima>> {
        let range = Range {
            shortest: unit.iter().map(|u| u * ends.0).collect(),
            longest: unit.iter().map(|u| u * ends.1).collect(),
        };
        let (mut starts, strong) = self.of_subsample(search, unit, ends)?;
        if self.n() > MANY {
            starts = self.closer(search, unit, &range, starts)?;
        }
        let mut found = vec![];
        for start in &starts {
            match search.newton(&start.lengths, start.delta, &range)? {
                Some(one) => found.push(one),
                // a strong process that all rows do not show where some did
                None if strong => return Ok(None),
                None => {}
            }
        }
        if !strong {
            let at = self.scores(search, unit, ends)?;
            for start in &at {
                found.extend(search.newton(&start.lengths, start.delta, &range)?);
            }
            if at.is_empty() && starts.is_empty() {
                found.push(Optima::one(search.at(&range.longest)?));
            }
        }
        Ok((!found.is_empty()).then(|| Optima::best_first(found, vec![])))
    }

    /// Optima of some rows that may be the best on all, and whether these rows show a process for certain.
    fn of_subsample(
        &self,
        search: &LengthSearch<'_>,
        unit: &[f64],
        ends: (f64, f64),
    ) -> Result<(Vec<StartingValues>, bool)> {
        let rows = self.scattered(unit, LOOK);
        let subsample = self.subsample(&rows);
        let exact = self.over(&subsample)?;
        let mut monitor = search.monitor.borrow_mut();
        let look = search.of(&exact, &mut **monitor);
        let locals = look.isotropic(unit, ends.0, ends.1)?.locals;
        let best = locals.first().map_or(f64::INFINITY, |p| p.deviance);
        let more = (self.n() as f64 / rows.len() as f64).sqrt();
        let close = |p: &&ProfilePoint| p.location != Location::Upper && (p.deviance - best) * more < HOPELESS;
        let start = |p: &ProfilePoint| StartingValues {
            lengths: p.lengths.clone(),
            delta: p.delta,
        };
        let strong = exact.without(search.method) - best > STRONG;
        // at the short end delta is anything, and the score on all rows looks there too
        let told = |p: &&ProfilePoint| strong || p.lengths[0] > 1.001 * unit[0] * ends.0;
        let starts = locals
            .iter()
            .filter(close)
            .filter(told)
            .take(FOLLOWED)
            .map(start)
            .collect();
        Ok((starts, strong))
    }

    /// Starts followed by Newton's method on half of the rows, as far as it leads anywhere there.
    fn closer(
        &self,
        search: &LengthSearch<'_>,
        unit: &[f64],
        range: &Range,
        starts: Vec<StartingValues>,
    ) -> Result<Vec<StartingValues>> {
        let subsample = self.subsample(&self.scattered(unit, self.n() / 2));
        let exact = self.over(&subsample)?;
        let mut monitor = search.monitor.borrow_mut();
        let half = search.of(&exact, &mut **monitor);
        let follow = |start: StartingValues| {
            let found = half.newton(&start.lengths, start.delta, range)?;
            let best = found.and_then(|found| found.locals.into_iter().next());
            let best = best.filter(|p| p.location == Location::Interior);
            Ok(best.map_or(start, |p| StartingValues {
                lengths: p.lengths,
                delta: p.delta,
            }))
        };
        starts.into_iter().map(follow).collect()
    }

    /// The same process over a part of the rows.
    fn over<'p>(&self, subsample: &'p Subsample) -> Result<Exact<'p>> {
        let coordinates = subsample.coordinates.iter().map(Vec::as_slice).collect();
        Exact::new(
            self.places.family,
            coordinates,
            &subsample.y,
            subsample.x.as_ref(),
            &subsample.weights,
        )
    }

    /// Peaks of what a weak process would gain over its length scale, by its score on all rows.
    fn scores(&self, search: &LengthSearch<'_>, unit: &[f64], ends: (f64, f64)) -> Result<Vec<StartingValues>> {
        let (first, last) = (ends.0.ln(), ends.1.ln());
        let steps = ((last - first) / STEP).ceil() as usize;
        let mut seen = vec![];
        for i in 0..=steps {
            search.monitor.borrow_mut().check()?;
            let factor = (first + (last - first) * i as f64 / steps as f64).exp();
            let lengths: Vec<f64> = unit.iter().map(|u| u * factor).collect();
            let (gain, delta) = self.score(search, &lengths);
            seen.push((gain, StartingValues { lengths, delta }));
        }
        let gain = |i: usize| seen[i].0;
        let peak = |i: &usize| {
            let (before, after) = (i.checked_sub(1).map(gain), (*i < steps).then(|| gain(i + 1)));
            gain(*i) > NOTHING && before.is_none_or(|b| b <= gain(*i)) && after.is_none_or(|a| a <= gain(*i))
        };
        let mut peaks: Vec<usize> = (0..=steps).filter(peak).collect();
        peaks.sort_by(|a, b| gain(*b).total_cmp(&gain(*a)));
        peaks.truncate(FOLLOWED);
        let mut seen: Vec<Option<StartingValues>> = seen.into_iter().map(|(_, start)| Some(start)).collect();
        Ok(peaks.into_iter().filter_map(|i| seen[i].take()).collect())
    }

    /// What a process with these length scales would gain in deviance, to second order in 1 / delta, and the delta of that.
    fn score(&self, search: &LengthSearch<'_>, lengths: &[f64]) -> (f64, f64) {
        let m = self.contrasts();
        search.workers.run(|par| {
            let turned = self.turned_kernel(lengths, par);
            let k = turned.as_ref().submatrix(0, 0, m, m);
            let y = self.y2();
            let square = y.squared_norm_l2();
            let form = (y.transpose() * product(k, y, par))[(0, 0)];
            let trace: f64 = (0..m).map(|i| k[(i, i)]).sum();
            let slope = m as f64 * form / square - trace;
            let curvature = k.squared_norm_l2() - trace * trace / m as f64;
            match slope > 0.0 && curvature > 0.0 {
                true => (0.5 * slope * slope / curvature, curvature / slope),
                false => (0.0, f64::INFINITY),
            }
        })
    }

    fn subsample(&self, rows: &[usize]) -> Subsample {
        let of = |x: &[f64]| rows.iter().map(|&i| x[i]).collect();
        let x = self.x();
        Subsample {
            coordinates: self.places.coordinates.iter().map(|x| of(x)).collect(),
            y: of(self.y()),
            x: Mat::from_fn(rows.len(), x.ncols(), |i, j| x[(rows[i], j)]),
            weights: of(self.weights()),
        }
    }

    /// Half so many rows and their neighbours.
    fn scattered(&self, unit: &[f64], count: usize) -> Vec<usize> {
        let (n, golden) = (self.n(), 0.618_033_988_749_894_9);
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by(|a, b| {
            let at = |i: &usize| (*i as f64 * golden).fract();
            at(a).total_cmp(&at(b))
        });
        let coordinates = &self.places.coordinates;
        let neighbour = |i: usize| -> Option<usize> {
            let distance = |j: usize| squares(coordinates, coordinates, (i, j), unit).iter().sum::<f64>();
            let others = (0..n).filter(|j| *j != i);
            others
                .map(|j| (j, distance(j)))
                .min_by(|a, b| a.1.total_cmp(&b.1))
                .map(|(j, _)| j)
        };
        let mut rows: Vec<usize> = order[..count / 2]
            .iter()
            .flat_map(|&i| [Some(i), neighbour(i)])
            .flatten()
            .collect();
        rows.sort_unstable();
        rows.dedup();
        rows
    }
}
