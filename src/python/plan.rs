//! `Plan`, `View` and the functions that make them.

use std::sync::Arc;

use numpy::{PyArray1, PyArrayDyn, PyArrayLikeDyn, PyArrayMethods, PyReadonlyArray2};
use pyo3::exceptions::{PyIndexError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::convert;
use super::recipe::Recipe;
use crate::error::Error;
use crate::geometry::Size;
use crate::plan::{self as core, Coordinates, Units};
use crate::recipe::{Convention, Frame};

/// One view of an image: how it becomes a canvas, and how that is cut into tiles and patches.
#[pyclass(frozen, module = "vlmres")]
pub(super) struct View(core::View);

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

/// Everything about an image's preprocessing that follows from its size.
#[pyclass(frozen, module = "vlmres")]
pub(super) struct Plan {
    pub(super) plan: Arc<core::Plan>,
    recipe: Recipe,
}

/// The plan of an image of `size` (width, height), in a sample of so many images, or of a video of (frames, width, height), by
/// a recipe or its name.
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

/// The plan of an image of `size`, or of a video of so many frames, resized as one of the size `like` is; both are (width,
/// height).
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

    /// Frames of the video, or None of an image.
    #[getter]
    fn frames(&self) -> Option<u32> {
        self.plan.clip.map(|clip| clip.frames)
    }

    /// (times, rows, cols) of patches: a row for each chunk of a video, as in the reference's `video_grid_thw`; of an image
    /// one for each tile.
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

    /// Of a video: the frames of every patch along time, the last one repeated where it lacks some.
    #[getter]
    fn tubelets<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyTuple>>> {
        let Some(clip) = self.plan.clip else { return Ok(Vec::new()) };
        (0..clip.patches()).map(|patch| PyTuple::new(py, clip.tubelet(patch).collect::<Vec<_>>())).collect()
    }

    /// Views in the order in which the language model receives them; of a video the one of every frame.
    #[getter]
    fn views(&self) -> Vec<View> {
        self.plan.views.iter().cloned().map(View).collect()
    }

    /// (rows, cols) of tiles in a recipe with tiles, (1, 1) where an image gets none; else of patches.
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

    /// Visual tokens that are not over padding (DeepSeek-OCR, arXiv:2510.18234, equation 1).
    #[getter]
    fn num_valid_tokens(&self) -> u64 {
        self.plan.num_valid_tokens
    }

    /// Patches that the vision encoder receives.
    #[getter]
    fn num_patches(&self) -> u64 {
        self.plan.num_patches()
    }

    /// Tiles of all views, an uncut view counting as one, at all times of a video: the segments of a packed batch.
    #[getter]
    fn num_tiles(&self) -> u64 {
        self.plan.num_tiles()
    }

    /// Source pixels to the model's coordinates: `boxes` is (n, 4) or (4,), xyxy, or points, (n, 2) or (2,); the result is
    /// float64 of that shape.
    ///
    /// `convention` is "pixels", "0-1000", "0-999" or "0-1", by default the recipe's own. With `view` the coordinates are
    /// those of that view's canvas, with `tile` also those of that tile of it. `clip` moves what lies outside to the edge.
    #[pyo3(signature = (boxes, convention = None, *, view = None, tile = None, clip = false))]
    fn to_model<'py>(
        &self,
        boxes: PyArrayLikeDyn<'py, f64, numpy::AllowTypeChange>,
        convention: Option<&str>,
        view: Option<i64>,
        tile: Option<i64>,
        clip: bool,
    ) -> PyResult<Bound<'py, PyArrayDyn<f64>>> {
        let map = self.coordinates(convention, view, tile)?;
        transform(&boxes, clip.then_some(map.extent), |axis, value| map.affine.apply(axis, value))
    }

    /// The model's coordinates to source pixels; the inverse of `to_model`.
    #[pyo3(signature = (boxes, convention = None, *, view = None, tile = None, clip = false))]
    fn to_image<'py>(
        &self,
        boxes: PyArrayLikeDyn<'py, f64, numpy::AllowTypeChange>,
        convention: Option<&str>,
        view: Option<i64>,
        tile: Option<i64>,
        clip: bool,
    ) -> PyResult<Bound<'py, PyArrayDyn<f64>>> {
        let map = self.coordinates(convention, view, tile)?;
        let Size { width, height } = self.plan.size;
        let image = [width, height].map(f64::from);
        transform(&boxes, clip.then_some(image), |axis, value| map.affine.invert(axis, value))
    }

    /// FLOPs, bytes and activation memory of encoding the image with an `EncoderConfig`: a `vlmres.encoder.Cost`.
    #[pyo3(signature = (config, *, value_bytes = 2))]
    fn cost<'py>(slf: &Bound<'py, Self>, config: Bound<'py, PyAny>, value_bytes: u32) -> PyResult<Bound<'py, PyAny>> {
        // Late, because the encoder stands above this module.
        slf.py().import("vlmres.encoder.cost")?.call_method1("plan_cost", (slf, config, value_bytes))
    }

    /// A picture of what the encoder sees of `image`, or without one of how the plan cuts: as `vlmres.draw.draw`.
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

    fn coordinates(&self, convention: Option<&str>, view: Option<i64>, tile: Option<i64>) -> PyResult<Coordinates> {
        let own = self.recipe.0.boxes;
        if convention.is_none() || view.is_none() && tile.is_none() {
            self.recipe.0.check_boxes()?;
        }
        let convention = match convention {
            None => own.convention,
            Some(name) => Convention::ALL.into_iter().find(|known| known.name() == name).ok_or_else(|| {
                let known = Convention::ALL.map(Convention::name).join(", ");
                Error::Argument(format!("convention must be one of {known}, got {name:?}"))
            })?,
        };
        if let (None, Some(tile)) = (view, tile) {
            let message = format!("tile={tile} is a tile of a view: pass view= too");
            return Err(Error::Argument(message).into());
        }
        let views = &self.plan.views;
        // A view asked for by index is the frame itself.
        let frame = if view.is_some() { Frame::Canvas } else { own.frame };
        let view = match view {
            None => &views[self.plan.main_view()],
            Some(index) => usize::try_from(index).ok().and_then(|index| views.get(index)).ok_or_else(|| {
                PyIndexError::new_err(format!("view {index} of a plan whose views are 0 to {}", views.len() - 1))
            })?,
        };
        let tiles = view.tiles.cells();
        let tile = match tile {
            None => None,
            Some(index) => Some(u64::try_from(index).ok().filter(|index| *index < tiles).ok_or_else(|| {
                PyIndexError::new_err(format!("tile {index} of a view whose tiles are 0 to {}", tiles - 1))
            })?),
        };
        Ok(self.plan.coordinates(view, tile, Units { convention, frame }))
    }
}

