//! Random numbers. Each use has a stream of its own, keyed by seed, chain, iteration, block and place, so that draws depend neither on the order nor on the threads
//! in which they are made.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Binomial, Distribution, Exp1, Gamma, Open01, Poisson, StandardNormal};

/// ChaCha with 8 rounds, a generator by counter: any stream is made from its key at once.
pub type Stream = ChaCha8Rng;

/// Blocks of an iteration.
#[derive(Debug, Clone, Copy)]
pub enum Block {
    /// The start of a chain.
    Start,
    /// Missing cells, and values behind links.
    Missing,
    /// Coefficients and loadings of traits, their proportions and variances.
    Traits,
    /// Coefficients and proportions of factors.
    Coefficients,
    /// Rows of F.
    Factors,
    /// Moves of factors along X, in scale and in order.
    Moves,
    /// Precisions of single loadings.
    Precisions,
    /// Precisions of columns of loadings; shared variances.
    Shrinkage,
    /// Random effects: of a draw that is kept, and of rows in which missing cells are integrated out.
    Effects,
}

/// A seed and the number of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    /// Of the whole run.
    pub seed: u64,
    /// Number of the chain.
    pub chain: u64,
}

impl Source {
    /// The stream of one place of a block in an iteration.
    pub fn stream(self, iteration: u64, block: Block, place: usize) -> Stream {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&self.seed.to_le_bytes());
        key[8..16].copy_from_slice(&self.chain.to_le_bytes());
        key[16..24].copy_from_slice(&iteration.to_le_bytes());
        let mut stream = Stream::from_seed(key);
        stream.set_stream(((block as u64) << 56) | place as u64);
        stream
    }
}

/// Standard normal.
pub fn normal(rng: &mut Stream) -> f64 {
    StandardNormal.sample(rng)
}

pub(crate) fn uniform(rng: &mut Stream) -> f64 {
    Open01.sample(rng)
}

/// Gamma distribution, density proportional to `x^(shape - 1) exp(-rate x)`.
pub fn gamma(shape: f64, rate: f64, rng: &mut Stream) -> f64 {
    // a precision is neither 0 nor infinite: underflow and overflow go to the ends of the normal numbers
    let unit = Gamma::new(shape, 1.0).map_or(f64::NAN, |d| d.sample(rng));
    (unit / rate).clamp(f64::MIN_POSITIVE, f64::MAX)
}

/// Density proportional to `x^(-shape - 1) exp(-scale / x)`.
pub fn inverse_gamma(shape: f64, scale: f64, rng: &mut Stream) -> f64 {
    gamma(shape, scale, rng).recip()
}

/// Gamma distribution truncated to values above 1, its shape at least 1: plain draws until one is above 1 where the mean is, else by an exponential envelope (Dagpunar 1978).
pub fn gamma_above_one(shape: f64, rate: f64, rng: &mut Stream) -> f64 {
    // an infinite rate puts all mass at 1; with NaN no draw would ever be accepted
    if !rate.is_finite() || shape.is_nan() {
        return 1.0;
    }
    if rate <= shape {
        loop {
            let x = gamma(shape, rate, rng);
            if x >= 1.0 {
                return x;
            }
        }
    }
    // far in the tail x - 1 is exponential to rounding, and 1 - r below would cancel to 0 and accept nothing
    if rate > 1e8 * shape {
        let step: f64 = Exp1.sample(rng);
        return 1.0 + step / (rate - shape + 1.0);
    }
    // x rate is gamma with rate 1, truncated to values above t = rate
    let t = rate;
    let r = (t - shape + ((t - shape).powi(2) + 4.0 * t).sqrt()) / (2.0 * t);
    let top = ((shape - 1.0) / (1.0 - r)).max(t);
    loop {
        let step: f64 = Exp1.sample(rng);
        let x = t + step / r;
        let accept = (shape - 1.0) * (x / top).ln() - (1.0 - r) * (x - top);
        if uniform(rng).ln() <= accept {
            return x / t;
        }
    }
}

/// An index drawn with probability proportional to the exponential of its entry.
pub fn index(log_weights: &[f64], rng: &mut Stream) -> usize {
    let largest = log_weights.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let total: f64 = log_weights.iter().map(|w| (w - largest).exp()).sum();
    let mut left = uniform(rng) * total;
    for (i, w) in log_weights.iter().enumerate() {
        left -= (w - largest).exp();
        if left <= 0.0 {
            return i;
        }
    }
    log_weights.iter().rposition(|w| *w > f64::NEG_INFINITY).unwrap_or(0)
}

