//! V22 as a diagonal plus factors, in the eigenbasis of one effect or of all that commute with it:
//!
//! ```text
//! V22 = H + F D F',  H = sum_k theta_k diag(lambda_k) + theta_e I,  D = diag(theta of each column of F)
//! V22^-1 = H^-1 - G G',  G = H^-1 F D^(1/2) C^-T,  C C' = I + D^(1/2) F' H^-1 F D^(1/2)
//! ```
//!
//! Where X is not projected out it is a further factor with infinite variance, D^-1 = 0: then V22^-1 is P = V^-1 - V^-1 X (X'V^-1X)^-1 X'V^-1 and
//! its log-determinant log|V| + log|X'V^-1X|.
//!
//! A set of variances costs m K^2 for K columns of F, and m where all effects commute, instead of the m^3 of a Cholesky decomposition.

use super::covariance::{EffectFactor, Factorised, GlsEstimator, MarginalCovariance, Traces};
use super::covariance_term::CovarianceTerm;
use crate::linalg::cholesky::Cholesky;
use crate::linalg::eigen::eigen;
use crate::linalg::product;
use faer::linalg::triangular_solve::solve_lower_triangular_in_place;
use faer::{Mat, MatRef, Par};

/// An effect in the eigenbasis, contrasts first, then directions of X.
enum RotatedEffect {
    /// Eigenvalues of the contrasts, and the columns of the effect along X, (m + r) x r.
    Diagonal {
        values: Vec<f64>,
        x: Mat<f64>,
    },
    Factor(Mat<f64>),
}

pub struct Spectral {
    effects: Vec<RotatedEffect>,
    m: usize,
    /// Orthonormal basis of span(X) in the coordinates, m x r; no columns where X is projected out.
    x: Mat<f64>,
}

/// The form and its basis U of the contrasts; `None` where a Cholesky decomposition of V22 costs less.
pub fn choose(terms: &[CovarianceTerm], m: usize, par: Par) -> Option<(Spectral, Mat<f64>)> {
    commuting(terms, m, par).or_else(|| bordered(terms, m, par))
}

/// Effects that commute are diagonal together.
fn commuting(terms: &[CovarianceTerm], m: usize, par: Par) -> Option<(Spectral, Mat<f64>)> {
    if !commute(terms, m, par) {
        return None;
    }
    let mut sum = Mat::<f64>::zeros(m, m);
    for (k, term) in terms.iter().enumerate() {
        let a = term.clone().into_full(par);
        // weights without a rational relation: no eigenvalue of the sum is shared by accident
        let weight = (k as f64 + 2.0).sqrt() * m as f64 / term.trace(m);
        sum += faer::Scale(weight) * a.as_ref().submatrix(0, 0, m, m);
    }
    let (_, u) = eigen(sum, par).ok()?;
    let terms = terms
        .iter()
        .map(|term| diagonal(term, &u, par))
        .collect::<Option<Vec<_>>>()?;
    Some((Spectral::projected(terms, m), u))
}

/// A_k A_l x = A_l A_k x for a vector without structure.
fn commute(terms: &[CovarianceTerm], m: usize, par: Par) -> bool {
    let apply = |k: usize, x: &Mat<f64>| {
        let rows = terms[k].rows();
        let full = Mat::from_fn(rows, 1, |i, _| if i < m { x[(i, 0)] } else { 0.0 });
        terms[k].apply(full.as_ref(), par).subrows(0, m).to_owned()
    };
    let x = Mat::from_fn(m, 1, |i, _| (1.7 * (i as f64).powi(2) + 0.3 * i as f64 + 1.0).sin());
    let once: Vec<Mat<f64>> = (0..terms.len()).map(|k| apply(k, &x)).collect();
    (0..terms.len()).all(|k| {
        (0..k).all(|l| {
            let (kl, lk) = (apply(k, &once[l]), apply(l, &once[k]));
            (&kl - &lk).norm_l2() <= 1e-11 * kl.norm_l2().max(lk.norm_l2())
        })
    })
}

