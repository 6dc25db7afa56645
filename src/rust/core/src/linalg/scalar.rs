//! Numbers that the objective is evaluated with, and sums, quadratic forms and determinants of them.

use super::{MANY, matrix_of, symmetric_product};
use faer::{Mat, Par};
use num_dual::{Dual2_64, Dual64, DualNumCopy, HyperDual64};

/// A number that the objective can be evaluated with: `f64` for the value, dual numbers for derivatives.
pub trait Scalar: DualNumCopy<Primitive = f64> {
    /// The value and its derivatives.
    const PARTS: usize;

    /// The value for k = 0, then the derivatives.
    fn part(&self, k: usize) -> f64;

    /// From the value and its derivatives.
    fn of_parts(part: impl Fn(usize) -> f64) -> Self;
}

macro_rules! scalar {
    ($type:ty, $count:literal, |$x:ident| $parts:expr, |$part:ident| $made:expr) => {
        impl Scalar for $type {
            const PARTS: usize = $count;

            fn part(&self, k: usize) -> f64 {
                let $x = self;
                $parts[k]
            }

            fn of_parts($part: impl Fn(usize) -> f64) -> Self {
                $made
            }
        }
    };
}

scalar!(f64, 1, |x| [*x], |part| part(0));
scalar!(Dual64, 2, |x| [x.re, x.eps], |part| Dual64::new(part(0), part(1)));
scalar!(Dual2_64, 3, |x| [x.re, x.v1, x.v2], |part| Dual2_64::new(
    part(0),
    part(1),
    part(2)
));
scalar!(HyperDual64, 4, |x| [x.re, x.eps1, x.eps2, x.eps1eps2], |part| {
    HyperDual64::new(part(0), part(1), part(2), part(3))
});

/// Sum of terms 0..n, by partial sums: additions need not wait for one another.
pub(crate) fn sum_of<D: Scalar>(n: usize, term: impl Fn(usize) -> D) -> D {
    const LANES: usize = 8;
    let mut partial = [D::from(0.0); LANES];
    let whole = n - n % LANES;
    for first in (0..whole).step_by(LANES) {
        for (lane, sum) in partial.iter_mut().enumerate() {
            *sum += term(first + lane);
        }
    }
    let tail = (whole..n).fold(D::from(0.0), |sum, i| sum + term(i));
    partial.into_iter().fold(tail, |sum, part| sum + part)
}

/// sum_i a_i b_i / (h lambda_i + g): the quadratic form that every likelihood term is made of.
pub(crate) fn weighted<D: Scalar>(a: &[f64], b: &[f64], inverse: &[D]) -> D {
    let n = a.len().min(b.len()).min(inverse.len());
    let (a, b, inverse) = (&a[..n], &b[..n], &inverse[..n]);
    sum_of(n, |i| inverse[i] * (a[i] * b[i]))
}

/// Lower triangle of B diag(w) B', B given by rows. Of many rows it is a product of matrices for the value, and one for each derivative.
pub(crate) fn weighted_products<D: Scalar>(b: &[Vec<f64>], w: &[D]) -> Vec<Vec<D>> {
    if b.len() < MANY {
        let row = |i: usize| (0..=i).map(|j| weighted(&b[i], &b[j], w)).collect();
        return (0..b.len()).map(row).collect();
    }
    let columns = matrix_of(b, w.len());
    let product = |k: usize| {
        let scaled = Mat::from_fn(w.len(), b.len(), |i, j| columns[(i, j)] * w[i].part(k));
        symmetric_product(scaled.as_ref(), columns.as_ref(), Par::Seq)
    };
    let parts: Vec<Mat<f64>> = (0..D::PARTS).map(product).collect();
    let entry = |i: usize, j: usize| D::of_parts(|k| parts[k][(i, j)]);
    (0..b.len()).map(|i| (0..=i).map(|j| entry(i, j)).collect()).collect()
}

/// log|S| of a small symmetric positive definite S by Cholesky, `None` when a pivot is not positive.
///
/// `s` is the lower triangle by rows: `s[i][j]`, j <= i. It is overwritten with the factor.
pub(crate) fn log_det<D: Scalar>(s: &mut [Vec<D>]) -> Option<D> {
    let mut sum = D::from(0.0);
    for j in 0..s.len() {
        for i in j..s.len() {
            let (row, other) = (&s[i][..j], &s[j][..j]);
            let entry = s[i][j] - sum_of(j, |k| row[k] * other[k]);
            s[i][j] = if i > j { entry / s[j][j] } else { entry };
            if i == j {
                if entry.re().is_nan() || entry.re() <= 0.0 {
                    return None;
                }
                sum += entry.ln();
                s[j][j] = entry.sqrt();
            }
        }
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use num_dual::DualNum;

    #[test]
    fn log_det_of_a_known_matrix() {
        // det [4 2 1; 2 5 3; 1 3 6] = 67
        let mut s = vec![vec![4.0], vec![2.0, 5.0], vec![1.0, 3.0, 6.0]];
        assert!((log_det(&mut s).unwrap() - f64::ln(67.0)).abs() < 1e-14);
        assert!(log_det(&mut [vec![1.0], vec![2.0, 1.0]]).is_none());
    }

    #[test]
    fn products_of_many_rows_have_the_derivatives_of_each_entry() {
        fn differ<D: Scalar>(w: &[D]) -> f64 {
            let b: Vec<Vec<f64>> = (0..20)
                .map(|i| (0..w.len()).map(|c| f64::sin((3 * i + 7 * c) as f64)).collect())
                .collect();
            let found = weighted_products(&b, w);
            assert!(found.iter().enumerate().all(|(i, row)| row.len() == i + 1));
            let pairs = (0..20).flat_map(|i| (0..=i).map(move |j| (i, j)));
            let of_pair = |(i, j): (usize, usize)| {
                let slow = weighted(&b[i], &b[j], w);
                (0..D::PARTS)
                    .map(move |k| (k, slow))
                    .map(|(k, slow)| (found[i][j].part(k) - slow.part(k)).abs())
                    .fold(0.0, f64::max)
            };
            pairs.map(of_pair).fold(0.0, f64::max)
        }
        let at = |c: usize| 1.0 + 0.1 * c as f64;
        assert!(differ(&(0..40).map(at).collect::<Vec<f64>>()) < 1e-12);
        let dual: Vec<Dual64> = (0..40).map(|c| Dual64::from(at(c)).derivative().recip()).collect();
        let dual2: Vec<Dual2_64> = (0..40).map(|c| Dual2_64::from(at(c)).derivative().ln()).collect();
        let hyper: Vec<HyperDual64> = (0..40).map(|c| HyperDual64::new(at(c), 1.0, 0.5, 0.0).sqrt()).collect();
        assert!(differ(&dual) < 1e-12 && differ(&dual2) < 1e-12 && differ(&hyper) < 1e-12);
        assert!(dual2.iter().all(|w| w.part(2) < 0.0) && hyper.iter().all(|w| w.part(3) < 0.0));
    }
}
