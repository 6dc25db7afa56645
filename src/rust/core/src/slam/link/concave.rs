//! Values behind links whose log likelihood is `y eta - n A(eta + shift)`, all rows of a trait at once.
//!
//! A is `e^z` or `log(1 + e^z)`, of both of which `|A'''| <= A''`: x away from a point the curvature is at least `e^-|x|` times that at the point. With `I = n A''` there,
//! `n (A(z + x) - A(z) - A'(z) x) >= I B(|x|)`, `B(x) = e^-x - 1 + x`. So the density of eta, whose prior has precision w, lies about its mode below one that is normal with precision
//! `w + I 2 B(c) / c^2` up to c and exponential beyond, of which more than two thirds is accepted. The point need not be quite the mode: what is left of the slope there counts.

// one index of many slices: loops over zips of ten are no easier to read
#![allow(clippy::needless_range_loop)]

use super::cumulant::Cumulant;
use super::elementary::{Loops, exp, exp_remainders, vectorised};
use super::{EtaSlopes, Expected, ExpectedRows, mode};
use crate::linalg::sum_of;
use crate::slam::normals::{normals, uniforms};
use crate::slam::rng::{Stream, exponential};
use std::marker::PhantomData;

/// Data of the rows; where nothing was observed y and n are 0.
pub struct ConcaveCells {
    pub y: Vec<f64>,
    pub n: Vec<f64>,
    pub shift: Vec<f64>,
}

impl ConcaveCells {
    /// `sum_i y_i e_i - n_i A(e_i + shift_i)` at `e = eta + d x`.
    pub fn log_kernel<A: Cumulant>(&self, eta: &[f64], x: &[f64], d: f64) -> f64 {
        let terms = self.log_kernels::<A>(eta, x, d);
        sum_of(terms.len(), |i| terms[i])
    }

    /// The terms of that sum.
    pub fn log_kernels<A: Cumulant>(&self, eta: &[f64], x: &[f64], d: f64) -> Vec<f64> {
        vectorised(KernelTerms {
            cells: self,
            eta,
            x,
            d,
            cumulant: PhantomData::<A>,
        })
    }

    /// Draws eta of the only row.
    pub fn draw_one<A: Cumulant>(&self, expected: Expected, rng: &mut Stream) -> f64 {
        let mut eta = [0.0];
        let Expected { mean, variance } = expected;
        let means = &[mean];
        self.draw::<A>(&mut eta, ExpectedRows { means, variance }, rng);
        eta[0]
    }

    /// Draws eta of every row.
    pub fn draw<A: Cumulant>(&self, eta: &mut [f64], expected: ExpectedRows<'_>, rng: &mut Stream) {
        let (means, precision, cumulant) = (expected.means, expected.variance.recip(), PhantomData::<A>);
        let mut open = Envelopes::new(&self.n);
        for step in 0..=STEPS {
            vectorised(Modes {
                open: &mut open,
                cells: self,
                means,
                precision,
                cumulant,
                is_first: step == 0,
            });
            // one step is enough for most
            if step > 0 && RARE * open.far(precision).count() <= self.n.len() {
                break;
            }
        }
        open.mend::<A>(self, means, precision);
        vectorised(Widths {
            open: &mut open,
            precision,
        });
        while !open.row.is_empty() {
            open.propose(rng);
            let rejected = vectorised(Judgement {
                open: &open,
                precision,
                cumulant,
            });
            for (i, row) in open.row.iter().enumerate() {
                // of those that are rejected it is drawn again
                eta[*row] = open.at[i] + open.x[i];
            }
            open.keep(&rejected);
        }
    }
}

/// A row's part of the log likelihood along a line.
struct KernelTerms<'a, A> {
    cells: &'a ConcaveCells,
    eta: &'a [f64],
    x: &'a [f64],
    d: f64,
    cumulant: PhantomData<A>,
}

impl<A: Cumulant> Loops for KernelTerms<'_, A> {
    type Output = Vec<f64>;

    #[inline(always)]
    fn run(self) -> Vec<f64> {
        let Self { cells, d, .. } = self;
        let rows = cells.y.len();
        let (y, n, shift) = (&cells.y[..rows], &cells.n[..rows], &cells.shift[..rows]);
        let (eta, x) = (&self.eta[..rows], &self.x[..rows]);
        let mut terms = vec![0.0; rows];
        for i in 0..rows {
            let e = eta[i] + d * x[i];
            terms[i] = y[i] * e - n[i] * A::value(e + shift[i]);
        }
        terms
    }
}

