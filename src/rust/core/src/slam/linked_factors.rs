//! F given what is left of values behind links (interweaving): `F <- F + D, eta <- eta + D Lambda'`, by the data's own likelihood.
//!
//! Where data say little of single values these are what F says as soon as residuals are small, and F is what they say: with all traits behind links neither moves by more than residuals do. Given what is left of eta,
//! and the factors' own effects u, rows are independent of each other, each with the data of all its traits,
//!
//! ```text
//! f_i ~ N(B_F' x_Fi + u_i, diag(1 - h_F))
//! ```
//!
//! and are drawn as `link::loadings` draws loadings, all at once.

use super::effects::effect;
use super::factors::{by_columns, residual};
use super::gaussian::Gaussian;
use super::group_moves::in_own_bases;
use super::link::loadings::{Ellipse, turned};
use super::missing::{First, firsts};
use super::model::{FactorModel, TILE, columns};
use super::rng::{Block, Source, Stream, uniform};
use super::state::State;
use super::traits::lower;
use crate::linalg::{add_product, product};
use faer::{Mat, MatMut, MatRef, Par};
use rayon::prelude::*;

/// One iteration in so many, where all data are normal: then rows are drawn as they would be given such data.
const EVERY: u64 = 2;

/// The same of counts and proportions: proposals cost as much again as the rest of an iteration, and bring less.
const OTHERS_EVERY: u64 = 32;

/// Proposals of a row, after which it stays as it is.
const PROPOSALS: usize = 10;

/// F and all values, and `y` (Q'Y) with them.
pub fn draw(model: &FactorModel, state: &mut State, y: &mut Mat<f64>, source: Source) {
    let every = if are_normal(model) { EVERY } else { OTHERS_EVERY };
    let due = state.iteration % every == 1;
    if due && model.k > 0 && are_smooth(model) {
        let mut rng = source.stream(state.iteration, Block::Moves, 3);
        move_rows(model, state, y, &mut rng);
    }
}

/// Are all data normal given their values?
fn are_normal(model: &FactorModel) -> bool {
    (0..model.p()).all(|j| !model.is_behind(j))
}

/// Has every trait data that are random given its values?
fn are_smooth(model: &FactorModel) -> bool {
    let smooth = |j: usize| model.is_joint(j) || model.link(j).is_some_and(|link| link.is_smooth());
    model.has_links() && (0..model.p()).all(smooth)
}

fn move_rows(model: &FactorModel, state: &mut State, y: &mut Mat<f64>, rng: &mut Stream) {
    let rows = LinkedRows::new(model, state, rng);
    let Some(mut walks) = rows.walks(rng) else {
        state.failed.factors += 1;
        return;
    };
    // a draw of normal data is what its row is drawn from
    let proposals = if are_normal(model) { 0 } else { PROPOSALS };
    walks.iter_mut().for_each(|walk| walk.done = proposals == 0);
    let before = if proposals == 0 { vec![] } else { rows.gains(rows.eta) };
    for _ in 0..proposals {
        let there = rows.eta_at(&rows.at(&walks));
        let gains = rows.gains(there.as_ref());
        for (i, walk) in walks.iter_mut().enumerate().filter(|(_, walk)| !walk.done) {
            walk.done = gains[i] - before[i] > walk.level;
            if !walk.done {
                walk.ellipse.shrink(rng);
            }
        }
        if walks.iter().all(|walk| walk.done) {
            break;
        }
    }
    walks
        .iter_mut()
        .filter(|walk| !walk.done)
        .for_each(|walk| walk.ellipse.angle = 0.0);
    let f = rows.at(&walks);
    let (step, lambda) = (&f - &rows.f, rows.lambda);
    let turned = turn_to_basis(model, f);
    let turned_step = &turned - columns(&state.f, model.n());
    let cells = MatMut::from_column_major_slice_mut(&mut state.cells, model.n(), model.p());
    add_product(cells, step.as_ref(), lambda.transpose());
    add_product(y.as_mut(), turned_step.as_ref(), lambda.transpose());
    state.f = by_columns(&turned);
}

/// A row on its ellipse.
struct Walk {
    mean: Vec<f64>,
    other: Vec<f64>,
    ellipse: Ellipse,
    level: f64,
    done: bool,
}

