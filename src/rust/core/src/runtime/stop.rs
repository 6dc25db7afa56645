//! A request to stop on its way: from the caller's thread, which looks for one while a pool is at work, to the threads of that pool.
//!
//! `check` stands where the next expensive step begins, and between steps: a request is obeyed after one step at most.

use super::error::{Error, Result};
use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

thread_local! {
    /// How this thread looks for a request; `None`: it has nobody to ask.
    static LOOK: Cell<Option<fn() -> bool>> = const { Cell::new(None) };
    /// Is what this thread does left to itself when its pool is asked to stop?
    static LEFT: Cell<bool> = const { Cell::new(false) };
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

/// Does somebody who may ask to stop wait for the end of this thread's step?
pub(super) fn waits_for_steps() -> bool {
    !LEFT.get() && (watches() || ASKED.with_borrow(Option::is_some))
}

/// Work that nobody waits for once there is a request to stop.
pub(super) fn left_if_asked<T>(work: impl FnOnce() -> T) -> T {
    struct Reset;
    impl Drop for Reset {
        fn drop(&mut self) {
            LEFT.set(false);
        }
    }
    let _reset = Reset;
    LEFT.set(true);
    work()
}

/// Pieces of 0..n, of `size` each, as long as there is no request to stop: for steps that are long as a whole.
pub fn pieces(n: usize, size: usize) -> impl Iterator<Item = Range<usize>> {
    (0..n)
        .step_by(size.max(1))
        .map(move |first| first..n.min(first + size.max(1)))
        .take_while(|_| check().is_ok())
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
