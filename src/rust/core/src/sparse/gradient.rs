//! Slopes of the deviance in the entries of T. The envelope theorem for r2, and C^-1 on the pattern of C (for ML that of A):
//!
//! ```text
//! d deviance = sum_ij (C^-1)_ij (dC)_ij - 2 (N / r2) u' dLambda' Z'e
//! sum_ij (C^-1)_ij (dC)_ij = 2 tr(dT' D_r),   D_r = sum_j sum_k G_jk (Lambda C^-1)_kj over the levels j of effect r
//! ```
//!
//! with k over the levels that j meets, and X. Of level j of the first effect, with `U_j = [B_j; X_j] A_j^-1` and the inverse R over the rest and X,
//!
//! ```text
//! (C^-1)_kj = -R U_j,   (C^-1)_jj = A_j^-1 + U_j' R U_j
//! ```

use super::elimination::backward;
use super::point::SparsePoint;
use super::problem::SparseProblem;
use super::rest::RestInverse;
use crate::likelihood::Method;
use crate::linalg::{MANY, clear_registers, product};
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatMut, MatRef, Par};

/// C^-1 over the rest and X, or A^-1 over the rest.
pub(crate) struct JointInverse<'p> {
    rest: RestInverse<'p>,
    /// W F^-1 and W, which X adds to the inverse of the rest: `S^-1 + W F^-1 W'`; of a dense one they are in it.
    added: Option<(Mat<f64>, Mat<f64>)>,
    /// W F^-1; no columns where X is left out.
    beside: Mat<f64>,
    /// F^-1
    fixed: Mat<f64>,
}

impl<'p> JointInverse<'p> {
    pub(crate) fn new(point: &SparsePoint<'p>, with_x: bool, par: Par) -> Self {
        let mut rest = point.rest.inverse(par);
        if !with_x || point.w.ncols() == 0 {
            let (beside, fixed) = (Mat::zeros(point.w.nrows(), 0), Mat::zeros(0, 0));
            let added = None;
            return Self {
                rest,
                added,
                beside,
                fixed,
            };
        }
        let fixed = point.fixed.inverse(par);
        let beside = product(point.w.as_ref(), fixed.as_ref(), par);
        let added = match &mut rest {
            RestInverse::Dense(inverse) => {
                matmul(
                    inverse.as_mut(),
                    Accum::Add,
                    beside.as_ref(),
                    point.w.transpose(),
                    1.0,
                    par,
                );
                None
            }
            RestInverse::Sparse(_) => Some((beside.clone(), point.w.clone())),
        };
        Self {
            rest,
            added,
            beside,
            fixed,
        }
    }

    fn get(&self, i: usize, j: usize) -> f64 {
        let of_x = |(wf, w): &(Mat<f64>, Mat<f64>)| (0..w.ncols()).map(|c| wf[(i, c)] * w[(j, c)]).sum::<f64>();
        self.rest.get(i, j) + self.added.as_ref().map_or(0.0, of_x)
    }

    /// Columns of X in it.
    fn columns(&self) -> usize {
        self.beside.ncols()
    }

    /// Between column c of X and an unknown of the rest.
    fn of_x(&self, c: usize, i: usize) -> f64 {
        -self.beside[(i, c)]
    }

    /// `out -= R U` over the unknowns `met` and those of X, U and `out` by rows of l.
    fn take_product(&self, met: &[usize], l: usize, u: &[f64], out: &mut [f64]) {
        let m = met.len();
        match (&self.rest, &self.added) {
            (RestInverse::Dense(inverse), None) => {
                let entry = |a: usize, b: usize| inverse[(met[a], met[b])];
                (0..m).for_each(|b| take_column(b, b..m, l, |a| entry(a, b), u, out));
            }
            _ => (0..m).for_each(|b| take_column(b, b..m, l, |a| self.get(met[a], met[b]), u, out)),
        }
        let p = self.columns();
        for c in 0..p {
            take_column(m + c, 0..m, l, |a| self.of_x(c, met[a]), u, out);
            let of_fixed = |a: usize| self.fixed[(a - m, c)];
            if p < MANY {
                take_column(m + c, m + c..m + p, l, of_fixed, u, out);
            }
        }
        if p >= MANY {
            let u = MatRef::from_row_major_slice(&u[m * l..], p, l);
            let out = MatMut::from_row_major_slice_mut(&mut out[m * l..], p, l);
            matmul(out, Accum::Add, self.fixed.as_ref(), u, -1.0, Par::Seq);
            clear_registers();
        }
    }
}

