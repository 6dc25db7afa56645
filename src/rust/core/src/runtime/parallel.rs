//! Threads: a pool for each call (a forked R must not inherit one).

use super::error::{Error, Result};
use super::memory::{self, Reserve};
use super::monitor::Monitor;
use super::stop::{self, Request};
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, Par};
use rayon::Yield;
use std::any::Any;
use std::hint::black_box;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

/// Between two looks for a request to stop.
const LOOK: Duration = Duration::from_millis(20);

/// The thread that calls is all there is for work outside a pool of its own, `faer`'s methods without a `Par` among it: no more threads are used than were
/// asked for, and none is missing in a forked process. For a process whose one thread makes all calls, as R's does; to be called by it once.
pub fn nothing_beside_pools() {
    let one = rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread();
    // refused where it is so already
    let _ = one.build_global();
}

/// The thread that calls is a pool of its own: work outside `Workers` stays on it. For tests, which repeat steps so small that handing them to other threads is most of their time.
pub fn alone() {
    let one = rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread();
    // refused where it is so already
    let _ = one.build();
}

/// A thread pool of one call.
pub struct Workers {
    pool: Option<rayon::ThreadPool>,
    /// After the pool: threads that end may still ask for memory.
    reserve: Option<Reserve>,
    request: Request,
    par: Par,
}

impl Workers {
    /// A pool of `threads` threads, at least one, with the memory that its matrix products need set apart.
    pub fn new(threads: usize) -> Result<Self> {
        let threads = threads.max(1);
        let reserve = Reserve::new(threads)?;
        let packing = memory::room((threads + 1) * memory::packing())?;
        let request = Request::default();
        let asked = request.clone();
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .start_handler(move |_| asked.join());
        let pool = pool.build().map_err(|_| Error::Threads { threads })?;
        // a thread's first request may take address space for many more: before the room for matrix products is free
        pool.broadcast(|_| black_box(Box::new(0)));
        drop(packing);
        pool.broadcast(|_| first_product());
        first_product();
        let par = if threads == 1 { Par::Seq } else { Par::rayon(threads) };
        Ok(Self {
            pool: Some(pool),
            reserve: Some(reserve),
            request,
            par,
        })
    }

    /// As `new`, but the calling thread alone for work of so few operations that making a pool takes longer.
    pub fn for_operations(operations: f64, threads: usize) -> Result<Self> {
        const FEW: f64 = 1e8;
        if operations >= FEW {
            return Self::new(threads);
        }
        let reserve = Reserve::new(1)?;
        drop(memory::room(memory::packing())?);
        first_product();
        Ok(Self {
            reserve: Some(reserve),
            ..Self::inline()
        })
    }

    /// No threads of their own: for work that is one of many tasks in another pool.
    pub fn inline() -> Self {
        Self::within(Par::Seq)
    }

    /// For code that a pool runs already.
    pub(crate) fn within(par: Par) -> Self {
        Self {
            pool: None,
            reserve: None,
            request: Request::default(),
            par,
        }
    }

    pub(crate) fn threads(&self) -> usize {
        self.par.degree()
    }

    /// Do heavy work inside the pool; `faer` and `rayon` calls in it use these threads only.
    /// Monitors are asked outside, on the thread that the caller came from, which also looks for a request to stop meanwhile.
    pub fn run<T: Send>(&self, work: impl FnOnce(Par) -> T + Send) -> T {
        let (mut work, mut done) = (Some(work), None);
        self.run_once(&mut |par| done = work.take().map(|work| work(par)));
        done.unwrap_or_else(|| unreachable!("work that does not end unwinds"))
    }

