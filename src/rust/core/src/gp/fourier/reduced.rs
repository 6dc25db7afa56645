//! The weight space in coordinates of what its functions reach on the data.
//!
//! Frequencies that are close beside the box of the data are nearly dependent there: T has far fewer directions than functions. With `T = L L'` (pivoted Cholesky, stopped where
//! what is left of `D T D` is small beside delta) and `B = L' D^2 L`, `M = (B + delta I)^-1`, `u = M g`, `c = L g`
//!
//! ```text
//! log|A / delta + I| = log|B / delta + I|,   S = (rho0 - g'g) + delta g'u,   D (A + delta I)^-1 D c = D^2 L u
//! ```
//!
//! a sum of squares. With `p_j = D_j^2`, `e_a` and `e_ab` as for the curvature, `B_a = L' diag(2 e_a p) L`, `q_j = (L M L')_jj` and `v_a = B_a u`
//!
//! ```text
//! L_a = sum 2 e_a p q,              L_ab = sum (4 e_a e_b + 2 e_ab) p q - tr M B_a M B_b
//! S_a = -delta sum 2 e_a p (Lu)^2,  S_ab = -delta sum (4 e_a e_b + 2 e_ab) p (Lu)^2 + 2 delta v_a'M v_b
//! ```
//!
//! For ML the log-determinant is that of `[L, Q]' D^2 [L, Q]`, Q1'F the rows of Q.
//!
//! What is left, `R = T - L L'`, is felt through `r = c - L g`, to first order `S` by `-2 (D^2 L u)'r` and the coefficients by `(I + D L L' D / delta)^-1 D r / delta` in the prior's metric.
//! With noise that the process cannot explain `D r` is of size `sigma_e` times the root of `tr D R D`: the deviance is off by some `2 (tr D R D / delta)^(1/2)`.

use super::curvature::{WeightPosterior, Weights};
use super::weights::{NOT_DEFINITE, WeightSpace};
use crate::gp::bounds::{Bounds, Range};
use crate::gp::local::{About, Estimates, Expansion, Here};
use crate::gp::{Process, Slopes};
use crate::likelihood::Method;
use crate::linalg::cholesky::Cholesky;
use crate::linalg::eigen::diagonalise_graded;
use crate::linalg::pivoted_cholesky::PivotedCholesky;
use crate::linalg::{dot, product, symmetric_product};
use crate::rotation::rotated::Rotated;
use crate::runtime::error::Result;
use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::{Accum, Mat, MatRef, Par};

/// A space whose functions are so dependent on the data that their directions are half as many or fewer.
pub struct ReducedSpace<'a> {
    space: &'a WeightSpace,
    /// L, and Q in further columns.
    l: Mat<f64>,
    rank: usize,
    g: Vec<f64>,
    /// rho0 - g'g
    rest: f64,
    /// Trace of `D R D`.
    left: f64,
}

/// Part of the functions that the directions may be at most: beyond it the functions themselves cost less.
const MOST: f64 = 0.5;
/// What the reduction may leave out of the trace of `D T D`, as a part of what the basis leaves out of a variance. That is a hundredth of delta already, so that the deviance is off by
/// some thousandths.
const ENOUGH: f64 = 1e-4;
/// How many times what the reduction leaves out delta must exceed: below it the deviance would be off by hundredths.
const ABOVE: f64 = 1e3;
/// Directions whose matrices take some 20 MB.
const SMALL: usize = 1500;

impl WeightSpace {
    /// The space for length scales in a range, whose basis leaves out `eps` of the variance, in fewer coordinates if that saves work.
    pub fn lean(&self, bounds: &Bounds, range: &Range, eps: f64, par: Par) -> Box<dyn Process + Send + '_> {
        match ReducedSpace::new(self, bounds, range, (eps, MOST), par) {
            Some(reduced) => Box::new(reduced),
            None => Box::new(self),
        }
    }
}

impl<'a> ReducedSpace<'a> {
    /// For length scales in a range, whose basis leaves out `eps` of the variance. None where the directions are more than the part `most` of the functions.
    pub fn new(
        space: &'a WeightSpace,
        bounds: &Bounds,
        range: &Range,
        (eps, most): (f64, f64),
        par: Par,
    ) -> Option<Self> {
        if space.grid.directions(bounds) > most {
            return None;
        }
        let most = (most * space.size() as f64) as usize;
        let found = PivotedCholesky::new(&space.t, &space.largest_weights(range), ENOUGH * eps, most, par)?;
        Some(Self::of(space, found))
    }

