//! Entry points of Gaussian processes: `gp()` terms, their tables, fields and intervals.

use crate::console::Console;
use crate::failure::Reply;
use crate::gp_table::{FourierBasis, reply_table, table};
use crate::gp_view::{
    ProcessModel, ProcessSettings, Wanted, columns, neighbourhood, reply_lengths, reply_many, reply_settled,
};
use crate::{reply, view};
use extendr_api::prelude::*;
use faer::Mat;
use fastlmm_core::gp;
use fastlmm_core::gp::bounds::SIDES;
use fastlmm_core::gp::exact::default_range;
use fastlmm_core::gp::fourier::explorer::{Explorer, MomentSource};
use fastlmm_core::gp::fourier::field;
use fastlmm_core::gp::fourier::many::Many;
use fastlmm_core::gp::fourier::sufficient::moments;
use fastlmm_core::gp::fourier::weights::WeightSpace;
use fastlmm_core::gp::places::correlations;
use fastlmm_core::runtime::parallel::Workers;

/// Fit with length scales looked for over their whole range.
/// @noRd
#[extendr]
fn ffi_gp_fit(model: List) -> Reply<List> {
    let (process, settings) = ProcessModel::with_settings(&model)?;
    let workers = Workers::new(settings.threads)?;
    let data = process.observations()?;
    let explorer = Explorer {
        source: MomentSource::Rows(&data),
        bounds: &settings.bounds,
        request: &settings.request,
        workers: &workers,
    };
    let settled = explorer.settle(&mut Console)?;
    reply_settled(&settings, &settled, &workers)
}

/// The frequencies that serve a box, a range of length scales and a part of the variance.
/// @noRd
#[extendr]
fn ffi_gp_basis(request: List, eps: f64) -> Reply<List> {
    let settings = ProcessSettings::new(&request)?;
    Ok(FourierBasis::new(&settings, eps)?.reply())
}

/// The table of some rows on a basis.
/// @noRd
#[extendr]
fn ffi_gp_table(model: List, basis: List, shifts: &[f64]) -> Reply<List> {
    let (process, basis) = (ProcessModel::new(&model)?, FourierBasis::read(&basis)?);
    let data = process.observations()?;
    let own = data.shifts();
    let shifts = if shifts.is_empty() { &own } else { shifts };
    view::same_length("shifts", shifts.len(), own.len())?;
    let workers = Workers::new(process.model.options.threads)?;
    Ok(reply_table(&moments(
        &data,
        &basis.grid,
        shifts,
        &workers,
        &mut Console,
    )?))
}

/// Fit from a table: length scales are looked for in the range of its basis.
/// @noRd
#[extendr]
fn ffi_gp_fit_table(moments: List, basis: List, request: List, response: i32) -> Reply<List> {
    let (basis, settings) = (FourierBasis::read(&basis)?, ProcessSettings::new(&request)?);
    let moments = table(&moments, &basis)?;
    let ladder = basis.ladder(moments);
    let workers = Workers::new(settings.threads)?;
    let explorer = Explorer {
        source: MomentSource::Table(&ladder, view::count(response, "response")?.saturating_sub(1)),
        bounds: &settings.bounds,
        request: &settings.request,
        workers: &workers,
    };
    let settled = explorer.settle(&mut Console)?;
    reply_settled(&settings, &settled, &workers)
}

/// Length scales by the kernel matrix of all rows.
/// @noRd
#[extendr]
fn ffi_gp_exact(model: List) -> Reply<List> {
    let (process, settings) = ProcessModel::with_settings(&model)?;
    let exact = process.exact(settings.request.family)?;
    let workers = Workers::new(settings.threads)?;
    let mut console = Console;
    let search = settings.search(&exact, &workers, &mut console);
    let found = exact.optima(&search, &settings.request, &settings.bounds)?;
    let answer = search.answer(&found, exact.kept(), settings.together(), settings.given())?;
    let fit = exact.fit_of(settings.request.method, &answer, &workers)?;
    Ok(list!(
        fit = reply::fit(&fit, process.model.columns()),
        lengths = reply_lengths(&answer, &found),
        at_end = exact.at_end(&answer.lengths, &settings.request, &settings.bounds)
    ))
}

/// Each column of Y, with length scales on a grid: by the kernel matrix of all rows, or in Fourier space.
/// @noRd
#[extendr]
fn ffi_gp_many(model: List, exact: bool, shared: bool, effects: bool) -> Reply<List> {
    let (process, settings) = ProcessModel::with_settings(&model)?;
    let workers = Workers::new(settings.threads)?;
    let (mut data, x, y) = (process.observations()?, process.model.x(), process.model.responses());
    data.y = vec![];
    let of = gp::many_search::ManySettings {
        request: &settings.request,
        bounds: &settings.bounds,
        shared,
        effects,
        threads: settings.threads,
    };
    let together = if exact {
        gp::many::exact(&data, y, x, of, &workers, &mut Console)?
    } else {
        let many = Many {
            data: &data,
            y,
            settings: of,
            workers: &workers,
        };
        many.fit(&mut Console)?
    };
    Ok(reply_many(&together, &settings, x.ncols()))
}

