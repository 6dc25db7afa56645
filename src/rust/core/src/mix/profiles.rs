//! What the profiles of all parameters share.

use super::MixModel;
use super::fit::Setup;
use super::likelihood::{Derivatives, MixProblem};
use super::newton::SETTLED;
use super::search::{VarianceOptimum, VarianceSearch};
use crate::likelihood::Method;
use crate::runtime::error::{Error, Result};
use crate::runtime::monitor::Monitor;
use crate::runtime::parallel::Workers;
use std::cell::RefCell;

/// An optimum, and the derivatives there.
#[derive(Clone)]
pub(super) struct OptimumExpansion {
    pub local: VarianceOptimum,
    pub derivatives: Derivatives,
}

/// The model in its coordinates, and the optimum of each criterion once it has been asked for.
pub struct Profiles<'a> {
    model: MixModel<'a>,
    method: Method,
    pub(super) setup: Setup,
    /// The likelihood of a fixed effect, and the constant that belongs to it.
    pub(super) ml: (MixProblem, f64),
    known: Vec<f64>,
    pub(super) workers: &'a Workers,
    monitor: RefCell<&'a mut dyn Monitor>,
    own: Option<OptimumExpansion>,
    pub(super) of_ml: Option<OptimumExpansion>,
}

impl<'a> Profiles<'a> {
    /// `known`: variances of the fit, the residual's last; empty if there is none.
    pub fn new(
        model: &MixModel<'a>,
        method: Method,
        known: &[f64],
        workers: &'a Workers,
        monitor: &'a mut dyn Monitor,
    ) -> Result<Self> {
        let setup = workers.run(|par| Setup::of_profile(model, method, known, par))?;
        Ok(Self {
            model: model.clone(),
            method,
            known: setup.theta(known),
            ml: by_ml_of(&setup, model),
            setup,
            workers,
            monitor: RefCell::new(monitor),
            own: None,
            of_ml: None,
        })
    }

    pub(super) fn make_plain(&mut self) -> Result<()> {
        let plain = self.workers.run(|par| Setup::plain(&self.model, self.method, par))?;
        let moved = |theta: &Vec<f64>| {
            theta
                .iter()
                .zip(&self.setup.unit)
                .map(|(t, unit)| t * unit)
                .collect::<Vec<f64>>()
        };
        self.known = plain.theta(&moved(&self.known));
        (self.own, self.of_ml) = (None, None);
        self.ml = by_ml_of(&plain, &self.model);
        self.setup = plain;
        Ok(())
    }

    pub(super) fn optimum(&mut self, by_ml: bool) -> Result<OptimumExpansion> {
        let stored = if by_ml { &self.of_ml } else { &self.own };
        if let Some(known) = stored {
            return Ok(known.clone());
        }
        let best = match self.found(by_ml)? {
            Some(best) => best,
            None => {
                self.leave_out(by_ml)?;
                self.found(by_ml)?.ok_or(Error::MlUnbounded)?
            }
        };
        *(if by_ml { &mut self.of_ml } else { &mut self.own }) = Some(best.clone());
        Ok(best)
    }

    /// The optimum; none where ML has none inside.
    fn found(&self, by_ml: bool) -> Result<Option<OptimumExpansion>> {
        let search = self.search(if by_ml { &self.ml.0 } else { &self.setup.problem });
        if by_ml || self.known.is_empty() {
            let best = search.run(&self.known)?.locals.into_iter().next();
            return best.map(|local| self.described(&search, local)).transpose();
        }
        if let Some(near) = search.near(self.known.clone(), SETTLED)?
            && !search.runs_away(&near.local)?
        {
            let (local, derivatives) = (near.local, near.derivatives);
            return Ok(Some(OptimumExpansion { local, derivatives }));
        }
        let local = match search.descend(&self.known) {
            Err(Error::NoConvergence { .. }) if search.problem.missed() > 0 => return Ok(None),
            found => found?,
        };
        if search.runs_away(&local)? {
            return Ok(None);
        }
        self.described(&search, local).map(Some)
    }

    pub(super) fn described(&self, search: &VarianceSearch<'_>, local: VarianceOptimum) -> Result<OptimumExpansion> {
        let singular = Error::NoConvergence {
            what: "the fit at its optimum",
            iterations: 0,
        };
        let derivatives = search.derivatives(&search.point(&local.theta)?.ok_or(singular)?);
        Ok(OptimumExpansion { local, derivatives })
    }

    fn leave_out(&mut self, by_ml: bool) -> Result<()> {
        let problem = if by_ml { &self.ml.0 } else { &self.setup.problem };
        if problem.missed() == 0 {
            return Err(Error::NoConvergence {
                what: "the search for the variances",
                iterations: 0,
            });
        }
        if by_ml {
            self.ml.0.leave_out();
            self.ml.1 = self.setup.constant(&self.model, &self.ml.0);
        } else {
            self.setup.leave_out(&self.model);
            self.ml = by_ml_of(&self.setup, &self.model);
        }
        Ok(())
    }

    pub(super) fn search<'s>(&'s self, problem: &'s MixProblem) -> VarianceSearch<'s> {
        VarianceSearch {
            problem,
            workers: self.workers,
            monitor: RefCell::new(Box::new(&self.monitor)),
            size: self.setup.size.clone(),
            free: vec![true; self.setup.size.len()],
            tie: None,
            coefficient: None,
        }
    }
}

/// The problem by ML, and the constant that belongs to it.
fn by_ml_of(setup: &Setup, model: &MixModel<'_>) -> (MixProblem, f64) {
    let ml = MixProblem {
        method: Method::Ml,
        ..setup.problem.clone()
    };
    let constant = setup.constant(model, &ml);
    (ml, constant)
}
