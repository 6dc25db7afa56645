//! The null model with some candidates: S(delta), its Cholesky factor, and what follows from it.

use super::basis::ScanBasis;
use super::rotate::RotatedBlock;
use crate::likelihood::{Criterion, Method, proportions};
use crate::linalg::weighted;
use crate::linalg::{Scalar, axpy, dot, log_det};
use num_dual::{Dual2_64, DualNum};
use std::borrow::Cow;

/// Part of a candidate's square that X must leave.
pub const LEFT: f64 = 1e-10;
/// Part of a response's square below which what candidates leave of it is not taken as a difference: four digits are lost there.
pub const CLOSE: f64 = 1e-4;
/// Passes of taking the candidates out of the response: each makes the remainder exact to many more digits.
const PASSES: usize = 4;

impl RotatedBlock {
    /// The model with some candidates; those that depend on X or on others before them are left out.
    pub fn model<'a>(&'a self, basis: &'a ScanBasis<'a>, candidates: &[usize], adjust: usize) -> Candidate<'a> {
        let mut kept: Vec<usize> = vec![];
        let mut factor: Vec<Vec<f64>> = vec![];
        let mut adjusted = 0;
        for (place, &j) in candidates.iter().enumerate() {
            let mut row: Vec<f64> = vec![];
            for (i, &k) in kept.iter().enumerate() {
                row.push((self.projected(basis, j, k) - dot(&factor[i][..i], &row)) / factor[i][i]);
            }
            let left = self.projected(basis, j, j) - dot(&row, &row);
            if left > LEFT * self.columns[j].square {
                row.push(left.sqrt());
                factor.push(row);
                kept.push(j);
                adjusted += usize::from(place < adjust);
            }
        }
        let data = basis.rotated;
        let columns: Vec<&[f64]> = kept.iter().map(|&j| self.column(j)).collect();
        let own: Vec<f64> = kept.iter().map(|&j| self.rest(basis, j)).collect();
        let pair = |a: usize, b: usize| match (own[a], own[b]) {
            (0.0, _) | (_, 0.0) => 0.0,
            _ if a == b => own[a],
            _ => self.projected(basis, kept[a], kept[b]) - dot(columns[a], columns[b]),
        };
        let mut rest: Vec<Vec<f64>> = (0..kept.len()).map(|a| (0..=a).map(|b| pair(a, b)).collect()).collect();
        let with_y = |a: usize| match own[a] {
            0.0 => 0.0,
            _ => self.v[kept[a]] - dot(columns[a], &data.y),
        };
        let last = (0..kept.len()).map(with_y).chain([data.rho]).collect();
        rest.push(last);
        Candidate {
            basis,
            log_scale: kept.iter().map(|&j| self.columns[j].scale.ln()).sum(),
            y: Cow::Borrowed(&data.y),
            along: vec![0.0; kept.len()],
            block: self,
            columns,
            rest,
            adjust: adjusted,
            kept,
        }
    }
}

/// What all candidates share at one (h, g).
#[derive(Clone)]
pub struct AtDelta {
    pub h: f64,
    pub g: f64,
    inverse: Vec<f64>,
    /// Of the null model.
    pub log_det: f64,
    /// Mean of the weights of all contrasts.
    pub mean: f64,
}

impl AtDelta {
    pub fn new(basis: &ScanBasis<'_>, method: Method, (h, g): (f64, f64)) -> Self {
        let null = criterion(basis, method);
        let inverse = null.inverse(h, g);
        let rest = match basis.rotated.n_rest {
            0 => 0.0,
            count => count as f64 / g,
        };
        Self {
            h,
            g,
            mean: (inverse.iter().sum::<f64>() + rest) / basis.rotated.contrasts() as f64,
            inverse,
            log_det: null.log_det(h, g),
        }
    }
}

/// The null model with further columns, the first `adjust` of them not under test.
#[derive(Clone)]
pub struct Candidate<'a> {
    basis: &'a ScanBasis<'a>,
    block: &'a RotatedBlock,
    pub kept: Vec<usize>,
    columns: Vec<&'a [f64]>,
    /// The response without `along` times the columns: the same model, and no cancellation where they explain nearly all of it.
    y: Cow<'a, [f64]>,
    along: Vec<f64>,
    /// Lower triangle of what the kernel does not reach of [C y]'[C y].
    rest: Vec<Vec<f64>>,
    pub adjust: usize,
    log_scale: f64,
}

/// S(delta) by its Cholesky factor, which says all about the model there.
pub struct CandidateFactor {
    pub h: f64,
    pub g: f64,
    /// The null model's log-determinant.
    null: f64,
    factor: Vec<Vec<f64>>,
    adjust: usize,
    along: Vec<f64>,
}

impl CandidateFactor {
    /// log|S|
    pub fn log_det(&self) -> f64 {
        2.0 * self.factor.iter().enumerate().map(|(i, row)| row[i].ln()).sum::<f64>()
    }

    fn c(&self) -> usize {
        self.factor.len() - 1
    }

