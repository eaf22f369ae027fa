//! `Crew`: threads that a loader's calls share.

use std::sync::Arc;
use std::time::Duration;

use pyo3::prelude::*;

use crate::threads::{self, Threads, Times};

/// Threads that simultaneous calls share, in order of submission. Private: a `Loader` has one.
#[pyclass(frozen, module = "vlmres._core")]
pub(super) struct Crew(Arc<threads::Crew>);

#[pymethods]
impl Crew {
    #[new]
    fn new(num_threads: usize) -> PyResult<Self> {
        Ok(Self(Arc::new(threads::Crew::new(Threads::new(num_threads))?)))
    }

    /// Ends the work of all calls early; their exception is `KeyboardInterrupt`.
    fn stop(&self) {
        self.0.stop();
    }

    /// The number of images, and seconds of decoding (including reading), resampling and writing.
    fn times(&self) -> (u64, f64, f64, f64) {
        let (images, times) = self.0.times();
        (images, times.decode.as_secs_f64(), resample(times).as_secs_f64(), times.write.as_secs_f64())
    }
}

/// Time that is not opening, decoding or writing.
fn resample(times: Times) -> Duration {
    times.total.saturating_sub(times.open + times.decode + times.write)
}

/// Starts or stops to measure the threads of all calls of this process. Private: for `vlmres.profile`.
#[pyfunction]
pub(super) fn watch(begin: bool) {
    threads::watch(begin);
}

/// Seconds that the threads of all calls spent while they were measured: opening files and reading headers, decoding,
/// resampling, writing.
#[pyfunction]
pub(super) fn watched() -> (f64, f64, f64, f64) {
    let times = threads::watched();
    let [open, decode, resample, write] =
        [times.open, times.decode, resample(times), times.write].map(|time| time.as_secs_f64());
    (open, decode, resample, write)
}

impl Crew {
    /// The threads, for a call that runs without the GIL.
    pub(super) fn shared(&self) -> Arc<threads::Crew> {
        Arc::clone(&self.0)
    }
}
