//! Entry points of `profile()` and `confint()`.

use crate::failure::Reply;
use crate::{reply, view};
use extendr_api::prelude::*;
use fastlmm_core::error::Error;
use fastlmm_core::profile::{Profile, What, profiled};

fn parameter(what: &str, column: i32) -> What {
    match what {
        "sigma_u" => What::SigmaU,
        "sigma_e" => What::SigmaE,
        "h2" => What::H2,
        "delta" => What::Delta,
        _ => What::Beta((column - 1).max(0) as usize),
    }
}

pub fn checked(what: &str, column: i32, rank: usize) -> Reply<What> {
    match parameter(what, column) {
        What::Beta(j) if j >= rank => Err(Error::Shape {
            what: "column",
            found: j + 1,
            expected: rank,
        }
        .into()),
        other => Ok(other),
    }
}

/// Profile of one parameter out to |zeta| = zeta_max.
/// @noRd
#[extendr]
fn ffi_profile(rotated: List, method: &str, what: &str, column: i32, zeta_max: f64, points: i32) -> Reply<List> {
    let data = view::rotated(&rotated)?;
    let what = checked(what, column, data.rank())?;
    let data = profiled(data, what)?;
    let profile = Profile::new(&data, view::method(method), what)?;
    Ok(reply::curve(&profile.curve(zeta_max, points as usize)?))
}

/// Where the deviance has risen by `rise`.
/// @noRd
#[extendr]
fn ffi_interval(rotated: List, method: &str, what: &str, column: i32, rise: f64) -> Reply<Vec<f64>> {
    let data = view::rotated(&rotated)?;
    let what = checked(what, column, data.rank())?;
    let data = profiled(data, what)?;
    let (lower, upper) = Profile::new(&data, view::method(method), what)?.interval(rise)?;
    Ok(vec![lower, upper])
}

extendr_module! {
    mod profile;
    fn ffi_profile;
    fn ffi_interval;
}
