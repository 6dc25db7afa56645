//! Sweeps of the QL algorithm that are made at one time, one in each lane of a register.
//!
//! A sweep goes from the last row of a block to its first, and each step waits for a square root and a quotient of the one before. Several sweeps,
//! whose shifts are the eigenvalues of as many rows of the block's head, follow one another at a distance of two rows: what one lane leaves
//! of a row is what the next finds a step later, so that only the first reads from T and only the last writes to it. A lane that has nothing
//! to do yet or any more, for which couplings are 0, hands on what it gets.

use super::ql::{QlSplit, block_end, floor, one_sweep, turn, turned};
use pulp::Simd;

/// Sweeps for one eigenvalue of a block's head.
const MAX_HEAD_SWEEPS: usize = 30;

impl<S: Simd, const W: usize> QlSplit<'_, S, W> {
    /// As many sweeps over the block l..=m as a register has lanes, if there are more than one, and shifts for them.
    #[inline(always)]
    pub(super) fn set_of_sweeps(&mut self, l: usize, m: usize) -> bool {
        match S::F64_LANES {
            2 => self.sweeps::<2>(l, m),
            4 => self.sweeps::<4>(l, m),
            _ => false,
        }
    }

    #[inline(always)]
    fn sweeps<const K: usize>(&mut self, l: usize, m: usize) -> bool {
        let Some(shifts) = head_eigenvalues::<K>(&self.d[l..], &self.e[l..]) else {
            return false;
        };
        let (block, last) = (Unreduced { l, m }, 2 * (K - 1));
        let mut lanes = SweepLanes::<S, W, K>::idle(self.simd);
        lanes.begin(0, shifts[0], self.d[m], self.row(m));
        for step in 0..last {
            lanes.step(self.simd, self.entry(m - 1 - step));
            self.turn_rows(&lanes, block, step);
            if step % 2 == 1 {
                let k = step / 2 + 1;
                lanes.begin(k, shifts[k], numbers::<S, K>(lanes.d)[k], lanes.rows[k]);
            }
        }
        let mut lanes = self.all_at_work(lanes, block);
        let nothing = (0.0, 0.0, [self.simd.splat_f64s(0.0); W]);
        for step in m - l..=m - l + last {
            lanes.step(self.simd, nothing);
            self.turn_rows(&lanes, block, step);
            self.put(m + last - step, &lanes);
        }
        self.e[m] = 0.0;
        true
    }

    /// The steps between: apart from the others, so that lanes stay in registers.
    #[inline(always)]
    fn all_at_work<const K: usize>(&mut self, mut lanes: SweepLanes<S, W, K>, block: Unreduced) -> SweepLanes<S, W, K> {
        let last = 2 * (K - 1);
        for i in (block.l..block.m - last).rev() {
            lanes.step(self.simd, self.entry(i));
            self.turn_rows(&lanes, block, block.m - 1 - i);
            self.put(i + 1 + last, &lanes);
        }
        lanes
    }

    /// Diagonal, coupling with the next row, and row i.
    #[inline(always)]
    fn entry(&self, i: usize) -> (f64, f64, [S::f64s; W]) {
        (self.d[i], self.e[i], self.row(i))
    }

    #[inline(always)]
    fn row(&self, i: usize) -> [S::f64s; W] {
        let mut row = [self.simd.splat_f64s(0.0); W];
        row.copy_from_slice(&self.rows[i * W..(i + 1) * W]);
        row
    }

    /// What the last lane leaves of row i.
    #[inline(always)]
    fn put<const K: usize>(&mut self, i: usize, lanes: &SweepLanes<S, W, K>) {
        self.d[i] = numbers::<S, K>(lanes.left_d)[K - 1];
        self.e[i] = numbers::<S, K>(lanes.left_e)[K - 1];
        self.rows[i * W..(i + 1) * W].copy_from_slice(&lanes.left_rows[K - 1]);
    }

    /// Rows that are too wide for registers, after a step of the first lane.
    #[inline(always)]
    fn turn_rows<const K: usize>(&mut self, lanes: &SweepLanes<S, W, K>, Unreduced { l, m }: Unreduced, step: usize) {
        if W > 0 || self.wide == 0 {
            return;
        }
        let (wide, simd) = (self.wide, self.simd);
        let (s, c) = (numbers::<S, K>(lanes.s), numbers::<S, K>(lanes.c));
        for k in 0..K.min(step / 2 + 1) {
            let own = step - 2 * k;
            if own < m - l {
                let i = m - 1 - own;
                turn(simd, &mut self.rows[i * wide..(i + 2) * wide], s[k], c[k]);
            } else if own == m - l && c[k] < 0.0 {
                // the coupling that it leaves is an absolute value
                let first = &mut self.rows[l * wide..(l + 1) * wide];
                first.iter_mut().for_each(|x| *x = simd.neg_f64s(*x));
            }
        }
    }
}

/// First and last row.
#[derive(Clone, Copy)]
struct Unreduced {
    l: usize,
    m: usize,
}

