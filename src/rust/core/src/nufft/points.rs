//! Points of one block of data, in the order of the fine grid's bins, so that neighbours in memory are neighbours in space.

use super::grid::Axis;
use super::plan::Plan;
use crate::runtime::error::{Error, Result};
use pulp::Arch;
use rayon::prelude::*;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Sorted once, used for any number of vectors. Four bytes a point beside the caller's coordinates.
pub struct Points<'a> {
    /// One slice an axis: phases in radians.
    pub(super) coordinates: Vec<&'a [f64]>,
    pub(super) order: Vec<u32>,
    /// Where the points of each bin of the slowest axis begin, and where the last end.
    pub(super) starts: Vec<usize>,
}

impl<'a> Points<'a> {
    /// Phases in radians, one slice an axis; [-pi, pi) or any other turn. Best called in a pool of threads.
    pub fn new(plan: &Plan, coordinates: &[&'a [f64]]) -> Result<Self> {
        let n = length(plan, coordinates)?;
        let bins = Bins::new(plan);
        let part = n.div_ceil(rayon::current_num_threads()).max(1 << 12);
        let mut keys = vec![0u32; n];
        keys.par_chunks_mut(1 << 12)
            .enumerate()
            .for_each(|(i, keys)| Arch::new().dispatch(|| bins.keys(coordinates, i << 12, keys)));
        let mut counts: Vec<Vec<u32>> = keys.par_chunks(part).map(|keys| bins.count(keys)).collect();
        let starts = bins.starts(&mut counts);
        Ok(Self {
            coordinates: coordinates.to_vec(),
            order: order(&keys, part, counts),
            starts,
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }

    /// Sorted points whose bin of the slowest axis lies in a range.
    pub(super) fn of_bins(&self, bins: Range<usize>) -> &[u32] {
        &self.order[self.starts[bins.start]..self.starts[bins.end]]
    }
}

/// Points that the functions of all points sort at a time: few enough for their coordinates to stay in a core's cache.
pub(super) const BLOCK: usize = 1 << 17;

/// Block of each coordinate.
pub(super) fn block<'a>(coordinates: &[&'a [f64]], first: usize) -> Vec<&'a [f64]> {
    let part = |x: &&'a [f64]| &x[first.min(x.len())..(first + BLOCK).min(x.len())];
    coordinates.iter().map(part).collect()
}

/// Number of points, if there is a coordinate of each for every axis.
fn length(plan: &Plan, coordinates: &[&[f64]]) -> Result<usize> {
    let shape = |what, found, expected| Err(Error::Shape { what, found, expected });
    let n = coordinates.first().map_or(0, |x| x.len());
    if coordinates.len() != plan.dimension() {
        return shape("coordinates", coordinates.len(), plan.dimension());
    }
    if let Some(x) = coordinates.iter().find(|x| x.len() != n) {
        return shape("a coordinate", x.len(), n);
    }
    if n > u32::MAX as usize {
        let why = format!("has {n} points, but can have {} at most", u32::MAX);
        return Err(Error::Argument { what: "a block", why });
    }
    Ok(n)
}

/// Each part of the points writes to places of its own; the atomics only tell the compiler so.
fn order(keys: &[u32], part: usize, mut next: Vec<Vec<u32>>) -> Vec<u32> {
    let order: Vec<AtomicU32> = keys.par_iter().map(|_| AtomicU32::new(0)).collect();
    keys.par_chunks(part)
        .zip(&mut next)
        .enumerate()
        .for_each(|(i, (keys, next))| {
            for (j, key) in keys.iter().enumerate() {
                let place = &mut next[*key as usize];
                order[*place as usize].store((i * part + j) as u32, Relaxed);
                *place += 1;
            }
        });
    order.into_iter().map(AtomicU32::into_inner).collect()
}

/// log2 of the cells of a bin, fastest axis first.
const SHIFTS: [[u32; 3]; 3] = [[8, 0, 0], [4, 3, 0], [4, 2, 2]];

/// Boxes of the fine grid that stay in the fastest cache.
pub(super) struct Bins<'p> {
    axes: &'p [Axis; 3],
    half: f64,
    shift: [u32; 3],
    count: [usize; 3],
    slowest: usize,
}

impl<'p> Bins<'p> {
    pub(crate) fn new(plan: &'p Plan) -> Self {
        let slowest = plan.dimension() - 1;
        let shift = SHIFTS[slowest];
        let count = |a: usize| {
            if a > slowest {
                1
            } else {
                (plan.axes[a].cells >> shift[a]) + 1
            }
        };
        Self {
            axes: &plan.axes,
            half: 0.5 * plan.kernel.width as f64,
            shift,
            count: [count(0), count(1), count(2)],
            slowest,
        }
    }

    /// Cells of the slowest axis in a bin.
    pub(crate) fn thickness(&self) -> usize {
        1 << self.shift[self.slowest]
    }

    /// Bins of the points from `first` on, the first axis fastest.
    #[inline(always)]
    fn keys(&self, coordinates: &[&[f64]], first: usize, keys: &mut [u32]) {
        for (a, x) in coordinates.iter().enumerate().rev() {
            let axis = &self.axes[a];
            for (key, x) in keys.iter_mut().zip(&x[first..]) {
                let (start, _) = axis.start(axis.position(*x), self.half);
                *key = *key * self.count[a] as u32 + (start >> self.shift[a]) as u32;
            }
        }
    }

    fn count(&self, keys: &[u32]) -> Vec<u32> {
        let mut counts = vec![0; self.count.iter().product()];
        keys.iter().for_each(|key| counts[*key as usize] += 1);
        counts
    }

    /// Turns counts of each part into first places; gives the first place of each bin of the slowest axis.
    fn starts(&self, counts: &mut [Vec<u32>]) -> Vec<usize> {
        let layer: usize = self.count[..self.slowest].iter().product();
        let mut starts = Vec::with_capacity(self.count[self.slowest] + 1);
        let mut total = 0;
        for bin in 0..self.count.iter().product() {
            if bin % layer == 0 {
                starts.push(total as usize);
            }
            for part in counts.iter_mut() {
                total += std::mem::replace(&mut part[bin], total);
            }
        }
        starts.push(total as usize);
        starts
    }
}
