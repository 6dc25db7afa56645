//! A diagonal kernel with one direction projected out is diagonal again: a decomposition made once serves every X.
//!
//! For Lambda = diag(lambda) and a unit vector q the eigenvalues mu of `(I - qq') Lambda (I - qq')` on the complement of q solve the secular
//! equation `sum_i q_i^2 / (lambda_i - mu) = 0`, one between each pair of neighbours, and the eigenvectors are `v ~ q_i / (lambda_i - mu)`
//! (Golub 1973). Equal lambda and entries of q that are zero are set aside first. From the mu that were found q is computed anew, so that the
//! eigenvectors are orthogonal to rounding (Gu and Eisenstat 1995). Costs n^2, where a new decomposition would cost n^3.

use crate::linalg::{Reflectors, dot, max_abs, norm};
use rayon::prelude::*;

/// lambda and vectors in the basis in which Lambda is diagonal.
#[derive(Debug, Clone, Default)]
pub struct Diagonal {
    pub values: Vec<f64>,
    pub vectors: Vec<Vec<f64>>,
}

/// What a direction that was projected out was to the others.
#[derive(Debug, Clone)]
pub struct Removed {
    /// Components of the vectors along q.
    pub along: Vec<f64>,
    /// q' Lambda q
    pub square: f64,
}

impl Diagonal {
    /// Project out q: the values and vectors of the complement, and as the last vector `q' Lambda v` for its eigenvectors v.
    pub fn remove(&mut self, q: &[f64]) -> Removed {
        let length = norm(q);
        let q: Vec<f64> = q.iter().map(|x| x / length).collect();
        let removed = Removed {
            along: self.vectors.iter().map(|v| dot(v, &q)).collect(),
            square: q.iter().zip(&self.values).map(|(q, l)| q * q * l).sum(),
        };
        let mut order: Vec<usize> = (0..q.len()).collect();
        order.sort_by(|&i, &j| self.values[i].total_cmp(&self.values[j]));
        let mut sorted = Sorted {
            values: order.iter().map(|&i| self.values[i]).collect(),
            q: order.iter().map(|&i| q[i]).collect(),
            vectors: self
                .vectors
                .iter()
                .map(|v| order.iter().map(|&i| v[i]).collect())
                .collect(),
        };
        let poles = sorted.set_aside();
        *self = sorted.project(&poles);
        removed
    }
}

/// lambda ascending.
struct Sorted {
    values: Vec<f64>,
    q: Vec<f64>,
    vectors: Vec<Vec<f64>>,
}

impl Sorted {
    /// Turn q within each cluster of equal values onto its last member; the poles are the members where q is not zero.
    fn set_aside(&mut self) -> Vec<usize> {
        let n = self.values.len();
        let tie = 8.0 * f64::EPSILON * max_abs(self.values.iter().copied());
        let (mut poles, mut first) = (vec![], 0);
        while first < n {
            // chained neighbours would let a cluster grow without end: all are compared with its first
            let end = (first..n)
                .find(|&i| self.values[i] - self.values[first] > tie)
                .unwrap_or(n);
            if end - first > 1 {
                self.turn(first, end);
            }
            // a smaller entry moves no eigenvalue by more than rounding
            if self.q[first].abs() > f64::EPSILON {
                poles.push(first);
            } else {
                self.q[first] = 0.0;
            }
            first = end;
        }
        poles
    }

    /// A reflection of the coordinates `first..end` that leaves q in the first of them only.
    fn turn(&mut self, first: usize, end: usize) {
        let mut turn = Reflectors::new(end - first);
        let length = turn.push(&self.q[first..end]);
        for v in &mut self.vectors {
            turn.transpose_apply(&mut v[first..end]);
        }
        self.q[first..end].fill(0.0);
        self.q[first] = length;
    }

    /// The complement of q: what was set aside, and the roots between poles.
    fn project(&self, poles: &[usize]) -> Diagonal {
        let is_pole = |i: &usize| poles.binary_search(i).is_ok();
        let aside: Vec<usize> = (0..self.values.len()).filter(|i| !is_pole(i)).collect();
        let between = Secular::new(
            poles.iter().map(|&i| self.values[i]).collect(),
            poles.iter().map(|&i| self.q[i]).collect(),
        );
        let at_poles: Vec<Vec<f64>> = self
            .vectors
            .iter()
            .map(|v| poles.iter().map(|&i| v[i]).collect())
            .collect();
        let (inside, coupling) = between.rotate(&at_poles);
        let values = aside.iter().map(|&i| self.values[i]).chain(between.roots()).collect();
        let join =
            |v: &Vec<f64>, inside: &Vec<f64>| aside.iter().map(|&i| v[i]).chain(inside.iter().copied()).collect();
        let mut vectors: Vec<Vec<f64>> = self
            .vectors
            .iter()
            .zip(&inside)
            .map(|(v, inside)| join(v, inside))
            .collect();
        vectors.push(std::iter::repeat_n(0.0, aside.len()).chain(coupling).collect());
        Diagonal { values, vectors }
    }
}

