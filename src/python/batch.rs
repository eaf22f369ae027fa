//! The integer arrays of a batch, and the shapes of all arrays.

use std::sync::Arc;

use numpy::{PyArray1, PyArrayDyn, PyArrayMethods};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::convert;
use super::plan::Plan;
use super::recipe::Recipe;
use crate::limits::Budget;
use crate::recipe::IntType;
use crate::write::{BatchLayout, DType, Segments};

/// Integer arrays by key.
pub(super) fn arrays<'py>(py: Python<'py>, layout: &BatchLayout) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for array in &layout.arrays {
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

/// The arrays of a packed batch: `cu_seqlens`, `grids`, `image_index` and `positions`, for videos also `times`, all
/// int32. `left` are the indices of the images.
pub(super) fn segments<'py>(py: Python<'py>, segments: &Segments, left: &[usize]) -> PyResult<Bound<'py, PyDict>> {
    let pairs = |pairs: &[[i32; 2]]| -> PyResult<Bound<'py, PyArrayDyn<i32>>> {
        PyArray1::from_slice(py, pairs.as_flattened()).reshape(&[pairs.len(), 2][..])
    };
    let images = segments.image_index.iter().map(|&image| left[image as usize] as i32).collect();
    let dict = PyDict::new(py);
    dict.set_item("cu_seqlens", PyArray1::from_slice(py, &segments.cu_seqlens))?;
    dict.set_item("grids", pairs(&segments.grids)?)?;
    dict.set_item("image_index", PyArray1::from_vec(py, images))?;
    dict.set_item("positions", pairs(&segments.positions)?)?;
    if !segments.times.is_empty() {
        dict.set_item("times", PyArray1::from_slice(py, &segments.times))?;
    }
    Ok(dict)
}

/// (shape, dtype) of every array of a batch of `plans`, by key; the dtype of pixel values is None. `layout` is "hf" or
/// "packed"; `samples` are the numbers of images of the samples. `within` is the dtype of pixel values and limits as
/// for `Call`; larger arrays are then an error.
#[pyfunction]
#[pyo3(signature = (recipe, plans, layout, samples=None, within=None))]
pub(super) fn shapes<'py>(
    py: Python<'py>,
    recipe: Recipe,
    plans: Vec<PyRef<'_, Plan>>,
    layout: &str,
    samples: Option<Vec<usize>>,
    within: Option<(String, convert::Given)>,
) -> PyResult<Bound<'py, PyDict>> {
    let plans: Vec<_> = plans.iter().map(|plan| Arc::clone(&plan.plan)).collect();
    let borrowed: Vec<_> = plans.iter().map(Arc::as_ref).collect();
    let budget = match within {
        Some((dtype, limits)) => {
            let images = plans.iter().map(|plan| plan.num_frames() as usize).sum();
            convert::limits(limits).outputs(images, dtype.parse::<DType>()?.size())
        }
        None => Budget::UNLIMITED,
    };
    let layout = BatchLayout::new(&recipe.0, &borrowed, layout.parse()?, samples.as_deref(), budget)?;
    let shapes = PyDict::new(py);
    for key in &layout.keys {
        if let Some(tensor) = layout.tensors.iter().find(|tensor| tensor.key == *key) {
            shapes.set_item(key, (&tensor.shape, None::<&str>))?;
        } else if let Some(array) = layout.arrays.iter().find(|array| array.key == *key) {
            let dtype = match array.dtype {
                IntType::Int64 => "int64",
                IntType::Int32 => "int32",
                IntType::Float32 => "float32",
                IntType::Bool => "bool",
            };
            shapes.set_item(key, (&array.shape, Some(dtype)))?;
        }
    }
    if let Some(Segments { cu_seqlens, grids, image_index, positions, times }) = &layout.segments {
        let push = |key: &str, shape: &[usize]| shapes.set_item(key, (shape.to_vec(), Some("int32")));
        push("cu_seqlens", &[cu_seqlens.len()])?;
        push("grids", &[grids.len(), 2])?;
        push("image_index", &[image_index.len()])?;
        push("positions", &[positions.len(), 2])?;
        if !times.is_empty() {
            push("times", &[times.len()])?;
        }
    }
    Ok(shapes)
}
