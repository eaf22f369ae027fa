//! Conversions between Python's values and those of this crate.

use pyo3::exceptions::{PyOverflowError, PyTypeError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple, PyType};
use toml::{Table, Value};

use super::errors::{PlanError, RecipeError};
use crate::error::Error;
use crate::geometry::{Grid, Size};
use crate::limits::Limits;
use crate::options::Backend;
use crate::resample::{Arithmetic, PassOrder};

/// Keyword arguments as overrides.
pub(super) fn overrides(kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<Table> {
    let mut table = Table::new();
    for (key, value) in kwargs.into_iter().flatten() {
        let key: String = key.extract()?;
        let value = to_toml(&value, 0).map_err(|error| {
            let message = format!("{key}: {}", error.value(value.py()));
            if error.is_instance_of::<PyTypeError>(value.py()) {
                PyTypeError::new_err(message)
            } else {
                RecipeError::new_err(message)
            }
        })?;
        table.insert(key, value);
    }
    Ok(table)
}

/// Limits as a caller gives them: pixels of an image, bytes of a file, bytes for decoding, bytes of outputs.
pub(super) type Given = (Option<u64>, Option<u64>, Option<u64>, Option<u64>);

/// Limits, with defaults for those that the caller does not give.
pub(super) fn limits((image_pixels, file_bytes, decoded_bytes, output_bytes): Given) -> Limits {
    let Limits { image_pixels: pixels, file_bytes: file, decoded_bytes: decoded, .. } = Limits::default();
    Limits {
        image_pixels: image_pixels.unwrap_or(pixels),
        file_bytes: file_bytes.unwrap_or(file),
        decoded_bytes: decoded_bytes.unwrap_or(decoded),
        output_bytes,
    }
}

/// Most levels of nested lists in an override; no parameter needs more.
const MOST_NESTED: usize = 8;

fn to_toml(value: &Bound<'_, PyAny>, depth: usize) -> PyResult<Value> {
    if value.is_instance_of::<PyBool>() {
        Ok(Value::Boolean(value.extract()?))
    } else if value.is_instance_of::<PyInt>() {
        Ok(Value::Integer(integer(value)?))
    } else if value.is_instance_of::<PyFloat>() {
        Ok(Value::Float(value.extract()?))
    } else if value.is_instance_of::<PyString>() {
        Ok(Value::String(value.extract()?))
    } else if value.is_instance_of::<PyList>() || value.is_instance_of::<PyTuple>() {
        if depth == MOST_NESTED {
            return Err(RecipeError::new_err(format!("lists are nested more than {MOST_NESTED} deep")));
        }
        value.try_iter()?.map(|item| to_toml(&item?, depth + 1)).collect::<PyResult<_>>().map(Value::Array)
    } else if let Ok(integer) = value.call_method0("__index__") {
        // numpy's integers.
        Ok(Value::Integer(self::integer(&integer)?))
    } else {
        let kind = value.get_type().name()?;
        Err(PyTypeError::new_err(format!("an override is a number, string, bool or list, got {kind}")))
    }
}

/// An integer that fits 64 bits, or an error that names it.
pub(super) fn integer(value: &Bound<'_, PyAny>) -> PyResult<i64> {
    if value.is_instance_of::<PyBool>() {
        return Err(PyTypeError::new_err(format!("expected an integer, got {value}")));
    }
    value.extract().map_err(|error: PyErr| {
        if error.is_instance_of::<PyOverflowError>(value.py()) {
            PlanError::new_err(format!("{value} is out of range"))
        } else {
            error
        }
    })
}

/// A parameter table as a dict.
pub(super) fn table_to_dict<'py>(py: Python<'py>, table: &Table) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (key, value) in table {
        dict.set_item(key, from_toml(py, value)?)?;
    }
    Ok(dict)
}

fn from_toml<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Boolean(value) => PyBool::new(py, *value).to_owned().into_any(),
        Value::Integer(value) => value.into_pyobject(py)?.into_any(),
        Value::Float(value) => value.into_pyobject(py)?.into_any(),
        Value::Array(items) => {
            let items = items.iter().map(|item| from_toml(py, item)).collect::<PyResult<Vec<_>>>()?;
            PyList::new(py, items)?.into_any()
        }
        Value::String(text) => text.into_pyobject(py)?.into_any(),
        other => other.to_string().into_pyobject(py)?.into_any(),
    })
}

/// `vlmres._types.Size`.
pub(super) fn size(py: Python<'_>, size: Size) -> PyResult<Bound<'_, PyAny>> {
    static TYPE: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    TYPE.import(py, "vlmres._types", "Size")?.call1((size.width, size.height))
}

/// `vlmres._types.Grid`.
pub(super) fn grid(py: Python<'_>, grid: Grid) -> PyResult<Bound<'_, PyAny>> {
    static TYPE: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    TYPE.import(py, "vlmres._types", "Grid")?.call1((grid.rows, grid.cols))
}

/// A backend's arithmetic by its name.
pub(super) fn backend(name: &str) -> PyResult<Backend> {
    match name {
        "pillow" => Ok(Backend::Pillow),
        "torch" => Ok(Backend::Torch),
        _ => Err(Error::Argument(format!("backend must be \"pillow\" or \"torch\", got {name:?}")).into()),
    }
}

/// An arithmetic: a backend and the major version of the Pillow whose order of passes it has.
pub(super) fn arithmetic((name, pillow): &(String, u32)) -> PyResult<Arithmetic> {
    let pass_order = match pillow {
        11 => PassOrder::Pillow11,
        12 => PassOrder::Pillow12,
        13 => PassOrder::Pillow13,
        _ => return Err(Error::Argument(format!("the order of passes of Pillow {pillow} is not known")).into()),
    };
    Ok(Arithmetic::new(backend(name)?, pass_order))
}