/// Points near the modes: where data and prior have their say, or one of Newton's steps from where they are.
struct Modes<'a, A> {
    open: &'a mut Envelopes,
    cells: &'a ConcaveCells,
    means: &'a [f64],
    precision: f64,
    cumulant: PhantomData<A>,
    is_first: bool,
}

/// The envelopes' measures.
struct Widths<'a> {
    open: &'a mut Envelopes,
    precision: f64,
}

/// Which proposals are rejected.
struct Judgement<'a, A> {
    open: &'a Envelopes,
    precision: f64,
    cumulant: PhantomData<A>,
}

/// For rows whose eta is to be drawn: the point, what the density is about it, and a proposal x away from it.
#[derive(Default)]
struct Envelopes {
    row: Vec<usize>,
    n: Vec<f64>,
    at: Vec<f64>,
    z: Vec<f64>,
    helper: Vec<f64>,
    /// I
    curve: Vec<f64>,
    /// What is left of the slope.
    slope: Vec<f64>,
    /// c
    end: Vec<f64>,
    /// Standard deviation up to there.
    sd: Vec<f64>,
    /// Rate of the exponentials beyond, and how far they begin below the top.
    rate: Vec<f64>,
    fall: Vec<f64>,
    /// Part of the envelope that is normal.
    share: Vec<f64>,
    x: Vec<f64>,
    /// Log of the envelope at x, and a uniform number.
    bound: Vec<f64>,
    uniform: Vec<f64>,
}

/// Newton's steps that all rows make at most, as long as more than one row in so many is far from its mode.
const STEPS: usize = 3;
const RARE: usize = 32;

/// A slope that costs no more than a tenth of the proposals, in standard deviations.
const SMALL: f64 = 0.1 / END;

/// The envelope's c, in standard deviations.
const END: f64 = 3.0;

impl<A: Cumulant> Loops for Modes<'_, A> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self {
            open,
            cells,
            means,
            precision,
            is_first,
            ..
        } = self;
        let rows = cells.y.len();
        let (y, n, shift, means) = (&cells.y[..rows], &cells.n[..rows], &cells.shift[..rows], &means[..rows]);
        let (at, z, helper) = (&mut open.at[..rows], &mut open.z[..rows], &mut open.helper[..rows]);
        let (curve, slope) = (&mut open.curve[..rows], &mut open.slope[..rows]);
        if is_first {
            for i in 0..rows {
                let (centre, weight) = A::start(y[i], n[i]);
                at[i] = (precision * means[i] + weight * (centre - shift[i])) / (precision + weight);
            }
        } else {
            for i in 0..rows {
                at[i] += slope[i] / (curve[i] + precision);
            }
        }
        for i in 0..rows {
            z[i] = at[i] + shift[i];
            let (of, with) = A::slopes(z[i]);
            helper[i] = with;
            curve[i] = n[i] * of.second;
            slope[i] = y[i] - n[i] * of.first - (at[i] - means[i]) * precision;
        }
    }
}

impl Envelopes {
    /// Of rows with these n.
    fn new(n: &[f64]) -> Self {
        let none = || vec![0.0; n.len()];
        Self {
            row: (0..n.len()).collect(),
            n: n.to_vec(),
            at: none(),
            z: none(),
            helper: none(),
            curve: none(),
            slope: none(),
            end: none(),
            sd: none(),
            rate: none(),
            fall: none(),
            share: none(),
            x: none(),
            bound: none(),
            uniform: none(),
        }
    }

    /// Rows whose points are far from their modes, or no numbers.
    fn far(&self, precision: f64) -> impl Iterator<Item = usize> {
        let of = self.slope.iter().zip(&self.curve);
        let is_small = move |(slope, curve): (&f64, &f64)| slope * slope <= SMALL * SMALL * (curve + precision);
        of.enumerate().filter(move |(_, of)| !is_small(*of)).map(|(i, _)| i)
    }

