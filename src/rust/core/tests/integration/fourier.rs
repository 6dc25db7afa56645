//! The Fourier route against dense matrices: with the truncated kernel to rounding, with the kernel itself to the tolerance.

use crate::definition::noise;
use faer::prelude::*;
use faer::{Mat, Par, Side};
use fastlmm_core::gp::Process;
use fastlmm_core::gp::bounds::{Bounds, Range};
use fastlmm_core::gp::fourier::gram::Sums;
use fastlmm_core::gp::fourier::grid::Grid;
use fastlmm_core::gp::fourier::moments::Moments;
use fastlmm_core::gp::fourier::optima::singles;
use fastlmm_core::gp::fourier::reduced::ReducedSpace;
use fastlmm_core::gp::fourier::sufficient;
use fastlmm_core::gp::fourier::weights::WeightSpace;
use fastlmm_core::gp::local::About;
use fastlmm_core::gp::observations::Observations;
use fastlmm_core::gp::search::LengthSearch;
use fastlmm_core::kernel::stationary::Family;
use fastlmm_core::likelihood::optimize::Location;
use fastlmm_core::likelihood::{Criterion, Method};
use fastlmm_core::runtime::parallel::Workers;
use std::cell::RefCell;
use std::f64::consts::PI;

pub struct Field {
    pub points: Vec<Vec<f64>>,
    pub x: Mat<f64>,
    pub y: Vec<f64>,
}

impl Field {
    pub fn new(seed: usize, n: usize, d: usize, p: usize) -> Self {
        let points: Vec<Vec<f64>> = (0..n)
            .map(|i| (0..d).map(|a| 3.0 + noise(seed, i, a)).collect())
            .collect();
        let wave = |q: &Vec<f64>| {
            q.iter()
                .enumerate()
                .map(|(a, v)| (4.0 * v + a as f64).sin())
                .sum::<f64>()
        };
        let y = points
            .iter()
            .enumerate()
            .map(|(i, q)| wave(q) + 0.5 * noise(seed + 1, i, 0))
            .collect();
        let x = Mat::from_fn(n, p, |i, j| if j == 0 { 1.0 } else { noise(seed + 2, i, j) });
        Self { points, x, y }
    }

    fn n(&self) -> usize {
        self.y.len()
    }

    fn bounds(&self) -> Bounds {
        let d = self.points[0].len();
        let fold = |a: usize, pick: fn(f64, f64) -> f64| self.points.iter().map(|q| q[a]).reduce(pick).unwrap();
        Bounds {
            low: (0..d).map(|a| fold(a, f64::min)).collect(),
            high: (0..d).map(|a| fold(a, f64::max)).collect(),
        }
    }

    fn theta(&self, grid: &Grid, i: usize, j: &[i64]) -> f64 {
        let phase = |a: usize| grid.h[a] * j[a] as f64 * (self.points[i][a] - grid.centre[a]);
        2.0 * PI * (0..j.len()).map(phase).sum::<f64>()
    }

    /// Direct sums of a column over the frequencies -m..m.
    fn sums(&self, grid: &Grid, m: &[usize], column: impl Fn(usize) -> f64) -> Sums {
        let mut sums = Sums::zeros(m.to_vec());
        let count = sums.cos.len();
        for index in 0..count {
            let mut rest = index;
            let j: Vec<i64> = m
                .iter()
                .map(|m| {
                    let k = rest % (2 * m + 1);
                    rest /= 2 * m + 1;
                    k as i64 - *m as i64
                })
                .collect();
            for i in 0..self.n() {
                let (sin, cos) = self.theta(grid, i, &j).sin_cos();
                sums.cos[index] += column(i) * cos;
                sums.sin[index] += column(i) * sin;
            }
        }
        sums
    }

    /// The definition of the table, with nothing taken off the columns.
    fn slow_moments(&self, grid: &Grid) -> Moments {
        let p = self.x.ncols();
        let column = |c: usize, i: usize| if c < p { self.x[(i, c)] } else { self.y[i] };
        let twice: Vec<usize> = grid.m.iter().map(|m| 2 * m).collect();
        let all = Mat::from_fn(self.n(), p + 1, |i, c| column(c, i));
        Moments {
            grid: grid.clone(),
            n: self.n() as f64,
            log_weights: 0.0,
            shifts: vec![0.0; p + 1],
            ones: self.sums(grid, &twice, |_| 1.0),
            columns: (0..=p).map(|c| self.sums(grid, &grid.m, |i| column(c, i))).collect(),
            cross: self.x.transpose() * &all,
            squares: vec![self.y.iter().map(|y| y * y).sum()],
            groups: Default::default(),
        }
    }