    fn of(space: &'a WeightSpace, found: PivotedCholesky) -> Self {
        let (rank, r) = (found.pivots.len(), space.fixed.kept.len());
        let g = solve_lower(&found, &space.c);
        let column = |i: usize, j: usize| match j < rank {
            true => found.l[(i, j)],
            false => space.fixed.qf[j - rank][i],
        };
        Self {
            rest: (space.rho0 - dot(&g, &g)).max(0.0),
            l: Mat::from_fn(space.size(), rank + r, column),
            rank,
            g,
            left: found.left,
            space,
        }
    }

    /// Number of directions.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// What a predicted process of unit prior variance can differ by from that of all functions, at any place: `|D r| / delta` at most.
    pub fn error(&self, delta: f64) -> f64 {
        (self.left * self.space.rho0).sqrt() / delta
    }

    fn own(&self) -> MatRef<'_, f64> {
        self.l.as_ref().subcols(0, self.rank)
    }

    /// L and Q where the determinant is that of ML, else L.
    fn determining(&self, method: Method) -> MatRef<'_, f64> {
        match method {
            Method::Reml => self.own(),
            Method::Ml => self.l.as_ref(),
        }
    }

    /// Lower triangle of `l' diag(x) l`.
    fn form(l: MatRef<'_, f64>, x: impl Fn(usize) -> f64, par: Par) -> Mat<f64> {
        let scaled = Mat::from_fn(l.nrows(), l.ncols(), |i, j| x(i) * l[(i, j)]);
        symmetric_product(l, scaled.as_ref(), par)
    }

    /// A factor of leading rows and columns of a form, plus delta.
    fn shifted(form: &Mat<f64>, size: usize, delta: f64, par: Par) -> Option<Cholesky> {
        let mut v = form.as_ref().submatrix(0, 0, size, size).to_owned();
        (0..size).for_each(|i| v[(i, i)] += delta);
        Cholesky::new(v, par)
    }

    fn solution(&self, at: &[f64], delta: f64, par: Par) -> Option<ReducedSolution> {
        let p: Vec<f64> = self.space.weights(at).iter().map(|d| d * d).collect();
        let form = Self::form(self.l.as_ref(), |j| p[j], par);
        let m = Self::shifted(&form, self.rank, delta, par)?;
        let g = Mat::from_fn(self.rank, 1, |i, _| self.g[i]);
        let u = m.solve(g, par);
        let lu = product(self.own(), u.as_ref(), par).col_as_slice(0).to_vec();
        Some(ReducedSolution {
            s: self.rest + delta * dot(&self.g, u.col_as_slice(0)),
            u: u.col_as_slice(0).to_vec(),
            p,
            form,
            m,
            lu,
        })
    }

    /// The estimates of a point, but for the likelihood: `W C W'` and `W w` by Woodbury's identity.
    fn estimates_at(&self, solution: &ReducedSolution, method: Method, delta: f64, par: Par) -> Estimates {
        let (rank, r) = (self.rank, self.space.fixed.kept.len());
        let cross = Mat::from_fn(rank, r, |i, j| solution.form[(rank + j, i)]);
        let solved = solution.m.solve(cross.clone(), par);
        let column = |x: &Mat<f64>, j: usize| x.col_as_slice(j).to_vec();
        let corner = |i: usize, j: usize| solution.form[(rank + i.max(j), rank + i.min(j))];
        let xx = |i: usize, j: usize| (corner(i, j) - dot(&column(&cross, i), &column(&solved, j))) / delta;
        self.space.estimates_of(
            WeightPosterior {
                s: solution.s,
                xx: Mat::from_fn(r, r, xx),
                xy: (0..r).map(|i| dot(&column(&cross, i), &solution.u)).collect(),
                coefficients: solution.p.iter().zip(&solution.lu).map(|(p, lu)| p * lu).collect(),
            },
            method,
            delta,
        )
    }

    fn factor_of(&self, solution: ReducedSolution, method: Method, delta: f64, par: Par) -> Option<Cholesky> {
        match method {
            Method::Reml => Some(solution.m),
            Method::Ml => Self::shifted(&solution.form, self.l.ncols(), delta, par),
        }
    }

    fn estimated(&self, method: Method, at: &[f64], delta: f64, par: Par) -> Option<Estimates> {
        let solution = self.solution(at, delta, par)?;
        let mut estimates = self.estimates_at(&solution, method, delta, par);
        let s = solution.s;
        let log_det = log_det(&self.factor_of(solution, method, delta, par)?, delta);
        estimates.point.log_lik = -0.5 * self.space.deviance(method, s, log_det);
        Some(estimates)
    }

    fn here(&self, about: About<'_>, par: Par) -> Option<Here> {
        let About { method, at, delta, .. } = about;
        let weights = self.space.log_weights_along(at, about.directions);
        let solution = self.solution(at, delta, par)?;
        let estimates = self.estimates_at(&solution, method, delta, par);
        let form = self.quadratic(&weights, &solution, delta, par);
        let p = solution.p.clone();
        let factor = self.factor_of(solution, method, delta, par)?;
        let log_det = self.determinant(&weights, (&p, factor), method, delta, par);
        Some(self.space.about(method, estimates, (&form, &log_det)))
    }

    /// S
    fn quadratic(&self, weights: &Weights, solution: &ReducedSolution, delta: f64, par: Par) -> Expansion {
        let count = weights.first.len();
        let square: Vec<f64> = solution.p.iter().zip(&solution.lu).map(|(p, lu)| p * lu * lu).collect();
        let slope = Mat::from_fn(solution.p.len(), count, |j, a| {
            2.0 * weights.first[a][j] * solution.p[j] * solution.lu[j]
        });
        let v = product(self.own().transpose(), slope.as_ref(), par);
        let solved = solution.m.solve(v.clone(), par);
        Expansion::new(
            solution.s,
            count,
            |a| -2.0 * delta * dot(&weights.first[a], &square),
            |a, b| {
                2.0 * delta * dot(v.col_as_slice(a), solved.col_as_slice(b)) - delta * dot(&weights.bend(a, b), &square)
            },
        )
    }

    /// log|B / delta + I|
    fn determinant(
        &self,
        weights: &Weights,
        at: (&[f64], Cholesky),
        method: Method,
        delta: f64,
        par: Par,
    ) -> Expansion {
        let (p, factor) = at;
        let (value, l, last) = (
            log_det(&factor, delta),
            self.determining(method),
            weights.first.len() - 1,
        );
        let root = factor.inverse_root(par);
        let pq: Vec<f64> = leverages(&root, l, par).iter().zip(p).map(|(q, p)| q * p).collect();
        let inverse = symmetric(symmetric_product(root.as_ref(), root.as_ref(), par));
        let times = |a: usize| -> Mat<f64> {
            if a == last {
                let entry = |i: usize, j: usize| delta * inverse[(i, j)] - f64::from(i == j);
                return Mat::from_fn(l.ncols(), l.ncols(), entry);
            }
            let slope = symmetric(Self::form(l, |j| 2.0 * weights.first[a][j] * p[j], par));
            product(inverse.as_ref(), slope.as_ref(), par)
        };
        let products: Vec<Mat<f64>> = (0..=last).map(times).collect();
        let turned: Vec<Mat<f64>> = products.iter().map(|x| x.transpose().to_owned()).collect();
        let trace = |a: usize, b: usize| -> f64 {
            let columns = 0..l.ncols();
            columns
                .map(|j| dot(turned[a].col_as_slice(j), products[b].col_as_slice(j)))
                .sum()
        };
        Expansion::new(
            value,
            last + 1,
            |a| 2.0 * dot(&weights.first[a], &pq),
            |a, b| dot(&weights.bend(a, b), &pq) - trace(a, b),
        )
    }
}

