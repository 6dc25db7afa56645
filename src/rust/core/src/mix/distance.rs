//! How far a coefficient that is held is from its estimate: d, with S = p'Vp the variance there; the deviance rises by d^2 / S.

use faer::Mat;

/// How far the estimate is from the value.
pub struct Distance {
    /// The combination of the coordinates that estimates the coefficient.
    pub p: Mat<f64>,
    /// Value less estimate.
    pub d: f64,
    /// Variance of the estimate.
    pub s: f64,
}

impl Distance {
    pub fn rise(&self) -> f64 {
        self.d * self.d / self.s
    }

    /// Derivative of the rise in the value.
    pub fn slope(&self) -> f64 {
        2.0 * self.d / self.s
    }
}
