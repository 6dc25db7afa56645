//! Core's structs as named lists: one function each, names as R users see them.

use extendr_api::prelude::*;
use fastlmm_core::kernel::dense::Facts;
use fastlmm_core::likelihood::information::PointErrors;
use fastlmm_core::likelihood::optimize::{Location, Optimum};
use fastlmm_core::likelihood::point::Point;
use fastlmm_core::likelihood::profile::CurvePoint;
use fastlmm_core::lmm::fit::{Fit, Status};
use fastlmm_core::lmm::many::Fits;
use fastlmm_core::mix;
use fastlmm_core::mix::conditional::Conditional;
use fastlmm_core::rotation::rotated::Rotated;
use fastlmm_core::runtime::error::Error;

pub fn facts(facts: &Facts) -> List {
    let position = |(row, column): (usize, usize)| Robj::from(vec![row as i32 + 1, column as i32 + 1]);
    let extreme = |pick: fn((f64, f64)) -> f64| facts.extremes.map_or(f64::na(), pick);
    list!(
        n_nonfinite = facts.non_finite as f64,
        nonfinite = facts.non_finite_at.map_or(Robj::from(Vec::<i32>::new()), position),
        asymmetry = facts.asymmetry,
        asymmetry_at = position(facts.asymmetry_at),
        max_abs = facts.max_abs,
        mean_diag = facts.mean_diag,
        positive = facts.positive.map_or(Rbool::na_value(), Rbool::from),
        min_eigen = extreme(|e| e.0),
        max_eigen = extreme(|e| e.1),
        projected = facts.projected.as_ref().map_or(Robj::from(()), |k| columns(k).into())
    )
}

pub fn fit(fit: &Fit, columns: usize) -> List {
    let mut coefficients = vec![f64::na(); columns];
    fit.kept.iter().zip(&fit.beta).for_each(|(&j, b)| coefficients[j] = *b);
    list!(
        coefficients = coefficients,
        vcov = matrix(&fit.vcov, fit.beta.len()),
        kept = from_one(&fit.kept),
        rank = fit.kept.len() as i32,
        sigma2 = fit.point.sigma2,
        sigma2_e = fit.point.sigma2_e,
        delta = na(fit.point.delta),
        h2 = na(fit.point.h2),
        logLik = fit.point.log_lik,
        alpha = fit.alpha.clone(),
        se = errors(&fit.errors),
        optimum = optimum(fit),
        profile = points(&fit.profile),
        definite = fit.definite,
        rotated = rotated(&fit.rotated)
    )
}

/// A column or an entry for each response; what a response has not is missing.
pub fn many(found: &Fits, columns: usize) -> List {
    let fits: Vec<Option<&Fit>> = found.fits.iter().map(|fit| fit.as_ref().ok()).collect();
    let q = fits.len();
    let numbers = |pick: fn(&Fit) -> f64| fits.iter().map(|f| na(f.map_or(f64::NAN, pick))).collect::<Vec<_>>();
    let whole = |pick: fn(&Fit) -> usize| {
        let number = |f: &Option<&Fit>| f.map_or(Rint::na(), |f| (pick(f) as i32).into());
        fits.iter().map(number).collect::<Integers>()
    };
    let words = |fitted: fn(&Fit) -> &'static str, refused: fn(&Error) -> String| {
        let word = |fit: &Result<Fit, Error>| fit.as_ref().map_or_else(refused, |fit| fitted(fit).to_owned());
        found.fits.iter().map(word).collect::<Vec<_>>()
    };
    let mut coefficients = vec![f64::na(); columns * q];
    let mut vcov = vec![f64::na(); columns * columns * q];
    for (j, fit) in fits.iter().enumerate() {
        fit.inspect(|fit| {
            spread(
                fit,
                &mut coefficients[j * columns..],
                &mut vcov[j * columns * columns..],
                columns,
            )
        });
    }
    list!(
        coefficients = coefficients,
        vcov = vcov,
        rank = whole(|f| f.kept.len()),
        sigma2 = numbers(|f| f.point.sigma2),
        sigma2_e = numbers(|f| f.point.sigma2_e),
        delta = numbers(|f| f.point.delta),
        h2 = numbers(|f| f.point.h2),
        logLik = numbers(|f| f.point.log_lik),
        se = list!(
            sigma2 = numbers(|f| f.errors.sigma2),
            sigma2_e = numbers(|f| f.errors.sigma2_e),
            delta = numbers(|f| f.errors.delta),
            h2 = numbers(|f| f.errors.h2),
            log_delta = numbers(|f| f.errors.log_delta)
        ),
        status = words(|f| status(f.status), |e| e.class().to_owned()),
        reason = words(|_| "", |e| e.to_string()),
        boundary = words(boundary, |_| "none".to_owned()),
        optima = whole(|f| f.locals.len()),
        dropped = whole(|f| f.dropped),
        nobs = found.nobs.iter().map(|n| *n as i32).collect::<Vec<_>>(),
        alpha = effects(&fits)
    )
}

