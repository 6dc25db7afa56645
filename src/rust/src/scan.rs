//! Entry points of `fastlmm_scan()`: the null model as a linear map, and the tests of a block of candidates.

use crate::console::Console;
use crate::failure::Reply;
use crate::model::ModelView;
use crate::words::Selection;
use crate::{reply, view};
use extendr_api::prelude::*;
use fastlmm_core::linalg::clear_registers;
use fastlmm_core::rotation::rotated::Rotated;
use fastlmm_core::runtime::error::Error;
use fastlmm_core::runtime::parallel::Workers;
use fastlmm_core::scan::many::{Keep, Pair, Responses, many};
use fastlmm_core::scan::{Ask, CandidateSet, CandidateState, Null, Outcome, ScanBasis, block};

/// What a scan needs of its null model, with one number a cell: `cell` says which cell each row is in.
/// @noRd
#[extendr]
fn ffi_scan_basis(model: List, cell: &[i32], cells: i32) -> Reply<List> {
    let model = ModelView::new(&model)?;
    view::same_length("cell", cell.len(), model.n())?;
    let cells = view::count(cells, "cells")?;
    let cell = view::indices(cell, cells, "cell")?;
    let workers = Workers::new(model.options.threads)?;
    let null = Null::new(&model.one()?, &cell, cells, model.options, &workers, &mut Console)?;
    Ok(basis(null))
}

/// The same with a coordinate for every contrast; a cell is a row.
/// @noRd
#[extendr]
fn ffi_scan_complete(model: List) -> Reply<List> {
    let model = ModelView::new(&model)?;
    let workers = Workers::new(model.options.threads)?;
    let null = Null::complete(&model.one()?, model.options, &workers, &mut Console)?;
    Ok(basis(null))
}

fn basis(null: Null) -> List {
    list!(
        rotated = reply::rotated(&null.rotated),
        e = reply::columns(&null.e),
        q = reply::columns(&null.q),
        weight = null.weight,
        v = null.v,
        length = null.length,
        by_rows = null.by_rows,
        constant = null.constant
    )
}

/// Responses, a column each, in the coordinates of a basis whose cells are rows; and of each at its delta, in the user's units, y'Py and the part of -2 log L (REML)
/// that no candidate changes.
/// @noRd
#[extendr]
fn ffi_scan_responses(basis: List, Y: RMatrix<f64>, delta: &[f64], threads: i32) -> Reply<List> {
    let stored = ScanBasisView::new(&basis)?;
    view::same_length("Y", Y.nrows(), stored.e.nrows())?;
    view::same_length("delta", delta.len(), Y.ncols())?;
    let workers = Workers::new(view::count(threads, "threads")?)?;
    let (basis, y) = (stored.basis(), view::matrix(&Y));
    let found = workers.run(|par| basis.responses(y, par));
    let likelihood = |(j, delta): (usize, &f64)| found.likelihood(&basis, j, stored.place(*delta));
    let (square, constant): (Vec<f64>, Vec<f64>) = delta.iter().enumerate().map(likelihood).unzip();
    Ok(list!(
        y = reply::columns(&found.y),
        v = reply::columns(&found.v),
        rho = found.rho,
        length = found.length,
        delta = delta.to_vec(),
        square = square,
        constant = constant
    ))
}

/// Coordinates of a response over the roots of their variances, and those roots.
/// @noRd
#[extendr]
fn ffi_scan_whitened(basis: List, y: RMatrix<f64>, delta: f64, threads: i32) -> Reply<List> {
    let stored = ScanBasisView::new(&basis)?;
    view::same_length("y", y.nrows(), stored.e.nrows())?;
    let workers = Workers::new(view::count(threads, "threads")?)?;
    let (basis, y, place) = (stored.basis(), view::matrix(&y), stored.place(delta));
    let (white, root) = workers.run(|par| basis.whitened(y, place, par));
    Ok(list!(white = white, root = root))
}

/// A basis as R holds it.
struct ScanBasisView {
    rotated: Rotated,
    e: RMatrix<f64>,
    q: RMatrix<f64>,
    weight: Vec<f64>,
    v: Vec<f64>,
    length: f64,
    by_rows: bool,
    constant: bool,
}

impl ScanBasisView {
    fn new(list: &List) -> Reply<Self> {
        Ok(Self {
            rotated: view::rotated(&view::sublist(list, "rotated")?)?,
            e: view::real_matrix(list, "e")?,
            q: view::real_matrix(list, "q")?,
            weight: view::numbers(list, "weight")?,
            v: view::numbers(list, "v")?,
            length: view::number(list, "length")?,
            by_rows: view::flag(list, "by_rows")?,
            constant: view::flag(list, "constant")?,
        })
    }

    fn basis(&self) -> ScanBasis<'_> {
        ScanBasis {
            rotated: &self.rotated,
            e: view::matrix(&self.e),
            q: view::matrix(&self.q),
            weight: &self.weight,
            v: &self.v,
            length: self.length,
            by_rows: self.by_rows,
            constant: self.constant,
        }
    }

    /// (h, g) of a delta in the user's units.
    fn place(&self, delta: f64) -> (f64, f64) {
        let delta = delta / self.rotated.k_scale;
        if delta == f64::INFINITY {
            return (0.0, 1.0);
        }
        (1.0 / (1.0 + delta), delta / (1.0 + delta))
    }
}

