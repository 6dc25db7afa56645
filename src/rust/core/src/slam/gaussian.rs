//! Draws from a normal distribution that is given by its precision.

use super::rng::{Stream, normal};
use crate::linalg::dot;

/// A small precision matrix by rows of its lower triangle, and what is multiplied by its inverse.
pub struct Gaussian {
    size: usize,
    p: Vec<f64>,
    z: Vec<f64>,
}

impl Gaussian {
    pub fn new(size: usize) -> Self {
        Self {
            size,
            p: vec![0.0; size * size],
            z: vec![0.0; size],
        }
    }

    /// Precision and right side, the lower triangle by `entry(i, j)`.
    pub fn set(&mut self, entry: impl Fn(usize, usize) -> f64, right: impl Fn(usize) -> f64) {
        for i in 0..self.size {
            (0..=i).for_each(|j| self.p[i * self.size + j] = entry(i, j));
            self.z[i] = right(i);
        }
    }

    /// Fixes an entry of what is drawn.
    pub fn fix(&mut self, at: usize, value: f64) {
        let size = self.size;
        for i in 0..size {
            let place = if i > at { i * size + at } else { at * size + i };
            self.z[i] -= self.p[place] * value;
            self.p[place] = 0.0;
        }
        self.p[at * size + at] = 1.0;
        self.z[at] = value;
    }

    /// `P^-1 z + sd L'^-1 eps` with P = L L': mean and a draw about it, entries that are fixed left out by `is_free`. False if P is not positive definite.
    pub fn draw(&mut self, sd: f64, is_free: impl Fn(usize) -> bool, out: &mut [f64], rng: &mut Stream) -> bool {
        if !self.factor() {
            return false;
        }
        let (size, l) = (self.size, &self.p);
        for i in 0..size {
            let row = &l[i * size..i * size + i];
            let sum: f64 = row.iter().zip(&out[..i]).map(|(a, b)| a * b).sum();
            out[i] = (self.z[i] - sum) / l[i * size + i];
        }
        for (i, value) in out.iter_mut().enumerate() {
            let eps = normal(rng);
            if is_free(i) {
                *value += sd * eps;
            }
        }
        for i in (0..size).rev() {
            out[i] /= l[i * size + i];
            let value = out[i];
            let (above, _) = out.split_at_mut(i);
            for (x, a) in above.iter_mut().zip(&l[i * size..i * size + i]) {
                *x -= a * value;
            }
        }
        true
    }

    /// A draw with another right side, by the factor that [`Gaussian::factor`] made.
    pub fn draw_for(&self, right: impl Fn(usize) -> f64, out: &mut [f64], rng: &mut Stream) {
        (0..self.size).for_each(|i| out[i] = right(i));
        self.forward(out, 0);
        out.iter_mut().for_each(|x| *x += normal(rng));
        self.backward(out);
    }

    /// L'^-1 of a vector.
    fn backward(&self, out: &mut [f64]) {
        for i in (0..self.size).rev() {
            out[i] /= self.p[i * self.size + i];
            let value = out[i];
            let row = &self.p[i * self.size..i * self.size + i];
            out.iter_mut().zip(row).for_each(|(x, l)| *x -= l * value);
        }
    }

    /// `P^-1 z`. False if P is not positive definite.
    pub fn mean(&mut self, out: &mut [f64]) -> bool {
        if !self.factor() {
            return false;
        }
        out.copy_from_slice(&self.z);
        self.forward(out, 0);
        self.backward(out);
        true
    }

    /// Some rows and columns of P^-1, by columns, and the same rows of P^-1 z, behind what `s` and `q` hold. False if P is not positive definite.
    pub fn inverse_at(&mut self, chosen: &[usize], s: &mut Vec<f64>, q: &mut Vec<f64>) -> bool {
        if !self.factor() {
            return false;
        }
        let (size, count) = (self.size, chosen.len());
        // L^-1 of the chosen unit vectors, and of z
        let mut columns = vec![0.0; size * (count + 1)];
        for (column, &at) in columns.chunks_mut(size).zip(chosen) {
            column[at] = 1.0;
            self.forward(column, at);
        }
        columns[size * count..].copy_from_slice(&self.z);
        self.forward(&mut columns[size * count..], 0);
        let column = |a: usize| &columns[a * size..(a + 1) * size];
        for a in 0..count {
            s.extend((0..count).map(|b| dot(column(a), column(b))));
            q.push(dot(column(a), column(count)));
        }
        true
    }

    /// L^-1 x, of an x that is 0 before an entry.
    fn forward(&self, x: &mut [f64], first: usize) {
        for i in first..self.size {
            let row = &self.p[i * self.size..(i + 1) * self.size];
            x[i] = (x[i] - dot(&row[first..i], &x[first..i])) / row[i];
        }
    }

    /// Columns of `L'^-1`: directions along which what is drawn varies by 1, each independently of the others. None if P is not positive definite.
    pub fn axes(&mut self) -> Option<Vec<Vec<f64>>> {
        let axis = |(this, k): (&Self, usize)| {
            let mut x = vec![0.0; this.size];
            x[k] = 1.0;
            this.backward(&mut x);
            x
        };
        self.factor().then(|| (0..self.size).map(|k| axis((self, k))).collect())
    }

    pub fn factor(&mut self) -> bool {
        let size = self.size;
        for i in 0..size {
            let (before, row) = self.p.split_at_mut(i * size);
            for j in 0..i {
                let other = &before[j * size..j * size + j];
                let sum: f64 = row[..j].iter().zip(other).map(|(a, b)| a * b).sum();
                row[j] = (row[j] - sum) / before[j * size + j];
            }
            let pivot = row[i] - row[..i].iter().map(|a| a * a).sum::<f64>();
            if pivot.is_nan() || pivot <= 0.0 {
                return false;
            }
            row[i] = pivot.sqrt();
        }
        true
    }
}
