//! The spreading kernel: "exponential of semicircle" phi(z) = exp(beta (sqrt(1 - z^2) - 1)) on [-1, 1], w cells of the fine grid wide
//! (Barnett, Magland and af Klinteberg 2019). It is evaluated at all of its taps by one polynomial each.

use std::f64::consts::PI;

/// Widest kernel; its taps fill the lanes of whole vectors.
pub const WIDEST: usize = 16;

#[derive(Debug, Clone)]
pub struct SpreadingKernel {
    /// w: cells that a point touches on an axis.
    pub width: usize,
    /// Taps of one polynomial evaluation: w rounded up to a multiple of four, those beyond w are zero.
    pub taps: usize,
    /// Coefficients of the polynomials, highest degree first, `taps` of each degree.
    pub polynomials: Vec<f64>,
    quadrature: Vec<(f64, f64)>,
}

impl SpreadingKernel {
    /// One digit costs one cell.
    pub fn new(tolerance: f64) -> Self {
        let width = ((1.0 / tolerance).log10().ceil() as usize + 1).clamp(2, WIDEST);
        let taps = width.next_multiple_of(4);
        let quadrature = gauss_legendre(2 * width + 16).into_iter().filter(|(z, _)| *z > 0.0);
        let mut kernel = Self {
            width,
            taps,
            polynomials: vec![],
            quadrature: quadrature.map(|(z, weight)| (z, weight * phi(width, z))).collect(),
        };
        kernel.polynomials = kernel.fit();
        kernel
    }

    /// int phi(2 u / w) exp(-i omega u) du over the support, omega in radians a cell.
    pub fn transform(&self, omega: f64) -> f64 {
        let half = 0.5 * self.width as f64;
        let terms = self
            .quadrature
            .iter()
            .map(|(z, weight)| weight * (omega * half * z).cos());
        2.0 * half * terms.sum::<f64>()
    }

    /// Tap j lies at z = 2 (j + t) / w - 1, with t = (u + 1) / 2 the distance of the first tap from the border of the support.
    fn fit(&self) -> Vec<f64> {
        let piece = |j: usize, u: f64| phi(self.width, 2.0 * (j as f64 + 0.5 * (u + 1.0)) / self.width as f64 - 1.0);
        let pieces: Vec<Vec<f64>> = (0..self.width).map(|j| chebyshev(|u| piece(j, u))).collect();
        let enough = 0.03 * 10f64.powi(1 - self.width as i32);
        let tail = |degree: usize| {
            pieces
                .iter()
                .map(|c| c[degree + 1..].iter().map(|c| c.abs()).sum())
                .fold(0.0, f64::max)
        };
        let degree = (1..NODES - 1).find(|d| tail(*d) < enough).unwrap_or(NODES - 1);
        let mut polynomials = vec![0.0; (degree + 1) * self.taps];
        for (j, piece) in pieces.iter().enumerate() {
            let monomials = monomials(&piece[..=degree]);
            monomials
                .iter()
                .rev()
                .enumerate()
                .for_each(|(row, c)| polynomials[row * self.taps + j] = *c);
        }
        polynomials
    }
}

/// beta = 2.30 w suits a fine grid of twice as many cells as modes.
fn phi(width: usize, z: f64) -> f64 {
    let beta = 2.30 * width as f64;
    (beta * ((1.0 - z * z).max(0.0).sqrt() - 1.0)).exp()
}

const NODES: usize = 24;

/// Chebyshev coefficients of the interpolant of f on [-1, 1].
fn chebyshev(f: impl Fn(f64) -> f64) -> Vec<f64> {
    let angle = |i: usize| PI * (i as f64 + 0.5) / NODES as f64;
    let values: Vec<f64> = (0..NODES).map(|i| f(angle(i).cos())).collect();
    let moment = |k: usize| (0..NODES).map(|i| values[i] * (k as f64 * angle(i)).cos()).sum::<f64>();
    let scale = |k: usize| if k == 0 { 1.0 } else { 2.0 } / NODES as f64;
    (0..NODES).map(|k| scale(k) * moment(k)).collect()
}

