//! Measures how threads spend their time, if somebody profiles.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// A part of an image's work that is measured by itself; the rest is resampling.
#[derive(Clone, Copy, Debug)]
pub enum Phase {
    /// Opening a file, and reading its header.
    Open,
    /// Reading and decoding a file.
    Decode,
    /// Writing values to their places.
    Write,
}

/// How long a thread worked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Times {
    /// Opening files, and reading headers.
    pub open: Duration,
    /// Reading and decoding.
    pub decode: Duration,
    /// Writing values to their places.
    pub write: Duration,
    /// All of it.
    pub total: Duration,
}

thread_local! {
    static TIMES: Cell<Option<Times>> = const { Cell::new(None) };
}

/// A measurement that has begun on this thread.
struct Begun {
    /// Of the measurement around it.
    before: Option<Times>,
    start: Instant,
}

impl Begun {
    fn now() -> Self {
        Self { before: TIMES.replace(Some(Times::default())), start: Instant::now() }
    }

    fn end(self) -> Times {
        let total = self.start.elapsed();
        let times = TIMES.replace(self.before).unwrap_or_default();
        Times { total, ..times }
    }
}

/// Runs `work` and measures it: its phases too.
pub(super) fn measured<R>(work: impl FnOnce() -> R) -> (R, Times) {
    let begun = Begun::now();
    let result = work();
    (result, begun.end())
}

/// Runs `work`, a part of a phase. Where nobody measures it costs a nanosecond.
pub fn timed<R>(phase: Phase, work: impl FnOnce() -> R) -> R {
    // One call of `work`: with two it would be compiled twice.
    let begun = TIMES.get().map(|before| (before, Instant::now()));
    let result = work();
    if let Some((before, start)) = begun {
        add(phase, before, start.elapsed());
    }
    result
}

fn add(phase: Phase, before: Times, elapsed: Duration) {
    if let Some(mut times) = TIMES.get() {
        // Parts of the phase that are within this one are counted once.
        match phase {
            Phase::Open => times.open = before.open + elapsed,
            Phase::Decode => times.decode = before.decode + elapsed,
            Phase::Write => times.write = before.write + elapsed,
        }
        TIMES.set(Some(times));
    }
}

/// Sums over all threads of the process.
#[derive(Debug, Default)]
pub(super) struct Sums {
    open: AtomicU64,
    decode: AtomicU64,
    write: AtomicU64,
    total: AtomicU64,
}

impl Sums {
    pub(super) const fn new() -> Self {
        Self { open: AtomicU64::new(0), decode: AtomicU64::new(0), write: AtomicU64::new(0), total: AtomicU64::new(0) }
    }

    pub(super) fn add(&self, times: Times) {
        let add = |to: &AtomicU64, time: Duration| to.fetch_add(time.as_nanos() as u64, Ordering::Relaxed);
        add(&self.open, times.open);
        add(&self.decode, times.decode);
        add(&self.write, times.write);
        add(&self.total, times.total);
    }

    pub(super) fn read(&self) -> Times {
        let read = |nanos: &AtomicU64| Duration::from_nanos(nanos.load(Ordering::Relaxed));
        Times { open: read(&self.open), decode: read(&self.decode), write: read(&self.write), total: read(&self.total) }
    }
}

/// How many want to know what the whole process's threads spend their time on.
static WATCHERS: AtomicUsize = AtomicUsize::new(0);
static WATCHED: Sums = Sums::new();

/// Begins, or ends, to measure the work of all calls.
pub fn watch(begin: bool) {
    if begin {
        WATCHERS.fetch_add(1, Ordering::Relaxed);
    } else {
        WATCHERS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What all calls' threads have spent their time on while somebody watched.
pub fn watched() -> Times {
    WATCHED.read()
}

/// Runs a job of a call, which is measured where somebody watches; a part of another job is in that.
pub fn job<R>(run: impl FnOnce() -> R) -> R {
    let is_measured = WATCHERS.load(Ordering::Relaxed) > 0 && TIMES.get().is_none();
    let begun = is_measured.then(Begun::now);
    let result = run();
    if let Some(begun) = begun {
        WATCHED.add(begun.end());
    }
    result
}

/// Notes the times of a job that was measured anyway.
pub(super) fn note(times: Times) {
    if WATCHERS.load(Ordering::Relaxed) > 0 {
        WATCHED.add(times);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread::sleep;

    #[test]
    fn a_phase_within_itself_is_counted_once() {
        let inner = || timed(Phase::Decode, || sleep(Duration::from_millis(5)));
        let ((), times) = measured(|| timed(Phase::Decode, || [(); 3].iter().for_each(|()| inner())));
        assert!(times.decode >= Duration::from_millis(15) && times.decode <= times.total);
        let ((), times) = measured(|| timed(Phase::Write, inner));
        assert!(times.decode > Duration::ZERO && times.write >= times.decode);
    }
}
