//! The one parallel seam. Nothing starts at import; the pool is made by the first call that wants it and belongs to the
//! process that made it: a forked child, in which the threads do not exist, makes its own.

use std::num::NonZeroUsize;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use rayon::{ThreadPool, ThreadPoolBuilder};

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

/// More threads than this only wait for each other.
fn most_threads() -> usize {
    processors().get().saturating_mul(4).max(16)
}

/// Runs `run` on every job on at most `threads` threads, the caller's among them; results come in the jobs' order.
pub fn parallel<J: Sync, R: Send>(jobs: &[J], threads: Threads, run: impl Fn(&J) -> R + Sync) -> Vec<R> {
    let threads = if jobs.len() < 2 { 1 } else { threads.get() };
    let threads = if threads == 1 { 1 } else { threads.min(most_threads()) };
    let workers = threads.min(jobs.len());
    let pool = if workers > 1 { pool(threads - 1) } else { None };
    let Some(pool) = pool else {
        return jobs.iter().map(run).collect();
    };
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::with_capacity(jobs.len()));
    let work = || {
        let mut done = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(job) = jobs.get(index) else { break };
            done.push((index, run(job)));
        }
        results.lock().unwrap_or_else(PoisonError::into_inner).extend(done);
    };
    pool.in_place_scope(|scope| {
        for _ in 1..workers {
            scope.spawn(|_| work());
        }
        work();
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_unstable_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

/// A pool and the process whose threads it has.
struct Owned {
    process: u32,
    pool: ThreadPool,
}

/// The process's pool of at least `size` threads; nothing where the system gives none.
///
/// No lock is taken, because a fork may happen while another thread holds it. A pool that is replaced, by a larger one or
/// in a child, is left as it is: others may be using it, and in a child there are no threads to wait for.
fn pool(size: usize) -> Option<&'static ThreadPool> {
    static POOL: AtomicPtr<Owned> = AtomicPtr::new(ptr::null_mut());

    let process = std::process::id();
    let mut current = POOL.load(Ordering::Acquire);
    loop {
        // SAFETY: what is stored was leaked, so it lives as long as the process.
        if let Some(owned) = unsafe { current.as_ref() }
            && owned.process == process
            && owned.pool.current_num_threads() >= size
        {
            return Some(&owned.pool);
        }
        let size = size.max(default_threads().get().min(most_threads()) - 1);
        let builder = ThreadPoolBuilder::new().num_threads(size).thread_name(|index| format!("vlmres-{index}"));
        let made = Box::into_raw(Box::new(Owned { process, pool: builder.build().ok()? }));
        match POOL.compare_exchange(current, made, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => current = made,
            Err(other) => {
                // SAFETY: nobody else has seen it.
                drop(unsafe { Box::from_raw(made) });
                current = other;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order_on_any_number_of_threads() {
        let jobs: Vec<usize> = (0..100).collect();
        for threads in [1, 2, 3, 8] {
            let results = parallel(&jobs, Threads::new(threads), |job| job * 2);
            assert_eq!(results, jobs.iter().map(|job| job * 2).collect::<Vec<_>>());
        }
        assert!(parallel(&[], Threads::new(4), |_: &usize| ()).is_empty());
    }
}