/// Generalised inverse Gaussian, density `x^(lambda - 1) exp(-(psi x + chi / x) / 2)` (Devroye 2014: log x has a log-concave density).
pub(crate) fn generalised_inverse_gaussian(lambda: f64, psi: f64, chi: f64, rng: &mut Stream) -> f64 {
    let omega = (psi * chi).sqrt();
    let scale = (chi / psi).sqrt();
    let x = standard(lambda.abs(), omega, rng);
    if lambda < 0.0 { scale / x } else { scale * x }
}

/// psi = chi = omega, lambda not negative.
fn standard(lambda: f64, omega: f64, rng: &mut Stream) -> f64 {
    let alpha = (omega * omega + lambda * lambda).sqrt() - lambda;
    // log density of log x, 0 at its mode, and its slope
    let psi = |x: f64| -alpha * (x.cosh() - 1.0) - lambda * (x.exp() - x - 1.0);
    let slope = |x: f64| -alpha * x.sinh() - lambda * x.exp_m1();
    let t = match -psi(1.0) {
        v if (0.5..=2.0).contains(&v) => 1.0,
        v if v > 2.0 => (2.0 / (alpha + lambda)).sqrt(),
        _ => (4.0 / (alpha + 2.0 * lambda)).ln(),
    };
    let s = match -psi(-1.0) {
        v if (0.5..=2.0).contains(&v) => 1.0,
        v if v > 2.0 => (4.0 / (alpha * 1f64.cosh() + lambda)).sqrt(),
        _ => {
            let tail = (1.0 + 1.0 / alpha + (1.0 / (alpha * alpha) + 2.0 / alpha).sqrt()).ln();
            if lambda > 0.0 { tail.min(1.0 / lambda) } else { tail }
        }
    };
    let x = log_concave(psi, slope, t, s, rng);
    let ratio = lambda / omega;
    (ratio + (1.0 + ratio * ratio).sqrt()) * x.exp()
}

const PROPOSALS: usize = 100_000;

/// A draw from a density whose logarithm `psi` is concave with a maximum of 0 at 0 (Devroye 2014): uniform between two points, exponential beyond. At `t` and `-s` it should be about -1.
pub(crate) fn log_concave(
    psi: impl Fn(f64) -> f64,
    slope: impl Fn(f64) -> f64,
    t: f64,
    s: f64,
    rng: &mut Stream,
) -> f64 {
    let (eta, zeta, theta, xi) = (-psi(t), -slope(t), -psi(-s), slope(-s));
    let (p, r) = (1.0 / xi, 1.0 / zeta);
    let (inner, below) = (t - r * eta, s - p * theta);
    let q = inner + below;
    // most proposals are accepted: so many that are not are a density that no number is drawn from
    for _ in 0..PROPOSALS {
        let (u, v, w) = (uniform(rng), uniform(rng), uniform(rng));
        let x = match u * (q + p + r) {
            part if part < q => -below + q * v,
            part if part < q + r => inner - r * v.ln(),
            _ => -below + p * v.ln(),
        };
        let envelope = match x {
            x if x > inner => (-eta - zeta * (x - t)).exp(),
            x if x < -below => (-theta + xi * (x + s)).exp(),
            _ => 1.0,
        };
        // what is not a number ends the search and shows itself
        let rejected = w * envelope > psi(x).exp();
        if !rejected {
            return x;
        }
    }
    f64::NAN
}

/// One step of slice sampling from a log density, its interval stepped out from a width (Neal 2003).
pub(crate) fn slice(now: f64, width: f64, mut log_density: impl FnMut(f64) -> f64, rng: &mut Stream) -> f64 {
    const STEPS: usize = 20;
    let level = log_density(now) + uniform(rng).ln();
    if !level.is_finite() {
        return now;
    }
    let mut low = now - width * uniform(rng);
    let mut high = low + width;
    let below = (uniform(rng) * STEPS as f64) as usize;
    for _ in 0..below {
        if log_density(low) <= level {
            break;
        }
        low -= width;
    }
    for _ in below..STEPS - 1 {
        if log_density(high) <= level {
            break;
        }
        high += width;
    }
    loop {
        let x = low + (high - low) * uniform(rng);
        if log_density(x) > level {
            return x;
        }
        if high - low < 1e-14 * (1.0 + now.abs()) {
            return now;
        }
        if x < now {
            low = x;
        } else {
            high = x;
        }
    }
}

/// Exponential with mean 1.
pub(crate) fn exponential(rng: &mut Stream) -> f64 {
    Exp1.sample(rng)
}

/// A count with a mean; not a number where the mean is none.
pub(crate) fn poisson(mean: f64, rng: &mut Stream) -> f64 {
    if mean > 0.0 {
        Poisson::new(mean).map_or(f64::NAN, |d| d.sample(rng))
    } else {
        mean
    }
}

