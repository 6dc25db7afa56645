//! Proximal contamination: the fit without some columns of a factor, from the decomposition with all of them.
//!
//! With z_c = U'F2[, c] the rotated kernel without a column is `Lambda - z_c z_c'`, diagonal again by [`Diagonal::subtract`], and K11 and K12 lose their parts of
//! that column. A set of c columns costs c k^2 for k columns, whatever the number of rows.

use crate::kernel::Kernel;
use crate::kernel::low_rank::LowRank;
use crate::likelihood::Criterion;
use crate::likelihood::delta_grid::delta_grid;
use crate::linalg::rank_one::Diagonal;
use crate::linalg::{axpy, dot};
use crate::lmm::degenerate::diagnose;
use crate::lmm::fit::{Fit, Options, Status, complete, fit_by, locate_inside};
use crate::rotation::decomposition::Decomposition;
use crate::rotation::rotated::Rotated;
use crate::rotation::thin_svd::Thin;
use crate::rotation::{Model, NullModel, ResponseBlock};
use crate::runtime::error::{Error, Result};
use crate::runtime::monitor::Monitor;
use crate::runtime::parallel::Workers;
use faer::linalg::solvers::Solve;
use faer::{Mat, Side};

/// Largest eigenvalue without the columns, over the one with them, below which the fit is made anew: eigenvalues carry the absolute error of the whole kernel's.
const LEAST_PART: f64 = 1e-6;

/// The fits without each set of columns of W (ascending, fewer than all).
pub fn exclude(
    model: &Model<'_>,
    sets: &[Vec<usize>],
    options: Options,
    monitor: &mut dyn Monitor,
) -> Result<Vec<Fit>> {
    let workers = Workers::new(options.threads)?;
    let whole = match is_narrow(model) {
        true => Some(NullModel::of_response(model, &workers, monitor)?),
        false => None,
    };
    let mut fits = vec![];
    for set in sets {
        monitor.check()?;
        let fit = match &whole {
            Some((null, block)) => workers.run(|_| without(null, block, set, options))?,
            None => None,
        };
        fits.push(match fit {
            Some(fit) => fit,
            None => refit(model, set, options, &workers, monitor)?,
        });
    }
    Ok(fits)
}

/// Has the factor fewer columns than ids? Otherwise its own decomposition is of no use to a fit without some of them.
fn is_narrow(model: &Model<'_>) -> bool {
    model.kernel.factor_columns().is_some_and(|k| k < model.index.len())
}

/// `None` where the factor was decomposed as a matrix, and where too little of the kernel is left to take it from the whole.
fn without(null: &NullModel<'_>, block: &ResponseBlock, set: &[usize], options: Options) -> Result<Option<Fit>> {
    let Decomposition::ThinSvd(thin) = &null.decomposition else {
        return Ok(None);
    };
    let columns: Vec<(Vec<f64>, Vec<f64>)> = set.iter().map(|&c| thin.column(&null.projection.split, c)).collect();
    let taken: f64 = columns.iter().map(|(z, f1)| dot(z, z) + dot(f1, f1)).sum();
    let whole = null.respond(block, 0)?;
    let mut data = down_date(&whole, &columns);
    if data.largest() < LEAST_PART * whole.largest() {
        return Ok(None);
    }
    let status = diagnose(&data, block.length(0), (null.trace - taken).max(0.0))?;
    if status == Status::Ok && data.full_rank() {
        data.separate_null_directions()?;
    }
    let located = locate_inside(&mut data, options.method, null.kept(), status, delta_grid)?;
    let Some(weights) = weights(&whole, thin, &columns, located.h, located.g) else {
        return Ok(None);
    };
    let criterion = Criterion {
        data: &data,
        method: options.method,
    };
    let mut fit = complete(located, &criterion);
    let kept = (0..weights.len()).filter(|c| set.binary_search(c).is_err());
    fit.alpha = kept.map(|c| weights[c] * data.y_scale / thin.unit()).collect();
    Ok(Some(fit))
}

