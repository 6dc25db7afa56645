//! Values of traits that have a joint link, once what is expected of each of them is known.

use super::design_in_rows::DesignInRows;
use super::link::Joint;
use super::link::interweaving::LinkedTrait;
use super::link::lines::SharedData;
use super::missing::{Cells, move_with_data};
use super::model::FactorModel;
use super::rng::{Block, Source, Stream};
use super::state::State;
use faer::Mat;
use rayon::prelude::*;

/// `drawn`, in the order of traits, has what is expected of the values; they take its place. `design`: where coefficients are drawn. How many links failed.
pub fn draw(
    model: &FactorModel,
    state: &State,
    drawn: &mut [Cells],
    design: Option<&DesignInRows>,
    source: Source,
) -> u64 {
    let one = |(number, joint): (usize, &Joint)| {
        let rng = &mut source.stream(state.iteration, Block::Missing, model.p() + number);
        let at = drawn.partition_point(|cells| cells.trait_ < joint.first);
        values(model, state, joint, (&drawn[at..at + joint.link.traits()], design), rng)
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
    (expected, design): (&[Cells], Option<&DesignInRows>),
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
    let cells = |at: usize| Cells {
        trait_: joint.first + at,
        values: vec![],
        link: if at == 0 { parameters.clone() } else { vec![] },
        theta: state.theta[(joint.first + at) * c..(joint.first + at + 1) * c].to_vec(),
        cis: vec![],
        sigma2: state.sigma2[joint.first + at],
        point: state.g[joint.first + at],
    };
    let mut all: Vec<Cells> = (0..traits.len()).map(cells).collect();
    if let Some(design) = design {
        let own = |l: usize| model.x_variance(joint.first, l, &state.shared);
        let prior: Vec<Option<f64>> = (0..model.b()).map(own).collect();
        for (at, own) in all.iter_mut().enumerate() {
            let mut values = eta.col_as_slice(at).to_vec();
            let data = SharedData {
                link: link.as_ref(),
                eta: &eta,
                at,
                parameters: &parameters,
            };
            let linked = &mut LinkedTrait {
                theta: &mut own.theta,
                sigma2: &mut own.sigma2,
                point: &mut own.point,
                eta: &mut values,
            };
            let known = (design, mean.col_as_slice(at));
            move_with_data(&data, (model, state, joint.first + at), known, linked, rng);
            eta.col_as_slice_mut(at).copy_from_slice(&values);
        }
        coefficients(joint, (&design.x, &prior, &parameters), (&mut all, &mut eta), rng);
    }
    (all.iter_mut().enumerate()).for_each(|(at, cells)| cells.values = eta.col_as_slice(at).to_vec());
    (all, whole)
}

/// A step of coefficients of X, where the data tell them.
fn coefficients(
    joint: &Joint,
    (x, prior, parameters): (&Mat<f64>, &[Option<f64>], &[f64]),
    (all, eta): (&mut [Cells], &mut Mat<f64>),
    rng: &mut Stream,
) {
    let b = Mat::from_fn(x.ncols(), all.len(), |l, at| all[at].theta[l]);
    let held = (b.as_ref(), prior);
    let step = (x.ncols() > 0).then(|| joint.link.draw_step(x.as_ref(), held, eta.as_ref(), parameters, rng));
    let Some(step) = step.flatten() else {
        return;
    };
    for (at, cells) in all.iter_mut().enumerate() {
        (0..x.ncols()).for_each(|l| cells.theta[l] += step[(l, at)]);
    }
    *eta += x * step;
}
