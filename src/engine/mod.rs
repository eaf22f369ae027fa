//! From images to tensors. It does not know model families.
//!
//! A [`Call`] takes images or videos, plans each once from its header, lays the batch out, then decodes, resizes and writes.

mod call;
mod earlier;
mod resize;
mod stage;
mod streamed;
mod write;

pub use call::{Call, DeferredImage, Failure, Input, Item, PixelOwner, Settings};
pub use resize::{resize, resize_into};
pub use stage::reserve;
