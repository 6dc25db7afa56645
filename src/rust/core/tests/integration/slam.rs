//! The sampler: closed form without factors, Geweke's joint test, the same draws after an interruption and with any number of threads.

use crate::definition::noise;
use crate::slam_blocks::{Points, SPREAD, probes};
use faer::{Mat, Side};
use fastlmm_core::runtime::parallel::alone;
use fastlmm_core::runtime::seal::CHAIN_STATE;
use fastlmm_core::slam::link::{Binomial, KnownPrecision, Link, NegativeBinomial, Ordinal, Poisson};
use fastlmm_core::slam::rng::{Block, Source, Stream, gamma, gamma_above_one, index, inverse_gamma, normal};
use fastlmm_core::slam::{
    Chain, Cis, Coefficient, Data, FactorModel, InverseGamma, LoadingMeans, Loadings, Prior, Proportions, Ray, Set,
    State,
};
use std::sync::Arc;

pub struct World {
    pub model: FactorModel,
    /// Covariances of the random effects, in rows.
    covariances: Vec<Mat<f64>>,
    /// Eigenvectors of the kernel.
    q: Mat<f64>,
    /// Links that are made from values: of each trait, or none.
    links: Vec<Option<Kind>>,
    /// Curves that some traits are coefficients of.
    pub curves: Option<Points>,
    /// Data sets so far.
    seen: u64,
}

/// A link without its data.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    Weights,
    Poisson,
    NegativeBinomial,
    Binomial,
    Ordinal,
    Probes,
}

impl Kind {
    /// Known parts of the data that do not depend on values.
    fn known(i: usize) -> f64 {
        [0.5, 2.0, 1.0, 4.0][i % 4]
    }

    fn link(self, y: Vec<f64>) -> Arc<dyn Link> {
        let known: Vec<f64> = (0..y.len()).map(Self::known).collect();
        match self {
            Kind::Weights => Arc::new(KnownPrecision { y, w: known }),
            Kind::Poisson => Arc::new(Poisson {
                y,
                offset: known.iter().map(|x| x.ln() - 1.0).collect(),
            }),
            Kind::NegativeBinomial => Arc::new(NegativeBinomial {
                y,
                offset: known.iter().map(|x| x.ln() - 1.0).collect(),
            }),
            Kind::Binomial => Arc::new(Binomial {
                y,
                trials: known.iter().map(|x| (2.0 * x).round()).collect(),
            }),
            Kind::Ordinal => Arc::new(Ordinal { y, levels: 4 }),
            Kind::Probes => Arc::new(probes(y.len(), |_, i| y[i])),
        }
    }

    fn parameters(self, rng: &mut Stream) -> Vec<f64> {
        match self {
            Kind::NegativeBinomial => vec![1.0 / gamma(1.0, 1.0, rng)],
            Kind::Ordinal => vec![gamma(1.0, 1.0, rng), gamma(1.0, 1.0, rng)],
            Kind::Probes => {
                let mu = [0; 3].map(|_| SPREAD.sqrt() * normal(rng));
                let mean = mu.iter().sum::<f64>() / 3.0;
                let noise = [0; 3].map(|_| inverse_gamma(4.0, 2.0, rng));
                mu.iter().map(|mu| mu - mean).chain(noise).collect()
            }
            _ => vec![],
        }
    }
}

pub const GAMMA: Loadings = Loadings::Gamma {
    nu: 3.0,
    first: (3.0, 2.0),
    others: (4.0, 2.0),
    truncated: false,
};
pub const TRUNCATED: Loadings = Loadings::Gamma {
    nu: 3.0,
    first: (3.0, 2.0),
    others: (4.0, 2.0),
    truncated: true,
};
/// Variance of the prior of intercepts behind links
const BEHIND: f64 = 0.6;
const RESIDUAL: InverseGamma = InverseGamma { shape: 4.0, scale: 3.0 };
const SHARED: InverseGamma = InverseGamma { shape: 5.0, scale: 2.0 };

pub const HORSESHOE: Loadings = Loadings::Horseshoe {
    tau0: 0.5,
    delta: InverseGamma { shape: 3.0, scale: 1.0 },
};

pub fn kernel(n: usize) -> Mat<f64> {
    let w = Mat::from_fn(n, n + 2, |i, j| noise(5, i, j) - 0.5);
    let k = &w * w.transpose();
    let mean = (0..n).map(|i| k[(i, i)]).sum::<f64>() / n as f64;
    Mat::from_fn(n, n, |i, j| k[(i, j)] / mean)
}

