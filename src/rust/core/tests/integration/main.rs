//! The fast path against the slow, obvious definition: explicit V, dense algebra.

mod definition;
mod edges;
mod fit;
mod fourier;
mod low_rank;
mod profile;
