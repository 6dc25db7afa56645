//! Entry point of the signs and order of the factors of all draws of `slamglmm_fit()`.

use crate::failure::Reply;
use crate::view;
use extendr_api::prelude::*;
use fastlmm_core::runtime::parallel::Workers;
use fastlmm_core::slam::alignment::align;

/// Loadings of p traits on k factors, one draw after the other: for each draw the numbers of its factors in the order of all, and their signs.
/// @noRd
#[extendr]
fn ffi_slam_align(draws: &[f64], p: i32, k: i32, threads: i32) -> Reply<List> {
    let (p, k) = (view::count(p, "p")?, view::count(k, "k")?);
    let count = draws.len() / (p * k).max(1);
    view::same_length("draws", draws.len(), count * p * k)?;
    let found = align(draws, p, k, &Workers::new(view::count(threads, "threads")?)?)?;
    let order: Vec<i32> = found.order.iter().map(|&m| m as i32 + 1).collect();
    Ok(list!(order = order, sign = found.sign))
}

extendr_module! {
    mod slam_alignment;
    fn ffi_slam_align;
}
