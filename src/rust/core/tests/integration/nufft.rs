use crate::definition::noise;
use faer::c64;
use fastlmm_core::nufft::{Field, Plan, Points, Type1};
use fastlmm_core::runtime::error::Error;
use fastlmm_core::runtime::parallel::Workers;
use std::f64::consts::{PI, TAU};

const SHAPES: [&[usize]; 9] = [
    &[1],
    &[2],
    &[41],
    &[64],
    &[15, 12],
    &[1, 9],
    &[22, 1],
    &[7, 6, 9],
    &[4, 1, 5],
];

fn phases(seed: usize, dimension: usize, n: usize) -> Vec<Vec<f64>> {
    let axis = |a| (0..n).map(|i| TAU * (noise(seed, i, a) - 0.5)).collect();
    (0..dimension).map(axis).collect()
}

fn vector(seed: usize, n: usize) -> Vec<f64> {
    (0..n).map(|i| noise(seed, i, 77) - 0.3).collect()
}

fn field(seed: usize, n: usize) -> Vec<c64> {
    vector(seed, n)
        .iter()
        .zip(vector(seed + 1, n))
        .map(|(re, im)| c64::new(*re, im))
        .collect()
}

fn slices<T>(x: &[Vec<T>]) -> Vec<&[T]> {
    x.iter().map(Vec::as_slice).collect()
}

/// Frequencies in the order of arrays of modes.
fn frequencies(modes: &[usize]) -> Vec<Vec<i64>> {
    let all = |k: usize| -(k as i64 / 2)..(k as i64 + 1) / 2;
    let mut found: Vec<Vec<i64>> = (0..=modes[0] as i64 / 2).map(|k| vec![k]).collect();
    for k in &modes[1..] {
        let next = |k: i64| found.iter().map(move |f| [f.as_slice(), &[k]].concat());
        found = all(*k).flat_map(next).collect();
    }
    found
}

fn angle(k: &[i64], x: &[Vec<f64>], i: usize) -> f64 {
    k.iter().zip(x).map(|(k, x)| *k as f64 * x[i]).sum()
}

/// The definition of type 1.
fn sums(modes: &[usize], x: &[Vec<f64>], c: &[f64]) -> Vec<c64> {
    let wave = |k: &[i64], i| c64::new(angle(k, x, i).cos(), -angle(k, x, i).sin());
    let sum = |k: &Vec<i64>| (0..c.len()).fold(c64::new(0.0, 0.0), |sum, i| sum + wave(k, i) * c[i]);
    frequencies(modes).iter().map(sum).collect()
}

/// The definition of type 2.
fn values(modes: &[usize], x: &[Vec<f64>], f: &[c64]) -> Vec<f64> {
    let frequencies = frequencies(modes);
    let wave = |k: &[i64], f: &c64, i| f.re * angle(k, x, i).cos() - f.im * angle(k, x, i).sin();
    let term = |(k, f): (&Vec<i64>, &c64), i| weight(k) * wave(k, f, i);
    let value = |i| frequencies.iter().zip(f).map(|pair| term(pair, i)).sum();
    (0..x[0].len()).map(value).collect()
}

fn weight(k: &[i64]) -> f64 {
    if k[0] == 0 { 1.0 } else { 2.0 }
}

fn parts(modes: &[c64]) -> Vec<f64> {
    modes.iter().flat_map(|z| [z.re, z.im]).collect()
}

/// Relative error in the l2 norm.
fn error(found: &[f64], exact: &[f64]) -> f64 {
    assert_eq!(found.len(), exact.len());
    let square = |v: &mut dyn Iterator<Item = f64>| v.map(|x| x * x).sum::<f64>();
    (square(&mut found.iter().zip(exact).map(|(a, b)| a - b)) / square(&mut exact.iter().copied())).sqrt()
}

