//! Decoders that are Python objects.

use std::path::PathBuf;
use std::sync::Arc;

use pyo3::exceptions::{PyKeyboardInterrupt, PyMemoryError, PyOSError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::source::Source;
use crate::engine::PixelOwner;
use crate::error::{Error, Result};
use crate::geometry::Size;
use crate::options::Backend;
use crate::source::{self, Decoder, Encoded, OtherDecoder, OtherHeader, OwnedImage};

/// What a caller says of who decodes: nothing, for this library alone; or an object, and whether it decodes everything. The object has
/// `header(encoded) -> (stored size, size, bytes)` and `decode(encoded) -> Source`, of `bytes` or a path. Both may be called on any
/// thread.
pub(super) type Given = Option<(Py<PyAny>, bool)>;

/// Who decodes.
pub(super) fn decoder(given: Given) -> Decoder {
    match given {
        None => Decoder::Own,
        Some((object, false)) => Decoder::Auto(Arc::new(PyDecoder(object))),
        Some((object, true)) => Decoder::Other(Arc::new(PyDecoder(object))),
    }
}

#[derive(Debug)]
struct PyDecoder(Py<PyAny>);

impl PyDecoder {
    fn call<'py>(&self, py: Python<'py>, method: &str, encoded: Encoded<'_>) -> PyResult<Bound<'py, PyAny>> {
        let object = self.0.bind(py);
        match encoded {
            Encoded::Bytes(bytes) => object.call_method1(method, (PyBytes::new(py, bytes),)),
            Encoded::Path(path) => object.call_method1(method, (path,)),
        }
    }
}

impl OtherDecoder for PyDecoder {
    fn header(&self, encoded: Encoded<'_>) -> Result<OtherHeader> {
        type Sizes = ((i64, i64), (i64, i64), u64);
        let (stored, size, bytes) = Python::attach(|py| {
            let found = self.call(py, "header", encoded).and_then(|found| found.extract::<Sizes>());
            found.map_err(|error| of_python(py, &error))
        })?;
        let [stored, size] = [stored, size].map(|(width, height)| Size::of_image(width, height));
        Ok(OtherHeader { stored: stored?, size: size?, bytes })
    }

    fn decode(&self, encoded: Encoded<'_>) -> Result<OwnedImage> {
        Python::attach(|py| {
            let source = self.call(py, "decode", encoded).and_then(|found| Ok(found.extract::<Py<Source>>()?));
            let source = source.map_err(|error| of_python(py, &error))?;
            let pixels = source.get().read(Backend::Pillow);
            // The copy needs no lock of the interpreter, and what it copies is kept until it is done.
            py.detach(|| copy(pixels.view()?))
        })
    }
}

pub(super) fn copy(view: source::PixelView<'_>) -> Result<OwnedImage> {
    let size = view.size();
    let mut data = source::reuse(size.area() as usize * 3)?;
    for (y, row) in data.chunks_exact_mut(size.width as usize * 3).enumerate() {
        view.copy_row(y as u32, row);
    }
    OwnedImage::new(size, data)
}

/// An exception as an error of ours.
pub(super) fn of_python(py: Python<'_>, error: &PyErr) -> Error {
    let message = error.value(py).to_string();
    if error.is_instance_of::<PyKeyboardInterrupt>(py) {
        return Error::Interrupted;
    }
    if error.is_instance_of::<PyOSError>(py) {
        let attribute = |name| error.value(py).getattr(name).ok();
        let errno = attribute("errno").and_then(|errno| errno.extract::<i32>().ok());
        let path = attribute("filename").and_then(|path| path.extract::<PathBuf>().ok());
        if let (Some(errno), Some(path)) = (errno, path) {
            let message = attribute("strerror").map_or(message, |text| text.to_string());
            return Error::File { path: path.display().to_string(), message, errno: Some(errno) };
        }
    }
    if error.is_instance_of::<PyMemoryError>(py) {
        return Error::Decode("there is no memory for its pixels".into());
    }
    Error::Decode(message)
}
