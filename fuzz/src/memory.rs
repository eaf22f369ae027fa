//! An allocator that counts: memory out of proportion ends the process, so that the fuzzer keeps what asked for it. libFuzzer's own
//! limit works with a sanitizer alone, and asks a second time too late.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Most bytes that are in use at once, kept buffers and passes among them.
pub const MOST: usize = 384 << 20;

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

static LIMIT: AtomicUsize = AtomicUsize::new(usize::MAX);
static USED: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

/// From now on the process may have so many bytes.
pub fn limit(bytes: usize) {
    LIMIT.store(bytes, Ordering::Relaxed);
}

/// Bytes that are in use.
pub fn used() -> usize {
    USED.load(Ordering::Relaxed)
}

/// The most bytes that `work` has in use at once, beyond what was in use before.
pub fn peak<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = USED.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let made = work();
    (made, PEAK.load(Ordering::Relaxed).saturating_sub(before))
}

fn take(bytes: usize) {
    let used = USED.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
    PEAK.fetch_max(used, Ordering::Relaxed);
    if used > LIMIT.load(Ordering::Relaxed) {
        // The report allocates.
        LIMIT.store(usize::MAX, Ordering::Relaxed);
        let trace = std::backtrace::Backtrace::force_capture();
        eprintln!("{bytes} bytes are asked for, {used} would be in use, over the limit of {MOST}\n{trace}");
        std::process::abort();
    }
}

fn give(bytes: usize) {
    USED.fetch_sub(bytes, Ordering::Relaxed);
}

// SAFETY: the system's allocator does the work.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        take(layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        take(layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        give(layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(start, layout) }
    }

    unsafe fn realloc(&self, start: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        take(size);
        give(layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.realloc(start, layout, size) }
    }
}
