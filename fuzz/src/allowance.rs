//! Memory out of proportion ends a target, as a panic does. (libFuzzer's own limit of one allocation needs a sanitizer.)

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicIsize, Ordering::Relaxed};

/// Bytes that one input may have at once. Inputs have some thousands.
const MOST: isize = 256 << 20;

/// Bytes that are held now.
static HELD: AtomicIsize = AtomicIsize::new(0);
/// The most that may be: none outside of an input.
static LIMIT: AtomicIsize = AtomicIsize::new(isize::MAX);

struct Watched;

#[global_allocator]
static ALLOCATOR: Watched = Watched;

fn more(bytes: isize) {
    let held = HELD.fetch_add(bytes, Relaxed) + bytes;
    if bytes > 0 && held > LIMIT.load(Relaxed) {
        LIMIT.store(isize::MAX, Relaxed);
        eprintln!("diablo-fuzz: {held} bytes are held with the last {bytes}: out of proportion");
        std::process::abort();
    }
}

// SAFETY: everything is the system's; this counts alone.
unsafe impl GlobalAlloc for Watched {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        more(layout.size() as isize);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        more(-(layout.size() as isize));
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        more(layout.size() as isize);
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        more(size as isize - layout.size() as isize);
        unsafe { System.realloc(at, layout, size) }
    }
}

/// Runs under the limit.
pub fn watch(run: impl FnOnce()) {
    LIMIT.store(HELD.load(Relaxed) + MOST, Relaxed);
    run();
    LIMIT.store(isize::MAX, Relaxed);
}
