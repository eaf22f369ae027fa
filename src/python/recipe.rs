//! `Recipe`.

use std::path::PathBuf;
use std::sync::Arc;

use numpy::PyArray1;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

use super::convert;
use super::errors::RecipeError;
use crate::plan::{Footage, sample_frames};
use crate::recipe::{self, CheckpointFiles, Frame, Hints, Unsupported};

/// The format of pickled recipes.
const PICKLE_FORMAT: u32 = 1;

/// A model family's preprocessing, as data. Create one with `Recipe.load`, `Recipe.from_toml` or
/// `Recipe.from_pretrained`.
#[pyclass(frozen, module = "vlmres", from_py_object)]
#[derive(Clone)]
pub(super) struct Recipe(pub(super) Arc<recipe::Recipe>);

/// Names of the built-in recipes and of those in the folder that `VLMRES_RECIPES` names, sorted.
#[pyfunction]
pub(super) fn recipes() -> PyResult<Vec<&'static str>> {
    Ok(recipe::names()?)
}

impl Recipe {
    /// The recipe, or the one of that name.
    pub(super) fn of(value: &Bound<'_, PyAny>) -> PyResult<Self> {
        if let Ok(recipe) = value.cast::<Self>() {
            return Ok(recipe.get().clone());
        }
        match value.cast::<PyString>() {
            Ok(name) => Self::load(name.to_str()?, None),
            Err(_) => {
                Err(PyTypeError::new_err(format!("a recipe is a Recipe or a name, got {}", value.get_type().name()?)))
            }
        }
    }
}

#[pymethods]
impl Recipe {
    /// The built-in recipe `name` with `overrides` of its parameters.
    #[staticmethod]
    #[pyo3(signature = (name, **overrides))]
    fn load(name: &str, overrides: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        let overrides = convert::overrides(overrides)?;
        Ok(Self(Arc::new(recipe::Recipe::load(name, &overrides)?)))
    }

    /// The recipe of a checkpoint: of its folder, one of its JSON files, its name on the Hugging Face Hub if it is in
    /// the local cache, or a file's content as a dict. `family` names the recipe to start from if the files do not
    /// tell, keys in `ignore` are ignored, and `overrides` change the recipe further.
    #[staticmethod]
    #[pyo3(signature = (directory_or_config, *, family = None, ignore = Vec::new(), **overrides))]
    fn from_pretrained(
        directory_or_config: &Bound<'_, PyAny>,
        family: Option<String>,
        ignore: Vec<String>,
        overrides: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        let py = directory_or_config.py();
        let files = if directory_or_config.is_instance_of::<PyDict>() {
            let text = py.import("json")?.call_method1("dumps", (directory_or_config,))?;
            CheckpointFiles::of_text(text.cast::<PyString>()?.to_str()?)?
        } else {
            CheckpointFiles::read(&directory_or_config.extract::<PathBuf>()?)?
        };
        let recipe = recipe::Recipe::from_checkpoint(&files, &Hints { family, ignore })?;
        Ok(Self(Arc::new(recipe.replace(&convert::overrides(overrides)?)?)))
    }

    /// The recipe in a TOML file or text, with `overrides` of its parameters. A string with a newline or an equals sign
    /// is text, any other string is a path. `name` selects one of several recipes.
    #[staticmethod]
    #[pyo3(signature = (path_or_text, name = None, **overrides))]
    fn from_toml(
        path_or_text: &Bound<'_, PyAny>,
        name: Option<&str>,
        overrides: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        let overrides = convert::overrides(overrides)?;
        let recipe = match path_or_text.cast::<PyString>().ok().map(|text| text.to_str()).transpose()? {
            Some(text) if text.contains(['\n', '=']) => recipe::Recipe::from_text(text, name, &overrides)?,
            _ => recipe::Recipe::from_file(&path_or_text.extract::<PathBuf>()?, name, &overrides)?,
        };
        Ok(Self(Arc::new(recipe)))
    }

    /// The recipe as TOML that needs no other file, overrides included. `Recipe.from_toml` reads it back as an equal
    /// recipe.
    fn to_toml(&self) -> String {
        self.0.to_toml()
    }

    /// A recipe out of a pickle.
    #[staticmethod]
    fn _restore(
        format: u32,
        name: &str,
        toml: &str,
        overrides: &Bound<'_, PyDict>,
        rest: (bool, String, String),
    ) -> PyResult<Self> {
        let (partial_patches, boxes, videos) = rest;
        if format != PICKLE_FORMAT {
            return Err(RecipeError::new_err(format!(
                "recipe {name:?} was pickled in format {format}, this version of vlmres reads {PICKLE_FORMAT}"
            )));
        }
        let unsupported = Unsupported { boxes, videos };
        let recipe = recipe::Recipe::restore(name, toml, &convert::overrides(Some(overrides))?, partial_patches)?;
        Ok(Self(Arc::new(recipe.without(unsupported))))
    }

    /// This recipe with further overrides.
    #[pyo3(signature = (**overrides))]
    fn replace(&self, overrides: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        Ok(Self(Arc::new(self.0.replace(&convert::overrides(overrides)?)?)))
    }

    /// The name under which the recipe is loaded.
    #[getter]
    fn name(&self) -> &str {
        self.0.name()
    }

    /// The user's file from which it was read; None for a built-in recipe, a text and a pickle.
    #[getter]
    fn file(&self) -> Option<&str> {
        self.0.file()
    }

    /// The family's name in titles.
    #[getter]
    fn title(&self) -> &str {
        &self.0.title
    }

