//! Writes rows of bytes as values to their final places in tensors.

mod batch;
mod element;
mod floats;
mod hf;
mod integers;
mod kernels;
mod layout;
mod normalize;
mod samples;
mod sink;
mod tensors;
mod unique;
mod values;
mod video;
mod writer;

pub use element::{DType, Element};
pub(crate) use floats::{FloatWriter, normalised};
pub(crate) use layout::{Cells, Placement};
pub use sink::Sink;
pub use tensors::{BatchLayout, IntArray, LayoutKind, Segments, Tensor};
pub use unique::first_equal;
pub(crate) use values::Values;
pub(crate) use writer::Writer;
