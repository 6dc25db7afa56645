//! Several chains of one model, and the draws that are kept.

use super::chain::Chain;
use super::model::FactorModel;
use super::rng::Source;
use super::state::{Failed, State};
use crate::runtime::error::{Error, Result};
use crate::runtime::memory::claim;
use crate::runtime::monitor::Monitor;
use crate::runtime::parallel::Workers;
use crate::runtime::stop;
use rayon::prelude::*;

/// A model and its chains, which may go on where they stopped.
///
/// Without factors and random effects, and with a flat prior, the mean of a trait is distributed about that of its rows:
///
/// ```
/// use fastlmm_core::runtime::parallel::Workers;
/// use fastlmm_core::slam::rng::Source;
/// use fastlmm_core::slam::{Cis, Coefficient, Data, InverseGamma, LoadingMeans, Loadings, FactorModel, Prior, Proportions, Sampler};
/// use faer::Mat;
/// # fn main() -> fastlmm_core::runtime::error::Result<()> {
/// let prior = InverseGamma { shape: 3.0, scale: 2.0 };
/// let model = FactorModel {
///     data: Data {
///         y: Mat::from_fn(5, 1, |i, _| [1.0, 2.0, 4.0, 3.0, 5.0][i]),
///         x: Mat::full(5, 1, 1.0), x_prior: vec![Coefficient::Flat], x_prior_behind: vec![],
///         xf: Mat::zeros(5, 0), xf_prior: vec![],
///         s: vec![1.0; 5], missing: vec![vec![]], rows: Mat::zeros(0, 0), known: Mat::zeros(0, 0),
///     },
///     proportions: Proportions::new(&[1.0; 5], vec![0.0], vec![0.0], vec![0.0]),
///     prior: Prior {
///         residual: vec![prior.into()],
///         loadings: Loadings::Gamma { nu: 3.0, first: (2.0, 1.0), others: (3.0, 1.0), truncated: false },
///         scaled: false,
///         shared: vec![],
///         means: LoadingMeans::default(),
///     },
///     k: 0, sets: vec![], place: 0, rays: vec![], links: vec![], joint: vec![], cis: Cis::none(),
/// };
/// let mut sampler = Sampler::new(model);
/// sampler.start(Source { seed: 1, chain: 0 })?;
/// let draws = sampler.run(4000, 0, 1, &Workers::new(1)?, &mut ())?.remove(0);
/// let mean = draws.theta.iter().sum::<f64>() / draws.count as f64;
/// // sigma2 of the mean is about 0.3: five standard errors
/// assert!((mean - 3.0).abs() < 5.0 * (0.5_f64 / 4000.0).sqrt());
/// # Ok(())
/// # }
/// ```
pub struct Sampler {
    model: FactorModel,
    chains: Vec<(Source, State)>,
    /// Are F and missing cells kept in draws?
    keep: (bool, bool),
}

/// Draws of one chain, one after the other.
#[derive(Debug, Default)]
pub struct Draws {
    /// Number of draws.
    pub count: usize,
    /// Coefficients of X and loadings, (b + k) x p a draw.
    pub theta: Vec<f64>,
    /// Variances of traits, p a draw.
    pub sigma2: Vec<f64>,
    /// Proportions of traits, of all random effects together, p a draw.
    pub h: Vec<f64>,
    /// The same of factors, k a draw.
    pub hf: Vec<f64>,
    /// Parameters of links.
    pub link: Vec<f64>,
    /// Coefficients of columns that one trait alone has, in the order of traits.
    pub cis: Vec<f64>,
    /// With several random effects: points of the grid of traits, p a draw.
    pub point: Vec<f64>,
    /// The same of factors, k a draw.
    pub factors_point: Vec<f64>,
    /// Q'F (with several effects F), n x k a draw.
    pub f: Vec<f64>,
    /// Coefficients of X_F, b_F x k a draw.
    pub bf: Vec<f64>,
    /// Precisions of the columns of loadings.
    pub column: Vec<f64>,
    /// Variances that coefficients share.
    pub shared: Vec<f64>,
    /// Missing cells, in the order of traits.
    pub cells: Vec<f64>,
    /// Effects of covariates of the traits on loadings, q x k a draw.
    pub effects: Vec<f64>,
}

