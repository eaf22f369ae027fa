//! Packing of samples.

use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::packing::{Load, Packs, Samples, best_fit, online};

/// Indices of samples in packs, and where each pack ends in them.
type Arrays<'py> = (Bound<'py, PyArray1<i64>>, Bound<'py, PyArray1<i64>>);

/// Packs samples in `order` by best fit with `open` open packs; if `open` is None, the longest samples come first.
#[pyfunction]
#[pyo3(signature = (lengths, order, budget, items, max_items, costs, max_cost, open))]
#[allow(clippy::too_many_arguments)]
pub(super) fn pack_samples<'py>(
    py: Python<'py>,
    lengths: PyReadonlyArray1<'py, i64>,
    order: PyReadonlyArray1<'py, i64>,
    budget: i64,
    items: Option<PyReadonlyArray1<'py, i64>>,
    max_items: Option<i64>,
    costs: Option<PyReadonlyArray1<'py, f64>>,
    max_cost: Option<f64>,
    open: Option<usize>,
) -> PyResult<Arrays<'py>> {
    let samples = Samples {
        lengths: lengths.as_slice()?,
        items: items.as_ref().map(PyReadonlyArray1::as_slice).transpose()?,
        costs: costs.as_ref().map(PyReadonlyArray1::as_slice).transpose()?,
    };
    let limits = Load { tokens: budget, items: max_items.unwrap_or(i64::MAX), cost: max_cost.unwrap_or(f64::INFINITY) };
    let order = order.as_slice()?;
    check(samples, limits, order)?;
    let Packs { order, ends } = py.detach(|| match open {
        Some(open) => online(samples, limits, order, open),
        None => best_fit(samples.lengths, budget, order),
    });
    Ok((order.into_pyarray(py), ends.into_pyarray(py)))
}

/// Checks what the algorithms assume.
fn check(samples: Samples<'_>, limits: Load, order: &[i64]) -> PyResult<()> {
    let count = samples.lengths.len();
    let alike = samples.items.is_none_or(|items| items.len() == count)
        && samples.costs.is_none_or(|costs| costs.len() == count)
        && order.iter().all(|&index| usize::try_from(index).is_ok_and(|index| index < count));
    let fits = || (0..count).all(|sample| samples.of(sample).is_within(limits));
    if alike && fits() {
        Ok(())
    } else {
        Err(PyValueError::new_err("samples, order and limits do not match in length"))
    }
}
