//! One kernel: fit, many responses, predictions, a fit without some columns of its factor.

pub(crate) mod degenerate;
pub(crate) mod estimates;
pub mod exclude;
pub mod fit;
pub(crate) mod left_out;
pub mod look;
pub mod many;
mod many_rotation;
pub(crate) mod missing_pattern;
pub mod predict;
pub(crate) mod shared_grid;
