//! M = Z'PZ between all levels and terms, for traces. The levels of the effect that is eliminated are independent given the rest, so that of them M is block diagonal less few columns:
//! with `G_j = Z_j'Z_j` of level j
//!
//! ```text
//! M_11 = D - B B',   D_j = G_j - G_j W_j G_j,   W_j = T (T'G_j T + I)^-1 T'
//! ```
//!
//! where B has a column for each unknown of the rest and for each column of X. What else there is of M is dense.

use super::gram_parts::{FirstTakenOut, GramParts, by_levels};
use super::problem::SparseProblem;
use crate::linalg::cholesky::Cholesky;
use crate::linalg::product;
use faer::linalg::triangular_solve::solve_lower_triangular_in_place;
use faer::{Mat, Par};

/// M, Y = Z'w and S, with roots of the inverse precisions in Z. The eliminated effect comes first.
pub(super) struct LevelProducts {
    first: EliminatedLevels,
    /// M between the rest and the first effect.
    below: Mat<f64>,
    /// M of the rest.
    rest: Mat<f64>,
    pub y: Mat<f64>,
    pub s: Mat<f64>,
}

/// D, B, and sums of products of rows of B.
struct EliminatedLevels {
    terms: usize,
    /// D by levels, l x l each.
    own: Vec<f64>,
    b: Mat<f64>,
    /// Products of the rows of B of one level, l x l each.
    dots: Vec<f64>,
    /// B_a'B_b over the rows of terms a and b.
    grams: Vec<Mat<f64>>,
}

/// Rows of a term: the first, their distance, their number.
#[derive(Clone, Copy)]
pub(super) struct TermRows {
    pub first: usize,
    pub step: usize,
    pub levels: usize,
}

/// Two terms whose product is a part of V.
pub(super) type TermPair = (TermRows, TermRows);

impl TermRows {
    pub(super) fn at(self, level: usize) -> usize {
        self.first + level * self.step
    }
}

/// Numbers that are held at a time.
pub(super) fn numbers_held(problem: &SparseProblem<'_>) -> f64 {
    let eliminated = problem.arrangement.eliminated as f64;
    let columns = (problem.arrangement.unknowns + problem.rank()) as f64 - eliminated;
    let terms = problem.eliminated_terms().unwrap_or(0) as f64;
    6.0 * eliminated * columns + (6.0 + terms * terms) * columns * columns
}

impl LevelProducts {
    /// `None` if a matrix is not positive definite.
    pub(super) fn new(problem: &SparseProblem<'_>, t: &[Mat<f64>], par: Par) -> Option<Self> {
        let parts = GramParts::new(problem).whitened(problem, par)?;
        let (m, terms) = (parts.rest.nrows(), problem.eliminated_terms().unwrap_or(1));
        let FirstTakenOut { own, e, mut c } = parts.without_first(t, terms, par)?;
        let (of_rest, of_x) = (e.subcols(0, m), e.subcols(m, c.ncols() - m));
        // R = L^-1 Lambda' of what the rest has with itself and X, and with the first effect
        let mut r = c.subrows(0, m).to_owned();
        scale_rows(problem, t, &mut r);
        let mut a = r.subcols(0, m).transpose().to_owned();
        scale_rows(problem, t, &mut a);
        (0..m).for_each(|k| a[(k, k)] += 1.0);
        let mut r1 = of_rest.transpose().to_owned();
        scale_rows(problem, t, &mut r1);
        let lower = Cholesky::new(a, par)?;
        if m > 0 {
            solve_lower_triangular_in_place(lower.factor(), r.as_mut(), par);
            solve_lower_triangular_in_place(lower.factor(), r1.as_mut(), par);
        }
        c -= product(r.transpose(), r.as_ref(), par);
        let below = of_rest.transpose() - product(r.subcols(0, m).transpose(), r1.as_ref(), par);
        let n1 = of_x - product(r1.transpose(), r.subcols(m, of_x.ncols()), par);
        Self::without_x(terms, own, (r1, below, n1, c), par)
    }

    /// Takes X out: M less N S N'.
    fn without_x(
        terms: usize,
        own: Vec<f64>,
        (r1, mut below, n1, c): (Mat<f64>, Mat<f64>, Mat<f64>, Mat<f64>),
        par: Par,
    ) -> Option<Self> {
        let (m, eliminated, p) = (below.nrows(), below.ncols(), n1.ncols());
        let fixed = Cholesky::new(c.submatrix(m, m, p, p).to_owned(), par)?;
        let s = fixed.inverse(par);
        let n = Mat::from_fn(eliminated + m, p, |k, j| match k < eliminated {
            true => n1[(k, j)],
            false => c[(k - eliminated, m + j)],
        });
        let mut half = n.transpose().to_owned();
        solve_lower_triangular_in_place(fixed.factor(), half.as_mut(), par);
        let (half1, half_rest) = (half.subcols(0, eliminated), half.subcols(eliminated, m));
        below -= product(half_rest.transpose(), half1, par);
        let rest = c.submatrix(0, 0, m, m) - product(half_rest.transpose(), half_rest, par);
        let b = Mat::from_fn(eliminated, m + p, |k, j| match j < m {
            true => r1[(j, k)],
            false => half1[(j - m, k)],
        });
        Some(Self {
            first: EliminatedLevels::new(terms, own, b, par),
            below,
            rest,
            y: product(n.as_ref(), s.as_ref(), par),
            s,
        })
    }

