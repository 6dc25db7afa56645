//! The fast path against the slow, obvious definition: explicit V, dense algebra.

mod definition;
mod edges;
mod exact;
mod fit;
mod fourier;
mod low_rank;
mod many;
mod mix;
mod mix_edges;
mod mix_routes;
mod mix_same;
mod mixed;
mod nufft;
mod orthogonal;
mod profile;
mod slam;
mod slam_blocks;
mod slam_cis;
mod slam_loading_means;
mod sparse;
mod sparse_routes;
mod sparse_terms;
mod sparse_world;
mod type_names;
