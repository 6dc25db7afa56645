//! Bases and tables of Gaussian processes as R holds them.

use crate::failure::Reply;
use crate::gp_view::{ProcessSettings, bounds, columns};
use crate::view;
use extendr_api::prelude::*;
use faer::Mat;
use fastlmm_core::gp::bounds::{Bounds, Range};
use fastlmm_core::gp::fourier::explorer::Settled;
use fastlmm_core::gp::fourier::gram::Sums;
use fastlmm_core::gp::fourier::grid::Grid;
use fastlmm_core::gp::fourier::moments::{GroupMoments, Moments};
use fastlmm_core::gp::fourier::nested::Ladder;
use fastlmm_core::gp::fourier::window_basis::WindowBasis;
use fastlmm_core::kernel::stationary::Family;

// ---- the basis ----------------------------------------------------------------------------------------

pub struct FourierBasis {
    pub family: Family,
    pub grid: Grid,
    pub bounds: Bounds,
    pub range: Range,
    pub eps: f64,
    pub frequencies: Vec<Vec<i64>>,
}

impl FourierBasis {
    /// A basis for a range that was asked for.
    pub fn new(settings: &ProcessSettings, eps: f64) -> Reply<Self> {
        let request = &settings.request;
        let (shortest, longest) = (
            request.shortest.unwrap_or(f64::NAN),
            request.longest.unwrap_or(f64::NAN),
        );
        let range = request.range(&settings.bounds, shortest, longest);
        let grid = Grid::new(request.family, &settings.bounds, &range, eps);
        Ok(Self {
            family: request.family,
            frequencies: vec![],
            bounds: settings.bounds.clone(),
            eps,
            grid,
            range,
        })
    }

    /// The basis of a fit.
    pub fn of(settings: &ProcessSettings, settled: &Settled) -> Self {
        Self {
            family: settled.space.family,
            grid: settled.space.grid.clone(),
            bounds: settings.bounds.clone(),
            range: settled.range.clone(),
            eps: settled.eps,
            frequencies: settled.space.frequencies.clone(),
        }
    }

    /// The basis of a window of length scales of many responses.
    pub fn of_window(settings: &ProcessSettings, basis: &WindowBasis) -> Self {
        Self {
            family: settings.request.family,
            grid: basis.grid.clone(),
            bounds: settings.bounds.clone(),
            range: basis.range.clone(),
            eps: basis.eps,
            frequencies: basis.frequencies.clone(),
        }
    }

    /// Its frequencies, or where none were chosen those that its range needs.
    pub fn used(&self) -> Vec<Vec<i64>> {
        if self.frequencies.is_empty() {
            return self.grid.frequencies(self.family, &self.range.shortest, self.eps);
        }
        self.frequencies.clone()
    }

    pub fn ladder(self, moments: Moments) -> Ladder {
        Ladder {
            family: self.family,
            bounds: self.bounds,
            range: self.range,
            eps: self.eps,
            moments,
        }
    }

    pub fn read(list: &List) -> Reply<Self> {
        let m = view::numbers(list, "m")?;
        let frequencies = view::real_matrix(list, "frequencies")?;
        let frequency = |i: usize| (0..m.len()).map(|a| frequencies[[i, a]] as i64).collect();
        Ok(Self {
            family: view::family(&view::text(list, "cov")?)?,
            grid: Grid {
                centre: view::numbers(list, "centre")?,
                h: view::numbers(list, "h")?,
                m: m.iter().map(|m| view::count(*m, "m")).collect::<Reply<_>>()?,
            },
            bounds: bounds(list)?,
            range: Range {
                shortest: view::numbers(list, "shortest")?,
                longest: view::numbers(list, "longest")?,
            },
            eps: view::number(list, "eps")?,
            frequencies: (0..frequencies.nrows()).map(frequency).collect(),
        })
    }

    pub fn reply(&self) -> List {
        let d = self.grid.d();
        list!(
            low = self.bounds.low.clone(),
            high = self.bounds.high.clone(),
            centre = self.grid.centre.clone(),
            h = self.grid.h.clone(),
            m = self.grid.m.iter().map(|m| *m as f64).collect::<Vec<_>>(),
            shortest = self.range.shortest.clone(),
            longest = self.range.longest.clone(),
            eps = self.eps,
            cov = view::family_name(self.family),
            frequencies = RMatrix::new_matrix(self.frequencies.len(), d, |i, a| self.frequencies[i][a] as f64)
        )
    }
}

// ---- the table ----------------------------------------------------------------------------------------

fn sums_matrix(sums: &[Sums], pick: fn(&Sums) -> &Vec<f64>) -> RMatrix<f64> {
    let rows = sums.first().map_or(0, |s| pick(s).len());
    RMatrix::new_matrix(rows, sums.len(), |i, j| pick(&sums[j])[i])
}

pub fn reply_table(t: &Moments) -> List {
    let q = t.groups.counts.len();
    list!(
        n = t.n,
        log_weights = t.log_weights,
        shifts = t.shifts.clone(),
        ones_cos = t.ones.cos.clone(),
        ones_sin = t.ones.sin.clone(),
        cos = sums_matrix(&t.columns, |s| &s.cos),
        sin = sums_matrix(&t.columns, |s| &s.sin),
        cross = RMatrix::new_matrix(t.cross.nrows(), t.cross.ncols(), |i, j| t.cross[(i, j)]),
        squares = t.squares.clone(),
        group_counts = t.groups.counts.clone(),
        group_cos = sums_matrix(&t.groups.sums, |s| &s.cos),
        group_sin = sums_matrix(&t.groups.sums, |s| &s.sin),
        group_cross = RMatrix::new_matrix(q, t.cross.ncols(), |i, j| t.groups.cross[i][j])
    )
}

fn sums(cos: &[f64], sin: &[f64], m: &[usize]) -> Sums {
    Sums {
        m: m.to_vec(),
        cos: cos.to_vec(),
        sin: sin.to_vec(),
    }
}

fn sums_of(list: &List, cos: &'static str, sin: &'static str, m: &[usize]) -> Reply<Vec<Sums>> {
    let (cos, sin) = (view::real_matrix(list, cos)?, view::real_matrix(list, sin)?);
    let pairs = columns(&cos)
        .into_iter()
        .zip(columns(&sin))
        .map(|(c, s)| sums(c, s, m))
        .collect();
    Ok(pairs)
}

pub fn table(list: &List, basis: &FourierBasis) -> Reply<Moments> {
    let m = &basis.grid.m;
    let twice: Vec<usize> = m.iter().map(|m| 2 * m).collect();
    let (cross, group) = (
        view::real_matrix(list, "cross")?,
        view::real_matrix(list, "group_cross")?,
    );
    Ok(Moments {
        grid: basis.grid.clone(),
        n: view::number(list, "n")?,
        log_weights: view::number(list, "log_weights")?,
        shifts: view::numbers(list, "shifts")?,
        ones: sums(
            &view::numbers(list, "ones_cos")?,
            &view::numbers(list, "ones_sin")?,
            &twice,
        ),
        columns: sums_of(list, "cos", "sin", m)?,
        cross: Mat::from_fn(cross.nrows(), cross.ncols(), |i, j| cross[[i, j]]),
        squares: view::numbers(list, "squares")?,
        groups: GroupMoments {
            counts: view::numbers(list, "group_counts")?,
            sums: sums_of(list, "group_cos", "group_sin", m)?,
            cross: (0..group.nrows())
                .map(|i| (0..group.ncols()).map(|j| group[[i, j]]).collect())
                .collect(),
        },
    })
}
