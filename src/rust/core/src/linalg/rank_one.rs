//! A diagonal kernel with one direction projected out, or a rank-one part taken out, is diagonal again: a decomposition made once serves every X,
//! and every set of columns of a factor that is left out.
//!
//! For Lambda = diag(lambda) and a unit vector q the eigenvalues mu of `(I - qq') Lambda (I - qq')` on the complement of q solve the secular
//! equation `sum_i q_i^2 / (lambda_i - mu) = 0`, one between each pair of neighbours, and the eigenvectors are `v ~ q_i / (lambda_i - mu)`
//! (Golub 1973). For `Lambda - zz'` they solve `sum_i z_i^2 / (lambda_i - mu) = 1`, one below each lambda, with vectors `z_i / (lambda_i - mu)`. Equal lambda and entries of q that are zero are set aside first. From the mu that were found q is computed anew, so that the
//! eigenvectors are orthogonal to rounding (Gu and Eisenstat 1995). Costs n^2, where a new decomposition would cost n^3.

use crate::linalg::secular::Secular;
use crate::linalg::{Reflectors, dot, max_abs, norm};

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
        let mut sorted = Sorted::new(self, &q);
        let poles = sorted.set_aside(f64::EPSILON);
        *self = sorted.project(&poles);
        removed
    }

    /// Lambda - zz'; it must stay positive semidefinite.
    pub fn subtract(&mut self, z: &[f64]) {
        let largest = max_abs(self.values.iter().copied());
        let length = norm(z);
        if length * length <= f64::EPSILON * largest {
            return;
        }
        let mut sorted = Sorted::new(self, z);
        let poles = sorted.set_aside(f64::EPSILON * largest / length);
        *self = sorted.subtract(&poles);
    }
}

/// lambda ascending.
struct Sorted {
    values: Vec<f64>,
    q: Vec<f64>,
    vectors: Vec<Vec<f64>>,
}

impl Sorted {
    fn new(diagonal: &Diagonal, q: &[f64]) -> Self {
        let mut order: Vec<usize> = (0..q.len()).collect();
        order.sort_by(|&i, &j| diagonal.values[i].total_cmp(&diagonal.values[j]));
        let pick = |v: &[f64]| order.iter().map(|&i| v[i]).collect();
        Self {
            values: pick(&diagonal.values),
            q: pick(q),
            vectors: diagonal.vectors.iter().map(|v| pick(v)).collect(),
        }
    }

