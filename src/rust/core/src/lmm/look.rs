//! The likelihoods of many responses with one kernel of several that are tried: those that lack a few rows share the decomposition of all rows.

use super::left_out::{Indicator, LeftOut};
use super::many::{Fits, ManyOptions, ResponseTable, fit_many};
use super::many_rotation::{PatternOptions, Shared};
use super::missing_pattern::{Pattern, patterns};
use crate::likelihood::Criterion;
use crate::likelihood::point::Point;
use crate::linalg::clear_registers;
use crate::lmm::fit::Fit;
use crate::rotation::fixed_qr::Design;
use crate::rotation::projection::Projection;
use crate::rotation::rotated::Rotated;
use crate::rotation::{Model, ResponseBlock};
use crate::runtime::error::{Error, Result};
use crate::runtime::monitor::Monitor;
use crate::runtime::parallel::Workers;
use faer::{Mat, MatRef, Par};
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// Is it cheaper to evaluate the responses of a pattern among all rows than to decompose it? Operations of a search over those of a decomposition.
fn is_cheap(pattern: &Pattern, n: usize) -> bool {
    const SEARCH: usize = 100;
    let missing = n - pattern.rows.len();
    missing > 0 && pattern.columns.len() * SEARCH * (missing + 1) * (missing + 2) < n * n
}

/// Responses whose fits in `look` are likelihoods and nothing else.
pub fn only_looked_at(y: MatRef<'_, f64>) -> Vec<usize> {
    let (all, _) = patterns(y);
    let cheap = all.iter().filter(|pattern| is_cheap(pattern, y.nrows()));
    cheap.flat_map(|pattern| pattern.columns.iter().copied()).collect()
}

/// As `fit_many`, but for responses of `only_looked_at`, which have the log-likelihood only. Every row has a group of its own.
pub fn look(y: MatRef<'_, f64>, model: &Model<'_>, request: ManyOptions, monitor: &mut dyn Monitor) -> Result<Fits> {
    let (all, nobs) = patterns(y);
    let (cheap, mut others): (Vec<_>, Vec<_>) = all.into_iter().partition(|pattern| is_cheap(pattern, y.nrows()));
    let table = ResponseTable { y, model, request };
    let workers = Workers::new(request.options.threads)?;
    let shared = match cheap.is_empty() {
        true => return fit_many(y, model, request, monitor),
        false => of_all_rows(table, &workers, monitor),
    };
    let shared = match shared {
        Err(error) if error.concerns_all() => return Err(error),
        // what is wrong with all rows is said of each response
        Err(_) => return fit_many(y, model, request, monitor),
        Ok(shared) => shared,
    };
    let mut found = vec![];
    if let Some(at) = others.iter().position(|pattern| pattern.rows.len() == y.nrows()) {
        let whole = others.swap_remove(at);
        let some = table.further(&shared, &whole, &whole.columns, &workers, monitor)?;
        found.extend(whole.columns.into_iter().zip(some));
    }
    let looked = workers.run(|par| Holes::new(table, &shared, &cheap, par)?.look())?;
    for (pattern, some) in cheap.into_iter().zip(looked) {
        let is_known = |value: &Result<Option<f64>>| matches!(value, Ok(Some(_)) | Err(Error::Response { .. }));
        match some.iter().all(is_known) {
            true => found.extend(
                pattern
                    .columns
                    .into_iter()
                    .zip(some.into_iter().map(|value| value.map(of_deviance))),
            ),
            false => others.push(pattern),
        }
    }
    found.extend(table.patterns(&others, &workers, monitor)?);
    found.sort_by_key(|(j, _)| *j);
    let fits = found.into_iter().map(|(_, fit)| fit).collect();
    Ok(Fits { fits, nobs })
}

/// The null model of all rows.
fn of_all_rows<'a>(table: ResponseTable<'a>, workers: &Workers, monitor: &mut dyn Monitor) -> Result<Shared<'a>> {
    let options = PatternOptions {
        count: table.y.ncols() + table.y.nrows(),
        options: table.request.options,
        floor: table.request.floor(table.model.weights),
    };
    let projection = Projection::new(table.model, workers)?;
    Ok(Shared::new(table.model, projection, vec![], options, workers, monitor)?.0)
}

/// Nothing but a likelihood.
fn of_deviance(deviance: Option<f64>) -> Fit {
    Fit::at_point(Point {
        delta: f64::NAN,
        h2: f64::NAN,
        sigma2: f64::NAN,
        sigma2_e: f64::NAN,
        log_lik: -0.5 * deviance.unwrap_or(f64::NAN),
    })
}

/// The best deviance of each response of a pattern; none where it has to be decomposed by itself.
type Deviances = Vec<Result<Option<f64>>>;

/// Patterns among all rows.
struct Holes<'a> {
    table: ResponseTable<'a>,
    shared: &'a Shared<'a>,
    patterns: &'a [Pattern],
    indicators: BTreeMap<usize, Indicator>,
    par: Par,
}

impl<'a> Holes<'a> {
    fn new(table: ResponseTable<'a>, shared: &'a Shared<'a>, patterns: &'a [Pattern], par: Par) -> Result<Self> {
        let rows: BTreeSet<usize> = patterns.iter().flat_map(|p| missing(p, table.y.nrows())).collect();
        let rows: Vec<usize> = rows.into_iter().collect();
        let all = indicators(shared, &rows, par)?;
        Ok(Self {
            table,
            shared,
            patterns,
            indicators: rows.into_iter().zip(all).collect(),
            par,
        })
    }

