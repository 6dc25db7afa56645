//! A first look at some of the rows: those of a scattered order and the nearest neighbour of each, so that they show short length scales as well as long ones.

use super::exact::{Exact, squares};
use super::search::{Found, Profiled, Search};
use crate::gp::bounds::Range;
use crate::likelihood::optimize::Place;
use crate::runtime::error::Result;
use faer::Mat;
use std::cell::RefCell;

/// Rows up to which all are looked at, and how many the first look takes.
const FEW: usize = 300;
const LOOK: usize = 250;
/// What the root of the ratio of the rows makes of a difference of deviances that cannot be made up for on all rows.
const HOPELESS: f64 = 20.0;
/// Local optima of the first look that are followed at most.
const FOLLOWED: usize = 4;

/// Some of the rows.
struct Part {
    coordinates: Vec<Vec<f64>>,
    y: Vec<f64>,
    x: Mat<f64>,
    weights: Vec<f64>,
}

impl Exact<'_> {
    /// Local optima of one length scale for all axes in proportion to `unit`, best first.
    pub(super) fn isotropic(&self, search: &Search<'_>, unit: &[f64], ends: (f64, f64)) -> Result<Found> {
        if self.n() > FEW
            && let Some(found) = self.from_part(search, unit, ends)?
        {
            return Ok(found);
        }
        search.isotropic(unit, ends.0, ends.1)
    }

    /// By Newton's method on all rows from each optimum of a part of them; none where one of these has no process, or leads nowhere.
    fn from_part(&self, search: &Search<'_>, unit: &[f64], ends: (f64, f64)) -> Result<Option<Found>> {
        let rows = self.scattered(unit);
        let ratio = self.n() as f64 / rows.len() as f64;
        let part = self.part(&rows);
        let coordinates = part.coordinates.iter().map(Vec::as_slice).collect();
        let exact = Exact::new(self.places.family, coordinates, &part.y, part.x.as_ref(), &part.weights)?;
        let mut monitor = search.monitor.borrow_mut();
        let look = Search {
            process: &exact,
            method: search.method,
            workers: search.workers,
            monitor: RefCell::new(&mut **monitor),
        };
        let locals = look.isotropic(unit, ends.0, ends.1)?.locals;
        drop(look);
        drop(monitor);
        let best = locals.first().map_or(f64::INFINITY, |p| p.deviance);
        let close = |p: &&Profiled| (p.deviance - best) * ratio.sqrt() < HOPELESS;
        let followed: Vec<&Profiled> = locals.iter().filter(close).take(FOLLOWED).collect();
        if followed.iter().any(|p| p.place == Place::Upper) {
            return Ok(None);
        }
        let range = Range {
            shortest: unit.iter().map(|u| u * ends.0).collect(),
            longest: unit.iter().map(|u| u * ends.1).collect(),
        };
        let mut found = vec![];
        for start in followed {
            match search.newton(&start.lengths, start.delta, &range)? {
                Some(one) => found.push(one),
                None => return Ok(None),
            }
        }
        Ok((!found.is_empty()).then(|| Found::best_first(found, vec![])))
    }

    fn part(&self, rows: &[usize]) -> Part {
        let of = |x: &[f64]| rows.iter().map(|&i| x[i]).collect();
        let x = self.x();
        Part {
            coordinates: self.places.coordinates.iter().map(|x| of(x)).collect(),
            y: of(self.y()),
            x: Mat::from_fn(rows.len(), x.ncols(), |i, j| x[(rows[i], j)]),
            weights: of(self.weights()),
        }
    }

    /// Some rows and the neighbours of as many.
    fn scattered(&self, unit: &[f64]) -> Vec<usize> {
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
        let mut rows: Vec<usize> = order[..LOOK / 2]
            .iter()
            .flat_map(|&i| [Some(i), neighbour(i)])
            .flatten()
            .collect();
        rows.sort_unstable();
        rows.dedup();
        rows
    }
}
