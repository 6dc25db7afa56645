//! Fits of arbitrary numbers: an error, or finite estimates that follow the units of what was given to the last bit.

use faer::Mat;
use fastlmm_core::kernel::Kernel;
use fastlmm_core::kernel::dense::Dense;
use fastlmm_core::kernel::sparse::Sparse;
use fastlmm_core::likelihood::Method;
use fastlmm_core::lmm::fit::{Fit, Options, Status, fit};
use fastlmm_core::rotation::Model;
use fastlmm_core::runtime::error::Result;
use proptest::prelude::*;

/// Numbers that are not close to the ends of what a double can hold.
fn ordinary() -> BoxedStrategy<f64> {
    prop_oneof![
        8 => -3.0f64..3.0,
        2 => (-2i32..3).prop_map(f64::from),
        1 => prop::sample::select(vec![0.0, 1e-50, -1e-10, 1e13, -1e50]),
    ]
    .boxed()
}

/// Ordinary numbers, and sometimes those that are not.
fn number() -> BoxedStrategy<f64> {
    prop_oneof![
        10 => ordinary(),
        1 => prop::sample::select(vec![0.0, 1e-320, 1e-300, -1e-150, 1e150, -1e300, 1e13, f64::MIN_POSITIVE]),
    ]
    .boxed()
}

#[derive(Debug, Clone)]
struct World {
    y: Vec<f64>,
    x: Vec<Vec<f64>>,
    w: Vec<f64>,
    columns: usize,
    repeats: bool,
    reml: bool,
}

/// A kernel is of ordinary numbers: what is beyond a double is refused before it comes here.
fn world(number: fn() -> BoxedStrategy<f64>) -> impl Strategy<Value = World> {
    (
        3usize..9,
        0usize..4,
        1usize..6,
        any::<bool>(),
        any::<bool>(),
    )
        .prop_flat_map(move |(n, p, columns, repeats, reml)| {
            let vector = |len: usize| prop::collection::vec(number(), len);
            (
                vector(n),
                prop::collection::vec(vector(n), p),
                prop::collection::vec(ordinary(), n * columns),
            )
                .prop_map(move |(y, x, w)| World {
                    y,
                    x,
                    w,
                    columns,
                    repeats,
                    reml,
                })
        })
}

/// K = W W' as a matrix, or W as a sparse factor; y and K times powers of two.
fn fitted(world: &World, sparse: bool, y_unit: f64, w_unit: f64) -> Result<Fit> {
    let n = world.y.len();
    let ids = if world.repeats { n.div_ceil(2) } else { n };
    let group: Vec<usize> = (0..n).map(|i| i % ids).collect();
    let index: Vec<usize> = (0..ids).collect();
    let w = Mat::from_fn(ids, world.columns, |i, j| world.w[i + ids * j] * w_unit);
    let k = Mat::from_fn(ids, ids, |i, j| {
        (0..world.columns).map(|c| w[(i, c)] * w[(j, c)]).sum()
    });
    let entries: Vec<f64> = (0..ids * world.columns)
        .map(|e| w[(e % ids, e / ids)])
        .collect();
    let rows: Vec<i32> = (0..ids * world.columns).map(|e| (e % ids) as i32).collect();
    let starts: Vec<i32> = (0..=world.columns).map(|c| (c * ids) as i32).collect();
    let kernel = match sparse {
        true => Kernel::Sparse(Sparse::new(ids, &starts, &rows, &entries)?),
        false => Kernel::Dense(Dense(k.as_ref())),
    };
    let y: Vec<f64> = world.y.iter().map(|y| y * y_unit).collect();
    let x = Mat::from_fn(n, world.x.len(), |i, j| world.x[j][i]);
    let ones = vec![1.0; n];
    let model = Model {
        y: &y,
        x: x.as_ref(),
        weights: &ones,
        z: &ones,
        group: &group,
        kernel,
        index: &index,
    };
    let options = Options {
        method: if world.reml { Method::Reml } else { Method::Ml },
        threads: 1,
        tolerance: None,
    };
    fit(&model, options, &mut ())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn fits_are_errors_or_numbers(world in world(number), sparse in any::<bool>()) {
        if let Ok(fit) = fitted(&world, sparse, 1.0, 1.0)
            && fit.status == Status::Ok
        {
            prop_assert!(fit.point.log_lik.is_finite(), "log-likelihood {}", fit.point.log_lik);
            prop_assert!((0.0..=1.0).contains(&fit.point.h2), "h2 {}", fit.point.h2);
            prop_assert!(fit.point.sigma2.is_finite() && fit.point.sigma2_e.is_finite());
            prop_assert!(fit.alpha.iter().all(|a| a.is_finite()), "alpha {:?}", fit.alpha);
        }
    }

    #[test]
    fn units_are_exact(world in world(ordinary), sparse in any::<bool>(), y in -40i32..40, w in -40i32..40) {
        let (y, w) = (2f64.powi(y), 2f64.powi(w));
        match (fitted(&world, sparse, 1.0, 1.0), fitted(&world, sparse, y, w)) {
            (Ok(a), Ok(b)) => {
                prop_assert_eq!(a.status, b.status);
                if a.status == Status::Ok {
                    prop_assert_eq!(a.point.sigma2_e * y * y, b.point.sigma2_e);
                    prop_assert_eq!(a.point.sigma2 * (y / w) * (y / w), b.point.sigma2);
                    let scaled: Vec<f64> = a.beta.iter().map(|beta| beta * y).collect();
                    prop_assert_eq!(scaled, b.beta);
                }
            }
            (Err(a), Err(b)) => prop_assert_eq!(a.class(), b.class()),
            (a, b) => prop_assert!(false, "{:?} against {:?}", a.err(), b.err()),
        }
    }
}
