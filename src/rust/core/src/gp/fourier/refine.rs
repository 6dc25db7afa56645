//! The last basis: a window of length scales about the optimum, fine enough that a finer one would tell the same.

use super::explorer::{Explorer, FINEST, HALF, MomentSource, NOTHING, Settled};
use super::nested::Ladder;
use super::optima::optima;
use super::refinement::{Refinement, measured};
use super::weights::WeightSpace;
use super::window::{HELD, Leans, WIDEST, Window};
use crate::gp::bounds::Range;
use crate::gp::found::{Optima, ProfilePoint};
use crate::gp::guess::Guess;
use crate::likelihood::Method;
use crate::likelihood::optimize::Location;
use crate::runtime::error::{Error, Result};
use crate::runtime::monitor::Monitor;

// Widths are in log length scale. Twice a width takes a basis with about twice as many functions an axis, since h follows from the longest length scale and m from the shortest.

/// Half width of the last window in standard errors of the log length scale: an interval lies inside, and where functions are few a 99 % interval by a skew likelihood.
const SPREAD: [f64; 2] = [2.5, 3.5];
/// Functions that a finer basis may have for a fit to be checked with it: its decomposition takes some seconds.
const CHECK: f64 = 2500.0;
/// Standard errors by which the length scale may move on the finer basis. A tenth is below what an interval shows.
const SHIFT: f64 = 0.1;
/// Windows that are tried at most: a bound for data whose estimates go to and fro between windows.
const ROUNDS: usize = 40;
/// Rounds after which a window whose basis reaches less far than that of a result ends the search at that result: estimates could go to and fro between two windows.
const PATIENCE: usize = 4;
/// Turns between two windows after which the search ends there.
const TURNS: usize = 2;
/// n times the part of the variance that a basis leaves out, over delta, bounds what it leaves out of log|V|: up to this much the deviance does not depend on how far the basis reaches.
const FELT: f64 = 0.1;
/// How many times the part of delta that is asked for a basis may leave out of the variance at its optimum, which is elsewhere than its guess.
const SLACK: f64 = 1.5;
/// Functions beyond which a basis is not made to improve on a result.
const ENOUGH: f64 = 3000.0;

