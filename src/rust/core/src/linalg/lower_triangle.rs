//! Symmetric matrices by their lower triangle: a change of low rank and a product with few columns, in one pass over its tiles.

use faer::linalg::matmul::matmul;
use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::{Accum, Mat, MatMut, MatRef, Par};
use rayon::prelude::*;
use std::cmp::Reverse;

/// Side of a tile of S: it stays near to the processor from its change to its products.
const TILE: usize = 128;

/// Side of a block on the diagonal that is copied to be made whole.
const WHOLE: usize = 32;

/// `S <- S - V Y' - Y V'`, given `[V Y V]`, halves of which are both factors of one product.
pub fn subtract_both(s: MatMut<'_, f64>, vyv: MatRef<'_, f64>, par: Par) {
    let nothing = Mat::zeros(s.nrows(), 0);
    pass(s, Some(vyv), nothing.as_ref(), nothing.clone().as_mut(), par);
}

/// `S <- S - V Y' - Y V'`, given `[V Y V]`, and then `Z = S U`: a tile below the diagonal is a factor of its own rows of Z and, transposed, of
/// those of its columns. Which thread takes which tiles, and so the order of sums, is known beforehand.
pub fn pass(s: MatMut<'_, f64>, vyv: Option<MatRef<'_, f64>>, u: MatRef<'_, f64>, mut z: MatMut<'_, f64>, par: Par) {
    let work = |tiles: Vec<LowerTile<'_>>| {
        let mut products = TileProducts::new(u);
        for mut tile in tiles {
            if let Some(vyv) = vyv {
                tile.subtract_both(vyv);
            }
            products.add(&tile);
        }
        products.z += products.transposed.transpose();
        products.z
    };
    let shares = shares(tiles(s), par.degree());
    let parts: Vec<Mat<f64>> = match par {
        Par::Seq => shares.into_iter().map(work).collect(),
        _ => shares.into_par_iter().with_max_len(1).map(work).collect(),
    };
    z.copy_from(&parts[0]);
    for part in &parts[1..] {
        z += part;
    }
}

/// A tile on the diagonal or below, by its first row and column.
struct LowerTile<'a> {
    top: usize,
    left: usize,
    s: MatMut<'a, f64>,
}

