//! R's memory as core reads it: views without copies, and indices that start at 0.

use crate::failure::{Failure, Reply};
use crate::words::KernelForm;
use extendr_api::prelude::*;
use faer::{Mat, MatRef};
use fastlmm_core::kernel::Kernel;
use fastlmm_core::kernel::dense::Dense;
use fastlmm_core::kernel::low_rank::LowRank;
use fastlmm_core::kernel::sparse::Sparse;
use fastlmm_core::kernel::stationary::Family;
use fastlmm_core::likelihood::Method;
use fastlmm_core::mix;
use fastlmm_core::rotation::Model;
use fastlmm_core::rotation::rotated::Rotated;
use fastlmm_core::runtime::error::Error;
use fastlmm_core::runtime::memory::claim;

pub fn matrix(x: &RMatrix<f64>) -> MatRef<'_, f64> {
    MatRef::from_column_major_slice(x.data(), x.nrows(), x.ncols())
}

/// K itself, or W with K = W W'. A 0 x 0 matrix stands for the identity.
pub fn kernel(k: &RMatrix<f64>, factor: bool) -> Kernel<'_> {
    match (k.nrows(), factor) {
        (0, _) => Kernel::Identity,
        (_, true) => Kernel::LowRank(LowRank(matrix(k), false)),
        (_, false) => Kernel::Dense(Dense(matrix(k))),
    }
}

/// What stands for a kernel: a matrix K (0 x 0: the identity), a factor W, one with orthogonal columns, or as `list(n, p, i, x)` a sparse one or a sparse inverse of K.
pub enum KernelView {
    Matrix(RMatrix<f64>),
    Factor(RMatrix<f64>, bool),
    Sparse {
        n: usize,
        p: Robj,
        i: Robj,
        x: Robj,
        form: KernelForm,
    },
}

impl KernelView {
    pub fn new(k: &Robj, form: &str) -> Reply<Self> {
        let form: KernelForm = form.parse()?;
        if matches!(form, KernelForm::Sparse | KernelForm::Precision) {
            let list = k.as_list().ok_or(missing("W"))?;
            let element = |name: &'static str| list.dollar(name).map_err(|_| missing(name));
            let n = count(element("n")?.as_integer().ok_or(missing("n"))?, "n")?;
            return Ok(KernelView::Sparse {
                n,
                p: element("p")?,
                i: element("i")?,
                x: element("x")?,
                form,
            });
        }
        let matrix = RMatrix::<f64>::try_from(k.clone()).map_err(|_| missing("K"))?;
        Ok(match form {
            KernelForm::Matrix => KernelView::Matrix(matrix),
            _ => KernelView::Factor(matrix, form == KernelForm::Orthogonal),
        })
    }

    pub fn kernel(&self) -> Reply<Kernel<'_>> {
        Ok(match self {
            KernelView::Matrix(k) => kernel(k, false),
            KernelView::Factor(w, orthogonal) => Kernel::LowRank(LowRank(matrix(w), *orthogonal)),
            KernelView::Sparse { n, p, i, x, form } => {
                let (p, i) = (
                    p.as_integer_slice().ok_or(missing("p"))?,
                    i.as_integer_slice().ok_or(missing("i"))?,
                );
                let held = Sparse::new(*n, p, i, x.as_real_slice().ok_or(missing("x"))?)?;
                match form {
                    KernelForm::Precision => Kernel::Precision(held),
                    _ => Kernel::Sparse(held),
                }
            }
        })
    }

    /// Rows of the kernel; the identity has one a group.
    pub fn rows(&self, groups: usize) -> usize {
        match self {
            KernelView::Matrix(k) if k.nrows() == 0 => groups,
            KernelView::Matrix(k) | KernelView::Factor(k, _) => k.nrows(),
            KernelView::Sparse { n, .. } => *n,
        }
    }
}

/// A random effect as R holds it.
pub struct EffectView {
    label: String,
    z: Robj,
    group: Vec<usize>,
    kernel: KernelView,
    index: Vec<usize>,
}

