//! From rows to few orthonormal coordinates: those of the contrasts that the effects reach, then those of X.
//!
//! `H' C = [T1; T2]` turns X onto the first r axes. Where the columns C of all effects are fewer than the contrasts, `T2 = Q R` and the
//! coordinates are those along Q: what is orthogonal to Q has the residual variance alone.
//! No [`NullModel`](crate::rotation::NullModel): that has the eigenvectors of one kernel for its basis, and here several share one.

use super::covariance_term::CovarianceTerm;
use super::grouped::Grouped;
use super::inner::{inner, is_narrow, narrow_columns, root, square, unit, width};
use super::{Effect, MixModel};
use crate::kernel::Kernel;
use crate::linalg::decomposition::thin_qr;
use crate::linalg::{by_entries, max_abs, power_of_two, product};
use crate::rotation::fixed_qr::Design;
use crate::rotation::incidence::Incidence;
use crate::runtime::error::Result;
use crate::runtime::memory::claim;
use faer::{Mat, MatRef, Par};

/// Groups from which on an effect without a kernel makes the coordinates, one a group, so that its covariance is diagonal. With fewer, a dense V22 is small anyway.
const LEAST_GROUPS: usize = 100;

pub struct Coordinates {
    pub design: Design,
    /// Roots of the weights.
    root: Vec<f64>,
    /// Orthonormal basis of the contrasts that are reached, (n - r) x m; absent if that is all of them.
    q: Option<Mat<f64>>,
    /// Coordinates by the groups of one effect, in which X is not projected out.
    grouped: Option<Grouped>,
}

/// Covariances of the effects, contrasts first, and the units that were divided out of their kernels.
type CovarianceTerms = (Vec<CovarianceTerm>, Vec<f64>);

impl Coordinates {
    /// `plain`: X is projected out whatever the effects are.
    pub fn new(model: &MixModel<'_>, plain: bool, par: Par) -> Result<(Self, CovarianceTerms)> {
        let root: Vec<f64> = model.weights.iter().map(|w| w.sqrt()).collect();
        let design = Design::new(model.x, &root)?;
        let mut coordinates = Self {
            design,
            root,
            q: None,
            grouped: None,
        };
        let n = model.y.len();
        if let Some(base) = coordinates.base(model).filter(|_| !plain) {
            let terms = coordinates.by_groups(model, base, par)?;
            return Ok((coordinates, terms));
        }
        let terms = if shared_columns(model) < n - coordinates.r() {
            coordinates.by_columns(model, par)?
        } else {
            claim((model.effects.len() + 4) as f64 * (n as f64).powi(2))?;
            coordinates.by_rows(model, par)?
        };
        Ok((coordinates, terms))
    }

    pub fn n(&self) -> usize {
        self.root.len()
    }

    pub fn r(&self) -> usize {
        self.design.rank()
    }

    /// Number of coordinates, those along X not counted.
    pub fn m(&self) -> usize {
        if let Some(grouped) = &self.grouped {
            return grouped.m();
        }
        self.q.as_ref().map_or(self.n() - self.r(), Mat::ncols)
    }

    /// Coordinates of vectors over the rows (already times the roots of the weights), and the square of what they leave out of each.
    pub fn forward(&self, mut v: Mat<f64>, par: Par) -> (Mat<f64>, Vec<f64>) {
        if let Some(grouped) = &self.grouped {
            return grouped.forward(v, par);
        }
        self.design.q.transpose_multiply(v.as_mut(), par);
        let (r, m, t) = (self.r(), self.m(), v.ncols());
        let mut below = v.as_ref().subrows(r, self.n() - r).to_owned();
        let mut along = Mat::<f64>::zeros(m, t);
        if let Some(q) = &self.q {
            // Gram-Schmidt twice: the second pass removes the rounding of the first
            for _ in 0..2 {
                let step = product(q.transpose(), below.as_ref(), par);
                below -= product(q.as_ref(), step.as_ref(), par);
                along += step;
            }
        } else {
            std::mem::swap(&mut along, &mut below);
        }
        let rest = (0..t)
            .map(|j| below.col(j).squared_norm_l2() * f64::from(self.q.is_some()))
            .collect();
        let entry = |i: usize, j: usize| if i < m { along[(i, j)] } else { v[(i - m, j)] };
        (Mat::from_fn(m + r, t, entry), rest)
    }

