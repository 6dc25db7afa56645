//! Rows of data for a process.

/// A chunk of data: a slice for each coordinate and each column of X and Y. Weights may be empty, and so may groups.
#[derive(Debug, Clone, Default)]
pub struct Observations<'a> {
    /// A slice of n for each of one to three coordinates.
    pub coordinates: Vec<&'a [f64]>,
    /// Columns of X, n each.
    pub x: Vec<&'a [f64]>,
    /// Responses, n each.
    pub y: Vec<&'a [f64]>,
    /// Residual variance of row i is `sigma2_e / weights[i]`; empty: all 1.
    pub weights: &'a [f64],
    /// Group of each row, below `groups`.
    pub group: &'a [usize],
    /// Number of groups.
    pub groups: usize,
}

impl<'a> Observations<'a> {
    /// Number of rows.
    pub fn n(&self) -> usize {
        self.coordinates[0].len()
    }

    pub(crate) fn columns(&self) -> impl Iterator<Item = &&'a [f64]> {
        self.x.iter().chain(&self.y)
    }

    /// Means of the columns after an intercept, which does not change; without one nothing may be taken off.
    pub fn shifts(&self) -> Vec<f64> {
        let intercept = self.x.first().is_some_and(|x| x.iter().all(|v| *v == 1.0));
        let mean = |x: &[f64]| x.iter().map(|v| v / x.len() as f64).sum();
        let shift = |(j, x): (usize, &&[f64])| if intercept && j > 0 { mean(x) } else { 0.0 };
        self.columns().enumerate().map(shift).collect()
    }

    /// The rows whose numbers are given.
    pub(crate) fn rows(&self, rows: &[usize]) -> OwnedObservations {
        let take = |x: &&[f64]| rows.iter().filter_map(|&i| x.get(i).copied()).collect::<Vec<f64>>();
        OwnedObservations {
            coordinates: self.coordinates.iter().map(take).collect(),
            x: self.x.iter().map(take).collect(),
            y: self.y.iter().map(take).collect(),
            weights: take(&self.weights),
            group: rows.iter().filter_map(|&i| self.group.get(i).copied()).collect(),
            groups: self.groups,
        }
    }
}

/// Data that are held.
pub(crate) struct OwnedObservations {
    pub(crate) coordinates: Vec<Vec<f64>>,
    pub(crate) x: Vec<Vec<f64>>,
    pub(crate) y: Vec<Vec<f64>>,
    pub(crate) weights: Vec<f64>,
    pub(crate) group: Vec<usize>,
    pub(crate) groups: usize,
}

impl OwnedObservations {
    pub(crate) fn view(&self) -> Observations<'_> {
        Observations {
            coordinates: self.coordinates.iter().map(Vec::as_slice).collect(),
            x: self.x.iter().map(Vec::as_slice).collect(),
            y: self.y.iter().map(Vec::as_slice).collect(),
            weights: &self.weights,
            group: &self.group,
            groups: self.groups,
        }
    }
}
