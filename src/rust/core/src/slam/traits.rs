//! Traits given the factors, all U integrated out: coefficients and loadings, then proportion and residual variance together.

use super::gaussian::Gaussian;
use super::loading_means::{mean_at, means};
use super::model::{FactorModel, TILE, columns};
use super::precisions::Shrinkage;
use super::prior::{InverseGamma, Variance};
use super::rng::{Block, Source, Stream, index, inverse_gamma};
use super::state::State;
use crate::linalg::product;
use faer::{Mat, MatRef, Par};
use rayon::prelude::*;

/// What the factors need of the traits, summed over them.
pub struct Gathered {
    /// `sum_j lambda_j w_ij (y_ij - x_i'b_j) / sigma2_j`, n x k.
    pub right: Mat<f64>,
    /// `sum_j lambda_j lambda_j' / sigma2_j` of the traits at each point of the grid, its lower triangle by rows, k (k + 1) / 2 x points.
    pub precision: Mat<f64>,
    /// Traits that kept their coefficients.
    failed: u64,
}

/// Place of an entry in a lower triangle by rows; of `(k, 0)`: how many there are before row k.
pub fn lower(row: usize, column: usize) -> usize {
    row * (row + 1) / 2 + column
}

/// Parts of the state that belong to some traits.
struct Tile<'a> {
    first: usize,
    theta: &'a mut [f64],
    sigma2: &'a mut [f64],
    g: &'a mut [usize],
}

/// Draws everything of the traits, by tiles of them.
pub fn draw(model: &FactorModel, state: &mut State, y: MatRef<'_, f64>, source: Source) -> Gathered {
    let design = state.design(model);
    let grams = grams(model, &design, &state.g);
    let (iteration, means) = (state.iteration, means(model, state));
    let before = Before {
        model,
        y,
        design: &design,
        grams: &grams,
        priors: Priors::new(model, &state.shrinkage, &state.shared, &means),
    };
    let State {
        theta,
        sigma2,
        g,
        failed,
        ..
    } = state;
    let gathered = by_tiles(model, theta, sigma2, g, |tile| {
        let rng = &mut source.stream(iteration, Block::Traits, model.place + tile.first / TILE);
        before.draw(tile, rng)
    });
    failed.traits += gathered.failed;
    gathered
}

/// What the factors need of the traits as they are, `y` being their responses in the whole basis.
pub fn gather(model: &FactorModel, state: &State, y: MatRef<'_, f64>) -> Gathered {
    let design = state.design(model);
    let before = Before {
        model,
        y,
        design: &design,
        grams: &[],
        priors: Priors::new(model, &state.shrinkage, &state.shared, &[]),
    };
    let (mut theta, mut sigma2, mut g) = (state.theta.clone(), state.sigma2.clone(), state.g.clone());
    by_tiles(model, &mut theta, &mut sigma2, &mut g, |tile| {
        before.gathered(&tile, y.subcols(tile.first, tile.g.len()))
    })
}

/// Y - X B
pub fn without_fixed(model: &FactorModel, state: &State, y: MatRef<'_, f64>) -> Mat<f64> {
    let c = model.c();
    let fixed = Mat::from_fn(model.b(), model.p(), |l, j| state.theta[j * c + l]);
    y - product(model.data.x.as_ref(), fixed.as_ref(), Par::Seq)
}

