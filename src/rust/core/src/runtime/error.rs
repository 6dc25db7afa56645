//! Everything that can go wrong in core. Each variant carries the numbers that its message needs.

use thiserror::Error;

/// What a fit can refuse, in the words that the user will read.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum Error {
    #[error("arguments do not fit together: {what} has length {found}, expected {expected}")]
    Shape {
        what: &'static str,
        found: usize,
        expected: usize,
    },

    #[error("{what} {why}")]
    Argument { what: &'static str, why: String },

    #[error("cannot read \"{path}\": {why}")]
    File { path: String, why: String },

    #[error("the state of the chain is not one of this model")]
    State,

    #[error("X has rank {rank} but there are only {n} rows: no degrees of freedom are left")]
    TooFewRows { n: usize, rank: usize },

    #[error("the response {why}")]
    Response { class: &'static str, why: &'static str },

    #[error(
        "the kernel cannot be told from the residual: after removing X it is {scale:.4} times the identity \
         (every group has one row and the kernel is proportional to I)"
    )]
    NotIdentifiable { scale: f64 },

    #[error("the kernel is not positive semidefinite: smallest eigenvalue {min:.6e}, largest {max:.6e}")]
    NotPositive { min: f64, max: f64 },

    #[error("the variances of {labels} cannot be told apart: once X is removed their covariances depend on each other")]
    Alike { labels: String },

    #[error("nothing is left of the covariance of \"{label}\" once X is removed: its variance is unknown")]
    Vanishes { label: String },

    #[error("{by} explain the response exactly: the likelihood has no bound and the variances no estimates")]
    Explained { by: &'static str },

    #[error("coordinate {axis} of gp() does not vary")]
    ConstantCoordinate { axis: usize },

    #[error(
        "the Fourier basis of gp() has {size} functions for {n} rows, and needs fewer than there are rows: \
         use basis = \"exact\", a larger tol, or a length scale that is not so short"
    )]
    BasisAboveRows { size: usize, n: usize },

    #[error(
        "the kernel of gp() is too rough for a Fourier basis of {largest} functions: at the length scale {length:.4} all but {missing:.1e} of its variance \
         takes about {size:.0}. Use a smoother `cov`, fewer coordinates, a larger `tol`, a `range` without such short length scales, a larger `size`, or \
         basis = \"exact\" for some thousand rows"
    )]
    Rough {
        size: f64,
        largest: usize,
        length: f64,
        missing: f64,
    },

    #[error(
        "the {rows} rows allow gp() a Fourier basis of {largest} functions, which tells length scales of this kernel {}, and none of those that are looked for, up to {longest:.4}. Use a smoother \
         `cov`, or basis = \"exact\", which looks down to the distance of neighbours and takes time that grows with the cube of the rows",
        from_on(*.from)
    )]
    RoughForRows {
        rows: usize,
        largest: usize,
        from: f64,
        longest: f64,
    },

    #[error("maximum likelihood is unbounded as delta -> 0 and has no interior optimum; use REML")]
    MlUnbounded,

    #[error("a variance of {value:e} cannot be represented; rescale the response or the kernel")]
    Scale { value: f64 },

    #[error("this needs about {} of memory but only {} are available", size(*needed), size(*available))]
    Memory { needed: f64, available: f64 },

    #[error("{what} did not converge{}", after(*.iterations))]
    NoConvergence { what: &'static str, iterations: usize },

    #[error("a Fourier transform cannot have the tolerance {value:e}: it must lie between 1e-14 and 0.1")]
    Tolerance { value: f64 },

    #[error("interrupted")]
    Interrupted,

    #[error("could not start {threads} threads")]
    Threads { threads: usize },
}

/// A number of GiB.
fn size(gib: f64) -> String {
    if gib < 1.0 {
        format!("{:.0} MiB", 1024.0 * gib)
    } else {
        format!("{gib:.1} GiB")
    }
}

