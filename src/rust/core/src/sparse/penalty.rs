//! P of an effect: its entries, log|P|, u'Pu.

use super::Precision;
use crate::kernel::sparse::Sparse;
use crate::linalg::cholesky::Cholesky;
use crate::linalg::power_of_two;
use crate::linalg::sparse_cholesky::SparseAnalysis;
use crate::runtime::error::{Error, Result};
use faer::{Mat, MatRef, Par};

/// P over a power of four.
pub(crate) struct Penalty {
    pub diagonal: Vec<f64>,
    /// Row, column and value below the diagonal.
    pub below: Vec<(usize, usize, f64)>,
    /// log|P| in these units.
    pub log_det: f64,
    /// Root of the power of four.
    pub root_unit: f64,
}

/// Asymmetry that is rounding, of the largest entry.
const ROUNDING: f64 = 1e-8;

impl Penalty {
    pub(crate) fn new(label: &str, precision: &Precision<'_>, levels: usize) -> Result<Self> {
        match precision {
            Precision::Identity => Ok(Self {
                diagonal: vec![1.0; levels],
                below: vec![],
                log_det: 0.0,
                root_unit: 1.0,
            }),
            Precision::Sparse(p) => Self::sparse(label, p, levels),
            Precision::Dense(p) => Self::dense(label, *p, levels),
        }
    }

    pub(crate) fn is_diagonal(&self) -> bool {
        self.below.is_empty()
    }

    /// Has it few entries beside its diagonal?
    pub(crate) fn is_sparse(&self) -> bool {
        let most = self.diagonal.len().pow(2) / 10;
        !self.is_diagonal() && self.below.len() < most
    }

    /// P_jj, and P_ij of i > j, which are checked against P_ji.
    fn sparse(label: &str, p: &Sparse<'_>, levels: usize) -> Result<Self> {
        size(label, (p.nrows, p.ncols()), levels)?;
        let (mut diagonal, mut below, mut above) = (vec![0.0; levels], vec![], vec![]);
        for (j, own) in diagonal.iter_mut().enumerate() {
            for (i, x) in p.column(j) {
                match i.cmp(&j) {
                    std::cmp::Ordering::Equal => *own += x,
                    std::cmp::Ordering::Greater => below.push((i, j, x)),
                    std::cmp::Ordering::Less => above.push((j, i, x)),
                }
            }
        }
        let (below, above) = (summed(below), summed(above));
        let largest = diagonal
            .iter()
            .chain(below.iter().map(|e| &e.2))
            .fold(0.0, |m: f64, x| m.max(x.abs()));
        let same = |(a, b): (&(usize, usize, f64), &(usize, usize, f64))| {
            (a.0, a.1) == (b.0, b.1) && (a.2 - b.2).abs() <= ROUNDING * largest
        };
        if below.len() != above.len() || !below.iter().zip(&above).all(same) {
            return refused(label, "is not symmetric");
        }
        Self::scaled(label, diagonal, below)?.with_sparse_log_det(label)
    }

    fn dense(label: &str, p: MatRef<'_, f64>, levels: usize) -> Result<Self> {
        size(label, p.shape(), levels)?;
        let diagonal = (0..levels).map(|j| p[(j, j)]).collect();
        let pairs = (0..levels).flat_map(|j| (j + 1..levels).map(move |i| (i, j)));
        let mut found = Self::scaled(label, diagonal, pairs.map(|(i, j)| (i, j, p[(i, j)])).collect())?;
        let unit = found.root_unit.powi(2);
        match Cholesky::new(Mat::from_fn(levels, levels, |i, j| p[(i, j)] / unit), Par::Seq) {
            Some(factor) => found.log_det = factor.log_det(),
            None => return not_positive(label),
        }
        Ok(found)
    }

    fn scaled(label: &str, mut diagonal: Vec<f64>, mut below: Vec<(usize, usize, f64)>) -> Result<Self> {
        if diagonal.iter().any(|d| !(*d > 0.0 && d.is_finite())) {
            return not_positive(label);
        }
        let mean = diagonal.iter().map(|d| d / diagonal.len() as f64).sum::<f64>();
        let root_unit = power_of_two(mean.sqrt());
        let unit = root_unit * root_unit;
        diagonal.iter_mut().for_each(|d| *d /= unit);
        below.iter_mut().for_each(|(.., x)| *x /= unit);
        Ok(Self {
            diagonal,
            below,
            log_det: 0.0,
            root_unit,
        })
    }

    fn with_sparse_log_det(mut self, label: &str) -> Result<Self> {
        let m = self.diagonal.len();
        let entries: Vec<(usize, usize)> = (0..m)
            .map(|j| (j, j))
            .chain(self.below.iter().map(|e| (e.0, e.1)))
            .collect();
        let (analysis, places) = SparseAnalysis::new(m, &entries)?;
        let mut values = vec![0.0; analysis.entries()];
        let all = self.diagonal.iter().chain(self.below.iter().map(|e| &e.2));
        places.iter().zip(all).for_each(|(&at, x)| values[at] += x);
        match analysis.factor(&values, Par::Seq) {
            Some(factor) => self.log_det = factor.log_det(),
            None => return not_positive(label),
        }
        Ok(self)
    }

    /// sum_a u_a' P u_a of l terms, whose values stand together by levels.
    pub(crate) fn quadratic(&self, u: &[f64], l: usize) -> f64 {
        let level = |j: usize| &u[j * l..(j + 1) * l];
        let product = |i: usize, j: usize| level(i).iter().zip(level(j)).map(|(a, b)| a * b).sum::<f64>();
        let own: f64 = self.diagonal.iter().enumerate().map(|(j, d)| d * product(j, j)).sum();
        own + 2.0 * self.below.iter().map(|&(i, j, x)| x * product(i, j)).sum::<f64>()
    }
}

/// Entries by columns and rows, those of one place added up.
fn summed(mut entries: Vec<(usize, usize, f64)>) -> Vec<(usize, usize, f64)> {
    entries.sort_by_key(|&(i, j, _)| (j, i));
    let mut sums: Vec<(usize, usize, f64)> = vec![];
    for (i, j, x) in entries {
        match sums.last_mut().filter(|last| (last.0, last.1) == (i, j)) {
            Some(last) => last.2 += x,
            None => sums.push((i, j, x)),
        }
    }
    sums
}

fn size(label: &str, (rows, columns): (usize, usize), levels: usize) -> Result<()> {
    if (rows, columns) == (levels, levels) {
        return Ok(());
    }
    refused(label, &format!("is {rows} x {columns}, and there are {levels} levels"))
}

fn not_positive<T>(label: &str) -> Result<T> {
    refused(
        label,
        "is not positive definite; add to its diagonal, or leave out what depends on other levels",
    )
}

fn refused<T>(label: &str, why: &str) -> Result<T> {
    let why = format!("of \"{label}\" {why}");
    let what = "the precision matrix";
    Err(Error::Argument { what, why })
}
