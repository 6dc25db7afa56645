//! Variance of predictions: best linear unbiased prediction with the uncertainty of beta (universal kriging).

use crate::kernel::Kernel;
use crate::linalg::cholesky::Cholesky;
use crate::linalg::decomposition::thin_svd;
use crate::linalg::eigen::eigen;
use crate::linalg::{by_entries, product, share};
use crate::runtime::error::Result;
use crate::runtime::memory::claim;
use crate::runtime::parallel::Workers;
use crate::runtime::stop::{self, pieces};
use faer::linalg::triangular_solve::solve_lower_triangular_in_place;
use faer::{Mat, MatRef, Par};
use std::cmp::Ordering;

/// A fitted model, as far as prediction variances need it.
pub struct Fitted<'a> {
    /// The kernel over all ids, observed and not.
    pub kernel: Kernel<'a>,
    /// Row of the kernel of each observed id (m).
    pub index: &'a [usize],
    /// N: sum of w z^2 over the rows of each observed id.
    pub gram: &'a [f64],
    /// Z'WX, m x r. With r = 0 variances are conditional on beta.
    pub cross: MatRef<'a, f64>,
    /// Variance of the random effect.
    pub sigma2: f64,
    /// Residual variance.
    pub sigma2_e: f64,
    /// Var(beta_hat), r x r.
    pub vcov: MatRef<'a, f64>,
}

/// Targets: rows of X, kernel between target and observed ids (t x m), prior variance over sigma2 (t). For a factor kernel `k` holds the
/// targets' rows of W (t x k) instead, and `prior` is not used.
pub struct Targets<'a> {
    /// Rows of X, t x r, kept columns only.
    pub x: MatRef<'a, f64>,
    /// Kernel between targets and observed ids, t x m; for a factor W's rows, t x k.
    pub k: MatRef<'a, f64>,
    /// k** of each target.
    pub prior: &'a [f64],
}

/// Variance of x'beta_hat + z u_hat - (x'beta + z u) for each target:
/// `sigma2 k** - c'V^-1 c + d' Var(beta_hat) d` with `c = sigma2 Z k*` and `d = x - X'V^-1 c`.
pub fn variance(fitted: &Fitted<'_>, targets: &Targets<'_>, threads: usize) -> Result<Vec<f64>> {
    let workers = Workers::new(threads)?;
    match fitted.kernel.factor_columns() {
        Some(k) => workers.run(|par| solve_factor(fitted, k, targets, par)),
        None => workers.run(|par| solve(fitted, targets, par)),
    }
}

/// The same through the k columns of W, with the thin SVD `sigma N^(1/2) W = U diag(s) V'` of the observed rows:
///
/// ```text
/// Var(u | y, beta) = sigma2 w' (I - V diag(s^2 / (s^2 + sigma2_e)) V') w
/// d                = x - X'Z N^(-1/2) U diag(s / (s^2 + sigma2_e)) V' sigma w
/// ```
///
/// Sums of squares, which tend to `sigma2 w' (I - V V') w` with sigma2_e: what the observed rows of W do not span keeps its prior variance.
fn solve_factor(fitted: &Fitted<'_>, k: usize, targets: &Targets<'_>, par: Par) -> Result<Vec<f64>> {
    let (m, t) = (fitted.index.len(), targets.k.nrows());
    let (sigma, noise) = (fitted.sigma2.sqrt(), fitted.sigma2_e);
    let root: Vec<f64> = fitted.gram.iter().map(|g| g.sqrt()).collect();
    claim((m * k + 3 * k * t) as f64)?;
    // dense, since its singular vectors are
    let scaled: Vec<f64> = root.iter().map(|root| root * sigma).collect();
    let own = fitted
        .kernel
        .factor_rows(|i| fitted.index[i], &scaled, 1.0)
        .unwrap_or_else(|| Mat::zeros(m, 0));
    let svd = thin_svd(own, 0, par)?;
    let s = &svd.s;
    let cut = m.max(k) as f64 * f64::EPSILON * s.iter().copied().fold(0.0, f64::max);
    let rank = s.iter().take_while(|s| **s > cut).count();
    let (u, v) = (svd.u.subcols(0, rank), svd.v.subcols(0, rank));
    let mut free = Mat::from_fn(k, t, |c, j| sigma * targets.k[(j, c)]);
    let mut along = product(v.transpose(), free.as_ref(), par);
    free -= product(v, along.as_ref(), par);
    let shrunk = |i: usize, along: f64| along * along * noise / (s[i] * s[i] + noise);
    let random: Vec<f64> = (0..t)
        .map(|j| square(&free, j) + (0..rank).map(|i| shrunk(i, along[(i, j)])).sum::<f64>())
        .collect();
    let x = product(u.transpose(), whitened(fitted, &root).as_ref(), par);
    for i in 0..rank {
        let weight = s[i] / (s[i] * s[i] + noise);
        (0..t).for_each(|j| along[(i, j)] *= weight);
    }
    let fixed = fixed_variance(fitted, targets, &along, &x, par);
    Ok(random.iter().zip(fixed).map(|(random, fixed)| random + fixed).collect())
}

/// N^(-1/2) Z'WX
fn whitened(fitted: &Fitted<'_>, root: &[f64]) -> Mat<f64> {
    Mat::from_fn(root.len(), fitted.cross.ncols(), |i, j| {
        if root[i] > 0.0 {
            fitted.cross[(i, j)] / root[i]
        } else {
            0.0
        }
    })
}

