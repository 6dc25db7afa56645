//! Cells that were not observed: drawn given all else, through the trait's own U.
//!
//! Traits go by tiles: a product turns what is known of their missing rows from the basis to the rows, and one turns their cells back, where most rows are missing in some trait; else each
//! cell its row of Q.

use super::cis;
use super::design_in_rows::{DesignInRows, Move};
use super::effects::{EffectTables, effect};
use super::joint_cells;
use super::link::coefficients;
use super::link::interweaving::{self, LinkedTrait};
use super::link::lines::{DataAlong, OwnData};
use super::link::shares::{self, EtaParts};
use super::link::{ExpectedRows, Link};
use super::model::{FactorModel, TILE, columns};
use super::ray_traits::Left;
use super::rng::{Block, Source, Stream};
use super::state::State;
use crate::linalg::{axpy, dot, product, put_product};
use faer::{Mat, Par};
use rayon::prelude::*;

/// Cells of a tile are turned one by one as long as the product of all rows would take so many times their flops: it runs that much faster.
const PRODUCT_IS_FASTER: usize = 6;

/// Traits that are turned together: with links, all of whose cells are, products of more columns are faster.
fn tile_of(model: &FactorModel) -> usize {
    if model.has_links() { 4 * TILE } else { TILE }
}

/// Draws the cells, and keeps `y` (Q'Y) as they are.
pub fn draw(model: &FactorModel, state: &mut State, y: &mut Mat<f64>, source: Source) {
    if state.cells.is_empty() {
        return;
    }
    let (traits, now): (Vec<usize>, &State) = (with_missing(model), state);
    let (design, x) = (now.design(model), DesignInRows::of(model, now));
    let firsts = firsts(model);
    let known = TileInputs {
        y,
        x: x.as_ref(),
        design: &design,
        firsts: &firsts,
        effects: model.has_links().then(|| EffectTables::new(model)),
    };
    let tile = |traits: &[usize]| cells_of(model, now, &known, traits, source);
    let mut drawn: Vec<Cells> = traits.par_chunks(tile_of(model)).flat_map_iter(tile).collect();
    let failed = joint_cells::draw(model, now, &mut drawn, x.as_ref(), source);
    put(model, state, drawn);
    state.failed.traits += failed;
    complete(model, &state.cells, y);
}

/// New values of a trait's cells, and of its link's parameters, coefficients and loadings (those that come first, or none), variance and point.
pub struct Cells {
    pub trait_: usize,
    pub values: Vec<f64>,
    pub link: Vec<f64>,
    pub theta: Vec<f64>,
    /// Coefficients of the trait's own columns; none where they stay.
    pub cis: Vec<f64>,
    pub sigma2: f64,
    pub point: usize,
}

/// Cells and parameters of all traits that have some, in their order.
fn put(model: &FactorModel, state: &mut State, drawn: Vec<Cells>) {
    state.cells.clear();
    state.link.clear();
    for one in drawn {
        let first = one.trait_ * model.c();
        state.theta[first..first + one.theta.len()].copy_from_slice(&one.theta);
        let own = model.cis.of(one.trait_).start;
        state.cis[own..own + one.cis.len()].copy_from_slice(&one.cis);
        state.sigma2[one.trait_] = one.sigma2;
        state.g[one.trait_] = one.point;
        state.cells.extend(one.values);
        state.link.extend(one.link);
    }
}