/// U' A U, if it is diagonal to rounding.
fn diagonal(term: &CovarianceTerm, u: &Mat<f64>, par: Par) -> Option<RotatedEffect> {
    let m = u.nrows();
    let r = term.rows() - m;
    let padded = Mat::from_fn(
        m + r,
        m + r,
        |i, j| if i < m && j < m { u[(i, j)] } else { f64::from(i == j) },
    );
    let au = term.apply(padded.as_ref(), par);
    let turned = product(padded.transpose(), au.as_ref(), par);
    let values: Vec<f64> = (0..m).map(|i| turned[(i, i)]).collect();
    let largest = values.iter().copied().fold(0.0, f64::max);
    let off = (0..m).any(|j| (0..j).any(|i| turned[(i, j)].abs() > 1e-9 * largest));
    let cut = m as f64 * f64::EPSILON * largest;
    let values = values.into_iter().map(|v| if v <= cut { 0.0 } else { v }).collect();
    (!off).then(|| RotatedEffect::Diagonal {
        values,
        x: turned.as_ref().subcols(m, r).to_owned(),
    })
}

/// The widest effect diagonal, the others as factors, if those are narrow.
fn bordered(terms: &[CovarianceTerm], m: usize, par: Par) -> Option<(Spectral, Mat<f64>)> {
    let base = (0..terms.len()).max_by_key(|&k| terms[k].width())?;
    let others = || (0..terms.len()).filter(|&k| k != base);
    let narrow = others().all(|k| matches!(terms[k], CovarianceTerm::Factor(_)));
    let width: usize = others().map(|k| terms[k].width()).sum();
    if !narrow || 3 * width > m {
        return None;
    }
    let a = terms[base].clone().into_full(par);
    let (_, u) = eigen(a.as_ref().submatrix(0, 0, m, m).to_owned(), par).ok()?;
    let turn = |term: &CovarianceTerm| match term {
        CovarianceTerm::Factor(f) if !std::ptr::eq(term, &raw const terms[base]) => {
            let above = product(u.transpose(), f.as_ref().subrows(0, m), par);
            Some(RotatedEffect::Factor(Mat::from_fn(f.nrows(), f.ncols(), |i, j| {
                if i < m { above[(i, j)] } else { f[(i, j)] }
            })))
        }
        _ => diagonal(&CovarianceTerm::Full(a.clone()), &u, par),
    };
    let terms = terms.iter().map(turn).collect::<Option<Vec<_>>>()?;
    Some((Spectral::projected(terms, m), u))
}

impl Spectral {
    /// Diagonal and factors in coordinates that X is a part of.
    pub fn grouped(terms: Vec<CovarianceTerm>, x: Mat<f64>) -> Self {
        let m = x.nrows();
        let rotated = |term| match term {
            CovarianceTerm::Diagonal(values) => RotatedEffect::Diagonal {
                values,
                x: Mat::zeros(m, 0),
            },
            CovarianceTerm::Factor(f) => RotatedEffect::Factor(f),
            CovarianceTerm::Full(a) => RotatedEffect::Factor(a),
        };
        Self {
            effects: terms.into_iter().map(rotated).collect(),
            m,
            x,
        }
    }

    fn projected(effects: Vec<RotatedEffect>, m: usize) -> Self {
        Self {
            effects,
            m,
            x: Mat::zeros(m, 0),
        }
    }

    /// Eigenvalues of component k; ones for the residual.
    fn values(&self, k: usize) -> Option<Vec<f64>> {
        match self.effects.get(k) {
            None => Some(vec![1.0; self.m]),
            Some(RotatedEffect::Diagonal { values, .. }) => Some(values.clone()),
            Some(RotatedEffect::Factor(_)) => None,
        }
    }

    fn narrow(&self, k: usize) -> Option<MatRef<'_, f64>> {
        match self.effects.get(k) {
            Some(RotatedEffect::Factor(f)) => Some(f.as_ref().subrows(0, self.m)),
            _ => None,
        }
    }
}

impl MarginalCovariance for Spectral {
    fn m(&self) -> usize {
        self.m
    }

    fn contrasts(&self) -> usize {
        self.m - self.x.ncols()
    }

