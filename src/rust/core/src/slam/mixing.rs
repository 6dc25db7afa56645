//! Exact moves of two factors among each other that leave F Lambda', and so the likelihood, as it is: shears and rotations.
//!
//! With as many factors as traits F and Lambda all but determine each other, and the other blocks turn a pair of factors by small steps only; G depends on how they are turned.
//! Both are draws of a group's element given all else (Liu and Sabatti 2000): of `f_a + t f_b, lambda_b - t lambda_a` t is normal; the angle of a rotation is
//! drawn by slice sampling, with the proportions of both factors, the local precisions of a gamma process and the variances of effects on means of loadings integrated out, which are drawn anew after it.
//! Those effects move as the loadings do.

use super::factors::{draw_proportion, precision, residual};
use super::loading_means::{effects, log_density, mean_at, means};
use super::model::{FactorModel, columns};
use super::prior::Loadings;
use super::rng::{Block, Source, Stream, normal, uniform};
use super::state::State;
use crate::linalg::{axpy, dot, sum_of};
use faer::Mat;
use std::f64::consts::PI;

/// Two factors' parts of the state by columns, and what their prior needs.
struct Columns {
    /// F, coefficients of X_F, loadings about their means in units of their prior with the effects on those means behind, and precisions of both, of each factor.
    f: Vec<Vec<f64>>,
    b: Vec<Vec<f64>>,
    lambda: Vec<Vec<f64>>,
    local: Vec<Vec<f64>>,
    /// Residuals of F, of each factor, in each basis.
    residual: Vec<Vec<Vec<f64>>>,
    /// Prior precisions of the coefficients of X_F.
    ridge: Vec<f64>,
}

/// Shears of all pairs, then rotations of pairs that are drawn at random, with a gamma process. Factors with known loadings keep these.
pub fn draw(model: &FactorModel, state: &mut State, source: Source) {
    let k = model.k;
    if k < 2 {
        return;
    }
    let mut rng = source.stream(state.iteration, Block::Moves, 1);
    let free: Vec<bool> = model.free().iter().map(|&count| count == model.p()).collect();
    let mut columns = Columns::new(model, state);
    for b in (0..k).filter(|&b| free[b]) {
        for a in (0..k).filter(|&a| a != b) {
            columns.shear(model, state, a, b, &mut rng);
        }
    }
    // without the local precisions the density of a horseshoe's loadings has no closed form, and with them nothing turns
    if let Loadings::Gamma { nu, .. } = model.prior.loadings {
        for (a, b) in random_pairs(&free, &mut rng) {
            columns.rotate(model, state, nu, (a, b), &mut rng);
        }
    }
    columns.put(model, state);
}

/// Each free factor in at most one pair.
fn random_pairs(free: &[bool], rng: &mut Stream) -> Vec<(usize, usize)> {
    let mut order: Vec<usize> = (0..free.len()).filter(|&m| free[m]).collect();
    for i in (1..order.len()).rev() {
        order.swap(i, (uniform(rng) * (i + 1) as f64) as usize);
    }
    order.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect()
}

