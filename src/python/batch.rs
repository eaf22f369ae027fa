//! `BatchLayout` and `execute`: a batch's tensors laid out, then written.

use std::sync::Arc;

use half::{bf16, f16};
use numpy::{PyArray1, PyArrayDescrMethods, PyArrayDyn, PyArrayMethods, PyUntypedArray, PyUntypedArrayMethods, npyffi};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::interrupt::detached;
use super::plan::Plan;
use super::recipe::Recipe;
use super::source::Source;
use crate::engine::{self, Item};
use crate::error::Error;
use crate::plan;
use crate::recipe::IntType;
use crate::resample::Arithmetic;
use crate::threads::Threads;
use crate::write::{self, DType, Element, Sink};

/// The tensors of a batch. Private: `Processor` makes it.
#[pyclass(frozen, module = "vlmres._core")]
pub(super) struct BatchLayout {
    layout: write::BatchLayout,
    recipe: Recipe,
    /// Of every source: an image, or a frame of a video.
    plans: Vec<Arc<plan::Plan>>,
}

#[pymethods]
impl BatchLayout {
    /// Lays out a batch of `plans` as "hf" or "packed"; `samples` are the numbers of images of samples.
    #[new]
    #[pyo3(signature = (recipe, plans, kind, samples=None))]
    fn new(recipe: Recipe, plans: Vec<PyRef<'_, Plan>>, kind: &str, samples: Option<Vec<usize>>) -> PyResult<Self> {
        let plans: Vec<_> = plans.iter().map(|plan| Arc::clone(&plan.plan)).collect();
        let borrowed: Vec<&plan::Plan> = plans.iter().map(Arc::as_ref).collect();
        let layout = write::BatchLayout::new(&recipe.0, &borrowed, kind.parse()?, samples.as_deref())?;
        let of_frames = |plan: &Arc<plan::Plan>| std::iter::repeat_n(Arc::clone(plan), plan.num_frames() as usize);
        let plans = plans.iter().flat_map(of_frames).collect();
        Ok(Self { layout, recipe, plans })
    }

    /// Keys of all outputs in the reference's order.
    #[getter]
    fn keys(&self) -> Vec<String> {
        self.layout.keys.clone()
    }

    /// (key, shape) of every tensor of pixel values.
    #[getter]
    fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        self.layout.tensors.iter().map(|tensor| (tensor.key.clone(), tensor.shape.clone())).collect()
    }

    /// Integer arrays by key.
    fn arrays<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        for array in &self.layout.arrays {
            let shape = &array.shape[..];
            let values = &array.values;
            match array.dtype {
                IntType::Int64 => {
                    dict.set_item(&array.key, PyArray1::from_slice(py, values).reshape(shape)?)?;
                }
                IntType::Int32 => {
                    let values = values.iter().map(|&value| value as i32).collect();
                    dict.set_item(&array.key, PyArray1::from_vec(py, values).reshape(shape)?)?;
                }
                IntType::Float32 => {
                    let values = values.iter().map(|&value| value as f32).collect();
                    dict.set_item(&array.key, PyArray1::from_vec(py, values).reshape(shape)?)?;
                }
                IntType::Bool => {
                    let values = values.iter().map(|&value| value != 0).collect();
                    dict.set_item(&array.key, PyArray1::from_vec(py, values).reshape(shape)?)?;
                }
            }
        }
        Ok(dict)
    }

    /// Of a packed batch: `cu_seqlens`, `grids`, `image_index` and `positions`, of videos also `times`, all int32.
    fn segments<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyDict>>> {
        let Some(segments) = &self.layout.segments else { return Ok(None) };
        let pairs = |pairs: &[[i32; 2]]| -> PyResult<Bound<'py, PyArrayDyn<i32>>> {
            PyArray1::from_slice(py, pairs.as_flattened()).reshape(&[pairs.len(), 2][..])
        };
        let dict = PyDict::new(py);
        dict.set_item("cu_seqlens", PyArray1::from_slice(py, &segments.cu_seqlens))?;
        dict.set_item("grids", pairs(&segments.grids)?)?;
        dict.set_item("image_index", PyArray1::from_slice(py, &segments.image_index))?;
        dict.set_item("positions", pairs(&segments.positions)?)?;
        if !segments.times.is_empty() {
            dict.set_item("times", PyArray1::from_slice(py, &segments.times))?;
        }
        Ok(Some(dict))
    }
}