impl Explorer<'_> {
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
            leans: false,
        }
    }

    /// A window is moved, widened to some standard errors and refined, until it serves the optimum and its interval.
    fn refine(&self, guess: Guess, monitor: &mut dyn Monitor) -> Result<Settled> {
        let mut now = Refinement::new(guess);
        let mut ladder: Option<Ladder> = None;
        for round in 0..ROUNDS {
            let window = match self.fitting(&now.guess, now.half, now.finest) {
                Err(Error::Rough { .. }) if now.incumbent.is_some() => return now.incumbent.limited(),
                window => self.fine_enough(window?, &now.guess)?,
            };
            // where the basis is as good as exact it matters not how far it reaches
            let felt = window.eps * self.rows().0 > FELT * now.guess.delta;
            let window = if felt {
                self.reaching(window, now.incumbent.reach)
            } else {
                window
            };
            let own = self.reach(&window);
            if felt && self.is_enough(&window, round, own < now.incumbent.reach) && now.incumbent.settled.is_some() {
                return now.incumbent.limited();
            }
            let finer = self.finer(&window);
            let served = self.serve(ladder.take(), &window.range, finer.unwrap_or(window.eps), monitor)?;
            let settled = self.tried(&served, &window, &now.guess, monitor)?;
            let best = settled.found.locals.first().ok_or(NOTHING)?;
            let leans = self.leans(best, &window.range);
            let fine = self.is_fine(&settled.space, best, &window);
            if !fine || leans != Leans::No {
                now.follow(best, leans, self.request.ard);
                if fine {
                    now.incumbent.last = Some(settled);
                }
                if now.turns > TURNS && now.incumbent.is_some() {
                    return now.incumbent.limited();
                }
            } else {
                now.guess = measured(&settled.found, best, &now.guess);
                if !self.goes_on(&mut now, &window, (&served, &settled, finer), monitor)? {
                    return Ok(settled);
                }
                now.incumbent.keep(own, settled);
            }
            ladder = Some(served);
        }
        now.incumbent.limited()
    }

    /// Where the optimum lies inside its window and the basis serves it: the next round takes a wider window or a finer basis; false where neither would tell more.
    fn goes_on(
        &self,
        now: &mut Refinement,
        window: &Window,
        (served, settled, finer): (&Ladder, &Settled, Option<f64>),
        monitor: &mut dyn Monitor,
    ) -> Result<bool> {
        if self.is_settled(settled) {
            return Ok(false);
        }
        let wanted = (SPREAD[usize::from(self.is_cheap(window))] * now.guess.width).clamp(HALF, WIDEST);
        if self.is_narrow(window, &now.guess, wanted, now.finest)? {
            now.half = (wanted, wanted);
        } else if let Some(finer) = finer
            && self.shift(served, settled, finer, &now.guess, monitor)? > SHIFT
        {
            now.finest = finer;
        } else {
            return Ok(false);
        }
        now.leant = Leans::No;
        Ok(true)
    }

    /// Is what there is as good as a search can make it: after some windows another reaches less far, or costs too much?
    fn is_enough(&self, window: &Window, round: usize, shrinks: bool) -> bool {
        round >= PATIENCE && shrinks || self.size(&window.range, window.eps) > ENOUGH
    }

    /// A table for a range, the one that there is if it will do.
    fn serve(&self, old: Option<Ladder>, range: &Range, eps: f64, monitor: &mut dyn Monitor) -> Result<Ladder> {
        let serves = |l: &Ladder| l.range.holds(range) && l.eps <= eps * (1.0 + 1e-9);
        match (&self.source, old.filter(serves)) {
            (MomentSource::Table(table, _), _) => Ok((*table).clone()),
            (_, Some(old)) => Ok(old),
            (MomentSource::Rows(data), None) => self.pass(data, &data.shifts(), range.clone(), eps, monitor),
        }
    }

    /// The optima in a range on a basis of a table.
    fn tried(&self, table: &Ladder, window: &Window, guess: &Guess, monitor: &mut dyn Monitor) -> Result<Settled> {
        let (range, eps) = (window.range.clone(), window.eps);
        let make = || table.space(&range, eps, self.response());
        let (mut moments, mut space) = make()?;
        let guarded = self.guarded(&space, guess)?;
        let found = match &guarded {
            None => self.optima(&space, guess, (&range, eps), monitor)?,
            Some(inner) => {
                // it is made again rather than held
                drop((moments, space));
                let found = self.optima(inner, guess, (&range, eps), monitor)?;
                (moments, space) = make()?;
                found
            }
        };
        Ok(Settled {
            eps,
            moments,
            limited: window.coarse
                && !found
                    .locals
                    .first()
                    .is_some_and(|best| self.is_within_tolerance(&space, best)),
            at_end: found.locals.first().is_some_and(|best| self.at_end(best, &range)),
            space,
            guarded,
            range,
            found,
        })
    }

    /// What a finer basis would leave out, if that takes not too many functions.
    fn finer(&self, Window { range, eps, .. }: &Window) -> Option<f64> {
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
        let lean = self.lean(guarded.as_ref().unwrap_or(&space), &settled.range, finer);
        let search = self.search(&*lean, monitor);
        let shift = match search
            .near(&best.lengths, best.delta, self.d())?
            .and_then(|here| here.local.convex_step())
        {
            Some(step) => step[0].abs() / guess.width,
            None => 0.5 * search.at(&best.lengths)?.slope().abs() * guess.width,
        };
        Ok(if shift.is_finite() { shift } else { 0.0 })
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
            .is_none_or(|best| best.location == Location::Upper);
        let range = &settled.range;
        vanishes || self.request.lengths.is_some() || self.request.ard || range.shortest == range.longest
    }

    /// Is what the basis leaves out small beside delta? A table that was made before cannot be refined.
    fn is_fine(&self, space: &WeightSpace, best: &ProfilePoint, window: &Window) -> bool {
        matches!(self.source, MomentSource::Table(..))
            || best.location == Location::Upper
            || self.is_within_tolerance(space, best)
            || window.coarse && 1.0 - space.captured(&best.lengths) <= HELD * best.delta
            || window.eps <= FINEST
    }

    fn is_within_tolerance(&self, space: &WeightSpace, best: &ProfilePoint) -> bool {
        1.0 - space.captured(&best.lengths) <= SLACK * self.request.tol * best.delta
    }

    /// A window whose basis leaves out no more than may be at its guess, or that will do since there is no other route.
    fn fine_enough(&self, window: Window, guess: &Guess) -> Result<Window> {
        let (range, d) = (&window.range, self.d());
        let band = self.request.family.band(window.eps, d) * guess.lengths[0] / range.shortest[0];
        let (left, missing) = (
            self.request.family.tail(band, d),
            SLACK * self.request.tol * guess.delta,
        );
        if !(self.request.strict && window.coarse && left > missing) {
            return Ok(window);
        }
        Err(Error::Rough {
            size: self.size(range, missing),
            largest: self.most(),
            length: guess.lengths[0],
            missing,
        })
    }

    fn optima(
        &self,
        space: &WeightSpace,
        guess: &Guess,
        (range, eps): (&Range, f64),
        monitor: &mut dyn Monitor,
    ) -> Result<Optima> {
        let lean = self.lean(space, range, eps);
        let search = self.search(&*lean, monitor);
        if self.request.lengths.is_none() && space.groups() == 0 && !self.request.ard && guess.width.is_finite() {
            return search.close(&guess.lengths, guess.delta, guess.width, range);
        }
        optima(self.request, &search, space.groups(), &guess.lengths, range)
    }
}