    /// Turn q within each cluster of equal values onto its last member; the poles are the members where q is not zero.
    fn set_aside(&mut self, small: f64) -> Vec<usize> {
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
            if self.q[first].abs() > small {
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
        let (values, q) = self.at(poles);
        self.join(poles, &Secular::between(values, q), true)
    }

    /// What was set aside, and the roots below the poles.
    fn subtract(&self, poles: &[usize]) -> Diagonal {
        let (values, q) = self.at(poles);
        let mut found = self.join(poles, &Secular::below(values, q), false);
        found.values.iter_mut().for_each(|v| *v = v.max(0.0));
        found
    }

    fn at(&self, poles: &[usize]) -> (Vec<f64>, Vec<f64>) {
        poles.iter().map(|&i| (self.values[i], self.q[i])).unzip()
    }

    fn join(&self, poles: &[usize], roots: &Secular, coupled: bool) -> Diagonal {
        let aside: Vec<usize> = (0..self.values.len())
            .filter(|i| poles.binary_search(i).is_err())
            .collect();
        let at_poles: Vec<Vec<f64>> = self
            .vectors
            .iter()
            .map(|v| poles.iter().map(|&i| v[i]).collect())
            .collect();
        let (inside, coupling) = roots.rotate(&at_poles);
        let values = aside.iter().map(|&i| self.values[i]).chain(roots.roots()).collect();
        let join =
            |v: &Vec<f64>, inside: &Vec<f64>| aside.iter().map(|&i| v[i]).chain(inside.iter().copied()).collect();
        let mut vectors: Vec<Vec<f64>> = self
            .vectors
            .iter()
            .zip(&inside)
            .map(|(v, inside)| join(v, inside))
            .collect();
        if coupled {
            vectors.push(std::iter::repeat_n(0.0, aside.len()).chain(coupling).collect());
        }
        Diagonal { values, vectors }
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

    /// Against the eigenvalues of Lambda - zz' and its resolvents.
    fn check_subtraction(values: &[f64], z: &[f64]) {
        let n = values.len();
        let vectors: Vec<Vec<f64>> = (0..2).map(|s| (0..n).map(|i| noise(s + 7, i)).collect()).collect();
        let mut fast = Diagonal {
            values: values.to_vec(),
            vectors: vectors.clone(),
        };
        fast.subtract(z);
        let largest = max_abs(values.iter().copied());
        let slow = Mat::from_fn(n, n, |i, j| if i == j { values[i] } else { 0.0 } - z[i] * z[j]);
        let mut sorted = fast.values.clone();
        sorted.sort_by(f64::total_cmp);
        for (a, b) in sorted.iter().zip(slow.self_adjoint_eigenvalues(Side::Lower).unwrap()) {
            assert!((a - b).abs() <= 1e-14 * n as f64 * largest, "{a} {b}");
        }
        for shift in [1e-3, 0.3, 2.0] {
            let shifted = Mat::from_fn(n, n, |i, j| slow[(i, j)] + if i == j { shift * largest } else { 0.0 });
            let inverse = faer::linalg::solvers::DenseSolveCore::inverse(&shifted.llt(Side::Lower).unwrap());
            for (a, b) in [(0, 0), (0, 1), (1, 1)] {
                let direct: f64 = (0..n)
                    .map(|i| {
                        (0..n)
                            .map(|j| vectors[a][i] * inverse[(i, j)] * vectors[b][j])
                            .sum::<f64>()
                    })
                    .sum();
                let turned: f64 = (0..n)
                    .map(|i| fast.vectors[a][i] * fast.vectors[b][i] / (fast.values[i] + shift * largest))
                    .sum();
                let size = norm(&vectors[a]) * norm(&vectors[b]) / (shift * largest);
                assert!(
                    (direct - turned).abs() <= 1e-12 * n as f64 * size,
                    "{n} {shift} {a} {b}: {direct} {turned}"
                );
            }
        }
    }

    /// z'(Lambda)^-1 z = part keeps the difference positive semidefinite; part = 1 takes a whole dimension out.
    fn within(values: &[f64], direction: &[f64], part: f64) -> Vec<f64> {
        let z: Vec<f64> = direction.iter().zip(values).map(|(d, l)| d * l.sqrt()).collect();
        let form: f64 = z
            .iter()
            .zip(values)
            .map(|(z, l)| if *l > 0.0 { z * z / l } else { 0.0 })
            .sum();
        z.iter().map(|z| z * (part / form).sqrt()).collect()
    }

    #[test]
    fn a_rank_one_part_is_taken_out_of_any_spectrum() {
        for n in [1, 2, 3, 10, 60, 150] {
            let direction: Vec<f64> = (0..n).map(|i| noise(13, i)).collect();
            let spread: Vec<f64> = (0..n).map(|i| (0.1 + noise(3, i).abs()) * 3.0).collect();
            let graded: Vec<f64> = spread.iter().map(|v| (12.0 * v).exp() * 1e-9).collect();
            let tied: Vec<f64> = (0..n).map(|i| 1.0 + (i % 4) as f64).collect();
            let singular: Vec<f64> = (0..n).map(|i| if i < n / 2 { 0.0 } else { 1.0 + i as f64 }).collect();
            for values in [spread, graded, tied, singular] {
                for part in [1e-12, 0.1, 0.9, 1.0] {
                    check_subtraction(&values, &within(&values, &direction, part));
                }
            }
        }
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
