//! The basis that the sampler lives in: n orthonormal eigenvectors Q of Z K Z', as small as the kernel allows.
//!
//! `Q = H diag(U, I)`: H has a reflector for each group, which moves the group's column of Z onto the group's first row, and U are the eigenvectors of `N^(1/2) K N^(1/2)`
//! between groups, from the same null model as every fit. Rows in groups without a kernel take n numbers, ids with a factor of k columns n + m k.

use crate::kernel::Kernel;
use crate::linalg::{Reflectors, product};
use crate::rotation::incidence::NONE;
use crate::rotation::projection::Projection;
use crate::rotation::{Model, NullModel};
use crate::runtime::error::Result;
use crate::runtime::memory::claim;
use crate::runtime::monitor::Monitor;
use crate::runtime::parallel::Workers;
use faer::{Mat, MatRef, Par};

/// Rows of groups, reflected, and eigenvectors between groups.
pub struct Basis {
    /// Reflectors that move each group's column of Z onto its first row.
    pub groups: Groups,
    /// Eigenvectors between groups.
    pub between: Between,
}

/// Group of each row (`NONE`: of no group) and the entry of its group's column of Z, columns of length 1.
pub struct Groups {
    /// Group of each row, or `NONE`.
    pub group: Vec<usize>,
    /// Entry of its group's column, of length 1, in each row.
    pub entry: Vec<f64>,
    /// First row of each group.
    first: Vec<usize>,
}

/// Eigenvectors between groups.
pub enum Between {
    /// Groups are independent.
    Identity,
    /// All of them, a column each.
    Full(Mat<f64>),
    /// Those with an eigenvalue, by reflectors whose first columns they are; what is orthogonal to them follows.
    Thin(Reflectors),
}

impl Basis {
    /// The basis and the eigenvalues of Z K Z'; `model` has no fixed effects and no weights. By one thread, so that it does not depend on how many there are.
    pub fn new(model: &Model<'_>, monitor: &mut dyn Monitor) -> Result<(Self, Vec<f64>)> {
        let workers = Workers::new(1)?;
        let projection = Projection::of_each_group(model, &workers)?;
        let z = &projection.between.z;
        let groups = Groups::new(z.group.clone(), z.entry.clone());
        if matches!(model.kernel, Kernel::Identity) {
            let values: Vec<f64> = z.root.iter().map(|root| root * root).collect();
            let basis = Self {
                groups,
                between: Between::Identity,
            };
            let s = basis.groups.spread(&values);
            return Ok((basis, s));
        }
        let kernel = model.kernel.without_order();
        let (null, _) = NullModel::new(&Model { kernel, ..*model }, projection, vec![], true, &workers, monitor)?;
        let scale = null.scale();
        let values: Vec<f64> = null.values().iter().map(|v| v * scale).collect();
        let u = workers.run(|par| null.vectors(par))?;
        let between = if u.ncols() == u.nrows() {
            Between::Full(u.into_owned())
        } else {
            Between::thin(u.as_ref().as_ref())
        };
        let s = groups.spread(&values);
        Ok((Self { groups, between }, s))
    }

    /// Number of rows.
    pub fn n(&self) -> usize {
        self.groups.group.len()
    }

    /// Q A
    pub fn times(&self, a: MatRef<'_, f64>) -> Mat<f64> {
        let mut rows = a.to_owned();
        let head = Mat::from_fn(self.groups.count(), a.ncols(), |i, j| a[(self.groups.first[i], j)]);
        let between = self.between.apply(head);
        self.put(&mut rows, |i, j| self.groups.sign(i) * between[(i, j)]);
        self.groups.reflect(&mut rows);
        rows
    }

    /// Q'A
    pub fn transpose_times(&self, a: MatRef<'_, f64>) -> Mat<f64> {
        let mut rows = a.to_owned();
        self.groups.reflect(&mut rows);
        let head = |i: usize, j: usize| self.groups.sign(i) * rows[(self.groups.first[i], j)];
        let head = self
            .between
            .transpose_apply(Mat::from_fn(self.groups.count(), a.ncols(), head));
        self.put(&mut rows, |i, j| head[(i, j)]);
        rows
    }

    fn put(&self, rows: &mut Mat<f64>, head: impl Fn(usize, usize) -> f64) {
        for (i, &row) in self.groups.first.iter().enumerate() {
            (0..rows.ncols()).for_each(|j| rows[(row, j)] = head(i, j));
        }
    }

    /// Q'
    pub fn transpose(&self) -> Result<Mat<f64>> {
        claim(2.0 * (self.n() as f64).powi(2))?;
        Ok(self.transpose_times(Mat::identity(self.n(), self.n()).as_ref()))
    }
}

/// Any orthonormal basis.
impl From<Mat<f64>> for Basis {
    fn from(q: Mat<f64>) -> Self {
        let n = q.nrows();
        Self {
            groups: Groups::new((0..n).collect(), vec![1.0; n]),
            between: Between::Full(q),
        }
    }
}

