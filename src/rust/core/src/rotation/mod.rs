//! From data to the rotated object: X projected out of both sides of the kernel, repeats collapsed, the kernel diagonalised.
//!
//! `NullModel = Projection + Decomposition` is built once; every response is then a column of a block.

pub(crate) mod blup;
mod built;
pub(crate) mod cs_decomposition;
pub(crate) mod decomposition;
mod definite;
pub mod eigen;
pub(crate) mod factor;
pub mod fixed_qr;
pub(crate) mod groups;
pub mod incidence;
mod model;
pub(crate) mod projection;
pub(crate) mod response;
pub(crate) mod reused_eigen;
pub mod rotated;
pub(crate) mod thin_svd;

use crate::kernel::Kernel;
use crate::kernel::dense::psd_tolerance;
use crate::linalg::dot;
use crate::runtime::error::{Error, Result};
use crate::runtime::monitor::Monitor;
use crate::runtime::parallel::Workers;
use crate::runtime::work::{Work, count};
use built::{Built, EigenCoordinates};
use decomposition::Decomposition;
use faer::{Mat, Par};
pub use model::Model;
use projection::{Projected, Projection, columns};
use response::Length;
use rotated::Rotated;
use std::borrow::Cow;

/// What a kernel, X and the rows say, whatever the response.
pub(crate) struct NullModel<'a> {
    pub(crate) projection: Projection,
    pub(crate) decomposition: Decomposition<'a>,
    /// Rotated data of a response that is 0.
    pub(crate) frame: Rotated,
    /// Trace of the scaled kernel over the data.
    pub(crate) trace: f64,
    /// Smallest eigenvalue before rounding was cut off.
    smallest: f64,
    /// Turn of the basis of span(X) that sets apart directions that the kernel does not reach.
    turn: Option<Vec<Vec<f64>>>,
    kernel: Kernel<'a>,
    index: &'a [usize],
}

/// Responses in the coordinates of a null model.
pub(crate) struct ResponseBlock {
    pub(crate) parts: Vec<Result<Projected>>,
    /// U'y2, a column a response.
    pub(crate) rotated: Mat<f64>,
    /// Squares of what U does not hold of y2.
    rest: Vec<f64>,
}

impl ResponseBlock {
    /// Lengths of a response over its scale; 0 for one that has none.
    pub(crate) fn length(&self, j: usize) -> Length {
        self.parts[j].as_ref().map_or(Length::default(), |part| part.length)
    }
}

impl<'a> NullModel<'a> {
    /// `first`: responses that are known by now, which are rotated along with the kernel. `vectors`: are eigenvectors worth their while, because many more follow?
    /// `model.y` is not read.
    pub(crate) fn new(
        model: &Model<'a>,
        projection: Projection,
        first: Vec<Result<Projected>>,
        vectors: bool,
        workers: &Workers,
        monitor: &mut dyn Monitor,
    ) -> Result<(Self, ResponseBlock)> {
        count(Work::Decomposition);
        monitor.check()?;
        let y2 = columns(&first, projection.coordinates());
        let built = Decomposition::build(model, &projection, &y2, vectors, workers, monitor)?;
        let frame = frame(model, &projection, &built);
        let mut null = Self {
            projection,
            decomposition: built.decomposition,
            frame,
            trace: built.trace,
            smallest: built.smallest,
            turn: None,
            kernel: model.kernel,
            index: model.index,
        };
        null.append_set_aside();
        let block = null.block(first, built.first);
        Ok((null, block))
    }

    /// Of one response, `model.y`.
    pub(crate) fn of_response(
        model: &Model<'a>,
        workers: &Workers,
        monitor: &mut dyn Monitor,
    ) -> Result<(Self, ResponseBlock)> {
        let projection = Projection::new(model, workers)?;
        let y = projection.project(model.y)?;
        Self::new(model, projection, vec![Ok(y)], false, workers, monitor)
    }

