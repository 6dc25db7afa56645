//! The user at the console: has Ctrl-C been pressed? The only unsafe code of the package.

use fastlmm_core::monitor::Monitor;
use std::ffi::c_void;

unsafe extern "C" {
    fn R_CheckUserInterrupt();
    fn R_ToplevelExec(function: extern "C" fn(*mut c_void), data: *mut c_void) -> i32;
}

extern "C" fn check(_: *mut c_void) {
    // SAFETY: called by R_ToplevelExec on R's own thread; the longjmp of an interrupt ends there, above no Rust frame
    // that owns anything.
    unsafe { R_CheckUserInterrupt() }
}

/// Asks R between blocks of work. To be used on R's thread only.
pub struct Console;

impl Monitor for Console {
    fn stop(&mut self) -> bool {
        // SAFETY: entry points run on R's thread, and core asks monitors there.
        unsafe { R_ToplevelExec(check, std::ptr::null_mut()) == 0 }
    }
}
