//! Factors with several random effects, given what these are together for each trait (and, but for one factor, for each factor): totals.
//!
//! With T the totals of the traits and e_j = sigma2_j (1 - H_j), rows of F see `W = Y - X B - T = F Lambda' + E` independently of each other. Of one factor, the other factors'
//! totals given and all of F integrated out, they leave a value z_i with precision a, the same in all rows, so that
//!
//! ```text
//! z ~ N(X_F b, V(H, w) + I / a)
//! ```
//!
//! is diagonal in the basis of each ray, where its point is drawn, and then its total. After all of them F is drawn row by row.

use super::effects::effect;
use super::factors::{by_columns, draw_rows, residual};
use super::gaussian::Gaussian;
use super::model::{FactorModel, columns};
use super::ray_traits::{Left, other_basis};
use super::rng::{Block, Source, Stream, index, normal};
use super::state::State;
use crate::linalg::{product, sum_of};
use faer::{Mat, MatRef, Par};
use rayon::prelude::*;

/// Totals of the traits, in rows, drawn given what their factors and fixed effects leave of them.
pub fn totals(model: &FactorModel, state: &State, left: &Left, source: Source) -> Mat<f64> {
    let one = |j: usize| {
        let rng = &mut source.stream(state.iteration, Block::Effects, j);
        effect(model, left.own.col_as_slice(j), state.g[j], state.sigma2[j], rng)
    };
    let drawn: Vec<Vec<f64>> = (0..model.p()).into_par_iter().map(one).collect();
    let drawn = drawn.concat();
    model.by_basis(columns(&drawn, model.n()), &state.g, |basis, _, some| {
        model.in_rows(basis, some.as_ref())
    })
}

/// What the rows of W say of F: `Lambda' diag(1 / e) Lambda`, and `W diag(1 / e) Lambda`.
struct FactorEvidence {
    precision: Mat<f64>,
    right: Mat<f64>,
}

impl FactorEvidence {
    /// `w`: Y - X B - T.
    fn new(model: &FactorModel, state: &State, w: MatRef<'_, f64>) -> Self {
        let e = |j: usize| state.sigma2[j] * (1.0 - model.proportions.h[state.g[j]]);
        let lambda = Mat::from_fn(model.p(), model.k, |j, m| state.lambda(model, j)[m]);
        let weighted = Mat::from_fn(model.p(), model.k, |j, m| lambda[(j, m)] / e(j));
        Self {
            precision: product(lambda.transpose(), weighted.as_ref(), Par::Seq),
            right: product(w, weighted.as_ref(), Par::Seq),
        }
    }

    /// Of factor m, the others about their means with variance `1 / own`: the precision a, and `a z`. `None` if it is not positive definite to rounding.
    fn of_one(&self, m: usize, means: &Mat<f64>, own: &[f64]) -> Option<(f64, Vec<f64>)> {
        let (n, k) = (self.right.nrows(), self.right.ncols());
        let others: Vec<usize> = (0..k).filter(|&o| o != m).collect();
        // L'^-1 L^-1 of what links m to the others
        let mut gaussian = Gaussian::new(k - 1);
        let entry =
            |i: usize, j: usize| self.precision[(others[i], others[j])] + if i == j { own[others[i]] } else { 0.0 };
        gaussian.set(entry, |i| self.precision[(others[i], m)]);
        let mut by = vec![0.0; k - 1];
        gaussian.mean(&mut by).then_some(())?;
        let link = |i: usize| self.precision[(others[i], m)] * by[i];
        let a = self.precision[(m, m)] - (0..k - 1).map(link).sum::<f64>();
        let right = |i: usize, o: usize| self.right[(i, o)] + own[o] * means[(i, o)];
        let seen = |i: usize| self.right[(i, m)] - (0..k - 1).map(|o| by[o] * right(i, others[o])).sum::<f64>();
        Some((a.max(0.0), (0..n).map(seen).collect()))
    }
}

