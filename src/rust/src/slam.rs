//! Entry points of `slamglmm_fit()`: a sampler that R holds while it runs, its draws and its states.
//! It takes what [`slam_basis`](crate::slam_basis) made of the model, rotated once: a fit keeps that, and a chain goes on from it.

use crate::console::Console;
use crate::failure::Reply;
use crate::slam_basis::held;
use crate::slam_link::links;
use crate::slam_rays::Rays;
use crate::view;
use crate::words::LoadingPrior;
use extendr_api::prelude::*;
use faer::Mat;
use fastlmm_core::runtime::error::Error;
use fastlmm_core::runtime::parallel::Workers;
use fastlmm_core::slam::rng::Source;
use fastlmm_core::slam::{
    Cis, Coefficient, Data, Draws, FactorModel, InverseGamma, LoadingMeans, Loadings, Prior, Proportions, Ray, Sampler,
    Set, Variance,
};
use std::sync::Arc;

/// A sampler of some chains, each from its beginning or from a state.
/// @noRd
#[extendr]
fn ffi_slam_new(
    data: List,
    prior: List,
    factors: i32,
    seed: f64,
    chains: &[i32],
    states: List,
) -> Reply<ExternalPtr<Sampler>> {
    let model = model(&data, &prior, view::count(factors, "factors")?)?;
    let seed = view::count(seed, "seed")? as u64;
    let source = |chain: &i32| {
        let chain = view::count(*chain, "chains")? as u64;
        Reply::Ok(Source { seed, chain })
    };
    let states: Vec<Robj> = states.values().collect();
    view::same_length("states", states.len(), chains.len())?;
    let keep = view::texts(&data, "keep")?;
    let kept = |name: &str| keep.iter().any(|one| one == name);
    let mut sampler = Sampler::new(model).keeping(kept("factors"), kept("cells"));
    for (chain, state) in chains.iter().zip(&states) {
        match state.as_raw_slice() {
            Some(bytes) => sampler.resume(source(chain)?, bytes)?,
            None => sampler.start(source(chain)?)?,
        }
    }
    Ok(ExternalPtr::new(sampler))
}

/// Some iterations of all chains; draws of each `thin`-th after the first `warmup` of the chain.
/// @noRd
#[extendr]
fn ffi_slam_run(
    mut sampler: ExternalPtr<Sampler>,
    iterations: i32,
    warmup: f64,
    thin: i32,
    threads: i32,
) -> Reply<List> {
    let workers = Workers::new(view::count(threads, "threads")?)?;
    let warmup = view::count(warmup, "warmup")? as u64;
    let thin = view::count(thin, "thin")? as u64;
    let kept = sampler.run(
        view::count(iterations, "iterations")?,
        warmup,
        thin,
        &workers,
        &mut Console,
    )?;
    Ok(List::from_values(kept.into_iter().map(draws)))
}

/// Bytes of the state of each chain.
/// @noRd
#[extendr]
fn ffi_slam_states(sampler: ExternalPtr<Sampler>) -> List {
    let bytes = |state: Vec<u8>| Robj::from(Raw::from_bytes(&state));
    List::from_values(sampler.states().into_iter().map(bytes))
}

/// Numbers of draws of each chain that failed: of traits, of coefficients of factors, of rows of factors, of moves.
/// @noRd
#[extendr]
fn ffi_slam_failed(sampler: ExternalPtr<Sampler>) -> List {
    List::from_values(sampler.failed().iter().map(|failed| failed.numbers().to_vec()))
}

fn draws(draws: Draws) -> List {
    list!(
        count = draws.count as i32,
        theta = draws.theta,
        sigma2 = draws.sigma2,
        h = draws.h,
        factors = draws.f,
        factors_h = draws.hf,
        factors_b = draws.bf,
        precision = draws.column,
        shared = draws.shared,
        cells = draws.cells,
        link = draws.link,
        cis = draws.cis,
        point = draws.point,
        factors_point = draws.factors_point,
        effects = draws.effects
    )
}

