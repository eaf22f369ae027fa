//! `Source`: an image's pixels, borrowed from an array or a PIL image, or decoded.

use std::path::PathBuf;
use std::sync::Arc;

use numpy::{PyArrayDyn, PyArrayMethods, PyUntypedArrayMethods};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;

use super::arrow::ArrowPixels;
use super::interrupt::detached;
use super::{convert, decoder};
use crate::engine::{self, Input, PixelOwner};
use crate::error::{Error, Result};
use crate::geometry::Size;
use crate::limits::Limits;
use crate::options::Backend;
use crate::resample::Arithmetic;
use crate::source::{self, AlphaRule, Decoder, JpegForm, Opened, OwnedImage, PixelView, Strides};
use crate::threads::Threads;
use crate::write::Sink;

/// An image's pixels. Private: `Processor` makes them.
#[pyclass(frozen, module = "vlmres._core")]
pub(super) struct Source {
    size: Size,
    pixels: Arc<Pixels>,
}

enum Pixels {
    /// Released when the last holder is dropped.
    Owned(Option<OwnedImage>),
    Array(ArrayPixels),
    Arrow(ArrowPixels),
}

/// Pixels of an array.
struct ArrayPixels {
    /// Keeps them in place.
    _array: Py<PyArrayDyn<u8>>,
    /// The first sample.
    start: *const u8,
    size: Size,
    channels: u8,
    strides: Strides,
    /// Whether a fourth channel is composited on white instead of ignored.
    on_white: bool,
}

// SAFETY: the pixels are only read, and the array that keeps them may go on any thread.
unsafe impl Send for ArrayPixels {}
// SAFETY: as above.
unsafe impl Sync for ArrayPixels {}

/// Pixels as an arithmetic reads them.
pub(super) struct Read {
    pixels: Arc<Pixels>,
    backend: Backend,
}

