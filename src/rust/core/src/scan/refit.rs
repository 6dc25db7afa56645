//! delta anew for each candidate: a grid by matrix products, then Newton's method from every valley, both end points looked at.

use super::basis::ScanBasis;
use super::candidate::{AtDelta, CLOSE as NEARLY_ALL, Candidate, CandidateFactor, criterion};
use super::rotate::RotatedBlock;
use super::series::{NearNull, Series};
use super::standardise::CandidateState;
use crate::likelihood::optimize::grid_points;
use crate::likelihood::{Method, proportions};
use crate::linalg::product;
use faer::{Mat, MatRef, Par};
use rayon::prelude::*;
use std::f64::consts::E;

/// The grid that all candidates share.
pub struct CandidateGrid {
    method: Method,
    at: Vec<f64>,
    /// h, g and the null model's log-determinant at each point.
    points: Vec<(f64, f64, f64)>,
    /// 1 / (h lambda + g), a row a point, then one an end, then the coefficients of the series near the null model.
    weights: Mat<f64>,
    near: Option<NearNull>,
    /// delta -> infinity, and delta -> 0 where the likelihood has a limit there.
    ends: Vec<AtDelta>,
    /// Does the null model's likelihood grow without bound as delta -> 0?
    unbounded: bool,
    /// Contrasts that the kernel does not reach.
    free: usize,
    /// Logarithm of the kernel's smallest eigenvalue above zero.
    smallest: f64,
}

/// Sums of a tile of candidates: those of g^2 of all of them, then those of g y.
pub struct GridSums(Mat<f64>);

impl GridSums {
    /// Those of candidate j of the block: of g^2 and of g y.
    pub fn of(sums: &[Self], j: usize) -> (&[f64], &[f64]) {
        let Self(tile) = &sums[j / TILE];
        let place = j % TILE;
        (tile.col_as_slice(place), tile.col_as_slice(tile.ncols() / 2 + place))
    }
}

/// A scan's grid has every second point of that of a single fit, 1 in log delta apart: Newton's method starts from each sign change of the slope.
const EVERY: usize = 2;
/// Steps at most.
const STEPS: usize = 60;
/// Candidates whose sums are made together: few enough for the processor's cache.
const TILE: usize = 32;
/// Newton's method doubles the digits: after a step as small as this one there is nothing to gain.
const CLOSE: f64 = 1e-5;
/// Distance in log delta from an interior optimum at which the slope is looked at: the likelihood must rise towards it from there.
const ASIDE: f64 = 0.1;
/// Below the smallest eigenvalue: where the likelihood is level, and where it is as near its limit as rounding lets it be (both errors e^-18).
const PLATEAU: (f64, f64) = (10.0, 18.0);

impl CandidateGrid {
    /// `kept`: h and g of the null model.
    pub fn new(basis: &ScanBasis<'_>, method: Method, kept: (f64, f64)) -> Self {
        let null = criterion(basis, method);
        let at: Vec<f64> = grid_points(basis.rotated).into_iter().rev().step_by(EVERY).collect();
        let at: Vec<f64> = at.into_iter().rev().collect();
        let point = |t: &f64| {
            let (h, g) = proportions(*t);
            (h, g, null.log_det(h, g))
        };
        let points: Vec<(f64, f64, f64)> = at.iter().map(point).collect();
        let values = &basis.rotated.values;
        let ends: Vec<(f64, f64)> = [Some((0.0, 1.0)), null.is_bounded().then_some((1.0, 0.0))]
            .into_iter()
            .flatten()
            .collect();
        let places: Vec<(f64, f64)> = points.iter().map(|p| (p.0, p.1)).chain(ends.iter().copied()).collect();
        let near = NearNull::new(basis, method, kept);
        let terms = near.as_ref().map_or(0, |near| near.weights.nrows());
        let weight = |i: usize, k: usize| match (places.get(i), &near) {
            (Some((h, g)), _) => (h * values[k] + g).recip(),
            (None, Some(near)) => near.weights[(i - places.len(), k)],
            (None, None) => 0.0,
        };
        Self {
            method,
            weights: Mat::from_fn(places.len() + terms, values.len(), weight),
            ends: ends.into_iter().map(|end| AtDelta::new(basis, method, end)).collect(),
            near,
            points,
            at,
            unbounded: null.is_unbounded(),
            free: basis.free(),
            smallest: values
                .iter()
                .filter(|v| **v > 0.0)
                .copied()
                .fold(f64::INFINITY, f64::min)
                .ln(),
        }
    }

    /// For all candidates of a block, a column each: sums over the rotated coordinates of g^2 and of g y, at each point and as series.
    pub fn sums(&self, basis: &ScanBasis<'_>, block: &RotatedBlock) -> Vec<GridSums> {
        let (y, e) = (&basis.rotated.y, block.e());
        let tile = |first: usize| {
            let columns = || (first..e.ncols().min(first + TILE)).map(|j| block.column(j));
            let mut values = Vec::with_capacity(2 * e.nrows() * TILE);
            columns().for_each(|g| values.extend(g.iter().map(|g| g * g)));
            columns().for_each(|g| values.extend(g.iter().zip(y).map(|(g, y)| g * y)));
            let values = MatRef::from_column_major_slice(&values, e.nrows(), 2 * columns().len());
            GridSums(product(self.weights.as_ref(), values, Par::Seq))
        };
        let tiles: Vec<usize> = (0..e.ncols()).step_by(TILE).collect();
        tiles.into_par_iter().map(tile).collect()
    }

