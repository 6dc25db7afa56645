//! Entry points of fits with several random effects.

use crate::console::Console;
use crate::failure::Reply;
use crate::model::ModelView;
use crate::words::ParameterName;
use crate::{reply, view};
use extendr_api::prelude::*;
use fastlmm_core::likelihood::profiled::Profiled;
use fastlmm_core::lmm::fit::Options;
use fastlmm_core::mix;
use fastlmm_core::mix::predict::{MixTargets, Prepared};
use fastlmm_core::mix::profile::{MixParameter, MixProfile};
use fastlmm_core::mix::profiles::Profiles;
use fastlmm_core::runtime::error::Error;
use fastlmm_core::runtime::parallel::Workers;
use fastlmm_core::sparse::route;
use std::result::Result;

/// Fit one response with several random effects, and say which way. `start`: variances near an optimum that is known, the residual's last, or nothing.
/// @noRd
#[extendr]
fn ffi_fit_mix(model: List, start: &[f64]) -> Reply<List> {
    let model = ModelView::new(&model)?;
    known_variances(start, &model)?;
    let Options { method, threads, .. } = model.options;
    let (found, route) = route::fit(&model.mix()?, method, start, threads, &mut Console)?;
    Ok(list!(fit = reply::mix(&found, model.columns()), route = route.name()))
}

/// The model at its variances, the residual's last, for any number of calls of `ffi_variance_mix()`.
/// @noRd
#[extendr]
fn ffi_prepare_mix(model: List, sigma2: &[f64]) -> Reply<ExternalPtr<Prepared>> {
    let model = ModelView::new(&model)?;
    view::same_length("sigma2", sigma2.len(), model.effects() + 1)?;
    Ok(ExternalPtr::new(Prepared::new(
        &model.mix()?,
        sigma2,
        model.options.threads,
    )?))
}

/// Variance of predictions from several random effects: of `targets` with the covariance `cross` of each, a column, with the rows, the variance `prior` of
/// its effects, and its row of X, which has no columns where beta is given.
/// @noRd
#[extendr]
fn ffi_variance_mix(prepared: ExternalPtr<Prepared>, targets: List) -> Reply<Vec<f64>> {
    let (cross, x) = (view::real_matrix(&targets, "cross")?, view::real_matrix(&targets, "X")?);
    let prior = view::numbers(&targets, "prior")?;
    view::same_length("rows of cross", cross.nrows(), prepared.n())?;
    view::same_length("columns of cross", cross.ncols(), prior.len())?;
    view::same_length("rows of X", x.nrows(), prior.len())?;
    let targets = MixTargets {
        cross: view::matrix(&cross),
        prior: &prior,
        x: (x.ncols() > 0).then(|| view::matrix(&x)),
    };
    Ok(prepared.variance(&targets)?)
}

/// Core knows the rank, which bounds the number of a coefficient.
fn parameter(what: &str, number: i32, model: &mix::MixModel<'_>) -> Reply<MixParameter> {
    let effects = model.effects.len();
    Ok(match what.parse()? {
        ParameterName::SigmaU => MixParameter::Sigma(view::index(number, effects, "number")?),
        ParameterName::SigmaE => MixParameter::Sigma(effects),
        ParameterName::H2 => MixParameter::Share(view::index(number, effects, "number")?),
        ParameterName::Beta => MixParameter::Beta(view::index(number, model.x.ncols(), "column")?),
        ParameterName::Delta | ParameterName::Correlation | ParameterName::Lengthscale => {
            let why = format!("is \"{what}\", which a model of several effects has not");
            return Err(Error::Argument { what: "what", why }.into());
        }
    })
}

/// One variance an effect and the residual's, or none at all.
fn known_variances(variances: &[f64], model: &ModelView) -> Reply<()> {
    if variances.is_empty() {
        return Ok(());
    }
    view::same_length("variances", variances.len(), model.effects() + 1)
}

/// Which parameters are asked for, and the variances of the fit.
struct ProfileRequest {
    what: Vec<String>,
    number: Vec<i32>,
    known: Vec<f64>,
}

impl ProfileRequest {
    fn new(list: &List, model: &ModelView) -> Reply<Self> {
        let request = Self {
            what: view::texts(list, "what")?,
            number: view::whole(list, "number")?,
            known: view::numbers(list, "known")?,
        };
        view::same_length("number", request.number.len(), request.what.len())?;
        known_variances(&request.known, model)?;
        Ok(request)
    }

    fn parameters(&self, model: &mix::MixModel<'_>) -> Reply<Vec<MixParameter>> {
        let both = self.what.iter().zip(&self.number);
        both.map(|(what, number)| parameter(what, *number, model)).collect()
    }
}

/// What `read` makes of the profile of each parameter, and for each a better optimum if the profile came upon one. One set-up serves all.
fn profiled<T>(
    model: &ModelView,
    request: &ProfileRequest,
    read: impl Fn(&MixProfile<'_, '_>) -> Result<T, Error>,
) -> Reply<Vec<(T, Vec<f64>)>> {
    let (data, Options { method, threads, .. }) = (model.mix()?, model.options);
    let workers = Workers::new(threads)?;
    let mut console = Console;
    let parameters = request.parameters(&data)?;
    let mut profiles = Profiles::new(&data, method, &request.known, &workers, &mut console)?;
    let one = |parameter| -> Result<_, Error> {
        let (found, better) = profiles.read(parameter, &read)?;
        Ok((found, better.unwrap_or_default()))
    };
    Ok(parameters.into_iter().map(one).collect::<Result<_, _>>()?)
}

/// Profiles of parameters of several random effects out to |zeta| = zeta_max.
/// @noRd
#[extendr]
fn ffi_profile_mix(model: List, asked: List, zeta_max: f64, points: i32) -> Reply<List> {
    let model = ModelView::new(&model)?;
    let request = ProfileRequest::new(&asked, &model)?;
    let points = view::count(points, "points")?;
    let found = profiled(&model, &request, |profile| profile.curve(zeta_max, points))?;
    let one = |(points, better): (Vec<_>, Vec<f64>)| list!(curve = reply::curve(&points), better = better);
    Ok(List::from_values(found.into_iter().map(one)))
}

/// Where the deviance of several random effects has risen by `rise`, for each parameter.
/// @noRd
#[extendr]
fn ffi_interval_mix(model: List, asked: List, rise: f64) -> Reply<List> {
    let model = ModelView::new(&model)?;
    let request = ProfileRequest::new(&asked, &model)?;
    let found = profiled(&model, &request, |profile| profile.interval(rise))?;
    let one = |((lower, upper), better): ((f64, f64), Vec<f64>)| list!(limits = vec![lower, upper], better = better);
    Ok(List::from_values(found.into_iter().map(one)))
}

extendr_module! {
    mod mix;
    fn ffi_fit_mix;
    fn ffi_prepare_mix;
    fn ffi_profile_mix;
    fn ffi_interval_mix;
    fn ffi_variance_mix;
}
