//! How far the log-likelihood of a basis can be from that of its kernel.
//!
//! What the basis leaves out, R, is residual noise to the likelihood: its part eps of the variance is taken for white. The frequencies that are left out have little signal, so that V is
//! about delta I to them: with `Q = sum_{i != j} R_ij^2 / delta^2` the deviance of data of the kernel is off by a number of mean Q / 2 and variance 2 Q. Over the pairs of points that are spread
//! over a box by chance
//!
//! ```text
//! sum_{i != j} R_ij^2 = n^2 prod_a (ell_a / side_a) int_{rho > rho_0} khat(rho)^2
//! ```

use super::weights::WeightSpace;
use crate::gp::bounds::Bounds;

/// Standard deviations that are told.
const WIDE: f64 = 3.0;

impl WeightSpace {
    /// By how much the log-likelihood may differ from that of the kernel for what the basis leaves out.
    pub fn log_lik_error(&self, bounds: &Bounds, lengths: &[f64], delta: f64) -> f64 {
        let d = bounds.d();
        let rho2 = |j: &Vec<i64>| self.grid.rho2(j, &lengths[..d]);
        let outermost = self.frequencies.iter().map(rho2).fold(0.0, f64::max).sqrt();
        if !delta.is_finite() || outermost == 0.0 {
            return 0.0;
        }
        let box_of: f64 = (0..d).map(|a| lengths[a] / bounds.side(a)).product();
        let q = (self.n / delta).powi(2) * box_of * self.family.tail_of_squares(outermost, d);
        WIDE * (0.5 * q).sqrt() + 0.25 * q
    }
}
