//! Words that R hands over and core has no type for, and the one list of all that are understood.

use extendr_api::prelude::*;
use fastlmm_core::kernel::stationary::Family;
use fastlmm_core::likelihood::Method;
use fastlmm_core::likelihood::uncertainty::Approximation;
use fastlmm_core::scan::{Refit, Test};
use fastlmm_core::slam::covariances::Covariance;
use fastlmm_core::words;

/// In which form a kernel comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KernelForm {
    Matrix,
    Factor,
    Orthogonal,
    Sparse,
    Precision,
}

words!(
    KernelForm, "form",
    "matrix" => KernelForm::Matrix, "factor" => KernelForm::Factor, "orthogonal" => KernelForm::Orthogonal, "sparse" => KernelForm::Sparse,
    "precision" => KernelForm::Precision
);

/// Parameters that are profiled. Which of them a model has is its own matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParameterName {
    SigmaU,
    SigmaE,
    H2,
    Delta,
    Beta,
    Correlation,
    Lengthscale,
}

words!(
    ParameterName, "what",
    "sigma_u" => ParameterName::SigmaU, "sigma_e" => ParameterName::SigmaE, "h2" => ParameterName::H2, "delta" => ParameterName::Delta, "beta" => ParameterName::Beta,
    "correlation" => ParameterName::Correlation, "lengthscale" => ParameterName::Lengthscale
);

/// Which statistics of many responses are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selection {
    All,
    Largest,
    AtLeast,
}

words!(Selection, "keep", "all" => Selection::All, "max" => Selection::Largest, "threshold" => Selection::AtLeast);

/// Priors of loadings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoadingPrior {
    Gamma,
    Horseshoe,
}

words!(LoadingPrior, "kind", "mgp" => LoadingPrior::Gamma, "horseshoe" => LoadingPrior::Horseshoe);

/// What stands between data and traits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkName {
    Weights,
    Poisson,
    NegativeBinomial,
    Binomial,
    Ordinal,
    Probes,
    Curves,
    Coefficient,
}

words!(
    LinkName, "family",
    "weights" => LinkName::Weights, "poisson" => LinkName::Poisson, "negative_binomial" => LinkName::NegativeBinomial, "binomial" => LinkName::Binomial, "ordinal" => LinkName::Ordinal,
    "probes" => LinkName::Probes, "curves" => LinkName::Curves, "coefficient" => LinkName::Coefficient
);

/// The words of each choice.
/// @noRd
#[extendr]
fn ffi_words() -> List {
    list!(
        method = Method::NAMES,
        cov = Family::NAMES,
        test = Test::NAMES,
        refit = Refit::NAMES,
        form = KernelForm::NAMES,
        what = ParameterName::NAMES,
        keep = Selection::NAMES,
        kind = LoadingPrior::NAMES,
        family = LinkName::NAMES,
        df = Approximation::NAMES,
        covariance = Covariance::NAMES
    )
}

extendr_module! {
    mod words;
    fn ffi_words;
}
