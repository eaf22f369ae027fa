//! The number of threads, the pool of threads, and stopping of calls. No thread starts at import.

mod clock;
mod countdown;
mod crew;
mod latest;
mod pool;
mod stop;

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};

pub use clock::{Phase, Times, job, timed, watch, watched};
pub use crew::Crew;
pub use pool::parallel;
pub use stop::{check_stopped, is_stopped, stoppable};

/// A number of threads, at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threads(NonZeroUsize);

impl Threads {
    /// The caller's thread alone.
    pub const ONE: Self = Self(NonZeroUsize::MIN);

    /// So many threads; zero means one.
    pub fn new(count: usize) -> Self {
        Self(NonZeroUsize::new(count).unwrap_or(NonZeroUsize::MIN))
    }

    /// The number.
    pub fn get(self) -> usize {
        self.0.get()
    }
}

/// `VLMRES_NUM_THREADS` where it is a positive number, else the processors that this process may use (affinity and cgroup
/// limits included).
pub fn default_threads() -> Threads {
    let asked = std::env::var("VLMRES_NUM_THREADS").ok().and_then(|text| text.trim().parse().ok());
    Threads(asked.unwrap_or_else(processors))
}

/// Processors that this process may use. Asking for the cgroup's limit reads files, a tenth of a small image's time, so it is
/// asked for once, and again where the affinity has changed.
fn processors() -> NonZeroUsize {
    static KNOWN: AtomicU64 = AtomicU64::new(0);

    let affinity = affinity();
    let (known_affinity, known) = {
        let known = KNOWN.load(Ordering::Relaxed);
        (known >> 32, known & u64::from(u32::MAX))
    };
    if known_affinity == u64::from(affinity)
        && let Some(known) = NonZeroUsize::new(known as usize)
    {
        return known;
    }
    let count = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    KNOWN.store(u64::from(affinity) << 32 | count.get().min(u32::MAX as usize) as u64, Ordering::Relaxed);
    count
}

/// How many processors the affinity allows, where that is quickly known.
fn affinity() -> u32 {
    #[cfg(target_os = "linux")]
    // SAFETY: the set is ours, and all zeros is a valid one.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        if libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set) == 0 {
            return libc::CPU_COUNT(&set) as u32;
        }
    }
    0
}
