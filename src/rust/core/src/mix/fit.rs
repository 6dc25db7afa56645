//! The fit of several effects: reduce, search, and say what the optimum means in the user's units.

use super::coordinates::Coordinates;
use super::covariance::Covariance;
use super::likelihood::{Derivatives, Point, Problem};
use super::part::Part;
use super::search::{Found, Local, Search};
use super::spectral::{self, Spectral};
use super::{Model, dense::Dense};
use crate::design::Design;
use crate::error::{Error, Result};
use crate::kernel::Kernel;
use crate::likelihood::Method;
use crate::linalg::{norm, power_of_two};
use crate::monitor::Monitor;
use crate::parallel::Workers;
use crate::reduce::scaled_response;
use faer::linalg::solvers::DenseSolveCore;
use faer::{Mat, Par, Side};
use std::cell::RefCell;
use std::sync::Arc;

/// Variances of the effects and of the residual, in the user's units, and the likelihood there.
#[derive(Debug, Clone)]
pub struct Components {
    pub sigma2: Vec<f64>,
    pub sigma2_e: f64,
    pub log_lik: f64,
}

/// Standard errors from the observed information of the variances that are not zero; NaN for the others.
#[derive(Debug, Clone)]
pub struct Errors {
    pub sigma2: Vec<f64>,
    pub sigma2_e: f64,
    /// Of the shares sigma2_k / (sum of all variances).
    pub h2: Vec<f64>,
    pub delta: Vec<f64>,
}

pub struct Fit {
    /// Coefficients of the kept columns of X, their covariance, and which columns those are.
    pub beta: Vec<f64>,
    pub vcov: Vec<Vec<f64>>,
    pub kept: Vec<usize>,
    pub best: Components,
    pub errors: Errors,
    /// All local optima, best first, and the grid that the search saw.
    pub locals: Vec<Components>,
    pub grid: Vec<Components>,
    /// For each effect u_hat = K[, index] alpha, or the weights with u_hat = W alpha.
    pub alpha: Vec<Vec<f64>>,
    /// Largest slope of the deviance in the logarithm of a variance that is not zero.
    pub slope: f64,
}

/// A model in its coordinates, and the way back to the user's units.
pub struct Setup {
    pub coordinates: Coordinates,
    pub problem: Problem,
    pub y_scale: f64,
    /// sigma2_k = theta_k unit_k; the residual last.
    pub unit: Vec<f64>,
    /// Mean variance that one unit of theta gives a contrast.
    pub size: Vec<f64>,
    /// What -2 log L has beyond the deviance of the problem.
    pub constant: f64,
}

/// Fit `y ~ N(X beta, sum_k sigma2_k Z_k K_k Z_k' + sigma2_e W^-1)`.
pub fn fit(model: &Model<'_>, method: Method, threads: usize, monitor: &mut dyn Monitor) -> Result<Fit> {
    let workers = Workers::new(threads)?;
    monitor.check()?;
    let setup = workers.run(|par| Setup::new(model, method, par))?;
    workers.run(|par| setup.check_identified(model, par))?;
    let search = Search {
        problem: &setup.problem,
        workers: &workers,
        monitor: RefCell::new(monitor),
        size: setup.size.clone(),
        free: vec![true; setup.size.len()],
        tie: None,
    };
    let Found { locals, grid } = search.run()?;
    let none = match setup.problem.missed() {
        0 => Error::NoConvergence {
            what: "the search for the variances: no point of its grid is usable",
            iterations: 0,
        },
        _ => Error::MlUnbounded,
    };
    let best = locals.first().ok_or(none)?.clone();
    workers.run(|par| setup.describe(model, &best, &locals, &grid, par))
}

