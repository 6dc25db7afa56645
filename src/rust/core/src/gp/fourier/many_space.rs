//! The weight space of a window of length scales with many responses: one decomposition at a length scale serves all of them.
//! No [`NullModel`](crate::rotation::NullModel): the rows are gone, and what is rotated are sums of them. The rotated data are the same [`Rotated`] as everywhere.

use super::weights::WeightSpace;
use crate::gp::Process;
use crate::gp::answer::give_back;
use crate::gp::many_search::{ManySettings, angle, spread};
use crate::likelihood::Criterion;
use crate::linalg::eigen::eigen;
use crate::linalg::{clear_registers, dot, product};
use crate::lmm::estimates::{Case, Fit, Status};
use crate::lmm::fit::locate;
use crate::lmm::shared_grid::Common;
use crate::rotation::rotated::Rotated;
use crate::runtime::error::{Error, Result};
use faer::{Mat, Par};
use rayon::prelude::*;

/// The space of a window with F'Py, Q1'y and y'Py of each response.
pub(super) struct Space {
    /// The weight space of the rows.
    pub space: WeightSpace,
    /// F'w
    pub ones: Vec<f64>,
    /// F'Py, Q1'y, y'Py.
    pub responses: Vec<(Vec<f64>, Vec<f64>, f64)>,
}

impl Space {
    /// Angle of the score statistics of two length scales.
    pub fn arc(&self, before: &[f64], at: &[f64]) -> f64 {
        angle(self.space.score_correlation(before, at))
    }

    /// `FittedLength::spread` of these rows.
    pub fn spread(&self, at: &[f64]) -> f64 {
        let d = self.space.weights(at);
        let form = d.iter().zip(&self.ones).map(|(d, f)| (d * f).powi(2)).sum();
        spread(form, self.ones[0], self.space.n)
    }

    /// The fit of each response at a length scale.
    pub fn fits(&self, settings: ManySettings<'_>, at: &[f64], par: Par) -> Result<Vec<Result<Fit>>> {
        let method = settings.request.method;
        let (space, d) = (&self.space, self.space.weights(at));
        let (m, r) = (d.len(), space.fixed.kept.len());
        let (values, u) = eigen(space.a(&d), par)?;
        let fixed = product(u.transpose(), space.weighted_columns(&d).as_ref(), par);
        let (reached, data) = space.reduced(&d, &values, |j, i| if j < r { fixed[(i, j)] } else { 0.0 });
        let cross = Mat::from_fn(m, self.responses.len(), |i, j| d[i] * self.responses[j].0[i]);
        let turned = product(u.transpose(), cross.as_ref(), par);
        let rotated = Mat::from_fn(reached.len(), turned.ncols(), |i, j| {
            turned[(reached[i], j)] / values[reached[i]].sqrt()
        });
        let criterion = Criterion { data: &data, method };
        let common = Common::new(&criterion);
        let forms = common.forms(&rotated, par);
        let (missing, floor) = (1.0 - space.captured(at), space.floor());
        let one = |data: &mut Rotated, j: usize| {
            clear_registers();
            self.check(j)?;
            self.fill(data, &rotated, j);
            let criterion = Criterion { data, method };
            let case = Case {
                criterion,
                kept: &space.fixed.kept,
            };
            let located = locate(&case, Status::Ok, || common.grid_above(&criterion, &forms, j, floor))?;
            let mut fit = located.fit;
            fit.profile = vec![];
            let share = give_back(&mut fit.point, missing);
            fit.errors = fit.errors.given_back(share, &fit.point);
            Ok((fit, located.h, located.g))
        };
        let all = 0..self.responses.len();
        let found: Vec<Result<(Fit, f64, f64)>> = all.into_par_iter().map_init(|| data.clone(), one).collect();
        let mut shrunk = Mat::zeros(if settings.effects { values.len() } else { 0 }, found.len());
        for (j, one) in found.iter().enumerate() {
            let (h, g) = one.as_ref().map_or((0.0, 1.0), |(_, h, g)| (*h, *g));
            (0..shrunk.nrows()).for_each(|i| shrunk[(i, j)] = h * turned[(i, j)] / (h * values[i].max(0.0) + g));
        }
        let coefficients = if settings.effects {
            product(u.as_ref(), shrunk.as_ref(), par)
        } else {
            shrunk
        };
        let finish = |(j, one): (usize, Result<(Fit, f64, f64)>)| {
            let alpha = coefficients.col(j).iter().zip(&d).map(|(c, d)| c * d).collect();
            Ok(Fit { alpha, ..one?.0 })
        };
        Ok(found.into_iter().enumerate().map(finish).collect())
    }

    /// Sums of squares know nothing of what X leaves below their rounding.
    fn check(&self, j: usize) -> Result<()> {
        let (_, y1, rho0) = &self.responses[j];
        if *rho0 > 1e-11 * dot(y1, y1) {
            return Ok(());
        }
        Err(Error::Response {
            class: "perfect_fit",
            why: "is explained by X to rounding",
        })
    }

    /// Put response `j` in place of the one in `data`.
    fn fill(&self, data: &mut Rotated, rotated: &Mat<f64>, j: usize) {
        let (_, y1, rho0) = &self.responses[j];
        data.y = rotated.col(j).iter().copied().collect();
        data.rho = (rho0 - dot(&data.y, &data.y)).max(0.0);
        data.y1.clone_from(y1);
    }
}

impl WeightSpace {
    /// The correlation over contrasts of noise of the score statistics of two length scales: of u'(T o T)v with the squares of the weights, for a scale that is estimated.
    fn score_correlation(&self, a: &[f64], b: &[f64]) -> f64 {
        let squares = |at: &[f64]| -> Vec<f64> { self.weights(at).iter().map(|d| d * d).collect() };
        let (u, v) = (squares(a), squares(b));
        let free = self.n - self.fixed.kept.len() as f64;
        let product = |x: &[f64], y: &[f64]| {
            let (mut sum, mut traces) = (0.0, (0.0, 0.0));
            for j in 0..x.len() {
                let diagonal = self.t[(j, j)];
                traces = (traces.0 + diagonal * x[j], traces.1 + diagonal * y[j]);
                sum += diagonal * diagonal * x[j] * y[j];
                for i in j + 1..x.len() {
                    sum += self.t[(i, j)].powi(2) * (x[i] * y[j] + x[j] * y[i]);
                }
            }
            sum - traces.0 * traces.1 / free
        };
        product(&u, &v) / (product(&u, &u) * product(&v, &v)).sqrt()
    }
}
