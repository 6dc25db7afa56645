//! What Kenward and Roger ask of V, linear in the variances and covariances of the terms and in that of the residual, by matrices with a row and a column for each level and term.
//!
//! With roots of the inverse precisions in Z, so that levels are independent, `G_k = sum Z_a Z_b'` over the terms a, b of a variance (a = b) or a covariance (both orders), `M = Z'PZ` and
//! `w = V^-1 Q S`
//!
//! ```text
//! tr(P G_k P G_l)  = sum tr(M_da M_bc)            over a, b of k and c, d of l
//! dS/dk            = w' G_k w,   d2S/dkdl = -(R_kl + R_kl'),   R_kl = w' G_k P G_l w
//! ```
//!
//! and what belongs to the residual follows from `V = sum_k theta_k G_k + I`, `P V P = P` and `P V w = 0`. Variances are over that of the residual.

use super::problem::SparseProblem;
use super::units::ScaledEffect;
use crate::likelihood::uncertainty::CovarianceDerivatives;
use crate::linalg::cholesky::Cholesky;
use crate::linalg::product;
use crate::runtime::error::{Error, Result};
use crate::runtime::memory::claim;
use crate::runtime::stop;
use faer::linalg::triangular_solve::solve_lower_triangular_in_place;
use faer::{Mat, Par, Scale};

/// S in the user's units of X and the problem's of y, over s2, with its derivatives, and the expected information, the residual's last unless it is known.
pub(super) fn expected(
    problem: &SparseProblem<'_>,
    t: &[Mat<f64>],
    par: Par,
) -> Result<(CovarianceDerivatives, Mat<f64>)> {
    claim(5.0 * (problem.arrangement.unknowns as f64).powi(2))?;
    let products = LevelProducts::new(problem, t, par).ok_or(Error::NoConvergence {
        what: "the factorisation of V at the fit's variances",
        iterations: 0,
    })?;
    let components = CovarianceComponents::new(problem, t);
    let information = components.information(&products, (problem.n() - problem.rank()) as f64);
    let derivatives = components.derivatives(products, par);
    stop::check()?;
    Ok((derivatives, information))
}

/// M = Z'PZ, Y = Z'w and S, by unknowns.
struct LevelProducts {
    m: Mat<f64>,
    y: Mat<f64>,
    s: Mat<f64>,
}

impl LevelProducts {
    /// `Z'V^-1 Z = Z'Z - R'R`, `R = L^-1 Lambda'Z'Z`, `A = L L'`. `None` if A is not positive definite.
    fn new(problem: &SparseProblem<'_>, t: &[Mat<f64>], par: Par) -> Option<Self> {
        let (mut m, mut x) = (problem.gram(), problem.with_fixed());
        for effect in &problem.arrangement.effects {
            let root = precision_root(effect, par)?;
            whiten(effect, root.as_ref(), &mut x, par);
            whiten(effect, root.as_ref(), &mut m, par);
            m = m.transpose().to_owned();
            whiten(effect, root.as_ref(), &mut m, par);
        }
        let mut r = m.clone();
        scale_rows(problem, t, &mut r);
        let mut a = r.transpose().to_owned();
        scale_rows(problem, t, &mut a);
        (0..a.nrows()).for_each(|k| a[(k, k)] += 1.0);
        let mut c = x.clone();
        scale_rows(problem, t, &mut c);
        let lower = Cholesky::new(a, par)?;
        solve_lower_triangular_in_place(lower.factor(), r.as_mut(), par);
        solve_lower_triangular_in_place(lower.factor(), c.as_mut(), par);
        m -= product(r.transpose(), r.as_ref(), par);
        let n = x - product(r.transpose(), c.as_ref(), par);
        let f = Mat::<f64>::identity(c.ncols(), c.ncols()) - product(c.transpose(), c.as_ref(), par);
        let s = Cholesky::new(f, par)?.inverse(par);
        let y = product(n.as_ref(), s.as_ref(), par);
        m -= product(y.as_ref(), n.transpose(), par);
        Some(Self { m, y, s })
    }
}