fn after(iterations: usize) -> String {
    if iterations == 0 {
        String::new()
    } else {
        format!(" in {iterations} iterations")
    }
}

pub type Result<T> = std::result::Result<T, Error>;

/// From which length scale on; infinite: none.
fn from_on(from: f64) -> String {
    if from.is_finite() {
        format!("from {from:.4} on")
    } else {
        "at no length".to_owned()
    }
}

impl Error {
    /// A number that should be one of 1, ..., bound.
    pub fn outside(what: &'static str, value: impl std::fmt::Display, bound: usize) -> Self {
        let why = format!("is {value}, but must be a whole number from 1 to {bound}");
        Error::Argument { what, why }
    }

    /// Short name of the failure: R's condition class is `fastlmm_error_<class>`.
    pub fn class(&self) -> &'static str {
        match *self {
            Error::Shape { .. } => "shape",
            Error::Argument { .. } => "argument",
            Error::File { .. } => "file",
            Error::TooFewRows { .. } => "too_few_rows",
            Error::Response { class, .. } => class,
            Error::NotIdentifiable { .. } => "not_identifiable",
            Error::NotPositive { .. } => "not_positive",
            Error::Alike { .. } => "alike",
            Error::Vanishes { .. } => "confounded",
            Error::Explained { .. } => "explained",
            Error::ConstantCoordinate { .. } => "constant_coordinate",
            Error::BasisAboveRows { .. } => "basis",
            Error::Rough { .. } | Error::RoughForRows { .. } => "rough",
            Error::MlUnbounded => "ml_unbounded",
            Error::Scale { .. } => "scale",
            Error::Memory { .. } => "memory",
            Error::NoConvergence { .. } => "no_convergence",
            Error::Tolerance { .. } => "tolerance",
            Error::Interrupted => "interrupted",
            Error::Threads { .. } => "threads",
            Error::State => "state",
        }
    }

    /// Does it end a call on many responses, and not only one of them?
    pub fn concerns_all(&self) -> bool {
        matches!(
            self,
            Error::Shape { .. }
                | Error::Argument { .. }
                | Error::File { .. }
                | Error::Memory { .. }
                | Error::Interrupted
                | Error::Threads { .. }
        )
    }

    /// The numbers of the message, by name.
    pub fn numbers(&self) -> Vec<(&'static str, f64)> {
        match *self {
            Error::Alike { .. } | Error::Vanishes { .. } | Error::Explained { .. } | Error::Response { .. } => vec![],
            Error::Shape { found, expected, .. } => vec![("found", found as f64), ("expected", expected as f64)],
            Error::TooFewRows { n, rank } => vec![("n", n as f64), ("rank", rank as f64)],
            Error::NotIdentifiable { scale } => vec![("scale", scale)],
            Error::NotPositive { min, max } => vec![("min", min), ("max", max)],
            Error::Scale { value } | Error::Tolerance { value } => vec![("value", value)],
            Error::Memory { needed, available } => vec![("needed", needed), ("available", available)],
            Error::NoConvergence { iterations, .. } => vec![("iterations", iterations as f64)],
            Error::ConstantCoordinate { axis } => vec![("axis", axis as f64)],
            Error::BasisAboveRows { size, n } => vec![("size", size as f64), ("n", n as f64)],
            Error::Rough {
                size,
                largest,
                length,
                missing,
            } => vec![
                ("size", size),
                ("largest", largest as f64),
                ("length", length),
                ("missing", missing),
            ],
            Error::RoughForRows {
                rows,
                largest,
                from,
                longest,
            } => vec![
                ("rows", rows as f64),
                ("largest", largest as f64),
                ("from", from),
                ("longest", longest),
            ],
            Error::Threads { threads } => vec![("threads", threads as f64)],
            Error::MlUnbounded | Error::Interrupted | Error::State => vec![],
            Error::Argument { .. } | Error::File { .. } => vec![],
        }
    }
}
