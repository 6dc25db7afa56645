//! The likelihood of a response that lacks some rows, by the decomposition of all rows.
//!
//! Indicators of the missing rows among the columns of X leave these rows out, whatever stands in them: REML and ML are those of the others. With `(a, c)` the coordinates
//! of the indicators along X and along the rotated contrasts, `D = (h Lambda + g)^-1`, `W = c'D c` and S the Schur complement of `Criterion`
//!
//! ```text
//! Q = y'D y - y'D c W^-1 c'D y,   log|h K22 + g I| + log|W|,   S + t W^-1 t',  t = a - h K12 D c
//! ```

use crate::likelihood::delta_grid::log_least;
use crate::likelihood::optimize::{DeltaGrid, Objective, grid_points};
use crate::likelihood::{Criterion, Method, proportions};
use crate::linalg::weighted;
use crate::linalg::{Scalar, log_det};
use crate::rotation::response::Length;
use crate::runtime::error::Result;
use num_dual::{Dual2_64, Dual64};
use std::f64::consts::TAU;

/// A missing row as a unit vector: coordinates along X and along the rotated contrasts.
pub struct Indicator {
    pub a: Vec<f64>,
    pub c: Vec<f64>,
}

/// A response in the coordinates of all rows.
pub struct LeftOut<'a> {
    /// With any numbers in the missing rows: those that X would put there lose nothing.
    pub criterion: Criterion<'a>,
    pub missing: Vec<&'a Indicator>,
    /// Sum of the logarithms of the weights of the rows that are left.
    pub log_weights: f64,
}

impl LeftOut<'_> {
    /// -2 log L at its best delta; none where the rows that are left have no ordinary likelihood.
    pub fn best(&self, floor: f64, length: Length) -> Result<Option<f64>> {
        let data = self.criterion.data;
        let rounding = length.of_rotation(data.contrasts() + data.rank());
        if data.n_rest > 0 || data.null > 0 || self.contrasts() < 2 || self.parts(0.0, 1.0).0 <= rounding.powi(2) {
            return Ok(None);
        }
        let lower = if self.criterion.is_bounded() {
            self.at(1.0, 0.0)
        } else {
            f64::INFINITY
        };
        let grid = DeltaGrid::new(self, grid_points(data), lower, self.at(0.0, 1.0));
        let grid = match log_least(data, floor) {
            None => grid,
            Some(least) => grid.above(self, least),
        };
        let best = grid.optimum(self)?.map(|optimum| optimum.best.value);
        Ok(best.filter(|value| value.is_finite()))
    }

    fn contrasts(&self) -> usize {
        self.criterion.data.contrasts().saturating_sub(self.missing.len())
    }

    fn n(&self) -> f64 {
        let fixed = if self.criterion.method == Method::Ml {
            self.criterion.data.rank()
        } else {
            0
        };
        (self.contrasts() + fixed) as f64
    }

    fn at<D: Scalar>(&self, h: D, g: D) -> D {
        let (data, n) = (self.criterion.data, self.n());
        let (q, log_det) = self.parts(h, g);
        let x = if self.criterion.method == Method::Reml {
            data.log_det_x
        } else {
            0.0
        };
        (q / n).ln() * n + log_det + (n + n * TAU.ln() + 2.0 * n * data.y_scale.ln() + x - self.log_weights)
    }

    /// Q as a sum of squares, and the log-determinants.
    fn parts<D: Scalar>(&self, h: D, g: D) -> (D, D) {
        let data = self.criterion.data;
        let inverse = self.criterion.inverse(h, g);
        let root: Vec<D> = inverse.iter().map(|d| d.sqrt()).collect();
        let scaled = |x: &[f64]| -> Vec<D> { x.iter().zip(&root).map(|(x, s)| *s * *x).collect() };
        let (mut basis, mut l): (Vec<Vec<D>>, Vec<Vec<D>>) = (vec![], vec![]);
        for row in &self.missing {
            let (mut v, mut along) = (scaled(&row.c), vec![]);
            basis.iter().for_each(|q| along.push(take_off(&mut v, q)));
            let length = inner(&v, &v).sqrt();
            let unit = length.recip();
            v.iter_mut().for_each(|v| *v *= unit);
            along.push(length);
            basis.push(v);
            l.push(along);
        }
        let mut y = scaled(&data.y);
        basis.iter().for_each(|q| {
            take_off(&mut y, q);
        });
        let mut sum = D::from(0.0);
        data.values.iter().for_each(|value| sum += (h * *value + g).ln());
        l.iter().for_each(|row| sum += row[row.len() - 1].ln() * 2.0);
        if self.criterion.method == Method::Ml {
            sum += self.log_det_schur(h, g, &inverse, &l);
        }
        (inner(&y, &y), sum)
    }

    /// log|S + t W^-1 t'| with W = L L'.
    fn log_det_schur<D: Scalar>(&self, h: D, g: D, inverse: &[D], l: &[Vec<D>]) -> D {
        let data = self.criterion.data;
        let mut s = self.criterion.schur(h, g, inverse, data.rank());
        let mut solved: Vec<Vec<D>> = vec![];
        for (row, along) in self.missing.iter().zip(l) {
            let t = |k: usize| -h * weighted(&data.b[k], &row.c, inverse) + row.a[k];
            let mut u: Vec<D> = (0..data.rank()).map(t).collect();
            for (before, part) in solved.iter().zip(along) {
                u.iter_mut().zip(before).for_each(|(u, b)| *u -= *b * *part);
            }
            let unit = along[along.len() - 1].recip();
            u.iter_mut().for_each(|u| *u *= unit);
            solved.push(u);
        }
        for u in &solved {
            for (i, row) in s.iter_mut().enumerate() {
                row.iter_mut().zip(u).for_each(|(s, other)| *s += u[i] * *other);
            }
        }
        log_det(&mut s).unwrap_or(D::from(f64::INFINITY))
    }
}

fn inner<D: Scalar>(a: &[D], b: &[D]) -> D {
    let mut sum = D::from(0.0);
    a.iter().zip(b).for_each(|(a, b)| sum += *a * *b);
    sum
}

/// Takes the part along a unit vector off, and gives its length.
fn take_off<D: Scalar>(v: &mut [D], unit: &[D]) -> D {
    let along = inner(v, unit);
    v.iter_mut().zip(unit).for_each(|(v, q)| *v -= *q * along);
    along
}

impl Objective for LeftOut<'_> {
    fn dual(&self, at: Dual64) -> Dual64 {
        let (h, g) = proportions(at);
        self.at(h, g)
    }

    fn dual2(&self, at: Dual2_64) -> Dual2_64 {
        let (h, g) = proportions(at);
        self.at(h, g)
    }

    fn value(&self, at: f64) -> f64 {
        let (h, g) = proportions(at);
        self.at(h, g)
    }
}