    pub fn columns(&self) -> Columns {
        let d = self.points[0].len();
        Columns {
            coordinates: (0..d).map(|a| self.points.iter().map(|q| q[a]).collect()).collect(),
            x: (0..self.x.ncols())
                .map(|j| self.x.col(j).iter().copied().collect())
                .collect(),
        }
    }

    fn moments(&self, grid: &Grid, shifted: bool) -> Moments {
        let columns = self.columns();
        let data = columns.data(self);
        let shifts = if shifted {
            data.shifts()
        } else {
            vec![0.0; self.x.ncols() + 1]
        };
        sufficient::moments(&data, grid, &shifts, &Workers::new(2).unwrap(), &mut ()).unwrap()
    }
}

/// The data column by column.
pub struct Columns {
    pub coordinates: Vec<Vec<f64>>,
    pub x: Vec<Vec<f64>>,
}

impl Columns {
    pub fn data<'a>(&'a self, field: &'a Field) -> Observations<'a> {
        Observations {
            coordinates: self.coordinates.iter().map(Vec::as_slice).collect(),
            x: self.x.iter().map(Vec::as_slice).collect(),
            y: vec![&field.y],
            ..Observations::default()
        }
    }
}

#[test]
fn the_pass_gives_the_table_of_its_definition() {
    for (d, n) in [(1, 57), (2, 90), (3, 60)] {
        let field = Field::new(1, n, d, 3);
        let range = Range {
            shortest: vec![0.5; d],
            longest: vec![0.8; d],
        };
        let grid = Grid::new(Family::ExpQuad, &field.bounds(), &range, 1e-2);
        let (slow, fast) = (field.slow_moments(&grid), field.moments(&grid, false));
        let near = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-10 * n as f64);
        let same = |a: &Sums, b: &Sums| a.m == b.m && near(&a.cos, &b.cos) && near(&a.sin, &b.sin);
        assert!(same(&slow.ones, &fast.ones), "{d}");
        assert!(slow.columns.iter().zip(&fast.columns).all(|(a, b)| same(a, b)), "{d}");
        assert!((&slow.cross - &fast.cross).norm_max() < 1e-10 && near(&slow.squares, &fast.squares));
    }
}

/// -2 log REML likelihood at the best scale, by the definition.
fn dense_deviance(field: &Field, k: &Mat<f64>, delta: f64, method: Method) -> f64 {
    let (n, p) = (field.n(), field.x.ncols());
    let v = Mat::from_fn(n, n, |i, j| k[(i, j)] + if i == j { delta } else { 0.0 });
    let llt = v.llt(Side::Lower).unwrap();
    let log_det = |l: &faer::linalg::solvers::Llt<f64>, n: usize| 2.0 * (0..n).map(|i| l.L()[(i, i)].ln()).sum::<f64>();
    let y = Mat::from_fn(n, 1, |i, _| field.y[i]);
    let (vy, vx) = (llt.solve(&y), llt.solve(&field.x));
    let xvx = field.x.transpose() * &vx;
    let information = xvx.llt(Side::Lower).unwrap();
    let xvy = field.x.transpose() * &vy;
    let q = (y.transpose() * &vy)[(0, 0)] - (xvy.transpose() * information.solve(&xvy))[(0, 0)];
    let (count, x) = if method == Method::Reml {
        (n - p, log_det(&information, p))
    } else {
        (n, 0.0)
    };
    let count = count as f64;
    count * (2.0 * PI * q / count).ln() + count + log_det(&llt, n) + x
}

