//! Entry points of `fastlmm_fit()` and `fastlmm_exclude()`.

use crate::console::Console;
use crate::failure::Reply;
use crate::model::ModelView;
use crate::{reply, view};
use extendr_api::prelude::*;
use fastlmm_core::lmm::exclude::exclude;
use fastlmm_core::lmm::fit::fit;
use fastlmm_core::lmm::many::{ManyOptions, fit_many};

/// Fit one response.
/// @noRd
#[extendr]
fn ffi_fit(model: List) -> Reply<List> {
    let model = ModelView::new(&model)?;
    Ok(reply::fit(
        &fit(&model.one()?, model.options, &mut Console)?,
        model.columns(),
    ))
}

/// Fit each of many responses, missing cells allowed.
/// @noRd
#[extendr]
fn ffi_fit_many(model: List, effects: bool) -> Reply<List> {
    let model = ModelView::new(&model)?;
    let request = ManyOptions {
        options: model.options,
        effects,
        floored: false,
    };
    let found = fit_many(model.responses(), &model.many()?, request, &mut Console)?;
    Ok(reply::many(&found, model.columns()))
}

/// Fit one response without sets of columns of its factor.
/// @noRd
#[extendr]
fn ffi_exclude(model: List, sets: List) -> Reply<List> {
    let model = ModelView::new(&model)?;
    let sets = view::index_sets(&sets, model.factor_columns()?, "columns")?;
    let fits = exclude(&model.one()?, &sets, model.options, &mut Console)?;
    Ok(List::from_values(
        fits.iter().map(|fit| reply::fit(fit, model.columns())),
    ))
}

extendr_module! {
    mod fit;
    fn ffi_fit;
    fn ffi_fit_many;
    fn ffi_exclude;
}
