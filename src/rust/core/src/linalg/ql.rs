//! Eigenvalues of a tridiagonal matrix, `T = S Lambda S'`, and a few vectors in the basis of its eigenvectors, by the implicit QL algorithm with
//! Wilkinson's shifts (Golub and Van Loan, section 8.3): rotations are applied only to the vectors that the model needs.

use crate::linalg::max_abs;
use crate::runtime::error::{Error, Result};
use crate::runtime::stop;

/// Sweeps, or pairs of them, for one eigenvalue at most; one or two are usual, LAPACK allows 30 sweeps.
const MAX_SWEEPS: usize = 60;

/// Pairs of them: where eigenvalues are equal up to rounding, the second of a pair may undo what the first has split off.
const MAX_PAIRS: usize = 4;

/// Eigenvalues of T, and `rows <- S' rows`: n rows of `width` numbers each, rotated along.
///
/// QL converges fast when T grows downwards. The reduction of a low-rank kernel leaves it the other way round, so T is
/// turned over if its head outweighs its tail.
pub(crate) fn rotate(values: Vec<f64>, coupling: Vec<f64>, rows: &mut [f64], width: usize) -> Result<Vec<f64>> {
    diagonalise(values, coupling, rows, width, MAX_PAIRS)
}

/// The same of a T whose entries fall by many orders of magnitude, one sweep at a time: with pairs, a Fourier fit to data without noise ended at a delta of 2e-6
/// in place of 8e-10.
pub(crate) fn rotate_graded(values: Vec<f64>, coupling: Vec<f64>, rows: &mut [f64], width: usize) -> Result<Vec<f64>> {
    diagonalise(values, coupling, rows, width, 0)
}

fn diagonalise(
    mut values: Vec<f64>,
    mut coupling: Vec<f64>,
    rows: &mut [f64],
    width: usize,
    pairs: usize,
) -> Result<Vec<f64>> {
    let n = values.len();
    let weight = |half: &[f64]| half.iter().map(|d| d.abs()).sum::<f64>();
    let turned = weight(&values[..n / 2]) > weight(&values[n / 2..]);
    if turned {
        values.reverse();
        coupling[..n - 1].reverse();
        reverse_rows(rows, width);
    }
    let floor = f64::EPSILON * max_abs(values.iter().chain(&coupling).copied());
    for l in 0..n {
        stop::check()?;
        deflate((l, floor, pairs), &mut values, &mut coupling, rows, width)?;
    }
    Ok(values)
}

fn reverse_rows(rows: &mut [f64], width: usize) {
    if width > 0 {
        rows.reverse();
        rows.chunks_mut(width).for_each(<[f64]>::reverse);
    }
}

/// QL sweeps until the eigenvalue at `l` has split off.
///
/// Couplings below `floor` are rounding of the reduction to T: without it the null space of a singular kernel, whose entries are all
/// rounding, never converges.
fn deflate(
    (l, floor, pairs): (usize, f64, usize),
    d: &mut [f64],
    e: &mut [f64],
    rows: &mut [f64],
    width: usize,
) -> Result<()> {
    for before in 0..MAX_SWEEPS {
        match block_end(l, floor, d, e) {
            m if m == l => return Ok(()),
            m if m == l + 1 || before >= pairs => one_sweep(l, m, d, e, rows, width),
            m => two_sweeps(l, m, d, e, rows, width),
        }
    }
    Err(Error::NoConvergence {
        what: "the QL algorithm",
        iterations: MAX_SWEEPS,
    })
}

/// Last index of the unreduced block that starts at `l`.
fn block_end(l: usize, floor: f64, d: &[f64], e: &[f64]) -> usize {
    let negligible = |m: usize| e[m].abs() <= floor.max(f64::EPSILON * (d[m].abs() + d[m + 1].abs()));
    (l..d.len() - 1).find(|&m| negligible(m)).unwrap_or(d.len() - 1)
}