/// The secular equation between distinct poles.
struct Secular {
    poles: Vec<f64>,
    /// q as it follows from the roots.
    q: Vec<f64>,
    /// Root j is `poles[near] + offset`.
    near: Vec<usize>,
    offset: Vec<f64>,
}

impl Secular {
    fn new(poles: Vec<f64>, q: Vec<f64>) -> Self {
        let square: Vec<f64> = q.iter().map(|q| q * q).collect();
        let count = poles.len().saturating_sub(1);
        let (near, offset) = (0..count).into_par_iter().map(|j| root(&poles, &square, j)).unzip();
        let mut secular = Self { poles, q, near, offset };
        secular.q = (0..secular.poles.len())
            .into_par_iter()
            .map(|i| secular.consistent(i))
            .collect();
        secular
    }

    fn roots(&self) -> impl Iterator<Item = f64> {
        self.near
            .iter()
            .zip(&self.offset)
            .map(|(&near, offset)| self.poles[near] + offset)
    }

    /// lambda_i - mu_j without cancellation.
    fn gap(&self, i: usize, j: usize) -> f64 {
        (self.poles[i] - self.poles[self.near[j]]) - self.offset[j]
    }

    /// q_i^2 = prod_j (mu_j - lambda_i) / prod_(l != i) (lambda_l - lambda_i)
    fn consistent(&self, i: usize) -> f64 {
        let ratio = |j: usize| {
            let other = if j < i { j } else { j + 1 };
            self.gap(i, j) / (self.poles[i] - self.poles[other])
        };
        let square: f64 = (0..self.offset.len()).map(ratio).product();
        square.abs().sqrt().copysign(self.q[i])
    }

