//! Stationary kernels of coordinates and their spectral densities (Rasmussen and Williams 2006, section 4.2), with variance one.
//!
//! Lengths are in units of the length scales: a lag enters as `r = |(x_i - x'_i) / ell_i|` and a frequency, with 2 pi in the exponent of the Fourier
//! transform, as `rho = |ell_i xi_i|`; the density in the user's units is `prod_i ell_i` times that in these units.

use crate::linalg::Scalar;
use crate::words;
use std::f64::consts::PI;

/// Families of isotropic correlations k(r), r the distance in length scales.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Squared exponential, `exp(-r^2 / 2)`.
    ExpQuad,
    /// Matern of smoothness 1/2, `exp(-r)`.
    Matern12,
    /// Matern of smoothness 3/2, `(1 + a) exp(-a)`, `a = sqrt(3) r`.
    Matern32,
    /// Matern of smoothness 5/2, `(1 + a + a^2 / 3) exp(-a)`, `a = sqrt(5) r`.
    Matern52,
}

words!(
    Family, "cov",
    "matern52" => Family::Matern52, "exp_quad" => Family::ExpQuad, "matern12" => Family::Matern12, "matern32" => Family::Matern32
);

impl Family {
    /// Smoothness of the Matern family; `None` for the squared exponential.
    fn nu(self) -> Option<f64> {
        match self {
            Family::ExpQuad => None,
            Family::Matern12 => Some(0.5),
            Family::Matern32 => Some(1.5),
            Family::Matern52 => Some(2.5),
        }
    }

    /// k(r), k(0) = 1.
    pub fn correlation(self, r: f64) -> f64 {
        let a = |nu: f64| (2.0 * nu).sqrt() * r;
        match self {
            Family::ExpQuad => (-0.5 * r * r).exp(),
            Family::Matern12 => (-r).exp(),
            Family::Matern32 => (1.0 + a(1.5)) * (-a(1.5)).exp(),
            Family::Matern52 => (1.0 + a(2.5) + a(2.5).powi(2) / 3.0) * (-a(2.5)).exp(),
        }
    }

    /// -k'(r) / r: times the square of an axis' part of r, the slope of k in the logarithm of that axis' length scale.
    pub(crate) fn steepness(self, r: f64) -> f64 {
        let a = |nu: f64| (2.0 * nu).sqrt() * r;
        match self {
            Family::ExpQuad => (-0.5 * r * r).exp(),
            Family::Matern12 if r == 0.0 => 0.0,
            Family::Matern12 => (-r).exp() / r,
            Family::Matern32 => 3.0 * (-a(1.5)).exp(),
            Family::Matern52 => 5.0 / 3.0 * (1.0 + a(2.5)) * (-a(2.5)).exp(),
        }
    }

    /// k(r), the steepness, and -1/r times its slope: times squares of the axes' parts of r all that k is to second order in the logarithms of length scales.
    pub(crate) fn to_second(self, r: f64) -> [f64; 3] {
        match self {
            Family::Matern12 if r == 0.0 => [1.0, 0.0, 0.0],
            Family::Matern32 if r == 0.0 => [1.0, 3.0, 0.0],
            Family::ExpQuad => [(-0.5 * r * r).exp(); 3],
            Family::Matern12 => {
                let e = (-r).exp();
                [e, e / r, e * (1.0 + r) / (r * r * r)]
            }
            Family::Matern32 => {
                let a = 3f64.sqrt() * r;
                let e = (-a).exp();
                [(1.0 + a) * e, 3.0 * e, 3.0 * 3f64.sqrt() * e / r]
            }
            Family::Matern52 => {
                let a = 5f64.sqrt() * r;
                let e = (-a).exp();
                [(1.0 + a + a * a / 3.0) * e, 5.0 / 3.0 * (1.0 + a) * e, 25.0 / 3.0 * e]
            }
        }
    }

