//! One trait from its sums: b_j and lambda_j given h_j and sigma2_j, then these given the coefficients.

use super::gaussian::Gaussian;
use super::loading_means::mean_at;
use super::model::FactorModel;
use super::precisions::Shrinkage;
use super::prior::{InverseGamma, Variance};
use super::rng::{Stream, index, inverse_gamma};
use faer::Mat;

/// Weighted least squares of a trait: W'W of its design, and W'y.
pub(super) struct Regression<'a> {
    pub gram: &'a Mat<f64>,
    pub right: &'a [f64],
}

/// Point and variance of a trait.
pub(super) struct Variances<'a> {
    pub g: &'a mut usize,
    pub sigma2: &'a mut f64,
}

/// The priors of traits as the state has them.
#[derive(Clone, Copy)]
pub(super) struct Priors<'a> {
    pub model: &'a FactorModel,
    pub shrinkage: &'a Shrinkage,
    pub shared: &'a [f64],
    /// Means of loadings, k x p, or empty.
    pub means: &'a [f64],
}

impl<'a> Priors<'a> {
    /// `means`: of loadings.
    pub fn new(model: &'a FactorModel, shrinkage: &'a Shrinkage, shared: &'a [f64], means: &'a [f64]) -> Self {
        Self {
            model,
            shrinkage,
            shared,
            means,
        }
    }

    /// b_j and lambda_j of one trait, and behind them coefficients of its own columns if they are in the regression. False if it keeps what it had.
    pub(super) fn coefficients_of(
        &self,
        trait_: usize,
        own: Regression<'_>,
        sigma2: f64,
        theta: &mut [f64],
        gaussian: &mut Gaussian,
        rng: &mut Stream,
    ) -> bool {
        let (model, c) = (self.model, own.right.len());
        let ridge: Vec<f64> = (0..c).map(|l| self.ridge(l, trait_, sigma2)).collect();
        let entry = |l: usize, o: usize| own.gram[(l, o)] + if l == o { ridge[l] } else { 0.0 };
        // an infinite precision about 0 pulls nowhere
        let pull = |l: usize| match self.mean(l, trait_) {
            0.0 => 0.0,
            mean => ridge[l] * mean,
        };
        gaussian.set(entry, |l| own.right[l] + pull(l));
        let known = |l: usize| {
            if (model.b()..model.c()).contains(&l) {
                model.known(l - model.b(), trait_)
            } else {
                None
            }
        };
        (0..c).for_each(|l| {
            if let Some(value) = known(l) {
                gaussian.fix(l, value);
            }
        });
        // columns of X are independent and priors proper: a failure is rounding, and the trait keeps what it has
        let before = theta.to_vec();
        let drawn = gaussian.draw(sigma2.sqrt(), |l| known(l).is_none(), theta, rng);
        if !drawn {
            theta.copy_from_slice(&before);
        }
        drawn
    }

    /// Prior precision of a coefficient, times sigma2.
    fn ridge(&self, l: usize, trait_: usize, sigma2: f64) -> f64 {
        let b = self.model.b();
        let own = l.checked_sub(self.model.c());
        if l < b || own.is_some() {
            let cis = |l: usize| self.model.cis.variance[self.model.cis.of(trait_).start + l];
            let variance = own.map_or_else(|| self.model.x_variance(trait_, l, self.shared), cis);
            return variance.map_or(0.0, |variance| sigma2 / variance);
        }
        let scale = if self.model.prior.scaled { 1.0 } else { sigma2 };
        scale * self.shrinkage.precision(l - b, trait_)
    }

    /// Prior mean of a coefficient.
    fn mean(&self, l: usize, trait_: usize) -> f64 {
        let at = |m: usize| mean_at(self.means, trait_ * self.model.k + m);
        let loading = l.checked_sub(self.model.b()).filter(|m| *m < self.model.k);
        loading.map_or(0.0, at)
    }

    /// (h_j, sigma2_j) of one trait, among some points with their sums of squares.
    pub(super) fn variances_of(
        &self,
        trait_: usize,
        theta: &[f64],
        points: &[usize],
        sums: &[f64],
        now: Variances<'_>,
        rng: &mut Stream,
    ) {
        let (model, grid) = (self.model, &self.model.proportions);
        let (extra, count) = self.scaled(theta, trait_);
        let prior = match model.prior.residual[trait_] {
            Variance::Drawn(prior) => Some(prior),
            Variance::Fixed(_) => None,
        };
        let shape = |prior: InverseGamma| prior.shape + 0.5 * (model.n() + count) as f64;
        let square = |at: usize| sums[at] + extra;
        let log = |(at, &g): (usize, &usize)| {
            let data = match prior {
                Some(prior) => shape(prior) * (prior.scale + 0.5 * square(at)).ln(),
                None => 0.5 * square(at) / *now.sigma2,
            };
            grid.log_traits[g] - 0.5 * grid.log_det[g] - data
        };
        let logs: Vec<f64> = points.iter().enumerate().map(log).collect();
        let at = index(&logs, rng);
        *now.g = points[at];
        if let Some(prior) = prior {
            *now.sigma2 = inverse_gamma(shape(prior), prior.scale + 0.5 * square(at), rng);
        }
    }

    /// Log prior density of the logarithm of a variance, with that of loadings in its units.
    pub(super) fn log_variance(&self, trait_: usize, theta: &[f64]) -> impl Fn(f64) -> f64 + use<> {
        let (extra, count) = self.scaled(theta, trait_);
        let prior = match self.model.prior.residual[trait_] {
            Variance::Drawn(prior) => prior,
            Variance::Fixed(_) => InverseGamma { shape: 0.0, scale: 0.0 },
        };
        move |sigma2| -(prior.shape + 0.5 * count as f64) * sigma2.ln() - (prior.scale + 0.5 * extra) / sigma2
    }

    /// Square about their means in units of their prior, and number, of the loadings whose variance is a multiple of sigma2.
    fn scaled(&self, theta: &[f64], trait_: usize) -> (f64, usize) {
        let model = self.model;
        if !model.prior.scaled {
            return (0.0, 0);
        }
        let loadings = &theta[model.b()..];
        let free = loadings
            .iter()
            .enumerate()
            .filter(|(m, _)| model.known(*m, trait_).is_none());
        free.fold((0.0, 0), |(sum, count), (m, x)| {
            let x = x - self.mean(model.b() + m, trait_);
            (sum + x * x * self.shrinkage.precision(m, trait_), count + 1)
        })
    }
}
