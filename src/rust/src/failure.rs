//! Core's errors as values that `R/ffi.R` raises as classed conditions.

use extendr_api::prelude::*;
use fastlmm_core::runtime::error::Error;

/// An error on its way to R: `list(class =, message =, data =)`.
#[derive(Debug)]
pub struct Failure(Error);

pub type Reply<T> = std::result::Result<T, Failure>;

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure(error)
    }
}

impl From<Failure> for Robj {
    fn from(Failure(error): Failure) -> Self {
        let data = List::from_pairs(
            error
                .numbers()
                .into_iter()
                .map(|(name, number)| (name, Robj::from(number))),
        );
        list!(class = error.class(), message = error.to_string(), data = data).into()
    }
}
