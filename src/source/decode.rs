//! Encoded images. Sizes are checked from the header before a pixel is decoded; a decoder's panic becomes an error.

use std::borrow::Cow;
use std::io::{Cursor, Read, Seek};
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::bmp::{self, Bmp};
use super::bytes::Bytes;
use super::gif::{self, Gif};
use super::jpeg::{self, Jpeg};
use super::orientation::Orientation;
use super::png::{self, Png};
use super::tiff::{self, Tiff};
use super::transparency::{is_dark, look_at};
use super::turn::turned;
use super::{OwnedImage, Streamed, webp};
use crate::error::{Error, Result};
use crate::geometry::Size;
use crate::limits::Limits;
use crate::memory::{Pool, probe};
use crate::threads::Threads;

/// Decoded images' memory, at most 64 MiB of it. One for all: who decodes need not know who did before.
static DECODED: Pool<Vec<u8>> = Pool::new(64 << 20);

/// What an encoded image's header says. It is read once: decoding goes on from it.
#[derive(Debug)]
pub struct Header {
    /// As stored.
    width: u32,
    height: u32,
    orientation: Orientation,
    /// At least the bytes that decoding takes.
    bytes: u64,
    format: Format,
}

/// A format, with what its decoder wants to know of the header.
#[derive(Debug)]
enum Format {
    Jpeg(Jpeg),
    Png(Box<Png>),
    WebP,
    Gif(Box<Gif>),
    Bmp(Box<Bmp>),
    Tiff(Box<Tiff>),
}

/// What becomes of pixels of the one colour that a GIF or PNG declares transparent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ColourKey {
    /// Nothing: transparency is dropped.
    #[default]
    Kept,
    /// They are white, as transformers' PIL backend composites them.
    White,
}

/// Memory for an image of so many bytes: that of an earlier one where it fits, with bytes of no meaning.
pub fn reuse(bytes: usize) -> Result<Vec<u8>> {
    let mut memory = DECODED.take(bytes)?;
    memory.resize(bytes, 0);
    Ok(memory)
}

/// Gives the memory of decoded images back to the system.
pub fn trim() {
    DECODED.trim();
}

/// Keeps an image's memory for the next.
pub fn recycle(image: OwnedImage) {
    give(image.into_bytes());
}

/// Memory for so many bytes, as [`reuse`] has it, with room alone where nobody used it before.
pub(super) fn take(bytes: usize) -> Result<Vec<u8>> {
    DECODED.take(bytes)
}

/// Keeps memory for the next image.
pub(super) fn give(memory: Vec<u8>) {
    DECODED.give(memory);
}

impl Header {
    /// The header of an image's bytes; its beginning may do.
    pub fn of(bytes: &[u8]) -> Result<Self> {
        guarded(|| {
            if jpeg::is_jpeg(bytes) {
                let jpeg = Jpeg::open(bytes)?;
                return Ok(Self::new(jpeg.size(), jpeg.orientation(), jpeg.bytes(), Format::Jpeg(jpeg)));
            }
            Self::of_other(Cursor::new(bytes))
        })
    }

    /// That of a file which is no JPEG.
    pub(super) fn read(file: impl Read + Seek) -> Result<Self> {
        guarded(|| Self::of_other(file))
    }

    fn of_other(reader: impl Read + Seek) -> Result<Self> {
        let unreadable = |error: std::io::Error| Error::Decode(error.to_string());
        let mut bytes = Bytes::new(reader).map_err(unreadable)?;
        let head = bytes.up_to(0, 16).unwrap_or_default();
        if png::is_png(&head) {
            let (png, metadata) = Png::read(&mut bytes)?;
            let size = (png.width, png.height);
            Ok(Self::new(size, metadata.orientation(), png.bytes(), Format::Png(Box::new(png))))
        } else if webp::is_webp(&head) {
            let (size, metadata, has_alpha) = webp::read_header(&mut bytes)?;
            let pixels = u64::from(size.0) * u64::from(size.1);
            let taken = pixels * 3 + webp::beside(pixels, has_alpha);
            Ok(Self::new(size, metadata.orientation(), taken, Format::WebP))
        } else if gif::is_gif(&head) {
            let gif = Gif::read(&mut bytes)?;
            Ok(Self::new((gif.width, gif.height), Orientation::Upright, gif.bytes(), Format::Gif(Box::new(gif))))
        } else if bmp::is_bmp(&head) {
            let bmp = Bmp::read(&mut bytes)?;
            Ok(Self::new((bmp.width, bmp.height), Orientation::Upright, bmp.bytes(), Format::Bmp(Box::new(bmp))))
        } else if tiff::is_tiff(&head) {
            let tiff = Tiff::read(&mut bytes)?;
            Ok(Self::new((tiff.width, tiff.height), tiff.orientation, tiff.bytes(), Format::Tiff(Box::new(tiff))))
        } else {
            let feature = "the beginning of no JPEG, PNG, WebP, BMP, TIFF or GIF image".into();
            Err(Error::NotNative { format: "a file", feature })
        }
    }

    fn new((width, height): (u32, u32), orientation: Orientation, bytes: u64, format: Format) -> Self {
        // A turn takes a copy.
        let area = u64::from(width) * u64::from(height);
        let copy = if orientation.swaps_sides() { area.saturating_mul(3) } else { 0 };
        Self { width, height, orientation, bytes: bytes.saturating_add(copy), format }
    }

    /// The image's size as stored.
    pub fn stored_size(&self) -> Result<Size> {
        Size::of_image(self.width.into(), self.height.into())
    }