/// Kept coefficients and their covariance at their places among all columns of X.
fn spread(fit: &Fit, coefficients: &mut [f64], vcov: &mut [f64], columns: usize) {
    for (a, &i) in fit.kept.iter().enumerate() {
        coefficients[i] = fit.beta[a];
        fit.kept
            .iter()
            .enumerate()
            .for_each(|(b, &j)| vcov[i + j * columns] = fit.vcov[a][b]);
    }
}

/// A column a response, as long as the longest.
fn effects(fits: &[Option<&Fit>]) -> RMatrix<f64> {
    let rows = fits.iter().flatten().map(|fit| fit.alpha.len()).max().unwrap_or(0);
    let entry = |i: usize, j: usize| fits[j].and_then(|fit| fit.alpha.get(i)).copied();
    RMatrix::new_matrix(rows, fits.len(), |i, j| entry(i, j).unwrap_or(f64::na()))
}

pub fn mix(fit: &mix::fit::MixFit, columns: usize) -> List {
    let mut coefficients = vec![f64::na(); columns];
    fit.kept.iter().zip(&fit.beta).for_each(|(&j, b)| coefficients[j] = *b);
    let numbers = |x: &[f64]| x.iter().copied().map(na).collect::<Vec<_>>();
    let errors = list!(
        sigma2 = numbers(&fit.errors.sigma2),
        sigma2_e = na(fit.errors.sigma2_e),
        delta = numbers(&fit.errors.delta),
        h2 = numbers(&fit.errors.h2)
    );
    list!(
        coefficients = coefficients,
        vcov = matrix(&fit.vcov, fit.beta.len()),
        kept = from_one(&fit.kept),
        rank = fit.kept.len() as i32,
        sigma2 = fit.best.sigma2.clone(),
        sigma2_e = fit.best.sigma2_e,
        logLik = fit.best.log_lik,
        rotated = fixed_part(fit),
        alpha = List::from_values(fit.alpha.iter().cloned()),
        se = errors,
        slope = fit.slope,
        dropped = fit.dropped as i32,
        local = components(&fit.locals),
        grid = components(&fit.grid)
    )
}

/// What a fit of several effects keeps of its rotated data.
fn fixed_part(fit: &mix::fit::MixFit) -> List {
    let part = &fit.fixed;
    let r = part.along.len();
    let pairs = &fit.conditional;
    let number = |pick: fn(&Conditional) -> usize| pairs.iter().map(|pair| pick(pair) as i32 + 1).collect::<Vec<_>>();
    let covariances = pairs.iter().map(|pair| pair.covariance.clone());
    list!(
        along = part.along.clone(),
        covariance = matrix(&part.covariance, r),
        basis = matrix(&part.basis, r),
        log_det_x = part.log_det_x,
        conditional = list!(
            first = number(|pair| pair.first),
            second = number(|pair| pair.second),
            covariance = List::from_values(covariances)
        )
    )
}

/// A row for each set of variances, the residual's last.
fn components(points: &[mix::fit::Components]) -> List {
    let row = |c: &mix::fit::Components| c.sigma2.iter().copied().chain([c.sigma2_e]).collect::<Vec<_>>();
    let rows: Vec<Vec<f64>> = points.iter().map(row).collect();
    list!(
        sigma2 = matrix(&rows, rows.first().map_or(0, Vec::len)),
        logLik = points.iter().map(|c| na(c.log_lik)).collect::<Vec<_>>()
    )
}

