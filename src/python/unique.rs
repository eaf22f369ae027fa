//! `first_equal`: cells of patches that equal an earlier cell.

use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::interrupt::detached;
use crate::write;

/// For each cell, the first cell of its group with the same bytes, which may be itself: int64. A patch has `size`
/// bytes. A cell is `len` indices of patches; -1 stands for a missing patch.
#[pyfunction]
pub(super) fn first_equal<'py>(
    py: Python<'py>,
    patches: PyReadonlyArray1<'py, u8>,
    size: usize,
    cells: PyReadonlyArray1<'py, i64>,
    len: usize,
    groups: PyReadonlyArray1<'py, i32>,
) -> PyResult<Bound<'py, PyArray1<i64>>> {
    let (patches, groups) = (patches.as_slice()?, groups.as_slice()?);
    let index = |&patch: &i64| usize::try_from(patch).or(if patch == -1 { Ok(usize::MAX) } else { Err(patch) });
    let cells: Result<Vec<usize>, i64> = cells.as_slice()?.iter().map(index).collect();
    let cells = cells.map_err(|patch| PyValueError::new_err(format!("no patch has the index {patch}")))?;
    let first = detached(py, || write::first_equal(patches, size, &cells, len, groups))?;
    Ok(first.into_pyarray(py))
}