    /// Coordinates of vectors over the rows alone: one product serves them, to rounding.
    pub fn along(&self, mut v: Mat<f64>, par: Par) -> Mat<f64> {
        if let Some(grouped) = &self.grouped {
            return grouped.along(v, par);
        }
        self.design.q.transpose_multiply(v.as_mut(), par);
        let (r, m) = (self.r(), self.m());
        let below = v.as_ref().subrows(r, self.n() - r);
        let q = self.q.as_ref().map(|q| product(q.transpose(), below, par));
        let contrast = |i: usize, j: usize| q.as_ref().map_or_else(|| below[(i, j)], |q| q[(i, j)]);
        Mat::from_fn(
            m + r,
            v.ncols(),
            |i, j| if i < m { contrast(i, j) } else { v[(i - m, j)] },
        )
    }

    /// In coordinates by the groups of one effect: which of its groups each of the first coordinates is.
    pub fn labels(&self) -> Option<&[usize]> {
        self.grouped.as_ref().map(|grouped| grouped.z.label.as_slice())
    }

    /// The vector over the rows whose coordinates are `a`, and nothing along X.
    pub fn back(&self, a: &[f64]) -> Vec<f64> {
        if let Some(grouped) = &self.grouped {
            return grouped.back(a);
        }
        let r = self.r();
        let mut v = vec![0.0; self.n()];
        match &self.q {
            Some(q) => (0..q.nrows()).for_each(|i| v[r + i] = (0..a.len()).map(|j| q[(i, j)] * a[j]).sum()),
            None => v[r..].copy_from_slice(a),
        }
        self.design.q.apply(&mut v);
        v
    }

    /// z times the root of the weight, over a power of two.
    pub fn multiplier(&self, z: &[f64]) -> (Vec<f64>, f64) {
        let scaled: Vec<f64> = z.iter().zip(&self.root).map(|(z, s)| z * s).collect();
        let unit = power_of_two(max_abs(scaled.iter().copied()));
        (scaled.iter().map(|v| v / unit).collect(), unit)
    }

    pub fn weighted(&self, v: &[f64]) -> Vec<f64> {
        v.iter().zip(&self.root).map(|(v, s)| v * s).collect()
    }

    /// Coordinates of an orthonormal basis of span(X), where X is not projected out.
    pub fn x(&self, par: Par) -> Option<Mat<f64>> {
        let grouped = self.grouped.as_ref()?;
        Some(grouped.forward(self.thin_x(), par).0)
    }

    fn thin_x(&self) -> Mat<f64> {
        let thin = self.design.q.thin();
        Mat::from_fn(self.n(), thin.len(), |i, j| thin[j][i])
    }

    /// An effect without a kernel whose groups outnumber the columns of all others and of X.
    fn base(&self, model: &MixModel<'_>) -> Option<usize> {
        let identity = |&k: &usize| matches!(model.effects[k].kernel, Kernel::Identity);
        let base = (0..model.effects.len())
            .filter(identity)
            .max_by_key(|&k| width(&model.effects[k]))?;
        let others: usize = (0..model.effects.len())
            .filter(|&k| k != base)
            .map(|k| width(&model.effects[k]))
            .sum();
        let groups = width(&model.effects[base]);
        (groups >= LEAST_GROUPS && 2 * (others + self.r()) <= groups).then_some(base)
    }

