//! Where pixels come from: borrowed memory of any layout, or encoded bytes.

mod container;
mod decode;
mod jpeg;
mod view;

pub use decode::{DEFAULT_MAX_PIXELS, Encoded, image_size};
pub use view::{AlphaRule, OwnedImage, PixelView, Strides};
