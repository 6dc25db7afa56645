//! Covariances of the effects of one id given the data and beta, for effects without a kernel in coordinates by groups: there the columns of Z and the factor of V are at hand when a fit
//! ends, and what is kept is a number an id.
//!
//! With the columns f of the effects in units of theta, `A_k = F_k F_k'`,
//!
//! ```text
//! cov(u_k[i], u_l[i] | y, beta) = (sigma2_k sigma2_l)^(1/2) (1[k = l] - (theta_k theta_l)^(1/2) f_ki' V^-1 f_li),   V^-1 = P + w S^-1 w'
//! ```

use super::covariance::EffectFactor;
use super::likelihood::AtVariances;
use super::predict::generalised_inverse;
use super::setup::Setup;
use super::{Effect, MixModel};
use crate::kernel::Kernel;
use crate::linalg::product;
use crate::runtime::error::Result;
use crate::runtime::memory::claim;
use faer::{Mat, Par};

/// Covariances of two effects of the same groups, or the variance of one.
#[derive(Debug, Clone, PartialEq)]
pub struct Conditional {
    /// Number of an effect.
    pub first: usize,
    /// Number of an effect, not above the first.
    pub second: usize,
    /// One for each group.
    pub covariance: Vec<f64>,
}

/// The columns of an effect, V^-1 times them, and which column belongs to each group.
struct EffectColumns {
    f: Mat<f64>,
    solved: Mat<f64>,
    place: Vec<Option<usize>>,
}

impl Setup {
    /// Of all pairs of effects without a kernel over the same groups, at the variances of the effects; none in other coordinates, or where memory is short.
    pub(super) fn conditional(
        &self,
        model: &MixModel<'_>,
        sigma2: &[f64],
        point: &AtVariances<'_>,
        par: Par,
    ) -> Result<Vec<Conditional>> {
        let effects = &model.effects;
        let plain: Vec<usize> = (0..effects.len())
            .filter(|&k| matches!(effects[k].kernel, Kernel::Identity))
            .collect();
        let groups: usize = plain.iter().map(|&k| effects[k].index.len()).sum();
        let Some(labels) = self.coordinates.labels() else {
            return Ok(vec![]);
        };
        if claim(4.0 * (self.coordinates.m() * groups) as f64).is_err() {
            return Ok(vec![]);
        }
        let fixed = self.problem.fixed_at(point, par);
        let total: f64 = point
            .theta
            .iter()
            .zip(&self.size)
            .map(|(theta, size)| theta * size)
            .sum();
        let ws = product(fixed.w.as_ref(), generalised_inverse(&fixed.s, total)?.as_ref(), par);
        let solve = |f: &Mat<f64>| {
            let along = product(fixed.w.transpose(), f.as_ref(), par);
            self.problem.solve(point, f.as_ref(), par) + product(ws.as_ref(), along.as_ref(), par)
        };
        let columns = |&k: &usize| self.columns(k, effects[k].index.len(), labels, &solve);
        let Some(all) = plain.iter().map(columns).collect::<Option<Vec<EffectColumns>>>() else {
            return Ok(vec![]);
        };
        let mut found = vec![];
        for (a, &k) in plain.iter().enumerate() {
            for (b, &l) in plain[..=a].iter().enumerate() {
                if same_groups(&effects[k], &effects[l]) {
                    let scale = (sigma2[k] * sigma2[l]).sqrt();
                    let shrinkage = (point.theta[k] * point.theta[l]).sqrt();
                    let one = |known: f64| match k == l {
                        true => scale * (1.0 - shrinkage * known).max(0.0),
                        false => -scale * shrinkage * known,
                    };
                    found.push(Conditional {
                        first: k,
                        second: l,
                        covariance: all[a].products(&all[b]).map(one).collect(),
                    });
                }
            }
        }
        Ok(found)
    }

    /// Of an effect with so many groups; `labels`: which groups the first coordinates are.
    fn columns(
        &self,
        k: usize,
        groups: usize,
        labels: &[usize],
        solve: &impl Fn(&Mat<f64>) -> Mat<f64>,
    ) -> Option<EffectColumns> {
        let (f, place) = match self.problem.covariance.factor(k)? {
            EffectFactor::Full(f) => (f.to_owned(), (0..groups).map(Some).collect()),
            EffectFactor::Diagonal(squares) => {
                let mut place = vec![None; groups];
                labels.iter().enumerate().for_each(|(j, &g)| place[g] = Some(j));
                let root = |i: usize, j: usize| if i == j { squares[j].sqrt() } else { 0.0 };
                (Mat::from_fn(squares.len(), labels.len(), root), place)
            }
        };
        let solved = solve(&f);
        Some(EffectColumns { f, solved, place })
    }
}

impl EffectColumns {
    /// f' V^-1 f of each group's column here and in another effect; 0 for a group whose rows have no effect.
    fn products<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = f64> + 'a {
        let one = |(i, j): (&Option<usize>, &Option<usize>)| match (i, j) {
            (Some(i), Some(j)) => self.f.col(*i).transpose() * other.solved.col(*j),
            _ => 0.0,
        };
        self.place.iter().zip(&other.place).map(one)
    }
}

fn same_groups(a: &Effect<'_>, b: &Effect<'_>) -> bool {
    a.group == b.group && a.index == b.index
}
