//! Memory is asked for before it is used: in Rust an allocation that fails ends the process, and R with it.
//!
//! * What is large is claimed: `claim` compares an estimate with what the machine has free, and tries to reserve it (limits of a process show only so).
//! * What is small, or missed by an estimate, comes from a reserve, held while an engine is at work. The global allocator of the glue gives it up (`give_up`) where
//!   the system has no more, and the next claim or look at the monitor ends the work.

use super::error::{Error, Result};
use super::stop;
use std::cell::Cell;
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};

const MIB: usize = 1 << 20;
const GIB: f64 = (1u64 << 30) as f64;

/// Claims below it are left to the reserve.
const SMALL: usize = MIB;

/// The reserve, and how many hold it. Nothing is allocated while it is locked: the allocator locks it too.
static RESERVE: Mutex<(usize, Vec<u8>)> = Mutex::new((0, vec![]));

/// Size of the request for which the reserve was given up; 0: it was not.
static REFUSED: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// A request that may fail: no reason to give up the reserve.
    static TRYING: Cell<bool> = const { Cell::new(false) };
}

/// Refuses `doubles` numbers that the machine does not have. What is claimed for is expensive: a request to stop is heard before.
pub fn claim(doubles: f64) -> Result<()> {
    stop::check()?;
    check()?;
    let bytes = 8.0 * doubles;
    if bytes < SMALL as f64 {
        return Ok(());
    }
    let free = free_bytes();
    if bytes > free {
        return Err(refused(bytes, free));
    }
    room(bytes as usize).map(drop)
}

/// Was the reserve given up?
pub(crate) fn check() -> Result<()> {
    match REFUSED.load(Ordering::Relaxed) {
        0 => Ok(()),
        size => Err(refused(size as f64, largest_below(size) as f64)),
    }
}

/// Room that is taken, and not used.
pub(crate) fn room(bytes: usize) -> Result<Vec<u8>> {
    reserved(bytes).ok_or_else(|| refused(bytes as f64, largest_below(bytes) as f64))
}

fn reserved(bytes: usize) -> Option<Vec<u8>> {
    let mut room = vec![];
    TRYING.set(true);
    // a compiler may leave out a block that nobody looks at
    let found = black_box(&mut room).try_reserve_exact(bytes).is_ok();
    TRYING.set(false);
    found.then_some(room)
}

/// What could be had instead, to some percent.
fn largest_below(bytes: usize) -> usize {
    let (mut has, mut has_not) = (0, bytes);
    while has_not - has > MIB.max(has_not / 32) {
        let middle = has + (has_not - has) / 2;
        if reserved(middle).is_some() {
            has = middle;
        } else {
            has_not = middle;
        }
    }
    has
}

fn refused(needed: f64, available: f64) -> Error {
    Error::Memory {
        needed: needed / GIB,
        available: available / GIB,
    }
}

/// Holds the reserve as long as it lives.
pub(crate) struct Reserve(());

impl Reserve {
    /// A thread that waits within a matrix product may begin another, with memory of its own.
    pub(crate) fn new(threads: usize) -> Result<Self> {
        check()?;
        let block = room(16 * MIB + threads * packing())?;
        if let Ok(mut reserve) = RESERVE.lock() {
            reserve.0 += 1;
            reserve.1 = block;
        }
        Ok(Self(()))
    }
}

impl Clone for Reserve {
    fn clone(&self) -> Self {
        if let Ok(mut reserve) = RESERVE.lock() {
            reserve.0 += 1;
        }
        Self(())
    }
}

impl Drop for Reserve {
    fn drop(&mut self) {
        if let Ok(mut reserve) = RESERVE.lock() {
            reserve.0 -= 1;
            if reserve.0 == 0 {
                reserve.1 = vec![];
                REFUSED.store(0, Ordering::Relaxed);
            }
        }
    }
}

/// For the allocator, which the system has refused so many bytes: is there any point in asking again?
pub fn give_up(bytes: usize) -> bool {
    if TRYING.get() {
        return false;
    }
    let Ok(mut reserve) = RESERVE.lock() else { return false };
    if reserve.1.capacity() == 0 {
        return false;
    }
    reserve.1 = vec![];
    REFUSED.store(bytes.max(1), Ordering::Relaxed);
    true
}

/// Bytes that each thread takes, once, to pack the blocks of matrix products: both are as large as the last cache.
pub(crate) fn packing() -> usize {
    static SIZE: OnceLock<usize> = OnceLock::new();
    const USUAL: usize = 32 * MIB;
    *SIZE.get_or_init(|| 2 * last_cache().unwrap_or(USUAL))
}

fn last_cache() -> Option<usize> {
    let text = std::fs::read_to_string("/sys/devices/system/cpu/cpu0/cache/index3/size").ok()?;
    let kib: usize = text.trim().strip_suffix('K')?.parse().ok()?;
    Some(kib << 10)
}

/// Free memory as Linux estimates it; unknown elsewhere (then only the system's answer counts).
fn free_bytes() -> f64 {
    let kib = || {
        let text = std::fs::read_to_string("/proc/meminfo").ok()?;
        let line = text.lines().find(|l| l.starts_with("MemAvailable:"))?;
        line.split_whitespace().nth(1)?.parse::<f64>().ok()
    };
    kib().map_or(f64::INFINITY, |kib| 1024.0 * kib)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_that_no_machine_has_is_refused_with_its_size() {
        let numbers = f64::powi(2.0, 50);
        assert!(matches!(claim(numbers), Err(Error::Memory { needed, available })
            if needed == f64::powi(2.0, 23) && available > 0.0 && available < needed));
        assert!(claim(1e6).is_ok());
    }
}
