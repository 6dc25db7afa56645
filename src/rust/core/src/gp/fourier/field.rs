//! Fields in Fourier space, and their values at any points by type 2 transforms.

use super::gram::Sums;
use super::grid::Grid;
use super::weights::WeightSpace;
use crate::linalg::{dot, product};
use crate::nufft::Plan;
use crate::runtime::error::Result;
use crate::runtime::monitor::Monitor;
use crate::runtime::parallel::Workers;
use faer::{Mat, MatRef, c64};
use std::f64::consts::SQRT_2;

/// Error of values relative to the largest possible sum.
const TOLERANCE: f64 = 1e-12;

/// Values at points of fields that are combinations of the basis functions, given by their coefficients.
pub fn values(
    grid: &Grid,
    frequencies: &[Vec<i64>],
    coefficients: &[&[f64]],
    points: &[&[f64]],
    workers: &Workers,
    monitor: &mut dyn Monitor,
) -> Result<Vec<Vec<f64>>> {
    let fields: Vec<Sums> = coefficients
        .iter()
        .map(|a| Sums::combination(&grid.m, frequencies, a))
        .collect();
    evaluate(grid, &fields, points, workers, monitor)
}

/// All fields must have the same table of frequencies.
fn evaluate(
    grid: &Grid,
    fields: &[Sums],
    points: &[&[f64]],
    workers: &Workers,
    monitor: &mut dyn Monitor,
) -> Result<Vec<Vec<f64>>> {
    let Some(first) = fields.first() else { return Ok(vec![]) };
    let plan = Plan::new(&first.m.iter().map(|m| 2 * m + 1).collect::<Vec<_>>(), TOLERANCE)?;
    let modes: Vec<Vec<c64>> = fields.iter().map(|field| modes(&plan, field)).collect();
    let modes: Vec<&[c64]> = modes.iter().map(Vec::as_slice).collect();
    let n = points.first().map_or(0, |x| x.len());
    let phases = grid.phases(points, 0..n);
    plan.type2(
        &phases.iter().map(Vec::as_slice).collect::<Vec<_>>(),
        &modes,
        workers,
        monitor,
    )
}

/// `C cos + S sin` is the real part of `(C - i S) exp(i k.x)`: half of it at k, the conjugate at -k.
fn modes(plan: &Plan, field: &Sums) -> Vec<c64> {
    let mut modes = vec![c64::new(0.0, 0.0); plan.count()];
    for (index, k) in field.keys().into_iter().enumerate() {
        let half = c64::new(0.5 * field.cos[index], -0.5 * field.sin[index]);
        plan.add_mode(&mut modes, &k, half);
        let mirror: Vec<i64> = k.iter().map(|k| -k).collect();
        plan.add_mode(&mut modes, &mirror, half.conj());
    }
    modes
}

/// Where the mean is predicted.
pub struct ProcessTargets<'a> {
    /// A slice for each coordinate.
    pub points: Vec<&'a [f64]>,
    /// Rows of X, targets x p.
    pub x: MatRef<'a, f64>,
    /// Group of each target; none if it is a new one. Empty if the model has no groups.
    pub group: &'a [Option<usize>],
}

/// Variance of the mean at targets given the data and delta, in units of sigma2_e:
/// `u'u + (u'E - f') S (E'u - f)`, u the coordinates of x along Q1, `E = Q1'F` and S the covariance of the coefficients.
pub fn variances(
    space: &WeightSpace,
    at: &[f64],
    delta: f64,
    targets: &ProcessTargets<'_>,
    workers: &Workers,
    monitor: &mut dyn Monitor,
) -> Result<Vec<f64>> {
    let n = targets.x.nrows();
    let along = |i: usize| space.fixed.along(|j| targets.x[(i, j)]);
    if delta == f64::INFINITY {
        return Ok((0..n).map(|i| dot(&along(i), &along(i))).collect());
    }
    let s = workers.run(|par| space.covariance(at, delta, par))?;
    let r = space.fixed.kept.len();
    let e = Mat::from_fn(r, space.size(), |i, f| space.fixed.qf[i][f]);
    let es = workers.run(|par| product(e.as_ref(), s.as_ref(), par));
    let ese = workers.run(|par| product(es.as_ref(), e.transpose(), par));
    let parts = Parts { space, s: &s, es: &es };
    let (cross, square) = if space.groups() == 0 {
        parts.by_transform(targets, workers, monitor)?
    } else {
        parts.by_functions(targets, at, delta, workers, monitor)?
    };
    let variance = |i: usize| {
        let u = along(i);
        let own: f64 = (0..r)
            .map(|a| u[a] * (0..r).map(|b| ese[(a, b)] * u[b]).sum::<f64>())
            .sum();
        let mixed: f64 = (0..r).map(|a| u[a] * cross[a][i]).sum();
        (dot(&u, &u) + own - 2.0 * mixed + square[i]).max(0.0)
    };
    Ok((0..n).map(variance).collect())
}

