//! Values of traits that have a joint link, once what is expected of each of them is known.

use super::link::Joint;
use super::missing::Cells;
use super::model::FactorModel;
use super::rng::{Block, Source, Stream};
use super::state::State;
use faer::Mat;
use rayon::prelude::*;

/// `drawn`, in the order of traits, has what is expected of the values; they take its place. `x`: X in rows, where coefficients are drawn. How many links failed.
pub fn draw(model: &FactorModel, state: &State, drawn: &mut [Cells], x: Option<&Mat<f64>>, source: Source) -> u64 {
    let one = |(number, joint): (usize, &Joint)| {
        let rng = &mut source.stream(state.iteration, Block::Missing, model.p() + number);
        let at = drawn.partition_point(|cells| cells.trait_ < joint.first);
        values(model, state, joint, (&drawn[at..at + joint.link.traits()], x), rng)
    };
    let all: Vec<(Vec<Cells>, bool)> = model.joint.par_iter().enumerate().map(one).collect();
    let mut failed = 0;
    for (joint, (new, whole)) in model.joint.iter().zip(all) {
        let at = drawn.partition_point(|cells| cells.trait_ < joint.first);
        drawn[at..at + new.len()]
            .iter_mut()
            .zip(new)
            .for_each(|(old, new)| *old = new);
        failed += u64::from(!whole);
    }
    failed
}

/// Parameters, values, and a step of coefficients, of one link; the values before where they could not be drawn.
fn values(
    model: &FactorModel,
    state: &State,
    joint: &Joint,
    (expected, x): (&[Cells], Option<&Mat<f64>>),
    rng: &mut Stream,
) -> (Vec<Cells>, bool) {
    let (n, c, link, traits) = (model.n(), model.c(), &joint.link, joint.traits());
    let first: usize = model.data.missing[..joint.first].iter().map(Vec::len).sum();
    let now = Mat::from_fn(n, traits.len(), |i, at| state.cells[first + at * n + i]);
    let mut parameters = state.link[model.link_parameters(joint.first)].to_vec();
    link.draw_parameters(now.as_ref(), &mut parameters, rng);
    let mean = Mat::from_fn(n, traits.len(), |i, at| expected[at].values[i]);
    let e = |j: usize| state.sigma2[j] * (1.0 - model.proportions.h[state.g[j]]);
    let variance: Vec<f64> = traits.clone().map(e).collect();
    let drawn = link.draw(mean.as_ref(), &variance, &parameters, rng);
    let whole = drawn.is_some();
    let mut eta = drawn.unwrap_or(now);
    let mut b = Mat::from_fn(model.b(), traits.len(), |l, at| state.theta[(joint.first + at) * c + l]);
    let own = |l: usize| model.x_variance(joint.first, l, &state.shared);
    let prior: Vec<Option<f64>> = (0..model.b()).map(own).collect();
    let x = x.filter(|_| model.b() > 0);
    let step = x.and_then(|x| link.draw_step(x.as_ref(), (b.as_ref(), &prior), eta.as_ref(), &parameters, rng));
    if let (Some(x), Some(step)) = (x, &step) {
        b += step;
        eta += x * step;
    }
    let cells = |at: usize| Cells {
        trait_: joint.first + at,
        values: (0..n).map(|i| eta[(i, at)]).collect(),
        link: if at == 0 { parameters.clone() } else { vec![] },
        theta: if step.is_some() {
            (0..model.b()).map(|l| b[(l, at)]).collect()
        } else {
            vec![]
        },
        cis: vec![],
        sigma2: state.sigma2[joint.first + at],
    };
    ((0..traits.len()).map(cells).collect(), whole)
}
