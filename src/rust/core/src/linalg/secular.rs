//! The secular equation of a diagonal matrix that is changed in one direction.
//!
//! Roots are kept as offsets from their nearest pole, so that differences to poles do not cancel, and the weights are computed anew from the
//! roots (Gu and Eisenstat 1995): eigenvectors are orthogonal to rounding however close roots and poles lie.

use crate::linalg::{clear_registers, dot};
use rayon::prelude::*;

/// The secular equation between distinct poles.
pub struct Secular {
    poles: Vec<f64>,
    /// q as it follows from the roots.
    q: Vec<f64>,
    /// Poles without weight before the others.
    first: usize,
    /// Root j is `poles[near] + offset`.
    near: Vec<usize>,
    offset: Vec<f64>,
}

impl Secular {
    /// Roots of `sum_i q_i^2 / (lambda_i - mu) = 0`, one between each pair of neighbours.
    pub fn between(poles: Vec<f64>, q: Vec<f64>) -> Self {
        Self::new(poles, q, 0, 0.0)
    }

    /// Roots of `sum_i q_i^2 / (lambda_i - mu) = 1`, one below each pole: the first of them lies no further below than q'q.
    pub fn below(mut poles: Vec<f64>, mut q: Vec<f64>) -> Self {
        let reach = dot(&q, &q) * (1.0 + 1e-10);
        let lowest = poles.first().map_or(0.0, |p| p - reach);
        poles.insert(0, lowest);
        q.insert(0, 0.0);
        Self::new(poles, q, 1, 1.0)
    }

    fn new(poles: Vec<f64>, q: Vec<f64>, first: usize, level: f64) -> Self {
        let square: Vec<f64> = q.iter().map(|q| q * q).collect();
        let count = poles.len().saturating_sub(1);
        let equation = Equation {
            poles: &poles,
            square: &square,
            level,
        };
        let (near, offset) = (0..count)
            .into_par_iter()
            .map_init(clear_registers, |(), j| equation.root(j))
            .unzip();
        let mut secular = Self {
            poles,
            q,
            first,
            near,
            offset,
        };
        secular.q = (0..secular.poles.len())
            .into_par_iter()
            .map(|i| secular.consistent(i))
            .collect();
        secular
    }

    pub fn roots(&self) -> impl Iterator<Item = f64> {
        self.near
            .iter()
            .zip(&self.offset)
            .map(|(&near, offset)| self.poles[near] + offset)
    }

    /// lambda_i - mu_j without cancellation.
    fn gap(&self, i: usize, j: usize) -> f64 {
        (self.poles[i] - self.poles[self.near[j]]) - self.offset[j]
    }

    /// `q_i^2 = prod_j (mu_j - lambda_i) / prod_(l != i) (lambda_l - lambda_i)` up to its sign, factors of like size side by side.
    fn consistent(&self, i: usize) -> f64 {
        if i < self.first {
            return 0.0;
        }
        let ratio = |j: usize| match (j < i, self.first) {
            (true, 0) => self.gap(i, j) / (self.poles[i] - self.poles[j]),
            (_, 1) if j + 1 == i => self.gap(i, j),
            _ => self.gap(i, j) / (self.poles[i] - self.poles[j + 1]),
        };
        let square: f64 = (0..self.offset.len()).map(ratio).product();
        square.abs().sqrt().copysign(self.q[i])
    }

    /// Components of the vectors (an entry for each pole with a weight) along each eigenvector, and `1 / |q / (lambda - mu)|`, which is
    /// `q' Lambda v` where q is projected out.
    pub fn rotate(&self, vectors: &[Vec<f64>]) -> (Vec<Vec<f64>>, Vec<f64>) {
        let one = |j: usize| {
            let mut sums = vec![0.0; vectors.len()];
            let mut square = 0.0;
            for i in self.first..self.poles.len() {
                let entry = self.q[i] / self.gap(i, j);
                square += entry * entry;
                sums.iter_mut()
                    .zip(vectors)
                    .for_each(|(sum, v)| *sum += entry * v[i - self.first]);
            }
            let length = square.sqrt();
            sums.iter_mut().for_each(|sum| *sum /= length);
            (sums, length.recip())
        };
        let columns: Vec<(Vec<f64>, f64)> = (0..self.offset.len()).into_par_iter().map(one).collect();
        let rows = (0..vectors.len())
            .map(|k| columns.iter().map(|(sums, _)| sums[k]).collect())
            .collect();
        (rows, columns.into_iter().map(|(_, coupling)| coupling).collect())
    }
}

