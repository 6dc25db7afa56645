//! Entry points of a process with other random effects, by the kernel matrix of all rows.

use crate::console::Console;
use crate::failure::Reply;
use crate::gp_view::{ProcessModel, ProcessSettings};
use crate::{reply, view};
use extendr_api::prelude::*;
use fastlmm_core::gp::joint::fit::{JointModel, fit};
use fastlmm_core::gp::joint::profile::{JointParameter, JointProfile};
use fastlmm_core::runtime::parallel::Workers;

fn joint<'a>(process: &'a ProcessModel, settings: &'a ProcessSettings) -> Reply<JointModel<'a>> {
    let model = &process.model;
    Ok(JointModel {
        coordinates: process.coordinates(),
        y: model.y()?,
        x: model.x(),
        weights: model.weights()?,
        effects: model.all_effects()?,
        request: &settings.request,
        bounds: &settings.bounds,
    })
}

/// Fit a process and other effects together.
/// @noRd
#[extendr]
fn ffi_gp_joint(model: List) -> Reply<List> {
    let (process, settings) = ProcessModel::with_settings(&model)?;
    let model = joint(&process, &settings)?;
    let workers = Workers::new(settings.threads)?;
    let found = fit(&model, &workers, &mut Console)?;
    Ok(list!(
        mix = reply::mix(&found.mix, model.x.ncols()),
        parameters = found.lengths.clone(),
        log_errors = found.log_errors.iter().map(|e| reply::na(*e)).collect::<Vec<_>>(),
        local_lengths = found.local_lengths.clone(),
        grid_lengths = found.grid_lengths.clone(),
        at_end = found.at_end,
        at_floor = found.at_floor
    ))
}

fn parameter(what: &str, number: usize) -> JointParameter {
    match what {
        "sigma" => JointParameter::Sigma(number),
        "lengthscale" => JointParameter::Step(number),
        _ => JointParameter::Beta(number),
    }
}

/// The interval of one parameter, or with `points` its curve.
/// @noRd
#[extendr]
fn ffi_gp_joint_profile(model: List, fit: List, wanted: List) -> Reply<List> {
    let (process, settings) = ProcessModel::with_settings(&model)?;
    let model = joint(&process, &settings)?;
    let workers = Workers::new(settings.threads)?;
    let (sigma2, lengths) = (view::numbers(&fit, "sigma2")?, view::numbers(&fit, "parameters")?);
    let number = |name| view::number(&wanted, name);
    let held = parameter(
        &view::text(&wanted, "what")?,
        (view::count(number("column")?, "column")?).saturating_sub(1),
    );
    let about = (number("estimate")?, number("error")?);
    let mut console = Console;
    let profile = JointProfile::new(&model, held, (&sigma2, &lengths), about, &workers, &mut console)?;
    let (rise, points) = (number("rise")?, view::count(number("points")?, "points")?);
    answer(&profile, rise, points)
}

fn answer(profile: &JointProfile<'_, '_>, rise: f64, points: usize) -> Reply<List> {
    if points > 0 {
        return Ok(reply::curve(&profile.curve(rise.sqrt(), points)?));
    }
    let (lower, upper) = profile.limits(rise)?;
    Ok(list!(limits = vec![lower, upper]))
}

extendr_module! {
    mod gp_joint;
    fn ffi_gp_joint;
    fn ffi_gp_joint_profile;
}
