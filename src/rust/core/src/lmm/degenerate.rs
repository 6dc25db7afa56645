//! Data sets whose likelihood has no ordinary optimum: how they are recognised, and what their fit is.

use crate::likelihood::point::Point;
use crate::likelihood::{Criterion, Method};
use crate::lmm::estimates::{Case, Located, Status, assemble};
use crate::rotation::response::Length;
use crate::rotation::rotated::Rotated;
use crate::runtime::error::{Error, Result};
use faer::{Mat, Side};

/// Recognise the data sets whose likelihood has no ordinary optimum.
pub(crate) fn diagnose(data: &Rotated, length: Length, trace: f64) -> Result<Status> {
    let n = data.contrasts() + data.rank();
    let largest = data.largest();
    if data.square() <= length.of_given().powi(2) {
        return Ok(Status::PerfectFit);
    }
    if largest <= 10.0 * f64::EPSILON * trace {
        return Ok(Status::Confounded);
    }
    if data.contrasts() == 1 {
        return Ok(Status::OneContrast);
    }
    let smallest = data.values.iter().copied().fold(f64::INFINITY, f64::min);
    if data.n_rest == 0 && largest - smallest <= f64::EPSILON.sqrt() * largest {
        return Err(Error::NotIdentifiable {
            scale: largest * data.k_scale,
        });
    }
    if !data.full_rank() && data.null_square() <= length.of_rotation(n).powi(2) {
        return Ok(Status::ExplainedByKernel);
    }
    Ok(Status::Ok)
}

/// Least squares: the kernel takes no part.
pub(crate) fn degenerate(case: &Case<'_>, status: Status, explained: f64) -> Located {
    let mut located = assemble(case, &case.criterion, 0.0, 1.0);
    let fit = &mut located.fit;
    fit.status = status;
    fit.point = Point {
        h2: f64::NAN,
        sigma2: explained,
        ..fit.point
    };
    if status == Status::PerfectFit {
        fit.point = Point {
            delta: f64::NAN,
            sigma2: 0.0,
            sigma2_e: 0.0,
            log_lik: f64::INFINITY,
            ..fit.point
        };
        fit.vcov.iter_mut().flatten().for_each(|v| *v = 0.0);
    }
    fit.locals = vec![fit.point];
    fit.profile = vec![fit.point];
    located
}

/// delta = 0 with a singular kernel whose range holds y - X beta.
pub(crate) fn interpolated(case: &Case<'_>) -> Result<Located> {
    let method = case.criterion.method;
    let mut projected = case.criterion.data.clone();
    // the parts of y outside the kernel's range are rounding: leave them out
    projected.rho = 0.0;
    let null = |v: &f64| *v == 0.0;
    projected
        .y
        .iter_mut()
        .zip(&projected.values)
        .filter(|(_, v)| null(v))
        .for_each(|(y, _)| *y = 0.0);
    let tiny = f64::EPSILON * projected.largest();
    let criterion = Criterion {
        data: &projected,
        method,
    };
    let mut located = assemble(case, &criterion, 1.0, tiny);
    let fit = &mut located.fit;
    // the limit for vanishing noise: the directions that the kernel does not reach pay for their own noise
    let limit = criterion.n() as f64 / reached(&criterion, tiny)? as f64;
    fit.vcov.iter_mut().flatten().for_each(|v| *v *= limit);
    fit.point.sigma2 *= limit;
    fit.status = Status::ExplainedByKernel;
    fit.point = Point {
        delta: 0.0,
        h2: 1.0,
        sigma2_e: 0.0,
        log_lik: f64::INFINITY,
        ..fit.point
    };
    fit.locals = vec![fit.point];
    fit.profile = vec![fit.point];
    Ok(located)
}

/// Contrasts, and for ML directions of X, in which the kernel alone bounds the likelihood as the noise vanishes.
fn reached(criterion: &Criterion<'_>, tiny: f64) -> Result<usize> {
    let data = criterion.data;
    let contrasts = data.values.iter().filter(|v| **v > 0.0).count();
    if criterion.method == Method::Reml {
        return Ok(contrasts);
    }
    let s = criterion.schur(1.0, tiny, &criterion.inverse(1.0, tiny), data.rank());
    let full = Mat::from_fn(s.len(), s.len(), |i, j| s[i.max(j)][i.min(j)]);
    let values = full
        .self_adjoint_eigenvalues(Side::Lower)
        .map_err(|_| Error::NoConvergence {
            what: "an eigendecomposition",
            iterations: 0,
        })?;
    let small = f64::EPSILON.sqrt() * data.largest();
    Ok(contrasts + values.into_iter().filter(|v| *v > small).count())
}
