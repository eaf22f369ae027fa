//! Where pixels come from: borrowed memory of any layout, or encoded bytes.

mod bmp;
mod bytes;
mod decode;
mod encoded;
mod file;
mod gif;
mod jpeg;
mod opened;
mod orientation;
mod other;
mod png;
mod rows;
mod streamed;
mod tiff;
mod transparency;
mod turn;
mod view;
mod webp;

pub use decode::{ColourKey, Header, recycle, reuse, trim};
pub use encoded::{Encoded, image_size};
pub use file::ImageFile;
pub use jpeg::JpegForm;
pub use opened::{Memory, Opened};
pub(crate) use orientation::Orientation;
pub use other::{Decoder, OtherDecoder, OtherHeader};
pub(crate) use rows::Rows;
pub use streamed::Streamed;
pub use transparency::take_dark;
pub(crate) use turn::Turning;
pub use view::{AlphaRule, Interleaving, OwnedImage, PixelView, Strides};
