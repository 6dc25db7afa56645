//! Data in the rotated basis, the grid of proportions, and what all chains share.

use super::basis::Basis;
use super::cis::Cis;
use super::link::{Joint, Link};
use super::prior::{Coefficient, Prior};
use super::rays::Ray;
use crate::linalg::{product, sum_of};
use crate::runtime::error::{Error, Result};
use faer::{Mat, MatRef, Par};
use std::ops::Range;
use std::sync::Arc;

/// The grid of proportions: `V(h) = h diag(s) + (1 - h) I`. With several random effects it has the same points on each ray, ray by ray.
pub struct Proportions {
    /// Points of the grid, in [0, 1): the part of all random effects.
    pub h: Vec<f64>,
    /// Logarithms of prior weights of the points, of traits.
    pub log_traits: Vec<f64>,
    /// The same of factors.
    pub log_factors: Vec<f64>,
    /// 1 / v, n x points.
    pub(crate) weights: Mat<f64>,
    /// log|V|
    pub(crate) log_det: Vec<f64>,
}

impl Proportions {
    /// `s`: eigenvalues of Z K Z'.
    pub fn new(s: &[f64], h: Vec<f64>, log_traits: Vec<f64>, log_factors: Vec<f64>) -> Self {
        Self::along(&[s], &h, log_traits, log_factors)
    }

    /// `s`: eigenvalues of each ray; `h`: points of one.
    pub fn along(s: &[&[f64]], h: &[f64], log_traits: Vec<f64>, log_factors: Vec<f64>) -> Self {
        let h = h.repeat(s.len());
        let n = s.first().map_or(0, |s| s.len());
        let v = |i: usize, g: usize| h[g] * s[g * s.len() / h.len()][i] + (1.0 - h[g]);
        let log_det = (0..h.len()).map(|g| sum_of(n, |i| v(i, g).ln())).collect();
        Self {
            weights: Mat::from_fn(n, h.len(), |i, g| v(i, g).recip()),
            log_det,
            log_traits,
            log_factors,
            h,
        }
    }

    /// Number of points.
    pub(crate) fn count(&self) -> usize {
        self.h.len()
    }

    /// Weights of one point.
    pub fn at(&self, g: usize) -> &[f64] {
        self.weights.col(g).try_as_col_major().map_or(&[], |c| c.as_slice())
    }
}

/// What is given, rotated by the eigenvectors Q of Z K Z'; with several random effects in rows, and Q the identity.
pub struct Data {
    /// Q'Y, n x p, of Y with 0 in the cells that are missing.
    pub y: Mat<f64>,
    /// Q'X, n x b, and the prior of each column's coefficients.
    pub x: Mat<f64>,
    /// Prior of each column's coefficients, b.
    pub x_prior: Vec<Coefficient>,
    /// The same of traits whose values are not in units of a response; empty if there are none.
    pub x_prior_behind: Vec<Coefficient>,
    /// Q'X_F, n x b_F.
    pub xf: Mat<f64>,
    /// Prior of each column's coefficients, b_F.
    pub xf_prior: Vec<Coefficient>,
    /// Eigenvalues of Z K Z'.
    pub s: Vec<f64>,
    /// Rows that are missing, for each trait; Q' where there are any, so that column i is row i of Q.
    pub missing: Vec<Vec<usize>>,
    /// Q', n x n, where cells are missing; else empty.
    pub rows: Mat<f64>,
    /// Known loadings, k x p, those to be estimated not numbers; empty if none is known.
    pub known: Mat<f64>,
}

/// Data, priors and the number of factors: all that the chains share.
pub struct FactorModel {
    /// What is given, in the rotated basis.
    pub data: Data,
    /// The grid of proportions.
    pub proportions: Proportions,
    /// Priors.
    pub prior: Prior,
    /// Number of factors.
    pub k: usize,
    /// Traits by the rows that they were observed in, if missing cells are integrated out; none if they are drawn.
    pub sets: Vec<Set>,
    /// Where the names of this model's streams begin.
    pub place: usize,
    /// Of several random effects; none with one.
    pub rays: Vec<Arc<Ray>>,
    /// What was observed of each trait, if it is not the trait itself; empty if none has a link. All cells of a trait with a link count as missing.
    pub links: Vec<Option<Arc<dyn Link>>>,
    /// What was observed of several traits together, in the order of traits. All their cells count as missing.
    pub joint: Vec<Joint>,
    /// Columns that one trait alone has.
    pub cis: Cis,
}

/// Traits, and rows of F, that one stream of random numbers serves.
pub(crate) const TILE: usize = 64;

