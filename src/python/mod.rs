//! The Python module `vlmres._core`. Bindings only: every rule lives below.

// PyO3 passes arguments by value and documents functions for Python.
#![allow(clippy::needless_pass_by_value, clippy::trivially_copy_pass_by_ref)]

mod arrow;
mod batch;
mod boxes;
mod call;
mod columns;
mod convert;
mod crew;
mod decoder;
mod deferred;
mod errors;
mod file;
mod interrupt;
mod memory;
mod outputs;
mod packing;
mod plan;
mod recipe;
mod source;
mod text;
mod unique;
mod view;

use pyo3::prelude::*;

/// The compiled part of vlmres. Private: use the names that `vlmres` exports.
#[pymodule(gil_used = false)]
mod _core {
    #[pymodule_export]
    use super::batch::shapes;
    #[pymodule_export]
    use super::call::Call;
    #[pymodule_export]
    use super::columns::plan_columns;
    #[pymodule_export]
    use super::crew::{Crew, watch, watched};
    #[pymodule_export]
    use super::deferred::Deferred;
    #[pymodule_export]
    use super::errors::{DecodeError, NotNativeError, PlanError, RecipeError, VlmresError};
    #[pymodule_export]
    use super::file::ImageFile;
    #[pymodule_export]
    use super::interrupt::Stop;
    #[pymodule_export]
    use super::memory::{Memory, trim_process};
    #[pymodule_export]
    use super::packing::pack_samples;
    #[pymodule_export]
    use super::plan::{Plan, plan, plan_like};
    #[pymodule_export]
    use super::recipe::{Recipe, recipes};
    #[pymodule_export]
    use super::source::{Source, image_size, jpeg_form, resize_source};
    #[pymodule_export]
    use super::text::text_lines;
    #[pymodule_export]
    use super::unique::first_equal;
    #[pymodule_export]
    use super::view::View;
    #[pymodule_export]
    use super::{build_info, default_threads};
}

/// Version, SIMD level and target of the compiled module.
#[pyfunction]
fn build_info() -> std::collections::BTreeMap<&'static str, &'static str> {
    [
        ("version", env!("CARGO_PKG_VERSION")),
        ("simd", crate::simd::Level::current().map_or("none", crate::simd::Level::name)),
        ("target", std::env::consts::ARCH),
        ("os", std::env::consts::OS),
        ("profile", if cfg!(debug_assertions) { "debug" } else { "release" }),
    ]
    .into()
}

/// The default number of threads of a call.
#[pyfunction]
fn default_threads() -> usize {
    crate::threads::default_threads().get()
}
