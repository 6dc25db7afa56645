//! Factors of all draws, brought into one order with one sign each: by the cosines of their loadings with the mean of all draws.

use crate::runtime::error::Error;
use crate::runtime::memory::claim;
use crate::runtime::parallel::Workers;
use rayon::prelude::*;

/// For each draw, which of its factors is the first, the second, ... and its sign.
#[derive(Debug, Clone, PartialEq)]
pub struct Alignment {
    /// k numbers for each draw.
    pub order: Vec<usize>,
    /// k signs for each draw.
    pub sign: Vec<f64>,
}

/// Passes over the draws: the mean that factors are compared with is that of the pass before, the last draw at first.
const PASSES: usize = 3;

/// Loadings of p traits on k factors of each draw, one draw after the other. The longest factor comes first.
pub fn align(draws: &[f64], p: usize, k: usize, workers: &Workers) -> Result<Alignment, Error> {
    let size = p * k;
    if size == 0 || draws.len() < size {
        let (order, sign) = (vec![], vec![]);
        return Ok(Alignment { order, sign });
    }
    let count = draws.len() / size;
    claim(4.0 * (k * count) as f64)?;
    let mut reference = draws[(count - 1) * size..count * size].to_vec();
    let mut found: Vec<Vec<(usize, f64)>> = vec![];
    for _ in 0..PASSES {
        let unit = unit_columns(&reference, p);
        found = workers.run(|_| {
            let of = |draw: &[f64]| matched(&unit, &unit_columns(draw, p), p, k);
            draws.par_chunks_exact(size).map(of).collect()
        });
        reference = mean(draws, &found, p);
    }
    let order = by_size(&reference, p);
    let all = || found.iter().flat_map(|one| order.iter().map(|&m| one[m]));
    Ok(Alignment {
        order: all().map(|(factor, _)| factor).collect(),
        sign: all().map(|(_, sign)| sign).collect(),
    })
}

/// Largest cosines first, each factor once: for each column of the reference a column of the draw, and its sign.
fn matched(reference: &[f64], draw: &[f64], p: usize, k: usize) -> Vec<(usize, f64)> {
    let cosine = |m: usize, o: usize| -> f64 {
        let (a, b) = (&reference[m * p..(m + 1) * p], &draw[o * p..(o + 1) * p]);
        a.iter().zip(b).map(|(a, b)| a * b).sum()
    };
    let mut pairs: Vec<(usize, usize, f64)> = (0..k)
        .flat_map(|o| (0..k).map(move |m| (m, o)))
        .map(|(m, o)| (m, o, cosine(m, o)))
        .collect();
    pairs.sort_by(|a, b| b.2.abs().total_cmp(&a.2.abs()));
    let mut out = vec![None; k];
    let mut used = vec![false; k];
    for (m, o, cosine) in pairs {
        if out[m].is_none() && !used[o] {
            out[m] = Some((o, if cosine < 0.0 { -1.0 } else { 1.0 }));
            used[o] = true;
        }
    }
    out.into_iter().flatten().collect()
}

/// Columns of length one; a column of zeros stays.
fn unit_columns(matrix: &[f64], p: usize) -> Vec<f64> {
    let of = |column: &[f64]| {
        let length = column.iter().map(|x| x * x).sum::<f64>().sqrt().max(1e-300);
        column.iter().map(|x| x / length).collect::<Vec<f64>>()
    };
    matrix.chunks(p).flat_map(of).collect()
}

/// Mean of the aligned draws.
fn mean(draws: &[f64], found: &[Vec<(usize, f64)>], p: usize) -> Vec<f64> {
    let k = found[0].len();
    let mut sum = vec![0.0; p * k];
    for (draw, found) in draws.chunks_exact(p * k).zip(found) {
        for (m, &(o, sign)) in found.iter().enumerate() {
            let (to, from) = (&mut sum[m * p..(m + 1) * p], &draw[o * p..(o + 1) * p]);
            to.iter_mut().zip(from).for_each(|(to, from)| *to += sign * from);
        }
    }
    sum.iter().map(|x| x / found.len() as f64).collect()
}

/// Columns by their lengths, the longest first.
fn by_size(matrix: &[f64], p: usize) -> Vec<usize> {
    let squares: Vec<f64> = matrix.chunks(p).map(|c| c.iter().map(|x| x * x).sum()).collect();
    let mut order: Vec<usize> = (0..squares.len()).collect();
    order.sort_by(|&a, &b| squares[b].total_cmp(&squares[a]));
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flipped_and_exchanged_factors_are_brought_together() {
        let workers = Workers::new(1).unwrap();
        let (long, short) = ([3.0, 0.0, 1.0, -2.0], [0.0, 1.0, 0.2, 0.1]);
        let draws: Vec<f64> = (0..7)
            .flat_map(|t| {
                let sign = if t % 3 == 0 { -1.0 } else { 1.0 };
                let near = 1.0 + 0.01 * t as f64;
                let long = long.map(|x| sign * near * x);
                let pair = if t % 2 == 0 { [long, short] } else { [short, long] };
                pair.concat()
            })
            .collect();
        let found = align(&draws, 4, 2, &workers).unwrap();
        for t in 0..7 {
            let first = &draws[t * 8 + found.order[2 * t] * 4..][..4];
            let last = &draws[6 * 8 + found.order[12] * 4..][..4];
            let product: f64 = first.iter().zip(last).map(|(a, b)| a * b).sum();
            assert_eq!(first[1], 0.0);
            assert!(found.sign[2 * t] * found.sign[12] * product > 0.0);
        }
        let none = align(&[], 0, 3, &workers).unwrap();
        assert!(none.order.is_empty());
    }
}
