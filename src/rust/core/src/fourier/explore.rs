//! From rough knowledge of the length scale to a basis that serves it.
//!
//! The fewer functions the narrower the range of length scales that a basis serves. So the whole range is first explored window by window, on a sample of rows and with
//! few functions; then all rows pass over a table for the neighbourhood of what was found, fine enough that what it leaves out of the kernel's variance is small beside
//! delta, and a narrow window is moved until the optimum lies inside.

use super::grid::{Bounds, Grid, Range, size};
use super::ladder::{Ladder, check_size};
use super::moments::Moments;
use super::pass::{Data, moments};
use super::weights::WeightSpace;
use crate::error::{Error, Result};
use crate::kernel::stationary::Family;
use crate::likelihood::Method;
use crate::monitor::Monitor;
use crate::optimize::Place;
use crate::parallel::Workers;
use crate::process::search::{Found, Profiled, Search};
use std::cell::RefCell;

/// What is known of the process.
#[derive(Debug, Clone)]
pub struct Request {
    pub family: Family,
    pub method: Method,
    /// Given length scales, one an axis.
    pub lengths: Option<Vec<f64>>,
    /// One length scale an axis, or one for all.
    pub ard: bool,
    /// Ends of the range of length scales.
    pub shortest: Option<f64>,
    pub longest: Option<f64>,
    /// Part of the variance that may be left out, relative to delta.
    pub tol: f64,
    /// Most functions that the basis may have.
    pub largest: usize,
}

/// Ends of the ratio of the standard deviations of groups and process.
const RATIO: (f64, f64) = (1e-4, 1e4);

/// The process on the basis that serves its optimum, and the table of that basis.
pub struct Settled {
    pub eps: f64,
    pub moments: Moments,
    pub space: WeightSpace,
    /// The space that the length scale was estimated in, if it is not `space`.
    pub guarded: Option<WeightSpace>,
    pub range: Range,
    pub found: Found,
    /// Does the length scale lie at an end that the search could not pass?
    pub at_end: bool,
}

/// A place to look, with the standard deviation of the logarithm of the length scale there.
struct Guess {
    lengths: Vec<f64>,
    delta: f64,
    width: f64,
    deviance: f64,
}

/// Rows of the sample, part of the variance left out and number of functions of the exploration.
const SAMPLE: usize = 20_000;
const COARSE: f64 = 1e-2;
const FEW: usize = 700;
/// Ratio of the ends of a window.
const WINDOW: f64 = 1.7;
/// Half the width of the last window, in the logarithm of the length scale.
const HALF: f64 = 0.1;
/// Standard errors that the last window reaches about the optimum, and its widest.
const SPREAD: f64 = 3.5;
/// Standard errors of the exploration that the first window reaches.
const FIRST: f64 = 2.0;
const WIDEST: f64 = 1.5;
/// Functions of a basis that costs so little that it may as well be exact.
const CHEAP: f64 = 600.0;
/// Finest part of the variance that a grid is asked to hold.
const FINEST: f64 = 1e-10;

impl Request {
    /// Length scales in proportion: equal ones, or each to its side of the box.
    pub fn unit(&self, bounds: &Bounds) -> Vec<f64> {
        let side = |a| if self.ard { bounds.side(a) } else { 1.0 };
        (0..bounds.d()).map(side).collect()
    }

    /// Longest side of the box in that proportion.
    pub fn widest(&self, bounds: &Bounds) -> f64 {
        let sides = self.unit(bounds).into_iter().enumerate();
        sides.map(|(a, unit)| bounds.side(a) / unit).fold(0.0, f64::max)
    }

    /// From one factor of that proportion to another.
    pub fn range(&self, bounds: &Bounds, shortest: f64, longest: f64) -> Range {
        let of = |t: f64| self.unit(bounds).iter().map(|u| u * t).collect();
        Range {
            shortest: of(shortest),
            longest: of(longest),
        }
    }
}

/// All rows, or the table that they left.
pub enum Source<'a> {
    Rows(&'a Data<'a>),
    Table(&'a Ladder, usize),
}

