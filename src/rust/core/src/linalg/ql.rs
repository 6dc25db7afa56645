//! Eigenvalues of a tridiagonal matrix, `T = S Lambda S'`, and a few vectors in the basis of its eigenvectors, by the implicit QL algorithm with
//! Wilkinson's shifts (Golub and Van Loan, section 8.3): rotations are applied only to the vectors that the model needs. `ql_lanes` has the sweeps
//! that are made at one time.

use super::registers::TurnedRows;
use crate::linalg::max_abs;
use crate::runtime::error::{Error, Result};
use crate::runtime::stop;
use pulp::{Arch, Simd, WithSimd};

/// Sweeps, or sets of them at one time, for one eigenvalue at most; one or two are usual, LAPACK allows 30 sweeps.
const MAX_SWEEPS: usize = 60;

/// Sets of sweeps at one time: where eigenvalues are equal up to rounding, the later ones may undo what the first has split off.
const MAX_SETS: usize = 4;

/// Blocks as short have their sweeps one after another.
const SHORT: usize = 12;

/// Eigenvalues of T, and `rows <- S' rows`, rotated along.
///
/// QL converges fast when T grows downwards. The reduction of a low-rank kernel leaves it the other way round, so T is
/// turned over if its head outweighs its tail.
pub(crate) fn rotate(values: Vec<f64>, coupling: Vec<f64>, rows: &mut TurnedRows) -> Result<Vec<f64>> {
    diagonalise(values, coupling, rows, MAX_SETS)
}

/// The same of a T whose entries fall by many orders of magnitude, one sweep at a time: with sets of them, a Fourier fit to data without noise ended at a delta of 2e-6
/// in place of 8e-10.
pub(crate) fn rotate_graded(values: Vec<f64>, coupling: Vec<f64>, rows: &mut TurnedRows) -> Result<Vec<f64>> {
    diagonalise(values, coupling, rows, 0)
}

fn diagonalise(mut d: Vec<f64>, mut e: Vec<f64>, rows: &mut TurnedRows, sets: usize) -> Result<Vec<f64>> {
    let n = d.len();
    let weight = |half: &[f64]| half.iter().map(|d| d.abs()).sum::<f64>();
    if weight(&d[..n / 2]) > weight(&d[n / 2..]) {
        d.reverse();
        e[..n - 1].reverse();
        rows.reverse();
    }
    let floor = floor(&d, &e);
    let (d_of, e) = (&mut d, &mut e);
    Arch::new().dispatch(Ql {
        floor,
        sets,
        d: d_of,
        e,
        rows,
    })?;
    Ok(d)
}

/// Couplings below it are rounding of the reduction to T: without it the null space of a singular kernel, whose entries are all
/// rounding, never converges.
pub(super) fn floor(d: &[f64], e: &[f64]) -> f64 {
    f64::EPSILON * max_abs(d.iter().chain(e).copied())
}

/// T by its diagonal and its couplings, what these are negligible below, and how many sets of sweeps an eigenvalue may take.
struct Ql<'a> {
    floor: f64,
    sets: usize,
    d: &'a mut [f64],
    e: &'a mut [f64],
    rows: &'a mut TurnedRows,
}

impl WithSimd for Ql<'_> {
    type Output = Result<()>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Result<()> {
        match self.rows.registers::<S>() {
            1 => self.split::<S, 1>(simd),
            2 => self.split::<S, 2>(simd),
            _ => self.split::<S, 0>(simd),
        }
    }
}

impl Ql<'_> {
    #[inline(always)]
    fn split<S: Simd, const W: usize>(self, simd: S) -> Result<()> {
        let (floor, sets) = (self.floor, self.sets);
        let mut split = QlSplit::<S, W> {
            simd,
            d: self.d,
            e: self.e,
            wide: self.rows.registers::<S>(),
            rows: S::as_mut_simd_f64s(&mut self.rows.numbers).0,
        };
        for l in 0..split.d.len() {
            stop::check()?;
            split.deflate(l, floor, sets)?;
        }
        Ok(())
    }
}

/// T on its way to its eigenvalues, and rows of `wide` registers, where W, unless it is 0, says how many.
pub(super) struct QlSplit<'a, S: Simd, const W: usize> {
    pub simd: S,
    pub d: &'a mut [f64],
    pub e: &'a mut [f64],
    pub rows: &'a mut [S::f64s],
    pub wide: usize,
}

