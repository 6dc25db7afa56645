//! What an optimum says in the user's units.

use super::descent::{Reached, scaled_root};
use super::point::{SparsePoint, scaled_effects};
use super::problem::SparseProblem;
use super::search::{SparseOptima, SparseSearch};
use super::units::ScaledEffect;
use crate::mix::fixed::FixedPart;
use crate::runtime::error::{Error, Result};
use faer::{Mat, Par};

/// Variances at some T, and the likelihood there.
#[derive(Debug, Clone)]
pub struct SparseOptimum {
    /// T_r, one for each effect.
    pub factors: Vec<Mat<f64>>,
    /// s2, the residual variance of a row of weight 1.
    pub sigma2_e: f64,
    /// Log-likelihood with all constants, `lme4`'s.
    pub log_lik: f64,
}

/// A fit.
pub struct SparseFit {
    /// The optimum.
    pub best: SparseOptimum,
    /// All local optima, best first.
    pub locals: Vec<SparseOptimum>,
    /// The grid that the search saw.
    pub grid: Vec<SparseOptimum>,
    /// Coefficients of the kept columns of X.
    pub beta: Vec<f64>,
    /// Var(beta_hat), by rows.
    pub vcov: Vec<Vec<f64>>,
    /// Which columns of X those are, from 0.
    pub kept: Vec<usize>,
    /// The fixed part in its orthonormal basis.
    pub fixed: FixedPart,
    /// Predicted b of each effect, the terms of a level together.
    pub effects: Vec<Vec<f64>>,
    /// Their covariance given the variances and beta, an l x l block a level by rows.
    pub conditional: Vec<Vec<f64>>,
    /// Effect, row and column of the entries of T that are not at a boundary.
    pub free: Vec<(usize, usize, usize)>,
    /// Covariance of these and of log s2, the last, from the observed information; empty where that is not positive definite.
    pub theta_vcov: Vec<Vec<f64>>,
    /// Largest slope of the deviance in the logarithm of an entry of T.
    pub slope: f64,
}

impl SparseFit {
    /// `s2 T T'`, the covariance of the terms of an effect over P^-1.
    pub fn covariance(&self, effect: usize) -> Mat<f64> {
        let t = &self.best.factors[effect];
        t * t.transpose() * faer::Scale(self.best.sigma2_e)
    }
}

impl SparseSearch<'_, '_> {
    pub(super) fn describe(&self, optima: &SparseOptima) -> Result<SparseFit> {
        let (problem, best) = (self.problem, &optima.best);
        let failed = Error::NoConvergence {
            what: "the fit at its optimum",
            iterations: 0,
        };
        let t = self.factors(&best.theta);
        let found = self.workers.run(|par| {
            let point = problem.point(t, par)?;
            Some((problem.fixed_part(&point, par), problem.effects_and_blocks(&point, par)))
        });
        let (fixed, (effects, conditional)) = found.ok_or(failed)?;
        let optimum = |theta: &[f64], deviance, s2| self.optimum(theta, deviance, s2);
        let (beta, vcov) = problem.coefficients(&fixed);
        let of_model = |&k: &usize| {
            let (r, a, b) = self.entries[k];
            (problem.arrangement.effects[r].number, a, b)
        };
        Ok(SparseFit {
            best: optimum(&best.theta, best.deviance, best.s2),
            locals: optima
                .locals
                .iter()
                .map(|l| optimum(&l.theta, l.deviance, l.s2))
                .collect(),
            grid: optima
                .grid
                .iter()
                .map(|g| optimum(&g.theta, g.deviance, g.s2))
                .collect(),
            beta,
            vcov,
            kept: problem.design.kept.clone(),
            fixed,
            effects,
            conditional,
            free: optima.free.iter().map(of_model).collect(),
            theta_vcov: self.theta_vcov(best, optima),
            slope: (best.theta.iter().zip(&best.slopes))
                .map(|(t, s)| (t * s).abs())
                .fold(0.0, f64::max),
        })
    }

    /// Estimate and standard error of a coefficient of a kept column.
    pub(super) fn coefficient(&self, theta: &[f64], j: usize) -> Result<(f64, f64)> {
        let t = self.factors(theta);
        let found = self.workers.run(|par| {
            let fixed = self.problem.fixed_part(&self.problem.point(t, par)?, par);
            Some(self.problem.coefficients(&fixed))
        });
        let failed = Error::NoConvergence {
            what: "the fit at its optimum",
            iterations: 0,
        };
        let (beta, vcov) = found.ok_or(failed)?;
        match beta.get(j) {
            Some(estimate) => Ok((*estimate, vcov[j][j].sqrt())),
            None => Err(Error::outside("column", j + 1, beta.len())),
        }
    }