    fn look(&self) -> Result<Vec<Deviances>> {
        let null = &self.shared.null;
        let fills: Vec<Option<Filled>> = self.patterns.par_iter().map(|p| self.filled(p)).collect();
        let columns: Vec<(usize, usize)> = self
            .patterns
            .iter()
            .enumerate()
            .flat_map(|(k, pattern)| pattern.columns.iter().map(move |&j| (k, j)))
            .collect();
        let project = |&(k, j): &(usize, usize)| match &fills[k] {
            Some(filled) => null.projection.project(&self.whole(&self.patterns[k], filled, j)?),
            None => null.projection.project(&vec![0.0; self.table.y.nrows()]),
        };
        let block = null.rotate(columns.par_iter().map(project).collect(), self.par)?;
        let one = |data: &mut Rotated, at: usize| match &fills[columns[at].0] {
            Some(_) => self.deviance(data, &block, at, &self.patterns[columns[at].0]),
            None => Ok(None),
        };
        let copy = || null.frame.clone();
        let values: Deviances = (0..columns.len()).into_par_iter().map_init(copy, one).collect();
        let mut values = values.into_iter();
        let of = |pattern: &Pattern| values.by_ref().take(pattern.columns.len()).collect();
        Ok(self.patterns.iter().map(of).collect())
    }

    fn deviance(&self, data: &mut Rotated, block: &ResponseBlock, at: usize, pattern: &Pattern) -> Result<Option<f64>> {
        clear_registers();
        self.shared.null.fill(data, block, at)?;
        let weight = |&i: &usize| self.table.model.weights[i].ln();
        let left_out = LeftOut {
            criterion: Criterion {
                data,
                method: self.shared.method,
            },
            missing: missing(pattern, self.table.y.nrows())
                .filter_map(|i| self.indicators.get(&i))
                .collect(),
            log_weights: pattern.rows.iter().map(weight).sum(),
        };
        left_out.best(self.shared.floor, block.length(at))
    }

    /// X over the rows of a pattern, if it has the rank that it has over all.
    fn filled(&self, pattern: &Pattern) -> Option<Filled> {
        let model = self.table.model;
        let root: Vec<f64> = pattern.rows.iter().map(|&i| model.weights[i].sqrt()).collect();
        let x = Mat::from_fn(root.len(), model.x.ncols(), |i, j| model.x[(pattern.rows[i], j)]);
        let design = Design::new(x.as_ref(), &root).ok()?;
        (design.kept == self.shared.null.kept()).then_some(Filled { design, root })
    }

    /// A response with what X says where it is missing: other numbers, a zero above all, would take digits from those that are far from zero.
    fn whole(&self, pattern: &Pattern, filled: &Filled, j: usize) -> Result<Vec<f64>> {
        let known = pattern.response(self.table.y, j)?;
        let mut beta: Vec<f64> = known.iter().zip(&filled.root).map(|(y, s)| y * s).collect();
        filled.design.q.transpose_apply(&mut beta);
        beta.truncate(filled.design.rank());
        filled.design.solve(&mut beta);
        let terms = |i: usize| {
            filled
                .design
                .kept
                .iter()
                .zip(&beta)
                .map(move |(&k, b)| self.table.model.x[(i, k)] * b)
        };
        let mut all = vec![0.0; self.table.y.nrows()];
        missing(pattern, all.len()).for_each(|i| all[i] = terms(i).sum());
        pattern.rows.iter().zip(known).for_each(|(&i, y)| all[i] = y);
        Ok(all)
    }
}

/// X over the rows of a pattern, and roots of their weights.
struct Filled {
    design: Design,
    root: Vec<f64>,
}

fn missing(pattern: &Pattern, n: usize) -> impl Iterator<Item = usize> {
    let mut seen = vec![false; n];
    pattern.rows.iter().for_each(|&i| seen[i] = true);
    (0..n).filter(move |&i| !seen[i])
}

/// Rows as unit vectors of the data times root weights.
fn indicators(shared: &Shared<'_>, rows: &[usize], par: Par) -> Result<Vec<Indicator>> {
    let (null, root) = (&shared.null, &shared.null.projection.root);
    let unit = |&i: &usize| {
        let mut row = vec![0.0; root.len()];
        row[i] = 1.0 / root[i];
        null.projection.project(&row)
    };
    let block = null.rotate(rows.par_iter().map(unit).collect(), par)?;
    let one = |data: &mut Rotated, at: usize| {
        null.fill(data, &block, at)?;
        let scaled = |x: &[f64]| x.iter().map(|v| v * data.y_scale).collect();
        Ok(Indicator {
            a: scaled(&data.y1),
            c: scaled(&data.y),
        })
    };
    let copy = || null.frame.clone();
    (0..rows.len()).into_par_iter().map_init(copy, one).collect()
}

/// The columns of a matrix whose numbers are given.
pub fn columns_of(y: MatRef<'_, f64>, columns: &[usize]) -> Mat<f64> {
    Mat::from_fn(y.nrows(), columns.len(), |i, j| y[(i, columns[j])])
}
