//! `Call`: images or videos that become a batch.

use half::{bf16, f16};
use numpy::PyUntypedArray;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

use super::crew::Crew;
use super::deferred::Deferred;
use super::file::ImageFile;
use super::interrupt::{Stop, detached};
use super::outputs::Outputs;
use super::plan::Plan;
use super::recipe::Recipe;
use super::source::{Source, encoded};
use super::{batch, convert, decoder};
use crate::engine::{self, Failure, Input, Item, Settings};
use crate::options::Backend;
use crate::threads::{self, Threads};
use crate::write::{BatchLayout, DType, Element};

/// Images or videos that become a batch: planned from their headers, laid out, then written. Private: `Processor` makes
/// it.
#[pyclass(module = "vlmres._core")]
pub(super) struct Call {
    inner: engine::Call<'static>,
    recipe: Recipe,
    /// The recipe of every item that has its own.
    drawn: Vec<Option<Recipe>>,
    threads: Threads,
    /// Memory that the call reads: addresses of first bytes and ends.
    read: Vec<(usize, usize)>,
    failures: Vec<Failure>,
    /// Addresses of the memory that holds written values.
    written: Vec<usize>,
}

#[pymethods]
impl Call {
    /// Reads headers and makes plans. An item is an image (a `Source`, `bytes`, a path, an `ImageFile` or a
    /// `Deferred`); a list of images, which are the frames of a video; a pair of one of these and its plan; a pair of
    /// an image and its recipe; or None for an item that was refused already. `samples` are the numbers of items of
    /// each sample. `arithmetic` is a backend and the major version of the Pillow whose order of passes it has. With
    /// `scaled` a JPEG of which the plan needs at most half the size is decoded to a half, a quarter or an eighth.
    /// `decoder` decodes the files that this library does not read, or all.
    #[new]
    #[pyo3(signature = (recipe, items, samples, layout, dtype, arithmetic, *, scaled, limits, decoder, num_threads))]
    #[allow(clippy::too_many_arguments)] // settings by keyword
    fn new(
        py: Python<'_>,
        recipe: Recipe,
        items: Vec<Bound<'_, PyAny>>,
        samples: Option<Vec<usize>>,
        layout: &str,
        dtype: &str,
        arithmetic: (String, u32),
        scaled: bool,
        limits: convert::Given,
        decoder: decoder::Given,
        num_threads: usize,
    ) -> PyResult<Self> {
        let settings = Settings {
            layout: layout.parse()?,
            dtype: dtype.parse()?,
            arithmetic: convert::arithmetic(&arithmetic)?,
            scaled,
            limits: convert::limits(limits),
            decoder: decoder::decoder(decoder),
        };
        let backend = settings.arithmetic.backend;
        let mut read = Vec::new();
        let mut inputs = Vec::with_capacity(items.len());
        let mut drawn = Vec::with_capacity(items.len());
        for item in items {
            let mut own = None;
            inputs.push(if item.is_none() {
                Item::Refused
            } else if let Ok(file) = item.cast::<ImageFile>() {
                file.get().item(&recipe)
            } else if let Ok(pair) = item.cast::<PyTuple>() {
                let (one, like): (Bound<'_, PyAny>, Bound<'_, PyAny>) = pair.extract()?;
                match (one.cast::<PyList>(), like.cast::<Plan>()) {
                    (Ok(frames), Ok(plan)) => {
                        let frames = inputs_of(frames, backend, &mut read)?;
                        Item::SettledVideo(frames, std::sync::Arc::clone(&plan.get().plan))
                    }
                    (Err(_), Ok(plan)) => {
                        Item::Settled(input(&one, backend, &mut read)?, std::sync::Arc::clone(&plan.get().plan))
                    }
                    (_, Err(_)) => {
                        let recipe: Recipe = like.extract()?;
                        let image = input(&one, backend, &mut read)?;
                        Item::Drawn(image, std::sync::Arc::clone(&own.insert(recipe).0))
                    }
                }
            } else if let Ok(frames) = item.cast::<PyList>() {
                Item::Video(inputs_of(frames, backend, &mut read)?)
            } else {
                Item::Image(input(&item, backend, &mut read)?)
            });
            drawn.push(own);
        }
        let threads = Threads::new(num_threads);
        let (shared, recipe_of) = (std::sync::Arc::clone(&recipe.0), recipe.clone());
        let (call, failures) = detached(py, || engine::Call::new(shared, settings, inputs, samples, threads))?;
        Ok(Self { inner: call, recipe: recipe_of, drawn, threads, read, failures, written: Vec::new() })
    }

    /// The errors of items that are left out, in order: (item, frame of a video, exception).
    fn failures(&self, py: Python<'_>) -> Vec<(usize, Option<usize>, Py<PyAny>)> {
        let exception = |failure: &Failure| PyErr::from(failure.error.clone()).into_value(py).into_any();
        self.failures.iter().map(|failure| (failure.item, failure.frame, exception(failure))).collect()
    }

    /// The plan of every item; None for an item that is left out.
    #[getter]
    fn plans(&self) -> Vec<Option<Plan>> {
        let recipes = self.drawn.iter().map(|own| own.as_ref().unwrap_or(&self.recipe));
        self.inner.plans().zip(recipes).map(|(plan, recipe)| plan.map(|plan| Plan::new(plan, recipe))).collect()
    }

