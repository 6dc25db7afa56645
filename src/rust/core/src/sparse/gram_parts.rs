//! Z'Z and Z'Q in parts, roots of the inverse precisions in Z, and the first effect taken out of them level by level.

use super::problem::SparseProblem;
use super::units::ScaledEffect;
use crate::linalg::cholesky::Cholesky;
use crate::linalg::product;
use faer::linalg::solvers::Solve;
use faer::linalg::triangular_solve::solve_lower_triangular_in_place;
use faer::{Mat, MatRef, Par, Side};

/// Blocks of each level, symmetric, times x.
pub(super) fn by_levels(blocks: &[f64], l: usize, x: MatRef<'_, f64>) -> Mat<f64> {
    let mut out = Mat::zeros(x.nrows(), x.ncols());
    for c in 0..x.ncols() {
        for (j, block) in blocks.chunks_exact(l * l).enumerate() {
            for a in 0..l {
                out[(j * l + a, c)] = (0..l).map(|b| block[a * l + b] * x[(j * l + b, c)]).sum();
            }
        }
    }
    out
}

/// Z'Z and Z'Q by the first effect and the rest.
pub(super) struct GramParts {
    /// G_j of the first effect.
    own: Vec<f64>,
    /// Of the rest with the first effect.
    below: Mat<f64>,
    pub rest: Mat<f64>,
    first_x: Mat<f64>,
    rest_x: Mat<f64>,
}

/// D; E = Z_1'V_1^-1 [Z_2, Q] and C = [Z_2, Q]'V_1^-1 [Z_2, Q], V_1 with the first effect alone.
pub(super) struct FirstTakenOut {
    pub own: Vec<f64>,
    pub e: Mat<f64>,
    pub c: Mat<f64>,
}

impl GramParts {
    pub(super) fn new(problem: &SparseProblem<'_>) -> Self {
        let (arrangement, cross, p) = (&problem.arrangement, &problem.cross, problem.rank());
        let eliminated = arrangement.eliminated;
        let size = arrangement.unknowns - eliminated;
        let mut parts = Self {
            own: if eliminated > 0 {
                cross.diagonal[0].clone()
            } else {
                vec![]
            },
            below: Mat::zeros(size, eliminated),
            rest: Mat::zeros(size, size),
            first_x: Mat::from_fn(eliminated, p, |k, c| cross.x[k * p + c]),
            rest_x: Mat::from_fn(size, p, |k, c| cross.x[(eliminated + k) * p + c]),
        };
        for (r, effect) in arrangement.effects.iter().enumerate() {
            for level in 0..effect.levels {
                parts.add_level(problem, r, level);
            }
        }
        parts
    }

    fn add_level(&mut self, problem: &SparseProblem<'_>, r: usize, level: usize) {
        let (effects, eliminated) = (&problem.arrangement.effects, problem.arrangement.eliminated);
        let l = effects[r].terms;
        let first = effects[r].first + level * l;
        if first >= eliminated {
            let own = &problem.cross.diagonal[r][level * l * l..(level + 1) * l * l];
            (0..l * l).for_each(|at| self.rest[(first - eliminated + at % l, first - eliminated + at / l)] = own[at]);
        }
        for coupling in problem.cross.couplings(r, level) {
            let other = &effects[coupling.effect];
            let (m, row) = (other.terms, other.first - eliminated + coupling.level * other.terms);
            for (at, x) in problem.cross.block(coupling, m * l).iter().enumerate() {
                let (i, j) = (row + at % m, first + at / m);
                if j < eliminated {
                    self.below[(i, j)] = *x;
                } else {
                    self.rest[(i, j - eliminated)] = *x;
                    self.rest[(j - eliminated, i)] = *x;
                }
            }
        }
    }