    fn by_groups(&mut self, model: &MixModel<'_>, base: usize, par: Par) -> Result<CovarianceTerms> {
        let n = self.n();
        let width: usize = model
            .effects
            .iter()
            .enumerate()
            .filter(|(k, _)| *k != base)
            .map(|(_, e)| width(e))
            .sum();
        claim(7.0 * n as f64 * (width + self.r()) as f64)?;
        let effect = &model.effects[base];
        let (z, z_unit) = self.multiplier(effect.z);
        let incidence = Incidence::new(effect.group, &z, effect.index.len())?;
        let values: Vec<f64> = incidence.root.iter().map(|root| root * root).collect();
        let factor = |effect: &Effect<'_>| self.rooted_columns(effect, par);
        let factors: Vec<Mat<f64>> = model
            .effects
            .iter()
            .enumerate()
            .filter(|(k, _)| *k != base)
            .map(|(_, e)| factor(e))
            .collect::<Result<_>>()?;
        let mut columns = Mat::zeros(n, width + self.r());
        let mut first = 0;
        for block in factors.iter().chain([&self.thin_x()]) {
            columns.as_mut().subcols_mut(first, block.ncols()).copy_from(block);
            first += block.ncols();
        }
        let grouped = Grouped::new(incidence, columns, par)?;
        let mut factors = factors
            .into_iter()
            .map(|f| CovarianceTerm::Factor(grouped.forward(f, par).0));
        let diagonal = values
            .iter()
            .copied()
            .chain(std::iter::repeat_n(0.0, grouped.m() - values.len()))
            .collect();
        let mut diagonal = Some(CovarianceTerm::Diagonal(diagonal));
        let own = |k: usize| if k == base { diagonal.take() } else { factors.next() };
        let terms = (0..model.effects.len()).filter_map(own).collect();
        self.grouped = Some(grouped);
        let unit = |(k, effect): (usize, &Effect<'_>)| {
            if k == base { z_unit * z_unit } else { self.unit(effect) }
        };
        Ok((terms, model.effects.iter().enumerate().map(unit).collect()))
    }

    /// Turn the basis of the contrasts by an orthogonal U.
    pub fn turn(&mut self, u: Mat<f64>, par: Par) {
        self.q = Some(match &self.q {
            Some(q) => product(q.as_ref(), u.as_ref(), par),
            None => u,
        });
    }

