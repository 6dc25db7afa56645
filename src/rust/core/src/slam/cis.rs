//! Columns that one trait alone has, as markers near its gene: `y_j - F lambda_j - X b_j - X_j a_j ~ N(0, sigma2_j V(h_j))`.
//!
//! a_j is drawn together with b_j and lambda_j, so that columns that go with X or with a factor mix as others do; everything else sees Y without `X_j a_j`.

use super::design_in_rows::DesignInRows;
use super::gaussian::Gaussian;
use super::model::{FactorModel, TILE};
use super::rng::Stream;
use super::trait_priors::{Priors, Regression};
use crate::linalg::{axpy, product};
use faer::{Mat, MatRef, Par};
use std::ops::Range;

/// Columns of traits of their own, side by side in the order of traits.
pub struct Cis {
    /// Q'X_j of all traits, n x q; with several random effects in rows.
    pub x: Mat<f64>,
    /// Variance of the normal prior of each coefficient, q; none: it is flat.
    pub variance: Vec<Option<f64>>,
    /// First column of each trait, and q behind the last trait; empty if no trait has columns.
    pub first: Vec<usize>,
}

impl Cis {
    /// Of no trait.
    pub fn none() -> Self {
        Self {
            x: Mat::zeros(0, 0),
            variance: vec![],
            first: vec![],
        }
    }

    /// `traits`: of each column, ascending; `p`: how many there are.
    pub fn new(x: Mat<f64>, variance: Vec<Option<f64>>, traits: &[usize], p: usize) -> Self {
        let first = (0..=p).map(|j| traits.partition_point(|of| *of < j)).collect();
        Self { x, variance, first }
    }

    /// Number of columns of all traits.
    pub(crate) fn q(&self) -> usize {
        self.x.ncols()
    }

    /// Columns of a trait.
    pub fn of(&self, j: usize) -> Range<usize> {
        if self.first.is_empty() {
            0..0
        } else {
            self.first[j]..self.first[j + 1]
        }
    }

    /// Those of a trait.
    pub(crate) fn columns(&self, j: usize) -> MatRef<'_, f64> {
        let of = self.of(j);
        self.x.subcols(of.start, of.len())
    }

    /// What has which length, and should have.
    pub(crate) fn lengths(&self, n: usize, p: usize) -> [(&'static str, usize, usize); 4] {
        let some = |size: usize| if self.q() > 0 { size } else { 0 };
        [
            ("cis", self.x.nrows(), some(n)),
            ("cis", self.first.len(), some(p + 1)),
            ("cis", self.first.last().copied().unwrap_or(0), self.q()),
            ("cis_variance", self.variance.len(), self.q()),
        ]
    }

    /// Adds `sign X_j a_j` to a column. `own`: a_j.
    pub(super) fn add(&self, j: usize, sign: f64, own: &[f64], column: &mut [f64]) {
        for (l, coefficient) in self.of(j).zip(own) {
            axpy(sign * coefficient, self.x.col_as_slice(l), column);
        }
    }

    /// Columns of some traits without `X_j a_j`; none if no trait has columns. `own`: the coefficients of all these traits.
    pub(super) fn without(&self, traits: Range<usize>, own: &[f64], y: MatRef<'_, f64>) -> Option<Mat<f64>> {
        if self.q() == 0 {
            return None;
        }
        let (start, mut left) = (self.of(traits.start).start, y.to_owned());
        for (at, j) in traits.enumerate() {
            let of = self.of(j);
            self.add(
                j,
                -1.0,
                &own[of.start - start..of.end - start],
                left.col_as_slice_mut(at),
            );
        }
        Some(left)
    }

    /// Coefficients of all traits, by tiles of these.
    pub(super) fn tiles<'a>(&self, mut own: &'a mut [f64], p: usize) -> Vec<&'a mut [f64]> {
        let mut tiles = vec![];
        for first in (0..p).step_by(TILE) {
            let next = (first + TILE).min(p);
            let count = self.of(next - 1).end - self.of(first).start;
            let (tile, rest) = own.split_at_mut(count);
            tiles.push(tile);
            own = rest;
        }
        tiles
    }
}

