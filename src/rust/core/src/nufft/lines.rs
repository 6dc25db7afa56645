//! Fourier transforms of the fine grid, line by line and axis by axis; frequencies that nobody asked for are dropped as soon as they appear.
//!
//! Each pass turns the axes around: lines of the first axis become the last axis of the result. After a pass for each axis they are in order
//! again. Two real lines make one complex line.

use super::grid::Axis;
use super::plan::Plan;
use faer::c64;
use fastlmm_fft::Fft;
use rayon::prelude::*;

const ZERO: c64 = c64 { re: 0.0, im: 0.0 };

/// Lines of a task: whole lines of the cache are written when they are turned around.
const TILE: usize = 16;

/// A padded real grid to the modes with k >= 0 on the first axis.
pub fn analyse(plan: &Plan, grid: &[f64]) -> Vec<c64> {
    let axis = &plan.axes[0];
    let lines = plan.axes[1].cells * plan.axes[2].cells;
    let mut modes = turned(lines, axis.half(), |first, tile| halves(plan, grid, first, tile));
    for a in 1..plan.dimension() {
        let (axis, fft) = (&plan.axes[a], &*plan.forward[a]);
        modes = turned(modes.len() / axis.cells, axis.modes, |first, tile| {
            let lines = modes[first * axis.cells..].chunks_exact(axis.cells);
            let mut scratch = GridLine::new(fft);
            for (line, kept) in lines.zip(tile.chunks_exact_mut(axis.modes)) {
                scratch.cells.copy_from_slice(line);
                scratch.transform(fft);
                kept.iter_mut()
                    .enumerate()
                    .for_each(|(j, v)| *v = scratch.mode(axis, j));
            }
        });
    }
    modes
}

/// The modes with k >= 0 on the first axis to a padded real grid.
pub fn synthesise(plan: &Plan, modes: &[c64]) -> Vec<f64> {
    let mut grid = vec![];
    for a in (1..plan.dimension()).rev() {
        let (axis, fft) = (&plan.axes[a], &*plan.backward[a]);
        let modes = if grid.is_empty() { modes } else { &grid };
        let lines = modes.len() / axis.modes;
        let mut next = vec![ZERO; lines * axis.cells];
        next.par_chunks_mut(TILE * axis.cells)
            .enumerate()
            .for_each(|(t, tile)| {
                let count = tile.len() / axis.cells;
                for j in 0..axis.modes {
                    let (cell, correction) = axis.mode(j);
                    let row = &modes[j * lines + t * TILE..][..count];
                    row.iter()
                        .enumerate()
                        .for_each(|(l, v)| tile[l * axis.cells + cell] = *v * correction);
                }
                fft.process(tile);
            });
        grid = next;
    }
    let modes = if grid.is_empty() { modes } else { &grid };
    real_rows(plan, modes)
}

/// One line and what its transform needs.
struct GridLine {
    cells: Vec<c64>,
    scratch: Vec<c64>,
}

impl GridLine {
    fn new(fft: &dyn Fft<f64>) -> Self {
        Self {
            cells: vec![ZERO; fft.len()],
            scratch: vec![ZERO; fft.get_inplace_scratch_len()],
        }
    }

    fn transform(&mut self, fft: &dyn Fft<f64>) {
        fft.process_with_scratch(&mut self.cells, &mut self.scratch);
    }

    fn mode(&self, axis: &Axis, j: usize) -> c64 {
        let (cell, correction) = axis.mode(j);
        self.cells[cell] * correction
    }

    /// Transforms of the two real lines a and b in a + i b, at k >= 0: (Z_k + conj Z_-k) / 2 and (Z_k - conj Z_-k) / 2i.
    fn pair(&self, k: usize) -> (c64, c64) {
        let (z, mirror) = (self.cells[k], self.cells[(self.cells.len() - k) % self.cells.len()]);
        let a = c64::new(0.5 * (z.re + mirror.re), 0.5 * (z.im - mirror.im));
        let b = c64::new(0.5 * (z.im + mirror.im), 0.5 * (mirror.re - z.re));
        (a, b)
    }

