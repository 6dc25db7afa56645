//! A model in its cross products, X projected to an orthonormal basis and taken off the response.

use super::SparseModel;
use super::cross_products::CrossProducts;
use super::elimination::Meetings;
use super::rest::RestPlan;
use super::units::Arrangement;
use crate::likelihood::Method;
use crate::linalg::{dot, norm};
use crate::rotation::fixed_qr::Design;
use crate::rotation::response::Centred;
use crate::runtime::error::{Error, Result};
use crate::runtime::work::{Work, count};
use faer::{Mat, Par};
use std::f64::consts::TAU;

/// All that one evaluation needs; nothing of it depends on T.
pub struct SparseProblem<'a> {
    pub(super) method: Method,
    pub(super) design: Design,
    /// Orthonormal basis of span(X) under the weights, by columns.
    pub(super) q: Vec<Vec<f64>>,
    pub(super) centred: Centred,
    pub(super) arrangement: Arrangement<'a>,
    pub(super) cross: CrossProducts,
    pub(super) meetings: Meetings,
    plan: Option<RestPlan>,
    /// log|Pen|
    log_det_pen: f64,
    /// log s2 where it is known, in units of the problem.
    pub(super) known: Option<f64>,
    /// What -2 log L has beyond the deviance in units of the problem.
    constant: f64,
}

impl<'a> SparseProblem<'a> {
    /// Checks the model, and passes over its rows once.
    pub fn new(model: &SparseModel<'a>, method: Method) -> Result<Self> {
        count(Work::Decomposition);
        let root: Vec<f64> = model.weights.iter().map(|w| w.sqrt()).collect();
        let design = Design::new(model.x, &root)?;
        let centred = Centred::new(&design, model.y, &root)?;
        check_explained(&design, &centred)?;
        let arrangement = Arrangement::new(model, &root)?;
        let q = design.q.thin();
        let cross = CrossProducts::new(&arrangement.effects, &q, &centred.y);
        let meetings = meetings(&arrangement, &cross);
        let log_weights: f64 = model.weights.iter().map(|w| w.ln()).sum();
        let mut problem = Self {
            log_det_pen: (arrangement.effects.iter())
                .map(|e| e.terms as f64 * e.penalty.log_det)
                .sum(),
            known: model.sigma2_e.map(|s2| s2.ln() - 2.0 * centred.scale.ln()),
            method,
            q,
            centred,
            arrangement,
            cross,
            meetings,
            plan: None,
            constant: 0.0,
            design,
        };
        problem.constant = 2.0 * problem.counted() * problem.centred.scale.ln() - log_weights
            + if method == Method::Reml {
                problem.design.log_det()
            } else {
                0.0
            };
        problem.plan = Some(RestPlan::new(&problem)?);
        Ok(problem)
    }

    pub(super) fn plan(&self) -> &RestPlan {
        match &self.plan {
            Some(plan) => plan,
            None => unreachable!("planned when it was made"),
        }
    }

    /// Rows.
    pub fn n(&self) -> usize {
        self.centred.y.len()
    }

    /// Rank of X.
    pub fn rank(&self) -> usize {
        self.q.len()
    }

    /// Is what block elimination leaves decomposed as a sparse matrix?
    pub fn is_sparse(&self) -> bool {
        self.plan().is_sparse()
    }

    /// N of the criterion: n - p by REML, n by ML.
    pub(super) fn counted(&self) -> f64 {
        match self.method {
            Method::Reml => (self.n() - self.rank()) as f64,
            Method::Ml => self.n() as f64,
        }
    }

    /// s2 in units of the problem: as it is known, or where the likelihood is largest.
    pub(super) fn s2(&self, r2: f64) -> f64 {
        self.known.map_or(r2 / self.counted(), f64::exp)
    }

    /// Mean square of what X leaves of the response over s2 where that is known, if it is more; nothing of effects is known where it is not.
    pub(super) fn excess(&self) -> Option<f64> {
        let known = self.known?;
        let along = |q: &Vec<f64>| dot(q, &self.centred.y).powi(2);
        let left = dot(&self.centred.y, &self.centred.y) - self.q.iter().map(along).sum::<f64>();
        Some((left / self.counted() * (-known).exp()).max(1.0))
    }