fn check(family: Family, d: usize, n: usize, p: usize, eps: f64, lengths: &[f64]) {
    let field = Field::new(3, n, d, p);
    let range = Range {
        shortest: vec![if d < 3 { 0.3 } else { 0.5 }; d],
        longest: vec![0.6; d],
    };
    let grid = Grid::new(family, &field.bounds(), &range, eps);
    let moments = field.moments(&grid, true);
    let space = WeightSpace::new(family, &moments, grid.frequencies(family, &range.shortest, eps), 0).unwrap();
    for &length in lengths {
        let lengths = vec![length; d];
        let data = space.rotated(&lengths, Par::Seq).unwrap();
        let squares = grid.squares(family, &space.frequencies, &lengths);
        let lag = |i: usize, j: usize| {
            let cos = |f: &Vec<i64>| (field.theta(&grid, i, f) - field.theta(&grid, j, f)).cos();
            2.0 * squares
                .iter()
                .zip(&space.frequencies)
                .map(|(s, f)| s * cos(f))
                .sum::<f64>()
                - squares[0]
        };
        let truncated = Mat::from_fn(n, n, lag);
        let distance = |i: usize, j: usize| {
            (0..d)
                .map(|a| ((field.points[i][a] - field.points[j][a]) / length).powi(2))
                .sum::<f64>()
                .sqrt()
        };
        let exact = Mat::from_fn(n, n, |i, j| family.correlation(distance(i, j)));
        assert!(
            (&truncated - &exact).norm_max() < 3.0 * eps,
            "{family:?} {d} {length}: {}",
            (&truncated - &exact).norm_max()
        );
        assert!(1.0 - space.captured(&lengths) < 1.1 * eps);
        for method in [Method::Reml, Method::Ml] {
            for delta in [1e-3, 0.1, 1.0, 30.0] {
                let fast = Criterion { data: &data, method }.deviance(f64::ln(delta));
                let slow = dense_deviance(&field, &truncated, delta, method);
                assert!(
                    (fast - slow).abs() < 1e-8 * n as f64,
                    "{family:?} {d} {length} {delta}: {fast} {slow}"
                );
            }
        }
    }
}

#[test]
fn the_likelihood_is_that_of_the_dense_truncated_kernel() {
    check(Family::ExpQuad, 1, 60, 2, 1e-8, &[0.3, 0.45, 0.6]);
    check(Family::ExpQuad, 2, 300, 3, 1e-4, &[0.3, 0.6]);
    check(Family::Matern52, 1, 150, 0, 1e-5, &[0.3, 0.6]);
    check(Family::Matern32, 1, 120, 1, 1e-3, &[0.3, 0.5]);
    check(Family::Matern52, 2, 500, 1, 1e-2, &[0.6]);
    check(Family::ExpQuad, 3, 400, 1, 1e-2, &[0.5]);
}

/// A weight space for length scales from 0.4 to 0.8.
fn between(field: &Field, family: Family, fast: bool) -> (Range, WeightSpace) {
    let d = field.points[0].len();
    let range = Range {
        shortest: vec![0.4; d],
        longest: vec![0.8; d],
    };
    let eps = [1e-3, 1e-2][d - 1];
    let grid = Grid::new(family, &field.bounds(), &range, eps);
    let moments = field.moments(&grid, fast);
    let space = WeightSpace::new(family, &moments, grid.frequencies(family, &range.shortest, eps), 0).unwrap();
    (range, space)
}

/// Derivative along log ell_i: log D_j^2 = log ell_i + ... + log density(rho2), so that e = (1 + 2 ell_i^2 xi_i^2 dlog/drho2) / 2.
#[test]
fn the_gradient_is_that_of_the_profile() {
    for (family, d) in [(Family::ExpQuad, 1), (Family::Matern32, 1), (Family::Matern52, 2)] {
        let field = Field::new(5, [70, 520][d - 1], d, 2);
        let (range, space) = between(&field, family, false);
        let workers = Workers::new(1).unwrap();
        for method in [Method::Reml, Method::Ml] {
            let mut nobody = ();
            let search = LengthSearch {
                process: &space,
                method,
                workers: &workers,
                monitor: RefCell::new(&mut nobody),
            };
            let lengths = vec![0.45; d];
            let here = search.at(&lengths).unwrap();
            assert_eq!(here.location, Location::Interior);
            for axis in 0..d {
                let moved = |by: f64| {
                    let mut l = lengths.clone();
                    l[axis] *= by.exp();
                    search.at(&l).unwrap().deviance
                };
                let difference = (moved(1e-4) - moved(-1e-4)) / 2e-4;
                assert!(
                    (here.gradient[axis] - difference).abs() < 1e-5 * (1.0 + difference.abs()),
                    "{family:?} {method:?}: {} {difference}",
                    here.gradient[axis]
                );
            }
            let found = search.isotropic(&vec![1.0; d], 0.4, 0.8).unwrap();
            let best = &found.locals[0];
            assert!(
                found
                    .grid
                    .iter()
                    .all(|seen| -2.0 * seen.point.log_lik >= best.deviance - 1e-9)
            );
            if d > 1 {
                let each = search.each(&best.lengths, &range, &singles(d)).unwrap();
                let settled =
                    |i: usize| each.gradient[i].abs() < 1e-3 || (each.gradient[i] < 0.0 && each.lengths[i] > 0.75);
                assert!(
                    each.deviance <= best.deviance + 0.1 && (0..d).all(settled),
                    "{:?} {:?}",
                    each.gradient,
                    each.lengths
                );
            }
        }
    }
}

