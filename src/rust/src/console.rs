//! The user at the console: has Ctrl-C been pressed, or a time limit of R been reached? With `reserve.rs` the only unsafe code of the package.

use extendr_api::SEXP;
use extendr_api::prelude::*;
use fastlmm_core::runtime::monitor::Monitor;
use fastlmm_core::runtime::parallel::nothing_beside_pools;
use fastlmm_core::runtime::stop;
use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::time::{Duration, Instant};

type Body = extern "C-unwind" fn(*mut c_void) -> SEXP;
type Handler = extern "C-unwind" fn(SEXP, *mut c_void) -> SEXP;

#[allow(improper_ctypes)] // R's values are pointers that only R looks behind
unsafe extern "C-unwind" {
    static R_NilValue: SEXP;
    fn R_CheckUserInterrupt();
    fn R_tryCatch(
        body: Body,
        data: *mut c_void,
        classes: SEXP,
        handler: Handler,
        handler_data: *mut c_void,
        finally: Option<extern "C-unwind" fn(*mut c_void)>,
        finally_data: *mut c_void,
    ) -> SEXP;
}

/// Time between two questions to R, each of which takes some microseconds.
const PAUSE: Duration = Duration::from_millis(20);

thread_local! {
    static ASKED: Cell<Option<Instant>> = const { Cell::new(None) };
    static RAISED: RefCell<Option<Robj>> = const { RefCell::new(None) };
}

extern "C-unwind" fn check(_: *mut c_void) -> SEXP {
    // SAFETY: called by R_tryCatch on R's own thread; the jump of an interrupt or an error ends there, above no Rust frame
    // that owns anything.
    unsafe {
        R_CheckUserInterrupt();
        R_NilValue
    }
}

extern "C-unwind" fn keep(condition: SEXP, _: *mut c_void) -> SEXP {
    // SAFETY: R hands the condition over alive; the value keeps it so.
    let condition = unsafe { Robj::from_sexp(condition) };
    RAISED.with(|raised| raised.replace(Some(condition)));
    // SAFETY: a constant of R
    unsafe { R_NilValue }
}

/// What R raised while Rust was at work: an interrupt, or the error of a time limit. Asked after each call, whatever it ended in.
/// @noRd
#[extendr]
fn ffi_raised() -> Robj {
    RAISED.with(|raised| raised.take()).unwrap_or_else(|| r!(NULL))
}

/// Asks R between blocks of work. To be used on R's thread only.
pub struct Console;

impl Monitor for Console {
    fn stop(&mut self) -> bool {
        let raised = || RAISED.with(|raised| raised.borrow().is_some());
        if raised() {
            return true;
        }
        if ASKED.get().is_some_and(|asked| asked.elapsed() < PAUSE) {
            return false;
        }
        ASKED.set(Some(Instant::now()));
        let classes = r!(["interrupt", "error"]);
        let none = std::ptr::null_mut();
        // SAFETY: entry points run on R's thread, and core asks monitors there.
        unsafe { R_tryCatch(check, none, classes.get(), keep, none, None, none) };
        raised()
    }
}

/// When the package is loaded: R's thread looks for interrupts whenever it waits, and lends no work to threads outside a call's own pool.
#[unsafe(no_mangle)]
extern "C" fn know_r_thread() {
    stop::watch(|| Console.stop());
    nothing_beside_pools();
}

extendr_module! {
    mod console;
    fn ffi_raised;
}