/// Column after column of tiles.
fn tiles(mut s: MatMut<'_, f64>) -> Vec<LowerTile<'_>> {
    let n = s.nrows();
    let mut all = vec![];
    for left in (0..n).step_by(TILE) {
        let (columns, rest) = s.split_at_col_mut(TILE.min(n - left));
        s = rest;
        let mut columns = columns.subrows_mut(left, n - left);
        for top in (left..n).step_by(TILE) {
            let (tile, below) = columns.split_at_row_mut(TILE.min(n - top));
            columns = below;
            all.push(LowerTile { top, left, s: tile });
        }
    }
    all
}

/// As many shares of about the same size: the largest first, each to the one that has least.
fn shares(mut tiles: Vec<LowerTile<'_>>, count: usize) -> Vec<Vec<LowerTile<'_>>> {
    tiles.sort_by_key(|tile| Reverse(tile.size()));
    let mut shares: Vec<(usize, Vec<LowerTile<'_>>)> = (0..count).map(|_| (0, vec![])).collect();
    for tile in tiles {
        if let Some((size, share)) = shares.iter_mut().min_by_key(|(size, _)| *size) {
            *size += tile.size();
            share.push(tile);
        }
    }
    shares.into_iter().map(|(_, share)| share).collect()
}

impl LowerTile<'_> {
    fn is_on_diagonal(&self) -> bool {
        self.top == self.left
    }

    /// Of a tile on the diagonal a little more than half is worked on.
    fn size(&self) -> usize {
        let entries = self.s.nrows() * self.s.ncols();
        if self.is_on_diagonal() {
            entries * 5 / 8
        } else {
            entries
        }
    }

    fn subtract_both(&mut self, vyv: MatRef<'_, f64>) {
        let c = vyv.ncols() / 3;
        let rows = vyv.submatrix(self.top, 0, self.s.nrows(), 2 * c);
        let columns = vyv.submatrix(self.left, c, self.s.ncols(), 2 * c).transpose();
        if !self.is_on_diagonal() {
            return matmul(self.s.as_mut(), Accum::Add, rows, columns, -1.0, Par::Seq);
        }
        triangular::matmul(
            self.s.as_mut(),
            BlockStructure::TriangularLower,
            Accum::Add,
            rows,
            BlockStructure::Rectangular,
            columns,
            BlockStructure::Rectangular,
            -1.0,
            Par::Seq,
        );
    }
}

/// Sums of the products of tiles with U, those of their transposes apart.
struct TileProducts<'a> {
    u: MatRef<'a, f64>,
    z: Mat<f64>,
    transposed: Mat<f64>,
    whole: Mat<f64>,
}

impl<'a> TileProducts<'a> {
    fn new(u: MatRef<'a, f64>) -> Self {
        let (n, c) = u.shape();
        Self {
            u,
            z: Mat::zeros(n, c),
            transposed: Mat::zeros(c, n),
            whole: Mat::zeros(WHOLE, WHOLE),
        }
    }

    fn add(&mut self, tile: &LowerTile<'_>) {
        match tile.is_on_diagonal() {
            _ if self.u.ncols() == 0 => (),
            true => self.on_diagonal(tile.s.as_ref(), tile.top),
            false => self.below(tile.s.as_ref(), tile.top, tile.left),
        }
    }

    fn below(&mut self, s: MatRef<'_, f64>, top: usize, left: usize) {
        let (rows, columns) = s.shape();
        let of_rows = self.u.subrows(top, rows).transpose();
        add(self.transposed.as_mut().subcols_mut(left, columns), of_rows, s);
        add(self.z.as_mut().subrows_mut(top, rows), s, self.u.subrows(left, columns));
    }

    /// What is below the diagonal of the halves of a tile, until they are small.
    fn on_diagonal(&mut self, s: MatRef<'_, f64>, first: usize) {
        let count = s.nrows();
        if count > WHOLE {
            let upper = (count / 2).next_multiple_of(WHOLE / 2);
            let lower = count - upper;
            self.on_diagonal(s.submatrix(0, 0, upper, upper), first);
            self.below(s.submatrix(upper, 0, lower, upper), first + upper, first);
            self.on_diagonal(s.submatrix(upper, upper, lower, lower), first + upper);
            return;
        }
        symmetrise(s, self.whole.as_mut());
        let whole = self.whole.as_ref().submatrix(0, 0, count, count);
        add(
            self.z.as_mut().subrows_mut(first, count),
            whole,
            self.u.subrows(first, count),
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
    fn a_pass_is_the_change_and_the_product_of_the_whole_matrix() {
        for (m, c) in [(1, 1), (WHOLE + 1, 2), (TILE, 3), (TILE + 1, 8), (3 * TILE - 5, 16)] {
            let entry = |i: usize, j: usize| f64::sin((1 + 3 * i + 7 * j + i * j) as f64);
            let whole = Mat::from_fn(m, m, |i, j| entry(i.max(j), i.min(j)));
            let lower = Mat::from_fn(m, m, |i, j| if i >= j { entry(i, j) } else { f64::NAN });
            let v = Mat::from_fn(m, c, |i, j| f64::cos((i + 5 * j) as f64));
            let y = Mat::from_fn(m, c, |i, j| f64::cos((3 * i + j * j) as f64));
            let u = Mat::from_fn(m, c + 1, |i, j| f64::sin((2 * i + 3 * j) as f64));
            let vyv = Mat::from_fn(m, 3 * c, |i, j| if j / c == 1 { y[(i, j - c)] } else { v[(i, j % c)] });
            let changed = &whole - &v * y.transpose() - &y * v.transpose();
            let close = |a: &Mat<f64>, b: &Mat<f64>| {
                let at = (0..m).flat_map(|j| (j..m).map(move |i| (i, j)));
                at.map(|at| (a[at] - b[at]).abs()).fold(0.0, f64::max) < 1e-11
            };
            for par in [Par::Seq, Par::rayon(2), Par::rayon(3)] {
                let (mut s, mut z) = (lower.clone(), Mat::zeros(m, c + 1));
                pass(s.as_mut(), None, u.as_ref(), z.as_mut(), par);
                assert!((&whole * &u - &z).norm_max() < 1e-10 && close(&s, &whole), "{m} {c}");
                pass(s.as_mut(), Some(vyv.as_ref()), u.as_ref(), z.as_mut(), par);
                assert!(
                    (&changed * &u - &z).norm_max() < 1e-10 && close(&s, &changed),
                    "{m} {c}"
                );
                let mut s = lower.clone();
                subtract_both(s.as_mut(), vyv.as_ref(), par);
                assert!(close(&s, &changed), "{m} {c}");
            }
        }
    }

    #[test]
    fn shares_hold_all_tiles_and_are_about_equal() {
        for n in [1, TILE, 5 * TILE + 7, 9 * TILE] {
            let mut s = Mat::<f64>::zeros(n, n);
            let all: usize = tiles(s.as_mut()).iter().map(LowerTile::size).sum();
            let shares = shares(tiles(s.as_mut()), 2);
            let sizes: Vec<usize> = shares
                .iter()
                .map(|share| share.iter().map(LowerTile::size).sum())
                .collect();
            assert_eq!(sizes.iter().sum::<usize>(), all);
            assert!(sizes[0].abs_diff(sizes[1]) <= TILE * TILE);
        }
    }
}