impl World {
    /// n rows, p traits, k factors, every prior proper.
    pub fn new(n: usize, p: usize, k: usize, loadings: Loadings, scaled: bool) -> Self {
        alone();
        let eigen = kernel(n).self_adjoint_eigen(Side::Lower).unwrap();
        let q = eigen.U().to_owned();
        let s: Vec<f64> = eigen.S().column_vector().iter().map(|s| s.max(0.0)).collect();
        let x = Mat::from_fn(n, 2, |i, j| if j == 0 { 1.0 } else { noise(3, i, 0) - 0.5 });
        let points = vec![0.0, 0.25, 0.5, 0.75];
        let model = FactorModel {
            proportions: Proportions::new(
                &s,
                points,
                vec![0.4f64.ln(), 0.2f64.ln(), 0.2f64.ln(), 0.2f64.ln()],
                vec![0.0; 4],
            ),
            data: Data {
                y: Mat::zeros(n, p),
                x: q.transpose() * &x,
                x_prior: vec![Coefficient::Normal(2.0), Coefficient::Shared(0)],
                x_prior_behind: vec![],
                xf: q.transpose() * x.subcols(1, 1),
                xf_prior: vec![Coefficient::Shared(0)],
                s,
                missing: vec![vec![]; p],
                rows: q.transpose().to_owned(),
                known: Mat::zeros(0, 0),
            },
            prior: Prior {
                residual: vec![RESIDUAL.into(); p],
                loadings,
                scaled,
                shared: vec![SHARED.into()],
                means: LoadingMeans::default(),
            },
            k,
            sets: vec![],
            place: 0,
            rays: vec![],
            links: vec![],
            joint: vec![],
            cis: Cis::none(),
        };
        let covariances = vec![kernel(n)];
        Self {
            model,
            covariances,
            q,
            links: vec![None; p],
            curves: None,
            seen: 0,
        }
    }

    /// Two random effects: a dense kernel and groups of three rows, on rays that start from either alone.
    pub fn several(n: usize, p: usize, k: usize, loadings: Loadings, scaled: bool) -> Self {
        let one = Self::new(n, p, k, loadings, scaled);
        let groups = Mat::from_fn(n, n, |i, j| f64::from(i / 3 == j / 3));
        let covariances = vec![kernel(n), groups];
        let (x, xf) = (&one.q * &one.model.data.x, &one.q * &one.model.data.xf);
        let ray =
            |first: f64| Arc::new(Ray::new(vec![first, 1.0 - first], &covariances, x.as_ref(), xf.as_ref()).unwrap());
        let rays: Vec<Arc<Ray>> = [0.0, 0.5, 1.0].map(ray).into();
        let h = [0.0, 0.3, 0.6, 0.9];
        let weight = |ray: usize, g: usize| ((1 + g) as f64 * [0.5, 0.3, 1.0][ray]).ln();
        let logs: Vec<f64> = (0..3).flat_map(|ray| (0..4).map(move |g| weight(ray, g))).collect();
        let total = logs.iter().map(|l| l.exp()).sum::<f64>().ln();
        let logs: Vec<f64> = logs.iter().map(|l| l - total).collect();
        let s: Vec<&[f64]> = rays.iter().map(|ray| ray.values()).collect();
        let proportions = Proportions::along(&s, &h, logs.clone(), logs.into_iter().rev().collect());
        let data = Data {
            x,
            xf,
            ..one.model.data
        };
        Self {
            model: FactorModel {
                proportions,
                data,
                rays,
                links: vec![],
                ..one.model
            },
            covariances,
            links: vec![None; p],
            curves: None,
            seen: 0,
            q: Mat::identity(n, n),
        }
    }

    /// Rays with X as it is now.
    pub fn with_rays_of_x(mut self) -> Self {
        let (x, xf) = (&self.model.data.x, &self.model.data.xf);
        let again = |ray: &Arc<Ray>| {
            let ray = Ray::new(ray.shares.clone(), &self.covariances, x.as_ref(), xf.as_ref());
            Arc::new(ray.unwrap())
        };
        self.model.rays = self.model.rays.iter().map(again).collect();
        self
    }

    /// V at a point of the grid, in rows.
    fn covariance(&self, g: usize) -> Mat<f64> {
        let (model, h) = (&self.model, self.model.proportions.h[g]);
        let ray = model.rays.get(g * model.rays.len() / model.proportions.h.len());
        let shares = ray.map_or(vec![1.0], |ray| ray.shares.clone());
        Mat::from_fn(model.n(), model.n(), |i, l| {
            let effects: f64 = shares
                .iter()
                .zip(&self.covariances)
                .map(|(w, k)| h * w * k[(i, l)])
                .sum();
            effects + if i == l { 1.0 - h } else { 0.0 }
        })
    }

    /// With a link for some traits; the last has missing data, too.
    pub fn linked(mut self, links: &[Option<Kind>]) -> Self {
        let n = self.model.n();
        self.links = links.to_vec();
        self.model.data.x_prior_behind = vec![Coefficient::Normal(BEHIND), Coefficient::Shared(0)];
        self.model.links = links
            .iter()
            .map(|kind| kind.map(|kind| kind.link(vec![0.0; n])))
            .collect();
        let missing = |kind: &Option<Kind>| if kind.is_some() { (0..n).collect() } else { vec![] };
        self.model.data.missing = links.iter().map(missing).collect();
        self
    }

    /// Parameters of the link that begins with trait j.
    fn parameters_of(&self, j: usize, rng: &mut Stream) -> Vec<f64> {
        if self.curves.as_ref().is_some_and(|points| points.first == j) {
            return vec![inverse_gamma(4.0, 2.0, rng)];
        }
        self.links[j].map_or(vec![], |kind| kind.parameters(rng))
    }

    /// Where the parameters of that link are among all.
    fn first_parameter(&self, j: usize) -> usize {
        let mut rng = Source { seed: 1, chain: 1 }.stream(0, Block::Start, 2);
        (0..j).map(|j| self.parameters_of(j, &mut rng).len()).sum()
    }

