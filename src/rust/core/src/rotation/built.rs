//! What every decomposition gives beside itself.

use faer::Mat;

/// Vectors along the eigenvectors, a column each, and the squares of what those do not hold.
pub struct EigenCoordinates {
    pub y: Mat<f64>,
    pub rest: Vec<f64>,
}

/// A decomposition, what the kernel is along span(X), and the vectors that went through it at once.
pub(crate) struct Built<D> {
    pub decomposition: D,
    pub k11: Vec<Vec<f64>>,
    /// K12 U by rows.
    pub b: Vec<Vec<f64>>,
    pub first: EigenCoordinates,
    pub k_scale: f64,
    /// Trace of the scaled kernel over the data.
    pub trace: f64,
    /// Smallest eigenvalue before rounding was cut off.
    pub smallest: f64,
}

impl<D> Built<D> {
    /// As one of the kinds of decompositions.
    pub fn map<E>(self, kind: impl FnOnce(D) -> E) -> Built<E> {
        Built {
            decomposition: kind(self.decomposition),
            k11: self.k11,
            b: self.b,
            first: self.first,
            k_scale: self.k_scale,
            trace: self.trace,
            smallest: self.smallest,
        }
    }
}