impl FactorModel {
    /// Do all parts have the sizes that they say?
    pub fn check(&self) -> Result<()> {
        let (data, grid) = (&self.data, &self.proportions);
        let (n, p) = (self.n(), self.p());
        let known = data.known.ncols() > 0;
        let means = &self.prior.means;
        let behind = if self.is_any_behind() || !data.x_prior_behind.is_empty() {
            self.b()
        } else {
            0
        };
        let lengths = [
            ("x", data.x.nrows(), n),
            ("xf", data.xf.nrows(), n),
            ("x_prior", data.x_prior.len(), self.b()),
            ("x_prior_behind", data.x_prior_behind.len(), behind),
            ("xf_prior", data.xf_prior.len(), self.bf()),
            ("missing", data.missing.len(), p),
            ("residual", self.prior.residual.len(), p),
            ("known", data.known.ncols(), if known { p } else { 0 }),
            (
                "known",
                data.known.nrows(),
                if known { self.k } else { data.known.nrows() },
            ),
            (
                "means",
                means.covariates.nrows(),
                if means.q() > 0 { p } else { means.covariates.nrows() },
            ),
            ("means", means.groups.len(), means.q()),
            ("links", self.links.len(), if self.links.is_empty() { 0 } else { p }),
            ("traits", grid.log_traits.len(), grid.count()),
            ("factors", grid.log_factors.len(), grid.count()),
        ];
        self.check_joint()?;
        self.check_cis()?;
        let behind = (0..p).filter(|&j| self.link(j).is_some() || self.is_joint(j));
        let lengths = lengths
            .into_iter()
            .chain(self.cis.lengths(n, p))
            .chain(behind.map(|j| ("missing", data.missing[j].len(), n)));
        let wrong = lengths.into_iter().find(|(_, found, expected)| found != expected);
        wrong.map_or(Ok(()), |(what, found, expected)| {
            Err(Error::Shape { what, found, expected })
        })
    }

    /// Traits by their rows have bases of their own, which no columns are turned into.
    fn check_cis(&self) -> Result<()> {
        if self.cis.q() == 0 || self.sets.is_empty() {
            return Ok(());
        }
        let why = "of one trait alone are not for missing cells that are integrated out".to_string();
        Err(Error::Argument { what: "cis", why })
    }

    /// Joint links have traits of their own, in order.
    fn check_joint(&self) -> Result<()> {
        let mut next = 0;
        for joint in &self.joint {
            let traits = joint.traits();
            let own = traits.start >= next && traits.end <= self.p() && traits.clone().all(|j| self.link(j).is_none());
            if !own {
                let why = format!("of traits {traits:?} have others' traits, or some beyond the last");
                return Err(Error::Argument { what: "links", why });
            }
            next = traits.end;
        }
        Ok(())
    }

    /// Has a trait a link with others?
    pub(crate) fn is_joint(&self, j: usize) -> bool {
        self.joint.iter().any(|joint| joint.traits().contains(&j))
    }

    /// Is anything behind a link?
    pub(crate) fn has_links(&self) -> bool {
        !self.links.is_empty() || !self.joint.is_empty()
    }

    /// The link of a trait.
    pub(crate) fn link(&self, j: usize) -> Option<&dyn Link> {
        self.links.get(j).and_then(|link| link.as_deref())
    }

    /// Are the values of a trait on a scale of their own, behind its data?
    pub(crate) fn is_behind(&self, j: usize) -> bool {
        self.link(j).is_some_and(|link| !link.is_normal())
    }

    fn is_any_behind(&self) -> bool {
        (0..self.p()).any(|j| self.is_behind(j))
    }

    /// Variance of the prior of a coefficient of X at a trait; none: it is flat.
    pub(crate) fn x_variance(&self, j: usize, l: usize, shared: &[f64]) -> Option<f64> {
        let priors = if self.is_behind(j) {
            &self.data.x_prior_behind
        } else {
            &self.data.x_prior
        };
        match priors[l] {
            Coefficient::Flat => None,
            Coefficient::Normal(variance) => Some(variance),
            Coefficient::Shared(number) => Some(shared[number]),
        }
    }

    /// Where the parameters of a trait's link are among all; of one behind the last trait, how many there are. Those of a joint link are its first trait's.
    pub(crate) fn link_parameters(&self, j: usize) -> Range<usize> {
        let own = |j: usize| self.link(j).map_or(0, |link| link.parameters());
        let joint = (self.joint.iter()).map(|joint| (joint.first, joint.link.start_parameters().len()));
        let joint: Vec<(usize, usize)> = joint.collect();
        let before: usize = joint
            .iter()
            .filter(|(first, _)| *first < j)
            .map(|(_, count)| count)
            .sum();
        let first = (0..j.min(self.links.len())).map(own).sum::<usize>() + before;
        let at = joint.iter().find(|(first, _)| *first == j);
        first..first + own(j) + at.map_or(0, |(_, count)| *count)
    }