fn model(list: &List, priors: &List, k: usize) -> Reply<FactorModel> {
    let data = data(list, priors)?;
    let rays = rays_of(list, data.y.nrows())?;
    let (links, joint) = links(list, data.y.nrows(), data.y.ncols())?;
    let cis = cis(list, priors, data.y.ncols())?;
    let mut model = FactorModel {
        cis,
        proportions: proportions(&rays, &data.s, priors)?,
        data,
        prior: prior(priors)?,
        k,
        sets: vec![],
        place: 0,
        rays,
        links,
        joint,
    };
    model.check()?;
    let listed = view::sublist(list, "sets")?;
    let sets: Vec<Set> = (listed.values().enumerate())
        .map(|(number, list)| set(&model, &view::as_list(&list, "sets")?, number))
        .collect::<Reply<_>>()?;
    model.sets = sets;
    Ok(model)
}

/// What is given, with the priors of its columns.
fn data(list: &List, priors: &List) -> Reply<Data> {
    let owned = |name| view::owned(list, name);
    let y = owned("y")?;
    let s = view::numbers(list, "s")?;
    let missing = view::ordered_sets(&view::sublist(list, "missing")?, y.nrows(), "missing")?;
    let x_prior = coefficients(&view::numbers(list, "x_prior")?)?;
    Ok(Data {
        rows: rows(list, &s, y.nrows(), &missing)?,
        missing,
        x: owned("x")?,
        x_prior_behind: behind(&x_prior, priors)?,
        x_prior,
        xf: owned("xf")?,
        xf_prior: coefficients(&view::numbers(list, "xf_prior")?)?,
        known: owned("known")?,
        y,
        s,
    })
}

/// Q' of one random effect, where cells are missing.
fn rows(list: &List, s: &[f64], n: usize, missing: &[Vec<usize>]) -> Reply<Mat<f64>> {
    if !view::element(list, "rays")?.is_null() {
        return Ok(Mat::zeros(0, 0));
    }
    view::same_length("s", s.len(), n)?;
    let basis = held(&view::sublist(list, "basis")?)?;
    view::same_length("basis", basis.n(), n)?;
    match missing.iter().all(Vec::is_empty) {
        true => Ok(Mat::zeros(0, 0)),
        false => Ok(basis.transpose()?),
    }
}

fn proportions(rays: &[Arc<Ray>], s: &[f64], priors: &List) -> Reply<Proportions> {
    let of_rays: Vec<&[f64]> = rays.iter().map(|ray| ray.values()).collect();
    let eigenvalues = if rays.is_empty() { vec![s] } else { of_rays };
    let log = |name| {
        Reply::Ok(
            view::numbers(priors, name)?
                .iter()
                .map(|x| x.ln())
                .collect::<Vec<f64>>(),
        )
    };
    let h = view::numbers(priors, "h")?;
    Ok(Proportions::along(&eigenvalues, &h, log("traits")?, log("factors")?))
}

/// Columns of single traits: the matrix, and the trait of each column from 1 on; of its prior a variance, or 0: flat.
fn cis(list: &List, priors: &List, p: usize) -> Reply<Cis> {
    if view::element(list, "cis")?.is_null() {
        return Ok(Cis::none());
    }
    let own = view::sublist(list, "cis")?;
    let traits = view::indices(&view::whole(&own, "traits")?, p, "traits")?;
    if !traits.is_sorted() {
        let why = "of single traits are not in the order of traits".to_string();
        return Err(Error::Argument { what: "cis", why }.into());
    }
    let variances = view::numbers(priors, "cis")?;
    let variance = variances.iter().map(|v| (*v > 0.0).then_some(*v)).collect();
    Ok(Cis::new(view::owned(&own, "x")?, variance, &traits, p))
}

fn prior(priors: &List) -> Reply<Prior> {
    Ok(Prior {
        residual: variances(priors, "residual")?,
        loadings: loadings(priors)?,
        scaled: view::flag(priors, "scaled")?,
        shared: variances(priors, "shared")?,
        means: loading_means(priors)?,
    })
}

/// Bases of several random effects, which R holds from the first use of a fit to its last.
fn rays_of(data: &List, n: usize) -> Reply<Vec<Arc<Ray>>> {
    let held = view::element(data, "rays")?;
    if held.is_null() {
        return Ok(vec![]);
    }
    let rays: ExternalPtr<Rays> = held.try_into().map_err(|_| view::missing("rays"))?;
    let rows = rays.first().map_or(0, |ray| ray.values().len());
    view::same_length("rays", rows, n)?;
    Ok(rays.to_vec())
}

