//! Many responses, each with its own length scale or all with one, on a grid that they share.
//!
//! What a length scale makes of the kernel serves all responses: at each every response is searched over delta by the code of a single fit. From a coarse grid on, length
//! scales are put between others until no response would gain by more of them, as the parabola through its best three tells.
//!
//! A length scale that was looked for makes the likelihood ratio of no process larger than the boundary mixture of one variance knows. Under that hypothesis the
//! signed root of the ratio is nearly a standard normal process Z along the length scale, and (Davies 1977, by Rice's formula)
//!
//! ```text
//! P(max Z > c) <= P(Z > c) + arc / (2 pi) exp(-c^2 / 2),   arc = sum over neighbours of arccos cor(Z_i, Z_i+1)
//! ```

use super::exact::default_range;
use super::fourier::many::Basis;
use super::many_rows::OfRows;
use crate::gp::bounds::Bounds;
use crate::gp::fourier::sufficient::Data;
use crate::gp::settings::Request;
use crate::linalg::{dot, product};
use crate::lmm::fit::{Fit, Options};
use crate::lmm::look::look;
use crate::lmm::many::{self, Fits};
use crate::lmm::missing_pattern::{Pattern, patterns};
use crate::rotation::fixed_qr::Design;
use crate::runtime::error::{Error, Result};
use crate::runtime::memory::claim;
use crate::runtime::monitor::Monitor;
use crate::runtime::parallel::Workers;
use faer::{Mat, MatRef, Par};

/// Distance of length scales in the logarithm, before some are put between. Twice as far halves the decompositions of the first pass and makes more halvings.
const STEP: f64 = 0.2;
/// Log-likelihood that a response may miss between length scales that were looked at.
const GAIN: f64 = 0.01;
/// Halvings of a step at most: a sixty-fourth of STEP.
const HALVINGS: usize = 6;

/// The fits in the order of the responses, their length scales, and the length of the arc of each.
pub struct Together {
    /// `alpha`: coefficients of the rows, or of the functions of the window's basis.
    pub fits: Fits,
    /// Length scale and window of each response.
    pub places: Vec<Place>,
    /// Length of the path of each response's unit direction of contrasts over the range of length scales, in radians: what Hotelling's tube test of a process needs.
    pub arcs: Vec<f64>,
    /// The range that was looked at.
    pub range: (f64, f64),
    /// Number of basis functions of the largest window; by kernel matrices the number of rows.
    pub size: usize,
    /// Smallest part of the process' variance that a basis holds; 1 by kernel matrices.
    pub captured: f64,
    /// In Fourier space the basis of each window.
    pub bases: Vec<Basis>,
}

/// What is asked for: of the process, and of the fits.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// The process, and the range of its length scales.
    pub request: &'a Request,
    /// Box of the rows and of later targets.
    pub bounds: &'a Bounds,
    /// One length scale for all responses?
    pub shared: bool,
    /// Coefficients as well?
    pub effects: bool,
    /// Threads of the call.
    pub threads: usize,
}

/// Where a response is fitted.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// Length scale, in units of the coordinates; not a number if the response has no fit.
    pub length: f64,
    /// The variance that a process of variance one is expected to have over the rows: (w'1 - w'K w / w'1) / (n - 1) with weights w.
    pub spread: f64,
    /// Number of the window of length scales.
    pub window: usize,
}

impl Place {
    const NOWHERE: Self = Self {
        length: f64::NAN,
        spread: f64::NAN,
        window: 0,
    };
}

/// Fits of all responses with a kernel, and what its spread over the rows of each is.
pub(crate) struct Looked {
    pub(crate) fits: Vec<Result<Fit>>,
    pub(crate) spreads: Vec<f64>,
    pub(crate) window: usize,
}

/// The grid from the longest length scale down to the shortest.
pub(crate) fn descending(shortest: f64, longest: f64) -> Vec<f64> {
    let steps = ((longest / shortest).ln() / STEP).ceil() as usize;
    (0..=steps)
        .map(|i| longest * (shortest / longest).powf(i as f64 / steps.max(1) as f64))
        .collect()
}

/// The best of the length scales that were looked at.
pub(crate) struct Best {
    shared: bool,
    pub(crate) fits: Vec<Result<Fit>>,
    pub(crate) places: Vec<Place>,
    deviance: f64,
}

impl Best {
    pub(crate) fn new(responses: usize, shared: bool) -> Self {
        Self {
            shared,
            fits: (0..responses).map(|_| Err(Error::Interrupted)).collect(),
            places: vec![Place::NOWHERE; responses],
            deviance: f64::INFINITY,
        }
    }

    /// The log-likelihoods that decide: of each response, or their sum.
    fn deciding(&self, fits: &[Result<Fit>]) -> Vec<f64> {
        let log_lik = |fit: &Result<Fit>| fit.as_ref().map_or(0.0, |fit| fit.point.log_lik);
        match self.shared {
            true => vec![fits.iter().map(log_lik).sum()],
            false => fits.iter().map(log_lik).collect(),
        }
    }