    /// Sums of y^2.
    pub fn squares(&self, basis: &ScanBasis<'_>) -> Vec<f64> {
        let y = &basis.rotated.y;
        (0..self.at.len() + self.ends.len())
            .map(|i| (0..y.len()).map(|k| self.weights[(i, k)] * y[k] * y[k]).sum())
            .collect()
    }

    /// A model with one column at its best delta.
    pub fn optimum_of_one(
        &self,
        basis: &ScanBasis<'_>,
        model: &Candidate<'_>,
        (gg, gy): (&[f64], &[f64]),
        yy: &[f64],
    ) -> Result<CandidateFactor, CandidateState> {
        let places = self.at.len() + self.ends.len();
        let Some(values) = self.deviances_of_one(model, &gg[..places], &gy[..places], yy) else {
            return self.optimum(basis, model);
        };
        let near = self.near.as_ref().map(|near| Series {
            near,
            gg: &gg[places..],
            gy: &gy[places..],
        });
        self.best(basis, model, values.split_at(self.at.len()), near)
    }

    /// Deviances at points and ends of a model with one column, from sums that are given without what the kernel does not reach.
    /// `None` where the column explains nearly all of the response.
    fn deviances_of_one(&self, model: &Candidate<'_>, gg: &[f64], gy: &[f64], yy: &[f64]) -> Option<Vec<f64>> {
        let points = self.points.iter().map(|(_, g, null)| (*g, *null));
        let places = points.chain(self.ends.iter().map(|end| (end.g, end.log_det)));
        let one = |(i, (g, null)): (usize, (f64, f64))| {
            let rest = |a: usize, b: usize| match model.rest_of(a, b) {
                0.0 => 0.0,
                rest => rest / g,
            };
            let gg = gg[i] + rest(0, 0);
            let yy = yy[i] + rest(1, 1);
            let q = yy - (gy[i] + rest(1, 0)).powi(2) / gg;
            (q > NEARLY_ALL * yy).then(|| model.deviance_of(self.method, gg.ln() + q.ln(), q, null))
        };
        places.enumerate().map(one).collect()
    }

    /// The same by evaluating the model at each point.
    fn deviances(&self, basis: &ScanBasis<'_>, model: &Candidate<'_>) -> Vec<f64> {
        let one =
            |(h, g, _): &(f64, f64, f64)| model.deviance_at(self.method, &AtDelta::new(basis, self.method, (*h, *g)));
        self.points.iter().map(one).collect()
    }

    /// A model at its best delta.
    pub fn optimum(&self, basis: &ScanBasis<'_>, model: &Candidate<'_>) -> Result<CandidateFactor, CandidateState> {
        let at_end = |end: &AtDelta| model.deviance_at(self.method, end);
        let ends: Vec<f64> = self.ends.iter().map(at_end).collect();
        self.best(basis, model, (&self.deviances(basis, model), &ends), None)
    }

    /// From the deviances at the points and at the ends.
    fn best(
        &self,
        basis: &ScanBasis<'_>,
        model: &Candidate<'_>,
        (values, ends): (&[f64], &[f64]),
        near: Option<Series<'_>>,
    ) -> Result<CandidateFactor, CandidateState> {
        let near = |t: f64| near.as_ref().filter(|series| series.near.holds(t));
        let slopes = |t: f64| match near(t) {
            Some(series) => series.slopes(model, t),
            None => model.slopes(self.method, t),
        };
        let solve = |t: f64| match near(t) {
            Some(series) => series.solve(model, t),
            None => model.solve(&AtDelta::new(basis, self.method, proportions(t))),
        };
        let deviance = |factor: &CandidateFactor| model.deviance(self.method, factor);
        let unbounded = self.is_unbounded(model);
        let better = |a: &CandidateFactor, b: &CandidateFactor| deviance(a).total_cmp(&deviance(b));
        let first = match (unbounded, self.is_filled(model)) {
            (true, _) => 1,
            (_, true) => self.at.partition_point(|t| *t < self.smallest - PLATEAU.1),
            _ => 0,
        };
        let optima = self.valleys(values, first, !unbounded);
        let mut best = optima
            .map(|(low, start, high)| valley(slopes, low, start, high))
            // far from the kernel's eigenvalues the likelihood is level to rounding, and any point of it looks low
            .filter(|t| !unbounded || slopes(t - ASIDE).0 < 0.0)
            .filter_map(solve)
            .min_by(better);
        if best.is_none() && unbounded {
            best = self
                .descents(basis, &slopes)
                .into_iter()
                .filter_map(solve)
                .min_by(better);
        }
        let end = (0..ends.len())
            .min_by(|a, b| ends[*a].total_cmp(&ends[*b]))
            .unwrap_or(0);
        match best {
            Some(best) if self.ran_away(model, &best) => Err(CandidateState::Explained),
            Some(best) if self.is_filled(model) && self.is_pinned(&best, solve) => Err(CandidateState::Explained),
            Some(best) if deviance(&best) <= ends[end] => Ok(best),
            // the end counts only where the likelihood falls from there on
            None if unbounded && slopes(self.at[self.at.len() - 1]).0 > 0.0 => Err(CandidateState::Unbounded),
            _ => model.solve(&self.ends[end]).ok_or(CandidateState::Collinear),
        }
    }

