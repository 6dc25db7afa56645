//! Our half of `bench/peers.py transforms`: for each word read from standard input one transform is run and its seconds are printed.
//!
//! Arguments: points, modes of each axis separated by commas, tolerance, threads. Words: `type1`, `type1x4` (four vectors), `type2`.

use faer::c64;
use fastlmm_core::nufft::Plan;
use fastlmm_core::runtime::parallel::Workers;
use std::hint::black_box;
use std::io::stdin;
use std::time::Instant;

struct Case {
    plan: Plan,
    coordinates: Vec<Vec<f64>>,
    strengths: Vec<Vec<f64>>,
    modes: Vec<c64>,
    workers: Workers,
}

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let case = Case::new(&std::env::args().skip(1).collect::<Vec<_>>())?;
    for word in stdin().lines() {
        let begin = Instant::now();
        case.run(&word?)?;
        println!("{}", begin.elapsed().as_secs_f64());
    }
    Ok(())
}

impl Case {
    fn new(arguments: &[String]) -> Result<Self, Failure> {
        let [n, modes, tolerance, threads] = arguments else {
            return Err("four arguments are needed".into());
        };
        let modes = modes.split(',').map(str::parse).collect::<Result<Vec<usize>, _>>()?;
        let plan = Plan::new(&modes, tolerance.parse()?)?;
        let (n, mut state) = (n.parse()?, 1);
        let mut uniform =
            |n: usize, width: f64| (0..n).map(|_| width * (random(&mut state) - 0.5)).collect::<Vec<f64>>();
        Ok(Self {
            coordinates: modes.iter().map(|_| uniform(n, std::f64::consts::TAU)).collect(),
            strengths: (0..4).map(|_| uniform(n, 1.0)).collect(),
            modes: uniform(plan.count(), 1.0)
                .into_iter()
                .map(|x| c64::new(x, -x))
                .collect(),
            workers: Workers::new(threads.parse()?)?,
            plan,
        })
    }

    fn run(&self, word: &str) -> Result<(), Failure> {
        let points: Vec<&[f64]> = self.coordinates.iter().map(Vec::as_slice).collect();
        let strengths: Vec<&[f64]> = self.strengths.iter().map(Vec::as_slice).collect();
        match word {
            "type1" => drop(black_box(self.plan.type1(
                &points,
                &strengths[..1],
                &self.workers,
                &mut (),
            )?)),
            "type1x4" => drop(black_box(self.plan.type1(
                &points,
                &strengths,
                &self.workers,
                &mut (),
            )?)),
            "type2" => drop(black_box(self.plan.type2(
                &points,
                &[&self.modes],
                &self.workers,
                &mut (),
            )?)),
            _ => return Err(format!("unknown transform {word}").into()),
        }
        Ok(())
    }
}

/// Uniform on [0, 1): a linear congruential generator's upper bits.
fn random(state: &mut u64) -> f64 {
    *state = state
        .wrapping_mul(6364136223846793005)
        .wrapping_add(1442695040888963407);
    (*state >> 11) as f64 / (1u64 << 53) as f64
}