impl EffectView {
    fn new(effect: &List) -> Reply<Self> {
        let index = whole(effect, "index")?;
        let kernel = KernelView::new(&element(effect, "K")?, &text(effect, "form")?)?;
        Ok(Self {
            label: text(effect, "label")?,
            z: element(effect, "z")?,
            group: indices(&whole(effect, "group")?, index.len(), "group")?,
            index: indices(&index, kernel.rows(index.len()), "index")?,
            kernel,
        })
    }

    pub fn rows(&self) -> usize {
        self.group.len()
    }

    /// Columns of the factor.
    pub fn factor_columns(&self) -> Reply<usize> {
        Ok(self.kernel.kernel()?.factor_columns().unwrap_or(0))
    }

    /// Groups of n rows as they are: no kernel tells them from one another, and each row has its group's effect.
    pub fn grouping(&self, n: usize) -> Reply<(&[usize], usize)> {
        let effect = self.view(n)?;
        match effect.kernel {
            Kernel::Identity if effect.z.iter().all(|z| *z == 1.0) => Ok((&self.group, self.index.len())),
            _ => {
                let why = "have a kernel or a slope, which go with the kernel matrix of all rows only".to_owned();
                Err(Error::Argument { what: "effects", why }.into())
            }
        }
    }

    pub fn view(&self, n: usize) -> Reply<mix::Effect<'_>> {
        let z = self.z.as_real_slice().ok_or(missing("z"))?;
        same_length("z", z.len(), n)?;
        same_length("group", self.group.len(), n)?;
        Ok(mix::Effect {
            label: &self.label,
            z,
            group: &self.group,
            kernel: self.kernel.kernel()?,
            index: &self.index,
        })
    }

    /// The model with this effect only and no response.
    pub fn model<'a>(&'a self, x: MatRef<'a, f64>, weights: &'a [f64]) -> Reply<Model<'a>> {
        let effect = self.view(weights.len())?;
        Ok(Model {
            y: &[],
            x,
            weights,
            z: effect.z,
            group: effect.group,
            kernel: effect.kernel,
            index: effect.index,
        })
    }
}

pub fn effect(list: &List) -> Reply<EffectView> {
    EffectView::new(list)
}

pub fn effects(list: &List) -> Reply<Vec<EffectView>> {
    let one = |effect: Robj| EffectView::new(&as_list(&effect, "effects")?);
    list.values().map(one).collect()
}

/// R's indices from 1 as indices from 0, each below `bound`.
pub fn indices(x: &[i32], bound: usize, what: &'static str) -> Reply<Vec<usize>> {
    claim(x.len() as f64)?;
    x.iter().map(|i| index(*i, bound, what)).collect()
}

/// R's index from 1 as an index from 0.
pub fn index(i: i32, bound: usize, what: &'static str) -> Reply<usize> {
    match usize::try_from(i) {
        Ok(index) if (1..=bound).contains(&index) => Ok(index - 1),
        _ if i.is_na() => Err(Error::outside(what, "NA", bound).into()),
        _ => Err(Error::outside(what, i, bound).into()),
    }
}

/// Several vectors of indices in their order.
pub fn ordered_sets(sets: &List, bound: usize, what: &'static str) -> Reply<Vec<Vec<usize>>> {
    let one = |set: Robj| indices(&set.as_integer_vector().ok_or(missing(what))?, bound, what);
    sets.values().map(one).collect()
}

/// Several vectors of indices, each ascending.
pub fn index_sets(sets: &List, bound: usize, what: &'static str) -> Reply<Vec<Vec<usize>>> {
    let one = |set: Robj| {
        let mut set = indices(&set.as_integer_vector().ok_or(missing(what))?, bound, what)?;
        set.sort_unstable();
        Ok(set)
    };
    sets.values().map(one).collect()
}

pub fn same_length(what: &'static str, found: usize, expected: usize) -> Reply<()> {
    if found == expected {
        Ok(())
    } else {
        Err(Error::Shape { what, found, expected }.into())
    }
}

pub fn method(name: &str) -> Reply<Method> {
    Ok(name.parse()?)
}

/// A count that R holds as an integer or a number: whole, not negative, not missing, and exact in both.
pub fn count(x: impl Into<f64>, what: &'static str) -> Reply<usize> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let x = x.into();
    if x.fract() == 0.0 && (0.0..=EXACT).contains(&x) {
        return Ok(x as usize);
    }
    let why = format!("must be a whole number that is not negative, not {x}");
    Err(Error::Argument { what, why }.into())
}