impl Columns {
    fn new(model: &FactorModel, state: &State) -> Self {
        let (n, bf, k, p) = (model.n(), model.bf(), model.k, model.p());
        let units: Vec<f64> = (0..p).map(|j| state.unit(model, j).sqrt()).collect();
        let means = means(model, state);
        let lambda = |j: usize, m: usize| (state.lambda(model, j)[m] - mean_at(&means, j * k + m)) / units[j];
        let each = |of: &dyn Fn(usize) -> Vec<f64>| (0..k).map(of).collect::<Vec<Vec<f64>>>();
        let f = |m: usize| &state.f[m * n..(m + 1) * n];
        let b = |m: usize| &state.bf[m * bf..(m + 1) * bf];
        let of_basis = |basis: usize, f: &Mat<f64>| {
            let one = |m: usize| residual(model.xf_in(basis), f.col_as_slice(m), b(m));
            (0..k).map(one).collect()
        };
        let turned = model.in_each_basis(columns(&state.f, n)).into_iter().enumerate();
        Self {
            f: each(&|m| f(m).to_vec()),
            residual: turned.map(|(basis, f)| of_basis(basis, &f)).collect(),
            b: each(&|m| b(m).to_vec()),
            lambda: each(&|m| {
                let effects = effects(model, state, m).map(|(_, w)| w);
                (0..p).map(|j| lambda(j, m)).chain(effects).collect()
            }),
            local: each(&|m| {
                let effects = effects(model, state, m).map(|(precision, _)| precision);
                (0..p)
                    .map(|j| state.shrinkage.local[j * k + m])
                    .chain(effects)
                    .collect()
            }),
            ridge: (0..bf).map(|l| precision(model, l, &state.shared)).collect(),
        }
    }

    fn put(self, model: &FactorModel, state: &mut State) {
        let (c, b, p) = (model.c(), model.b(), model.p());
        state.f = self.f.concat();
        state.bf = self.b.concat();
        let units: Vec<f64> = (0..p).map(|j| state.unit(model, j).sqrt()).collect();
        state.effects.w = self.lambda.iter().flat_map(|lambda| lambda[p..].to_vec()).collect();
        let (k, means) = (model.k, means(model, state));
        for (m, lambda) in self.lambda.iter().enumerate() {
            for j in (0..p).filter(|&j| model.known(m, j).is_none()) {
                state.theta[j * c + b + m] = lambda[j] * units[j] + mean_at(&means, j * k + m);
            }
        }
    }

    /// `f_a + t f_b` and `lambda_b - t lambda_a`.
    fn shear(&mut self, model: &FactorModel, state: &State, a: usize, b: usize, rng: &mut Stream) {
        let w = model.proportions.at(state.gf[a]);
        let own = &self.residual[model.basis_of(state.gf[a])];
        let (ra, rb) = (&own[a], &own[b]);
        let (la, lb, local, tau) = (
            &self.lambda[a],
            &self.lambda[b],
            &self.local[b],
            state.shrinkage.column[b],
        );
        let own = |x: &[f64]| sum_of(w.len(), |i| w[i] * x[i] * rb[i]);
        let loading = |x: &[f64]| tau * sum_of(x.len(), |j| local[j] * x[j] * la[j]);
        let covariate = |m: usize| sum_of(self.ridge.len(), |l| self.ridge[l] * self.b[m][l] * self.b[b][l]);
        let precision = own(rb) + loading(la) + covariate(b);
        let t = (loading(lb) - own(ra) - covariate(a)) / precision + normal(rng) / precision.sqrt();
        // next to no factor at all: nothing to shear by
        if !t.is_finite() {
            return;
        }
        add(&mut self.f, t, b, a);
        self.residual.iter_mut().for_each(|columns| add(columns, t, b, a));
        add(&mut self.b, t, b, a);
        add(&mut self.lambda, -t, a, b);
    }

    /// Both factors by an angle, then their proportions.
    fn rotate(&mut self, model: &FactorModel, state: &mut State, nu: f64, (a, b): (usize, usize), rng: &mut Stream) {
        let forms = Forms::new(model, &self.residual, a, b);
        let column = &state.shrinkage.column;
        let density = |angle: f64| forms.log(model, angle) + self.log_loadings(model, nu, column, (a, b), angle);
        let level = density(0.0) + uniform(rng).ln();
        if !level.is_finite() {
            return;
        }
        // the slice, shrunk towards the angle that was: of the whole circle
        let mut high = 2.0 * PI * uniform(rng);
        let mut low = high - 2.0 * PI;
        let angle = loop {
            let angle = low + (high - low) * uniform(rng);
            if density(angle) > level {
                break angle;
            }
            // a slice that rounding does not show is left where it was
            if high - low < 1e-14 {
                break 0.0;
            }
            if angle < 0.0 {
                low = angle;
            } else {
                high = angle;
            }
        };
        for part in [&mut self.f, &mut self.b, &mut self.lambda]
            .into_iter()
            .chain(&mut self.residual)
        {
            turn(part, a, b, angle);
        }
        for m in [a, b] {
            let own: Vec<&[f64]> = self.residual.iter().map(|columns| &columns[m][..]).collect();
            state.gf[m] = draw_proportion(model, &own, rng);
        }
    }