/// From Chebyshev polynomials to powers, lowest first, by T_(k+1) = 2 u T_k - T_(k-1).
fn monomials(c: &[f64]) -> Vec<f64> {
    let mut sum = vec![0.0; c.len()];
    let (mut before, mut now) = (vec![0.0; c.len()], vec![0.0; c.len()]);
    now[0] = 1.0;
    for (k, c) in c.iter().enumerate() {
        sum.iter_mut().zip(&now).for_each(|(s, t)| *s += c * t);
        let factor = if k == 0 { 1.0 } else { 2.0 };
        let up = |i: usize| if i == 0 { 0.0 } else { now[i - 1] };
        let next = (0..now.len()).map(|i| factor * up(i) - before[i]).collect();
        before = std::mem::replace(&mut now, next);
    }
    sum
}

/// Nodes and weights of Gauss-Legendre quadrature on [-1, 1]: roots of P_n by Newton's method.
fn gauss_legendre(n: usize) -> Vec<(f64, f64)> {
    let legendre = |z: f64| {
        let (mut before, mut now) = (1.0, z);
        for k in 2..=n {
            let k = k as f64;
            (before, now) = (now, ((2.0 * k - 1.0) * z * now - (k - 1.0) * before) / k);
        }
        (now, n as f64 * (z * now - before) / (z * z - 1.0))
    };
    let root = |i: usize| {
        let start = (PI * (i as f64 + 0.75) / (n as f64 + 0.5)).cos();
        (0..8).fold(start, |z, _| z - legendre(z).0 / legendre(z).1)
    };
    let pair = |z: f64| (z, 2.0 / ((1.0 - z * z) * legendre(z).1.powi(2)));
    (0..n).map(|i| pair(root(i))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quadrature_is_exact_for_polynomials_of_degree_2n_minus_1() {
        for n in [3, 12, 40] {
            let rule = gauss_legendre(n);
            for degree in 0..2 * n {
                let sum: f64 = rule.iter().map(|(z, w)| w * z.powi(degree as i32)).sum();
                let exact = if degree % 2 == 0 {
                    2.0 / (degree as f64 + 1.0)
                } else {
                    0.0
                };
                assert!((sum - exact).abs() < 1e-13, "{n} {degree}");
            }
        }
    }

    #[test]
    fn polynomials_follow_the_kernel_to_its_own_accuracy() {
        for digits in 1..=15 {
            let kernel = SpreadingKernel::new(10f64.powi(-digits));
            for step in 0..=50 {
                let t = step as f64 / 50.0;
                for j in 0..kernel.taps {
                    let rows = kernel.polynomials.chunks_exact(kernel.taps);
                    let value = rows.fold(0.0, |sum, row| sum * (2.0 * t - 1.0) + row[j]);
                    let z = 2.0 * (j as f64 + t) / kernel.width as f64 - 1.0;
                    let exact = if j < kernel.width { phi(kernel.width, z) } else { 0.0 };
                    assert!(
                        (value - exact).abs() < 0.05 * 10f64.powi(1 - kernel.width as i32) + 2e-14,
                        "{digits} {j}"
                    );
                }
            }
        }
    }

    #[test]
    fn transform_agrees_with_a_fine_sum() {
        for digits in [2, 6, 14] {
            let kernel = SpreadingKernel::new(10f64.powi(-digits));
            let (w, steps) = (kernel.width as f64, 200_000);
            for omega in [0.0, 0.3, 0.5 * PI] {
                let u = |i: usize| w * ((i as f64 + 0.5) / steps as f64 - 0.5);
                let sum: f64 = (0..steps)
                    .map(|i| phi(kernel.width, 2.0 * u(i) / w) * (omega * u(i)).cos())
                    .sum();
                assert!(
                    (kernel.transform(omega) / (sum * w / steps as f64) - 1.0).abs()
                        < 1e-3 * 10f64.powi(-digits) + 1e-13
                );
            }
        }
    }
}