impl<S: Simd, const W: usize> QlSplit<'_, S, W> {
    /// QL sweeps until the eigenvalue at `l` has split off.
    #[inline(always)]
    fn deflate(&mut self, l: usize, floor: f64, sets: usize) -> Result<()> {
        for before in 0..MAX_SWEEPS {
            let m = block_end(l, floor, self.d, self.e);
            if m == l {
                return Ok(());
            }
            let done = before < sets && m - l >= SHORT && self.set_of_sweeps(l, m);
            if !done {
                self.one_sweep(l, m);
            }
        }
        Err(Error::NoConvergence {
            what: "the QL algorithm",
            iterations: MAX_SWEEPS,
        })
    }

    #[inline(always)]
    fn one_sweep(&mut self, l: usize, m: usize) {
        let (simd, wide) = (self.simd, if W > 0 { W } else { self.wide });
        let rows = &mut *self.rows;
        let turn = |i: usize, s: f64, c: f64| turn(simd, &mut rows[i * wide..(i + 2) * wide], s, c);
        one_sweep(l, m, self.d, self.e, turn);
    }
}

/// Last index of the unreduced block that starts at `l`.
#[inline(always)]
pub(super) fn block_end(l: usize, floor: f64, d: &[f64], e: &[f64]) -> usize {
    let negligible = |m: usize| e[m].abs() <= floor.max(f64::EPSILON * (d[m].abs() + d[m + 1].abs()));
    (l..d.len() - 1).find(|&m| negligible(m)).unwrap_or(d.len() - 1)
}

/// One implicit QL sweep over the block l..=m, shifted by the eigenvalue of its first two rows that is nearer to its first entry. `turn`: rows i
/// and i + 1.
#[inline(always)]
pub(super) fn one_sweep(l: usize, m: usize, d: &mut [f64], e: &mut [f64], mut turn: impl FnMut(usize, f64, f64)) {
    let theta = (d[l + 1] - d[l]) / (2.0 * e[l]);
    let less = e[l] / (theta + theta.hypot(1.0).copysign(theta));
    let (mut g, mut s, mut c, mut p) = (d[m] - d[l] + less, 1.0, 1.0, 0.0);
    for i in (l..m).rev() {
        let (f, b) = (s * e[i], c * e[i]);
        // T is of order one: what is too small for its square is a coupling that has split off
        let r = (f * f + g * g).sqrt();
        e[i + 1] = r;
        if r == 0.0 {
            // the block is two from here on
            d[i + 1] -= p;
            e[m] = 0.0;
            return;
        }
        (s, c) = (f / r, g / r);
        let own = d[i + 1] - p;
        let t = (d[i] - own) * s + 2.0 * c * b;
        p = s * t;
        d[i + 1] = own + p;
        g = c * t - b;
        turn(i, s, c);
    }
    d[l] -= p;
    e[l] = g;
    e[m] = 0.0;
}

/// Two rows, one after another: rotated by an angle of this sine and cosine.
#[inline(always)]
pub(super) fn turn<S: Simd>(simd: S, pair: &mut [S::f64s], s: f64, c: f64) {
    let (upper, lower) = pair.split_at_mut(pair.len() / 2);
    let (s, c) = (simd.splat_f64s(s), simd.splat_f64s(c));
    for (a, b) in upper.iter_mut().zip(lower) {
        (*a, *b) = turned(simd, *a, *b, s, c);
    }
}