    /// Log prior density of the loadings of both factors, turned.
    fn log_loadings(&self, model: &FactorModel, nu: f64, column: &[f64], (a, b): (usize, usize), angle: f64) -> f64 {
        let (sin, cos) = angle.sin_cos();
        let (la, lb) = (&self.lambda[a], &self.lambda[b]);
        let turned = |j: usize| (cos * la[j] - sin * lb[j], sin * la[j] + cos * lb[j]);
        // t distributed, its local precision integrated out
        let log = |j: usize| {
            let (x, y) = turned(j);
            ((1.0 + column[a] * x * x / nu) * (1.0 + column[b] * y * y / nu)).ln()
        };
        let p = model.p();
        let (wa, wb): (Vec<f64>, Vec<f64>) = (p..la.len()).map(turned).unzip();
        let effects = |m: usize, w: &[f64]| log_density(&model.prior.means, column[m], w);
        -0.5 * (nu + 1.0) * sum_of(p, log) + effects(a, &wa) + effects(b, &wb)
    }
}

/// `r_a'W r_a`, `r_a'W r_b`, `r_b'W r_b` at each point of the grid.
struct Forms(Vec<[f64; 3]>);

impl Forms {
    fn new(model: &FactorModel, residual: &[Vec<Vec<f64>>], a: usize, b: usize) -> Self {
        let of_basis = |columns: &Vec<Vec<f64>>| -> [Vec<f64>; 3] {
            let pairs = [(a, a), (a, b), (b, b)].map(|(x, y)| columns[x].iter().zip(&columns[y]));
            pairs.map(|pair| pair.map(|(x, y)| x * y).collect())
        };
        let products: Vec<[Vec<f64>; 3]> = residual.iter().map(of_basis).collect();
        let at = |g: usize| [0, 1, 2].map(|i| dot(model.proportions.at(g), &products[model.basis_of(g)][i]));
        Self((0..model.proportions.count()).map(at).collect())
    }

    /// Log density of both factors turned, their proportions integrated out.
    fn log(&self, model: &FactorModel, angle: f64) -> f64 {
        let (sin, cos) = angle.sin_cos();
        let grid = &model.proportions;
        let of = |x: f64, y: f64| {
            let log = |g: usize| {
                let [aa, ab, bb] = self.0[g];
                grid.log_factors[g] - 0.5 * grid.log_det[g] - 0.5 * (x * x * aa + 2.0 * x * y * ab + y * y * bb)
            };
            let logs: Vec<f64> = (0..grid.count()).map(log).collect();
            let largest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            largest + logs.iter().map(|l| (l - largest).exp()).sum::<f64>().ln()
        };
        of(cos, -sin) + of(sin, cos)
    }
}

/// `columns[to] += t columns[from]`
fn add(columns: &mut [Vec<f64>], t: f64, from: usize, to: usize) {
    if let Ok([from, to]) = columns.get_disjoint_mut([from, to]) {
        axpy(t, from, to);
    }
}

/// `(x, y)` to `(cos x - sin y, sin x + cos y)`
fn turn(columns: &mut [Vec<f64>], a: usize, b: usize, angle: f64) {
    let (sin, cos) = angle.sin_cos();
    if let Ok([x, y]) = columns.get_disjoint_mut([a, b]) {
        for (x, y) in x.iter_mut().zip(y) {
            (*x, *y) = (cos * *x - sin * *y, sin * *x + cos * *y);
        }
    }
}
