//! Progress out, stop request in. Core never prints and never asks R.

use super::error::{Error, Result};
use super::memory;

/// Watches a long computation. `stop` is asked between blocks of work.
pub trait Monitor {
    fn stop(&mut self) -> bool;

    fn check(&mut self) -> Result<()> {
        if self.stop() {
            Err(Error::Interrupted)
        } else {
            memory::check()
        }
    }
}

/// Nobody watches.
impl Monitor for () {
    fn stop(&mut self) -> bool {
        false
    }
}