pub struct Explorer<'a> {
    pub source: Source<'a>,
    pub bounds: &'a Bounds,
    pub request: &'a Request,
    pub workers: &'a Workers,
}

impl Explorer<'_> {
    fn d(&self) -> usize {
        self.bounds.d()
    }

    fn search<'s>(&'s self, space: &'s WeightSpace, monitor: &'s mut dyn Monitor) -> Search<'s> {
        Search {
            process: space,
            method: self.request.method,
            workers: self.workers,
            monitor: RefCell::new(monitor),
        }
    }

    /// The fit on a grid that serves it.
    pub fn settle(&self, monitor: &mut dyn Monitor) -> Result<Settled> {
        let guesses = match &self.request.lengths {
            Some(lengths) => vec![self.given(lengths)],
            None => self.explore(monitor)?,
        };
        let mut best: Option<Settled> = None;
        for guess in guesses {
            let settled = self.refine(guess, monitor)?;
            let deviance = |s: &Settled| s.found.locals[0].deviance;
            if best.as_ref().is_none_or(|b| deviance(&settled) < deviance(b)) {
                best = Some(settled);
            }
        }
        best.ok_or(NOTHING)
    }

    fn given(&self, lengths: &[f64]) -> Guess {
        Guess {
            lengths: lengths.to_vec(),
            delta: 0.1,
            width: 0.0,
            deviance: 0.0,
        }
    }

    // ---- exploration ----------------------------------------------------------------------------------

    /// Local optima over the whole range, best first, those that cannot be the best left out.
    fn explore(&self, monitor: &mut dyn Monitor) -> Result<Vec<Guess>> {
        let mut coarse = self.coarse();
        let (shortest, mut longest) = self.ends();
        let mut guesses: Vec<Guess> = vec![];
        loop {
            let shorter = (longest / WINDOW).max(shortest);
            let range = self.request.range(self.bounds, shorter, longest);
            let still_falling = |g: &Guess| g.delta.is_finite() && g.lengths[0] <= range.longest[0] * 1.001;
            let limit = if guesses.first().is_none_or(still_falling) {
                coarse.limit
            } else {
                FEW.min(coarse.limit)
            };
            let fits = check_size(self.size(&range, coarse.eps), &range, coarse.eps, limit);
            if fits.is_err() && !guesses.is_empty() {
                return Ok(plausible(guesses, coarse.ratio));
            }
            fits?;
            guesses.extend(self.window(&mut coarse, &range, monitor)?);
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
            Source::Rows(_) => (0.0, widest),
            Source::Table(ladder, _) => {
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
            Source::Rows(data) => {
                let (rows, ratio) = sample(data);
                let n = rows.view().n();
                Coarse {
                    rows: Some(rows),
                    ratio,
                    eps: COARSE,
                    limit: self.request.largest.min(n / 2),
                }
            }
            Source::Table(ladder, _) => Coarse {
                rows: None,
                ratio: 1.0,
                eps: ladder.eps.max(COARSE),
                limit: self.request.largest.min(ladder.moments.n as usize / 2),
            },
        }
    }

    fn window(&self, coarse: &mut Coarse, range: &Range, monitor: &mut dyn Monitor) -> Result<Vec<Guess>> {
        let space = match (&self.source, &coarse.rows) {
            (Source::Rows(data), Some(rows)) => {
                let ladder = self.pass(&rows.view(), &data.shifts(), range.clone(), COARSE, monitor)?;
                ladder.space(range, COARSE, 0)?.1
            }
            (Source::Table(ladder, response), _) => ladder.without_groups().space(range, coarse.eps, *response)?.1,
            _ => return Err(NOTHING),
        };
        let search = self.search(&space, monitor);
        let (unit, first, last) = (self.request.unit(self.bounds), range.shortest[0], range.longest[0]);
        let found = search.isotropic(&unit, first / unit[0], last / unit[0])?;
        let one = |p: &Profiled| match p.lengths[0] <= first * 1.001 {
            // the next window tells more
            true => Ok(unmeasured(p)),
            false => guess(&search, p),
        };
        found.locals.iter().map(one).collect()
    }

    /// A table of some rows for a range.
    fn pass(
        &self,
        data: &Data<'_>,
        shifts: &[f64],
        range: Range,
        eps: f64,
        monitor: &mut dyn Monitor,
    ) -> Result<Ladder> {
        let grid = Grid::new(self.request.family, self.bounds, &range, eps);
        Ok(Ladder {
            family: self.request.family,
            bounds: self.bounds.clone(),
            eps,
            moments: moments(data, &grid, shifts, self.workers, monitor)?,
            range,
        })
    }

    // ---- the last basis -------------------------------------------------------------------------------

    /// A window is moved, widened to some standard errors and refined, until it serves the optimum and its interval.
    fn refine(&self, guess: Guess, monitor: &mut dyn Monitor) -> Result<Settled> {
        let mut guess = guess;
        let mut half = (FIRST * guess.width).clamp(HALF, WIDEST);
        let mut ladder: Option<Ladder> = None;
        for _ in 0..40 {
            let (range, eps) = self.fitting(&guess, half)?;
            let serves = |l: &Ladder| l.holds(&range) && l.eps <= eps * (1.0 + 1e-9);
            let served = match (&self.source, ladder.take().filter(serves)) {
                (Source::Table(table, _), _) => (*table).clone(),
                (_, Some(ladder)) => ladder,
                (Source::Rows(data), None) => self.pass(data, &data.shifts(), range.clone(), eps, monitor)?,
            };
            let (moments, space) = served.space(&range, eps, self.response())?;
            let guarded = self.guarded(&space, &guess)?;
            let found = self.optima(guarded.as_ref().unwrap_or(&space), &guess, &range, monitor)?;
            let best = found.locals.first().ok_or(NOTHING)?;
            if self.is_fine(&space, best, eps) && self.is_inside(best, &range) {
                guess = self.measured(&found, best, &guess);
                let wanted = (SPREAD * guess.width).min(WIDEST);
                if wanted <= 1.3 * half
                    || half >= WIDEST
                    || self.is_settled(&found, &range)
                    || self.fitting(&guess, wanted)?.0 == range
                {
                    let at_end = self.at_end(best, &range);
                    return Ok(Settled {
                        eps,
                        moments,
                        space,
                        guarded,
                        range,
                        found,
                        at_end,
                    });
                }
                half = wanted;
            } else {
                guess.delta = if best.place == Place::Upper {
                    guess.delta
                } else {
                    best.delta
                };
                guess.lengths = best.lengths.clone();
            }
            ladder = Some(served);
        }
        Err(NOTHING)
    }

    /// The range about a guess, narrowed until its basis is small enough, and the part of the variance that may be left out: as
    /// little as costs nothing, since many rows tell much about frequencies that have little variance.
    fn fitting(&self, guess: &Guess, half: f64) -> Result<(Range, f64)> {
        let (n, finest) = match &self.source {
            Source::Rows(data) => (data.n() as f64, FINEST),
            Source::Table(ladder, _) => (ladder.moments.n, ladder.eps),
        };
        let size = |range: &Range, eps: f64| self.size(range, eps);
        let mut eps = (self.request.tol * guess.delta).clamp(finest, finest.max(COARSE));
        let mut half = half;
        let mut range = self.about(&guess.lengths, half);
        while half > HALF && size(&range, eps) > (self.request.largest as f64).min(0.5 * n) {
            half = (0.8 * half).max(HALF);
            range = self.about(&guess.lengths, half);
        }
        check_size(size(&range, eps), &range, eps, self.request.largest)?;
        while 0.3 * eps >= finest
            && eps * n > self.request.tol * guess.delta
            && size(&range, 0.3 * eps) <= CHEAP.min(0.4 * n)
        {
            eps *= 0.3;
        }
        Ok((range, eps))
    }

    /// The space that the length scale is estimated in, if it is not the basis itself.
    fn guarded(&self, space: &WeightSpace, guess: &Guess) -> Result<Option<WeightSpace>> {
        if self.request.method == Method::Ml {
            return Ok(None);
        }
        match space.guard(&guess.lengths, guess.delta) {
            0 => Ok(None),
            guard => self.workers.run(|par| space.guarded(guard, par)).map(Some),
        }
    }

    /// The optimum as a guess, its width by the slopes that the search saw.
    fn measured(&self, found: &Found, best: &Profiled, guess: &Guess) -> Guess {
        Guess {
            lengths: best.lengths.clone(),
            delta: if best.place == Place::Upper {
                guess.delta
            } else {
                best.delta
            },
            width: found.width.unwrap_or(guess.width),
            deviance: best.deviance,
        }
    }

    /// Nothing to widen: the process vanishes, its length scale is given, or there are several.
    fn is_settled(&self, found: &Found, range: &Range) -> bool {
        let vanishes = found.locals.first().is_none_or(|best| best.place == Place::Upper);
        vanishes || self.request.lengths.is_some() || self.request.ard || range.shortest == range.longest
    }

    /// How many functions a part of the range will take.
    fn size(&self, range: &Range, eps: f64) -> f64 {
        match &self.source {
            Source::Rows(_) => size(self.request.family, self.bounds, range, eps),
            Source::Table(ladder, _) => ladder.size(range, eps),
        }
    }

    fn response(&self) -> usize {
        match &self.source {
            Source::Rows(_) => 0,
            Source::Table(_, response) => *response,
        }
    }

    /// Is what the basis leaves out small beside delta? A table that was made before cannot be refined.
    fn is_fine(&self, space: &WeightSpace, best: &Profiled, eps: f64) -> bool {
        let missing = 1.0 - space.captured(&best.lengths);
        matches!(self.source, Source::Table(..))
            || best.place == Place::Upper
            || missing <= 1.5 * self.request.tol * best.delta
            || eps <= FINEST
    }

    /// The range about some length scales, within the one that was asked for.
    fn about(&self, lengths: &[f64], half: f64) -> Range {
        let ends = |a: usize| match &self.request.lengths {
            Some(lengths) => (lengths[a], lengths[a]),
            None => {
                let (first, last) = self.limits(a);
                let clamp = |l: f64| l.max(first).min(last);
                (clamp(lengths[a] * (-half).exp()), clamp(lengths[a] * half.exp()))
            }
        };
        let (shortest, longest) = (0..self.d()).map(ends).unzip();
        Range { shortest, longest }
    }

    /// Ends of the length scales of an axis that may not be passed.
    fn limits(&self, a: usize) -> (f64, f64) {
        let unit = self.request.unit(self.bounds)[a];
        let (first, last) = match &self.source {
            Source::Rows(_) => (0.0, f64::INFINITY),
            Source::Table(ladder, _) => (ladder.range.shortest[a], ladder.range.longest[a]),
        };
        (
            self.request.shortest.map_or(first, |s| (s * unit).max(first)),
            self.request.longest.map_or(last, |l| (l * unit).min(last)),
        )
    }

    fn optima(&self, space: &WeightSpace, guess: &Guess, range: &Range, monitor: &mut dyn Monitor) -> Result<Found> {
        let search = self.search(space, monitor);
        if self.request.lengths.is_none() && space.groups() == 0 && !self.request.ard && guess.width.is_finite() {
            return search.close(&guess.lengths, guess.width, range);
        }
        optima(self.request, &search, space.groups(), &guess.lengths, range)
    }

    /// Does the optimum not lean on an end of the range, other than one that may not be passed or where the process vanishes?
    fn is_inside(&self, best: &Profiled, range: &Range) -> bool {
        if self.request.lengths.is_some() || best.place == Place::Upper {
            return true;
        }
        let at = |l: f64, end: f64| (l / end).ln().abs() < 0.02;
        let (unit, longest) = (self.request.unit(self.bounds), 3.0 * self.request.widest(self.bounds));
        let leans = |a: usize| {
            let (l, (first, last)) = (best.lengths[a], self.limits(a));
            (at(l, range.shortest[a]) && !at(l, first))
                || (at(l, range.longest[a]) && !at(l, last) && l < longest * unit[a])
        };
        !(0..self.d()).any(leans)
    }

    /// Is the optimum at an end that may not be passed, or so long that nothing changes any more?
    fn at_end(&self, best: &Profiled, range: &Range) -> bool {
        let at = |l: f64, end: f64| (l / end).ln().abs() < 0.02;
        let leans = |a: usize| at(best.lengths[a], range.shortest[a]) || at(best.lengths[a], range.longest[a]);
        self.request.lengths.is_none() && best.place != Place::Upper && (0..self.d()).any(leans)
    }
}

