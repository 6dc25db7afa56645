//! Each block against an independently written joint density, in rows and with V written out.
//!
//! If x is drawn from its conditional density p, the slope s of log p has `E s = 0` and `E (x - x0) s = -1` (x on the whole line: logarithms of what is positive). The slope is a
//! difference of the joint density, so a wrong scale, shape or power shows at once, block by block.

use super::cis::Cis;
use super::coordinate_check::{Coordinate, free, positive};
use super::loading_means::{self, LoadingMeans};
use super::model::{Data, FactorModel, Proportions};
use super::precisions::Shrinkage;
use super::prior::{Coefficient, InverseGamma, Loadings, Prior, Variance};
use super::prior_density::{log_inverse_gamma, log_shrinkage};
use super::rng::{Block, Source, Stream, gamma, normal, uniform};
use super::shrinkage;
use super::state::State;
use super::{factors, traits};
use faer::linalg::solvers::DenseSolveCore;
use faer::{Mat, Side};

pub const N: usize = 6;
pub const DRAWS: u64 = 3000;

pub struct World {
    pub model: FactorModel,
    pub state: State,
    /// Kernel, responses, X and X_F in rows.
    pub k: Mat<f64>,
    pub y: Mat<f64>,
    pub x: Mat<f64>,
    pub xf: Mat<f64>,
    /// Columns of traits of their own.
    pub z: Mat<f64>,
    q: Mat<f64>,
}

fn numbers(rows: usize, columns: usize, rng: &mut Stream) -> Mat<f64> {
    Mat::from_fn(rows, columns, |_, _| normal(rng))
}

fn priors(loadings: Loadings, scaled: bool) -> Prior {
    Prior {
        residual: vec![
            InverseGamma { shape: 2.5, scale: 1.7 }.into(),
            InverseGamma { shape: 3.5, scale: 1.2 }.into(),
        ],
        loadings,
        scaled,
        shared: vec![InverseGamma { shape: 2.2, scale: 0.9 }.into()],
        means: LoadingMeans::default(),
    }
}

impl World {
    pub fn new(loadings: Loadings, scaled: bool) -> Self {
        crate::runtime::parallel::alone();
        let rng = &mut Source { seed: 5, chain: 0 }.stream(0, Block::Start, 9);
        let w = numbers(N, N, rng);
        let k = &w * w.transpose() * faer::Scale(0.2);
        let eigen = k.self_adjoint_eigen(Side::Lower).unwrap();
        let q = eigen.U().to_owned();
        let s: Vec<f64> = eigen.S().column_vector().iter().copied().collect();
        let (y, x, xf) = (numbers(N, 2, rng), numbers(N, 2, rng), numbers(N, 2, rng));
        let grid = vec![0.0, 0.3, 0.8];
        let model = FactorModel {
            proportions: Proportions::new(&s, grid, vec![-1.0, -0.5, -2.0], vec![-0.2, -1.0, -1.0]),
            data: Data {
                y: q.transpose() * &y,
                x: q.transpose() * &x,
                x_prior: vec![Coefficient::Normal(1.5), Coefficient::Shared(0)],
                x_prior_behind: vec![],
                xf: q.transpose() * &xf,
                xf_prior: vec![Coefficient::Shared(0), Coefficient::Normal(0.7)],
                s,
                missing: vec![vec![]; 2],
                rows: q.transpose().to_owned(),
                known: Mat::zeros(0, 0),
            },
            prior: priors(loadings, scaled),
            k: 2,
            sets: vec![],
            place: 0,
            rays: vec![],
            links: vec![],
            joint: vec![],
            cis: Cis::none(),
        };
        let mut state = State::start(&model, Source { seed: 1, chain: 0 });
        // loadings that are large enough to be seen in what is drawn given them
        state
            .bf
            .iter_mut()
            .chain(&mut state.theta)
            .for_each(|b| *b += 2.0 * normal(rng));
        state.shrinkage.local.iter_mut().for_each(|x| *x = gamma(2.0, 2.0, rng));
        state
            .shrinkage
            .helpers
            .iter_mut()
            .for_each(|x| *x = gamma(2.0, 2.0, rng));
        (state.shrinkage.omega2, state.shrinkage.xi) = (0.5 + uniform(rng), 0.5 + uniform(rng));
        state.shrinkage.update_columns(&model.prior.loadings);
        Self {
            model,
            state,
            k,
            y,
            x,
            xf,
            z: Mat::zeros(N, 0),
            q,
        }
    }

