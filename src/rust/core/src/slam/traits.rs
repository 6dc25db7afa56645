//! Traits given the factors, all U integrated out: coefficients and loadings, then proportion and residual variance together.

use super::cis::OwnRegression;
use super::gaussian::Gaussian;
use super::loading_means::means;
use super::model::{FactorModel, TILE, columns};
use super::rng::{Block, Source, Stream};
use super::state::State;
use super::trait_priors::{Priors, Regression, Variances};
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
    cis: &'a mut [f64],
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
        cis,
        failed,
        ..
    } = state;
    let gathered = by_tiles(model, theta, (sigma2, g), cis, |tile| {
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
    let mut copy = state.clone();
    by_tiles(
        model,
        &mut copy.theta,
        (&mut copy.sigma2, &mut copy.g),
        &mut copy.cis,
        |tile| {
            let y = y.subcols(tile.first, tile.g.len());
            let without = before.without_cis(&tile, y);
            before.gathered(&tile, without.as_ref().map_or(y, Mat::as_ref))
        },
    )
}

/// Y - X B, without what is of one trait alone, too
pub fn without_fixed(model: &FactorModel, state: &State, y: MatRef<'_, f64>) -> Mat<f64> {
    let c = model.c();
    let fixed = Mat::from_fn(model.b(), model.p(), |l, j| state.theta[j * c + l]);
    let left = y - product(model.data.x.as_ref(), fixed.as_ref(), Par::Seq);
    let without = model.cis.without(0..model.p(), &state.cis, left.as_ref());
    without.unwrap_or(left)
}

/// The sum over tiles of traits, each of which may be changed.
fn by_tiles(
    model: &FactorModel,
    theta: &mut [f64],
    (sigma2, g): (&mut [f64], &mut [usize]),
    cis: &mut [f64],
    work: impl Fn(Tile<'_>) -> Gathered + Sync,
) -> Gathered {
    // traits without coefficients are traits, too
    let mut none = vec![0.0; if model.c() == 0 { g.len() } else { 0 }];
    let theta = if model.c() == 0 { &mut none[..] } else { theta };
    let tiles = theta
        .par_chunks_mut(model.c().max(1) * TILE)
        .zip(sigma2.par_chunks_mut(TILE));
    let cis = model.cis.tiles(cis, g.len());
    let tiles = tiles.zip(g.par_chunks_mut(TILE)).zip(cis).enumerate();
    let parts: Vec<Gathered> = tiles
        .map(|(t, (((theta, sigma2), g), cis))| {
            let first = t * TILE;
            work(Tile {
                first,
                theta,
                sigma2,
                g,
                cis,
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

/// What the draws of all tiles start from.
struct Before<'a> {
    model: &'a FactorModel,
    y: MatRef<'a, f64>,
    design: &'a Mat<f64>,
    grams: &'a [Option<Mat<f64>>],
    priors: Priors<'a>,
}

impl Before<'_> {
    fn draw(&self, mut tile: Tile<'_>, rng: &mut Stream) -> Gathered {
        let y = self.y.subcols(tile.first, tile.g.len());
        let failed = self.coefficients(&mut tile, y, rng);
        let without = self.without_cis(&tile, y);
        let y = without.as_ref().map_or(y, Mat::as_ref);
        self.variances(&mut tile, y, rng);
        Gathered {
            failed,
            ..self.gathered(&tile, y)
        }
    }

    /// b_j and lambda_j given h_j and sigma2_j: normal with precision `(W'W + D) / sigma2`. How many traits kept what they had.
    fn coefficients(&self, tile: &mut Tile<'_>, y: MatRef<'_, f64>, rng: &mut Stream) -> u64 {
        let (c, cis) = (self.model.c(), &self.model.cis);
        let mut failed = 0;
        if c == 0 && cis.q() == 0 {
            return failed;
        }
        let weighted = self.weighted(tile, |i, j| y[(i, j)]);
        let right = product(self.design.transpose(), weighted.as_ref(), Par::Seq);
        let mut gaussian = Gaussian::new(c);
        for j in 0..tile.g.len() {
            let theta = &mut tile.theta[j * c..(j + 1) * c];
            let drawn = self.grams[tile.g[j]].as_ref().is_some_and(|gram| {
                let own = Regression {
                    gram,
                    right: right.col_as_slice(j),
                };
                let (place, sigma2) = (tile.first + j, tile.sigma2[j]);
                let of = cis.of(place);
                if of.is_empty() {
                    return self
                        .priors
                        .coefficients_of(place, own, sigma2, theta, &mut gaussian, rng);
                }
                let whole = OwnRegression {
                    shared: own,
                    design: self.design,
                    columns: cis.columns(place),
                    y: y.subcols(j, 1),
                    w: self.model.proportions.at(tile.g[j]),
                };
                let first = cis.of(tile.first).start;
                let coefficients = &mut tile.cis[of.start - first..of.end - first];
                whole.draw((&self.priors, place), sigma2, (theta, coefficients), rng)
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

    /// What is of one trait alone taken out of the responses of a tile; none if there is nothing.
    fn without_cis(&self, tile: &Tile<'_>, y: MatRef<'_, f64>) -> Option<Mat<f64>> {
        (self.model.cis).without(tile.first..tile.first + tile.g.len(), tile.cis, y)
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
