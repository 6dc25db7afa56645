//! The one value that stands for a model at the border, the same for every engine: responses, X, weights, effects, criterion and settings.
//! Read by hand and not by extendr's `TryFromList`: its error names neither the element of the list nor a class, and copies every matrix that is no `RMatrix`.

use crate::failure::{Failure, Reply};
use crate::view::{self, EffectView};
use extendr_api::prelude::*;
use faer::MatRef;
use fastlmm_core::likelihood::Method;
use fastlmm_core::lmm::fit::Options;
use fastlmm_core::runtime::error::Error;
use fastlmm_core::{mix, rotation};
use std::cell::OnceCell;

/// What `rust_model()` of R made, with its lengths checked.
pub struct ModelView {
    y: RMatrix<f64>,
    x: RMatrix<f64>,
    /// Empty: all are 1.
    weights: Robj,
    ones: OnceCell<Vec<f64>>,
    effects: Vec<EffectView>,
    pub options: Options,
}

impl ModelView {
    pub fn new(list: &List) -> Reply<Self> {
        let model = Self {
            y: view::real_matrix(list, "y")?,
            x: view::real_matrix(list, "X")?,
            weights: view::element(list, "weights")?,
            ones: OnceCell::new(),
            effects: view::effects(&view::sublist(list, "effects")?)?,
            options: Options {
                method: view::text(list, "method")?.parse::<Method>()?,
                threads: view::count_of(list, "threads")?,
                tolerance: Some(view::number(list, "tolerance")?).filter(|t| !t.is_nan()),
            },
        };
        view::same_length("X", model.x.nrows(), model.n())?;
        let weights = model.given_weights()?.len();
        if weights > 0 {
            view::same_length("weights", weights, model.n())?;
        }
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
    pub fn factor_columns(&self) -> Reply<usize> {
        self.effects.first().map_or(Ok(0), EffectView::factor_columns)
    }

    /// All responses.
    pub fn responses(&self) -> MatRef<'_, f64> {
        view::matrix(&self.y)
    }

    pub fn x(&self) -> MatRef<'_, f64> {
        view::matrix(&self.x)
    }

    /// None where all are 1: processes of very many rows go without.
    pub fn given_weights(&self) -> Reply<&[f64]> {
        self.weights.as_real_slice().ok_or(view::missing("weights"))
    }

    pub fn weights(&self) -> Reply<&[f64]> {
        let given = self.given_weights()?;
        if given.is_empty() {
            return Ok(self.ones.get_or_init(|| vec![1.0; self.n()]));
        }
        Ok(given)
    }

    /// Group of each row and number of groups, of an effect without a kernel and slope beside a process; of no group if there is no effect.
    pub fn grouping(&self) -> Reply<(&[usize], usize)> {
        match self.effects.as_slice() {
            [] => Ok((&[], 0)),
            [effect] => effect.grouping(self.n()),
            effects => Err(too_many(effects)),
        }
    }

    /// The only response.
    pub fn y(&self) -> Reply<&[f64]> {
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
            return Err(too_many(&self.effects));
        };
        effect.model(self.x(), self.weights()?)
    }

    /// With one response and any effects.
    pub fn mix(&self) -> Reply<mix::MixModel<'_>> {
        Ok(mix::MixModel {
            y: self.y()?,
            x: self.x(),
            weights: self.weights()?,
            effects: self.all_effects()?,
        })
    }

    pub fn all_effects(&self) -> Reply<Vec<mix::Effect<'_>>> {
        self.effects.iter().map(|effect| effect.view(self.n())).collect()
    }
}

fn too_many(effects: &[EffectView]) -> Failure {
    let why = format!("are {}, and this kind of model has one", effects.len());
    Error::Argument { what: "effects", why }.into()
}