/// What a set of parameters and delta gives: the form of [L, Q], the factor of B + delta I, u, L u and S.
struct ReducedSolution {
    p: Vec<f64>,
    form: Mat<f64>,
    m: Cholesky,
    u: Vec<f64>,
    lu: Vec<f64>,
    s: f64,
}

impl Weights {
    /// 4 e_a e_b + 2 e_ab, a >= b
    fn bend(&self, a: usize, b: usize) -> Vec<f64> {
        let (x, y, z) = (&self.first[a], &self.first[b], &self.second[a][b]);
        (0..x.len()).map(|j| 4.0 * x[j] * y[j] + 2.0 * z[j]).collect()
    }
}

/// The rows of L at the pivots, and what they make of c.
fn solve_lower(found: &PivotedCholesky, c: &[f64]) -> Vec<f64> {
    let mut g: Vec<f64> = found.pivots.iter().map(|&p| c[p]).collect();
    for k in 0..g.len() {
        let column = found.l.col_as_slice(k);
        g[k] /= column[found.pivots[k]];
        for i in k + 1..g.len() {
            g[i] -= column[found.pivots[i]] * g[k];
        }
    }
    g
}

fn log_det(m: &Cholesky, delta: f64) -> f64 {
    m.log_det() - m.size() as f64 * delta.ln()
}

