//! Numbers of a state, by their places or their logarithms: what blocks are held against joint densities with.

use super::state::State;

/// A number of the state.
pub struct Coordinate {
    pub at: fn(&mut State) -> &mut f64,
    /// By its logarithm.
    pub positive: bool,
    /// Puts back what was drawn after the number, which its conditional density did not know.
    pub as_drawn: fn(&mut State, &State),
}

impl Coordinate {
    pub fn get(&self, state: &State) -> f64 {
        let x = *(self.at)(&mut state.clone());
        if self.positive { x.ln() } else { x }
    }

    pub fn set(&self, state: &mut State, x: f64) {
        *(self.at)(state) = if self.positive { x.exp() } else { x };
    }
}

pub fn free(at: fn(&mut State) -> &mut f64, as_drawn: fn(&mut State, &State)) -> Coordinate {
    Coordinate {
        at,
        positive: false,
        as_drawn,
    }
}

pub fn positive(at: fn(&mut State) -> &mut f64, as_drawn: fn(&mut State, &State)) -> Coordinate {
    Coordinate {
        at,
        positive: true,
        as_drawn,
    }
}