/// What rows of F are drawn from.
struct LinkedRows<'a> {
    model: &'a FactorModel,
    /// Parameters of all links, and where those of each trait's begin.
    parameters: &'a [f64],
    firsts: Vec<First>,
    /// eta, F, and its mean given the factors' own effects, in rows.
    eta: MatRef<'a, f64>,
    f: Mat<f64>,
    mean: Mat<f64>,
    /// Precision of each factor about it.
    own: Vec<f64>,
    /// p x k
    lambda: Mat<f64>,
    /// Normal data like those of traits with a link of their own, none of others, and their precisions, rows x traits, 0 for others.
    like: Vec<Vec<f64>>,
    w: Mat<f64>,
}

impl<'a> LinkedRows<'a> {
    fn new(model: &'a FactorModel, state: &'a State, rng: &mut Stream) -> Self {
        let (n, p) = (model.n(), model.p());
        let (mut like, mut w, firsts): (_, Mat<f64>, _) = (vec![vec![]; p], Mat::zeros(n, p), firsts(model));
        for (j, first) in firsts.iter().enumerate() {
            if let Some(link) = model.link(j) {
                let data = link.normal_data(&state.link[first.parameter..], n);
                w.col_as_slice_mut(j).copy_from_slice(&data.w);
                like[j] = data.y;
            }
        }
        Self {
            model,
            parameters: &state.link,
            firsts,
            eta: columns(&state.cells, n),
            f: turn_to_rows(model, columns(&state.f, n)),
            mean: means(model, state, rng),
            own: state.gf.iter().map(|g| 1.0 / (1.0 - model.proportions.h[*g])).collect(),
            lambda: Mat::from_fn(p, model.k, |j, m| state.lambda(model, j)[m]),
            like,
            w,
        }
    }

    /// The normal distribution of each row if the data were normal ones, and a draw about its mean. `None` if a precision is not positive definite to rounding.
    fn walks(&self, rng: &mut Stream) -> Option<Vec<Walk>> {
        let (n, p, k) = (self.f.nrows(), self.lambda.nrows(), self.lambda.ncols());
        let mut pairs = Mat::zeros(lower(k, 0), p);
        for j in 0..p {
            let lambda: Vec<f64> = self.lambda.row(j).iter().copied().collect();
            let places = (0..k).flat_map(|m| (0..=m).map(move |o| (m, o)));
            let each = pairs.col_as_slice_mut(j).iter_mut().zip(places);
            each.for_each(|(pair, (m, o))| *pair = lambda[m] * lambda[o]);
        }
        let mut precision = product(pairs.as_ref(), self.w.transpose(), Par::Seq);
        // what the data say beside all that F does not explain: about where the rows are now
        let mut lack = product(self.f.as_ref(), self.lambda.transpose(), Par::Seq);
        for (j, like) in self.like.iter().enumerate() {
            let lack = lack.col_as_slice_mut(j);
            if like.is_empty() {
                lack.fill(0.0);
                continue;
            }
            let (eta, w) = (column(self.eta, j), self.w.col_as_slice(j));
            let each = lack.iter_mut().zip(like).zip(eta).zip(w);
            each.for_each(|(((lack, like), eta), w)| *lack = w * (*lack + like - eta));
        }
        let mut right = product(lack.as_ref(), self.lambda.as_ref(), Par::Seq);
        self.add_joint(&mut precision, &mut right);
        let (normal, mut gaussian) = (are_normal(self.model), Gaussian::new(k));
        let mut walk = |i: usize| {
            let precision = precision.col_as_slice(i);
            gaussian.set(
                |m, o| precision[lower(m, o)] + if m == o { self.own[m] } else { 0.0 },
                |m| right[(i, m)] + self.own[m] * self.mean[(i, m)],
            );
            let (mut mean, mut other) = (vec![0.0; k], vec![0.0; k]);
            gaussian.mean(&mut mean).then_some(())?;
            gaussian.draw_for(|_| 0.0, &mut other, rng);
            Some(Walk {
                mean,
                other,
                ellipse: if normal {
                    Ellipse::INDEPENDENT
                } else {
                    Ellipse::new(rng)
                },
                level: uniform(rng).ln(),
                done: false,
            })
        };
        (0..n).map(&mut walk).collect()
    }

