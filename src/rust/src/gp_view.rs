//! What R holds of a Gaussian process, as core reads it, and core's answers as lists.

use crate::console::Console;
use crate::failure::Reply;
use crate::gp_table::{FourierBasis, reply_table};
use crate::model::ModelView;
use crate::{profile, reply, view};
use extendr_api::prelude::*;
use faer::ColRef;
use fastlmm_core::gp::Process;
use fastlmm_core::gp::answer::Answer;
use fastlmm_core::gp::bounds::Bounds;
use fastlmm_core::gp::chebyshev::{Neighbourhood, Nodes};
use fastlmm_core::gp::exact::Exact;
use fastlmm_core::gp::found::{Optima, Seen};
use fastlmm_core::gp::fourier::explorer::Settled;
use fastlmm_core::gp::fourier::weights::WeightSpace;
use fastlmm_core::gp::many_search::Together;
use fastlmm_core::gp::observations::Observations;
use fastlmm_core::gp::search::LengthSearch;
use fastlmm_core::gp::settings::Settings;
use fastlmm_core::kernel::stationary::Family;
use fastlmm_core::likelihood::Method;
use fastlmm_core::likelihood::profile::Parameter;
use fastlmm_core::lmm::fit::{Fit, Options};
use fastlmm_core::runtime::error::Error;
use fastlmm_core::runtime::monitor::Monitor;
use fastlmm_core::runtime::parallel::Workers;
use std::cell::RefCell;

pub fn columns(x: &RMatrix<f64>) -> Vec<&[f64]> {
    let n = x.nrows();
    (0..x.ncols()).map(|j| &x.data()[j * n..(j + 1) * n]).collect()
}

// ---- a model with a process ---------------------------------------------------------------------------

/// The model, and the coordinates of its process.
pub struct ProcessModel {
    pub model: ModelView,
    coordinates: RMatrix<f64>,
}

impl ProcessModel {
    pub fn new(list: &List) -> Reply<Self> {
        let process = Self {
            model: ModelView::new(list)?,
            coordinates: view::real_matrix(list, "coordinates")?,
        };
        view::same_length("coordinates", process.coordinates.nrows(), process.model.n())?;
        Ok(process)
    }

    /// And what is known of the process.
    pub fn with_settings(list: &List) -> Reply<(Self, ProcessSettings)> {
        let process = Self::new(list)?;
        let Options { method, threads, .. } = process.model.options;
        let settings = ProcessSettings::of(&view::sublist(list, "process")?, method, threads)?;
        Ok((process, settings))
    }

    pub fn coordinates(&self) -> Vec<&[f64]> {
        columns(&self.coordinates)
    }

    /// As Fourier space takes them.
    pub fn observations(&self) -> Reply<Observations<'_>> {
        let (group, groups) = self.model.grouping()?;
        Ok(Observations {
            coordinates: self.coordinates(),
            x: self.model.x().col_iter().filter_map(contiguous).collect(),
            y: self.model.responses().col_iter().filter_map(contiguous).collect(),
            weights: self.model.given_weights()?,
            group,
            groups,
        })
    }

    /// The process by its kernel matrix.
    pub fn exact(&self, family: Family) -> Reply<Exact<'_>> {
        let model = &self.model;
        Ok(Exact::new(
            family,
            self.coordinates(),
            model.y()?,
            model.x(),
            model.weights()?,
        )?)
    }
}

/// Columns of R's matrices are.
fn contiguous(column: ColRef<'_, f64>) -> Option<&[f64]> {
    column.try_as_col_major().map(|column| column.as_slice())
}

// ---- what is asked for --------------------------------------------------------------------------------

pub struct ProcessSettings {
    pub request: Settings,
    pub bounds: Bounds,
    pub threads: usize,
}

impl ProcessSettings {
    /// Where there are no rows: criterion and threads come with what is known of the process.
    pub fn new(list: &List) -> Reply<Self> {
        let method = view::method(&view::text(list, "method")?)?;
        Self::of(list, method, view::count_of(list, "threads")?)
    }

