//! What draws of one number say: mean, spread, quantiles, and whether the chains agree (Vehtari, Gelman, Simpson, Carpenter and Buerkner 2021).

use crate::linalg::{dot, sum_of};
use crate::runtime::error::Result;
use crate::runtime::parallel::Workers;
use crate::runtime::stop;
use rayon::prelude::*;

/// Of one number, over the draws of all chains.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Statistics {
    /// Mean of the draws that are numbers.
    pub mean: f64,
    /// Their standard deviation.
    pub sd: f64,
    /// Lower end of their interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// The larger of the rank-normalised rhats of the draws and of their distances from the median; NaN if the draws do not vary.
    pub rhat: f64,
    /// Effective number of draws for the mean.
    pub bulk: f64,
    /// Effective number of draws for the quantiles at 5 and 95 percent: the smaller.
    pub tail: f64,
}

/// Judges draws of one number after the other.
pub struct Judge<'a> {
    /// Number of chains, whose draws stand one after the other.
    chains: usize,
    /// Normal scores of the ranks 1, 1.5, 2, ... to twice as many as there are draws, less one.
    scores: &'a [f64],
    /// Probability of the interval.
    level: f64,
}

impl<'a> Judge<'a> {
    /// `scores`: normal quantiles at `(r - 3/8) / (S + 1/4)` for the ranks r = 1, 1.5, ..., S in as many draws as are judged.
    pub fn new(chains: usize, scores: &'a [f64], level: f64) -> Self {
        Self { chains, scores, level }
    }

    /// Chains one after the other.
    pub fn judge(&self, draws: &[f64]) -> Statistics {
        let mut sorted: Vec<f64> = draws.iter().copied().filter(|x| !x.is_nan()).collect();
        sorted.sort_by(f64::total_cmp);
        let n = sorted.len() as f64;
        let mean = sorted.iter().sum::<f64>() / n;
        let square: f64 = sorted.iter().map(|x| (x - mean).powi(2)).sum();
        let tail = 0.5 * (1.0 - self.level);
        let (rhat, bulk, ends) = self.convergence(draws, &sorted);
        Statistics {
            mean,
            sd: (square / (n - 1.0)).sqrt(),
            low: quantile(&sorted, tail),
            high: quantile(&sorted, 1.0 - tail),
            rhat,
            bulk,
            tail: ends,
        }
    }

    /// rhat, and effective sizes in the bulk and in the tails.
    fn convergence(&self, draws: &[f64], sorted: &[f64]) -> (f64, f64, f64) {
        let none = (f64::NAN, f64::NAN, f64::NAN);
        let (Some(first), Some(last)) = (sorted.first(), sorted.last()) else {
            return none;
        };
        let constant = last - first <= f64::EPSILON * first.abs().max(last.abs());
        if sorted.len() < draws.len() || constant || !first.is_finite() || !last.is_finite() {
            return none;
        }
        let halves = self.halves(draws);
        let scored = self.scored(&halves);
        // rounded as R's median is
        let middle = 0.5 * (sorted[(sorted.len() - 1) / 2] + sorted[sorted.len() / 2]);
        let folded: Vec<f64> = draws.iter().map(|x| (x - middle).abs()).collect();
        let folded = self.scored(&self.halves(&folded));
        let below = |p: f64| {
            let limit = quantile(sorted, p);
            let part: Vec<f64> = draws.iter().map(|x| f64::from(u8::from(*x <= limit))).collect();
            effective(&self.halves(&part))
        };
        (
            rhat(&scored).max(rhat(&folded)),
            effective(&scored),
            smaller(below(0.05), below(0.95)),
        )
    }

    /// Each chain in two halves; a middle draw is left out.
    fn halves(&self, draws: &[f64]) -> Vec<Vec<f64>> {
        let length = draws.len() / self.chains.max(1);
        let half = length / 2;
        let parts = draws.chunks(length.max(1));
        parts
            .flat_map(|chain| [chain[..half].to_vec(), chain[length - half..].to_vec()])
            .collect()
    }

