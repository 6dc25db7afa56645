//! Entry points of `profile()` and `confint()`.

use crate::failure::Reply;
use crate::words::ParameterName;
use crate::{reply, view};
use extendr_api::prelude::*;
use fastlmm_core::likelihood::ddf::along_x;
use fastlmm_core::likelihood::other_method::{Known, by_other_method};
use fastlmm_core::likelihood::profile::{Parameter, Profile, profiled};
use fastlmm_core::runtime::error::Error;

/// The parameter of that word; None: the length scale.
pub fn parameter(what: &str, column: i32, rank: usize) -> Reply<Option<Parameter>> {
    Ok(Some(match what.parse()? {
        ParameterName::SigmaU => Parameter::SigmaU,
        ParameterName::SigmaE => Parameter::SigmaE,
        ParameterName::H2 => Parameter::H2,
        ParameterName::Delta => Parameter::Delta,
        ParameterName::Beta => Parameter::Beta(view::index(column, rank, "column")?),
        ParameterName::Lengthscale | ParameterName::Correlation => return Ok(None),
    }))
}

/// One of a model without a length scale
pub fn checked(what: &str, column: i32, rank: usize) -> Reply<Parameter> {
    let why = format!("is \"{what}\", which this model has not");
    Ok(parameter(what, column, rank)?.ok_or(Error::Argument { what: "what", why })?)
}

/// Profile of one parameter out to |zeta| = zeta_max.
/// @noRd
#[extendr]
fn ffi_profile(rotated: List, method: &str, what: &str, column: i32, zeta_max: f64, points: i32) -> Reply<List> {
    let data = view::rotated(&rotated)?;
    let parameter = checked(what, column, data.rank())?;
    let data = profiled(data, parameter)?;
    let profile = Profile::new(&data, view::method(method)?, parameter)?;
    Ok(reply::curve(&profile.curve(zeta_max, view::count(points, "points")?)?))
}

/// Where the deviance has risen by `rise`.
/// @noRd
#[extendr]
fn ffi_interval(rotated: List, method: &str, what: &str, column: i32, rise: f64) -> Reply<Vec<f64>> {
    let data = view::rotated(&rotated)?;
    let parameter = checked(what, column, data.rank())?;
    let data = profiled(data, parameter)?;
    let (lower, upper) = Profile::new(&data, view::method(method)?, parameter)?.interval(rise)?;
    Ok(vec![lower, upper])
}

/// The fixed effects along an orthonormal basis of X, and their covariance.
/// @noRd
#[extendr]
fn ffi_along_x(rotated: List, sigma2: f64, sigma2_e: f64) -> Reply<List> {
    let data = view::rotated(&rotated)?;
    let (along, covariance) = along_x(&data, (sigma2, sigma2_e));
    Ok(list!(
        along = along,
        covariance = reply::matrix(&covariance, data.rank())
    ))
}

/// The log-likelihood by the other method, from what a fit keeps: `part` has `covariance` and `log_det_x`.
/// @noRd
#[extendr]
fn ffi_other_log_lik(part: List, method: &str, log_lik: f64, n: f64, variance: f64) -> Reply<f64> {
    let covariance = view::real_matrix(&part, "covariance")?;
    let known = Known {
        method: view::method(method)?,
        log_lik,
        n: view::count(n, "n")?,
        variance,
        log_det_x: view::number(&part, "log_det_x")?,
        covariance: view::matrix(&covariance),
    };
    Ok(by_other_method(&known))
}

extendr_module! {
    mod profile;
    fn ffi_other_log_lik;
    fn ffi_along_x;
    fn ffi_profile;
    fn ffi_interval;
}