impl Setup {
    pub fn new(model: &Model<'_>, method: Method, par: Par) -> Result<Self> {
        let (mut coordinates, (mut parts, mut unit)) = Coordinates::new(model, par)?;
        let (m, n, r) = (coordinates.m(), model.y.len(), coordinates.r());
        let x = coordinates.x(par);
        let mut size = rescale(&mut parts, &mut unit, model, (m, n - r), x.as_ref(), par)?;
        let covariance = covariance(&mut coordinates, parts, x, par);
        let root: Vec<f64> = model.weights.iter().map(|w| w.sqrt()).collect();
        let (y, y_scale) = scaled_response(model.y, &root)?;
        let (along, rest) = coordinates.forward(Mat::from_fn(n, 1, |i, _| y[i]), par);
        let mut problem = Problem {
            method,
            n_rest: n - r - covariance.contrasts(),
            covariance,
            y: along,
            r,
            rho: rest[0],
            effects: model.effects.len(),
            reached: None,
        };
        problem.find_missed(&size, par);
        check_explained(&problem, &coordinates.design, &y)?;
        unit.iter_mut().for_each(|unit| *unit = y_scale / *unit * y_scale);
        unit.push(y_scale * y_scale);
        size.push(1.0);
        let mut setup = Self {
            coordinates,
            problem,
            y_scale,
            unit,
            size,
            constant: 0.0,
        };
        setup.constant = setup.constant(model);
        Ok(setup)
    }

    fn constant(&self, model: &Model<'_>) -> f64 {
        let x = if self.problem.method == Method::Reml {
            self.coordinates.design.log_det()
        } else {
            0.0
        };
        let weights: f64 = model.weights.iter().map(|w| w.ln()).sum();
        2.0 * self.problem.n() as f64 * self.y_scale.ln() + x - weights
    }

    /// Matrices that depend linearly on each other, the residual's identity among them, have variances that cannot be told apart.
    fn check_identified(&self, model: &Model<'_>, par: Par) -> Result<()> {
        let count = self.size.len();
        let only_residual: Vec<f64> = (0..count).map(|k| f64::from(k + 1 == count)).collect();
        let Some(point) = self.problem.point(&only_residual, par) else {
            return Ok(());
        };
        let mut gram = point.traces(par).second;
        gram[count - 1][count - 1] += self.problem.n_rest as f64;
        let cosine = Mat::from_fn(count, count, |k, l| gram[k][l] / (gram[k][k] * gram[l][l]).sqrt());
        let failed = Error::NoConvergence {
            what: "an eigendecomposition",
            iterations: 0,
        };
        let eigen = cosine.self_adjoint_eigen(Side::Lower).map_err(|_| failed)?;
        if eigen.S()[0] > 1e-10 {
            return Ok(());
        }
        let label = |k: usize| {
            model
                .effects
                .get(k)
                .map_or("the residual".to_owned(), |e| format!("\"{}\"", e.label))
        };
        let involved: Vec<String> = (0..count)
            .filter(|&k| eigen.U()[(k, 0)].abs() > 1e-3)
            .map(label)
            .collect();
        Err(Error::Alike {
            labels: listed(&involved),
        })
    }

    pub fn components(&self, local: &Local) -> Components {
        let mut sigma2: Vec<f64> = local.theta.iter().zip(&self.unit).map(|(t, unit)| t * unit).collect();
        Components {
            sigma2_e: sigma2.pop().unwrap_or(f64::NAN),
            sigma2,
            log_lik: -0.5 * (local.deviance + self.constant),
        }
    }

    fn describe(&self, model: &Model<'_>, best: &Local, locals: &[Local], grid: &[Local], par: Par) -> Result<Fit> {
        let none = Error::NoConvergence {
            what: "the fit at its optimum",
            iterations: 0,
        };
        let point = self.problem.point(&best.theta, par).ok_or(none)?;
        let derivatives = self.problem.derivatives(&point, par);
        let slope = best
            .theta
            .iter()
            .zip(&derivatives.gradient)
            .map(|(t, g)| (t * g).abs())
            .fold(0.0, f64::max);
        let components = self.components(best);
        check_scale(&components, &best.theta)?;
        let (beta, vcov) = self.fixed_effects(&point, par);
        Ok(Fit {
            beta,
            vcov,
            kept: self.coordinates.design.kept.clone(),
            errors: self.errors(&components, &derivatives, &best.theta),
            alpha: self.alpha(model, &components, &point),
            locals: locals.iter().map(|l| self.components(l)).collect(),
            grid: grid.iter().map(|l| self.components(l)).collect(),
            best: components,
            slope,
        })
    }

