//! JPEG, decoded to Pillow's pixels: libjpeg-turbo's arithmetic, its way through damaged data, and Pillow's around it.

mod baseline;
mod bits;
mod careful;
mod coefficients;
mod frame;
mod header;
mod huffman;
mod kernels;
mod markers;
mod output;
mod progressive;
mod quad;
mod reduced;
mod scan;
mod sequential;
mod smooth;
mod standard;
mod stream;
mod units;

use coefficients::Coefficients;
use frame::Stop;
use header::Header;
use markers::Markers;
use output::Output;

use super::orientation::Orientation;
use crate::error::{Error, Result};
use crate::geometry::Size;
use crate::simd::Level;
use crate::threads::is_stopped;

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
    /// Bytes of its coefficients, where they are kept.
    coefficients: u64,
}

impl Jpeg {
    /// Reads the header, as Pillow's `open` does.
    pub(super) fn open(bytes: &[u8]) -> Result<Self> {
        let Header { width, height, metadata, coefficients } =
            Header::read(bytes).map_err(|stop| error(stop, bytes))?;
        Ok(Self { width, height, orientation: metadata.orientation(), coefficients })
    }

    /// Its size as stored.
    pub(super) fn size(self) -> (u32, u32) {
        (self.width, self.height)
    }

    /// At least the bytes that decoding it takes.
    pub(super) fn bytes(self) -> u64 {
        u64::from(self.width) * u64::from(self.height) * 3 + self.coefficients
    }

    /// How it is to be turned, from its EXIF data.
    pub(super) fn orientation(self) -> Orientation {
        self.orientation
    }

    /// Decodes the file that has this header, at `eighths` of its size, 1, 2, 4 or 8: packed RGB and its size, in the memory of
    /// `pixels`. Eight is exact.
    pub(super) fn decode(self, bytes: &[u8], eighths: usize, pixels: Vec<u8>) -> Result<(Size, Vec<u8>)> {
        let made = self.read(bytes, eighths, pixels, Level::current()?).map_err(|stop| error(stop, bytes))?;
        let size = Size::of_image(made.width as i64, made.height as i64)?;
        Ok((size, made.into_pixels()))
    }

    fn read(self, bytes: &[u8], eighths: usize, pixels: Vec<u8>, level: Level) -> std::result::Result<Output, Stop> {
        match self.pass(bytes, eighths, pixels, level, false) {
            Err(Stop::Again) => self.pass(bytes, eighths, Vec::new(), level, true),
            made => made,
        }
    }

    fn pass(
        self,
        bytes: &[u8],
        eighths: usize,
        pixels: Vec<u8>,
        level: Level,
        careful: bool,
    ) -> std::result::Result<Output, Stop> {
        let mut markers = Markers::new(bytes);
        markers.read_header()?;
        let frame = markers.frame.clone().ok_or(Stop::Broken("a scan without a frame"))?;
        if (frame.width, frame.height) != self.size() {
            return Err(Stop::Broken("two sizes"));
        }
        let output = Output::new(&frame, markers.colours(), eighths, pixels, level);
        let mut output = output.ok_or(Stop::Broken("sampling factors that do not divide, or too little memory"))?;
        if frame.progressive || markers.scan.parts.len() < frame.components.len() {
            let mut image = Coefficients::new(&frame, output.kernels.nonzero, careful)?;
            image.read(&mut markers)?;
            image.output(&markers, &mut output)?;
        } else {
            baseline::read(&mut markers, &mut output, careful)?;
        }
        Ok(output)
    }
}

fn error(stop: Stop, bytes: &[u8]) -> Error {
    match stop {
        Stop::Truncated => {
            Error::Decode(format!("the JPEG data ends after {} bytes, before its image does", bytes.len()))
        }
        Stop::Broken(what) => Error::Decode(format!("the JPEG has {what}")),
        Stop::Again => Error::Decode("the JPEG has data of an odd kind".into()),
        Stop::Unsupported(what) => Error::NotNative { format: "a JPEG", feature: what.into() },
        Stop::Interrupted => Error::Interrupted,
        Stop::Memory(bytes) => Error::Memory { bytes },
    }
}

/// Whether anybody still wants the image: asked for every row of units.
fn check() -> std::result::Result<(), Stop> {
    if is_stopped() { Err(Stop::Interrupted) } else { Ok(()) }
}