/// Points of factors with F integrated out, then F. `w`: Y - X B - T.
pub fn draw_factors(model: &FactorModel, state: &mut State, w: MatRef<'_, f64>, source: Source) {
    if model.k == 0 {
        return;
    }
    let rows = FactorEvidence::new(model, state, w);
    let (fixed, drawn) = own_totals(model, state, source);
    let mut means = &fixed + drawn;
    let residual = |g: usize| 1.0 / (1.0 - model.proportions.h[g]);
    for m in 0..model.k {
        let own: Vec<f64> = state.gf.iter().map(|g| residual(*g)).collect();
        let rng = &mut source.stream(state.iteration, Block::Effects, model.p() + model.k + m);
        let Some((a, seen)) = rows.of_one(m, &means, &own) else {
            continue;
        };
        let (g, total) = point_and_total(model, state.gf[m], a, (&seen, fixed.col_as_slice(m)), rng);
        state.gf[m] = g;
        (0..model.n()).for_each(|i| means[(i, m)] = fixed[(i, m)] + total[i]);
    }
    let own: Vec<f64> = state.gf.iter().map(|g| residual(*g)).collect();
    let set = |_: &(), _: usize, i: usize, gaussian: &mut Gaussian| {
        let entry = |m: usize, o: usize| rows.precision[(m, o)] + if m == o { own[m] } else { 0.0 };
        gaussian.set(entry, |m| rows.right[(i, m)] + own[m] * means[(i, m)]);
    };
    let (drawn, failed) = draw_rows(columns(&state.f, model.n()), state.iteration, source, |_| (), set);
    state.failed.factors += failed;
    state.f = by_columns(&drawn);
}

/// X_F B_F and totals of the factors, drawn given F, in rows.
fn own_totals(model: &FactorModel, state: &State, source: Source) -> (Mat<f64>, Mat<f64>) {
    let (n, bf) = (model.n(), model.bf());
    let b = |m: usize| &state.bf[m * bf..(m + 1) * bf];
    let f = |m: usize| &state.f[m * n..(m + 1) * n];
    let fixed: Vec<f64> = (0..model.k)
        .flat_map(|m| {
            let left = residual(&model.data.xf, f(m), b(m));
            (0..n).map(move |i| f(m)[i] - left[i])
        })
        .collect();
    let drawn = model.by_basis(columns(&state.f, n), &state.gf, |basis, those, some| {
        let own = model.in_basis(basis, some.as_ref());
        let one = |(at, &m): (usize, &usize)| {
            let rng = &mut source.stream(state.iteration, Block::Effects, model.p() + m);
            let left = residual(model.xf_in(basis), own.col_as_slice(at), b(m));
            effect(model, &left, state.gf[m], 1.0, rng)
        };
        let drawn: Vec<f64> = those.iter().enumerate().flat_map(one).collect();
        model.in_rows(basis, columns(&drawn, n))
    });
    (columns(&fixed, n).to_owned(), drawn)
}

/// A factor's point, on its ray or another one, and its total, in rows, given `seen = a z`.
fn point_and_total(
    model: &FactorModel,
    g: usize,
    a: f64,
    (seen, fixed): (&[f64], &[f64]),
    rng: &mut Stream,
) -> (usize, Vec<f64>) {
    let n = model.n();
    let about: Vec<f64> = seen.iter().zip(fixed).map(|(seen, fixed)| seen - a * fixed).collect();
    let here = model.basis_of(g);
    let other = other_basis(model, here, rng);
    let bases = if other == here { vec![here] } else { vec![here, other] };
    let turned: Vec<Mat<f64>> = bases.iter().map(|&b| model.in_basis(b, columns(&about, n))).collect();
    let points: Vec<(usize, usize)> = (bases.iter().enumerate())
        .flat_map(|(at, &basis)| model.points_in(basis).map(move |g| (at, g)))
        .collect();
    let grid = &model.proportions;
    // q^2 / (2 a (1 + a v)) is q^2 / (2 a) less this; that is the same at all points
    let log = |&(at, g): &(usize, usize)| {
        let (q, w) = (turned[at].col_as_slice(0), grid.at(g));
        let part = |i: usize| q[i] * q[i] / (w[i] + a) - (a / w[i]).ln_1p();
        grid.log_factors[g] + 0.5 * sum_of(n, part)
    };
    let logs: Vec<f64> = points.iter().map(log).collect();
    let (at, g) = points[index(&logs, rng)];
    let (h, s) = (grid.h[g], model.s_in(model.basis_of(g)));
    // about its mean z has variance (1 - h) + 1 / a beside the total
    let seen_by = 1.0 / (1.0 + a * (1.0 - h));
    let total = |(q, s): (&f64, &f64)| {
        let variance = h * s / (1.0 + a * seen_by * h * s);
        variance * seen_by * q + variance.sqrt() * normal(rng)
    };
    let total: Vec<f64> = turned[at].col_as_slice(0).iter().zip(s).map(total).collect();
    let rows = model.in_rows(model.basis_of(g), columns(&total, n));
    (g, rows.col_as_slice(0).to_vec())
}
