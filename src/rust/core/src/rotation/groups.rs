//! Coordinates of the data between groups: one a group, or fewer when an identity kernel has ties.
//!
//! Under an identity kernel groups with the same N_g share an eigenvalue. Within such a class an orthogonal turn moves the r columns of
//! X, and y, onto at most r + 1 coordinates; the others have eigenvalue N and no data and are only counted. A model with 30,000 groups
//! of 50 sizes is thus reduced to 50 (r + 1) coordinates, exactly.

use crate::linalg::{Reflectors, norm};
use crate::rotation::incidence::Incidence;
use std::collections::BTreeMap;

/// The space between groups in the coordinates that are kept.
pub struct BetweenGroups {
    pub z: Incidence,
    ties: Option<Ties>,
}

impl BetweenGroups {
    /// Every group is a coordinate.
    pub fn all(z: Incidence) -> Self {
        Self { z, ties: None }
    }

    /// For an identity kernel: coordinates that the given vectors (n entries each) touch, and in each class one for whatever else a response has there.
    pub fn touched(z: Incidence, vectors: &[Vec<f64>]) -> Self {
        let mut columns: Vec<Vec<f64>> = vectors.iter().map(|v| z.between(v)).collect();
        columns.push(vec![0.0; z.m()]);
        let columns: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
        let ties = Ties::new(&z.root, &columns);
        Self { z, ties: Some(ties) }
    }

    /// Group whose N each coordinate has.
    pub fn groups(&self) -> Vec<usize> {
        self.ties
            .as_ref()
            .map_or_else(|| (0..self.z.m()).collect(), Ties::representatives)
    }

    /// Eigenvalues N without data, as a group and a multiplicity.
    pub fn set_aside(&self) -> Vec<(usize, usize)> {
        self.ties.as_ref().map_or_else(Vec::new, Ties::set_aside)
    }

    /// Do groups share coordinates?
    pub fn is_shared(&self) -> bool {
        self.ties.is_some()
    }

    /// Parts of a vector between groups, one entry a group, and within groups.
    pub fn parts(&self, v: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let between = self.z.between(v);
        let mut within = v.to_vec();
        self.z.subtract(&between, &mut within);
        (between, within)
    }

    /// Kept coordinates of a vector between groups that the coordinates were made for.
    pub fn compress(&self, between: &[f64]) -> Vec<f64> {
        self.ties
            .as_ref()
            .map_or_else(|| between.to_vec(), |ties| ties.compress(between))
    }

    /// Those of a response: one coordinate of each class takes all that the vectors do not touch.
    pub fn fold(&self, between: &[f64]) -> Vec<f64> {
        self.ties
            .as_ref()
            .map_or_else(|| between.to_vec(), |ties| ties.fold(between))
    }

    /// One entry a group from kept coordinates, which are a function of K of a response that is `between` groups.
    pub fn expand(&self, kept: Vec<f64>, between: &[f64]) -> Vec<f64> {
        match &self.ties {
            Some(ties) => ties.unfold(&kept, between),
            None => kept,
        }
    }
}

/// One class of groups, its turn, and where its kept coordinates start.
struct Class {
    groups: Vec<usize>,
    turn: Reflectors,
    kept: usize,
}

/// The turn of all classes.
struct Ties {
    classes: Vec<Class>,
    m: usize,
}

impl Ties {
    /// `root[g]` is N_g^(1/2); `columns` are the vectors (one entry a group) that must stay in the kept coordinates.
    fn new(root: &[f64], columns: &[&[f64]]) -> Self {
        let mut members: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
        root.iter()
            .enumerate()
            .for_each(|(g, r)| members.entry(r.to_bits()).or_default().push(g));
        let classes = members
            .into_values()
            .map(|groups| Class::new(groups, columns))
            .collect();
        Self { classes, m: root.len() }
    }

    /// Group that stands for each kept coordinate: it has the coordinate's N.
    fn representatives(&self) -> Vec<usize> {
        self.classes
            .iter()
            .flat_map(|c| c.groups[..c.kept].iter().copied())
            .collect()
    }

    /// Group of each class that has coordinates set aside, and how many.
    fn set_aside(&self) -> Vec<(usize, usize)> {
        let rest = |c: &Class| (c.groups[0], c.groups.len() - c.kept);
        self.classes.iter().map(rest).filter(|(_, count)| *count > 0).collect()
    }

    /// Kept coordinates of a vector with one entry a group.
    fn compress(&self, v: &[f64]) -> Vec<f64> {
        let part = |c: &Class| {
            let mut x = c.turned(v);
            x.truncate(c.kept);
            x
        };
        self.classes.iter().flat_map(part).collect()
    }

    /// The last coordinate, which no column of X touches, takes all that the kept ones would lose.
    fn fold(&self, v: &[f64]) -> Vec<f64> {
        let part = |c: &Class| {
            let mut x = c.turned(v);
            if c.kept < x.len() {
                let last = c.kept - 1;
                x[last] = norm(&x[last..]);
                x.truncate(c.kept);
            }
            x
        };
        self.classes.iter().flat_map(part).collect()
    }

    /// Back from kept coordinates: what was folded together shares one eigenvalue, and goes back in proportion.
    fn unfold(&self, kept: &[f64], v: &[f64]) -> Vec<f64> {
        let mut out = vec![0.0; self.m];
        let mut first = 0;
        for c in &self.classes {
            let mut x = kept[first..first + c.kept].to_vec();
            if c.kept < c.groups.len() {
                let last = c.kept - 1;
                let turned = c.turned(v);
                let length = norm(&turned[last..]);
                let share = if length > 0.0 { x[last] / length } else { 0.0 };
                x.truncate(last);
                x.extend(turned[last..].iter().map(|t| share * t));
            }
            c.turn.apply(&mut x);
            c.groups.iter().zip(x).for_each(|(&g, x)| out[g] = x);
            first += c.kept;
        }
        out
    }
}

impl Class {
    fn new(groups: Vec<usize>, columns: &[&[f64]]) -> Self {
        let mut turn = Reflectors::new(groups.len());
        if groups.len() <= columns.len() {
            return Self {
                kept: groups.len(),
                groups,
                turn,
            };
        }
        for column in columns {
            let mut x: Vec<f64> = groups.iter().map(|&g| column[g]).collect();
            turn.transpose_apply(&mut x);
            turn.push(&x);
        }
        Self {
            groups,
            turn,
            kept: columns.len(),
        }
    }

    /// The class's part of a vector, in turned coordinates.
    fn turned(&self, v: &[f64]) -> Vec<f64> {
        let mut x: Vec<f64> = self.groups.iter().map(|&g| v[g]).collect();
        self.turn.transpose_apply(&mut x);
        x
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_survive_compression_and_the_rest_is_counted() {
        let root: Vec<f64> = (0..20).map(|g| if g % 3 == 0 { 2.0 } else { 1.5 }).collect();
        let a: Vec<f64> = (0..20).map(|g| f64::sin(1.0 + g as f64)).collect();
        let b = vec![1.0; 20];
        let ties = Ties::new(&root, &[&a, &b]);
        assert_eq!(ties.representatives().len(), 4);
        assert_eq!(ties.set_aside().iter().map(|(_, n)| n).sum::<usize>(), 16);
        for column in [&a, &b] {
            let kept = ties.fold(column);
            let back = ties.unfold(&kept, column);
            assert!(column.iter().zip(back).all(|(x, y)| (x - y).abs() < 1e-14));
        }
        assert!(ties.representatives().iter().take(2).all(|g| root[*g] == 1.5));
    }
}
