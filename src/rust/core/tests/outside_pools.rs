//! Work outside a call's own pool keeps to the thread that asks for it. A process of its own: what is tested holds for a whole process.

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, Par, Side};
use fastlmm_core::runtime::parallel::{Workers, nothing_beside_pools};
use rayon::prelude::*;

fn matrix(n: usize) -> Mat<f64> {
    Mat::from_fn(n, n, |i, j| f64::sin((1 + i * 7 + j * j) as f64))
}

fn square(a: &Mat<f64>, par: Par) -> Mat<f64> {
    let mut c = Mat::zeros(a.nrows(), a.nrows());
    matmul(c.as_mut(), Accum::Replace, a.as_ref(), a.transpose(), 1.0, par);
    c
}

#[test]
fn only_pools_have_threads() {
    nothing_beside_pools();
    nothing_beside_pools();
    let here = std::thread::current().id();
    let elsewhere = |_: &usize| std::thread::current().id() != here;
    let all: Vec<usize> = (0..10_000).collect();
    assert!(!all.par_iter().any(elsewhere));
    assert_eq!(rayon::current_num_threads(), 1);
    // as large as is shared among threads, with and without a number of them
    let (a, n) = (matrix(700), 700);
    let whole = square(&a, Par::rayon(4));
    let values = whole.self_adjoint_eigenvalues(Side::Lower).unwrap();
    let by_svd = a.singular_values().unwrap();
    assert!((values[n - 1].sqrt() / by_svd[0] - 1.0).abs() < 1e-12);
    let workers = Workers::new(3).unwrap();
    assert_eq!(workers.run(|_| rayon::current_num_threads()), 3);
    assert!(workers.run(|_| all.par_iter().all(elsewhere)));
    let inside = workers.run(|par| square(&a, par));
    assert!((inside - &whole).norm_max() < 1e-10);
}
