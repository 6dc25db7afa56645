//! Many responses at once, each with its own delta, which is kept: two matrix products for all pairs of a block of candidates and a tile of responses.

use super::basis::ScanBasis;
use super::candidate::{CLOSE, LEFT};
use super::rotate::RotatedBlock;
use super::standardise::CandidateState;
use crate::linalg::weighted;
use crate::linalg::{axpy, dot, product};
use crate::runtime::error::Result;
use crate::runtime::memory::claim;
use faer::{Mat, MatRef, Par};
use rayon::prelude::*;

/// Responses in rotated coordinates, a column each.
pub struct Responses<'a> {
    /// U'y, eigenvalues x responses.
    pub y: MatRef<'a, f64>,
    /// Py for candidates' cells, cells x responses.
    pub v: MatRef<'a, f64>,
    /// What the kernel does not reach of y'Py.
    pub rho: &'a [f64],
    /// Proportion of each response's variance from the kernel at its null fit.
    pub h: &'a [f64],
    /// 1 - h.
    pub g: &'a [f64],
    /// Lengths of the responses, X included.
    pub length: &'a [f64],
}

/// Tests of candidates (rows) with responses (columns): F statistic, estimate and standard error in the scales of the rotated data.
pub struct Tested {
    /// Number of the first response.
    pub(crate) first: usize,
    /// F on 1 and N' - 1 degrees of freedom, candidates x responses.
    pub(crate) statistic: Mat<f64>,
    /// Coefficients, of the same shape.
    pub(crate) estimate: Mat<f64>,
    /// Standard errors, of the same shape.
    pub(crate) std_error: Mat<f64>,
}

/// Responses that are taken together.
const TILE: usize = 512;
/// Matrices of a tile.
const MATRICES: usize = 6;

/// Calls `take` with the tests of one tile of responses after the other.
pub fn many(
    basis: &ScanBasis<'_>,
    g: MatRef<'_, f64>,
    responses: &Responses<'_>,
    par: Par,
    mut take: impl FnMut(Tested),
) -> Result<Vec<(CandidateState, f64)>> {
    let all: Vec<usize> = (0..g.ncols()).collect();
    let block = RotatedBlock::new(basis, g, &all, par)?;
    claim((MATRICES * TILE.min(responses.h.len()) * g.ncols()) as f64)?;
    let projected: Vec<f64> = (0..g.ncols()).map(|j| block.projected(basis, j, j)).collect();
    let state = |j: usize| {
        let column = &block.columns[j];
        let explained = projected[j] <= LEFT * column.square;
        match column.state {
            CandidateState::Ok if explained && column.constant => CandidateState::Constant,
            CandidateState::Ok if explained => CandidateState::Collinear,
            CandidateState::Ok if basis.rotated.contrasts() <= 1 => CandidateState::NoContrast,
            state => state,
        }
    };
    let states: Vec<CandidateState> = (0..g.ncols()).map(state).collect();
    let e = block.e();
    let square = Mat::from_fn(e.nrows(), g.ncols(), |i, j| e[(i, j)] * e[(i, j)]);
    for first in (0..responses.h.len()).step_by(TILE) {
        let width = TILE.min(responses.h.len() - first);
        let tile = ScanTile {
            basis,
            block: &block,
            square: &square,
            states: &states,
            responses,
            first,
            width,
        };
        take(tile.tested(par));
    }
    let scale = |(j, state): (usize, CandidateState)| (state, block.columns[j].scale);
    Ok(states.into_iter().enumerate().map(scale).collect())
}

/// Which tests are kept.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Keep {
    /// Every pair.
    All,
    /// The largest statistic of each response.
    Largest,
    /// Statistics of at least so much.
    AtLeast(f64),
}

/// One test: candidate, response, F statistic, estimate and standard error.
#[derive(Debug, Clone, Copy)]
pub struct Pair {
    /// Column of the block.
    pub candidate: usize,
    /// Which response.
    pub response: usize,
    /// F on 1 and N' - 1 degrees of freedom.
    pub statistic: f64,
    /// Coefficient of the candidate, in the scales of the rotated data.
    pub estimate: f64,
    /// Its standard error.
    pub std_error: f64,
}

impl Tested {
    /// The tests to be kept, one response after the other.
    pub fn kept(&self, keep: Keep) -> Vec<Pair> {
        let pair = |j: usize, k: usize| Pair {
            candidate: j,
            response: self.first + k,
            statistic: self.statistic[(j, k)],
            estimate: self.estimate[(j, k)],
            std_error: self.std_error[(j, k)],
        };
        let of_response = |k: usize| -> Vec<Pair> {
            let column = self.statistic.col(k);
            let all = 0..column.nrows();
            match keep {
                Keep::All => all.map(|j| pair(j, k)).collect(),
                Keep::AtLeast(least) => all.filter(|&j| column[j] >= least).map(|j| pair(j, k)).collect(),
                Keep::Largest => {
                    let finite = all.filter(|&j| !column[j].is_nan());
                    let best = finite.max_by(|&a, &b| column[a].total_cmp(&column[b]));
                    best.map(|j| pair(j, k)).into_iter().collect()
                }
            }
        };
        (0..self.statistic.ncols())
            .into_par_iter()
            .flat_map_iter(of_response)
            .collect()
    }
}

struct ScanTile<'a> {
    basis: &'a ScanBasis<'a>,
    block: &'a RotatedBlock,
    square: &'a Mat<f64>,
    states: &'a [CandidateState],
    responses: &'a Responses<'a>,
    first: usize,
    width: usize,
}

