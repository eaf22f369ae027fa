//! A PNG's pixels: unpacked, unfiltered and painted row by row.

use fdeflate::{DecompressionError, Decompressor};

use super::paint::Paint;
use super::{Png, error, filter, not_native};
use crate::error::Result;
use crate::source::bytes::zeroed;
use crate::threads::check_stopped;

/// Bytes that are unpacked before rows are taken out, beside two rows.
pub(super) const WINDOW: usize = 128 << 10;
/// How far back a copy may reach.
const BACK: usize = 32 << 10;
/// Adam7: first column and row of a pass, and the steps to the next.
const PASSES: [(usize, usize, usize, usize); 7] =
    [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)];

/// Decodes the pixels; where the stream ends with a row but before the image does, the rest is black, as in Pillow.
pub(super) fn decode(png: Png, bytes: &[u8], paint: &Paint, pixels: &mut [u8]) -> Result<()> {
    let (width, height) = (png.width as usize, png.height as usize);
    let bits = png.bits();
    let whole = (width * bits).div_ceil(8);
    let mut stream = Stream::new(bytes, png.data as usize, whole + 1)?;
    let mut before = Row::new(whole)?;
    let mut row = Row::new(whole)?;
    let passes: &[(usize, usize, usize, usize)] = if png.interlaced { &PASSES } else { &[(0, 0, 1, 1)] };
    for &(left, top, across, down) in passes {
        let columns = width.saturating_sub(left).div_ceil(across);
        let length = (columns * bits).div_ceil(8);
        if columns == 0 {
            continue;
        }
        before.0.fill(0);
        for (count, y) in (top..height).step_by(down).enumerate() {
            if count % 64 == 0 {
                check_stopped()?;
            }
            let Some(packed) = stream.row(length + 1)? else {
                // What is painted already stays.
                return black(png, pixels, (left, across, down), y);
            };
            let row_bytes = &mut row.0[..length];
            row_bytes.copy_from_slice(&packed[1..]);
            let filter = packed[0];
            filter::undo(filter, bits.div_ceil(8), &before.0[..length], row_bytes)
                .ok_or_else(|| error("an unknown filter"))?;
            paint.row(row_bytes, &mut pixels[(y * width + left) * 3..(y + 1) * width * 3], across);
            std::mem::swap(&mut before, &mut row);
        }
    }
    stream.finish()
}

/// Blackens the rows from `y` on. Of an interlaced image that is all that no pass has painted, which nobody knows here.
fn black(png: Png, pixels: &mut [u8], (left, across, down): (usize, usize, usize), y: usize) -> Result<()> {
    if (left, across, down) != (0, 1, 1) {
        return Err(not_native("a stream that ends before its passes do"));
    }
    pixels[y * png.width as usize * 3..].fill(0);
    Ok(())
}

struct Row(Vec<u8>);

impl Row {
    fn new(length: usize) -> Result<Self> {
        Ok(Self(zeroed(length)?))
    }
}

/// The unpacked bytes of all chunks of pixels.
struct Stream<'a> {
    bytes: &'a [u8],
    /// What is left of the chunk, and where the next begins.
    chunk: &'a [u8],
    next: usize,
    inflate: Decompressor,
    window: Vec<u8>,
    /// Where rows begin that are not taken, and where they end.
    start: usize,
    end: usize,
    started: bool,
}

impl<'a> Stream<'a> {
    fn new(bytes: &'a [u8], at: usize, row: usize) -> Result<Self> {
        let window = zeroed(WINDOW.max(2 * row + BACK))?;
        let inflate = Decompressor::new();
        Ok(Self { bytes, chunk: &[], next: at, inflate, window, start: 0, end: 0, started: false })
    }

    /// The next chunk of pixels; Pillow does not look at their checksums, nor whether the last is whole.
    fn next_chunk(&mut self) -> bool {
        let rest = self.bytes.get(self.next..).unwrap_or_default();
        let Some((head, body)) = rest.split_first_chunk::<8>() else { return false };
        if &head[4..] != b"IDAT" {
            return false;
        }
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        self.chunk = &body[..length.min(body.len())];
        self.next += 8 + length + 4;
        true
    }

    /// The next row; nothing where the stream has ended.
    fn row(&mut self, length: usize) -> Result<Option<&[u8]>> {
        while self.end - self.start < length {
            if self.inflate.is_done() {
                return if self.start == self.end && self.started {
                    Ok(None)
                } else {
                    Err(error("a stream that ends within a row"))
                };
            }
            if !self.fill()? {
                return Err(error("data that end before the image does"));
            }
        }
        let row = &self.window[self.start..self.start + length];
        self.start += length;
        self.started = true;
        Ok(Some(row))
    }

    /// Unpacks more; false where there is nothing to unpack.
    fn fill(&mut self) -> Result<bool> {
        if self.window.len() - self.end < self.window.len() / 4 {
            let kept = self.start.min(self.end.saturating_sub(BACK));
            self.window.copy_within(kept..self.end, 0);
            (self.start, self.end) = (self.start - kept, self.end - kept);
        }
        while self.chunk.is_empty() {
            if !self.next_chunk() {
                // The decompressor may hold bits that make more bytes.
                return Ok(self.read()? > 0);
            }
        }
        self.read()?;
        Ok(true)
    }

    fn read(&mut self) -> Result<usize> {
        let (taken, made) =
            self.inflate.read(self.chunk, &mut self.window, self.end, false).map_err(|why| match why {
                // Whether Pillow comes to see it depends on its buffers.
                DecompressionError::WrongChecksum => not_native("a wrong checksum of its pixels"),
                _ => error(&format!("damaged data: {why:?}")),
            })?;
        self.chunk = &self.chunk[taken..];
        self.end += made;
        Ok(made)
    }

    /// After the last row: Pillow has seen the checksum of a stream that ends in this chunk, and does not read another. Where the
    /// data end first, it depends on its buffers whether Pillow has the last row.
    fn finish(mut self) -> Result<()> {
        while self.start == self.end && !self.inflate.is_done() {
            if self.chunk.is_empty() {
                return if self.next_chunk() { Ok(()) } else { self.is_whole() };
            }
            self.read()?;
        }
        Ok(())
    }

    /// Whether nothing but the checksum is missing.
    fn is_whole(&mut self) -> Result<()> {
        self.inflate.ignore_adler32();
        let end = self.end;
        match self.inflate.read(&[0; 8], &mut self.window, end, false) {
            Ok((_, 0)) if self.inflate.is_done() => Ok(()),
            _ => Err(not_native("data that are cut off at their end")),
        }
    }
}
