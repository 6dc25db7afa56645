//! Draws whose precision is none: the value before is kept, and they are counted, also in a stored state.

use super::conditionals::{GAMMA, World};
use super::rng::Source;
use super::state::State;
use super::{factors, traits};

#[test]
fn draws_that_fail_keep_the_value_and_are_counted() {
    let world = World::new(GAMMA, false);
    let (source, model) = (Source { seed: 3, chain: 0 }, &world.model);
    let mut state = world.state.clone();
    let gathered = traits::draw(model, &mut state, model.data.y.as_ref(), source);
    factors::draw_parameters(model, &mut state, source);
    factors::draw(model, &mut state, &gathered, source);
    assert_eq!(state.failed.numbers(), [0.0; 4]);
    // a variance that is no number makes every precision so
    state.sigma2[1] = f64::NAN;
    state.shared[0] = f64::NAN;
    let before = state.clone();
    let gathered = traits::draw(model, &mut state, model.data.y.as_ref(), source);
    factors::draw_parameters(model, &mut state, source);
    state.sigma2[1] = f64::NAN;
    factors::draw(model, &mut state, &gathered, source);
    assert_eq!((state.failed.traits, state.failed.coefficients), (2, 2));
    assert_eq!((&state.theta, &state.bf), (&before.theta, &before.bf));
    // the counts are stored; a state with such variances is none
    let sound = State {
        failed: state.failed,
        ..world.state.clone()
    };
    assert_eq!(
        State::from_bytes(model, &sound.to_bytes()).unwrap().failed,
        state.failed
    );
    assert_eq!(State::from_bytes(model, &state.to_bytes()), None);
}
