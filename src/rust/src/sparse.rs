//! Entry points of fits by penalised least squares: correlated effects, variances of predictions, profiles.

use crate::console::Console;
use crate::failure::Reply;
use crate::model::ModelView;
use crate::words::ParameterName;
use crate::{reply, view};
use extendr_api::prelude::*;
use faer::Par;
use fastlmm_core::likelihood::profiled::Profiled;
use fastlmm_core::lmm::fit::Options;
use fastlmm_core::mix::MixModel;
use fastlmm_core::runtime::error::Error;
use fastlmm_core::runtime::parallel::Workers;
use fastlmm_core::sparse::of_mix::TermModel;
use fastlmm_core::sparse::term_profile::{TermParameter, TermProfile, TermProfiles};
use fastlmm_core::sparse::term_targets::{TargetLevels, TargetTerm, TermTargets, TermVariances, target_variances};
use fastlmm_core::sparse::terms::fit_terms;
use std::result::Result;

/// Fit one response with random effects some of which are correlated: those with the same number in `blocks`. `sigma2_e`: the residual variance if it is known, or nothing.
/// `combined`: a matrix A if the variances of `A c` are wanted, c the effects of the model, or one of no rows.
/// @noRd
#[extendr]
fn ffi_fit_terms(model: List, blocks: &[i32], sigma2_e: &[f64], combined: RMatrix<f64>) -> Reply<List> {
    let model = ModelView::new(&model)?;
    let blocks = block_numbers(blocks, &model)?;
    let Options { method, threads, .. } = model.options;
    let found = fit_terms(
        &model.mix()?,
        &blocks,
        sigma2_e.first().copied(),
        (combined.nrows() > 0).then(|| view::matrix(&combined)),
        method,
        threads,
        &mut Console,
    )?;
    Ok(list!(
        fit = reply::mix(&found.mix, model.columns()),
        relative = reply::columns(&found.relative),
        correlation = reply::columns(&found.correlation)
    ))
}

fn block_numbers(blocks: &[i32], model: &ModelView) -> Reply<Vec<usize>> {
    view::same_length("blocks", blocks.len(), model.effects())?;
    view::indices(blocks, model.effects(), "blocks")
}

/// Variances of a fit, as R holds them.
pub struct FitView {
    relative: RMatrix<f64>,
    sigma2_e: f64,
    pub blocks: Vec<usize>,
    /// The residual variance if it was given.
    pub known: Option<f64>,
}

impl FitView {
    pub fn new(at: &List, model: &ModelView) -> Reply<Self> {
        let relative = view::real_matrix(at, "relative")?;
        view::same_length("rows of relative", relative.nrows(), model.effects())?;
        view::same_length("columns of relative", relative.ncols(), model.effects())?;
        Ok(Self {
            relative,
            sigma2_e: view::number(at, "sigma2_e")?,
            blocks: block_numbers(&view::whole(at, "blocks")?, model)?,
            known: view::numbers(at, "known")?.first().copied(),
        })
    }

    pub fn variances(&self) -> TermVariances<'_> {
        TermVariances {
            relative: view::matrix(&self.relative),
            sigma2_e: self.sigma2_e,
        }
    }
}

/// An effect in targets, as R holds it: levels, or a matrix of weights.
enum LevelsView {
    Numbers(Vec<Option<usize>>),
    Weights(RMatrix<f64>),
}

fn levels_view(x: &Robj, bound: usize, count: usize) -> Reply<LevelsView> {
    if let Ok(weights) = RMatrix::<f64>::try_from(x.clone()) {
        view::same_length("columns of levels", weights.ncols(), bound)?;
        view::same_length("rows of levels", weights.nrows(), count)?;
        return Ok(LevelsView::Weights(weights));
    }
    let numbers = x.as_integer_slice().ok_or(view::missing("levels"))?;
    view::same_length("levels", numbers.len(), count)?;
    let one = |i: &i32| {
        if i.is_na() {
            Ok(None)
        } else {
            view::index(*i, bound, "levels").map(Some)
        }
    };
    Ok(LevelsView::Numbers(numbers.iter().map(one).collect::<Reply<_>>()?))
}

/// Targets as R holds them: for each effect levels (NA: none of those of the data) or their weights, its multiplier, a column of `z`; rows of X, which has no columns where beta is given.
struct TermTargetsView {
    levels: Vec<LevelsView>,
    z: RMatrix<f64>,
    x: RMatrix<f64>,
}

impl TermTargetsView {
    fn new(targets: &List, mix: &MixModel<'_>) -> Reply<Self> {
        let (z, x) = (view::real_matrix(targets, "z")?, view::real_matrix(targets, "X")?);
        let given = view::sublist(targets, "levels")?;
        view::same_length("columns of z", z.ncols(), mix.effects.len())?;
        view::same_length("levels", given.len(), mix.effects.len())?;
        view::same_length("rows of X", x.nrows(), z.nrows())?;
        let bounds = mix.effects.iter().map(|effect| effect.index.len());
        let viewed = given
            .values()
            .zip(bounds)
            .map(|(x, bound)| levels_view(&x, bound, z.nrows()));
        Ok(Self {
            levels: viewed.collect::<Reply<_>>()?,
            z,
            x,
        })
    }

