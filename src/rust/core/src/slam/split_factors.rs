//! F and points of factors with one of several random effects integrated out, those that `split_effects` draws given.
//!
//! In the basis of that effect rows are independent. A factor's point is drawn with F integrated out, on its ray or another one; the n_s stay, so that its mean moves with its point. Then F is drawn row by row.

use super::factor_proportions::some_of;
use super::factors::{by_columns, draw_rows};
use super::gaussian::Gaussian;
use super::model::{FactorModel, TILE, columns};
use super::ray_traits::other_basis;
use super::rng::{Block, Source, Stream, index};
use super::split_effects::{SplitEffects, WIDE, part, vertex};
use super::split_traits;
use super::state::State;
use super::traits::lower;
use crate::linalg::{dot, product, sum_of_logs};
use faer::{Mat, MatRef, Par};
use rayon::prelude::*;
use std::ops::Range;

/// Points and variances of some traits, points of some factors, then F. `y`: Y - X B, in rows; `effect`: the one that is integrated out.
pub fn draw_factors(
    model: &FactorModel,
    state: &mut State,
    (y, effects): (MatRef<'_, f64>, &SplitEffects),
    effect: usize,
    source: Source,
) {
    let Some(ray) = vertex(model, effect) else {
        return;
    };
    let place = (effect, ray);
    let mut left = left_in_basis(model, state, (y, effects), ray);
    split_traits::draw(model, state, (y, effects), (&mut left, place), source);
    let mut rows = SplitRows::new(model, state, (&left, effects), place);
    let mut rng = source.stream(state.iteration, Block::Moves, 2);
    // a precision that is not positive definite to rounding: the draw of F tells it
    if let Some(mut seen) = SeenFactors::new(&rows) {
        for m in some_of(model.k, &mut rng) {
            let points = points_of_two(model, state.gf[m], &mut rng);
            let g = points[index(&rows.log_densities(&seen, m, &points), &mut rng)];
            if g != state.gf[m] {
                rows.go(&mut seen, m, g);
                state.gf[m] = g;
            }
        }
    }
    let before = model.in_basis(ray, columns(&state.f, model.n()));
    let set = |prepared: &Mat<f64>, at: usize, i: usize, gaussian: &mut Gaussian| {
        gaussian.set(rows.entry(prepared, at, i), |m| rows.right_of(i, m));
    };
    let (drawn, failed) = draw_rows(before.as_ref(), state.iteration, source, |tile| rows.prepare(tile), set);
    state.failed.factors += failed;
    state.f = by_columns(&model.in_rows(ray, drawn.as_ref()));
}

/// What the effects that are given leave of the traits, in the basis of the one that is not.
pub fn left_in_basis(
    model: &FactorModel,
    state: &State,
    (y, effects): (MatRef<'_, f64>, &SplitEffects),
    ray: usize,
) -> Mat<f64> {
    let left = y - effects.of_traits(model, state);
    let traits: Vec<usize> = (0..model.p()).collect();
    let turned = |some: &[usize]| model.in_basis(ray, left.subcols(some[0], some.len()));
    let tiles: Vec<Mat<f64>> = traits.par_chunks(WIDE).map(turned).collect();
    let mut whole: Mat<f64> = Mat::zeros(model.n(), model.p());
    for (tile, first) in tiles.iter().zip((0..).step_by(WIDE)) {
        whole.subcols_mut(first, tile.ncols()).copy_from(tile);
    }
    whole
}

/// Points of the ray that a point is on, and of another one: each leads to the other as often.
pub fn points_of_two(model: &FactorModel, g: usize, rng: &mut Stream) -> Vec<usize> {
    let here = model.basis_of(g);
    let other = other_basis(model, here, rng);
    let more = if other == here { 0..0 } else { model.points_in(other) };
    model.points_in(here).chain(more).collect()
}

pub fn unit(k: usize, m: usize) -> Vec<f64> {
    (0..k).map(|o| if o == m { 1.0 } else { 0.0 }).collect()
}

/// Precisions and right sides of the rows of F in the basis of the effect.
pub struct SplitRows<'a> {
    pub model: &'a FactorModel,
    /// The effect, and the ray on which it has all.
    place: (usize, usize),
    /// `sum_j lambda_j lambda_j' / sigma2_j` of the traits at each point that one is at, lower triangles x points, and the weights of these points, n x points.
    precision: Mat<f64>,
    weights_of_traits: Mat<f64>,
    /// `sum_j lambda_j w_ij y_ij / sigma2_j`, n x k.
    right: Mat<f64>,
    /// X_F b_F, and n_s of the other effects.
    fixed: Mat<f64>,
    others: Vec<(usize, Mat<f64>)>,
    /// Prior mean and weights of each factor at its point.
    mean: Mat<f64>,
    own: Vec<Vec<f64>>,
}

impl<'a> SplitRows<'a> {
    /// `left`: that of [`left_in_basis`].
    pub fn new(
        model: &'a FactorModel,
        state: &State,
        (left, effects): (&Mat<f64>, &SplitEffects),
        (effect, ray): (usize, usize),
    ) -> Self {
        let (n, p, k) = (model.n(), model.p(), model.k);
        let mut points = state.g.clone();
        points.sort_unstable();
        points.dedup();
        let place = |j: usize| points.binary_search(&state.g[j]).unwrap_or(0);
        let places: Vec<usize> = (0..p).map(place).collect();
        let mut precision = Mat::zeros(lower(k, 0), points.len());
        for (j, &at) in places.iter().enumerate() {
            let lambda = state.lambda(model, j);
            for m in 0..k {
                let one = lambda[m] / state.sigma2[j];
                (0..=m).for_each(|o| precision[(lower(m, o), at)] += one * lambda[o]);
            }
        }
        let all: Vec<Vec<f64>> = points.iter().map(|g| weights(model, (effect, ray), *g)).collect();
        let mut weighted = left.clone();
        for (j, &at) in places.iter().enumerate() {
            let by = state.sigma2[j].recip();
            let each = weighted.col_as_slice_mut(j).iter_mut().zip(&all[at]);
            each.for_each(|(left, w)| *left *= by * w);
        }
        let lambda = Mat::from_fn(p, k, |j, m| state.lambda(model, j)[m]);
        let other = |(s, own): (usize, &Mat<f64>)| (s, model.in_basis(ray, own.subcols(p, k)));
        let mut rows = Self {
            model,
            place: (effect, ray),
            precision,
            weights_of_traits: Mat::from_fn(n, points.len(), |i, at| all[at][i]),
            right: product(weighted.as_ref(), lambda.as_ref(), Par::Seq),
            fixed: match model.bf() {
                0 => Mat::zeros(n, k),
                bf => product(model.xf_in(ray).as_ref(), columns(&state.bf, bf), Par::Seq),
            },
            others: effects.given().map(other).collect(),
            mean: Mat::zeros(n, k),
            own: state.gf.iter().map(|g| weights(model, (effect, ray), *g)).collect(),
        };
        for (m, &g) in state.gf.iter().enumerate() {
            let mean = rows.mean_at(m, g);
            rows.mean.col_as_slice_mut(m).copy_from_slice(&mean);
        }
        rows
    }

    /// Weights of V_r at a point.
    fn weights(&self, g: usize) -> Vec<f64> {
        weights(self.model, self.place, g)
    }

    /// A factor's mean at a point.
    fn mean_at(&self, m: usize, g: usize) -> Vec<f64> {
        let mut mean = self.fixed.col_as_slice(m).to_vec();
        for (s, other) in &self.others {
            let sd = part(self.model, g, *s).sqrt();
            (mean.iter_mut().zip(other.col_as_slice(m))).for_each(|(mean, x)| *mean += sd * x);
        }
        mean
    }

    /// `sum_j lambda_j lambda_j' w_ij / sigma2_j`, lower triangles x rows.
    fn prepare(&self, rows: Range<usize>) -> Mat<f64> {
        let some = self.weights_of_traits.subrows(rows.start, rows.len());
        product(self.precision.as_ref(), some.transpose(), Par::Seq)
    }

    fn entry(&self, prepared: &Mat<f64>, at: usize, i: usize) -> impl Fn(usize, usize) -> f64 {
        move |m, o| prepared[(lower(m, o), at)] + if m == o { self.own[m][i] } else { 0.0 }
    }

    fn right_of(&self, i: usize, m: usize) -> f64 {
        self.right[(i, m)] + self.own[m][i] * self.mean[(i, m)]
    }

    /// Factor m goes to a point.
    pub fn go(&mut self, seen: &mut SeenFactors, m: usize, g: usize) {
        let (weights, mean) = (self.weights(g), self.mean_at(m, g));
        let (old, from) = (&self.own[m], self.mean.col_as_slice(m));
        let change = |i: usize| (weights[i] - old[i], weights[i] * mean[i] - old[i] * from[i]);
        seen.update(&unit(self.model.k, m), change);
        self.mean.col_as_slice_mut(m).copy_from_slice(&mean);
        self.own[m] = weights;
    }

    /// Log density of each of some points for factor m, F integrated out. The data see f_i with precision a and at a value that is `about / a` beyond its mean.
    pub fn log_densities(&self, seen: &SeenFactors, m: usize, points: &[usize]) -> Vec<f64> {
        let grid = &self.model.proportions;
        let mean = self.mean.col_as_slice(m);
        let (a, about) = seen.of_factor(m, &self.own[m], mean);
        let point = |&g: &usize| {
            let (weights, there) = (self.weights(g), self.mean_at(m, g));
            let mut sum = 0.0;
            let mut shares = vec![0.0; weights.len()];
            for i in 0..weights.len() {
                let (share, by) = (weights[i] / (a[i] + weights[i]), there[i] - mean[i]);
                sum += 0.5 * about[i] * about[i] / (a[i] + weights[i]) + share * by * (about[i] - 0.5 * a[i] * by);
                shares[i] = share;
            }
            grid.log_factors[g] + sum + 0.5 * sum_of_logs(&shares)
        };
        points.par_iter().map(point).collect()
    }
}

/// 1 / (h_r s + 1 - H) at a point, in the basis of the effect.
pub fn weights(model: &FactorModel, (effect, ray): (usize, usize), g: usize) -> Vec<f64> {
    let (h, rest) = (part(model, g, effect), 1.0 - model.proportions.h[g]);
    model.s_in(ray).iter().map(|s| (h * s + rest).recip()).collect()
}

/// F given the traits: covariance of each row, by rows, and mean.
pub struct SeenFactors {
    k: usize,
    s: Vec<f64>,
    mean: Vec<f64>,
}

impl SeenFactors {
    /// `None` if a row's precision is not positive definite to rounding.
    pub fn new(rows: &SplitRows<'_>) -> Option<Self> {
        let (n, k) = (rows.model.n(), rows.model.k);
        let all: Vec<usize> = (0..k).collect();
        let tile = |t: usize| {
            let range = t * TILE..((t + 1) * TILE).min(n);
            let prepared = rows.prepare(range.clone());
            let mut gaussian = Gaussian::new(k);
            let (mut s, mut mean) = (vec![], vec![]);
            for (at, i) in range.enumerate() {
                gaussian.set(rows.entry(&prepared, at, i), |m| rows.right_of(i, m));
                gaussian.inverse_at(&all, &mut s, &mut mean).then_some(())?;
            }
            Some((s, mean))
        };
        let tiles = (0..n.div_ceil(TILE)).into_par_iter().map(tile);
        let (s, mean): (Vec<Vec<f64>>, Vec<Vec<f64>>) = tiles.collect::<Option<Vec<_>>>()?.into_iter().unzip();
        Some(Self {
            k,
            s: s.concat(),
            mean: mean.concat(),
        })
    }

    /// Variance and mean of `F lambda`, row by row.
    pub fn along(&self, lambda: &[f64]) -> Vec<(f64, f64)> {
        let rows = self.s.chunks(self.k * self.k).zip(self.mean.chunks(self.k));
        let one = |(s, mean): (&[f64], &[f64])| {
            let square = |(s, l): (&[f64], &f64)| l * dot(s, lambda);
            (s.chunks(self.k).zip(lambda).map(square).sum(), dot(mean, lambda))
        };
        rows.map(one).collect()
    }

    /// What the traits alone say of a factor that has these weights and means: a precision in each row, and it times how far the value is from the mean.
    fn of_factor(&self, m: usize, weights: &[f64], mean: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let k = self.k;
        let rows = self.s.chunks(k * k).zip(self.mean.chunks(k));
        let one = |(i, (s, seen)): (usize, (&[f64], &[f64]))| {
            let own = s[m * k + m].recip();
            ((own - weights[i]).max(0.0), own * (seen[m] - mean[i]))
        };
        rows.enumerate().map(one).unzip()
    }

    /// After the precision of each row changed by `delta lambda lambda'`, and its right side by `right lambda`.
    pub fn update(&mut self, lambda: &[f64], change: impl Fn(usize) -> (f64, f64)) {
        let k = self.k;
        let mut column = vec![0.0; k];
        let rows = self.s.chunks_mut(k * k).zip(self.mean.chunks_mut(k));
        for (i, (s, mean)) in rows.enumerate() {
            (column.iter_mut().zip(s.chunks(k))).for_each(|(x, s)| *x = dot(s, lambda));
            let (delta, right) = change(i);
            let ratio = 1.0 + delta * dot(&column, lambda);
            let by = (right - delta * dot(mean, lambda)) / ratio;
            for a in 0..k {
                mean[a] += by * column[a];
                (0..k).for_each(|b| s[a * k + b] -= delta / ratio * column[a] * column[b]);
            }
        }
    }
}
