//! What one point does to the fine grid: w taps an axis, P lanes of the fastest one. Compiled once for each width and instruction set.

use super::grid::Axis;
use super::plan::Plan;
use pulp::{Simd, WithSimd};

/// Points are taken this many at a time, so that their reads from memory overlap.
const BATCH: usize = 32;

/// Slices of padded grids that hold the entries from `base` on.
pub struct Spread<'a> {
    pub plan: &'a Plan,
    pub coordinates: &'a [&'a [f64]],
    pub order: &'a [u32],
    pub strengths: &'a [&'a [f64]],
    pub grids: Vec<&'a mut [f64]>,
    pub base: usize,
}

/// Values of whole padded grids at points: one row of `values` a grid.
pub struct Interpolate<'a> {
    pub plan: &'a Plan,
    pub coordinates: &'a [&'a [f64]],
    pub order: &'a [u32],
    pub grids: &'a [Vec<f64>],
    pub values: Vec<Vec<f64>>,
}

impl WithSimd for Spread<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, _: S) {
        match (self.plan.kernel.taps, fused::<S>()) {
            (4, true) => self.run::<4, true>(),
            (8, true) => self.run::<8, true>(),
            (12, true) => self.run::<12, true>(),
            (_, true) => self.run::<16, true>(),
            (4, false) => self.run::<4, false>(),
            (8, false) => self.run::<8, false>(),
            (12, false) => self.run::<12, false>(),
            (_, false) => self.run::<16, false>(),
        }
    }
}

impl WithSimd for Interpolate<'_> {
    type Output = Vec<Vec<f64>>;

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, _: S) -> Self::Output {
        match (self.plan.kernel.taps, fused::<S>()) {
            (4, true) => self.run::<4, true>(),
            (8, true) => self.run::<8, true>(),
            (12, true) => self.run::<12, true>(),
            (_, true) => self.run::<16, true>(),
            (4, false) => self.run::<4, false>(),
            (8, false) => self.run::<8, false>(),
            (12, false) => self.run::<12, false>(),
            (_, false) => self.run::<16, false>(),
        }
        self.values
    }
}

/// A fused multiplication is slow where the processor has none.
const fn fused<S: Simd>() -> bool {
    !S::IS_SCALAR && cfg!(any(target_arch = "x86_64", target_arch = "aarch64"))
}

/// a x + y, in registers: values in and out tell the compiler that nothing overlaps.
#[inline(always)]
fn axpy<const P: usize, const FUSED: bool>(a: f64, x: &[f64; P], mut y: [f64; P]) -> [f64; P] {
    for j in 0..P {
        y[j] = if FUSED { a.mul_add(x[j], y[j]) } else { a * x[j] + y[j] };
    }
    y
}

impl Spread<'_> {
    #[inline(always)]
    fn run<const P: usize, const FUSED: bool>(&mut self) {
        let stencil = Stencil::<P, FUSED>::new(self.plan);
        for order in self.order.chunks(BATCH) {
            let batch = stencil.batch(self.coordinates, order);
            for (grid, strengths) in self.grids.iter_mut().zip(self.strengths) {
                let mut strength = [0.0; BATCH];
                strength
                    .iter_mut()
                    .zip(order)
                    .for_each(|(s, i)| *s = strengths[*i as usize]);
                for (touch, strength) in batch[..order.len()].iter().zip(strength) {
                    let taps = touch.taps[0];
                    stencil.rows(touch, |entry, weight| {
                        let row = &mut grid[entry - self.base..].as_chunks_mut().0[0];
                        *row = axpy::<P, FUSED>(strength * weight, &taps, *row);
                    });
                }
            }
        }
    }
}

impl Interpolate<'_> {
    #[inline(always)]
    fn run<const P: usize, const FUSED: bool>(&mut self) {
        let stencil = Stencil::<P, FUSED>::new(self.plan);
        for order in self.order.chunks(BATCH) {
            let batch = stencil.batch(self.coordinates, order);
            for (grid, values) in self.grids.iter().zip(&mut self.values) {
                for touch in &batch[..order.len()] {
                    let mut sum = [0.0; P];
                    stencil.rows(touch, |entry, weight| {
                        sum = axpy::<P, FUSED>(weight, &grid[entry..].as_chunks().0[0], sum);
                    });
                    values.push(sum.iter().zip(&touch.taps[0]).map(|(s, t)| s * t).sum());
                }
            }
        }
    }
}