/// C^-1 at a level of the first effect: with what it meets and X, by rows of l; and its own block.
pub(crate) struct LevelInverse {
    pub beside: Vec<f64>,
    pub own: Vec<f64>,
    u: Vec<f64>,
}

impl LevelInverse {
    pub(crate) fn new() -> Self {
        let (beside, own, u) = (vec![], vec![], vec![]);
        Self { beside, own, u }
    }

    pub(crate) fn set(
        &mut self,
        problem: &SparseProblem<'_>,
        point: &SparsePoint<'_>,
        inverse: &JointInverse<'_>,
        j: usize,
    ) {
        let (l, met) = (point.t[0].nrows(), problem.meetings.of(j));
        let rows = met.len() + inverse.columns();
        let root = &point.elimination.roots[j * l * l..(j + 1) * l * l];
        let first = problem.meetings.rows(j) * l;
        self.u.clear();
        self.u
            .extend_from_slice(&point.elimination.coupled[first..first + rows * l]);
        self.u.chunks_exact_mut(l).for_each(|row| backward(root, row));
        self.beside.clear();
        self.beside.resize(rows * l, 0.0);
        inverse.take_product(met, l, &self.u, &mut self.beside);
        self.own.clear();
        self.own.resize(l * l, 0.0);
        for c in 0..l {
            let mut e = vec![0.0; l];
            e[c] = 1.0;
            solve(root, &mut e);
            for (a, e) in e.iter().enumerate() {
                let known: f64 = (0..rows).map(|k| self.u[k * l + a] * self.beside[k * l + c]).sum();
                self.own[a * l + c] = e - known;
            }
        }
    }
}

/// `out -= R U` for some rows of column b of a symmetric R, and for the same entries of its row b.
fn take_column(b: usize, rows: std::ops::Range<usize>, l: usize, r: impl Fn(usize) -> f64, u: &[f64], out: &mut [f64]) {
    for a in rows {
        let r = r(a);
        // most effects have one term, for which a loop over terms would be most of the work
        if l == 1 {
            out[a] -= r * u[b];
            out[b] -= if a == b { 0.0 } else { r * u[a] };
            continue;
        }
        for c in 0..l {
            out[a * l + c] -= r * u[b * l + c];
            out[b * l + c] -= if a == b { 0.0 } else { r * u[a * l + c] };
        }
    }
}

/// `b <- (L L')^-1 b`
fn solve(root: &[f64], b: &mut [f64]) {
    let l = b.len();
    for i in 0..l {
        let sum: f64 = (0..i).map(|k| root[i * l + k] * b[k]).sum();
        b[i] = (b[i] - sum) / root[i * l + i];
    }
    backward(root, b);
}

/// `D += G T H`, T lower triangular, G and H by functions of row and column.
fn add_product(d: &mut Mat<f64>, g: impl Fn(usize, usize) -> f64, t: &Mat<f64>, h: impl Fn(usize, usize) -> f64) {
    let (l, m) = (d.nrows(), t.nrows());
    for b in 0..l {
        for c in 0..m {
            let th: f64 = (0..=c).map(|e| t[(c, e)] * h(e, b)).sum();
            (0..l).for_each(|a| d[(a, b)] += g(a, c) * th);
        }
    }
}

/// Of one point, by effects in the order of elimination: all l x l entries of each T.
pub(crate) struct SparseSlopes {
    /// Of the deviance.
    pub deviance: Vec<Mat<f64>>,
    /// D_r: half of those of the log-determinant.
    pub log_det: Vec<Mat<f64>>,
}

impl<'p> SparseProblem<'_> {
    pub(super) fn slopes_at(&self, point: &SparsePoint<'p>, par: Par) -> SparseSlopes {
        let of_r2 = |r: usize, a: usize, b: usize| {
            let effect = &self.arrangement.effects[r];
            let levels = (effect.first..effect.first + effect.unknowns()).step_by(effect.terms);
            levels
                .map(|first| point.u[first + b] * point.ze[first + a])
                .sum::<f64>()
        };
        let ratio = self.counted() / point.r2;
        let log_det = self.log_det_slopes(point, par);
        let slope = |(r, d): (usize, &Mat<f64>)| {
            Mat::from_fn(d.nrows(), d.ncols(), |a, b| 2.0 * (d[(a, b)] - ratio * of_r2(r, a, b)))
        };
        let deviance = log_det.iter().enumerate().map(slope).collect();
        SparseSlopes { deviance, log_det }
    }

