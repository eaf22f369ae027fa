//! The estimate of an image.

use super::components::{self, Ink};
use super::ink::{Gray, Thresholds};
use super::lines::{self, Line};
use crate::error::Result;
use crate::memory::filled;
use crate::source::PixelView;

/// Pixels a side of the squares whose means are looked at, one after the other until there is text: larger letters, and those
/// under noise, are found in smaller images.
const SCALES: [usize; 3] = [1, 2, 4];
/// From which score on a line is text on its own.
const SCORE: f32 = 2.0;
/// Characters of such lines that an image with text has.
const CHARACTERS: f32 = 12.0;
/// Evidence of a shorter line beside these, and how its x-height may differ.
const BESIDE: f32 = 0.65;
const ALIKE: std::ops::RangeInclusive<f32> = 0.5..=2.0;
/// By how much letters are taller where noise was smoothed away, and what is left of the smallest.
const WIDENED: f32 = 2.0;
const LEAST: f32 = 2.0;
/// Pixels for a run of ink; texture that has more is not text.
const PIXELS_PER_RUN: usize = 4;

/// The lines of text of an image, as far as its pixels tell; none of one without text. Nothing is recognised: letters are found as
/// ink that hangs together, and text as letters in line.
pub fn estimate(pixels: &PixelView<'_>) -> Result<Vec<Line>> {
    let full = gray(pixels)?;
    for scale in SCALES {
        let reduced = if scale == 1 { None } else { Some(full.reduced(scale)?) };
        let gray = reduced.as_ref().unwrap_or(&full);
        if gray.data.is_empty() {
            break;
        }
        let mut ink = find(gray)?;
        let is_noisy = scale == 1 && ink.as_ref().is_none_or(Ink::is_noisy);
        if is_noisy {
            ink = find(&gray.smoothed()?)?.filter(|ink| !ink.is_noisy());
        }
        let Some(ink) = ink else { continue };
        let mut lines = text(lines::find(&ink)?);
        if is_noisy {
            for line in &mut lines {
                line.x_height = (line.x_height - WIDENED).max(LEAST);
            }
        }
        if !lines.is_empty() {
            return Ok(lines.into_iter().map(|line| line.enlarged(scale as f32)).collect());
        }
    }
    Ok(Vec::new())
}

/// The ink of an image; nothing where it is texture all over.
fn find(gray: &Gray) -> Result<Option<Ink>> {
    components::find(gray, &Thresholds::new(gray)?, gray.data.len() / PIXELS_PER_RUN)
}

/// Lines that are text on their own, and those beside them; none where the first are too few to be sure.
fn text(lines: Vec<Line>) -> Vec<Line> {
    let sure: Vec<f32> = lines.iter().filter(|line| line.score >= SCORE).map(|line| line.x_height).collect();
    let characters: f32 = lines.iter().filter(|line| line.score >= SCORE).map(|line| line.characters).sum();
    if characters < CHARACTERS {
        return Vec::new();
    }
    let is_text = |line: &Line| {
        line.score >= SCORE
            || line.evidence >= BESIDE && sure.iter().any(|x_height| ALIKE.contains(&(line.x_height / x_height)))
    };
    lines.into_iter().filter(is_text).collect()
}

fn gray(pixels: &PixelView<'_>) -> Result<Gray> {
    let (width, height) = (pixels.size().width as usize, pixels.size().height as usize);
    let mut data = filled(width * height, 0u8)?;
    let mut row = filled(width * 3, 0u8)?;
    for (y, out) in data.chunks_exact_mut(width).enumerate() {
        pixels.copy_row(y as u32, &mut row);
        for (gray, &[red, green, blue]) in out.iter_mut().zip(row.as_chunks::<3>().0) {
            *gray = ((77 * u32::from(red) + 150 * u32::from(green) + 29 * u32::from(blue)) >> 8) as u8;
        }
    }
    Ok(Gray { width, height, data })
}
