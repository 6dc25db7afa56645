//! The response in units of order one, with X taken off it before anything is judged: numbers far from zero lose nothing in the rotation,
//! and rounding is measured by the length of the remainder.

use crate::linalg::{max_abs, norm, power_of_two};
use crate::rotation::fixed_qr::Design;
use crate::runtime::error::{Error, Result};

/// `sqrt(w) y = scale (y' + Q1 along)`, where y' is small wherever X explains nearly all of y.
#[derive(Debug, Clone)]
pub struct Centred {
    /// y'
    pub y: Vec<f64>,
    /// What was taken off, along the orthonormal basis of span(X).
    pub along: Vec<f64>,
    pub scale: f64,
    pub length: Length,
}

/// Lengths that rounding is measured by, in units of the scale.
#[derive(Debug, Clone, Copy, Default)]
pub struct Length {
    /// Of the numbers as they were given, X's part included: half a unit in their last place is lost before we see them.
    pub given: f64,
    /// Of what is rotated.
    pub rotated: f64,
}

impl Length {
    /// What of a response that X explains exactly is left by rounding.
    pub fn of_given(self) -> f64 {
        8.0 * f64::EPSILON * self.given
    }

    /// What the rotation of n numbers leaves in directions that hold nothing.
    pub fn of_rotation(self, n: usize) -> f64 {
        80.0 * f64::EPSILON * (n as f64).sqrt() * self.rotated + self.of_given()
    }
}

/// Part of a response's length that X must leave for it to be taken as it is; with less, X is taken off in twice the digits first, which costs some passes over the rows.
const LITTLE: f64 = 0.1;

impl Centred {
    /// `root`: roots of the weights, by which `design` is weighted.
    pub fn new(design: &Design, y: &[f64], root: &[f64]) -> Result<Self> {
        let (whole, scale) = scaled_response(y, root)?;
        let length = norm(&whole);
        let mut turned = whole.clone();
        design.q.transpose_apply(&mut turned);
        if design.rank() == 0 || norm(&turned[design.rank()..]) > LITTLE * length {
            return Ok(Self {
                y: whole,
                along: vec![0.0; design.rank()],
                scale,
                length: Length {
                    given: length,
                    rotated: length,
                },
            });
        }
        Self::without_x(design, y, root, (turned, scale))
    }

    /// Twice: the second pass takes off the rounding of the first one's coefficients.
    fn without_x(design: &Design, y: &[f64], root: &[f64], (turned, scale): (Vec<f64>, f64)) -> Result<Self> {
        let weigh = |v: f64, s: f64| v * (s / scale);
        let unit = power_of_two(max_abs(y.iter().copied()));
        let mut rest = DoubleDouble::new(y.iter().map(|y| y / unit));
        let mut along = vec![0.0; design.rank()];
        let mut head = turned;
        for _ in 0..2 {
            head.truncate(design.rank());
            along.iter_mut().zip(&head).for_each(|(a, h)| *a += h);
            for (x, b) in design.columns().iter().zip(design.coefficients(head)) {
                rest.subtract(x, b * (scale / unit));
            }
            head = (0..y.len()).map(|i| weigh(rest.value(i) * unit, root[i])).collect();
            design.q.transpose_apply(&mut head);
        }
        let y: Vec<f64> = (0..y.len()).map(|i| weigh(rest.value(i) * unit, root[i])).collect();
        let given: Vec<f64> = (0..y.len()).map(|i| weigh(rest.size[i] * unit, root[i])).collect();
        let centred = Self {
            length: Length {
                given: norm(&given),
                rotated: norm(&y),
            },
            y,
            along,
            scale,
        };
        centred.of_order_one()
    }

    /// A response that is rounding keeps the scale of what was taken off.
    fn of_order_one(mut self) -> Result<Self> {
        if self.length.rotated <= self.length.of_given() {
            return Ok(self);
        }
        let unit = power_of_two(max_abs(self.y.iter().copied()));
        self.scale = normal(self.scale * unit)?;
        self.y.iter_mut().chain(&mut self.along).for_each(|v| *v /= unit);
        self.length = Length {
            given: self.length.given / unit,
            rotated: self.length.rotated / unit,
        };
        Ok(self)
    }
}

