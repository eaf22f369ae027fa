//! Encoded images. Sizes are checked from the header before a pixel is decoded; a decoder's panic becomes an error.

use std::io::{BufRead, Cursor, Seek};
use std::panic::{AssertUnwindSafe, catch_unwind};

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageReader, RgbImage};

use super::jpeg::{self, Jpeg};
use super::{OwnedImage, container, tiff};
use crate::error::{Error, Result};
use crate::geometry::Size;
use crate::limits::Limits;
use crate::memory::{Pool, probe};

/// Bytes that a decoder may take for a header, which has some of a few bytes each.
const HEADER_BYTES: u64 = 64 << 20;

/// Decoded images' memory, at most 64 MiB of it. One for all: who decodes need not know who did before.
static DECODED: Pool<Vec<u8>> = Pool::new(64 << 20);

/// What an encoded image's header says. It is read once: decoding goes on from it.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    /// As stored.
    width: u32,
    height: u32,
    orientation: Orientation,
    /// At least the bytes that decoding takes.
    bytes: u64,
    jpeg: Option<Jpeg>,
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
    DECODED.give(image.into_bytes());
}

impl Header {
    /// The header of an image's bytes; its beginning may do.
    pub fn of(bytes: &[u8]) -> Result<Self> {
        guarded(|| if jpeg::is_jpeg(bytes) { Self::of_jpeg(bytes) } else { Self::of_other(Cursor::new(bytes)) })
    }

    /// That of a file which is no JPEG.
    pub(super) fn read(file: impl BufRead + Seek) -> Result<Self> {
        guarded(|| Self::of_other(file))
    }

    fn of_jpeg(bytes: &[u8]) -> Result<Self> {
        let jpeg = Jpeg::open(bytes)?;
        let (width, height) = jpeg.size();
        Ok(Self { width, height, orientation: jpeg.orientation(), bytes: jpeg.bytes(), jpeg: Some(jpeg) })
    }

    fn of_other(mut reader: impl BufRead + Seek) -> Result<Self> {
        let row = container::png_row_bytes(&mut reader);
        let mut decoder = decoder(reader, HEADER_BYTES + row)?;
        let (width, height) = decoder.dimensions();
        let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
        // What the file stores, and RGB made of it, which may have to be turned.
        let rgb = u64::from(width) * u64::from(height) * 3;
        let bytes = rgb + decoder.total_bytes().max(rgb);
        Ok(Self { width, height, orientation, bytes, jpeg: None })
    }

    /// The image's size as stored.
    pub fn stored_size(&self) -> Result<Size> {
        Size::of_image(self.width.into(), self.height.into())
    }

    /// The image's size as it is to be seen: turned by its EXIF orientation.
    pub fn size(&self) -> Result<Size> {
        use Orientation::{Rotate90, Rotate90FlipH, Rotate270, Rotate270FlipH};
        let size = self.stored_size()?;
        let turns = matches!(self.orientation, Rotate90 | Rotate270 | Rotate90FlipH | Rotate270FlipH);
        Ok(if turns { Size::new(size.height, size.width) } else { size })
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
        probe(self.bytes as usize)?;
        guarded(|| match self.jpeg {
            Some(jpeg) => decode_jpeg(jpeg, bytes, reduction),
            None => self.decode_other(bytes),
        })
    }

    fn decode_other(&self, bytes: &[u8]) -> Result<OwnedImage> {
        // Room for 16-bit RGBA and a decoder's own buffers.
        let pixels = u64::from(self.width) * u64::from(self.height);
        let most = pixels.saturating_mul(16).max(HEADER_BYTES);
        let mut decoder = decoder(Cursor::new(bytes), most)?;
        if decoder.dimensions() != (self.width, self.height) {
            return Err(Error::Decode("its header has changed since it was read".into()));
        }
        let mut limits = image::Limits::no_limits();
        limits.max_alloc = Some(most);
        decoder.set_limits(limits).map_err(|error| decode_error(&error))?;
        let image = DynamicImage::from_decoder(decoder).map_err(|error| decode_error(&error))?;
        let mut image = to_rgb(image, container::png_is_gray16(bytes));
        if let Some(frame) = container::gif_first_frame(bytes) {
            for (x, y, pixel) in image.enumerate_pixels_mut() {
                if !frame.columns.contains(&(x as usize)) || !frame.rows.contains(&(y as usize)) {
                    *pixel = image::Rgb(frame.around);
                }
            }
        }
        turned(image, self.orientation)
    }
}

