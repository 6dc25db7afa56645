//! Random-effect incidence Z: one group and one multiplier a row, so that its columns are orthogonal.
//!
//! With `Z = Q_Z N^(1/2)`, the covariance `Z K Z' + delta I` is `N^(1/2) K N^(1/2) + delta I` on the m directions *between*
//! groups and `delta I` on the n - m directions *within* them. Repeats therefore never enlarge the problem beyond m x m.

use crate::runtime::error::{Error, Result};

/// Marks a row that has no random effect.
pub const NONE: usize = usize::MAX;

/// Q_Z and N of n rows in m groups.
#[derive(Debug, Clone)]
pub(crate) struct Incidence {
    /// Column of Q_Z of each row.
    pub(crate) group: Vec<usize>,
    /// Entry of Q_Z in each row.
    pub(crate) entry: Vec<f64>,
    /// N_g^(1/2): length of the column of Z.
    pub(crate) root: Vec<f64>,
    /// Number that the caller gave to each group.
    pub(crate) label: Vec<usize>,
}

impl Incidence {
    /// `group[i] < m` is the group of row i and `z[i]` its multiplier (times the root of its weight).
    /// Groups whose multipliers are all zero are left out.
    pub(crate) fn new(group: &[usize], z: &[f64], m: usize) -> Result<Self> {
        if group.len() != z.len() {
            return Err(Error::Shape {
                what: "z",
                found: z.len(),
                expected: group.len(),
            });
        }
        let scale = crate::linalg::power_of_two(crate::linalg::max_abs(z.iter().copied()));
        let mut square = vec![0.0; m];
        group.iter().zip(z).for_each(|(&g, v)| square[g] += (v / scale).powi(2));
        let label: Vec<usize> = (0..m).filter(|&g| square[g] > 0.0).collect();
        let mut number = vec![NONE; m];
        label.iter().enumerate().for_each(|(k, &g)| number[g] = k);
        let root: Vec<f64> = label.iter().map(|&g| square[g].sqrt() * scale).collect();
        let group: Vec<usize> = group.iter().map(|&g| number[g]).collect();
        let entry = group
            .iter()
            .zip(z)
            .map(|(&g, v)| if g == NONE { 0.0 } else { v / root[g] })
            .collect();
        Ok(Self {
            group,
            entry,
            root,
            label,
        })
    }

    /// Number of groups.
    pub(crate) fn m(&self) -> usize {
        self.root.len()
    }

    /// Q_Z' v
    pub(crate) fn between(&self, v: &[f64]) -> Vec<f64> {
        let mut b = vec![0.0; self.m()];
        for ((&g, e), x) in self.group.iter().zip(&self.entry).zip(v) {
            if g != NONE {
                b[g] += e * x;
            }
        }
        b
    }

    /// Q_Z b
    pub(crate) fn lift(&self, b: &[f64]) -> Vec<f64> {
        let entry = |(&g, e): (&usize, &f64)| if g == NONE { 0.0 } else { e * b[g] };
        self.group.iter().zip(&self.entry).map(entry).collect()
    }

    /// v <- v - Q_Z b
    pub(crate) fn subtract(&self, b: &[f64], v: &mut [f64]) {
        for ((&g, e), x) in self.group.iter().zip(&self.entry).zip(v) {
            if g != NONE {
                *x -= e * b[g];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn between_and_within_split_the_length_of_a_vector() {
        let z = Incidence::new(&[0, 1, 0, 2, 1], &[1.0, 2.0, -1.0, 0.0, 0.5], 3).unwrap();
        assert_eq!(z.label, [0, 1]);
        let y = [1.0, 2.0, 3.0, 4.0, 5.0];
        let between = z.between(&y);
        let mut within = y.to_vec();
        z.subtract(&between, &mut within);
        let square = |v: &[f64]| v.iter().map(|x| x * x).sum::<f64>();
        assert!((square(&between) + square(&within) - square(&y)).abs() < 1e-12);
        assert!(z.between(&within).iter().all(|b| b.abs() < 1e-12));
    }
}
