//! Cross products of the real basis functions from a table of Fourier sums: no pass over the data.
//!
//! `f_0 = 1`, and for each frequency of the half space `sqrt2 cos theta_j` and `sqrt2 sin theta_j`, `theta_j = 2 pi h j.(x - centre)`. With the table
//! `c_k = sum_n cos theta_k(x_n)`, `s_k = sum_n sin theta_k(x_n)`
//!
//! ```text
//! sum cos_a cos_b = (c_(a-b) + c_(a+b)) / 2,  sum sin_a sin_b = (c_(a-b) - c_(a+b)) / 2,  sum cos_a sin_b = (s_(a+b) - s_(a-b)) / 2
//! ```

use faer::Mat;
use std::f64::consts::SQRT_2;

/// Sums over the data of cos and sin of the frequencies -m..m of each axis, the first axis fastest.
#[derive(Debug, Clone, PartialEq)]
pub struct Sums {
    /// Highest frequency of each axis.
    pub m: Vec<usize>,
    /// `c_k`, one for each of the `prod (2 m + 1)` frequencies.
    pub cos: Vec<f64>,
    /// `s_k`, in the same order.
    pub sin: Vec<f64>,
}

impl Sums {
    /// A table of zeros that reaches to the frequencies m of each axis.
    pub fn zeros(m: Vec<usize>) -> Self {
        let count = m.iter().map(|m| 2 * m + 1).product();
        Self {
            m,
            cos: vec![0.0; count],
            sin: vec![0.0; count],
        }
    }

    /// The frequencies of the table, in its order.
    pub(crate) fn keys(&self) -> Vec<Vec<i64>> {
        let key = |mut index: usize| {
            let digit = |m: &usize| {
                let k = (index % (2 * m + 1)) as i64 - *m as i64;
                index /= 2 * m + 1;
                k
            };
            self.m.iter().map(digit).collect()
        };
        (0..self.cos.len()).map(key).collect()
    }

    /// Sums of the multiples of some frequencies, -m..m times the stride.
    pub(crate) fn strided(&self, stride: &[usize], m: &[usize]) -> Self {
        let mut part = Self::zeros(m.to_vec());
        for (index, k) in part.keys().into_iter().enumerate() {
            let multiple = k.iter().zip(stride).map(|(k, s)| k * *s as i64);
            (part.cos[index], part.sin[index]) = self.at(multiple);
        }
        part
    }

    fn index(&self, j: impl Iterator<Item = i64>) -> usize {
        let (mut index, mut stride) = (0, 1);
        for (j, m) in j.zip(&self.m) {
            index += (j + *m as i64) as usize * stride;
            stride *= 2 * m + 1;
        }
        index
    }

    fn at(&self, j: impl Iterator<Item = i64>) -> (f64, f64) {
        let index = self.index(j);
        (self.cos[index], self.sin[index])
    }

    /// Sums of the basis functions of the given frequencies (0 first): one, then a cosine and a sine each.
    pub(crate) fn functions(&self, frequencies: &[Vec<i64>]) -> Vec<f64> {
        let pair = |j: &Vec<i64>| {
            let (c, s) = self.at(j.iter().copied());
            [c * SQRT_2, s * SQRT_2]
        };
        let first = self.at(frequencies[0].iter().copied()).0;
        std::iter::once(first)
            .chain(frequencies[1..].iter().flat_map(pair))
            .collect()
    }

    /// Lower triangle of F'F; the table must reach to twice the frequencies.
    pub(crate) fn gram(&self, frequencies: &[Vec<i64>]) -> Mat<f64> {
        let size = 2 * frequencies.len() - 1;
        let mut gram = Mat::zeros(size, size);
        let first = self.functions(frequencies);
        (0..size).for_each(|i| gram[(i, 0)] = first[i]);
        for (b, jb) in frequencies.iter().enumerate().skip(1) {
            for (a, ja) in frequencies.iter().enumerate().skip(b) {
                let (c_minus, s_minus) = self.at(ja.iter().zip(jb).map(|(a, b)| a - b));
                let (c_plus, s_plus) = self.at(ja.iter().zip(jb).map(|(a, b)| a + b));
                let (row, column) = (2 * a - 1, 2 * b - 1);
                gram[(row, column)] = c_minus + c_plus;
                gram[(row + 1, column + 1)] = c_minus - c_plus;
                gram[(row + 1, column)] = s_plus + s_minus;
                gram[(row, column + 1)] = s_plus - s_minus;
            }
        }
        (0..frequencies.len())
            .skip(1)
            .for_each(|b| gram[(2 * b - 1, 2 * b)] = gram[(2 * b, 2 * b - 1)]);
        gram
    }

