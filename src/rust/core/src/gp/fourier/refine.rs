//! The last basis: a window of length scales about the optimum, fine enough that a finer one would tell the same.

use super::explore::{COARSE, Explorer, Guess, NOTHING, Settled, Source};
use super::grid::size;
use super::nested::{Ladder, check_size};
use super::weights::WeightSpace;
use crate::gp::bounds::Range;
use crate::gp::search::{Found, Profiled, Search};
use crate::gp::settings::Request;
use crate::likelihood::Method;
use crate::likelihood::optimize::Place;
use crate::runtime::error::Result;
use crate::runtime::monitor::Monitor;

/// Half the width of the last window, in the logarithm of the length scale.
pub const HALF: f64 = 0.1;
/// Standard errors that the last window reaches about the optimum, and its widest.
const SPREAD: f64 = 3.5;
/// Standard errors that it must reach to both sides: an interval's, and a skew one's where that costs little.
const INTERVAL: [f64; 2] = [2.1, 3.2];
/// Standard errors of the exploration that the first window reaches to shorter and to longer scales: what few functions leave out is rough, so that guesses made with them lean
/// to short scales.
const FIRST: (f64, f64) = (3.0, 3.0);
const LEANING: (f64, f64) = (1.75, 4.0);
/// Widening a window by less than this is not worth another round.
const FARTHER: f64 = 1.02;
const WIDEST: f64 = 1.5;
/// Functions of a basis that costs so little that it may as well be exact.
const CHEAP: f64 = 600.0;
/// Functions of a finer basis that a fit is checked with, and by how many standard errors the length scale may move on it.
const CHECK: f64 = 2500.0;
const SHIFT: f64 = 0.1;
/// Most windows that are tried.
const ROUNDS: usize = 40;
/// Finest part of the variance that a grid is asked to hold.
const FINEST: f64 = 1e-10;

/// Sides of the box beyond which a length scale hardly changes the likelihood: a process that is that smooth is a trend.
pub const SIDES: f64 = 3.0;

/// Ends of the ratio of the standard deviations of groups and process.
const RATIO: (f64, f64) = (1e-4, 1e4);

