//! Symmetric matrices by their lower triangle: a product with few columns, which reads it once, and a change of low rank.

use faer::linalg::matmul::matmul;
use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::{Accum, Mat, MatMut, MatRef, Par};
use rayon::prelude::*;

/// Side of a tile of S: it stays near to the processor between its two products.
const TILE: usize = 192;

/// `Z = S V`: a tile below the diagonal is a factor of its own rows of Z and, transposed, of those of its columns.
pub fn lower_times(s: MatRef<'_, f64>, v: MatRef<'_, f64>, mut z: MatMut<'_, f64>, par: Par) {
    let degree = par.degree();
    let parts: Vec<Mat<f64>> = (0..degree)
        .into_par_iter()
        .map(|part| of_tiles(s, v, part, degree))
        .collect();
    z.copy_from(&parts[0]);
    for part in &parts[1..] {
        z += part;
    }
}

/// `S <- S - V Y' - Y V'`, given `[V Y V]`, halves of which are both factors of one product.
pub fn subtract_both(s: MatMut<'_, f64>, vyv: MatRef<'_, f64>, par: Par) {
    let c = vyv.ncols() / 3;
    triangular::matmul(
        s,
        BlockStructure::TriangularLower,
        Accum::Add,
        vyv.subcols(0, 2 * c),
        BlockStructure::Rectangular,
        vyv.subcols(c, 2 * c).transpose(),
        BlockStructure::Rectangular,
        -1.0,
        par,
    );
}

/// Of each `step`th tile.
fn of_tiles(s: MatRef<'_, f64>, v: MatRef<'_, f64>, first: usize, step: usize) -> Mat<f64> {
    let (m, c) = (v.nrows(), v.ncols());
    let tiles = m.div_ceil(TILE);
    let range = |i: usize| (i * TILE, TILE.min(m - i * TILE));
    let (mut z, mut transposed) = (Mat::<f64>::zeros(m, c), Mat::<f64>::zeros(c, m));
    let mut whole = Mat::<f64>::zeros(TILE, TILE);
    let all = (0..tiles).flat_map(|j| (j..tiles).map(move |i| (i, j)));
    for (i, j) in all.skip(first).step_by(step) {
        let ((top, rows), (left, columns)) = (range(i), range(j));
        let tile = s.submatrix(top, left, rows, columns);
        if i == j {
            symmetrise(tile, whole.as_mut());
        } else {
            add(
                transposed.as_mut().subcols_mut(left, columns),
                v.subrows(top, rows).transpose(),
                tile,
            );
        }
        let tile = if i == j {
            whole.as_ref().submatrix(0, 0, rows, columns)
        } else {
            tile
        };
        add(z.as_mut().subrows_mut(top, rows), tile, v.subrows(left, columns));
    }
    z += transposed.transpose();
    z
}

/// `C <- C + A B`
fn add(c: MatMut<'_, f64>, a: MatRef<'_, f64>, b: MatRef<'_, f64>) {
    matmul(c, Accum::Add, a, b, 1.0, Par::Seq);
}

/// All of a tile on the diagonal, from its lower triangle.
fn symmetrise(tile: MatRef<'_, f64>, mut whole: MatMut<'_, f64>) {
    for j in 0..tile.ncols() {
        let (from, count) = (tile.col(j).subrows(j, tile.nrows() - j), tile.nrows() - j);
        whole.as_mut().col_mut(j).subrows_mut(j, count).copy_from(from);
        whole
            .as_mut()
            .row_mut(j)
            .subcols_mut(j, count)
            .copy_from(from.transpose());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_those_of_the_whole_matrix() {
        for (m, c) in [(1, 1), (TILE, 3), (TILE + 1, 8), (3 * TILE - 5, 16)] {
            let entry = |i: usize, j: usize| f64::sin((1 + 3 * i + 7 * j + i * j) as f64);
            let whole = Mat::from_fn(m, m, |i, j| entry(i.max(j), i.min(j)));
            let lower = Mat::from_fn(m, m, |i, j| if i >= j { entry(i, j) } else { f64::NAN });
            let v = Mat::from_fn(m, c, |i, j| f64::cos((i + 5 * j) as f64));
            for par in [Par::Seq, Par::rayon(2), Par::rayon(3)] {
                let mut z = Mat::zeros(m, c);
                lower_times(lower.as_ref(), v.as_ref(), z.as_mut(), par);
                assert!((&whole * &v - &z).norm_max() < 1e-11, "{m} {c}");
                let beside = Mat::from_fn(m, 3 * c, |i, j| {
                    if (c..2 * c).contains(&j) {
                        z[(i, j - c)]
                    } else {
                        v[(i, j % c)]
                    }
                });
                let mut changed = lower.clone();
                subtract_both(changed.as_mut(), beside.as_ref(), par);
                let direct = &whole - &v * z.transpose() - &z * v.transpose();
                let off = (0..m)
                    .flat_map(|j| (j..m).map(move |i| (i, j)))
                    .map(|at| (changed[at] - direct[at]).abs());
                assert!(off.fold(0.0, f64::max) < 1e-9 * direct.norm_max());
            }
        }
    }
}
