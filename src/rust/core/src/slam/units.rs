//! Units of the sampler: what the flat fixed effects leave of a response has variance one, so that no prior depends on them.

use crate::linalg::{max_abs, norm, power_of_two};
use crate::rotation::fixed_qr::Design;

/// Least squares of a response on a design of full column rank: `y = X coefficients + sd scaled`, where `scaled` has the residual variance one.
#[derive(Debug, Clone)]
pub struct Scaled {
    /// Of the kept columns of the design, in the units of y.
    pub coefficients: Vec<f64>,
    /// Residual standard deviation, n - rank degrees of freedom; 0: the design explains y exactly.
    pub sd: f64,
    /// Residuals divided by `sd`; zeros if that is 0.
    pub scaled: Vec<f64>,
}

/// What is below this many units in the last place of the largest number is rounding.
const ROUNDING: f64 = 64.0 * f64::EPSILON;

impl Scaled {
    /// `y` has a number for each row of the design.
    pub fn new(design: &Design, y: &[f64]) -> Self {
        let (n, rank) = (y.len(), design.rank());
        let unit = power_of_two(max_abs(y.iter().copied()));
        let mut turned: Vec<f64> = y.iter().map(|v| v / unit).collect();
        design.q.transpose_apply(&mut turned);
        let mut coefficients = turned[..rank].to_vec();
        design.solve(&mut coefficients);
        turned[..rank].fill(0.0);
        let sd = norm(&turned) / ((n - rank) as f64).sqrt();
        let sd = if sd > ROUNDING { sd } else { 0.0 };
        design.q.apply(&mut turned);
        turned
            .iter_mut()
            .for_each(|v| *v = if sd > 0.0 { *v / sd } else { 0.0 });
        coefficients.iter_mut().for_each(|b| *b *= unit);
        Self {
            coefficients,
            sd: sd * unit,
            scaled: turned,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use faer::Mat;

    fn design() -> Design {
        let x = Mat::from_fn(7, 2, |i, j| if j == 0 { 1.0 } else { (i * i) as f64 });
        Design::new(x.as_ref(), &[1.0; 7]).unwrap()
    }

    #[test]
    fn parts_add_up_to_the_response_in_any_unit() {
        let e = [1.0, -2.0, 0.5, 3.0, 0.0, -1.0, 2.0];
        for unit in [1.0, 1e-140, 1e140] {
            let y: Vec<f64> = (0..7).map(|i| unit * (5.0 - 2.0 * (i * i) as f64 + e[i])).collect();
            let found = Scaled::new(&design(), &y);
            let sum: f64 = found.scaled.iter().map(|v| v * v).sum();
            assert!((sum - 5.0).abs() < 1e-12);
            for (i, y) in y.iter().enumerate() {
                let rebuilt =
                    found.coefficients[0] + found.coefficients[1] * (i * i) as f64 + found.sd * found.scaled[i];
                assert!((rebuilt - y).abs() < 1e-12 * unit * 80.0);
            }
        }
    }

    #[test]
    fn a_response_in_the_span_of_the_design_has_no_unit() {
        let y: Vec<f64> = (0..7).map(|i| 3.0 + 0.1 * (i * i) as f64).collect();
        assert_eq!(Scaled::new(&design(), &y).sd, 0.0);
    }
}
