//! `Source`: an image's pixels, borrowed from an array or decoded.

use std::path::PathBuf;

use numpy::{PyArrayDyn, PyArrayMethods, PyUntypedArrayMethods};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::arrow::ArrowPixels;
use super::convert;
use super::interrupt::detached;
use super::recipe::Recipe;
use crate::engine;
use crate::error::{Error, Result};
use crate::geometry::Size;
use crate::plan::Plan;
use crate::source::{self, AlphaRule, Encoded, OwnedImage, PixelView, Strides};
use crate::threads::{Threads, parallel};
use crate::write::Sink;

/// An image's pixels. Private: `Processor` makes them.
#[pyclass(frozen, module = "vlmres._core")]
pub(super) struct Source {
    /// The whole image's, where the pixels are a reduced image's.
    size: Size,
    pixels: Pixels,
}

enum Pixels {
    /// Taken out when the source ends.
    Owned(Option<OwnedImage>),
    Array {
        array: Py<PyArrayDyn<u8>>,
        channels: u8,
        strides: Strides,
        alpha: AlphaRule,
    },
    Arrow(ArrowPixels),
}

/// Bytes that stay where they are, or the path of a file.
enum Input {
    Bytes(Py<PyBytes>),
    Path(PathBuf),
}

impl Input {
    fn of(value: &Bound<'_, PyAny>) -> PyResult<Self> {
        match value.cast::<PyBytes>() {
            Ok(bytes) => Ok(Self::Bytes(bytes.clone().unbind())),
            Err(_) => Ok(Self::Path(value.extract()?)),
        }
    }

    fn encoded<'a>(&'a self, py: Python<'a>) -> Encoded<'a> {
        match self {
            Self::Bytes(bytes) => Encoded::Bytes(bytes.as_bytes(py)),
            Self::Path(path) => Encoded::Path(path),
        }
    }
}

#[pymethods]
impl Source {
    /// Borrows a uint8 array: (h, w), (h, w, c) or, where `channels_first`, (c, h, w); c is 1, 3 or 4. `alpha` says what a
    /// fourth channel means: "ignore", "white-numpy" or "white-torch". The array must not change while it is processed.
    #[staticmethod]
    fn from_array(array: Bound<'_, PyArrayDyn<u8>>, channels_first: bool, alpha: &str) -> PyResult<Self> {
        let alpha = match alpha {
            "ignore" => AlphaRule::Ignore,
            "white-numpy" => AlphaRule::WhiteNumpy,
            "white-torch" => AlphaRule::WhiteTorch,
            _ => return Err(Error::Argument(format!("unknown alpha rule {alpha:?}")).into()),
        };
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
        let pixels = Pixels::Array { array: array.unbind(), channels, strides, alpha };
        let source = Self { size, pixels };
        Ok(source)
    }

    /// Borrows a PIL image of mode L, or of one with four bytes a pixel, of which the first three are read. It must lie in one
    /// block.
    #[staticmethod]
    fn from_pil(image: &Bound<'_, PyAny>) -> PyResult<Self> {
        let block = ArrowPixels::new(image)?;
        Ok(Self { size: block.size(), pixels: Pixels::Arrow(block) })
    }

    /// Copies PIL images of one width that follow each other downwards, such as parts of one that lies in several blocks.
    #[staticmethod]
    fn from_pil_bands(size: (i64, i64), bands: &Bound<'_, PyAny>) -> PyResult<Self> {
        let size = Size::of_image(size.0, size.1)?;
        let mut data = source::reuse(size.area() as usize * 3)?;
        let mut rows = data.chunks_exact_mut(size.width as usize * 3);
        for band in bands.try_iter()? {
            let band = ArrowPixels::new(&band?)?;
            let view = band.view()?;
            if view.size().width != size.width || view.size().height as usize > rows.len() {
                return Err(Error::Argument(format!("{:?} is no band of {size:?}", view.size())).into());
            }
            for (y, out) in (0..view.size().height).zip(&mut rows) {
                view.copy_row(y, out);
            }
        }
        if rows.len() > 0 {
            return Err(Error::Argument(format!("{} rows of {size:?} are missing", rows.len())).into());
        }
        Ok(Self { size, pixels: Pixels::Owned(Some(OwnedImage::new(size, data)?)) })
    }

    /// (width, height) in pixels.
    #[getter]
    fn size<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        convert::size(py, self.size)
    }

    /// The pixels as a new (height, width, 3) array.
    fn to_array<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArrayDyn<u8>>> {
        let view = self.view(py)?;
        let size = view.size();
        let mut data = vec![0; size.area() as usize * 3];
        for (y, row) in data.chunks_exact_mut(size.width as usize * 3).enumerate() {
            view.copy_row(y as u32, row);
        }
        let shape = [size.height as usize, size.width as usize, 3];
        numpy::PyArray1::from_vec(py, data).reshape(&shape[..])
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        if let Pixels::Owned(image) = &mut self.pixels
            && let Some(image) = image.take()
        {
            source::recycle(image);
        }
    }
}