    /// A draw of N(0, V) at a point of the grid.
    fn field(&self, g: usize, rng: &mut Stream) -> Vec<f64> {
        let model = &self.model;
        let own = model.proportions.at(g).iter().map(|w| normal(rng) / w.sqrt());
        let own: Vec<f64> = own.collect();
        let ray = g * model.rays.len() / model.proportions.h.len();
        match model.rays.get(ray) {
            Some(ray) => (0..own.len())
                .map(|i| (0..own.len()).map(|l| ray.vectors()[(i, l)] * own[l]).sum())
                .collect(),
            None => own,
        }
    }

    /// Parameters from the prior, written without the sampler's blocks.
    fn prior_draw(&self, rng: &mut Stream) -> State {
        let model = &self.model;
        let (n, p, k, c, b) = (model.n(), model.p(), model.k, model.c(), model.b());
        let mut state = State::start(model, Source { seed: 1, chain: 1 });
        state.shared[0] = inverse_gamma(5.0, 2.0, rng);
        state.link = (0..p).flat_map(|j| self.parameters_of(j, rng)).collect();
        let mut product = 1.0;
        let shrinkage = &mut state.shrinkage;
        if let Loadings::Horseshoe { tau0, .. } = model.prior.loadings {
            shrinkage.xi = inverse_gamma(0.5, 1.0 / (tau0 * tau0), rng);
            shrinkage.omega2 = inverse_gamma(0.5, 1.0 / shrinkage.xi, rng);
        }
        for m in 0..k {
            shrinkage.delta[m] = match (model.prior.loadings, m) {
                (Loadings::Gamma { .. }, 0) => gamma(3.0, 2.0, rng),
                (Loadings::Gamma { truncated: true, .. }, _) => gamma_above_one(4.0, 2.0, rng),
                (Loadings::Gamma { .. }, _) => gamma(4.0, 2.0, rng),
                (Loadings::Horseshoe { .. }, 0) => 1.0,
                (Loadings::Horseshoe { delta, .. }, _) => inverse_gamma(delta.shape, delta.scale, rng),
            };
            product *= shrinkage.delta[m];
            shrinkage.column[m] = match model.prior.loadings {
                Loadings::Gamma { .. } => product,
                Loadings::Horseshoe { .. } => 1.0 / (shrinkage.omega2 * product),
            };
        }
        for at in 0..k * p {
            shrinkage.local[at] = match model.prior.loadings {
                Loadings::Gamma { .. } => gamma(1.5, 1.5, rng),
                Loadings::Horseshoe { .. } => {
                    shrinkage.helpers[at] = inverse_gamma(0.5, 1.0, rng);
                    1.0 / inverse_gamma(0.5, 1.0 / shrinkage.helpers[at], rng)
                }
            };
        }
        self.draw_effects(&mut state, rng);
        for j in 0..p {
            state.sigma2[j] = inverse_gamma(4.0, 3.0, rng);
            state.g[j] = index(&model.proportions.log_traits, rng);
            let behind = matches!(model.links.get(j), Some(Some(link)) if !link.is_normal());
            state.theta[j * c] = f64::sqrt(if behind { BEHIND } else { 2.0 }) * normal(rng);
            state.theta[j * c + 1] = state.shared[0].sqrt() * normal(rng);
            for m in 0..k {
                let unit = if model.prior.scaled { state.sigma2[j] } else { 1.0 };
                let sd = (unit / state.shrinkage.precision(m, j)).sqrt();
                let known = model.known(m, j);
                state.theta[j * c + b + m] = known.unwrap_or_else(|| self.mean(&state, j, m) + sd * normal(rng));
            }
        }
        let cis = model.cis.variance.iter().map(|v| v.unwrap().sqrt() * normal(rng));
        state.cis = cis.collect();
        for m in 0..k {
            state.gf[m] = index(&model.proportions.log_factors, rng);
            state.bf[m] = state.shared[0].sqrt() * normal(rng);
            let own = self.field(state.gf[m], rng);
            for (i, own) in own.into_iter().enumerate() {
                state.f[m * n + i] = model.data.xf[(i, 0)] * state.bf[m] + own;
            }
        }
        state
    }

    /// Q'Y given the parameters.
    pub fn simulate(&self, state: &State, rng: &mut Stream) -> Mat<f64> {
        let model = &self.model;
        let (n, c, b) = (model.n(), model.c(), model.b());
        let own: Vec<Vec<f64>> = state.g.iter().map(|g| self.field(*g, rng)).collect();
        Mat::from_fn(n, model.p(), |i, j| {
            let theta = &state.theta[j * c..(j + 1) * c];
            let x: f64 = (0..b).map(|l| model.data.x[(i, l)] * theta[l]).sum();
            let f: f64 = (0..model.k).map(|m| state.f[m * n + i] * theta[b + m]).sum();
            let z: f64 = model.cis.of(j).map(|l| model.cis.x[(i, l)] * state.cis[l]).sum();
            x + f + z + state.sigma2[j].sqrt() * own[j][i]
        })
    }