    /// beta = R^-1 w' y and its covariance R^-1 S R^-T.
    pub fn fixed_effects(&self, point: &Point<'_>, par: Par) -> (Vec<f64>, Vec<Vec<f64>>) {
        let r = self.coordinates.r();
        let fixed = self.problem.fixed_at(point, par);
        let along = fixed.w.transpose() * &self.problem.y;
        let design = &self.coordinates.design;
        let mut beta: Vec<f64> = (0..r).map(|j| along[(j, 0)] * self.y_scale).collect();
        design.solve(&mut beta);
        let solve_columns = |a: &dyn Fn(usize, usize) -> f64| -> Vec<Vec<f64>> {
            (0..r)
                .map(|j| {
                    let mut c: Vec<f64> = (0..r).map(|i| a(i, j)).collect();
                    design.solve(&mut c);
                    c
                })
                .collect()
        };
        let half = solve_columns(&|i, j| fixed.s[(i, j)]);
        let vcov = solve_columns(&|i, j| half[i][j]);
        (
            beta,
            vcov.iter()
                .map(|row| row.iter().map(|v| v * self.y_scale * self.y_scale).collect())
                .collect(),
        )
    }

    /// alpha_k = sigma2_k Z_k' V^-1 (y - X beta), or W' times that.
    fn alpha(&self, model: &Model<'_>, components: &Components, point: &Point<'_>) -> Vec<Vec<f64>> {
        let a: Vec<f64> = (0..point.a.nrows()).map(|i| point.a[(i, 0)]).collect();
        let residual = self.coordinates.back(&a);
        let one = |(effect, sigma2): (&super::Effect<'_>, &f64)| {
            let (z, z_unit) = self.coordinates.multiplier(effect.z);
            let mut sums = vec![0.0; effect.index.len()];
            for ((&g, z), e) in effect.group.iter().zip(&z).zip(&residual) {
                sums[g] += z * e * z_unit / self.y_scale * sigma2;
            }
            match effect.kernel {
                Kernel::LowRank(w) => {
                    let column = |c: usize| sums.iter().zip(effect.index).map(|(s, &i)| s * w.0[(i, c)]).sum();
                    (0..w.0.ncols()).map(column).collect()
                }
                _ => sums,
            }
        };
        model.effects.iter().zip(&components.sigma2).map(one).collect()
    }

    /// Half of the Hessian is the observed information; functions of the variances by their slopes.
    fn errors(&self, at: &Components, d: &Derivatives, theta: &[f64]) -> Errors {
        let count = theta.len();
        let free: Vec<usize> = (0..count).filter(|&k| theta[k] > 0.0).collect();
        let half = Mat::from_fn(free.len(), free.len(), |i, j| {
            0.5 * d.hessian[free[i]][free[j]] / self.unit[free[i]] / self.unit[free[j]]
        });
        let unknown = Errors {
            sigma2: vec![f64::NAN; count - 1],
            sigma2_e: f64::NAN,
            h2: vec![f64::NAN; count - 1],
            delta: vec![f64::NAN; count - 1],
        };
        // scaled by the variances themselves, so that the factorisation sees numbers of order one
        let value: Vec<f64> = at.sigma2.iter().copied().chain([at.sigma2_e]).collect();
        let scaled = Mat::from_fn(free.len(), free.len(), |i, j| {
            half[(i, j)] * value[free[i]] * value[free[j]]
        });
        let Ok(llt) = scaled.llt(Side::Lower) else {
            return unknown;
        };
        let covariance = llt.inverse();
        // slope of a function in the logarithm of each variance
        let error = |slope: &dyn Fn(usize) -> f64| {
            let s: Vec<f64> = free.iter().map(|&k| slope(k)).collect();
            let quadratic: f64 = (0..s.len())
                .map(|i| (0..s.len()).map(|j| s[i] * covariance[(i, j)] * s[j]).sum::<f64>())
                .sum();
            quadratic.sqrt()
        };
        let total: f64 = value.iter().sum();
        let known = |k: usize, e: f64| if theta[k] > 0.0 { e } else { f64::NAN };
        let sigma2 = |k: usize| known(k, error(&|l| f64::from(l == k) * value[k]));
        let h2 = |k: usize| known(k, error(&|l| value[k] / total * (f64::from(l == k) - value[l] / total)));
        let delta = |k: usize| {
            known(
                k,
                error(&|l| value[count - 1] / value[k] * (f64::from(l + 1 == count) - f64::from(l == k))),
            )
        };
        Errors {
            sigma2: (0..count - 1).map(sigma2).collect(),
            sigma2_e: sigma2(count - 1),
            h2: (0..count - 1).map(h2).collect(),
            delta: (0..count - 1).map(delta).collect(),
        }
    }
}