    fn by_rows(&self, model: &MixModel<'_>, par: Par) -> Result<CovarianceTerms> {
        let one = |effect: &Effect<'_>| -> Result<(CovarianceTerm, f64)> {
            let term = if 3 * width(effect) <= self.n() {
                CovarianceTerm::Factor(self.turned_factor(self.rooted_columns(effect, par)?, par))
            } else {
                CovarianceTerm::Full(self.turned_matrix(effect, square(effect, par), par))
            };
            Ok((term, self.unit(effect)))
        };
        let terms = model.effects.iter().map(one).collect::<Result<Vec<_>>>()?;
        Ok(terms.into_iter().unzip())
    }

    /// Z L, turned, with contrasts first.
    fn turned_factor(&self, mut f: Mat<f64>, par: Par) -> Mat<f64> {
        self.design.q.transpose_multiply(f.as_mut(), par);
        let (n, r) = (self.n(), self.r());
        Mat::from_fn(n, f.ncols(), |i, j| f[(if i < n - r { i + r } else { i + r - n }, j)])
    }

    /// Z K Z' entry by entry, both sides turned, with contrasts first.
    fn turned_matrix(&self, effect: &Effect<'_>, inner: Mat<f64>, par: Par) -> Mat<f64> {
        let n = self.n();
        let (z, _) = self.multiplier(effect.z);
        let g = effect.group;
        let k = by_entries(n, n, |i, j| z[i] * inner[(g[i], g[j])] * z[j]);
        self.design.contrasts_first(k, par)
    }

    /// The columns of the effects turned and orthonormalised; effects with the same Z share them.
    fn by_columns(&mut self, model: &MixModel<'_>, par: Par) -> Result<CovarianceTerms> {
        let n = self.n();
        let owner = owners(model);
        let total = shared_columns(model) as f64;
        claim(4.0 * n as f64 * total + (model.effects.len() + 4) as f64 * total.powi(2))?;
        let blocks: Vec<Mat<f64>> = (0..model.effects.len())
            .filter(|&k| owner[k] == k)
            .map(|k| self.own_columns(&model.effects[k]))
            .collect();
        let first: Vec<usize> = blocks
            .iter()
            .scan(0, |sum, b| {
                *sum += b.ncols();
                Some(*sum - b.ncols())
            })
            .collect();
        let total: usize = blocks.iter().map(Mat::ncols).sum();
        let mut c = Mat::zeros(n, total);
        for (block, &first) in blocks.iter().zip(&first) {
            c.as_mut().subcols_mut(first, block.ncols()).copy_from(block);
        }
        drop(blocks);
        self.design.q.transpose_multiply(c.as_mut(), par);
        let r = self.r();
        let (q, upper) = thin_qr(c.as_ref().subrows(r, n - r).to_owned(), par)?;
        let t = Mat::from_fn(total + r, total, |i, j| match i.checked_sub(total) {
            Some(i) => c[(i, j)],
            None if i <= j => upper[(i, j)],
            None => 0.0,
        });
        self.q = Some(q);
        let place: Vec<usize> = owner
            .iter()
            .map(|&k| (0..k).filter(|&j| owner[j] == j).count())
            .collect();
        let one = |(k, effect): (usize, &Effect<'_>)| -> Result<(CovarianceTerm, f64)> {
            let columns = t.as_ref().subcols(first[place[k]], width(effect));
            // narrow: W is in the columns
            let (narrow, few) = (is_narrow(effect), 3 * width(effect) <= total);
            let term = match (few, narrow) {
                (true, true) => CovarianceTerm::Factor(columns.to_owned()),
                (true, false) => CovarianceTerm::Factor(times(columns, root(effect, par)?, par)),
                (false, true) => CovarianceTerm::Full(product(columns, columns.transpose(), par)),
                (false, false) => CovarianceTerm::Full(conjugate(columns, inner(effect, par), par)),
            };
            Ok((term, self.unit(effect)))
        };
        let terms = model.effects.iter().enumerate().map(one).collect::<Result<Vec<_>>>()?;
        Ok(terms.into_iter().unzip())
    }

    /// The rows' multipliers times a factor of the groups, or Z itself.
    fn columns_of(&self, effect: &Effect<'_>, factor: Option<&Mat<f64>>) -> Mat<f64> {
        let (z, _) = self.multiplier(effect.z);
        let g = effect.group;
        let Some(w) = factor else {
            let mut c = Mat::zeros(self.n(), effect.index.len());
            (0..self.n()).for_each(|i| c[(i, g[i])] = z[i]);
            return c;
        };
        Mat::from_fn(self.n(), w.ncols(), |i, j| z[i] * w[(g[i], j)])
    }

    /// Z W where that is narrow (dense, since they are made orthonormal), else Z.
    fn own_columns(&self, effect: &Effect<'_>) -> Mat<f64> {
        let narrow = narrow_columns(effect, &self.multiplier(effect.z).0);
        narrow.unwrap_or_else(|| self.columns_of(effect, None))
    }

    /// Columns whose products are Z K Z'.
    fn rooted_columns(&self, effect: &Effect<'_>, par: Par) -> Result<Mat<f64>> {
        if is_narrow(effect) {
            return Ok(self.own_columns(effect));
        }
        Ok(self.columns_of(effect, root(effect, par)?.as_ref()))
    }

    /// What the kernel and the multipliers were divided by.
    fn unit(&self, effect: &Effect<'_>) -> f64 {
        let (_, z_unit) = self.multiplier(effect.z);
        z_unit * z_unit * unit(effect)
    }
}

fn times(t: MatRef<'_, f64>, factor: Option<Mat<f64>>, par: Par) -> Mat<f64> {
    factor.map_or_else(|| t.to_owned(), |f| product(t, f.as_ref(), par))
}

/// Number of the first effect that has the same Z.
fn owners(model: &MixModel<'_>) -> Vec<usize> {
    let effects = &model.effects;
    let same = |a: &Effect<'_>, b: &Effect<'_>| !is_narrow(a) && !is_narrow(b) && a.z == b.z && a.group == b.group;
    (0..effects.len())
        .map(|k| (0..k).find(|&j| same(&effects[j], &effects[k])).unwrap_or(k))
        .collect()
}

fn shared_columns(model: &MixModel<'_>) -> usize {
    let own = |(k, owner): (usize, &usize)| if *owner == k { width(&model.effects[k]) } else { 0 };
    owners(model).iter().enumerate().map(own).sum()
}

/// T K T'
fn conjugate(t: MatRef<'_, f64>, kernel: Option<Mat<f64>>, par: Par) -> Mat<f64> {
    match kernel {
        Some(k) => product(product(t, k.as_ref(), par).as_ref(), t.transpose(), par),
        None => product(t, t.transpose(), par),
    }
}