    /// Traits by the rows that they were observed in.
    pub fn sets(&self, y: &Mat<f64>) -> Vec<Set> {
        let (n, missing) = (self.model.n(), &self.model.data.missing);
        let mut patterns = missing.clone();
        patterns.sort();
        patterns.dedup();
        let set = |(number, pattern): (usize, &Vec<usize>)| {
            let traits: Vec<usize> = (0..missing.len()).filter(|&j| missing[j] == *pattern).collect();
            let rows: Vec<usize> = (0..n).filter(|i| !pattern.contains(i)).collect();
            let k = kernel(n);
            let part = Mat::from_fn(rows.len(), rows.len(), |i, j| k[(rows[i], rows[j])]);
            let eigen = part.self_adjoint_eigen(Side::Lower).unwrap();
            let s = eigen.S().column_vector().iter().map(|s| s.max(0.0)).collect();
            let observed = Mat::from_fn(rows.len(), traits.len(), |i, j| y[(rows[i], traits[j])]);
            Set::new(&self.model, traits, rows, eigen.U().to_owned(), s, &observed, number)
        };
        patterns.iter().enumerate().map(set).collect()
    }

    /// The data as observed, and what the missing cells hold.
    fn observe(&mut self, y: &Mat<f64>, parameters: &[f64]) -> Vec<f64> {
        let whole = &self.q * y;
        if !self.model.sets.is_empty() {
            self.model.sets = self.sets(&whole);
            return vec![];
        }
        let mut observed = whole.clone();
        let mut cells = vec![];
        let mut rng = Source {
            seed: 77,
            chain: self.seen,
        }
        .stream(0, Block::Start, 1);
        self.seen += 1;
        for (j, kind) in self.links.iter().enumerate() {
            if let (Some(kind), Some(Some(link))) = (kind, self.model.links.get(j).cloned()) {
                let parameters = &parameters[self.first_parameter(j)..];
                if let Kind::Probes = kind {
                    let datum = |l: usize, i: usize| {
                        whole[(i, j)] + parameters[l] + parameters[3 + l].sqrt() * normal(&mut rng)
                    };
                    self.model.links[j] = Some(Arc::new(probes(whole.nrows(), datum)));
                    continue;
                }
                let datum = |i: usize| link.simulate(i, whole[(i, j)], parameters, &mut rng);
                let mut y: Vec<f64> = (0..whole.nrows()).map(datum).collect();
                y[3] = if matches!(kind, Kind::Weights) { y[3] } else { f64::NAN };
                self.model.links[j] = Some(kind.link(y));
            }
        }
        if let Some(points) = &self.curves {
            let v = parameters[self.first_parameter(points.first)];
            self.model.joint = vec![points.observe(&whole, v, &mut rng)];
        }
        for (j, rows) in self.model.data.missing.iter().enumerate() {
            for &i in rows {
                cells.push(whole[(i, j)]);
                observed[(i, j)] = 0.0;
            }
        }
        self.model.data.y = self.q.transpose() * observed;
        cells
    }
}

/// Functions of parameters and data whose distribution both simulators must share.
fn functionals(world: &World, state: &State) -> Vec<f64> {
    let model = &world.model;
    let (n, c, b, k) = (model.n(), model.c(), model.b(), model.k);
    let square = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>();
    let lambda = |j: usize, m: usize| state.theta[j * c + b + m];
    let mut all = vec![];
    for j in 0..2 {
        all.push(state.sigma2[j].ln());
        all.push(f64::from(u8::from(state.g[j] == 0)));
        all.push(f64::from(u8::from(state.g[j] == 2)));
        all.push(state.theta[j * c]);
        all.push(state.theta[j * c].powi(2));
        all.push(state.theta[j * c + 1].abs());
    }
    for m in 0..k {
        all.push(lambda(0, m));
        all.push(lambda(1, m).abs().ln());
        all.push(square(&state.f[m * n..(m + 1) * n]).ln());
        all.push(state.shrinkage.column[m].ln());
        all.push(state.shrinkage.local[m].ln());
        all.push(state.bf[m].abs());
        all.push(f64::from(u8::from(state.gf[m] == 0)));
        // the product is what the data see
        all.push((lambda(0, m) * state.f[m * n]).tanh());
        all.push((lambda(1, m) * state.f[m * n + 1]).abs().ln());
    }
    if let Some(first) = model.rays.first() {
        let points = model.proportions.h.len() / model.rays.len();
        all.extend(
            state
                .g
                .iter()
                .chain(&state.gf)
                .map(|g| model.proportions.h[*g] * model.rays[g / points].shares[0]),
        );
        all.extend(
            state
                .gf
                .iter()
                .map(|g| f64::from(u8::from(model.rays[g / points].shares == first.shares))),
        );
    }
    all.extend(state.cis.iter().copied());
    all.extend(state.cis.iter().map(|x| x * x));
    all.push(state.shared[0].ln());
    all.extend(world.functionals_of_effects(state));
    all.extend(state.cells.iter().map(|y| y.tanh()));
    all.extend(state.cells.iter().map(|y| y.abs().ln()));
    all.extend(state.link.iter().map(|x| x.abs().max(1e-12).ln()));
    all.extend(state.link.iter().map(|x| x.tanh()));
    all
}

/// Mean and its standard error, by batches.
fn mean_and_error(draws: &[f64]) -> (f64, f64) {
    const BATCHES: usize = 50;
    let size = draws.len() / BATCHES;
    let means: Vec<f64> = draws
        .chunks_exact(size)
        .map(|b| b.iter().sum::<f64>() / size as f64)
        .collect();
    let mean = means.iter().sum::<f64>() / means.len() as f64;
    let variance = means.iter().map(|m| (m - mean).powi(2)).sum::<f64>() / (means.len() - 1) as f64;
    (mean, (variance / means.len() as f64).sqrt())
}

