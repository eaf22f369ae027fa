//! Turning packed RGB pixels.

use super::OwnedImage;
use super::decode::reuse;
use super::orientation::Orientation;
use crate::error::Result;
use crate::geometry::Size;

/// Side of a block that is transposed while it is in cache.
const BLOCK: usize = 32;

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
            transpose(size, &pixels, &mut out, orientation);
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

fn transpose(size: Size, pixels: &[u8], out: &mut [u8], orientation: Orientation) {
    let (width, height) = (size.width as usize, size.height as usize);
    let (pixels, _) = pixels.as_chunks::<3>();
    let (out, _) = out.as_chunks_mut::<3>();
    let [from_right, from_bottom] = orientation.mirrors();
    for top in (0..width).step_by(BLOCK) {
        for left in (0..height).step_by(BLOCK) {
            for y in top..(top + BLOCK).min(width) {
                let column = if from_right { width - 1 - y } else { y };
                for x in left..(left + BLOCK).min(height) {
                    let row = if from_bottom { height - 1 - x } else { x };
                    out[y * height + x] = pixels[row * width + column];
                }
            }
        }
    }
}
