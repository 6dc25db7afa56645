//! A fit of effects of levels, in terms of the effects of a [`MixModel`].

use super::Precision;
use super::combination::Combination;
use super::estimates::{SparseFit, SparseOptimum};
use super::fit::fit_if;
use super::of_mix::{Places, TermModel};
use super::term_errors::TermErrors;
use crate::kernel::Kernel;
use crate::likelihood::Method;
use crate::linalg::product;
use crate::mix::MixModel;
use crate::mix::conditional::Conditional;
use crate::mix::fit::{Components, MixFit};
use crate::runtime::error::{Error, Result};
use crate::runtime::monitor::Monitor;
use crate::runtime::parallel::Workers;
use faer::{Mat, MatRef, Par};

/// A fit of several effects, some of which may be correlated.
pub struct TermFit {
    /// Its variances and all that goes with them.
    pub mix: MixFit,
    /// T with `s2 T T'` the covariance of all effects, over that of their levels; lower triangular unless effects are combined.
    pub relative: Mat<f64>,
    /// Standard errors of the correlations.
    pub correlation: Mat<f64>,
}

/// The fit of several effects of independent levels. `None` where this is not the way: an effect has a kernel, variances cannot be told apart, or the residual's tends to zero.
pub fn fit_mix(
    model: &MixModel<'_>,
    method: Method,
    threads: usize,
    monitor: &mut dyn Monitor,
) -> Result<Option<MixFit>> {
    if !model.effects.iter().all(|e| matches!(e.kernel, Kernel::Identity)) {
        return Ok(None);
    }
    let terms = TermModel::new(model, &[], None, Par::Seq)?;
    let (levels, places) = terms.levels();
    let found = fit_if(&levels, method, threads, monitor, |problem| problem.is_identified())?;
    Ok(found.map(|found| described(found, &terms, &Combination::new(&places, None)).mix))
}

/// The same of any effects. `blocks`: effects with the same number are correlated. `sigma2_e`: the residual variance of a row of weight 1, if it is known. `combined`: A, if variances and
/// correlations are wanted of effects `b = A c` and not of those of the model, c, of the same levels; what is of single levels stays that of c.
pub fn fit_terms(
    model: &MixModel<'_>,
    blocks: &[usize],
    sigma2_e: Option<f64>,
    combined: Option<MatRef<'_, f64>>,
    method: Method,
    threads: usize,
    monitor: &mut dyn Monitor,
) -> Result<TermFit> {
    let workers = Workers::new(threads)?;
    let terms = workers.run(|par| TermModel::new(model, blocks, sigma2_e, par))?;
    let (levels, places) = terms.levels();
    let mut vanished = None;
    let found = fit_if(&levels, method, threads, monitor, |problem| {
        vanished = problem.vanished_term();
        vanished.is_none()
    })?;
    if let Some(place) = vanished {
        let k = places.iter().position(|other| *other == place).unwrap_or(0);
        let label = model.effects[k].label.to_owned();
        return Err(Error::Vanishes { label });
    }
    let none = Error::NoConvergence {
        what: "the search for the covariances: the likelihood is flat along some of them, or rises as the residual variance tends to zero; leave terms out. It",
        iterations: 0,
    };
    Ok(described(
        found.ok_or(none)?,
        &terms,
        &Combination::new(&places, combined),
    ))
}

fn described(found: SparseFit, terms: &TermModel<'_>, effects: &Combination<'_>) -> TermFit {
    let places = effects.places;
    let best = components(&found.best, effects);
    let errors = TermErrors::new(&found, effects);
    let (of_components, correlation) = (errors.of_components(&best), errors.of_correlations());
    let mix = MixFit {
        errors: of_components,
        alpha: (0..places.len()).map(|k| alpha(&found, terms, places, k)).collect(),
        conditional: conditional(&found, places),
        locals: found.locals.iter().map(|l| components(l, effects)).collect(),
        grid: found.grid.iter().map(|g| components(g, effects)).collect(),
        // in the logarithm of a variance, which is twice that of T
        slope: 0.5 * found.slope,
        dropped: 0,
        fixed: found.fixed,
        beta: found.beta,
        vcov: found.vcov,
        kept: found.kept,
        best,
    };
    TermFit {
        mix,
        correlation,
        relative: relative(&found.best, effects),
    }
}

fn components(at: &SparseOptimum, effects: &Combination<'_>) -> Components {
    let size = |k: usize| effects.row(&at.factors, k).iter().map(|x| x * x).sum::<f64>();
    Components {
        sigma2: (0..effects.places.len()).map(|k| at.sigma2_e * size(k)).collect(),
        sigma2_e: at.sigma2_e,
        log_lik: at.log_lik,
    }
}

fn relative(at: &SparseOptimum, effects: &Combination<'_>) -> Mat<f64> {
    let places = effects.places;
    let rows: Vec<Vec<f64>> = (0..places.len()).map(|k| effects.row(&at.factors, k)).collect();
    let same = |k: usize, l: usize| places[k].0 == places[l].0;
    Mat::from_fn(places.len(), places.len(), |k, l| {
        if same(k, l) { rows[k][places[l].1] } else { 0.0 }
    })
}

/// What the kernel turns into the effects: K^-1 b, of a factor W'K^-1 b.
fn alpha(found: &SparseFit, terms: &TermModel<'_>, places: &Places, k: usize) -> Vec<f64> {
    let ((r, a), effect) = (places[k], &terms.mix.effects[k]);
    let l = found.best.factors[r].nrows();
    let b: Vec<f64> = found.effects[r].iter().skip(a).step_by(l).copied().collect();
    let inverse = match terms.precision(k) {
        Precision::Identity => return b,
        Precision::Sparse(p) => return p.transpose_times(&b),
        Precision::Dense(inverse) => inverse,
    };
    let b = Mat::from_fn(b.len(), 1, |i, _| b[i]);
    let solved = product(inverse, b.as_ref(), Par::Seq);
    let solved: Vec<f64> = (0..solved.nrows()).map(|i| solved[(i, 0)]).collect();
    effect.kernel.factor_times(effect.index, &solved).unwrap_or(solved)
}

/// Of all pairs of effects of the same levels.
fn conditional(found: &SparseFit, places: &Places) -> Vec<Conditional> {
    let mut pairs = vec![];
    for (first, &(r, a)) in places.iter().enumerate() {
        for (second, &(s, b)) in places[..=first].iter().enumerate().filter(|(_, place)| place.0 == r) {
            let l = found.best.factors[s].nrows();
            let covariance = found.conditional[r]
                .iter()
                .skip(a * l + b)
                .step_by(l * l)
                .copied()
                .collect();
            pairs.push(Conditional {
                first,
                second,
                covariance,
            });
        }
    }
    pairs
}
