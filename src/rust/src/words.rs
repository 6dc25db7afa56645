//! Words that R hands over and core has no type for, and the one list of all that are understood.

use extendr_api::prelude::*;
use fastlmm_core::kernel::stationary::Family;
use fastlmm_core::likelihood::Method;
use fastlmm_core::likelihood::ddf::Approximation;
use fastlmm_core::scan::{Refit, Test};
use fastlmm_core::slam::covariances::Covariance;
use fastlmm_core::words;

/// In which form a kernel comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Matrix,
    Factor,
    Orthogonal,
    Sparse,
}

words!(
    Form, "form",
    "matrix" => Form::Matrix, "factor" => Form::Factor, "orthogonal" => Form::Orthogonal, "sparse" => Form::Sparse
);

/// Parameters that are profiled. Which of them a model has is its own matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parameter {
    SigmaU,
    SigmaE,
    H2,
    Delta,
    Beta,
    Lengthscale,
}

words!(
    Parameter, "what",
    "sigma_u" => Parameter::SigmaU, "sigma_e" => Parameter::SigmaE, "h2" => Parameter::H2, "delta" => Parameter::Delta, "beta" => Parameter::Beta,
    "lengthscale" => Parameter::Lengthscale
);

/// Which statistics of many responses are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    All,
    Largest,
    AtLeast,
}

words!(Kept, "keep", "all" => Kept::All, "max" => Kept::Largest, "threshold" => Kept::AtLeast);

/// Priors of loadings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shrinkage {
    Gamma,
    Horseshoe,
}

words!(Shrinkage, "kind", "mgp" => Shrinkage::Gamma, "horseshoe" => Shrinkage::Horseshoe);

/// The words of each choice.
/// @noRd
#[extendr]
fn ffi_words() -> List {
    list!(
        method = Method::NAMES,
        cov = Family::NAMES,
        test = Test::NAMES,
        refit = Refit::NAMES,
        form = Form::NAMES,
        what = Parameter::NAMES,
        keep = Kept::NAMES,
        kind = Shrinkage::NAMES,
        df = Approximation::NAMES,
        covariance = Covariance::NAMES
    )
}

extendr_module! {
    mod words;
    fn ffi_words;
}