    fn apply(&self, k: usize, x: MatRef<'_, f64>, par: Par) -> Mat<f64> {
        let m = self.m;
        match self.effects.get(k) {
            None => x.to_owned(),
            Some(RotatedEffect::Factor(f)) => product(f.as_ref(), product(f.transpose(), x, par).as_ref(), par),
            Some(RotatedEffect::Diagonal { values, x: along }) => {
                let r = along.ncols();
                let mut out = product(along.as_ref(), x.subrows(m, r), par);
                let below = product(along.as_ref().subrows(0, m).transpose(), x.subrows(0, m), par);
                for j in 0..x.ncols() {
                    (0..m).for_each(|i| out[(i, j)] += values[i] * x[(i, j)]);
                    (0..r).for_each(|i| out[(m + i, j)] += below[(i, j)]);
                }
                out
            }
        }
    }

    fn factor(&self, k: usize) -> Option<EffectFactor<'_>> {
        match &self.effects[k] {
            RotatedEffect::Diagonal { values, .. } => Some(EffectFactor::Diagonal(values)),
            RotatedEffect::Factor(f) => Some(EffectFactor::Full(f.as_ref())),
        }
    }

    fn factorise<'a>(&'a self, theta: &[f64], par: Par) -> Option<Box<dyn Factorised + 'a>> {
        let mut h = vec![theta[self.effects.len()]; self.m];
        for (k, share) in theta[..self.effects.len()].iter().enumerate() {
            if let RotatedEffect::Diagonal { values, .. } = &self.effects[k] {
                h.iter_mut().zip(values).for_each(|(h, v)| *h += share * v);
            }
        }
        if h.iter().any(|h| *h <= 0.0) {
            return None;
        }
        let inverse: Vec<f64> = h.iter().map(|h| h.recip()).collect();
        let mut log_det: f64 = h.iter().map(|h| h.ln()).sum();
        let f = self.columns(theta);
        let g = Mat::from_fn(self.m, f.ncols(), |i, j| inverse[i] * f[(i, j)]);
        let mut inner = product(f.transpose(), g.as_ref(), par);
        (0..f.ncols() - self.x.ncols()).for_each(|j| inner[(j, j)] += 1.0);
        let mut gt = g.transpose().to_owned();
        let mut lower = Mat::zeros(0, 0);
        if f.ncols() > 0 {
            let cholesky = Cholesky::new(inner, par)?;
            log_det += cholesky.log_det();
            solve_lower_triangular_in_place(cholesky.factor(), gt.as_mut(), par);
            lower = cholesky.into_factor();
        }
        Some(Box::new(Woodbury {
            of: self,
            inverse,
            gt,
            lower,
            log_det,
        }))
    }
}

impl Spectral {
    /// F D^(1/2) of the effects whose variance is not zero, and X.
    fn columns(&self, theta: &[f64]) -> Mat<f64> {
        let active: Vec<(MatRef<'_, f64>, f64)> = (0..self.effects.len())
            .filter(|&k| theta[k] > 0.0)
            .filter_map(|k| self.narrow(k).map(|f| (f, theta[k].sqrt())))
            .chain([(self.x.as_ref(), 1.0)])
            .collect();
        let width = active.iter().map(|(f, _)| f.ncols()).sum();
        let mut columns = Mat::zeros(self.m, width);
        let mut first = 0;
        for (f, root) in active {
            columns
                .as_mut()
                .subcols_mut(first, f.ncols())
                .copy_from(faer::Scale(root) * f);
            first += f.ncols();
        }
        columns
    }
}

/// H^-1, G', C and log|V22|.
struct Woodbury<'a> {
    of: &'a Spectral,
    inverse: Vec<f64>,
    gt: Mat<f64>,
    lower: Mat<f64>,
    log_det: f64,
}

/// A component as the traces need it.
enum TraceTerm {
    /// lambda, and G' diag(lambda) G.
    Diagonal(Vec<f64>, Mat<f64>),
    /// F and V22^-1 F.
    Factor(Mat<f64>, Mat<f64>),
}