    /// Does the deviance fall without bound as delta -> 0? That of ML does where the kernel misses a direction of X, or one that the candidates may fill.
    fn is_unbounded(&self, model: &Candidate<'_>) -> bool {
        self.method == Method::Ml && (self.unbounded || self.free > 0 && self.free <= model.c())
    }

    /// May the candidates fill what the kernel does not reach? Then the restricted likelihood levels off as delta -> 0.
    fn is_filled(&self, model: &Candidate<'_>) -> bool {
        self.method == Method::Reml && self.free > 0 && self.free <= model.c()
    }

    /// Is delta as good as 0, and does the statistic grow without bound towards it, because candidates under test have no error there?
    fn is_pinned(&self, best: &CandidateFactor, solve: impl Fn(f64) -> Option<CandidateFactor>) -> bool {
        let at = (best.g / best.h).ln();
        if best.g == 0.0 || at > self.smallest - PLATEAU.0 {
            return false;
        }
        let ratio = |factor: &CandidateFactor| {
            let (q, taken) = factor.squares();
            taken / q
        };
        solve(at + 2.0).is_none_or(|further| ratio(best) > E * ratio(&further))
    }

    /// Has the search run away, because candidates leave nothing of the response that the kernel does not reach?
    fn ran_away(&self, model: &Candidate<'_>, factor: &CandidateFactor) -> bool {
        self.free > model.c() && factor.g > 0.0 && (factor.g / factor.h).ln() < self.at[0] + 0.5
    }

    /// Every point where the slope changes sign from below, on the grid of a single fit.
    fn descents(&self, basis: &ScanBasis<'_>, slopes: &impl Fn(f64) -> (f64, f64)) -> Vec<f64> {
        let at = grid_points(basis.rotated);
        let slope: Vec<f64> = at.iter().map(|t| slopes(*t).0).collect();
        let falls = |i: &usize| slope[*i] < 0.0 && slope[i + 1] >= 0.0;
        (0..at.len() - 1)
            .filter(falls)
            .map(|i| valley(slopes, at[i], 0.5 * (at[i] + at[i + 1]), at[i + 1]))
            .collect()
    }

    /// Low points from the given one on with their neighbours, and where to start between them. `edge`: is the first one low if the likelihood falls from there on?
    fn valleys<'v>(
        &'v self,
        values: &'v [f64],
        first: usize,
        edge: bool,
    ) -> impl Iterator<Item = (f64, f64, f64)> + 'v {
        let last = values.len() - 1;
        let is_left = move |i: usize| i == 0 || edge && i == first;
        let is_low =
            move |i: usize| (is_left(i) || values[i] <= values[i - 1]) && (i == last || values[i] <= values[i + 1]);
        (first..=last)
            .filter(move |&i| is_low(i) && values[i].is_finite())
            .map(move |i| {
                let start = if is_left(i) || i == last {
                    self.at[i]
                } else {
                    self.vertex(i, values)
                };
                (
                    self.at[if is_left(i) { i } else { i - 1 }],
                    start,
                    self.at[(i + 1).min(last)],
                )
            })
    }

    /// Lowest point of the parabola through a low point and its neighbours, all equally spaced.
    fn vertex(&self, i: usize, values: &[f64]) -> f64 {
        let step = self.at[i + 1] - self.at[i];
        let (rise, bend) = (
            values[i + 1] - values[i - 1],
            values[i + 1] - 2.0 * values[i] + values[i - 1],
        );
        let shift = -0.5 * rise / bend;
        self.at[i]
            + if shift.is_finite() {
                step * shift.clamp(-0.5, 0.5)
            } else {
                0.0
            }
    }
}

/// Newton's method on the slope, by bisection where a step leaves the bracket of the minimum.
fn valley(slopes: impl Fn(f64) -> (f64, f64), mut low: f64, start: f64, mut high: f64) -> f64 {
    let mut t = start;
    for _ in 0..STEPS {
        let (slope, curvature) = slopes(t);
        if slope.is_nan() {
            return start;
        }
        if slope > 0.0 {
            high = t;
        } else {
            low = t;
        }
        let newton = t - slope / curvature;
        let next = if curvature > 0.0 && newton > low && newton < high {
            newton
        } else {
            0.5 * (low + high)
        };
        let step = (next - t).abs();
        t = next;
        if step < CLOSE {
            break;
        }
    }
    t
}
