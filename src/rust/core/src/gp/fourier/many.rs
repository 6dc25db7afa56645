//! Many responses in Fourier space: for a window of length scales one pass over the data, and at each length scale one decomposition for all of them.

use super::grid::size;
use super::many_space::Space;
use super::nested::check_size;
use super::sufficient::moments;
use super::weights::WeightSpace;
use super::window_basis::WindowBasis;
use crate::gp::bounds::{Range, SIDES};
use crate::gp::many_search::{Best, GridSearch, Looked, ManySettings, Together, descending};
use crate::gp::observations::{Observations, OwnedObservations};
use crate::lmm::estimates::Fit;
use crate::lmm::many::Fits;
use crate::lmm::missing_pattern::{Pattern, patterns};
use crate::runtime::error::{Error, Result};
use crate::runtime::memory::claim;
use crate::runtime::monitor::Monitor;
use crate::runtime::parallel::Workers;
use faer::MatRef;

/// Ratio of the ends of a window of length scales.
const WINDOW: f64 = 1.7;
/// Part of the variance that may be left out: relative to a delta of a tenth, and no more than this.
const USUAL: f64 = 0.1;
const COARSE: f64 = 1e-2;
/// Functions of a basis that costs so little that it may as well be finer, and how fine.
const CHEAP: f64 = 400.0;
const FINEST: f64 = 1e-6;
/// Functions beyond which a length scale that was not asked for is not looked at.
const FEW: usize = 2000;
/// Numbers in the Fourier sums of responses that are passed over together.
const TOGETHER: f64 = 1.6e7;

/// Data without responses, and what is known of the process.
pub struct Many<'a> {
    /// Coordinates, X and weights of all rows.
    pub data: &'a Observations<'a>,
    /// n x q, NaN where missing.
    pub y: MatRef<'a, f64>,
    /// The process, its range, and what the fits are to hold.
    pub settings: ManySettings<'a>,
    /// Threads of the call.
    pub workers: &'a Workers,
}

/// The responses of a pattern that can be fitted, and their rows.
struct PatternData {
    rows: OwnedObservations,
    responses: Vec<Vec<f64>>,
    /// Their places among all.
    places: Vec<usize>,
}

