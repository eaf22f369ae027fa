//! What work may cost: seconds of CPU, which a machine's load does not change, and bytes.

use std::mem::MaybeUninit;

/// Most seconds for an input of any target that says so: what limits let through takes at most a fifth of it.
pub const CPU_SECONDS: f64 = 5.0;

/// Does work that takes no more CPU of this thread.
pub fn bounded<T>(seconds: f64, work: impl FnOnce() -> T) -> T {
    let before = cpu();
    let made = work();
    let taken = cpu() - before;
    assert!(taken <= seconds, "{taken:.1} s of CPU, over {seconds} s");
    made
}

/// Seconds of CPU that this thread has had.
fn cpu() -> f64 {
    let mut time = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: the clock writes the time that is passed.
    let time = unsafe {
        assert_eq!(libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, time.as_mut_ptr()), 0);
        time.assume_init()
    };
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