impl Source {
    /// The pixels, for as long as the source lives and the array is left alone.
    pub(super) fn view<'a>(&'a self, py: Python<'a>) -> Result<PixelView<'a>> {
        match &self.pixels {
            Pixels::Owned(image) => match image {
                Some(image) => image.view(),
                None => Err(Error::Argument("the image is gone".into())),
            },
            Pixels::Arrow(block) => block.view(),
            Pixels::Array { array, channels, strides, alpha } => {
                let extents = [
                    (self.size.height, strides.y),
                    (self.size.width, strides.x),
                    (u32::from(*channels), strides.channel),
                ];
                let (mut low, mut high) = (0isize, 0isize);
                for (count, stride) in extents {
                    let reach = stride * (count as isize - 1);
                    if reach < 0 { low += reach } else { high += reach }
                }
                let start = array.bind(py).data();
                // SAFETY: numpy's shape and strides say that all bytes from `low` to `high` belong to the array, which
                // this source keeps alive.
                let data = unsafe { std::slice::from_raw_parts(start.offset(low), (high - low) as usize + 1) };
                PixelView::new(data, low.unsigned_abs(), self.size, *channels, *strides, *alpha)
            }
        }
    }

    /// First byte and one past the last of borrowed memory.
    pub(super) fn extent(&self, py: Python<'_>) -> Result<Option<(usize, usize)>> {
        Ok(match &self.pixels {
            Pixels::Owned(_) => None,
            Pixels::Array { .. } | Pixels::Arrow(_) => Some(self.view(py)?.extent()),
        })
    }
}

/// Decodes files: each item is `bytes` or a path. The result holds a `Source` or the exception of each, in order. An image
/// of more than `max_pixels` is refused; by default Pillow's limit. With `scaled_for`, a recipe, a JPEG that its plan makes
/// smaller by half or more is decoded to a half, a quarter or an eighth; its `size` is still the whole image's.
#[pyfunction]
#[pyo3(signature = (items, max_pixels, num_threads, scaled_for = None))]
pub(super) fn decode_many(
    py: Python<'_>,
    items: Vec<Bound<'_, PyAny>>,
    max_pixels: Option<u64>,
    num_threads: usize,
    scaled_for: Option<Recipe>,
) -> PyResult<Vec<Py<PyAny>>> {
    let max_pixels = max_pixels.unwrap_or(source::DEFAULT_MAX_PIXELS);
    let inputs = items.iter().map(Input::of).collect::<PyResult<Vec<_>>>()?;
    let encoded: Vec<Encoded<'_>> = inputs.iter().map(|input| input.encoded(py)).collect();
    let decode = || {
        parallel(&encoded, Threads::new(num_threads), |item| {
            item.decode_reduced(max_pixels, |size| match &scaled_for {
                // An image without a plan gets its error from the caller's own.
                Some(recipe) => Plan::new(&recipe.0, size).map_or(1, |plan| plan.reduction()),
                None => 1,
            })
        })
    };
    detached(py, || Ok(decode()))?
        .into_iter()
        .map(|decoded| match decoded {
            Ok((size, image)) => Ok(Py::new(py, Source { size, pixels: Pixels::Owned(Some(image)) })?.into_any()),
            Err(error) => Ok(PyErr::from(error).into_value(py).into_any()),
        })
        .collect()
}

/// Resizes a source to (width, height), bytes to bytes: a new (height, width, 3) array.
#[pyfunction]
pub(super) fn resize_source<'py>(
    py: Python<'py>,
    source: &Source,
    size: (i64, i64),
    filter: &str,
    arithmetic: &str,
    num_threads: usize,
) -> PyResult<Bound<'py, PyArrayDyn<u8>>> {
    let to = Size::of_image(size.0, size.1)?;
    let (filter, arithmetic) = (filter.parse()?, arithmetic.parse()?);
    let view = source.view(py)?;
    // Checked before numpy allocates what nobody has.
    drop(engine::reserve(to)?);
    let shape = [to.height as usize, to.width as usize, 3];
    // SAFETY: all bytes are written before anyone sees them.
    let array = unsafe { PyArrayDyn::<u8>::new(py, &shape[..], false) };
    // SAFETY: the array is new, and holds as many bytes.
    let sink = unsafe { Sink::new(array.data(), shape.iter().product()) };
    detached(py, || engine::resize_into(view, to, filter, arithmetic, &sink, Threads::new(num_threads)))?;
    Ok(array)
}

/// (width, height) of an encoded image from its header: as it is to be seen, or without `exif` as it is stored.
#[pyfunction]
#[pyo3(signature = (path_or_bytes, *, exif = true))]
pub(super) fn image_size<'py>(path_or_bytes: &Bound<'py, PyAny>, exif: bool) -> PyResult<Bound<'py, PyAny>> {
    let py = path_or_bytes.py();
    let input = Input::of(path_or_bytes)?;
    let encoded = input.encoded(py);
    let size = detached(py, || source::image_size(encoded, exif))?;
    convert::size(py, size)
}
