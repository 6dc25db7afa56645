//! Type 2: values of real fields, given by their modes, at points that come block by block.

use super::plan::Plan;
use super::points::{BLOCK, Points, block};
use super::{lines, spread};
use crate::runtime::error::Result;
use crate::runtime::memory::claim;
use crate::runtime::monitor::Monitor;
use crate::runtime::parallel::Workers;
use faer::c64;

/// One padded grid of values a field.
pub struct Field<'p> {
    plan: &'p Plan,
    grids: Vec<Vec<f64>>,
}

impl<'p> Field<'p> {
    /// Modes f_k of each field. Call it in a pool of threads.
    pub fn new(plan: &'p Plan, modes: &[&[c64]]) -> Result<Self> {
        plan.check_vectors("modes", modes, plan.count())?;
        plan.check_memory(modes.len())?;
        let grids = modes.iter().map(|modes| lines::synthesise(plan, modes)).collect();
        Ok(Self { plan, grids })
    }

    /// Value of each field at each point. Call it in a pool of threads.
    pub fn at(&self, points: &Points<'_>) -> Vec<Vec<f64>> {
        spread::interpolate(self.plan, points, &self.grids)
    }
}

impl Plan {
    /// Type 2 of all fields: real values at points with one coordinate slice an axis.
    pub fn type2(
        &self,
        coordinates: &[&[f64]],
        modes: &[&[c64]],
        workers: &Workers,
        monitor: &mut dyn Monitor,
    ) -> Result<Vec<Vec<f64>>> {
        let n = coordinates.first().map_or(0, |x| x.len());
        claim((n * modes.len()) as f64)?;
        self.check_vectors("a coordinate", coordinates, n)?;
        let field = workers.run(|_| Field::new(self, modes))?;
        let mut values: Vec<Vec<f64>> = modes.iter().map(|_| Vec::with_capacity(n)).collect();
        for first in (0..n.max(1)).step_by(BLOCK) {
            monitor.check()?;
            let coordinates = block(coordinates, first);
            let found = workers.run(|_| Ok(field.at(&Points::new(self, &coordinates)?)))?;
            values.iter_mut().zip(found).for_each(|(all, part)| all.extend(part));
        }
        Ok(values)
    }
}
