//! Encoded images. Sizes are checked from the header before a pixel is decoded; a decoder's panic becomes an error.

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufRead, Cursor, Read, Seek};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageReader, RgbImage};

use super::jpeg::{self, Jpeg};
use super::{OwnedImage, container, tiff};
use crate::error::{Error, Result};
use crate::geometry::Size;
use crate::memory::Pool;

/// Pillow refuses images of more pixels (twice `Image.MAX_IMAGE_PIXELS`).
pub const DEFAULT_MAX_PIXELS: u64 = 2 * 89_478_485;

/// A header is looked for in this many bytes before the whole file is read.
const HEADER_BYTES: u64 = 1 << 18;

/// Decoded images' memory, at most 64 MiB of it. One for all: who decodes need not know who did before.
static DECODED: Pool<Vec<u8>> = Pool::new(64 << 20);

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
    let head = source.read(HEADER_BYTES)?;
    let complete = (head.len() as u64) < HEADER_BYTES;
    match guarded(|| header(&head, exif)) {
        Err(_) if !complete => guarded(|| header(&source.read(u64::MAX)?, exif)),
        result => result,
    }
}

/// Memory for an image of so many bytes: that of an earlier one where it fits, with bytes of no meaning.
pub fn reuse(bytes: usize) -> Result<Vec<u8>> {
    let mut memory = DECODED.take(bytes)?;
    memory.resize(bytes, 0);
    Ok(memory)
}

/// Keeps an image's memory for the next.
pub fn recycle(image: OwnedImage) {
    DECODED.give(image.into_bytes());
}

impl<'a> Encoded<'a> {
    /// Decodes to RGB as transformers loads a file: EXIF orientation applied, transparency discarded.
    pub fn decode(self, max_pixels: u64) -> Result<OwnedImage> {
        self.decode_reduced(max_pixels, |_| 1).map(|(_, image)| image)
    }

    /// The same, but a JPEG is decoded straight to a `reduction`th of its size, given that size: 1, 2, 4 or 8. The size is the
    /// whole image's. Only a reduction of 1 is exact.
    pub fn decode_reduced(self, max_pixels: u64, reduction: impl Fn(Size) -> u32) -> Result<(Size, OwnedImage)> {
        let bytes = self.read(u64::MAX)?;
        guarded(|| {
            if jpeg::is_jpeg(&bytes) {
                return decode_jpeg(&bytes, max_pixels, reduction);
            }
            let image = decode(&bytes, max_pixels)?;
            Ok((image.size(), image))
        })
    }

    /// The first `limit` bytes.
    fn read(self, limit: u64) -> Result<Cow<'a, [u8]>> {
        Ok(match self {
            Self::Bytes(bytes) => Cow::Borrowed(&bytes[..bytes.len().min(limit as usize)]),
            Self::Path(path) => {
                let mut bytes = Vec::new();
                File::open(path)
                    .and_then(|file| file.take(limit).read_to_end(&mut bytes))
                    .map_err(|error| file_error(path, &error))?;
                Cow::Owned(bytes)
            }
        })
    }
}

fn decode(bytes: &[u8], max_pixels: u64) -> Result<OwnedImage> {
    let mut decoder = decoder(Cursor::new(bytes))?;
    check_pixels(decoder.dimensions(), max_pixels)?;
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut limits = image::Limits::no_limits();
    // Room for 16-bit RGBA and a decoder's own buffers.
    limits.max_alloc = Some(max_pixels.saturating_mul(16).max(1 << 26));
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
    turned(image, orientation)
}

fn decode_jpeg(bytes: &[u8], max_pixels: u64, reduction: impl Fn(Size) -> u32) -> Result<(Size, OwnedImage)> {
    let jpeg = Jpeg::open(bytes)?;
    check_pixels(jpeg.size(), max_pixels)?;
    let orientation = jpeg.orientation();
    let size = as_seen(jpeg.size(), orientation)?;
    let eighths = match reduction(size) {
        2 => 4,
        4 => 2,
        8 => 1,
        _ => 8,
    };
    let reduced = |side: u32| (side as usize * eighths).div_ceil(8);
    let bytes = reduced(size.width) * reduced(size.height) * 3;
    let (made, pixels) = jpeg.decode(eighths, DECODED.take(bytes)?)?;
    let image = RgbImage::from_raw(made.width, made.height, pixels).unwrap_or_default();
    Ok((size, turned(image, orientation)?))
}

