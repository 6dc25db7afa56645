//! A data set for each way from rows to coordinates and each form of V22 there.

use crate::definition::noise;
use crate::mixed::{Mixed, Own, Term, dense, low_rank};
use faer::Mat;

pub fn routes(p: usize) -> Vec<(&'static str, Mixed)> {
    let rows = |n, seed, rank| Term::cycled(n, n, dense(seed, n, rank));
    let mut slope = Term::cycled(40, 8, dense(3, 8, 8));
    slope.z = (0..40).map(|i| noise(5, i, 7) - 0.4).collect();
    let same = Term::cycled(40, 10, dense(6, 10, 10));
    vec![
        (
            "rows, Cholesky",
            Mixed::new(1, 24, p, vec![rows(24, 1, 24), rows(24, 2, 9)]),
        ),
        (
            "rows, spectrum and factor",
            Mixed::new(2, 30, p, vec![rows(30, 3, 30), Term::blocked(30, 5, Own::Identity(5))]),
        ),
        (
            "columns, Cholesky",
            Mixed::new(
                3,
                40,
                p,
                vec![
                    Term::cycled(40, 6, dense(4, 6, 6)),
                    Term::blocked(40, 5, dense(5, 5, 3)),
                ],
            ),
        ),
        (
            "columns, spectrum and factors",
            Mixed::new(
                4,
                60,
                p,
                vec![
                    Term::cycled(60, 24, dense(7, 24, 24)),
                    Term::blocked(60, 4, Own::Identity(4)),
                    Term::cycled(60, 7, low_rank(8, 7, 2)),
                ],
            ),
        ),
        (
            "one Z",
            Mixed::new(
                5,
                40,
                p,
                vec![
                    same.clone(),
                    Term {
                        kernel: Own::Identity(10),
                        ..same.clone()
                    },
                ],
            ),
        ),
        (
            "narrow and wide factors of one Z",
            Mixed::new(
                6,
                40,
                p,
                vec![
                    Term {
                        kernel: low_rank(9, 10, 3),
                        ..same.clone()
                    },
                    Term {
                        kernel: low_rank(10, 10, 14),
                        ..same.clone()
                    },
                    same,
                ],
            ),
        ),
        (
            "slopes",
            Mixed::new(
                7,
                40,
                p,
                vec![
                    slope.clone(),
                    Term {
                        z: vec![1.0; 40],
                        kernel: Own::Identity(8),
                        ..slope
                    },
                ],
            ),
        ),
        (
            "crossed and balanced",
            Mixed::new(
                8,
                30,
                p.min(1),
                vec![
                    Term::cycled(30, 6, Own::Identity(6)),
                    Term::blocked(30, 5, Own::Identity(5)),
                ],
            ),
        ),
        (
            "vectors that meet in X alone",
            Mixed::new(9, 30, p.clamp(1, 2), vec![vector(30, 0), vector(30, 1)]),
        ),
        (
            "groups as coordinates",
            Mixed::new(
                10,
                170,
                p,
                vec![
                    Term::new((0..170).map(|i| (i * 7) % 110).collect(), Own::Identity(110)),
                    Term::blocked(170, 9, Own::Identity(9)),
                    Term::cycled(170, 13, dense(11, 13, 6)),
                ],
            ),
        ),
    ]
}

/// K = v v' with v of a contrast of its own and the constant.
pub fn vector(n: usize, t: usize) -> Term {
    let wave = |i: usize| (std::f64::consts::TAU * (t + 1) as f64 * (i as f64 + 0.5) / n as f64).cos();
    Term::cycled(n, n, Own::LowRank(Mat::from_fn(n, 1, |i, _| 0.4 + wave(i))))
}