/// Sums in twice the digits: numbers and what their rounding lost (Dekker's product, Knuth's sum).
struct DoubleDouble {
    high: Vec<f64>,
    low: Vec<f64>,
    /// Sum of the sizes of all terms.
    size: Vec<f64>,
}

impl DoubleDouble {
    fn new(x: impl Iterator<Item = f64>) -> Self {
        let high: Vec<f64> = x.collect();
        Self {
            low: vec![0.0; high.len()],
            size: high.iter().map(|x| x.abs()).collect(),
            high,
        }
    }

    fn value(&self, i: usize) -> f64 {
        self.high[i] + self.low[i]
    }

    /// Take `b x` off.
    fn subtract(&mut self, x: &[f64], b: f64) {
        let (b1, b2) = halves(b);
        let sums = self.high.iter_mut().zip(&mut self.low).zip(&mut self.size);
        for (((high, low), size), x) in sums.zip(x) {
            let (x1, x2) = halves(*x);
            let product = x * b;
            let lost = x2 * b2 - (((product - x1 * b1) - x2 * b1) - x1 * b2);
            let sum = *high - product;
            let other = sum - *high;
            *low += (*high - (sum - other)) - (product + other) - lost;
            *high = sum;
            *size += product.abs();
        }
    }
}

/// A number as the sum of two of half its digits.
fn halves(x: f64) -> (f64, f64) {
    const SPLIT: f64 = 134_217_729.0;
    let c = SPLIT * x;
    let high = c - (c - x);
    (high, x - high)
}

/// Response times the root of the weights, scaled by a power of two to be of order one.
pub fn scaled_response(y: &[f64], root: &[f64]) -> Result<(Vec<f64>, f64)> {
    let unit = |x: &[f64]| power_of_two(max_abs(x.iter().copied()));
    let (y_unit, root_unit) = (unit(y), unit(root));
    let product: Vec<f64> = y
        .iter()
        .zip(root)
        .map(|(y, s)| (y / y_unit) * (s / root_unit))
        .collect();
    let rest = unit(&product);
    let scale = normal(y_unit * root_unit * rest)?;
    Ok((product.iter().map(|v| v / rest).collect(), scale))
}

fn normal(scale: f64) -> Result<f64> {
    match scale.is_normal() {
        true => Ok(scale),
        false => Err(Error::Scale { value: scale * scale }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use faer::Mat;

    /// Integers, so that a shift of a power of two is exact: what is left must be the same to the last bits.
    #[test]
    fn a_shift_along_x_changes_only_what_is_taken_off() {
        let n = 12;
        let x = Mat::from_fn(n, 2, |i, j| if j == 0 { i as f64 } else { 11.0 - i as f64 });
        let root = vec![1.0; n];
        let design = Design::new(x.as_ref(), &root).unwrap();
        let y: Vec<f64> = (0..n).map(|i| ((i * i * 7) % 11) as f64).collect();
        let far = |shift: f64| {
            let y: Vec<f64> = y.iter().map(|y| y + 11.0 * shift).collect();
            Centred::new(&design, &y, &root).unwrap()
        };
        let contrasts = |c: &Centred| {
            let mut turned = c.y.clone();
            design.q.transpose_apply(&mut turned);
            turned[2..].iter().map(|v| v * c.scale).collect::<Vec<_>>()
        };
        let near = contrasts(&far(0.0));
        for shift in [2f64.powi(20), 2f64.powi(40), -(2f64.powi(45))] {
            let found = far(shift);
            assert!(found.length.rotated * found.scale < 100.0);
            for (a, b) in contrasts(&found).iter().zip(&near) {
                assert!((a - b).abs() < 1e-13 * norm(&near), "{a} {b} at {shift}");
            }
        }
    }
}
