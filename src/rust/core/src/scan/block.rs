//! The tests of one block of candidates.

use super::basis::ScanBasis;
use super::candidate::{AtDelta, CLOSE, Candidate, CandidateFactor, criterion};
use super::refit::{CandidateGrid, GridSums};
use super::rotate::RotatedBlock;
use super::standardise::CandidateState;
use crate::likelihood::Method;
use crate::likelihood::delta_grid::delta_grid;
use crate::linalg::clear_registers;
use crate::runtime::error::Result as Done;
use crate::words;
use faer::{MatRef, Par};
use rayon::prelude::*;
use std::sync::OnceLock;

/// The test of a set of candidates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Test {
    /// F test at the restricted likelihood's delta.
    Wald,
    /// Likelihood ratio, by maximum likelihood of both models.
    Ratio,
    /// Score at the null model's delta.
    Score,
}

/// Where delta comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refit {
    /// The null model's.
    Null,
    /// Estimated anew with the candidate.
    Anew,
}

words!(Test, "test", "wald" => Test::Wald, "lrt" => Test::Ratio, "score" => Test::Score);

words!(Refit, "refit", "none" => Refit::Null, "delta" => Refit::Anew);

/// Columns that are tested together; the first `adjust` stay in the model in any case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CandidateSet {
    /// Columns of the block, from 0.
    pub columns: Vec<usize>,
    /// How many of them are not tested but adjusted for.
    pub adjust: usize,
}

/// What is asked of a block of candidates.
pub struct Ask<'a> {
    /// Which test.
    pub test: Test,
    /// Where delta comes from.
    pub refit: Refit,
    /// The null fit's likelihood and where it lies.
    pub method: Method,
    /// (h, g) of the null fit.
    pub null: (f64, f64),
    /// The tests, in the order of the answers.
    pub sets: &'a [CandidateSet],
    /// Threads of the call.
    pub threads: usize,
}

/// One test. Numbers that do not exist are NaN.
#[derive(Debug, Clone, Copy)]
pub struct Outcome {
    /// Whether there is a test, or why not.
    pub state: CandidateState,
    /// Fewest cells that are not missing of any column.
    pub observed: usize,
    /// Of a single column under test.
    pub estimate: f64,
    /// Standard error of the estimate, in the candidate's own units.
    pub std_error: f64,
    /// F, likelihood ratio or score statistic.
    pub statistic: f64,
    /// Numerator's degrees of freedom: columns under test that others do not explain.
    pub df: f64,
    /// Denominator's of an F statistic, infinite for chi-squared ones.
    pub df2: f64,
    /// Proportion of the variance from the kernel with the candidates in the model, of scaled data.
    pub h: f64,
    /// 1 - h.
    pub g: f64,
    /// Log-likelihood with the candidates in the model.
    pub log_lik: f64,
    /// Lost in rounding because cells are not rows: to be asked again with a cell for each row.
    pub again: bool,
}

impl Outcome {
    fn none(state: CandidateState, observed: usize) -> Self {
        let nan = f64::NAN;
        Self {
            state,
            observed,
            estimate: nan,
            std_error: nan,
            statistic: nan,
            df: nan,
            df2: nan,
            h: nan,
            g: nan,
            log_lik: nan,
            again: false,
        }
    }
}

/// Columns that are in some set, ascending, and the sets by their places among them.
fn used(sets: &[CandidateSet]) -> (Vec<usize>, Vec<CandidateSet>) {
    let mut which: Vec<usize> = sets.iter().flat_map(|set| set.columns.iter().copied()).collect();
    which.sort_unstable();
    which.dedup();
    let place = |j: &usize| which.partition_point(|k| k < j);
    let among = |set: &CandidateSet| CandidateSet {
        columns: set.columns.iter().map(place).collect(),
        ..*set
    };
    let sets = sets.iter().map(among).collect();
    (which, sets)
}

