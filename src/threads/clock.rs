//! What threads spend their time on, measured for each image where somebody wants to know.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// A part of an image's work that is measured by itself; the rest is resampling.
#[derive(Clone, Copy, Debug)]
pub enum Phase {
    /// Reading and decoding a file.
    Decode,
    /// Writing values to their places.
    Write,
}

/// How long a thread worked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Times {
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

/// Runs `work` and measures it: its phases too.
pub(super) fn measured<R>(work: impl FnOnce() -> R) -> (R, Times) {
    let before = TIMES.replace(Some(Times::default()));
    let start = Instant::now();
    let result = work();
    let total = start.elapsed();
    let times = TIMES.replace(before).unwrap_or_default();
    (result, Times { total, ..times })
}

/// Runs `work`, a part of a phase. Where nobody measures it costs a nanosecond.
pub fn timed<R>(phase: Phase, work: impl FnOnce() -> R) -> R {
    if TIMES.get().is_none() {
        return work();
    }
    let start = Instant::now();
    let result = work();
    let elapsed = start.elapsed();
    if let Some(mut times) = TIMES.get() {
        match phase {
            Phase::Decode => times.decode += elapsed,
            Phase::Write => times.write += elapsed,
        }
        TIMES.set(Some(times));
    }
    result
}
