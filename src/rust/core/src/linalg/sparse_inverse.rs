//! Entries of the inverse of a sparse matrix on the pattern of its factor (Takahashi, Fagan and Chin 1973), by blocks of columns with one pattern, from the last to the first. With J the
//! columns of a block and R its rows below them,
//!
//! ```text
//! Y = L_RJ L_JJ^-1,   Z_RJ = -Z_RR Y,   Z_JJ = L_JJ^-T L_JJ^-1 - Y' Z_RJ
//! ```
//!
//! Z_RR is known by then: the later of two rows of R is among the rows of the block that the earlier one belongs to.

use crate::runtime::stop;
use faer::linalg::matmul::matmul;
use faer::linalg::triangular_inverse::invert_lower_triangular;
use faer::reborrow::*;
use faer::sparse::linalg::cholesky::supernodal::{SupernodalLltRef, SymbolicSupernodalCholesky};
use faer::{Accum, Mat, MatMut, MatRef, Par};

/// A^-1 on the pattern of the factor of P A P'.
pub(crate) struct SelectedInverse<'a> {
    blocks: &'a SymbolicSupernodalCholesky<usize>,
    /// Place of each row of A in P A P'.
    permuted: Option<&'a [usize]>,
    /// Block of each column.
    block_of: Vec<usize>,
    /// As the factor is held, the blocks on the diagonal with both triangles.
    z: Vec<f64>,
}

impl<'a> SelectedInverse<'a> {
    /// Without meaning where there is a request to stop.
    pub(super) fn new(
        blocks: &'a SymbolicSupernodalCholesky<usize>,
        permuted: Option<&'a [usize]>,
        l: &[f64],
        par: Par,
    ) -> Self {
        let ends = blocks.supernode_end().iter().enumerate();
        let columns = |(s, &end): (usize, &usize)| std::iter::repeat_n(s, end - blocks.supernode_begin()[s]);
        let mut found = Self {
            blocks,
            permuted,
            block_of: ends.flat_map(columns).collect(),
            z: vec![0.0; l.len()],
        };
        let factor = SupernodalLltRef::new(blocks, l);
        for s in (0..blocks.n_supernodes()).rev() {
            if stop::check().is_err() {
                break;
            }
            let among = found.among(blocks.supernode(s).pattern());
            let values = blocks.col_ptr_for_val()[s]..blocks.col_ptr_for_val()[s + 1];
            let l = factor.supernode(s).val();
            let z = MatMut::from_column_major_slice_mut(&mut found.z[values], l.nrows(), l.ncols());
            invert_block(l, among.as_ref(), z, par);
        }
        found
    }

    /// Of a place that A has an entry at, or its factor.
    pub(crate) fn get(&self, i: usize, j: usize) -> f64 {
        let at = |i: usize| self.permuted.map_or(i, |permuted| permuted[i]);
        let (i, j) = (at(i).max(at(j)), at(i).min(at(j)));
        let block = self.block(self.block_of[j]);
        block.column(j)[block.place(i, &mut 0)]
    }

    fn block(&self, s: usize) -> BlockOfColumns<'_> {
        let (first, end) = (self.blocks.supernode_begin()[s], self.blocks.supernode_end()[s]);
        let values = self.blocks.col_ptr_for_val()[s]..self.blocks.col_ptr_for_val()[s + 1];
        BlockOfColumns {
            first,
            end,
            below: self.blocks.supernode(s).pattern(),
            z: &self.z[values],
        }
    }

    /// Z_RR, both triangles.
    fn among(&self, rows: &[usize]) -> Mat<f64> {
        let mut among = Mat::zeros(rows.len(), rows.len());
        let (mut next, mut places) = (0, vec![]);
        while next < rows.len() {
            let block = self.block(self.block_of[rows[next]]);
            let (later, mut passed) = (&rows[next..], 0);
            places.clear();
            places.extend(later.iter().map(|&row| block.place(row, &mut passed)));
            let own = later.partition_point(|row| *row < block.end);
            for (b, &row) in later[..own].iter().enumerate() {
                let column = block.column(row);
                for (a, &place) in places.iter().enumerate().skip(b) {
                    among[(next + a, next + b)] = column[place];
                    among[(next + b, next + a)] = column[place];
                }
            }
            next += own;
        }
        among
    }
}

/// Columns `first..end` of Z, in those rows and in the rows `below`.
struct BlockOfColumns<'z> {
    first: usize,
    end: usize,
    below: &'z [usize],
    z: &'z [f64],
}

impl<'z> BlockOfColumns<'z> {
    fn column(&self, j: usize) -> &'z [f64] {
        let height = self.end - self.first + self.below.len();
        &self.z[(j - self.first) * height..][..height]
    }

    /// Where row i stands in a column; of the rows below, `passed` are known to come before it.
    fn place(&self, i: usize, passed: &mut usize) -> usize {
        if i < self.end {
            return i - self.first;
        }
        let rest = &self.below[*passed..];
        let mut reach = 1;
        while reach < rest.len() && rest[reach] < i {
            reach *= 2;
        }
        let (low, high) = (reach / 2, rest.len().min(reach + 1));
        *passed += low + rest[low..high].partition_point(|row| *row < i);
        self.end - self.first + *passed
    }
}

/// Z_JJ over Z_RJ from L_JJ over L_RJ and Z_RR.
fn invert_block(l: MatRef<'_, f64>, among: MatRef<'_, f64>, z: MatMut<'_, f64>, par: Par) {
    let (width, below) = (l.ncols(), l.nrows() - l.ncols());
    let (mut root, mut y) = (Mat::zeros(width, width), Mat::zeros(below, width));
    invert_lower_triangular(root.as_mut(), l.subrows(0, width), par);
    let (mut own, mut beside) = z.split_at_row_mut(width);
    let root = root.as_ref();
    matmul(y.as_mut(), Accum::Replace, l.subrows(width, below), root, 1.0, par);
    matmul(beside.rb_mut(), Accum::Replace, among, y.as_ref(), -1.0, par);
    matmul(own.rb_mut(), Accum::Replace, root.transpose(), root, 1.0, par);
    matmul(own, Accum::Add, y.transpose(), beside.rb(), -1.0, par);
}