/// All sets of columns of G, cells x candidates; its other columns are not looked at.
///
/// With delta estimated anew, Wald's F statistic of one candidate is the square of its t value in the fit that has it in X:
///
/// ```
/// # use fastlmm_core::{kernel::Kernel, likelihood::Method, lmm::fit::{Options, fit}, rotation::Model, runtime::parallel::Workers};
/// use fastlmm_core::scan::{Ask, CandidateSet, ScanBasis, Null, Refit, Test, block};
/// # fn main() -> fastlmm_core::runtime::error::Result<()> {
/// # let y = [1.0, 2.5, 4.0, 5.0, 9.0, 8.0, 3.0, 6.0];
/// # let candidate = faer::Mat::from_fn(8, 1, |i, _| [0.0, 1.0, 2.0, 0.0, 1.0, 1.0, 0.0, 2.0][i]);
/// # let (ones, both) = (faer::Mat::full(8, 1, 1.0), faer::Mat::from_fn(8, 2, |i, j| if j == 0 { 1.0 } else { candidate[(i, 0)] }));
/// # let model = |x| Model {
/// #     y: &y, x, weights: &[1.0; 8], z: &[1.0; 8], group: &[0, 0, 1, 1, 2, 2, 3, 3], kernel: Kernel::Identity, index: &[0, 1, 2, 3],
/// # };
/// let options = Options { method: Method::Reml, threads: 1, tolerance: None };
/// let rows: Vec<usize> = (0..8).collect();
/// let null = Null::new(&model(ones.as_ref()), &rows, 8, options, &Workers::new(1)?, &mut ())?;
/// let basis = ScanBasis {
///     rotated: &null.rotated, e: null.e.as_ref(), q: null.q.as_ref(), weight: &null.weight, v: &null.v,
///     length: null.length, by_rows: null.by_rows, constant: null.constant,
/// };
/// let sets = [CandidateSet { columns: vec![0], adjust: 0 }];
/// let ask = Ask {
///     test: Test::Wald, refit: Refit::Anew, method: Method::Reml, null: (0.5, 0.5), sets: &sets, threads: 1,
/// };
/// let found = block(&basis, candidate.as_ref(), &ask, faer::Par::Seq)?;
/// let fit = fit(&model(both.as_ref()), options, &mut ())?;
/// assert!((found[0].statistic / (fit.beta[1].powi(2) / fit.vcov[1][1]) - 1.0).abs() < 1e-6);
/// # Ok(())
/// # }
/// ```
pub fn block(basis: &ScanBasis<'_>, g: MatRef<'_, f64>, ask: &Ask<'_>, par: Par) -> Done<Vec<Outcome>> {
    let (which, sets) = used(ask.sets);
    let rotated = RotatedBlock::new(basis, g, &which, par)?;
    let data = crate::rotation::rotated::Rotated {
        dropped: basis.rotated.null,
        ..basis.rotated.clone()
    };
    let without = ScanBasis {
        rotated: &data,
        ..*basis
    };
    let tester = Tester::new(basis, &rotated, ask, &sets);
    // where the density has no optimum inside, both models without the directions of X that the kernel does not reach
    let spare = OnceLock::new();
    let again = |set: &CandidateSet| {
        let spare = spare.get_or_init(|| Tester::new(&without, &rotated, ask, &sets));
        spare.outcome(set)
    };
    let one = |set: &CandidateSet| {
        clear_registers();
        let outcome = tester.outcome(set);
        if outcome.state == CandidateState::Unbounded && basis.rotated.null > basis.rotated.dropped {
            again(set)
        } else {
            outcome
        }
    };
    Ok(sets.par_iter().map(one).collect())
}

/// What a search for delta shares.
struct DeltaSearch {
    grid: CandidateGrid,
    /// Sums of all candidates, and of y^2, for candidates that are tested one by one.
    sums: Option<(Vec<GridSums>, Vec<f64>)>,
    /// -2 log L of the null model at its own optimum, of a likelihood ratio.
    null: Result<f64, CandidateState>,
}

impl DeltaSearch {
    fn new(
        basis: &ScanBasis<'_>,
        rotated: &RotatedBlock,
        ask: &Ask<'_>,
        sets: &[CandidateSet],
        method: Method,
    ) -> Self {
        let grid = CandidateGrid::new(basis, method, ask.null);
        let singly = sets.iter().all(|set| set.columns.len() == 1);
        let sums = singly.then(|| (grid.sums(basis, rotated), grid.squares(basis)));
        let null = if ask.test == Test::Ratio {
            null_deviance(basis)
        } else {
            Ok(f64::NAN)
        };
        Self { grid, sums, null }
    }
}

/// -2 log L of the null model by maximum likelihood.
fn null_deviance(basis: &ScanBasis<'_>) -> Result<f64, CandidateState> {
    let null = criterion(basis, Method::Ml);
    match delta_grid(&null).optimum(&null) {
        Ok(found) => found.map(|o| o.best.value).ok_or(CandidateState::Unbounded),
        Err(_) => Err(CandidateState::NotConverged),
    }
}

struct Tester<'a> {
    basis: &'a ScanBasis<'a>,
    rotated: &'a RotatedBlock,
    ask: &'a Ask<'a>,
    likelihood: Method,
    /// The null model's place.
    kept: AtDelta,
    search: Option<DeltaSearch>,
}

impl<'a> Tester<'a> {
    fn new(basis: &'a ScanBasis<'a>, rotated: &'a RotatedBlock, ask: &'a Ask<'a>, sets: &[CandidateSet]) -> Self {
        let likelihood = match ask.test {
            Test::Wald => Method::Reml,
            Test::Ratio => Method::Ml,
            Test::Score => ask.method,
        };
        let anew = ask.refit == Refit::Anew && ask.test != Test::Score;
        Self {
            basis,
            rotated,
            ask,
            likelihood,
            kept: AtDelta::new(basis, likelihood, ask.null),
            search: anew.then(|| DeltaSearch::new(basis, rotated, ask, sets, likelihood)),
        }
    }