impl ScanTile<'_> {
    fn tested(&self, par: Par) -> Tested {
        let (m, r) = (self.square.nrows(), self.responses);
        let values = &self.basis.rotated.values;
        let y = r.y.subcols(self.first, self.width);
        let weight = |i: usize, k: usize| (r.h[self.first + k] * values[i] + r.g[self.first + k]).recip();
        let weights = Mat::from_fn(m, self.width, weight);
        let weighted = Mat::from_fn(m, self.width, |i, k| weights[(i, k)] * y[(i, k)]);
        let mut gg = product(self.square.transpose(), weights.as_ref(), par);
        let mut gy = product(self.block.e().transpose(), weighted.as_ref(), par);
        if self.basis.rotated.n_rest > 0 {
            self.add_rest(&mut gg, &mut gy, y, par);
        }
        let yy = |k: usize| {
            let reached: f64 = (0..m).map(|i| weighted[(i, k)] * y[(i, k)]).sum();
            reached
                + if r.rho[self.first + k] > 0.0 {
                    r.rho[self.first + k] / r.g[self.first + k]
                } else {
                    0.0
                }
        };
        let yy: Vec<f64> = (0..self.width).map(yy).collect();
        self.finish(gg, gy, &yy, &weights)
    }

    /// What the kernel does not reach of the products.
    fn add_rest(&self, gg: &mut Mat<f64>, gy: &mut Mat<f64>, y: MatRef<'_, f64>, par: Par) {
        let r = self.responses;
        let rest: Vec<f64> = (0..gg.nrows()).map(|j| self.block.rest(self.basis, j)).collect();
        let reached = product(self.block.e().transpose(), y, par);
        let whole = product(
            self.block.values().transpose(),
            r.v.subcols(self.first, self.width),
            par,
        );
        for k in 0..self.width {
            let g = r.g[self.first + k];
            for j in 0..gg.nrows() {
                gg[(j, k)] += rest[j] / g;
                gy[(j, k)] += (whole[(j, k)] - reached[(j, k)]) / g;
            }
        }
    }

    /// Estimate and residual square of a response that a candidate explains nearly: as a sum of squares, after a first estimate is taken off.
    fn close(&self, j: usize, k: usize, (square, first): (f64, f64), weights: &[f64]) -> (f64, f64) {
        let (e, r) = (self.block.column(j), self.responses);
        let (at, g) = (self.first + k, r.g[self.first + k]);
        let reached: Vec<f64> = r.y.col(at).iter().copied().collect();
        let (mut u, mut u_y) = (vec![], vec![]);
        if self.basis.rotated.n_rest > 0 && self.basis.by_rows {
            let v: Vec<f64> = r.v.col(at).iter().copied().collect();
            u = self.block.unreached(self.basis, j);
            u_y = self.basis.left(&v, &[], &reached);
        }
        let mut y = reached;
        axpy(-first, e, &mut y);
        axpy(-first, &u, &mut u_y);
        let rest = |x: &[f64], y: &[f64]| if x.is_empty() { 0.0 } else { dot(x, y) / g };
        let step = (weighted(e, &y, weights) + rest(&u, &u_y)) / square;
        axpy(-step, e, &mut y);
        axpy(-step, &u, &mut u_y);
        // without the rows a candidate is taken to leave the rest of the response as it is
        let hidden = if u.is_empty() && r.rho[at] > 0.0 {
            r.rho[at] / g
        } else {
            0.0
        };
        (first + step, weighted(&y, &y, weights) + rest(&u_y, &u_y) + hidden)
    }

    /// Is the remainder of the response rounding?
    fn is_rounding(&self, j: usize, k: usize, (estimate, left): (f64, f64), weights: &[f64]) -> bool {
        let (r, at) = (self.responses, self.first + k);
        let n = self.basis.rotated.contrasts() as f64;
        let taken = estimate.abs() * self.block.columns[j].square.sqrt();
        let rounding = 8.0 * f64::EPSILON * (r.length[at] + n.sqrt() * (r.y.col(at).norm_l2() + taken));
        let rest = match self.basis.rotated.n_rest {
            0 => 0.0,
            count => count as f64 / r.g[at],
        };
        left <= (weights.iter().sum::<f64>() + rest) / n * rounding.powi(2)
    }

    /// F statistics in place of g'Hg, estimates in place of g'Hy.
    fn finish(&self, mut gg: Mat<f64>, mut gy: Mat<f64>, yy: &[f64], weights: &Mat<f64>) -> Tested {
        let df2 = self.basis.rotated.contrasts() as f64 - 1.0;
        let mut errors = Mat::zeros(gg.nrows(), gg.ncols());
        let columns = gg
            .par_col_iter_mut()
            .zip(gy.par_col_iter_mut())
            .zip(errors.par_col_iter_mut());
        columns
            .zip(yy)
            .enumerate()
            .for_each(|(k, (((mut gg, mut gy), mut error), yy))| {
                for j in 0..gg.nrows() {
                    let (square, cross) = (gg[j], gy[j]);
                    let ok = self.states[j] == CandidateState::Ok;
                    let mut estimate = cross / square;
                    let taken = cross * estimate;
                    let mut left = yy - taken;
                    if ok && left < CLOSE * yy {
                        let weights = weights.col_as_slice(k);
                        (estimate, left) = self.close(j, k, (square, estimate), weights);
                        if self.is_rounding(j, k, (estimate, left), weights) {
                            left = 0.0;
                        }
                    }
                    let variance = left / df2;
                    gg[j] = if ok { taken / variance } else { f64::NAN };
                    gy[j] = if ok { estimate } else { f64::NAN };
                    error[j] = if ok { (variance / square).sqrt() } else { f64::NAN };
                }
            });
        Tested {
            first: self.first,
            statistic: gg,
            estimate: gy,
            std_error: errors,
        }
    }
}
