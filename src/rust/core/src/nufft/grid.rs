//! The fine grid: twice as many cells as modes on each axis, padded so that no point needs to wrap around.
//!
//! Cell c of an axis of n cells stands for the phase 2 pi c / n. Entry i of a padded axis belongs to cell i - shift (mod n); a point touches
//! entries from its `start` on. Wrapping is left to the Fourier transforms, which read and write lines of the grid anyway.

use super::kernel::SpreadingKernel;
use std::f64::consts::TAU;

#[derive(Debug, Clone)]
pub struct Axis {
    /// K modes: frequencies -floor(K/2) .. ceil(K/2) - 1.
    pub modes: usize,
    /// n cells.
    pub cells: usize,
    pub padded: usize,
    /// Entries that a point touches.
    pub reach: usize,
    /// 1 / phihat of the frequencies 0 .. floor(K/2).
    pub correction: Vec<f64>,
    shift: usize,
}

impl Axis {
    /// `reach`: entries a point touches, at least the kernel's width.
    pub fn new(modes: usize, reach: usize, kernel: &SpreadingKernel) -> Self {
        let cells = smooth(2 * modes.max(reach));
        let omega = |k: usize| TAU * k as f64 / cells as f64;
        Self {
            modes,
            cells,
            padded: cells + reach,
            reach,
            correction: (0..=modes / 2).map(|k| 1.0 / kernel.transform(omega(k))).collect(),
            shift: kernel.width / 2,
        }
    }

    /// An axis that the data do not have.
    pub fn none() -> Self {
        Self {
            modes: 1,
            cells: 1,
            padded: 1,
            reach: 1,
            correction: vec![1.0],
            shift: 0,
        }
    }

    /// Number of frequencies k >= 0 that a half of the modes has.
    pub fn half(&self) -> usize {
        self.modes / 2 + 1
    }

    /// Position in cells of a phase; any real number wraps.
    #[inline(always)]
    pub fn position(&self, phase: f64) -> f64 {
        let turns = phase * (1.0 / TAU);
        (turns - turns.floor()) * self.cells as f64
    }

    /// First entry that a point touches, and how far (0 .. 1) the border of the kernel lies before it. `half`: w/2.
    #[inline(always)]
    pub fn start(&self, position: f64, half: f64) -> (usize, f64) {
        let border = position - half;
        let first = border.ceil();
        ((first + self.shift as f64) as i64 as usize, first - border)
    }

    /// Cell and correction of the j-th of all modes.
    pub fn mode(&self, j: usize) -> (usize, f64) {
        let middle = self.modes / 2;
        let cell = if j < middle {
            self.cells - middle + j
        } else {
            j - middle
        };
        (cell, self.correction[j.abs_diff(middle)])
    }

    pub fn cell(&self, entry: usize) -> usize {
        (entry + self.cells - self.shift) % self.cells
    }

    /// Entries that belong to a cell: one, or two at the seam.
    pub fn entries(&self, cell: usize) -> impl Iterator<Item = usize> {
        ((cell + self.shift) % self.cells..self.padded).step_by(self.cells)
    }

    /// Adds a padded row to the cells of a line.
    pub fn fold(&self, row: &[f64], mut add: impl FnMut(usize, f64)) {
        let seam = self.cells - self.shift;
        row[..self.shift]
            .iter()
            .enumerate()
            .for_each(|(i, v)| add(seam + i, *v));
        let inner = &row[self.shift..];
        inner[..self.cells].iter().enumerate().for_each(|(i, v)| add(i, *v));
        inner[self.cells..].iter().enumerate().for_each(|(i, v)| add(i, *v));
    }
}

/// Smallest even number >= n without prime factors above 5.
fn smooth(n: usize) -> usize {
    let rest = |n: usize| {
        [2, 3, 5].iter().fold(n, |n, p| {
            std::iter::successors(Some(n), |n| n.is_multiple_of(*p).then_some(n / p))
                .last()
                .unwrap_or(n)
        })
    };
    (n.next_multiple_of(2)..)
        .step_by(2)
        .find(|n| rest(*n) == 1)
        .unwrap_or(n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smooth_numbers() {
        let found: Vec<usize> = [1, 2, 7, 11, 14, 22, 1023, 1025].iter().map(|n| smooth(*n)).collect();
        assert_eq!(found, [2, 2, 8, 12, 16, 24, 1024, 1080]);
    }

    #[test]
    fn each_entry_belongs_to_its_cell() {
        for (modes, digits) in [(1, 2), (7, 6), (10, 5), (33, 12)] {
            let kernel = SpreadingKernel::new(10f64.powi(-digits));
            let axis = Axis::new(modes, kernel.taps, &kernel);
            for i in 0..axis.padded {
                assert!(axis.entries(axis.cell(i)).any(|entry| entry == i));
                let mut row = vec![0.0; axis.padded];
                row[i] = 1.0;
                axis.fold(&row, |cell, v| assert!(v == 0.0 || cell == axis.cell(i)));
            }
        }
    }

    #[test]
    fn points_stay_inside_whatever_their_phase() {
        for digits in [1, 2, 5, 6] {
            let kernel = SpreadingKernel::new(10f64.powi(-digits));
            let axis = Axis::new(12, kernel.taps, &kernel);
            for phase in [
                -1e9,
                -TAU,
                -1e-300,
                -1e-17,
                0.0,
                0.5 * TAU,
                TAU - 1e-15,
                TAU,
                1e300,
                f64::NAN,
            ] {
                let (start, t) = axis.start(axis.position(phase), 0.5 * kernel.width as f64);
                assert!(
                    start + axis.reach <= axis.padded && (t.is_nan() || (0.0..=1.0).contains(&t)),
                    "{phase}"
                );
            }
        }
    }
}