/// Largest |z| over the functionals between draws from the prior and draws that alternate between data and the sampler; `spoil` may plant a bug after each iteration.
pub fn geweke(world: &mut World, iterations: usize, spoil: impl Fn(&mut State)) -> f64 {
    let source = Source { seed: 2024, chain: 0 };
    let mut rng = source.stream(u64::MAX, Block::Effects, 0);
    let marginal: Vec<Vec<f64>> = (0..iterations)
        .map(|_| {
            let mut state = world.prior_draw(&mut rng);
            let y = world.simulate(&state, &mut rng);
            state.cells = world.observe(&y, &state.link);
            functionals(world, &state)
        })
        .collect();
    let mut state = world.prior_draw(&mut rng);
    let successive: Vec<Vec<f64>> = (0..iterations)
        .map(|_| {
            let y = world.simulate(&state, &mut rng);
            state.cells = world.observe(&y, &state.link);
            let mut chain = Chain::from(&world.model, source, state.clone());
            chain.step();
            spoil(&mut chain.state);
            state = chain.state;
            functionals(world, &state)
        })
        .collect();
    let z = |f: usize| {
        let of = |draws: &[Vec<f64>]| mean_and_error(&draws.iter().map(|d| d[f]).collect::<Vec<f64>>());
        let ((a, sa), (b, sb)) = (of(&marginal), of(&successive));
        let z = (a - b) / (sa * sa + sb * sb).sqrt();
        if std::env::var("GEWEKE").is_ok() {
            println!("{f:3} {a:9.4} {b:9.4} {z:7.2}");
        }
        z.abs()
    };
    (0..marginal[0].len()).map(z).fold(0.0, f64::max)
}

/// Largest |z| over the functionals of their mean change by some iterations from a draw of the prior with data of it, which must be none: each replicate on its own (Gandy and Scott 2021), so that
/// heavy tails, which a single chain would take for ever to cross, do no harm.
pub fn invariance(world: &mut World, replicates: usize, iterations: usize, spoil: impl Fn(&mut State)) -> f64 {
    let mut rng = Source { seed: 2025, chain: 0 }.stream(u64::MAX, Block::Effects, 0);
    let mut changes: Vec<(f64, f64)> = vec![];
    for replicate in 0..replicates {
        let source = Source {
            seed: 7,
            chain: replicate as u64,
        };
        let mut state = world.prior_draw(&mut rng);
        let y = world.simulate(&state, &mut rng);
        state.cells = world.observe(&y, &state.link);
        let before = functionals(world, &state);
        let mut chain = Chain::from(&world.model, source, state);
        for _ in 0..iterations {
            chain.step();
            spoil(&mut chain.state);
        }
        let after = functionals(world, &chain.state);
        changes.resize(before.len(), (0.0, 0.0));
        for ((sum, square), (a, b)) in changes.iter_mut().zip(after.iter().zip(&before)) {
            let change = a.clamp(-50.0, 50.0) - b.clamp(-50.0, 50.0);
            *sum += change;
            *square += change * change;
        }
    }
    let z = |&(sum, square): &(f64, f64)| if square > 0.0 { (sum / square.sqrt()).abs() } else { 0.0 };
    let all: Vec<f64> = changes.iter().map(z).collect();
    if std::env::var("GEWEKE").is_ok() {
        println!("{all:.2?}");
    }
    all.into_iter().fold(0.0, f64::max)
}

/// |z| that some 700 functionals stay below with probability about 0.99, seeds being fixed.
pub const LIMIT: f64 = 4.5;

/// Every prior of loadings, in units of their own and of the residual variance; cells all there, drawn, or integrated out.
#[test]
fn geweke_every_combination() {
    for (name, loadings) in [("gamma", GAMMA), ("truncated", TRUNCATED), ("horseshoe", HORSESHOE)] {
        for scaled in [false, true] {
            for missing in ["none", "drawn", "integrated out"] {
                let n = 8;
                let mut world = World::new(n, 3, 2, loadings, scaled);
                if missing != "none" {
                    world.model.data.missing = vec![vec![0, 2], vec![1], vec![0, 2]];
                }
                if missing == "integrated out" {
                    world.model.sets = world.sets(&Mat::zeros(n, 3));
                }
                let z = match loadings {
                    Loadings::Horseshoe { .. } => invariance(&mut world, 6000, 4, |_| ()),
                    Loadings::Gamma { .. } => geweke(&mut world, 15_000, |_| ()),
                };
                assert!(z < LIMIT, "{name}, scaled {scaled}, missing {missing}: {z}");
            }
        }
    }
}

/// Every link, beside a trait without, with one random effect and with two.
#[test]
fn geweke_every_link() {
    let kinds = [
        Kind::Weights,
        Kind::Poisson,
        Kind::NegativeBinomial,
        Kind::Binomial,
        Kind::Ordinal,
    ];
    for kind in kinds {
        for several in [false, true] {
            let world = if several {
                World::several(9, 3, 2, GAMMA, false)
            } else {
                World::new(8, 3, 2, GAMMA, true)
            };
            let mut world = world.linked(&[Some(kind), None, Some(kind)]);
            let z = invariance(&mut world, 5_000, 3, |_| ());
            assert!(z < LIMIT, "{kind:?}, several {several}: {z}");
        }
    }
}