    fn outcome(&self, set: &CandidateSet) -> Outcome {
        let column = |j: usize| &self.rotated.columns[j];
        let observed = set.columns.iter().map(|&j| column(j).observed).min().unwrap_or(0);
        let none = |state| Outcome::none(state, observed);
        let varies = |&j: &usize| column(j).state != CandidateState::Constant;
        if let Some(&bad) = set
            .columns
            .iter()
            .find(|j| varies(j) && column(**j).state != CandidateState::Ok)
        {
            return none(column(bad).state);
        }
        // a constant column depends on X, as a collinear one: it is left out, and the others are tested
        let (adjusted, tested) = set.columns.split_at(set.adjust.min(set.columns.len()));
        let kept = |columns: &[usize]| columns.iter().copied().filter(varies).collect::<Vec<_>>();
        let (mut columns, adjust) = (kept(adjusted), kept(adjusted).len());
        columns.extend(kept(tested));
        let model = self.rotated.model(self.basis, &columns, adjust);
        if model.tested() == 0 {
            let constant = tested.iter().all(|&j| !varies(&j) || column(j).constant);
            return none(if constant {
                CandidateState::Constant
            } else {
                CandidateState::Collinear
            });
        }
        if model.contrasts() == 0 {
            return none(CandidateState::NoContrast);
        }
        self.tested(&model, &columns, observed).unwrap_or_else(none)
    }

    fn tested(&self, model: &Candidate<'_>, columns: &[usize], observed: usize) -> Result<Outcome, CandidateState> {
        let Some(search) = &self.search else {
            let factor = model.solve(&self.kept).ok_or(CandidateState::Collinear)?;
            return self.described(model, &factor, observed);
        };
        let factor = match (&search.sums, columns) {
            (Some((sums, yy)), [j]) => search
                .grid
                .optimum_of_one(self.basis, model, GridSums::of(sums, *j), yy),
            _ => search.grid.optimum(self.basis, model),
        };
        match factor {
            Ok(factor) if factor.left() >= CLOSE && !factor.is_shifted() => self.described(model, &factor, observed),
            // a response that is explained exactly has no optimum: the null model's place is asked first
            factor => {
                let kept = model.solve(&self.kept).ok_or(CandidateState::Collinear)?;
                if model.is_perfect(&kept, &self.kept) {
                    return self.described(model, &kept, observed);
                }
                self.described(model, &factor?, observed)
            }
        }
    }

    fn described(
        &self,
        model: &Candidate<'_>,
        factor: &CandidateFactor,
        observed: usize,
    ) -> Result<Outcome, CandidateState> {
        let (q, taken) = factor.squares();
        let (df, df2) = (model.tested() as f64, model.contrasts() as f64);
        let deviance = model.deviance(self.likelihood, factor);
        let perfect = factor.is_at(&self.kept) && model.is_perfect(factor, &self.kept);
        let (statistic, df2_of_test) = match self.ask.test {
            Test::Score => ((df2 + df) * taken / (taken + q), f64::INFINITY),
            Test::Wald if perfect => (f64::INFINITY, df2),
            Test::Wald => (taken / df / (q / df2), df2),
            Test::Ratio if perfect => (f64::INFINITY, f64::INFINITY),
            Test::Ratio => (self.ratio(model, (q, taken), deviance)?, f64::INFINITY),
        };
        let single = model.tested() == 1;
        let (beta, unit) = factor.last();
        let scale = self.basis.rotated.y_scale / self.rotated.columns[*model.kept.last().unwrap_or(&0)].scale;
        let of_one = |x: f64| if single { x * scale } else { f64::NAN };
        let outcome = Outcome {
            state: CandidateState::Ok,
            observed,
            estimate: of_one(beta),
            std_error: of_one(unit * (q / df2).sqrt()),
            statistic,
            df,
            df2: df2_of_test,
            h: factor.h,
            g: factor.g,
            log_lik: -0.5 * deviance,
            again: model.is_lost(factor),
        };
        Ok(if perfect { self.perfect(outcome) } else { outcome })
    }

    /// No variance is left.
    fn perfect(&self, outcome: Outcome) -> Outcome {
        let of_null = |x: f64| if self.search.is_some() { f64::NAN } else { x };
        Outcome {
            state: CandidateState::PerfectFit,
            std_error: 0.0 * outcome.estimate,
            h: of_null(outcome.h),
            g: of_null(outcome.g),
            log_lik: f64::INFINITY,
            ..outcome
        }
    }

    /// Against the null model, or the one with what is adjusted for.
    fn ratio(&self, model: &Candidate<'_>, (q, taken): (f64, f64), deviance: f64) -> Result<f64, CandidateState> {
        let Some(search) = &self.search else {
            return Ok(model.n(Method::Ml) * (taken / q).ln_1p());
        };
        let null = if model.adjust == 0 {
            search.null?
        } else {
            let reduced = self
                .rotated
                .model(self.basis, &model.kept[..model.adjust], model.adjust);
            let factor = search.grid.optimum(self.basis, &reduced)?;
            reduced.deviance(Method::Ml, &factor)
        };
        Ok((null - deviance).max(0.0))
    }
}