    /// Of one type, whatever the work gives: pools and channels are compiled once.
    fn run_once(&self, work: &mut (dyn FnMut(Par) + Send)) {
        let par = self.par;
        match &self.pool {
            Some(pool) if stop::watches() => pool.in_place_scope(|scope| {
                let (sender, receiver) = mpsc::channel();
                scope.spawn(move |_| {
                    // the receiver waits for it
                    let _ = sender.send(catch_unwind(AssertUnwindSafe(|| work(par))));
                });
                loop {
                    match receiver.recv_timeout(LOOK) {
                        Ok(done) => return done.unwrap_or_else(|panic| resume_unwind(panic)),
                        Err(_) => self.request.look(),
                    }
                }
            }),
            Some(pool) => pool.install(|| work(par)),
            None => work(par),
        }
    }

    /// Work that cannot be asked to stop, but owns its data: the caller looks at the monitor meanwhile. Where that stops it, the work comes to its end in the
    /// background, and its result is dropped.
    pub(crate) fn watched<T: Send + 'static>(
        &self,
        monitor: &mut dyn Monitor,
        work: impl FnOnce(Par) -> T + Send + 'static,
    ) -> Result<T> {
        let outside = |pool: &&rayon::ThreadPool| pool.current_thread_index().is_none();
        let Some(pool) = self.pool.as_ref().filter(outside) else {
            return Ok(work(self.par));
        };
        let done = self.watch(pool, monitor, Box::new(|par| Box::new(work(par))))?;
        Ok(*done.downcast().unwrap_or_else(|_| unreachable!("what the work gives")))
    }

    fn watch(&self, pool: &rayon::ThreadPool, monitor: &mut dyn Monitor, work: Work) -> Result<Done> {
        let (sender, receiver) = mpsc::channel();
        let (par, reserve) = (self.par, self.reserve.clone());
        pool.spawn(move || {
            // nobody listens to work that was left; a panic would end the process there
            let _ = sender.send(catch_unwind(AssertUnwindSafe(|| stop::left_if_asked(|| work(par)))));
            drop(reserve);
        });
        loop {
            match receiver.recv_timeout(LOOK) {
                Ok(done) => return done.map_err(|panic| resume_unwind(panic)),
                Err(_) => stop::check()
                    .and_then(|()| monitor.check())
                    .inspect_err(|_| self.request.ask())?,
            }
        }
    }
}

/// What work gives, and work, of one type.
type Done = Box<dyn Any + Send>;
type Work = Box<dyn FnOnce(Par) -> Done + Send>;

/// Work of so many operations that cannot be asked to stop, but owns its data. Where it is long, and somebody may ask, on threads of its own, which are left to it
/// once there is a request to stop, as with `Workers::watched`; the thread that asks for it only waits.
pub(crate) fn apart<T: Send + 'static>(
    operations: f64,
    par: Par,
    work: impl FnOnce(Par) -> T + Send + 'static,
) -> Result<T> {
    const LONG: f64 = 1.5e9;
    stop::check()?;
    if operations < LONG || !stop::waits_for_steps() {
        return Ok(work(par));
    }
    Workers::new(par.degree())?.watched(&mut (), work)
}

/// `par`, or the calling thread alone for so few operations that waking another, which sleeps while there is nothing to share, takes about as long.
pub(crate) fn worth(operations: f64, par: Par) -> Par {
    const FEW: f64 = 1e7;
    if operations < FEW { Par::Seq } else { par }
}

/// Work of many short steps that are shared among the threads of the pool: those that have nothing to do meanwhile look for more all the time, in place of
/// falling asleep between two steps.
pub(crate) fn awake<T>(par: Par, work: impl FnOnce(Par) -> T) -> T {
    let Some(own) = rayon::current_thread_index().filter(|_| par.degree() > 1) else {
        return work(par);
    };
    let done = AtomicBool::new(false);
    let look = |_: &rayon::Scope<'_>| {
        // whoever waits for a step that another thread has taken may find this in place of a step
        let is_idle = || rayon::current_thread_index() != Some(own) && !done.load(Ordering::Acquire);
        while is_idle() {
            if rayon::yield_now() != Some(Yield::Executed) {
                std::thread::yield_now();
            }
        }
    };
    rayon::in_place_scope(|scope| {
        (1..par.degree()).for_each(|_| scope.spawn(look));
        // however the work ends
        let _end = Finally(|| done.store(true, Ordering::Release));
        work(par)
    })
}

