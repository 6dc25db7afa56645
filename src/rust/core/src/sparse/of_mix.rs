//! Several effects of independent levels, one variance each, as a model of levels: effects of the same levels are independent terms of one effect.

use super::estimates::{SparseFit, SparseOptimum};
use super::fit::fit_if;
use super::{Precision, SparseEffect, SparseModel};
use crate::kernel::Kernel;
use crate::likelihood::Method;
use crate::mix::MixModel;
use crate::mix::conditional::Conditional;
use crate::mix::fit::{ComponentErrors, Components, MixFit};
use crate::runtime::error::Result;
use crate::runtime::monitor::Monitor;

/// Where each effect is: effect and term of the model of levels.
type Places = Vec<(usize, usize)>;

/// The model of levels; `None` where an effect has a kernel.
fn of_levels<'a>(model: &MixModel<'a>) -> Option<(SparseModel<'a>, Places)> {
    let (mut effects, mut places): (Vec<SparseEffect<'a>>, Places) = (vec![], vec![]);
    for effect in &model.effects {
        if !matches!(effect.kernel, Kernel::Identity) {
            return None;
        }
        let same = |other: &SparseEffect<'_>| other.levels == effect.index.len() && other.group == effect.group;
        let at = effects.iter().position(same).unwrap_or(effects.len());
        if at == effects.len() {
            effects.push(SparseEffect {
                label: effect.label,
                terms: vec![],
                group: effect.group,
                levels: effect.index.len(),
                correlated: false,
                precision: Precision::Identity,
            });
        }
        places.push((at, effects[at].terms.len()));
        effects[at].terms.push(effect.z);
    }
    let MixModel { y, x, weights, .. } = *model;
    Some((SparseModel { y, x, weights, effects }, places))
}

/// The fit of several effects of independent levels. `None` where this is not the way: an effect has a kernel, variances cannot be told apart, or the residual's tends to zero.
pub fn fit_mix(
    model: &MixModel<'_>,
    method: Method,
    threads: usize,
    monitor: &mut dyn Monitor,
) -> Result<Option<MixFit>> {
    let Some((levels, places)) = of_levels(model) else {
        return Ok(None);
    };
    let found = fit_if(&levels, method, threads, monitor, |problem| problem.is_identified())?;
    Ok(found.map(|found| described(found, &places)))
}

fn described(found: SparseFit, places: &Places) -> MixFit {
    let best = components(&found.best, places);
    MixFit {
        errors: errors(&found, &best, places),
        alpha: places.iter().map(|&place| term_values(&found, place)).collect(),
        conditional: conditional(&found, places),
        locals: found.locals.iter().map(|l| components(l, places)).collect(),
        grid: found.grid.iter().map(|g| components(g, places)).collect(),
        // in the logarithm of a variance, which is twice that of T
        slope: 0.5 * found.slope,
        dropped: 0,
        fixed: found.fixed,
        beta: found.beta,
        vcov: found.vcov,
        kept: found.kept,
        best,
    }
}

fn components(at: &SparseOptimum, places: &Places) -> Components {
    let variance = |&(r, a): &(usize, usize)| at.sigma2_e * at.factors[r][(a, a)].powi(2);
    Components {
        sigma2: places.iter().map(variance).collect(),
        sigma2_e: at.sigma2_e,
        log_lik: at.log_lik,
    }
}

fn term_values(found: &SparseFit, (r, a): (usize, usize)) -> Vec<f64> {
    let l = found.best.factors[r].nrows();
    found.effects[r].iter().skip(a).step_by(l).copied().collect()
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

/// By the delta method: `log sigma2_k = log s2 + 2 log T_k`.
fn errors(found: &SparseFit, best: &Components, places: &Places) -> ComponentErrors {
    let last = found.free.len();
    // slope of the logarithm of variance k, the residual's last, in parameter i
    let log_slope = |k: usize, i: usize| match (places.get(k), found.free.get(i)) {
        (_, None) => 1.0,
        (Some(&(r, a)), Some(&entry)) if entry == (r, a, a) => 2.0 / found.best.factors[r][(a, a)],
        _ => 0.0,
    };
    let error = |slope: &dyn Fn(usize) -> f64| {
        let s: Vec<f64> = (0..=last).map(slope).collect();
        let row = |(row, s_i): (&Vec<f64>, &f64)| s_i * row.iter().zip(&s).map(|(v, s_j)| v * s_j).sum::<f64>();
        let variance: f64 = found.theta_vcov.iter().zip(&s).map(row).sum();
        if found.theta_vcov.is_empty() {
            f64::NAN
        } else {
            variance.sqrt()
        }
    };
    let value = best.variances();
    let (count, total) = (places.len(), value.iter().sum::<f64>());
    let known = |k: usize, slope: &dyn Fn(usize) -> f64| if value[k] > 0.0 { error(slope) } else { f64::NAN };
    let mean_slope = |i: usize| (0..=count).map(|l| value[l] / total * log_slope(l, i)).sum::<f64>();
    let sigma2 = |k: usize| known(k, &|i| value[k] * log_slope(k, i));
    let h2 = |k: usize| known(k, &|i| value[k] / total * (log_slope(k, i) - mean_slope(i)));
    let delta = |k: usize| {
        known(k, &|i| {
            value[count] / value[k] * (log_slope(count, i) - log_slope(k, i))
        })
    };
    ComponentErrors {
        sigma2: (0..count).map(sigma2).collect(),
        sigma2_e: sigma2(count),
        h2: (0..count).map(h2).collect(),
        delta: (0..count).map(delta).collect(),
    }
}
