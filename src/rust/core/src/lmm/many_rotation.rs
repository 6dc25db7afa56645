//! One decomposition, and the responses that are rotated, searched and led back through it.

use super::shared_grid::Common;
use crate::kernel::Kernel;
use crate::likelihood::{Criterion, Method};
use crate::linalg::{clear_registers, dot, norm, product};
use crate::lmm::degenerate::diagnose;
use crate::lmm::fit::{Fit, Located, Options, above_floor, check_positive, locate_inside};
use crate::rotation::blup::WayBack;
use crate::rotation::cs_decomposition::Response;
use crate::rotation::factor::Factor;
use crate::rotation::rotated::Rotated;
use crate::rotation::{Model, Reduction, scaled_response};
use crate::runtime::error::Result;
use crate::runtime::monitor::Monitor;
use crate::runtime::parallel::Workers;
use faer::{Mat, MatRef, Par};
use rayon::prelude::*;

/// How responses reach the eigenvectors.
enum Way<'a> {
    /// By the rotations of the QL algorithm, which are run again for each block: for few responses.
    Rotations,
    /// By eigenvectors of K22.
    Vectors(Mat<f64>),
    /// By a factor's thin decomposition.
    Columns(Factor<'a>),
}

pub struct Rotation<'a> {
    reduction: Reduction,
    way: Way<'a>,
    common: Common,
    root: Vec<f64>,
    method: Method,
    /// The smallest delta; 0: none.
    floor: f64,
    /// Turn of the basis of span(X) that sets null directions apart.
    turn: Option<Vec<Vec<f64>>>,
}

/// A response in the coordinates of the reduction.
struct Projected {
    parts: Response,
    scale: f64,
    length: f64,
}

impl<'a> Rotation<'a> {
    /// `model.y` is 0.
    pub fn new(
        model: &Model<'a>,
        responses: usize,
        options: Options,
        floor: f64,
        workers: &Workers,
        monitor: &mut dyn Monitor,
    ) -> Result<Self> {
        // a decomposition rotates one response at a time: many are rotated by that of its factor
        let model = &Model {
            kernel: model.kernel.without_order(),
            ..*model
        };
        let mut reduction = Reduction::unrotated(model, workers, monitor)?;
        let way = workers.run(|par| way(&mut reduction, model, responses, par))?;
        check_positive(&reduction, model.index.len(), options.tolerance)?;
        reduction.rotated.y_scale = 1.0;
        let turn = if reduction.rotated.full_rank() {
            reduction.separate_null_directions()?
        } else {
            None
        };
        let criterion = Criterion {
            data: &reduction.rotated,
            method: options.method,
        };
        let common = Common::new(&criterion);
        Ok(Self {
            common,
            reduction,
            way,
            root: model.weights.iter().map(|w| w.sqrt()).collect(),
            method: options.method,
            floor,
            turn,
        })
    }

    /// Fit a block of responses.
    pub fn fit(&self, model: &Model<'_>, block: &[Result<Vec<f64>>], effects: bool, par: Par) -> Vec<Result<Fit>> {
        let projected: Vec<Result<Projected>> = block.par_iter().map(|y| self.project(y)).collect();
        let (rotated, rest) = match self.rotate(&columns(&projected), par) {
            Ok(found) => found,
            Err(error) => return block.iter().map(|_| Err(error.clone())).collect(),
        };
        let located = self.search(&projected, &rotated, &rest, par);
        let alpha = if effects {
            self.effects(model, block, &projected, &rotated, &located, par)
        } else {
            vec![vec![]; block.len()]
        };
        let finish = |(located, alpha): (Result<Located>, Vec<f64>)| {
            Ok(Fit {
                alpha,
                profile: vec![],
                ..located?.fit
            })
        };
        located.into_iter().zip(alpha).map(finish).collect()
    }

    /// Each response on its own, in one copy of the rotated data for each thread.
    fn search(
        &self,
        projected: &[Result<Projected>],
        rotated: &Mat<f64>,
        rest: &[f64],
        par: Par,
    ) -> Vec<Result<Located>> {
        let forms = self.common.forms(rotated, par);
        let one = |data: &mut Rotated, j: usize| {
            clear_registers();
            let y = projected[j].as_ref().map_err(Clone::clone)?;
            self.fill(data, y, rotated, rest[j], j);
            self.locate(data, y.length, &forms, j)
        };
        let copy = || self.reduction.rotated.clone();
        (0..projected.len()).into_par_iter().map_init(copy, one).collect()
    }

