//! One pass over the data, block by block: Fourier sums by nonuniform transforms, and cross products. After it nothing depends on the number of rows.

use super::gram::Sums;
use super::grid::Grid;
use super::moments::{GroupMoments, Moments};
use crate::gp::observations::Observations;
use crate::linalg::dot;
use crate::nufft::{Plan, Points, Type1};
use crate::runtime::error::Result;
use crate::runtime::monitor::Monitor;
use crate::runtime::parallel::Workers;
use faer::{Mat, c64};
use std::f64::consts::TAU;

/// Error of the transforms relative to the largest possible sum.
const TOLERANCE: f64 = 1e-12;
/// Rows of a block.
const BLOCK: usize = 1 << 16;
/// Numbers in the grids of the vectors that are transformed together.
const TOGETHER: usize = 1 << 25;

/// The table of these data on this grid.
pub fn moments(
    data: &Observations<'_>,
    grid: &Grid,
    shifts: &[f64],
    workers: &Workers,
    monitor: &mut dyn Monitor,
) -> Result<Moments> {
    let twice: Vec<usize> = grid.m.iter().map(|m| 2 * m).collect();
    let plan = Plan::new(&twice.iter().map(|m| 2 * m + 1).collect::<Vec<_>>(), TOLERANCE)?;
    let mut ones = None;
    let mut columns = vec![];
    let all: Vec<(&[f64], f64)> = data.columns().copied().zip(shifts.iter().copied()).collect();
    let together = (TOGETHER / plan.count()).max(2) - 1;
    for part in all.chunks(together) {
        let mut sums = Type1::new(&plan, part.len() + 1)?;
        for first in (0..data.n()).step_by(BLOCK) {
            monitor.check()?;
            workers.run(|_| add_block(data, grid, &plan, part, first, &mut sums))?;
        }
        let modes = workers.run(|_| sums.modes());
        ones.get_or_insert_with(|| table(&plan, &modes[0], &twice));
        columns.extend(modes[1..].iter().map(|modes| table(&plan, modes, &grid.m)));
    }
    let (cross, squares) = products(data, shifts);
    Ok(Moments {
        grid: grid.clone(),
        n: data.n() as f64,
        log_weights: data.weights.iter().map(|w| w.ln()).sum(),
        shifts: shifts.to_vec(),
        ones: ones.unwrap_or_else(|| Sums::zeros(twice)),
        columns,
        cross,
        squares,
        groups: groups(data, grid, shifts, workers, monitor)?,
    })
}

/// Ones and some columns of a block of rows.
fn add_block(
    data: &Observations<'_>,
    grid: &Grid,
    plan: &Plan,
    columns: &[(&[f64], f64)],
    first: usize,
    sums: &mut Type1<'_>,
) -> Result<()> {
    let rows = first..(first + BLOCK).min(data.n());
    let weight = |i: usize| data.weights.get(i).copied().unwrap_or(1.0);
    let phases = grid.phases(&data.coordinates, rows.clone());
    let ones = rows.clone().map(weight).collect();
    let column = |(x, shift): &(&[f64], f64)| rows.clone().map(|i| weight(i) * (x[i] - shift)).collect();
    let strengths: Vec<Vec<f64>> = std::iter::once(ones).chain(columns.iter().map(column)).collect();
    let phases: Vec<&[f64]> = phases.iter().map(Vec::as_slice).collect();
    let strengths: Vec<&[f64]> = strengths.iter().map(Vec::as_slice).collect();
    sums.add(&Points::new(plan, &phases)?, &strengths)
}

impl Grid {
    /// 2 pi h (x - centre) of each axis.
    pub(crate) fn phases(&self, coordinates: &[&[f64]], rows: std::ops::Range<usize>) -> Vec<Vec<f64>> {
        let phase = |(a, x): (usize, &&[f64])| {
            x[rows.clone()]
                .iter()
                .map(|x| TAU * self.h[a] * (x - self.centre[a]))
                .collect()
        };
        coordinates.iter().enumerate().map(phase).collect()
    }
}

/// Sums of cosines and sines of the frequencies -m..m.
fn table(plan: &Plan, modes: &[c64], m: &[usize]) -> Sums {
    let mut sums = Sums::zeros(m.to_vec());
    for (index, k) in sums.keys().into_iter().enumerate() {
        let mode = plan.mode(modes, &k);
        (sums.cos[index], sums.sin[index]) = (mode.re, -mode.im);
    }
    sums
}

/// X'[X, Y], and the sums of squares of Y.
fn products(data: &Observations<'_>, shifts: &[f64]) -> (Mat<f64>, Vec<f64>) {
    let columns: Vec<&&[f64]> = data.columns().collect();
    let weight = |i: usize| data.weights.get(i).copied().unwrap_or(1.0);
    let product = |a: usize, b: usize| -> f64 {
        let term = |i: usize| weight(i) * (columns[a][i] - shifts[a]) * (columns[b][i] - shifts[b]);
        (0..data.n()).map(term).sum()
    };
    let p = data.x.len();
    let cross = Mat::from_fn(p, columns.len(), product);
    let squares = (p..columns.len()).map(|j| product(j, j)).collect();
    (cross, squares)
}

/// Indicators of groups against everything: the transforms of the rows of one group at a time.
fn groups(
    data: &Observations<'_>,
    grid: &Grid,
    shifts: &[f64],
    workers: &Workers,
    monitor: &mut dyn Monitor,
) -> Result<GroupMoments> {
    let mut rows: Vec<Vec<usize>> = vec![vec![]; data.groups];
    data.group.iter().enumerate().for_each(|(i, &g)| rows[g].push(i));
    let plan = Plan::new(&grid.m.iter().map(|m| 2 * m + 1).collect::<Vec<_>>(), TOLERANCE)?;
    let mut groups = GroupMoments::default();
    for rows in &rows {
        let part = data.rows(rows);
        let ones = if part.weights.is_empty() {
            vec![1.0; rows.len()]
        } else {
            part.weights.clone()
        };
        let phases = grid.phases(&part.view().coordinates, 0..rows.len());
        let phases: Vec<&[f64]> = phases.iter().map(Vec::as_slice).collect();
        let modes = plan.type1(&phases, &[&ones], workers, monitor)?;
        groups.sums.push(table(&plan, &modes[0], &grid.m));
        groups.counts.push(ones.iter().sum());
        let total = |x: &Vec<f64>, shift: f64| dot(x, &ones) - shift * ones.iter().sum::<f64>();
        let columns = part.x.iter().chain(&part.y).zip(shifts);
        groups.cross.push(columns.map(|(x, s)| total(x, *s)).collect());
    }
    Ok(groups)
}