/// Values at points of fields given by coefficients of the basis functions, one column each.
/// @noRd
#[extendr]
fn ffi_gp_values(points: RMatrix<f64>, basis: List, coefficients: RMatrix<f64>, threads: i32) -> Reply<RMatrix<f64>> {
    let basis = FourierBasis::read(&basis)?;
    view::same_length("coefficients", coefficients.nrows(), 2 * basis.frequencies.len() - 1)?;
    let workers = Workers::new(view::count(threads, "threads")?)?;
    let (points, fields) = (columns(&points), columns(&coefficients));
    let values = field::values(
        &basis.grid,
        &basis.frequencies,
        &fields,
        &points,
        &workers,
        &mut Console,
    )?;
    Ok(RMatrix::new_matrix(points[0].len(), values.len(), |i, j| values[j][i]))
}

/// Weight of each basis function: square root of its part of the variance.
/// @noRd
#[extendr]
fn ffi_gp_weights(basis: List, lengths: &[f64]) -> Reply<Vec<f64>> {
    let basis = FourierBasis::read(&basis)?;
    let weights = basis.grid.weights(basis.family, &basis.used(), lengths);
    Ok(weights)
}

/// Variances of the predicted mean at targets (coordinates, X and groups), in units of the residual variance, by the table and the basis of a process.
/// @noRd
#[extendr]
fn ffi_gp_variances(targets: List, process: List, at: &[f64], delta: f64, threads: i32) -> Reply<Vec<f64>> {
    let basis = FourierBasis::read(&view::sublist(&process, "basis")?)?;
    let moments = table(&view::sublist(&process, "table")?, &basis)?;
    let space = WeightSpace::new(basis.family, &moments, basis.frequencies.clone(), 0)?;
    let (points, x) = (
        view::real_matrix(&targets, "coordinates")?,
        view::real_matrix(&targets, "X")?,
    );
    let group = view::whole(&targets, "group")?;
    let group = group.iter().map(|g| usize::try_from(*g - 1).ok()).collect::<Vec<_>>();
    let targets = field::ProcessTargets {
        points: columns(&points),
        x: view::matrix(&x),
        group: &group,
    };
    let workers = Workers::new(view::count(threads, "threads")?)?;
    Ok(field::variances(&space, at, delta, &targets, &workers, &mut Console)?)
}

/// Intervals or curves of parameters, the length scale at its best.
/// @noRd
#[extendr]
fn ffi_gp_profile(moments: List, basis: List, request: List, fit: List, wanted: List) -> Reply<List> {
    let (basis, settings) = (FourierBasis::read(&basis)?, ProcessSettings::new(&request)?);
    let moments = table(&moments, &basis)?;
    let longest = settings
        .request
        .longest
        .unwrap_or(SIDES * settings.request.widest(&settings.bounds));
    let neighbourhood = neighbourhood(&settings, &fit, (settings.request.shortest, longest))?.within(&basis.range);
    let space = WeightSpace::new(basis.family, &moments, basis.used(), 0)?;
    let wanted = Wanted::new(&wanted, space.fixed.kept.len())?;
    let workers = Workers::new(settings.threads)?;
    let range = neighbourhood.range();
    let lean = |space| workers.run(|par| WeightSpace::lean(space, &settings.bounds, &range, basis.eps, par));
    match view::count_of(&fit, "guard")? {
        0 => wanted.reply(&settings, &*lean(&space), &neighbourhood),
        guard => {
            let inner = workers.run(|par| space.guarded(guard, par))?;
            wanted.reply(&settings, &*lean(&inner), &neighbourhood)
        }
    }
}

/// The same by the kernel matrix of all rows.
/// @noRd
#[extendr]
fn ffi_gp_profile_exact(model: List, fit: List, wanted: List) -> Reply<List> {
    let (process, settings) = ProcessModel::with_settings(&model)?;
    let exact = process.exact(settings.request.family)?;
    let (shortest, longest) = default_range(&settings.request, &settings.bounds, &process.coordinates());
    let neighbourhood = neighbourhood(&settings, &fit, (Some(shortest), longest))?;
    Wanted::new(&wanted, exact.kept().len())?.reply(&settings, &exact, &neighbourhood)
}

/// Correlations of two sets of points, one row for each of the first.
/// @noRd
#[extendr]
fn ffi_gp_correlations(a: RMatrix<f64>, b: RMatrix<f64>, cov: &str, lengths: &[f64]) -> Reply<RMatrix<f64>> {
    let k: Mat<f64> = correlations(view::family(cov)?, &columns(&a), &columns(&b), lengths)?;
    Ok(RMatrix::new_matrix(k.nrows(), k.ncols(), |i, j| k[(i, j)]))
}

extendr_module! {
    mod gp;
    fn ffi_gp_fit;
    fn ffi_gp_basis;
    fn ffi_gp_table;
    fn ffi_gp_fit_table;
    fn ffi_gp_exact;
    fn ffi_gp_many;
    fn ffi_gp_values;
    fn ffi_gp_weights;
    fn ffi_gp_variances;
    fn ffi_gp_correlations;
    fn ffi_gp_profile;
    fn ffi_gp_profile_exact;
}
