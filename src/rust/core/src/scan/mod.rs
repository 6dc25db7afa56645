//! Scans: each of many candidate columns tested against one null model.
//!
//! The null model's reduction is written as a linear map from rows to the rotated data, so that a block of candidates is rotated by one matrix product. With X projected out
//! and everything rotated, a model with c further columns C is known by the (c + 1) x (c + 1) matrix
//!
//! ```text
//! S(delta) = [C y]' (h K + g I)^-1 [C y] = sum_i a_i a_i' / (h lambda_i + g) + rest / g
//! ```
//!
//! whose Cholesky factor holds `log|C' V^-1 C|`, the estimates and Q: a candidate costs O(n) for a value of delta, whatever X is (association.md 1.8).

pub(crate) mod basis;
pub mod bed;
pub mod block;
pub(crate) mod candidate;
pub mod many;
pub(crate) mod refit;
pub mod responses;
mod rotate;
pub(crate) mod series;
mod standardise;

pub use basis::{Null, ScanBasis};
pub use block::{Ask, CandidateSet, Outcome, Refit, Test, block};
pub use standardise::CandidateState;
