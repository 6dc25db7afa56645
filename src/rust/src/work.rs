//! What tests ask: how much work was done.

use extendr_api::prelude::*;
use fastlmm_core::runtime::work::{NAMES, counts};

/// How often each expensive step was taken since the package was loaded.
/// @noRd
#[extendr]
fn ffi_work() -> List {
    List::from_names_and_values(NAMES, counts().map(|count| count as f64)).unwrap_or_default()
}

extendr_module! {
    mod work;
    fn ffi_work;
}
