//! Draws of G, R, P and correlations, from loadings, variances and proportions: means by long products and tables by pairs of traits, never a p x p matrix a draw.
//!
//! A covariance of one draw is `A A' + diag(own)` with `A = Lambda diag(weight)^(1/2)`, a correlation the same with the rows of A in units of their standard deviation. A mean over
//! draws is one product of all A beside one another.

use super::convergence::{Judge, Statistics};
use crate::linalg::{dot, symmetric_product};
use crate::runtime::error::{Error, Result};
use crate::runtime::memory::claim;
use crate::runtime::parallel::Workers;
use crate::runtime::stop;
use faer::{Mat, Par};
use rayon::prelude::*;
use std::ops::Range;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Covariance {
    /// Of the random effect, `Lambda diag(h_F) Lambda' + diag(h sigma2)`.
    Genetic,
    /// Of the residual, `Lambda diag(1 - h_F) Lambda' + diag((1 - h) sigma2)`.
    Residual,
    /// Their sum.
    Whole,
}

crate::words!(
    Covariance, "covariance",
    "G" => Covariance::Genetic, "R" => Covariance::Residual, "P" => Covariance::Whole
);

/// Draws of one chain, as [`super::Draws`] has them.
#[derive(Debug, Clone, Copy)]
pub struct Kept<'a> {
    /// Coefficients of X and loadings, (b + k) x p a draw.
    pub theta: &'a [f64],
    /// Variances of traits, p a draw.
    pub sigma2: &'a [f64],
    /// Proportions of traits, p a draw.
    pub h: &'a [f64],
    /// Proportions of factors, k a draw.
    pub hf: &'a [f64],
}

/// Chains of a model, and one of the covariances that they imply.
pub struct Covariances<'a> {
    chains: &'a [Kept<'a>],
    /// Coefficients of X.
    b: usize,
    /// Factors.
    k: usize,
    /// Units of the traits, p.
    sd: &'a [f64],
    what: Covariance,
    correlation: bool,
}

/// Pairs whose draws are held together, and numbers beside one another in a product.
const PAIRS: usize = 256;
const COLUMNS: usize = 1024;

