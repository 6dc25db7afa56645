//! What is read of the profile of one parameter; where the profile comes upon a better optimum than its own, that is told, or it starts anew from there.

use super::profile::{MixParameter, MixProfile};
use super::profiles::Profiles;
use crate::likelihood::Method;
use crate::runtime::error::{Error, Result};

impl<'a> Profiles<'a> {
    /// What `read` makes of the profile of one parameter, and variances, the residual's last, at which the profile found the likelihood of the fit to be larger
    /// than at the optimum that it started from. A fixed effect of a REML fit is profiled by ML, which says nothing about the fit: there it starts anew.
    pub fn read<T>(
        &mut self,
        parameter: MixParameter,
        read: impl Fn(&MixProfile<'_, 'a>) -> Result<T>,
    ) -> Result<(T, Option<Vec<f64>>)> {
        let by_ml = matches!(parameter, MixParameter::Beta(_)) && self.setup.problem.method == Method::Reml;
        loop {
            let best = self.optimum(by_ml)?;
            let profile = MixProfile::new(self, parameter, best)?;
            let found = match read(&profile) {
                // where the residual variance vanishes only the plain form can be trusted
                Err(Error::NoConvergence { .. }) if !self.setup.is_plain => {
                    self.make_plain()?;
                    continue;
                }
                found => found?,
            };
            let Some(better) = profile.better.into_inner() else {
                return Ok((found, None));
            };
            if !by_ml {
                let variance = |(t, unit): (&f64, &f64)| t * unit;
                return Ok((
                    found,
                    Some(better.theta.iter().zip(&self.setup.unit).map(variance).collect()),
                ));
            }
            let again = {
                let search = self.search(&self.ml.0);
                self.described(&search, search.descend(&better.theta)?)?
            };
            self.of_ml = Some(again);
        }
    }
}
