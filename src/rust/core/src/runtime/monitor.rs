//! Progress out, stop request in. Core never prints and never asks R.

use super::error::{Error, Result};
use super::memory;
use std::cell::RefCell;

/// Watches a long computation. `stop` is asked between blocks of work.
pub trait Monitor {
    /// Should the work end now? `true` ends it with [`Error::Interrupted`].
    fn stop(&mut self) -> bool;

    /// The same as an error; and an error as well once the reserve of memory had to be given up.
    fn check(&mut self) -> Result<()> {
        if self.stop() {
            Err(Error::Interrupted)
        } else {
            memory::check()
        }
    }
}

impl<M: Monitor + ?Sized> Monitor for &mut M {
    fn stop(&mut self) -> bool {
        (**self).stop()
    }
}

/// One watcher of several searches.
impl<M: Monitor> Monitor for &RefCell<M> {
    fn stop(&mut self) -> bool {
        self.borrow_mut().stop()
    }
}

/// Nobody watches.
impl Monitor for () {
    fn stop(&mut self) -> bool {
        false
    }
}