    /// The image's size as it is to be seen: turned by its EXIF orientation.
    pub fn size(&self) -> Result<Size> {
        Ok(self.orientation.turned(self.stored_size()?))
    }

    /// Refuses an image of more pixels, or one whose decoding takes more bytes; `read` are those of its file where that is still to
    /// be read.
    pub fn check(&self, limits: &Limits, read: u64) -> Result<()> {
        self.stored_size()?;
        limits.check_pixels((self.width, self.height))?;
        limits.check_decoded(self.bytes.saturating_add(read))
    }

    /// At least the bytes that decoding takes.
    pub fn decoded_bytes(&self) -> u64 {
        self.bytes
    }

    /// Decodes the bytes that have this header to RGB as transformers loads a file: EXIF orientation applied, transparency
    /// discarded. A JPEG is decoded straight to a `reduction`th of its size: 1, 2, 4 or 8. Only 1 is exact.
    pub fn decode(&self, bytes: &[u8], reduction: u32) -> Result<OwnedImage> {
        self.decode_keyed(bytes, reduction, ColourKey::Kept, Threads::ONE)
    }

    /// As [`Self::decode`], with the colour that is declared transparent as `key` says, on so many threads as the file lets work.
    pub fn decode_keyed(&self, bytes: &[u8], reduction: u32, key: ColourKey, threads: Threads) -> Result<OwnedImage> {
        probe(self.bytes as usize)?;
        guarded(|| match &self.format {
            Format::Jpeg(jpeg) => decode_jpeg(*jpeg, bytes, reduction, threads),
            _ => self.decode_other(bytes, key),
        })
    }

    /// The JPEG that may be decoded while its rows are read, as it is stored.
    pub(super) fn streamed(&self) -> Option<Jpeg> {
        match self.format {
            Format::Jpeg(jpeg) if jpeg.is_known() => Some(jpeg),
            _ => None,
        }
    }

    fn decode_other(&self, bytes: &[u8], key: ColourKey) -> Result<OwnedImage> {
        let size = self.stored_size()?;
        let mut pixels = reuse(self.width as usize * self.height as usize * 3)?;
        match &self.format {
            Format::Jpeg(_) => {}
            Format::Png(png) => png.decode(bytes, &mut pixels)?,
            Format::WebP => webp::decode(bytes, (self.width, self.height), &mut pixels)?,
            Format::Gif(gif) => gif.decode(bytes, &mut pixels)?,
            Format::Bmp(bmp) => bmp.decode(bytes, &mut pixels)?,
            Format::Tiff(tiff) => tiff.decode(bytes, &mut pixels)?,
        }
        let transparent = match &self.format {
            Format::Png(png) => png.colour_key(bytes),
            Format::Gif(gif) => gif.colour_key(bytes),
            _ => None,
        };
        if let Some(colour) = transparent {
            let (pixels, _) = pixels.as_chunks_mut::<3>();
            let mut keyed = pixels.iter_mut().filter(|pixel| **pixel == colour);
            match key {
                ColourKey::White => keyed.for_each(|pixel| *pixel = [255; 3]),
                ColourKey::Kept if is_dark(&colour) => look_at(keyed.next().into_iter().map(|pixel| (&*pixel, 0))),
                ColourKey::Kept => {}
            }
        }
        turned(size, pixels, self.orientation)
    }
}

fn decode_jpeg(jpeg: Jpeg, bytes: &[u8], reduction: u32, threads: Threads) -> Result<OwnedImage> {
    if jpeg.orientation().swaps_sides() && (threads == Threads::ONE || !jpeg.has_restarts()) {
        return Streamed::new(jpeg, Cow::Borrowed(bytes), reduction)?.turned();
    }
    let eighths = eighths(reduction);
    let (width, height) = jpeg.reduced(eighths);
    let (made, pixels) = jpeg.decode(bytes, eighths, take(width * height * 3)?, threads)?;
    turned(made, pixels, jpeg.orientation())
}

/// How many eighths of a JPEG's sides are left of them.
pub(super) fn eighths(reduction: u32) -> usize {
    match reduction {
        2 => 4,
        4 => 2,
        8 => 1,
        _ => 8,
    }
}

/// Runs a decoder, turning its panic into an error. The panic's message still goes to the panic hook.
pub(super) fn guarded<T>(decode: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(decode)).unwrap_or_else(|panic| {
        let message = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("unknown panic");
        Err(Error::Decode(format!("the decoder failed: {message}")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn sides_that_no_image_has_take_more_than_any_limit() {
        let mut file = b"II*\0\x08\0\0\0\x0a\0".to_vec();
        let side = u32::MAX;
        let sides = [(256u16, side), (257, side)];
        let rest = [(258, 8), (259, 1), (262, 1), (273, 8), (274, 6), (277, 1), (278, side), (279, 8)];
        for (tag, value) in sides.into_iter().chain(rest) {
            file.extend([&tag.to_le_bytes()[..], &[4, 0, 1, 0, 0, 0], &value.to_le_bytes()].concat());
        }
        file.extend([0; 4]);
        // Nothing is decoded of it, whichever check comes first.
        if let Ok(header) = Header::of(&file) {
            assert_eq!(header.decoded_bytes(), u64::MAX);
            assert!(header.check(&Limits::default(), 0).is_err());
        }
    }

    #[test]
    fn a_panic_is_an_error() {
        let error = guarded::<()>(|| panic!("index {}", 5)).unwrap_err().to_string();
        assert!(error.contains("index 5"));
    }
}