    /// Whether the alpha of dark transparent pixels of a PNG was dropped.
    #[getter]
    fn is_dark(&self) -> bool {
        self.inner.is_dark()
    }

    /// Keys of all outputs in the reference's order.
    #[getter]
    fn keys(&self) -> Vec<String> {
        self.inner.layout().map_or_else(Vec::new, |layout| layout.keys.clone())
    }

    /// Lays out the remaining items: (key, shape) of every tensor of pixel values; empty if no item is left. Items that
    /// cannot be laid out on their own are left out.
    fn lay_out(&mut self) -> PyResult<Vec<(String, Vec<usize>)>> {
        let failures = self.inner.lay_out()?;
        self.note(failures);
        let tensors = self.inner.layout().map_or(&[][..], |layout| &layout.tensors);
        Ok(tensors.iter().map(|tensor| (tensor.key.clone(), tensor.shape.clone())).collect())
    }

    /// Integer arrays by key.
    fn arrays<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.inner.layout().map_or_else(|| Ok(PyDict::new(py)), |layout| batch::arrays(py, layout))
    }

    /// The arrays of a packed batch: `cu_seqlens`, `grids`, `image_index` and `positions`, for videos also `times`, all
    /// int32.
    fn segments<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyDict>>> {
        let left: Vec<usize> = self.inner.left().collect();
        let segments = self.inner.layout().and_then(|layout| layout.segments.as_ref());
        segments.map(|segments| batch::segments(py, segments, &left)).transpose()
    }

    /// Decodes, resizes, and writes every value of every tensor into `outputs`: C-contiguous arrays of their shapes,
    /// which need not be initialised. If one does not fit, nothing is written. Returns True if all items are in the
    /// tensors. Otherwise some turned out bad: with `leave_out` the others must be laid out and written again, which is
    /// quick at the beginning of the same memory. The threads are the call's own, or those of `crew`; `stop` ends the
    /// work early.
    #[pyo3(signature = (outputs, leave_out, crew=None, stop=None))]
    fn run(
        &mut self,
        py: Python<'_>,
        outputs: Vec<Bound<'_, PyUntypedArray>>,
        leave_out: bool,
        crew: Option<Bound<'_, Crew>>,
        stop: Option<Bound<'_, Stop>>,
    ) -> PyResult<bool> {
        let dtype = self.inner.dtype();
        let Some(BatchLayout { tensors, .. }) = self.inner.layout() else { return Ok(true) };
        let memory = Outputs::new(tensors, &outputs, dtype, self.read.clone())?;
        if memory.addresses() != self.written {
            self.inner.forget();
        }
        let crew = crew.map(|crew| crew.get().shared());
        let (call, by) = (&mut self.inner, crew.as_deref().ok_or(self.threads));
        let work = || match dtype {
            DType::Float32 => run::<f32>(call, &memory, by, leave_out),
            DType::BFloat16 => run::<bf16>(call, &memory, by, leave_out),
            DType::Float16 => run::<f16>(call, &memory, by, leave_out),
            DType::UInt8 => run::<u8>(call, &memory, by, leave_out),
        };
        let failures = match stop {
            Some(stop) => stop.get().detached(py, work),
            None => detached(py, work),
        }?;
        self.written = memory.addresses();
        let is_whole = failures.is_empty();
        self.note(failures);
        Ok(is_whole)
    }
}

impl Call {
    fn note(&mut self, failures: Vec<Failure>) {
        self.failures.extend(failures);
        Failure::sort(&mut self.failures);
    }
}

/// The frames of a video; borrowed memory is added to `read`.
fn inputs_of(
    frames: &Bound<'_, PyList>,
    backend: Backend,
    read: &mut Vec<(usize, usize)>,
) -> PyResult<Vec<Input<'static>>> {
    frames.iter().map(|frame| input(&frame, backend, read)).collect()
}

/// A source or encoded image; borrowed memory is added to `read`.
fn input(value: &Bound<'_, PyAny>, backend: Backend, read: &mut Vec<(usize, usize)>) -> PyResult<Input<'static>> {
    if let Ok(deferred) = value.cast::<Deferred>() {
        return Ok(Deferred::input(deferred));
    }
    let Ok(source) = value.cast::<Source>() else { return encoded(value) };
    read.extend(source.get().extent()?);
    Ok(Input::Pixels(Box::new(source.get().read(backend))))
}

fn run<T: Element>(
    call: &mut engine::Call<'_>,
    memory: &Outputs,
    by: Result<&threads::Crew, Threads>,
    leave_out: bool,
) -> crate::error::Result<Vec<Failure>> {
    // SAFETY: `Call::run` holds the arrays, and has checked them for the type that `T` is.
    let mut sinks = unsafe { memory.sinks::<T>() };
    let mut failures = match by {
        Ok(crew) => call.run_by_crew(&mut sinks, crew)?,
        Err(threads) => call.run(&mut sinks, threads)?,
    };
    if leave_out && !failures.is_empty() {
        let bad: Vec<_> = failures.iter().map(|failure| failure.item).collect();
        failures.extend(call.leave_out(bad));
        failures.extend(call.lay_out()?);
        call.compact(&mut sinks);
    }
    Ok(failures)
}