impl Factorised for Woodbury<'_> {
    fn log_det(&self) -> f64 {
        self.log_det
    }

    fn solve(&self, b: MatRef<'_, f64>, par: Par) -> Mat<f64> {
        let inner = product(self.gt.as_ref(), b, par);
        let away = product(self.gt.transpose(), inner.as_ref(), par);
        Mat::from_fn(b.nrows(), b.ncols(), |i, j| self.inverse[i] * b[(i, j)] - away[(i, j)])
    }

    /// The columns of (C C')^-1 for X hold S, and w = H^-1 [F D^(1/2), X] times them = G C^-1 times the unit vectors of X.
    fn fixed(&self, par: Par) -> Option<GlsEstimator> {
        let (r, k) = (self.of.x.ncols(), self.lower.nrows());
        if r == 0 {
            return None;
        }
        let mut half = Mat::from_fn(k, r, |i, j| f64::from(i == k - r + j));
        solve_lower_triangular_in_place(self.lower.as_ref(), half.as_mut(), par);
        let w = product(self.gt.transpose(), half.as_ref(), par);
        let s = product(half.transpose(), half.as_ref(), par);
        Some(GlsEstimator { w, s })
    }

    fn traces(&self, par: Par) -> Traces {
        let square: Vec<f64> = (0..self.of.m).map(|i| self.gt.col(i).squared_norm_l2()).collect();
        let forms: Vec<TraceTerm> = (0..=self.of.effects.len()).map(|k| self.form(k, par)).collect();
        let first = forms.iter().map(|form| self.single(form, &square)).collect();
        let second: Vec<Vec<f64>> = (0..forms.len())
            .map(|k| (0..=k).map(|l| self.pair(&forms[k], &forms[l], &square, par)).collect())
            .collect();
        let second = (0..forms.len())
            .map(|k| (0..forms.len()).map(|l| second[k.max(l)][k.min(l)]).collect())
            .collect();
        Traces { first, second }
    }
}

impl Woodbury<'_> {
    fn form(&self, k: usize, par: Par) -> TraceTerm {
        match (self.of.values(k), self.of.narrow(k)) {
            (Some(values), _) => {
                let scaled = Mat::from_fn(self.gt.nrows(), self.of.m, |i, j| self.gt[(i, j)] * values[j]);
                TraceTerm::Diagonal(values, product(scaled.as_ref(), self.gt.transpose(), par))
            }
            (None, Some(f)) => TraceTerm::Factor(f.to_owned(), self.solve(f, par)),
            (None, None) => TraceTerm::Factor(Mat::zeros(self.of.m, 0), Mat::zeros(self.of.m, 0)),
        }
    }

    fn single(&self, form: &TraceTerm, square: &[f64]) -> f64 {
        match form {
            TraceTerm::Diagonal(v, _) => (0..v.len()).map(|i| v[i] * (self.inverse[i] - square[i])).sum(),
            TraceTerm::Factor(f, vf) => entries(f, vf),
        }
    }

    fn pair(&self, a: &TraceTerm, b: &TraceTerm, square: &[f64], par: Par) -> f64 {
        match (a, b) {
            (TraceTerm::Diagonal(v, e), TraceTerm::Diagonal(w, d)) => {
                let own = |i: usize| v[i] * w[i] * self.inverse[i] * (self.inverse[i] - 2.0 * square[i]);
                (0..v.len()).map(own).sum::<f64>() + entries(e, d)
            }
            (TraceTerm::Diagonal(v, _), TraceTerm::Factor(_, vf))
            | (TraceTerm::Factor(_, vf), TraceTerm::Diagonal(v, _)) => (0..vf.ncols())
                .map(|j| (0..v.len()).map(|i| v[i] * vf[(i, j)] * vf[(i, j)]).sum::<f64>())
                .sum(),
            (TraceTerm::Factor(f, _), TraceTerm::Factor(_, vf)) => {
                product(f.transpose(), vf.as_ref(), par).squared_norm_l2()
            }
        }
    }
}

/// sum_ij a_ij b_ij
fn entries(a: &Mat<f64>, b: &Mat<f64>) -> f64 {
    (0..a.ncols())
        .map(|j| (0..a.nrows()).map(|i| a[(i, j)] * b[(i, j)]).sum::<f64>())
        .sum()
}
