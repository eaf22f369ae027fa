//! Limits of files, images and calls. Ordinary work does not reach the defaults.

use crate::error::{Error, Result};

/// Pixels of an encoded image: Pillow's limit, twice `Image.MAX_IMAGE_PIXELS`.
pub const MAX_IMAGE_PIXELS: u64 = 2 * 89_478_485;
/// Bytes of a file: more than an uncompressed 16-bit image with the most pixels.
pub const MAX_FILE_BYTES: u64 = 2 << 30;
/// Bytes for decoding, including the file's own: more than such an image and its decoder's buffers need.
pub const MAX_DECODED_BYTES: u64 = 4 << 30;
/// Bytes of outputs per image: ten times the output of the largest budget of any recipe.
pub const MAX_OUTPUT_BYTES: u64 = 4 << 30;

/// The limits that a caller may set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Pixels of an encoded image.
    pub image_pixels: u64,
    /// Bytes of a file.
    pub file_bytes: u64,
    /// Bytes for decoding an image, and for all images that are decoded at the same time. The bytes of a file that is
    /// read count; bytes that the caller holds do not.
    pub decoded_bytes: u64,
    /// Bytes of a call's outputs; by default [`MAX_OUTPUT_BYTES`] for each image and frame.
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

    /// The budget of a call's outputs, from its number of images and frames and the bytes of a pixel value.
    pub fn outputs(&self, images: usize, value_bytes: usize) -> Budget {
        let limit = self.output_bytes.unwrap_or_else(|| MAX_OUTPUT_BYTES.saturating_mul(images as u64));
        Budget { taken: 0, limit, value_bytes }
    }
}

/// A budget of bytes for outputs. Large outputs are charged to it before they are allocated.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    taken: u64,
    limit: u64,
    /// Bytes of a pixel value.
    value_bytes: usize,
}

impl Budget {
    /// The whole budget.
    pub const UNLIMITED: Self = Self { taken: 0, limit: u64::MAX, value_bytes: 1 };

    /// Charges this many pixel values, or fails.
    pub fn take_values(&mut self, count: usize) -> Result<()> {
        self.take(count, self.value_bytes)
    }

    /// Charges this many integers, or fails.
    pub fn take_integers(&mut self, count: usize) -> Result<()> {
        self.take(count, size_of::<i64>())
    }

    fn take(&mut self, count: usize, bytes: usize) -> Result<()> {
        self.taken = self.taken.saturating_add((count as u64).saturating_mul(bytes as u64));
        check("the outputs take at least", self.taken, self.limit, "max_output_bytes")
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