    /// Residual square, and what the columns under test take from it.
    pub fn squares(&self) -> (f64, f64) {
        let c = self.c();
        let taken = (self.adjust..c).map(|j| self.score(j).powi(2)).sum();
        (self.factor[c][c].powi(2), taken)
    }

    /// Entry j of the factor's last row for the whole response: L'beta.
    fn score(&self, j: usize) -> f64 {
        let c = self.c();
        self.factor[c][j] + (j..c).map(|k| self.factor[k][j] * self.along[k]).sum::<f64>()
    }

    /// Residual sum of squares over that of the response, both under the inverse covariance.
    pub fn left(&self) -> f64 {
        let y = &self.factor[self.c()];
        let left = y[self.c()].powi(2);
        left / y.iter().map(|l| l * l).sum::<f64>()
    }

    pub fn is_at(&self, place: &AtDelta) -> bool {
        (self.h, self.g) == (place.h, place.g)
    }

    /// Does the response differ from the data's?
    pub fn is_shifted(&self) -> bool {
        self.along.iter().any(|a| *a != 0.0)
    }

    /// Estimates with the response as it is in the model.
    fn step(&self) -> Vec<f64> {
        let c = self.c();
        let mut beta = self.factor[c][..c].to_vec();
        for j in (0..c).rev() {
            let above: f64 = (j + 1..c).map(|k| self.factor[k][j] * beta[k]).sum();
            beta[j] = (beta[j] - above) / self.factor[j][j];
        }
        beta
    }

    /// Estimate of the last column, and its standard error for a unit residual variance.
    pub fn last(&self) -> (f64, f64) {
        let c = self.c();
        let pivot = self.factor[c - 1][c - 1];
        (self.factor[c][c - 1] / pivot + self.along[c - 1], pivot.recip())
    }
}