const CASES: [(Family, usize, Method); 4] = [
    (Family::ExpQuad, 1, Method::Reml),
    (Family::Matern32, 1, Method::Ml),
    (Family::Matern52, 2, Method::Reml),
    (Family::Matern52, 2, Method::Ml),
];

/// The deviance and its slopes are tested above; second derivatives are their differences, and estimates those of the rotated data.
#[test]
fn second_derivatives_are_differences_of_slopes() {
    for (family, d, method) in CASES {
        let field = Field::new(8, [90, 520][d - 1], d, 2);
        let (range, space) = between(&field, family, true);
        check_second(&space, &space, (family, d, method), |_| 1e-9);
        let reduced = ReducedSpace::new(&space, &field.bounds(), &range, (1e-9, 1.0), Par::Seq).unwrap();
        assert!(reduced.error(0.3) < 1e-3, "{}", reduced.error(0.3));
        check_second(&reduced, &space, (family, d, method), |delta| {
            reduced.error(delta) + 1e-9
        });
        same_slopes(&reduced, &space, &vec![0.5; d], method, reduced.error(0.3));
    }
}

/// `error`: of the process by its prior's standard deviation, first order in S and second in the determinant.
fn same_slopes(a: &dyn Process, b: &dyn Process, at: &[f64], method: Method, error: f64) {
    let slopes = |p: &dyn Process| p.slopes(method, at, 0.3, Par::Seq).unwrap();
    for (a, b) in slopes(a).iter().zip(&slopes(b)) {
        let close = |a: f64, b: f64| (a - b).abs() < (error + 1e-8) * (1.0 + b.abs());
        assert!(close(a.log_det, b.log_det) && close(a.log_q, b.log_q), "{a:?} {b:?}");
    }
}

/// `error`: what the process may differ by from that of the space at any place, by its prior's standard deviation.
fn check_second(
    process: &dyn Process,
    space: &WeightSpace,
    (family, d, method): (Family, usize, Method),
    error: impl Fn(f64) -> f64,
) {
    // each length scale, all in proportion, and log delta
    let mut directions: Vec<Vec<f64>> = singles(d)
        .iter()
        .map(|own| (0..d).map(|i| f64::from(own.contains(&i))).collect())
        .collect();
    directions.push(vec![1.0; d]);
    let near = |moves: &[f64], delta: f64| {
        let at: Vec<f64> = (0..d)
            .map(|i| (0.5 + 0.1 * i as f64) * directions.iter().zip(moves).map(|(a, m)| a[i] * m).sum::<f64>().exp())
            .collect();
        (
            process
                .near(
                    About {
                        method,
                        at: &at,
                        delta,
                        directions: &directions,
                    },
                    Par::Seq,
                )
                .unwrap()
                .unwrap(),
            at,
        )
    };
    let (count, delta) = (directions.len() + 1, 0.3);
    let nowhere = vec![0.0; count - 1];
    let (here, at) = near(&nowhere, delta);
    let moved = |k: usize, by: f64| {
        let mut moves = nowhere.clone();
        match moves.get_mut(k) {
            Some(own) => {
                *own = by;
                near(&moves, delta).0
            }
            None => near(&moves, delta * by.exp()).0,
        }
    };
    const STEP: f64 = 1e-5;
    for k in 0..count {
        let (up, down) = (moved(k, STEP), moved(k, -STEP));
        let close = |exact: f64, up: f64, down: f64, scale: f64| {
            let difference = (up - down) / (2.0 * STEP);
            assert!(
                (exact - difference).abs() < 1e-5 * (scale + difference.abs()),
                "{family:?} {method:?} {k}: {exact} {difference}"
            );
        };
        close(here.local.gradient[k], up.local.value, down.local.value, 10.0);
        close(
            here.local.log_q[k],
            up.estimates.point.sigma2.ln(),
            down.estimates.point.sigma2.ln(),
            1.0,
        );
        for l in 0..count {
            close(
                here.local.hessian[k][l],
                up.local.gradient[l],
                down.local.gradient[l],
                10.0,
            );
        }
    }
    let alone = process.estimates(method, &at, delta, Par::Seq).unwrap().unwrap();
    let pairs = [
        (alone.point.log_lik, here.estimates.point.log_lik),
        (alone.point.sigma2, here.estimates.point.sigma2),
    ];
    assert!(pairs.iter().all(|(a, b)| (a - b).abs() < 1e-9 * b.abs()));
    let slow = space.coefficients(&at, delta, Par::Seq).unwrap();
    // coefficients of what the data do not reach are free: the norm of the prior bounds the process at all places
    let weights = space.weights(&at);
    let parts = slow.iter().zip(&alone.coefficients).zip(&weights);
    let apart = parts.map(|((a, b), d)| ((a - b) / d).powi(2)).sum::<f64>().sqrt();
    assert!(apart <= error(delta), "{family:?} {method:?}: {apart} {}", error(delta));
    let rotated = process.rotated(&at, Par::Seq).unwrap();
    let criterion = Criterion { data: &rotated, method };
    let (h, g) = (1.0 / (1.0 + delta), delta / (1.0 + delta));
    let inverse = criterion.inverse(h, g);
    let vcov = criterion.vcov(h, g);
    let tau2 = here.estimates.point.sigma2 / h;
    assert!((here.local.value - criterion.deviance_at(h, g)).abs() < 1e-8 * here.local.value.abs());
    assert!((here.estimates.nothing - criterion.deviance_at(0.0, 1.0)).abs() < 1e-8 * here.estimates.nothing.abs());
    for (j, row) in rotated.basis.iter().enumerate() {
        let beta = criterion.beta(row, h, &inverse);
        assert!(
            (here.estimates.beta[j] - beta).abs() < 1e-6 * (1.0 + beta.abs()),
            "{family:?} {method:?} {} {beta}",
            here.estimates.beta[j]
        );
        (0..vcov.len()).for_each(|i| assert!((here.estimates.vcov[i][j] - tau2 * vcov[i][j]).abs() < 1e-6 * tau2));
    }
}

