//! Encoded images, wherever their bytes are.

use std::path::Path;

use super::transparency::{HEAD, may_be_transparent};
use super::{ColourKey, Decoder, Header, ImageFile, Opened, OwnedImage, file};
use crate::error::Result;
use crate::geometry::Size;
use crate::limits::Limits;
use crate::threads::Threads;

/// Encoded bytes, or the file that has them.
#[derive(Clone, Copy, Debug)]
pub enum Encoded<'a> {
    /// The bytes of an image file.
    Bytes(&'a [u8]),
    /// Where the file lies.
    Path(&'a Path),
}

/// An image's size from its header: as stored, or as it is to be seen where `exif` is true.
pub fn image_size(source: Encoded<'_>, exif: bool) -> Result<Size> {
    let header = match source {
        Encoded::Bytes(bytes) => Header::of(bytes)?,
        Encoded::Path(path) => ImageFile::open(path, &Limits::default())?.1,
    };
    if exif { header.size() } else { header.stored_size() }
}

impl Encoded<'_> {
    /// Whether it may have transparent pixels, as far as its first bytes say.
    pub(super) fn may_be_transparent(self) -> Result<bool> {
        match self {
            Self::Bytes(bytes) => Ok(may_be_transparent(&bytes[..bytes.len().min(HEAD)])),
            Self::Path(path) => Ok(may_be_transparent(&file::head(path, HEAD)?)),
        }
    }

    /// Decodes an image within limits to RGB: see [`Header::decode`].
    pub fn decode(self, limits: &Limits) -> Result<OwnedImage> {
        let opened = match self {
            Self::Bytes(bytes) => Opened::bytes(Box::new(bytes), limits, &Decoder::Own)?,
            Self::Path(path) => Opened::file(path, limits, &Decoder::Own)?,
        };
        opened.decode(1, ColourKey::Kept, Threads::ONE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use image::ImageFormat;
    use std::io::Cursor;

    fn png(width: u32, height: u32) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        let image = image::RgbImage::from_fn(width, height, |x, y| image::Rgb([x as u8, y as u8, 7]));
        image.write_to(&mut bytes, ImageFormat::Png).unwrap();
        bytes.into_inner()
    }

    #[test]
    fn a_header_over_the_limit_is_refused_before_decoding() {
        let bytes = png(40, 30);
        let error =
            Encoded::Bytes(&bytes).decode(&Limits { image_pixels: 1199, ..Limits::default() }).unwrap_err().to_string();
        assert!(error.contains("40x30") && error.contains("1200") && error.contains("1199"), "{error}");
        assert!(Encoded::Bytes(&bytes).decode(&Limits { image_pixels: 1200, ..Limits::default() }).is_ok());
    }

    #[test]
    fn broken_bytes_are_errors() {
        let bytes = png(64, 64);
        for cut in [0, 3, 20, bytes.len() / 2] {
            assert!(Encoded::Bytes(&bytes[..cut]).decode(&Limits::default()).is_err(), "{cut}");
        }
        assert!(matches!(image_size(Encoded::Path(Path::new("/nowhere.png")), false), Err(Error::File { .. })));
    }
}