    fn project(&self, y: &Result<Vec<f64>>) -> Result<Projected> {
        clear_registers();
        let (y, scale) = scaled_response(y.as_ref().map_err(Clone::clone)?, &self.root)?;
        Ok(Projected {
            parts: Response::new(&y, &self.reduction.between, &self.reduction.split),
            scale,
            length: norm(&y),
        })
    }

    /// U'y2, and the squares of what U does not hold.
    fn rotate(&self, y2: &Mat<f64>, par: Par) -> Result<(Mat<f64>, Vec<f64>)> {
        let none = vec![0.0; y2.ncols()];
        match (&self.way, &self.reduction.way_back) {
            (Way::Vectors(u), _) => Ok((self.padded(product(u.transpose(), y2.as_ref(), par)), none)),
            (Way::Columns(factor), WayBack::Columns(thin, _)) => {
                let (y, rest) = thin.coordinates(factor, &self.reduction.split, y2, par);
                Ok((y, if thin.lost > 0 { rest } else { none }))
            }
            (_, WayBack::Ids(spectrum, _)) => {
                let (n, q) = (y2.nrows(), y2.ncols());
                let mut c = y2.clone();
                spectrum.transpose_apply(c.as_mut(), par);
                let mut rows: Vec<f64> = (0..n * q).map(|k| c[(k / q, k % q)]).collect();
                spectrum.rotate(&mut rows, q)?;
                Ok((self.padded(Mat::from_fn(n, q, |i, j| rows[i * q + j])), none))
            }
            (_, WayBack::Columns(..) | WayBack::Eigenvectors(_)) => {
                Ok((Mat::zeros(self.reduction.rotated.values.len(), y2.ncols()), none))
            }
        }
    }

    /// With zeros for the eigenvalues that were set aside.
    fn padded(&self, mut rotated: Mat<f64>) -> Mat<f64> {
        rotated.resize_with(self.reduction.rotated.values.len(), rotated.ncols(), |_, _| 0.0);
        rotated
    }

    /// Put response `j` in place of the one in `data`.
    fn fill(&self, data: &mut Rotated, y: &Projected, rotated: &Mat<f64>, rest: f64, j: usize) {
        data.y
            .iter_mut()
            .zip(rotated.col(j).iter())
            .for_each(|(to, from)| *to = *from);
        data.rho = y.parts.rho + rest;
        data.drop_rounding();
        data.y_scale = y.scale;
        let y1 = &y.parts.y1;
        data.y1 = match &self.turn {
            Some(turn) => turn.iter().map(|t| dot(t, y1)).collect(),
            None => y1.clone(),
        };
    }

    fn locate(&self, data: &mut Rotated, length: f64, forms: &Mat<f64>, j: usize) -> Result<Located> {
        let status = above_floor(diagnose(data, length, self.reduction.trace)?, self.floor);
        data.dropped = 0;
        let kept = &self.reduction.design.kept;
        locate_inside(data, self.method, kept, status, |criterion| {
            self.common.grid_above(criterion, forms, j, self.floor)
        })
    }

    /// Coefficients of the random effects of a block of responses.
    fn effects(
        &self,
        model: &Model<'_>,
        block: &[Result<Vec<f64>>],
        projected: &[Result<Projected>],
        rotated: &Mat<f64>,
        located: &[Result<Located>],
        par: Par,
    ) -> Vec<Vec<f64>> {
        if matches!(model.kernel, Kernel::Identity) {
            let one = |(y, l): (&Result<Vec<f64>>, &Result<Located>)| match (y, l) {
                (Ok(y), Ok(l)) => independent(model, y, &l.fit),
                _ => vec![],
            };
            return block.par_iter().zip(located).map(one).collect();
        }
        let place = |l: &Result<Located>| l.as_ref().map_or((0.0, 1.0), |l| (l.h, l.g));
        let at: Vec<(f64, f64)> = located.iter().map(place).collect();
        let mut alpha = self.scaled_effects(model.index.len(), projected, rotated, &at, par);
        for (alpha, y) in alpha.iter_mut().zip(projected) {
            let scale = y.as_ref().map_or(1.0, |y| y.scale);
            alpha.iter_mut().for_each(|a| *a *= scale);
        }
        match (&self.reduction.way_back, model.kernel) {
            (WayBack::Ids(..), Kernel::LowRank(w)) => {
                alpha.par_iter().map(|a| of_columns(w.0, model.index, a)).collect()
            }
            _ => alpha,
        }
    }

