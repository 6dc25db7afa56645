//! Entry points of the units and the basis that `slamglmm_fit()` samples in; R holds the basis as a plain list.

use crate::console::Console;
use crate::failure::Reply;
use crate::model::ModelView;
use crate::{reply, view};
use extendr_api::prelude::*;
use faer::Mat;
use fastlmm_core::linalg::Reflectors;
use fastlmm_core::rotation::fixed_qr::Design;
use fastlmm_core::rotation::incidence::NONE;
use fastlmm_core::runtime::memory::claim;
use fastlmm_core::runtime::parallel::Workers;
use fastlmm_core::slam::units::Scaled;
use fastlmm_core::slam::{Basis, Between, Groups};

/// Eigenvalues of Z K Z' and its eigenvectors, of the rows of one random effect; the model has no fixed effects.
/// @noRd
#[extendr]
fn ffi_slam_basis(model: List) -> Reply<List> {
    let (basis, values) = Basis::new(&ModelView::new(&model)?.many()?, &mut Console)?;
    let (u, tau) = match basis.between {
        Between::Identity => (Mat::zeros(0, 0), vec![]),
        Between::Full(u) => (u, vec![]),
        Between::Thin(reflectors) => {
            let (v, tau) = reflectors.parts();
            let v = Mat::from_fn(reflectors.rows(), v.len(), |i, j| v[j][i]);
            (v, tau.to_vec())
        }
    };
    let number = |g: &usize| if *g == NONE { 0 } else { *g as i32 + 1 };
    let group: Vec<i32> = basis.groups.group.iter().map(number).collect();
    Ok(list!(
        values = values,
        group = group,
        entry = basis.groups.entry,
        u = reply::columns(&u),
        tau = tau
    ))
}

/// Q A, or Q'A if `back`.
/// @noRd
#[extendr]
fn ffi_slam_turn(basis: List, A: RMatrix<f64>, back: bool) -> Reply<RMatrix<f64>> {
    let basis = held(&basis)?;
    view::same_length("A", A.nrows(), basis.n())?;
    claim(4.0 * A.data().len() as f64)?;
    let (a, workers) = (view::matrix(&A), Workers::new(1)?);
    let turned = workers.run(|_| if back { basis.transpose_times(a) } else { basis.times(a) });
    Ok(reply::columns(&turned))
}

/// Responses by least squares on X: coefficients (0 where a column depends on others), residual standard deviations, residuals in units of those.
/// @noRd
#[extendr]
fn ffi_slam_units(model: List) -> Reply<List> {
    let model = ModelView::new(&model)?;
    let (y, x) = (model.responses(), model.x());
    claim(3.0 * (y.nrows() * y.ncols()) as f64)?;
    let design = Design::new(x, &vec![1.0; x.nrows()])?;
    let columns = y.col_iter().filter_map(|y| y.try_as_col_major().map(|y| y.as_slice()));
    let found: Vec<Scaled> = columns.map(|y| Scaled::new(&design, y)).collect();
    let mut coefficients = Mat::zeros(x.ncols(), y.ncols());
    for (j, one) in found.iter().enumerate() {
        for (b, &l) in one.coefficients.iter().zip(&design.kept) {
            coefficients[(l, j)] = *b;
        }
    }
    let scaled = Mat::from_fn(y.nrows(), y.ncols(), |i, j| found[j].scaled[i]);
    Ok(list!(
        coefficients = reply::columns(&coefficients),
        sd = found.iter().map(|one| one.sd).collect::<Vec<f64>>(),
        scaled = reply::columns(&scaled)
    ))
}

/// A basis as R holds it.
pub fn held(list: &List) -> Reply<Basis> {
    let group = view::whole(list, "group")?;
    let number = |g: &i32| {
        if *g == 0 {
            Ok(NONE)
        } else {
            view::index(*g, group.len(), "group")
        }
    };
    let group = group.iter().map(number).collect::<Reply<Vec<usize>>>()?;
    let (entry, tau) = (view::numbers(list, "entry")?, view::numbers(list, "tau")?);
    view::same_length("entry", entry.len(), group.len())?;
    let groups = Groups::new(group, entry);
    let u = view::real_matrix(list, "u")?;
    let between = match (u.nrows(), tau.is_empty()) {
        (0, _) => Between::Identity,
        (m, true) => {
            view::same_length("u", u.ncols(), m)?;
            Between::Full(view::owned(list, "u")?)
        }
        (m, false) => {
            view::same_length("tau", tau.len(), u.ncols())?;
            let v = u.data().chunks(m).map(<[f64]>::to_vec).collect();
            Between::Thin(Reflectors::from_parts(m, v, tau))
        }
    };
    if u.nrows() > 0 {
        view::same_length("u", u.nrows(), groups.count())?;
    }
    Ok(Basis { groups, between })
}

extendr_module! {
    mod slam_basis;
    fn ffi_slam_units;
    fn ffi_slam_basis;
    fn ffi_slam_turn;
}
