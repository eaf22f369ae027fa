//! Arrays as memory for the outputs of a call.

use numpy::{PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods, npyffi};
use pyo3::prelude::*;

use crate::error::Error;
use crate::write::{DType, Sink, Tensor};

/// Arrays that have the tensors' shapes and type and share no memory.
pub(super) struct Outputs(Vec<Buffer>);

/// Address and number of values of an output.
struct Buffer(usize, usize);

impl Outputs {
    /// Checks arrays, which need not be initialised. `taken` is memory with which they must not overlap: addresses of
    /// first bytes and ends.
    pub(super) fn new(
        tensors: &[Tensor],
        arrays: &[Bound<'_, PyUntypedArray>],
        dtype: DType,
        mut taken: Vec<(usize, usize)>,
    ) -> PyResult<Self> {
        if arrays.len() != tensors.len() {
            return Err(Error::Argument(format!("{} outputs for {} tensors", arrays.len(), tensors.len())).into());
        }
        let mut buffers = Vec::new();
        for (array, tensor) in arrays.iter().zip(tensors) {
            let refuse = |what: String| Error::Argument(format!("output {:?} {what}", tensor.key));
            // SAFETY: `array` is alive.
            let (address, flags) = unsafe { ((*array.as_array_ptr()).data as usize, (*array.as_array_ptr()).flags) };
            if array.shape() != tensor.shape {
                return Err(refuse(format!("must have shape {:?}, got {:?}", tensor.shape, array.shape())).into());
            }
            if !holds(array, dtype) {
                return Err(refuse(format!("must hold {}, got {}", dtype.name(), array.dtype())).into());
            }
            // numpy calls memory of types without an alignment of their own aligned at any address.
            let is_aligned = address.is_multiple_of(dtype.size());
            if !array.is_c_contiguous() || flags & npyffi::NPY_ARRAY_WRITEABLE == 0 || !is_aligned {
                return Err(refuse("must be C-contiguous, aligned and writable".into()).into());
            }
            let end = address + tensor.len() * dtype.size();
            if taken.iter().any(|&(low, high)| address < high && low < end) {
                return Err(refuse("shares memory with an image or another output".into()).into());
            }
            taken.push((address, end));
            buffers.push(Buffer(address, tensor.len()));
        }
        Ok(Self(buffers))
    }

    /// The addresses of the arrays.
    pub(super) fn addresses(&self) -> Vec<usize> {
        self.0.iter().map(|Buffer(address, _)| *address).collect()
    }

    /// The memory as values of the type that the arrays hold.
    ///
    /// # Safety
    /// The arrays must be alive and used by nobody else for as long as the sinks are, and `T` must be of the type that they were
    /// checked for.
    pub(super) unsafe fn sinks<'a, T: Copy>(&self) -> Vec<Sink<'a, T>> {
        let sink = |Buffer(address, len): &Buffer| {
            // SAFETY: they are writable, aligned, as long as their tensors, and overlap nothing; the rest the caller
            // promises.
            unsafe { Sink::new(*address as *mut T, *len) }
        };
        self.0.iter().map(sink).collect()
    }
}

/// Whether an array's type is that of values, or may hold their bits.
fn holds(array: &Bound<'_, PyUntypedArray>, dtype: DType) -> bool {
    let found = array.dtype();
    let kinds: &[u8] = match dtype {
        DType::Float32 | DType::Float16 => b"f",
        // numpy has none of its own; that of the package ml_dtypes says that it is void.
        DType::BFloat16 => b"uiV",
        DType::UInt8 => b"u",
    };
    found.itemsize() == dtype.size() && kinds.contains(&found.kind())
}