/// `(c a - s b, s a + c b)`
#[inline(always)]
pub(super) fn turned<S: Simd>(simd: S, a: S::f64s, b: S::f64s, s: S::f64s, c: S::f64s) -> (S::f64s, S::f64s) {
    let upper = simd.negate_mul_add_e_f64s(s, b, simd.mul_f64s(c, a));
    (upper, simd.mul_add_e_f64s(s, a, simd.mul_f64s(c, b)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use faer::{Mat, Side};

    /// `T = D C D` for D that falls from 1 to 1e-6: eigenvalues are found to their own size.
    #[test]
    fn small_eigenvalues_of_a_graded_matrix_keep_their_digits() {
        let n = 60;
        let size = |i: usize| 10f64.powf(-6.0 * i as f64 / n as f64);
        let diagonal: Vec<f64> = (0..n).map(|i| size(i) * size(i)).collect();
        let coupling = |i: usize| if i + 1 < n { 0.4 * size(i) * size(i + 1) } else { 0.0 };
        let values = {
            let mut none = TurnedRows::of(Mat::zeros(n, 0).as_ref());
            rotate_graded(diagonal.clone(), (0..n).map(coupling).collect(), &mut none).unwrap()
        };
        // det T, by the recurrence of its leading minors
        let next = |(pivot, sum): (f64, f64), i: usize| {
            let pivot = diagonal[i] - coupling(i - 1).powi(2) / pivot;
            (pivot, sum + pivot.ln())
        };
        let (_, log_det) = (1..n).fold((diagonal[0], diagonal[0].ln()), next);
        let sum: f64 = values.iter().map(|v| v.ln()).sum();
        assert!((sum - log_det).abs() < 1e-9, "{sum} {log_det}");
    }

    #[test]
    fn eigenvalues_and_vectors_are_those_of_the_matrix() {
        for n in [1, 2, 3, 50, 201] {
            // plain, growing upwards, and with couplings that are rounding or 0
            let of = |f: &dyn Fn(usize) -> f64, g: &dyn Fn(usize) -> f64| {
                let diagonal: Vec<f64> = (0..n).map(f).collect();
                let coupling: Vec<f64> = (0..n).map(|i| if i + 1 < n { g(i) } else { 0.0 }).collect();
                (diagonal, coupling)
            };
            let sine = |i: usize| f64::sin(3.0 * i as f64);
            let all = [
                of(&sine, &|i| f64::cos(i as f64)),
                of(&|i| 0.9f64.powi(i as i32), &|i| 0.5 * 0.9f64.powi(i as i32)),
                of(&|i| if i < 3 { 1.0 } else { 1e-17 * sine(i) }, &|i| 1e-17 * sine(i + 1)),
                of(&|i| (i % 2) as f64, &|i| if i % 5 == 0 { 0.0 } else { 1.0 }),
            ];
            for (diagonal, coupling) in all {
                let t = Mat::from_fn(n, n, |i, j| match i.abs_diff(j) {
                    0 => diagonal[i],
                    1 => coupling[i.min(j)],
                    _ => 0.0,
                });
                let mut rows = TurnedRows::of(Mat::<f64>::identity(n, n).as_ref());
                let values = rotate(diagonal.clone(), coupling.clone(), &mut rows).unwrap();
                let s = rows.matrix().transpose().to_owned();
                let back = Mat::from_fn(n, n, |i, j| s[(i, j)] * values[j]) * s.transpose();
                assert!((&s * s.transpose() - Mat::<f64>::identity(n, n)).norm_max() < 1e-12);
                assert!((back - &t).norm_max() < 1e-13 * n as f64, "{n}");
                let mut sorted = values.clone();
                sorted.sort_by(f64::total_cmp);
                let expected = t.self_adjoint_eigenvalues(Side::Lower).unwrap();
                assert!(
                    sorted
                        .iter()
                        .zip(&expected)
                        .all(|(a, b)| (a - b).abs() < 1e-13 * n as f64)
                );
            }
        }
    }

    /// Whatever number of registers a row has.
    #[test]
    fn a_few_columns_are_turned_as_all_are() {
        for n in [5, 14, 40, 203] {
            let diagonal: Vec<f64> = (0..n).map(|i| f64::sin(3.0 * i as f64)).collect();
            let coupling: Vec<f64> = (0..n)
                .map(|i| if i + 1 < n { f64::cos(i as f64) } else { 0.0 })
                .collect();
            let mut all = TurnedRows::of(Mat::<f64>::identity(n, n).as_ref());
            let values = rotate(diagonal.clone(), coupling.clone(), &mut all).unwrap();
            for q in 0..10 {
                let c = Mat::from_fn(n, q, |i, j| f64::sin((1 + i * (j + 2)) as f64));
                let mut rows = TurnedRows::of(c.as_ref());
                assert_eq!(rotate(diagonal.clone(), coupling.clone(), &mut rows).unwrap(), values);
                assert!(
                    q == 0 || (rows.matrix() - all.matrix() * &c).norm_max() < 1e-12,
                    "{n} {q}"
                );
            }
        }
    }
}
