//! Windows of length scales about a guess: how far they reach, what basis serves them, and whether an optimum lies inside.

use super::explorer::{COARSE, Explorer, HALF, MomentSource};
use super::grid::size;
use super::nested::check_size;
use super::weights::WeightSpace;
use crate::gp::bounds::{Range, SIDES};
use crate::gp::found::ProfilePoint;
use crate::gp::guess::Guess;
use crate::likelihood::optimize::Location;
use crate::runtime::error::{Error, Result};

/// Standard errors of log length scale that a window must reach to both sides: those of a 95 % interval, and of a skew one where its basis is cheap.
const INTERVAL: [f64; 2] = [2.1, 3.2];
/// Widening a window by less than this is not worth another round.
const FARTHER: f64 = 1.02;
/// Functions of a basis that costs so little that it may as well be exact.
const CHEAP: f64 = 600.0;

/// Largest half width of a window in log length scale, a factor of 4.5 to both sides: wider windows take more functions than two of them.
pub(super) const WIDEST: f64 = 1.5;
/// Range of the ratio of the standard deviations of groups and process; zero is looked at by itself.
pub(super) const RATIO: (f64, f64) = (1e-4, 1e4);
/// What a basis that is as large as it may be leaves out of the variance, as a part of delta, at most: beyond it the residual variance would be that of the basis, not of the data.
pub(super) const HELD: f64 = 0.1;
/// Part of the rows that a basis may have functions for, if it has to.
const MOST: f64 = 0.8;

/// A range of length scales, and what its basis leaves out of the variance.
pub(super) struct Window {
    pub range: Range,
    pub eps: f64,
    /// Is that more than was wanted, since the basis is as large as it may be?
    pub coarse: bool,
}

/// Which end of a window an optimum leans on.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Leans {
    No,
    Short,
    Long,
}

impl Leans {
    pub(super) fn is_opposite(self, other: Self) -> bool {
        matches!((self, other), (Self::Short, Self::Long) | (Self::Long, Self::Short))
    }
}