    /// Parameters of all links to begin with.
    pub(crate) fn start_link_parameters(&self) -> Vec<f64> {
        let of = |j: usize| -> Vec<f64> {
            let joint = self.joint.iter().find(|joint| joint.first == j);
            let joint = joint.map(|joint| joint.link.start_parameters());
            joint
                .or_else(|| self.link(j).map(|link| link.start_parameters()))
                .unwrap_or_default()
        };
        (0..self.p()).flat_map(of).collect()
    }

    /// Number of rows.
    pub fn n(&self) -> usize {
        self.data.y.nrows()
    }

    /// Number of traits.
    pub fn p(&self) -> usize {
        self.data.y.ncols()
    }

    /// Number of columns of X.
    pub fn b(&self) -> usize {
        self.data.x.ncols()
    }

    /// Number of columns of X_F.
    pub(crate) fn bf(&self) -> usize {
        self.data.xf.ncols()
    }

    /// Coefficients of a trait: of X, and its loadings.
    pub fn c(&self) -> usize {
        self.b() + self.k
    }

    /// Upper bound of the numbers in a state.
    pub(crate) fn numbers_of_state(&self) -> f64 {
        let missing: usize = self.data.missing.iter().map(Vec::len).sum();
        ((self.n() + self.bf() + 2 * self.prior.means.q()) * self.k
            + (self.c() + 2 * self.k + 3) * self.p()
            + self.cis.q()
            + missing) as f64
    }

    /// A known loading.
    pub fn known(&self, m: usize, j: usize) -> Option<f64> {
        let known = &self.data.known;
        (known.ncols() > 0).then(|| known[(m, j)]).filter(|x| !x.is_nan())
    }

    /// How many loadings of each factor are to be estimated.
    pub(crate) fn free(&self) -> Vec<usize> {
        let count = |m: usize| (0..self.p()).filter(|&j| self.known(m, j).is_none()).count();
        (0..self.k).map(count).collect()
    }
}

/// Traits that were observed in the same rows.
pub struct Set {
    pub(crate) traits: Vec<usize>,
    pub(crate) rows: Vec<usize>,
    /// Eigenvectors of the rows of Z K Z'.
    pub(super) basis: Basis,
    /// The model of these traits in these rows, rotated.
    pub(super) model: FactorModel,
}

impl Set {
    /// `y`: the observed cells, rows x traits; `x`: X of all rows; `number`: which set it is.
    pub fn new(
        whole: &FactorModel,
        traits: Vec<usize>,
        rows: Vec<usize>,
        basis: impl Into<Basis>,
        s: Vec<f64>,
        y: &Mat<f64>,
        number: usize,
    ) -> Self {
        let basis: Basis = basis.into();
        let grid = &whole.proportions;
        let x = product(whole.data.rows.transpose(), whole.data.x.as_ref(), Par::Seq);
        let x = Mat::from_fn(rows.len(), whole.b(), |i, l| x[(rows[i], l)]);
        let known = &whole.data.known;
        let data = Data {
            y: basis.transpose_times(y.as_ref()),
            x: basis.transpose_times(x.as_ref()),
            x_prior: whole.data.x_prior.clone(),
            x_prior_behind: vec![],
            xf: Mat::zeros(rows.len(), 0),
            xf_prior: vec![],
            missing: vec![vec![]; traits.len()],
            rows: Mat::zeros(0, 0),
            known: if known.ncols() == 0 {
                Mat::zeros(0, 0)
            } else {
                Mat::from_fn(whole.k, traits.len(), |m, j| known[(m, traits[j])])
            },
            s: s.clone(),
        };
        let proportions = Proportions::new(&s, grid.h.clone(), grid.log_traits.clone(), grid.log_factors.clone());
        Self {
            model: FactorModel {
                data,
                proportions,
                prior: Prior {
                    residual: traits.iter().map(|&j| whole.prior.residual[j]).collect(),
                    means: whole.prior.means.of(&traits),
                    ..whole.prior.clone()
                },
                k: whole.k,
                sets: vec![],
                place: (number + 1) << 24,
                rays: vec![],
                links: vec![],
                joint: vec![],
                cis: Cis::none(),
            },
            traits,
            rows,
            basis,
        }
    }
}

/// Columns of a matrix that is stored by columns.
pub(crate) fn columns(values: &[f64], rows: usize) -> MatRef<'_, f64> {
    let count = values.len().checked_div(rows).unwrap_or(0);
    MatRef::from_column_major_slice(&values[..rows * count], rows, count)
}