    fn of(list: &List, method: Method, threads: usize) -> Reply<Self> {
        let optional = |name| Ok::<_, crate::failure::Failure>(view::numbers(list, name)?.first().copied());
        let lengths = view::numbers(list, "lengthscale")?;
        let request = Settings {
            family: view::family(&view::text(list, "cov")?)?,
            method,
            lengths: Some(lengths).filter(|l| !l.is_empty()),
            ard: view::flag(list, "ard")?,
            shortest: optional("shortest")?,
            longest: optional("longest")?,
            tol: view::number(list, "tol")?,
            largest: view::count_of(list, "size")?,
            strict: view::flag(list, "strict")?,
        };
        Ok(Self {
            request,
            bounds: bounds(list)?,
            threads,
        })
    }

    /// Leading parameters that are one length scale; 0 if each is its own.
    pub fn together(&self) -> usize {
        if self.request.ard { 0 } else { self.bounds.d() }
    }

    pub fn given(&self) -> bool {
        self.request.lengths.is_some()
    }

    pub fn search<'a>(
        &self,
        process: &'a dyn Process,
        workers: &'a Workers,
        monitor: &'a mut dyn Monitor,
    ) -> LengthSearch<'a> {
        LengthSearch {
            process,
            method: self.request.method,
            workers,
            monitor: RefCell::new(monitor),
        }
    }
}

pub fn bounds(list: &List) -> Reply<Bounds> {
    Ok(Bounds {
        low: view::numbers(list, "low")?,
        high: view::numbers(list, "high")?,
    })
}

/// Where the fit lies and how far about it an interval may reach: at most to the ends of the range of the search.
pub fn neighbourhood(
    settings: &ProcessSettings,
    fit: &List,
    (shortest, longest): (Option<f64>, f64),
) -> Reply<Neighbourhood> {
    let (lengths, width) = (view::numbers(fit, "parameters")?, view::number(fit, "width")?);
    Ok(Neighbourhood::about(
        lengths,
        settings.bounds.d(),
        width,
        shortest,
        Some(longest),
    ))
}

/// Which parameters, and how far: the rise of the deviance, or the points of curves and |zeta| at their ends.
pub struct Wanted {
    parameters: Vec<Option<Parameter>>,
    rise: f64,
    points: usize,
}

impl Wanted {
    pub fn new(list: &List, rank: usize) -> Reply<Self> {
        let what = view::texts(list, "what")?;
        let column = view::numbers(list, "column")?;
        let one = |(what, column): (&String, &f64)| profile::parameter(what, *column as i32, rank);
        Ok(Self {
            parameters: what.iter().zip(&column).map(one).collect::<Reply<_>>()?,
            rise: view::number(list, "rise")?,
            points: view::count_of(list, "points")?,
        })
    }

    /// A curve for each parameter, or without points their intervals.
    pub fn reply(
        &self,
        settings: &ProcessSettings,
        process: &dyn Process,
        neighbourhood: &Neighbourhood,
    ) -> Reply<List> {
        let workers = Workers::new(settings.threads)?;
        let mut console = Console;
        let nodes = Nodes::new(
            &settings.search(process, &workers, &mut console),
            neighbourhood,
            self.rise,
        )?;
        if self.points == 0 {
            return Ok(List::from_values(
                self.intervals(&nodes)?.iter().map(|(a, b)| vec![*a, *b]),
            ));
        }
        let curve = |parameter: &Option<Parameter>| nodes.curve(*parameter, self.rise.sqrt(), self.points);
        let curves = self.parameters.iter().map(curve).collect::<Result<Vec<_>, _>>()?;
        Ok(List::from_values(curves.iter().map(|c| reply::curve(c))))
    }

    fn intervals(&self, nodes: &Nodes) -> Reply<Vec<(f64, f64)>> {
        let one = |parameter: &Option<Parameter>| nodes.interval(*parameter, self.rise);
        Ok(self.parameters.iter().map(one).collect::<Result<_, _>>()?)
    }
}

// ---- answers ------------------------------------------------------------------------------------------

