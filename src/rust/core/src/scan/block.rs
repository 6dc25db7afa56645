//! The tests of one block of candidates.

use super::basis::Basis;
use super::candidate::{Candidate, Place, Rotated, Solved, criterion};
use super::clean::State;
use super::refit::{Grid, Sums};
use crate::likelihood::Method;
use crate::linalg::clear_registers;
use faer::{MatRef, Par};
use rayon::prelude::*;

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

/// Columns that are tested together; the first `adjust` stay in the model in any case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    pub columns: Vec<usize>,
    pub adjust: usize,
}

pub struct Ask<'a> {
    pub test: Test,
    pub refit: Refit,
    /// The null fit's likelihood and where it lies.
    pub method: Method,
    pub null: (f64, f64),
    pub sets: &'a [Set],
    /// Does X explain constants?
    pub centred: bool,
    pub threads: usize,
}

#[derive(Debug, Clone, Copy)]
pub struct Outcome {
    pub state: State,
    /// Fewest cells that are not missing of any column.
    pub observed: usize,
    /// Of a single column under test.
    pub estimate: f64,
    pub std_error: f64,
    pub statistic: f64,
    pub df: f64,
    /// Denominator's of an F statistic, infinite for chi-squared ones.
    pub df2: f64,
    pub h: f64,
    pub g: f64,
    pub log_lik: f64,
}

impl Outcome {
    fn none(state: State, observed: usize) -> Self {
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
        }
    }
}

/// Columns that are in some set, ascending, and the sets by their places among them.
fn used(sets: &[Set]) -> (Vec<usize>, Vec<Set>) {
    let mut which: Vec<usize> = sets.iter().flat_map(|set| set.columns.iter().copied()).collect();
    which.sort_unstable();
    which.dedup();
    let place = |j: &usize| which.partition_point(|k| k < j);
    let among = |set: &Set| Set {
        columns: set.columns.iter().map(place).collect(),
        ..*set
    };
    let sets = sets.iter().map(among).collect();
    (which, sets)
}

/// All sets of columns of G, cells x candidates; its other columns are not looked at.
pub fn block(basis: &Basis<'_>, g: MatRef<'_, f64>, ask: &Ask<'_>, par: Par) -> Vec<Outcome> {
    let (which, sets) = used(ask.sets);
    let rotated = Rotated::new(basis, g, &which, ask.centred, par);
    let likelihood = match ask.test {
        Test::Wald => Method::Reml,
        Test::Ratio => Method::Ml,
        Test::Score => ask.method,
    };
    let anew = ask.refit == Refit::Anew && ask.test != Test::Score;
    let search = anew.then(|| Search::new(basis, &rotated, ask, &sets, likelihood));
    let tester = Tester {
        basis,
        rotated: &rotated,
        ask,
        likelihood,
        null: (ask.test == Test::Ratio).then(|| null_deviance(basis, ask)),
        kept: Place::new(basis, likelihood, ask.null),
        search,
    };
    let one = |set: &Set| {
        clear_registers();
        tester.outcome(set)
    };
    sets.par_iter().map(one).collect()
}

/// -2 log L of the null model by maximum likelihood, at its own optimum or at the delta that is kept.
fn null_deviance(basis: &Basis<'_>, ask: &Ask<'_>) -> f64 {
    let null = criterion(basis, Method::Ml);
    match ask.refit {
        Refit::Null => null.deviance_at(ask.null.0, ask.null.1),
        Refit::Anew => {
            let grid = crate::fit::dual_grid(&null);
            let found = grid.optimum(&null).ok().flatten();
            found.map_or(f64::NAN, |o| o.best.value)
        }
    }
}

/// What a search for delta shares.
struct Search {
    grid: Grid,
    /// Sums of all candidates, and of y^2, for candidates that are tested one by one.
    sums: Option<(Vec<Sums>, Vec<f64>)>,
}

