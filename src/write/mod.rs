//! From rows of bytes to the tensor's values at their final address.

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
mod values;
mod video;
mod writer;

pub use element::{DType, Element};
pub use floats::{FloatWriter, normalised};
pub use layout::{Cells, Layout, Placement};
pub use sink::Sink;
pub use tensors::{BatchLayout, IntArray, LayoutKind, Segments, Tensor};
pub use values::Values;
pub use writer::Writer;
