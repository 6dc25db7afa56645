//! Entry point of the standard errors of `predict()` and `ranef()`.

use crate::failure::Reply;
use crate::view::{self, KernelView};
use extendr_api::prelude::*;
use fastlmm_core::lmm::predict::{Fitted, Targets, variance};

/// Variance of predictions.
/// @noRd
#[extendr]
fn ffi_variance(fitted: List, targets: List, threads: i32) -> Reply<Vec<f64>> {
    let (of, to) = (FittedView::new(&fitted)?, TargetsView::new(&targets)?);
    let fitted = of.fitted()?;
    let kernel_columns = fitted.kernel.factor_columns().unwrap_or(of.index.len());
    for (what, length, expected) in [
        ("columns of X", to.x.ncols(), of.cross.ncols()),
        ("columns of K", to.k.ncols(), kernel_columns),
        ("rows of K", to.k.nrows(), to.prior.len()),
        ("rows of X", to.x.nrows(), to.prior.len()),
    ] {
        view::same_length(what, length, expected)?;
    }
    Ok(variance(&fitted, &to.targets(), view::count(threads, "threads")?)?)
}

/// A fit as R holds it.
struct FittedView {
    kernel: KernelView,
    index: Vec<usize>,
    gram: Vec<f64>,
    cross: RMatrix<f64>,
    vcov: RMatrix<f64>,
    sigma2: f64,
    sigma2_e: f64,
}

impl FittedView {
    fn new(list: &List) -> Reply<Self> {
        let kernel = KernelView::new(&view::element(list, "K")?, &view::text(list, "form")?)?;
        let index = view::whole(list, "index")?;
        let fitted = Self {
            index: view::indices(&index, kernel.rows(index.len()), "index")?,
            kernel,
            gram: view::numbers(list, "gram")?,
            cross: view::real_matrix(list, "cross")?,
            vcov: view::real_matrix(list, "vcov")?,
            sigma2: view::number(list, "sigma2")?,
            sigma2_e: view::number(list, "sigma2_e")?,
        };
        view::same_length("gram", fitted.gram.len(), fitted.index.len())?;
        view::same_length("rows of cross", fitted.cross.nrows(), fitted.index.len())?;
        view::same_length("vcov", fitted.vcov.nrows(), fitted.cross.ncols())?;
        Ok(fitted)
    }

    fn fitted(&self) -> Reply<Fitted<'_>> {
        Ok(Fitted {
            kernel: self.kernel.kernel()?,
            index: &self.index,
            gram: &self.gram,
            cross: view::matrix(&self.cross),
            sigma2: self.sigma2,
            sigma2_e: self.sigma2_e,
            vcov: view::matrix(&self.vcov),
        })
    }
}

/// Targets as R holds them.
struct TargetsView {
    k: RMatrix<f64>,
    prior: Vec<f64>,
    x: RMatrix<f64>,
}

impl TargetsView {
    fn new(list: &List) -> Reply<Self> {
        Ok(Self {
            k: view::real_matrix(list, "K")?,
            prior: view::numbers(list, "prior")?,
            x: view::real_matrix(list, "X")?,
        })
    }

    fn targets(&self) -> Targets<'_> {
        Targets {
            x: view::matrix(&self.x),
            k: view::matrix(&self.k),
            prior: &self.prior,
        }
    }
}

extendr_module! {
    mod predict;
    fn ffi_variance;
}