    /// Components of the vectors along each eigenvector, and `q' Lambda v` for each.
    fn rotate(&self, vectors: &[Vec<f64>]) -> (Vec<Vec<f64>>, Vec<f64>) {
        let one = |j: usize| {
            let mut sums = vec![0.0; vectors.len()];
            let mut square = 0.0;
            for i in 0..self.poles.len() {
                let entry = self.q[i] / self.gap(i, j);
                square += entry * entry;
                sums.iter_mut().zip(vectors).for_each(|(sum, v)| *sum += entry * v[i]);
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

const MAX_STEPS: usize = 100;

/// Root j of the secular equation, as the nearer of its two poles and the offset from it.
///
/// The sums on either side of the root are replaced by `p + s / (pole - mu)` that fit value and slope, whose root is the next point.
fn root(poles: &[f64], square: &[f64], j: usize) -> (usize, f64) {
    let width = poles[j + 1] - poles[j];
    let middle = sides(poles, square, j, poles[j], 0.5 * width);
    let near = if middle.value() >= 0.0 { j } else { j + 1 };
    let (mut low, mut high) = if near == j {
        (0.0, 0.5 * width)
    } else {
        (-0.5 * width, 0.0)
    };
    let mut offset = 0.5 * (low + high);
    for _ in 0..MAX_STEPS {
        let at = sides(poles, square, j, poles[near], offset);
        let value = at.value();
        if value > 0.0 {
            high = offset
        } else {
            low = offset
        }
        if value == 0.0 || value.abs() <= f64::EPSILON * at.size || high - low <= f64::EPSILON * offset.abs() {
            break;
        }
        let next = offset + at.step(poles[j] - poles[near] - offset, poles[j + 1] - poles[near] - offset);
        offset = if next > low && next < high {
            next
        } else {
            0.5 * (low + high)
        };
    }
    (near, offset)
}

/// The secular function at one point: sums over the poles below and above, their slopes, and the sum of absolute values.
struct Sides {
    below: f64,
    above: f64,
    below_slope: f64,
    above_slope: f64,
    size: f64,
}

fn sides(poles: &[f64], square: &[f64], j: usize, origin: f64, offset: f64) -> Sides {
    let sum = |range: std::ops::Range<usize>| {
        range.fold((0.0, 0.0), |(value, slope), i| {
            let inverse = 1.0 / ((poles[i] - origin) - offset);
            let term = square[i] * inverse;
            (value + term, slope + term * inverse)
        })
    };
    let (below, below_slope) = sum(0..j + 1);
    let (above, above_slope) = sum(j + 1..poles.len());
    Sides {
        below,
        above,
        below_slope,
        above_slope,
        size: above - below,
    }
}

impl Sides {
    fn value(&self) -> f64 {
        self.below + self.above
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

#[cfg(test)]
mod tests {
    use super::*;
    use faer::{Mat, Side};

    fn noise(seed: usize, i: usize) -> f64 {
        let x = (1.0 + seed as f64 * 12.9898 + i as f64 * 78.233).sin() * 43758.5453;
        x - x.floor() - 0.5
    }

    /// Against the eigenvalues of the projected matrix, and quadratic forms of resolvents for the vectors.
    fn check(values: &[f64], q: &[f64]) {
        let n = values.len();
        let length = norm(q);
        let unit: Vec<f64> = q.iter().map(|x| x / length).collect();
        let vectors: Vec<Vec<f64>> = (0..2).map(|s| (0..n).map(|i| noise(s + 7, i)).collect()).collect();
        let mut fast = Diagonal {
            values: values.to_vec(),
            vectors: vectors.clone(),
        };
        let removed = fast.remove(q);
        let largest = max_abs(values.iter().copied());
        let project = |v: &[f64]| -> Vec<f64> {
            let a = dot(v, &unit);
            v.iter().zip(&unit).map(|(x, u)| x - a * u).collect()
        };
        let slow = Mat::from_fn(n, n, |i, j| {
            let e = |k: usize| -> Vec<f64> { project(&(0..n).map(|l| f64::from(k == l)).collect::<Vec<_>>()) };
            let (a, b) = (e(i), e(j));
            (0..n).map(|k| a[k] * values[k] * b[k]).sum::<f64>() + 10.0 * largest * unit[i] * unit[j]
        });
        let mut sorted = fast.values.clone();
        sorted.sort_by(f64::total_cmp);
        let exact = slow.self_adjoint_eigenvalues(Side::Lower).unwrap();
        assert_eq!(sorted.len(), n - 1);
        for (a, b) in sorted.iter().zip(&exact) {
            assert!((a - b).abs() <= 1e-13 * n as f64 * largest, "{a} {b}");
        }
        let lambda_q: Vec<f64> = unit.iter().zip(values).map(|(u, l)| u * l).collect();
        let all: Vec<Vec<f64>> = vectors.iter().cloned().chain([lambda_q]).collect();
        for shift in [1e-3, 0.3, 2.0] {
            let inverse = faer::linalg::solvers::DenseSolveCore::inverse(
                &Mat::from_fn(n, n, |i, j| slow[(i, j)] + if i == j { shift * largest } else { 0.0 })
                    .llt(Side::Lower)
                    .unwrap(),
            );
            for a in 0..3 {
                for b in 0..=a {
                    let (pa, pb) = (project(&all[a]), project(&all[b]));
                    let direct: f64 = (0..n)
                        .map(|i| (0..n).map(|j| pa[i] * inverse[(i, j)] * pb[j]).sum::<f64>())
                        .sum();
                    let turned: f64 = (0..n - 1)
                        .map(|i| fast.vectors[a][i] * fast.vectors[b][i] / (fast.values[i] + shift * largest))
                        .sum();
                    let size = norm(&all[a]) * norm(&all[b]) / (shift * largest);
                    assert!(
                        (direct - turned).abs() <= 1e-12 * n as f64 * size,
                        "{n} {shift} {a} {b}: {direct} {turned}"
                    );
                }
            }
        }
        assert!((removed.along[0] - dot(&vectors[0], &unit)).abs() < 1e-14 * n as f64);
    }

    #[test]
    fn a_direction_is_projected_out_of_any_spectrum() {
        let q = |n: usize, s: usize| -> Vec<f64> { (0..n).map(|i| noise(s, i)).collect() };
        for n in [2, 3, 10, 60, 150] {
            let spread: Vec<f64> = (0..n).map(|i| (0.1 + noise(3, i).abs()) * 3.0).collect();
            check(&spread, &q(n, 1));
            check(
                &spread.iter().map(|v| (12.0 * v).exp() * 1e-9).collect::<Vec<_>>(),
                &q(n, 2),
            );
            check(&(0..n).map(|i| (i % 4) as f64).collect::<Vec<_>>(), &q(n, 4));
            check(
                &(0..n)
                    .map(|i| if i < n / 2 { 0.0 } else { 1.0 + i as f64 })
                    .collect::<Vec<_>>(),
                &q(n, 5),
            );
            check(
                &(0..n)
                    .map(|i| 1.0 + 1e-15 * (i / 2) as f64 + (i % 2) as f64)
                    .collect::<Vec<_>>(),
                &q(n, 6),
            );
            check(&(0..n).map(|i| 1.0 + 1e-11 * i as f64).collect::<Vec<_>>(), &q(n, 8));
            let sparse: Vec<f64> = (0..n).map(|i| if i % 3 == 0 { noise(9, i) } else { 0.0 }).collect();
            check(&spread, &sparse);
            let graded: Vec<f64> = (0..n).map(|i| noise(10, i) * 10f64.powi(-(i as i32) / 8)).collect();
            check(&spread, &graded);
            let mut axis = vec![0.0; n];
            axis[n / 2] = 2.0;
            check(&spread, &axis);
        }
        for scale in [1e-150, 1e150] {
            check(
                &(0..30).map(|i| scale * f64::from(1 + i % 7)).collect::<Vec<_>>(),
                &q(30, 11),
            );
        }
    }
}