    /// Each response by itself, or all if the sum of their deviances falls.
    pub(crate) fn take(&mut self, length: f64, looked: Looked) {
        let (fits, window) = (looked.fits, looked.window);
        let log_lik = |fit: &Result<Fit>| fit.as_ref().map_or(0.0, |fit| fit.point.log_lik);
        let deviance: f64 = -2.0 * fits.iter().map(log_lik).sum::<f64>();
        let better = |new: &Result<Fit>, old: &Result<Fit>| match (new, old) {
            (Ok(new), Ok(old)) => new.point.log_lik > old.point.log_lik,
            (_, Err(Error::Interrupted)) | (Ok(_), Err(_)) => true,
            (Err(_), _) => false,
        };
        let all = deviance < self.deviance;
        let current = self.fits.iter_mut().zip(&mut self.places);
        for ((new, spread), (old, at)) in fits.into_iter().zip(looked.spreads).zip(current) {
            let first = matches!(old, Err(Error::Interrupted));
            if first || (if self.shared { all } else { better(&new, old) }) {
                *at = match new {
                    Ok(_) => Place { length, spread, window },
                    Err(_) => Place::NOWHERE,
                };
                *old = new;
            }
        }
        self.deviance = self.deviance.min(deviance);
    }
}

/// Length scales of a window, and what each response makes of them.
pub(crate) struct Line {
    /// log ell, ascending, with the log-likelihoods that decide.
    seen: Vec<(f64, Vec<f64>)>,
}

impl Line {
    /// Looks along a grid, and then between its points.
    pub(crate) fn look(best: &mut Best, grid: &[f64], mut at: impl FnMut(f64) -> Result<Looked>) -> Result<()> {
        let mut line = Self { seen: vec![] };
        let mut wanted: Vec<f64> = grid.to_vec();
        for _ in 0..=HALVINGS {
            for length in wanted {
                let looked = at(length)?;
                let place = line.seen.partition_point(|(t, _)| *t < length.ln());
                line.seen.insert(place, (length.ln(), best.deciding(&looked.fits)));
                best.take(length, looked);
            }
            wanted = line.wanted();
            if wanted.is_empty() {
                break;
            }
        }
        Ok(())
    }

    /// Length scales between those that were seen, towards the optimum of some response.
    fn wanted(&self) -> Vec<f64> {
        let responses = self.seen.first().map_or(0, |(_, values)| values.len());
        let mut wanted: Vec<f64> = (0..responses).filter_map(|j| self.between(j)).collect();
        wanted.sort_by(f64::total_cmp);
        wanted.dedup();
        wanted.into_iter().map(f64::exp).collect()
    }

    /// The middle of the interval that holds the vertex of the parabola through the best point of a response and its neighbours, if there is much to gain.
    fn between(&self, j: usize) -> Option<f64> {
        let value = |i: usize| self.seen[i].1[j];
        let top = (0..self.seen.len()).max_by(|a, b| value(*a).total_cmp(&value(*b)))?;
        let (before, after) = (top.checked_sub(1)?, Some(top + 1).filter(|i| *i < self.seen.len())?);
        let (left, right) = (
            self.seen[top].0 - self.seen[before].0,
            self.seen[after].0 - self.seen[top].0,
        );
        let (rise, fall) = ((value(top) - value(before)) / left, (value(after) - value(top)) / right);
        let curvature = 2.0 * (rise - fall) / (left + right);
        let slope = (rise * right + fall * left) / (left + right);
        let half = 0.5 * if slope > 0.0 { right } else { left };
        // half a step away the log-likelihood may be higher by as much
        let gain = 0.5 * curvature * half * half;
        (gain > GAIN).then_some(self.seen[top].0 + half.copysign(slope))
    }
}

/// The angle between neighbours of a process with unit variance.
pub(crate) fn angle(correlation: f64) -> f64 {
    correlation.clamp(-1.0, 1.0).acos()
}

/// By the kernel matrix of all rows; `y` may have missing cells.
pub fn exact(
    data: &Data<'_>,
    y: MatRef<'_, f64>,
    x: MatRef<'_, f64>,
    asked: Asked<'_>,
    workers: &Workers,
    monitor: &mut dyn Monitor,
) -> Result<Together> {
    let (n, request) = (data.n(), asked.request);
    claim(4.0 * (n as f64).powi(2))?;
    let rows: Vec<usize> = (0..n).collect();
    let ones = vec![1.0; n];
    let weights = if data.weights.is_empty() { &ones } else { data.weights };
    let range = default_range(request, asked.bounds, &data.coordinates);
    let grid = match &request.lengths {
        Some(lengths) => vec![lengths[0]],
        None => descending(range.0, range.1),
    };
    let mut best = Best::new(y.ncols(), asked.shared);
    let mut scores = workers.run(|_| Scores::new(x, weights))?;
    let spread = Spread::new(y, weights);
    let (mut nobs, mut steps) = (vec![], 0);
    let of_rows = OfRows {
        data,
        x,
        weights,
        ones: &ones,
        rows: &rows,
        asked,
    };
    let at = |length: f64| {
        monitor.check()?;
        let kernel = of_rows.kernel(length)?;
        let found = look(y, &of_rows.model(&kernel), asked.of_many(), monitor)?;
        nobs = found.nobs;
        let spreads = spread.of(&kernel, y.ncols());
        if steps < grid.len() {
            workers.run(|par| scores.take(kernel, par));
        }
        steps += 1;
        Ok(Looked {
            fits: found.fits,
            spreads,
            window: 0,
        })
    };
    Line::look(&mut best, &grid, at)?;
    of_rows.complete(&mut best, y, monitor)?;
    of_rows.check(&mut best, y, workers, monitor)?;
    Ok(Together {
        arcs: vec![scores.arc; y.ncols()],
        fits: Fits { fits: best.fits, nobs },
        places: best.places,
        range,
        size: n,
        captured: 1.0,
        bases: vec![],
    })
}

