//! Waiting until several workers are through, awake now and then.

use std::time::Duration;

#[cfg(loom)]
use loom::{
    sync::atomic::{AtomicUsize, Ordering},
    thread::{self, Thread},
};
#[cfg(not(loom))]
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread::{self, Thread},
};

/// How many workers are not through yet, and who waits for them.
pub(super) struct Countdown {
    left: AtomicUsize,
    caller: Thread,
}

/// Counts a worker when it is dropped, even where the worker panics.
pub(super) struct Done<'a>(&'a Countdown);

impl Countdown {
    /// So many workers, for which this thread waits.
    pub(super) fn new(workers: usize) -> Self {
        Self { left: AtomicUsize::new(workers), caller: thread::current() }
    }

    /// What a worker holds until it is through.
    pub(super) fn worker(&self) -> Done<'_> {
        Done(self)
    }

    /// Waits for all workers, on the thread that made this; `look` is called once in every `slice`.
    pub(super) fn wait(&self, slice: Duration, look: impl Fn()) {
        while self.left.load(Ordering::Acquire) > 0 {
            #[cfg(not(loom))]
            thread::park_timeout(slice);
            // A wake-up that was lost is a deadlock there.
            #[cfg(loom)]
            {
                let _ = slice;
                thread::park();
            }
            look();
        }
    }
}

impl Drop for Done<'_> {
    fn drop(&mut self) {
        let Countdown { left, caller } = self.0;
        if left.fetch_sub(1, Ordering::Release) == 1 {
            caller.unpark();
        }
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use loom::cell::UnsafeCell;
    use loom::sync::Arc;

    use super::*;

    struct Shared {
        countdown: Countdown,
        results: [UnsafeCell<usize>; 2],
    }

    // SAFETY: each worker writes its own result, and the caller reads them when all are through.
    unsafe impl Sync for Shared {}

    #[test]
    fn the_caller_wakes_up_and_sees_what_workers_wrote() {
        loom::model(|| {
            let shared =
                Arc::new(Shared { countdown: Countdown::new(2), results: [UnsafeCell::new(0), UnsafeCell::new(0)] });
            let workers = [0, 1].map(|index| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || {
                    let _done = shared.countdown.worker();
                    // SAFETY: nobody else writes it, and it is read when this worker is through.
                    shared.results[index].with_mut(|result| unsafe { *result = index + 1 });
                })
            });
            shared.countdown.wait(Duration::ZERO, || ());
            for (index, result) in shared.results.iter().enumerate() {
                // SAFETY: all workers are through.
                assert_eq!(result.with(|result| unsafe { *result }), index + 1);
            }
            for worker in workers {
                worker.join().unwrap();
            }
        });
    }
}