/// The count that a list holds.
pub fn count_of(list: &List, name: &'static str) -> Reply<usize> {
    count(number(list, name)?, name)
}

/// R's NA as absence.
pub fn optional(x: Rfloat) -> Option<f64> {
    Option::<f64>::from(x).filter(|x| !x.is_nan())
}

/// The list that `reply::rotated` made.
pub fn rotated(list: &List) -> Reply<Rotated> {
    let values = numbers(list, "values")?;
    let y1 = numbers(list, "y1")?;
    let (r, n) = (y1.len(), values.len());
    let number = |name| number(list, name);
    Ok(Rotated {
        y: numbers(list, "y")?,
        rho: number("rho")?,
        n_rest: count(number("n_rest")?, "n_rest")?,
        k11: rows(&numbers(list, "k11")?, r, r),
        b: rows(&numbers(list, "b")?, r, n),
        basis: rows(&numbers(list, "basis")?, r, r),
        null: count(number("null")?, "null")?,
        dropped: count(number("dropped")?, "dropped")?,
        log_det_x: number("log_det_x")?,
        log_weights: number("log_weights")?,
        y_scale: number("y_scale")?,
        k_scale: number("k_scale")?,
        values,
        y1,
    })
}

pub fn element(list: &List, name: &'static str) -> Reply<Robj> {
    list.dollar(name).map_err(|_| missing(name))
}

pub fn sublist(list: &List, name: &'static str) -> Reply<List> {
    as_list(&element(list, name)?, name)
}

pub fn as_list(x: &Robj, what: &'static str) -> Reply<List> {
    x.as_list().ok_or(missing(what))
}

pub fn flag(list: &List, name: &'static str) -> Reply<bool> {
    element(list, name)?.as_bool().ok_or(missing(name))
}

pub fn whole(list: &List, name: &'static str) -> Reply<Vec<i32>> {
    element(list, name)?.as_integer_vector().ok_or(missing(name))
}

pub fn text(list: &List, name: &'static str) -> Reply<String> {
    Ok(element(list, name)?.as_str().ok_or(missing(name))?.to_owned())
}

pub fn texts(list: &List, name: &'static str) -> Reply<Vec<String>> {
    element(list, name)?.as_string_vector().ok_or(missing(name))
}

pub fn number(list: &List, name: &'static str) -> Reply<f64> {
    numbers(list, name)?.first().copied().ok_or(missing(name))
}

pub fn real_matrix(list: &List, name: &'static str) -> Reply<RMatrix<f64>> {
    RMatrix::<f64>::try_from(element(list, name)?).map_err(|_| missing(name))
}

/// The same in memory of its own.
pub fn owned(list: &List, name: &'static str) -> Reply<Mat<f64>> {
    let x = real_matrix(list, name)?;
    claim(x.data().len() as f64)?;
    Ok(matrix(&x).to_owned())
}

pub fn family(name: &str) -> Reply<Family> {
    Ok(name.parse()?)
}

/// The word that `family()` reads
pub fn family_name(family: Family) -> &'static str {
    let same = |name: &&&str| name.parse() == Ok(family);
    Family::NAMES.iter().find(same).copied().unwrap_or_default()
}

pub fn missing(what: &'static str) -> Failure {
    let why = "is missing, or not of the type that is needed".to_owned();
    Error::Argument { what, why }.into()
}

pub fn numbers(list: &List, name: &'static str) -> Reply<Vec<f64>> {
    let found = list.iter().find(|(key, _)| *key == name).map(|(_, x)| x);
    claim(found.as_ref().map_or(0, Robj::len) as f64)?;
    found.and_then(|x| x.as_real_vector()).ok_or(missing(name))
}

/// The rows of an R matrix (column-major).
fn rows(x: &[f64], nrow: usize, ncol: usize) -> Vec<Vec<f64>> {
    (0..nrow)
        .map(|i| (0..ncol).map(|j| x[i + j * nrow]).collect())
        .collect()
}