    /// Normal scores of the ranks over all chains, means of ranks where values are equal.
    fn scored(&self, chains: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let all = chains.concat();
        let mut order: Vec<usize> = (0..all.len()).collect();
        order.sort_by(|&a, &b| all[a].total_cmp(&all[b]));
        let mut scored = vec![0.0; all.len()];
        let mut from = 0;
        while from < order.len() {
            let same = order[from..]
                .iter()
                .take_while(|&&i| all[i] == all[order[from]])
                .count();
            // twice the mean rank of places from + 1 to from + same, less two
            let score = self.scores[2 * from + same - 1];
            order[from..from + same].iter().for_each(|&i| scored[i] = score);
            from += same;
        }
        let length = chains.first().map_or(1, Vec::len).max(1);
        scored.chunks(length).map(<[f64]>::to_vec).collect()
    }
}

fn smaller(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.min(b) }
}

/// The quantile that R gives by default: linear between order statistics.
fn quantile(sorted: &[f64], p: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else {
        return f64::NAN;
    };
    let at = p * last as f64;
    let (below, above) = ((at + 4.0 * f64::EPSILON).floor() as usize, at.ceil() as usize);
    let below = below.min(last);
    let part = at - below as f64;
    if part.abs() < 1e-12 || above <= below {
        return sorted[below];
    }
    sorted[below] + part * (sorted[above.min(last)] - sorted[below])
}

fn mean(x: &[f64]) -> f64 {
    x.iter().sum::<f64>() / x.len() as f64
}

fn variance(x: &[f64]) -> f64 {
    let mean = mean(x);
    x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (x.len() as f64 - 1.0)
}

/// Of chains of the same length: square root of the variance of all over that within chains.
fn rhat(chains: &[Vec<f64>]) -> f64 {
    let n = chains.first().map_or(0, Vec::len) as f64;
    let means: Vec<f64> = chains.iter().map(|x| mean(x)).collect();
    let within = mean(&chains.iter().map(|x| variance(x)).collect::<Vec<f64>>());
    ((n * variance(&means) / within + n - 1.0) / n).sqrt()
}

/// Effective number of draws: autocorrelations as far as Geyer's initial monotone sequence goes, computed two lags at a time.
fn effective(chains: &[Vec<f64>]) -> f64 {
    let n = chains.first().map_or(0, Vec::len);
    if n < 3 || chains.iter().all(|x| x.iter().all(|v| *v == chains[0][0])) {
        return f64::NAN;
    }
    let means: Vec<f64> = chains.iter().map(|x| mean(x)).collect();
    let centred: Vec<Vec<f64>> = (chains.iter().zip(&means))
        .map(|(x, mean)| x.iter().map(|v| v - mean).collect())
        .collect();
    let lag =
        |t: usize| sum_of(centred.len(), |c| dot(&centred[c][..n - t], &centred[c][t..])) / (n * centred.len()) as f64;
    let own = lag(0) * n as f64 / (n - 1) as f64;
    let whole = own * (n - 1) as f64 / n as f64 + if chains.len() > 1 { variance(&means) } else { 0.0 };
    let rho = |t: usize| 1.0 - (own - lag(t)) / whole;
    let mut pairs = vec![(1.0, rho(1))];
    let (mut even, mut odd) = pairs[0];
    let mut t = 0;
    while t + 5 < n && even + odd > 0.0 {
        t += 2;
        (even, odd) = (rho(t), rho(t + 1));
        pairs.push(if even + odd >= 0.0 { (even, odd) } else { (0.0, 0.0) });
    }
    // the pair that ended the sequence counts by its first half at most
    let (last, kept) = (if even > 0.0 { even } else { pairs[t / 2].0 }, &mut pairs[..t / 2]);
    monotone(kept);
    let tau = -1.0 + 2.0 * kept.iter().map(|(a, b)| a + b).sum::<f64>() + last;
    let count = (n * chains.len()) as f64;
    count / tau.max(1.0 / count.log10())
}

/// Sums of pairs never grow.
fn monotone(pairs: &mut [(f64, f64)]) {
    for i in 1..pairs.len() {
        let before = pairs[i - 1].0 + pairs[i - 1].1;
        if pairs[i].0 + pairs[i].1 > before {
            pairs[i] = (0.5 * before, 0.5 * before);
        }
    }
}

/// Statistics of several numbers, the draws of each chains one after the other.
pub fn judge_all(draws: &[&[f64]], judge: &Judge<'_>, workers: &Workers) -> Result<Vec<Statistics>> {
    let one = |draws: &&[f64]| {
        stop::check()?;
        Ok(judge.judge(draws))
    };
    workers.run(|_| draws.par_iter().map(one).collect())
}
