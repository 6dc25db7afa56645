//! Gaussian processes of coordinates in Fourier space.

pub(crate) mod curvature;
pub(crate) mod explore;
pub mod explorer;
pub mod field;
mod fixed;
mod frequencies;
pub mod gram;
pub mod grid;
pub mod many;
mod many_space;
pub mod moments;
pub mod nested;
pub mod optima;
pub mod reduced;
pub mod refine;
mod refinement;
pub mod sufficient;
mod truncation;
pub mod weights;
pub mod window;
pub mod window_basis;
