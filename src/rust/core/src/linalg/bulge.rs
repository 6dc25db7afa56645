//! The arithmetic of `chase`: a reflector of P rows on its way down a band.

use super::registers::RegisterColumns;
use pulp::Simd;

/// Where a sweep is: the reflector that is to be applied next, from row `at` on.
#[derive(Clone, Copy)]
pub struct Sweep<const P: usize> {
    pub v: [f64; P],
    pub tau: f64,
    pub at: usize,
}

impl<S: Simd, const P: usize, const L: usize> RegisterColumns<S, P, L> {
    /// `x <- (I - tau v v') x`, all but its first entry 0.
    #[inline(always)]
    pub fn reflector(self, x: &mut [f64]) -> ([f64; P], f64) {
        let first = self.load(&Self::FIRST);
        let head = x[0];
        // exactly 0 in the first entry
        let rest = self.axpy(-head, &first, self.load(x));
        let square = self.dot(&rest, &rest);
        let (mut v, mut tau, mut beta) = (first, 0.0, head);
        // T is of order one: what has no square is 0
        if square >= f64::MIN_POSITIVE {
            beta = -(head * head + square).sqrt().copysign(head);
            v = self.axpy(1.0 / (head - beta), &rest, first);
            tau = (beta - head) / beta;
        }
        self.store(x, self.times(beta, first));
        (self.numbers(v), tau)
    }

    /// The reflector on both sides of the diagonal block.
    #[inline(always)]
    pub fn both_sides(self, block: &mut [f64], sweep: &Sweep<P>) {
        let tau = sweep.tau;
        let v = self.load(&sweep.v);
        let (mut w, mut across) = (self.zero(), [0.0; P]);
        for q in 0..P {
            let column = &block[(3 * P - 1) * q..][..P];
            let entries = self.load(column);
            w = self.axpy(sweep.v[q], &entries, w);
            across[q] = self.dot(&entries, &v) - column[q] * sweep.v[q];
        }
        w = self.times(tau, self.plus(&w, self.load(&across)));
        w = self.axpy(-0.5 * tau * self.dot(&w, &v), &v, w);
        let each = self.numbers(w);
        for q in 0..P {
            let column = &mut block[(3 * P - 1) * q..][..P];
            let lower = self.load(&Self::LOWER[q]);
            let mut changed = self.axpy(-sweep.v[q], &w, self.axpy(-each[q], &v, self.load(column)));
            for l in 0..L {
                changed[l] = self.0.mul_f64s(changed[l], lower[l]);
            }
            self.store(column, changed);
        }
    }

    /// The reflector on the right side of the block below, and the next one, which takes its first column to 0, on its left side.
    #[inline(always)]
    pub fn below(self, block: &mut [f64], sweep: &Sweep<P>) -> ([f64; P], f64) {
        let place = |q: usize| P + (3 * P - 1) * q;
        let mut halves = [self.zero(); 2];
        for q in (0..P).step_by(2) {
            for (half, sum) in halves.iter_mut().enumerate() {
                *sum = self.axpy(sweep.v[q + half], &self.load(&block[place(q + half)..]), *sum);
            }
        }
        let u = self.times(-sweep.tau, self.plus(&halves[0], halves[1]));
        let first = &mut block[place(0)..];
        self.store(first, self.axpy(sweep.v[0], &u, self.load(first)));
        let (next, tau) = self.reflector(first);
        let v = self.load(&next);
        for q in 1..P {
            let column = &mut block[place(q)..];
            let changed = self.axpy(sweep.v[q], &u, self.load(column));
            self.store(column, self.axpy(-tau * self.dot(&v, &changed), &v, changed));
        }
        (next, tau)
    }

    /// The reflector on P rows.
    #[inline(always)]
    pub fn turn_rows(self, rows: &mut [f64], sweep: &Sweep<P>) {
        let rows = S::as_mut_simd_f64s(rows).0;
        let wide = rows.len() / P;
        let of = |v: f64| self.0.splat_f64s(v);
        for k in 0..wide {
            let mut sums = [of(0.0); 2];
            for first in (0..P).step_by(2) {
                for (half, sum) in sums.iter_mut().enumerate() {
                    let i = first + half;
                    *sum = self.0.mul_add_e_f64s(of(sweep.v[i]), rows[i * wide + k], *sum);
                }
            }
            let share = self.0.mul_f64s(of(-sweep.tau), self.0.add_f64s(sums[0], sums[1]));
            for i in 0..P {
                rows[i * wide + k] = self.0.mul_add_e_f64s(of(sweep.v[i]), share, rows[i * wide + k]);
            }
        }
    }
}
