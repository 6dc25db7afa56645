//! The one value that stands for a model at the border, the same for every engine: responses, X, weights, effects, criterion and settings.

use crate::failure::Reply;
use crate::view::{self, Effect};
use extendr_api::prelude::*;
use faer::MatRef;
use fastlmm_core::likelihood::Method;
use fastlmm_core::lmm::fit::Options;
use fastlmm_core::runtime::error::Error;
use fastlmm_core::{mix, rotation};

/// What `rust_model()` of R made, with its lengths checked.
pub struct Model {
    y: RMatrix<f64>,
    x: RMatrix<f64>,
    weights: Robj,
    effects: Vec<Effect>,
    pub options: Options,
}

impl Model {
    pub fn new(list: &List) -> Reply<Self> {
        let model = Self {
            y: view::real_matrix(list, "y")?,
            x: view::real_matrix(list, "X")?,
            weights: view::element(list, "weights")?,
            effects: view::effects(&view::sublist(list, "effects")?)?,
            options: Options {
                method: view::text(list, "method")?.parse::<Method>()?,
                threads: view::count_of(list, "threads")?,
                tolerance: Some(view::number(list, "tolerance")?).filter(|t| !t.is_nan()),
            },
        };
        view::same_length("X", model.x.nrows(), model.n())?;
        view::same_length("weights", model.weights()?.len(), model.n())?;
        Ok(model)
    }

    pub fn n(&self) -> usize {
        self.y.nrows()
    }

    /// Columns of X.
    pub fn columns(&self) -> usize {
        self.x.ncols()
    }

    pub fn effects(&self) -> usize {
        self.effects.len()
    }

    /// Columns of the factor of the first effect.
    pub fn factor_columns(&self) -> usize {
        self.effects.first().map_or(0, Effect::factor_columns)
    }

    /// All responses.
    pub fn responses(&self) -> MatRef<'_, f64> {
        view::matrix(&self.y)
    }

    pub fn x(&self) -> MatRef<'_, f64> {
        view::matrix(&self.x)
    }

    fn weights(&self) -> Reply<&[f64]> {
        self.weights.as_real_slice().ok_or(view::missing("weights"))
    }

    /// The only response.
    fn y(&self) -> Reply<&[f64]> {
        view::same_length("responses", self.y.ncols(), 1)?;
        Ok(self.y.data())
    }

    /// With one response and one effect.
    pub fn one(&self) -> Reply<rotation::Model<'_>> {
        Ok(rotation::Model {
            y: self.y()?,
            ..self.many()?
        })
    }

    /// With one effect, its responses apart.
    pub fn many(&self) -> Reply<rotation::Model<'_>> {
        let [effect] = self.effects.as_slice() else {
            let why = format!("are {}, and this kind of model has one", self.effects.len());
            return Err(Error::Argument { what: "effects", why }.into());
        };
        effect.model(self.x(), self.weights()?)
    }

    /// With one response and any effects.
    pub fn mix(&self) -> Reply<mix::MixModel<'_>> {
        let effects = self
            .effects
            .iter()
            .map(|effect| effect.view(self.n()))
            .collect::<Reply<_>>()?;
        Ok(mix::MixModel {
            y: self.y()?,
            x: self.x(),
            weights: self.weights()?,
            effects,
        })
    }
}