/// Traits that were observed in the same rows: their numbers, the rows, basis and eigenvalues of the rows' kernel, and the cells.
fn set(model: &FactorModel, list: &List, number: usize) -> Reply<Set> {
    let whole = |name| view::whole(list, name);
    let traits = view::indices(&whole("traits")?, model.p(), "traits")?;
    let rows = view::indices(&whole("rows")?, model.n(), "rows")?;
    let y = view::owned(list, "y")?;
    let (basis, s) = (held(&view::sublist(list, "basis")?)?, view::numbers(list, "s")?);
    view::same_length("basis", basis.n(), rows.len())?;
    view::same_length("s", s.len(), rows.len())?;
    view::same_length("y", y.nrows(), rows.len())?;
    view::same_length("y", y.ncols(), traits.len())?;
    view::same_length("rows", model.data.rows.nrows(), model.n())?;
    Ok(Set::new(model, traits, rows, basis, s, &y, number))
}

/// 0: flat; a positive number: which shared variance.
fn coefficients(codes: &[f64]) -> Reply<Vec<Coefficient>> {
    let one = |code: &f64| {
        Ok(match view::count(*code, "coefficients")? {
            0 => Coefficient::Flat,
            number => Coefficient::Shared(number - 1),
        })
    };
    codes.iter().map(one).collect()
}

/// Of traits behind links: normal with this variance, or 0: as of others.
fn behind(x_prior: &[Coefficient], prior: &List) -> Reply<Vec<Coefficient>> {
    if view::element(prior, "x_behind")?.is_null() {
        return Ok(x_prior.to_vec());
    }
    let variances = view::numbers(prior, "x_behind")?;
    let one = |(prior, variance): (&Coefficient, &f64)| match *variance > 0.0 {
        true => Coefficient::Normal(*variance),
        false => *prior,
    };
    Ok(x_prior.iter().zip(&variances).map(one).collect())
}

/// Pairs of shape and scale; an infinite shape: the scale is the variance, which is known.
pub(crate) fn variances(prior: &List, name: &'static str) -> Reply<Vec<Variance>> {
    let one = |numbers: &[f64]| match *numbers {
        [shape, value] if shape.is_infinite() => Ok(Variance::Fixed(value)),
        [shape, scale] => Ok(InverseGamma { shape, scale }.into()),
        _ => Err(prior_shape(numbers.len())),
    };
    view::numbers(prior, name)?.chunks(2).map(one).collect()
}

/// Gamma process: nu, shape and rate of the first and of the other deltas; horseshoe: tau0, shape and scale of the deltas.
fn loadings(prior: &List) -> Reply<Loadings> {
    let numbers = view::numbers(prior, "loadings")?;
    match (view::text(prior, "kind")?.parse()?, &numbers[..]) {
        (LoadingPrior::Horseshoe, [tau0, shape, scale]) => Ok(Loadings::Horseshoe {
            tau0: *tau0,
            delta: InverseGamma {
                shape: *shape,
                scale: *scale,
            },
        }),
        (LoadingPrior::Gamma, [nu, a1, b1, a2, b2]) => Ok(Loadings::Gamma {
            nu: *nu,
            first: (*a1, *b1),
            others: (*a2, *b2),
            truncated: view::flag(prior, "truncated")?,
        }),
        _ => Err(prior_shape(numbers.len())),
    }
}

/// Covariates of the traits, the number of each column's group from 1 on, shape and scale of the variances of effects.
fn loading_means(prior: &List) -> Reply<LoadingMeans> {
    let covariates = view::owned(prior, "trait_covariates")?;
    let groups = view::indices(&view::whole(prior, "trait_groups")?, covariates.ncols(), "trait_groups")?;
    match view::numbers(prior, "trait_variance")?[..] {
        [shape, scale] => Ok(LoadingMeans {
            covariates,
            groups,
            variance: InverseGamma { shape, scale },
        }),
        ref other => Err(prior_shape(other.len())),
    }
}

fn prior_shape(found: usize) -> crate::failure::Failure {
    let why = format!("has {found} numbers, which is not what its kind takes");
    Error::Argument { what: "prior", why }.into()
}

extendr_module! {
    mod slam;
    fn ffi_slam_new;
    fn ffi_slam_run;
    fn ffi_slam_states;
    fn ffi_slam_failed;
}