/// Bytes that do not move, or the path of a file.
pub(super) fn encoded(value: &Bound<'_, PyAny>) -> PyResult<Input<'static>> {
    Ok(match value.cast::<PyBytes>() {
        Ok(bytes) => Input::Bytes(Box::new(PyBackedBytes::from(bytes.clone()))),
        Err(_) => Input::Path(value.extract::<PathBuf>()?),
    })
}

#[pymethods]
impl Source {
    /// Borrows a uint8 array: (h, w), (h, w, c) or, where `channels_first`, (c, h, w); c is 1, 3 or 4. A fourth channel is
    /// composited on white or ignored. The array must not change while it is processed.
    #[staticmethod]
    fn from_array(array: Bound<'_, PyArrayDyn<u8>>, channels_first: bool, on_white: bool) -> PyResult<Self> {
        let (shape, strides) = (array.shape(), array.strides());
        let (y, x, channel) = match (shape.len(), channels_first) {
            (2, _) => (0, 1, None),
            (3, true) => (1, 2, Some(0)),
            (3, false) => (0, 1, Some(2)),
            _ => return Err(PyTypeError::new_err(format!("an image has 2 or 3 dimensions, got shape {shape:?}"))),
        };
        let channels = channel.map_or(1, |axis| shape[axis]);
        let strides = Strides { y: strides[y], x: strides[x], channel: channel.map_or(0, |axis| strides[axis]) };
        let size = Size::of_image(shape[x] as i64, shape[y] as i64)?;
        let channels = u8::try_from(channels)
            .ok()
            .filter(|channels| matches!(channels, 1 | 3 | 4))
            .ok_or_else(|| Error::Argument(format!("an image has 1, 3 or 4 channels, got shape {shape:?}")))?;
        let start = array.data().cast_const();
        let array = ArrayPixels { _array: array.unbind(), start, size, channels, strides, on_white };
        Ok(Self { size, pixels: Arc::new(Pixels::Array(array)) })
    }

    /// Borrows a PIL image of mode L, or of a mode with four bytes per pixel, of which the first three are read. Its
    /// memory must be one block.
    #[staticmethod]
    fn from_pil(image: &Bound<'_, PyAny>) -> PyResult<Self> {
        let block = ArrowPixels::new(image)?;
        Ok(Self { size: block.size(), pixels: Arc::new(Pixels::Arrow(block)) })
    }

    /// Stacks PIL images of one width vertically, such as parts of an image whose memory is several blocks.
    #[staticmethod]
    fn from_pil_bands(size: (i64, i64), bands: &Bound<'_, PyAny>) -> PyResult<Self> {
        let size = Size::of_image(size.0, size.1)?;
        let mut data = source::reuse(size.area() as usize * 3)?;
        let mut rows = data.chunks_exact_mut(size.width as usize * 3);
        for band in bands.try_iter()? {
            let band = ArrowPixels::new(&band?)?;
            let view = band.view()?;
            if view.size().width != size.width || view.size().height as usize > rows.len() {
                return Err(
                    Error::Argument(format!("a band of {:?} does not fit an image of {size:?}", view.size())).into()
                );
            }
            for (y, out) in (0..view.size().height).zip(&mut rows) {
                view.copy_row(y, out);
            }
        }
        if rows.len() > 0 {
            return Err(Error::Argument(format!("the bands lack {} rows of an image of {size:?}", rows.len())).into());
        }
        Ok(Self::owned(OwnedImage::new(size, data)?))
    }

    /// Decodes an image file, `bytes` or a path, within limits.
    #[staticmethod]
    #[pyo3(signature = (encoded, limits = (None, None, None, None), decoder = None))]
    fn decode(
        py: Python<'_>,
        encoded: &Bound<'_, PyAny>,
        limits: convert::Given,
        decoder: decoder::Given,
    ) -> PyResult<Self> {
        let input = self::encoded(encoded)?;
        let (limits, decoder) = (convert::limits(limits), decoder::decoder(decoder));
        let image = detached(py, || open(input, &limits, &decoder)?.decode(1, source::ColourKey::Kept, Threads::ONE))?;
        Ok(Self::owned(image))
    }

    /// (width, height) in pixels.
    #[getter]
    fn size<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        convert::size(py, self.size)
    }

    /// The pixels as a new (height, width, 3) array; a fourth channel is composited by the arithmetic `backend`.
    #[pyo3(signature = (backend = "pillow"))]
    fn to_array<'py>(&self, py: Python<'py>, backend: &str) -> PyResult<Bound<'py, PyArrayDyn<u8>>> {
        let pixels = self.read(convert::backend(backend)?);
        let view = pixels.view()?;
        let size = view.size();
        let mut data = vec![0; size.area() as usize * 3];
        for (y, row) in data.chunks_exact_mut(size.width as usize * 3).enumerate() {
            view.copy_row(y as u32, row);
        }
        let shape = [size.height as usize, size.width as usize, 3];
        numpy::PyArray1::from_vec(py, data).reshape(&shape[..])
    }
}

impl Source {
    fn owned(image: OwnedImage) -> Self {
        Self { size: image.size(), pixels: Arc::new(Pixels::Owned(Some(image))) }
    }

    /// The pixels as an arithmetic reads them.
    pub(super) fn read(&self, backend: Backend) -> Read {
        Read { pixels: Arc::clone(&self.pixels), backend }
    }

    /// First byte and one past the last of borrowed memory.
    pub(super) fn extent(&self) -> Result<Option<(usize, usize)>> {
        Ok(match &*self.pixels {
            Pixels::Owned(_) => None,
            Pixels::Array(_) | Pixels::Arrow(_) => Some(self.read(Backend::Pillow).view()?.extent()),
        })
    }
}

impl Drop for Pixels {
    fn drop(&mut self) {
        if let Self::Owned(image) = self
            && let Some(image) = image.take()
        {
            source::recycle(image);
        }
    }
}

impl PixelOwner for Read {
    fn view(&self) -> Result<PixelView<'_>> {
        match &*self.pixels {
            Pixels::Owned(image) => match image {
                Some(image) => image.view(),
                None => Err(Error::Argument("the image was released already".into())),
            },
            Pixels::Arrow(block) => block.view(),
            Pixels::Array(array) => array.view(self.backend),
        }
    }
}

