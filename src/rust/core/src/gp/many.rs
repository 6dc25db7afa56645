//! Many responses by the kernel matrix of all rows.

use super::exact::default_range;
use super::many_rows::OfRows;
use super::many_search::{Best, GridSearch, Looked, ManySettings, Together, angle, descending, spread};
use crate::gp::observations::Observations;
use crate::linalg::{dot, product};
use crate::lmm::look::look;
use crate::lmm::many::Fits;
use crate::lmm::missing_pattern::{Pattern, patterns};
use crate::rotation::fixed_qr::Design;
use crate::runtime::error::Result;
use crate::runtime::memory::claim;
use crate::runtime::monitor::Monitor;
use crate::runtime::parallel::Workers;
use faer::{Mat, MatRef, Par};

/// By the kernel matrix of all rows; `y` may have missing cells.
pub fn exact(
    data: &Observations<'_>,
    y: MatRef<'_, f64>,
    x: MatRef<'_, f64>,
    settings: ManySettings<'_>,
    workers: &Workers,
    monitor: &mut dyn Monitor,
) -> Result<Together> {
    let (n, request) = (data.n(), settings.request);
    claim(4.0 * (n as f64).powi(2))?;
    let rows: Vec<usize> = (0..n).collect();
    let ones = vec![1.0; n];
    let weights = if data.weights.is_empty() { &ones } else { data.weights };
    let range = default_range(request, settings.bounds, &data.coordinates);
    let grid = match &request.lengths {
        Some(lengths) => vec![lengths[0]],
        None => descending(range.0, range.1),
    };
    let mut best = Best::new(y.ncols(), settings.shared);
    let mut scores = workers.run(|_| Scores::new(x, weights))?;
    let patterns = PatternWeights::new(y, weights);
    let (mut nobs, mut steps) = (vec![], 0);
    let of_rows = OfRows {
        data,
        x,
        weights,
        ones: &ones,
        rows: &rows,
        settings,
    };
    let at = |length: f64| {
        monitor.check()?;
        let kernel = of_rows.kernel(length)?;
        let found = look(y, &of_rows.model(&kernel), settings.of_many(), monitor)?;
        nobs = found.nobs;
        let spreads = patterns.spread(&kernel, y.ncols());
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
    GridSearch::look(&mut best, &grid, at)?;
    of_rows.complete(&mut best, y, monitor)?;
    of_rows.check(&mut best, y, workers, monitor)?;
    Ok(Together {
        arcs: vec![scores.arc; y.ncols()],
        fits: Fits { fits: best.fits, nobs },
        fitted: best.fitted,
        range,
        size: n,
        captured: 1.0,
        bases: vec![],
    })
}

/// Rows and weights of the patterns of missing cells.
struct PatternWeights<'a> {
    patterns: Vec<Pattern>,
    weights: &'a [f64],
}

impl<'a> PatternWeights<'a> {
    fn new(y: MatRef<'_, f64>, weights: &'a [f64]) -> Self {
        Self {
            patterns: patterns(y).0,
            weights,
        }
    }

    /// Of each response.
    fn spread(&self, kernel: &Mat<f64>, responses: usize) -> Vec<f64> {
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