impl SparseProblem<'_> {
    /// Z'Z
    fn gram(&self) -> Mat<f64> {
        let effects = &self.arrangement.effects;
        let mut gram = Mat::zeros(self.arrangement.unknowns, self.arrangement.unknowns);
        for (r, effect) in effects.iter().enumerate() {
            let l = effect.terms;
            for level in 0..effect.levels {
                let first = effect.first + level * l;
                let own = &self.cross.diagonal[r][level * l * l..(level + 1) * l * l];
                (0..l * l).for_each(|at| gram[(first + at % l, first + at / l)] = own[at]);
                for coupling in self.cross.couplings(r, level) {
                    let other = &effects[coupling.effect];
                    let (m, row) = (other.terms, other.first + coupling.level * other.terms);
                    for (at, x) in self.cross.block(coupling, m * l).iter().enumerate() {
                        gram[(row + at % m, first + at / m)] = *x;
                        gram[(first + at / m, row + at % m)] = *x;
                    }
                }
            }
        }
        gram
    }

    /// Z'Q
    fn with_fixed(&self) -> Mat<f64> {
        let p = self.rank();
        Mat::from_fn(self.arrangement.unknowns, p, |k, c| self.cross.x[k * p + c])
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

/// `L^-1 x`, the levels of each term of an effect.
fn whiten(effect: &ScaledEffect<'_>, root: Option<&Cholesky>, x: &mut Mat<f64>, par: Par) {
    let Some(root) = root else { return };
    for a in 0..effect.terms {
        let row = |level: usize| effect.first + level * effect.terms + a;
        let mut own = Mat::from_fn(effect.levels, x.ncols(), |level, c| x[(row(level), c)]);
        solve_lower_triangular_in_place(root.factor(), own.as_mut(), par);
        for c in 0..x.ncols() {
            (0..effect.levels).for_each(|level| x[(row(level), c)] = own[(level, c)]);
        }
    }
}

/// `x <- Lambda' x`
fn scale_rows(problem: &SparseProblem<'_>, t: &[Mat<f64>], x: &mut Mat<f64>) {
    for (effect, t) in problem.arrangement.effects.iter().zip(t) {
        for c in 0..x.ncols() {
            for first in (effect.first..effect.first + effect.unknowns()).step_by(effect.terms) {
                // T is lower triangular, and what is read is not yet written
                for b in 0..effect.terms {
                    x[(first + b, c)] = (b..effect.terms).map(|a| t[(a, b)] * x[(first + a, c)]).sum();
                }
            }
        }
    }
}

/// Rows of a term: the first, their distance, their number.
#[derive(Clone, Copy)]
struct TermRows {
    first: usize,
    step: usize,
    levels: usize,
}

impl TermRows {
    fn at(self, level: usize) -> usize {
        self.first + level * self.step
    }
}

/// A variance or a covariance of terms: its value, and the pairs of terms that are multiplied by it.
struct CovarianceComponent {
    theta: f64,
    pairs: Vec<(TermRows, TermRows)>,
}

struct CovarianceComponents {
    all: Vec<CovarianceComponent>,
    known: bool,
}

impl CovarianceComponents {
    fn new(problem: &SparseProblem<'_>, t: &[Mat<f64>]) -> Self {
        let mut all = vec![];
        for (effect, t) in problem.arrangement.effects.iter().zip(t) {
            let covariance = t * t.transpose();
            let rows = |a: usize| TermRows {
                first: effect.first + a,
                step: effect.terms,
                levels: effect.levels,
            };
            for (a, b) in effect.entries() {
                all.push(CovarianceComponent {
                    theta: covariance[(a, b)],
                    pairs: match a == b {
                        true => vec![(rows(a), rows(a))],
                        false => vec![(rows(a), rows(b)), (rows(b), rows(a))],
                    },
                });
            }
        }
        Self {
            all,
            known: problem.known.is_some(),
        }
    }

    /// Of all components, and the residual unless it is known.
    fn count(&self) -> usize {
        self.all.len() + usize::from(!self.known)
    }

    /// sum_k theta_k x_k
    fn weighted(&self, x: impl Fn(usize) -> f64) -> f64 {
        self.all.iter().enumerate().map(|(k, of)| of.theta * x(k)).sum()
    }

    fn information(&self, products: &LevelProducts, contrasts: f64) -> Mat<f64> {
        let (m, last) = (&products.m, self.all.len());
        let single = |k: usize| {
            let trace = |(a, b): &(TermRows, TermRows)| (0..a.levels).map(|j| m[(b.at(j), a.at(j))]).sum::<f64>();
            self.all[k].pairs.iter().map(trace).sum::<f64>()
        };
        let mut twice = Mat::zeros(last + 1, last + 1);
        for k in 0..last {
            for l in 0..=k {
                twice[(k, l)] = trace_of_pairs(m, &self.all[k], &self.all[l]);
                twice[(l, k)] = twice[(k, l)];
            }
        }
        let singles: Vec<f64> = (0..last).map(single).collect();
        for k in 0..last {
            let beside = singles[k] - self.weighted(|l| twice[(k, l)]);
            (twice[(k, last)], twice[(last, k)]) = (beside, beside);
        }
        let own = contrasts - self.weighted(|k| singles[k]);
        twice[(last, last)] = own - self.weighted(|k| twice[(k, last)]);
        twice.submatrix(0, 0, self.count(), self.count()) * Scale(0.5)
    }

    fn derivatives(&self, products: LevelProducts, par: Par) -> CovarianceDerivatives {
        let LevelProducts { m, y, s } = products;
        let moved: Vec<Mat<f64>> = self.all.iter().map(|of| of.times(&y)).collect();
        let through: Vec<Mat<f64>> = moved.iter().map(|g| product(m.as_ref(), g.as_ref(), par)).collect();
        let mut first: Vec<Mat<f64>> = moved.iter().map(|g| product(y.transpose(), g.as_ref(), par)).collect();
        let of_pair = |k: usize, l: usize| product(moved[k].transpose(), through[l].as_ref(), par);
        let count = self.all.len();
        let mut r: Vec<Vec<Mat<f64>>> = (0..count)
            .map(|k| (0..count).map(|l| of_pair(k, l)).collect())
            .collect();
        let sum = |of: &dyn Fn(usize) -> Mat<f64>| {
            let mut sum = Mat::<f64>::zeros(s.nrows(), s.nrows());
            (0..count).for_each(|k| sum += Scale(self.all[k].theta) * of(k));
            sum
        };
        if !self.known {
            first.push(&s - sum(&|k| first[k].clone()));
            let beside: Vec<Mat<f64>> = (0..count).map(|l| sum(&|k| r[k][l].clone()) * Scale(-1.0)).collect();
            let own = sum(&|l| beside[l].clone()) * Scale(-1.0);
            r.push(beside.into_iter().chain([own]).collect());
        }
        let second = |r: &Mat<f64>| -(r + r.transpose());
        CovarianceDerivatives {
            second: (0..r.len()).map(|k| r[k][..=k].iter().map(second).collect()).collect(),
            value: s,
            first,
        }
    }
}

impl CovarianceComponent {
    /// The rows of `Z'G w`'s factor: `sum` over the pairs of Y_b at the rows of a.
    fn times(&self, y: &Mat<f64>) -> Mat<f64> {
        let mut moved = Mat::zeros(y.nrows(), y.ncols());
        for (a, b) in &self.pairs {
            for c in 0..y.ncols() {
                (0..a.levels).for_each(|j| moved[(a.at(j), c)] = y[(b.at(j), c)]);
            }
        }
        moved
    }
}

/// tr(P G_k P G_l)
fn trace_of_pairs(m: &Mat<f64>, k: &CovarianceComponent, l: &CovarianceComponent) -> f64 {
    let mut sum = 0.0;
    for (a, b) in &k.pairs {
        for (c, d) in &l.pairs {
            for j in 0..a.levels {
                // M is symmetric, so that both are read along columns
                let (da, cb) = (m.col(a.at(j)), m.col(b.at(j)));
                sum += (0..c.levels).map(|i| da[d.at(i)] * cb[c.at(i)]).sum::<f64>();
            }
        }
    }
    sum
}
