//! Plans of many images or videos, as columns.

use numpy::{PyArray1, PyReadonlyArray2};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::recipe::Recipe;
use crate::geometry::Size;
use crate::plan as core;

/// Columns of many plans: `sizes` is int64 (n, 2) of (width, height), or (n, 3) of (frames, width, height). Returns the
/// columns by name and the errors as (row, message); a row with an error has -1 in every column.
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