/// Does something when it is dropped.
struct Finally<F: Fn()>(F);

impl<F: Fn()> Drop for Finally<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// As `worth`, where the other threads are awake.
pub(crate) fn worth_awake(operations: f64, par: Par) -> Par {
    const FEW: f64 = 2e6;
    if operations < FEW { Par::Seq } else { par }
}

/// Makes a thread's memory for matrix products.
fn first_product() {
    let a = Mat::<f64>::identity(8, 8);
    let mut b = a.clone();
    matmul(b.as_mut(), Accum::Add, a.as_ref(), a.as_ref(), 1.0, Par::Seq);
    black_box(b);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    struct Leave;

    impl Monitor for Leave {
        fn stop(&mut self) -> bool {
            true
        }
    }

    #[test]
    fn work_that_is_left_ends_in_the_background() {
        let workers = Workers::new(1).unwrap();
        let (sender, receiver) = mpsc::channel();
        let begin = Instant::now();
        let left = workers.watched(&mut Leave, move |_| {
            std::thread::sleep(Duration::from_secs(2));
            sender.send(())
        });
        assert!(matches!(left, Err(Error::Interrupted)) && begin.elapsed() < Duration::from_secs(1));
        drop(workers);
        assert!(receiver.recv_timeout(Duration::from_secs(60)).is_ok());
    }

    #[test]
    fn work_that_looks_for_a_request_is_stopped() {
        stop::watch(|| true);
        let until_asked = |_| while stop::check().is_ok() {};
        Workers::new(2).unwrap().run(until_asked);
        stop::watch(|| false);
        assert!(Workers::new(2).unwrap().run(|_| stop::check()).is_ok());
    }

    #[test]
    fn long_work_within_a_pool_is_left_at_a_request() {
        thread_local! { static BEGIN: Instant = Instant::now(); }
        let begin = BEGIN.with(|begin| *begin);
        stop::watch(|| BEGIN.with(|begin| begin.elapsed() > Duration::from_millis(200)));
        let sleep = |_| std::thread::sleep(Duration::from_secs(5));
        let long = |par| apart(1e12, par, sleep);
        assert!(matches!(Workers::new(2).unwrap().run(long), Err(Error::Interrupted)));
        assert!(begin.elapsed() < Duration::from_secs(3));
        stop::watch(|| false);
        let threads = Workers::new(2)
            .unwrap()
            .run(|par| apart(1e12, par, |_| rayon::current_num_threads()));
        assert_eq!(threads.unwrap(), 2);
    }

    #[test]
    fn threads_that_are_awake_take_steps_and_end_with_the_work_however_that_ends() {
        use rayon::prelude::*;
        let workers = Workers::new(3).unwrap();
        let steps = |par| {
            let sums = (0..200).map(|step| (0..3usize).into_par_iter().map(|i| step * i).sum::<usize>());
            awake(par, |_| sums.sum::<usize>())
        };
        assert_eq!(workers.run(steps), 3 * 199 * 100);
        // beside other work of the same pool, and within itself
        let many = workers.run(|par| (0..20usize).into_par_iter().map(|_| awake(par, steps)).sum::<usize>());
        assert_eq!(many, 20 * 3 * 199 * 100);
        let panics = || workers.run(|par| awake(par, |_| -> usize { panic!("no memory") }));
        assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
        assert_eq!(workers.run(steps), 3 * 199 * 100);
        assert_eq!(awake(Par::Seq, |par| par.degree()), 1);
    }

    #[test]
    fn watched_work_gives_its_result_and_its_panic() {
        let workers = Workers::new(2).unwrap();
        assert_eq!(workers.watched(&mut (), |par| par.degree()).unwrap(), 2);
        let panics = catch_unwind(AssertUnwindSafe(|| {
            workers.watched::<()>(&mut (), |_| panic!("no memory"))
        }));
        assert_eq!(panics.unwrap_err().downcast_ref::<&str>(), Some(&"no memory"));
    }
}