impl Many<'_> {
    /// Each response at its best length scale and delta, or all at one length scale: windows of length scales from short to long, one pass over the rows for each.
    pub fn fit(&self, monitor: &mut dyn Monitor) -> Result<Together> {
        let q = self.y.ncols();
        let (all, nobs) = patterns(self.y);
        let windows = self.windows(nobs.iter().copied().max().unwrap_or(0))?;
        let mut best = Best::new(q, self.settings.shared);
        let mut found = Together {
            arcs: vec![0.0; q],
            fits: Fits { fits: vec![], nobs },
            fitted: vec![],
            range: ends(&windows),
            size: 0,
            captured: 1.0,
            bases: windows.iter().map(|(range, eps)| self.basis(range, *eps)).collect(),
        };
        let (data, refused) = self.by_pattern(&all);
        let mut last: Vec<Option<Vec<f64>>> = vec![None; data.len()];
        for (window, (range, _)) in windows.iter().enumerate() {
            let basis = &found.bases[window];
            let spaces: Vec<Result<Space>> = data.iter().map(|pattern| self.space(pattern, basis, monitor)).collect();
            let mut left = 0;
            let grid = self.grid(range);
            let at = |length: f64| {
                monitor.check()?;
                let at = self.lengths(length);
                let mut fits: Vec<Result<Fit>> = refused.iter().map(|e| Err(e.clone())).collect();
                let mut spreads = vec![f64::NAN; q];
                for (k, space) in spaces.iter().enumerate() {
                    let places = &data[k].places;
                    let space = match space {
                        Ok(space) => space,
                        Err(error) if error.concerns_all() => return Err(error.clone()),
                        Err(error) => {
                            places.iter().for_each(|place| fits[*place] = Err(error.clone()));
                            continue;
                        }
                    };
                    let some = self.workers.run(|par| space.fits(self.settings, &at, par))?;
                    places.iter().zip(some).for_each(|(place, fit)| fits[*place] = fit);
                    let spread = space.spread(&at);
                    places.iter().for_each(|place| spreads[*place] = spread);
                    found.captured = found.captured.min(space.space.captured(&at));
                    if left < grid.len() {
                        let arc = last[k]
                            .replace(at.clone())
                            .map_or(0.0, |before| space.arc(&before, &at));
                        places.iter().for_each(|place| found.arcs[*place] += arc);
                    }
                }
                left += 1;
                Ok(Looked { fits, spreads, window })
            };
            GridSearch::look(&mut best, &grid, at)?;
            let sizes = spaces.iter().flatten().map(|s| s.space.size());
            found.size = sizes.fold(found.size, usize::max);
        }
        (found.fits.fits, found.fitted) = (best.fits, best.fitted);
        Ok(found)
    }

    /// The data of each pattern, and for the other responses what is wrong with them.
    fn by_pattern(&self, all: &[Pattern]) -> (Vec<PatternData>, Vec<Error>) {
        let mut refused = vec![Error::Interrupted; self.y.ncols()];
        let mut data = vec![];
        for pattern in all {
            let mut some = PatternData {
                rows: self.data.rows(&pattern.rows),
                responses: vec![],
                places: vec![],
            };
            for &j in &pattern.columns {
                match pattern.response(self.y, j) {
                    Ok(y) => {
                        some.responses.push(y);
                        some.places.push(j);
                    }
                    Err(error) => refused[j] = error,
                }
            }
            if !some.places.is_empty() {
                data.push(some);
            }
        }
        (data, refused)
    }

    /// Windows of the range, the longest length scales first, until the basis grows too large, and the part of the variance that each leaves out.
    fn windows(&self, n: usize) -> Result<Vec<(Range, f64)>> {
        let request = self.settings.request;
        let few = if request.shortest.is_some() || request.lengths.is_some() {
            request.largest
        } else {
            FEW.min(request.largest)
        };
        let limit = few.min(n / 2);
        let mut longest = request.longest.unwrap_or(SIDES * request.widest(self.settings.bounds));
        let shortest = request.shortest.unwrap_or(0.0);
        let mut windows = vec![];
        loop {
            let shorter = (longest / WINDOW).max(shortest);
            let range = match &request.lengths {
                Some(lengths) => Range {
                    shortest: lengths.clone(),
                    longest: lengths.clone(),
                },
                None => request.range(self.settings.bounds, shorter, longest),
            };
            let size = |eps: f64| size(request.family, self.settings.bounds, &range, eps);
            let mut eps = (USUAL * request.tol).min(COARSE);
            let fits = check_size(size(eps), &range, eps, limit);
            if fits.is_err() && !windows.is_empty() && request.shortest.is_none() {
                return Ok(windows);
            }
            if fits.is_err() && request.shortest.is_none() && request.lengths.is_none() {
                return Err(self.refusal(n, limit, eps));
            }
            fits?;
            while eps > FINEST && size(0.3 * eps) <= CHEAP.min(0.4 * n as f64) {
                eps *= 0.3;
            }
            windows.push((range, eps));
            if shorter <= shortest || request.lengths.is_some() {
                return Ok(windows);
            }
            longest = shorter;
        }
    }

    /// That no window which is looked at is served, and from which length scale on one would be.
    fn refusal(&self, rows: usize, limit: usize, eps: f64) -> Error {
        const FARTHEST: f64 = 1e4;
        let (request, bounds) = (self.settings.request, self.settings.bounds);
        let longest = request.longest.unwrap_or(SIDES * request.widest(bounds));
        let serves = |log: f64| {
            let range = request.range(bounds, log.exp(), WINDOW * log.exp());
            size(request.family, bounds, &range, eps) <= limit as f64
        };
        let (mut low, mut high) = ((longest / FARTHEST).ln(), (longest * FARTHEST).ln());
        let from = if serves(high) {
            while high - low > 1e-3 {
                let middle = 0.5 * (low + high);
                if serves(middle) { high = middle } else { low = middle }
            }
            high.exp()
        } else {
            f64::INFINITY
        };
        Error::RoughForRows {
            rows,
            largest: limit,
            from,
            longest,
        }
    }

    /// The first length scales of a window.
    fn grid(&self, range: &Range) -> Vec<f64> {
        match self.settings.request.lengths {
            Some(_) => vec![range.shortest[0]],
            None => descending(range.shortest[0], range.longest[0]),
        }
    }

    /// Of all axes.
    fn lengths(&self, length: f64) -> Vec<f64> {
        let all = vec![length; self.settings.bounds.d()];
        self.settings.request.lengths.clone().unwrap_or(all)
    }

    fn basis(&self, range: &Range, eps: f64) -> WindowBasis {
        WindowBasis::new(self.settings.request.family, self.settings.bounds, range, eps)
    }

    fn space(&self, pattern: &PatternData, basis: &WindowBasis, monitor: &mut dyn Monitor) -> Result<Space> {
        let WindowBasis { grid, frequencies, .. } = basis;
        claim((2 * frequencies.len()) as f64 * pattern.places.len() as f64)?;
        let numbers: f64 = grid.m.iter().map(|m| (2 * m + 1) as f64).product();
        let together = ((TOGETHER / numbers) as usize).max(1);
        let (mut space, mut ones): (Option<WeightSpace>, Vec<f64>) = (None, vec![]);
        let mut responses = vec![];
        for block in pattern.responses.chunks(together) {
            let mut data = pattern.rows.view();
            data.y = block.iter().map(Vec::as_slice).collect();
            let table = moments(&data, grid, &data.shifts(), self.workers, monitor)?;
            ones = table.ones.functions(frequencies);
            let space = match &mut space {
                Some(space) => space,
                None => space.insert(WeightSpace::new(
                    self.settings.request.family,
                    &table,
                    frequencies.clone(),
                    0,
                )?),
            };
            for k in 0..block.len() {
                space.respond(&table, k);
                responses.push((space.c.clone(), space.unshifted_y1(), space.rho0));
            }
        }
        let space = space.ok_or(Error::TooFewRows { n: 0, rank: 0 })?;
        Ok(Space { space, ones, responses })
    }
}

fn ends(windows: &[(Range, f64)]) -> (f64, f64) {
    let shortest = windows.last().map_or(f64::NAN, |(range, _)| range.shortest[0]);
    (
        shortest,
        windows.first().map_or(f64::NAN, |(range, _)| range.longest[0]),
    )
}
