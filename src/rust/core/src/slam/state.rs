//! All that an iteration leaves for the next one, and its bytes.

use super::loading_means::LoadingEffects;
use super::model::{FactorModel, columns};
use super::precisions::Shrinkage;
use super::prior::Variance;
use super::rng::{Block, Source, index, normal, uniform};
use crate::runtime::seal::CHAIN_STATE;
use faer::Mat;

/// Draws whose precision matrix is not positive definite to rounding: they keep the value before, and are counted.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Failed {
    /// Coefficients and loadings of a trait.
    pub(crate) traits: u64,
    /// Coefficients of a factor.
    pub(crate) coefficients: u64,
    /// Rows of F.
    pub(crate) factors: u64,
    /// Moves of a factor along X.
    pub(crate) moves: u64,
}

impl Failed {
    /// In the order of the fields.
    pub fn numbers(&self) -> [f64; 4] {
        [self.traits, self.coefficients, self.factors, self.moves].map(|count| count as f64)
    }

    fn from_numbers(numbers: &[f64]) -> Self {
        let count = |i: usize| numbers[i] as u64;
        Self {
            traits: count(0),
            coefficients: count(1),
            factors: count(2),
            moves: count(3),
        }
    }
}

/// All that a chain knows at the end of an iteration.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    pub(crate) iteration: u64,
    /// Factors in the rotated basis, n x k.
    pub f: Vec<f64>,
    /// Coefficients of X and loadings of each trait, (b + k) x p.
    pub theta: Vec<f64>,
    /// Variance of each trait, p.
    pub sigma2: Vec<f64>,
    /// Point of the grid of proportions of each trait, p.
    pub g: Vec<usize>,
    /// The same of each factor, k.
    pub gf: Vec<usize>,
    /// Coefficients of X_F, b_F x k.
    pub bf: Vec<f64>,
    /// Variances that coefficients share.
    pub shared: Vec<f64>,
    /// Precisions of the loadings.
    pub shrinkage: Shrinkage,
    /// Cells that were missing, in the order of traits.
    pub cells: Vec<f64>,
    /// Parameters of links, in the order of traits.
    pub link: Vec<f64>,
    /// Coefficients of columns that one trait alone has, in the order of traits.
    pub cis: Vec<f64>,
    pub(crate) failed: Failed,
    /// Effects of covariates of the traits on loadings.
    pub effects: LoadingEffects,
}

impl State {
    /// Somewhere in the prior, factors of unit variance, cells as the data have them.
    pub fn start(model: &FactorModel, source: Source) -> Self {
        let mut rng = source.stream(0, Block::Start, 0);
        let (n, p, k) = (model.n(), model.p(), model.k);
        let shrinkage = Shrinkage::start(model, &mut rng);
        let g = (0..p).map(|_| index(&model.proportions.log_traits, &mut rng)).collect();
        let gf = (0..k)
            .map(|_| index(&model.proportions.log_factors, &mut rng))
            .collect();
        let f = (0..n * k).map(|_| normal(&mut rng)).collect();
        let mut theta = vec![0.0; model.c() * p];
        for j in 0..p {
            for m in 0..k {
                theta[j * model.c() + model.b() + m] = match model.known(m, j) {
                    Some(value) => value,
                    None => 0.1 * normal(&mut rng),
                };
            }
        }
        let shared = model.prior.shared.iter().map(Variance::start);
        // known variances stay as they are
        let sigma2 = model
            .prior
            .residual
            .iter()
            .map(|prior| match (0.5 + 0.5 * uniform(&mut rng), prior) {
                (_, Variance::Fixed(value)) => *value,
                (start, _) => start,
            });
        let sigma2 = sigma2.collect();
        Self {
            iteration: 0,
            f,
            theta,
            sigma2,
            g,
            gf,
            bf: vec![0.0; model.bf() * k],
            shared: shared.collect(),
            shrinkage,
            cells: start_of_cells(model),
            link: model.start_link_parameters(),
            cis: vec![0.0; model.cis.q()],
            failed: Failed::default(),
            effects: LoadingEffects::start(model),
        }
    }

    /// `[X, F]`, rotated: with a trait's coefficients and loadings, what explains it.
    pub(crate) fn design(&self, model: &FactorModel) -> Mat<f64> {
        let (b, f) = (model.b(), columns(&self.f, model.n()));
        let entry = |i: usize, l: usize| if l < b { model.data.x[(i, l)] } else { f[(i, l - b)] };
        Mat::from_fn(model.n(), model.c(), entry)
    }

