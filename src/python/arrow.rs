//! Pixels of a PIL image by the Arrow C data interface, which Pillow has from 11.2.1 on for images that lie in one block.
//! Nothing is copied.

use std::ffi::{CStr, c_char, c_void};

use pyo3::prelude::*;
use pyo3::types::PyCapsule;

use crate::error::{Error, Result};
use crate::geometry::Size;
use crate::source::{AlphaRule, PixelView, Strides};

/// `struct ArrowSchema`, as far as it is read.
#[repr(C)]
struct Schema {
    format: *const c_char,
    name: *const c_char,
    metadata: *const c_char,
    flags: i64,
    n_children: i64,
    children: *const *const Schema,
}

/// `struct ArrowArray`, as far as it is read.
#[repr(C)]
struct Array {
    length: i64,
    null_count: i64,
    offset: i64,
    n_buffers: i64,
    n_children: i64,
    buffers: *const *const c_void,
    children: *const *const Array,
}

/// Pixels that Pillow lends.
pub(super) struct ArrowPixels {
    /// Releases them when it goes.
    _array: Py<PyCapsule>,
    start: *const u8,
    size: Size,
    /// Bytes of a pixel: one of mode L, else four.
    step: u8,
}

// SAFETY: the pixels are only read, and the capsule that keeps them may go on any thread.
unsafe impl Send for ArrowPixels {}
// SAFETY: as above.
unsafe impl Sync for ArrowPixels {}

impl ArrowPixels {
    pub(super) fn new(image: &Bound<'_, PyAny>) -> PyResult<Self> {
        let size: (i64, i64) = image.getattr("size")?.extract()?;
        let size = Size::of_image(size.0, size.1)?;
        let (schema, array): (Bound<'_, PyCapsule>, Bound<'_, PyCapsule>) =
            image.call_method0("__arrow_c_array__")?.extract()?;
        let unexpected = |what: &str| Error::Argument(format!("Pillow lends pixels in an unknown form: {what}"));
        // SAFETY: the names are those of the interface's structs.
        let (schema, data) = unsafe {
            (
                schema.pointer_checked(Some(c"arrow_schema"))?.cast::<Schema>().as_ref(),
                array.pointer_checked(Some(c"arrow_array"))?.cast::<Array>().as_ref(),
            )
        };
        // SAFETY: the interface has all strings end in zero.
        let format = unsafe { CStr::from_ptr(schema.format) };
        let (values, step) = match format.to_bytes() {
            b"C" => (data, 1),
            // SAFETY: a list has one child.
            b"+w:4" if data.n_children == 1 => (unsafe { &**data.children }, 4),
            other => return Err(unexpected(&String::from_utf8_lossy(other)).into()),
        };
        let pixels = size.area() as i64;
        if data.length != pixels
            || values.length != pixels * i64::from(step)
            || data.offset != 0
            || values.n_buffers != 2
        {
            return Err(unexpected(&format!("{} values for {pixels} pixels", values.length)).into());
        }
        // SAFETY: the second of two buffers holds the values.
        let start = unsafe { (*values.buffers.add(1)).cast::<u8>().offset(values.offset as isize) };
        Ok(Self { _array: array.unbind(), start, size, step })
    }

    pub(super) fn size(&self) -> Size {
        self.size
    }

    pub(super) fn view(&self) -> Result<PixelView<'_>> {
        let step = usize::from(self.step);
        // SAFETY: Pillow lends a whole image, which the capsule keeps.
        let data = unsafe { std::slice::from_raw_parts(self.start, self.size.area() as usize * step) };
        let strides = Strides { y: (self.size.width as usize * step) as isize, x: step as isize, channel: 1 };
        PixelView::new(data, 0, self.size, self.step, strides, AlphaRule::Ignore)
    }
}