impl Draws {
    fn keep(&mut self, model: &FactorModel, state: &State, (factors, cells): (bool, bool)) {
        let h = |g: &usize| model.proportions.h[*g];
        self.count += 1;
        self.theta.extend(&state.theta);
        self.sigma2.extend(&state.sigma2);
        self.h.extend(state.g.iter().map(h));
        self.hf.extend(state.gf.iter().map(h));
        if !model.rays.is_empty() {
            self.point.extend(state.g.iter().map(|g| *g as f64));
            self.factors_point.extend(state.gf.iter().map(|g| *g as f64));
        }
        if factors {
            self.f.extend(&state.f);
        }
        self.bf.extend(&state.bf);
        self.column.extend(&state.shrinkage.column);
        self.shared.extend(&state.shared);
        self.effects.extend(&state.effects.w);
        self.link.extend(&state.link);
        self.cis.extend(&state.cis);
        if cells {
            self.cells.extend(&state.cells);
        }
    }
}

impl Sampler {
    /// Without a chain yet.
    pub fn new(model: FactorModel) -> Self {
        Self {
            model,
            chains: vec![],
            keep: (true, true),
        }
    }

    /// Leaves out F or missing cells of draws.
    pub fn keeping(self, factors: bool, cells: bool) -> Self {
        Self {
            keep: (factors, cells),
            ..self
        }
    }

    /// A chain from its beginning.
    pub fn start(&mut self, source: Source) -> Result<()> {
        claim(2.0 * self.model.numbers_of_state())?;
        self.chains.push((source, State::start(&self.model, source)));
        Ok(())
    }

    /// A chain from where it was.
    pub fn resume(&mut self, source: Source, bytes: &[u8]) -> Result<()> {
        claim(2.0 * self.model.numbers_of_state())?;
        let state = State::from_bytes(&self.model, bytes).ok_or(Error::State)?;
        self.chains.push((source, state));
        Ok(())
    }

    /// The model of all chains.
    pub fn model(&self) -> &FactorModel {
        &self.model
    }

    /// Draws of each chain that failed, from its beginning on.
    pub fn failed(&self) -> Vec<Failed> {
        self.chains.iter().map(|(_, state)| state.failed).collect()
    }

    /// Each chain's state as bytes, for [`Sampler::resume`].
    pub fn states(&self) -> Vec<Vec<u8>> {
        self.chains.iter().map(|(_, state)| state.to_bytes()).collect()
    }

    /// Some iterations of every chain; of iterations after `warmup` each `thin`-th is kept. Chains and traits share the threads.
    pub fn run(
        &mut self,
        iterations: usize,
        warmup: u64,
        thin: u64,
        workers: &Workers,
        monitor: &mut dyn Monitor,
    ) -> Result<Vec<Draws>> {
        monitor.check()?;
        let (model, keep) = (&self.model, self.keep);
        let kept = (iterations as u64 / thin.max(1)) as f64;
        let cells = (model.n() * (model.p() + 2 * model.k)) as f64;
        claim(self.chains.len() as f64 * (2.0 * cells + (3.0 * kept + 2.0) * model.numbers_of_state()))?;
        let one = |(source, state): &mut (Source, State)| {
            let mut draws = Draws::default();
            let mut chain = Chain::from(model, *source, state.clone());
            for _ in 0..iterations {
                stop::check()?;
                chain.step();
                let done = chain.state.iteration;
                if done > warmup && (done - warmup).is_multiple_of(thin.max(1)) {
                    draws.keep(model, &chain.state, keep);
                }
            }
            *state = chain.state;
            Ok(draws)
        };
        let chains = &mut self.chains;
        workers.run(|_| chains.par_iter_mut().map(one).collect())
    }
}