/// What a trait's own columns are drawn from, in the basis of its point.
pub(super) struct OwnRegression<'a> {
    /// Of [X, F] alone.
    pub shared: Regression<'a>,
    /// `[X, F]`
    pub design: &'a Mat<f64>,
    pub columns: MatRef<'a, f64>,
    pub y: MatRef<'a, f64>,
    /// Weights of the rows.
    pub w: &'a [f64],
}

impl OwnRegression<'_> {
    /// W'W and W'y of `[X, F, X_j]`.
    fn whole(&self) -> (Mat<f64>, Vec<f64>) {
        let (c, q) = (self.design.ncols(), self.columns.ncols());
        let weighted = Mat::from_fn(self.w.len(), q, |i, l| self.w[i] * self.columns[(i, l)]);
        let cross = product(weighted.transpose(), self.design.as_ref(), Par::Seq);
        let own = product(weighted.transpose(), self.columns, Par::Seq);
        let entry = |i: usize, j: usize| match (i < c, j < c) {
            (true, true) => self.shared.gram[(i, j)],
            (true, false) => cross[(j - c, i)],
            (false, true) => cross[(i - c, j)],
            (false, false) => own[(i - c, j - c)],
        };
        let right = product(weighted.transpose(), self.y, Par::Seq);
        let right = (self.shared.right.iter().copied()).chain((0..q).map(|l| right[(l, 0)]));
        (Mat::from_fn(c + q, c + q, entry), right.collect())
    }

    /// b_j, lambda_j and a_j together. False if the trait keeps what it has.
    pub fn draw(
        &self,
        (priors, j): (&Priors<'_>, usize),
        sigma2: f64,
        (theta, own): (&mut [f64], &mut [f64]),
        rng: &mut Stream,
    ) -> bool {
        let (gram, right) = self.whole();
        let regression = Regression {
            gram: &gram,
            right: &right,
        };
        let mut all = [&*theta, &*own].concat();
        let drawn = priors.coefficients_of(j, regression, sigma2, &mut all, &mut Gaussian::new(right.len()), rng);
        theta.copy_from_slice(&all[..theta.len()]);
        own.copy_from_slice(&all[theta.len()..]);
        drawn
    }
}

/// Columns of some traits in a basis, side by side, and where those of each are.
pub(super) fn in_basis(model: &FactorModel, basis: usize, traits: &[usize]) -> (Mat<f64>, Vec<Range<usize>>) {
    let mut next = 0;
    let place = |j: &usize| {
        let first = next;
        next += model.cis.of(*j).len();
        first..next
    };
    let places: Vec<Range<usize>> = traits.iter().map(place).collect();
    if next == 0 {
        return (Mat::zeros(model.n(), 0), places);
    }
    let columns: Vec<usize> = traits.iter().flat_map(|&j| model.cis.of(j)).collect();
    let some = Mat::from_fn(model.n(), next, |i, at| model.cis.x[(i, columns[at])]);
    (model.in_basis(basis, some.as_ref()), places)
}

// ---- behind links ---------------------------------------------------------------------------------

/// `[X, X_j]` and F in rows.
pub(super) fn wide_design(model: &FactorModel, j: usize, design: &DesignInRows) -> DesignInRows {
    let (b, own) = (model.b(), model.cis.columns(j));
    let own = match model.rays.is_empty() {
        true => product(model.data.rows.transpose(), own, Par::Seq),
        false => own.to_owned(),
    };
    let entry = |i: usize, l: usize| if l < b { design.x[(i, l)] } else { own[(i, l - b)] };
    DesignInRows {
        x: Mat::from_fn(model.n(), b + own.ncols(), entry),
        f: design.f.clone(),
        grams: vec![],
        means: design.means.clone(),
    }
}

/// b_j, a_j and lambda_j, one behind the other.
pub(super) fn joined(b: usize, theta: &[f64], own: &[f64]) -> Vec<f64> {
    [&theta[..b], own, &theta[b..]].concat()
}

/// b_j and lambda_j, and a_j, of what is [`joined`].
pub(super) fn parted(b: usize, q: usize, all: &[f64]) -> (Vec<f64>, Vec<f64>) {
    ([&all[..b], &all[b + q..]].concat(), all[b..b + q].to_vec())
}
