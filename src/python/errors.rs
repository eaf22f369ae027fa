//! Errors as Python exceptions.

use pyo3::create_exception;
use pyo3::exceptions::{PyKeyboardInterrupt, PyMemoryError, PyOSError, PyValueError};
use pyo3::prelude::*;

use crate::error::Error;

create_exception!(vlmres, VlmresError, PyValueError, "Base of the errors of vlmres.");
create_exception!(vlmres, RecipeError, VlmresError, "A recipe, override or checkpoint that cannot be followed.");
create_exception!(vlmres, PlanError, VlmresError, "A size of an image or video that a recipe cannot plan.");
create_exception!(vlmres, DecodeError, VlmresError, "Bytes that are not an image, or one over the pixel limit.");
create_exception!(
    vlmres,
    NotNativeError,
    DecodeError,
    "An image that Pillow may decode, but vlmres itself does not, or not to Pillow's pixels."
);

impl From<Error> for PyErr {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match error {
            Error::UnknownRecipe { .. }
            | Error::UnknownParameter { .. }
            | Error::Recipe { .. }
            | Error::RecipeFile { .. }
            | Error::Checkpoint(_)
            | Error::Filter { .. } => RecipeError::new_err(message),
            Error::ImageSize { .. }
            | Error::PlannedSize { .. }
            | Error::PlannedCount { .. }
            | Error::ThinSize { .. }
            | Error::Frames { .. }
            | Error::Canvas { .. }
            | Error::Weights { .. }
            | Error::AspectRatio { .. } => PlanError::new_err(message),
            Error::TooManyBytes { setting: "max_output_bytes", .. } | Error::Argument(_) => {
                VlmresError::new_err(message)
            }
            Error::TooManyPixels { .. } | Error::TooManyBytes { .. } | Error::Decode(_) => {
                DecodeError::new_err(message)
            }
            Error::NotNative { .. } => NotNativeError::new_err(message),
            // Given an error number, Python chooses the subclass, such as FileNotFoundError.
            Error::File { path, errno: Some(errno), message } => PyOSError::new_err((errno, message, path)),
            Error::File { .. } => PyOSError::new_err(message),
            Error::Memory { .. } => PyMemoryError::new_err(message),
            Error::Interrupted => PyKeyboardInterrupt::new_err(message),
        }
    }
}