/// First entry and weights of the taps of one point.
#[derive(Clone, Copy)]
struct Touch<const P: usize> {
    entry: usize,
    taps: [[f64; P]; 3],
}

struct Stencil<'a, const P: usize, const FUSED: bool> {
    axes: &'a [Axis],
    polynomials: &'a [[f64; P]],
    half: f64,
    strides: [usize; 3],
    rows: usize,
    planes: usize,
}

impl<'a, const P: usize, const FUSED: bool> Stencil<'a, P, FUSED> {
    #[inline(always)]
    fn new(plan: &'a Plan) -> Self {
        Self {
            axes: &plan.axes[..plan.dimension()],
            polynomials: plan.kernel.polynomials.as_chunks().0,
            half: 0.5 * plan.kernel.width as f64,
            strides: plan.strides(),
            rows: plan.axes[1].reach,
            planes: plan.axes[2].reach,
        }
    }

    #[inline(always)]
    fn batch(&self, coordinates: &[&[f64]], order: &[u32]) -> [Touch<P>; BATCH] {
        let mut one = [0.0; P];
        one[0] = 1.0;
        let mut batch = [Touch {
            entry: 0,
            taps: [one; 3],
        }; BATCH];
        for ((a, axis), x) in self.axes.iter().enumerate().zip(coordinates) {
            let mut position = [0.0; BATCH];
            position
                .iter_mut()
                .zip(order)
                .for_each(|(p, i)| *p = axis.position(x[*i as usize]));
            for (touch, position) in batch[..order.len()].iter_mut().zip(position) {
                let (start, t) = axis.start(position, self.half);
                touch.entry += start * self.strides[a];
                touch.taps[a] = self.taps(2.0 * t - 1.0);
            }
        }
        batch
    }

    #[inline(always)]
    fn taps(&self, u: f64) -> [f64; P] {
        let horner = |taps, coefficients: &[f64; P]| axpy::<P, FUSED>(u, &taps, *coefficients);
        self.polynomials.iter().fold([0.0; P], horner)
    }

    /// First entry and weight of each row of the fastest axis.
    #[inline(always)]
    fn rows(&self, touch: &Touch<P>, mut row: impl FnMut(usize, f64)) {
        for (z, across) in touch.taps[2][..self.planes].iter().enumerate() {
            for (y, along) in touch.taps[1][..self.rows].iter().enumerate() {
                row(touch.entry + y * self.strides[1] + z * self.strides[2], across * along);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pulp::{Arch, Scalar};

    fn spread(plan: &Plan, x: &[&[f64]], order: &[u32], scalar: bool) -> Vec<f64> {
        let mut grid = vec![0.0; plan.strides()[2] * plan.axes[2].padded];
        let task = Spread {
            plan,
            coordinates: x,
            order,
            strengths: &[x[0]],
            grids: vec![&mut grid],
            base: 0,
        };
        if scalar {
            Scalar.vectorize(task)
        } else {
            Arch::new().dispatch(task)
        }
        grid
    }

    fn values(plan: &Plan, x: &[&[f64]], order: &[u32], grids: &[Vec<f64>], scalar: bool) -> Vec<f64> {
        let task = Interpolate {
            plan,
            coordinates: x,
            order,
            grids,
            values: vec![vec![]],
        };
        if scalar {
            Scalar.vectorize(task).concat()
        } else {
            Arch::new().dispatch(task).concat()
        }
    }

    #[test]
    fn processors_without_vectors_give_the_same() {
        let x: Vec<f64> = (0..50).map(|i| 0.37 * i as f64).collect();
        let order: Vec<u32> = (0..50).rev().collect();
        let close = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-13 * (1.0 + b.abs()));
        for digits in [2, 6, 9, 14] {
            for modes in [&[9][..], &[7, 8], &[3, 4, 5]] {
                let plan = Plan::new(modes, 10f64.powi(-digits)).unwrap();
                let x = vec![x.as_slice(); modes.len()];
                let grid = spread(&plan, &x, &order, true);
                assert!(grid.iter().any(|v| *v != 0.0) && close(&grid, &spread(&plan, &x, &order, false)));
                let grids = [grid];
                let found = values(&plan, &x, &order, &grids, true);
                assert!(found.len() == 50 && close(&found, &values(&plan, &x, &order, &grids, false)));
            }
        }
    }
}
