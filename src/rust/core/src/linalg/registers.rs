//! Numbers in vector registers, whose loops have a length that is known to the compiler.

use faer::{Mat, MatRef};
use pulp::Simd;

/// Rows have a multiple of so many numbers: as many as a register holds, or more.
const LANES: usize = 4;

/// Rows that are turned in pairs or in blocks: those of a few columns, with zeros behind.
pub struct TurnedRows {
    pub numbers: Vec<f64>,
    /// Numbers of a row.
    pub wide: usize,
    shape: (usize, usize),
}

impl TurnedRows {
    pub fn of(c: MatRef<'_, f64>) -> Self {
        let wide = c.ncols().next_multiple_of(LANES);
        let mut numbers = vec![0.0; c.nrows() * wide];
        for (j, column) in c.col_iter().enumerate() {
            let to = numbers.iter_mut().skip(j).step_by(wide.max(1));
            to.zip(column.iter()).for_each(|(to, from)| *to = *from);
        }
        Self {
            numbers,
            wide,
            shape: c.shape(),
        }
    }

    pub fn matrix(&self) -> Mat<f64> {
        Mat::from_fn(self.shape.0, self.shape.1, |i, j| self.numbers[i * self.wide + j])
    }

    /// The last one first.
    pub fn reverse(&mut self) {
        if self.wide > 0 {
            self.numbers.reverse();
            self.numbers.chunks_mut(self.wide).for_each(<[f64]>::reverse);
        }
    }

    /// Registers of a row.
    pub fn registers<S: Simd>(&self) -> usize {
        const { assert!(LANES.is_multiple_of(S::F64_LANES)) };
        self.wide / S::F64_LANES
    }
}

/// Columns of P entries in L registers each.
#[derive(Clone, Copy)]
pub struct RegisterColumns<S, const P: usize, const L: usize>(pub S);

pub type Registers<S, const L: usize> = [<S as Simd>::f64s; L];

impl<S: Simd, const P: usize, const L: usize> RegisterColumns<S, P, L> {
    /// 1 in the first entry.
    pub const FIRST: [f64; P] = {
        let mut x = [0.0; P];
        x[0] = 1.0;
        x
    };

    /// 1 on the diagonal and below.
    pub const LOWER: [[f64; P]; P] = {
        let mut x = [[0.0; P]; P];
        let mut at = 0;
        while at < P * P {
            if at % P >= at / P {
                x[at / P][at % P] = 1.0;
            }
            at += 1;
        }
        x
    };

    #[inline(always)]
    pub fn zero(self) -> Registers<S, L> {
        [self.0.splat_f64s(0.0); L]
    }

    #[inline(always)]
    pub fn load(self, x: &[f64]) -> Registers<S, L> {
        S::as_simd_f64s(x).0.as_chunks().0[0]
    }

    #[inline(always)]
    pub fn store(self, x: &mut [f64], value: Registers<S, L>) {
        S::as_mut_simd_f64s(x).0.as_chunks_mut().0[0] = value;
    }

    #[inline(always)]
    pub fn numbers(self, value: Registers<S, L>) -> [f64; P] {
        let mut x = [0.0; P];
        self.store(&mut x, value);
        x
    }

    /// `a x + y`
    #[inline(always)]
    pub fn axpy(self, a: f64, x: &Registers<S, L>, mut y: Registers<S, L>) -> Registers<S, L> {
        let a = self.0.splat_f64s(a);
        for l in 0..L {
            y[l] = self.0.mul_add_e_f64s(a, x[l], y[l]);
        }
        y
    }

    #[inline(always)]
    pub fn plus(self, x: &Registers<S, L>, mut y: Registers<S, L>) -> Registers<S, L> {
        for l in 0..L {
            y[l] = self.0.add_f64s(x[l], y[l]);
        }
        y
    }

    #[inline(always)]
    pub fn times(self, a: f64, mut x: Registers<S, L>) -> Registers<S, L> {
        let a = self.0.splat_f64s(a);
        for x in &mut x {
            *x = self.0.mul_f64s(a, *x);
        }
        x
    }

    /// By two sums, neither of which waits for the other.
    #[inline(always)]
    pub fn dot(self, x: &Registers<S, L>, y: &Registers<S, L>) -> f64 {
        let mut sums = [self.0.splat_f64s(0.0); 2];
        for l in 0..L {
            sums[l % 2] = self.0.mul_add_e_f64s(x[l], y[l], sums[l % 2]);
        }
        self.0.reduce_sum_f64s(self.0.add_f64s(sums[0], sums[1]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_those_of_the_columns() {
        for (n, q) in [(0, 3), (5, 0), (7, 1), (6, 4), (3, 5)] {
            let c = Mat::from_fn(n, q, |i, j| (10 * i + j) as f64);
            let mut rows = TurnedRows::of(c.as_ref());
            assert_eq!((rows.wide % LANES, rows.numbers.len()), (0, n * rows.wide));
            assert!(rows.matrix() == c);
            rows.reverse();
            assert!(rows.matrix() == Mat::from_fn(n, q, |i, j| c[(n - 1 - i, j)]));
        }
    }
}
