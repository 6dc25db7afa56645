//! What is predicted from a fit of several effects, and its variance: with the row `a = [z Lambda, x]` of a target
//!
//! ```text
//! var(x' beta_hat + z' b_hat - x' beta - z' b) = s2 a' C^-1 a,   of rows of the data s2 times their leverage over their weight
//! ```
//!
//! and A^-1 in place of C^-1 where beta is given. No matrix has a row or a column for each row of the data.

use super::elimination::forward;
use super::of_mix::TermModel;
use super::point::SparsePoint;
use super::problem::SparseProblem;
use super::rest::{RestFactor, RestInverse};
use super::units::ScaledEffect;
use crate::likelihood::Method;
use crate::linalg::{dot, product};
use crate::runtime::error::{Error, Result};
use crate::runtime::memory::claim;
use crate::runtime::parallel::Workers;
use faer::{Mat, MatRef, Par};
use std::collections::BTreeMap;

/// T of all effects in one matrix, and the residual variance.
pub struct TermVariances<'a> {
    /// As [`super::terms::TermFit::relative`].
    pub relative: MatRef<'a, f64>,
    /// s2
    pub sigma2_e: f64,
}

/// What is predicted: t targets.
pub struct TermTargets<'a> {
    /// One for each effect of the model.
    pub terms: Vec<TargetTerm<'a>>,
    /// t x (kept columns of X); `None`: beta is given.
    pub x: Option<MatRef<'a, f64>>,
    /// Number of targets.
    pub count: usize,
}

/// An effect in the targets.
pub struct TargetTerm<'a> {
    /// Its multiplier in each target.
    pub z: &'a [f64],
    /// Its levels there.
    pub at: TargetLevels<'a>,
}

/// Levels of an effect in the targets.
pub enum TargetLevels<'a> {
    /// One, or none of those of the data.
    Level(Vec<Option<usize>>),
    /// A sum of all levels with these weights, t x levels.
    Weights(MatRef<'a, f64>),
}

/// Answers for targets.
pub struct TargetVariances {
    /// Variance of each prediction.
    pub variance: Vec<f64>,
    /// Its covariance with beta_hat over s2, a column a target; no rows where beta is given.
    pub with_beta: Mat<f64>,
    /// The covariances among the targets of each set that was asked for.
    pub sets: Vec<Mat<f64>>,
}

/// A row of a target with the first effect eliminated: `L_j^-1 a_j` of its levels j, what is left for the rest and for X.
struct ReducedRow {
    own: BTreeMap<usize, Vec<f64>>,
    rest: Vec<(usize, f64)>,
    fixed: Vec<f64>,
}

/// Variances of predictions at the variances of a fit. `sets`: targets of which all covariances are wanted.
pub fn target_variances(
    model: &TermModel<'_>,
    at: &TermVariances<'_>,
    targets: &TermTargets<'_>,
    sets: &[Vec<usize>],
    threads: usize,
) -> Result<TargetVariances> {
    let workers = Workers::new(threads)?;
    let (levels, places) = model.levels();
    let failed = || Error::NoConvergence {
        what: "the fit at its optimum",
        iterations: 0,
    };
    workers.run(|par| {
        let problem = SparseProblem::new(&levels, Method::Reml)?;
        if let Some(found) = targets.x.map(|x| x.ncols()).filter(|p| *p != problem.rank()) {
            let (what, expected) = ("columns of X", problem.rank());
            return Err(Error::Shape { what, found, expected });
        }
        let point = problem
            .point(problem.factors_of(at.relative, &places), par)
            .ok_or_else(failed)?;
        let solver = TargetSolver::new(&problem, point, targets.x.is_some(), par)?;
        let rows: Vec<ReducedRow> = (0..targets.count)
            .map(|i| solver.reduced(targets, &places, i))
            .collect();
        let scaled = |x: f64| x * at.sigma2_e;
        let set = |set: &Vec<usize>| {
            let chosen: Vec<&ReducedRow> = set.iter().map(|&i| &rows[i]).collect();
            solver.covariances(&chosen) * faer::Scale(at.sigma2_e)
        };
        Ok(TargetVariances {
            variance: solver.variances(&rows).into_iter().map(scaled).collect(),
            with_beta: solver.with_beta(&rows),
            sets: sets.iter().map(set).collect(),
        })
    })
}

