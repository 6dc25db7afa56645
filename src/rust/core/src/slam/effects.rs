//! Random effects given everything else, in the basis of their point: independent over rows.

use super::link::elementary::{Loops, vectorised};
use super::model::FactorModel;
use super::normals::normals;
use super::rng::{Stream, normal};
use faer::Mat;

/// Q'Z u (of several effects, of their sum) of a residual with proportion h and variance sigma2: `prec = 1 / (sigma2 (1 - h)) + 1 / (sigma2 h s_i)`, zero where h or s_i is.
pub fn effect(model: &FactorModel, residual: &[f64], g: usize, sigma2: f64, rng: &mut Stream) -> Vec<f64> {
    let h = model.proportions.h[g];
    // numbers first: without them the loop becomes vector instructions
    let mut u: Vec<f64> = residual.iter().map(|_| normal(rng)).collect();
    for ((u, r), s) in u.iter_mut().zip(residual).zip(model.s_in(model.basis_of(g))) {
        let v = h * s + (1.0 - h);
        let (share, spread) = (h * s / v, (sigma2 * (1.0 - h) * h * s / v).sqrt());
        *u = share * r + spread * *u;
    }
    u
}

/// What [`effect`] multiplies by at each point of the grid of a single effect, for many traits: `h s / v` and the root of `(1 - h) h s / v`, n x points.
pub struct EffectTables {
    share: Mat<f64>,
    spread: Mat<f64>,
}

impl EffectTables {
    pub fn new(model: &FactorModel) -> Self {
        let part = |i: usize, g: usize| {
            let (h, s) = (model.proportions.h[g], model.data.s[i]);
            (1.0 - h, h * s / (h * s + (1.0 - h)))
        };
        let (n, points) = (model.n(), model.proportions.count());
        Self {
            share: Mat::from_fn(n, points, |i, g| part(i, g).1),
            spread: Mat::from_fn(n, points, |i, g| (part(i, g).0 * part(i, g).1).sqrt()),
        }
    }

    /// Adds an effect to what is fitted of `y` without it.
    pub fn add(&self, fitted: &mut [f64], y: &[f64], (g, sigma2): (usize, f64), rng: &mut Stream) {
        let mut numbers = vec![0.0; y.len()];
        normals(&mut numbers, rng);
        vectorised(AddedEffect {
            fitted,
            y,
            numbers: &numbers,
            share: self.share.col_as_slice(g),
            spread: self.spread.col_as_slice(g),
            sd: sigma2.sqrt(),
        });
    }
}

struct AddedEffect<'a> {
    fitted: &'a mut [f64],
    y: &'a [f64],
    numbers: &'a [f64],
    share: &'a [f64],
    spread: &'a [f64],
    sd: f64,
}

impl Loops for AddedEffect<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let each = self
            .fitted
            .iter_mut()
            .zip(self.y)
            .zip(self.numbers)
            .zip(self.share)
            .zip(self.spread);
        for ((((fitted, y), z), share), spread) in each {
            *fitted += share * (y - *fitted) + self.sd * spread * z;
        }
    }
}
