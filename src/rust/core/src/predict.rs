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

/// Targets: rows of X, kernel between target and observed ids (t x m), prior variance over sigma2 (t).
pub struct Targets<'a> {
    pub x: MatRef<'a, f64>,
    pub k: MatRef<'a, f64>,
    pub prior: &'a [f64],
}

/// Variance of x'beta_hat + z u_hat - (x'beta + z u) for each target:
/// `sigma2 k** - c'V^-1 c + d' Var(beta_hat) d` with `c = sigma2 Z k*` and `d = x - X'V^-1 c`.
pub fn variance(fitted: &Fitted<'_>, targets: &Targets<'_>, threads: usize) -> Result<Vec<f64>> {
    let (m, t) = (fitted.index.len() as f64, targets.prior.len() as f64);
    check_memory(m * m + 2.0 * m * t)?;
    Ok(Workers::new(threads)?.run(|par| solve(fitted, targets, par)))
}

fn solve(fitted: &Fitted<'_>, targets: &Targets<'_>, par: Par) -> Vec<f64> {
    let (factor, scale) = factorise(fitted, par);
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

/// Cholesky factor of `(sigma2 N^(1/2) K N^(1/2) + sigma2_e I) / scale`; a residual variance of 0 is raised to rounding.
fn factorise(fitted: &Fitted<'_>, par: Par) -> (Mat<f64>, f64) {
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
    let mut v = Mat::from_fn(m, m, |i, j| if i >= j { entry(i, j) / scale } else { 0.0 });
    let floor = f64::EPSILON * (m as f64).powi(2);
    let mut nugget = (sigma2_e / scale).max(floor);
    let plain = v.clone();
    loop {
        (0..m).for_each(|i| v[(i, i)] = plain[(i, i)] + nugget);
        let scratch = llt::factor::cholesky_in_place_scratch::<f64>(m, par, Default::default());
        let mut memory = dyn_stack::MemBuffer::new(scratch);
        let stack = dyn_stack::MemStack::new(&mut memory);
        let done = llt::factor::cholesky_in_place(v.as_mut(), Default::default(), par, stack, Default::default());
        if done.is_ok() {
            return (v, scale);
        }
        nugget *= 10.0;
        v.copy_from(&plain);
    }
}