impl Explorer<'_> {
    /// Does the range end before the interval of the length scale, and would another reach farther?
    pub(super) fn is_narrow(&self, window: &Window, guess: &Guess, wanted: f64, finest: f64) -> Result<bool> {
        let range = &window.range;
        let reach = INTERVAL[usize::from(self.is_cheap(window))] * guess.width;
        let interval = self.about(&guess.lengths, (reach.min(WIDEST), reach.min(WIDEST)));
        let next = match self.fitting(guess, (wanted, wanted), finest) {
            Err(Error::Rough { .. }) => return Ok(false),
            next => next?.range,
        };
        let farther = |a: usize| {
            let shorter = interval.shortest[a] < range.shortest[a] && next.shortest[a] < range.shortest[a] / FARTHER;
            let longer = interval.longest[a] > range.longest[a] && next.longest[a] > range.longest[a] * FARTHER;
            shorter || longer
        };
        Ok((0..self.d()).any(farther))
    }

    /// Does its basis cost so little that it may as well be wide?
    pub(super) fn is_cheap(&self, window: &Window) -> bool {
        self.size(&window.range, window.eps) <= CHEAP
    }

    /// The range about a guess, narrowed until its basis is small enough, and the part of the variance that may be left out: as
    /// little as costs nothing, since many rows tell much about frequencies that have little variance.
    pub(super) fn fitting(&self, guess: &Guess, half: (f64, f64), coarsest: f64) -> Result<Window> {
        let (n, finest) = self.rows();
        let wanted = (self.request.tol * guess.delta)
            .clamp(finest, finest.max(COARSE))
            .min(coarsest);
        let range = self.narrowed(guess, half, wanted);
        let mut eps = self.affordable(&range, wanted, guess.delta);
        check_size(self.size(&range, eps), &range, eps, self.most())?;
        while 0.3 * eps >= finest
            && eps * n > self.request.tol * guess.delta
            && self.size(&range, 0.3 * eps) <= CHEAP.min(0.4 * n)
        {
            eps *= 0.3;
        }
        let coarse = eps > wanted;
        Ok(Window { range, eps, coarse })
    }

    /// Functions that a basis may have.
    pub(super) fn most(&self) -> usize {
        self.request.largest.min((MOST * self.rows().0) as usize)
    }

    /// A range about a guess whose basis is no larger than it should be, or as narrow as may be.
    fn narrowed(&self, guess: &Guess, half: (f64, f64), eps: f64) -> Range {
        let largest = (self.request.largest as f64).min(0.5 * self.rows().0);
        let mut half = half;
        let mut range = self.about(&guess.lengths, half);
        while half.0.max(half.1) > HALF && self.size(&range, eps) > largest {
            half = ((0.8 * half.0).max(HALF), (0.8 * half.1).max(HALF));
            range = self.about(&guess.lengths, half);
        }
        range
    }

    /// What the largest basis leaves out where the one that is wanted is larger.
    fn affordable(&self, range: &Range, wanted: f64, delta: f64) -> f64 {
        const FINER: f64 = 1.1;
        let (mut eps, most) = (wanted, self.most() as f64);
        while self.size(range, eps) > most && eps * FINER <= HELD * delta {
            eps *= FINER;
        }
        eps
    }

    /// Highest frequency of a basis.
    pub(super) fn reach(&self, window: &Window) -> f64 {
        self.request.family.band(window.eps, self.d()) / window.range.shortest[0]
    }

    /// A basis that reaches as far as one before it, if its size allows. Many rows see frequencies beyond a basis: were the reach of the next to depend on delta alone, two windows could
    /// send a search to and fro between them.
    pub(super) fn reaching(&self, mut window: Window, reach: f64) -> Window {
        let (n, finest) = self.rows();
        let largest = (self.request.largest as f64).min(0.5 * n);
        while self.reach(&window) < reach
            && 0.8 * window.eps >= finest
            && self.size(&window.range, 0.8 * window.eps) <= largest
        {
            window.eps *= 0.8;
        }
        window
    }

    /// How many functions a part of the range will take.
    pub fn size(&self, range: &Range, eps: f64) -> f64 {
        match &self.source {
            MomentSource::Rows(_) => size(self.request.family, self.bounds, range, eps),
            MomentSource::Table(ladder, _) => ladder.size(range, eps),
        }
    }

    /// The range about some length scales, within the one that was asked for.
    pub(super) fn about(&self, lengths: &[f64], (shorter, longer): (f64, f64)) -> Range {
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
    pub(super) fn limits(&self, a: usize) -> (f64, f64) {
        let unit = self.request.unit(self.bounds)[a];
        let (first, last) = match &self.source {
            MomentSource::Rows(_) => (0.0, SIDES * self.request.widest(self.bounds) * unit),
            MomentSource::Table(ladder, _) => (ladder.range.shortest[a], ladder.range.longest[a]),
        };
        (
            self.request.shortest.map_or(first, |s| (s * unit).max(first)),
            self.request.longest.map_or(last, |l| (l * unit).min(last)),
        )
    }

    /// Which end of the range the optimum leans on, other than one that may not be passed or where the process vanishes.
    pub(super) fn leans(&self, best: &ProfilePoint, range: &Range) -> Leans {
        if self.request.lengths.is_some() || best.location == Location::Upper {
            return Leans::No;
        }
        let at = |l: f64, end: f64| (l / end).ln().abs() < 0.02;
        let on = |a: usize| {
            let (l, (first, last)) = (best.lengths[a], self.limits(a));
            let short = at(l, range.shortest[a]) && !at(l, first);
            let long = at(l, range.longest[a]) && !at(l, last);
            match (short, long) {
                (true, _) => Leans::Short,
                (_, true) => Leans::Long,
                _ => Leans::No,
            }
        };
        let ends = (0..self.d()).map(on);
        ends.fold(Leans::No, |found, end| if found == Leans::No { end } else { found })
    }

    /// Is the optimum at an end that may not be passed, or so long that nothing changes any more?
    pub(super) fn at_end(&self, best: &ProfilePoint, range: &Range) -> bool {
        let at = |l: f64, end: f64| (l / end).ln().abs() < 0.02;
        let leans = |a: usize| at(best.lengths[a], range.shortest[a]) || at(best.lengths[a], range.longest[a]);
        self.request.lengths.is_none() && best.location != Location::Upper && (0..self.d()).any(leans)
    }
}

impl WeightSpace {
    /// Largest weight of each function over a range; groups are as free as they can be.
    pub(super) fn largest_weights(&self, range: &Range) -> Vec<f64> {
        const PLACES: usize = 5;
        let mut largest = vec![0.0; self.size()];
        for k in 0..PLACES {
            let part = k as f64 / (PLACES - 1) as f64;
            let ends = range.shortest.iter().zip(&range.longest);
            let at: Vec<f64> = ends.map(|(a, b)| a * (b / a).powf(part)).chain([RATIO.1]).collect();
            let weights = self.weights(&at);
            largest
                .iter_mut()
                .zip(weights)
                .for_each(|(l, w): (&mut f64, f64)| *l = l.max(w));
        }
        largest
    }
}