    /// Where the steps did not come near the mode it is looked for one by one.
    fn mend<A: Cumulant>(&mut self, cells: &ConcaveCells, means: &[f64], precision: f64) {
        let far: Vec<usize> = self.far(precision).collect();
        for i in far {
            let (y, n, shift, mean) = (cells.y[i], cells.n[i], cells.shift[i], means[i]);
            let slopes = |eta: f64| {
                let (of, _) = A::slopes(eta + shift);
                EtaSlopes {
                    first: y - n * of.first - (eta - mean) * precision,
                    second: -n * of.second - precision,
                }
            };
            let start = if self.at[i].is_finite() { self.at[i] } else { mean };
            self.at[i] = mode(start, &slopes);
            self.z[i] = self.at[i] + shift;
            let (of, helper) = A::slopes(self.z[i]);
            (self.helper[i], self.curve[i]) = (helper, n * of.second);
            self.slope[i] = slopes(self.at[i]).first;
        }
    }

    fn propose(&mut self, rng: &mut Stream) {
        let rows = self.row.len();
        let (end, sd, share) = (&self.end[..rows], &self.sd[..rows], &self.share[..rows]);
        let (x, bound, own) = (&mut self.x[..rows], &mut self.bound[..rows], &mut self.uniform[..rows]);
        normals(x, rng);
        uniforms(own, rng);
        for i in 0..rows {
            let u = own[i];
            // u is uniform within the part that it is in, too
            if u > share[i] {
                let step = exponential(rng);
                let within = 2.0 * (u - share[i]) / (1.0 - share[i]);
                let far = end[i] + step / self.rate[i];
                (x[i], own[i]) = if within > 1.0 {
                    (far, within - 1.0)
                } else {
                    (-far, within)
                };
                bound[i] = -self.fall[i] - step;
            } else {
                let z = x[i];
                (x[i], own[i]) = (sd[i] * z, u / share[i]);
                bound[i] = if x[i].abs() > end[i] {
                    f64::INFINITY
                } else {
                    -0.5 * z * z
                };
            }
        }
    }

    fn keep(&mut self, rejected: &[f64]) {
        let those: Vec<usize> = (0..rejected.len()).filter(|&i| rejected[i] > 0.0).collect();
        let all = [
            &mut self.n,
            &mut self.at,
            &mut self.z,
            &mut self.helper,
            &mut self.slope,
            &mut self.end,
            &mut self.sd,
            &mut self.rate,
            &mut self.fall,
            &mut self.share,
        ];
        for values in all {
            (those.iter().enumerate()).for_each(|(to, &from)| values[to] = values[from]);
        }
        (those.iter().enumerate()).for_each(|(to, &from)| self.row[to] = self.row[from]);
        self.row.truncate(those.len());
    }
}

impl Loops for Widths<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let (of, precision) = (self.open, self.precision);
        const ROOT_2_PI: f64 = 2.506_628_274_631_000_7;
        let rows = of.row.len();
        let (curve, slope) = (&of.curve[..rows], &of.slope[..rows]);
        let (end, sd, share) = (&mut of.end[..rows], &mut of.sd[..rows], &mut of.share[..rows]);
        let (rate, fall) = (&mut of.rate[..rows], &mut of.fall[..rows]);
        for i in 0..rows {
            let sum = curve[i] + precision;
            let inverse = 1.0 / sum;
            let c = END * inverse * sum.sqrt();
            let (first, second) = exp_remainders(-c);
            let whole = precision + curve[i] * (2.0 / (END * END)) * second * sum;
            end[i] = c;
            sd[i] = 1.0 / whole.sqrt();
            rate[i] = c * precision - curve[i] * first - slope[i].abs();
            fall[i] = (0.5 * END * END) * whole * inverse;
            let inside = ROOT_2_PI * sd[i] * rate[i];
            share[i] = inside / (inside + 2.0 * exp(-fall[i]));
        }
    }
}

impl<A: Cumulant> Loops for Judgement<'_, A> {
    type Output = Vec<f64>;

    /// What is not a number is not rejected, and shows itself.
    #[inline(always)]
    fn run(self) -> Vec<f64> {
        let (of, precision) = (self.open, self.precision);
        let rows = of.row.len();
        let (n, z, helper) = (&of.n[..rows], &of.z[..rows], &of.helper[..rows]);
        let (slope, end) = (&of.slope[..rows], &of.end[..rows]);
        let (x, bound, own) = (&of.x[..rows], &of.bound[..rows], &of.uniform[..rows]);
        let mut rejected = vec![0.0; rows];
        for i in 0..rows {
            let of_data = n[i] * A::remainder(z[i], helper[i], x[i]);
            let log = slope[i] * x[i] - slope[i].abs() * end[i] - of_data - 0.5 * precision * x[i] * x[i];
            rejected[i] = if own[i] > exp(log - bound[i]) { 1.0 } else { 0.0 };
        }
        rejected
    }
}