    /// "squash", "tiles", "native" or "hybrid".
    #[getter]
    fn strategy(&self) -> &'static str {
        self.0.strategy.name()
    }

    /// The code whose output this recipe reproduces.
    #[getter]
    fn reference(&self) -> &str {
        &self.0.reference
    }

    /// The code whose output for videos this recipe reproduces; empty if it takes no videos.
    #[getter]
    fn video_reference(&self) -> &str {
        self.0.video().map_or("", |video| &video.reference)
    }

    /// Indices (int64) of the frames that the reference's processor picks from a video of `total_frames`, so that
    /// others need not be decoded.
    ///
    /// `video_fps` and `duration` (seconds) are the video's; `fps` or `num_frames` say what to pick. For a part of a
    /// video, which only qwen-vl-utils supports, `total_frames` are the frames of the part, which starts at the frame
    /// `first`.
    #[pyo3(signature = (total_frames, *, video_fps = None, duration = None, fps = None, num_frames = None, first = 0))]
    #[allow(clippy::too_many_arguments)] // what is known of a video, by keyword
    fn sample_frames<'py>(
        &self,
        py: Python<'py>,
        total_frames: i64,
        video_fps: Option<f64>,
        duration: Option<f64>,
        fps: Option<f64>,
        num_frames: Option<i64>,
        first: i64,
    ) -> PyResult<Bound<'py, PyArray1<i64>>> {
        let footage = Footage { total: total_frames, video_fps, duration, fps, num_frames, first };
        Ok(PyArray1::from_vec(py, sample_frames(&self.0, footage)?))
    }

    /// Key of the seconds between patches along time, if the reference's processor returns them.
    #[getter]
    fn seconds_key(&self) -> Option<&str> {
        self.0.video().ok().and_then(|video| video.seconds_key.as_deref())
    }

    /// What could not be verified about the recipe, and why; empty if everything was.
    #[getter]
    fn note(&self) -> &str {
        &self.0.note
    }

    /// Side of a patch in pixels.
    #[getter]
    fn patch_size(&self) -> u32 {
        self.0.patches.size
    }

    /// Patches per side that the processor aligns to.
    #[getter]
    fn merge_size(&self) -> u32 {
        self.0.patches.merge
    }

    /// Frames in a patch of the reference's layout; a still image is repeated.
    #[getter]
    fn temporal_patch_size(&self) -> u32 {
        self.0.patches.temporal
    }

    /// Patches per side of a token.
    #[getter]
    fn token_stride(&self) -> u32 {
        self.0.tokens.stride
    }

    /// All parameters with their values.
    #[getter]
    fn params<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        convert::table_to_dict(py, self.0.params())
    }

    /// The parameters with their meanings, by name, as `vlmres._types.Parameter`.
    #[getter]
    fn parameters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let kind = py.import("vlmres._types")?.getattr("Parameter")?;
        let unknown = recipe::Parameter::default();
        let dict = PyDict::new(py);
        for (name, value) in self.params(py)? {
            let known = recipe::parameters().get(name.extract::<&str>()?).unwrap_or(&unknown);
            dict.set_item(name, kind.call1((value, &known.meaning, &known.unit, known.allowed(self.0.params())))?)?;
        }
        Ok(dict)
    }

    /// The coordinates that the model reads and writes, as `vlmres._types.Coordinates`.
    #[getter]
    fn coordinates<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let frame = match self.0.boxes.frame {
            Frame::Image => "image",
            Frame::Canvas => "canvas",
        };
        py.import("vlmres._types")?.getattr("Coordinates")?.call1((self.0.boxes.convention.name(), frame))
    }

    /// The parameters whose values differ from the built-in recipe's.
    #[getter]
    fn overrides<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        convert::table_to_dict(py, &self.0.overrides())
    }

    /// A picture of what the encoder sees of `image` (a path, a PIL image or an array), as `vlmres.draw.draw` makes it.
    fn show<'py>(slf: &Bound<'py, Self>, image: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        // Late, because drawing stands above this module.
        slf.py().import("vlmres.draw")?.call_method1("draw", (image, slf))
    }

    fn _repr_html_<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.py().import("vlmres.notebook")?.call_method1("recipe_html", (slf,))
    }

    fn __repr__(&self) -> String {
        let name = format!("{:?}", self.0.name());
        let overrides = self.0.overrides().into_iter().map(|(key, value)| format!("{key}={value}"));
        let arguments = std::iter::once(name).chain(overrides).collect::<Vec<_>>().join(", ");
        if self.0.is_known() {
            format!("Recipe.load({arguments})")
        } else {
            format!("Recipe.from_toml(..., {arguments})")
        }
    }

    fn __eq__(&self, other: &Self) -> bool {
        self.0 == other.0
    }

    fn __hash__(&self) -> u64 {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let mut hasher = DefaultHasher::new();
        self.0.name().hash(&mut hasher);
        self.0.params().to_string().hash(&mut hasher);
        self.0.unsupported().hash(&mut hasher);
        hasher.finish()
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let Unsupported { boxes, videos } = self.0.unsupported();
        let overrides = convert::table_to_dict(py, &self.0.overrides())?;
        let rest = (self.0.partial_patches, boxes, videos);
        let arguments = (PICKLE_FORMAT, self.0.name(), self.0.source_toml(), overrides, rest).into_pyobject(py)?;
        Ok((py.get_type::<Self>().getattr("_restore")?, arguments))
    }
}