/// From near and far, with delta too large and too small, to where the search of the whole range ends.
#[test]
fn newtons_method_ends_where_the_search_of_the_range_does() {
    for (family, d, method) in CASES {
        let field = Field::new(5, [70, 520][d - 1], d, 2);
        let (range, space) = between(&field, family, false);
        let workers = Workers::new(2).unwrap();
        let mut nobody = ();
        let search = LengthSearch {
            process: &space,
            method,
            workers: &workers,
            monitor: RefCell::new(&mut nobody),
        };
        let whole = search.isotropic(&vec![1.0; d], 0.4, 0.8).unwrap();
        let best = &whole.locals[0];
        let mut ended = 0;
        for start in [0.42, 0.5, 0.6, 0.75] {
            for times in [0.2, 1.0, 5.0] {
                let Some(found) = search.newton(&vec![start; d], times * best.delta, &range).unwrap() else {
                    continue;
                };
                ended += 1;
                let here = &found.locals[0];
                let least = whole
                    .locals
                    .iter()
                    .map(|l| (l.deviance - here.deviance).abs())
                    .fold(f64::INFINITY, f64::min);
                assert!(
                    least < 1e-4,
                    "{family:?} {method:?} {start} {times}: {} {}",
                    here.deviance,
                    best.deviance
                );
                assert!(found.width.unwrap() > 0.0);
                // what a last short step takes over from its beginning is what its end has
                let there = search.near(&here.lengths, here.delta, d).unwrap().unwrap();
                let told = found.here.unwrap();
                assert!((told.local.value - there.local.value).abs() < 1e-9 * there.local.value.abs());
                assert!((told.estimates.beta[0] - there.estimates.beta[0]).abs() < 1e-9);
                let inside = here.lengths[0] > range.shortest[0] && here.lengths[0] < range.longest[0];
                for i in usize::from(!inside)..2 {
                    let (a, b) = (told.local.hessian[i][i], there.local.hessian[i][i]);
                    assert!(
                        (a - b).abs() < 5e-3 * b,
                        "{family:?} {method:?} {start} {times}: {a} {b}"
                    );
                    assert!(there.local.gradient[i].abs() < 1e-2 * b.sqrt());
                }
            }
        }
        assert!(ended >= 9, "{family:?} {method:?} {ended}");
    }
}