fn turned(image: RgbImage, orientation: Orientation) -> Result<OwnedImage> {
    let mut image = DynamicImage::ImageRgb8(image);
    image.apply_orientation(orientation);
    let size = Size::of_image(image.width().into(), image.height().into())?;
    OwnedImage::new(size, image.into_bytes())
}

fn decoder<'r, R: BufRead + Seek + 'r>(mut reader: R) -> Result<impl ImageDecoder + 'r> {
    if tiff::has_impossible_tag(&mut reader) {
        return Err(Error::Decode("a tag of the TIFF has text for a number, longer than the file".into()));
    }
    let reader = ImageReader::new(reader).with_guessed_format().map_err(|error| Error::Decode(error.to_string()))?;
    if reader.format().is_none() {
        return Err(Error::Decode("not a JPEG, PNG, WebP, BMP, TIFF or GIF image".into()));
    }
    reader.into_decoder().map_err(|error| decode_error(&error))
}

fn header(bytes: &[u8], exif: bool) -> Result<Size> {
    let (stored, orientation) = if jpeg::is_jpeg(bytes) {
        let jpeg = Jpeg::open(bytes)?;
        (jpeg.size(), jpeg.orientation())
    } else {
        let mut decoder = decoder(Cursor::new(bytes))?;
        (decoder.dimensions(), decoder.orientation().unwrap_or(Orientation::NoTransforms))
    };
    as_seen(stored, if exif { orientation } else { Orientation::NoTransforms })
}

fn as_seen((width, height): (u32, u32), orientation: Orientation) -> Result<Size> {
    use Orientation::{Rotate90, Rotate90FlipH, Rotate270, Rotate270FlipH};
    let size = Size::of_image(width.into(), height.into())?;
    let turns = matches!(orientation, Rotate90 | Rotate270 | Rotate90FlipH | Rotate270FlipH);
    Ok(if turns { Size::new(size.height, size.width) } else { size })
}

fn check_pixels((width, height): (u32, u32), limit: u64) -> Result<()> {
    Size::of_image(width.into(), height.into())?;
    let pixels = u64::from(width) * u64::from(height);
    if pixels > limit {
        return Err(Error::TooManyPixels { width, height, pixels, limit });
    }
    Ok(())
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
    Error::Decode(error.to_string())
}

fn file_error(path: &Path, error: &std::io::Error) -> Error {
    let errno = error.raw_os_error();
    let message = error.to_string();
    // The number travels beside the message.
    let message = errno.and_then(|errno| message.strip_suffix(&format!(" (os error {errno})"))).unwrap_or(&message);
    Error::File { path: path.display().to_string(), message: message.to_owned(), errno }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::ImageFormat;

    fn png(width: u32, height: u32) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        let image = image::RgbImage::from_fn(width, height, |x, y| image::Rgb([x as u8, y as u8, 7]));
        image.write_to(&mut bytes, ImageFormat::Png).unwrap();
        bytes.into_inner()
    }

    #[test]
    fn a_header_over_the_limit_is_refused_before_decoding() {
        let bytes = png(40, 30);
        let error = Encoded::Bytes(&bytes).decode(1199).unwrap_err().to_string();
        assert!(error.contains("40x30") && error.contains("1200") && error.contains("1199"), "{error}");
        assert!(Encoded::Bytes(&bytes).decode(1200).is_ok());
    }

    #[test]
    fn broken_bytes_are_errors() {
        let bytes = png(64, 64);
        for cut in [0, 3, 20, bytes.len() / 2] {
            assert!(Encoded::Bytes(&bytes[..cut]).decode(DEFAULT_MAX_PIXELS).is_err(), "{cut}");
        }
        assert!(matches!(image_size(Encoded::Path(Path::new("/nowhere.png")), false), Err(Error::File { .. })));
    }

    #[test]
    fn a_panic_is_an_error() {
        let error = guarded::<()>(|| panic!("index {}", 5)).unwrap_err().to_string();
        assert!(error.contains("index 5"));
    }
}
