//! Factors: their coefficients and proportions given F, and F with every U integrated out.

use super::gaussian::Gaussian;
use super::model::{FactorModel, TILE, columns};
use super::prior::Coefficient;
use super::rng::{Block, Source, Stream, index};
use super::state::State;
use super::traits::{Gathered, lower};
use crate::linalg::{axpy, product, sum_of};
use faer::{Mat, MatRef, Par};
use rayon::prelude::*;
use std::ops::Range;

/// b_Fm, then h_Fm, of each factor.
pub fn draw_parameters(model: &FactorModel, state: &mut State, source: Source) {
    let (n, bf, iteration) = (model.n(), model.bf(), state.iteration);
    let State {
        f,
        bf: all,
        gf,
        shared,
        failed,
        ..
    } = state;
    let turned = model.in_each_basis(columns(f, n));
    for m in 0..model.k {
        let rng = &mut source.stream(iteration, Block::Coefficients, m);
        let b = &mut all[m * bf..(m + 1) * bf];
        let own = turned[model.basis_of(gf[m])].col_as_slice(m);
        failed.coefficients += u64::from(!draw_coefficients(model, own, gf[m], shared, b, rng));
        let left = |basis: usize| residual(model.xf_in(basis), turned[basis].col_as_slice(m), b);
        let left: Vec<Vec<f64>> = (0..turned.len()).map(left).collect();
        gf[m] = draw_proportion(model, &left, rng);
    }
}

/// The point of the grid of a factor, given what its coefficients leave of it, in each basis.
pub fn draw_proportion(model: &FactorModel, e: &[impl AsRef<[f64]>], rng: &mut Stream) -> usize {
    let grid = &model.proportions;
    let square = |g: usize| {
        let e = e[model.basis_of(g)].as_ref();
        sum_of(e.len(), |i| grid.at(g)[i] * e[i] * e[i])
    };
    let log = |g: usize| grid.log_factors[g] - 0.5 * grid.log_det[g] - 0.5 * square(g);
    let logs: Vec<f64> = (0..grid.count()).map(log).collect();
    index(&logs, rng)
}

/// False if the coefficients stay as they were.
fn draw_coefficients(
    model: &FactorModel,
    f: &[f64],
    g: usize,
    shared: &[f64],
    b: &mut [f64],
    rng: &mut Stream,
) -> bool {
    let (xf, w) = (model.xf_in(model.basis_of(g)), model.proportions.at(g));
    if b.is_empty() {
        return true;
    }
    let along = |l: usize, value: &dyn Fn(usize) -> f64| sum_of(f.len(), |i| w[i] * xf[(i, l)] * value(i));
    let ridge = |l: usize| precision(model, l, shared);
    let mut gaussian = Gaussian::new(b.len());
    let entry = |l: usize, o: usize| along(l, &|i| xf[(i, o)]) + if l == o { ridge(l) } else { 0.0 };
    gaussian.set(entry, |l| along(l, &|i| f[i]));
    let before = b.to_vec();
    let drawn = gaussian.draw(1.0, |_| true, b, rng);
    if !drawn {
        b.copy_from_slice(&before);
    }
    drawn
}

/// Prior precision of a coefficient of X_F.
pub fn precision(model: &FactorModel, l: usize, shared: &[f64]) -> f64 {
    match model.data.xf_prior[l] {
        Coefficient::Flat => 0.0,
        Coefficient::Normal(variance) => 1.0 / variance,
        Coefficient::Shared(number) => 1.0 / shared[number],
    }
}

/// f - X_F b
pub fn residual(xf: &Mat<f64>, f: &[f64], b: &[f64]) -> Vec<f64> {
    let mut e = f.to_vec();
    for (l, b) in b.iter().enumerate() {
        axpy(-b, xf.col_as_slice(l), &mut e);
    }
    e
}

/// Precision and right side of each row of Q'F: with the weights w of row i at the points of traits and factors,
/// `A_i = sum_j lambda_j lambda_j' w_ij / sigma2_j + diag(w_im)`, `c_i = sum_j lambda_j w_ij (y_ij - x_i'b_j) / sigma2_j + diag(w_im) B_F' x_Fi`.
pub struct RowPrecisions<'a> {
    model: &'a FactorModel,
    gathered: &'a Gathered,
    /// Weights of each factor.
    own: Vec<&'a [f64]>,
    /// X_F b_F, n x k, or empty.
    mean: Mat<f64>,
}

