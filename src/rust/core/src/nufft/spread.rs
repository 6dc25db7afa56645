//! Points to fine grid and back, in parallel.
//!
//! The grid is cut into slabs of the slowest axis. A point touches its own slab and the next; so every other slab is spread at a time, each by
//! one thread that owns it and the next. No copies of the grid, no locks, and the sums do not depend on the number of threads.

use super::plan::Plan;
use super::points::{Bins, Points};
use super::stencil::{Interpolate, Spread};
use pulp::Arch;
use rayon::prelude::*;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Adds the points to padded grids, one for each vector of strengths.
pub fn spread(plan: &Plan, points: &Points<'_>, strengths: &[&[f64]], grids: &mut [Vec<f64>]) {
    let slabs = slabs(plan, points);
    let step = plan.strides()[plan.dimension() - 1];
    for parity in 0..2 {
        let bounds: Vec<usize> = slabs.iter().map(|s| s.first * step).skip(parity).step_by(2).collect();
        let pieces = pieces(grids, &bounds);
        let turn = slabs.iter().skip(parity).step_by(2).zip(pieces);
        let tasks: Vec<Spread> = turn
            .map(|(slab, grids)| Spread {
                plan,
                coordinates: &points.coordinates,
                order: points.of_bins(slab.bins.clone()),
                strengths,
                grids,
                base: slab.first * step,
            })
            .collect();
        tasks
            .into_par_iter()
            .with_max_len(1)
            .for_each(|task| Arch::new().dispatch(task));
    }
}

/// Values of padded grids at the points, one vector each.
pub fn interpolate(plan: &Plan, points: &Points<'_>, grids: &[Vec<f64>]) -> Vec<Vec<f64>> {
    const PART: usize = 1 << 13;
    let zeros = |_| points.order.par_iter().map(|_| AtomicU64::new(0)).collect();
    let values: Vec<Vec<AtomicU64>> = grids.iter().map(zeros).collect();
    points.order.par_chunks(PART).for_each(|order| {
        let task = Interpolate {
            plan,
            coordinates: &points.coordinates,
            order,
            grids,
            values: vec![Vec::with_capacity(order.len()); grids.len()],
        };
        // no two points share a place; the atomics only tell the compiler so
        for (found, values) in Arch::new().dispatch(task).iter().zip(&values) {
            order
                .iter()
                .zip(found)
                .for_each(|(i, v)| values[*i as usize].store(v.to_bits(), Relaxed));
        }
    });
    let plain = |v: Vec<AtomicU64>| v.into_iter().map(|v| f64::from_bits(v.into_inner())).collect();
    values.into_iter().map(plain).collect()
}

/// Enough for the threads of a workstation; a fixed number, so that it does not matter how many there are.
const SLABS: usize = 64;

struct Slab {
    /// First entry of the slowest axis.
    first: usize,
    bins: Range<usize>,
}

/// About as many points in each slab, none thinner than the reach of a point (the last aside, which has the padding behind it).
fn slabs(plan: &Plan, points: &Points<'_>) -> Vec<Slab> {
    let thickness = Bins::new(plan).thickness();
    let reach = plan.axes[plan.dimension() - 1].reach.div_ceil(thickness);
    let share = points.len().div_ceil(SLABS);
    let (starts, mut first) = (&points.starts, 0);
    let mut slabs = vec![];
    for end in 1..starts.len() {
        let full = end - first >= reach && starts[end] - starts[first] >= share;
        if full || end == starts.len() - 1 {
            slabs.push(Slab {
                first: first * thickness,
                bins: first..end,
            });
            first = end;
        }
    }
    slabs
}

/// Parts of all grids from each bound to the next, the last to the end.
fn pieces<'g>(grids: &'g mut [Vec<f64>], bounds: &[usize]) -> Vec<Vec<&'g mut [f64]>> {
    let mut pieces: Vec<Vec<&mut [f64]>> = bounds.iter().map(|_| vec![]).collect();
    for grid in grids {
        let mut rest = grid.as_mut_slice();
        for (piece, bound) in pieces.iter_mut().zip(bounds).rev() {
            let (before, own) = rest.split_at_mut(*bound);
            piece.push(own);
            rest = before;
        }
    }
    pieces
}
