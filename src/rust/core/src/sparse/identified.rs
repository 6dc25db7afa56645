//! Whether the variances of independent terms can be told apart: whether their covariances, X taken off both sides, and the identity of the residual are linearly independent.

use super::problem::SparseProblem;
use faer::{Mat, Side};

/// Least eigenvalue of the matrix of their cosines.
const INDEPENDENT: f64 = 1e-8;
/// Part of a term's variance that X must leave, over the number of rows.
const LEFT: f64 = 1e-10;

/// Of a term: its trace, X taken off, and (Z'Q)'Z'Q.
struct TermSums {
    trace: f64,
    left: f64,
    xx: Mat<f64>,
}

impl SparseProblem<'_> {
    /// Are all variances, the residual's among them, well determined as far as the design goes? For effects with T diagonal.
    pub(super) fn is_identified(&self) -> bool {
        let sums = self.term_sums();
        if sums.iter().any(|term| term.left <= LEFT * term.trace) {
            return false;
        }
        let (mut gram, last) = (self.products(&sums), sums.len());
        sums.iter().enumerate().for_each(|(k, term)| {
            gram[(k, last)] = term.left;
            gram[(last, k)] = term.left;
        });
        gram[(last, last)] = (self.n() - self.rank()) as f64;
        let cosine = Mat::from_fn(last + 1, last + 1, |k, l| {
            gram[(k, l)] / (gram[(k, k)] * gram[(l, l)]).sqrt()
        });
        let least = cosine
            .self_adjoint_eigenvalues(Side::Lower)
            .ok()
            .and_then(|values| values.first().copied());
        least.is_some_and(|least| least > INDEPENDENT)
    }

    /// Effect and term, by the model, of which X leaves nothing.
    pub(super) fn vanished_term(&self) -> Option<(usize, usize)> {
        let terms = self
            .arrangement
            .effects
            .iter()
            .flat_map(|e| (0..e.terms).map(|a| (e.number, a)));
        let mut gone = terms
            .zip(self.term_sums())
            .filter(|(_, sums)| sums.left <= LEFT * sums.trace);
        gone.next().map(|(place, _)| place)
    }

    /// Number of an effect's first term among all of them.
    fn first_term(&self, r: usize) -> usize {
        self.arrangement.effects[..r].iter().map(|effect| effect.terms).sum()
    }

    fn x_of(&self, unknown: usize) -> &[f64] {
        &self.cross.x[unknown * self.rank()..(unknown + 1) * self.rank()]
    }

    fn term_sums(&self) -> Vec<TermSums> {
        let p = self.rank();
        let mut sums = vec![];
        for (r, effect) in self.arrangement.effects.iter().enumerate() {
            let l = effect.terms;
            for a in 0..l {
                let mut xx = Mat::<f64>::zeros(p, p);
                let mut trace = 0.0;
                for level in 0..effect.levels {
                    trace += self.cross.diagonal[r][level * l * l + a * l + a];
                    let x = self.x_of(effect.first + level * l + a);
                    (0..p).for_each(|c| (0..p).for_each(|d| xx[(c, d)] += x[c] * x[d]));
                }
                let left = trace - (0..p).map(|c| xx[(c, c)]).sum::<f64>();
                sums.push(TermSums { trace, left, xx });
            }
        }
        sums
    }

    /// `|Z_k' P Z_l|^2` with P the projection off X: `|G|^2 - 2 <G, x_k x_l'> + <x_k'x_k, x_l'x_l>` with `G = Z_k'Z_l`, `x = Z'Q`; a row and a column for the residual beside them.
    fn products(&self, sums: &[TermSums]) -> Mat<f64> {
        let size = sums.len() + 1;
        let mut gram = Mat::<f64>::zeros(size, size);
        let inner = |a: &Mat<f64>, b: &Mat<f64>| (a.transpose() * b).diagonal().column_vector().sum();
        for (k, of_k) in sums.iter().enumerate() {
            sums.iter()
                .enumerate()
                .for_each(|(l, of_l)| gram[(k, l)] = inner(&of_k.xx, &of_l.xx));
        }
        let along = |i: usize, j: usize| self.x_of(i).iter().zip(self.x_of(j)).map(|(a, b)| a * b).sum::<f64>();
        let part = |g: f64, i: usize, j: usize| g * (g - 2.0 * along(i, j));
        for (r, effect) in self.arrangement.effects.iter().enumerate() {
            let (l, term) = (effect.terms, self.first_term(r));
            for level in 0..effect.levels {
                let first = effect.first + level * l;
                let own = &self.cross.diagonal[r][level * l * l..(level + 1) * l * l];
                (0..l * l).for_each(|at| {
                    gram[(term + at % l, term + at / l)] += part(own[at], first + at % l, first + at / l)
                });
                for coupling in self.cross.couplings(r, level) {
                    let other = &self.arrangement.effects[coupling.effect];
                    let (m, above) = (other.terms, other.first + coupling.level * other.terms);
                    let other_term = self.first_term(coupling.effect);
                    for (at, g) in self.cross.block(coupling, m * l).iter().enumerate() {
                        let x = part(*g, above + at % m, first + at / m);
                        gram[(other_term + at % m, term + at / m)] += x;
                        gram[(term + at / m, other_term + at % m)] += x;
                    }
                }
            }
        }
        gram
    }
}