/// The rotated data without columns, each given by its components along U and along X.
pub(crate) fn down_date(data: &Rotated, columns: &[(Vec<f64>, Vec<f64>)]) -> Rotated {
    let r = data.rank();
    let mut out = data.clone();
    let z = columns.iter().map(|(z, _)| z.clone());
    let vectors = std::iter::once(data.y.clone())
        .chain(data.b.iter().cloned())
        .chain(z)
        .collect();
    let mut diagonal = Diagonal {
        values: data.values.clone(),
        vectors,
    };
    for (_, f1) in columns {
        let z = diagonal.vectors.remove(1 + r);
        for i in 0..r {
            axpy(-f1[i], &z, &mut diagonal.vectors[1 + i]);
            (0..r).for_each(|j| out.k11[i][j] -= f1[i] * f1[j]);
        }
        diagonal.subtract(&z);
    }
    let cut = diagonal.values.len() as f64 * f64::EPSILON * data.largest();
    out.values = diagonal
        .values
        .iter()
        .map(|v| if *v <= cut { 0.0 } else { *v })
        .collect();
    let mut rows = diagonal.vectors.into_iter();
    out.y = rows.next().unwrap_or_default();
    out.b = rows.collect();
    out
}

/// Predicted weights of all columns: h V diag(s) p with `p = H^-1 y + h H^-1 Z M^-1 Z' H^-1 y`, `M = I - h Z' H^-1 Z`, H with all columns.
fn weights(data: &Rotated, thin: &Thin<'_>, columns: &[(Vec<f64>, Vec<f64>)], h: f64, g: f64) -> Option<Vec<f64>> {
    let floor = data.values.len() as f64 * f64::EPSILON * data.largest();
    let inverse: Vec<f64> = data.values.iter().map(|v| (h * v + g.max(floor)).recip()).collect();
    let k = inverse.len();
    let a: Vec<f64> = data.y.iter().zip(&inverse).map(|(y, i)| y * i).collect();
    let z = Mat::from_fn(k, columns.len(), |i, c| columns[c].0[i]);
    let hz = Mat::from_fn(k, columns.len(), |i, c| inverse[i] * columns[c].0[i]);
    let cross = z.transpose() * &hz;
    let m = Mat::from_fn(columns.len(), columns.len(), |i, j| {
        f64::from(i == j) - h * cross[(i, j)]
    });
    let za = Mat::from_fn(columns.len(), 1, |c, _| dot(&columns[c].0, &a));
    let step = &hz * m.llt(Side::Lower).ok()?.solve(&za);
    let p: Vec<f64> = (0..k).map(|i| a[i] + h * step[(i, 0)]).collect();
    Some(thin.back(&p).iter().map(|w| h * w).collect())
}

/// The ordinary way: the factor without the columns.
fn refit(
    model: &Model<'_>,
    set: &[usize],
    options: Options,
    workers: &Workers,
    monitor: &mut dyn Monitor,
) -> Result<Fit> {
    let all = model.kernel.factor_columns().unwrap_or(0);
    let kept: Vec<usize> = (0..all).filter(|c| set.binary_search(c).is_err()).collect();
    let mut fit = |kernel: Kernel<'_>| fit_by(&Model { kernel, ..*model }, options, 0.0, workers, monitor);
    match model.kernel {
        Kernel::LowRank(w) => {
            let left = Mat::from_fn(w.0.nrows(), kept.len(), |i, c| w.0[(i, kept[c])]);
            fit(Kernel::LowRank(LowRank(left.as_ref(), false)))
        }
        Kernel::Sparse(w) => fit(Kernel::Sparse(w.columns(&kept).view())),
        _ => {
            let why = "is no factor, and has no columns that could be left out".to_owned();
            Err(Error::Argument { what: "K", why })
        }
    }
}
