//! The least squares problem at some T, and the deviance there.

use super::elimination::{Elimination, backward, rescaled};
use super::problem::SparseProblem;
use super::rest::RestFactor;
use crate::likelihood::Method;
use crate::linalg::cholesky::Cholesky;
use crate::linalg::{MANY, axpy, by_entries, clear_registers, dot, product};
use crate::runtime::stop::pieces;
use crate::runtime::work::{Work, count};
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, Par};

/// What is known at T, in units of the problem.
pub(crate) struct SparsePoint<'p> {
    pub t: Vec<Mat<f64>>,
    pub elimination: Elimination,
    pub rest: RestFactor<'p>,
    /// S^-1 S_x: what couples the rest to Q, solved.
    pub w: Mat<f64>,
    /// F = Q'V^-1 Q, in units of s2.
    pub fixed: Cholesky,
    /// Coordinates of beta along Q.
    pub beta: Vec<f64>,
    /// u, in the order of the unknowns.
    pub u: Vec<f64>,
    /// Z'e
    pub ze: Vec<f64>,
    pub r2: f64,
    pub deviance: f64,
}

impl SparseProblem<'_> {
    /// `None` where C is not positive definite to rounding.
    pub(super) fn point<'p>(&'p self, t: Vec<Mat<f64>>, par: Par) -> Option<SparsePoint<'p>> {
        count(Work::Factorisation);
        let elimination = Elimination::new(self, &t)?;
        let rest = self.plan().factor(self, &t, &elimination, par)?;
        let (border, corner) = self.border(&t, &elimination);
        let p = self.rank();
        let solved = rest.solve(border.clone(), par);
        let w = solved.subcols(0, p).to_owned();
        let taken = product(border.subcols(0, p).transpose(), solved.as_ref(), par);
        let corner = corner - taken;
        let fixed = Cholesky::new(corner.subcols(0, p).to_owned(), par)?;
        let beta = fixed.solve(corner.subcols(p, 1).to_owned(), par);
        let u = self.effects(&elimination, &(solved.subcols(p, 1) - &w * &beta), &beta, p);
        let beta: Vec<f64> = (0..p).map(|c| beta[(c, 0)]).collect();
        let (r2, ze) = self.residuals(&t, &u, &beta);
        let of_fixed = if self.method == Method::Reml {
            fixed.log_det()
        } else {
            0.0
        };
        let log_det = elimination.log_det + rest.log_det() + of_fixed;
        let deviance = self.profiled(log_det, r2);
        deviance.is_finite().then_some(SparsePoint {
            t,
            elimination,
            rest,
            w,
            fixed,
            beta,
            u,
            ze,
            r2,
            deviance,
        })
    }

    /// What couples the rest to `[Q, y]`, and Q to `[Q, y]`, the first effect eliminated.
    fn border(&self, t: &[Mat<f64>], elimination: &Elimination) -> (Mat<f64>, Mat<f64>) {
        let (arrangement, cross, p) = (&self.arrangement, &self.cross, self.rank());
        let mut border = Mat::zeros(arrangement.unknowns - arrangement.eliminated, p + 1);
        for (r, effect) in arrangement.rest() {
            let mut block = vec![0.0; effect.terms];
            for first in (effect.first..effect.first + effect.unknowns()).step_by(effect.terms) {
                for c in 0..=p {
                    let entry = |a: usize| {
                        if c < p {
                            cross.x[(first + a) * p + c]
                        } else {
                            cross.y[first + a]
                        }
                    };
                    rescaled(&t[r], entry, &mut block);
                    let row = first - arrangement.eliminated;
                    block.iter().enumerate().for_each(|(a, x)| border[(row + a, c)] = *x);
                }
            }
        }
        let mut corner = Mat::from_fn(p, p + 1, |i, j| match j < p {
            true => f64::from(i == j),
            false => dot(&self.q[i], &self.centred.y),
        });
        self.take_off(elimination, &mut border, &mut corner);
        (border, corner)
    }

    fn take_off(&self, elimination: &Elimination, border: &mut Mat<f64>, corner: &mut Mat<f64>) {
        let (Some(l), p) = (self.eliminated_terms(), self.rank()) else {
            return;
        };
        for j in 0..self.arrangement.effects[0].levels {
            let met = self.meetings.of(j);
            let row = |k: usize| {
                let at = (self.meetings.rows(j) + k) * l;
                &elimination.coupled[at..at + l]
            };
            for c in 0..=p {
                let beside = row(met.len() + c);
                for (k, &unknown) in met.iter().enumerate() {
                    border[(unknown, c)] -= small_dot(row(k), beside);
                }
                if p < MANY {
                    (0..p).for_each(|i| corner[(i, c)] -= small_dot(row(met.len() + i), beside));
                }
            }
        }
        if p >= MANY {
            self.take_off_products(elimination, l, corner);
        }
    }

    /// The same of many columns of X, some levels at a time in products of matrices.
    fn take_off_products(&self, elimination: &Elimination, l: usize, corner: &mut Mat<f64>) {
        const AT_ONCE: usize = 256;
        let p = self.rank();
        for levels in pieces(self.arrangement.effects[0].levels, AT_ONCE.div_ceil(l)) {
            let of_x = |row: usize, c: usize| {
                let j = levels.start + row / l;
                elimination.coupled[(self.meetings.rows(j) + self.meetings.of(j).len() + c) * l + row % l]
            };
            let beside = by_entries(levels.len() * l, p + 1, of_x);
            let rows = beside.subcols(0, p).transpose();
            matmul(corner.as_mut(), Accum::Add, rows, beside.as_ref(), -1.0, Par::Seq);
        }
        clear_registers();
    }

    /// u of column c of [Q, y]: of the first effect by back substitution, `u_j = L_j^-T (y_j - V_j' [u_2, beta])`.
    pub(super) fn effects(&self, elimination: &Elimination, rest: &Mat<f64>, beta: &Mat<f64>, c: usize) -> Vec<f64> {
        let mut u = vec![0.0; self.arrangement.eliminated];
        if let Some(l) = self.eliminated_terms() {
            for (j, u) in u.chunks_exact_mut(l).enumerate() {
                let met = self.meetings.of(j);
                let rows = &elimination.coupled[self.meetings.rows(j) * l..self.meetings.rows(j + 1) * l];
                u.copy_from_slice(&rows[(met.len() + c) * l..][..l]);
                let others = met
                    .iter()
                    .map(|&k| rest[(k, 0)])
                    .chain((0..self.rank()).map(|c| beta[(c, 0)]));
                rows.chunks_exact(l)
                    .zip(others)
                    .for_each(|(row, other)| axpy(-other, row, u));
                backward(&elimination.roots[j * l * l..(j + 1) * l * l], u);
            }
        }
        u.extend((0..rest.nrows()).map(|k| rest[(k, 0)]));
        u
    }

    /// r2 = |e|^2 + u' Pen u, e = y - Q beta - Z Lambda u by a pass over the rows, and Z'e.
    fn residuals(&self, t: &[Mat<f64>], u: &[f64], beta: &[f64]) -> (f64, Vec<f64>) {
        let mut e = self.centred.y.clone();
        self.q.iter().zip(beta).for_each(|(q, b)| axpy(-b, q, &mut e));
        let ze = self.without_effects(t, u, &mut e);
        let mut r2 = dot(&e, &e);
        for effect in &self.arrangement.effects {
            r2 += effect
                .penalty
                .quadratic(&u[effect.first..effect.first + effect.unknowns()], effect.terms);
        }
        (r2, ze)
    }

    /// `e -= Z Lambda u`, and Z'e.
    pub(super) fn without_effects(&self, t: &[Mat<f64>], u: &[f64], e: &mut [f64]) -> Vec<f64> {
        for (effect, t) in self.arrangement.effects.iter().zip(t) {
            let b = scaled_effects(t, &u[effect.first..effect.first + effect.unknowns()]);
            let rows = effect.group.iter().zip(effect.z.chunks_exact(effect.terms));
            let of_level = |g: usize| &b[g * effect.terms..(g + 1) * effect.terms];
            e.iter_mut()
                .zip(rows)
                .for_each(|(e, (&g, z))| *e -= small_dot(z, of_level(g)));
        }
        let mut ze = vec![0.0; u.len()];
        for effect in &self.arrangement.effects {
            let sums = &mut ze[effect.first..effect.first + effect.unknowns()];
            for ((&g, z), e) in effect.group.iter().zip(effect.z.chunks_exact(effect.terms)).zip(&*e) {
                axpy(*e, z, &mut sums[g * effect.terms..(g + 1) * effect.terms]);
            }
        }
        ze
    }
}

/// Of few numbers.
fn small_dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// b = Lambda u of one effect.
pub(crate) fn scaled_effects(t: &Mat<f64>, u: &[f64]) -> Vec<f64> {
    let l = t.nrows();
    let level = |u: &[f64]| {
        (0..l)
            .map(|a| (0..=a).map(|b| t[(a, b)] * u[b]).sum::<f64>())
            .collect::<Vec<_>>()
    };
    u.chunks_exact(l).flat_map(level).collect()
}