    /// log density of N(0, scale V(h)), V written out.
    pub fn field(&self, e: &[f64], g: usize, scale: f64) -> f64 {
        let h = self.model.proportions.h[g];
        let v = Mat::from_fn(N, N, |i, j| {
            scale * (h * self.k[(i, j)] + if i == j { 1.0 - h } else { 0.0 })
        });
        let inverse = v.partial_piv_lu().inverse();
        let square: f64 = (0..N)
            .map(|i| (0..N).map(|j| e[i] * inverse[(i, j)] * e[j]).sum::<f64>())
            .sum();
        -0.5 * (v.determinant().ln() + square)
    }

    /// With covariates of the traits in two groups.
    pub fn with_means(mut self) -> Self {
        let c = [[0.8, -0.5, 1.3], [-1.1, 0.6, 0.4]];
        self.model.prior.means = LoadingMeans {
            covariates: Mat::from_fn(2, 3, |j, l| c[j][l]),
            groups: vec![0, 1, 0],
            variance: InverseGamma { shape: 2.7, scale: 1.4 },
        };
        self.state.effects.w = vec![0.9, -0.4, 0.6, 1.2, 0.3, -0.8];
        self.state.effects.v = vec![0.5, 1.1, 0.8, 0.4];
        self
    }

    /// One column of the first trait, with a flat prior, and two of the second.
    pub fn with_cis(mut self) -> Self {
        let rng = &mut Source { seed: 8, chain: 0 }.stream(0, Block::Start, 4);
        self.z = numbers(N, 3, rng);
        let variance = vec![None, Some(0.6), Some(2.0)];
        self.model.cis = Cis::new(self.q.transpose() * &self.z, variance, &[0, 1, 1], 2);
        self.state.cis = vec![0.7, -0.4, 1.2];
        self
    }

    /// Log density of effects on loadings and their variances.
    fn log_effects(&self, state: &State) -> f64 {
        let (prior, mut log) = (&self.model.prior.means, 0.0);
        if prior.groups.is_empty() {
            return log;
        }
        for m in 0..2 {
            for l in 0..3 {
                let (w, v) = (state.effects.w[m * 3 + l], state.effects.v[m * 2 + prior.groups[l]]);
                let precision = column(&self.model, &state.shrinkage, m) / v;
                log += 0.5 * (precision.ln() - precision * w * w);
            }
            for v in &state.effects.v[m * 2..m * 2 + 2] {
                log += -(prior.variance.shape + 1.0) * v.ln() - prior.variance.scale / v;
            }
        }
        log
    }

    /// Prior mean of a loading.
    fn mean(&self, state: &State, j: usize, m: usize) -> f64 {
        let prior = &self.model.prior.means;
        (0..prior.groups.len())
            .map(|l| prior.covariates[(j, l)] * state.effects.w[m * 3 + l])
            .sum()
    }