/// Divide the covariances by powers of two so that the variance of a contrast is of order one, and say what it is then.
fn rescale(
    parts: &mut [Part],
    unit: &mut [f64],
    model: &Model<'_>,
    (m, contrasts): (usize, usize),
    x: Option<&Mat<f64>>,
    par: Par,
) -> Result<Vec<f64>> {
    let mut size = vec![];
    for ((part, unit), effect) in parts.iter_mut().zip(unit).zip(&model.effects) {
        let along_x = x.map_or(0.0, |x| {
            (x.transpose() * part.apply(x.as_ref(), par))
                .diagonal()
                .column_vector()
                .sum()
        });
        let (of_contrasts, all) = (part.trace(m) - along_x, part.trace(part.rows()));
        if of_contrasts <= 10.0 * f64::EPSILON * part.rows() as f64 * all {
            return Err(Error::Vanishes {
                label: effect.label.to_owned(),
            });
        }
        let mean = of_contrasts / contrasts as f64;
        // a power of four, whose root is exact too
        let scale = power_of_two(mean.sqrt()).powi(2);
        part.divide(scale);
        *unit *= scale;
        size.push(mean / scale);
    }
    Ok(size)
}

/// The form of V22 that costs least; it may turn the coordinates.
fn covariance(coordinates: &mut Coordinates, parts: Vec<Part>, x: Option<Mat<f64>>, par: Par) -> Arc<dyn Covariance> {
    if let Some(x) = x {
        return Arc::new(Spectral::grouped(parts, x));
    }
    match spectral::choose(&parts, coordinates.m(), par) {
        Some((spectral, u)) => {
            coordinates.turn(u, par);
            Arc::new(spectral)
        }
        None => {
            let m = coordinates.m();
            Arc::new(Dense::new(parts.into_iter().map(|p| p.into_full(par)).collect(), m))
        }
    }
}

/// A likelihood without bound has no estimates.
fn check_explained(problem: &Problem, design: &Design, y: &[f64]) -> Result<()> {
    let rounding = 8.0 * f64::EPSILON * (y.len() as f64).sqrt() * norm(y);
    let mut turned = y.to_vec();
    design.q.transpose_apply(&mut turned);
    let by = |by| Err(Error::Explained { by });
    if norm(&turned[design.rank()..]) <= rounding {
        return by("the fixed effects");
    }
    if problem.n_rest > 0 && problem.rho <= (10.0 * rounding).powi(2) {
        return by("the random effects");
    }
    Ok(())
}

/// A variance below or above what a double holds would be a wrong number; only one that is zero in any unit may be zero.
fn check_scale(at: &Components, theta: &[f64]) -> Result<()> {
    let bad = at
        .sigma2
        .iter()
        .chain([&at.sigma2_e])
        .zip(theta)
        .find(|(v, theta)| !v.is_normal() && **theta != 0.0);
    bad.map_or(Ok(()), |(value, _)| Err(Error::Scale { value: *value }))
}

/// a, b and c
fn listed(words: &[String]) -> String {
    match words.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => words.concat(),
    }
}