/// Optima of the length scales in a range, and of the ratio of the groups if there are any.
pub fn optima(request: &Request, search: &Search<'_>, groups: usize, start: &[f64], range: &Range) -> Result<Found> {
    let d = range.shortest.len();
    let start = &start[..d];
    match (&request.lengths, groups, request.ard) {
        (Some(lengths), 0, _) => Ok(Found::one(search.at(lengths)?)),
        (None, 0, false) => search.isotropic(&vec![1.0; d], range.shortest[0], range.longest[0]),
        (None, 0, true) => Ok(Found::one(search.each(start, range, &singles(d))?)),
        (Some(lengths), _, _) => with_groups(search, lengths, range, &[]),
        (None, _, false) => with_groups(search, start, range, &[(0..d).collect()]),
        (None, _, true) => with_groups(search, start, range, &singles(d)),
    }
}

/// Each parameter by itself.
pub fn singles(d: usize) -> Vec<Vec<usize>> {
    (0..d).map(|i| vec![i]).collect()
}

/// The ratio of the groups is a further parameter, from several starts; zero is looked at by itself.
fn with_groups(search: &Search<'_>, start: &[f64], range: &Range, directions: &[Vec<usize>]) -> Result<Found> {
    let d = start.len();
    let mut range = range.clone();
    range.shortest.push(RATIO.0);
    range.longest.push(RATIO.1);
    let directions: Vec<Vec<usize>> = directions.iter().cloned().chain([vec![d]]).collect();
    let mut locals = vec![];
    for ratio in [0.1, 1.0] {
        let start: Vec<f64> = start.iter().copied().chain([ratio]).collect();
        locals.push(search.each(&start, &range, &directions)?);
    }
    let nothing: Vec<f64> = locals[0].lengths[..d].iter().copied().chain([0.0]).collect();
    locals.push(search.at(&nothing)?);
    locals.sort_by(|a, b| a.deviance.total_cmp(&b.deviance));
    Ok(Found {
        grid: locals.iter().map(|p| p.seen(search.method)).collect(),
        locals,
        width: None,
    })
}

