//! Everything that can go wrong in core. Each variant carries the numbers that its message needs.

use thiserror::Error;

/// What a fit can refuse, in the words that the user will read.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum Error {
    /// Two arguments whose sizes do not fit together.
    #[error("arguments do not fit together: {what} has length {found}, expected {expected}")]
    Shape {
        /// Which of them.
        what: &'static str,
        /// Its length.
        found: usize,
        /// The length that the others ask for.
        expected: usize,
    },

    /// An argument that cannot be used.
    #[error("{what} {why}")]
    Argument {
        /// Its name.
        what: &'static str,
        /// What is wrong with it, as the end of a sentence.
        why: String,
    },

    /// A file that cannot be read or written.
    #[error("cannot {access} \"{path}\": {why}")]
    File {
        /// What was tried.
        access: Access,
        /// Its path.
        path: String,
        /// Why not.
        why: String,
    },

    /// Bytes that are no state of the model's chains.
    #[error("the state of the chain is not one of this model")]
    State,

    /// No contrast is left once X is removed.
    #[error("X has rank {rank} but there are only {n} rows: no degrees of freedom are left")]
    TooFewRows {
        /// Number of rows.
        n: usize,
        /// Rank of X.
        rank: usize,
    },

    /// A response that no model can take.
    #[error("the response {why}")]
    Response {
        /// Class of the condition.
        class: &'static str,
        /// What is wrong with it, as the end of a sentence.
        why: &'static str,
    },

    /// Without X the kernel is a multiple of the identity.
    #[error(
        "the kernel cannot be distinguished from the residual: after projecting out X it is {scale:.4} times the identity \
         (every group has one row and the kernel is proportional to I)"
    )]
    NotIdentifiable {
        /// Which multiple.
        scale: f64,
    },

    /// A negative eigenvalue that is larger than the tolerance.
    #[error("the kernel is not positive semidefinite: smallest eigenvalue {min:.6e}, largest {max:.6e}")]
    NotPositive {
        /// Smallest eigenvalue.
        min: f64,
        /// Largest eigenvalue.
        max: f64,
    },

    /// Covariances that depend on each other.
    #[error(
        "the variances of {labels} cannot be distinguished: once X is projected out, their covariances are linearly dependent"
    )]
    Alike {
        /// Names of the effects.
        labels: String,
    },

    /// A covariance that X explains.
    #[error("nothing is left of the covariance of \"{label}\" once X is removed: its variance is unknown")]
    Vanishes {
        /// Name of the effect.
        label: String,
    },

    /// A kernel without an inverse where one is needed.
    #[error(
        "the kernel of \"{label}\" is singular for the ids with data, and correlated terms need its inverse: leave out ids that are copies of others, or add a small number to its diagonal"
    )]
    SingularKernel {
        /// Name of the effect.
        label: String,
    },

    /// Effects that explain the response to rounding.
    #[error("{by} explain the response exactly: the likelihood has no bound and the variances no estimates")]
    Explained {
        /// What explains it.
        by: &'static str,
    },

    /// A Fourier basis that would explain any response.
    #[error(
        "the Fourier basis of gp() has {size} functions for {n} rows, and needs fewer than there are rows: \
         use basis = \"exact\", a larger tol, or a length scale that is not so short"
    )]
    BasisAboveRows {
        /// Number of functions.
        size: usize,
        /// Number of rows.
        n: usize,
    },

    /// A Fourier basis that is too large to be used.
    #[error(
        "the kernel of gp() is too rough for a Fourier basis of {largest} functions: at the length scale {length:.4} all but {missing:.1e} of its variance \
         takes about {size:.0}. Use a smoother `cov`, fewer coordinates, a larger `tol`, a `range` without such short length scales, a larger `size`, or \
         basis = \"exact\" for some thousand rows"
    )]
    Rough {
        /// Number of functions that it would have.
        size: f64,
        /// Number that is allowed.
        largest: usize,
        /// Shortest length scale to be served.
        length: f64,
        /// Part of the variance that it may leave out.
        missing: f64,
    },

    /// A Fourier basis as large as the rows allow serves none of the length scales that are looked for.
    #[error(
        "the {rows} rows allow gp() a Fourier basis of {largest} functions, which tells length scales of this kernel {}, and none of those that are looked for, up to {longest:.4}. Use a smoother \
         `cov`, or basis = \"exact\", which looks down to the distance of neighbours and takes time that grows with the cube of the rows",
        from_on(*.from)
    )]
    RoughForRows {
        /// Number of rows.
        rows: usize,
        /// Number of functions that they allow.
        largest: usize,
        /// Shortest length scale that such a basis serves; infinite: none.
        from: f64,
        /// Longest length scale that is looked for.
        longest: f64,
    },

    /// ML rises to infinity as delta -> 0.
    #[error("maximum likelihood is unbounded as delta -> 0 and has no interior optimum; use REML")]
    MlUnbounded,

    /// A variance beyond what a double holds.
    #[error("a variance of {value:e} cannot be represented; rescale the response or the kernel")]
    Scale {
        /// The variance.
        value: f64,
    },

    /// An allocation that would not fit.
    #[error("this needs about {} of memory but only {} are available", size(*needed), size(*available))]
    Memory {
        /// GiB that are needed.
        needed: f64,
        /// GiB that are available.
        available: f64,
    },

    /// An iteration that did not end, or a decomposition that failed.
    #[error("{what} did not converge{}", after(*.iterations))]
    NoConvergence {
        /// Which.
        what: &'static str,
        /// How many steps were taken; 0: not counted.
        iterations: usize,
    },

    /// An information of the variances that is not positive definite.
    #[error(
        "degrees of freedom are not known: at the fit the likelihood is flat along some of the variances, or not at its largest"
    )]
    FlatVariances,

    /// A tolerance that a nonuniform transform cannot have.
    #[error("a Fourier transform cannot have the tolerance {value:e}: it must lie between 1e-14 and 0.1")]
    Tolerance {
        /// The tolerance.
        value: f64,
    },

    /// The monitor asked to stop.
    #[error("interrupted")]
    Interrupted,

    /// The system refused to start threads.
    #[error("could not start {threads} threads")]
    Threads {
        /// How many were asked for.
        threads: usize,
    },
}