impl SparseProblem<'_> {
    /// T of the effects in their order here, from that of all terms.
    pub(super) fn factors_of(&self, relative: MatRef<'_, f64>, places: &[(usize, usize)]) -> Vec<Mat<f64>> {
        let of_effect = |effect: &ScaledEffect<'_>| {
            let at = |a: usize| {
                places
                    .iter()
                    .position(|place| *place == (effect.number, a))
                    .unwrap_or(0)
            };
            let user = Mat::from_fn(effect.terms, effect.terms, |a, b| {
                if b <= a { relative[(at(a), at(b))] } else { 0.0 }
            });
            effect.of_units(&user)
        };
        self.arrangement.effects.iter().map(of_effect).collect()
    }
}

/// A point, and what variances ask of it.
struct TargetSolver<'p, 'a> {
    problem: &'p SparseProblem<'a>,
    point: SparsePoint<'p>,
    /// S^-1 if S is dense.
    inverse: Option<Mat<f64>>,
    /// R^-1 by columns; none where beta is given.
    basis: Vec<Vec<f64>>,
    par: Par,
}

/// Columns that are solved for at a time.
const COLUMNS: usize = 128;

impl<'p, 'a> TargetSolver<'p, 'a> {
    fn new(problem: &'p SparseProblem<'a>, point: SparsePoint<'p>, with_x: bool, par: Par) -> Result<Self> {
        let inverse = match &point.rest {
            RestFactor::Dense(factor) => {
                claim(2.0 * (factor.size() as f64).powi(2))?;
                match point.rest.inverse(par) {
                    RestInverse::Dense(inverse) => Some(inverse),
                    RestInverse::Sparse(_) => None,
                }
            }
            RestFactor::Sparse(_) => None,
        };
        let rank = problem.rank();
        let column = |j: usize| {
            let mut column: Vec<f64> = (0..rank).map(|i| f64::from(i == j)).collect();
            problem.design.solve(&mut column);
            column
        };
        Ok(Self {
            basis: if with_x {
                (0..rank).map(column).collect()
            } else {
                vec![]
            },
            problem,
            point,
            inverse,
            par,
        })
    }

    /// What a target has of each unknown.
    fn row(&self, targets: &TermTargets<'_>, places: &[(usize, usize)], i: usize) -> BTreeMap<usize, f64> {
        let mut row = BTreeMap::new();
        let effects = &self.problem.arrangement.effects;
        for (term, &(number, a)) in targets.terms.iter().zip(places) {
            let e = effects.iter().position(|e| e.number == number).unwrap_or(0);
            let (effect, t) = (&effects[e], &self.point.t[e]);
            let z = term.z[i] / effect.unit[a];
            let mut add = |level: usize, weight: f64| {
                for b in 0..=a {
                    *row.entry(effect.first + level * effect.terms + b).or_insert(0.0) += z * t[(a, b)] * weight;
                }
            };
            match &term.at {
                TargetLevels::Level(levels) => levels[i].iter().for_each(|&level| add(level, 1.0)),
                TargetLevels::Weights(w) => (0..w.ncols()).for_each(|level| add(level, w[(i, level)])),
            }
        }
        row
    }

    fn reduced(&self, targets: &TermTargets<'_>, places: &[(usize, usize)], i: usize) -> ReducedRow {
        let problem = self.problem;
        let (eliminated, l) = (problem.arrangement.eliminated, problem.eliminated_terms().unwrap_or(1));
        let (mut own, mut rest) = (BTreeMap::<usize, Vec<f64>>::new(), BTreeMap::<usize, f64>::new());
        for (unknown, x) in self.row(targets, places, i) {
            if unknown < eliminated {
                own.entry(unknown / l).or_insert_with(|| vec![0.0; l])[unknown % l] = x;
            } else {
                rest.insert(unknown - eliminated, x);
            }
        }
        let of_x = |basis: &Vec<f64>| {
            let x = targets.x.as_ref();
            basis
                .iter()
                .enumerate()
                .map(|(j, b)| x.map_or(0.0, |x| x[(i, j)]) * b)
                .sum()
        };
        let mut fixed: Vec<f64> = self.basis.iter().map(of_x).collect();
        let elimination = &self.point.elimination;
        for (&j, v) in &mut own {
            forward(&elimination.roots[j * l * l..(j + 1) * l * l], v);
            let met = problem.meetings.of(j);
            let row = |k: usize| &elimination.coupled[(problem.meetings.rows(j) + k) * l..][..l];
            met.iter()
                .enumerate()
                .for_each(|(k, &unknown)| *rest.entry(unknown).or_insert(0.0) -= dot(row(k), v));
            fixed
                .iter_mut()
                .enumerate()
                .for_each(|(c, d)| *d -= dot(row(met.len() + c), v));
        }
        let rest: Vec<(usize, f64)> = rest.into_iter().collect();
        // d - W's
        for (c, d) in fixed.iter_mut().enumerate() {
            *d -= rest.iter().map(|&(k, s)| s * self.point.w[(k, c)]).sum::<f64>();
        }
        ReducedRow { own, rest, fixed }
    }