/// Maps boxes or points, and moves what then lies beyond `extent` (width, height) to its edge.
fn transform<'py>(
    boxes: &PyArrayLikeDyn<'py, f64, numpy::AllowTypeChange>,
    extent: Option<[f64; 2]>,
    map: impl Fn(usize, f64) -> f64,
) -> PyResult<Bound<'py, PyArrayDyn<f64>>> {
    let array = boxes.as_array();
    let shape = array.shape();
    // No boxes at all have no second dimension.
    let shape = if shape == [0] { &[0, 4][..] } else { shape };
    let columns @ (2 | 4) = shape.last().copied().unwrap_or(0) else { return Err(wrong_shape(shape)) };
    if shape.len() > 2 {
        return Err(wrong_shape(shape));
    }
    let mut values: Vec<f64> = array.iter().copied().collect();
    for (index, row) in values.chunks_exact_mut(columns).enumerate() {
        check(row).map_err(|problem| {
            let what = if columns == 4 { "box" } else { "point" };
            Error::Argument(format!("{what} {index} is {row:?}: {problem}"))
        })?;
        for (at, value) in row.iter_mut().enumerate() {
            let axis = at % 2;
            *value = map(axis, *value);
            if let Some(extent) = extent {
                *value = value.clamp(0.0, extent[axis]);
            }
        }
    }
    PyArray1::from_vec(boxes.py(), values).reshape(shape)
}

fn wrong_shape(shape: &[usize]) -> PyErr {
    let message = format!("boxes must have shape (n, 4) or (4,), points (n, 2) or (2,), got {shape:?}");
    PyTypeError::new_err(message)
}

/// What is wrong with a box or point, if anything.
fn check(row: &[f64]) -> Result<(), &'static str> {
    match row {
        _ if row.iter().any(|value| !value.is_finite()) => Err("coordinates must be finite"),
        [x0, y0, x1, y1] if x1 < x0 || y1 < y0 => Err("a box is (x0, y0, x1, y1) with x0 <= x1 and y0 <= y1"),
        _ => Ok(()),
    }
}

/// Columns of many plans: `sizes` is int64 (n, 2) of (width, height), or (n, 3) of (frames, width, height). Returns the columns by name and the errors as
/// (row, message); the columns of an erring row are -1.
#[pyfunction]
pub(super) fn plan_columns<'py>(
    py: Python<'py>,
    sizes: PyReadonlyArray2<'py, i64>,
    recipe: &Bound<'py, PyAny>,
) -> PyResult<(Bound<'py, PyDict>, Vec<(usize, String)>)> {
    const NAMES: [&str; 9] = [
        "num_tokens",
        "num_visual_tokens",
        "num_valid_tokens",
        "num_patches",
        "num_tiles",
        "rows",
        "cols",
        "canvas_width",
        "canvas_height",
    ];
    let recipe = Recipe::of(recipe)?;
    let sizes = sizes.as_array();
    if !matches!(sizes.ncols(), 2 | 3) {
        return Err(PyTypeError::new_err(format!("sizes must have shape (n, 2) or (n, 3), got {:?}", sizes.shape())));
    }
    let (columns, errors) = py.detach(|| {
        let mut columns: [Vec<i64>; NAMES.len()] = std::array::from_fn(|_| Vec::with_capacity(sizes.nrows()));
        let mut errors = Vec::new();
        for (index, row) in sizes.rows().into_iter().enumerate() {
            let planned = match row.to_vec()[..] {
                [frames, width, height] => {
                    Size::of_image(width, height).and_then(|size| core::Plan::of_video(&recipe.0, size, frames))
                }
                _ => Size::of_image(row[0], row[1]).and_then(|size| core::Plan::new(&recipe.0, size)),
            };
            let values = match planned {
                Ok(plan) => columns_of(&plan),
                Err(error) => {
                    errors.push((index, error.to_string()));
                    [-1; NAMES.len()]
                }
            };
            for (column, value) in columns.iter_mut().zip(values) {
                column.push(value);
            }
        }
        (columns, errors)
    });
    let dict = PyDict::new(py);
    for (name, column) in NAMES.iter().zip(columns) {
        dict.set_item(name, PyArray1::from_vec(py, column))?;
    }
    Ok((dict, errors))
}

fn columns_of(plan: &core::Plan) -> [i64; 9] {
    let canvas = plan.views[plan.main_view()].canvas();
    [
        plan.num_tokens as i64,
        plan.num_visual_tokens as i64,
        plan.num_valid_tokens as i64,
        plan.num_patches() as i64,
        plan.num_tiles() as i64,
        plan.grid.rows.into(),
        plan.grid.cols.into(),
        canvas.width.into(),
        canvas.height.into(),
    ]
}