    /// The inverse of `pair`: cells of a + i b from the halves of two real lines.
    fn set_pair(&mut self, k: usize, a: c64, b: c64) {
        let n = self.cells.len();
        if k == 0 {
            self.cells[0] = c64::new(a.re, b.re);
        } else {
            self.cells[k] = c64::new(a.re - b.im, a.im + b.re);
            self.cells[n - k] = c64::new(a.re + b.im, b.re - a.im);
        }
    }
}

/// `lines` lines, of which `work(first, tile)` finds `kept` numbers each; the result has the lines fastest.
fn turned(lines: usize, kept: usize, work: impl Fn(usize, &mut [c64]) + Sync) -> Vec<c64> {
    let mut out = vec![ZERO; lines * kept];
    let mut tiles: Vec<Vec<&mut [c64]>> = (0..lines.div_ceil(TILE)).map(|_| Vec::with_capacity(kept)).collect();
    for column in out.chunks_mut(lines) {
        tiles
            .iter_mut()
            .zip(column.chunks_mut(TILE))
            .for_each(|(tile, part)| tile.push(part));
    }
    tiles.into_par_iter().enumerate().for_each(|(t, mut parts)| {
        let count = parts.first().map_or(0, |part| part.len());
        let mut tile = vec![ZERO; count * kept];
        work(t * TILE, &mut tile);
        for (j, part) in parts.iter_mut().enumerate() {
            part.iter_mut().enumerate().for_each(|(l, v)| *v = tile[l * kept + j]);
        }
    });
    out
}

/// First pass: lines of the padded grid, folded and transformed in pairs.
fn halves(plan: &Plan, grid: &[f64], first: usize, tile: &mut [c64]) {
    let (axis, fft) = (&plan.axes[0], &*plan.forward[0]);
    let half = axis.half();
    let mut line = GridLine::new(fft);
    for (p, kept) in tile.chunks_mut(2 * half).enumerate() {
        let (kept_a, kept_b) = kept.split_at_mut(half);
        line.cells.fill(ZERO);
        folded(plan, grid, first + 2 * p, |cell, v| line.cells[cell].re += v);
        if !kept_b.is_empty() {
            folded(plan, grid, first + 2 * p + 1, |cell, v| line.cells[cell].im += v);
        }
        line.transform(fft);
        for (k, correction) in axis.correction.iter().enumerate() {
            let (a, b) = line.pair(k);
            kept_a[k] = a * *correction;
            if let Some(kept) = kept_b.get_mut(k) {
                *kept = b * correction;
            }
        }
    }
}

/// Adds all padded rows that belong to a line.
fn folded(plan: &Plan, grid: &[f64], line: usize, mut add: impl FnMut(usize, f64)) {
    let [x, y, z] = &plan.axes;
    for plane in z.entries(line / y.cells) {
        for row in y.entries(line % y.cells) {
            x.fold(&grid[(plane * y.padded + row) * x.padded..][..x.padded], &mut add);
        }
    }
}

/// Last pass: rows of the padded grid from the halves of their lines, in pairs; rows at the seam are found twice.
fn real_rows(plan: &Plan, modes: &[c64]) -> Vec<f64> {
    let ([x, y, z], fft) = (&plan.axes, &*plan.backward[0]);
    let lines = y.cells * z.cells;
    let line_of = |row: usize| z.cell(row / y.padded) * y.cells + y.cell(row % y.padded);
    let mut grid = vec![0.0; x.padded * y.padded * z.padded];
    grid.par_chunks_mut(TILE * x.padded).enumerate().for_each(|(t, tile)| {
        let mut line = GridLine::new(fft);
        for (p, rows) in tile.chunks_mut(2 * x.padded).enumerate() {
            let row = t * TILE + 2 * p;
            let two = rows.len() > x.padded;
            let (a, b) = (line_of(row), if two { line_of(row + 1) } else { line_of(row) });
            line.cells.fill(ZERO);
            for (k, correction) in x.correction.iter().enumerate() {
                let at = |l: usize| modes[k * lines + l] * *correction;
                line.set_pair(k, at(a), at(b));
            }
            line.transform(fft);
            let (row_a, row_b) = rows.split_at_mut(x.padded);
            row_a
                .iter_mut()
                .enumerate()
                .for_each(|(i, v)| *v = line.cells[x.cell(i)].re);
            row_b
                .iter_mut()
                .enumerate()
                .for_each(|(i, v)| *v = line.cells[x.cell(i)].im);
        }
    });
    grid
}
