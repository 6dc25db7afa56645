//! A model with several effects in its coordinates and in units of order one.

use super::MixModel;
use super::coordinates::Coordinates;
use super::covariance::MarginalCovariance;
use super::covariance_term::CovarianceTerm;
use super::dense::DenseCovariance;
use super::likelihood::MixProblem;
use super::search::FEW;
use super::spectral::{self, Spectral};
use crate::likelihood::Method;
use crate::linalg::decomposition::claim_eigen;
use crate::linalg::{norm, power_of_two};
use crate::rotation::fixed_qr::Design;
use crate::rotation::response::{Centred, Length};
use crate::runtime::error::{Error, Result};
use crate::runtime::memory::claim;
use crate::runtime::work::{Work, count};
use faer::{Mat, Par};
use std::sync::Arc;

/// A model in its coordinates, and the way back to the user's units.
pub struct Setup {
    /// From rows to the coordinates of the contrasts and of X, and back.
    pub coordinates: Coordinates,
    /// The likelihood in coordinates and scaled variances theta.
    pub problem: MixProblem,
    /// Power of two that the response is divided by.
    pub y_scale: f64,
    /// What was taken off the response along the basis of span(X), in that scale.
    pub taken_off: Vec<f64>,
    /// sigma2_k = theta_k unit_k; the residual last.
    pub unit: Vec<f64>,
    /// Mean variance that one unit of theta gives a contrast.
    pub size: Vec<f64>,
    /// Is V22 a matrix?
    pub is_plain: bool,
    /// What -2 log L has beyond the deviance of the problem.
    pub constant: f64,
}

/// How V22 is held.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Representation {
    /// In the form that costs least for a search.
    Search,
    /// As a matrix, which needs no residual variance: the other forms divide by the sum of the residual and of one effect alone.
    Plain,
    /// For one set of variances: a matrix where a search would look for the spectrum of one of the effects.
    Once,
}

impl Setup {
    /// For a search with a residual variance.
    pub fn new(model: &MixModel<'_>, method: Method, par: Par) -> Result<Self> {
        Self::build(model, method, Representation::Search, par)
    }

    /// For any variances.
    pub fn plain(model: &MixModel<'_>, method: Method, par: Par) -> Result<Self> {
        Self::build(model, method, Representation::Plain, par)
    }

    /// For these variances.
    pub fn once(model: &MixModel<'_>, method: Method, sigma2: &[f64], par: Par) -> Result<Self> {
        let representation = if no_residual(sigma2) {
            Representation::Plain
        } else {
            Representation::Once
        };
        Self::build(model, method, representation, par)
    }

    /// For a profile, which may lead to where the residual variance vanishes: with few rows as a matrix.
    pub fn of_profile(model: &MixModel<'_>, method: Method, sigma2: &[f64], par: Par) -> Result<Self> {
        if model.y.len() <= FEW || no_residual(sigma2) {
            return Self::plain(model, method, par);
        }
        Self::new(model, method, par)
    }

    fn build(model: &MixModel<'_>, method: Method, representation: Representation, par: Par) -> Result<Self> {
        count(Work::Decomposition);
        model
            .effects
            .iter()
            .try_for_each(|effect| effect.kernel.check_entries())?;
        let (mut coordinates, (mut terms, mut unit)) =
            Coordinates::new(model, representation == Representation::Plain, par)?;
        let (m, n, r) = (coordinates.m(), model.y.len(), coordinates.r());
        let x = coordinates.x(par);
        let mut size = rescale(&mut terms, &mut unit, model, (m, n - r), x.as_ref(), par)?;
        let covariance = covariance(&mut coordinates, terms, x, representation, par)?;
        let root: Vec<f64> = model.weights.iter().map(|w| w.sqrt()).collect();
        let centred = Centred::new(&coordinates.design, model.y, &root)?;
        let y_scale = centred.scale;
        let (along, rest) = coordinates.forward(Mat::from_fn(n, 1, |i, _| centred.y[i]), par);
        let mut problem = MixProblem {
            method,
            n_rest: n - r - covariance.contrasts(),
            covariance,
            y: along,
            r,
            rho: rest[0],
            effects: model.effects.len(),
            reached: None,
            left_out: 0,
        };
        problem.find_missed(&size, par)?;
        check_explained(&problem, &coordinates.design, &centred.y, centred.length)?;
        unit.iter_mut().for_each(|unit| *unit = y_scale / *unit * y_scale);
        unit.push(y_scale * y_scale);
        size.push(1.0);
        let mut setup = Self {
            coordinates,
            problem,
            y_scale,
            taken_off: centred.along,
            unit,
            size,
            is_plain: representation == Representation::Plain,
            constant: 0.0,
        };
        setup.constant = setup.constant(model, &setup.problem);
        Ok(setup)
    }

