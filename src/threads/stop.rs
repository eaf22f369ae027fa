//! Stopping a running call.
//!
//! The caller passes a function that tells whether the call is still wanted ([`stoppable`]). Loops that may take long
//! ask [`is_stopped`] every few milliseconds, on any thread, and end early. Their partial results are never used: the
//! call returns an error.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// How often the caller is asked at most, and how long it waits for other threads before it is asked again.
pub(super) const SLICE: Duration = Duration::from_millis(50);

/// The caller's way to find out.
struct Poll {
    /// Whether the call is no longer wanted. It is asked on the caller's thread.
    unwanted: Rc<dyn Fn() -> bool>,
    last: Cell<Instant>,
}

/// What a thread knows of the call that it works for.
#[derive(Default)]
struct Known {
    stopped: Option<Arc<AtomicBool>>,
    /// On the caller's thread.
    poll: Option<Poll>,
}

thread_local! {
    static KNOWN: RefCell<Known> = const { RefCell::new(Known { stopped: None, poll: None }) };
}

/// Puts back what the thread knew before.
struct Restore(Known);

impl Drop for Restore {
    fn drop(&mut self) {
        KNOWN.set(std::mem::take(&mut self.0));
    }
}

/// Runs `work` so that it ends early once `unwanted` says so, which is asked on this thread, every 50 ms or less often, and never by
/// work that is shorter. The result of work that was stopped is [`Error::Interrupted`].
pub fn stoppable<T>(unwanted: impl Fn() -> bool + 'static, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let stopped = Arc::new(AtomicBool::new(false));
    let poll = Poll { unwanted: Rc::new(unwanted), last: Cell::new(Instant::now()) };
    let before = KNOWN.replace(Known { stopped: Some(Arc::clone(&stopped)), poll: Some(poll) });
    let _restore = Restore(before);
    let result = work();
    if stopped.load(Ordering::Relaxed) { Err(Error::Interrupted) } else { result }
}

/// Whether the call that this thread works for has been stopped. It costs some nanoseconds.
pub fn is_stopped() -> bool {
    let ask = KNOWN.with_borrow(|known| {
        let Some(stopped) = &known.stopped else { return Err(false) };
        if stopped.load(Ordering::Relaxed) {
            return Err(true);
        }
        let Some(poll) = &known.poll else { return Err(false) };
        let now = Instant::now();
        if now.duration_since(poll.last.get()) < SLICE {
            return Err(false);
        }
        poll.last.set(now);
        Ok(Rc::clone(&poll.unwanted))
    });
    // Asked with nothing borrowed: a signal's handler may do anything, another call included.
    let unwanted = match ask {
        Ok(ask) => ask(),
        Err(known) => return known,
    };
    if unwanted {
        KNOWN.with_borrow(|known| known.stopped.iter().for_each(|stopped| stopped.store(true, Ordering::Relaxed)));
    }
    unwanted
}

/// As [`is_stopped`], as an error.
pub fn check_stopped() -> Result<()> {
    if is_stopped() { Err(Error::Interrupted) } else { Ok(()) }
}

/// Whether this thread is a caller's that can be asked.
pub(super) fn can_poll() -> bool {
    KNOWN.with_borrow(|known| known.poll.is_some())
}

/// What a worker needs to know of the call that it works for.
pub(super) struct Seat(Option<Arc<AtomicBool>>);

impl Seat {
    /// That of a call that ends early once `stopped` is true.
    pub(super) fn of(stopped: &Arc<AtomicBool>) -> Self {
        Self(Some(Arc::clone(stopped)))
    }

    /// That of the call that this thread works for.
    pub(super) fn of_this_thread() -> Self {
        Self(KNOWN.with_borrow(|known| known.stopped.clone()))
    }

    /// Runs `work` for it, on any thread.
    pub(super) fn taken<T>(&self, work: impl FnOnce() -> T) -> T {
        let before = KNOWN.replace(Known { stopped: self.0.clone(), poll: None });
        let _restore = Restore(before);
        work()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::threads::{Threads, parallel};

    #[test]
    fn work_ends_early_on_all_threads() {
        let jobs: Vec<u32> = (0..64).collect();
        for threads in [1, 4] {
            let asked = Arc::new(AtomicBool::new(false));
            let seen = Arc::clone(&asked);
            let result = stoppable(
                move || seen.swap(true, Ordering::Relaxed),
                || {
                    parallel(&jobs, Threads::new(threads), |_| {
                        while !is_stopped() {
                            std::hint::spin_loop();
                        }
                    });
                    Ok(())
                },
            );
            assert!(matches!(result, Err(Error::Interrupted)) && asked.load(Ordering::Relaxed));
            assert!(!is_stopped());
        }
    }

    #[test]
    fn short_work_is_not_asked_and_nothing_is_left_behind() {
        let result = stoppable(|| panic!("asked"), || Ok(is_stopped()));
        assert!(!result.unwrap());
        let nested = stoppable(
            || true,
            || {
                let inner = stoppable(|| false, || Ok(7));
                while !is_stopped() {}
                inner
            },
        );
        assert!(matches!(nested, Err(Error::Interrupted)));
        assert!(check_stopped().is_ok());
    }
}
