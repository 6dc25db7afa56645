//! Rough knowledge of the length scale: the whole range window by window, on a sample of rows and with few functions.

use super::explorer::{COARSE, Explorer, HALF, MomentSource, NOTHING};
use super::nested::check_size;
use crate::gp::bounds::Range;
use crate::gp::found::{Optima, ProfilePoint};
use crate::gp::guess::{Guess, valley};
use crate::gp::observations::{Observations, OwnedObservations};
use crate::gp::search::LengthSearch;
use crate::runtime::error::Result;
use crate::runtime::monitor::Monitor;

/// Rows of the sample that is explored: they give a guess, and all rows the fit. Twice as many double the time of the exploration's passes.
const SAMPLE: usize = 20_000;
/// Functions beyond which a look is expensive: COARSER is tried first, and the first valley of a window will do.
const FEW: usize = 700;
/// Once a valley is found, windows of shorter length scales are searched for another one as long as they take no more functions than this.
const BEYOND: usize = 600;
/// Part of the variance that a first look leaves out where COARSE takes more than FEW functions.
const COARSER: f64 = 3e-2;
/// That look counts where delta exceeds COARSER so many times: what is left out is then small beside the noise that it is taken for.
const ENOUGH: f64 = 4.0;
/// Ratio of the ends of a window. The profile and its slope are computed at the ends only: 0.45 apart in the logarithm, as on the exact route.
const WINDOW: f64 = 1.56;

impl Explorer<'_> {
    /// Local optima over the whole range, best first, those that cannot be the best left out.
    pub(super) fn explore(&self, monitor: &mut dyn Monitor) -> Result<Vec<Guess>> {
        let coarse = self.coarse();
        let (shortest, mut longest) = self.ends();
        let mut guesses: Vec<Guess> = vec![];
        loop {
            let shorter = (longest / WINDOW).max(shortest);
            let range = self.request.range(self.bounds, shorter, longest);
            let still_falling = |g: &Guess| g.delta.is_finite() && g.lengths[0] <= range.longest[0] * 1.001;
            let limit = if guesses.first().is_none_or(still_falling) {
                coarse.limit
            } else {
                BEYOND.min(coarse.limit)
            };
            let eps = self.first_look(&coarse, &range);
            let fits = check_size(self.size(&range, eps), &range, eps, limit);
            if fits.is_err() && !guesses.is_empty() && !(self.request.strict && still_falling(&guesses[0])) {
                return Ok(plausible(guesses, coarse.ratio));
            }
            fits?;
            guesses.extend(self.guesses(&coarse, &range, guesses.first(), monitor)?);
            guesses.sort_by(|a, b| a.deviance.total_cmp(&b.deviance));
            if shorter <= shortest {
                return Ok(plausible(guesses, coarse.ratio));
            }
            longest = shorter;
        }
    }

    /// Ends of the factors of the length scales' proportion that are looked at; the shortest is 0 where the size of the basis is the limit.
    fn ends(&self) -> (f64, f64) {
        let widest = self.request.widest(self.bounds);
        let (shortest, longest) = match &self.source {
            MomentSource::Rows(_) => (0.0, widest),
            MomentSource::Table(ladder, _) => {
                let unit = self.request.unit(self.bounds)[0];
                (ladder.range.shortest[0] / unit, ladder.range.longest[0] / unit)
            }
        };
        (
            self.request.shortest.map_or(shortest, |s| s.max(shortest)),
            self.request.longest.unwrap_or(longest),
        )
    }

    fn coarse(&self) -> Coarse {
        match &self.source {
            MomentSource::Rows(data) => {
                let (rows, ratio) = sample(data);
                let n = rows.view().n();
                Coarse {
                    rows: Some(rows),
                    ratio,
                    eps: COARSE,
                    limit: self.request.largest.min(n / 2),
                }
            }
            MomentSource::Table(ladder, _) => Coarse {
                rows: None,
                ratio: 1.0,
                eps: ladder.eps.max(COARSE),
                limit: self.request.largest.min(ladder.moments.n as usize / 2),
            },
        }
    }

    /// Part of the variance that the first look at a window leaves out.
    fn first_look(&self, coarse: &Coarse, range: &Range) -> f64 {
        match self.size(range, coarse.eps) > FEW as f64 {
            true => coarse.eps.max(COARSER),
            false => coarse.eps,
        }
    }

    /// Those of a window. Where functions are many, fewer will do if what they leave out is small beside delta, or if more are not to be had.
    fn guesses(
        &self,
        coarse: &Coarse,
        range: &Range,
        best: Option<&Guess>,
        monitor: &mut dyn Monitor,
    ) -> Result<Vec<Guess>> {
        let eps = self.first_look(coarse, range);
        if eps > coarse.eps {
            let found = self.window(coarse, range, (eps, best), monitor)?;
            let told = |g: &Guess| g.delta > ENOUGH * COARSER && g.delta.is_finite();
            let is_last = self.size(range, coarse.eps) > coarse.limit as f64;
            if is_last || !found.is_empty() && found.iter().all(told) {
                return Ok(found.into_iter().map(|g| Guess { leans: true, ..g }).collect());
            }
        }
        self.window(coarse, range, (coarse.eps, best), monitor)
    }

    fn window(
        &self,
        coarse: &Coarse,
        range: &Range,
        (eps, best): (f64, Option<&Guess>),
        monitor: &mut dyn Monitor,
    ) -> Result<Vec<Guess>> {
        let space = match (&self.source, &coarse.rows) {
            (MomentSource::Rows(data), Some(rows)) => {
                let ladder = self.pass(&rows.view(), &data.shifts(), range.clone(), eps, monitor)?;
                ladder.space(range, eps, 0)?.1
            }
            (MomentSource::Table(ladder, response), _) => ladder.without_groups().space(range, eps, *response)?.1,
            _ => return Err(NOTHING),
        };
        let lean = self.lean(&space, range, eps);
        let search = self.search(&*lean, monitor);
        let (unit, first, last) = (self.request.unit(self.bounds), range.shortest[0], range.longest[0]);
        // where a look is expensive the first valley will do, and Newton's method finds it from the end where the window before this one was still falling
        let all = space.size() <= FEW;
        let started = if all {
            None
        } else {
            best.filter(|g| g.delta.is_finite())
        };
        if let Some(best) = started
            && let Some(found) = search.newton(&range.longest, best.delta, range)?
        {
            return Ok(found
                .locals
                .first()
                .map(|p| at_end_or_inside(p, &found, range))
                .into_iter()
                .collect());
        }
        let (at, seen) = search.look(&unit, first / unit[0], last / unit[0], all)?;
        let mut guesses: Vec<Guess> = (1..at.len())
            .filter_map(|i| valley(at[i] - at[i - 1], &seen[i - 1], &seen[i]))
            .collect();
        if seen[0].slope() >= 0.0 {
            // the next window tells more
            guesses.push(unmeasured(&seen[0]));
        }
        if let Some(last) = seen.last().filter(|last| last.slope() < 0.0) {
            guesses.push(guess(&search, last)?);
        }
        Ok(guesses)
    }
}