impl<'a> Covariances<'a> {
    /// Chains have as many draws as one another.
    pub fn new(
        chains: &'a [Kept<'a>],
        b: usize,
        k: usize,
        sd: &'a [f64],
        what: Covariance,
        correlation: bool,
    ) -> Result<Self> {
        let p = sd.len().max(1);
        for chain in chains {
            let draws = chain.sigma2.len() / p;
            for (name, found, expected) in [
                ("theta", chain.theta.len(), draws * p * (b + k)),
                ("sigma2", chain.sigma2.len(), chains[0].sigma2.len()),
                ("h", chain.h.len(), draws * p),
                ("factors_h", chain.hf.len(), draws * k),
            ] {
                if found != expected {
                    return Err(Error::Shape {
                        what: name,
                        found,
                        expected,
                    });
                }
            }
        }
        Ok(Self {
            chains,
            b,
            k,
            sd,
            what,
            correlation,
        })
    }

    fn draws_of_chain(&self) -> usize {
        self.chains
            .first()
            .map_or(0, |chain| chain.sigma2.len() / self.sd.len().max(1))
    }

    /// Draws of all chains.
    pub fn draws(&self) -> usize {
        self.chains.len() * self.draws_of_chain()
    }

    fn share(&self, h: f64) -> f64 {
        match self.what {
            Covariance::Genetic => h,
            Covariance::Residual => 1.0 - h,
            Covariance::Whole => 1.0,
        }
    }

    /// Row j of A of a draw into `row`, and the trait's own variance. A correlation of a trait without variance is none.
    fn row(&self, draw: usize, j: usize, row: &mut [f64]) -> f64 {
        let (p, c, each) = (self.sd.len(), self.b + self.k, self.draws_of_chain());
        let (chain, t) = (&self.chains[draw / each], draw % each);
        let theta = &chain.theta[(t * p + j) * c + self.b..(t * p + j + 1) * c];
        let hf = &chain.hf[t * self.k..(t + 1) * self.k];
        for ((a, lambda), h) in row.iter_mut().zip(theta).zip(hf) {
            *a = lambda * self.sd[j] * self.share(*h).sqrt();
        }
        let own = self.share(chain.h[t * p + j]) * chain.sigma2[t * p + j] * self.sd[j] * self.sd[j];
        if !self.correlation {
            return own;
        }
        let variance = own + dot(row, row);
        let unit = if variance > 0.0 {
            variance.sqrt().recip()
        } else {
            f64::NAN
        };
        row.iter_mut().for_each(|a| *a *= unit);
        own * unit * unit
    }

    // ---- means ------------------------------------------------------------------------------------

    /// Means over the draws in which they are defined, of some traits: lower triangle.
    pub fn means(&self, traits: &[usize], workers: &Workers) -> Result<Mat<f64>> {
        let (m, draws) = (traits.len(), self.draws());
        let together = (COLUMNS / self.k.max(1)).clamp(1, draws.max(1));
        claim(3.0 * (m * m) as f64 + (m * together * self.k.max(1)) as f64)?;
        workers.run(|par| {
            let (mut sum, mut undefined) = (Mat::zeros(m, m), vec![]);
            for first in (0..draws).step_by(together) {
                stop::check()?;
                self.add(
                    traits,
                    first..(first + together).min(draws),
                    &mut sum,
                    &mut undefined,
                    par,
                );
            }
            Ok(divided(sum, &undefined, draws, par))
        })
    }

    /// Adds some draws; `undefined` gets the traits whose correlations are not defined, of each draw with one.
    fn add(
        &self,
        traits: &[usize],
        draws: Range<usize>,
        sum: &mut Mat<f64>,
        undefined: &mut Vec<Vec<usize>>,
        par: Par,
    ) {
        let k = self.k;
        let mut a = Mat::<f64>::zeros(draws.len() * k, traits.len());
        let mut missing = vec![vec![]; draws.len()];
        let mut row = vec![0.0; k];
        for (at, &j) in traits.iter().enumerate() {
            for (d, draw) in draws.clone().enumerate() {
                let own = self.row(draw, j, &mut row);
                if own.is_nan() {
                    missing[d].push(at);
                    continue;
                }
                a.col_as_slice_mut(at)[d * k..(d + 1) * k].copy_from_slice(&row);
                sum[(at, at)] += own;
            }
        }
        *sum += symmetric_product(a.as_ref(), a.as_ref(), par);
        undefined.extend(missing.into_iter().filter(|m| !m.is_empty()));
    }

    // ---- tables -----------------------------------------------------------------------------------

    /// Draws of one pair, chains one after the other.
    pub fn pair(&self, i: usize, j: usize) -> Vec<f64> {
        let mut of = self.of_pairs(&[(i, j)]);
        of.pop().unwrap_or_default()
    }

    /// The draws of some pairs, each chains one after the other.
    fn of_pairs(&self, pairs: &[(usize, usize)]) -> Vec<Vec<f64>> {
        let mut traits: Vec<usize> = pairs.iter().flat_map(|&(i, j)| [i, j]).collect();
        traits.sort_unstable();
        traits.dedup();
        let place = |j: usize| traits.binary_search(&j).unwrap_or_default();
        let at: Vec<(usize, usize)> = pairs.iter().map(|&(i, j)| (place(i), place(j))).collect();
        let k = self.k;
        let (mut rows, mut own) = (vec![0.0; traits.len() * k], vec![0.0; traits.len()]);
        let mut all = vec![vec![0.0; self.draws()]; pairs.len()];
        for draw in 0..self.draws() {
            for (s, &j) in traits.iter().enumerate() {
                own[s] = self.row(draw, j, &mut rows[s * k..(s + 1) * k]);
            }
            for (draws, &(i, j)) in all.iter_mut().zip(&at) {
                let common = dot(&rows[i * k..(i + 1) * k], &rows[j * k..(j + 1) * k]);
                // a trait whose correlations are not defined has own variance NaN, which must reach its pairs without factors too
                draws[draw] = common + if i == j { own[i] } else { 0.0 * (own[i] + own[j]) };
            }
        }
        all
    }

    /// Statistics of pairs of traits.
    pub fn table(&self, pairs: &[(usize, usize)], judge: &Judge<'_>, workers: &Workers) -> Result<Vec<Statistics>> {
        let chunk = |some: &[(usize, usize)]| {
            claim((PAIRS * (self.draws() + 2 * self.k)) as f64)?;
            Ok(self
                .of_pairs(some)
                .iter()
                .map(|draws| judge.judge(draws))
                .collect::<Vec<_>>())
        };
        let parts: Result<Vec<Vec<Statistics>>> = workers.run(|_| pairs.par_chunks(PAIRS).map(chunk).collect());
        Ok(parts?.concat())
    }
}

/// Sums over the draws by the number of those in which both traits have a variance.
fn divided(mut sum: Mat<f64>, undefined: &[Vec<usize>], draws: usize, par: Par) -> Mat<f64> {
    let m = sum.nrows();
    if undefined.is_empty() {
        return sum * faer::Scale(1.0 / draws as f64);
    }
    let mut defined = Mat::full(undefined.len(), m, 1.0);
    for (d, traits) in undefined.iter().enumerate() {
        traits.iter().for_each(|&at| defined[(d, at)] = 0.0);
    }
    let both = symmetric_product(defined.as_ref(), defined.as_ref(), par);
    let others = (draws - undefined.len()) as f64;
    for j in 0..m {
        (j..m).for_each(|i| sum[(i, j)] /= others + both[(i, j)]);
    }
    sum
}
