//! Z'Z, Z'Q and Z'y, Q an orthonormal basis of span(X), all rows times the roots of their weights: by pairs of levels that meet in a row, each pair once, under the level that is
//! eliminated first.

use super::units::ScaledEffect;

/// A pair of levels that meet in a row: this one, of a later effect, and the one that it stands under.
pub(crate) struct Coupling {
    pub effect: usize,
    pub level: usize,
    /// Where its block of Z'Z begins, by columns: terms of the later effect x terms of the earlier one.
    pub at: usize,
}

/// What one evaluation needs of the data.
pub(crate) struct CrossProducts {
    /// By effects, a block l x l a level.
    pub diagonal: Vec<Vec<f64>>,
    /// By effects, where the couplings of each level begin; those of a level ascend.
    start: Vec<Vec<usize>>,
    couplings: Vec<Coupling>,
    values: Vec<f64>,
    /// Z'Q by rows, as many as there are unknowns.
    pub x: Vec<f64>,
    /// Columns of Q.
    pub rank: usize,
    /// Z'y
    pub y: Vec<f64>,
}

impl CrossProducts {
    pub(crate) fn new(effects: &[ScaledEffect<'_>], q: &[Vec<f64>], y: &[f64]) -> Self {
        let unknowns = effects.iter().map(ScaledEffect::unknowns).sum();
        let mut found = Self {
            diagonal: vec![],
            start: vec![],
            couplings: vec![],
            values: vec![],
            x: vec![0.0; unknowns * q.len()],
            rank: q.len(),
            y: vec![0.0; unknowns],
        };
        for (r, effect) in effects.iter().enumerate() {
            found.add_effect(effect);
            found.add_couplings(effect, &effects[r + 1..], r + 1);
            found.add_vectors(effect, q, y);
        }
        found
    }

    pub(crate) fn couplings(&self, effect: usize, level: usize) -> &[Coupling] {
        &self.couplings[self.start[effect][level]..self.start[effect][level + 1]]
    }

    /// Block of a coupling, `size` entries.
    pub(crate) fn block(&self, coupling: &Coupling, size: usize) -> &[f64] {
        &self.values[coupling.at..coupling.at + size]
    }

    fn add_effect(&mut self, effect: &ScaledEffect<'_>) {
        let l = effect.terms;
        let mut blocks = vec![0.0; effect.levels * l * l];
        for (i, &g) in effect.group.iter().enumerate() {
            add_outer(&mut blocks[g * l * l..(g + 1) * l * l], effect.row(i), effect.row(i));
        }
        self.diagonal.push(blocks);
    }

    fn add_vectors(&mut self, effect: &ScaledEffect<'_>, q: &[Vec<f64>], y: &[f64]) {
        for (i, &g) in effect.group.iter().enumerate() {
            for (a, z) in effect.row(i).iter().enumerate() {
                let unknown = effect.first + g * effect.terms + a;
                self.y[unknown] += z * y[i];
                let sums = &mut self.x[unknown * q.len()..(unknown + 1) * q.len()];
                sums.iter_mut().zip(q).for_each(|(sum, q)| *sum += z * q[i]);
            }
        }
    }

    /// With the effects after it, the first of which has this number.
    fn add_couplings(&mut self, effect: &ScaledEffect<'_>, later: &[ScaledEffect<'_>], number: usize) {
        let (row_start, rows) = rows_by_level(effect);
        let mut slots: Vec<Vec<usize>> = later.iter().map(|other| vec![usize::MAX; other.levels]).collect();
        let mut start = vec![self.couplings.len()];
        for level in 0..effect.levels {
            let first = self.couplings.len();
            for (s, other) in later.iter().enumerate() {
                for &i in &rows[row_start[level]..row_start[level + 1]] {
                    let slot = &mut slots[s][other.group[i]];
                    // slots of levels before are stale
                    if *slot == usize::MAX || *slot < first {
                        *slot = self.couplings.len();
                        self.push(s + number, other.group[i], other.terms * effect.terms);
                    }
                    let at = self.couplings[*slot].at;
                    add_outer(
                        &mut self.values[at..at + other.terms * effect.terms],
                        other.row(i),
                        effect.row(i),
                    );
                }
            }
            self.couplings[first..].sort_unstable_by_key(|c| (c.effect, c.level));
            start.push(self.couplings.len());
        }
        self.start.push(start);
    }

    fn push(&mut self, effect: usize, level: usize, size: usize) {
        let at = self.values.len();
        self.couplings.push(Coupling { effect, level, at });
        self.values.resize(at + size, 0.0);
    }
}

/// `block += left right'`, by columns.
fn add_outer(block: &mut [f64], left: &[f64], right: &[f64]) {
    for (column, b) in block.chunks_exact_mut(left.len()).zip(right) {
        column.iter_mut().zip(left).for_each(|(sum, a)| *sum += a * b);
    }
}

/// Where the rows of each level begin, and the rows.
fn rows_by_level(effect: &ScaledEffect<'_>) -> (Vec<usize>, Vec<usize>) {
    let mut start = vec![0; effect.levels + 1];
    effect.group.iter().for_each(|&g| start[g + 1] += 1);
    (0..effect.levels).for_each(|g| start[g + 1] += start[g]);
    let (mut next, mut rows) = (start.clone(), vec![0; effect.group.len()]);
    for (i, &g) in effect.group.iter().enumerate() {
        rows[next[g]] = i;
        next[g] += 1;
    }
    (start, rows)
}