impl ArrayPixels {
    fn view(&self, backend: Backend) -> Result<PixelView<'_>> {
        let Self { size, channels, strides, .. } = *self;
        let alpha = match backend {
            _ if !self.on_white => AlphaRule::Ignore,
            Backend::Pillow => AlphaRule::WhiteNumpy,
            Backend::Torch => AlphaRule::WhiteTorch,
        };
        let extents = [(size.height, strides.y), (size.width, strides.x), (u32::from(channels), strides.channel)];
        let (mut low, mut high) = (0isize, 0isize);
        for (count, stride) in extents {
            let reach = stride * (count as isize - 1);
            if reach < 0 { low += reach } else { high += reach }
        }
        // SAFETY: numpy's shape and strides say that all bytes from `low` to `high` belong to the array, which is kept.
        let data = unsafe { std::slice::from_raw_parts(self.start.offset(low), (high - low) as usize + 1) };
        PixelView::new(data, low.unsigned_abs(), size, channels, strides, alpha)
    }
}

fn open(input: Input<'static>, limits: &Limits, decoder: &Decoder) -> Result<Opened<'static>> {
    match input {
        Input::Bytes(bytes) => Opened::bytes(bytes, limits, decoder),
        Input::Path(path) => Opened::file(&path, limits, decoder),
        Input::Opened(_) | Input::Pixels(_) | Input::Deferred(_) => {
            Err(Error::Argument("expected bytes or a path".into()))
        }
    }
}

/// Resizes a source to (width, height), bytes to bytes: a new (height, width, 3) array.
#[pyfunction]
pub(super) fn resize_source<'py>(
    py: Python<'py>,
    source: &Source,
    size: (i64, i64),
    filter: &str,
    arithmetic: (String, u32),
    num_threads: usize,
) -> PyResult<Bound<'py, PyArrayDyn<u8>>> {
    let to = Size::of_image(size.0, size.1)?;
    let filter = filter.parse()?;
    let arithmetic: Arithmetic = convert::arithmetic(&arithmetic)?;
    let pixels = source.read(arithmetic.backend);
    let view = pixels.view()?;
    // Checked before numpy tries to allocate an impossible size.
    drop(engine::reserve(to)?);
    let shape = [to.height as usize, to.width as usize, 3];
    // SAFETY: all bytes are written before anyone sees them.
    let array = unsafe { PyArrayDyn::<u8>::new(py, &shape[..], false) };
    // SAFETY: the array is new, and holds as many bytes.
    let mut sink = unsafe { Sink::new(array.data(), shape.iter().product()) };
    detached(py, || engine::resize_into(view, to, filter, arithmetic, &mut sink, Threads::new(num_threads)))?;
    Ok(array)
}

/// (width, height) of an encoded image from its header: after EXIF orientation, or without `exif` as stored.
#[pyfunction]
pub(super) fn image_size<'py>(
    py: Python<'py>,
    path_or_bytes: &Bound<'py, PyAny>,
    exif: bool,
    limits: convert::Given,
    decoder: decoder::Given,
) -> PyResult<Bound<'py, PyAny>> {
    let input = encoded(path_or_bytes)?;
    let (limits, decoder) = (convert::limits(limits), decoder::decoder(decoder));
    let size = detached(py, || {
        let opened = open(input, &limits, &decoder)?;
        if exif { opened.size() } else { opened.stored_size() }
    })?;
    convert::size(py, size)
}

/// The form of a JPEG file, of which all readers make the same: its size as stored, whether it is gray, its orientation. None of
/// any other file.
#[pyfunction]
pub(super) fn jpeg_form(py: Python<'_>, path: PathBuf) -> PyResult<Option<((u32, u32), bool, u16)>> {
    let form = detached(py, || JpegForm::of_file(&path))?;
    Ok(form.map(|form| ((form.size.width, form.size.height), form.is_gray, form.orientation)))
}
