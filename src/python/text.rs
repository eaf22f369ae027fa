//! `text_lines`: the estimate of an image's text.

use numpy::{IntoPyArray, PyArray2, PyArrayMethods};
use pyo3::prelude::*;

use super::interrupt::detached;
use super::source::Source;
use crate::engine::PixelOwner;
use crate::options::Backend;
use crate::text;

/// Estimated lines of text: float32 of shape (lines, 8): x0, y0, x1, y1, x-height, characters, 1 if characters fill
/// squares, and evidence.
#[pyfunction]
pub(super) fn text_lines<'py>(py: Python<'py>, source: &Source) -> PyResult<Bound<'py, PyArray2<f32>>> {
    let pixels = source.read(Backend::Pillow);
    let found = detached(py, || text::estimate(&pixels.view()?))?;
    let mut values = Vec::with_capacity(found.len() * 8);
    for line in &found {
        let dense = f32::from(u8::from(line.is_dense));
        values.extend([line.x0, line.y0, line.x1, line.y1, line.x_height, line.characters, dense, line.evidence]);
    }
    values.into_pyarray(py).reshape([found.len(), 8])
}
