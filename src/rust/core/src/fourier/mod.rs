//! Gaussian processes of coordinates in Fourier space.

pub mod gram;
pub mod grid;
pub mod moments;
pub mod search;
pub mod weights;
