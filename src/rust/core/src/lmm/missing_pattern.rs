//! Responses that are observed in the same rows, and the model of those rows.

use crate::kernel::Kernel;
use crate::rotation::Model;
use crate::runtime::error::{Error, Result};
use faer::{Mat, MatRef};
use std::collections::HashMap;

pub struct Pattern {
    /// Observed rows.
    pub rows: Vec<usize>,
    pub columns: Vec<usize>,
}

/// The patterns of the columns, in the order of their first ones, and the number of observed rows of each column.
pub fn patterns(y: MatRef<'_, f64>) -> (Vec<Pattern>, Vec<usize>) {
    let n = y.nrows();
    let mut number: HashMap<Vec<usize>, usize> = HashMap::new();
    let mut all: Vec<Pattern> = vec![];
    let mut nobs = vec![];
    for j in 0..y.ncols() {
        let missing: Vec<usize> = (0..n).filter(|&i| y[(i, j)].is_nan()).collect();
        nobs.push(n - missing.len());
        let next = all.len();
        let at = *number.entry(missing).or_insert(next);
        if at == next {
            all.push(Pattern {
                rows: (0..n).filter(|&i| !y[(i, j)].is_nan()).collect(),
                columns: vec![],
            });
        }
        all[at].columns.push(j);
    }
    (all, nobs)
}

impl Pattern {
    /// The observed values of a response, if it can be fitted at all.
    pub fn response(&self, y: MatRef<'_, f64>, column: usize) -> Result<Vec<f64>> {
        let y: Vec<f64> = self.rows.iter().map(|&i| y[(i, column)]).collect();
        let refuse = |class, why| Err(Error::Response { class, why });
        if y.is_empty() {
            return refuse("no_rows", "is missing in all rows");
        }
        if !y.iter().all(|v| v.is_finite()) {
            return refuse("nonfinite", "is not finite in some rows");
        }
        if y.len() > 1 && y.iter().all(|v| *v == y[0]) {
            return refuse("constant_response", "has no variation");
        }
        Ok(y)
    }
}

/// The model of some rows: groups without rows are left out, X is copied only if rows are missing.
pub struct Subset<'a> {
    x: Option<Mat<f64>>,
    weights: Vec<f64>,
    z: Vec<f64>,
    group: Vec<usize>,
    pub index: Vec<usize>,
    pub kernel: Kernel<'a>,
    /// The whole model's number of each group.
    label: Vec<usize>,
}

impl<'a> Subset<'a> {
    pub fn new(model: &Model<'a>, rows: &[usize]) -> Self {
        let of = |x: &[f64]| rows.iter().map(|&i| x[i]).collect();
        let mut number = vec![usize::MAX; model.index.len()];
        rows.iter().for_each(|&i| number[model.group[i]] = 0);
        let label: Vec<usize> = (0..number.len()).filter(|&g| number[g] == 0).collect();
        label.iter().enumerate().for_each(|(k, &g)| number[g] = k);
        let some = rows.len() < model.x.nrows();
        Self {
            x: some.then(|| Mat::from_fn(rows.len(), model.x.ncols(), |i, j| model.x[(rows[i], j)])),
            weights: of(model.weights),
            z: of(model.z),
            group: rows.iter().map(|&i| number[model.group[i]]).collect(),
            index: label.iter().map(|&g| model.index[g]).collect(),
            kernel: model.kernel,
            label,
        }
    }

    pub fn model<'b>(&'b self, whole: &Model<'b>, y: &'b [f64]) -> Model<'b>
    where
        'a: 'b,
    {
        Model {
            y,
            x: self.x.as_ref().map_or(whole.x, Mat::as_ref),
            weights: &self.weights,
            z: &self.z,
            group: &self.group,
            kernel: self.kernel,
            index: &self.index,
        }
    }

    /// One number a group of this part as one a group of the whole model.
    pub fn spread(&self, alpha: &[f64], groups: usize) -> Vec<f64> {
        if alpha.is_empty() {
            return vec![];
        }
        let mut all = vec![0.0; groups];
        self.label.iter().zip(alpha).for_each(|(&g, a)| all[g] = *a);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_with_the_same_holes_are_one_pattern() {
        let hole = |i: usize, j: usize| (i == 1 && j.is_multiple_of(2)) || j == 3;
        let y = Mat::from_fn(3, 5, |i, j| if hole(i, j) { f64::NAN } else { (i + j) as f64 });
        let (all, nobs) = patterns(y.as_ref());
        let columns: Vec<_> = all.iter().map(|p| p.columns.clone()).collect();
        assert_eq!(columns, [vec![0, 2, 4], vec![1], vec![3]]);
        assert_eq!(nobs, [2, 3, 2, 0, 2]);
        assert_eq!(all[0].response(y.as_ref(), 4).unwrap(), [4.0, 6.0]);
        assert_eq!(all[2].response(y.as_ref(), 3).unwrap_err().class(), "no_rows");
    }
}
