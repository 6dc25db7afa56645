//! Effects `b = A c` of those of a model, c, whose variances are wanted: where c are the effects of variables from their means, b are those of the variables as they are.

use super::of_mix::Places;
use faer::{Mat, MatRef};

/// A, the identity if it is not given.
pub(super) struct Combination<'a> {
    /// Of each effect.
    pub places: &'a Places,
    a: Option<MatRef<'a, f64>>,
}

impl<'a> Combination<'a> {
    pub(super) fn new(places: &'a Places, a: Option<MatRef<'a, f64>>) -> Self {
        Self { places, a }
    }

    /// A_kl
    pub(super) fn weight(&self, k: usize, l: usize) -> f64 {
        self.a.map_or(f64::from(k == l), |a| a[(k, l)])
    }

    /// The row of `A T` of effect k.
    pub(super) fn row(&self, factors: &[Mat<f64>], k: usize) -> Vec<f64> {
        let (r, own) = self.places[k];
        let t = &factors[r];
        if self.a.is_none() {
            return (0..t.ncols()).map(|c| t[(own, c)]).collect();
        }
        let those = || (0..self.places.len()).filter(|&l| self.places[l].0 == r);
        let entry = |c: usize| those().map(|l| self.weight(k, l) * t[(self.places[l].1, c)]).sum();
        (0..t.ncols()).map(entry).collect()
    }
}