/// Eigenvalues of the first two rows of a block, the one nearer to its first entry first: what is taken off an entry of the diagonal.
fn shifts(l: usize, d: &[f64], e: &[f64]) -> [(f64, f64); 2] {
    let theta = (d[l + 1] - d[l]) / (2.0 * e[l]);
    let less = e[l] / (theta + theta.hypot(1.0).copysign(theta));
    [(d[l], less), (d[l + 1], -less)]
}

/// One implicit QL sweep over the block l..=m.
fn one_sweep(l: usize, m: usize, d: &mut [f64], e: &mut [f64], rows: &mut [f64], width: usize) {
    let mut sweep = QlSweep::new(shifts(l, d, e)[0], m, d);
    for i in (l..m).rev() {
        sweep.step(i, d, e, rows, width);
        if e[i + 1] == 0.0 {
            // the block is two from here on
            e[m] = 0.0;
            return;
        }
    }
    sweep.end(l, m, d, e);
}

/// Two sweeps, the second two rows behind the first: neither waits for the square roots of the other.
fn two_sweeps(l: usize, m: usize, d: &mut [f64], e: &mut [f64], rows: &mut [f64], width: usize) {
    let [one, two] = shifts(l, d, e);
    let mut first = QlSweep::new(one, m, d);
    first.step(m - 1, d, e, rows, width);
    first.step(m - 2, d, e, rows, width);
    let mut second = QlSweep::new(two, m, d);
    for i in (l..m - 2).rev() {
        first.step(i, d, e, rows, width);
        second.step(i + 2, d, e, rows, width);
    }
    first.end(l, m, d, e);
    second.step(l + 1, d, e, rows, width);
    second.step(l, d, e, rows, width);
    second.end(l, m, d, e);
}

/// On the way from the last row of a block to its first.
struct QlSweep {
    g: f64,
    s: f64,
    c: f64,
    p: f64,
}

impl QlSweep {
    fn new((entry, less): (f64, f64), m: usize, d: &[f64]) -> Self {
        Self {
            g: d[m] - entry + less,
            s: 1.0,
            c: 1.0,
            p: 0.0,
        }
    }

    /// Rows i and i + 1.
    #[inline(always)]
    fn step(&mut self, i: usize, d: &mut [f64], e: &mut [f64], rows: &mut [f64], width: usize) {
        let (f, b) = (self.s * e[i], self.c * e[i]);
        // T is of order one: what is too small for its square is a coupling that has split off
        let r = (f * f + self.g * self.g).sqrt();
        e[i + 1] = r;
        (self.s, self.c) = if r == 0.0 { (0.0, 1.0) } else { (f / r, self.g / r) };
        let g = d[i + 1] - self.p;
        let t = (d[i] - g) * self.s + 2.0 * self.c * b;
        self.p = self.s * t;
        d[i + 1] = g + self.p;
        self.g = self.c * t - b;
        rotate_pair(&mut rows[i * width..(i + 2) * width], width, self.s, self.c);
    }

    fn end(self, l: usize, m: usize, d: &mut [f64], e: &mut [f64]) {
        d[l] -= self.p;
        e[l] = self.g;
        e[m] = 0.0;
    }
}

#[inline(always)]
fn rotate_pair(rows: &mut [f64], width: usize, s: f64, c: f64) {
    let (upper, lower) = rows.split_at_mut(width);
    for (a, b) in upper.iter_mut().zip(lower) {
        (*a, *b) = (c * *a - s * *b, s * *a + c * *b);
    }
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
        let values = rotate_graded(diagonal.clone(), (0..n).map(coupling).collect(), &mut [], 0).unwrap();
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
                let mut rows: Vec<f64> = (0..n * n).map(|k| f64::from(k / n == k % n)).collect();
                let values = rotate(diagonal, coupling, &mut rows, n).unwrap();
                let s = Mat::from_fn(n, n, |i, j| rows[j * n + i]);
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
}