    /// Refuses a kernel with a negative eigenvalue, and sets apart directions of X that a kernel of full rank does not reach.
    pub(crate) fn check(&mut self, tolerance: Option<f64>) -> Result<()> {
        let (min, max) = (self.smallest, self.frame.largest());
        if min < -psd_tolerance(self.index.len(), tolerance) * max.max(self.trace) {
            let scale = self.frame.k_scale;
            return Err(Error::NotPositive {
                min: min * scale,
                max: max * scale,
            });
        }
        if self.frame.full_rank() {
            self.turn = self.frame.separate_null_directions()?;
        }
        if let Some(turn) = &self.turn {
            self.projection.turn(turn);
        }
        Ok(())
    }

    /// Further responses.
    pub(crate) fn rotate(&self, parts: Vec<Result<Projected>>, par: Par) -> Result<ResponseBlock> {
        let y2 = columns(&parts, self.projection.coordinates());
        let found = self.decomposition.rotate(&self.projection, &y2, par)?;
        Ok(self.block(parts, found))
    }

    fn block(&self, parts: Vec<Result<Projected>>, found: EigenCoordinates) -> ResponseBlock {
        let mut rotated = found.y;
        // zeros for the eigenvalues that were set aside
        rotated.resize_with(self.frame.values.len(), parts.len(), |_, _| 0.0);
        // where U holds all of y2, the rest is rounding
        let all = self.values().len() == self.projection.coordinates();
        let rest = if all { vec![0.0; parts.len()] } else { found.rest };
        ResponseBlock { parts, rotated, rest }
    }

    /// Rotated data of a response.
    pub(crate) fn respond(&self, block: &ResponseBlock, j: usize) -> Result<Rotated> {
        let mut data = self.frame.clone();
        self.fill(&mut data, block, j)?;
        Ok(data)
    }

    /// Put a response in place of the one in `data`.
    pub(crate) fn fill(&self, data: &mut Rotated, block: &ResponseBlock, j: usize) -> Result<()> {
        let part = block.parts[j].as_ref().map_err(Clone::clone)?;
        data.y
            .iter_mut()
            .zip(block.rotated.col(j).iter())
            .for_each(|(to, from)| *to = *from);
        data.rho = part.rho + block.rest[j];
        data.drop_rounding();
        data.y_scale = part.scale;
        data.y1 = match &self.turn {
            Some(turn) => turn.iter().map(|t| dot(t, &part.y1)).collect(),
            None => part.y1.clone(),
        };
        // the basis that was turned by `check`, or not yet
        let taken_off = self.projection.along(&part.taken_off);
        data.y1.iter_mut().zip(taken_off).for_each(|(y, t)| *y += t);
        data.dropped = 0;
        Ok(())
    }

    /// Kept (not aliased) columns of X.
    pub(crate) fn kept(&self) -> &[usize] {
        &self.projection.design.kept
    }

    /// lambda, without eigenvalues that were set aside.
    pub(crate) fn values(&self) -> &[f64] {
        self.decomposition.values()
    }

    /// Unit of the eigenvalues.
    pub(crate) fn scale(&self) -> f64 {
        self.frame.k_scale
    }

    /// U in the coordinates of y2.
    pub(crate) fn vectors(&self, par: Par) -> Result<Cow<'_, Mat<f64>>> {
        self.decomposition.vectors(&self.projection, par)
    }

    /// Eigenvalues of directions that neither X nor a response touches.
    fn append_set_aside(&mut self) {
        let scale = self.frame.k_scale.sqrt();
        for (group, count) in self.projection.between.set_aside() {
            let value = (self.projection.between.z.root[group] / scale).powi(2);
            let n = self.frame.values.len() + count;
            self.frame.values.resize(n, value);
            self.frame.y.resize(n, 0.0);
            self.frame.b.iter_mut().for_each(|row| row.resize(n, 0.0));
        }
    }
}

fn frame(model: &Model<'_>, projection: &Projection, built: &Built<Decomposition<'_>>) -> Rotated {
    let values = built.decomposition.values().to_vec();
    Rotated {
        y: vec![0.0; values.len()],
        n_rest: projection.within() + projection.coordinates() - values.len(),
        y1: vec![0.0; projection.design.rank()],
        k11: built.k11.clone(),
        b: built.b.clone(),
        basis: projection.coefficients(),
        log_det_x: projection.design.log_det(),
        log_weights: model.weights.iter().map(|w| w.ln()).sum(),
        y_scale: 1.0,
        k_scale: built.k_scale,
        values,
        ..Rotated::default()
    }
}