/// Writes every value of every tensor of `layout` into `outputs`: C-contiguous arrays of its shapes, which need not be
/// initialised. Nothing is written where one does not fit.
#[pyfunction]
pub(super) fn execute(
    py: Python<'_>,
    layout: &BatchLayout,
    sources: Vec<PyRef<'_, Source>>,
    outputs: Vec<Bound<'_, PyUntypedArray>>,
    dtype: &str,
    arithmetic: &str,
    num_threads: usize,
) -> PyResult<()> {
    let dtype: DType = dtype.parse()?;
    let arithmetic: Arithmetic = arithmetic.parse()?;
    let buffers = check_outputs(py, layout, &sources, &outputs, dtype)?;
    let items = sources
        .iter()
        .zip(&layout.plans)
        .map(|(source, plan)| Ok(Item { source: source.view(py)?, plan }))
        .collect::<Result<Vec<_>, Error>>()?;
    let threads = Threads::new(num_threads);
    detached(py, || match dtype {
        DType::Float32 => run::<f32>(layout, &items, &buffers, arithmetic, threads),
        DType::BFloat16 => run::<bf16>(layout, &items, &buffers, arithmetic, threads),
        DType::Float16 => run::<f16>(layout, &items, &buffers, arithmetic, threads),
        DType::UInt8 => run::<u8>(layout, &items, &buffers, arithmetic, threads),
    })?;
    Ok(())
}

/// Address and number of values of an output.
struct Buffer(usize, usize);

fn check_outputs(
    py: Python<'_>,
    layout: &BatchLayout,
    sources: &[PyRef<'_, Source>],
    outputs: &[Bound<'_, PyUntypedArray>],
    dtype: DType,
) -> PyResult<Vec<Buffer>> {
    let tensors = &layout.layout.tensors;
    if outputs.len() != tensors.len() {
        return Err(Error::Argument(format!("{} outputs for {} tensors", outputs.len(), tensors.len())).into());
    }
    let mut taken = Vec::new();
    for source in sources {
        taken.extend(source.extent(py)?);
    }
    let mut buffers = Vec::new();
    for (output, tensor) in outputs.iter().zip(tensors) {
        let refuse = |what: String| Error::Argument(format!("output {:?} {what}", tensor.key));
        // SAFETY: `output` is a live array.
        let (address, flags) = unsafe { ((*output.as_array_ptr()).data as usize, (*output.as_array_ptr()).flags) };
        if output.shape() != tensor.shape {
            return Err(refuse(format!("must have shape {:?}, got {:?}", tensor.shape, output.shape())).into());
        }
        if output.dtype().itemsize() != dtype.size() {
            return Err(refuse(format!("must hold {}, got {}", dtype.name(), output.dtype())).into());
        }
        if !output.is_c_contiguous()
            || flags & npyffi::NPY_ARRAY_WRITEABLE == 0
            || flags & npyffi::NPY_ARRAY_ALIGNED == 0
        {
            return Err(refuse("must be C-contiguous, aligned and writable".into()).into());
        }
        let end = address + tensor.len() * dtype.size();
        if taken.iter().any(|&(low, high)| address < high && low < end) {
            return Err(refuse("shares memory with an image or another output".into()).into());
        }
        taken.push((address, end));
        buffers.push(Buffer(address, tensor.len()));
    }
    Ok(buffers)
}

fn run<T: Element>(
    layout: &BatchLayout,
    items: &[Item<'_>],
    buffers: &[Buffer],
    arithmetic: Arithmetic,
    threads: Threads,
) -> Result<(), Error> {
    let sinks: Vec<Sink<'_, T>> = buffers
        .iter()
        // SAFETY: the caller keeps the arrays alive; they are writable, aligned, as long as their tensors, and overlap
        // neither each other nor an image.
        .map(|Buffer(address, len)| unsafe { Sink::new(*address as *mut T, *len) })
        .collect();
    engine::execute(items, &layout.recipe.0.pixels, arithmetic, &layout.layout, &sinks, threads)
}
