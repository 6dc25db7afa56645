//! What Kenward and Roger ask of V, linear in the variances and covariances of the terms and in that of the residual, by sums over levels.
//!
//! With roots of the inverse precisions in Z, so that levels are independent, `G_k = sum Z_a Z_b'` over the terms a, b of a variance (a = b) or a covariance (both orders), `M = Z'PZ` and
//! `w = V^-1 Q S`
//!
//! ```text
//! tr(P G_k P G_l)  = sum tr(M_da M_bc)            over a, b of k and c, d of l
//! dS/dk            = w' G_k w,   d2S/dkdl = -(R_kl + R_kl'),   R_kl = w' G_k P G_l w
//! ```
//!
//! and what belongs to the residual follows from `V = sum_k theta_k G_k + I`, `P V P = P` and `P V w = 0`. Variances are over that of the residual.

use super::level_products::{LevelProducts, TermPair, TermRows, numbers_held};
use super::problem::SparseProblem;
use crate::likelihood::uncertainty::CovarianceDerivatives;
use crate::linalg::product;
use crate::runtime::error::{Error, Result};
use crate::runtime::memory::claim;
use crate::runtime::stop;
use faer::{Mat, Par, Scale};

/// S in the user's units of X and the problem's of y, over s2, with its derivatives, and the expected information, the residual's last unless it is known.
pub(super) fn expected(
    problem: &SparseProblem<'_>,
    t: &[Mat<f64>],
    par: Par,
) -> Result<(CovarianceDerivatives, Mat<f64>)> {
    claim(numbers_held(problem))?;
    let products = LevelProducts::new(problem, t, par).ok_or(Error::NoConvergence {
        what: "the factorisation of V at the fit's variances",
        iterations: 0,
    })?;
    let components = CovarianceComponents::new(problem, t);
    let information = components.information(&products, (problem.n() - problem.rank()) as f64);
    let derivatives = components.derivatives(&products, par);
    stop::check()?;
    Ok((derivatives, information))
}

/// A variance or a covariance of terms: its value, and the pairs of terms that are multiplied by it.
struct CovarianceComponent {
    theta: f64,
    pairs: Vec<TermPair>,
}

struct CovarianceComponents {
    all: Vec<CovarianceComponent>,
    known: bool,
}

impl CovarianceComponents {
    fn new(problem: &SparseProblem<'_>, t: &[Mat<f64>]) -> Self {
        let mut all = vec![];
        for (effect, t) in problem.arrangement.effects.iter().zip(t) {
            let covariance = t * t.transpose();
            let rows = |a: usize| TermRows {
                first: effect.first + a,
                step: effect.terms,
                levels: effect.levels,
            };
            for (a, b) in effect.entries() {
                all.push(CovarianceComponent {
                    theta: covariance[(a, b)],
                    pairs: match a == b {
                        true => vec![(rows(a), rows(a))],
                        false => vec![(rows(a), rows(b)), (rows(b), rows(a))],
                    },
                });
            }
        }
        Self {
            all,
            known: problem.known.is_some(),
        }
    }

    /// Of all components, and the residual unless it is known.
    fn count(&self) -> usize {
        self.all.len() + usize::from(!self.known)
    }

    /// sum_k theta_k x_k
    fn weighted(&self, x: impl Fn(usize) -> f64) -> f64 {
        self.all.iter().enumerate().map(|(k, of)| of.theta * x(k)).sum()
    }

    fn information(&self, products: &LevelProducts, contrasts: f64) -> Mat<f64> {
        let last = self.all.len();
        let single = |k: usize| self.all[k].pairs.iter().map(|pair| products.trace(*pair)).sum::<f64>();
        let mut twice = Mat::zeros(last + 1, last + 1);
        for k in 0..last {
            for l in 0..=k {
                twice[(k, l)] = trace_of_product(products, &self.all[k], &self.all[l]);
                twice[(l, k)] = twice[(k, l)];
            }
        }
        let singles: Vec<f64> = (0..last).map(single).collect();
        for k in 0..last {
            let beside = singles[k] - self.weighted(|l| twice[(k, l)]);
            (twice[(k, last)], twice[(last, k)]) = (beside, beside);
        }
        let own = contrasts - self.weighted(|k| singles[k]);
        twice[(last, last)] = own - self.weighted(|k| twice[(k, last)]);
        twice.submatrix(0, 0, self.count(), self.count()) * Scale(0.5)
    }

    fn derivatives(&self, products: &LevelProducts, par: Par) -> CovarianceDerivatives {
        let (y, s) = (&products.y, &products.s);
        let moved: Vec<Mat<f64>> = self.all.iter().map(|of| of.times(y)).collect();
        let through: Vec<Mat<f64>> = moved.iter().map(|g| products.times(g, par)).collect();
        let mut first: Vec<Mat<f64>> = moved.iter().map(|g| product(y.transpose(), g.as_ref(), par)).collect();
        let of_pair = |k: usize, l: usize| product(moved[k].transpose(), through[l].as_ref(), par);
        let count = self.all.len();
        let mut r: Vec<Vec<Mat<f64>>> = (0..count)
            .map(|k| (0..count).map(|l| of_pair(k, l)).collect())
            .collect();
        let sum = |of: &dyn Fn(usize) -> Mat<f64>| {
            let mut sum = Mat::<f64>::zeros(s.nrows(), s.nrows());
            (0..count).for_each(|k| sum += Scale(self.all[k].theta) * of(k));
            sum
        };
        if !self.known {
            first.push(s - sum(&|k| first[k].clone()));
            let beside: Vec<Mat<f64>> = (0..count).map(|l| sum(&|k| r[k][l].clone()) * Scale(-1.0)).collect();
            let own = sum(&|l| beside[l].clone()) * Scale(-1.0);
            r.push(beside.into_iter().chain([own]).collect());
        }
        let second = |r: &Mat<f64>| -(r + r.transpose());
        CovarianceDerivatives {
            second: (0..r.len()).map(|k| r[k][..=k].iter().map(second).collect()).collect(),
            value: s.clone(),
            first,
        }
    }
}

impl CovarianceComponent {
    /// The rows of `Z'G w`'s factor: `sum` over the pairs of Y_b at the rows of a.
    fn times(&self, y: &Mat<f64>) -> Mat<f64> {
        let mut moved = Mat::zeros(y.nrows(), y.ncols());
        for (a, b) in &self.pairs {
            for c in 0..y.ncols() {
                (0..a.levels).for_each(|j| moved[(a.at(j), c)] = y[(b.at(j), c)]);
            }
        }
        moved
    }
}

/// tr(P G_k P G_l)
fn trace_of_product(products: &LevelProducts, k: &CovarianceComponent, l: &CovarianceComponent) -> f64 {
    let with = |pair: &TermPair| {
        l.pairs
            .iter()
            .map(|other| products.trace_of_product(*pair, *other))
            .sum::<f64>()
    };
    k.pairs.iter().map(with).sum()
}
