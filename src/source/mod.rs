//! Where pixels come from: borrowed memory of any layout, or encoded bytes.

mod container;
mod decode;
mod jpeg;
mod reuse;
mod view;

pub use decode::{DEFAULT_MAX_PIXELS, Encoded, image_size, recycle};
/// Memory for so many bytes of an image: that of an earlier one where it fits, with bytes of no meaning.
pub fn reuse(bytes: usize) -> Vec<u8> {
    let mut memory = reuse::take(bytes);
    memory.resize(bytes, 0);
    memory
}

pub use view::{AlphaRule, Interleaving, OwnedImage, PixelView, Strides};
