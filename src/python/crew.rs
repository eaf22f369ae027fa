//! `Crew`: threads that a loader's calls share.

use std::sync::Arc;

use pyo3::prelude::*;

use crate::threads::{self, Threads};

/// Threads that calls side by side share, in the order in which they come. Private: a `Loader` has one.
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

    /// How many images were worked on, and seconds of decoding (reading included), resampling and writing.
    fn times(&self) -> (u64, f64, f64, f64) {
        let (images, times) = self.0.times();
        let resample = times.total.saturating_sub(times.decode + times.write);
        (images, times.decode.as_secs_f64(), resample.as_secs_f64(), times.write.as_secs_f64())
    }
}

impl Crew {
    /// The threads, for a call that works without the interpreter's lock.
    pub(super) fn shared(&self) -> Arc<threads::Crew> {
        Arc::clone(&self.0)
    }
}