/// The cells of a trait given what is expected of them, all its random effects drawn: behind a link its parameters, too; of a joint link what is expected.
/// `design`: where coefficients are drawn; `first`: where the trait's cells and parameters are among all.
fn new_cells(
    model: &FactorModel,
    state: &State,
    (j, first): (usize, First),
    design: Option<&DesignInRows>,
    means: &[f64],
    rng: &mut Stream,
) -> Cells {
    let count = means.len();
    let variance = state.sigma2[j] * (1.0 - model.proportions.h[state.g[j]]);
    let expected = ExpectedRows { means, variance };
    let mut cells = Cells {
        trait_: j,
        values: vec![],
        link: vec![],
        theta: state.theta[j * model.c()..(j + 1) * model.c()].to_vec(),
        cis: state.cis[model.cis.of(j)].to_vec(),
        sigma2: state.sigma2[j],
        point: state.g[j],
    };
    let Some(link) = model.link(j) else {
        let joint = model.is_joint(j);
        let value = |at: usize| if joint { means[at] } else { expected.row(at).draw(rng) };
        cells.values = (0..count).map(value).collect();
        return cells;
    };
    cells.values = state.cells[first.cell..first.cell + count].to_vec();
    cells.link = state.link[first.parameter..first.parameter + link.parameters()].to_vec();
    if !link.parameters_are_costly() || state.iteration % COSTLY_EVERY == 1 {
        link.draw_parameters(&cells.values, expected, &mut cells.link, rng);
    }
    link.draw_rows(&mut cells.values, expected, &cells.link, rng);
    if let Some(design) = design.filter(|_| link.is_smooth()) {
        // made with the parameters before
        let gram = design
            .gram(j)
            .filter(|_| state.link[first.parameter..].starts_with(&cells.link));
        given_what_is_left(link, (model, state, j), (design, gram, means), &mut cells, rng);
    }
    cells
}

/// Point, variance, loadings, scale and coefficients of a trait given what is left of its values, which move with them. `means`: what was expected of them.
fn given_what_is_left(
    link: &dyn Link,
    (model, state, j): (&FactorModel, &State, usize),
    (design, gram, means): (&DesignInRows, Option<&[f64]>, &[f64]),
    cells: &mut Cells,
    rng: &mut Stream,
) {
    let (b, of) = (model.b(), model.cis.of(j));
    let wide = (!of.is_empty()).then(|| cis::wide_design(model, j, design));
    let design = wide.as_ref().unwrap_or(design);
    let shared = (0..b).map(|l| model.x_variance(j, l, &state.shared));
    let prior: Vec<Option<f64>> = shared.chain(model.cis.variance[of.clone()].iter().copied()).collect();
    let parameters = cells.link.clone();
    let data = OwnData {
        link,
        parameters: &parameters,
        gram,
    };
    let mut theta = cis::joined(b, &cells.theta, &cells.cis);
    let mut values = LinkedTrait {
        theta: &mut theta,
        sigma2: &mut cells.sigma2,
        point: &mut cells.point,
        eta: &mut cells.values,
    };
    move_with_data(&data, (model, state, j), (design, means), &mut values, rng);
    let own = coefficients::Values {
        b: &mut theta[..b + of.len()],
        eta: &mut cells.values,
    };
    if Move::Coefficients.is_due(model, j, state.iteration) {
        coefficients::draw(link, &parameters, &design.x, &prior, own, rng);
    }
    (cells.theta, cells.cis) = cis::parted(b, of.len(), &theta);
}

/// What the values of a trait depend on but coefficients, the values going with it: moves by the data's own likelihood. `means`: what was expected of the values.
pub fn move_with_data(
    data: &dyn DataAlong,
    (model, state, j): (&FactorModel, &State, usize),
    (design, means): (&DesignInRows, &[f64]),
    values: &mut LinkedTrait<'_>,
    rng: &mut Stream,
) {
    if Move::Shares.is_due(model, j, state.iteration) {
        let parts = EtaParts {
            effect: design.left(means, values.theta),
            residual: values.eta.iter().zip(means).map(|(eta, mean)| eta - mean).collect(),
        };
        shares::draw(data, (model, state, j), &design.means, parts, values, rng);
    }
    interweaving::draw(data, (model, state, j), design, values, rng);
}

/// Where a trait's cells and the parameters of its link begin.
#[derive(Clone, Copy, Default)]
pub struct First {
    pub cell: usize,
    pub parameter: usize,
}

/// Of all traits.
pub fn firsts(model: &FactorModel) -> Vec<First> {
    let mut parameters: Vec<usize> = (0..model.p())
        .map(|j| model.link(j).map_or(0, |link| link.parameters()))
        .collect();
    // those of a joint link are its first trait's
    (model.joint.iter()).for_each(|joint| parameters[joint.first] += joint.link.start_parameters().len());
    let step = |next: &mut First, j: usize| {
        let now = *next;
        next.cell += model.data.missing[j].len();
        next.parameter += parameters[j];
        Some(now)
    };
    (0..model.p()).scan(First::default(), step).collect()
}

