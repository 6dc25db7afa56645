//! One coefficient held at a value v, by ML: with b its estimate at the variances theta and S its variance there the deviance is higher by d^2 / S, d = v - b.
//!
//! With p the combination of the coordinates that estimates it, b = p'y and S = p'Vp, and n_k the contrasts of A_k p,
//!
//! ```text
//! db/dk    = -n_k' a                              dS/dk    = p' A_k p
//! d2b/dkdl = n_k' V22^-1 A_l a + n_l' V22^-1 A_k a    d2S/dkdl = -2 n_k' V22^-1 n_l
//! ```

use super::distance::Distance;
use super::likelihood::{AtVariances, Derivatives, MixProblem};
use faer::{Mat, Par};

pub struct ConstrainedCoefficient {
    /// The coefficient as a combination of those along an orthonormal basis of X.
    pub direction: Mat<f64>,
    pub value: f64,
}

impl ConstrainedCoefficient {
    pub fn add(&self, problem: &MixProblem, point: &mut AtVariances<'_>, par: Par) {
        let distance = self.distance(problem, point, par);
        point.deviance += distance.rise();
        point.q += distance.rise();
        point.distance = Some(distance);
    }

    pub fn distance(&self, problem: &MixProblem, point: &AtVariances<'_>, par: Par) -> Distance {
        let fixed = problem.fixed_at(point, par);
        let p = &fixed.w * &self.direction;
        let s = inner(&self.direction, &(&fixed.s * &self.direction));
        let d = self.value - inner(&p, &problem.y);
        Distance { p, d, s }
    }
}

impl Distance {
    /// Derivatives in the variances of the derivative of the rise in the value, -2 / S (db/dk + d / S dS/dk).
    pub fn slopes_in_variances(&self, problem: &MixProblem, point: &AtVariances<'_>, par: Par) -> Vec<f64> {
        let m = problem.covariance.m();
        let one = |k: usize| {
            let ap = problem.covariance.apply(k, self.p.as_ref(), par);
            let b = -(ap.as_ref().subrows(0, m).transpose() * &point.a)[(0, 0)];
            -2.0 / self.s * (b + self.d / self.s * inner(&self.p, &ap))
        };
        (0..=problem.effects).map(one).collect()
    }

    pub fn add_derivatives(&self, problem: &MixProblem, point: &AtVariances<'_>, to: &mut Derivatives, par: Par) {
        let Self { p, d, s } = self;
        let (m, count) = (problem.covariance.m(), to.gradient.len());
        let ap: Vec<Mat<f64>> = (0..count)
            .map(|k| problem.covariance.apply(k, p.as_ref(), par))
            .collect();
        let n: Vec<Mat<f64>> = ap.iter().map(|a| a.as_ref().subrows(0, m).to_owned()).collect();
        let vn: Vec<Mat<f64>> = n.iter().map(|n| problem.solve(point, n.as_ref(), par)).collect();
        let aa = problem.on_contrasts(point.a.as_ref(), par);
        let b: Vec<f64> = n.iter().map(|n| -inner(n, &point.a)).collect();
        let ds: Vec<f64> = ap.iter().map(|a| inner(p, a)).collect();
        let ratio = d / s;
        for k in 0..count {
            to.gradient[k] -= ratio * (2.0 * b[k] + ratio * ds[k]);
            for l in 0..count {
                let second = inner(&vn[k], &aa[l]) + inner(&vn[l], &aa[k]);
                let of_s = -2.0 * inner(&n[k], &vn[l]);
                let square = (b[k] + ratio * ds[k]) * (b[l] + ratio * ds[l]);
                to.hessian[k][l] += 2.0 * square / s - ratio * (2.0 * second + ratio * of_s);
            }
        }
    }
}

fn inner(a: &Mat<f64>, b: &Mat<f64>) -> f64 {
    (a.transpose() * b)[(0, 0)]
}
