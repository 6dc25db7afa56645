//! Entry points of what the draws of `slamglmm_fit()` say: means and tables of covariances, statistics of any draws.

use crate::failure::Reply;
use crate::{reply, view};
use extendr_api::prelude::*;
use faer::Mat;
use fastlmm_core::runtime::memory::claim;
use fastlmm_core::runtime::parallel::Workers;
use fastlmm_core::slam::convergence::{Judge, Statistics, judge_all};
use fastlmm_core::slam::covariances::{Covariances, Kept};

/// The draws of a chain, held where R has them.
struct DrawsView {
    theta: Robj,
    sigma2: Robj,
    h: Robj,
    hf: Robj,
}

impl DrawsView {
    fn new(list: &Robj) -> Reply<Self> {
        let list = view::as_list(list, "draws")?;
        let of = |name| view::element(&list, name);
        Ok(Self {
            theta: of("theta")?,
            sigma2: of("sigma2")?,
            h: of("h")?,
            hf: of("factors_h")?,
        })
    }

    fn kept(&self) -> Reply<Kept<'_>> {
        let slice = |x| slice(x, "draws");
        Ok(Kept {
            theta: slice(&self.theta)?,
            sigma2: slice(&self.sigma2)?,
            h: slice(&self.h)?,
            hf: slice(&self.hf)?,
        })
    }
}

fn slice<'a>(x: &'a Robj, what: &'static str) -> Reply<&'a [f64]> {
    x.as_real_slice().ok_or(view::missing(what))
}

/// Work on the covariances that some draws imply.
fn with_covariances<T>(
    draws: &List,
    model: &List,
    work: impl FnOnce(&Covariances<'_>, &Workers) -> Reply<T>,
) -> Reply<T> {
    let chains = draws
        .values()
        .map(|chain| DrawsView::new(&chain))
        .collect::<Reply<Vec<DrawsView>>>()?;
    let kept = chains.iter().map(DrawsView::kept).collect::<Reply<Vec<Kept<'_>>>>()?;
    let count = |name| view::count_of(model, name);
    let sd = view::numbers(model, "sd")?;
    let (what, correlation) = (
        view::text(model, "covariance")?.parse()?,
        view::flag(model, "correlation")?,
    );
    let covariances = Covariances::new(&kept, count("b")?, count("k")?, &sd, what, correlation)?;
    work(&covariances, &Workers::new(count("threads")?)?)
}

/// Means over all draws of a covariance or correlation of some traits.
/// @noRd
#[extendr]
fn ffi_slam_means(draws: List, model: List, traits: &[i32]) -> Reply<RMatrix<f64>> {
    let p = view::numbers(&model, "sd")?.len();
    let traits = view::indices(traits, p, "traits")?;
    with_covariances(&draws, &model, |covariances, workers| {
        let lower = covariances.means(&traits, workers)?;
        let entry = |i: usize, j: usize| lower[(i.max(j), i.min(j))];
        claim((traits.len() * traits.len()) as f64)?;
        Ok(reply::columns(&Mat::from_fn(traits.len(), traits.len(), entry)))
    })
}

/// Statistics of a covariance or correlation of pairs of traits.
/// @noRd
#[extendr]
fn ffi_slam_pairs(draws: List, model: List, first: &[i32], second: &[i32], scores: &[f64], level: f64) -> Reply<List> {
    let p = view::numbers(&model, "sd")?.len();
    let (first, second) = (view::indices(first, p, "traits")?, view::indices(second, p, "traits")?);
    view::same_length("pairs", second.len(), first.len())?;
    let pairs: Vec<(usize, usize)> = first.into_iter().zip(second).collect();
    let chains = draws.len();
    with_covariances(&draws, &model, |covariances, workers| {
        view::same_length("scores", scores.len(), halves(covariances.draws(), chains))?;
        let judge = Judge::new(chains, scores, level);
        Ok(table(&covariances.table(&pairs, &judge, workers)?))
    })
}

/// Statistics of each column, draws of all chains one after the other.
/// @noRd
#[extendr]
fn ffi_slam_judge(draws: RMatrix<f64>, chains: i32, scores: &[f64], level: f64, threads: i32) -> Reply<List> {
    let chains = view::count(chains, "chains")?;
    view::same_length("scores", scores.len(), halves(draws.nrows(), chains))?;
    let columns: Vec<&[f64]> = draws.data().chunks(draws.nrows().max(1)).collect();
    let workers = Workers::new(view::count(threads, "threads")?)?;
    Ok(table(&judge_all(
        &columns,
        &Judge::new(chains, scores, level),
        &workers,
    )?))
}

/// Scores of all ranks, in steps of a half, of the draws that are in halves of chains.
fn halves(draws: usize, chains: usize) -> usize {
    let ranked = draws / chains.max(1) / 2 * 2 * chains;
    (2 * ranked).saturating_sub(1)
}

fn table(found: &[Statistics]) -> List {
    let of = |pick: fn(&Statistics) -> f64| found.iter().map(pick).collect::<Vec<f64>>();
    list!(
        mean = of(|s| s.mean),
        sd = of(|s| s.sd),
        low = of(|s| s.low),
        high = of(|s| s.high),
        rhat = of(|s| s.rhat),
        ess_bulk = of(|s| s.bulk),
        ess_tail = of(|s| s.tail)
    )
}

extendr_module! {
    mod slam_summaries;
    fn ffi_slam_means;
    fn ffi_slam_pairs;
    fn ffi_slam_judge;
}