/// One iteration in so many draws parameters of links that take several looks at all data.
const COSTLY_EVERY: u64 = 4;

fn with_missing(model: &FactorModel) -> Vec<usize> {
    (0..model.p()).filter(|&j| !model.data.missing[j].is_empty()).collect()
}

/// Puts cells into their places: Q'Y is that of the observed cells and Q' times the missing ones.
pub fn complete(model: &FactorModel, cells: &[f64], y: &mut Mat<f64>) {
    if cells.is_empty() {
        return;
    }
    let traits = with_missing(model);
    if !model.rays.is_empty() {
        let places = traits
            .iter()
            .flat_map(|&j| model.data.missing[j].iter().map(move |&i| (i, j)));
        places.zip(cells).for_each(|(place, cell)| y[place] = *cell);
        return;
    }
    if (0..model.p()).all(|j| is_whole(model, j)) {
        let parts = y.par_col_chunks_mut(tile_of(model)).enumerate();
        parts.for_each(|(at, part)| {
            let first = at * tile_of(model) * model.n();
            let own = &cells[first..first + part.ncols() * model.n()];
            put_product(part, model.data.rows.as_ref(), columns(own, model.n()));
        });
        return;
    }
    let starts: Vec<usize> = (traits.iter())
        .scan(0, |sum, &j| {
            Some(std::mem::replace(sum, *sum + model.data.missing[j].len()))
        })
        .collect();
    let width = tile_of(model);
    let tile = |(traits, starts): (&[usize], &[usize])| {
        if traits.iter().all(|&j| is_whole(model, j)) {
            let all = &cells[starts[0]..starts[0] + traits.len() * model.n()];
            return product(model.data.rows.as_ref(), columns(all, model.n()), Par::Seq);
        }
        let of = |at: usize| &cells[starts[at]..starts[at] + model.data.missing[traits[at]].len()];
        turned(model, traits, of)
    };
    let tiles: Vec<Mat<f64>> = traits
        .par_chunks(width)
        .zip(starts.par_chunks(width))
        .map(tile)
        .collect();
    for (at, &j) in traits.iter().enumerate() {
        let (mut column, part) = (y.col_mut(j), tiles[at / width].col(at % width));
        if is_whole(model, j) {
            column.copy_from(part);
            continue;
        }
        column.copy_from(model.data.y.col(j));
        column += part;
    }
}

/// Are all cells of a trait drawn, as those behind a link are?
fn is_whole(model: &FactorModel, j: usize) -> bool {
    model.data.missing[j].len() == model.n()
}

/// Q' times the missing cells of some traits.
fn turned<'a>(model: &FactorModel, traits: &[usize], cells: impl Fn(usize) -> &'a [f64]) -> Mat<f64> {
    let n = model.n();
    let by_product = is_dense(model, traits);
    let mut sum: Mat<f64> = Mat::zeros(n, traits.len());
    for (at, &j) in traits.iter().enumerate() {
        let column = sum.col_as_slice_mut(at);
        for (&i, cell) in model.data.missing[j].iter().zip(cells(at)) {
            if by_product {
                column[i] = *cell;
            } else {
                axpy(*cell, row_of(model, i), column);
            }
        }
    }
    if by_product {
        product(model.data.rows.as_ref(), sum.as_ref(), Par::Seq)
    } else {
        sum
    }
}

fn is_dense(model: &FactorModel, traits: &[usize]) -> bool {
    let cells: usize = traits.iter().map(|&j| model.data.missing[j].len()).sum();
    PRODUCT_IS_FASTER * cells > model.n() * traits.len()
}

/// What all tiles need.
struct TileInputs<'a> {
    y: &'a Mat<f64>,
    /// Where coefficients are drawn.
    x: Option<&'a DesignInRows>,
    design: &'a Mat<f64>,
    firsts: &'a [First],
    /// With links, whose numbers are many.
    effects: Option<EffectTables>,
}

