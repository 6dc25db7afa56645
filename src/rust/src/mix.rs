//! Entry points of fits with several random effects.

use crate::console::Console;
use crate::failure::Reply;
use crate::view::Held;
use crate::words::Parameter;
use crate::{reply, view};
use extendr_api::prelude::*;
use fastlmm_core::likelihood::profiled::Profiled;
use fastlmm_core::mix::Model;
use fastlmm_core::mix::fit::fit_from;
use fastlmm_core::mix::predict::{Targets, variance};
use fastlmm_core::mix::profile::{Profile, What};
use fastlmm_core::mix::profiles::Profiles;
use fastlmm_core::runtime::error::Error;
use fastlmm_core::runtime::parallel::Workers;
use std::result::Result;

/// The data of a model with several random effects, as R holds them.
fn model<'a>(y: &'a [f64], x: &'a RMatrix<f64>, weights: &'a [f64], held: &'a [Held]) -> Reply<Model<'a>> {
    view::same_length("X", x.nrows(), y.len())?;
    view::same_length("weights", weights.len(), y.len())?;
    let effects = held.iter().map(|effect| effect.view(y.len())).collect::<Reply<_>>()?;
    Ok(Model {
        y,
        x: view::matrix(x),
        weights,
        effects,
    })
}

/// Fit one response with several random effects. `start`: variances near an optimum that is known, the residual's last, or nothing.
/// @noRd
#[extendr]
fn ffi_fit_mix(
    y: &[f64],
    X: RMatrix<f64>,
    weights: &[f64],
    effects: List,
    method: &str,
    start: &[f64],
    threads: i32,
) -> Reply<List> {
    let held = view::effects(&effects)?;
    let model = model(y, &X, weights, &held)?;
    known_variances(start, &held)?;
    let found = fit_from(
        &model,
        view::method(method)?,
        start,
        view::count(threads, "threads")?,
        &mut Console,
    )?;
    Ok(reply::mix(&found, X.ncols()))
}

/// Variance of predictions from several random effects.
/// @noRd
#[extendr]
#[allow(clippy::too_many_arguments)] // a fit and its targets, as R holds them
fn ffi_variance_mix(
    y: &[f64],
    X: RMatrix<f64>,
    weights: &[f64],
    effects: List,
    sigma2: &[f64],
    cross: RMatrix<f64>,
    prior: &[f64],
    X_new: RMatrix<f64>,
    given_beta: bool,
    threads: i32,
) -> Reply<Vec<f64>> {
    let held = view::effects(&effects)?;
    let model = model(y, &X, weights, &held)?;
    for (what, found, expected) in [
        ("sigma2", sigma2.len(), held.len() + 1),
        ("rows of cross", cross.nrows(), y.len()),
        ("columns of cross", cross.ncols(), prior.len()),
        ("rows of X_new", X_new.nrows(), prior.len()),
    ] {
        view::same_length(what, found, expected)?;
    }
    let x = (!given_beta).then(|| view::matrix(&X_new));
    let targets = Targets {
        cross: view::matrix(&cross),
        prior,
        x,
    };
    Ok(variance(&model, sigma2, &targets, view::count(threads, "threads")?)?)
}

/// Core knows the rank, which bounds the number of a coefficient.
fn parameter(what: &str, number: i32, model: &Model<'_>) -> Reply<What> {
    let effects = model.effects.len();
    Ok(match what.parse()? {
        Parameter::SigmaU => What::Sigma(view::index(number, effects, "number")?),
        Parameter::SigmaE => What::Sigma(effects),
        Parameter::H2 => What::Share(view::index(number, effects, "number")?),
        Parameter::Beta => What::Beta(view::index(number, model.x.ncols(), "column")?),
        Parameter::Delta | Parameter::Lengthscale => {
            let why = format!("is \"{what}\", which a model of several effects has not");
            return Err(Error::Argument { what: "what", why }.into());
        }
    })
}

/// One variance an effect and the residual's, or none at all.
fn known_variances(variances: &[f64], held: &[Held]) -> Reply<()> {
    if variances.is_empty() {
        return Ok(());
    }
    view::same_length("variances", variances.len(), held.len() + 1)
}

/// What `read` makes of the profile of each parameter, and for each a better optimum if the profile came upon one. One set-up serves all.
fn profiled<T>(
    (model, method): (&Model<'_>, &str),
    (what, number): (Vec<String>, &[i32]),
    known: &[f64],
    threads: i32,
    read: impl Fn(&Profile<'_, '_>) -> Result<T, Error>,
) -> Reply<Vec<(T, Vec<f64>)>> {
    view::same_length("number", number.len(), what.len())?;
    let whats = what
        .iter()
        .zip(number)
        .map(|(what, number)| parameter(what, *number, model));
    let whats = whats.collect::<Reply<Vec<What>>>()?;
    let workers = Workers::new(view::count(threads, "threads")?)?;
    let mut console = Console;
    let mut profiles = Profiles::new(model, view::method(method)?, known, &workers, &mut console)?;
    let one = |what| -> Result<_, Error> {
        let (found, better) = profiles.read(what, &read)?;
        Ok((found, better.unwrap_or_default()))
    };
    Ok(whats.into_iter().map(one).collect::<Result<_, _>>()?)
}

/// Profiles of parameters of several random effects out to |zeta| = zeta_max.
/// @noRd
#[extendr]
#[allow(clippy::too_many_arguments)] // a fit as R holds it
fn ffi_profile_mix(
    y: &[f64],
    X: RMatrix<f64>,
    weights: &[f64],
    effects: List,
    method: &str,
    what: Vec<String>,
    number: &[i32],
    known: &[f64],
    zeta_max: f64,
    points: i32,
    threads: i32,
) -> Reply<List> {
    let held = view::effects(&effects)?;
    let model = model(y, &X, weights, &held)?;
    known_variances(known, &held)?;
    let points = view::count(points, "points")?;
    let curve = |profile: &Profile<'_, '_>| profile.curve(zeta_max, points);
    let found = profiled((&model, method), (what, number), known, threads, curve)?;
    let one = |(points, better): (Vec<_>, Vec<f64>)| list!(curve = reply::curve(&points), better = better);
    Ok(List::from_values(found.into_iter().map(one)))
}

/// Where the deviance of several random effects has risen by `rise`, for each parameter.
/// @noRd
#[extendr]
#[allow(clippy::too_many_arguments)] // a fit as R holds it
fn ffi_interval_mix(
    y: &[f64],
    X: RMatrix<f64>,
    weights: &[f64],
    effects: List,
    method: &str,
    what: Vec<String>,
    number: &[i32],
    known: &[f64],
    rise: f64,
    threads: i32,
) -> Reply<List> {
    let held = view::effects(&effects)?;
    let model = model(y, &X, weights, &held)?;
    known_variances(known, &held)?;
    let interval = |profile: &Profile<'_, '_>| profile.interval(rise);
    let found = profiled((&model, method), (what, number), known, threads, interval)?;
    let one = |((lower, upper), better): ((f64, f64), Vec<f64>)| list!(limits = vec![lower, upper], better = better);
    Ok(List::from_values(found.into_iter().map(one)))
}

extendr_module! {
    mod mix;
    fn ffi_fit_mix;
    fn ffi_profile_mix;
    fn ffi_interval_mix;
    fn ffi_variance_mix;
}
