//! Data whose columns are not traits: columns that measure one trait, and curves that several traits are coefficients of. The joint test with one random effect and two, planted bugs, stored states.

use crate::slam::{GAMMA, Kind, LIMIT, World, geweke, invariance};
use faer::Mat;
use faer::linalg::solvers::DenseSolveCore;
use fastlmm_core::slam::link::{Curves, Joint, Probes};
use fastlmm_core::slam::rng::{Source, Stream, normal};
use fastlmm_core::slam::{Chain, InverseGamma, State};
use std::sync::Arc;

const NOISE: InverseGamma = InverseGamma { shape: 4.0, scale: 2.0 };

/// Variance of the means of columns.
pub const SPREAD: f64 = 1.5;

/// Three columns, cells of which are missing, all of the fourth row.
pub fn probes(n: usize, mut datum: impl FnMut(usize, usize) -> f64) -> Probes {
    let gone = |l: usize, i: usize| i == 3 || (l + i) % 4 == 1;
    Probes {
        y: Mat::from_fn(3, n, |l, i| if gone(l, i) { f64::NAN } else { datum(l, i) }),
        noise: vec![NOISE.into(); 3],
        spread: SPREAD,
    }
}

/// Curves with two coefficients, traits that follow each other, and none, one, two or five points a row.
#[derive(Debug, Clone)]
pub struct Points {
    pub first: usize,
}

impl Points {
    fn design(row: usize) -> Mat<f64> {
        let points = [5, 0, 1, 2][row % 4];
        Mat::from_fn(points, 2, |t, j| if j == 0 { 1.0 } else { 0.5 * t as f64 - 0.7 })
    }

    /// Points of coefficients.
    pub fn observe(&self, whole: &Mat<f64>, v: f64, rng: &mut Stream) -> Joint {
        let n = whole.nrows();
        let (mut fitted, mut left, mut points) = (Mat::<f64>::zeros(n, 2), 0.0, 0.0);
        for i in 0..n {
            let x = Self::design(i);
            let y = &x * whole.submatrix(i, self.first, 1, 2).transpose();
            let y = Mat::from_fn(x.nrows(), 1, |t, _| y[(t, 0)] + v.sqrt() * normal(rng));
            let c = match x.nrows() {
                0 => continue,
                1 => x.transpose() * &y * faer::Scale(1.0 / x.squared_norm_l2()),
                _ => (x.transpose() * &x).partial_piv_lu().inverse() * x.transpose() * &y,
            };
            left += (&y - &x * &c).squared_norm_l2();
            points += x.nrows() as f64;
            (0..2).for_each(|j| fitted[(i, j)] = c[(j, 0)]);
        }
        let link = Curves {
            grams: (0..4)
                .map(|row| Self::design(row).transpose() * Self::design(row))
                .collect(),
            times: (0..n).map(|i| i % 4).collect(),
            start: fitted.clone(),
            fitted,
            left,
            points,
            noise: NOISE.into(),
        };
        Joint {
            first: self.first,
            link: Arc::new(link),
        }
    }
}

impl World {
    /// Two traits are the coefficients of curves.
    pub fn curved(mut self, first: usize) -> Self {
        let n = self.model.n();
        let points = Points { first };
        let rng = &mut Source { seed: 3, chain: 3 }.stream(0, fastlmm_core::slam::rng::Block::Start, 5);
        self.model.joint = vec![points.observe(&Mat::zeros(n, first + 2), 1.0, rng)];
        (first..first + 2).for_each(|j| self.model.data.missing[j] = (0..n).collect());
        self.curves = Some(points);
        self
    }
}

/// Columns alone, curves alone beside a trait without a link, and both, in both orders.
fn worlds(several: bool) -> Vec<(&'static str, World)> {
    let world = || {
        if several {
            World::several(9, 3, 2, GAMMA, false)
        } else {
            World::new(8, 3, 2, GAMMA, true)
        }
    };
    let kind = Some(Kind::Probes);
    vec![
        ("columns", world().linked(&[kind, None, kind])),
        ("curves", world().linked(&[None, None, None]).curved(1)),
        ("columns, curves", world().linked(&[kind, None, None]).curved(1)),
        ("curves, columns", world().linked(&[None, None, kind]).curved(0)),
    ]
}

#[test]
fn geweke_columns_and_curves_one_effect() {
    for (name, mut world) in worlds(false) {
        let z = geweke(&mut world, 15_000, |_| ());
        assert!(z < LIMIT, "{name}: {z}");
        let z = invariance(&mut world, 5_000, 3, |_| ());
        assert!(z < LIMIT, "{name}, replicates: {z}");
    }
}

#[test]
fn geweke_columns_and_curves_two_effects() {
    for (name, mut world) in worlds(true) {
        let z = invariance(&mut world, 5_000, 3, |_| ());
        assert!(z < LIMIT, "{name}: {z}");
    }
}

/// All traits behind links, whose values F moves with.
#[test]
fn geweke_all_traits_behind_links() {
    use Kind::{Binomial, NegativeBinomial, Poisson, Probes, Weights};
    let mixed = [Weights, Poisson, Probes];
    for kinds in [
        mixed,
        [Weights; 3],
        [Poisson; 3],
        [NegativeBinomial; 3],
        [Binomial; 3],
        [Probes; 3],
    ] {
        for several in [false, true] {
            let world = if several {
                World::several(9, 3, 2, GAMMA, false)
            } else {
                World::new(8, 3, 2, GAMMA, true)
            };
            let mut world = world.linked(&kinds.map(Some));
            let z = invariance(&mut world, 5_000, 3, |_| ());
            assert!(z < LIMIT, "{kinds:?}, several {several}: {z}");
        }
    }
}

#[test]
fn geweke_catches_bugs_of_columns_and_curves() {
    type Bug = fn(&mut State);
    let bugs: [(&str, usize, Bug); 5] = [
        ("means of columns too small", 0, |s| s.link[0] *= 0.8),
        ("noise of a column too large", 0, |s| s.link[4] *= 1.3),
        ("noise of curves too small", 1, |s| s.link[0] *= 0.8),
        ("coefficients shrunk", 1, |s| s.cells.iter_mut().for_each(|x| *x *= 0.9)),
        ("coefficients of a row without points shrunk", 3, |s| s.cells[1] *= 0.7),
    ];
    for (name, which, bug) in bugs {
        let mut world = worlds(false).remove(which).1;
        let z = invariance(&mut world, 5_000, 3, bug);
        assert!(z > 6.0, "{name}: {z}");
    }
}

#[test]
fn a_chain_with_columns_and_curves_goes_on_from_its_bytes() {
    for several in [false, true] {
        for (name, world) in worlds(several) {
            let source = Source { seed: 3, chain: 2 };
            let mut whole = Chain::new(&world.model, source);
            (0..9).for_each(|_| whole.step());
            let mut first = Chain::new(&world.model, source);
            (0..4).for_each(|_| first.step());
            let state = State::from_bytes(&world.model, &first.state.to_bytes()).unwrap();
            assert_eq!(state, first.state, "{name}");
            let mut second = Chain::from(&world.model, source, state);
            (0..5).for_each(|_| second.step());
            assert_eq!(second.state, whole.state, "{name}");
            let mut damaged = whole.state.clone();
            if let Some(last) = damaged.link.last_mut() {
                *last = -1.0;
            }
            assert_eq!(State::from_bytes(&world.model, &damaged.to_bytes()), None, "{name}");
        }
    }
}
