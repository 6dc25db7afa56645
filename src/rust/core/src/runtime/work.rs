//! How often the expensive steps were taken since the process began: tests count what a verb repeats.

use std::sync::atomic::{AtomicU64, Ordering};

/// A step whose cost grows faster than the data.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Work {
    /// Data projected, and kernels decomposed or expressed in coordinates.
    Decomposition,
    /// A global search for variances.
    Search,
    /// V of several effects factorised at one set of variances.
    Factorisation,
}

/// In the order of `Work`.
pub const NAMES: [&str; 3] = ["decomposition", "search", "factorisation"];

static COUNTS: [AtomicU64; 3] = [const { AtomicU64::new(0) }; 3];

pub(crate) fn count(step: Work) {
    COUNTS[step as usize].fetch_add(1, Ordering::Relaxed);
}

/// How often each step was taken, by all threads.
pub fn counts() -> [u64; 3] {
    [0, 1, 2].map(|step: usize| COUNTS[step].load(Ordering::Relaxed))
}
