//! What is drawn given all effects but one, against the joint normal density of all cells, its covariance written out.

use super::cis::Cis;
use super::loading_means::LoadingMeans;
use super::model::{Data, FactorModel, Proportions};
use super::prior::{Coefficient, InverseGamma, Loadings, Prior};
use super::rays::Ray;
use super::rng::{Block, Source, Stream, normal};
use super::split_effects::{SplitEffects, part};
use super::split_factors::{SeenFactors, SplitRows, left_in_basis};
use super::split_traits::{SplitTrait, cavity};
use super::state::State;
use crate::runtime::parallel::alone;
use faer::linalg::solvers::DenseSolveCore;
use faer::{Mat, MatRef};
use std::sync::Arc;

const N: usize = 6;

struct SplitWorld {
    model: FactorModel,
    state: State,
    covariances: [Mat<f64>; 2],
    /// n_s of traits and factors.
    effects: SplitEffects,
}

fn numbers(columns: usize, rng: &mut Stream) -> Mat<f64> {
    Mat::from_fn(N, columns, |_, _| normal(rng))
}

fn data(y: Mat<f64>, x: Mat<f64>, xf: Mat<f64>) -> Data {
    Data {
        y,
        x,
        x_prior: vec![Coefficient::Normal(1.5)],
        x_prior_behind: vec![],
        xf,
        xf_prior: vec![Coefficient::Normal(0.7)],
        s: vec![],
        missing: vec![vec![]; 2],
        rows: Mat::zeros(0, 0),
        known: Mat::zeros(0, 0),
    }
}

fn prior() -> Prior {
    Prior {
        residual: vec![InverseGamma { shape: 2.0, scale: 1.0 }.into(); 2],
        loadings: Loadings::Gamma {
            nu: 3.0,
            first: (3.0, 2.0),
            others: (4.0, 2.0),
            truncated: false,
        },
        scaled: false,
        shared: vec![],
        means: LoadingMeans::default(),
    }
}

impl SplitWorld {
    fn new() -> Self {
        alone();
        let rng = &mut Source { seed: 9, chain: 0 }.stream(0, Block::Start, 3);
        let w = numbers(N, rng);
        let covariances = [
            &w * w.transpose() * faer::Scale(0.2),
            Mat::from_fn(N, N, |i, j| if i / 2 == j / 2 { 1.0 } else { 0.0 }),
        ];
        let (y, x, xf) = (numbers(2, rng), numbers(1, rng), numbers(1, rng));
        let ray = |share: f64| {
            let ray = Ray::new(vec![share, 1.0 - share], &covariances, x.as_ref(), xf.as_ref());
            Arc::new(ray.unwrap())
        };
        let rays: Vec<Arc<Ray>> = [1.0, 0.4, 0.0].map(ray).into();
        let s: Vec<&[f64]> = rays.iter().map(|ray| ray.values()).collect();
        let weights = || (0..9).map(|g| -0.1 * f64::from(g)).collect::<Vec<f64>>();
        let model = FactorModel {
            proportions: Proportions::along(&s, &[0.0, 0.3, 0.8], weights(), weights()),
            data: data(y, x, xf),
            prior: prior(),
            k: 2,
            sets: vec![],
            place: 0,
            rays: rays.clone(),
            links: vec![],
            joint: vec![],
            cis: Cis::none(),
        };
        let mut state = State::start(&model, Source { seed: 1, chain: 0 });
        state
            .theta
            .iter_mut()
            .chain(&mut state.bf)
            .for_each(|b| *b = normal(rng));
        (state.g, state.gf, state.sigma2) = (vec![1, 5], vec![4, 8], vec![0.4, 1.3]);
        let effects = SplitEffects {
            each: vec![numbers(4, rng), numbers(4, rng)],
        };
        Self {
            model,
            state,
            covariances,
            effects,
        }
    }

    /// Y - X B
    fn y(&self) -> Mat<f64> {
        super::traits::without_fixed(&self.model, &self.state, self.model.data.y.as_ref())
    }

    /// V_r at a point, and what the other effects are there of a column, over the standard deviation.
    fn parts(&self, g: usize, effect: usize, column: usize) -> (Mat<f64>, Vec<f64>) {
        let h = |s: usize| part(&self.model, g, s);
        let rest = 1.0 - h(0) - h(1);
        let k = &self.covariances[effect];
        let v = Mat::from_fn(N, N, |i, j| h(effect) * k[(i, j)] + if i == j { rest } else { 0.0 });
        let other = 1 - effect;
        let mean = (0..N).map(|i| h(other).sqrt() * self.effects.each[other][(i, column)]);
        (v, mean.collect())
    }

