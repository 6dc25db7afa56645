//! Variance of predictions: best linear unbiased prediction with the uncertainty of beta (universal kriging).

use crate::error::{Error, Result};
use crate::kernel::Kernel;
use crate::linalg::product;
use crate::parallel::{Workers, check_memory};
use faer::linalg::cholesky::llt;
use faer::linalg::triangular_solve::solve_lower_triangular_in_place;
use faer::{Mat, MatRef, Par};
use std::cmp::Ordering;

/// A fitted model, as far as prediction variances need it.
pub struct Fitted<'a> {
    pub kernel: Kernel<'a>,
    /// Row of the kernel of each observed id (m).
    pub index: &'a [usize],
    /// N: sum of w z^2 over the rows of each observed id.
    pub gram: &'a [f64],
    /// Z'WX, m x r. With r = 0 variances are conditional on beta.
    pub cross: MatRef<'a, f64>,
    pub sigma2: f64,
    pub sigma2_e: f64,
    /// Var(beta_hat), r x r.
    pub vcov: MatRef<'a, f64>,
}

/// Targets: rows of X, kernel between target and observed ids (t x m), prior variance over sigma2 (t). For a factor kernel `k` holds the
/// targets' rows of W (t x k) instead, and `prior` is not used.
pub struct Targets<'a> {
    pub x: MatRef<'a, f64>,
    pub k: MatRef<'a, f64>,
    pub prior: &'a [f64],
}

/// Variance of x'beta_hat + z u_hat - (x'beta + z u) for each target:
/// `sigma2 k** - c'V^-1 c + d' Var(beta_hat) d` with `c = sigma2 Z k*` and `d = x - X'V^-1 c`.
pub fn variance(fitted: &Fitted<'_>, targets: &Targets<'_>, threads: usize) -> Result<Vec<f64>> {
    let m = if let Kernel::LowRank(w) = fitted.kernel {
        w.0.ncols()
    } else {
        fitted.index.len()
    };
    let (m, t) = (m as f64, targets.prior.len() as f64);
    check_memory(m * m + 2.0 * m * t)?;
    let workers = Workers::new(threads)?;
    match fitted.kernel {
        Kernel::LowRank(w) => workers.run(|par| solve_factor(fitted, w.0, targets, par)),
        _ => workers.run(|par| solve(fitted, targets, par)),
    }
}

/// The same through the k columns of W: with `G = W'NW + delta I`, `Var(u | y, beta) = sigma2_e w'G^-1 w` and `d = x - X'ZW G^-1 w`.
fn solve_factor(fitted: &Fitted<'_>, w: MatRef<'_, f64>, targets: &Targets<'_>, par: Par) -> Result<Vec<f64>> {
    let (m, k, t) = (fitted.index.len(), w.ncols(), targets.k.nrows());
    // sigma W, so that a variance of zero needs no case of its own
    let sigma = fitted.sigma2.sqrt();
    let own = Mat::from_fn(m, k, |i, c| sigma * w[(fitted.index[i], c)]);
    let weighted = Mat::from_fn(m, k, |i, c| fitted.gram[i] * own[(i, c)]);
    let gram = product(own.transpose(), weighted.as_ref(), par);
    let entry = |i: usize, j: usize| gram[(i, j)] + if i == j { fitted.sigma2_e } else { 0.0 };
    let (factor, inverse) = factorise(k, entry, par)?;
    let mut c = Mat::from_fn(k, t, |i, j| inverse[i] * sigma * targets.k[(j, i)]);
    let mut x = product(own.transpose(), fitted.cross, par);
    (0..k).for_each(|i| (0..x.ncols()).for_each(|j| x[(i, j)] *= inverse[i]));
    solve_lower_triangular_in_place(factor.as_ref(), c.as_mut(), par);
    solve_lower_triangular_in_place(factor.as_ref(), x.as_mut(), par);
    let fixed = fixed_variance(fitted, targets, &c, &x, par);
    Ok((0..t).map(|i| fitted.sigma2_e * square(&c, i) + fixed[i]).collect())
}

/// Through the m observed ids.
fn solve(fitted: &Fitted<'_>, targets: &Targets<'_>, par: Par) -> Result<Vec<f64>> {
    let root: Vec<f64> = fitted.gram.iter().map(|g| g.sqrt()).collect();
    let (m, t, r) = (root.len(), targets.prior.len(), targets.x.ncols());
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
    let (factor, inverse) = factorise(m, entry, par)?;
    // columns of sigma2 N^(1/2) K* and N^(-1/2) Z'WX, both multiplied by L^-1 D^-1/2
    let mut c = Mat::from_fn(m, t, |i, j| inverse[i] * root[i] * sigma2 * targets.k[(j, i)]);
    let cross = |i: usize, j: usize| {
        if root[i] > 0.0 {
            inverse[i] * (fitted.cross[(i, j)] / root[i])
        } else {
            0.0
        }
    };
    let mut x = Mat::from_fn(m, r, cross);
    solve_lower_triangular_in_place(factor.as_ref(), c.as_mut(), par);
    solve_lower_triangular_in_place(factor.as_ref(), x.as_mut(), par);
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

/// Cholesky factor of `D^-1/2 A D^-1/2` and the diagonal of `D^-1/2`, D the diagonal of A; `entry` gives A.
///
/// Scaled to a unit diagonal, groups of very different weight keep their own accuracy. A singular A (no residual variance) gets a
/// diagonal that is raised to rounding.
fn factorise(n: usize, entry: impl Fn(usize, usize) -> f64, par: Par) -> Result<(Mat<f64>, Vec<f64>)> {
    let inverse: Vec<f64> = (0..n)
        .map(|i| entry(i, i))
        .map(|d| if d > 0.0 { d.sqrt().recip() } else { 1.0 })
        .collect();
    let mut raise = 0.0;
    while raise < 1e-3 {
        let scaled = |i: usize, j: usize| match i.cmp(&j) {
            Ordering::Greater => inverse[i] * entry(i, j) * inverse[j],
            Ordering::Equal => 1.0 + raise,
            Ordering::Less => 0.0,
        };
        let mut v = Mat::from_fn(n, n, scaled);
        let scratch = llt::factor::cholesky_in_place_scratch::<f64>(n, par, Default::default());
        let mut memory = dyn_stack::MemBuffer::new(scratch);
        let stack = dyn_stack::MemStack::new(&mut memory);
        if llt::factor::cholesky_in_place(v.as_mut(), Default::default(), par, stack, Default::default()).is_ok() {
            return Ok((v, inverse));
        }
        raise = if raise == 0.0 {
            n as f64 * f64::EPSILON
        } else {
            10.0 * raise
        };
    }
    Err(Error::NoConvergence {
        what: "a Cholesky factorisation",
        iterations: 0,
    })
}