impl<'a> RowPrecisions<'a> {
    pub fn new(model: &'a FactorModel, state: &State, gathered: &'a Gathered) -> Self {
        Self {
            model,
            gathered,
            own: state.gf.iter().map(|g| model.proportions.at(*g)).collect(),
            mean: product(model.data.xf.as_ref(), columns(&state.bf, model.bf()), Par::Seq),
        }
    }

    /// `sum_j lambda_j lambda_j' w_ij / sigma2_j`, lower triangles x rows.
    pub fn prepare(&self, rows: Range<usize>) -> Mat<f64> {
        let some = self.model.proportions.weights.subrows(rows.start, rows.len());
        product(self.gathered.precision.as_ref(), some.transpose(), Par::Seq)
    }

    /// A_i and c_i.
    pub fn set(&self, prepared: &Mat<f64>, at: usize, i: usize, gaussian: &mut Gaussian) {
        let right = |m: usize| self.gathered.right[(i, m)] + self.own[m][i] * self.mean(i, m);
        gaussian.set(self.entry(prepared, at, i), right);
    }

    /// A_i and `c_i - A_i B_F' x_Fi`.
    pub fn set_about_mean(&self, prepared: &Mat<f64>, at: usize, i: usize, gaussian: &mut Gaussian) {
        let k = self.model.k;
        let along = |m: usize| sum_of(k, |o| prepared[(lower(m.max(o), m.min(o)), at)] * self.mean(i, o));
        gaussian.set(self.entry(prepared, at, i), |m| self.gathered.right[(i, m)] - along(m));
    }

    fn entry(&self, prepared: &Mat<f64>, at: usize, i: usize) -> impl Fn(usize, usize) -> f64 {
        move |m, o| prepared[(lower(m, o), at)] + if m == o { self.own[m][i] } else { 0.0 }
    }

    fn mean(&self, i: usize, m: usize) -> f64 {
        if self.model.bf() == 0 { 0.0 } else { self.mean[(i, m)] }
    }
}

/// F, row by row: `f_i ~ N(A_i^-1 c_i, A_i^-1)`.
pub fn draw(model: &FactorModel, state: &mut State, gathered: &Gathered, source: Source) {
    if model.k == 0 {
        return;
    }
    let rows = RowPrecisions::new(model, state, gathered);
    let set = |prepared: &Mat<f64>, at: usize, i: usize, gaussian: &mut Gaussian| rows.set(prepared, at, i, gaussian);
    let before = columns(&state.f, model.n());
    let (f, failed) = draw_rows(before, state.iteration, source, |tile| rows.prepare(tile), set);
    state.f = by_columns(&f);
    state.failed.factors += failed;
}

/// Rows of F, each normal and independent of the others: `set` gives row i, which is row `at` of its tile, its precision and right side, from what `prepare` makes for the
/// rows of the tile. A row whose precision is not positive to rounding stays as it was `before`; how many do so is told.
pub fn draw_rows<T>(
    before: MatRef<'_, f64>,
    iteration: u64,
    source: Source,
    prepare: impl Fn(Range<usize>) -> T + Sync,
    set: impl Fn(&T, usize, usize, &mut Gaussian) + Sync,
) -> (Mat<f64>, u64) {
    let (n, k) = (before.nrows(), before.ncols());
    let tile = |t: usize| -> (Vec<f64>, u64) {
        let mut rng = source.stream(iteration, Block::Factors, t);
        let rows = t * TILE..((t + 1) * TILE).min(n);
        let prepared = prepare(rows.clone());
        let mut gaussian = Gaussian::new(k);
        let (mut drawn, mut failed) = (vec![0.0; rows.len() * k], 0);
        for (at, (i, out)) in rows.zip(drawn.chunks_mut(k)).enumerate() {
            set(&prepared, at, i, &mut gaussian);
            if !gaussian.draw(1.0, |_| true, out, &mut rng) {
                (0..k).for_each(|m| out[m] = before[(i, m)]);
                failed += 1;
            }
        }
        (drawn, failed)
    };
    let (tiles, failed): (Vec<Vec<f64>>, Vec<u64>) = (0..n.div_ceil(TILE)).into_par_iter().map(tile).unzip();
    let rows = tiles.concat();
    (Mat::from_fn(n, k, |i, m| rows[i * k + m]), failed.iter().sum())
}

/// The columns of a matrix, one after the other.
pub fn by_columns(f: &Mat<f64>) -> Vec<f64> {
    f.col_iter()
        .flat_map(|column| column.iter().copied().collect::<Vec<f64>>())
        .collect()
}