    /// The joint log density of data and all parameters, up to a constant.
    pub fn joint(&self, state: &State) -> f64 {
        let (model, c) = (&self.model, self.model.c());
        let f = &self.q * Mat::from_fn(N, 2, |i, m| state.f[m * N + i]);
        let coefficient = |value: f64, prior: Coefficient| match prior {
            Coefficient::Flat => 0.0,
            Coefficient::Normal(v) => -0.5 * value * value / v,
            Coefficient::Shared(s) => -0.5 * (value * value / state.shared[s] + state.shared[s].ln()),
        };
        let variance = |x: f64, prior: Variance| match prior {
            Variance::Drawn(prior) => log_inverse_gamma(x, prior),
            Variance::Fixed(_) => 0.0,
        };
        let mut log = 0.0;
        for j in 0..2 {
            let theta = &state.theta[j * c..(j + 1) * c];
            let mean = |i: usize| {
                self.x[(i, 0)] * theta[0] + self.x[(i, 1)] * theta[1] + f[(i, 0)] * theta[2] + f[(i, 1)] * theta[3]
            };
            let own = |i: usize| model.cis.of(j).map(|l| self.z[(i, l)] * state.cis[l]).sum::<f64>();
            let e: Vec<f64> = (0..N).map(|i| self.y[(i, j)] - mean(i) - own(i)).collect();
            let cis = model.cis.of(j).map(|l| (state.cis[l], model.cis.variance[l]));
            log += cis.map(|(x, v)| v.map_or(0.0, |v| -0.5 * x * x / v)).sum::<f64>();
            log += self.field(&e, state.g[j], state.sigma2[j]) + model.proportions.log_traits[state.g[j]];
            log += variance(state.sigma2[j], model.prior.residual[j]);
            log += (0..2)
                .map(|l| coefficient(theta[l], model.data.x_prior[l]))
                .sum::<f64>();
            for m in 0..2 {
                let unit = if model.prior.scaled { state.sigma2[j] } else { 1.0 };
                let precision = state.shrinkage.local[j * 2 + m] * column(model, &state.shrinkage, m) / unit;
                log += 0.5 * (precision.ln() - precision * (theta[2 + m] - self.mean(state, j, m)).powi(2));
            }
        }
        for m in 0..2 {
            let b = &state.bf[m * 2..m * 2 + 2];
            let e: Vec<f64> = (0..N)
                .map(|i| f[(i, m)] - self.xf[(i, 0)] * b[0] - self.xf[(i, 1)] * b[1])
                .collect();
            log += self.field(&e, state.gf[m], 1.0) + model.proportions.log_factors[state.gf[m]];
            log += (0..2).map(|l| coefficient(b[l], model.data.xf_prior[l])).sum::<f64>();
        }
        log += log_shrinkage(model.prior.loadings, &state.shrinkage);
        log + self.log_effects(state) + variance(state.shared[0], model.prior.shared[0])
    }

    /// Draws a block again and again from the same state, and holds numbers of it against the joint density. `before` and `after` make the state at which the number was drawn.
    pub fn check(&self, name: &str, coordinates: &[Coordinate], draw: impl Fn(&mut State, Source)) {
        let mut moments = vec![[(0.0, 0.0); 2]; coordinates.len()];
        for t in 0..DRAWS {
            let mut state = self.state.clone();
            state.iteration = t;
            draw(&mut state, Source { seed: 3, chain: 0 });
            for (coordinate, moments) in coordinates.iter().zip(&mut moments) {
                let (mut at, start) = (state.clone(), coordinate.get(&self.state));
                (coordinate.as_drawn)(&mut at, &self.state);
                let x = coordinate.get(&at);
                let shifted = |by: f64| {
                    let mut there = at.clone();
                    coordinate.set(&mut there, x + by);
                    self.joint(&there) + if coordinate.positive { x + by } else { 0.0 }
                };
                let slope = (shifted(1e-4) - shifted(-1e-4)) / 2e-4;
                for (sum, value) in moments.iter_mut().zip([slope, (x - start) * slope + 1.0]) {
                    sum.0 += value;
                    sum.1 += value * value;
                }
            }
        }
        for (i, moments) in moments.into_iter().enumerate() {
            for (power, (sum, square)) in moments.into_iter().enumerate() {
                let z = sum / square.sqrt();
                assert!(z.abs() < 4.5, "{name}, coordinate {i}, identity {power}: {z}");
            }
        }
    }
}

/// The precision of a column, from what it is made of.
fn column(model: &FactorModel, s: &Shrinkage, m: usize) -> f64 {
    let product: f64 = s.delta[..=m].iter().product();
    match model.prior.loadings {
        Loadings::Gamma { .. } => product,
        Loadings::Horseshoe { .. } => 1.0 / (s.omega2 * product),
    }
}

pub const GAMMA: Loadings = Loadings::Gamma {
    nu: 3.0,
    first: (2.0, 1.0),
    others: (3.0, 1.5),
    truncated: false,
};
const HORSESHOE: Loadings = Loadings::Horseshoe {
    tau0: 0.6,
    delta: InverseGamma { shape: 3.0, scale: 1.2 },
};

