//! Images whose pixels a Python function makes on demand.

use pyo3::prelude::*;

use super::decoder::{copy, of_python};
use super::source::Source;
use crate::engine::{DeferredImage, Input, PixelOwner};
use crate::error::Result;
use crate::geometry::Size;
use crate::options::Backend;
use crate::source::OwnedImage;

/// An image of known size, whose pixels `draw() -> Source` makes when a call needs them, on any thread. Private: used
/// for pages of documents and frames of video files.
#[pyclass(frozen, module = "vlmres._core")]
pub(super) struct Deferred {
    size: Size,
    draw: Py<PyAny>,
}

#[pymethods]
impl Deferred {
    #[new]
    fn new(size: (i64, i64), draw: Py<PyAny>) -> PyResult<Self> {
        Ok(Self { size: Size::of_image(size.0, size.1)?, draw })
    }
}

impl Deferred {
    /// This image as a call takes it.
    pub(super) fn input(image: &Bound<'_, Self>) -> Input<'static> {
        let (py, image) = (image.py(), image.get());
        Input::Deferred(Box::new(Drawn { size: image.size, draw: image.draw.clone_ref(py) }))
    }
}

struct Drawn {
    size: Size,
    draw: Py<PyAny>,
}

impl DeferredImage for Drawn {
    fn size(&self) -> Size {
        self.size
    }

    fn pixels(&self) -> Result<OwnedImage> {
        Python::attach(|py| {
            let source = self.draw.bind(py).call0().and_then(|drawn| Ok(drawn.extract::<Py<Source>>()?));
            let source = source.map_err(|error| of_python(py, &error))?;
            let pixels = source.get().read(Backend::Pillow);
            // The copy runs without the GIL; the pixels are kept alive until it is done.
            py.detach(|| copy(pixels.view()?))
        })
    }
}