    /// Adds the evidence of traits that have data together.
    fn add_joint(&self, precision: &mut Mat<f64>, right: &mut Mat<f64>) {
        let k = self.lambda.ncols();
        for joint in &self.model.joint {
            let (first, count) = (joint.first, joint.link.traits());
            let parameters = &self.parameters[self.firsts[first].parameter..];
            let rows = joint.link.of_rows(self.eta.subcols(first, count), parameters);
            let lambda = self.lambda.subrows(first, count);
            let of_set = |whole: &Mat<f64>| lambda.transpose() * whole * lambda;
            let sets: Vec<Mat<f64>> = rows.precisions.iter().map(of_set).collect();
            for (i, &set) in rows.which.iter().enumerate() {
                for m in 0..k {
                    (0..=m).for_each(|o| precision[(lower(m, o), i)] += sets[set][(m, o)]);
                }
            }
            *right += product(rows.lack.as_ref(), lambda, Par::Seq);
            for (i, &set) in rows.which.iter().enumerate() {
                let along = |m: usize| (0..k).map(|o| sets[set][(m, o)] * self.f[(i, o)]).sum::<f64>();
                (0..k).for_each(|m| right[(i, m)] += along(m));
            }
        }
    }

    /// F where the rows are on their ellipses.
    fn at(&self, walks: &[Walk]) -> Mat<f64> {
        let value = |i: usize, m: usize| {
            let walk = &walks[i];
            turned(self.f[(i, m)], walk.mean[m], walk.other[m], walk.ellipse.angle)
        };
        Mat::from_fn(self.f.nrows(), self.f.ncols(), value)
    }

    fn eta_at(&self, f: &Mat<f64>) -> Mat<f64> {
        self.eta + product((f - &self.f).as_ref(), self.lambda.transpose(), Par::Seq)
    }

    /// What the data of each row say beyond normal ones.
    fn gains(&self, eta: MatRef<'_, f64>) -> Vec<f64> {
        let n = eta.nrows();
        let traits: Vec<usize> = (0..eta.ncols()).collect();
        let of_tile = |tile: &[usize]| {
            let mut sums = vec![0.0; n];
            for &j in tile {
                let Some(link) = self.model.link(j).filter(|link| !link.is_normal()) else {
                    continue;
                };
                let (eta, like, w) = (column(eta, j), &self.like[j], self.w.col_as_slice(j));
                let logs = link.log_kernels(eta, &self.parameters[self.firsts[j].parameter..]);
                for i in 0..n {
                    sums[i] += logs[i] + 0.5 * w[i] * (like[i] - eta[i]).powi(2);
                }
            }
            sums
        };
        let tiles: Vec<Vec<f64>> = traits.par_chunks(TILE).map(of_tile).collect();
        tiles.into_iter().fold(vec![0.0; n], |sums, tile| {
            sums.iter().zip(tile).map(|(sum, part)| sum + part).collect()
        })
    }
}

fn column(a: MatRef<'_, f64>, j: usize) -> &[f64] {
    a.col(j).try_as_col_major().map_or(&[], |column| column.as_slice())
}

/// Means of F given the factors' own effects, which are drawn.
fn means(model: &FactorModel, state: &State, rng: &mut Stream) -> Mat<f64> {
    let (n, bf) = (model.n(), model.bf());
    let own = in_own_bases(model, state);
    let mut means: Mat<f64> = Mat::zeros(n, model.k);
    for m in 0..model.k {
        let (own, basis) = (own.col_as_slice(m), model.basis_of(state.gf[m]));
        let left = residual(model.xf_in(basis), own, &state.bf[m * bf..(m + 1) * bf]);
        let u = effect(model, &left, state.gf[m], 1.0, rng);
        let mean = means.col_as_slice_mut(m);
        (0..n).for_each(|i| mean[i] = own[i] - left[i] + u[i]);
    }
    match model.rays.is_empty() {
        true => turn_to_rows(model, means.as_ref()),
        false => model.by_basis(means.as_ref(), &state.gf, |basis, _, some| {
            model.in_rows(basis, some.as_ref())
        }),
    }
}

/// From the basis that the state is in: with several effects rows themselves.
fn turn_to_rows(model: &FactorModel, a: MatRef<'_, f64>) -> Mat<f64> {
    match model.rays.is_empty() {
        true => product(model.data.rows.transpose(), a, Par::Seq),
        false => a.to_owned(),
    }
}

fn turn_to_basis(model: &FactorModel, a: Mat<f64>) -> Mat<f64> {
    match model.rays.is_empty() {
        true => product(model.data.rows.as_ref(), a.as_ref(), Par::Seq),
        false => a,
    }
}