    /// With Z times roots of the inverse precisions. `None` if one is not positive definite.
    pub(super) fn whitened(mut self, problem: &SparseProblem<'_>, par: Par) -> Option<Self> {
        let eliminated = problem.arrangement.eliminated;
        if let Some(l) = problem.eliminated_terms() {
            for (j, d) in problem.arrangement.effects[0].penalty.diagonal.iter().enumerate() {
                self.own[j * l * l..(j + 1) * l * l].iter_mut().for_each(|g| *g /= d);
                let root = d.sqrt();
                for k in j * l..(j + 1) * l {
                    (0..self.below.nrows()).for_each(|i| self.below[(i, k)] /= root);
                    (0..self.first_x.ncols()).for_each(|c| self.first_x[(k, c)] /= root);
                }
            }
        }
        for (_, effect) in problem.arrangement.rest() {
            let root = precision_root(effect, par)?;
            let whiten = |x: &mut Mat<f64>| whiten(effect, effect.first - eliminated, root.as_ref(), x, par);
            whiten(&mut self.below);
            whiten(&mut self.rest_x);
            whiten(&mut self.rest);
            self.rest = self.rest.transpose().to_owned();
            whiten(&mut self.rest);
        }
        Some(self)
    }

    pub(super) fn without_first(self, t: &[Mat<f64>], l: usize, par: Par) -> Option<FirstTakenOut> {
        let (m, p) = (self.rest.nrows(), self.rest_x.ncols());
        let mut c = Mat::from_fn(m + p, m + p, |i, j| match (i < m, j < m) {
            (true, true) => self.rest[(i, j)],
            (true, false) => self.rest_x[(i, j - m)],
            (false, true) => self.rest_x[(j, i - m)],
            (false, false) => f64::from(i == j),
        });
        let mut e = Mat::from_fn(self.first_x.nrows(), m + p, |k, j| match j < m {
            true => self.below[(j, k)],
            false => self.first_x[(k, j - m)],
        });
        let (mut own, mut weights) = (vec![], vec![]);
        for g in self.own.chunks_exact(l * l) {
            let g = Mat::from_fn(l, l, |a, b| g[a * l + b]);
            let mut inner = t[0].transpose() * &g * &t[0];
            (0..l).for_each(|a| inner[(a, a)] += 1.0);
            let w = &t[0] * inner.llt(Side::Lower).ok()?.solve(t[0].transpose());
            let d = &g - &g * &w * &g;
            (0..l * l).for_each(|at| own.push(d[(at / l, at % l)]));
            (0..l * l).for_each(|at| weights.push(w[(at / l, at % l)]));
        }
        let weighted = by_levels(&weights, l, e.as_ref());
        c -= product(e.transpose(), weighted.as_ref(), par);
        e -= by_levels(&self.own, l, weighted.as_ref());
        Some(FirstTakenOut { own, e, c })
    }
}

/// L with P = L L', nothing where P is the identity; the outer `None` if P is not positive definite.
fn precision_root(effect: &ScaledEffect<'_>, par: Par) -> Option<Option<Cholesky>> {
    let penalty = &effect.penalty;
    if penalty.is_diagonal() && penalty.diagonal.iter().all(|d| *d == 1.0) {
        return Some(None);
    }
    let mut p = Mat::zeros(effect.levels, effect.levels);
    penalty.diagonal.iter().enumerate().for_each(|(j, d)| p[(j, j)] = *d);
    penalty.below.iter().for_each(|&(i, j, x)| p[(i, j)] += x);
    Cholesky::new(p, par).map(Some)
}

/// `L^-1 x`, the levels of each term of an effect, which begins at this row.
fn whiten(effect: &ScaledEffect<'_>, first: usize, root: Option<&Cholesky>, x: &mut Mat<f64>, par: Par) {
    let Some(root) = root else { return };
    for a in 0..effect.terms {
        let row = |level: usize| first + level * effect.terms + a;
        let mut own = Mat::from_fn(effect.levels, x.ncols(), |level, c| x[(row(level), c)]);
        solve_lower_triangular_in_place(root.factor(), own.as_mut(), par);
        for c in 0..x.ncols() {
            (0..effect.levels).for_each(|level| x[(row(level), c)] = own[(level, c)]);
        }
    }
}
