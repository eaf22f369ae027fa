//! JPEG, decoded to Pillow's pixels: libjpeg-turbo's arithmetic, its way through damaged data, and Pillow's around it.

mod baseline;
mod bits;
mod careful;
mod coefficients;
mod decoding;
mod form;
mod frame;
mod header;
mod huffman;
mod intervals;
mod kernels;
mod markers;
mod output;
mod progressive;
mod quad;
mod reduced;
mod rows;
mod scan;
mod sequential;
mod smooth;
mod standard;
mod stream;
mod units;

use std::ops::Range;

use decoding::Decoding;
pub use form::JpegForm;
use frame::Stop;
use header::Header;

use super::orientation::Orientation;
use crate::error::{Error, Result};
use crate::geometry::Size;
use crate::simd::Level;
use crate::threads::{Threads, is_stopped};

/// Whether the bytes are a JPEG's, as Pillow tells.
pub(super) fn is_jpeg(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0xff, 0xd8, 0xff])
}

/// What a JPEG's header says; decoding goes on from it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Jpeg {
    width: u32,
    height: u32,
    orientation: Orientation,
    restart_interval: u16,
    /// Bytes of its coefficients, where they are kept.
    coefficients: u64,
    /// Whether its coding is one that this decoder knows.
    is_known: bool,
}

/// A file's rows while it is decoded, from the first on.
pub(super) struct JpegRows<'a> {
    decoding: Decoding<'a>,
    bytes: &'a [u8],
}

impl Jpeg {
    /// Reads the header, as Pillow's `open` does.
    pub(super) fn open(bytes: &[u8]) -> Result<Self> {
        let Header { width, height, metadata, restart_interval, coefficients, is_known, .. } =
            Header::read(bytes).map_err(|stop| error(stop, bytes))?;
        Ok(Self { width, height, orientation: metadata.orientation(), restart_interval, coefficients, is_known })
    }

    /// Its size as stored.
    pub(super) fn size(self) -> (u32, u32) {
        (self.width, self.height)
    }

    /// Its size at `eighths` of that.
    pub(super) fn reduced(self, eighths: usize) -> (usize, usize) {
        let reduced = |side: u32| (side as usize * eighths).div_ceil(8);
        (reduced(self.width), reduced(self.height))
    }

    /// At least the bytes that decoding it takes.
    pub(super) fn bytes(self) -> u64 {
        u64::from(self.width) * u64::from(self.height) * 3 + self.coefficients
    }

    /// How it is to be turned, from its EXIF data.
    pub(super) fn orientation(self) -> Orientation {
        self.orientation
    }

    /// Whether several threads may decode it together.
    pub(super) fn has_restarts(self) -> bool {
        self.restart_interval > 0
    }

    /// Whether a decoder of another library is never needed for it.
    pub(super) fn is_known(self) -> bool {
        self.is_known
    }

    /// Decodes the file that has this header, at `eighths` of its size, 1, 2, 4 or 8: packed RGB and its size, in the memory of
    /// `pixels`. Eight is exact. Several threads work where restart markers let them.
    pub(super) fn decode(
        self,
        bytes: &[u8],
        eighths: usize,
        pixels: Vec<u8>,
        threads: Threads,
    ) -> Result<(Size, Vec<u8>)> {
        let level = Level::current()?;
        let whole = |pixels, careful| {
            let mut decoding = Decoding::new(self, bytes, eighths, pixels, None, careful, level)?;
            decoding.all(threads)?;
            Ok(decoding)
        };
        let made = match whole(pixels, false) {
            Err(Stop::Again) => whole(Vec::new(), true),
            made => made,
        };
        let made = made.map_err(|stop| error(stop, bytes))?;
        let (width, height) = made.size();
        Ok((Size::of_image(width as i64, height as i64)?, made.into_memory()))
    }

    /// Begins to decode the file that has this header row by row, carefully or not, in `memory`, which holds nothing of meaning: of the
    /// rows made, each is there until so many others are asked for after it. Nothing where it must be read carefully.
    pub(super) fn rows(
        self,
        bytes: &[u8],
        eighths: usize,
        memory: Vec<u8>,
        span: usize,
        careful: bool,
    ) -> Result<Option<JpegRows<'_>>> {
        let decoding = Decoding::new(self, bytes, eighths, memory, Some(span), careful, Level::current()?);
        Ok(known(decoding, bytes)?.map(|decoding| JpegRows { decoding, bytes }))
    }
}

impl JpegRows<'_> {
    /// Makes the rows before `end`.
    pub(super) fn advance(&mut self, end: usize) -> Result<()> {
        self.decoding.advance(end).map_err(|stop| error(stop, self.bytes))
    }

    /// Bytes of row `y`, which was made.
    pub(super) fn row(&self, y: usize, range: Range<usize>) -> &[u8] {
        &self.decoding.row(y)[range]
    }

    /// Decodes what is left, and says whether the file was read right: else all its rows are to be made again, carefully.
    pub(super) fn finish(&mut self) -> Result<bool> {
        Ok(known(self.decoding.finish(), self.bytes)?.is_some())
    }

    /// Memory for the next file's rows.
    pub(super) fn into_memory(self) -> Vec<u8> {
        self.decoding.into_memory()
    }
}

/// Nothing of what must be read carefully.
fn known<T>(found: std::result::Result<T, Stop>, bytes: &[u8]) -> Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(Stop::Again) => Ok(None),
        Err(stop) => Err(error(stop, bytes)),
    }
}

fn error(stop: Stop, bytes: &[u8]) -> Error {
    match stop {
        Stop::Truncated => {
            Error::Decode(format!("the JPEG data ends after {} bytes, before its image does", bytes.len()))
        }
        Stop::Broken(what) => Error::Decode(format!("the JPEG has {what}")),
        Stop::Again => Error::Decode("the JPEG data cannot be decoded".into()),
        Stop::Unsupported(what) => Error::NotNative { format: "a JPEG", feature: what.into() },
        Stop::Interrupted => Error::Interrupted,
        Stop::Memory(bytes) => Error::Memory { bytes },
    }
}

/// Whether anybody still wants the image: asked for every row of units.
fn check() -> std::result::Result<(), Stop> {
    if is_stopped() { Err(Stop::Interrupted) } else { Ok(()) }
}