/// A number of GiB.
fn size(gib: f64) -> String {
    if gib < 1.0 {
        format!("{:.0} MiB", 1024.0 * gib)
    } else {
        format!("{gib:.1} GiB")
    }
}

/// What is done with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Its bytes are asked for.
    Read,
    /// Its bytes are to reach the disk.
    Write,
}

impl std::fmt::Display for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Access::Read => "read",
            Access::Write => "write",
        })
    }
}

fn after(iterations: usize) -> String {
    if iterations == 0 {
        String::new()
    } else {
        format!(" in {iterations} iterations")
    }
}

/// What core returns: a value, or the error that R signals by class.
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
            Error::SingularKernel { .. } => "singular_kernel",
            Error::Explained { .. } => "explained",
            Error::BasisAboveRows { .. } => "basis",
            Error::Rough { .. } | Error::RoughForRows { .. } => "rough",
            Error::MlUnbounded => "ml_unbounded",
            Error::Scale { .. } => "scale",
            Error::Memory { .. } => "memory",
            Error::NoConvergence { .. } => "no_convergence",
            Error::FlatVariances => "ddf",
            Error::Tolerance { .. } => "tolerance",
            Error::Interrupted => "interrupted",
            Error::Threads { .. } => "threads",
            Error::State => "state",
        }
    }

    /// Does it end a call on many responses, and not only one of them?
    pub(crate) fn concerns_all(&self) -> bool {
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
            Error::Alike { .. }
            | Error::Vanishes { .. }
            | Error::SingularKernel { .. }
            | Error::Explained { .. }
            | Error::Response { .. } => vec![],
            Error::Shape { found, expected, .. } => vec![("found", found as f64), ("expected", expected as f64)],
            Error::TooFewRows { n, rank } => vec![("n", n as f64), ("rank", rank as f64)],
            Error::NotIdentifiable { scale } => vec![("scale", scale)],
            Error::NotPositive { min, max } => vec![("min", min), ("max", max)],
            Error::Scale { value } | Error::Tolerance { value } => vec![("value", value)],
            Error::Memory { needed, available } => vec![("needed", needed), ("available", available)],
            Error::NoConvergence { iterations, .. } => vec![("iterations", iterations as f64)],
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
            Error::MlUnbounded | Error::FlatVariances | Error::Interrupted | Error::State => vec![],
            Error::Argument { .. } | Error::File { .. } => vec![],
        }
    }
}