impl Explorer<'_> {
    /// A window is moved, widened to some standard errors and refined, until it serves the optimum and its interval.
    pub(super) fn refine(&self, mut guess: Guess, monitor: &mut dyn Monitor) -> Result<Settled> {
        let first = |reach: f64| (reach * guess.width).clamp(HALF, WIDEST);
        let reach = if guess.leans { LEANING } else { FIRST };
        let mut half = (first(reach.0), first(reach.1));
        let mut finest = f64::INFINITY;
        let mut ladder: Option<Ladder> = None;
        for _ in 0..ROUNDS {
            let (range, eps) = self.fitting(&guess, half, finest)?;
            let finer = self.finer(&range, eps);
            let served = self.serve(ladder.take(), &range, finer.unwrap_or(eps), monitor)?;
            let settled = self.tried(&served, range, eps, &guess, monitor)?;
            let best = settled.found.locals.first().ok_or(NOTHING)?;
            if !self.is_fine(&settled.space, best, eps) || !self.is_inside(best, &settled.range) {
                guess = moved(best, &guess);
            } else {
                guess = measured(&settled.found, best, &guess);
                let wanted = (SPREAD * guess.width).clamp(HALF, WIDEST);
                let finished = self.is_settled(&settled);
                if !finished && self.is_narrow(&settled.range, eps, &guess, wanted, finest)? {
                    half = (wanted, wanted);
                } else if let Some(finer) = finer.filter(|_| !finished)
                    && self.shift(&served, &settled, finer, &guess, monitor)? > SHIFT
                {
                    finest = finer;
                } else {
                    return Ok(settled);
                }
            }
            ladder = Some(served);
        }
        Err(NOTHING)
    }

    /// A table for a range, the one that there is if it will do.
    fn serve(&self, old: Option<Ladder>, range: &Range, eps: f64, monitor: &mut dyn Monitor) -> Result<Ladder> {
        let serves = |l: &Ladder| l.range.holds(range) && l.eps <= eps * (1.0 + 1e-9);
        match (&self.source, old.filter(serves)) {
            (Source::Table(table, _), _) => Ok((*table).clone()),
            (_, Some(old)) => Ok(old),
            (Source::Rows(data), None) => self.pass(data, &data.shifts(), range.clone(), eps, monitor),
        }
    }

    /// The optima in a range on a basis of a table.
    fn tried(
        &self,
        table: &Ladder,
        range: Range,
        eps: f64,
        guess: &Guess,
        monitor: &mut dyn Monitor,
    ) -> Result<Settled> {
        let make = || table.space(&range, eps, self.response());
        let (mut moments, mut space) = make()?;
        let guarded = self.guarded(&space, guess)?;
        let found = match &guarded {
            None => self.optima(&space, guess, &range, monitor)?,
            Some(inner) => {
                // it is made again rather than held
                drop((moments, space));
                let found = self.optima(inner, guess, &range, monitor)?;
                (moments, space) = make()?;
                found
            }
        };
        Ok(Settled {
            eps,
            moments,
            at_end: found.locals.first().is_some_and(|best| self.at_end(best, &range)),
            space,
            guarded,
            range,
            found,
        })
    }

    /// Does the range end before the interval of the length scale, and would another reach farther?
    fn is_narrow(&self, range: &Range, eps: f64, guess: &Guess, wanted: f64, finest: f64) -> Result<bool> {
        let cheap = self.size(range, eps) <= CHEAP;
        let reach = INTERVAL[usize::from(cheap)] * guess.width;
        let interval = self.about(&guess.lengths, (reach.min(WIDEST), reach.min(WIDEST)));
        let next = self.fitting(guess, (wanted, wanted), finest)?.0;
        let farther = |a: usize| {
            let shorter = interval.shortest[a] < range.shortest[a] && next.shortest[a] < range.shortest[a] / FARTHER;
            let longer = interval.longest[a] > range.longest[a] && next.longest[a] > range.longest[a] * FARTHER;
            shorter || longer
        };
        Ok((0..self.d()).any(farther))
    }

    /// What a finer basis would leave out, if that takes not too many functions.
    fn finer(&self, range: &Range, eps: f64) -> Option<f64> {
        let (n, finest) = self.rows();
        let affordable = (self.request.largest as f64).min(CHECK).min(0.5 * n);
        [0.1 * eps, 0.3 * eps]
            .into_iter()
            .find(|finer| *finer >= finest && self.size(range, *finer) <= affordable)
    }

    /// By how many standard errors the length scale would move on a finer basis. Data that are rougher than their kernel tell it what the basis leaves out.
    fn shift(
        &self,
        table: &Ladder,
        settled: &Settled,
        finer: f64,
        guess: &Guess,
        monitor: &mut dyn Monitor,
    ) -> Result<f64> {
        let Some(best) = settled.found.locals.first() else {
            return Ok(0.0);
        };
        let (_, space) = table.space(&settled.range, finer, self.response())?;
        let guarded = self.guarded(&space, guess)?;
        let search = self.search(guarded.as_ref().unwrap_or(&space), monitor);
        let shift = match search
            .near(&best.lengths, best.delta, self.d())?
            .and_then(|here| here.local.convex_step())
        {
            Some(step) => step[0].abs() / guess.width,
            None => 0.5 * search.at(&best.lengths)?.slope().abs() * guess.width,
        };
        Ok(if shift.is_finite() { shift } else { 0.0 })
    }

    /// Number of rows, and the finest part of the variance that a table can hold.
    fn rows(&self) -> (f64, f64) {
        match &self.source {
            Source::Rows(data) => (data.n() as f64, FINEST),
            Source::Table(ladder, _) => (ladder.moments.n, ladder.eps),
        }
    }

    /// The range about a guess, narrowed until its basis is small enough, and the part of the variance that may be left out: as
    /// little as costs nothing, since many rows tell much about frequencies that have little variance.
    fn fitting(&self, guess: &Guess, half: (f64, f64), coarsest: f64) -> Result<(Range, f64)> {
        let (n, finest) = self.rows();
        let size = |range: &Range, eps: f64| self.size(range, eps);
        let mut eps = (self.request.tol * guess.delta)
            .clamp(finest, finest.max(COARSE))
            .min(coarsest);
        let mut half = half;
        let mut range = self.about(&guess.lengths, half);
        while half.0.max(half.1) > HALF && size(&range, eps) > (self.request.largest as f64).min(0.5 * n) {
            half = ((0.8 * half.0).max(HALF), (0.8 * half.1).max(HALF));
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

    /// Nothing to widen: the process vanishes, its length scale is given, or there are several.
    fn is_settled(&self, settled: &Settled) -> bool {
        let vanishes = settled
            .found
            .locals
            .first()
            .is_none_or(|best| best.place == Place::Upper);
        let range = &settled.range;
        vanishes || self.request.lengths.is_some() || self.request.ard || range.shortest == range.longest
    }

    /// How many functions a part of the range will take.
    pub fn size(&self, range: &Range, eps: f64) -> f64 {
        match &self.source {
            Source::Rows(_) => size(self.request.family, self.bounds, range, eps),
            Source::Table(ladder, _) => ladder.size(range, eps),
        }
    }

    pub fn response(&self) -> usize {
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
    fn about(&self, lengths: &[f64], (shorter, longer): (f64, f64)) -> Range {
        let ends = |a: usize| match &self.request.lengths {
            Some(lengths) => (lengths[a], lengths[a]),
            None => {
                let (first, last) = self.limits(a);
                let clamp = |l: f64| l.max(first).min(last);
                (clamp(lengths[a] * (-shorter).exp()), clamp(lengths[a] * longer.exp()))
            }
        };
        let (shortest, longest) = (0..self.d()).map(ends).unzip();
        Range { shortest, longest }
    }

    /// Ends of the length scales of an axis that may not be passed.
    fn limits(&self, a: usize) -> (f64, f64) {
        let unit = self.request.unit(self.bounds)[a];
        let (first, last) = match &self.source {
            Source::Rows(_) => (0.0, SIDES * self.request.widest(self.bounds) * unit),
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
            return search.close(&guess.lengths, guess.delta, guess.width, range);
        }
        optima(self.request, &search, space.groups(), &guess.lengths, range)
    }

    /// Does the optimum not lean on an end of the range, other than one that may not be passed or where the process vanishes?
    fn is_inside(&self, best: &Profiled, range: &Range) -> bool {
        if self.request.lengths.is_some() || best.place == Place::Upper {
            return true;
        }
        let at = |l: f64, end: f64| (l / end).ln().abs() < 0.02;
        let leans = |a: usize| {
            let (l, (first, last)) = (best.lengths[a], self.limits(a));
            (at(l, range.shortest[a]) && !at(l, first)) || (at(l, range.longest[a]) && !at(l, last))
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

/// The optimum as a guess, its width by the slopes that the search saw.
fn measured(found: &Found, best: &Profiled, guess: &Guess) -> Guess {
    Guess {
        width: found.width.unwrap_or(guess.width),
        deviance: best.deviance,
        ..moved(best, guess)
    }
}

/// A process that vanishes knows nothing of delta.
fn moved(best: &Profiled, guess: &Guess) -> Guess {
    Guess {
        lengths: best.lengths.clone(),
        delta: if best.place == Place::Upper {
            guess.delta
        } else {
            best.delta
        },
        ..*guess
    }
}

/// Optima of the length scales in a range, and of the ratio of the groups if there are any.
pub fn optima(request: &Request, search: &Search<'_>, groups: usize, start: &[f64], range: &Range) -> Result<Found> {
    let d = range.shortest.len();
    let start = &start[..d];
    match (&request.lengths, groups, request.ard) {
        (Some(lengths), 0, _) => Ok(Found::one(search.at(lengths)?)),
        (None, 0, false) => search.isotropic(&vec![1.0; d], range.shortest[0], range.longest[0]),
        (None, 0, true) => search.each_axis(start, range),
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
        grid: locals.iter().map(Profiled::seen).collect(),
        locals,
        width: None,
        here: None,
    })
}
