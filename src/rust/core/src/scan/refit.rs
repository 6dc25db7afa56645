//! delta anew for each candidate: a grid by matrix products, then Newton's method from every valley, both end points looked at.

use super::basis::Basis;
use super::candidate::{Candidate, Place, Rotated, criterion};
use crate::likelihood::{Method, proportions};
use crate::linalg::product;
use crate::optimize::grid_points;
use faer::{Mat, Par};

/// The grid that all candidates share.
pub struct Grid {
    method: Method,
    at: Vec<f64>,
    /// h, g and the null model's log-determinant at each point.
    points: Vec<(f64, f64, f64)>,
    /// 1 / (h lambda + g), a row a point.
    weights: Mat<f64>,
    /// delta -> infinity, and delta -> 0 where the likelihood has a limit there.
    ends: Vec<Place>,
}

/// Every so many points of the grid of a single fit.
const EVERY: usize = 2;
const STEPS: usize = 60;
/// Newton's method doubles the digits: after a step as small as this one there is nothing to gain.
const CLOSE: f64 = 1e-5;

impl Grid {
    pub fn new(basis: &Basis<'_>, method: Method) -> Self {
        let null = criterion(basis, method);
        let at: Vec<f64> = grid_points(basis.rotated).into_iter().rev().step_by(EVERY).collect();
        let at: Vec<f64> = at.into_iter().rev().collect();
        let point = |t: &f64| {
            let (h, g) = proportions(*t);
            (h, g, null.log_det(h, g))
        };
        let points: Vec<(f64, f64, f64)> = at.iter().map(point).collect();
        let values = &basis.rotated.values;
        Self {
            method,
            weights: Mat::from_fn(at.len(), values.len(), |i, k| {
                (points[i].0 * values[k] + points[i].1).recip()
            }),
            ends: [Some((0.0, 1.0)), null.is_bounded().then_some((1.0, 0.0))]
                .into_iter()
                .flatten()
                .map(|end| Place::new(basis, method, end))
                .collect(),
            points,
            at,
        }
    }

    /// Sums over the rotated coordinates at each point, for all candidates of a block: of g^2 and of g y.
    pub fn sums(&self, basis: &Basis<'_>, block: &Rotated, par: Par) -> (Mat<f64>, Mat<f64>) {
        let y = &basis.rotated.y;
        let e = &block.e;
        let square = Mat::from_fn(e.nrows(), e.ncols(), |i, j| e[(i, j)] * e[(i, j)]);
        let cross = Mat::from_fn(e.nrows(), e.ncols(), |i, j| e[(i, j)] * y[i]);
        (
            product(self.weights.as_ref(), square.as_ref(), par),
            product(self.weights.as_ref(), cross.as_ref(), par),
        )
    }

    /// Sums of y^2.
    pub fn squares(&self, basis: &Basis<'_>) -> Vec<f64> {
        let y = &basis.rotated.y;
        (0..self.at.len())
            .map(|i| (0..y.len()).map(|k| self.weights[(i, k)] * y[k] * y[k]).sum())
            .collect()
    }

    /// Deviances of a model with one column, from sums that are given without what the kernel does not reach.
    pub fn deviances_of_one(&self, model: &Candidate<'_>, gg: &[f64], gy: &[f64], yy: &[f64]) -> Vec<f64> {
        let one = |i: usize| {
            let (_, g, null) = self.points[i];
            let rest = |a: usize, b: usize| model.rest_of(a, b) / g;
            let gg = gg[i] + rest(0, 0);
            let q = yy[i] + rest(1, 1) - (gy[i] + rest(1, 0)).powi(2) / gg;
            model.deviance_of(self.method, gg.ln() + q.ln(), q, null)
        };
        (0..self.at.len()).map(one).collect()
    }

    /// The same by evaluating the model at each point.
    pub fn deviances(&self, basis: &Basis<'_>, model: &Candidate<'_>) -> Vec<f64> {
        let one = |(h, g, _): &(f64, f64, f64)| model.deviance(self.method, &Place::new(basis, self.method, (*h, *g)));
        self.points.iter().map(one).collect()
    }

    /// The best place, from the deviances at the points, and its deviance.
    pub fn optimum(&self, basis: &Basis<'_>, model: &Candidate<'_>, values: &[f64]) -> (Place, f64) {
        let at = |place: (f64, f64)| {
            let place = Place::new(basis, self.method, place);
            let value = model.deviance(self.method, &place);
            (place, value)
        };
        let value_of = |place: &Place| model.deviance(self.method, place);
        let mut best: Option<(Place, f64)> = None;
        let last = values.len() - 1;
        for i in 0..=last {
            let is_low = (i == 0 || values[i] <= values[i - 1]) && (i == last || values[i] <= values[i + 1]);
            if !is_low || !values[i].is_finite() {
                continue;
            }
            let (low, high) = (self.at[i.saturating_sub(1)], self.at[(i + 1).min(last)]);
            let start = if i == 0 || i == last {
                self.at[i]
            } else {
                self.vertex(i, values)
            };
            let found = at(proportions(self.valley(model, low, start, high)));
            if best.as_ref().is_none_or(|best| found.1 < best.1) {
                best = Some(found);
            }
        }
        for end in &self.ends {
            let value = value_of(end);
            if best.as_ref().is_none_or(|best| value < best.1) {
                best = Some((end.clone(), value));
            }
        }
        best.unwrap_or_else(|| at((0.0, 1.0)))
    }

    /// Of the parabola through a low point and its neighbours, which are as far from it.
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

    /// Newton's method, halved where it leaves what is known to hold the minimum.
    fn valley(&self, model: &Candidate<'_>, mut low: f64, start: f64, mut high: f64) -> f64 {
        let mut t = start;
        for _ in 0..STEPS {
            let (slope, curvature) = model.slopes(self.method, t);
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
}
