//! What does not depend on the data: fine grid, kernel and Fourier transforms for a number of modes and a tolerance.

use super::grid::Axis;
use super::kernel::SpreadingKernel;
use crate::runtime::error::{Error, Result};
use crate::runtime::memory::claim;
use faer::c64;
use fastlmm_fft::{Transforms, transforms};

/// Modes, tolerance, gridding kernel and transforms of one size: made once, used for any number of points.
///
/// ```
/// use fastlmm_core::nufft::Plan;
/// use fastlmm_core::runtime::parallel::Workers;
/// # fn main() -> fastlmm_core::runtime::error::Result<()> {
/// let (at, c) = ([0.3, 2.0, -1.4], [1.0, -0.5, 2.0]);
/// let plan = Plan::new(&[8], 1e-9)?;
/// let modes = plan.type1(&[&at], &[&c], &Workers::new(1)?, &mut ())?;
/// // k = 0, 1, ... of F_k = sum_i c_i exp(-i k x_i)
/// for (k, found) in modes[0].iter().enumerate() {
///     let re: f64 = at.iter().zip(&c).map(|(x, c)| c * (k as f64 * x).cos()).sum();
///     let im: f64 = at.iter().zip(&c).map(|(x, c)| -c * (k as f64 * x).sin()).sum();
///     assert!((found.re - re).abs() < 1e-8 && (found.im - im).abs() < 1e-8);
/// }
/// # Ok(())
/// # }
/// ```
pub struct Plan {
    pub(super) axes: [Axis; 3],
    pub(super) kernel: SpreadingKernel,
    pub(super) forward: Transforms,
    pub(super) backward: Transforms,
}

impl Plan {
    /// `modes`: number of modes of each axis, one to three axes. `tolerance`: 0.1 to 1e-14.
    pub fn new(modes: &[usize], tolerance: f64) -> Result<Self> {
        if !(1..=3).contains(&modes.len()) {
            let why = format!("are of {} axes, but must be of one to three", modes.len());
            return Err(Error::Argument { what: "modes", why });
        }
        if modes.contains(&0) {
            let why = "has no modes".to_owned();
            return Err(Error::Argument { what: "an axis", why });
        }
        if !(1e-14..=0.1).contains(&tolerance) {
            return Err(Error::Tolerance { value: tolerance });
        }
        let kernel = SpreadingKernel::new(tolerance);
        let axis = |a: usize| match modes.get(a) {
            Some(k) => Axis::new(*k, if a == 0 { kernel.taps } else { kernel.width }, &kernel),
            None => Axis::none(),
        };
        let axes = [axis(0), axis(1), axis(2)];
        let cells = axes.each_ref().map(|axis| axis.cells);
        let (forward, backward) = transforms(&cells[..modes.len()]);
        Ok(Self {
            forward,
            backward,
            axes,
            kernel,
        })
    }

    pub(crate) fn dimension(&self) -> usize {
        self.forward.len()
    }

    /// Length of an array of modes: floor(K_1/2) + 1 times the modes of the other axes.
    pub fn count(&self) -> usize {
        self.axes[0].half() * self.axes[1].modes * self.axes[2].modes
    }

    /// Mode k of real data, one frequency an axis, with k_1 from -floor(K_1/2) to floor(K_1/2): where -k is held its conjugate is.
    pub fn mode(&self, modes: &[c64], k: &[i64]) -> c64 {
        match self.index(k) {
            Some(index) => modes[index],
            None => self.mode(modes, &mirror(k)).conj(),
        }
    }

    /// Adds to mode k, if it is one of those that are held and not the mirror image of one.
    pub(crate) fn add_mode(&self, modes: &mut [c64], k: &[i64], value: c64) {
        if let Some(index) = self.index(k) {
            modes[index] += value;
        }
    }

    /// Place of mode k; none if k_1 < 0.
    fn index(&self, k: &[i64]) -> Option<usize> {
        let mut index = usize::try_from(k[0]).ok()?;
        let mut stride = self.axes[0].half();
        for (axis, k) in self.axes[1..].iter().zip(&k[1..]) {
            index += stride * (k + (axis.modes / 2) as i64) as usize;
            stride *= axis.modes;
        }
        Some(index)
    }

    pub(super) fn strides(&self) -> [usize; 3] {
        let [x, y, _] = &self.axes;
        [1, x.padded, x.padded * y.padded]
    }

    /// Entries of a padded grid.
    pub(super) fn entries(&self) -> usize {
        self.axes.iter().map(|a| a.padded).product()
    }

    /// Room for so many grids, and for the lines of one.
    pub(super) fn check_memory(&self, grids: usize) -> Result<()> {
        claim(self.axes.iter().map(|a| a.padded as f64).product::<f64>() * (grids as f64 + 2.0))
    }

    pub(super) fn check_vectors<T>(&self, what: &'static str, vectors: &[&[T]], expected: usize) -> Result<()> {
        match vectors.iter().find(|v| v.len() != expected) {
            Some(v) => Err(Error::Shape {
                what,
                found: v.len(),
                expected,
            }),
            None => Ok(()),
        }
    }
}

fn mirror(k: &[i64]) -> Vec<i64> {
    k.iter().map(|k| -k).collect()
}
