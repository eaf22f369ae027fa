//! A file's rows, made while they are read: in cache, and without memory for all of them.

use std::borrow::Cow;
use std::ops::Range;

use super::decode::{eighths, give, guarded, take};
use super::jpeg::{Jpeg, JpegRows};
use super::{Interleaving, Orientation, OwnedImage, Rows, Turning};
use crate::error::{Error, Result};
use crate::geometry::Size;
use crate::threads::{Phase, timed};

/// Most rows that are made at once, beside those that are asked for: four blocks of eight, and as many that waited for them.
const MADE_AT_ONCE: usize = 36;

/// A JPEG.
pub struct Streamed<'a> {
    bytes: Cow<'a, [u8]>,
    jpeg: Jpeg,
    eighths: usize,
    /// Of the image that is made, as it is stored.
    size: Size,
}

/// Its rows, of which the last are kept.
pub(crate) struct StreamedRows<'a> {
    rows: JpegRows<'a>,
    size: Size,
}

impl<'a> Streamed<'a> {
    /// A file that is decoded straight to a `reduction`th of its size.
    pub(super) fn new(jpeg: Jpeg, bytes: Cow<'a, [u8]>, reduction: u32) -> Result<Self> {
        let eighths = eighths(reduction);
        let (width, height) = jpeg.reduced(eighths);
        Ok(Self { bytes, jpeg, eighths, size: Size::of_image(width as i64, height as i64)? })
    }

    /// The size of the image that is made, as it is stored.
    pub(crate) fn size(&self) -> Size {
        self.size
    }

    /// How the image is to be turned.
    pub(crate) fn orientation(&self) -> Orientation {
        self.jpeg.orientation()
    }

    /// Hands the rows to `read`, which may look at the last `span` of those that it has asked for. It is called a second time where
    /// the file turns out to be one that must be read otherwise. Returns what it makes last. Where this is an error, what it has
    /// made has no meaning.
    pub(crate) fn read<T>(&self, span: u32, read: &mut dyn FnMut(&mut StreamedRows<'_>) -> Result<T>) -> Result<T> {
        let Self { bytes, jpeg, eighths, size } = self;
        let span = span as usize;
        for careful in [false, true] {
            let memory = take((size.height as usize).min(span + MADE_AT_ONCE) * size.width as usize * 3)?;
            let Some(rows) = decoding(|| jpeg.rows(bytes, *eighths, memory, span, careful))? else { continue };
            let mut rows = StreamedRows { rows, size: *size };
            let made = read(&mut rows)?;
            let is_right = decoding(|| rows.rows.finish())?;
            give(rows.rows.into_memory());
            if is_right {
                return Ok(made);
            }
        }
        Err(Error::Decode("the JPEG data cannot be decoded".into()))
    }
}

impl Streamed<'_> {
    /// The image as it is to be seen, turned while it is decoded.
    pub(super) fn turned(&self) -> Result<OwnedImage> {
        self.read(1, &mut |rows| {
            let mut turning = Turning::new(self.size, self.orientation())?;
            for y in 0..self.size.height {
                rows.advance(y + 1)?;
                turning.row(y, &mut |out| rows.copy_row(y, out));
            }
            turning.finish()
        })
    }
}

impl Rows for StreamedRows<'_> {
    fn size(&self) -> Size {
        self.size
    }

    fn interleaving(&self) -> Option<Interleaving> {
        Some(Interleaving::RGB)
    }

    fn advance(&mut self, end: u32) -> Result<()> {
        decoding(|| self.rows.advance(end as usize))
    }

    fn row_bytes(&self, y: u32, range: Range<usize>) -> &[u8] {
        self.rows.row(y as usize, range)
    }

    fn copy_row(&self, y: u32, out: &mut [u8]) {
        out.copy_from_slice(self.rows.row(y as usize, 0..out.len()));
    }
}

/// Runs a part of decoding.
fn decoding<T>(run: impl FnOnce() -> Result<T>) -> Result<T> {
    timed(Phase::Decode, || guarded(run))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;
    use crate::source::{ColourKey, Decoder, Opened};
    use crate::threads::Threads;

    #[test]
    fn rows_are_those_of_the_whole_image_and_stay_for_their_span() {
        let bytes = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/python/vlmres/samples/photo.jpg")).unwrap();
        let opened = Opened::bytes(Box::new(bytes), &Limits::default(), &Decoder::Own).unwrap();
        for reduction in [1, 4] {
            let whole = opened.decode(reduction, ColourKey::Kept, Threads::ONE).unwrap();
            let whole = whole.view().unwrap();
            let file = opened.streamed(reduction).unwrap().unwrap();
            assert_eq!(file.size(), whole.size());
            let len = file.size().width as usize * 3;
            for span in [1, 7, 100] {
                let mut calls = 0;
                let read = file.read(span, &mut |rows| {
                    calls += 1;
                    for y in 0..rows.size().height {
                        rows.advance(y + 1)?;
                        for y in [y, (y + 1).saturating_sub(span)] {
                            assert_eq!(rows.row_bytes(y, 0..len), whole.row_bytes(y, 0..len), "{y} of {span}");
                        }
                    }
                    Ok(())
                });
                assert!(read.is_ok() && calls == 1);
            }
        }
    }
}
