//! Decoders that are Python objects.

use std::path::PathBuf;
use std::sync::Arc;

use pyo3::exceptions::{PyKeyboardInterrupt, PyMemoryError, PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::source::Source;
use crate::engine::PixelOwner;
use crate::error::{Error, Result};
use crate::geometry::Size;
use crate::options::Backend;
use crate::source::{self, Decoder, Encoded, OtherDecoder, OtherHeader, OwnedImage};

/// The decoder as a caller gives it: None for this library alone; or an object, and what it decodes: "rest",
/// "transparent" or "all". The object has `header(encoded, may_leave) -> (stored size, size, bytes)`, which returns
/// None for an image that it leaves to this library, and `decode(encoded) -> Source`, for `bytes` or a path. Both must
/// be thread-safe.
pub(super) type Given = Option<(Py<PyAny>, Decodes)>;

/// What a Python object decodes.
#[derive(Clone, Copy)]
pub(super) enum Decodes {
    Rest,
    Transparent,
    All,
}

impl FromPyObject<'_, '_> for Decodes {
    type Error = PyErr;

    fn extract(value: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        match value.extract()? {
            "rest" => Ok(Self::Rest),
            "transparent" => Ok(Self::Transparent),
            "all" => Ok(Self::All),
            other => Err(PyValueError::new_err(format!("a decoder is for rest, transparent or all, got {other:?}"))),
        }
    }
}

/// Who decodes.
pub(super) fn decoder(given: Given) -> Decoder {
    match given {
        None => Decoder::Own,
        Some((object, Decodes::Rest)) => Decoder::Auto(Arc::new(PyDecoder(object))),
        Some((object, Decodes::Transparent)) => Decoder::Transparent(Arc::new(PyDecoder(object))),
        Some((object, Decodes::All)) => Decoder::Other(Arc::new(PyDecoder(object))),
    }
}

#[derive(Debug)]
struct PyDecoder(Py<PyAny>);

impl OtherDecoder for PyDecoder {
    fn header(&self, encoded: Encoded<'_>, may_leave: bool) -> Result<Option<OtherHeader>> {
        type Sizes = ((i64, i64), (i64, i64), u64);
        let found = Python::attach(|py| {
            let found = given(py, encoded)
                .and_then(|encoded| self.0.bind(py).call_method1("header", (encoded, may_leave)))
                .and_then(|found| found.extract::<Option<Sizes>>());
            found.map_err(|error| of_python(py, &error))
        })?;
        let Some((stored, size, bytes)) = found else { return Ok(None) };
        let [stored, size] = [stored, size].map(|(width, height)| Size::of_image(width, height));
        Ok(Some(OtherHeader { stored: stored?, size: size?, bytes }))
    }

    fn decode(&self, encoded: Encoded<'_>) -> Result<OwnedImage> {
        Python::attach(|py| {
            let source = given(py, encoded)
                .and_then(|encoded| self.0.bind(py).call_method1("decode", (encoded,)))
                .and_then(|found| Ok(found.extract::<Py<Source>>()?));
            let source = source.map_err(|error| of_python(py, &error))?;
            let pixels = source.get().read(Backend::Pillow);
            // The copy runs without the GIL; the pixels are kept alive until it is done.
            py.detach(|| copy(pixels.view()?))
        })
    }
}

/// Bytes or a path as Python has them.
fn given<'py>(py: Python<'py>, encoded: Encoded<'_>) -> PyResult<Bound<'py, PyAny>> {
    Ok(match encoded {
        Encoded::Bytes(bytes) => PyBytes::new(py, bytes).into_any(),
        Encoded::Path(path) => path.into_pyobject(py)?.into_any(),
    })
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
        return Error::Decode("there is not enough memory for its pixels".into());
    }
    Error::Decode(message)
}