/// K sweeps, each with the rows that it takes along where they are few.
struct SweepLanes<S: Simd, const W: usize, const K: usize> {
    g: S::f64s,
    s: S::f64s,
    c: S::f64s,
    p: S::f64s,
    /// The rows behind, diagonal and numbers.
    d: S::f64s,
    rows: [[S::f64s; W]; K],
    /// What each leaves of a row.
    left_d: S::f64s,
    left_e: S::f64s,
    left_rows: [[S::f64s; W]; K],
}

impl<S: Simd, const W: usize, const K: usize> SweepLanes<S, W, K> {
    #[inline(always)]
    fn idle(simd: S) -> Self {
        let zero = simd.splat_f64s(0.0);
        Self {
            g: zero,
            s: zero,
            c: simd.splat_f64s(1.0),
            p: zero,
            d: zero,
            rows: [[zero; W]; K],
            left_d: zero,
            left_e: zero,
            left_rows: [[zero; W]; K],
        }
    }

    /// Lane k, from a block's last row on.
    #[inline(always)]
    fn begin(&mut self, k: usize, shift: f64, d: f64, row: [S::f64s; W]) {
        self.s = with::<S, K>(self.s, k, 1.0);
        self.c = with::<S, K>(self.c, k, 1.0);
        self.p = with::<S, K>(self.p, k, 0.0);
        self.d = with::<S, K>(self.d, k, d);
        self.g = with::<S, K>(self.g, k, d - shift);
        self.rows[k] = row;
    }

    /// As a step of `one_sweep`, in each lane; the first takes a new row of T.
    #[inline(always)]
    fn step(&mut self, simd: S, (d, e, row): (f64, f64, [S::f64s; W])) {
        let first = simd.mask_between_m64s(0, 1).mask();
        let d = simd.select_f64s(first, simd.splat_f64s(d), simd.rotate_right_f64s(self.left_d, 1));
        let e = simd.select_f64s(first, simd.splat_f64s(e), simd.rotate_right_f64s(self.left_e, 1));
        let (zero, one) = (simd.splat_f64s(0.0), simd.splat_f64s(1.0));
        let (f, b) = (simd.mul_f64s(self.s, e), simd.mul_f64s(self.c, e));
        let r = simd.sqrt_f64s(simd.mul_add_e_f64s(f, f, simd.mul_f64s(self.g, self.g)));
        let (turns, inverse) = (simd.greater_than_f64s(r, zero), simd.div_f64s(one, r));
        self.s = simd.select_f64s(turns, simd.mul_f64s(f, inverse), zero);
        self.c = simd.select_f64s(turns, simd.mul_f64s(self.g, inverse), one);
        let own = simd.sub_f64s(self.d, self.p);
        let twice = simd.mul_f64s(self.c, simd.add_f64s(b, b));
        let t = simd.mul_add_e_f64s(simd.sub_f64s(d, own), self.s, twice);
        self.p = simd.mul_f64s(self.s, t);
        self.left_d = simd.add_f64s(own, self.p);
        self.left_e = r;
        self.g = simd.sub_f64s(simd.mul_f64s(self.c, t), b);
        self.d = d;
        self.turn(simd, row);
    }

    /// The rows: from the last lane on, each finds what the one before it has left a step ago.
    #[inline(always)]
    fn turn(&mut self, simd: S, row: [S::f64s; W]) {
        let (s, c) = (numbers::<S, K>(self.s), numbers::<S, K>(self.c));
        for k in (0..K).rev() {
            let (s, c) = (simd.splat_f64s(s[k]), simd.splat_f64s(c[k]));
            let found = if k == 0 { row } else { self.left_rows[k - 1] };
            for (w, found) in found.into_iter().enumerate() {
                (self.rows[k][w], self.left_rows[k][w]) = turned(simd, found, self.rows[k][w], s, c);
            }
        }
    }
}

/// The lanes of a register.
#[inline(always)]
fn numbers<S: Simd, const K: usize>(x: S::f64s) -> [f64; K] {
    let mut all = [0.0; K];
    S::as_mut_simd_f64s(&mut all).0[0] = x;
    all
}

/// A register with another number in lane k.
#[inline(always)]
fn with<S: Simd, const K: usize>(x: S::f64s, k: usize, value: f64) -> S::f64s {
    let mut all = numbers::<S, K>(x);
    all[k] = value;
    S::as_simd_f64s(&all).0[0]
}

/// Eigenvalues of the first K rows of a block, the one nearest to its first entry first.
#[inline(never)]
fn head_eigenvalues<const K: usize>(d: &[f64], e: &[f64]) -> Option<[f64; K]> {
    let (mut values, mut coupling): ([f64; K], [f64; K]) = (*d.first_chunk()?, *e.first_chunk()?);
    coupling[K - 1] = 0.0;
    let floor = floor(&values, &coupling);
    for l in 0..K {
        let mut ends = (0..MAX_HEAD_SWEEPS).map(|_| {
            let m = block_end(l, floor, &values, &coupling);
            if m > l {
                one_sweep(l, m, &mut values, &mut coupling, |_, _, _| ());
            }
            m
        });
        ends.find(|m| *m == l)?;
    }
    values.sort_by(|a, b| (a - d[0]).abs().total_cmp(&(b - d[0]).abs()));
    Some(values)
}
