//! Additive relationship of a pedigree, `A = T D T'`: T follows genes from parents to offspring, D holds what each animal gets by the chance of Mendelian sampling (Henderson 1976, Quaas 1976).
//! Inbreeding coefficients by Meuwissen and Luo 1992.

use std::collections::BinaryHeap;

/// Parents of an animal, by number; `None`: not known.
pub type Parents = [Option<usize>; 2];

/// Coefficients of inbreeding and of Mendelian sampling, by animal.
pub struct Pedigree {
    /// F_i, so that A_ii = 1 + F_i.
    pub inbreeding: Vec<f64>,
    /// D_ii = 1/2 - (F_s + F_d) / 4; an unknown parent counts as F = -1.
    pub sampling: Vec<f64>,
    /// All animals, parents before their offspring.
    pub order: Vec<usize>,
}

impl Pedigree {
    /// Of animals in any order.
    ///
    /// # Errors
    /// Animals of which each is a parent of the one before, and the first one of the last.
    ///
    /// ```
    /// use fastlmm_core::kernel::pedigree::Pedigree;
    /// // 3 comes of full sibs
    /// let parents = [[None, None], [Some(0), None], [Some(0), Some(1)], [Some(2), Some(1)]];
    /// let found = Pedigree::new(&parents)?;
    /// assert_eq!(found.inbreeding, [0.0, 0.0, 0.25, 0.375]);
    /// # Ok::<(), Vec<usize>>(())
    /// ```
    pub fn new(parents: &[Parents]) -> Result<Self, Vec<usize>> {
        let order = parents_first(parents)?;
        let mut place = vec![0; order.len()];
        order.iter().enumerate().for_each(|(at, &animal)| place[animal] = at);
        let sorted: Vec<Parents> = order
            .iter()
            .map(|&animal| parents[animal].map(|parent| parent.map(|p| place[p])))
            .collect();
        let (f, d) = coefficients(&sorted);
        Ok(Self {
            inbreeding: place.iter().map(|&at| f[at]).collect(),
            sampling: place.iter().map(|&at| d[at]).collect(),
            order,
        })
    }
}

/// All animals, each after its parents.
fn parents_first(parents: &[Parents]) -> Result<Vec<usize>, Vec<usize>> {
    let known = |animal: usize| parents[animal].iter().flatten().copied();
    let mut offspring = vec![vec![]; parents.len()];
    (0..parents.len()).for_each(|animal| known(animal).for_each(|parent| offspring[parent].push(animal)));
    let mut awaited: Vec<usize> = (0..parents.len()).map(|animal| known(animal).count()).collect();
    let mut order: Vec<usize> = (0..parents.len()).filter(|&animal| awaited[animal] == 0).collect();
    let mut next = 0;
    while next < order.len() {
        for &animal in &offspring[order[next]] {
            awaited[animal] -= 1;
            if awaited[animal] == 0 {
                order.push(animal);
            }
        }
        next += 1;
    }
    match awaited.iter().position(|&left| left > 0) {
        None => Ok(order),
        Some(stuck) => Err(loop_from(parents, &awaited, stuck)),
    }
}

/// Animals that are their own ancestors, up from one that waits for its parents: each of those waits for one of its own.
fn loop_from(parents: &[Parents], awaited: &[usize], start: usize) -> Vec<usize> {
    let (mut path, mut seen) = (vec![], vec![usize::MAX; parents.len()]);
    let mut animal = start;
    while seen[animal] == usize::MAX {
        seen[animal] = path.len();
        path.push(animal);
        let waiting = parents[animal].iter().flatten().find(|&&parent| awaited[parent] > 0);
        let Some(&parent) = waiting else { break };
        animal = parent;
    }
    path.split_off(seen[animal].min(path.len()))
}

/// F and D of animals that stand after their parents. A_ii = sum over ancestors a of `T_ia^2 D_a`; T_i is traced back from i, the youngest ancestor first, so that all paths to it are in.
fn coefficients(parents: &[Parents]) -> (Vec<f64>, Vec<f64>) {
    let (mut f, mut d) = (vec![0.0; parents.len()], vec![0.0; parents.len()]);
    let (mut share, mut open) = (vec![0.0; parents.len()], BinaryHeap::new());
    for (i, own) in parents.iter().enumerate() {
        let of = |parent: Option<usize>| parent.map_or(-1.0, |p: usize| f[p]);
        d[i] = 0.5 - 0.25 * (of(own[0]) + of(own[1]));
        // parents of which nothing is known are not related; full sibs have the same F
        if own.contains(&None) {
            continue;
        }
        if i > 0 && parents[i - 1] == *own {
            f[i] = f[i - 1];
            continue;
        }
        let mut sum = -1.0;
        share[i] = 1.0;
        open.push(i);
        while let Some(a) = open.pop() {
            let part = std::mem::take(&mut share[a]);
            sum += part * part * d[a];
            for parent in parents[a].iter().flatten().copied() {
                if share[parent] == 0.0 {
                    open.push(parent);
                }
                share[parent] += 0.5 * part;
            }
        }
        f[i] = sum;
    }
    (f, d)
}