/// Successes of some trials.
pub(crate) fn binomial(trials: f64, probability: f64, rng: &mut Stream) -> f64 {
    Binomial::new(trials as u64, probability).map_or(f64::NAN, |d| d.sample(rng) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: Source = Source { seed: 7, chain: 0 };

    /// Mean of draws against the ratio of two integrals over log x.
    fn check(name: &str, log_density: impl Fn(f64) -> f64, above: f64, mut draw: impl FnMut(&mut Stream) -> f64) {
        const DRAWS: usize = 40_000;
        let mut rng = SOURCE.stream(0, Block::Start, 0);
        let draws: Vec<f64> = (0..DRAWS).map(|_| draw(&mut rng).ln()).collect();
        // midpoints from the lower end, or from where a density on the whole half line has nothing
        let (low, high) = if above > 0.0 {
            (above.ln(), above.ln() + 3.0)
        } else {
            (-40.0, 40.0)
        };
        let step = (high - low) / 400_000.0;
        let grid: Vec<f64> = (0..400_000).map(|i| low + step * (f64::from(i) + 0.5)).collect();
        let logs: Vec<f64> = grid.iter().map(|t| log_density(t.exp()) + t).collect();
        let largest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let moment = |k: i32| {
            grid.iter()
                .zip(&logs)
                .map(|(t, l)| t.powi(k) * (l - largest).exp())
                .sum::<f64>()
        };
        let (mean, square) = (moment(1) / moment(0), moment(2) / moment(0));
        let sd = (square - mean * mean).sqrt();
        let seen = draws.iter().sum::<f64>() / DRAWS as f64;
        let spread = (draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / DRAWS as f64).sqrt();
        assert!(
            (seen - mean).abs() < 4.5 * sd / (DRAWS as f64).sqrt(),
            "{name}: mean {seen} {mean}"
        );
        assert!((spread / sd - 1.0).abs() < 0.04, "{name}: spread {spread} {sd}");
    }

    #[test]
    fn gammas_above_one_have_the_density() {
        for (shape, rate) in [
            (3.0, 1.0),
            (3.0, 3.0),
            (3.0, 40.0),
            (200.0, 205.0),
            (200.0, 400.0),
            (5e4, 5.02e4),
        ] {
            let density = |x: f64| (shape - 1.0) * x.ln() - rate * x;
            check("gamma", density, 1.0, |rng| gamma_above_one(shape, rate, rng));
        }
    }

    #[test]
    fn gammas_far_in_their_tail_end_and_are_exponential() {
        let mut rng = SOURCE.stream(2, Block::Start, 0);
        for rate in [1e9, 1e12] {
            let mean = (0..4000)
                .map(|_| gamma_above_one(3.0, rate, &mut rng) - 1.0)
                .sum::<f64>()
                / 4000.0;
            assert!((mean * rate - 1.0).abs() < 0.1, "{mean} at {rate}");
        }
        for rate in [1e100, 1e200, f64::MAX] {
            assert_eq!(gamma_above_one(3.0, rate, &mut rng), 1.0);
        }
    }

    #[test]
    fn generalised_inverse_gaussians_have_the_density() {
        for (lambda, psi, chi) in [
            (2.5, 1.0, 3.0),
            (-4.0, 0.3, 2.0),
            (0.5, 1e-3, 1e-3),
            (0.0, 1.0, 1.0),
            (150.0, 300.0, 10.0),
            (-2400.0, 500.0, 5e3),
            (1.0, 1e-4, 50.0),
        ] {
            let density = |x: f64| (lambda - 1.0) * x.ln() - 0.5 * (psi * x + chi / x);
            check("gig", density, 0.0, |rng| {
                generalised_inverse_gaussian(lambda, psi, chi, rng)
            });
        }
    }

    #[test]
    fn indices_follow_their_weights() {
        let mut rng = SOURCE.stream(3, Block::Traits, 1);
        let weights = [f64::NEG_INFINITY, 800.0, 800.0 + 3f64.ln(), f64::NEG_INFINITY];
        let second = (0..4000).filter(|_| index(&weights, &mut rng) == 2).count() as f64 / 4000.0;
        assert!((second - 0.75).abs() < 0.03);
    }

    #[test]
    fn streams_differ_in_every_part_of_their_name() {
        let first = |s: Source, i, b, p| uniform(&mut s.stream(i, b, p)).to_bits();
        let other = Source { seed: 7, chain: 1 };
        let seen = [
            first(SOURCE, 0, Block::Start, 0),
            first(SOURCE, 1, Block::Start, 0),
            first(SOURCE, 0, Block::Traits, 0),
            first(SOURCE, 0, Block::Start, 1),
            first(other, 0, Block::Start, 0),
        ];
        let distinct: std::collections::HashSet<u64> = seen.into_iter().collect();
        assert_eq!(distinct.len(), seen.len());
        assert_eq!(seen[0], first(SOURCE, 0, Block::Start, 0));
    }
}
