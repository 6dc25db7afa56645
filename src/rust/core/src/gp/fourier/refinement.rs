//! What the refinement of a basis knows between its windows: where the next one lies, and the best result so far.

use super::explorer::{HALF, NOTHING, Settled};
use super::window::{Leans, WIDEST};
use crate::gp::found::{Optima, ProfilePoint};
use crate::gp::guess::Guess;
use crate::likelihood::optimize::Location;
use crate::runtime::error::Result;

/// The first window reaches so many standard errors of the guess to shorter and to longer length scales. A guess made with few functions takes the roughness that they leave out for a
/// short length scale: its window reaches farther to long ones. A window that misses the optimum is moved, so that these numbers decide how many rounds are taken, not the result.
const FIRST: (f64, f64) = (3.0, 3.0);
const LEANING: (f64, f64) = (2.0, 4.0);

/// What a refinement knows between its windows.
pub(super) struct Refinement {
    pub guess: Guess,
    /// Half widths of the next window, to shorter and to longer length scales.
    pub half: (f64, f64),
    /// What the next basis may leave out at most, if it was told.
    pub finest: f64,
    /// Which end the last optimum leaned on, and how often that changed to and fro.
    pub leant: Leans,
    pub turns: usize,
    pub incumbent: Incumbent,
}

impl Refinement {
    pub fn new(guess: Guess) -> Self {
        let first = |reach: f64| (reach * guess.width).clamp(HALF, WIDEST);
        let reach = if guess.leans { LEANING } else { FIRST };
        Self {
            half: (first(reach.0), first(reach.1)),
            finest: f64::INFINITY,
            leant: Leans::No,
            turns: 0,
            incumbent: Incumbent::default(),
            guess,
        }
    }

    /// After a window whose optimum leans on an end, or whose basis is too coarse for it.
    pub fn follow(&mut self, best: &ProfilePoint, leans: Leans, ard: bool) {
        self.guess = moved(best, &self.guess);
        // with a length scale for each axis only one of them need lean
        if leans == self.leant && !ard {
            self.guess.onward(leans, self.half);
        } else if leans.is_opposite(self.leant) {
            // two windows, each of which sends to the other: one that holds both
            self.turns += 1;
            let twice = |half: f64| f64::min(2.0 * half, WIDEST);
            self.half = (twice(self.half.0), twice(self.half.1));
        }
        self.leant = leans;
    }
}

/// What a search has found so far.
#[derive(Default)]
pub(super) struct Incumbent {
    /// The result whose basis reaches farthest, and how far that is.
    pub settled: Option<Settled>,
    pub reach: f64,
    /// The last optimum, which lay at an end of its window.
    pub last: Option<Settled>,
}

impl Incumbent {
    pub fn keep(&mut self, reach: f64, settled: Settled) {
        if reach >= self.reach {
            (self.reach, self.settled) = (reach, Some(settled));
        }
    }

    pub fn is_some(&self) -> bool {
        self.settled.is_some() || self.last.is_some()
    }

    /// The best there is where the search cannot end.
    pub fn limited(self) -> Result<Settled> {
        // the end of a window is none of the range that may be searched
        let last = self.last.map(|last| Settled { at_end: false, ..last });
        let settled = self.settled.or(last).ok_or(NOTHING)?;
        Ok(Settled {
            limited: true,
            ..settled
        })
    }
}

impl Guess {
    /// Most of a window farther: an optimum that leaned on the ends of two windows is still far.
    fn onward(&mut self, leans: Leans, half: (f64, f64)) {
        const PART: f64 = 0.8;
        let by = match leans {
            Leans::No => 0.0,
            Leans::Short => -PART * half.0.max(HALF),
            Leans::Long => PART * half.1.max(HALF),
        };
        self.lengths.iter_mut().for_each(|l| *l *= by.exp());
    }
}

/// The optimum as a guess, its width by the slopes that the search saw.
pub(super) fn measured(found: &Optima, best: &ProfilePoint, guess: &Guess) -> Guess {
    Guess {
        width: found.width.unwrap_or(guess.width),
        deviance: best.deviance,
        ..moved(best, guess)
    }
}

/// A process that vanishes knows nothing of delta.
fn moved(best: &ProfilePoint, guess: &Guess) -> Guess {
    Guess {
        lengths: best.lengths.clone(),
        delta: if best.location == Location::Upper {
            guess.delta
        } else {
            best.delta
        },
        ..*guess
    }
}
