//! `View`: one view of a plan.

use pyo3::prelude::*;

use super::convert;
use crate::plan as core;

/// One view of an image: how it becomes a canvas, and how that is cut into tiles and patches.
#[pyclass(frozen, module = "vlmres")]
pub(super) struct View(pub(super) core::View);

#[pymethods]
impl View {
    /// "global", "tile", "crop", "detail" or "frame".
    #[getter]
    fn role(&self) -> &'static str {
        self.0.role.name()
    }

    /// (width, height) after the last resize, before padding and cropping.
    #[getter]
    fn resized<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        convert::size(py, self.last().resized)
    }

    /// (width, height) of the canvas: the resized image padded or cropped.
    #[getter]
    fn canvas<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        convert::size(py, self.0.canvas())
    }

    /// (x, y) of the resized image's upper left corner on the canvas; negative where it is cropped.
    #[getter]
    fn offset(&self) -> (i32, i32) {
        (self.last().offset.x, self.last().offset.y)
    }

    /// RGB of the canvas where the image does not cover it.
    #[getter]
    fn fill(&self) -> (u8, u8, u8) {
        self.last().fill.into()
    }

    /// (rows, cols) of tiles.
    #[getter]
    fn tiles<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        convert::grid(py, self.0.tiles)
    }

    /// (width, height) of a tile.
    #[getter]
    fn tile_size<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        convert::size(py, self.0.tile)
    }

    /// Pixels that neighbouring tiles share.
    #[getter]
    fn overlap(&self) -> u32 {
        self.0.overlap
    }

    /// (rows, cols) of patches in a tile.
    #[getter]
    fn patches<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        convert::grid(py, self.0.patches)
    }

    /// Patches of all tiles.
    #[getter]
    fn num_patches(&self) -> u64 {
        self.0.num_patches()
    }

    /// Tokens of this view, separators included.
    #[getter]
    fn num_tokens(&self) -> u64 {
        self.0.num_tokens()
    }

    fn __repr__(&self) -> String {
        let (view, canvas) = (&self.0, self.0.canvas());
        format!(
            "View({}, canvas {}x{}, {}x{} tiles of {}x{} patches, {} tokens)",
            view.role.name(),
            canvas.width,
            canvas.height,
            view.tiles.rows,
            view.tiles.cols,
            view.patches.rows,
            view.patches.cols,
            view.num_tokens()
        )
    }
}

impl View {
    fn last(&self) -> &core::Stage {
        &self.0.stages[self.0.stages.len() - 1]
    }
}