/// The rows that the exploration looks at, and how many rows one of them stands for.
struct Coarse {
    rows: Option<OwnedObservations>,
    ratio: f64,
    eps: f64,
    limit: usize,
}

/// Rows of a scattered order, groups left out.
fn sample(data: &Observations<'_>) -> (OwnedObservations, f64) {
    let n = data.n();
    let keep = (SAMPLE as f64 / n as f64).min(1.0);
    let golden = 0.618_033_988_749_894_9;
    let rows: Vec<usize> = (0..n).filter(|&i| (i as f64 * golden).fract() < keep).collect();
    let ungrouped = Observations {
        group: &[],
        groups: 0,
        ..data.clone()
    };
    (ungrouped.rows(&rows), n as f64 / rows.len() as f64)
}

/// What Newton's method found in a window. An optimum at an end has no width: the next window tells more.
fn at_end_or_inside(at: &ProfilePoint, found: &Optima, range: &Range) -> Guess {
    let is_inside = at.lengths[0] > range.shortest[0] && at.lengths[0] < range.longest[0];
    match found.width.filter(|_| is_inside) {
        Some(width) => Guess {
            width,
            ..unmeasured(at)
        },
        None => unmeasured(at),
    }
}

fn unmeasured(at: &ProfilePoint) -> Guess {
    Guess {
        lengths: at.lengths.clone(),
        delta: at.delta,
        width: HALF,
        deviance: at.deviance,
        leans: false,
    }
}

fn guess(search: &LengthSearch<'_>, at: &ProfilePoint) -> Result<Guess> {
    // in log length scale, for a difference of exact slopes
    const STEP: f64 = 0.05;
    let slope = |t: f64| -> Result<f64> {
        let lengths: Vec<f64> = at.lengths.iter().map(|l| l * t.exp()).collect();
        Ok(search.at(&lengths)?.slope())
    };
    let curvature = (slope(STEP)? - slope(-STEP)?) / (2.0 * STEP);
    let width = if curvature > 0.0 {
        (2.0 / curvature).sqrt()
    } else {
        f64::INFINITY
    };
    Ok(Guess {
        width,
        ..unmeasured(at)
    })
}

/// Differences of deviances grow with the number of rows; what lies far above the best is no candidate.
fn plausible(mut guesses: Vec<Guess>, ratio: f64) -> Vec<Guess> {
    let best = guesses[0].deviance;
    guesses.retain(|g| (g.deviance - best) * ratio.sqrt() < 20.0);
    let mut kept: Vec<Guess> = vec![];
    for guess in guesses {
        let near = |k: &Guess| (k.lengths[0] / guess.lengths[0]).ln().abs() < 0.6;
        if !kept.iter().any(near) && kept.len() < 3 {
            kept.push(guess);
        }
    }
    kept
}