/// Length scales, their errors and the search: what both routes have.
pub fn reply_lengths(answer: &Answer, found: &Optima) -> List {
    let errors = &answer.errors;
    let mut grid = found.grid.clone();
    grid.sort_by(|a, b| a.length.total_cmp(&b.length));
    let seen = |pick: fn(&Seen) -> f64| grid.iter().map(pick).map(reply::na).collect::<Vec<_>>();
    list!(
        delta = answer.delta,
        parameters = answer.lengths.clone(),
        log_errors = errors.lengths.iter().map(|e| reply::na(*e)).collect::<Vec<_>>(),
        se = list!(
            sigma2 = reply::na(errors.sigma2),
            sigma2_e = reply::na(errors.sigma2_e),
            log_delta = reply::na(errors.delta),
            covariance = errors.covariance.clone()
        ),
        searched = list!(
            lengthscale = seen(|s| s.length),
            delta = seen(|s| s.point.delta),
            h2 = seen(|s| s.point.h2),
            sigma2 = seen(|s| s.point.sigma2),
            logLik = seen(|s| s.point.log_lik)
        ),
        local = list!(
            lengthscale = found.locals.iter().map(|p| p.lengths[0]).collect::<Vec<_>>(),
            delta = found.locals.iter().map(|p| p.delta).collect::<Vec<_>>(),
            logLik = found.locals.iter().map(|p| -0.5 * p.deviance).collect::<Vec<_>>()
        )
    )
}

/// A space in as few coordinates as it needs; as it is if the search knows all about its optimum.
fn lean<'s>(
    settings: &ProcessSettings,
    settled: &Settled,
    space: &'s WeightSpace,
    workers: &Workers,
) -> Box<dyn Process + Send + 's> {
    match (&settled.found.here, &settled.guarded) {
        (Some(_), None) => Box::new(space),
        _ => workers.run(|par| space.lean(&settings.bounds, &settled.range, settled.eps, par)),
    }
}

/// A fit in weight space, with the table of its basis.
pub fn reply_settled(settings: &ProcessSettings, settled: &Settled, workers: &Workers) -> Reply<List> {
    let space = &settled.space;
    let mut console = Console;
    let own = lean(settings, settled, space, workers);
    let search = settings.search(&*own, workers, &mut console);
    let (found, kept, together, given) = (&settled.found, &space.fixed.kept, settings.together(), settings.given());
    let answer = match &settled.guarded {
        None => search.answer(found, kept, together, given)?,
        Some(guarded) => {
            let mut console = Console;
            let inner = lean(settings, settled, guarded, workers);
            let other = settings.search(&*inner, workers, &mut console);
            search.answer_of(&other, found, kept, together, given)?
        }
    };
    let coefficients = match &answer.coefficients {
        Some(known) => known.clone(),
        None => workers.run(|par| space.coefficients(&answer.lengths, answer.delta, par))?,
    };
    let captured = space.captured(&answer.lengths);
    let log_lik_error = space.log_lik_error(&settings.bounds, &answer.lengths, answer.delta);
    let answer = answer.give_back(1.0 - captured);
    Ok(list!(
        fit = reply::fit(&answer.fit, settled.moments.p()),
        lengths = reply_lengths(&answer, &settled.found),
        at_end = settled.at_end,
        limited = settled.limited,
        coefficients = coefficients,
        guard = settled.guarded.as_ref().map_or(0, |g| space.size() - g.size()) as f64,
        size = space.size() as f64,
        captured = captured,
        log_lik_error = log_lik_error,
        aliasing = space.grid.aliasing(space.family, &settings.bounds, &answer.lengths),
        basis = FourierBasis::of(settings, settled).reply(),
        table = reply_table(&settled.moments)
    ))
}

/// The fits of many responses, and what their length scales are.
pub fn reply_many(together: &Together, settings: &ProcessSettings, columns: usize) -> List {
    let nothing = |fit: &Result<Fit, Error>| match fit {
        Ok(Fit {
            optimum: Some(optimum), ..
        }) => -0.5 * optimum.nothing,
        _ => f64::NAN,
    };
    list!(
        fits = reply::many(&together.fits, columns),
        lengthscale = together.fitted.iter().map(|fitted| fitted.length).collect::<Vec<_>>(),
        spread = together.fitted.iter().map(|fitted| fitted.spread).collect::<Vec<_>>(),
        window = together
            .fitted
            .iter()
            .map(|fitted| fitted.window as i32 + 1)
            .collect::<Vec<_>>(),
        bases = List::from_values(
            together
                .bases
                .iter()
                .map(|basis| FourierBasis::of_window(settings, basis).reply())
        ),
        arc = together.arcs.clone(),
        logLik0 = together.fits.fits.iter().map(nothing).collect::<Vec<_>>(),
        range = vec![together.range.0, together.range.1],
        size = together.size as f64,
        captured = together.captured
    )
}