impl Search {
    fn new(basis: &Basis<'_>, rotated: &Rotated, ask: &Ask<'_>, sets: &[Set], method: Method) -> Self {
        let grid = Grid::new(basis, method, ask.null);
        let singly = sets.iter().all(|set| set.columns.len() == 1);
        let sums = singly.then(|| (grid.sums(basis, rotated), grid.squares(basis)));
        Self { grid, sums }
    }
}

struct Tester<'a> {
    basis: &'a Basis<'a>,
    rotated: &'a Rotated,
    ask: &'a Ask<'a>,
    likelihood: Method,
    null: Option<f64>,
    /// The null model's place.
    kept: Place,
    search: Option<Search>,
}

impl Tester<'_> {
    fn outcome(&self, set: &Set) -> Outcome {
        let columns = || set.columns.iter().map(|&j| &self.rotated.columns[j]);
        let observed = columns().map(|c| c.observed).min().unwrap_or(0);
        if let Some(bad) = columns().find(|c| c.state != State::Ok) {
            return Outcome::none(bad.state, observed);
        }
        let model = self.rotated.model(self.basis, &set.columns, set.adjust);
        if model.tested() == 0 {
            let constant = columns().all(|c| c.constant);
            return Outcome::none(if constant { State::Constant } else { State::Collinear }, observed);
        }
        if model.contrasts() == 0 {
            return Outcome::none(State::NoContrast, observed);
        }
        let solved = match &self.search {
            Some(search) => self.anew(search, &model, &set.columns),
            None => model.solve(&self.kept),
        };
        match solved {
            Some(solved) => self.tested(&model, &solved, observed),
            None => Outcome::none(State::Collinear, observed),
        }
    }

    /// At the model's own delta.
    fn anew(&self, search: &Search, model: &Candidate<'_>, columns: &[usize]) -> Option<Solved> {
        let Search { grid, sums } = search;
        match (sums, columns) {
            (Some((sums, yy)), [j]) => {
                let (gg, gy) = Sums::of(sums, *j);
                grid.optimum_of_one(self.basis, model, (gg, gy), yy)
            }
            _ => grid.optimum(self.basis, model),
        }
    }

    fn tested(&self, model: &Candidate<'_>, solved: &Solved, observed: usize) -> Outcome {
        let (q, taken) = solved.squares();
        let (df, df2) = (model.tested() as f64, model.contrasts() as f64);
        let deviance = model.deviance(self.likelihood, solved);
        let (statistic, df2_of_test) = match self.ask.test {
            Test::Wald => (taken / df / (q / df2), df2),
            Test::Score => ((df2 + df) * taken / (taken + q), f64::INFINITY),
            Test::Ratio => (self.ratio(model, deviance), f64::INFINITY),
        };
        let single = model.tested() == 1;
        let (beta, unit) = solved.last();
        let scale = self.basis.rotated.y_scale / self.rotated.columns[*model.kept.last().unwrap_or(&0)].scale;
        let of_one = |x: f64| if single { x * scale } else { f64::NAN };
        Outcome {
            state: State::Ok,
            observed,
            estimate: of_one(beta),
            std_error: of_one(unit * (q / df2).sqrt()),
            statistic,
            df,
            df2: df2_of_test,
            h: solved.h,
            g: solved.g,
            log_lik: -0.5 * deviance,
        }
    }

    /// Against the null model, or the one with what is adjusted for.
    fn ratio(&self, model: &Candidate<'_>, deviance: f64) -> f64 {
        let null = match (model.adjust, self.null) {
            (0, Some(null)) => null,
            (adjust, _) => {
                let reduced = self.rotated.model(self.basis, &model.kept[..adjust], adjust);
                let solved = match &self.search {
                    Some(search) => search.grid.optimum(self.basis, &reduced),
                    None => reduced.solve(&self.kept),
                };
                solved.map_or(f64::INFINITY, |solved| reduced.deviance(Method::Ml, &solved))
            }
        };
        (null - deviance).max(0.0)
    }
}