/// Steps for one root at most.
const MAX_STEPS: usize = 100;
/// Partial sums of a step, so that additions need not wait for one another.
const LANES: usize = 4;

/// sum_i square_i / (pole_i - mu) - level
struct Equation<'a> {
    poles: &'a [f64],
    square: &'a [f64],
    level: f64,
}

impl Equation<'_> {
    /// The root between poles j and j + 1, as the nearer of the two and the offset from it.
    ///
    /// The sums on either side of the root are replaced by `p + s / (pole - mu)` that fit value and slope, whose root is the next point.
    fn root(&self, j: usize) -> (usize, f64) {
        let (left, right) = (self.poles[j], self.poles[j + 1]);
        let half = 0.5 * (right - left);
        let near = if self.sides(j, left, half).value() >= 0.0 {
            j
        } else {
            j + 1
        };
        let origin = self.poles[near];
        let (mut low, mut high) = if near == j { (0.0, half) } else { (-half, 0.0) };
        let mut offset = 0.5 * (low + high);
        for _ in 0..MAX_STEPS {
            let at = self.sides(j, origin, offset);
            let value = at.value();
            if value > 0.0 {
                high = offset
            } else {
                low = offset
            }
            if value.abs() <= f64::EPSILON * at.size() || high - low <= f64::EPSILON * offset.abs() {
                break;
            }
            let next = offset + at.step(left - origin - offset, right - origin - offset);
            offset = if next > low && next < high {
                next
            } else {
                0.5 * (low + high)
            };
        }
        (near, offset)
    }

    fn sides(&self, j: usize, origin: f64, offset: f64) -> Sides {
        let (below, below_slope) = self.sum(0..j + 1, origin, offset);
        let (above, above_slope) = self.sum(j + 1..self.poles.len(), origin, offset);
        Sides {
            below,
            above,
            below_slope,
            above_slope,
            level: self.level,
        }
    }

    /// Value and slope over some poles, in four lanes.
    fn sum(&self, range: std::ops::Range<usize>, origin: f64, offset: f64) -> (f64, f64) {
        let (mut value, mut slope) = ([0.0; LANES], [0.0; LANES]);
        let (poles, squares) = (
            self.poles[range.clone()].chunks_exact(LANES),
            self.square[range].chunks_exact(LANES),
        );
        let term = |pole: f64, square: f64| {
            let inverse = 1.0 / ((pole - origin) - offset);
            (square * inverse, square * inverse * inverse)
        };
        for (l, (pole, square)) in poles.remainder().iter().zip(squares.remainder()).enumerate() {
            (value[l], slope[l]) = term(*pole, *square);
        }
        for (poles, squares) in poles.zip(squares) {
            for l in 0..LANES {
                let (v, s) = term(poles[l], squares[l]);
                value[l] += v;
                slope[l] += s;
            }
        }
        (value.iter().sum(), slope.iter().sum())
    }
}

/// The equation at one point: sums over the poles below and above, and their slopes.
struct Sides {
    below: f64,
    above: f64,
    below_slope: f64,
    above_slope: f64,
    level: f64,
}

impl Sides {
    fn value(&self) -> f64 {
        self.below + self.above - self.level
    }

    /// Sum of absolute values: what rounding is relative to.
    fn size(&self) -> f64 {
        self.above - self.below + self.level
    }

    /// From the point to the root of `(p1 + s1 / (a - t)) + (p2 + s2 / (b - t))`, a < 0 < b the distances of the two poles.
    fn step(&self, a: f64, b: f64) -> f64 {
        let (s1, s2) = (self.below_slope * a * a, self.above_slope * b * b);
        let p = self.value() - s1 / a - s2 / b;
        // p (a - t)(b - t) + s1 (b - t) + s2 (a - t) = 0
        let (c2, c1, c0) = (p, -(p * (a + b) + s1 + s2), p * a * b + s1 * b + s2 * a);
        let root = (c1 * c1 - 4.0 * c2 * c0).max(0.0).sqrt();
        let large = -0.5 * (c1 + root.copysign(c1));
        let candidates = [large / c2, c0 / large];
        candidates.into_iter().find(|t| *t > a && *t < b).unwrap_or(f64::NAN)
    }
}
