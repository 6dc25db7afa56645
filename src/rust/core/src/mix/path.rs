//! The optima of the nuisance variances along a profile: where the next one is to be expected.

/// The optimum at one abscissa, and how it moves with that where it is known.
#[derive(Clone)]
pub struct NuisanceOptimum {
    pub at: f64,
    pub theta: Vec<f64>,
    pub tangent: Option<Vec<f64>>,
}

/// The last two optima on one side of the estimate.
#[derive(Default)]
pub struct Path(Vec<NuisanceOptimum>);

/// A variance is expected within this factor of where it was last.
const FACTOR: f64 = 3.0;

impl Path {
    /// The path begins anew.
    pub fn from(optimum: NuisanceOptimum) -> Self {
        Self(vec![optimum])
    }

    pub fn push(&mut self, optimum: NuisanceOptimum) {
        self.0.push(optimum);
        let more = self.0.len().saturating_sub(2);
        self.0.drain(..more);
    }

    /// Where the optimum is expected; none while there is no place.
    pub fn at(&self, at: f64) -> Option<Vec<f64>> {
        let last = self.0.last()?;
        let before = self.0.iter().rev().nth(1).filter(|before| before.at != last.at);
        Some((0..last.theta.len()).map(|k| expected(before, last, k, at)).collect())
    }
}

/// Component k, by its logarithm where it is positive: Hermite's cubic through two optima with their slopes, the line through them, or the slope alone.
fn expected(before: Option<&NuisanceOptimum>, last: &NuisanceOptimum, k: usize, at: f64) -> f64 {
    let now = last.theta[k];
    if now <= 0.0 {
        return 0.0;
    }
    let slope = |optimum: &NuisanceOptimum| Some(optimum.tangent.as_ref()?[k] / optimum.theta[k]);
    let before = before.filter(|before| before.theta[k] > 0.0);
    let change = match (before.map(|before| (before, slope(before))), slope(last)) {
        (Some((before, Some(from))), Some(to)) => hermite(before, last, (from, to), k, at),
        (None | Some((_, None)), Some(to)) => to * (at - last.at),
        (Some((before, _)), None) => (now / before.theta[k]).ln() * (at - last.at) / (last.at - before.at),
        (None, None) => 0.0,
    };
    now * change.clamp(-FACTOR.ln(), FACTOR.ln()).exp()
}

/// The change from the last place on.
fn hermite(before: &NuisanceOptimum, last: &NuisanceOptimum, (from, to): (f64, f64), k: usize, at: f64) -> f64 {
    let width = last.at - before.at;
    let t = (at - last.at) / width;
    let rise = (last.theta[k] / before.theta[k]).ln();
    let (from, to) = (from * width, to * width);
    // 0 at t = 0 with slope `to`, -rise at t = -1 with slope `from`
    t * (to + t * ((2.0 * to + from - 3.0 * rise) + t * (to + from - 2.0 * rise)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn optimum(value: f64, curve: impl Fn(f64) -> f64) -> NuisanceOptimum {
        let (theta, step) = (curve(value), 1e-6);
        NuisanceOptimum {
            at: value,
            theta: vec![theta, 0.0],
            tangent: Some(vec![(curve(value + step) - curve(value - step)) / (2.0 * step), 0.0]),
        }
    }

    #[test]
    fn a_cubic_logarithm_is_followed_exactly_and_zero_stays() {
        let curve = |v: f64| (0.1 + 0.3 * v - 0.2 * v * v + 0.05 * v * v * v).exp();
        let mut path = Path::from(optimum(0.5, curve));
        path.push(optimum(1.25, curve));
        for value in [0.7, 1.0, 2.0] {
            let found = path.at(value).expect("an optimum");
            assert!((found[0] / curve(value) - 1.0).abs() < 1e-8, "{value}: {}", found[0]);
            assert_eq!(found[1], 0.0);
        }
    }

    #[test]
    fn one_optimum_is_followed_along_its_slope_and_none_says_nothing() {
        assert!(Path::default().at(1.0).is_none());
        let found = Path::from(optimum(1.0, |v: f64| (2.0 * v).exp()))
            .at(1.1)
            .expect("an optimum");
        assert!((found[0] / 2.2f64.exp() - 1.0).abs() < 1e-8);
    }
}