impl Groups {
    /// Groups are numbered from 0 without gaps.
    pub fn new(group: Vec<usize>, entry: Vec<f64>) -> Self {
        let numbers = group.iter().filter(|&&g| g != NONE);
        let m = numbers.max().map_or(0, |g| g + 1);
        let mut first = vec![NONE; m];
        for (i, &g) in group.iter().enumerate().rev() {
            if g != NONE {
                first[g] = i;
            }
        }
        Self { group, entry, first }
    }

    /// Number of groups.
    pub fn count(&self) -> usize {
        self.first.len()
    }

    /// Values between groups, each in the place of its group's first row, and 0 in all others.
    fn spread(&self, values: &[f64]) -> Vec<f64> {
        let mut s = vec![0.0; self.group.len()];
        self.first.iter().zip(values).for_each(|(&row, value)| s[row] = *value);
        s
    }

    /// H moves the group's column onto its first row but for this sign, which lets no v cancel.
    fn sign(&self, g: usize) -> f64 {
        -1f64.copysign(self.entry[self.first[g]])
    }

    /// A <- H A. Reflectors of different groups have no row in common; H is its own inverse.
    fn reflect(&self, a: &mut Mat<f64>) {
        let mut v = self.entry.clone();
        for &row in &self.first {
            v[row] += 1f64.copysign(self.entry[row]);
        }
        let mut square = vec![0.0; self.first.len()];
        let grouped = || self.group.iter().enumerate().filter(|(_, g)| **g != NONE);
        grouped().for_each(|(i, &g)| square[g] += v[i] * v[i]);
        for j in 0..a.ncols() {
            let mut along = vec![0.0; square.len()];
            grouped().for_each(|(i, &g)| along[g] += v[i] * a[(i, j)]);
            grouped().for_each(|(i, &g)| a[(i, j)] -= 2.0 * along[g] / square[g] * v[i]);
        }
    }
}

impl Between {
    /// From orthonormal columns.
    pub(crate) fn thin(u: MatRef<'_, f64>) -> Self {
        let mut reflectors = Reflectors::new(u.nrows());
        for j in 0..u.ncols() {
            let mut column: Vec<f64> = u.col(j).iter().copied().collect();
            reflectors.transpose_apply(&mut column);
            reflectors.push(&column);
        }
        Self::Thin(reflectors)
    }

    fn apply(&self, a: Mat<f64>) -> Mat<f64> {
        match self {
            Self::Identity => a,
            Self::Full(u) => product(u.as_ref(), a.as_ref(), Par::Seq),
            Self::Thin(reflectors) => by_columns(a, |column| reflectors.apply(column)),
        }
    }

    fn transpose_apply(&self, a: Mat<f64>) -> Mat<f64> {
        match self {
            Self::Identity => a,
            Self::Full(u) => product(u.transpose(), a.as_ref(), Par::Seq),
            Self::Thin(reflectors) => by_columns(a, |column| reflectors.transpose_apply(column)),
        }
    }
}

fn by_columns(mut a: Mat<f64>, change: impl Fn(&mut [f64])) -> Mat<f64> {
    for column in a.col_iter_mut() {
        if let Some(column) = column.try_as_col_major_mut() {
            change(column.as_slice_mut());
        }
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::dense::Dense;
    use crate::kernel::low_rank::LowRank;

    /// Z K Z' from the basis, written out, and how far Q is from orthonormal.
    fn rebuilt(model: &Model<'_>) -> (Mat<f64>, f64) {
        let (basis, s) = Basis::new(model, &mut ()).unwrap();
        let qt = basis.transpose().unwrap();
        let n = s.len();
        let scaled = Mat::from_fn(n, n, |i, j| s[i] * qt[(i, j)]);
        let back = basis.times(qt.as_ref()) - Mat::<f64>::identity(n, n);
        (basis.times(scaled.as_ref()), back.norm_max())
    }

    #[test]
    fn every_form_is_the_covariance_written_out() {
        let (n, m) = (14, 6);
        let group: Vec<usize> = (0..n).map(|i| (i * 5 + i / 4) % m).collect();
        let z: Vec<f64> = (0..n)
            .map(|i| f64::sin(1.0 + 2.0 * i as f64) * f64::from(i != 3))
            .collect();
        let w = Mat::from_fn(m, 2, |i, j| f64::cos((1 + i * 3 + j * 7) as f64));
        let k = Mat::from_fn(m, m, |i, j| f64::exp(-((i as f64 - j as f64) / 2.0).powi(2)));
        let index: Vec<usize> = (0..m).collect();
        let x = Mat::<f64>::zeros(n, 0);
        for kernel in [
            Kernel::Identity,
            Kernel::Dense(Dense(k.as_ref())),
            Kernel::LowRank(LowRank(w.as_ref(), false)),
        ] {
            let model = Model {
                y: &[],
                x: x.as_ref(),
                weights: &vec![1.0; n],
                z: &z,
                group: &group,
                kernel,
                index: &index,
            };
            let (covariance, loss) = rebuilt(&model);
            assert!(loss < 1e-13, "{loss}");
            for i in 0..n {
                for j in 0..n {
                    let exact = z[i] * kernel.entry(group[i], group[j]) * z[j];
                    assert!((covariance[(i, j)] - exact).abs() < 1e-12, "{i} {j}");
                }
            }
        }
    }
}