    /// Of some rows: s by columns.
    fn columns<'r>(&self, rows: impl ExactSizeIterator<Item = &'r ReducedRow>) -> Mat<f64> {
        let size = self.problem.arrangement.unknowns - self.problem.arrangement.eliminated;
        let mut s = Mat::zeros(size, rows.len());
        rows.enumerate()
            .for_each(|(j, row)| row.rest.iter().for_each(|&(k, x)| s[(k, j)] = x));
        s
    }

    /// d - W's by columns.
    fn fixed<'r>(&self, rows: impl ExactSizeIterator<Item = &'r ReducedRow>) -> Mat<f64> {
        let mut d = Mat::zeros(self.basis.len(), rows.len());
        rows.enumerate()
            .for_each(|(j, row)| row.fixed.iter().enumerate().for_each(|(c, x)| d[(c, j)] = *x));
        d
    }

    /// s' S^-1 s of each row.
    fn of_rest(&self, rows: &[ReducedRow]) -> Vec<f64> {
        if let Some(inverse) = &self.inverse {
            let one = |row: &ReducedRow| {
                let beside = |k: usize| row.rest.iter().map(|&(m, x)| x * inverse[(m, k)]).sum::<f64>();
                row.rest.iter().map(|&(k, x)| x * beside(k)).sum()
            };
            return rows.iter().map(one).collect();
        }
        let block = |rows: &[ReducedRow]| {
            let s = self.columns(rows.iter());
            let solved = self.point.rest.solve(s.clone(), self.par);
            (0..s.ncols())
                .map(|j| s.col(j).transpose() * solved.col(j))
                .collect::<Vec<f64>>()
        };
        rows.chunks(COLUMNS).flat_map(block).collect()
    }

    /// a' C^-1 a
    fn variances(&self, rows: &[ReducedRow]) -> Vec<f64> {
        let fixed = self.fixed(rows.iter());
        let solved = self.solved_fixed(fixed.clone());
        let total = |(j, (row, of_rest)): (usize, (&ReducedRow, f64))| {
            let own: f64 = row.own.values().map(|v| dot(v, v)).sum();
            own + of_rest + fixed.col(j).transpose() * solved.col(j)
        };
        rows.iter().zip(self.of_rest(rows)).enumerate().map(total).collect()
    }

    fn solved_fixed(&self, fixed: Mat<f64>) -> Mat<f64> {
        if fixed.nrows() == 0 {
            fixed
        } else {
            self.point.fixed.solve(fixed, self.par)
        }
    }

    /// What C^-1 a has of beta: `R^-1 F^-1 (d - W's)`.
    fn with_beta(&self, rows: &[ReducedRow]) -> Mat<f64> {
        let solved = self.solved_fixed(self.fixed(rows.iter()));
        let rank = self.basis.len();
        let basis = Mat::from_fn(rank, rank, |i, j| self.basis[j][i]);
        product(basis.as_ref(), solved.as_ref(), self.par)
    }

    /// a' C^-1 a of all pairs.
    fn covariances(&self, rows: &[&ReducedRow]) -> Mat<f64> {
        let s = self.columns(rows.iter().copied());
        let solved = self.point.rest.solve(s.clone(), self.par);
        let fixed = self.fixed(rows.iter().copied());
        let beside = self.solved_fixed(fixed.clone());
        let mut found =
            product(s.transpose(), solved.as_ref(), self.par) + product(fixed.transpose(), beside.as_ref(), self.par);
        for (i, a) in rows.iter().enumerate() {
            for (j, b) in rows.iter().enumerate() {
                let shared = |(level, v): (&usize, &Vec<f64>)| b.own.get(level).map_or(0.0, |w| dot(v, w));
                found[(i, j)] += a.own.iter().map(shared).sum::<f64>();
            }
        }
        found
    }
}
