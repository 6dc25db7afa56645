//! `y_i ~ N(X_i eta_i, v I)`: series of points of each row, at times of its own, whose curve has the coefficients eta_i in a basis that all rows share.
//!
//! Points enter through `G_i = X_i'X_i` and the coefficients c_i of least squares alone: `|y_i - X_i eta|^2 = (eta - c_i)' G_i (eta - c_i)` and what c_i leaves, so that nothing cancels where noise is small.

use super::Pseudodata;
use super::joint::{JointLink, RowEvidence};
use crate::slam::gaussian::Gaussian;
use crate::slam::prior::Variance;
use crate::slam::rng::{Stream, inverse_gamma};
use faer::{Mat, MatRef, Scale};

/// Points of each row. The only parameter is the variance v of their noise.
pub struct Curves {
    /// X'X of each set of times that rows have, coefficients x coefficients.
    pub grams: Vec<Mat<f64>>,
    /// Which set a row has.
    pub times: Vec<usize>,
    /// Coefficients of least squares, rows x coefficients; of those that points do not tell, some.
    pub fitted: Mat<f64>,
    /// Coefficients to begin with, rows x coefficients.
    pub start: Mat<f64>,
    /// The sum of squares that they leave, of all rows.
    pub left: f64,
    /// Number of points of all rows.
    pub points: f64,
    /// Prior of the variance.
    pub noise: Variance,
}

impl Curves {
    fn gram(&self, row: usize) -> &Mat<f64> {
        &self.grams[self.times[row]]
    }

    /// `G_i (c_i - eta_i)` of a row.
    fn lack(&self, row: usize, eta: MatRef<'_, f64>, out: &mut [f64]) {
        let gram = self.gram(row);
        for (j, out) in out.iter_mut().enumerate() {
            let part = |o: usize| gram[(j, o)] * (self.fitted[(row, o)] - eta[(row, o)]);
            *out = (0..gram.nrows()).map(part).sum();
        }
    }
}

impl JointLink for Curves {
    fn traits(&self) -> usize {
        self.fitted.ncols()
    }

    fn start(&self, row: usize, at: usize) -> f64 {
        self.start[(row, at)]
    }

    fn start_parameters(&self) -> Vec<f64> {
        vec![self.noise.start()]
    }

    fn draw_parameters(&self, eta: MatRef<'_, f64>, parameters: &mut [f64], rng: &mut Stream) {
        let Variance::Drawn(prior) = self.noise else {
            return;
        };
        let (q, mut square) = (self.traits(), self.left);
        let mut lack = vec![0.0; q];
        for row in 0..eta.nrows() {
            self.lack(row, eta, &mut lack);
            square += (0..q)
                .map(|j| lack[j] * (self.fitted[(row, j)] - eta[(row, j)]))
                .sum::<f64>();
        }
        parameters[0] = inverse_gamma(
            prior.shape + 0.5 * self.points,
            prior.scale + 0.5 * square.max(0.0),
            rng,
        );
    }

    /// In units of what is expected, `eta = m + D z` with D the standard deviations: z has the precision `D G D / v + I`, one factor for all rows with the same times.
    fn draw(&self, mean: MatRef<'_, f64>, variance: &[f64], parameters: &[f64], rng: &mut Stream) -> Option<Mat<f64>> {
        let (q, v) = (self.traits(), parameters[0]);
        let sd: Vec<f64> = variance.iter().map(|x| x.sqrt()).collect();
        let mut eta = mean.to_owned();
        let (mut gaussian, mut lack, mut z) = (Gaussian::new(q), vec![0.0; q], vec![0.0; q]);
        let mut rows = vec![vec![]; self.grams.len()];
        (0..mean.nrows()).for_each(|row| rows[self.times[row]].push(row));
        for (gram, rows) in self.grams.iter().zip(rows) {
            let unit = |i: usize, j: usize| if i == j { 1.0 } else { 0.0 };
            gaussian.set(|i, j| sd[i] * gram[(i, j)] * sd[j] / v + unit(i, j), |_| 0.0);
            gaussian.factor().then_some(())?;
            for row in rows {
                self.lack(row, mean, &mut lack);
                gaussian.draw_for(|j| sd[j] * lack[j] / v, &mut z, rng);
                (0..q).for_each(|j| eta[(row, j)] += sd[j] * z[j]);
            }
        }
        Some(eta)
    }

    fn of_one(&self, eta: MatRef<'_, f64>, at: usize, parameters: &[f64]) -> Pseudodata {
        let v = parameters[0];
        let mut lack = vec![0.0; self.traits()];
        let one = |row: usize| {
            self.lack(row, eta, &mut lack);
            let w = self.gram(row)[(at, at)];
            // without a datum of this coefficient nothing is lacking
            let beyond = if w > 0.0 { lack[at] / w } else { 0.0 };
            (eta[(row, at)] + beyond, w / v)
        };
        let (y, w) = (0..eta.nrows()).map(one).unzip();
        Pseudodata { y, w }
    }

    fn of_rows(&self, eta: MatRef<'_, f64>, parameters: &[f64]) -> RowEvidence<'_> {
        let (q, v) = (self.traits(), parameters[0]);
        let mut lack: Mat<f64> = Mat::zeros(eta.nrows(), q);
        let mut own = vec![0.0; q];
        for row in 0..eta.nrows() {
            self.lack(row, eta, &mut own);
            (0..q).for_each(|j| lack[(row, j)] = own[j] / v);
        }
        RowEvidence {
            precisions: self.grams.iter().map(|gram| gram * Scale(v.recip())).collect(),
            which: &self.times,
            lack,
        }
    }

    fn draw_step(
        &self,
        x: MatRef<'_, f64>,
        (b, prior): (MatRef<'_, f64>, &[Option<f64>]),
        eta: MatRef<'_, f64>,
        parameters: &[f64],
        rng: &mut Stream,
    ) -> Option<Mat<f64>> {
        let (q, v) = (self.traits(), parameters[0]);
        // X'X of the rows of each set of times, and x_i times what is lacking
        let mut of_rows = vec![Mat::<f64>::zeros(x.ncols(), x.ncols()); self.grams.len()];
        let mut right = Mat::<f64>::zeros(x.ncols(), q);
        let mut lack = vec![0.0; q];
        for row in 0..x.nrows() {
            self.lack(row, eta, &mut lack);
            let sum = &mut of_rows[self.times[row]];
            for l in 0..x.ncols() {
                (0..x.ncols()).for_each(|m| sum[(l, m)] += x[(row, l)] * x[(row, m)]);
                (0..q).for_each(|j| right[(l, j)] += x[(row, l)] * lack[j]);
            }
        }
        let precision = |l: usize| prior[l].map_or(0.0, f64::recip);
        let entry = |at: usize, other: usize| {
            let ((l, j), (m, o)) = ((at / q, at % q), (other / q, other % q));
            let sum: f64 = (self.grams.iter().zip(&of_rows))
                .map(|(gram, rows)| rows[(l, m)] * gram[(j, o)])
                .sum();
            sum / v + if at == other { precision(l) } else { 0.0 }
        };
        let mut gaussian = Gaussian::new(x.ncols() * q);
        gaussian.set(entry, |at| {
            right[(at / q, at % q)] / v - b[(at / q, at % q)] * precision(at / q)
        });
        let mut step = vec![0.0; x.ncols() * q];
        let drawn = gaussian.draw(1.0, |_| true, &mut step, rng);
        drawn.then(|| Mat::from_fn(x.ncols(), q, |l, j| step[l * q + j]))
    }
}
