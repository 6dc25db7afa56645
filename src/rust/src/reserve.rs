//! The allocator: where the system has no memory left, the reserve of the core is given up before an allocation fails.

use fastlmm_core::runtime::memory::give_up;
use std::alloc::{GlobalAlloc, Layout, System};

struct Reserved;

#[global_allocator]
static ALLOCATOR: Reserved = Reserved;

fn twice(bytes: usize, ask: impl Fn() -> *mut u8) -> *mut u8 {
    let found = ask();
    if found.is_null() && give_up(bytes) {
        ask()
    } else {
        found
    }
}

// SAFETY: all requests go to the system's allocator as they are; none is made here, and nothing panics.
unsafe impl GlobalAlloc for Reserved {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        twice(layout.size(), || unsafe { System.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        twice(layout.size(), || unsafe { System.alloc_zeroed(layout) })
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        twice(size, || unsafe { System.realloc(block, layout, size) })
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        unsafe { System.dealloc(block, layout) }
    }
}
