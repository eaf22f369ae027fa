//! `Plan`, and the functions that make one.

use std::sync::Arc;

use numpy::{PyArrayDyn, PyArrayLikeDyn};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::recipe::Recipe;
use super::view::View;
use super::{boxes, convert};
use crate::geometry::Size;
use crate::plan as core;

/// Everything about an image's preprocessing that follows from its size.
#[pyclass(frozen, module = "vlmres")]
pub(super) struct Plan {
    pub(super) plan: Arc<core::Plan>,
    recipe: Recipe,
}

/// The plan of an image of `size` (width, height) in a sample of this many images, or of a video of (frames, width,
/// height), with a recipe or the name of one.
#[pyfunction]
#[pyo3(signature = (size, recipe, images=1))]
pub(super) fn plan(size: Bound<'_, PyTuple>, recipe: &Bound<'_, PyAny>, images: usize) -> PyResult<Plan> {
    let recipe = Recipe::of(recipe)?;
    let sides = size.iter().map(|side| convert::integer(&side)).collect::<PyResult<Vec<_>>>()?;
    if images == 0 {
        return Err(PyValueError::new_err("images must be at least 1, got 0"));
    }
    let plan = match sides[..] {
        [width, height] => core::Plan::among(&recipe.0, Size::of_image(width, height)?, images)?,
        [frames, width, height] => core::Plan::of_video(&recipe.0, Size::of_image(width, height)?, frames)?,
        _ => {
            let message = format!("size must be (width, height) or (frames, width, height), got {size}");
            return Err(PyTypeError::new_err(message));
        }
    };
    Ok(Plan { plan: Arc::new(plan), recipe })
}

/// The plan of an image of `size`, or of a video of this many frames, that is resized as if its size were `like`. Both
/// sizes are (width, height).
#[pyfunction]
#[pyo3(signature = (size, like, recipe, frames=None))]
pub(super) fn plan_like(size: (i64, i64), like: (i64, i64), recipe: Recipe, frames: Option<i64>) -> PyResult<Plan> {
    let [size, like] = [size, like].map(|(width, height)| Size::of_image(width, height));
    let plan = match frames {
        None => core::Plan::like(&recipe.0, size?, like?)?,
        Some(frames) => core::Plan::of_video_like(&recipe.0, size?, frames, like?)?,
    };
    Ok(Plan { plan: Arc::new(plan), recipe })
}

