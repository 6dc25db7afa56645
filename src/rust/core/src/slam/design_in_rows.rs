//! What values behind links move with: X and F in rows, and how often.

use super::few_columns;
use super::link::{Link, loadings};
use super::loading_means::means;
use super::missing::firsts;
use super::model::{FactorModel, TILE, columns};
use super::state::State;
use crate::linalg::{axpy, product};
use faer::{Mat, MatRef, Par};
use rayon::prelude::*;

/// What moves with the values of a trait.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Move {
    Coefficients,
    Scale,
    Shares,
    Loadings,
}

/// One iteration in so many has moves.
const EVERY: u64 = 2;

impl Move {
    /// Is it this iteration's turn at trait j? Of data that are not normal proposals of all moves cost half as much as all else of an iteration and bring a fifth of effective draws: the more one costs, the rarer it is.
    pub fn is_due(self, model: &FactorModel, j: usize, iteration: u64) -> bool {
        let every = match self {
            _ if !model.is_behind(j) => EVERY,
            Self::Coefficients => EVERY,
            Self::Scale => 2 * EVERY,
            Self::Shares | Self::Loadings => 4 * EVERY,
        };
        iteration % every == EVERY % every
    }
}

/// X, with columns of the trait's own where there are some, and F, in rows.
pub struct DesignInRows {
    pub x: Mat<f64>,
    pub f: Mat<f64>,
    /// [`loadings::grams`] of traits with data of their own, by tiles; none where loadings are not drawn.
    pub grams: Vec<Mat<f64>>,
    /// Prior means of all loadings, none without covariates.
    pub means: Vec<f64>,
}

/// Traits whose sums of products are made together: the products themselves are made once for all of them.
const TOGETHER: usize = 4 * TILE;

impl DesignInRows {
    /// If it is this iteration's turn.
    pub fn of(model: &FactorModel, state: &State) -> Option<Self> {
        let due = model.has_links() && state.iteration.is_multiple_of(EVERY);
        let rows = |a: MatRef<'_, f64>| match model.rays.is_empty() {
            true => product(model.data.rows.transpose(), a, Par::Seq),
            false => a.to_owned(),
        };
        due.then(|| {
            let f = rows(columns(&state.f, model.n()));
            Self {
                x: rows(model.data.x.as_ref()),
                grams: grams(model, state, &f),
                means: means(model, state),
                f,
            }
        })
    }

    /// Of the loadings of a trait.
    pub fn gram(&self, j: usize) -> Option<&[f64]> {
        (self.grams.get(j / TOGETHER)).map(|tile| tile.col_as_slice(j % TOGETHER))
    }

    /// Values but for what a trait's coefficients and loadings say of them.
    pub fn left(&self, values: &[f64], theta: &[f64]) -> Vec<f64> {
        let mut left = values.to_vec();
        let (of_x, of_f) = theta.split_at(self.x.ncols());
        for (columns, by) in [(&self.x, of_x), (&self.f, of_f)] {
            let fitted = few_columns::times(columns, MatRef::from_column_major_slice(by, by.len(), 1));
            axpy(-1.0, fitted.col_as_slice(0), &mut left);
        }
        left
    }
}

/// `F'WF` of traits whose loadings are due: those whose links' parameters are as they were.
fn grams(model: &FactorModel, state: &State, f: &Mat<f64>) -> Vec<Mat<f64>> {
    let link = |j: usize| -> Option<&dyn Link> {
        let stays = |link: &&dyn Link| link.parameters() == 0 || link.parameters_are_costly();
        let link = model.link(j).filter(|link| link.is_smooth()).filter(stays)?;
        Move::Loadings.is_due(model, j, state.iteration).then_some(link)
    };
    let traits: Vec<usize> = (0..model.p()).collect();
    if model.k == 0 || traits.iter().all(|&j| link(j).is_none()) {
        return vec![];
    }
    let firsts = firsts(model);
    let tile = |traits: &[usize]| {
        let mut w: Mat<f64> = Mat::zeros(f.nrows(), traits.len());
        for (at, &j) in traits.iter().enumerate() {
            if let Some(link) = link(j) {
                let data = link.normal_data(&state.link[firsts[j].parameter..], f.nrows());
                w.col_as_slice_mut(at).copy_from_slice(&data.w);
            }
        }
        loadings::grams(f.as_ref(), w.as_ref())
    };
    traits.par_chunks(TOGETHER).map(tile).collect()
}
