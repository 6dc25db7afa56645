//! What every engine needs to run: errors, threads, memory, a look at the caller between blocks, names, hashes and seals, counts of work.

pub mod error;
pub mod hash;
pub mod memory;
pub mod monitor;
pub mod parallel;
pub mod seal;
pub mod stop;
pub(crate) mod words;
pub mod work;