    /// Directions of X along which ML has no bound are left out of it.
    pub(super) fn leave_out(&mut self, model: &MixModel<'_>) {
        self.problem.leave_out();
        self.constant = self.constant(model, &self.problem);
    }

    /// What -2 log L has beyond the deviance of the problem, by either criterion.
    pub(super) fn constant(&self, model: &MixModel<'_>, problem: &MixProblem) -> f64 {
        let x = if problem.method == Method::Reml {
            self.coordinates.design.log_det()
        } else {
            0.0
        };
        let weights: f64 = model.weights.iter().map(|w| w.ln()).sum();
        2.0 * problem.n() as f64 * self.y_scale.ln() + x - weights
    }
}

fn no_residual(sigma2: &[f64]) -> bool {
    sigma2.last().is_some_and(|residual| *residual <= 0.0)
}

/// Divide the covariances by powers of two so that the variance of a contrast is of order one, and say what it is then.
fn rescale(
    terms: &mut [CovarianceTerm],
    unit: &mut [f64],
    model: &MixModel<'_>,
    (m, contrasts): (usize, usize),
    x: Option<&Mat<f64>>,
    par: Par,
) -> Result<Vec<f64>> {
    let mut size = vec![];
    for ((term, unit), effect) in terms.iter_mut().zip(unit).zip(&model.effects) {
        let along_x = x.map_or(0.0, |x| {
            (x.transpose() * term.apply(x.as_ref(), par))
                .diagonal()
                .column_vector()
                .sum()
        });
        let (of_contrasts, all) = (term.trace(m) - along_x, term.trace(term.rows()));
        if of_contrasts <= 10.0 * f64::EPSILON * term.rows() as f64 * all {
            return Err(Error::Vanishes {
                label: effect.label.to_owned(),
            });
        }
        let mean = of_contrasts / contrasts as f64;
        // a power of four, whose root is exact too
        let scale = power_of_two(mean.sqrt()).powi(2);
        term.divide(scale);
        *unit *= scale;
        size.push(mean / scale);
    }
    Ok(size)
}

/// The form of V22 that costs least; it may turn the coordinates.
fn covariance(
    coordinates: &mut Coordinates,
    terms: Vec<CovarianceTerm>,
    x: Option<Mat<f64>>,
    representation: Representation,
    par: Par,
) -> Result<Arc<dyn MarginalCovariance>> {
    if let Some(x) = x {
        return Ok(Arc::new(Spectral::grouped(terms, x)));
    }
    let m = coordinates.m();
    // the effects in one basis: their sum, its eigenvectors, and what is turned; or all as matrices, V, its inverse and products with it
    let square = (m as f64).powi(2);
    if representation == Representation::Search {
        claim(5.0 * square)?;
        claim_eigen(m, par)?;
    }
    let turned = match representation {
        Representation::Search => spectral::choose(&terms, m, par),
        Representation::Plain | Representation::Once => None,
    };
    if let Some((spectral, u)) = turned {
        coordinates.turn(u, par);
        return Ok(Arc::new(spectral));
    }
    claim((2 * terms.len() + 3) as f64 * square)?;
    Ok(Arc::new(DenseCovariance::new(
        terms.into_iter().map(|p| p.into_full(par)).collect(),
        m,
    )))
}

/// A likelihood without bound has no estimates.
fn check_explained(problem: &MixProblem, design: &Design, y: &[f64], length: Length) -> Result<()> {
    let mut turned = y.to_vec();
    design.q.transpose_apply(&mut turned);
    let by = |by| Err(Error::Explained { by });
    if norm(&turned[design.rank()..]) <= length.of_given() {
        return by("the fixed effects");
    }
    if problem.n_rest > 0 && problem.rho <= length.of_rotation(y.len()).powi(2) {
        return by("the random effects");
    }
    Ok(())
}