#[test]
fn geweke_catches_bugs_of_links() {
    type Bug = fn(&mut State);
    let bugs: [(&str, Kind, Bug); 3] = [
        ("values shrunk", Kind::Poisson, |s| {
            s.cells.iter_mut().for_each(|x| *x *= 0.9)
        }),
        ("dispersion too large", Kind::NegativeBinomial, |s| s.link[0] *= 1.3),
        ("cut points too close", Kind::Ordinal, |s| s.link[1] *= 0.8),
    ];
    for (name, kind, bug) in bugs {
        let mut world = World::new(8, 3, 2, GAMMA, false).linked(&[Some(kind), None, Some(kind)]);
        let z = invariance(&mut world, 5_000, 3, bug);
        assert!(z > 6.0, "{name}: {z}");
    }
}

/// Two random effects: every prior of loadings, in both units, cells all there and drawn.
#[test]
fn geweke_several_effects() {
    for (name, loadings) in [("gamma", GAMMA), ("horseshoe", HORSESHOE)] {
        for (scaled, missing) in [(false, false), (true, true)] {
            let mut world = World::several(9, 3, 2, loadings, scaled);
            if missing {
                world.model.data.missing = vec![vec![0, 2], vec![1], vec![0, 2]];
            }
            let z = match loadings {
                Loadings::Horseshoe { .. } => invariance(&mut world, 6000, 4, |_| ()),
                Loadings::Gamma { .. } => geweke(&mut world, 15_000, |_| ()),
            };
            assert!(z < LIMIT, "{name}, scaled {scaled}, missing {missing}: {z}");
        }
    }
}

#[test]
fn geweke_catches_bugs_of_several_effects() {
    type Bug = fn(&mut State);
    let bugs: [(&str, Bug); 2] = [
        ("variance too large", |s| s.sigma2[0] *= 1.1),
        ("factor kept from the last ray", |s| s.gf[0] %= 6),
    ];
    for (name, bug) in bugs {
        let mut world = World::several(9, 3, 2, GAMMA, false);
        let z = invariance(&mut world, 5_000, 3, bug);
        assert!(z > 6.0, "{name}: {z}");
    }
}

#[test]
fn geweke_known_loadings() {
    let mut world = World::new(8, 3, 2, GAMMA, false);
    let known = |m: usize, j: usize| match (m, j) {
        (0, 2) => 0.7,
        (0, 1) => 0.0,
        _ => f64::NAN,
    };
    world.model.data.known = Mat::from_fn(2, 3, known);
    let z = geweke(&mut world, 20_000, |_| ());
    assert!(z < LIMIT, "{z}");
}

#[test]
fn geweke_catches_planted_bugs() {
    let mut world = World::new(8, 3, 2, GAMMA, false);
    type Bug = fn(&mut State);
    let bugs: [(&str, Bug); 4] = [
        ("residual variance too large", |s| s.sigma2[0] *= 1.1),
        ("proportion kept from zero", |s| s.g[0] = s.g[0].max(1)),
        ("factor scaled without its loadings", |s| {
            s.f.iter_mut().for_each(|f| *f *= 0.93)
        }),
        ("precisions lean to one", |s| {
            s.shrinkage.local.iter_mut().for_each(|x| *x = x.powf(0.7))
        }),
    ];
    for (name, bug) in bugs {
        let z = geweke(&mut world, 6_000, bug);
        assert!(z > 6.0, "{name}: {z}");
        let z = invariance(&mut world, 6_000, 4, bug);
        assert!(z > 6.0, "{name}, replicates: {z}");
    }
    let mut world = World::several(9, 3, 2, GAMMA, false);
    let bugs: [(&str, Bug); 2] = [
        ("a trait kept from its last ray", |s| s.g[0] = s.g[0].min(7)),
        ("a factor kept from its first ray", |s| s.gf[0] = s.gf[0].max(4)),
    ];
    for (name, bug) in bugs {
        let z = invariance(&mut world, 6_000, 4, bug);
        assert!(z > 6.0, "{name}: {z}");
    }
    let mut world = World::new(8, 3, 2, HORSESHOE, false);
    let bugs: [(&str, Bug); 2] = [
        ("a horseshoe's columns too wide", |s| {
            s.shrinkage.column.iter_mut().for_each(|x| *x *= 0.7)
        }),
        ("a horseshoe's precisions lean to one", |s| {
            s.shrinkage.local.iter_mut().for_each(|x| *x = x.powf(0.8))
        }),
    ];
    for (name, bug) in bugs {
        let z = invariance(&mut world, 6_000, 4, bug);
        assert!(z > 6.0, "{name}: {z}");
    }
}

/// Without factors each trait stands alone: `p(g | y)` is proportional to `pi_g |V|^-1/2 |X'V^-1 X|^-1/2 (b0 + y'P_g y / 2)^-(a0 + (n - b) / 2)`.
#[test]
fn without_factors_the_posterior_is_known() {
    follows_the_closed_form(&mut World::new(20, 2, 0, GAMMA, false));
    follows_the_closed_form(&mut World::several(20, 2, 0, GAMMA, false));
}