    fn optimum(&self, theta: &[f64], deviance: f64, s2: f64) -> SparseOptimum {
        let (problem, t) = (self.problem, self.factors(theta));
        let in_units = |(effect, t): (&ScaledEffect<'_>, &Mat<f64>)| (effect.number, effect.of_user(t));
        let factors = problem.arrangement.effects.iter().zip(&t).map(in_units).collect();
        SparseOptimum {
            factors: in_order(factors),
            sigma2_e: s2 * problem.centred.scale * problem.centred.scale,
            log_lik: -0.5 * problem.minus_twice_log_lik(deviance),
        }
    }

    /// Observed information of the free entries and, unless it is known, of tau = log s2. The deviance is `log|C| + N tau + r2 exp(-tau)`, whose Hessian at the optimum is, H of the profiled
    /// one,
    ///
    /// ```text
    /// [ H + h h' / N   h ]
    /// [ h'             N ],   h = -(d r2 / d theta) / s2 = 2 D
    /// ```
    pub(super) fn information(&self, best: &Reached, free: &[usize], hessian: &Mat<f64>) -> Mat<f64> {
        let (last, n) = (free.len(), self.problem.counted());
        if self.problem.known.is_some() {
            return hessian * faer::Scale(0.5);
        }
        let h = |i: usize| 2.0 * best.log_det[free[i]];
        Mat::from_fn(last + 1, last + 1, |i, j| match (i == last, j == last) {
            (false, false) => 0.5 * (hessian[(i, j)] + h(i) * h(j) / n),
            (true, true) => 0.5 * n,
            (true, false) => 0.5 * h(j),
            (false, true) => 0.5 * h(i),
        })
    }

    /// Where s2 is known its logarithm, the last, has no error.
    fn theta_vcov(&self, best: &Reached, optima: &SparseOptima) -> Vec<Vec<f64>> {
        let free = &optima.free;
        let information = self.information(best, free, &optima.hessian);
        let size = information.nrows();
        let Some(root) = scaled_root(&information) else {
            return vec![];
        };
        let covariance = root.solve(&Mat::identity(size, size));
        let unit = |i: usize| free.get(i).map_or(1.0, |&k| self.user_unit(k));
        let entry = |i: usize, j: usize| match i < size && j < size {
            true => covariance[(i, j)] * unit(i) * unit(j),
            false => 0.0,
        };
        (0..=free.len())
            .map(|i| (0..=free.len()).map(|j| entry(i, j)).collect())
            .collect()
    }

    /// An entry of T in the user's units over that of the problem.
    fn user_unit(&self, k: usize) -> f64 {
        let (r, a, b) = self.entries[k];
        let effect = &self.problem.arrangement.effects[r];
        effect.of_user(&Mat::full(effect.terms, effect.terms, 1.0))[(a, b)]
    }
}

/// By the numbers that they have in the model.
fn in_order<T>(mut numbered: Vec<(usize, T)>) -> Vec<T> {
    numbered.sort_by_key(|(number, _)| *number);
    numbered.into_iter().map(|(_, of)| of).collect()
}

impl<'p> SparseProblem<'_> {
    fn fixed_part(&self, point: &SparsePoint<'p>, par: Par) -> FixedPart {
        let (p, scale) = (self.rank(), self.centred.scale);
        let s2 = self.s2(point.r2);
        let inverse = point.fixed.inverse(par);
        let column = |j: usize| {
            let mut column: Vec<f64> = (0..p).map(|i| f64::from(i == j)).collect();
            self.design.solve(&mut column);
            column
        };
        let columns: Vec<Vec<f64>> = (0..p).map(column).collect();
        let covariance = |i: usize, j: usize| inverse[(i, j)] * s2 * scale * scale;
        FixedPart {
            along: point
                .beta
                .iter()
                .zip(&self.centred.along)
                .map(|(b, taken)| (b + taken) * scale)
                .collect(),
            covariance: (0..p).map(|i| (0..p).map(|j| covariance(i, j)).collect()).collect(),
            basis: (0..p).map(|i| (0..p).map(|j| columns[j][i]).collect()).collect(),
            log_det_x: self.design.log_det(),
        }
    }

    /// beta and its covariance, of the kept columns.
    fn coefficients(&self, fixed: &FixedPart) -> (Vec<f64>, Vec<Vec<f64>>) {
        let mut beta = fixed.along.clone();
        self.design.solve(&mut beta);
        let p = self.rank();
        let solved = |rows: &dyn Fn(usize, usize) -> f64| -> Vec<Vec<f64>> {
            let column = |j: usize| {
                let mut column: Vec<f64> = (0..p).map(|i| rows(i, j)).collect();
                self.design.solve(&mut column);
                column
            };
            (0..p).map(column).collect()
        };
        let half = solved(&|i, j| fixed.covariance[i][j]);
        (beta, solved(&|i, j| half[i][j]))
    }

    /// b = Lambda u and the blocks of its covariance given beta, by effects of the model.
    fn effects_and_blocks(&self, point: &SparsePoint<'p>, par: Par) -> (Vec<Vec<f64>>, Vec<Vec<f64>>) {
        let s2 = self.s2(point.r2);
        let (mut effects, mut blocks) = (vec![], vec![]);
        for ((effect, t), inverse) in self
            .arrangement
            .effects
            .iter()
            .zip(&point.t)
            .zip(self.level_blocks(point, par))
        {
            let unit: Vec<f64> = effect.unit.iter().map(|unit| self.centred.scale / unit).collect();
            let mut b = scaled_effects(t, &point.u[effect.first..effect.first + effect.unknowns()]);
            let l = effect.terms;
            b.iter_mut().enumerate().for_each(|(i, b)| *b *= unit[i % l]);
            let of_level = |inverse: &[f64]| {
                let inverse = Mat::from_fn(l, l, |a, b| inverse[a * l + b]);
                let block = t * inverse * t.transpose();
                (0..l * l)
                    .map(|at| s2 * block[(at / l, at % l)] * unit[at / l] * unit[at % l])
                    .collect::<Vec<_>>()
            };
            effects.push((effect.number, b));
            blocks.push((effect.number, inverse.chunks_exact(l * l).flat_map(of_level).collect()));
        }
        (in_order(effects), in_order(blocks))
    }
}
