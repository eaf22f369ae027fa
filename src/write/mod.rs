//! From rows of bytes to the tensor's values at their final address.

mod element;
mod layout;
mod normalize;
mod tensors;

pub use element::{DType, Element};
pub use layout::{Cells, Layout, Sink};
pub use normalize::table;
pub use tensors::{BatchLayout, IntArray, LayoutKind, Placement, Segments, Tensor};
