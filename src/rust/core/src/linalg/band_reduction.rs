//! A symmetric matrix to band form, `A = Q B Q'`, in products of matrices.
//!
//! Householder's reflectors of as many columns as the band is wide are found by the QR decomposition of those columns below the band, and applied
//! to both sides at once. With `I - V T^-1 V'` for them, `Z = S V T^-1` and `Y = Z - V (T^-T V' Z) / 2`, the trailing block becomes
//! `S - V Y' - Y V'`: both products run at the speed of the matrix product and use the lower triangle alone, 4/3 n^3 operations in all
//! (Bischof, Lang and Sun 2000), where half of those of a reduction to tridiagonal form are products of a matrix and a vector.
//! The change of one panel and the product `S V` of the next are made in one pass over the trailing block, once the columns of that panel have
//! been changed beforehand.

use super::band::{Band, Panel};
use super::clear_registers;
use super::lower_triangle::{pass, subtract_both};
use crate::runtime::error::Result;
use crate::runtime::parallel::{awake, worth, worth_awake};
use crate::runtime::stop;
use dyn_stack::{MemBuffer, MemStack};
use faer::linalg::matmul::matmul;
use faer::linalg::qr::no_pivoting::factor as qr;
use faer::linalg::triangular_solve::solve_lower_triangular_in_place;
use faer::{Accum, Mat, MatMut, MatRef, Par};

impl Band {
    pub(super) fn of_width(a: Mat<f64>, first: usize, width: usize, par: Par) -> Result<Self> {
        let n = a.nrows() - first;
        let mut band = Self {
            storage: a,
            first,
            width,
            factors: Mat::zeros(width, n),
        };
        awake(worth(4.0 / 3.0 * (n as f64).powi(3), par), |par| band.reduce(par))?;
        clear_registers();
        Ok(band)
    }

    /// `[V Y V]` of a panel, and of the one before, whose change of the trailing block is still to be made.
    fn reduce(&mut self, par: Par) -> Result<()> {
        let (n, width) = (self.n(), self.width);
        let (mut own, mut before) = (Mat::zeros(n, 3 * width), Mat::zeros(n, 3 * width));
        let mut last = None;
        for panel in self.panels() {
            stop::check()?;
            if last.is_some() {
                self.bring_up(panel, before.as_ref());
            }
            self.factorise(panel);
            let change = last.map(|_| before.as_ref().submatrix(width, 0, panel.rows, 3 * width));
            self.step(panel, change, own.as_mut(), par);
            std::mem::swap(&mut own, &mut before);
            last = Some(panel);
        }
        if let Some(panel @ Panel { rows: m, count: c, .. }) = last {
            let (top, _) = self.corner(panel);
            let left = self.storage.as_mut().submatrix_mut(top, top, m, m);
            subtract_both(left, before.as_ref().submatrix(0, 0, m, 3 * c), Par::Seq);
        }
        Ok(())
    }

    /// QR decomposition of the columns below the band: R is B's, the reflectors stay where zeros would be.
    fn factorise(&mut self, panel: Panel) {
        let (top, left) = self.corner(panel);
        let columns = self.storage.as_mut().submatrix_mut(top, left, panel.rows, self.width);
        let factor = self
            .factors
            .as_mut()
            .submatrix_mut(0, panel.column, panel.count, panel.count);
        let scratch = qr::qr_in_place_scratch::<f64>(panel.rows, self.width, panel.count, Par::Seq, Default::default());
        let mut memory = MemBuffer::new(scratch);
        qr::qr_in_place(
            columns,
            factor,
            Par::Seq,
            MemStack::new(&mut memory),
            Default::default(),
        );
    }

    /// The columns of a panel as the one before leaves them, from the diagonal on.
    fn bring_up(&mut self, panel: Panel, vyv: MatRef<'_, f64>) {
        let (rows, width) = (panel.rows + self.width, self.width);
        let (top, left) = self.corner(panel);
        let columns = self.storage.as_mut().submatrix_mut(top - width, left, rows, width);
        let (v_y, y_v) = (
            vyv.submatrix(0, 0, rows, 2 * width),
            vyv.submatrix(0, width, width, 2 * width),
        );
        matmul(columns, Accum::Add, v_y, y_v.transpose(), -1.0, Par::Seq);
    }

    /// The reflectors of a panel on both sides of what is left: `[V Y V]` of the change that they make. `before`: the change that is made first.
    fn step(&mut self, panel: Panel, before: Option<MatRef<'_, f64>>, vyv: MatMut<'_, f64>, par: Par) {
        let Panel { rows: m, count: c, .. } = panel;
        let of_columns = worth((m * c * c) as f64, par);
        let of_matrix = worth_awake(4.0 * (m * m * c) as f64, par);
        let (top, left) = self.corner(panel);
        let mut vyv = vyv.submatrix_mut(0, 0, m, 3 * c);
        unit_lower(
            self.storage.as_ref().submatrix(top, left, m, c),
            vyv.as_mut().subcols_mut(0, c),
        );
        let (v, mut other) = vyv.as_mut().split_at_col_mut(c);
        let (mut y, mut again) = other.as_mut().split_at_col_mut(c);
        again.copy_from(v.as_ref());
        let trailing = self.storage.as_mut().submatrix_mut(top, top, m, m);
        pass(trailing, before, v.as_ref(), y.as_mut(), of_matrix);
        let (v, factor) = (v.as_ref(), self.factor(panel));
        solve_lower_triangular_in_place(factor.transpose(), y.as_mut().transpose_mut(), of_columns);
        let mut half = Mat::zeros(c, c);
        matmul(
            half.as_mut(),
            Accum::Replace,
            v.transpose(),
            y.as_ref(),
            0.5,
            of_columns,
        );
        solve_lower_triangular_in_place(factor.transpose(), half.as_mut(), Par::Seq);
        matmul(y.as_mut(), Accum::Add, v, half.as_ref(), -1.0, of_columns);
    }
}

/// Of a band: a wider one is reached faster, and takes longer to be made tridiagonal.
pub(super) fn width_for(n: usize) -> usize {
    match n {
        0..500 => 8,
        500..2500 => 16,
        _ => 24,
    }
}

/// V from what a QR decomposition leaves below the diagonal.
fn unit_lower(reflectors: MatRef<'_, f64>, mut v: MatMut<'_, f64>) {
    v.copy_from(reflectors);
    for j in 0..v.ncols() {
        v.as_mut().col_mut(j).subrows_mut(0, j).fill(0.0);
        v[(j, j)] = 1.0;
    }
}