    /// Terms of the effect that is eliminated, if one is.
    pub(super) fn eliminated_terms(&self) -> Option<usize> {
        (self.arrangement.eliminated > 0).then(|| self.arrangement.effects[0].terms)
    }

    /// T = I of each effect.
    pub(super) fn units(&self) -> Vec<Mat<f64>> {
        let unit = |l: usize| Mat::identity(l, l);
        self.arrangement.effects.iter().map(|e| unit(e.terms)).collect()
    }

    /// Least over s2, in units of the problem.
    pub(super) fn profiled(&self, log_det: f64, r2: f64) -> f64 {
        let n = self.counted();
        log_det - self.log_det_pen + n * (1.0 + (TAU * r2 / n).ln())
    }

    /// Differences between deviances of this size are beyond what their sums over N rows round off, and do not lead line searches astray. Squares over a
    /// known variance are small differences where that is far below those of the effects.
    pub(super) fn told_apart(&self) -> f64 {
        const RELATIVE: f64 = 1e-12;
        let lost = 4.0 * f64::EPSILON * self.excess().unwrap_or(0.0);
        self.counted() * (RELATIVE * (1.0 + self.known.map_or(0.0, f64::abs)) + lost)
    }

    /// -2 log L of a deviance in units of the problem.
    pub(super) fn minus_twice_log_lik(&self, deviance: f64) -> f64 {
        deviance + self.constant
    }

    /// Effect here, and term, of an effect and term of the model.
    pub(super) fn place_of(&self, (number, term): (usize, usize)) -> (usize, usize) {
        let effects = &self.arrangement.effects;
        (effects.iter().position(|e| e.number == number).unwrap_or(0), term)
    }

    /// An entry of T in the user's units over that here.
    pub(super) fn unit_of(&self, (r, a, _): (usize, usize, usize)) -> f64 {
        let effect = &self.arrangement.effects[r];
        effect.penalty.root_unit / effect.unit[a]
    }

    /// T by the order of the model and in its units, in those of the problem.
    fn factors(&self, t: &[Mat<f64>]) -> Vec<Mat<f64>> {
        self.arrangement
            .effects
            .iter()
            .map(|e| e.of_units(&t[e.number]))
            .collect()
    }

    /// -2 log L at T_r, one for each effect of the model, least over beta and s2; `None` where C is not positive definite to rounding.
    pub fn deviance(&self, t: &[Mat<f64>]) -> Option<f64> {
        let point = self.point(self.factors(t), Par::Seq)?;
        Some(self.minus_twice_log_lik(point.deviance))
    }

    /// Its slopes in the entries of T_r, by effects; those of entries that are held at zero mean nothing.
    pub fn slopes(&self, t: &[Mat<f64>]) -> Option<Vec<Mat<f64>>> {
        let point = self.point(self.factors(t), Par::Seq)?;
        let mut slopes = vec![Mat::zeros(0, 0); t.len()];
        for (effect, slope) in self
            .arrangement
            .effects
            .iter()
            .zip(self.slopes_at(&point, Par::Seq).deviance)
        {
            let unit = effect.of_units(&Mat::full(effect.terms, effect.terms, 1.0));
            slopes[effect.number] = Mat::from_fn(effect.terms, effect.terms, |a, b| slope[(a, b)] * unit[(a, b)]);
        }
        Some(slopes)
    }
}

/// A response that X explains has no estimates.
fn check_explained(design: &Design, centred: &Centred) -> Result<()> {
    let mut turned = centred.y.clone();
    design.q.transpose_apply(&mut turned);
    if norm(&turned[design.rank()..]) <= centred.length.of_given() {
        let by = "the fixed effects";
        return Err(Error::Explained { by });
    }
    Ok(())
}

fn meetings(arrangement: &Arrangement<'_>, cross: &CrossProducts) -> Meetings {
    let (mut start, mut unknowns) = (vec![0], vec![]);
    let levels = if arrangement.eliminated > 0 {
        arrangement.effects[0].levels
    } else {
        0
    };
    for j in 0..levels {
        for coupling in cross.couplings(0, j) {
            let other = &arrangement.effects[coupling.effect];
            let first = other.first - arrangement.eliminated + coupling.level * other.terms;
            unknowns.extend(first..first + other.terms);
        }
        start.push(unknowns.len());
    }
    Meetings::new(start, unknowns, cross.rank)
}
