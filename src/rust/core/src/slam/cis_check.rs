//! Coefficients of a trait's own columns, and what is drawn given them, against the joint density with V written out.

use super::conditionals::{GAMMA, World};
use super::coordinate_check::{free, positive};
use super::state::State;
use super::{factors, traits};

/// With means of loadings, which begin where the trait's coefficients of X end.
fn worlds() -> [World; 3] {
    let world = |scaled: bool| World::new(GAMMA, scaled).with_cis();
    [world(false), world(true), world(true).with_means()]
}

#[test]
fn coefficients_follow_the_joint_density() {
    let earlier = |s: &mut State, before: &State| (s.sigma2, s.g) = (before.sigma2.clone(), before.g.clone());
    for world in worlds() {
        let coordinates = [
            free(|s| &mut s.cis[0], earlier),
            free(|s| &mut s.cis[1], earlier),
            free(|s| &mut s.cis[2], earlier),
            free(|s| &mut s.theta[0], earlier),
            free(|s| &mut s.theta[7], earlier),
            positive(|s| &mut s.sigma2[0], |_, _| ()),
            positive(|s| &mut s.sigma2[1], |_, _| ()),
        ];
        world.check("own columns", &coordinates, |state, source| {
            traits::draw(&world.model, state, world.model.data.y.as_ref(), source);
        });
    }
}

#[test]
fn factors_given_them_follow_the_joint_density() {
    let none = |_: &mut State, _: &State| ();
    for world in worlds() {
        let coordinates = [free(|s| &mut s.f[0], none), free(|s| &mut s.f[8], none)];
        let y = world.model.data.y.as_ref();
        world.check("factors", &coordinates, |state, source| {
            let gathered = traits::draw(&world.model, state, y, source);
            factors::draw(&world.model, state, &gathered, source);
        });
        // of traits that are not drawn
        world.check("factors of traits as they are", &coordinates, |state, source| {
            let gathered = traits::gather(&world.model, state, y);
            factors::draw(&world.model, state, &gathered, source);
        });
    }
}