/// New values of the cells of some traits, one after the other.
fn cells_of(model: &FactorModel, state: &State, all: &TileInputs<'_>, traits: &[usize], source: Source) -> Vec<Cells> {
    let c = model.c();
    let mut rngs: Vec<_> = (traits.iter())
        .map(|&j| source.stream(state.iteration, Block::Missing, j))
        .collect();
    let theta = Mat::from_fn(c, traits.len(), |l, at| state.theta[traits[at] * c + l]);
    // X b + F lambda + U, rotated
    let mut known = product(all.design.as_ref(), theta.as_ref(), Par::Seq);
    for (at, (&j, rng)) in traits.iter().zip(&mut rngs).enumerate() {
        let (y, fitted) = (all.y.col_as_slice(j), known.col_as_slice_mut(at));
        model.cis.add(j, 1.0, &state.cis[model.cis.of(j)], fitted);
        if let Some(effects) = &all.effects {
            effects.add(fitted, y, (state.g[j], state.sigma2[j]), rng);
            continue;
        }
        let residual: Vec<f64> = y.iter().zip(&*fitted).map(|(y, fitted)| y - fitted).collect();
        let u = effect(model, &residual, state.g[j], state.sigma2[j], rng);
        fitted.iter_mut().zip(&u).for_each(|(fitted, u)| *fitted += u);
    }
    let in_rows = is_dense(model, traits).then(|| product(model.data.rows.transpose(), known.as_ref(), Par::Seq));
    let mean = |i: usize, at: usize| match &in_rows {
        Some(all) => all[(i, at)],
        None => dot(row_of(model, i), known.col_as_slice(at)),
    };
    let each = traits.iter().zip(&mut rngs).enumerate();
    each.map(|(at, (&j, rng))| {
        let rows = &model.data.missing[j];
        let some: Vec<f64>;
        let means = match &in_rows {
            Some(all) if rows.len() == all.nrows() => all.col_as_slice(at),
            _ => {
                some = rows.iter().map(|&i| mean(i, at)).collect();
                &some
            }
        };
        new_cells(model, state, (j, all.firsts[j]), all.x, means, rng)
    })
    .collect()
}

/// With several random effects, whose totals are drawn: the cells of `y`, which is in rows. Totals go with the variance of their traits' effects.
pub fn draw_given_effects(
    model: &FactorModel,
    state: &mut State,
    y: &mut Mat<f64>,
    (left, totals): (&Left, &mut Mat<f64>),
    source: Source,
) {
    let (traits, now): (Vec<usize>, &State) = (with_missing(model), state);
    let (before, x) = (y.as_ref(), DesignInRows::of(model, now));
    let firsts = firsts(model);
    let one = |&j: &usize| {
        let rng = &mut source.stream(now.iteration, Block::Missing, j);
        let mean = |&i: &usize| before[(i, j)] - left.rows[(i, j)] + totals[(i, j)];
        let means: Vec<f64> = model.data.missing[j].iter().map(mean).collect();
        new_cells(model, now, (j, firsts[j]), x.as_ref(), &means, rng)
    };
    let mut drawn: Vec<Cells> = traits.par_iter().map(one).collect();
    let failed = joint_cells::draw(model, now, &mut drawn, x.as_ref(), source);
    for cells in &drawn {
        // effects go with their variance
        let variance = |sigma2: f64, g: usize| sigma2 * model.proportions.h[g];
        let before = variance(state.sigma2[cells.trait_], state.g[cells.trait_]);
        if before == 0.0 {
            continue;
        }
        let factor = (variance(cells.sigma2, cells.point) / before).sqrt();
        totals
            .col_as_slice_mut(cells.trait_)
            .iter_mut()
            .for_each(|x| *x *= factor);
    }
    put(model, state, drawn);
    state.failed.traits += failed;
    complete(model, &state.cells, y);
}

/// Row i of Q.
fn row_of(model: &FactorModel, i: usize) -> &[f64] {
    model.data.rows.col(i).try_as_col_major().map_or(&[], |c| c.as_slice())
}