#[test]
fn both_types_keep_to_the_tolerance() {
    let workers = Workers::new(2).unwrap();
    for (s, modes) in SHAPES.iter().enumerate() {
        let (x, c) = (phases(s, modes.len(), 90), vector(s, 90));
        let exact = parts(&sums(modes, &x, &c));
        for digits in 1..=14 {
            let tolerance = 10f64.powi(-digits);
            let plan = Plan::new(modes, tolerance).unwrap();
            let f = field(s, plan.count());
            let found = plan.type1(&slices(&x), &[&c], &workers, &mut ()).unwrap();
            let e = error(&parts(&found[0]), &exact);
            let found = plan.type2(&slices(&x), &[&f], &workers, &mut ()).unwrap();
            let e2 = error(&found[0], &values(modes, &x, &f));
            assert!(e < 3.0 * tolerance + 1e-13, "type 1 {modes:?} {tolerance:e}: {e:e}");
            assert!(e2 < 3.0 * tolerance + 1e-13, "type 2 {modes:?} {tolerance:e}: {e2:e}");
        }
    }
}

#[test]
fn type_2_is_the_adjoint_of_type_1() {
    let workers = Workers::new(2).unwrap();
    for (s, modes) in SHAPES.iter().enumerate() {
        for tolerance in [0.1, 1e-3, 1e-5, 1e-9, 1e-14] {
            let plan = Plan::new(modes, tolerance).unwrap();
            let (x, c, f) = (phases(s, modes.len(), 400), vector(s, 400), field(s, plan.count()));
            let big = &plan.type1(&slices(&x), &[&c], &workers, &mut ()).unwrap()[0];
            let v = &plan.type2(&slices(&x), &[&f], &workers, &mut ()).unwrap()[0];
            let terms = frequencies(modes).into_iter().zip(&f).zip(big);
            let left: f64 = terms.map(|((k, f), b)| weight(&k) * (f.conj() * b).re).sum();
            let right: f64 = v.iter().zip(&c).map(|(v, c)| v * c).sum();
            let size: f64 = v.iter().zip(&c).map(|(v, c)| (v * c).abs()).sum();
            assert!(
                (left - right).abs() < 1e-13 * size,
                "{modes:?} {tolerance:e}: {left} {right}"
            );
        }
    }
}

#[test]
fn phases_wrap_and_borders_belong_to_both_sides() {
    let workers = Workers::new(1).unwrap();
    let border = [
        -PI,
        PI,
        0.0,
        -0.0,
        1e-300,
        -1e-300,
        TAU,
        -TAU,
        3.0 * PI,
        20.0 * PI + 1.0,
        PI - 1e-15,
        -PI - 1e-15,
    ];
    for modes in [&[17][..], &[10, 9], &[5, 6, 7]] {
        let x: Vec<Vec<f64>> = (0..modes.len())
            .map(|a| (0..48).map(|i| border[(i * (a + 1) + a) % 12]).collect())
            .collect();
        let c = vector(3, 48);
        let plan = Plan::new(modes, 1e-11).unwrap();
        let found = plan.type1(&slices(&x), &[&c], &workers, &mut ()).unwrap();
        assert!(error(&parts(&found[0]), &parts(&sums(modes, &x, &c))) < 1e-10);
        let f = field(5, plan.count());
        let found = plan.type2(&slices(&x), &[&f], &workers, &mut ()).unwrap();
        assert!(error(&found[0], &values(modes, &x, &f)) < 1e-10);
    }
}

#[test]
fn no_point_and_one_point() {
    let workers = Workers::new(2).unwrap();
    for modes in [&[9][..], &[4, 5], &[3, 4, 5]] {
        let plan = Plan::new(modes, 1e-8).unwrap();
        let none = phases(1, modes.len(), 0);
        let found = plan.type1(&slices(&none), &[&[], &[]], &workers, &mut ()).unwrap();
        assert_eq!(found, vec![vec![c64::new(0.0, 0.0); plan.count()]; 2]);
        let f = field(1, plan.count());
        assert_eq!(plan.type2(&slices(&none), &[&f], &workers, &mut ()).unwrap(), [vec![]]);
        let one = phases(2, modes.len(), 1);
        let found = plan.type1(&slices(&one), &[&[-2.5]], &workers, &mut ()).unwrap();
        assert!(error(&parts(&found[0]), &parts(&sums(modes, &one, &[-2.5]))) < 1e-8);
        let nothing: [&[f64]; 0] = [];
        assert!(
            plan.type1(&slices(&one), &nothing, &workers, &mut ())
                .unwrap()
                .is_empty()
        );
    }
}

