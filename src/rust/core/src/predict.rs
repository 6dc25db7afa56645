//! Variance of predictions: best linear unbiased prediction with the uncertainty of beta (universal kriging).

use crate::error::Result;
use crate::kernel::Kernel;
use crate::linalg::{dot, max_abs, product};
use crate::parallel::{Workers, check_memory};
use faer::linalg::cholesky::llt;
use faer::linalg::triangular_solve::solve_lower_triangular_in_place;
use faer::{Mat, MatRef, Par};

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
    Ok(match fitted.kernel {
        Kernel::LowRank(w) => workers.run(|par| solve_factor(fitted, w.0, targets, par)),
        _ => workers.run(|par| solve(fitted, targets, par)),
    })
}

/// The same through the k columns of W: with `G = W'NW + delta I`, `Var(u | y, beta) = sigma2_e w'G^-1 w` and `d = x - X'ZW G^-1 w`.
fn solve_factor(fitted: &Fitted<'_>, w: MatRef<'_, f64>, targets: &Targets<'_>, par: Par) -> Vec<f64> {
    let (m, k, t, r) = (fitted.index.len(), w.ncols(), targets.k.nrows(), targets.x.ncols());
    // sigma W, so that a variance of zero needs no case of its own
    let sigma = fitted.sigma2.sqrt();
    let own = Mat::from_fn(m, k, |i, c| sigma * w[(fitted.index[i], c)]);
    let weighted = Mat::from_fn(m, k, |i, c| fitted.gram[i] * own[(i, c)]);
    let gram = product(own.transpose(), weighted.as_ref(), par);
    let scale = (max_abs((0..k).map(|c| gram[(c, c)])) + fitted.sigma2_e).max(f64::MIN_POSITIVE);
    let lower = Mat::from_fn(k, k, |i, j| if i >= j { gram[(i, j)] / scale } else { 0.0 });
    let factor = factorise(lower, fitted.sigma2_e / scale, par);
    let mut c = Mat::from_fn(k, t, |i, j| sigma * targets.k[(j, i)]);
    let mut x = product(own.transpose(), fitted.cross, par);
    solve_lower_triangular_in_place(factor.as_ref(), c.as_mut(), par);
    solve_lower_triangular_in_place(factor.as_ref(), x.as_mut(), par);
    let shrunk = product(c.transpose(), x.as_ref(), par);
    let d = Mat::from_fn(t, r, |i, j| targets.x[(i, j)] - shrunk[(i, j)] / scale);
    let dv = product(d.as_ref(), fitted.vcov, par);
    let one = |i: usize| {
        let random: f64 = (0..k).map(|l| c[(l, i)] * c[(l, i)]).sum::<f64>() * fitted.sigma2_e / scale;
        random + (0..r).map(|j| dv[(i, j)] * d[(i, j)]).sum::<f64>()
    };
    (0..t).map(one).collect()
}

fn solve(fitted: &Fitted<'_>, targets: &Targets<'_>, par: Par) -> Vec<f64> {
    let (lower, scale) = covariance_between(fitted);
    let factor = factorise(lower, fitted.sigma2_e / scale, par);
    let root: Vec<f64> = fitted.gram.iter().map(|g| g.sqrt()).collect();
    let (m, t, r) = (root.len(), targets.prior.len(), targets.x.ncols());
    // columns of sigma2 N^(1/2) K* and N^(-1/2) Z'WX, both multiplied by L^-1
    let mut c = Mat::from_fn(m, t, |i, j| fitted.sigma2 / scale * root[i] * targets.k[(j, i)]);
    let mut x = Mat::from_fn(m, r, |i, j| {
        if root[i] > 0.0 {
            fitted.cross[(i, j)] / root[i]
        } else {
            0.0
        }
    });
    solve_lower_triangular_in_place(factor.as_ref(), c.as_mut(), par);
    solve_lower_triangular_in_place(factor.as_ref(), x.as_mut(), par);
    let shrunk = product(c.transpose(), x.as_ref(), par);
    let d = Mat::from_fn(t, r, |i, j| targets.x[(i, j)] - shrunk[(i, j)]);
    let dv = product(d.as_ref(), fitted.vcov, par);
    let one = |i: usize| {
        let column: Vec<f64> = c.col(i).iter().copied().collect();
        let random = fitted.sigma2 * targets.prior[i] - scale * dot(&column, &column);
        let fixed: f64 = (0..r).map(|j| dv[(i, j)] * d[(i, j)]).sum();
        random.max(0.0) + fixed
    };
    (0..t).map(one).collect()
}

/// Lower triangle of `sigma2 N^(1/2) K N^(1/2)` over the returned scale.
fn covariance_between(fitted: &Fitted<'_>) -> (Mat<f64>, f64) {
    let m = fitted.index.len();
    let Fitted {
        kernel,
        index,
        gram,
        sigma2,
        sigma2_e,
        ..
    } = fitted;
    let entry = |i: usize, j: usize| sigma2 * (gram[i] * gram[j]).sqrt() * kernel.entry(index[i], index[j]);
    let largest = max_abs((0..m).map(|i| entry(i, i)));
    let scale = (largest + sigma2_e).max(f64::MIN_POSITIVE);
    (
        Mat::from_fn(m, m, |i, j| if i >= j { entry(i, j) / scale } else { 0.0 }),
        scale,
    )
}

/// Cholesky factor of `plain + nugget I`, given the lower triangle; a nugget of 0 is raised to rounding.
fn factorise(plain: Mat<f64>, nugget: f64, par: Par) -> Mat<f64> {
    let m = plain.nrows();
    let mut nugget = nugget.max(f64::EPSILON * (m as f64).powi(2));
    let mut v = plain.clone();
    loop {
        (0..m).for_each(|i| v[(i, i)] = plain[(i, i)] + nugget);
        let scratch = llt::factor::cholesky_in_place_scratch::<f64>(m, par, Default::default());
        let mut memory = dyn_stack::MemBuffer::new(scratch);
        let stack = dyn_stack::MemStack::new(&mut memory);
        let done = llt::factor::cholesky_in_place(v.as_mut(), Default::default(), par, stack, Default::default());
        if done.is_ok() {
            return v;
        }
        nugget *= 10.0;
        v.copy_from(&plain);
    }
}
