//! `Memory`: a pool whose blocks numpy arrays borrow.

use std::sync::Arc;

use numpy::PyArray1;
use numpy::ndarray::ArrayView1;
use pyo3::prelude::*;

use crate::memory::{Aligned, Block, Pool};

/// Bytes of results that a pool keeps; more only if the largest result has more.
const KEPT: usize = 256 << 20;

/// A pool of memory for outputs, to which memory returns when its last array is freed. Private: `Processor` has one.
#[pyclass(frozen, module = "vlmres._core")]
pub(super) struct Memory(Arc<Pool<Aligned>>);

/// Keeps a block for as long as an array borrows it.
#[pyclass(frozen)]
struct Owner(#[allow(dead_code)] Block); // held, not read

/// Frees what the process caches: memory of decoded images, and passes of resizes. Running calls keep what they use.
#[pyfunction]
pub(super) fn trim_process() {
    crate::source::trim();
    crate::resample::trim();
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it changes no memory that is in use.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[pymethods]
impl Memory {
    /// A pool that keeps as much memory as `results` times the largest result.
    #[new]
    #[pyo3(signature = (results=1))]
    fn new(results: usize) -> Self {
        Self(Arc::new(Pool::of_results(KEPT, results)))
    }

    /// `bytes` bytes with undefined contents.
    fn take<'py>(&self, py: Python<'py>, bytes: usize) -> PyResult<Bound<'py, PyArray1<u8>>> {
        let block = self.0.block(bytes)?;
        let (start, len) = (block.as_ptr().cast_const(), block.len());
        let owner = Bound::new(py, Owner(block))?;
        // SAFETY: the block holds `len` bytes, which the owner keeps in place for as long as the array lives.
        unsafe {
            let view = ArrayView1::from_shape_ptr(len, start);
            Ok(PyArray1::borrow_from_array(&view, owner.into_any()))
        }
    }

    /// Frees memory that no array uses.
    fn trim(&self) {
        self.0.trim();
    }
}