/// With all prior weight on the ray of one effect alone it is that of this effect.
#[test]
fn the_ray_of_one_effect_is_that_effect() {
    let mut several = World::several(20, 2, 0, GAMMA, false);
    let grid = &mut several.model.proportions;
    grid.h.truncate(4);
    let s: Vec<&[f64]> = several.model.rays.iter().map(|ray| ray.values()).collect();
    let logs: Vec<f64> = (0..12)
        .map(|g| if g < 8 { f64::NEG_INFINITY } else { 0.25f64.ln() })
        .collect();
    *grid = Proportions::along(&s, &grid.h.clone(), logs.clone(), logs);
    follows_the_closed_form(&mut several);
    let mut one = World::new(20, 2, 0, GAMMA, false);
    let grid = &mut one.model.proportions;
    *grid = Proportions::new(
        &one.model.data.s,
        several.model.proportions.h[..4].to_vec(),
        vec![0.25f64.ln(); 4],
        vec![0.25f64.ln(); 4],
    );
    one.model.data.y = one.q.transpose() * &several.model.data.y;
    for j in 0..2 {
        let ((all, mean), (of_one, own)) = (closed_form(&several, j), closed_form(&one, j));
        assert!((mean / own - 1.0).abs() < 1e-9);
        assert!(all[8..].iter().zip(&of_one).all(|(a, b)| (a - b).abs() < 1e-9));
    }
}

fn follows_the_closed_form(world: &mut World) {
    world.model.data.x_prior = vec![Coefficient::Flat; 2];
    world.model.data.xf = Mat::zeros(20, 0);
    world.model.data.xf_prior = vec![];
    let own: Vec<Vec<f64>> = (0..2)
        .map(|j| {
            world.field(
                world.model.proportions.h.len() - 2,
                &mut Source { seed: 12, chain: j }.stream(0, Block::Start, 0),
            )
        })
        .collect();
    world.model.data.y = Mat::from_fn(20, 2, |i, j| 1.5 * own[j][i]);
    const DRAWS: usize = 40_000;
    let points = world.model.proportions.h.len();
    let mut chain = Chain::new(&world.model, Source { seed: 11, chain: 0 });
    let mut seen = vec![vec![0.0; points]; 2];
    let mut sums = [0.0; 2];
    for _ in 0..DRAWS {
        chain.step();
        for j in 0..2 {
            seen[j][chain.state.g[j]] += 1.0 / DRAWS as f64;
            sums[j] += chain.state.sigma2[j] / DRAWS as f64;
        }
    }
    for j in 0..2 {
        let (weights, mean) = closed_form(world, j);
        for g in 0..points {
            let (found, expected) = (seen[j][g], weights[g]);
            assert!((found - expected).abs() < 0.015, "{j} {g}: {found} {expected}");
        }
        assert!((sums[j] / mean - 1.0).abs() < 0.02, "{j}: {} {mean}", sums[j]);
    }
}

/// Posterior of the points of the grid, and mean of sigma2, with V written out.
fn closed_form(world: &World, j: usize) -> (Vec<f64>, f64) {
    let model = &world.model;
    let n = model.n();
    let q = &world.q;
    let (x, y) = (q * &model.data.x, q * model.data.y.subcols(j, 1));
    let InverseGamma { shape, scale } = RESIDUAL;
    let shape = shape + 0.5 * (n - 2) as f64;
    let at = |g: usize| {
        let v = world.covariance(g);
        let log_det = |m: &Mat<f64>| m.determinant().ln();
        let inverse = faer::linalg::solvers::DenseSolveCore::inverse(&v.partial_piv_lu());
        let xx = x.transpose() * &inverse * &x;
        let xy = x.transpose() * &inverse * &y;
        let solved = faer::linalg::solvers::DenseSolveCore::inverse(&xx.partial_piv_lu()) * &xy;
        let q = (y.transpose() * &inverse * &y)[(0, 0)] - (xy.transpose() * solved)[(0, 0)];
        let rate = scale + 0.5 * q;
        let log = model.proportions.log_traits[g] - 0.5 * log_det(&v) - 0.5 * log_det(&xx) - shape * rate.ln();
        (log, rate / (shape - 1.0))
    };
    let points: Vec<(f64, f64)> = (0..model.proportions.h.len()).map(at).collect();
    let total: f64 = points.iter().map(|p| p.0.exp()).sum();
    let weights: Vec<f64> = points.iter().map(|p| p.0.exp() / total).collect();
    let mean = points.iter().zip(&weights).map(|(p, w)| p.1 * w).sum();
    (weights, mean)
}

fn busy_world() -> World {
    let mut world = World::new(30, 150, 3, TRUNCATED, false);
    // of the ends of tiles, too
    let columns = Mat::from_fn(30, 6, |i, l| noise(6, i, l) - 0.5);
    world.model.cis = Cis::new(columns, vec![None; 6], &[4, 4, 63, 64, 127, 149], 150);
    world.model.data.missing[4] = vec![1, 7];
    world.model.data.missing[149] = vec![0];
    world.model.data.y = Mat::from_fn(30, 150, |i, j| (noise(8, i, j) - 0.5) * 4.0);
    world
}

