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
    dictionary: *const Schema,
    release: *const c_void,
    private_data: *const c_void,
}

impl Schema {
    /// The type's name; none of a struct that was released.
    fn format(&self) -> Option<&[u8]> {
        if self.release.is_null() || self.format.is_null() {
            return None;
        }
        // SAFETY: the interface has all strings end in zero.
        Some(unsafe { CStr::from_ptr(self.format) }.to_bytes())
    }

    /// The only child.
    fn child(&self) -> Option<&Self> {
        // SAFETY: what is not null points to as many pointers as there are children.
        unsafe { (self.n_children == 1 && !self.children.is_null()).then(|| (*self.children).as_ref())? }
    }
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
    dictionary: *const Array,
    release: *const c_void,
    private_data: *const c_void,
}

impl Array {
    /// The only child.
    fn child(&self) -> Option<&Self> {
        // SAFETY: what is not null points to as many pointers as there are children.
        unsafe { (self.n_children == 1 && !self.children.is_null()).then(|| (*self.children).as_ref())? }
    }

    /// The first of so many values, none of which is null.
    fn values(&self, count: i64) -> Option<*const u8> {
        let plain = self.length == count && self.null_count <= 0 && self.n_buffers == 2 && !self.buffers.is_null();
        if !plain || self.offset < 0 {
            return None;
        }
        // SAFETY: there are two buffers; the first says which values are null.
        let [nulls, values] = unsafe { [*self.buffers, *self.buffers.add(1)] };
        let start = values.cast::<u8>().wrapping_offset(self.offset as isize);
        (nulls.is_null() && !values.is_null()).then_some(start)
    }
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
        // SAFETY: the names are those of the interface's structs.
        let (schema, data) = unsafe {
            (
                schema.pointer_checked(Some(c"arrow_schema"))?.cast::<Schema>().as_ref(),
                array.pointer_checked(Some(c"arrow_array"))?.cast::<Array>().as_ref(),
            )
        };
        let (format, of_child) = (schema.format(), schema.child().and_then(Schema::format));
        let (values, step) = match (format, of_child) {
            _ if data.release.is_null() => (None, 0),
            (Some(b"C"), _) => (Some(data), 1),
            (Some(b"+w:4"), Some(b"C")) if data.offset == 0 => (data.child(), 4),
            _ => (None, 0),
        };
        let pixels = size.area() as i64;
        let start = values
            .filter(|_| data.length == pixels && data.null_count <= 0)
            .and_then(|values| values.values(pixels * step));
        let start = start.ok_or_else(|| {
            let format = String::from_utf8_lossy(format.unwrap_or_default());
            Error::Argument(format!("Pillow lends {} values of type {format:?} for {pixels} pixels", data.length))
        })?;
        Ok(Self { _array: array.unbind(), start, size, step: step as u8 })
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