/// Each kind of loadings, and each with means that depend on covariates of the traits.
fn worlds() -> Vec<World> {
    let kinds = [(GAMMA, false), (GAMMA, true), (HORSESHOE, false)];
    let plain = kinds.map(|(loadings, scaled)| World::new(loadings, scaled));
    let means = kinds.map(|(loadings, scaled)| World::new(loadings, scaled).with_means());
    plain.into_iter().chain(means).collect()
}

#[test]
fn effects_on_loadings_follow_the_joint_density() {
    let none = |_: &mut State, _: &State| ();
    for (loadings, scaled) in [(GAMMA, false), (GAMMA, true), (HORSESHOE, false)] {
        let world = World::new(loadings, scaled).with_means();
        let coordinates = [
            free(|s| &mut s.effects.w[0], none),
            free(|s| &mut s.effects.w[2], none),
            free(|s| &mut s.effects.w[4], none),
        ];
        world.check("effects", &coordinates, |state, source| {
            loading_means::draw(&world.model, state, source)
        });
        let coordinates = [
            positive(|s| &mut s.effects.v[0], none),
            positive(|s| &mut s.effects.v[3], none),
        ];
        world.check("variances of effects", &coordinates, |state, source| {
            loading_means::draw_variances(&world.model, state, source)
        });
    }
}

#[test]
fn traits_follow_the_joint_density() {
    let earlier = |s: &mut State, before: &State| (s.sigma2, s.g) = (before.sigma2.clone(), before.g.clone());
    for world in worlds() {
        let coordinates = [
            free(|s| &mut s.theta[0], earlier),
            free(|s| &mut s.theta[1], earlier),
            free(|s| &mut s.theta[3], earlier),
            free(|s| &mut s.theta[6], earlier),
            positive(|s| &mut s.sigma2[0], |_, _| ()),
            positive(|s| &mut s.sigma2[1], |_, _| ()),
        ];
        world.check("traits", &coordinates, |state, source| {
            traits::draw(&world.model, state, world.model.data.y.as_ref(), source);
        });
    }
}

#[test]
fn factors_follow_the_joint_density() {
    let world = World::new(GAMMA, false);
    let earlier = |s: &mut State, before: &State| s.gf = before.gf.clone();
    let coordinates = [
        free(|s| &mut s.bf[0], earlier),
        free(|s| &mut s.bf[1], earlier),
        free(|s| &mut s.bf[2], earlier),
    ];
    world.check("coefficients of factors", &coordinates, |state, source| {
        factors::draw_parameters(&world.model, state, source);
    });
    let none = |_: &mut State, _: &State| ();
    let coordinates = [
        free(|s| &mut s.f[0], none),
        free(|s| &mut s.f[5], none),
        free(|s| &mut s.f[8], none),
    ];
    world.check("factors", &coordinates, |state, source| {
        let gathered = traits::draw(&world.model, state, world.model.data.y.as_ref(), source);
        factors::draw(&world.model, state, &gathered, source);
    });
}

#[test]
fn precisions_follow_the_joint_density() {
    let none = |_: &mut State, _: &State| ();
    for world in worlds() {
        let loadings = world.model.prior.loadings;
        // locals are drawn before the columns
        let earlier = |s: &mut State, before: &State| {
            let local = std::mem::take(&mut s.shrinkage.local);
            let helpers = std::mem::take(&mut s.shrinkage.helpers);
            s.shrinkage = Shrinkage {
                local,
                helpers,
                ..before.shrinkage.clone()
            };
        };
        let mut coordinates = vec![
            positive(|s| &mut s.shrinkage.local[0], earlier),
            positive(|s| &mut s.shrinkage.local[3], earlier),
            positive(|s| &mut s.shrinkage.delta[1], none),
        ];
        if matches!(loadings, Loadings::Horseshoe { .. }) {
            coordinates.push(positive(|s| &mut s.shrinkage.omega2, none));
        } else {
            coordinates.push(positive(|s| &mut s.shrinkage.delta[0], none));
        }
        world.check("precisions", &coordinates, |state, source| {
            shrinkage::draw(&world.model, state, source)
        });
        let coordinates = [positive(|s| &mut s.shared[0], none)];
        world.check("shared variances", &coordinates, |state, source| {
            shrinkage::draw_shared(&world.model, state, source)
        });
    }
}
