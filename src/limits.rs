//! The most that a file, an image or a call may take. Ordinary work never meets a default.

use crate::error::{Error, Result};

/// Pixels of an encoded image: Pillow's limit, twice `Image.MAX_IMAGE_PIXELS`.
pub const MAX_IMAGE_PIXELS: u64 = 2 * 89_478_485;
/// Bytes of a file: more than an uncompressed image of the most pixels has, 16 bits deep.
pub const MAX_FILE_BYTES: u64 = 2 << 30;
/// Bytes that decoding takes: more than such an image needs with its decoder's buffers.
pub const MAX_DECODED_BYTES: u64 = 4 << 30;
/// Bytes of outputs for each image: ten times what the largest budget of a recipe makes of one.
pub const MAX_OUTPUT_BYTES: u64 = 4 << 30;

/// What a caller may set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Pixels of an encoded image.
    pub image_pixels: u64,
    /// Bytes of a file.
    pub file_bytes: u64,
    /// Bytes that decoding an image takes, and that images which are decoded at once take together.
    pub decoded_bytes: u64,
    /// Bytes of a call's outputs; without it [`MAX_OUTPUT_BYTES`] for each of its images and frames.
    pub output_bytes: Option<u64>,
}

impl Limits {
    /// Refuses an image of more pixels.
    pub fn check_pixels(&self, (width, height): (u32, u32)) -> Result<()> {
        let (pixels, limit) = (u64::from(width) * u64::from(height), self.image_pixels);
        if pixels > limit {
            return Err(Error::TooManyPixels { width, height, pixels, limit });
        }
        Ok(())
    }

    /// Refuses a file of more bytes.
    pub fn check_file(&self, bytes: u64) -> Result<()> {
        check("the file has", bytes, self.file_bytes, "max_file_bytes")
    }

    /// Refuses an image whose decoding takes more.
    pub fn check_decoded(&self, bytes: u64) -> Result<()> {
        check("decoding the image takes", bytes, self.decoded_bytes, "max_decoded_bytes")
    }

    /// Refuses outputs of more bytes, of a call of so many images and frames.
    pub fn check_output(&self, bytes: u64, images: usize) -> Result<()> {
        let limit = self.output_bytes.unwrap_or_else(|| MAX_OUTPUT_BYTES.saturating_mul(images as u64));
        check("the outputs take", bytes, limit, "max_output_bytes")
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            image_pixels: MAX_IMAGE_PIXELS,
            file_bytes: MAX_FILE_BYTES,
            decoded_bytes: MAX_DECODED_BYTES,
            output_bytes: None,
        }
    }
}

fn check(what: &'static str, bytes: u64, limit: u64, setting: &'static str) -> Result<()> {
    if bytes > limit { Err(Error::TooManyBytes { what, bytes, limit, setting }) } else { Ok(()) }
}
