//! The deviance of one response over the whole range of delta: its values and slopes on the grid of the search, and its limits.

use crate::likelihood::Criterion;
use crate::likelihood::optimize::{DeltaGrid, Objective, grid_points};
use crate::rotation::rotated::Rotated;
use num_dual::{Dual2_64, Dual64};

impl Objective for Criterion<'_> {
    fn dual(&self, at: Dual64) -> Dual64 {
        self.deviance(at)
    }

    fn dual2(&self, at: Dual2_64) -> Dual2_64 {
        self.deviance(at)
    }

    fn value(&self, at: f64) -> f64 {
        self.deviance(at)
    }
}

/// The deviance on the grid, both limits among the candidates for the optimum.
pub(crate) fn delta_grid(criterion: &Criterion<'_>) -> DeltaGrid {
    let (lower, upper) = borders(criterion);
    DeltaGrid::new(criterion, grid_points(criterion.data), lower, upper)
}

/// With no delta below `floor` (0: none), unless the kernel is so far from singular that delta may be 0.
pub(crate) fn delta_grid_above(criterion: &Criterion<'_>, floor: f64) -> DeltaGrid {
    let Some(least) = log_least(criterion.data, floor) else {
        return delta_grid(criterion);
    };
    let above = grid_points(criterion.data).into_iter().filter(|t| *t > least);
    let at = std::iter::once(least).chain(above).collect();
    DeltaGrid {
        floored: true,
        ..DeltaGrid::new(criterion, at, f64::INFINITY, borders(criterion).1)
    }
}

/// log delta at a floor, if there is one that the kernel needs.
pub(crate) fn log_least(data: &Rotated, floor: f64) -> Option<f64> {
    const REGULAR: f64 = 100.0;
    let least = floor / data.k_scale;
    let smallest = data.values.iter().copied().fold(f64::INFINITY, f64::min);
    let regular = data.n_rest == 0 && smallest > REGULAR * least;
    (floor > 0.0 && !regular).then(|| least.ln())
}

/// The deviance's limits for delta -> 0, if it has one, and for delta -> infinity.
pub(crate) fn borders(criterion: &Criterion<'_>) -> (f64, f64) {
    let lower = if criterion.is_bounded() {
        criterion.deviance_at(1.0, 0.0)
    } else {
        f64::INFINITY
    };
    (lower, criterion.deviance_at(0.0, 1.0))
}