    /// Adds amplitudes of cos and sin to a field.
    fn add(&mut self, j: impl Iterator<Item = i64>, cos: f64, sin: f64) {
        let index = self.index(j);
        self.cos[index] += cos;
        self.sin[index] += sin;
    }

    /// Amplitudes of the field `sum_f a_f f`, a combination of the basis functions.
    pub(crate) fn combination(m: &[usize], frequencies: &[Vec<i64>], a: &[f64]) -> Self {
        let mut field = Self::zeros(m.to_vec());
        field.add(frequencies[0].iter().copied(), a[0], 0.0);
        for (j, a) in frequencies[1..].iter().zip(a[1..].chunks(2)) {
            field.add(j.iter().copied(), SQRT_2 * a[0], SQRT_2 * a[1]);
        }
        field
    }

    /// Amplitudes of the field `f' S f`, S given by its lower triangle: the adjoint of the Gram matrix.
    pub(crate) fn quadratic(m: &[usize], frequencies: &[Vec<i64>], s: &Mat<f64>) -> Self {
        let twice: Vec<usize> = m.iter().map(|m| 2 * m).collect();
        let first: Vec<f64> = (0..2 * frequencies.len() - 1)
            .map(|i| if i == 0 { s[(0, 0)] } else { 2.0 * s[(i, 0)] })
            .collect();
        let mut field = Self::combination(&twice, frequencies, &first);
        for (b, jb) in frequencies.iter().enumerate().skip(1) {
            for (a, ja) in frequencies.iter().enumerate().skip(b) {
                let (row, column) = (2 * a - 1, 2 * b - 1);
                let times = if a == b { 1.0 } else { 2.0 };
                let (cc, ss) = (times * s[(row, column)], times * s[(row + 1, column + 1)]);
                let sc = times * s[(row + 1, column)];
                let cs = if a == b { sc } else { times * s[(row, column + 1)] };
                field.add(ja.iter().zip(jb).map(|(a, b)| a - b), cc + ss, sc - cs);
                field.add(ja.iter().zip(jb).map(|(a, b)| a + b), cc - ss, sc + cs);
            }
        }
        field
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition: functions at each point, multiplied out.
    #[test]
    fn the_gram_matrix_is_that_of_the_functions() {
        let points: Vec<[f64; 2]> = (0..40)
            .map(|i| [(0.37 * f64::from(i)).sin() * 3.0, (0.91 * f64::from(i)).cos() * 3.0])
            .collect();
        let frequencies: Vec<Vec<i64>> = vec![
            vec![0, 0],
            vec![1, 0],
            vec![2, 0],
            vec![-1, 1],
            vec![0, 1],
            vec![2, 1],
            vec![-2, 2],
        ];
        let mut sums = Sums::zeros(vec![4, 4]);
        for k1 in -4i64..=4 {
            for k0 in -4i64..=4 {
                let index = ((k0 + 4) + 9 * (k1 + 4)) as usize;
                for p in &points {
                    let theta = k0 as f64 * p[0] + k1 as f64 * p[1];
                    sums.cos[index] += theta.cos();
                    sums.sin[index] += theta.sin();
                }
            }
        }
        let size = 2 * frequencies.len() - 1;
        let value = |p: &[f64; 2], f: usize| {
            let j = &frequencies[f.div_ceil(2)];
            let theta = j[0] as f64 * p[0] + j[1] as f64 * p[1];
            match f {
                0 => 1.0,
                _ if f % 2 == 1 => SQRT_2 * theta.cos(),
                _ => SQRT_2 * theta.sin(),
            }
        };
        let gram = sums.gram(&frequencies);
        for a in 0..size {
            for b in 0..=a {
                let slow: f64 = points.iter().map(|p| value(p, a) * value(p, b)).sum();
                assert!((gram[(a, b)] - slow).abs() < 1e-11, "{a} {b}");
            }
        }
    }
}