    /// Log density of all cells with F and an effect integrated out.
    fn density(&self, state: &State, effect: usize) -> f64 {
        let (model, y) = (&self.model, self.y());
        let lambda = |j: usize, m: usize| state.lambda(model, j)[m];
        let mut e = [0.0; 2 * N];
        let mut v: Mat<f64> = Mat::zeros(2 * N, 2 * N);
        for j in 0..2 {
            let (own, mean) = self.parts(state.g[j], effect, j);
            for i in 0..N {
                e[j * N + i] = y[(i, j)] - state.sigma2[j].sqrt() * mean[i];
                (0..N).for_each(|l| v[(j * N + i, j * N + l)] += state.sigma2[j] * own[(i, l)]);
            }
        }
        for m in 0..2 {
            let (own, mean) = self.parts(state.gf[m], effect, 2 + m);
            for (at, e) in e.iter_mut().enumerate() {
                let (j, i) = (at / N, at % N);
                *e -= lambda(j, m) * (mean[i] + model.data.xf[(i, 0)] * state.bf[m]);
                (0..2 * N).for_each(|o| v[(at, o)] += lambda(j, m) * lambda(o / N, m) * own[(i, o % N)]);
            }
        }
        let inverse = v.partial_piv_lu().inverse();
        let square = |i: usize| (0..2 * N).map(|j| e[i] * inverse[(i, j)] * e[j]).sum::<f64>();
        -0.5 * (v.determinant().ln() + (0..2 * N).map(square).sum::<f64>())
    }

    /// The effects without one.
    fn given(&self, effect: usize) -> SplitEffects {
        let mut each = self.effects.each.clone();
        each[effect] = Mat::new();
        SplitEffects { each }
    }

    fn place(effect: usize) -> (usize, usize) {
        (effect, [0, 2][effect])
    }
}

fn same_differences(found: &[f64], slow: &[f64], what: &str) {
    for (a, b) in found.iter().zip(slow) {
        let (a, b) = (a - found[0], b - slow[0]);
        assert!((a - b).abs() < 1e-8 * (1.0 + b.abs()), "{what}: {a}, not {b}");
    }
}

/// Of the second factor also after the first one went elsewhere.
#[test]
fn points_of_factors_have_their_density() {
    for effect in 0..2 {
        let world = SplitWorld::new();
        let mut now = world.state.clone();
        let (model, y) = (&world.model, world.y());
        let given = world.given(effect);
        let left = left_in_basis(model, &now, (y.as_ref(), &given), SplitWorld::place(effect).1);
        let mut rows = SplitRows::new(model, &now, (&left, &given), SplitWorld::place(effect));
        let mut seen = SeenFactors::new(&rows).unwrap();
        let points: Vec<usize> = (0..9).collect();
        for m in 0..2 {
            let slow = |g: &usize| {
                let mut state = now.clone();
                state.gf[m] = *g;
                world.density(&state, effect) + model.proportions.log_factors[*g]
            };
            let slow: Vec<f64> = points.iter().map(slow).collect();
            same_differences(
                &rows.log_densities(&seen, m, &points),
                &slow,
                &format!("factor {m}, effect {effect}"),
            );
            if m == 0 {
                rows.go(&mut seen, 0, 7);
                now.gf[0] = 7;
            }
        }
    }
}

#[test]
fn points_and_variances_of_traits_have_their_density() {
    for effect in 0..2 {
        let world = SplitWorld::new();
        let (model, y, place) = (&world.model, world.y(), SplitWorld::place(effect));
        let given = world.given(effect);
        let left = left_in_basis(model, &world.state, (y.as_ref(), &given), place.1);
        let seen = SeenFactors::new(&SplitRows::new(model, &world.state, (&left, &given), place)).unwrap();
        for j in 0..2 {
            let turned = |a: MatRef<'_, f64>| model.in_basis(place.1, a.subcols(j, 1));
            let (own, other) = (turned(y.as_ref()), turned(world.effects.each[1 - effect].as_ref()));
            let own = SplitTrait {
                model,
                place,
                y: own.col_as_slice(0),
                others: vec![(1 - effect, other.col_as_slice(0))],
            };
            let now = own.precisions(world.state.g[j], world.state.sigma2[j]);
            let data = cavity(&seen.along(world.state.lambda(model, j)), &now).unwrap();
            let cases: Vec<(usize, f64)> = (0..9).flat_map(|g| [(g, 0.05), (g, 1.0), (g, 7.0)]).collect();
            let found: Vec<f64> = cases.iter().map(|c| own.log_density(&data, c.0, c.1)).collect();
            let slow = |&(g, sigma2): &(usize, f64)| {
                let mut state = world.state.clone();
                (state.g[j], state.sigma2[j]) = (g, sigma2);
                world.density(&state, effect)
            };
            let slow: Vec<f64> = cases.iter().map(slow).collect();
            same_differences(&found, &slow, &format!("trait {j}, effect {effect}"));
        }
    }
}
