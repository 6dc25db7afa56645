//! Gaussian processes of coordinates in Fourier space.

mod curvature;
pub mod explore;
pub mod field;
mod frequencies;
pub mod gram;
pub mod grid;
pub mod many;
pub mod moments;
pub mod nested;
pub mod refine;
pub mod sufficient;
pub mod weights;
