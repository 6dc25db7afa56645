//! Exact moves along what the likelihood does not see: a factor's part along X against the coefficients of X, its scale against its loadings, and the order of two factors.

use super::factors::{precision, residual};
use super::gaussian::Gaussian;
use super::model::{FactorModel, columns};
use super::rng::{Block, Source, Stream, generalised_inverse_gaussian, uniform};
use super::shrinkage::sums;
use super::state::State;
use crate::linalg::sum_of;
use faer::Mat;

/// Each factor along X, then its scale, then the order of neighbours. Factors with known loadings keep scale and place.
pub fn draw(model: &FactorModel, state: &mut State, source: Source) {
    let mut rng = source.stream(state.iteration, Block::Moves, 0);
    let mut own = in_own_bases(model, state);
    for m in 0..model.k {
        shift(model, state, (m, own.col_as_slice_mut(m)), &mut rng);
    }
    let (free, mut sums) = (model.free(), sums(model, state));
    let is_free = |m: usize| free[m] == model.p();
    for m in (0..model.k).filter(|&m| is_free(m)) {
        sums[m] /= scale(model, state, (m, own.col_as_slice(m)), sums[m], &mut rng);
    }
    for m in 1..model.k {
        if is_free(m - 1) && is_free(m) {
            swap(model, state, m - 1, &mut sums, &mut rng);
        }
    }
}

/// `f <- f + X c` and `b_j <- b_j - c lambda_j` leave the likelihood as it is; c is normal, as the priors of f and b are. Without it coefficients with flat priors
/// follow the factors in small steps only.
/// `turned`: the factor in the basis of its point.
fn shift(model: &FactorModel, state: &mut State, (m, turned): (usize, &mut [f64]), rng: &mut Stream) {
    let (n, b, c) = (model.n(), model.b(), model.c());
    if b == 0 {
        return;
    }
    let (x, e) = (
        model.x_in(model.basis_of(state.gf[m])),
        own_residual(model, state, m, turned),
    );
    let w = model.proportions.at(state.gf[m]);
    // sums over traits of lambda_jm x_j, by their prior precision
    let weighted = |l: usize, x: &dyn Fn(&[f64]) -> f64| {
        let sum = |behind: bool| {
            let mut of = (0..model.p()).filter(|&j| model.is_behind(j) == behind).peekable();
            let Some(variance) = of.peek().and_then(|&j| model.x_variance(j, l, &state.shared)) else {
                return 0.0;
            };
            let theta = |j: usize| &state.theta[j * c..(j + 1) * c];
            1.0 / variance * of.map(|j| theta(j)[b + m] * x(theta(j))).sum::<f64>()
        };
        sum(false) + sum(true)
    };
    let along = |l: usize, value: &dyn Fn(usize) -> f64| sum_of(n, |i| w[i] * x[(i, l)] * value(i));
    let mut gaussian = Gaussian::new(b);
    let own = |l: usize| weighted(l, &|theta| theta[b + m]);
    let entry = |l: usize, o: usize| along(l, &|i| x[(i, o)]) + if l == o { own(l) } else { 0.0 };
    gaussian.set(entry, |l| weighted(l, &|theta| theta[l]) - along(l, &|i| e[i]));
    let mut by = vec![0.0; b];
    if !gaussian.draw(1.0, |_| true, &mut by, rng) {
        state.failed.moves += 1;
        return;
    }
    for (x, f) in [(&model.data.x, &mut state.f[m * n..(m + 1) * n]), (x, turned)] {
        for (i, f) in f.iter_mut().enumerate() {
            *f += (0..b).map(|l| x[(i, l)] * by[l]).sum::<f64>();
        }
    }
    for theta in state.theta.chunks_mut(c) {
        (0..b).for_each(|l| theta[l] -= by[l] * theta[b + m]);
    }
}

/// `f, b_F <- c f, c b_F` and `lambda, w <- lambda / c, w / c` leave the likelihood as it is; `c^2` is generalised inverse Gaussian (Liu and Sabatti's group move).
/// Gives `c^2`. `own`: the factor in the basis of its point; `sum`: of the squares of the factor's loadings about their means, and of w, times their local precisions.
fn scale(model: &FactorModel, state: &mut State, (m, own): (usize, &[f64]), sum: f64, rng: &mut Stream) -> f64 {
    let (n, bf, c, q) = (model.n(), model.bf(), model.c(), model.prior.means.q());
    let (b, e) = (&state.bf[m * bf..(m + 1) * bf], own_residual(model, state, m, own));
    let w = model.proportions.at(state.gf[m]);
    let psi = sum_of(n, |i| w[i] * e[i] * e[i])
        + (0..bf)
            .map(|l| b[l] * b[l] * precision(model, l, &state.shared))
            .sum::<f64>();
    let chi = sum * state.shrinkage.column[m];
    let lambda = 0.5 * ((n + bf) as f64 - (model.p() + q) as f64);
    if !(psi * chi > 0.0 && (psi * chi).is_finite() && (psi / chi).is_normal()) {
        return 1.0;
    }
    let square = generalised_inverse_gaussian(lambda, psi, chi, rng);
    let factor = square.sqrt();
    state.f[m * n..(m + 1) * n].iter_mut().for_each(|x| *x *= factor);
    state.bf[m * bf..(m + 1) * bf].iter_mut().for_each(|x| *x *= factor);
    state.effects.w[m * q..(m + 1) * q]
        .iter_mut()
        .for_each(|x| *x /= factor);
    let at = model.b() + m;
    state.theta.chunks_mut(c).for_each(|theta| theta[at] /= factor);
    square
}

