//! Turning packed RGB pixels.

use super::OwnedImage;
use super::decode::reuse;
use super::orientation::Orientation;
use crate::error::Result;
use crate::geometry::Size;

/// Rows that become columns together: they lie in the second-level cache, and are some whole lines of each row that they become.
const BLOCK: usize = 64;

/// The image as it is to be seen.
pub(super) fn turned(size: Size, mut pixels: Vec<u8>, orientation: Orientation) -> Result<OwnedImage> {
    let row = size.width as usize * 3;
    match orientation {
        Orientation::Upright => {}
        Orientation::FlipX => pixels.chunks_exact_mut(row).for_each(reverse),
        Orientation::HalfTurn => reverse(&mut pixels),
        Orientation::FlipY => {
            let (top, bottom) = pixels.split_at_mut(size.height as usize / 2 * row);
            for (above, below) in top.chunks_exact_mut(row).zip(bottom.chunks_exact_mut(row).rev()) {
                above.swap_with_slice(below);
            }
        }
        Orientation::Transpose | Orientation::Clockwise | Orientation::Transverse | Orientation::Counterclockwise => {
            let mut out = reuse(pixels.len())?;
            for (block, rows) in pixels.chunks(row * BLOCK).enumerate() {
                transpose(size, rows, block * BLOCK, &mut out, orientation);
            }
            super::decode::give(pixels);
            return OwnedImage::new(Size::new(size.height, size.width), out);
        }
    }
    OwnedImage::new(size, pixels)
}

/// Reverses the order of pixels.
fn reverse(pixels: &mut [u8]) {
    let (pixels, _) = pixels.as_chunks_mut::<3>();
    pixels.reverse();
}

/// Rows from `first` on of an image of a size become columns of the other.
fn transpose(size: Size, rows: &[u8], first: usize, out: &mut [u8], orientation: Orientation) {
    let (width, height) = (size.width as usize, size.height as usize);
    let [from_right, from_bottom] = orientation.mirrors();
    let (pixels, _) = rows.as_chunks::<3>();
    let (out, _) = out.as_chunks_mut::<3>();
    let count = pixels.len() / width;
    let start = if from_bottom { height - first - count } else { first };
    for x in 0..width {
        let y = if from_right { width - 1 - x } else { x };
        let run = &mut out[y * height + start..][..count];
        let column = pixels[x..].iter().step_by(width);
        if from_bottom {
            run.iter_mut().rev().zip(column).for_each(|(to, from)| *to = *from);
        } else {
            run.iter_mut().zip(column).for_each(|(to, from)| *to = *from);
        }
    }
}

/// An image that is turned while its rows come, from the first to the last as they are stored.
pub(crate) struct Turning {
    /// As it is stored.
    size: Size,
    orientation: Orientation,
    /// Rows that wait to become columns.
    rows: Vec<u8>,
    pixels: Vec<u8>,
}

impl Turning {
    /// An image of a size, as it is stored.
    pub(crate) fn new(size: Size, orientation: Orientation) -> Result<Self> {
        let row = size.width as usize * 3;
        let rows = if orientation.swaps_sides() { reuse(row * BLOCK)? } else { Vec::new() };
        Ok(Self { size, orientation, rows, pixels: reuse(row * size.height as usize)? })
    }

    /// Row `y`: `make` writes all of its bytes.
    pub(crate) fn row(&mut self, y: u32, make: &mut dyn FnMut(&mut [u8])) {
        let Self { size, orientation, rows, pixels } = self;
        let (y, height, len) = (y as usize, size.height as usize, size.width as usize * 3);
        if orientation.swaps_sides() {
            let place = y % BLOCK;
            make(&mut rows[place * len..][..len]);
            if place + 1 == BLOCK || y + 1 == height {
                transpose(*size, &rows[..(place + 1) * len], y - place, pixels, *orientation);
            }
        } else {
            let [columns, rows] = orientation.mirrors();
            let row = &mut pixels[if rows { height - 1 - y } else { y } * len..][..len];
            make(row);
            if columns {
                reverse(row);
            }
        }
    }

    /// The image as it is to be seen.
    pub(crate) fn finish(self) -> Result<OwnedImage> {
        super::decode::give(self.rows);
        OwnedImage::new(self.orientation.turned(self.size), self.pixels)
    }
}
