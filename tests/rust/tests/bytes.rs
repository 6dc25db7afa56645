//! What is read from files: any bytes give a value or an error, never a panic, and never a value that is not what the bytes say.

use faer::Mat;
use fastlmm_core::kernel::sparse::Sparse;
use fastlmm_core::likelihood::Method;
use fastlmm_core::runtime::parallel::Workers;
use fastlmm_core::scan::bed::{bytes, decode};
use fastlmm_core::slam::rng::Source;
use fastlmm_core::slam::{Data, Draws, InverseGamma, Loadings, Model, Prior, Proportions, Sampler};
use proptest::prelude::*;
use std::sync::OnceLock;

fn model() -> Model {
    let (n, p, k) = (6, 3, 2);
    let s: Vec<f64> = (0..n).map(|i| 0.2 + 0.3 * i as f64).collect();
    let h = vec![0.0, 0.3, 0.6];
    let even = vec![0.0; h.len()];
    let numbers =
        |r: usize, c: usize| Mat::from_fn(r, c, |i, j| ((i * 7 + j * 3) % 5) as f64 - 2.0);
    Model {
        proportions: Proportions::new(&s, h, even.clone(), even),
        data: Data {
            y: numbers(n, p),
            x: Mat::from_fn(n, 1, |i, _| 1.0 + 0.1 * i as f64),
            x_prior: vec![fastlmm_core::slam::Coefficient::Flat],
            xf: Mat::zeros(n, 0),
            xf_prior: vec![],
            s,
            missing: vec![vec![]; p],
            rows: Mat::zeros(0, 0),
            known: Mat::zeros(0, 0),
        },
        prior: Prior {
            residual: vec![
                InverseGamma {
                    shape: 2.5,
                    scale: 1.0,
                }
                .into();
                p
            ],
            loadings: Loadings::Gamma {
                nu: 3.0,
                first: (2.0, 1.0),
                others: (3.0, 1.0),
                truncated: true,
            },
            scaled: false,
            shared: vec![],
        },
        k,
        sets: vec![],
        place: 0,
    }
}

fn run(sampler: &mut Sampler) -> Vec<Draws> {
    sampler.run(2, 0, 1, &Workers::inline(), &mut ()).unwrap()
}

fn whole_state() -> Vec<u8> {
    static STATE: OnceLock<Vec<u8>> = OnceLock::new();
    STATE.get_or_init(make_state).clone()
}

fn make_state() -> Vec<u8> {
    let mut sampler = Sampler::new(model());
    sampler.start(Source { seed: 1, chain: 1 }).unwrap();
    run(&mut sampler);
    sampler.states().remove(0)
}

/// A state that is accepted is the one that the bytes say, and the chain goes on from it with numbers.
fn resume(state: &[u8]) {
    let mut sampler = Sampler::new(model());
    if sampler.resume(Source { seed: 1, chain: 1 }, state).is_ok() {
        assert_eq!(sampler.states()[0], state);
        for draws in run(&mut sampler) {
            assert_eq!(draws.count, 2);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn bed_bytes_are_four_samples_each(packed in prop::collection::vec(any::<u8>(), 0..40), n in 0usize..170) {
        let copies: Vec<Option<u8>> = decode(&packed, n).collect();
        prop_assert_eq!(copies.len(), n.min(4 * packed.len()));
        for (i, c) in copies.iter().enumerate() {
            let expected = match (packed[i / 4] >> (2 * (i % 4))) & 3 { 0 => Some(2), 1 => None, 2 => Some(1), _ => Some(0) };
            prop_assert_eq!(*c, expected);
        }
        prop_assert!(4 * bytes(n) >= n && 4 * bytes(n) < n + 4);
    }

    #[test]
    fn states_of_arbitrary_bytes(state in prop::collection::vec(any::<u8>(), 0..900)) {
        resume(&state);
    }

    #[test]
    fn states_with_some_bytes_changed(places in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5), cut in 0usize..3) {
        let mut state = whole_state();
        for (at, byte) in places {
            let at = at.index(state.len());
            state[at] = byte;
        }
        state.truncate(state.len() - cut);
        resume(&state);
    }

    #[test]
    fn sparse_factors(
        nrows in 0usize..5,
        p in prop::collection::vec(-1i32..6, 0..5),
        i in prop::collection::vec(-1i32..6, 0..6),
        x in prop::collection::vec(-2.0f64..2.0, 0..6),
    ) {
        if let Ok(w) = Sparse::new(nrows, &p, &i, &x) {
            let mut dense = Mat::<f64>::zeros(nrows, p.len() - 1);
            for c in 0..dense.ncols() {
                (p[c]..p[c + 1]).for_each(|e| dense[(i[e as usize] as usize, c)] += x[e as usize]);
            }
            let k = &dense * dense.transpose();
            for a in 0..nrows {
                for b in 0..nrows {
                    prop_assert!((w.entry(a, b) - k[(a, b)]).abs() < 1e-12);
                }
            }
            prop_assert_eq!(w.transpose_times(&vec![1.0; nrows]).len(), p.len() - 1);
        }
    }

    #[test]
    fn words_are_a_closed_list(word in "\\PC{0,8}") {
        prop_assert_eq!(word.parse::<Method>().is_ok(), word == "REML" || word == "ML");
    }
}