fn decode_jpeg(jpeg: Jpeg, bytes: &[u8], reduction: u32) -> Result<OwnedImage> {
    let eighths = match reduction {
        2 => 4,
        4 => 2,
        8 => 1,
        _ => 8,
    };
    let (width, height) = jpeg.size();
    let reduced = |side: u32| (side as usize * eighths).div_ceil(8);
    let memory = DECODED.take(reduced(width) * reduced(height) * 3)?;
    let (made, pixels) = jpeg.decode(bytes, eighths, memory)?;
    let image = RgbImage::from_raw(made.width, made.height, pixels).unwrap_or_default();
    turned(image, jpeg.orientation())
}

fn turned(image: RgbImage, orientation: Orientation) -> Result<OwnedImage> {
    let mut image = DynamicImage::ImageRgb8(image);
    image.apply_orientation(orientation);
    let size = Size::of_image(image.width().into(), image.height().into())?;
    OwnedImage::new(size, image.into_bytes())
}

fn decoder<'r, R: BufRead + Seek + 'r>(mut reader: R, most_bytes: u64) -> Result<impl ImageDecoder + 'r> {
    if tiff::has_impossible_tag(&mut reader) {
        return Err(Error::Decode("a tag of the TIFF has text for a number, longer than the file".into()));
    }
    let mut reader =
        ImageReader::new(reader).with_guessed_format().map_err(|error| Error::Decode(error.to_string()))?;
    if reader.format().is_none() {
        let feature = "the beginning of no JPEG, PNG, WebP, BMP, TIFF or GIF image".into();
        return Err(Error::NotNative { format: "a file", feature });
    }
    // Set before anything is read: profiles and texts are unpacked with the header.
    let mut limits = image::Limits::default();
    limits.max_alloc = Some(most_bytes);
    reader.limits(limits);
    reader.into_decoder().map_err(|error| decode_error(&error))
}

/// Pillow's `convert("RGB")` of each mode it opens such a file in: deep colour keeps its high byte, while 16-bit gray (mode
/// I;16, which a PNG with a transparent gray is too) clips at 255.
fn to_rgb(image: DynamicImage, is_gray16: bool) -> RgbImage {
    let (width, height) = (image.width(), image.height());
    let high = |value: u16| (value >> 8) as u8;
    let clip = |value: u16| value.min(255) as u8;
    let gray = |value: u8| [value; 3];
    let bytes: Vec<u8> = match image {
        DynamicImage::ImageLuma8(pixels) => pixels.into_raw().into_iter().flat_map(gray).collect(),
        DynamicImage::ImageLumaA8(pixels) => pixels.pixels().flat_map(|pixel| gray(pixel.0[0])).collect(),
        DynamicImage::ImageLuma16(pixels) => pixels.pixels().flat_map(|pixel| gray(clip(pixel.0[0]))).collect(),
        DynamicImage::ImageLumaA16(pixels) => {
            let narrow = |value| if is_gray16 { clip(value) } else { high(value) };
            pixels.pixels().flat_map(|pixel| gray(narrow(pixel.0[0]))).collect()
        }
        DynamicImage::ImageRgb16(pixels) => pixels.into_raw().into_iter().map(high).collect(),
        DynamicImage::ImageRgba16(pixels) => {
            pixels.pixels().flat_map(|pixel| [pixel.0[0], pixel.0[1], pixel.0[2]].map(high)).collect()
        }
        other => return other.into_rgb8(),
    };
    RgbImage::from_raw(width, height, bytes).unwrap_or_default()
}

/// Runs a decoder, turning its panic into an error. The panic's message still goes to the panic hook.
fn guarded<T>(decode: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(decode)).unwrap_or_else(|panic| {
        let message = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("unknown panic");
        Err(Error::Decode(format!("the decoder failed: {message}")))
    })
}

fn decode_error(error: &image::ImageError) -> Error {
    match error {
        image::ImageError::Unsupported(unsupported) => {
            Error::NotNative { format: "an image", feature: unsupported.to_string() }
        }
        _ => Error::Decode(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn a_panic_is_an_error() {
        let error = guarded::<()>(|| panic!("index {}", 5)).unwrap_err().to_string();
        assert!(error.contains("index 5"));
    }
}