    fn targets(&self) -> TermTargets<'_> {
        let count = self.z.nrows();
        let columns = self.z.data().chunks_exact(count.max(1));
        let terms = self.levels.iter().zip(columns).map(|(levels, z)| TargetTerm {
            z,
            at: match levels {
                LevelsView::Numbers(numbers) => TargetLevels::Level(numbers.clone()),
                LevelsView::Weights(weights) => TargetLevels::Weights(view::matrix(weights)),
            },
        });
        TermTargets {
            terms: terms.collect(),
            x: (self.x.ncols() > 0).then(|| view::matrix(&self.x)),
            count,
        }
    }
}

/// Variances of predictions of `targets` at the variances `at` of a fit, their covariance with beta over sigma2_e, a column a target, and all covariances within `sets` of targets.
/// @noRd
#[extendr]
fn ffi_variance_terms(model: List, at: List, targets: List, sets: List) -> Reply<List> {
    let model = ModelView::new(&model)?;
    let (fit, mix) = (FitView::new(&at, &model)?, model.mix()?);
    let viewed = TermTargetsView::new(&targets, &mix)?;
    let targets = viewed.targets();
    let sets = view::ordered_sets(&sets, targets.count, "sets")?;
    let terms = TermModel::new(&mix, &fit.blocks, fit.known, Par::Seq)?;
    let found = target_variances(&terms, &fit.variances(), &targets, &sets, model.options.threads)?;
    Ok(list!(
        variance = found.variance,
        with_beta = reply::columns(&found.with_beta),
        sets = List::from_values(found.sets.iter().map(reply::columns))
    ))
}

/// Which parameters are asked for: what, numbers of one or two effects or of a column, standard errors.
struct TermRequest {
    what: Vec<String>,
    number: Vec<i32>,
    second: Vec<i32>,
    step: Vec<f64>,
}

impl TermRequest {
    fn new(list: &List) -> Reply<Self> {
        let request = Self {
            what: view::texts(list, "what")?,
            number: view::whole(list, "number")?,
            second: view::whole(list, "second")?,
            step: view::numbers(list, "step")?,
        };
        for found in [request.number.len(), request.second.len(), request.step.len()] {
            view::same_length("parameters", found, request.what.len())?;
        }
        Ok(request)
    }

    fn parameter(&self, i: usize, model: &MixModel<'_>) -> Reply<TermParameter> {
        let effect = |number: i32| view::index(number, model.effects.len(), "number");
        Ok(match self.what[i].parse()? {
            ParameterName::SigmaU => TermParameter::Sd(effect(self.number[i])?),
            ParameterName::SigmaE => TermParameter::Residual,
            ParameterName::H2 => TermParameter::Share(effect(self.number[i])?),
            ParameterName::Correlation => TermParameter::Correlation(effect(self.number[i])?, effect(self.second[i])?),
            ParameterName::Beta => TermParameter::Beta(view::index(self.number[i], model.x.ncols(), "column")?),
            ParameterName::Delta | ParameterName::Lengthscale => {
                let why = format!("is \"{}\", which a model of several effects has not", self.what[i]);
                return Err(Error::Argument { what: "what", why }.into());
            }
        })
    }
}

/// What `read` makes of the profile of each parameter.
fn profiled<T>(
    model: &List,
    at: &List,
    asked: &List,
    read: impl Fn(&TermProfile<'_, '_>) -> Result<T, Error>,
) -> Reply<Vec<T>> {
    let model = ModelView::new(model)?;
    let (fit, request, mix) = (FitView::new(at, &model)?, TermRequest::new(asked)?, model.mix()?);
    let workers = Workers::new(model.options.threads)?;
    let terms = TermModel::new(&mix, &fit.blocks, fit.known, Par::Seq)?;
    let mut console = Console;
    let profiles = TermProfiles::new(&terms, model.options.method, &fit.variances(), &workers, &mut console);
    let one = |i: usize| Ok(read(&profiles.profile(request.parameter(i, &mix)?, request.step[i])?)?);
    (0..request.what.len()).map(one).collect()
}

/// Profiles of parameters of a fit out to |zeta| = zeta_max.
/// @noRd
#[extendr]
fn ffi_profile_terms(model: List, at: List, asked: List, zeta_max: f64, points: i32) -> Reply<List> {
    let points = view::count(points, "points")?;
    let found = profiled(&model, &at, &asked, |profile| profile.curve(zeta_max, points))?;
    Ok(List::from_values(
        found.iter().map(|points| list!(curve = reply::curve(points))),
    ))
}

/// Where the deviance of a fit has risen by `rise`, for each parameter.
/// @noRd
#[extendr]
fn ffi_interval_terms(model: List, at: List, asked: List, rise: f64) -> Reply<List> {
    let found = profiled(&model, &at, &asked, |profile| profile.interval(rise))?;
    Ok(List::from_values(
        found.iter().map(|(lower, upper)| list!(limits = vec![*lower, *upper])),
    ))
}

extendr_module! {
    mod sparse;
    fn ffi_fit_terms;
    fn ffi_variance_terms;
    fn ffi_profile_terms;
    fn ffi_interval_terms;
}
