//! Random effects given everything else, in the basis of their point: independent over rows.

use super::model::FactorModel;
use super::rng::{Stream, normal};

/// Q'Z u (of several effects, of their sum) of a residual with proportion h and variance sigma2: `prec = 1 / (sigma2 (1 - h)) + 1 / (sigma2 h s_i)`, zero where h or s_i is.
pub fn effect(model: &FactorModel, residual: &[f64], g: usize, sigma2: f64, rng: &mut Stream) -> Vec<f64> {
    let h = model.proportions.h[g];
    // numbers first: without them the loop becomes vector instructions
    let mut u: Vec<f64> = residual.iter().map(|_| normal(rng)).collect();
    for ((u, r), s) in u.iter_mut().zip(residual).zip(model.s_in(model.basis_of(g))) {
        let v = h * s + (1.0 - h);
        let (share, spread) = (h * s / v, (sigma2 * (1.0 - h) * h * s / v).sqrt());
        *u = share * r + spread * *u;
    }
    u
}
