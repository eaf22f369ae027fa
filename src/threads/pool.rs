//! The pool of threads. The first call that needs it makes it. It belongs to its process: a forked child, in which the
//! threads do not exist, makes its own.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use rayon_core::{ThreadPool, ThreadPoolBuilder};

use super::countdown::Countdown;
use super::latest::Latest;
use super::stop::{self, Seat};
use super::{Threads, clock, default_threads, processors};

/// Most threads: more would only wait for each other.
fn most_threads() -> usize {
    processors().get().saturating_mul(4).max(16)
}

/// Runs `run` on every job on at most `threads` threads, the caller's among them; results come in the jobs' order.
///
/// Jobs run on other threads can be stopped as those on the caller's can: see [`super::stoppable`]. All of them run, so that each has a
/// result; those that begin after the call was stopped should end at once.
pub fn parallel<J: Sync, R: Send>(jobs: &[J], threads: Threads, run: impl Fn(&J) -> R + Sync) -> Vec<R> {
    let results = Results::new(jobs.len());
    let run = |index: usize| results.set(index, run(&jobs[index]));
    on_threads(jobs.len(), threads, &|index| clock::job(|| run(index)));
    results.into_vec()
}

/// Runs jobs by their numbers.
fn on_threads(jobs: usize, threads: Threads, run: &(dyn Fn(usize) + Sync)) {
    let threads = if jobs < 2 { 1 } else { threads.get() };
    let threads = if threads == 1 { 1 } else { threads.min(most_threads()) };
    let workers = threads.min(jobs);
    let pool = if workers > 1 { pool(threads - 1) } else { None };
    let Some(pool) = pool else {
        return (0..jobs).for_each(run);
    };
    let next = AtomicUsize::new(0);
    let seat = Seat::of_this_thread();
    let others = Countdown::new(workers - 1);
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= jobs {
                break;
            }
            run(index);
        }
    };
    pool.in_place_scope(|scope| {
        for _ in 1..workers {
            scope.spawn(|_| {
                let _done = others.worker();
                seat.taken(work);
            });
        }
        work();
        // The scope alone would wait for the others without checking whether the caller wants to stop.
        if stop::can_poll() {
            others.wait(stop::SLICE, || {
                let _ = stop::is_stopped();
            });
        }
    });
}

/// The results of jobs, each set by the thread that ran it.
pub(super) struct Results<R>(Vec<Mutex<Option<R>>>);

impl<R> Results<R> {
    pub(super) fn new(jobs: usize) -> Self {
        Self((0..jobs).map(|_| Mutex::new(None)).collect())
    }

    pub(super) fn set(&self, job: usize, result: R) {
        *self.0[job].lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
    }

    /// In the jobs' order.
    pub(super) fn into_vec(self) -> Vec<R> {
        let result = |slot: Mutex<Option<R>>| slot.into_inner().unwrap_or_else(PoisonError::into_inner);
        self.0.into_iter().filter_map(result).collect()
    }
}

/// A pool and the process whose threads it has.
struct Owned {
    process: u32,
    pool: ThreadPool,
}

/// The process's pool of at least `size` threads; nothing where the system gives none.
///
/// A pool that is replaced, by a larger one or in a child, is left as it is: others may be using it, and in a child there are
/// no threads to wait for. Each is twice as large as the one before at least, so that all together have at most twice
/// the threads of the last, and the first.
fn pool(size: usize) -> Option<&'static ThreadPool> {
    #[cfg(not(loom))]
    static POOL: Latest<Owned> = Latest::new();
    // Its atomics are made at run time.
    #[cfg(loom)]
    static POOL: std::sync::LazyLock<Latest<Owned>> = std::sync::LazyLock::new(Latest::new);

    let process = std::process::id();
    let is_fit = |owned: &Owned| owned.process == process && owned.pool.current_num_threads() >= size;
    let make = || {
        let usual = default_threads().get().min(most_threads()) - 1;
        let size = if size <= usual { usual } else { size.next_power_of_two() };
        let builder = ThreadPoolBuilder::new().num_threads(size).thread_name(|index| format!("vlmres-{index}"));
        Some(Owned { process, pool: builder.build().ok()? })
    };
    POOL.get(is_fit, make).map(|owned| &owned.pool)
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

    #[test]
    fn pools_double() {
        let sizes: std::collections::BTreeSet<usize> =
            (2..most_threads()).filter_map(|size| Some(pool(size)?.current_num_threads())).collect();
        assert!(sizes.len() <= 2 + most_threads().ilog2() as usize, "{sizes:?}");
    }
}
