//! Gaussian processes of coordinates in Fourier space.

mod curvature;
pub mod explore;
pub mod field;
pub mod gram;
pub mod grid;
mod guard;
pub mod ladder;
pub mod many;
pub mod moments;
pub mod pass;
pub mod refine;
pub mod request;
pub mod weights;
