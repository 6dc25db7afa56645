//! Symmetric matrices by their lower triangle: a product with few columns, which reads it once, and a change of low rank.

use faer::linalg::matmul::matmul;
use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::{Accum, Mat, MatMut, MatRef, Par};
use rayon::prelude::*;

/// Side of a tile of S: it stays near to the processor between its two products.
const TILE: usize = 192;

/// Side of a block on the diagonal that is copied to be made whole.
const WHOLE: usize = 32;

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
    let mut products = TileProducts {
        s,
        v,
        z: Mat::zeros(m, c),
        transposed: Mat::zeros(c, m),
        whole: Mat::zeros(WHOLE, WHOLE),
    };
    let all = (0..tiles).flat_map(|j| (j..tiles).map(move |i| (i, j)));
    for (i, j) in all.skip(first).step_by(step) {
        match i == j {
            true => products.on_diagonal(range(j)),
            false => products.below(range(i), range(j)),
        }
    }
    products.z += products.transposed.transpose();
    products.z
}

/// Sums of the products of tiles, those of their transposes apart.
struct TileProducts<'a> {
    s: MatRef<'a, f64>,
    v: MatRef<'a, f64>,
    z: Mat<f64>,
    transposed: Mat<f64>,
    whole: Mat<f64>,
}

impl TileProducts<'_> {
    /// A tile below the diagonal, by its first row and column and how many there are.
    fn below(&mut self, (top, rows): (usize, usize), (left, columns): (usize, usize)) {
        let tile = self.s.submatrix(top, left, rows, columns);
        let of_rows = self.v.subrows(top, rows).transpose();
        add(self.transposed.as_mut().subcols_mut(left, columns), of_rows, tile);
        add(
            self.z.as_mut().subrows_mut(top, rows),
            tile,
            self.v.subrows(left, columns),
        );
    }

    /// A tile on the diagonal: what is below the diagonal of its halves, until they are small.
    fn on_diagonal(&mut self, (first, count): (usize, usize)) {
        if count > WHOLE {
            let upper = (count / 2).next_multiple_of(WHOLE / 2);
            let (one, two) = ((first, upper), (first + upper, count - upper));
            self.on_diagonal(one);
            self.below(two, one);
            self.on_diagonal(two);
            return;
        }
        symmetrise(self.s.submatrix(first, first, count, count), self.whole.as_mut());
        let whole = self.whole.as_ref().submatrix(0, 0, count, count);
        add(
            self.z.as_mut().subrows_mut(first, count),
            whole,
            self.v.subrows(first, count),
        );
    }
}

/// `C <- C + A B`
fn add(c: MatMut<'_, f64>, a: MatRef<'_, f64>, b: MatRef<'_, f64>) {
    matmul(c, Accum::Add, a, b, 1.0, Par::Seq);
}

/// All of a block on the diagonal, from its lower triangle.
fn symmetrise(block: MatRef<'_, f64>, mut whole: MatMut<'_, f64>) {
    for j in 0..block.ncols() {
        for i in j..block.nrows() {
            (whole[(i, j)], whole[(j, i)]) = (block[(i, j)], block[(i, j)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_those_of_the_whole_matrix() {
        for (m, c) in [(1, 1), (WHOLE + 1, 2), (TILE, 3), (TILE + 1, 8), (3 * TILE - 5, 16)] {
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