    fn log_det_slopes(&self, point: &SparsePoint<'p>, par: Par) -> Vec<Mat<f64>> {
        let inverse = JointInverse::new(point, self.method == Method::Reml, par);
        let mut d: Vec<Mat<f64>> = point.t.iter().map(|t| Mat::zeros(t.nrows(), t.nrows())).collect();
        self.first_effect(point, &inverse, &mut d);
        self.other_effects(point, &inverse, &mut d);
        d
    }

    fn first_effect(&self, point: &SparsePoint<'_>, inverse: &JointInverse<'_>, d: &mut [Mat<f64>]) {
        let (Some(l), t, cross) = (self.eliminated_terms(), &point.t, &self.cross) else {
            return;
        };
        let mut level = LevelInverse::new();
        for j in 0..self.arrangement.effects[0].levels {
            level.set(self, point, inverse, j);
            let own = &cross.diagonal[0][j * l * l..(j + 1) * l * l];
            add_product(&mut d[0], |a, c| own[a + c * l], &t[0], |e, b| level.own[e * l + b]);
            let mut at = 0;
            for coupling in cross.couplings(0, j) {
                let m = t[coupling.effect].nrows();
                let (g, h) = (cross.block(coupling, m * l), &level.beside[at * l..(at + m) * l]);
                add_product(&mut d[0], |a, c| g[c + a * m], &t[coupling.effect], |e, b| h[e * l + b]);
                add_product(&mut d[coupling.effect], |a, c| g[a + c * m], &t[0], |e, b| h[b * l + e]);
                at += m;
            }
            let h = &level.beside[at * l..];
            self.add_x(&mut d[0], j * l, inverse.columns(), |c, b| h[c * l + b]);
        }
    }

    /// `D += (Z'Q) H`, the rows of X' C^-1 given by H, for the level whose unknowns begin at `first`.
    fn add_x(&self, d: &mut Mat<f64>, first: usize, columns: usize, h: impl Fn(usize, usize) -> f64) {
        let l = d.nrows();
        for a in 0..l {
            let q = &self.cross.x[(first + a) * self.cross.rank..];
            for b in 0..l {
                d[(a, b)] += (0..columns).map(|c| q[c] * h(c, b)).sum::<f64>();
            }
        }
    }

    fn other_effects(&self, point: &SparsePoint<'_>, inverse: &JointInverse<'_>, d: &mut [Mat<f64>]) {
        let (t, cross, eliminated) = (&point.t, &self.cross, self.arrangement.eliminated);
        for (r, effect) in self.arrangement.rest() {
            let l = effect.terms;
            for level in 0..effect.levels {
                let first = effect.first + level * l;
                let column = first - eliminated;
                let own = &cross.diagonal[r][level * l * l..(level + 1) * l * l];
                let h = |e: usize, b: usize| inverse.get(column + e, column + b);
                add_product(&mut d[r], |a, c| own[a + c * l], &t[r], h);
                self.add_x(&mut d[r], first, inverse.columns(), |c, b| inverse.of_x(c, column + b));
                for coupling in cross.couplings(r, level) {
                    let s = coupling.effect;
                    let other = &self.arrangement.effects[s];
                    let (m, row) = (other.terms, other.first - eliminated + coupling.level * other.terms);
                    let g = cross.block(coupling, m * l);
                    add_product(
                        &mut d[r],
                        |a, c| g[c + a * m],
                        &t[s],
                        |e, b| inverse.get(row + e, column + b),
                    );
                    add_product(
                        &mut d[s],
                        |a, c| g[a + c * m],
                        &t[r],
                        |e, b| inverse.get(column + e, row + b),
                    );
                }
            }
        }
    }

    /// Diagonal blocks of A^-1, those of a level together by rows, by effects: Cov(u | y, beta) over s2.
    pub(super) fn level_blocks(&self, point: &SparsePoint<'p>, par: Par) -> Vec<Vec<f64>> {
        let inverse = JointInverse::new(point, false, par);
        let mut blocks = vec![];
        if self.eliminated_terms().is_some() {
            let mut level = LevelInverse::new();
            let of_level = |j: usize| {
                level.set(self, point, &inverse, j);
                level.own.clone()
            };
            blocks.push((0..self.arrangement.effects[0].levels).flat_map(of_level).collect());
        }
        for (_, effect) in self.arrangement.rest() {
            let l = effect.terms;
            let firsts = (effect.first..effect.first + effect.unknowns()).step_by(l);
            let entry = |first: usize| {
                let column = first - self.arrangement.eliminated;
                let inverse = &inverse;
                (0..l * l).map(move |at| inverse.get(column + at / l, column + at % l))
            };
            blocks.push(firsts.flat_map(entry).collect());
        }
        blocks
    }
}