/// Many points, so that there are many slabs; half of them crowd in a corner.
fn crowd(dimension: usize, n: usize) -> Vec<Vec<f64>> {
    let squeeze = |(i, x): (usize, f64)| if i.is_multiple_of(2) { x } else { 1.0 + 0.01 * x };
    let axis = |x: Vec<f64>| x.into_iter().enumerate().map(squeeze).collect();
    phases(9, dimension, n).into_iter().map(axis).collect()
}

#[test]
fn threads_blocks_vectors_and_order_do_not_matter() {
    for modes in [&[3000][..], &[80, 75], &[20, 21, 22]] {
        let (n, plan) = (20_000, Plan::new(modes, 1e-7).unwrap());
        let (x, c, ones) = (crowd(modes.len(), n), vector(4, n), vec![1.0; n]);
        let (one, two) = (Workers::new(1).unwrap(), Workers::new(2).unwrap());
        let whole = one.run(|_| {
            let mut sums = Type1::new(&plan, 2).unwrap();
            sums.add(&Points::new(&plan, &slices(&x)).unwrap(), &[&c, &ones])
                .unwrap();
            sums.modes()
        });
        let again = plan.type1(&slices(&x), &[&c], &two, &mut ()).unwrap();
        assert_eq!(again[0], whole[0]);
        let parted = two.run(|_| {
            let mut sums = Type1::new(&plan, 2).unwrap();
            for range in [0..1, 1..7000, 7000..7000, 7000..n] {
                let points: Vec<&[f64]> = x.iter().map(|x| &x[range.clone()]).collect();
                let points = Points::new(&plan, &points).unwrap();
                sums.add(&points, &[&c[range.clone()], &ones[range]]).unwrap();
            }
            sums.modes()
        });
        for (a, b) in parted.iter().zip(&whole) {
            assert!(error(&parts(a), &parts(b)) < 1e-13, "{modes:?}");
        }
        let mirrored: Vec<Vec<f64>> = x.iter().map(|x| x.iter().rev().copied().collect()).collect();
        let f = whole[0].as_slice();
        let (v, w) = one.run(|_| {
            let field = Field::new(&plan, &[f, f]).unwrap();
            let at = |x| field.at(&Points::new(&plan, &slices(x)).unwrap());
            (at(&x), at(&mirrored))
        });
        assert_eq!(v[0], v[1]);
        assert_eq!(v[0], w[0].iter().rev().copied().collect::<Vec<f64>>());
        assert_eq!(v[0], plan.type2(&slices(&x), &[f], &two, &mut ()).unwrap()[0]);
    }
}

#[test]
fn long_data_are_taken_in_parts() {
    let (n, modes, workers) = (300_000, [5], Workers::new(2).unwrap());
    let plan = Plan::new(&modes, 1e-9).unwrap();
    let (x, c, f) = (phases(7, 1, n), vector(7, n), field(7, plan.count()));
    let found = plan.type1(&slices(&x), &[&c], &workers, &mut ()).unwrap();
    assert!(error(&parts(&found[0]), &parts(&sums(&modes, &x, &c))) < 1e-8);
    let found = plan.type2(&slices(&x), &[&f], &workers, &mut ()).unwrap();
    assert!(error(&found[0], &values(&modes, &x, &f)) < 1e-8);
}

#[test]
fn a_shift_of_the_points_turns_the_modes() {
    let (modes, shift, workers) = ([12, 15], [0.3, -1.1], Workers::new(2).unwrap());
    let plan = Plan::new(&modes, 1e-12).unwrap();
    let (x, c) = (phases(6, 2, 500), vector(6, 500));
    let moved: Vec<Vec<f64>> = x
        .iter()
        .zip(shift)
        .map(|(x, s)| x.iter().map(|x| x + s).collect())
        .collect();
    let before = &plan.type1(&slices(&x), &[&c], &workers, &mut ()).unwrap()[0];
    let after = &plan.type1(&slices(&moved), &[&c], &workers, &mut ()).unwrap()[0];
    let turn = |k: &Vec<i64>| -(k[0] as f64 * shift[0] + k[1] as f64 * shift[1]);
    let turned: Vec<c64> = frequencies(&modes)
        .iter()
        .zip(before)
        .map(|(k, b)| b * c64::new(turn(k).cos(), turn(k).sin()))
        .collect();
    assert!(error(&parts(after), &parts(&turned)) < 1e-11);
}

