//! The deviance with one parameter held, as a function of log delta.

use crate::likelihood::optimize::{DeltaGrid, Objective, grid_points};
use crate::likelihood::{Criterion, Terms, proportions};
use crate::linalg::weighted;
use crate::linalg::{Scalar, axpy, dot};
use num_dual::{Dual2_64, Dual64};

/// The parameter that is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parameter {
    /// sigma2_e / sigma2, held by its logarithm.
    Delta,
    /// sigma2 / (sigma2 + sigma2_e), held by the logarithm of delta.
    H2,
    /// Standard deviation of the random effect.
    SigmaU,
    /// Standard deviation of the residual.
    SigmaE,
    /// Coefficient of a kept column of X.
    Beta(usize),
}

/// What the profile of any parameter is made of at one (h, g).
#[derive(Debug, Clone, Copy)]
pub struct Ingredients<D> {
    pub terms: Terms<D>,
    pub log_h: D,
    pub log_g: D,
    pub beta: D,
    /// Var(beta) / tau2
    pub variance: D,
}

pub fn ingredients<D: Scalar>(criterion: &Criterion<'_>, parameter: Parameter, h: D, g: D) -> Ingredients<D> {
    let mut part = Ingredients {
        terms: criterion.terms(h, g),
        log_h: h.ln(),
        log_g: g.ln(),
        beta: D::from(0.0),
        variance: D::from(0.0),
    };
    if let Parameter::Beta(j) = parameter {
        let inverse = criterion.inverse(h, g);
        let row = &criterion.data.basis[j];
        part.beta = criterion.beta(row, h, &inverse);
        part.variance = variance_along(criterion, row, h, g, &inverse);
    }
    part
}

/// row' S row
fn variance_along<D: Scalar>(criterion: &Criterion<'_>, row: &[f64], h: D, g: D, inverse: &[D]) -> D {
    let data = criterion.data;
    let k: f64 = row.iter().zip(&data.k11).map(|(a, k)| a * dot(k, row)).sum();
    let mut cross = vec![0.0; data.values.len()];
    row.iter().zip(&data.b).for_each(|(a, b)| axpy(*a, b, &mut cross));
    h * k + g * dot(row, row) - h * h * weighted(&cross, &cross, inverse)
}

/// Deviance at one delta with the parameter held at `theta`, or free.
pub fn combine<D: Scalar>(
    criterion: &Criterion<'_>,
    parameter: Parameter,
    part: &Ingredients<D>,
    theta: Option<f64>,
) -> D {
    let n = criterion.n() as f64;
    let Terms { q, log_det } = part.terms;
    let scale_free = |q: D| (q / n).ln() * n + log_det + (n + criterion.constant());
    let scale_held = |log_tau2: D| log_tau2 * n + log_det + q * (-log_tau2).exp() + criterion.constant();
    match (parameter, theta) {
        (Parameter::SigmaU, Some(theta)) => scale_held(-part.log_h + theta),
        (Parameter::SigmaE, Some(theta)) => scale_held(-part.log_g + theta),
        (Parameter::Beta(_), Some(theta)) => scale_free(q + (part.beta - theta).powi(2) / part.variance),
        _ => scale_free(q),
    }
}

/// Terms of the likelihood on the grid of log delta and in its limits: they depend on no held value and are computed once.
pub struct LikelihoodTable<'a> {
    pub criterion: Criterion<'a>,
    pub parameter: Parameter,
    pub at: Vec<f64>,
    pub terms: Vec<Ingredients<Dual64>>,
    /// In the limits delta -> 0 (if that limit is finite) and delta -> infinity.
    pub lower: Option<Ingredients<f64>>,
    pub upper: Ingredients<f64>,
}

impl<'a> LikelihoodTable<'a> {
    pub fn new(criterion: Criterion<'a>, parameter: Parameter) -> Self {
        let at = grid_points(criterion.data);
        let dual = |t: &f64| {
            let (h, g) = proportions(Dual64::from(*t).derivative());
            ingredients(&criterion, parameter, h, g)
        };
        Self {
            criterion,
            parameter,
            terms: at.iter().map(dual).collect(),
            lower: criterion
                .is_bounded()
                .then(|| ingredients(&criterion, parameter, 1.0, 0.0)),
            upper: ingredients(&criterion, parameter, 0.0, 1.0),
            at,
        }
    }
}

/// The deviance as a function of log delta, with the parameter held.
pub struct Constrained<'p, 'a> {
    pub table: &'p LikelihoodTable<'a>,
    pub theta: Option<f64>,
}

impl Constrained<'_, '_> {
    fn evaluate<D: Scalar>(&self, at: D) -> D {
        let (h, g) = proportions(at);
        let LikelihoodTable {
            criterion, parameter, ..
        } = self.table;
        combine(
            criterion,
            *parameter,
            &ingredients(criterion, *parameter, h, g),
            self.theta,
        )
    }

    pub fn grid(&self) -> DeltaGrid {
        let LikelihoodTable {
            criterion,
            parameter,
            at,
            terms,
            lower,
            upper,
        } = self.table;
        let dual: Vec<Dual64> = terms
            .iter()
            .map(|part| combine(criterion, *parameter, part, self.theta))
            .collect();
        let end = |part: &Ingredients<f64>| combine(criterion, *parameter, part, self.theta);
        let usable = |value: f64| if value.is_finite() { value } else { f64::INFINITY };
        DeltaGrid {
            at: at.clone(),
            value: dual.iter().map(|d| d.re).collect(),
            slope: dual.iter().map(|d| d.eps).collect(),
            lower: lower.as_ref().map_or(f64::INFINITY, |part| usable(end(part))),
            upper: usable(end(upper)),
            floored: false,
        }
    }
}

impl Objective for Constrained<'_, '_> {
    fn dual(&self, at: Dual64) -> Dual64 {
        self.evaluate(at)
    }

    fn dual2(&self, at: Dual2_64) -> Dual2_64 {
        self.evaluate(at)
    }

    fn value(&self, at: f64) -> f64 {
        self.evaluate(at)
    }
}
