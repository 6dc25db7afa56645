//! Threads and memory: a pool for each call (a forked R must not inherit one) and a refusal before a large allocation.

use crate::runtime::error::{Error, Result};
use faer::Par;

/// A thread pool of one call.
pub struct Workers {
    pool: Option<rayon::ThreadPool>,
    par: Par,
}

impl Workers {
    pub fn new(threads: usize) -> Result<Self> {
        let threads = threads.max(1);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let pool = pool.map_err(|_| Error::Threads { threads })?;
        let par = if threads == 1 { Par::Seq } else { Par::rayon(threads) };
        Ok(Self { pool: Some(pool), par })
    }

    /// No threads of their own: for work that is one of many tasks in another pool.
    pub fn inline() -> Self {
        Self::within(Par::Seq)
    }

    /// For code that a pool runs already.
    pub fn within(par: Par) -> Self {
        Self { pool: None, par }
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

/// Refuse an allocation of `doubles` numbers that the machine does not have.
pub fn check_memory(doubles: f64) -> Result<()> {
    const GIB: f64 = (1u64 << 30) as f64;
    let needed = doubles * 8.0 / GIB;
    match available_gib() {
        Some(available) if needed > available => Err(Error::Memory { needed, available }),
        _ => Ok(()),
    }
}

/// Free memory as Linux estimates it; unknown elsewhere (then nothing is refused).
fn available_gib() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|l| l.starts_with("MemAvailable:"))?;
    let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib / (1u64 << 20) as f64)
}