    /// Logarithm of the spectral density in d dimensions at the square of rho, for length scales of one.
    pub(crate) fn log_density<D: Scalar>(self, rho2: D, d: usize) -> D {
        let half = d as f64 / 2.0;
        match self.nu() {
            None => -rho2 * (2.0 * PI * PI) + half * (2.0 * PI).ln(),
            Some(nu) => {
                let constant = d as f64 * (4.0 * PI).ln() / 2.0 + ln_gamma_ratio(nu, d) + nu * (2.0 * nu).ln();
                -(rho2 * (4.0 * PI * PI) + 2.0 * nu).ln() * (nu + half) + constant
            }
        }
    }

    /// Part of the variance whose frequencies lie beyond rho, in d dimensions.
    pub(crate) fn tail(self, rho: f64, d: usize) -> f64 {
        let radial = |t: f64| {
            // rho = rho0 / t maps the tail to (0, 1]
            let at = rho / t;
            self.log_density(at * at, d).exp() * at.powi(d as i32 - 1) * sphere(d) * rho / (t * t)
        };
        match (self.nu(), d) {
            (Some(0.5), 1) => 1.0 - 2.0 / PI * (2.0 * PI * rho).atan(),
            (None, 2) => (-2.0 * (PI * rho).powi(2)).exp(),
            (Some(nu), 2) => (2.0 * (PI * rho).powi(2) / nu + 1.0).powf(-nu),
            _ => gauss_legendre(radial, 0.0, 1.0),
        }
    }

    /// Integral of the square of the density over the frequencies beyond rho, in d dimensions: that of the square of what they add to the correlation over all lags.
    pub fn tail_of_squares(self, rho: f64, d: usize) -> f64 {
        let radial = |t: f64| {
            let at = rho / t;
            (2.0 * self.log_density(at * at, d)).exp() * at.powi(d as i32 - 1) * sphere(d) * rho / (t * t)
        };
        gauss_legendre(radial, 0.0, 1.0)
    }

    /// The distance beyond which the correlation is below `eps`.
    pub(crate) fn reach(self, eps: f64) -> f64 {
        bisect(|r| self.correlation(r) - eps)
    }

    /// The frequency beyond which less than `eps` of the variance lies.
    pub(crate) fn band(self, eps: f64, d: usize) -> f64 {
        bisect(|rho| self.tail(rho, d) - eps)
    }
}

/// log(Gamma(nu + d/2) / Gamma(nu)) for nu = 1/2, 3/2, 5/2.
fn ln_gamma_ratio(nu: f64, d: usize) -> f64 {
    let whole = |from: f64, steps: usize| (0..steps).map(|i| (from + i as f64).ln()).sum::<f64>();
    match d {
        2 => nu.ln(),
        // Gamma at whole and half numbers by their recurrence from Gamma(1) and Gamma(1/2)
        _ => {
            let top = whole(1.0, (nu + d as f64 / 2.0 - 1.0).round() as usize);
            let bottom = 0.5 * PI.ln() + whole(0.5, (nu - 0.5).round() as usize);
            top - bottom
        }
    }
}

/// Surface of the unit sphere in d dimensions.
fn sphere(d: usize) -> f64 {
    [2.0, 2.0 * PI, 4.0 * PI][d.clamp(1, 3) - 1]
}

/// Root of a falling function of a positive number.
fn bisect(f: impl Fn(f64) -> f64) -> f64 {
    let mut high = 1.0;
    while f(high) > 0.0 && high < 1e12 {
        high *= 2.0;
    }
    let mut low = 0.0;
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if f(middle) > 0.0 { low = middle } else { high = middle }
    }
    high
}