impl Asked<'_> {
    pub(super) fn of_many(&self) -> many::Request {
        let options = Options {
            method: self.request.method,
            threads: self.threads,
            tolerance: None,
        };
        many::Request {
            options,
            effects: self.effects,
            floored: true,
        }
    }
}

/// Rows and weights of the patterns of missing cells.
struct Spread<'a> {
    patterns: Vec<Pattern>,
    weights: &'a [f64],
}

impl<'a> Spread<'a> {
    fn new(y: MatRef<'_, f64>, weights: &'a [f64]) -> Self {
        Self {
            patterns: patterns(y).0,
            weights,
        }
    }

    /// Of each response.
    fn of(&self, kernel: &Mat<f64>, responses: usize) -> Vec<f64> {
        let mut all = vec![f64::NAN; responses];
        let n = kernel.nrows();
        let w = self.weights;
        let along: Vec<f64> = (0..n).map(|j| dot(kernel.col_as_slice(j), w)).collect();
        let whole = dot(&along, w);
        for pattern in &self.patterns {
            let value = self.of_rows(kernel, &along, whole, &pattern.rows);
            pattern.columns.iter().for_each(|&j| all[j] = value);
        }
        all
    }

    /// w'K w over some rows: that over all less that of the others.
    fn of_rows(&self, kernel: &Mat<f64>, along: &[f64], whole: f64, rows: &[usize]) -> f64 {
        let w = self.weights;
        let form = |rows: &[usize]| -> f64 {
            let row = |&i: &usize| w[i] * rows.iter().map(|&j| w[j] * kernel[(i, j)]).sum::<f64>();
            rows.iter().map(row).sum()
        };
        let mut used = vec![false; w.len()];
        rows.iter().for_each(|&i| used[i] = true);
        let others: Vec<usize> = (0..w.len()).filter(|&i| !used[i]).collect();
        let inside = if others.len() < rows.len() {
            whole - 2.0 * others.iter().map(|&i| w[i] * along[i]).sum::<f64>() + form(&others)
        } else {
            form(rows)
        };
        spread(inside, rows.iter().map(|&i| w[i]).sum(), rows.len() as f64)
    }
}

/// From w'K w, w'1 and n.
pub(crate) fn spread(form: f64, total: f64, n: f64) -> f64 {
    (total - form / total) / (n - 1.0)
}

/// Score statistics of neighbouring kernels: tr(PK PK') for a scale that is estimated.
struct Scores {
    /// An orthonormal basis of span(X), rows times root weights.
    q: Mat<f64>,
    root: Vec<f64>,
    last: Option<Mat<f64>>,
    arc: f64,
}

impl Scores {
    fn new(x: MatRef<'_, f64>, weights: &[f64]) -> Result<Self> {
        let root: Vec<f64> = weights.iter().map(|w| w.sqrt()).collect();
        let kept = Design::new(x, &root)?.kept;
        let columns = Mat::from_fn(x.nrows(), kept.len(), |i, j| root[i] * x[(i, kept[j])]);
        Ok(Self {
            q: columns.qr().compute_thin_Q(),
            root,
            last: None,
            arc: 0.0,
        })
    }

    fn take(&mut self, mut kernel: Mat<f64>, par: Par) {
        let n = kernel.nrows();
        for j in 0..n {
            (0..n).for_each(|i| kernel[(i, j)] *= self.root[i] * self.root[j]);
        }
        // P K P, and of it what is not a multiple of P
        let right = product(kernel.as_ref(), self.q.as_ref(), par);
        kernel -= product(right.as_ref(), self.q.transpose(), par);
        let left = product(self.q.transpose(), kernel.as_ref(), par);
        kernel -= product(self.q.as_ref(), left.as_ref(), par);
        let mean = (0..n).map(|i| kernel[(i, i)]).sum::<f64>() / (n - self.q.ncols()) as f64;
        kernel += product(self.q.as_ref(), self.q.transpose(), par) * faer::Scale(mean);
        (0..n).for_each(|i| kernel[(i, i)] -= mean);
        let size = kernel.norm_l2();
        kernel *= faer::Scale(1.0 / size);
        if let Some(last) = &self.last {
            let entries = |j: usize| -> f64 { kernel.col(j).iter().zip(last.col(j).iter()).map(|(a, b)| a * b).sum() };
            self.arc += angle((0..n).map(entries).sum());
        }
        self.last = Some(kernel);
    }
}