/// Diagonal of `l M l'` by the inverse of a factor of `M^-1`.
fn leverages(root: &Mat<f64>, l: MatRef<'_, f64>, par: Par) -> Vec<f64> {
    let mut turned = Mat::zeros(root.nrows(), l.nrows());
    triangular::matmul(
        turned.as_mut(),
        BlockStructure::Rectangular,
        Accum::Replace,
        root.as_ref(),
        BlockStructure::TriangularLower,
        l.transpose(),
        BlockStructure::Rectangular,
        1.0,
        par,
    );
    crate::linalg::clear_registers();
    (0..l.nrows())
        .map(|j| dot(turned.col_as_slice(j), turned.col_as_slice(j)))
        .collect()
}

fn symmetric(mut lower: Mat<f64>) -> Mat<f64> {
    for j in 0..lower.ncols() {
        (0..j).for_each(|i| lower[(i, j)] = lower[(j, i)]);
    }
    lower
}

impl Process for ReducedSpace<'_> {
    fn slopes(&self, method: Method, at: &[f64], delta: f64, par: Par) -> Result<Vec<Slopes>> {
        let solution = self.solution(at, delta, par).ok_or(NOT_DEFINITE)?;
        let (s, p, lu) = (solution.s, solution.p.clone(), solution.lu.clone());
        let factor = self.factor_of(solution, method, delta, par).ok_or(NOT_DEFINITE)?;
        let root = factor.inverse_root(par);
        let q = leverages(&root, self.determining(method), par);
        let slope = |e: &Vec<f64>| Slopes {
            log_det: (0..p.len()).map(|j| 2.0 * e[j] * p[j] * q[j]).sum(),
            log_q: (0..p.len())
                .map(|j| -2.0 * delta * e[j] * p[j] * lu[j] * lu[j])
                .sum::<f64>()
                / s,
        };
        Ok(self.space.log_weight_slopes(at).iter().map(slope).collect())
    }

    fn floor(&self) -> f64 {
        self.space.floor().max(ABOVE * self.left)
    }

    fn is_small(&self) -> bool {
        self.rank <= SMALL
    }

    fn estimates(&self, method: Method, at: &[f64], delta: f64, par: Par) -> Result<Option<Estimates>> {
        Ok(self.estimated(method, at, delta, par))
    }

    fn near(&self, about: About<'_>, par: Par) -> Result<Option<Here>> {
        Ok(self.here(about, par))
    }

    fn rotated(&self, at: &[f64], par: Par) -> Result<Rotated> {
        let p: Vec<f64> = self.space.weights(at).iter().map(|d| d * d).collect();
        let form = Self::form(self.l.as_ref(), |j| p[j], par);
        let (rank, r) = (self.rank, self.space.fixed.kept.len());
        let a = form.as_ref().submatrix(0, 0, rank, rank).to_owned();
        let columns = Mat::from_fn(rank, r + 1, |i, j| match j < r {
            true => form[(rank + j, i)],
            false => self.g[i],
        });
        let (values, columns) = diagonalise_graded(a, columns, par)?;
        let column = |j: usize| columns.col(j).iter().copied().collect::<Vec<f64>>();
        let corner = |i: usize, j: usize| form[(rank + i.max(j), rank + i.min(j))];
        let values = values.iter().map(|v| v.max(0.0)).collect();
        let data = (column(r), (0..r).map(column).collect());
        Ok(self.space.rotated_of(values, data, corner, self.rest))
    }
}