fn optimum(fit: &Fit) -> List {
    let search = fit.optimum.as_ref();
    list!(
        log_delta = na(fit.point.delta.ln()),
        slope = search.map_or(f64::na(), |o| o.slope),
        curvature = search.map_or(f64::na(), |o| na(o.curvature)),
        reason = search.map_or("nothing to search for", reason),
        boundary = boundary(fit),
        local = points(&fit.locals),
        status = status(fit.status),
        dropped = fit.dropped as i32,
        route = "rotated"
    )
}

fn reason(optimum: &Optimum) -> &'static str {
    match optimum.best.location {
        Location::Interior => "slope vanishes",
        Location::Lower => "likelihood rises towards delta = 0",
        Location::Floor => "likelihood rises towards the smallest delta that the condition of K allows",
        Location::Upper => "likelihood rises towards delta = Inf",
    }
}

fn boundary(fit: &Fit) -> &'static str {
    match (fit.status, fit.optimum.as_ref().map(|o| o.best.location)) {
        (_, Some(Location::Upper)) => "h2 = 0",
        (_, Some(Location::Floor)) => "delta at its floor",
        (_, Some(Location::Lower)) | (Status::ExplainedByKernel, _) => "h2 = 1",
        _ => "none",
    }
}

fn status(status: Status) -> &'static str {
    match status {
        Status::Ok => "ok",
        Status::PerfectFit => "perfect_fit",
        Status::ExplainedByKernel => "explained_by_kernel",
        Status::Confounded => "confounded",
        Status::OneContrast => "one_contrast",
        Status::MlBorder => "ml_border",
    }
}

fn errors(errors: &PointErrors) -> List {
    list!(
        sigma2 = na(errors.sigma2),
        sigma2_e = na(errors.sigma2_e),
        delta = na(errors.delta),
        h2 = na(errors.h2),
        log_delta = na(errors.log_delta)
    )
}

fn points(points: &[Point]) -> List {
    let column = |pick: fn(&Point) -> f64| points.iter().map(pick).map(na).collect::<Vec<_>>();
    list!(
        delta = column(|p| p.delta),
        h2 = column(|p| p.h2),
        sigma2 = column(|p| p.sigma2),
        logLik = column(|p| p.log_lik)
    )
}

pub fn curve(points: &[CurvePoint]) -> List {
    let column = |pick: fn(&CurvePoint) -> f64| points.iter().map(pick).collect::<Vec<_>>();
    list!(
        value = column(|p| p.value),
        zeta = column(|p| p.zeta),
        logLik = column(|p| p.log_lik)
    )
}

pub fn rotated(data: &Rotated) -> List {
    list!(
        values = data.values.clone(),
        y = data.y.clone(),
        rho = data.rho,
        n_rest = data.n_rest as f64,
        y1 = data.y1.clone(),
        k11 = matrix(&data.k11, data.rank()),
        b = matrix(&data.b, data.values.len()),
        basis = matrix(&data.basis, data.rank()),
        null = data.null as f64,
        dropped = data.dropped as f64,
        log_det_x = data.log_det_x,
        log_weights = data.log_weights,
        y_scale = data.y_scale,
        k_scale = data.k_scale
    )
}

/// As R counts, from 1.
pub fn from_one(indices: &[usize]) -> Vec<i32> {
    indices.iter().map(|i| *i as i32 + 1).collect()
}

/// Undefined numbers are missing in R.
pub fn na(x: f64) -> f64 {
    if x.is_nan() { f64::na() } else { x }
}

pub fn matrix(rows: &[Vec<f64>], ncol: usize) -> RMatrix<f64> {
    RMatrix::new_matrix(rows.len(), ncol, |i, j| rows[i][j])
}

pub fn columns(m: &faer::Mat<f64>) -> RMatrix<f64> {
    let mut copy = RMatrix::new(m.nrows(), m.ncols());
    let columns = copy.data_mut().chunks_mut(m.nrows().max(1));
    columns
        .enumerate()
        .for_each(|(j, column)| column.copy_from_slice(m.col_as_slice(j)));
    copy
}
