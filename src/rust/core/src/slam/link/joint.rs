//! Data that several traits make together, as the coefficients of a curve do: the values of a row are drawn as one.

use super::Pseudodata;
use crate::slam::rng::Stream;
use faer::{Mat, MatRef};
use std::sync::Arc;

/// What was observed of some traits together.
pub trait JointLink: Send + Sync {
    /// Number of traits.
    fn traits(&self) -> usize;

    /// Somewhere to begin.
    fn start(&self, row: usize, at: usize) -> f64;

    /// Parameters to begin with, all of them positive.
    fn start_parameters(&self) -> Vec<f64>;

    /// Parameters given eta, rows x traits.
    fn draw_parameters(&self, eta: MatRef<'_, f64>, parameters: &mut [f64], rng: &mut Stream);

    /// eta of all rows given the data, the means that are expected of it, rows x traits, and the variance of each trait. `None` if a precision is not positive definite to rounding.
    fn draw(&self, mean: MatRef<'_, f64>, variance: &[f64], parameters: &[f64], rng: &mut Stream) -> Option<Mat<f64>>;

    /// What the data say of the values of one trait given the others': these are normal.
    fn of_one(&self, eta: MatRef<'_, f64>, at: usize, parameters: &[f64]) -> Pseudodata;

    /// What the data say of the values of each row: precisions, traits x traits, that rows share, which of them a row has, and these times what is lacking of the values, rows x traits.
    fn of_rows(&self, eta: MatRef<'_, f64>, parameters: &[f64]) -> RowEvidence<'_>;

    /// A step d of coefficients of X, X's columns x traits, given what is left of eta, which goes with them: `b + d, eta + X d`. `held`: the coefficients b and the variance of each column's prior, if it is not flat.
    /// `None` where the data do not tell them.
    fn draw_step(
        &self,
        x: MatRef<'_, f64>,
        held: (MatRef<'_, f64>, &[Option<f64>]),
        eta: MatRef<'_, f64>,
        parameters: &[f64],
        rng: &mut Stream,
    ) -> Option<Mat<f64>>;
}

/// Normal evidence of rows of several traits.
pub struct RowEvidence<'a> {
    /// Precisions that rows share.
    pub precisions: Vec<Mat<f64>>,
    /// Which of them a row has.
    pub which: &'a [usize],
    /// The precision times what is lacking, rows x traits.
    pub lack: Mat<f64>,
}

/// A joint link and the first of its traits, which follow each other.
#[derive(Clone)]
pub struct Joint {
    /// Number of the first trait.
    pub first: usize,
    /// What was observed.
    pub link: Arc<dyn JointLink>,
}

impl Joint {
    /// Its traits.
    pub fn traits(&self) -> std::ops::Range<usize> {
        self.first..self.first + self.link.traits()
    }
}
