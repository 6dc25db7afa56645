//! Discrete Fourier transforms of f64 by rustfft, which is generic in the scalar. They are compiled here, once: in the core they would be a fifth of
//! the code that each of its changes compiles again.

use std::sync::Arc;

pub use rustfft::Fft;

/// One transform an axis.
pub type Transforms = Vec<Arc<dyn Fft<f64>>>;

/// The transforms of these lengths, forward and backward, unscaled. Those of equal length are shared.
#[must_use]
pub fn transforms(lengths: &[usize]) -> (Transforms, Transforms) {
    let mut planner = rustfft::FftPlanner::new();
    lengths
        .iter()
        .map(|&length| (planner.plan_fft_forward(length), planner.plan_fft_inverse(length)))
        .unzip()
}
