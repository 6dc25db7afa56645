//! What the fits of many responses by the kernel matrix check of themselves, as a single fit does: residuals against `delta alpha / w`, and where rounding may have changed it, the
//! likelihood by another factorisation.

use super::exact::Exact;
use super::many_rows::OfRows;
use super::many_search::Best;
use super::solution::{RESIDUALS, beyond_a_double, unlike};
use crate::likelihood::optimize::Location;
use crate::linalg::product;
use crate::lmm::fit::Fit;
use crate::runtime::error::Result;
use crate::runtime::monitor::Monitor;
use crate::runtime::parallel::Workers;
use faer::{Mat, MatRef, Par};
use rayon::prelude::*;

impl OfRows<'_> {
    /// A fit that does not agree with itself becomes an error of its response.
    pub(super) fn check(
        &self,
        best: &mut Best,
        y: MatRef<'_, f64>,
        workers: &Workers,
        monitor: &mut dyn Monitor,
    ) -> Result<()> {
        let inside = |fit: &Fit| {
            let location = fit.optimum.as_ref().map(|o| o.best.location);
            location == Some(Location::Interior) && !fit.alpha.is_empty() && !beyond_a_double(fit)
        };
        let mut told: Vec<usize> = (0..y.ncols())
            .filter(|&j| best.fits[j].as_ref().is_ok_and(inside))
            .collect();
        told.sort_by(|&a, &b| best.fitted[a].length.total_cmp(&best.fitted[b].length));
        for some in told.chunk_by(|&a, &b| best.fitted[a].length == best.fitted[b].length) {
            monitor.check()?;
            let length = best.fitted[some[0]].length;
            let checked = workers.run(|par| self.checked(length, some, &best.fits, y, par))?;
            for (&j, checked) in some.iter().zip(checked) {
                match checked {
                    Err(error) if error.concerns_all() => return Err(error),
                    Err(error) => best.fits[j] = Err(error),
                    Ok(()) => {}
                }
            }
        }
        Ok(())
    }

    /// Responses that are best at one length scale.
    fn checked(
        &self,
        length: f64,
        some: &[usize],
        fits: &[Result<Fit>],
        y: MatRef<'_, f64>,
        par: Par,
    ) -> Result<Vec<Result<()>>> {
        let found: Vec<&Fit> = some.iter().filter_map(|&j| fits[j].as_ref().ok()).collect();
        let kernel = self.kernel(length)?;
        let alpha = Mat::from_fn(kernel.nrows(), found.len(), |i, k| found[k].alpha[i]);
        let surface = product(kernel.as_ref(), alpha.as_ref(), par);
        let one = |k: usize| self.agrees(length, found[k], y.col(some[k]), surface.col_as_slice(k));
        Ok((0..found.len()).into_par_iter().map(one).collect())
    }

    fn agrees(&self, length: f64, fit: &Fit, y: faer::ColRef<'_, f64>, surface: &[f64]) -> Result<()> {
        let rows: Vec<usize> = (0..y.nrows()).filter(|&i| !y[i].is_nan()).collect();
        let of = |x: &[f64]| -> Vec<f64> { rows.iter().map(|&i| x[i]).collect() };
        let coordinates: Vec<Vec<f64>> = self.data.coordinates.iter().map(|x| of(x)).collect();
        let known: Vec<f64> = rows.iter().map(|&i| y[i]).collect();
        let x = Mat::from_fn(rows.len(), self.x.ncols(), |i, j| self.x[(rows[i], j)]);
        let (weights, request) = (of(self.weights), self.settings.request);
        let places = coordinates.iter().map(Vec::as_slice).collect();
        let exact = Exact::new(request.family, places, &known, x.as_ref(), &weights)?;
        if exact.missed_by(fit, &of(&fit.alpha), &of(surface)) > RESIDUALS {
            return Err(unlike());
        }
        exact.confirm(request.method, &self.lengths(length), fit, Par::Seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gp::bounds::Bounds;
    use crate::gp::many_search::ManySettings;
    use crate::gp::observations::Observations;
    use crate::gp::settings::Settings;
    use crate::kernel::stationary::Family;
    use crate::likelihood::Method;
    use crate::lmm::many::fit_many;

    /// A coefficient that is not that of the residuals is an error of its response and of no other.
    #[test]
    fn fits_whose_coefficients_do_not_belong_to_their_residuals_are_errors() {
        let n = 30;
        let at: Vec<f64> = (0..n).map(|i| (0.618_033_988_7 * i as f64).fract()).collect();
        let noise = |i: usize, j: usize| (0.754_877_666_2 * (i * i + 7 * j + 3) as f64).fract() - 0.5;
        let y = Mat::from_fn(n, 2, |i, j| (6.0 * at[i] + j as f64).sin() + noise(i, j));
        let x = Mat::from_fn(n, 1, |_, _| 1.0);
        let (ones, rows) = (vec![1.0; n], (0..n).collect::<Vec<usize>>());
        let data = Observations {
            coordinates: vec![&at],
            x: vec![&ones],
            y: vec![],
            weights: &ones,
            group: &[],
            groups: 0,
        };
        let request = Settings {
            family: Family::Matern52,
            method: Method::Reml,
            lengths: None,
            ard: false,
            shortest: None,
            longest: None,
            tol: 0.01,
            strict: false,
            largest: 4000,
        };
        let bounds = Bounds {
            low: vec![0.0],
            high: vec![1.0],
        };
        let of_rows = OfRows {
            data: &data,
            x: x.as_ref(),
            weights: &ones,
            ones: &ones,
            rows: &rows,
            settings: ManySettings {
                request: &request,
                bounds: &bounds,
                shared: false,
                effects: true,
                threads: 1,
            },
        };
        let kernel = of_rows.kernel(0.3).unwrap();
        let found = fit_many(y.as_ref(), &of_rows.model(&kernel), of_rows.settings.of_many(), &mut ()).unwrap();
        let mut best = Best::new(2, false);
        best.fits = found.fits;
        best.fitted.iter_mut().for_each(|fitted| fitted.length = 0.3);
        let workers = Workers::new(1).unwrap();
        of_rows.check(&mut best, y.as_ref(), &workers, &mut ()).unwrap();
        assert!(best.fits.iter().all(Result::is_ok));
        best.fits[1].as_mut().unwrap().alpha[3] += 1.0;
        of_rows.check(&mut best, y.as_ref(), &workers, &mut ()).unwrap();
        assert!(best.fits[0].is_ok());
        assert_eq!(best.fits[1].as_ref().err().map(|e| e.class()), Some("no_convergence"));
    }
}
