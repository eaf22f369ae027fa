//! The most that a file, an image or a call may take. Ordinary work never meets a default.

use crate::error::{Error, Result};

/// Pixels of an encoded image: Pillow's limit, twice `Image.MAX_IMAGE_PIXELS`.
pub const MAX_IMAGE_PIXELS: u64 = 2 * 89_478_485;
/// Bytes of a file: more than an uncompressed image of the most pixels has, 16 bits deep.
pub const MAX_FILE_BYTES: u64 = 2 << 30;
/// Bytes that decoding takes, the file's own among them: more than such an image needs with its decoder's buffers.
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
    /// Bytes that decoding an image takes, and that images which are decoded at once take together. Those of a file that is read
    /// for it count; bytes that the caller holds do not.
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

    /// What the outputs of a call may take, of so many images and frames and of pixel values of so many bytes each.
    pub fn outputs(&self, images: usize, value_bytes: usize) -> Budget {
        let limit = self.output_bytes.unwrap_or_else(|| MAX_OUTPUT_BYTES.saturating_mul(images as u64));
        Budget { taken: 0, limit, value_bytes }
    }
}

/// Bytes that outputs may take. What is large asks for its share before it is allocated.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    taken: u64,
    limit: u64,
    /// Of a pixel value.
    value_bytes: usize,
}

impl Budget {
    /// All that there are.
    pub const UNLIMITED: Self = Self { taken: 0, limit: u64::MAX, value_bytes: 1 };

    /// Takes room for so many pixel values, or refuses them.
    pub fn take_values(&mut self, count: usize) -> Result<()> {
        self.take(count, self.value_bytes)
    }

    /// Takes room for so many integers, or refuses them.
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