#[test]
fn scales_are_kept_exactly() {
    let (plan, workers) = (Plan::new(&[9, 8], 1e-6).unwrap(), Workers::new(1).unwrap());
    let (x, c) = (phases(8, 2, 60), vector(8, 60));
    let scale = 2f64.powi(-900);
    let small: Vec<f64> = c.iter().map(|c| c * scale).collect();
    let found = plan.type1(&slices(&x), &[&c, &small], &workers, &mut ()).unwrap();
    let scaled: Vec<f64> = parts(&found[0]).iter().map(|v| v * scale).collect();
    assert_eq!(scaled, parts(&found[1]));
}

#[test]
fn single_modes_are_found_with_either_sign() {
    let modes = [6, 5, 4];
    let (plan, workers) = (Plan::new(&modes, 1e-9).unwrap(), Workers::new(1).unwrap());
    let (x, c) = (phases(2, 3, 70), vector(2, 70));
    let found = &plan.type1(&slices(&x), &[&c], &workers, &mut ()).unwrap()[0];
    for k in frequencies(&modes) {
        let exact = (0..70).fold(c64::new(0.0, 0.0), |sum, i| {
            sum + c64::new(angle(&k, &x, i).cos(), -angle(&k, &x, i).sin()) * c[i]
        });
        let mirror: Vec<i64> = k.iter().map(|k| -k).collect();
        assert!((plan.mode(found, &k) - exact).norm() < 1e-8);
        assert!(k[0] == 0 || (plan.mode(found, &mirror) - exact.conj()).norm() < 1e-8);
    }
}

#[test]
fn misfits_are_refused() {
    let workers = Workers::new(1).unwrap();
    for tolerance in [0.0, -1.0, 0.2, 1e-16, f64::NAN] {
        assert!(matches!(Plan::new(&[4], tolerance), Err(Error::Tolerance { .. })));
    }
    for modes in [&[][..], &[2, 2, 2, 2], &[3, 0]] {
        assert!(matches!(Plan::new(modes, 1e-3), Err(Error::Argument { .. })));
    }
    let plan = Plan::new(&[4, 4], 1e-3).unwrap();
    let refused =
        |what: &[&[f64]], c: &[f64]| matches!(plan.type1(what, &[c], &workers, &mut ()), Err(Error::Shape { .. }));
    assert!(refused(&[&[0.0]], &[1.0]) && refused(&[&[0.0], &[0.0, 1.0]], &[1.0]) && refused(&[&[0.0], &[0.0]], &[]));
    let short = [c64::new(0.0, 0.0); 11];
    assert!(matches!(
        plan.type2(&[&[0.0], &[0.0]], &[&short], &workers, &mut ()),
        Err(Error::Shape { .. })
    ));
    let huge = Plan::new(&[1 << 14, 1 << 14, 2], 1e-3).unwrap();
    assert!(matches!(Type1::new(&huge, 1 << 10), Err(Error::Memory { .. })));
}

#[test]
fn a_stop_is_heeded() {
    struct Stop;
    impl fastlmm_core::runtime::monitor::Monitor for Stop {
        fn stop(&mut self) -> bool {
            true
        }
    }
    let (plan, workers) = (Plan::new(&[4], 1e-3).unwrap(), Workers::new(1).unwrap());
    let stopped = plan.type1(&[&[0.5]], &[&[1.0]], &workers, &mut Stop);
    assert_eq!(stopped.err(), Some(Error::Interrupted));
    let f = field(1, plan.count());
    assert_eq!(
        plan.type2(&[&[0.5]], &[&f], &workers, &mut Stop).err(),
        Some(Error::Interrupted)
    );
}