/// `E S f` by rows and `f'S f` at all targets.
type Forms = (Vec<Vec<f64>>, Vec<f64>);

struct Parts<'a> {
    space: &'a WeightSpace,
    s: &'a Mat<f64>,
    es: &'a Mat<f64>,
}

impl Parts<'_> {
    /// A quadratic form of waves is a field with frequencies twice as far.
    fn by_transform(
        &self,
        targets: &ProcessTargets<'_>,
        workers: &Workers,
        monitor: &mut dyn Monitor,
    ) -> Result<Forms> {
        let WeightSpace { grid, frequencies, .. } = self.space;
        let rows: Vec<Vec<f64>> = self.es.row_iter().map(|row| row.iter().copied().collect()).collect();
        let rows: Vec<&[f64]> = rows.iter().map(Vec::as_slice).collect();
        let cross = values(grid, frequencies, &rows, &targets.points, workers, monitor)?;
        let square = Sums::quadratic(&grid.m, frequencies, self.s);
        let square = evaluate(grid, &[square], &targets.points, workers, monitor)?.concat();
        Ok((cross, square))
    }

    /// All functions written out, some targets at a time. A new group has the variance that groups have.
    fn by_functions(
        &self,
        targets: &ProcessTargets<'_>,
        at: &[f64],
        delta: f64,
        workers: &Workers,
        monitor: &mut dyn Monitor,
    ) -> Result<Forms> {
        const TOGETHER: usize = 256;
        let n = targets.x.nrows();
        let new = at[at.len() - 1].powi(2) / delta;
        let (mut cross, mut square) = (vec![Vec::with_capacity(n); self.es.nrows()], Vec::with_capacity(n));
        for first in (0..n).step_by(TOGETHER) {
            monitor.check()?;
            let rows: Vec<usize> = (first..(first + TOGETHER).min(n)).collect();
            let f = workers.run(|_| self.functions(targets, &rows));
            let sf = workers.run(|par| product(self.s.as_ref(), f.as_ref(), par));
            let esf = workers.run(|par| product(self.es.as_ref(), f.as_ref(), par));
            for (j, &i) in rows.iter().enumerate() {
                let form: f64 = f.col(j).iter().zip(sf.col(j).iter()).map(|(a, b)| a * b).sum();
                square.push(form + if targets.group[i].is_none() { new } else { 0.0 });
                cross.iter_mut().enumerate().for_each(|(a, row)| row.push(esf[(a, j)]));
            }
        }
        Ok((cross, square))
    }

    /// A column for each of some targets.
    fn functions(&self, targets: &ProcessTargets<'_>, rows: &[usize]) -> Mat<f64> {
        let space = self.space;
        let mut f = Mat::zeros(space.size(), rows.len());
        let first = space.size() - space.groups();
        for (j, &i) in rows.iter().enumerate() {
            let phases: Vec<f64> = space.grid.phases(&targets.points, i..i + 1).concat();
            f[(0, j)] = 1.0;
            for (k, frequency) in space.frequencies.iter().enumerate().skip(1) {
                let theta: f64 = phases.iter().zip(frequency).map(|(p, k)| p * *k as f64).sum();
                f[(2 * k - 1, j)] = SQRT_2 * theta.cos();
                f[(2 * k, j)] = SQRT_2 * theta.sin();
            }
            if let Some(group) = targets.group[i] {
                f[(first + group, j)] = 1.0;
            }
        }
        f
    }
}