/// Integral by composite Gauss-Legendre quadrature.
fn gauss_legendre(f: impl Fn(f64) -> f64, a: f64, b: f64) -> f64 {
    const NODES: [(f64, f64); 4] = [
        (0.183_434_642_495_649_8, 0.362_683_783_378_362),
        (0.525_532_409_916_329, 0.313_706_645_877_887_3),
        (0.796_666_477_413_626_7, 0.222_381_034_453_374_5),
        (0.960_289_856_497_536_3, 0.101_228_536_290_376_3),
    ];
    const PIECES: usize = 64;
    let width = (b - a) / PIECES as f64;
    let piece = |i: usize| {
        let middle = a + (i as f64 + 0.5) * width;
        let node = |(x, w): &(f64, f64)| w * (f(middle - 0.5 * width * x) + f(middle + 0.5 * width * x));
        NODES.iter().map(node).sum::<f64>() * 0.5 * width
    };
    (0..PIECES).map(piece).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Family; 4] = [Family::ExpQuad, Family::Matern12, Family::Matern32, Family::Matern52];

    /// By Parseval's identity, on a line.
    #[test]
    fn squares_of_density_and_correlation_have_one_integral() {
        for family in ALL {
            let inside = gauss_legendre(|rho| 2.0 * (2.0 * family.log_density(rho * rho, 1)).exp(), 0.0, 0.3);
            let lags = 2.0 * gauss_legendre(|r| family.correlation(r).powi(2), 0.0, 40.0);
            let all = inside + family.tail_of_squares(0.3, 1);
            assert!((all / lags - 1.0).abs() < 1e-6, "{family:?}: {all} {lags}");
        }
    }

    #[test]
    fn the_density_integrates_to_the_variance() {
        for family in ALL {
            for d in 1..=3 {
                let inside = gauss_legendre(
                    |t| {
                        let rho = 0.2 * t;
                        family.log_density(rho * rho, d).exp() * rho.powi(d as i32 - 1) * sphere(d) * 0.2
                    },
                    0.0,
                    1.0,
                );
                assert!(
                    (inside + family.tail(0.2, d) - 1.0).abs() < 1e-8,
                    "{family:?} {d} {inside}"
                );
            }
        }
    }

    #[test]
    fn the_density_is_the_fourier_transform_of_the_correlation() {
        // in one dimension: 2 int_0^inf k(r) cos(2 pi rho r) dr
        for family in ALL {
            for rho in [0.0, 0.1, 0.4] {
                let transform: f64 = (0..80)
                    .map(|i| {
                        gauss_legendre(
                            |r| 2.0 * family.correlation(r) * (2.0 * PI * rho * r).cos(),
                            i as f64,
                            i as f64 + 1.0,
                        )
                    })
                    .sum();
                let density = family.log_density(rho * rho, 1).exp();
                assert!(
                    (transform - density).abs() < 1e-9,
                    "{family:?} {rho}: {transform} {density}"
                );
            }
        }
    }

    #[test]
    fn the_steepness_is_the_slope_of_the_correlation() {
        for family in ALL {
            for r in [0.05, 0.7, 3.0] {
                let slope = (family.correlation(r + 1e-6) - family.correlation(r - 1e-6)) / 2e-6;
                assert!((family.steepness(r) * r + slope).abs() < 1e-9, "{family:?} {r}");
                let bend = (family.steepness(r + 1e-6) - family.steepness(r - 1e-6)) / 2e-6;
                let [k, steepness, bent] = family.to_second(r);
                assert!(
                    (k - family.correlation(r)).abs() < 1e-15 && (steepness / family.steepness(r) - 1.0).abs() < 1e-14
                );
                assert!((bent * r / bend + 1.0).abs() < 1e-6, "{family:?} {r}");
            }
        }
    }

    #[test]
    fn reach_and_band_are_where_they_say() {
        for family in ALL {
            assert!((family.correlation(family.reach(1e-6)) / 1e-6 - 1.0).abs() < 1e-6);
            assert!(
                (family.tail(family.band(1e-3, 2), 2) / 1e-3 - 1.0).abs() < 1e-6,
                "{family:?}"
            );
        }
    }
}
