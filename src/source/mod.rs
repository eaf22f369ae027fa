//! Where pixels come from: borrowed memory of any layout, or encoded bytes.

mod container;
mod decode;
mod jpeg;
mod tiff;
mod view;

pub use decode::{DEFAULT_MAX_PIXELS, Encoded, image_size, recycle, reuse};
pub use view::{AlphaRule, Interleaving, OwnedImage, PixelView, Strides};
