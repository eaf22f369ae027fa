//! Boxes and points between an image and the model's coordinates.

use numpy::{PyArray1, PyArrayDyn, PyArrayLikeDyn, PyArrayMethods};
use pyo3::exceptions::{PyIndexError, PyTypeError};
use pyo3::prelude::*;

use crate::error::Error;
use crate::plan::{self as core, Coordinates, Units};
use crate::recipe::{Convention, Frame, Recipe};

/// The coordinates that the arguments `convention`, `view` and `tile` of `Plan.to_model` select.
pub(super) fn coordinates(
    plan: &core::Plan,
    recipe: &Recipe,
    convention: Option<&str>,
    view: Option<i64>,
    tile: Option<i64>,
) -> PyResult<Coordinates> {
    let own = recipe.boxes;
    if convention.is_none() || view.is_none() && tile.is_none() {
        recipe.check_boxes()?;
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
    let views = &plan.views;
    // With an index of a view, that view is the frame.
    let frame = if view.is_some() { Frame::Canvas } else { own.frame };
    let view = match view {
        None => &views[plan.main_view()],
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
    Ok(plan.coordinates(view, tile, Units { convention, frame }))
}

/// Maps boxes or points, and moves results beyond `extent` (width, height) to its edge.
pub(super) fn transform<'py>(
    boxes: &PyArrayLikeDyn<'py, f64, numpy::AllowTypeChange>,
    extent: Option<[f64; 2]>,
    map: impl Fn(usize, f64) -> f64,
) -> PyResult<Bound<'py, PyArrayDyn<f64>>> {
    let array = boxes.as_array();
    let shape = array.shape();
    // An empty list of boxes has no second dimension.
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

/// The problem of a box or point, if it has one.
fn check(row: &[f64]) -> Result<(), &'static str> {
    match row {
        _ if row.iter().any(|value| !value.is_finite()) => Err("coordinates must be finite"),
        [x0, y0, x1, y1] if x1 < x0 || y1 < y0 => Err("a box is (x0, y0, x1, y1) with x0 <= x1 and y0 <= y1"),
        _ => Ok(()),
    }
}
