//! Entry points of several random effects in `slamglmm_fit()`: bases of the rays of their shares, and what the draws say of them.

use crate::console::Console;
use crate::failure::Reply;
use crate::model::ModelView;
use crate::{reply, view};
use extendr_api::prelude::*;
use faer::Mat;
use fastlmm_core::runtime::memory::claim;
use fastlmm_core::runtime::monitor::Monitor;
use fastlmm_core::runtime::parallel::Workers;
use fastlmm_core::slam::ray_effects::{Drawn, effect_means, times_power};
use fastlmm_core::slam::{FactorModel, Ray, Sampler, covariance_of_rows};
use std::sync::Arc;

pub type Rays = Vec<Arc<Ray>>;

/// Bases of the rays: a row of `shares` each, a column an effect; covariances of the effects over `units`. `X` and `XF` in rows.
/// @noRd
#[extendr]
fn ffi_slam_rays(
    model: List,
    shares: RMatrix<f64>,
    units: &[f64],
    X: RMatrix<f64>,
    XF: RMatrix<f64>,
) -> Reply<ExternalPtr<Rays>> {
    let model = ModelView::new(&model)?;
    let effects = model.all_effects()?;
    view::same_length("shares", shares.ncols(), effects.len())?;
    view::same_length("units", units.len(), effects.len())?;
    view::same_length("X", X.nrows(), model.n())?;
    view::same_length("XF", XF.nrows(), model.n())?;
    let square = (model.n() as f64).powi(2);
    claim((shares.nrows() + 2 * effects.len() + 4) as f64 * square)?;
    let covariances: Vec<Mat<f64>> = (effects.iter().zip(units))
        .map(|(effect, unit)| covariance_of_rows(effect.kernel, effect.index, effect.group, effect.z, *unit))
        .collect();
    let (shares, x, xf) = (view::matrix(&shares), view::matrix(&X), view::matrix(&XF));
    let workers = Workers::new(1)?;
    let ray = |at: usize| {
        Console.check()?;
        let own = shares.row(at).iter().copied().collect();
        Ok(Arc::new(workers.run(|_| Ray::new(own, &covariances, x, xf))?))
    };
    let rays = (0..shares.nrows()).map(ray).collect::<Reply<Rays>>()?;
    Ok(ExternalPtr::new(rays))
}

/// Means over the draws of `h_r V^-1` of what is left, of each effect r: rows x responses.
/// @noRd
#[extendr]
fn ffi_slam_effect_means(sampler: ExternalPtr<Sampler>, draws: List, threads: i32) -> Reply<List> {
    let chains: Vec<EffectDrawsView> = draws
        .values()
        .map(|chain| EffectDrawsView::new(&chain))
        .collect::<Reply<_>>()?;
    let drawn: Vec<Drawn<'_>> = chains.iter().map(EffectDrawsView::drawn).collect::<Reply<_>>()?;
    drawn.iter().try_for_each(|drawn| check_drawn(sampler.model(), drawn))?;
    let workers = Workers::new(view::count(threads, "threads")?)?;
    let means = effect_means(sampler.model(), &drawn, &workers)?;
    Ok(List::from_values(means.iter().map(reply::columns)))
}

/// Draws of a chain may have been changed since they were made.
fn check_drawn(model: &FactorModel, drawn: &Drawn<'_>) -> Reply<()> {
    let (p, k, data) = (model.p(), model.k, &model.data);
    let draws = drawn.point.len() / p;
    let cells: usize = data.missing.iter().map(Vec::len).sum();
    view::same_length("point", drawn.point.len(), draws * p)?;
    view::same_length("theta", drawn.theta.len(), draws * model.c() * p)?;
    view::same_length("factors", drawn.f.len(), draws * model.n() * k)?;
    view::same_length("factors_b", drawn.bf.len(), draws * data.xf.ncols() * k)?;
    view::same_length("factors_point", drawn.factors_point.len(), draws * k)?;
    view::same_length("cells", drawn.cells.len(), draws * cells)?;
    view::same_length("cis", drawn.cis.len(), draws * model.cis.x.ncols())?;
    let bound = model.proportions.h.len();
    let number = |g: f64| if g.is_nan() { 0 } else { g as i32 + 1 };
    let mut points = drawn.point.iter().chain(drawn.factors_point);
    points.try_for_each(|&g| view::index(number(g), bound, "points").map(drop))
}

/// A power of V, at the point of each column, times the columns.
/// @noRd
#[extendr]
fn ffi_slam_power(sampler: ExternalPtr<Sampler>, A: RMatrix<f64>, points: &[f64], power: &str) -> Reply<RMatrix<f64>> {
    let model = sampler.model();
    view::same_length("A", A.nrows(), model.n())?;
    view::same_length("points", points.len(), A.ncols())?;
    claim(4.0 * A.data().len() as f64)?;
    let bound = model.proportions.h.len();
    let point = |g: &f64| view::index(*g as i32 + 1, bound, "points");
    let points = points.iter().map(point).collect::<Reply<Vec<usize>>>()?;
    let (a, power) = (view::matrix(&A), power.parse()?);
    let turned = Workers::new(1)?.run(|_| times_power(model, a, &points, power));
    Ok(reply::columns(&turned))
}

/// Draws of a chain, held where R has them.
struct EffectDrawsView([Robj; 6], Robj);

impl EffectDrawsView {
    fn new(list: &Robj) -> Reply<Self> {
        let list = view::as_list(list, "draws")?;
        let of = |name| view::element(&list, name);
        let each = [
            of("theta")?,
            of("factors")?,
            of("factors_b")?,
            of("point")?,
            of("factors_point")?,
            of("cells")?,
        ];
        Ok(Self(each, of("cis")?))
    }

    fn drawn(&self) -> Reply<Drawn<'_>> {
        let [theta, f, bf, point, factors_point, cells] = self
            .0
            .each_ref()
            .map(|x| x.as_real_slice().ok_or(view::missing("draws")));
        Ok(Drawn {
            theta: theta?,
            f: f?,
            bf: bf?,
            point: point?,
            factors_point: factors_point?,
            cells: cells?,
            // only draws of a fit with such columns have them
            cis: self.1.as_real_slice().unwrap_or_default(),
        })
    }
}

extendr_module! {
    mod slam_rays;
    fn ffi_slam_rays;
    fn ffi_slam_effect_means;
    fn ffi_slam_power;
}
