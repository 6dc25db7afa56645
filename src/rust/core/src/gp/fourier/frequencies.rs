//! The outermost functions of a basis, projected out where many rows see frequencies beyond it.

use super::fixed::FixedEffects;
use super::weights::WeightSpace;
use crate::linalg::product;
use crate::runtime::error::Result;
use faer::{Mat, Par};

impl WeightSpace {
    /// The space with its outermost functions projected out as if they were columns of X.
    ///
    /// Frequencies beyond the basis are not orthogonal to those within on the box of the data: with many rows they add to the coefficients near the edge of the
    /// basis, and the length scale would lean towards short ones. They hardly reach beyond a guard of some frequencies. The result is the restricted likelihood of contrasts
    /// free of X and of the guard. (A ridge keeps functions that are nearly dependent on the box.)
    pub fn guarded(&self, guard: usize, par: Par) -> Result<Self> {
        const RIDGE: f64 = 1e-7;
        let inner = self.size() - guard;
        let shell = self.t.submatrix(inner, inner, guard, guard).to_owned();
        let ridge = RIDGE * (0..guard).map(|i| shell[(i, i)]).fold(0.0, f64::max);
        let llt = self.definite(shell, ridge, par)?;
        let cross = Mat::from_fn(guard, inner + 1, |i, j| match j {
            j if j < inner => self.t[(inner + i, j)],
            _ => self.c[inner + i],
        });
        let taken = product(cross.transpose(), llt.solve(cross.clone(), par).as_ref(), par);
        let frequencies = self.frequencies[..inner.div_ceil(2)].to_vec();
        Ok(Self {
            family: self.family,
            grid: self.grid.clone(),
            frequencies,
            groups: 0,
            t: Mat::from_fn(inner, inner, |i, j| self.t[(i, j)] - taken[(i, j)]),
            c: (0..inner).map(|i| self.c[i] - taken[(i, inner)]).collect(),
            rho0: self.rho0 - taken[(inner, inner)],
            n: self.n - (self.fixed.kept.len() + guard) as f64,
            log_weights: self.log_weights,
            fixed: FixedEffects::default(),
        })
    }

    /// How many functions lie in the outer fifth of the radius, if that many rows see the frequencies at the edge: those with signal above noise, `n D^2 > 2 delta`.
    pub fn guard(&self, lengths: &[f64], delta: f64) -> usize {
        let squares = self.grid.squares(self.family, &self.frequencies, lengths);
        let edge = squares.last().copied().unwrap_or(0.0);
        if self.groups > 0 || self.n * edge <= 2.0 * delta {
            return 0;
        }
        let rho2 = |j: &Vec<i64>| self.grid.rho2(j, lengths);
        let outermost = self.frequencies.last().map_or(0.0, rho2);
        2 * self.frequencies.iter().filter(|j| rho2(j) > 0.64 * outermost).count()
    }
}
