//! `ImageFile`: a file that was opened and planned before the call that processes it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pyo3::prelude::*;

use super::interrupt::detached;
use super::plan::Plan;
use super::recipe::Recipe;
use super::{convert, decoder};
use crate::engine::{Input, Item};
use crate::plan;
use crate::source::Opened;

/// A file whose header is read and whose plan is made, to be passed as an image. Private: jobs make it.
#[pyclass(frozen, module = "vlmres._core")]
pub(super) struct ImageFile {
    path: PathBuf,
    opened: Arc<Opened<'static>>,
    plan: Arc<plan::Plan>,
    recipe: Recipe,
}

#[pymethods]
impl ImageFile {
    /// Opens a file within limits, as for `Call`, and plans it as the only image of its sample.
    #[new]
    fn new(
        py: Python<'_>,
        path: PathBuf,
        recipe: Recipe,
        limits: convert::Given,
        decoder: decoder::Given,
    ) -> PyResult<Self> {
        let (limits, decoder) = (convert::limits(limits), decoder::decoder(decoder));
        let shared = Arc::clone(&recipe.0);
        let (opened, plan) = detached(py, || {
            let opened = Opened::file(&path, &limits, &decoder)?;
            let plan = plan::Plan::new(&shared, opened.size()?)?;
            Ok((opened, plan))
        })?;
        Ok(Self { path, opened: Arc::new(opened), plan: Arc::new(plan), recipe })
    }

    /// Its path.
    #[getter]
    fn path(&self) -> &Path {
        &self.path
    }

    /// Its plan.
    #[getter]
    fn plan(&self) -> Plan {
        Plan::new(&self.plan, &self.recipe)
    }
}

impl ImageFile {
    /// The file as an item of a call with a recipe.
    pub(super) fn item(&self, recipe: &Recipe) -> Item<'static> {
        let input = Input::Opened(Arc::clone(&self.opened));
        if Arc::ptr_eq(&self.recipe.0, &recipe.0) || self.recipe.0 == recipe.0 {
            Item::Planned(input, Arc::clone(&self.plan))
        } else {
            Item::Image(input)
        }
    }
}
