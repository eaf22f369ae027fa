//! Work without the GIL that Ctrl-C or the caller can end.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::prelude::*;

use crate::error::Result;
use crate::threads::stoppable;

/// Runs `work` without the GIL. On the main thread, signals are checked at most every 50 ms. If a handler raises, as
/// that of Ctrl-C does, the work ends early with that exception. Other threads never get signals.
pub(super) fn detached<T: Send>(py: Python<'_>, work: impl FnOnce() -> Result<T> + Send) -> PyResult<T> {
    if !is_main_thread(py)? {
        return Ok(py.detach(work)?);
    }
    let raised: Arc<Mutex<Option<PyErr>>> = Arc::default();
    let seen = Arc::clone(&raised);
    let result = py.detach(|| {
        let unwanted = move || {
            let signals = Python::attach(|py| py.check_signals().err());
            let is_raised = signals.is_some();
            if is_raised {
                *seen.lock().unwrap_or_else(PoisonError::into_inner) = signals;
            }
            is_raised
        };
        stoppable(unwanted, work)
    });
    match raised.lock().unwrap_or_else(PoisonError::into_inner).take() {
        Some(error) => Err(error),
        None => Ok(result?),
    }
}

/// Tells a call that it is no longer wanted. Private: each call of `acall` has one.
#[pyclass(frozen, module = "vlmres._core")]
#[derive(Default)]
pub(super) struct Stop(Arc<AtomicBool>);

#[pymethods]
impl Stop {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    /// Ends the call's work early; its exception is `KeyboardInterrupt`.
    fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Stop {
    /// As [`detached`], for a call that also ends early if `stop` is set, on any thread.
    pub(super) fn detached<T: Send>(&self, py: Python<'_>, work: impl FnOnce() -> Result<T> + Send) -> PyResult<T> {
        let stopped = Arc::clone(&self.0);
        Ok(py.detach(|| stoppable(move || stopped.load(Ordering::Relaxed), work))?)
    }
}

/// Whether this is Python's main thread, the only one that runs signal handlers. It is looked up once per thread and
/// process.
fn is_main_thread(py: Python<'_>) -> PyResult<bool> {
    thread_local! {
        static KNOWN: Cell<Option<(u32, bool)>> = const { Cell::new(None) };
    }
    let process = std::process::id();
    if let Some((known, is_main)) = KNOWN.get()
        && known == process
    {
        return Ok(is_main);
    }
    let threading = py.import("threading")?;
    let own = threading.call_method0("get_ident")?;
    let is_main = threading.call_method0("main_thread")?.getattr("ident")?.eq(own)?;
    KNOWN.set(Some((process, is_main)));
    Ok(is_main)
}