    /// The same in units of the responses' scales.
    fn scaled_effects(
        &self,
        groups: usize,
        projected: &[Result<Projected>],
        rotated: &Mat<f64>,
        at: &[(f64, f64)],
        par: Par,
    ) -> Vec<Vec<f64>> {
        match (&self.way, &self.reduction.way_back) {
            (_, WayBack::Eigenvectors(_)) => vec![vec![]; at.len()],
            (_, WayBack::Columns(thin, unit)) => {
                let weights = thin.weights_each(rotated, at, par);
                let one = |j: usize| weights.col(j).iter().map(|a| a / unit).collect();
                (0..at.len()).map(one).collect()
            }
            (Way::Vectors(u), WayBack::Ids(..)) => self.by_vectors(u, rotated, at, groups, par),
            (_, WayBack::Ids(spectrum, _)) => {
                let solve = |(y, (h, g)): (&Result<Projected>, &(f64, f64))| match y {
                    Ok(y) => self
                        .reduction
                        .id_coefficients(spectrum, &y.parts.y2, groups, *h, *g, Par::Seq),
                    Err(_) => vec![],
                };
                projected.par_iter().zip(at).map(solve).collect()
            }
        }
    }

    /// `h N^(1/2) H D U diag(1 / (h lambda + g)) U'y2`.
    fn by_vectors(&self, u: &Mat<f64>, y: &Mat<f64>, at: &[(f64, f64)], groups: usize, par: Par) -> Vec<Vec<f64>> {
        let n = u.nrows();
        let (values, floor) = (&self.reduction.rotated.values, self.reduction.floor(n));
        let shrunk = Mat::from_fn(n, at.len(), |i, j| {
            y[(i, j)] / (at[j].0 * values[i] + at[j].1.max(floor))
        });
        let c = product(u.as_ref(), shrunk.as_ref(), par);
        let one = |j: usize| {
            let c: Vec<f64> = c.col(j).iter().copied().collect();
            self.reduction.to_groups(&c, groups, at[j].0)
        };
        (0..at.len()).into_par_iter().map(one).collect()
    }
}

/// Eigenvectors pay from about n / 8 responses on.
fn way<'a>(reduction: &mut Reduction, model: &Model<'a>, responses: usize, par: Par) -> Result<Way<'a>> {
    let vectors = match (&reduction.way_back, model.kernel) {
        (WayBack::Columns(..), Kernel::LowRank(w)) => {
            return Ok(Way::Columns(Factor::new(w.0, model.index, &reduction.between.z)));
        }
        (WayBack::Ids(spectrum, _), _) if 8 * responses > spectrum.n() => reduction.rotate_by_vectors(par)?,
        _ => None,
    };
    match vectors {
        Some(u) => Ok(Way::Vectors(u)),
        None => reduction.rotate(par).map(|()| Way::Rotations),
    }
}

/// y2 of the responses, zeros for those that have none.
fn columns(projected: &[Result<Projected>]) -> Mat<f64> {
    let parts: Vec<&[f64]> = projected
        .iter()
        .map(|p| p.as_ref().map_or(&[][..], |p| &p.parts.y2))
        .collect();
    let n = parts.iter().map(|y| y.len()).max().unwrap_or(0);
    Mat::from_fn(n, parts.len(), |i, j| parts[j].get(i).copied().unwrap_or(0.0))
}

/// W' alpha over the rows of the groups.
fn of_columns(w: MatRef<'_, f64>, index: &[usize], alpha: &[f64]) -> Vec<f64> {
    let column = |c: usize| alpha.iter().zip(index).map(|(a, &i)| a * w[(i, c)]).sum();
    (0..w.ncols()).map(column).collect()
}

/// Independent groups: sum of w z (y - X beta) over the group's rows, over N + delta.
fn independent(model: &Model<'_>, y: &[f64], fit: &Fit) -> Vec<f64> {
    let groups = model.index.len();
    let (mut sum, mut gram) = (vec![0.0; groups], vec![0.0; groups]);
    for (i, &g) in model.group.iter().enumerate() {
        let fitted: f64 = fit.kept.iter().zip(&fit.beta).map(|(&j, b)| model.x[(i, j)] * b).sum();
        let wz = model.weights[i] * model.z[i];
        sum[g] += wz * (y[i] - fitted);
        gram[g] += wz * model.z[i];
    }
    let known = fit.point.delta.is_finite();
    let shrink = |(s, n): (&f64, &f64)| {
        if known && *n > 0.0 {
            s / (n + fit.point.delta)
        } else {
            0.0
        }
    };
    sum.iter().zip(&gram).map(shrink).collect()
}