/// The rows that the exploration looks at, and how many rows one of them stands for.
struct Coarse {
    rows: Option<super::pass::Owned>,
    ratio: f64,
    eps: f64,
    limit: usize,
}

/// Rows of a scattered order, groups left out.
fn sample(data: &Data<'_>) -> (super::pass::Owned, f64) {
    let n = data.n();
    let keep = (SAMPLE as f64 / n as f64).min(1.0);
    let golden = 0.618_033_988_749_894_9;
    let rows: Vec<usize> = (0..n).filter(|&i| (i as f64 * golden).fract() < keep).collect();
    let ungrouped = Data {
        group: &[],
        groups: 0,
        ..data.clone()
    };
    (ungrouped.rows(&rows), n as f64 / rows.len() as f64)
}

fn unmeasured(at: &Profiled) -> Guess {
    Guess {
        lengths: at.lengths.clone(),
        delta: at.delta,
        width: HALF,
        deviance: at.deviance,
    }
}

fn guess(search: &Search<'_>, at: &Profiled) -> Result<Guess> {
    const STEP: f64 = 0.05;
    let slope = |t: f64| -> Result<f64> {
        let lengths: Vec<f64> = at.lengths.iter().map(|l| l * t.exp()).collect();
        Ok(search.at(&lengths)?.gradient.iter().sum())
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

const NOTHING: Error = Error::NoConvergence {
    what: "the search for the length scale",
    iterations: 0,
};
