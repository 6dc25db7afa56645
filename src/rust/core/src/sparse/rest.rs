//! What the elimination of the first effect leaves: `S = A_22 - sum_j B_j A_j^-1 B_j'`, dense where effects are crossed, sparse where they are nested or have sparse precisions.

use super::elimination::{Elimination, conjugate};
use super::problem::SparseProblem;
use crate::linalg::cholesky::Cholesky;
use crate::linalg::sparse_cholesky::{SparseAnalysis, SparseFactor};
use crate::linalg::sparse_inverse::SelectedInverse;
use crate::runtime::error::Result;
use crate::runtime::memory::claim;
use faer::{Mat, Par};

/// How S is held.
pub(crate) enum RestPlan {
    /// As a dense matrix of this size.
    Dense(usize),
    /// By its pattern, and the place in it of each number that is added.
    Sparse(Box<SparseAnalysis>, Vec<usize>),
}

/// Unknowns up to which a dense decomposition costs next to nothing.
const SMALL: usize = 256;
/// A dense decomposition is so much faster by operation than a sparse one: entries of the sparse factor over those of the matrix, at most.
const SPARSE_BELOW: f64 = 0.1;
/// Numbers that are added to S at most, for the look at its pattern.
const LARGEST_LIST: f64 = 5e7;

impl RestPlan {
    pub(crate) fn new(problem: &SparseProblem<'_>) -> Result<Self> {
        let size = problem.arrangement.unknowns - problem.arrangement.eliminated;
        let square = (size as f64).powi(2);
        if size > SMALL && problem.meetings.pairs() < LARGEST_LIST {
            let units: Vec<Mat<f64>> = problem.units();
            let mut entries = vec![];
            assemble(problem, &units, None, &mut |i, j, _| entries.push((i, j)));
            let (analysis, places) = SparseAnalysis::new(size, &entries)?;
            if (analysis.factor_entries() as f64) < SPARSE_BELOW * square {
                claim((2 * analysis.factor_entries() + analysis.entries()) as f64)?;
                return Ok(Self::Sparse(Box::new(analysis), places));
            }
        }
        claim(3.0 * square)?;
        Ok(Self::Dense(size))
    }

    pub(crate) fn is_sparse(&self) -> bool {
        matches!(self, Self::Sparse(..))
    }

    /// The decomposition of S; `None` if it is not positive definite to rounding.
    pub(crate) fn factor<'p>(
        &'p self,
        problem: &SparseProblem<'_>,
        t: &[Mat<f64>],
        elimination: &Elimination,
        par: Par,
    ) -> Option<RestFactor<'p>> {
        match self {
            Self::Dense(size) => {
                let mut s = Mat::<f64>::zeros(*size, *size);
                assemble(problem, t, Some(elimination), &mut |i, j, x| s[(i, j)] += x);
                Cholesky::new(s, par).map(RestFactor::Dense)
            }
            Self::Sparse(analysis, places) => {
                let (mut values, mut next) = (vec![0.0; analysis.entries()], places.iter());
                let mut add = |_, _, x| {
                    if let Some(&at) = next.next() {
                        values[at] += x;
                    }
                };
                assemble(problem, t, Some(elimination), &mut add);
                analysis.factor(&values, par).map(RestFactor::Sparse)
            }
        }
    }
}

/// Adds up the lower triangle of S, always in the same order; without an elimination zeros stand for what it takes off.
fn assemble(
    problem: &SparseProblem<'_>,
    t: &[Mat<f64>],
    elimination: Option<&Elimination>,
    add: &mut impl FnMut(usize, usize, f64),
) {
    for (r, effect) in problem.arrangement.rest() {
        let l = effect.terms;
        let first = effect.first - problem.arrangement.eliminated;
        for level in 0..effect.levels {
            add_level(problem, t, (r, level), add);
        }
        for &(i, j, x) in &effect.penalty.below {
            (0..l).for_each(|a| add(first + i * l + a, first + j * l + a, x));
        }
    }
    let Some(l) = problem.eliminated_terms() else { return };
    for j in 0..problem.arrangement.effects[0].levels {
        let unknowns = problem.meetings.of(j);
        let first = problem.meetings.rows(j) * l;
        let rows = elimination.map(|e| &e.coupled[first..first + unknowns.len() * l]);
        for (b, &column) in unknowns.iter().enumerate() {
            for (a, &row) in unknowns.iter().enumerate().skip(b) {
                let product = |rows: &[f64]| match l {
                    1 => rows[a] * rows[b],
                    _ => (0..l).map(|c| rows[a * l + c] * rows[b * l + c]).sum::<f64>(),
                };
                add(row, column, -rows.map_or(0.0, product));
            }
        }
    }
}

/// The diagonal block of a level and those under it.
fn add_level(
    problem: &SparseProblem<'_>,
    t: &[Mat<f64>],
    (r, level): (usize, usize),
    add: &mut impl FnMut(usize, usize, f64),
) {
    let (cross, eliminated) = (&problem.cross, problem.arrangement.eliminated);
    let effect = &problem.arrangement.effects[r];
    let l = effect.terms;
    let column = effect.first - eliminated + level * l;
    let mut block = vec![0.0; l * l];
    conjugate(
        &t[r],
        &cross.diagonal[r][level * l * l..(level + 1) * l * l],
        &t[r],
        &mut block,
    );
    for a in 0..l {
        block[a * l + a] += effect.penalty.diagonal[level];
        (0..=a).for_each(|b| add(column + a, column + b, block[a * l + b]));
    }
    for coupling in cross.couplings(r, level) {
        let other = &problem.arrangement.effects[coupling.effect];
        let row = other.first - eliminated + coupling.level * other.terms;
        block.resize(other.terms * l, 0.0);
        let size = block.len();
        conjugate(&t[coupling.effect], cross.block(coupling, size), &t[r], &mut block);
        (0..size).for_each(|at| add(row + at / l, column + at % l, block[at]));
    }
}

/// S = L L'
pub(crate) enum RestFactor<'p> {
    Dense(Cholesky),
    Sparse(SparseFactor<'p>),
}

impl<'p> RestFactor<'p> {
    pub(crate) fn log_det(&self) -> f64 {
        match self {
            Self::Dense(factor) => factor.log_det(),
            Self::Sparse(factor) => factor.log_det(),
        }
    }

    pub(crate) fn solve(&self, b: Mat<f64>, par: Par) -> Mat<f64> {
        match self {
            Self::Dense(factor) => factor.solve(b, par),
            Self::Sparse(factor) => factor.solve(b, par),
        }
    }

    pub(crate) fn inverse(&self, par: Par) -> RestInverse<'p> {
        match self {
            Self::Dense(factor) => RestInverse::Dense(factor.inverse(par)),
            Self::Sparse(factor) => RestInverse::Sparse(factor.inverse(par)),
        }
    }
}

/// S^-1, of the sparse one the entries on its pattern.
pub(crate) enum RestInverse<'p> {
    Dense(Mat<f64>),
    Sparse(SelectedInverse<'p>),
}

impl RestInverse<'_> {
    pub(crate) fn get(&self, i: usize, j: usize) -> f64 {
        match self {
            Self::Dense(inverse) => inverse[(i, j)],
            Self::Sparse(inverse) => inverse.get(i, j),
        }
    }
}
