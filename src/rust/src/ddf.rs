//! Entry points of tests of fixed effects: the covariance of the coefficients at the variances of a fit, its slopes in the parameters, and the covariance of these.

use crate::console::Console;
use crate::failure::Reply;
use crate::model::ModelView;
use crate::sparse::FitView;
use crate::{reply, view};
use extendr_api::prelude::*;
use faer::Par;
use fastlmm_core::likelihood::ddf;
use fastlmm_core::likelihood::uncertainty::CoefficientUncertainty;
use fastlmm_core::lmm::fit::Options;
use fastlmm_core::mix;
use fastlmm_core::sparse;
use fastlmm_core::sparse::of_mix::TermModel;

fn replied(found: &CoefficientUncertainty) -> List {
    list!(
        covariance = reply::columns(&found.covariance),
        adjusted = reply::columns(&found.adjusted),
        slopes = List::from_values(found.slopes.iter().map(reply::columns)),
        theta_vcov = reply::columns(&found.theta_vcov),
        basis = reply::matrix(&found.basis, found.basis.len())
    )
}

/// Of a fit with one kernel.
/// @noRd
#[extendr]
fn ffi_ddf(rotated: List, df: &str, method: &str, sigma2: f64, sigma2_e: f64) -> Reply<List> {
    let (data, method) = (view::rotated(&rotated)?, view::method(method)?);
    Ok(replied(&ddf::uncertainty(
        &data,
        df.parse()?,
        method,
        (sigma2, sigma2_e),
    )?))
}

/// Of a fit with several effects in the coordinates of the contrasts, the residual's variance last.
/// @noRd
#[extendr]
fn ffi_ddf_mix(model: List, df: &str, sigma2: &[f64]) -> Reply<List> {
    let model = ModelView::new(&model)?;
    view::same_length("sigma2", sigma2.len(), model.effects() + 1)?;
    let Options { method, threads, .. } = model.options;
    let found = mix::uncertainty::uncertainty(&model.mix()?, df.parse()?, method, sigma2, threads)?;
    Ok(replied(&found))
}

/// Of a fit by penalised least squares.
/// @noRd
#[extendr]
fn ffi_ddf_terms(model: List, df: &str, at: List) -> Reply<List> {
    let model = ModelView::new(&model)?;
    let (fit, mix) = (FitView::new(&at, &model)?, model.mix()?);
    let terms = TermModel::new(&mix, &fit.blocks, fit.known, Par::Seq)?;
    let Options { method, threads, .. } = model.options;
    let found = sparse::uncertainty::uncertainty(&terms, df.parse()?, method, &fit.variances(), threads, &mut Console)?;
    Ok(replied(&found))
}

extendr_module! {
    mod ddf;
    fn ffi_ddf;
    fn ffi_ddf_mix;
    fn ffi_ddf_terms;
}
