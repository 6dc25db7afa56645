//! Threads: a pool for each call (a forked R must not inherit one).

use super::error::{Error, Result};
use super::memory::{self, Held};
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, Par};
use std::hint::black_box;

/// A thread pool of one call.
pub struct Workers {
    pool: Option<rayon::ThreadPool>,
    /// After the pool: threads that end may still ask for memory.
    _reserve: Option<Held>,
    par: Par,
}

impl Workers {
    pub fn new(threads: usize) -> Result<Self> {
        let threads = threads.max(1);
        let reserve = Held::new(threads)?;
        let packing = memory::room((threads + 1) * memory::packing())?;
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let pool = pool.map_err(|_| Error::Threads { threads })?;
        // a thread's first request may take address space for many more: before the room for matrix products is free
        pool.broadcast(|_| black_box(Box::new(0)));
        drop(packing);
        pool.broadcast(|_| first_product());
        first_product();
        let par = if threads == 1 { Par::Seq } else { Par::rayon(threads) };
        Ok(Self {
            pool: Some(pool),
            _reserve: Some(reserve),
            par,
        })
    }

    /// No threads of their own: for work that is one of many tasks in another pool.
    pub fn inline() -> Self {
        Self::within(Par::Seq)
    }

    /// For code that a pool runs already.
    pub fn within(par: Par) -> Self {
        Self {
            pool: None,
            _reserve: None,
            par,
        }
    }

    pub fn threads(&self) -> usize {
        self.par.degree()
    }

    /// Do heavy work inside the pool; `faer` and `rayon` calls in it use these threads only.
    /// Monitors are asked outside, on the thread that the caller came from.
    pub fn run<T: Send>(&self, work: impl FnOnce(Par) -> T + Send) -> T {
        match &self.pool {
            Some(pool) => pool.install(|| work(self.par)),
            None => work(self.par),
        }
    }
}

/// Makes a thread's memory for matrix products.
fn first_product() {
    let a = Mat::<f64>::identity(8, 8);
    let mut b = a.clone();
    matmul(b.as_mut(), Accum::Add, a.as_ref(), a.as_ref(), 1.0, Par::Seq);
    black_box(b);
}
