//! Type 1: Fourier sums of data that come block by block. Sums of parts of the data add up.

use super::plan::Plan;
use super::points::{BLOCK, Points, block};
use super::{lines, spread};
use crate::runtime::error::{Error, Result};
use crate::runtime::monitor::Monitor;
use crate::runtime::parallel::Workers;
use faer::c64;

/// One padded grid a vector; the Fourier transform waits until the data have ended.
pub struct Type1<'p> {
    plan: &'p Plan,
    grids: Vec<Vec<f64>>,
}

impl<'p> Type1<'p> {
    /// Sums of so many vectors.
    pub fn new(plan: &'p Plan, vectors: usize) -> Result<Self> {
        plan.check_memory(vectors)?;
        let grids = (0..vectors).map(|_| vec![0.0; plan.entries()]).collect();
        Ok(Self { plan, grids })
    }

    /// Adds a block of points with one strength a point and vector. Call it in a pool of threads.
    pub fn add(&mut self, points: &Points<'_>, strengths: &[&[f64]]) -> Result<()> {
        self.check_count(strengths.len())?;
        self.plan.check_vectors("strengths", strengths, points.len())?;
        spread::spread(self.plan, points, strengths, &mut self.grids);
        Ok(())
    }

    fn check_count(&self, found: usize) -> Result<()> {
        match self.grids.len() {
            expected if expected == found => Ok(()),
            expected => Err(Error::Shape {
                what: "vectors of strengths",
                found,
                expected,
            }),
        }
    }

    /// F_k of each vector. Call it in a pool of threads.
    pub fn modes(&self) -> Vec<Vec<c64>> {
        self.grids.iter().map(|grid| lines::analyse(self.plan, grid)).collect()
    }
}

impl Plan {
    /// Type 1 of all vectors of strengths: real sums F_k over points with one coordinate slice an axis.
    pub fn type1(
        &self,
        coordinates: &[&[f64]],
        strengths: &[&[f64]],
        workers: &Workers,
        monitor: &mut dyn Monitor,
    ) -> Result<Vec<Vec<c64>>> {
        let n = coordinates.first().map_or(0, |x| x.len());
        self.check_vectors("a coordinate", coordinates, n)?;
        self.check_vectors("strengths", strengths, n)?;
        let mut sums = Type1::new(self, strengths.len())?;
        for first in (0..n.max(1)).step_by(BLOCK) {
            monitor.check()?;
            let (coordinates, strengths) = (block(coordinates, first), block(strengths, first));
            workers.run(|_| sums.add(&Points::new(self, &coordinates)?, &strengths))?;
        }
        monitor.check()?;
        Ok(workers.run(|_| sums.modes()))
    }
}