    fn eliminated(&self) -> usize {
        self.first.b.nrows()
    }

    fn is_first(&self, rows: TermRows) -> bool {
        rows.first < self.eliminated()
    }

    /// M V
    pub(super) fn times(&self, v: &Mat<f64>, par: Par) -> Mat<f64> {
        let (eliminated, m) = (self.eliminated(), self.rest.nrows());
        let (first, rest) = (v.subrows(0, eliminated), v.subrows(eliminated, m));
        let inner = product(self.first.b.transpose(), first, par);
        let top = by_levels(&self.first.own, self.first.terms, first)
            - product(self.first.b.as_ref(), inner.as_ref(), par)
            + product(self.below.transpose(), rest, par);
        let bottom = product(self.below.as_ref(), first, par) + product(self.rest.as_ref(), rest, par);
        Mat::from_fn(v.nrows(), v.ncols(), |k, c| match k < eliminated {
            true => top[(k, c)],
            false => bottom[(k - eliminated, c)],
        })
    }

    /// tr(M_ba)
    pub(super) fn trace(&self, (a, b): TermPair) -> f64 {
        if self.is_first(a) {
            return self.first.trace(a.first, b.first);
        }
        let shift = self.eliminated();
        (0..a.levels)
            .map(|j| self.rest[(b.at(j) - shift, a.at(j) - shift)])
            .sum()
    }

    /// tr(M_da M_bc)
    pub(super) fn trace_of_product(&self, (a, b): TermPair, (c, d): TermPair) -> f64 {
        match (self.is_first(a), self.is_first(c)) {
            (true, true) => self.first.trace_of_product((a.first, b.first), (c.first, d.first)),
            (false, true) => self.trace_of_product((c, d), (a, b)),
            (true, false) => crossed(&self.below, (a, b, 0), (c, d, self.eliminated())),
            (false, false) => crossed(&self.rest, (a, b, self.eliminated()), (c, d, self.eliminated())),
        }
    }
}

/// `sum_ij M[d i, a j] M[c i, b j]` of a block of M; the last of each three: what its numbers begin at.
fn crossed(m: &Mat<f64>, (a, b, column): (TermRows, TermRows, usize), (c, d, row): (TermRows, TermRows, usize)) -> f64 {
    let of_level = |j: usize| {
        let (da, cb) = (m.col(a.at(j) - column), m.col(b.at(j) - column));
        (0..c.levels)
            .map(|i| da[d.at(i) - row] * cb[c.at(i) - row])
            .sum::<f64>()
    };
    (0..a.levels).map(of_level).sum()
}

impl EliminatedLevels {
    fn new(terms: usize, own: Vec<f64>, b: Mat<f64>, par: Par) -> Self {
        let levels = b.nrows() / terms;
        let of_term: Vec<Mat<f64>> = (0..terms)
            .map(|a| Mat::from_fn(levels, b.ncols(), |j, c| b[(j * terms + a, c)]))
            .collect();
        let mut dots = vec![0.0; own.len()];
        for c in 0..b.ncols() {
            let column = b.col(c);
            for (j, dots) in dots.chunks_exact_mut(terms * terms).enumerate() {
                (0..terms * terms)
                    .for_each(|at| dots[at] += column[j * terms + at % terms] * column[j * terms + at / terms]);
            }
        }
        Self {
            grams: (0..terms * terms)
                .map(|at| product(of_term[at / terms].transpose(), of_term[at % terms].as_ref(), par))
                .collect(),
            terms,
            own,
            b,
            dots,
        }
    }

    /// Entries of terms a and b in blocks of all levels
    fn entries<'v>(&self, blocks: &'v [f64], a: usize, b: usize) -> impl Iterator<Item = f64> + use<'v> {
        blocks
            .iter()
            .skip(a * self.terms + b)
            .step_by(self.terms * self.terms)
            .copied()
    }

    fn trace(&self, a: usize, b: usize) -> f64 {
        self.entries(&self.own, a, b).sum::<f64>() - self.entries(&self.dots, a, b).sum::<f64>()
    }

    /// Of `(D - B B')_da (D - B B')_bc`.
    fn trace_of_product(&self, (a, b): (usize, usize), (c, d): (usize, usize)) -> f64 {
        let sum = |left: &[f64], right: &[f64]| {
            let both = self.entries(left, d, a).zip(self.entries(right, b, c));
            both.map(|(x, y)| x * y).sum::<f64>()
        };
        let (ab, cd) = (&self.grams[a * self.terms + b], &self.grams[c * self.terms + d]);
        let size = ab.nrows();
        let columns: f64 = (0..size)
            .map(|v| (0..size).map(|u| ab[(u, v)] * cd[(v, u)]).sum::<f64>())
            .sum();
        sum(&self.own, &self.own) - sum(&self.own, &self.dots) - sum(&self.dots, &self.own) + columns
    }
}

/// `x <- Lambda' x` over the rest.
fn scale_rows(problem: &SparseProblem<'_>, t: &[Mat<f64>], x: &mut Mat<f64>) {
    for (r, effect) in problem.arrangement.rest() {
        let begin = effect.first - problem.arrangement.eliminated;
        for c in 0..x.ncols() {
            for first in (begin..begin + effect.unknowns()).step_by(effect.terms) {
                // T is lower triangular, and what is read is not yet written
                for b in 0..effect.terms {
                    x[(first + b, c)] = (b..effect.terms).map(|a| t[r][(a, b)] * x[(first + a, c)]).sum();
                }
            }
        }
    }
}
