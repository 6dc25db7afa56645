//! A request to stop on its way: from the caller's thread, which looks for one while a pool is at work, to the threads of that pool.
//!
//! `check` stands where the next expensive step begins, and between steps: a request is obeyed after one step at most.

use super::error::{Error, Result};
use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

thread_local! {
    /// How this thread looks for a request; `None`: it has nobody to ask.
    static LOOK: Cell<Option<fn() -> bool>> = const { Cell::new(None) };
    /// What is asked of the pool that this thread belongs to.
    static ASKED: RefCell<Option<Request>> = const { RefCell::new(None) };
}

/// From now on this thread looks for requests while it waits for a pool. Once there was a request, `look` says so until it was answered.
pub fn watch(look: fn() -> bool) {
    LOOK.set(Some(look));
}

/// Does this thread look for requests?
pub(super) fn watches() -> bool {
    LOOK.get().is_some()
}

/// Was this thread's pool, or this thread itself, asked to stop?
pub(crate) fn check() -> Result<()> {
    let asked = ASKED.with_borrow(|asked| asked.as_ref().map(|asked| asked.0.load(Ordering::Relaxed)));
    if asked.unwrap_or_else(look) {
        return Err(Error::Interrupted);
    }
    Ok(())
}

fn look() -> bool {
    LOOK.get().is_some_and(|look| look())
}

/// What the threads of a pool share.
#[derive(Clone, Default)]
pub(super) struct Request(Arc<AtomicBool>);

impl Request {
    /// Makes the thread one of the pool.
    pub(crate) fn join(&self) {
        ASKED.set(Some(self.clone()));
    }

    pub(crate) fn ask(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Hands on what the caller's thread sees.
    pub(crate) fn look(&self) {
        if look() {
            self.ask();
        }
    }
}
