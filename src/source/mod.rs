//! Where pixels come from: borrowed memory of any layout, or encoded bytes.

mod container;
mod decode;
mod encoded;
mod file;
mod jpeg;
mod opened;
mod other;
mod tiff;
mod view;

pub use decode::{Header, recycle, reuse, trim};
pub use encoded::{Encoded, image_size};
pub use file::ImageFile;
pub use opened::{Memory, Opened};
pub use other::{Decoder, OtherDecoder, OtherHeader};
pub use view::{AlphaRule, Interleaving, OwnedImage, PixelView, Strides};
