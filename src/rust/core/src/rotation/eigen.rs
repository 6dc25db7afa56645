//! The spectrum of a kernel by itself, for those who use it in many fits.

use super::projection::Projection;
use super::{Model, NullModel};
use crate::runtime::error::Result;
use crate::runtime::memory::claim;
use crate::runtime::monitor::Monitor;
use crate::runtime::parallel::Workers;
use faer::Mat;

/// Eigenvalues, largest first, and eigenvectors of the kernel of a model with a row for each id, without fixed effects and weights; of a factor those that it reaches.
pub fn eigen(model: &Model<'_>, workers: &Workers, monitor: &mut dyn Monitor) -> Result<(Vec<f64>, Mat<f64>)> {
    let projection = Projection::of_each_group(model, workers)?;
    let kernel = model.kernel.without_order();
    let (null, _) = NullModel::new(&Model { kernel, ..*model }, projection, vec![], true, workers, monitor)?;
    let (u, values) = (workers.run(|par| null.vectors(par))?, null.values());
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[b].total_cmp(&values[a]));
    claim((u.nrows() * u.ncols()) as f64)?;
    let vectors = Mat::from_fn(u.nrows(), order.len(), |i, k| u[(i, order[k])]);
    Ok((order.iter().map(|&k| values[k] * null.scale()).collect(), vectors))
}
