//! The first effect eliminated level by level: its blocks `A_j = T'G_jj T + P_jj I = L_j L_j'`, and what couples each of them to the rest, to X and to y, times `L_j^-T`.

use super::problem::SparseProblem;
use faer::Mat;

/// Blocks of the first effect at some T.
pub(crate) struct Elimination {
    /// L_j by rows, l x l a level.
    pub roots: Vec<f64>,
    /// By levels, a row of l numbers for each unknown of the rest that it meets, for each column of Q and for y.
    pub coupled: Vec<f64>,
    /// Sum of log|A_j|.
    pub log_det: f64,
}

/// `out = Tl' G Tr` by rows, G by columns.
pub(crate) fn conjugate(tl: &Mat<f64>, g: &[f64], tr: &Mat<f64>, out: &mut [f64]) {
    let (m, n) = (tl.nrows(), tr.nrows());
    for i in 0..m {
        for j in 0..n {
            // T is lower triangular
            let column = |d: usize| (i..m).map(|c| tl[(c, i)] * g[c + d * m]).sum::<f64>();
            out[i * n + j] = (j..n).map(|d| column(d) * tr[(d, j)]).sum();
        }
    }
}

/// `out = T'g`
pub(crate) fn rescaled(t: &Mat<f64>, g: impl Fn(usize) -> f64, out: &mut [f64]) {
    let l = t.nrows();
    for (b, out) in out.iter_mut().enumerate() {
        *out = (b..l).map(|a| t[(a, b)] * g(a)).sum();
    }
}

/// `L L'` in place of a small matrix by rows; `None` if it is not positive definite.
fn factorise(a: &mut [f64], l: usize) -> Option<f64> {
    let mut log_det = 0.0;
    for j in 0..l {
        for i in j..l {
            let sum: f64 = (0..j).map(|k| a[i * l + k] * a[j * l + k]).sum();
            let entry = a[i * l + j] - sum;
            if i == j {
                if !(entry > 0.0 && entry.is_finite()) {
                    return None;
                }
                log_det += entry.ln();
                a[j * l + j] = entry.sqrt();
            } else {
                a[i * l + j] = entry / a[j * l + j];
            }
        }
    }
    Some(log_det)
}

/// `b <- L^-1 b`
pub(crate) fn forward(root: &[f64], b: &mut [f64]) {
    let l = b.len();
    for i in 0..l {
        let sum: f64 = (0..i).map(|k| root[i * l + k] * b[k]).sum();
        b[i] = (b[i] - sum) / root[i * l + i];
    }
}

/// `b <- L^-T b`
pub(crate) fn backward(root: &[f64], b: &mut [f64]) {
    let l = b.len();
    for i in (0..l).rev() {
        let sum: f64 = (i + 1..l).map(|k| root[k * l + i] * b[k]).sum();
        b[i] = (b[i] - sum) / root[i * l + i];
    }
}

impl Elimination {
    pub(crate) fn new(problem: &SparseProblem<'_>, t: &[Mat<f64>]) -> Option<Self> {
        let mut found = Self {
            roots: vec![],
            coupled: vec![],
            log_det: 0.0,
        };
        if problem.arrangement.eliminated == 0 {
            return Some(found);
        }
        let effect = &problem.arrangement.effects[0];
        let l = effect.terms;
        found.roots = vec![0.0; effect.levels * l * l];
        found.coupled = vec![0.0; problem.meetings.rows(effect.levels) * l];
        for j in 0..effect.levels {
            let root = &mut found.roots[j * l * l..(j + 1) * l * l];
            conjugate(
                &t[0],
                &problem.cross.diagonal[0][j * l * l..(j + 1) * l * l],
                &t[0],
                root,
            );
            (0..l).for_each(|a| root[a * l + a] += effect.penalty.diagonal[j]);
            found.log_det += factorise(root, l)?;
            let rows = &mut found.coupled[problem.meetings.rows(j) * l..problem.meetings.rows(j + 1) * l];
            fill(problem, t, j, rows);
            rows.chunks_exact_mut(l).for_each(|row| forward(root, row));
        }
        Some(found)
    }
}

/// What level j of the first effect has with the rest, with Q and with y.
fn fill(problem: &SparseProblem<'_>, t: &[Mat<f64>], j: usize, rows: &mut [f64]) {
    let (cross, l) = (&problem.cross, t[0].nrows());
    let mut at = 0;
    for coupling in cross.couplings(0, j) {
        let other = &t[coupling.effect];
        let size = other.nrows() * l;
        conjugate(other, cross.block(coupling, size), &t[0], &mut rows[at..at + size]);
        at += size;
    }
    let unknown = |a: usize| j * l + a;
    for c in 0..cross.rank {
        rescaled(&t[0], |a| cross.x[unknown(a) * cross.rank + c], &mut rows[at..at + l]);
        at += l;
    }
    rescaled(&t[0], |a| cross.y[unknown(a)], &mut rows[at..at + l]);
}

/// Which unknowns of the rest each level of the first effect meets, ascending.
pub(crate) struct Meetings {
    start: Vec<usize>,
    unknowns: Vec<usize>,
    /// Rows beside those: Q and y.
    beside: usize,
}

impl Meetings {
    pub(crate) fn new(start: Vec<usize>, unknowns: Vec<usize>, rank: usize) -> Self {
        let beside = rank + 1;
        Self {
            start,
            unknowns,
            beside,
        }
    }

    /// Of level j.
    pub(crate) fn of(&self, j: usize) -> &[usize] {
        &self.unknowns[self.start[j]..self.start[j + 1]]
    }

    /// Rows of `Elimination::coupled` before level j.
    pub(crate) fn rows(&self, j: usize) -> usize {
        self.start[j] + j * self.beside
    }

    /// Pairs of unknowns that a level makes meet, over all levels.
    pub(crate) fn pairs(&self) -> f64 {
        self.start.windows(2).map(|w| ((w[1] - w[0]) as f64).powi(2)).sum()
    }
}