/// A state without its seal, as 0.1 kept it, is read; one with a changed byte is not.
#[test]
fn a_state_that_is_damaged_is_none() {
    let world = busy_world();
    let mut chain = Chain::new(&world.model, Source { seed: 3, chain: 2 });
    chain.step();
    let bytes = chain.state.to_bytes();
    let words = CHAIN_STATE.content(&bytes).unwrap();
    assert_eq!(State::from_bytes(&world.model, words).as_ref(), Some(&chain.state));
    for i in (0..bytes.len()).step_by(7) {
        let mut damaged = bytes.clone();
        damaged[i] ^= 1;
        assert_eq!(State::from_bytes(&world.model, &damaged), None, "byte {i}");
    }
}

#[test]
fn an_interrupted_chain_goes_on_to_the_same_draws() {
    let world = busy_world();
    let source = Source { seed: 3, chain: 2 };
    let mut whole = Chain::new(&world.model, source);
    (0..9).for_each(|_| whole.step());
    let mut first = Chain::new(&world.model, source);
    (0..4).for_each(|_| first.step());
    let bytes = first.state.to_bytes();
    let state = State::from_bytes(&world.model, &bytes).unwrap();
    assert_eq!(state, first.state);
    let mut second = Chain::from(&world.model, source, state);
    (0..5).for_each(|_| second.step());
    assert_eq!(second.state, whole.state);
    assert!(State::from_bytes(&world.model, &bytes[..bytes.len() - 8]).is_none());
    assert!(State::from_bytes(&World::new(30, 149, 3, TRUNCATED, false).model, &bytes).is_none());
}

#[test]
fn threads_do_not_change_the_draws() {
    let world = busy_world();
    let run = |threads: usize| {
        let workers = fastlmm_core::runtime::parallel::Workers::new(threads).unwrap();
        let mut chain = Chain::new(&world.model, Source { seed: 3, chain: 0 });
        (0..5).for_each(|_| workers.run(|_| chain.step()));
        chain.state
    };
    let one = run(1);
    assert_eq!(one, run(3));
    let other = Chain::new(&world.model, Source { seed: 3, chain: 1 });
    assert_ne!(one.f, other.state.f);
}

/// Entries of G and R, and fixed effects with what goes through the factors.
fn estimands(model: &FactorModel, state: &State) -> Vec<f64> {
    let (c, b, k) = (model.c(), model.b(), model.k);
    let lambda = |j: usize, m: usize| state.theta[j * c + b + m];
    let h = |g: usize| model.proportions.h[g];
    let entry = |i: usize, j: usize, genetic: bool| {
        let share = |h: f64| if genetic { h } else { 1.0 - h };
        let common: f64 = (0..k)
            .map(|m| lambda(i, m) * lambda(j, m) * share(h(state.gf[m])))
            .sum();
        common
            + if i == j {
                share(h(state.g[i])) * state.sigma2[i]
            } else {
                0.0
            }
    };
    let total = |j: usize| state.theta[j * c + 1] + (0..k).map(|m| lambda(j, m) * state.bf[m]).sum::<f64>();
    vec![
        entry(0, 0, true),
        entry(0, 1, true),
        entry(2, 3, true),
        entry(1, 1, false),
        entry(0, 1, false),
        entry(4, 5, false),
        total(0),
        total(5),
        state.shared[0],
    ]
}

/// Ranks of the truth among draws are uniform if the truth is drawn from the prior (Talts and others 2018).
#[test]
#[ignore = "slow; make check-long runs it"]
fn simulation_based_calibration() {
    const SETS: usize = 600;
    const BINS: usize = 10;
    const KEPT: usize = 99;
    const THIN: usize = 12;
    for (name, loadings, missing) in [
        ("gamma", TRUNCATED, false),
        ("horseshoe", HORSESHOE, false),
        ("missing", GAMMA, true),
    ] {
        let mut world = World::new(40, 6, 2, loadings, false);
        if missing {
            world.model.data.missing = (0..6).map(|j| (0..10 * (j % 3)).collect()).collect();
        }
        let mut counts = vec![[0.0; BINS]; 9];
        for set in 0..SETS {
            let source = Source {
                seed: set as u64,
                chain: 0,
            };
            let rng = &mut source.stream(u64::MAX, Block::Effects, 0);
            let truth = world.prior_draw(rng);
            let y = world.simulate(&truth, rng);
            world.observe(&y, &[]);
            let mut chain = Chain::new(&world.model, source);
            (0..300).for_each(|_| chain.step());
            let below = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| usize::from(a < b)).collect::<Vec<_>>();
            let exact = estimands(&world.model, &truth);
            let mut ranks = vec![0; 9];
            for _ in 0..KEPT {
                (0..THIN).for_each(|_| chain.step());
                let smaller = below(&estimands(&world.model, &chain.state), &exact);
                ranks.iter_mut().zip(smaller).for_each(|(rank, less)| *rank += less);
            }
            counts
                .iter_mut()
                .zip(ranks)
                .for_each(|(bins, rank)| bins[rank * BINS / (KEPT + 1)] += 1.0);
        }
        let expected = SETS as f64 / BINS as f64;
        for (which, bins) in counts.iter().enumerate() {
            let square: f64 = bins.iter().map(|c| (c - expected).powi(2) / expected).sum();
            // chi-squared with 9 degrees of freedom: above 32 once in 5000
            assert!(square < 32.0, "{name}, estimand {which}: {square:.1} {bins:?}");
        }
    }
}