    /// Loadings of a trait.
    pub(crate) fn lambda<'a>(&'a self, model: &FactorModel, j: usize) -> &'a [f64] {
        &self.theta[j * model.c() + model.b()..(j + 1) * model.c()]
    }

    /// What the loadings' variances of a trait are multiples of.
    pub(crate) fn unit(&self, model: &FactorModel, j: usize) -> f64 {
        if model.prior.scaled { self.sigma2[j] } else { 1.0 }
    }

    // ---- bytes ------------------------------------------------------------------------------------

    /// Sealed, little endian, numbers as their bits: a chain goes on from them as if it had never stopped.
    pub fn to_bytes(&self) -> Vec<u8> {
        let words = self.words();
        [CHAIN_STATE.head(&words).into_bytes(), words].concat()
    }

    fn words(&self) -> Vec<u8> {
        let mut bytes = self.iteration.to_le_bytes().to_vec();
        let points = |g: &[usize]| g.iter().map(|g| *g as f64).collect::<Vec<f64>>();
        let parts = [
            self.f.clone(),
            self.theta.clone(),
            self.sigma2.clone(),
            points(&self.g),
            points(&self.gf),
            self.bf.clone(),
            self.shared.clone(),
            self.shrinkage.numbers(),
            self.cells.clone(),
            self.failed.numbers().to_vec(),
        ];
        // these came later: a state without any has the words that it had
        let later = [&self.link, &self.cis]
            .into_iter()
            .filter(|part| !part.is_empty())
            .cloned();
        for part in parts.into_iter().chain(self.effects.parts()).chain(later) {
            bytes.extend((part.len() as u64).to_le_bytes());
            part.iter().for_each(|x| bytes.extend(x.to_le_bytes()));
        }
        bytes
    }

    /// `None` if the bytes are not those of a state of this model. States of 0.1 have the same words without a seal.
    pub fn from_bytes(model: &FactorModel, bytes: &[u8]) -> Option<Self> {
        if CHAIN_STATE.marks(bytes) {
            Self::from_words(model, CHAIN_STATE.content(bytes)?)
        } else {
            Self::from_words(model, bytes)
        }
    }

    fn from_words(model: &FactorModel, words: &[u8]) -> Option<Self> {
        let mut rest = words;
        let mut word = || {
            let (head, tail) = rest.split_at_checked(8)?;
            rest = tail;
            head.try_into().ok()
        };
        let iteration = u64::from_le_bytes(word()?);
        let mut part = || -> Option<Vec<f64>> {
            let length = u64::from_le_bytes(word()?);
            (0..length).map(|_| Some(f64::from_le_bytes(word()?))).collect()
        };
        let (n, p, k) = (model.n(), model.p(), model.k);
        let mut sized = |length: usize| part().filter(|part| part.len() == length);
        let points = |g: Vec<f64>| g.into_iter().map(|g| g as usize).collect::<Vec<usize>>();
        let f = sized(n * k)?;
        let theta = sized(model.c() * p)?;
        let sigma2 = sized(p)?;
        let (g, gf) = (points(sized(p)?), points(sized(k)?));
        let (bf, shared) = (sized(model.bf() * k)?, sized(model.prior.shared.len())?);
        let numbers = sized(Shrinkage::count(model))?;
        let known = |g: &Vec<usize>| g.iter().all(|g| *g < model.proportions.count());
        let cells = sized(count_missing(model))?;
        let failed = Failed::from_numbers(&sized(4)?);
        let effects = LoadingEffects::read(model, &mut sized)?;
        let link = match model.link_parameters(model.p()).start {
            0 => vec![],
            count => sized(count)?,
        };
        let cis = match model.cis.q() {
            0 => vec![],
            count => sized(count)?,
        };
        let state = Self {
            cis,
            shrinkage: Shrinkage::from_numbers(model, &numbers),
            failed,
            effects,
            cells,
            link,
            iteration,
            f,
            theta,
            sigma2,
            g,
            gf,
            bf,
            shared,
        };
        let sound = known(&state.g) && known(&state.gf) && state.is_sound() && state.has_sound_links(model);
        (sound && state.words() == words).then_some(state)
    }

    fn has_sound_links(&self, model: &FactorModel) -> bool {
        let positive = |x: &[f64]| x.iter().all(|x| x.is_finite() && *x > 0.0);
        let sound = |j: usize| {
            let own = &self.link[model.link_parameters(j)];
            model.link(j).map_or_else(|| positive(own), |link| link.may_be(own))
        };
        (0..model.p()).all(sound)
    }

    /// Numbers that a chain can come to: a variance that is none would only show as draws that fail, or never end.
    fn is_sound(&self) -> bool {
        let finite = |x: &[f64]| x.iter().all(|x| x.is_finite());
        let variances = |x: &[f64]| x.iter().all(|x| x.is_finite() && *x > 0.0);
        [&self.f, &self.theta, &self.bf, &self.cells, &self.cis, &self.effects.w]
            .into_iter()
            .all(|x| finite(x))
            && variances(&self.sigma2)
            && variances(&self.shared)
            && variances(&self.effects.v)
            && self.shrinkage.numbers().iter().all(|x| x.is_finite() && *x >= 0.0)
    }
}

/// 0 where nothing was observed, values behind links somewhere near the data.
fn start_of_cells(model: &FactorModel) -> Vec<f64> {
    if !model.sets.is_empty() {
        return vec![];
    }
    let of_trait = |(j, rows): (usize, &Vec<usize>)| -> Vec<f64> {
        let joint = model.joint.iter().find(|joint| joint.traits().contains(&j));
        let alone = |row: &usize| model.link(j).map_or(0.0, |link| link.start(*row));
        let start = |row: &usize| joint.map_or_else(|| alone(row), |joint| joint.link.start(*row, j - joint.first));
        rows.iter().map(start).collect()
    };
    model.data.missing.iter().enumerate().flat_map(of_trait).collect()
}

/// Cells that are drawn.
fn count_missing(model: &FactorModel) -> usize {
    if !model.sets.is_empty() {
        return 0;
    }
    model.data.missing.iter().map(Vec::len).sum()
}