/// The tests of the candidates in the columns of G: `sets` are columns that are tested together, their first `adjust` not under test.
/// @noRd
#[extendr]
fn ffi_scan_block(basis: List, G: RMatrix<f64>, sets: List, adjust: &[i32], ask: List) -> Reply<List> {
    let stored = ScanBasisView::new(&basis)?;
    view::same_length("G", G.nrows(), stored.e.nrows())?;
    view::same_length("adjust", adjust.len(), sets.len())?;
    let columns = view::ordered_sets(&sets, G.ncols(), "sets")?;
    let sets: Vec<CandidateSet> = (columns.into_iter().zip(adjust))
        .map(|(columns, adjust)| {
            let adjust = view::count(*adjust, "adjust")?;
            Ok(CandidateSet { columns, adjust })
        })
        .collect::<Reply<_>>()?;
    let ask = Ask {
        test: view::text(&ask, "test")?.parse()?,
        refit: view::text(&ask, "refit")?.parse()?,
        method: view::method(&view::text(&ask, "method")?)?,
        null: stored.place(view::number(&ask, "delta")?),
        sets: &sets,
        threads: view::count_of(&ask, "threads")?,
    };
    let workers = Workers::new(ask.threads)?;
    let (basis, g) = (stored.basis(), view::matrix(&G));
    let found = workers.run(|par| block(&basis, g, &ask, par))?;
    clear_registers();
    Ok(outcomes(&found, stored.rotated.k_scale))
}

fn outcomes(found: &[Outcome], k_scale: f64) -> List {
    let column = |pick: fn(&Outcome) -> f64| found.iter().map(pick).map(reply::na).collect::<Vec<_>>();
    let h2 = |o: &Outcome| reply::na(o.h / k_scale / (o.h / k_scale + o.g));
    list!(
        observed = column(|o| o.observed as f64),
        estimate = column(|o| o.estimate),
        std_error = column(|o| o.std_error),
        statistic = column(|o| o.statistic),
        df = column(|o| o.df),
        df2 = column(|o| o.df2),
        h2 = found.iter().map(h2).collect::<Vec<_>>(),
        logLik = column(|o| o.log_lik),
        again = found.iter().map(|o| o.again).collect::<Vec<_>>(),
        status = found.iter().map(|o| state(o.state)).collect::<Vec<_>>()
    )
}

fn state(state: CandidateState) -> &'static str {
    match state {
        CandidateState::Ok => "ok",
        CandidateState::Missing => "missing",
        CandidateState::Infinite => "nonfinite",
        CandidateState::Constant => "constant",
        CandidateState::Collinear => "collinear",
        CandidateState::NoContrast => "no_contrast",
        CandidateState::PerfectFit => "perfect_fit",
        CandidateState::Explained => "explained_by_kernel",
        CandidateState::Unbounded => "ml_unbounded",
        CandidateState::NotConverged => "no_convergence",
    }
}

/// Tests of the candidates in the columns of G with many responses, whose deltas are kept. `keep`: "all" gives matrices, candidates x responses; "max" the largest statistic of
/// each response; "threshold" those of at least `least`.
/// @noRd
#[extendr]
fn ffi_scan_many(basis: List, G: RMatrix<f64>, responses: List, keep: &str, least: f64, threads: i32) -> Reply<List> {
    let stored = ScanBasisView::new(&basis)?;
    view::same_length("G", G.nrows(), stored.e.nrows())?;
    let (y, v) = (view::real_matrix(&responses, "y")?, view::real_matrix(&responses, "v")?);
    let (rho, delta) = (view::numbers(&responses, "rho")?, view::numbers(&responses, "delta")?);
    let length = view::numbers(&responses, "length")?;
    view::same_length("length", length.len(), y.ncols())?;
    view::same_length("delta", delta.len(), y.ncols())?;
    let (h, g): (Vec<f64>, Vec<f64>) = delta.iter().map(|d| stored.place(*d)).unzip();
    let responses = Responses {
        y: view::matrix(&y),
        v: view::matrix(&v),
        rho: &rho,
        h: &h,
        g: &g,
        length: &length,
    };
    let keep = match keep.parse()? {
        Selection::All => Keep::All,
        Selection::Largest => Keep::Largest,
        Selection::AtLeast => Keep::AtLeast(least),
    };
    let workers = Workers::new(view::count(threads, "threads")?)?;
    let (basis, candidates) = (stored.basis(), view::matrix(&G));
    let (columns, pairs) = workers.run(|par| {
        let mut pairs = vec![];
        let columns = many(&basis, candidates, &responses, par, |tested| {
            pairs.extend(tested.kept(keep))
        })?;
        Ok::<_, Error>((columns, pairs))
    })?;
    clear_registers();
    let number = |pick: fn(&Pair) -> f64| pairs.iter().map(pick).map(reply::na).collect::<Vec<_>>();
    let place = |pick: fn(&Pair) -> usize| pairs.iter().map(|p| pick(p) as i32 + 1).collect::<Vec<_>>();
    Ok(list!(
        candidate = place(|p| p.candidate),
        response = place(|p| p.response),
        statistic = number(|p| p.statistic),
        estimate = number(|p| p.estimate),
        std_error = number(|p| p.std_error),
        scale = columns.iter().map(|c| c.1).collect::<Vec<_>>(),
        status = columns.iter().map(|c| state(c.0)).collect::<Vec<_>>()
    ))
}

extendr_module! {
    mod scan;
    fn ffi_scan_basis;
    fn ffi_scan_complete;
    fn ffi_scan_responses;
    fn ffi_scan_whitened;
    fn ffi_scan_block;
    fn ffi_scan_many;
}