#[pymethods]
impl Plan {
    /// (width, height) of the image, or of a video's frames.
    #[getter]
    fn size<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        convert::size(py, self.plan.size)
    }

    /// The recipe.
    #[getter]
    fn recipe(&self) -> Recipe {
        self.recipe.clone()
    }

    /// Frames of the video; None for an image.
    #[getter]
    fn frames(&self) -> Option<u32> {
        self.plan.clip.map(|clip| clip.frames)
    }

    /// Patches along time, rows and columns: for a video one triple per chunk, as in the reference's `video_grid_thw`;
    /// for an image one per tile.
    #[getter]
    fn grid_thw(&self) -> Vec<(u32, u32, u32)> {
        let of_view = |view: &core::View| (1, view.patches.rows, view.patches.cols);
        if let Some(clip) = self.plan.clip {
            let (_, rows, cols) = of_view(&self.plan.views[0]);
            return clip.rows().map(|times| (times, rows, cols)).collect();
        }
        let tiles = |view: &core::View| std::iter::repeat_n(of_view(view), view.tiles.cells() as usize);
        self.plan.views.iter().flat_map(tiles).collect()
    }

    /// For a video, the frames of every patch along time; the last frame is repeated if a patch lacks frames.
    #[getter]
    fn tubelets<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyTuple>>> {
        let Some(clip) = self.plan.clip else { return Ok(Vec::new()) };
        (0..clip.patches()).map(|patch| PyTuple::new(py, clip.tubelet(patch).collect::<Vec<_>>())).collect()
    }

    /// Views in the order in which the language model receives them; for a video the one view of every frame.
    #[getter]
    fn views(&self) -> Vec<View> {
        self.plan.views.iter().cloned().map(View).collect()
    }

    /// (rows, cols) of tiles in a recipe with tiles, (1, 1) for an image without tiles; in other recipes of patches.
    #[getter]
    fn grid<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        convert::grid(py, self.plan.grid)
    }

    /// Tokens that the language model receives, separators included.
    #[getter]
    fn num_tokens(&self) -> u64 {
        self.plan.num_tokens
    }

    /// Tokens that carry image features: no newlines, separators, start or end.
    #[getter]
    fn num_visual_tokens(&self) -> u64 {
        self.plan.num_visual_tokens
    }

    /// Visual tokens whose patches are not padding (DeepSeek-OCR, arXiv:2510.18234, equation 1).
    #[getter]
    fn num_valid_tokens(&self) -> u64 {
        self.plan.num_valid_tokens
    }

    /// Patches that the vision encoder receives.
    #[getter]
    fn num_patches(&self) -> u64 {
        self.plan.num_patches()
    }

    /// Tiles of all views; an uncut view counts as one. For a video, those of all patches along time. It is the number
    /// of segments in a packed batch.
    #[getter]
    fn num_tiles(&self) -> u64 {
        self.plan.num_tiles()
    }

    /// Converts boxes or points from source pixels to the model's coordinates. Boxes are xyxy of shape (n, 4) or (4,),
    /// points have shape (n, 2) or (2,); the result is float64 of the same shape.
    ///
    /// `convention` is "pixels", "0-1000", "0-999" or "0-1", by default the recipe's own. With `view`, an index, the
    /// coordinates are relative to that view's canvas; with `tile`, too, to that tile of it. `clip` moves coordinates
    /// that lie outside to the edge.
    #[pyo3(signature = (boxes, convention = None, *, view = None, tile = None, clip = false))]
    fn to_model<'py>(
        &self,
        boxes: PyArrayLikeDyn<'py, f64, numpy::AllowTypeChange>,
        convention: Option<&str>,
        view: Option<i64>,
        tile: Option<i64>,
        clip: bool,
    ) -> PyResult<Bound<'py, PyArrayDyn<f64>>> {
        let map = boxes::coordinates(&self.plan, &self.recipe.0, convention, view, tile)?;
        boxes::transform(&boxes, clip.then_some(map.extent), |axis, value| map.affine.apply(axis, value))
    }

    /// Converts boxes or points from the model's coordinates to source pixels; the inverse of `to_model`.
    #[pyo3(signature = (boxes, convention = None, *, view = None, tile = None, clip = false))]
    fn to_image<'py>(
        &self,
        boxes: PyArrayLikeDyn<'py, f64, numpy::AllowTypeChange>,
        convention: Option<&str>,
        view: Option<i64>,
        tile: Option<i64>,
        clip: bool,
    ) -> PyResult<Bound<'py, PyArrayDyn<f64>>> {
        let map = boxes::coordinates(&self.plan, &self.recipe.0, convention, view, tile)?;
        let Size { width, height } = self.plan.size;
        let image = [width, height].map(f64::from);
        boxes::transform(&boxes, clip.then_some(image), |axis, value| map.affine.invert(axis, value))
    }

    /// The cost of encoding the image with an `EncoderConfig`: FLOPs, bytes and activation memory, as a
    /// `vlmres.encoder.Cost`.
    #[pyo3(signature = (config, *, value_bytes = 2))]
    fn cost<'py>(slf: &Bound<'py, Self>, config: Bound<'py, PyAny>, value_bytes: u32) -> PyResult<Bound<'py, PyAny>> {
        // Late, because the encoder stands above this module.
        slf.py().import("vlmres.encoder.cost")?.call_method1("plan_cost", (slf, config, value_bytes))
    }

    /// A picture of what the encoder sees of `image`, as `vlmres.draw.draw` makes it; without an image, a drawing of
    /// the plan.
    #[pyo3(signature = (image = None))]
    fn show<'py>(slf: &Bound<'py, Self>, image: Option<Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyAny>> {
        // Late, because drawing stands above this module.
        slf.py().import("vlmres.notebook")?.call_method1("show_plan", (slf, image))
    }

    fn _repr_html_<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.py().import("vlmres.notebook")?.call_method1("plan_html", (slf,))
    }

    fn __repr__(&self) -> String {
        let plan = &self.plan;
        let frames = plan.clip.map(|clip| format!("{} frames of ", clip.frames)).unwrap_or_default();
        format!(
            "Plan({frames}{}x{}, {:?}, {} views, {} patches, {} tokens)",
            plan.size.width,
            plan.size.height,
            self.recipe.0.name(),
            plan.views.len(),
            plan.num_patches(),
            plan.num_tokens
        )
    }

    fn __eq__(&self, other: &Self) -> bool {
        self.plan == other.plan && self.recipe.0 == other.recipe.0
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, (Bound<'py, PyTuple>, Recipe))> {
        let make = py.import("vlmres._core")?.getattr("plan")?;
        let Size { width, height } = self.plan.size;
        let sides = self.plan.clip.map(|clip| clip.frames).into_iter().chain([width, height]).collect::<Vec<_>>();
        Ok((make, (PyTuple::new(py, sides)?, self.recipe.clone())))
    }
}

impl Plan {
    pub(super) fn new(plan: &Arc<core::Plan>, recipe: &Recipe) -> Self {
        Self { plan: Arc::clone(plan), recipe: recipe.clone() }
    }
}