impl Candidate<'_> {
    pub fn c(&self) -> usize {
        self.columns.len()
    }

    /// What the kernel does not reach of a product; y comes last.
    pub fn rest_of(&self, a: usize, b: usize) -> f64 {
        self.rest[a][b]
    }

    pub fn tested(&self) -> usize {
        self.c() - self.adjust
    }

    /// Contrasts that are left.
    pub fn contrasts(&self) -> usize {
        self.basis.rotated.contrasts().saturating_sub(self.c())
    }

    /// Lower triangle of S at (h, g).
    fn s<D: Scalar>(&self, inverse: &[D], g: D) -> Vec<Vec<D>> {
        let y = &self.y[..];
        let column = |a: usize| self.columns.get(a).copied().unwrap_or(y);
        let entry = |a: usize, b: usize| {
            let sum = weighted(column(a), column(b), inverse);
            match self.rest[a][b] {
                0.0 => sum,
                rest => sum + g.recip() * rest,
            }
        };
        (0..=self.c()).map(|a| (0..=a).map(|b| entry(a, b)).collect()).collect()
    }

    pub fn solve(&self, place: &AtDelta) -> Option<CandidateFactor> {
        let factor = self.solve_as_it_is(place)?;
        if factor.left() >= CLOSE {
            return Some(factor);
        }
        self.settled(place)?.solve_as_it_is(place)
    }

    fn solve_as_it_is(&self, place: &AtDelta) -> Option<CandidateFactor> {
        self.solved((place.h, place.g), place.log_det, self.s(&place.inverse, place.g))
    }

    /// The same model with a response of which the columns explain little at a place: its residual sum of squares is then a sum of squares, not a difference.
    fn settled(&self, place: &AtDelta) -> Option<Self> {
        let mut model = self.clone();
        for _ in 0..PASSES {
            let factor = model.solve_as_it_is(place)?;
            if factor.left() >= CLOSE {
                break;
            }
            model = model.without(&factor.step());
        }
        Some(model)
    }

    /// With `step` times the columns taken off the response.
    fn without(mut self, step: &[f64]) -> Self {
        for (column, b) in self.columns.iter().zip(step) {
            axpy(-b, column, self.y.to_mut());
        }
        self.along.iter_mut().zip(step).for_each(|(a, b)| *a += b);
        if self.basis.rotated.n_rest > 0 {
            self.rest_without(step);
        }
        self
    }

    /// What the kernel does not reach of the response: written out if it can be.
    fn rest_without(&mut self, step: &[f64]) {
        let c = self.c();
        if self.basis.by_rows {
            let columns: Vec<Vec<f64>> = self.kept.iter().map(|&j| self.block.unreached(self.basis, j)).collect();
            let mut y = self.basis.unreached();
            columns.iter().zip(&self.along).for_each(|(u, a)| axpy(-a, u, &mut y));
            let products: Vec<f64> = columns.iter().map(|u| dot(u, &y)).collect();
            self.rest[c] = products.into_iter().chain([dot(&y, &y)]).collect();
            return;
        }
        let full = |a: usize, b: usize| self.rest[a.max(b)][a.min(b)];
        let times: Vec<f64> = (0..c).map(|a| (0..c).map(|b| full(a, b) * step[b]).sum()).collect();
        let cross: f64 = (0..c).map(|a| step[a] * (times[a] - 2.0 * self.rest[c][a])).sum();
        for (y, t) in self.rest[c].iter_mut().zip(&times) {
            *y -= t;
        }
        self.rest[c][c] = (self.rest[c][c] + cross).max(0.0);
    }

    /// Is the residual lost in rounding because cells are not rows?
    pub fn is_lost(&self, factor: &CandidateFactor) -> bool {
        let hidden = self.basis.rotated.n_rest > 0 && !self.basis.by_rows;
        hidden && factor.is_shifted() && (0..self.c()).any(|a| self.rest[a][a] > 0.0)
    }

    /// Is it rounding anyway, of the response and of what is taken off it?
    pub fn is_perfect(&self, factor: &CandidateFactor, place: &AtDelta) -> bool {
        if !factor.is_shifted() {
            return false;
        }
        let parts = factor.step().into_iter().zip(&factor.along).map(|(b, a)| (b + a).abs());
        let sizes = self.kept.iter().map(|&j| self.block.columns[j].square.sqrt());
        let taken: f64 = parts.zip(sizes).map(|(b, size)| b * size).sum();
        factor.squares().0 <= place.mean * self.basis.rounding(taken).powi(2)
    }

    /// From the lower triangle of S at (h, g), and the null model's log-determinant.
    pub fn solved(&self, (h, g): (f64, f64), null: f64, s: Vec<Vec<f64>>) -> Option<CandidateFactor> {
        let (mut factor, c) = (s, self.c());
        if log_det(&mut factor).is_none() {
            // nothing left of the response is no failure of the columns
            if !(0..c).all(|j| factor[j][j] > 0.0) || factor[c][c].is_nan() {
                return None;
            }
            factor[c][c] = 0.0;
        }
        Some(CandidateFactor {
            h,
            g,
            null,
            factor,
            adjust: self.adjust,
            along: self.along.clone(),
        })
    }

    /// -2 log L, all constants included.
    pub fn deviance(&self, method: Method, factor: &CandidateFactor) -> f64 {
        self.deviance_of(method, factor.log_det(), factor.squares().0, factor.null)
    }

    pub fn deviance_at(&self, method: Method, place: &AtDelta) -> f64 {
        let factor = self.solve(place);
        factor.map_or(f64::INFINITY, |factor| self.deviance(method, &factor))
    }

    /// From `log|S|`, Q and the null model's log-determinant.
    pub fn deviance_of(&self, method: Method, log_det: f64, q: f64, null: f64) -> f64 {
        let n = self.n(method);
        let data = self.basis.rotated;
        let fixed = match method {
            Method::Reml => log_det - q.ln() + data.log_det_x + 2.0 * self.log_scale,
            Method::Ml => 0.0,
        };
        n * ((q / n).ln() + 1.0 + std::f64::consts::TAU.ln() + 2.0 * data.y_scale.ln()) + fixed + null
            - data.log_weights
    }

    /// Observations that count.
    pub fn n(&self, method: Method) -> f64 {
        match method {
            Method::Reml => self.contrasts() as f64,
            Method::Ml => criterion(self.basis, method).n() as f64,
        }
    }

    /// Slope and curvature of the deviance in log delta.
    pub fn slopes(&self, method: Method, log_delta: f64) -> (f64, f64) {
        if let Some(slopes) = self.slopes_as_it_is(method, log_delta) {
            return slopes;
        }
        let place = AtDelta::new(self.basis, method, proportions(log_delta));
        let settled = self.settled(&place);
        let slopes = settled.and_then(|model| model.slopes_as_it_is(method, log_delta));
        slopes.unwrap_or((f64::NAN, f64::NAN))
    }

    /// `None` where the columns explain nearly all of the response.
    fn slopes_as_it_is(&self, method: Method, log_delta: f64) -> Option<(f64, f64)> {
        let null = criterion(self.basis, method);
        let (h, g) = proportions(Dual2_64::from(log_delta).derivative());
        let inverse = null.inverse(h, g);
        let mut s = self.s(&inverse, g);
        let whole = s[self.c()][self.c()].re;
        let log_s = log_det(&mut s)?;
        let left = s[self.c()][self.c()];
        if left.re * left.re < CLOSE * whole {
            return None;
        }
        let log_q = left.ln() * 2.0;
        let mut deviance = log_q * self.n(method);
        match method {
            Method::Reml => deviance += log_s - log_q,
            Method::Ml => deviance += null.log_det_schur(h, g, &inverse),
        }
        // the slope of ln x is that of x over x: no logarithms
        let (mut slope, mut curvature) = (deviance.v1, deviance.v2);
        for u in &inverse {
            let relative = u.v1 / u.re;
            slope -= relative;
            curvature -= u.v2 / u.re - relative * relative;
        }
        let log_g = g.ln() * self.basis.rotated.n_rest as f64;
        Some((slope + log_g.v1, curvature + log_g.v2))
    }
}

pub fn criterion<'a>(basis: &ScanBasis<'a>, method: Method) -> Criterion<'a> {
    Criterion {
        data: basis.rotated,
        method,
    }
}