/// F, each factor in the basis of its point.
pub(super) fn in_own_bases(model: &FactorModel, state: &State) -> Mat<f64> {
    let f = columns(&state.f, model.n());
    match model.rays.is_empty() {
        true => f.to_owned(),
        false => model.by_basis(f, &state.gf, |basis, _, some| model.in_basis(basis, some.as_ref())),
    }
}

/// f - X_F b in the basis of the factor's point, `own` being f there.
fn own_residual(model: &FactorModel, state: &State, m: usize, own: &[f64]) -> Vec<f64> {
    let (bf, basis) = (model.bf(), model.basis_of(state.gf[m]));
    residual(model.xf_in(basis), own, &state.bf[m * bf..(m + 1) * bf])
}

/// Exchanges two factors with all that is theirs but the column's precision.
fn swap(model: &FactorModel, state: &mut State, m: usize, sums: &mut [f64], rng: &mut Stream) {
    let column = &state.shrinkage.column;
    let log_accept = -0.5 * (column[m] - column[m + 1]) * (sums[m + 1] - sums[m]);
    if uniform(rng).ln() > log_accept {
        return;
    }
    sums.swap(m, m + 1);
    let (n, k, bf, c) = (model.n(), model.k, model.bf(), model.c());
    swap_parts(&mut state.f, n, m);
    swap_parts(&mut state.bf, bf, m);
    swap_parts(&mut state.effects.w, model.prior.means.q(), m);
    swap_parts(&mut state.effects.v, model.prior.means.count(), m);
    state.gf.swap(m, m + 1);
    let at = model.b() + m;
    state.theta.chunks_mut(c).for_each(|theta| theta.swap(at, at + 1));
    let shrinkage = &mut state.shrinkage;
    shrinkage.local.chunks_mut(k).for_each(|local| local.swap(m, m + 1));
    shrinkage
        .helpers
        .chunks_mut(k)
        .for_each(|helpers| helpers.swap(m, m + 1));
}

fn swap_parts(values: &mut [f64], length: usize, m: usize) {
    let (first, second) = values[m * length..(m + 2) * length].split_at_mut(length);
    first.swap_with_slice(second);
}

#[cfg(test)]
mod tests {
    use super::super::conditionals::{GAMMA, World};
    use super::*;

    fn worlds() -> Vec<World> {
        let kinds = [false, true].map(|scaled| World::new(GAMMA, scaled));
        let means = [false, true].map(|scaled| World::new(GAMMA, scaled).with_means());
        kinds.into_iter().chain(means).collect()
    }

    fn stream() -> Stream {
        Source { seed: 8, chain: 0 }.stream(1, Block::Moves, 0)
    }

    /// What a swap is accepted by is the change of the joint density: all that is a factor's goes with it.
    #[test]
    fn a_swap_changes_the_joint_density_as_it_says() {
        for world in worlds() {
            let (mut state, mut rng) = (world.state.clone(), stream());
            let mut all = sums(&world.model, &state);
            let column = state.shrinkage.column.clone();
            let log_accept = -0.5 * (column[0] - column[1]) * (all[1] - all[0]);
            while state == world.state {
                swap(&world.model, &mut state, 0, &mut all, &mut rng);
            }
            let change = world.joint(&state) - world.joint(&world.state);
            assert!((change - log_accept).abs() < 1e-9, "{change} {log_accept}");
        }
    }

    /// Along a factor's scale c the joint density changes by `-(psi (c^2 - 1) + chi (1 / c^2 - 1)) / 2`, with one psi whatever c.
    #[test]
    fn a_scale_changes_the_joint_density_as_it_says() {
        for world in worlds() {
            let (model, mut rng) = (&world.model, stream());
            let sum = sums(model, &world.state)[0];
            let chi = sum * world.state.shrinkage.column[0];
            let mut psi = || {
                let mut state = world.state.clone();
                let own = in_own_bases(model, &state);
                let square = scale(model, &mut state, (0, own.col_as_slice(0)), sum, &mut rng);
                let change = world.joint(&state) - world.joint(&world.state);
                -(2.0 * change + chi * (square.recip() - 1.0)) / (square - 1.0)
            };
            let (first, second) = (psi(), psi());
            assert!((first / second - 1.0).abs() < 1e-8, "{first} {second}");
        }
    }
}