/// Through the m observed ids.
fn solve(fitted: &Fitted<'_>, targets: &Targets<'_>, par: Par) -> Result<Vec<f64>> {
    let root: Vec<f64> = fitted.gram.iter().map(|g| g.sqrt()).collect();
    let (m, t) = (root.len(), targets.prior.len());
    claim((m * m + m * t) as f64)?;
    let Fitted {
        kernel,
        index,
        sigma2,
        sigma2_e,
        ..
    } = fitted;
    let entry = |i: usize, j: usize| {
        root[i] * sigma2 * kernel.entry(index[i], index[j]) * root[j] + if i == j { *sigma2_e } else { 0.0 }
    };
    // columns of sigma2 N^(1/2) K* and N^(-1/2) Z'WX, both multiplied by V^(-1/2)
    let whitening = Whitening::new(m, entry, par)?;
    stop::check()?;
    let c = whitening.times(by_entries(m, t, |i, j| root[i] * sigma2 * targets.k[(j, i)]), par);
    let x = whitening.times(whitened(fitted, &root), par);
    let fixed = fixed_variance(fitted, targets, &c, &x, par);
    let random = |i: usize| (sigma2 * targets.prior[i] - square(&c, i)).max(0.0);
    Ok((0..t).map(|i| random(i) + fixed[i]).collect())
}

/// |column i|^2
fn square(c: &Mat<f64>, i: usize) -> f64 {
    c.col(i).iter().map(|x| x * x).sum()
}

/// d' Var(beta_hat) d of each target, d = x - c'x with both already multiplied by L^-1.
fn fixed_variance(fitted: &Fitted<'_>, targets: &Targets<'_>, c: &Mat<f64>, x: &Mat<f64>, par: Par) -> Vec<f64> {
    let shrunk = product(c.transpose(), x.as_ref(), par);
    let d = Mat::from_fn(shrunk.nrows(), shrunk.ncols(), |i, j| {
        targets.x[(i, j)] - shrunk[(i, j)]
    });
    let dv = product(d.as_ref(), fitted.vcov, par);
    (0..d.nrows())
        .map(|i| (0..d.ncols()).map(|j| dv[(i, j)] * d[(i, j)]).sum())
        .collect()
}

/// Half of the inverse of a covariance A: C with C'C = A^-1, through `D^-1/2 A D^-1/2`, D the diagonal of A.
///
/// Scaled to a unit diagonal, groups of very different weight keep their own accuracy. A singular A (no residual variance) has its eigenvectors
/// instead of a Cholesky factor, those of rounding left out: what is multiplied lies in its range.
struct Whitening {
    inverse: Vec<f64>,
    root: InverseRoot,
}

enum InverseRoot {
    /// Lower triangle of the Cholesky factor.
    Factor(Mat<f64>),
    /// Rows of diag(lambda^(-1/2)) Q'.
    Eigen(Mat<f64>),
}

impl Whitening {
    fn new(n: usize, entry: impl Fn(usize, usize) -> f64, par: Par) -> Result<Self> {
        let inverse: Vec<f64> = (0..n)
            .map(|i| entry(i, i))
            .map(|d| if d > 0.0 { d.sqrt().recip() } else { 1.0 })
            .collect();
        let scaled = |i: usize, j: usize| match i.cmp(&j) {
            Ordering::Greater => inverse[i] * entry(i, j) * inverse[j],
            Ordering::Equal => 1.0,
            Ordering::Less => 0.0,
        };
        let root = match Self::factor(by_entries(n, n, scaled), par) {
            Some(factor) => InverseRoot::Factor(factor),
            None => InverseRoot::Eigen(Self::eigen(by_entries(n, n, scaled), par)?),
        };
        Ok(Self { inverse, root })
    }

    /// None where a pivot is rounding.
    fn factor(v: Mat<f64>, par: Par) -> Option<Mat<f64>> {
        let n = v.nrows();
        let v = Cholesky::new(v, par)?.into_factor();
        let least = n as f64 * f64::EPSILON;
        (0..n).all(|i| v[(i, i)] * v[(i, i)] > least).then_some(v)
    }

    fn eigen(v: Mat<f64>, par: Par) -> Result<Mat<f64>> {
        let n = v.nrows();
        let (values, q) = eigen(v, par)?;
        let cut = n as f64 * f64::EPSILON * values.iter().copied().fold(0.0, f64::max);
        let kept: Vec<usize> = (0..n).filter(|&k| values[k] > cut).collect();
        Ok(Mat::from_fn(kept.len(), n, |k, i| {
            q[(i, kept[k])] / values[kept[k]].sqrt()
        }))
    }

    /// C B
    fn times(&self, mut b: Mat<f64>, par: Par) -> Mat<f64> {
        for (i, scale) in self.inverse.iter().enumerate() {
            (0..b.ncols()).for_each(|j| b[(i, j)] *= scale);
        }
        match &self.root {
            InverseRoot::Factor(factor) => {
                for part in pieces(b.ncols(), share((b.nrows() as f64).powi(2))) {
                    let columns = b.as_mut().subcols_mut(part.start, part.len());
                    solve_lower_triangular_in_place(factor.as_ref(), columns, par);
                }
                b
            }
            InverseRoot::Eigen(rows) => product(rows.as_ref(), b.as_ref(), par),
        }
    }
}
