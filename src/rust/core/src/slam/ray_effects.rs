//! What the draws of a model of several random effects say of these: what V^-1 leaves of rows.

use super::factors::residual;
use super::model::{FactorModel, columns};
use crate::linalg::product;
use crate::runtime::error::Result;
use crate::runtime::memory::claim;
use crate::runtime::parallel::Workers;
use crate::runtime::stop;
use faer::{Mat, MatRef, Par};
use rayon::prelude::*;

/// Draws of one chain, as [`super::Draws`] has them.
#[derive(Clone, Copy)]
pub struct Drawn<'a> {
    /// Coefficients of X and loadings, (b + k) x p a draw.
    pub theta: &'a [f64],
    /// F, n x k a draw.
    pub f: &'a [f64],
    /// Coefficients of X_F, b_F x k a draw.
    pub bf: &'a [f64],
    /// Points of traits, p a draw.
    pub point: &'a [f64],
    /// Points of factors, k a draw.
    pub factors_point: &'a [f64],
    /// Missing cells, in the order of traits.
    pub cells: &'a [f64],
    /// Coefficients of columns that one trait alone has, q a draw.
    pub cis: &'a [f64],
}

/// Means over all draws of `h_r V^-1 e` of each effect r, in rows x traits: of what is left of the traits, and of the factors' through loadings. Times K Z' they are the effects' means.
pub fn effect_means(model: &FactorModel, chains: &[Drawn<'_>], workers: &Workers) -> Result<Vec<Mat<f64>>> {
    let (n, p, bases) = (model.n(), model.p(), model.bases());
    claim((bases + 3) as f64 * (n * p) as f64)?;
    let mut sums: Vec<Mat<f64>> = vec![Mat::zeros(n, p); bases];
    let mut count = 0;
    for chain in chains {
        let draws = chain.point.len() / p;
        for t in 0..draws {
            stop::check()?;
            let draw = Draw::new(model, chain, t, draws);
            workers.run(|_| (sums.par_iter_mut().enumerate()).for_each(|(basis, sum)| draw.add(basis, sum)));
        }
        count += draws;
    }
    let rows: Vec<Mat<f64>> = (sums.iter().enumerate())
        .map(|(basis, sum)| model.in_rows(basis, sum.as_ref()))
        .collect();
    let effects = model.rays.first().map_or(0, |ray| ray.shares.len());
    let of = |r: usize| {
        let share = |basis: usize| model.rays[basis].shares[r] / count as f64;
        Mat::from_fn(n, p, |i, j| {
            (0..bases).map(|basis| share(basis) * rows[basis][(i, j)]).sum()
        })
    };
    Ok((0..effects).map(of).collect())
}

/// One draw.
struct Draw<'a> {
    model: &'a FactorModel,
    theta: MatRef<'a, f64>,
    f: MatRef<'a, f64>,
    bf: &'a [f64],
    point: Vec<usize>,
    factors_point: Vec<usize>,
    /// Y - X B - F Lambda', in rows.
    left: Mat<f64>,
}

impl<'a> Draw<'a> {
    fn new(model: &'a FactorModel, chain: &Drawn<'a>, t: usize, draws: usize) -> Self {
        let (n, p, k, b, c) = (model.n(), model.p(), model.k, model.b(), model.c());
        let part = |all: &'a [f64]| {
            let size = all.len() / draws;
            &all[t * size..(t + 1) * size]
        };
        let points = |all: &'a [f64]| part(all).iter().map(|g| *g as usize).collect::<Vec<usize>>();
        let theta = MatRef::from_column_major_slice(part(chain.theta), c, p);
        let f = MatRef::from_column_major_slice(part(chain.f), n, k);
        let mut left = &model.data.y
            - product(model.data.x.as_ref(), theta.subrows(0, b), Par::Seq)
            - product(f, theta.subrows(b, k), Par::Seq);
        let places = (model.data.missing.iter().enumerate()).flat_map(|(j, rows)| rows.iter().map(move |&i| (i, j)));
        places
            .zip(part(chain.cells))
            .for_each(|(place, cell)| left[place] += cell);
        let without = model.cis.without(0..p, part(chain.cis), left.as_ref());
        Self {
            model,
            theta,
            f,
            bf: part(chain.bf),
            point: points(chain.point),
            factors_point: points(chain.factors_point),
            left: without.unwrap_or(left),
        }
    }

    /// Adds H V^-1 of what is left in a basis, of the traits and factors that are at a point of it.
    fn add(&self, basis: usize, sum: &mut Mat<f64>) {
        let (model, n, b) = (self.model, self.model.n(), self.model.b());
        let here = |points: &[usize]| -> Vec<usize> {
            (0..points.len())
                .filter(|&j| model.basis_of(points[j]) == basis)
                .collect()
        };
        let traits = here(&self.point);
        let own = Mat::from_fn(n, traits.len(), |i, at| self.left[(i, traits[at])]);
        let own = model.in_basis(basis, own.as_ref());
        for (at, &j) in traits.iter().enumerate() {
            let (h, w) = (model.proportions.h[self.point[j]], model.proportions.at(self.point[j]));
            (0..n).for_each(|i| sum[(i, j)] += h * w[i] * own[(i, at)]);
        }
        let factors = here(&self.factors_point);
        if factors.is_empty() {
            return;
        }
        let f = Mat::from_fn(n, factors.len(), |i, at| self.f[(i, factors[at])]);
        let f = model.in_basis(basis, f.as_ref());
        let bf = model.bf();
        let weighted = |at: usize| {
            let (m, g) = (factors[at], self.factors_point[factors[at]]);
            let left = residual(model.xf_in(basis), f.col_as_slice(at), &self.bf[m * bf..(m + 1) * bf]);
            let (h, w) = (model.proportions.h[g], model.proportions.at(g));
            (0..n).map(move |i| h * w[i] * left[i])
        };
        let weighted: Vec<f64> = (0..factors.len()).flat_map(weighted).collect();
        let lambda = Mat::from_fn(factors.len(), model.p(), |at, j| self.theta[(b + factors[at], j)]);
        *sum += product(columns(&weighted, n), lambda.as_ref(), Par::Seq);
    }
}

/// What is done with columns that each belong to a point of the grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Power {
    /// V^-1 of them.
    Inverse,
    /// A root of V times them: with independent standard normal numbers a draw of N(0, V).
    Root,
}

crate::words!(Power, "power of V", "inverse" => Power::Inverse, "root" => Power::Root);

/// A power of V, at the point of each column, times the columns, in rows.
pub fn times_power(model: &FactorModel, a: MatRef<'_, f64>, points: &[usize], power: Power) -> Mat<f64> {
    model.by_basis(a, points, |basis, those, some| {
        let mut own = match power {
            Power::Inverse => model.in_basis(basis, some.as_ref()),
            Power::Root => some,
        };
        for (at, &j) in those.iter().enumerate() {
            let each = own.col_as_slice_mut(at).iter_mut().zip(model.proportions.at(points[j]));
            match power {
                Power::Inverse => each.for_each(|(x, w)| *x *= w),
                Power::Root => each.for_each(|(x, w)| *x *= w.sqrt().recip()),
            }
        }
        model.in_rows(basis, own.as_ref())
    })
}