/// The sum over tiles of traits, each of which may be changed.
fn by_tiles(
    model: &FactorModel,
    theta: &mut [f64],
    sigma2: &mut [f64],
    g: &mut [usize],
    work: impl Fn(Tile<'_>) -> Gathered + Sync,
) -> Gathered {
    // traits without coefficients are traits, too
    let mut none = vec![0.0; if model.c() == 0 { g.len() } else { 0 }];
    let theta = if model.c() == 0 { &mut none[..] } else { theta };
    let tiles = theta
        .par_chunks_mut(model.c().max(1) * TILE)
        .zip(sigma2.par_chunks_mut(TILE));
    let tiles = tiles.zip(g.par_chunks_mut(TILE)).enumerate();
    let parts: Vec<Gathered> = tiles
        .map(|(t, ((theta, sigma2), g))| {
            let first = t * TILE;
            work(Tile {
                first,
                theta,
                sigma2,
                g,
            })
        })
        .collect();
    let nothing = Gathered {
        right: Mat::zeros(model.n(), model.k),
        precision: Mat::zeros(lower(model.k, 0), model.proportions.count()),
        failed: 0,
    };
    parts.into_iter().fold(nothing, |mut sum, part| {
        sum.right += part.right;
        sum.precision += part.precision;
        sum.failed += part.failed;
        sum
    })
}

/// W'W of the design at each point of the grid that some trait is at.
fn grams(model: &FactorModel, design: &Mat<f64>, g: &[usize]) -> Vec<Option<Mat<f64>>> {
    let of_point = |point: usize| {
        g.contains(&point).then(|| {
            let w = model.proportions.at(point);
            let weighted = Mat::from_fn(design.nrows(), design.ncols(), |i, l| w[i] * design[(i, l)]);
            product(design.transpose(), weighted.as_ref(), Par::Seq)
        })
    };
    (0..model.proportions.count()).into_par_iter().map(of_point).collect()
}

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

/// What the draws of all tiles start from.
struct Before<'a> {
    model: &'a FactorModel,
    y: MatRef<'a, f64>,
    design: &'a Mat<f64>,
    grams: &'a [Option<Mat<f64>>],
    priors: Priors<'a>,
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

impl Before<'_> {
    fn draw(&self, mut tile: Tile<'_>, rng: &mut Stream) -> Gathered {
        let y = self.y.subcols(tile.first, tile.g.len());
        let failed = self.coefficients(&mut tile, y, rng);
        self.variances(&mut tile, y, rng);
        Gathered {
            failed,
            ..self.gathered(&tile, y)
        }
    }

    /// b_j and lambda_j given h_j and sigma2_j: normal with precision `(W'W + D) / sigma2`. How many traits kept what they had.
    fn coefficients(&self, tile: &mut Tile<'_>, y: MatRef<'_, f64>, rng: &mut Stream) -> u64 {
        let c = self.model.c();
        let mut failed = 0;
        if c == 0 {
            return failed;
        }
        let weighted = self.weighted(tile, |i, j| y[(i, j)]);
        let right = product(self.design.transpose(), weighted.as_ref(), Par::Seq);
        let mut gaussian = Gaussian::new(c);
        for (j, theta) in tile.theta.chunks_mut(c).enumerate() {
            let drawn = self.grams[tile.g[j]].as_ref().is_some_and(|gram| {
                let own = Regression {
                    gram,
                    right: right.col_as_slice(j),
                };
                self.priors
                    .coefficients_of(tile.first + j, own, tile.sigma2[j], theta, &mut gaussian, rng)
            });
            failed += u64::from(!drawn);
        }
        failed
    }

    /// (h_j, sigma2_j) given the coefficients: h_j with sigma2_j integrated out, then sigma2_j, if it is not known.
    fn variances(&self, tile: &mut Tile<'_>, y: MatRef<'_, f64>, rng: &mut Stream) {
        let (model, grid) = (self.model, &self.model.proportions);
        let fitted = product(self.design.as_ref(), columns(tile.theta, model.c()), Par::Seq);
        let square = Mat::from_fn(y.nrows(), y.ncols(), |i, j| {
            let e = y[(i, j)] - if fitted.ncols() == 0 { 0.0 } else { fitted[(i, j)] };
            e * e
        });
        let sums = product(grid.weights.transpose(), square.as_ref(), Par::Seq);
        let points: Vec<usize> = (0..grid.count()).collect();
        for j in 0..tile.g.len() {
            let theta = &tile.theta[j * model.c()..(j + 1) * model.c()];
            let one = Variances {
                g: &mut tile.g[j],
                sigma2: &mut tile.sigma2[j],
            };
            self.priors
                .variances_of(tile.first + j, theta, &points, sums.col_as_slice(j), one, rng);
        }
    }

    /// What the factors need of these traits.
    fn gathered(&self, tile: &Tile<'_>, y: MatRef<'_, f64>) -> Gathered {
        let (model, b, c, k) = (self.model, self.model.b(), self.model.c(), self.model.k);
        let coefficient = |l: usize, j: usize| tile.theta[j * c + l];
        let x = &model.data.x;
        let fixed = Mat::from_fn(b, tile.g.len(), coefficient);
        let fixed = product(x.as_ref(), fixed.as_ref(), Par::Seq);
        let left = |i: usize, j: usize| (y[(i, j)] - fixed[(i, j)]) / tile.sigma2[j];
        let weighted = self.weighted(tile, left);
        let lambda = Mat::from_fn(tile.g.len(), k, |j, m| coefficient(b + m, j));
        let mut precision = Mat::zeros(lower(k, 0), model.proportions.count());
        for j in 0..tile.g.len() {
            for m in 0..k {
                let one = coefficient(b + m, j) / tile.sigma2[j];
                (0..=m).for_each(|o| precision[(lower(m, o), tile.g[j])] += one * coefficient(b + o, j));
            }
        }
        Gathered {
            right: product(weighted.as_ref(), lambda.as_ref(), Par::Seq),
            precision,
            failed: 0,
        }
    }

    /// Values of a tile's traits times the weights of their points.
    fn weighted(&self, tile: &Tile<'_>, value: impl Fn(usize, usize) -> f64) -> Mat<f64> {
        let weights = &self.model.proportions.weights;
        Mat::from_fn(self.model.n(), tile.g.len(), |i, j| {
            weights[(i, tile.g[j])] * value(i, j)
        })
    }
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

    /// b_j and lambda_j of one trait. False if it keeps what it had.
    pub(super) fn coefficients_of(
        &self,
        trait_: usize,
        own: Regression<'_>,
        sigma2: f64,
        theta: &mut [f64],
        gaussian: &mut Gaussian,
        rng: &mut Stream,
    ) -> bool {
        let (model, c) = (self.model, self.model.c());
        let ridge: Vec<f64> = (0..c).map(|l| self.ridge(l, trait_, sigma2)).collect();
        let entry = |l: usize, o: usize| own.gram[(l, o)] + if l == o { ridge[l] } else { 0.0 };
        // an infinite precision about 0 pulls nowhere
        let pull = |l: usize| match self.mean(l, trait_) {
            0.0 => 0.0,
            mean => ridge[l] * mean,
        };
        gaussian.set(entry, |l| own.right[l] + pull(l));
        let known = |l: usize| {
            if l < model.b() {
                None
            } else {
                model.known(l - model.b(), trait_)
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
        if l < b {
            let variance = self.model.x_variance(trait_, l, self.shared);
            return variance.map_or(0.0, |variance| sigma2 / variance);
        }
        let scale = if self.model.prior.scaled { 1.0 } else { sigma2 };
        scale * self.shrinkage.precision(l - b, trait_)
    }

    /// Prior mean of a coefficient.
    fn mean(&self, l: usize, trait_: usize) -> f64 {
        let at = |m: usize| mean_at(self.means, trait_ * self.model.k + m);
        l.checked_sub(self.model.b()).map_or(0.0, at)
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
