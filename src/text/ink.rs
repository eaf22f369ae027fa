//! Ink and paper: a threshold for each block of pixels, from the histogram of its neighbourhood.

use crate::error::Result;
use crate::memory::filled;

/// Side of a block in pixels: the bits of a mask.
pub(super) const BLOCK: usize = 32;
const BINS: usize = 64;
/// Gray levels of a bin.
const LEVELS: u32 = 4;
/// Gray levels between the means of ink and paper. JPEG's blocks and a scan's noise differ by less.
const CONTRAST: f32 = 20.0;
/// Share of the variance that lies between ink and paper; noise alone has 0.64.
const SEPARATION: f32 = 0.7;

/// Gray pixels, row by row.
pub(super) struct Gray {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) data: Vec<u8>,
}

impl Gray {
    pub(super) fn row(&self, y: usize) -> &[u8] {
        &self.data[y * self.width..][..self.width]
    }

    /// Means of each pixel and its eight neighbours; the outermost pixels stay.
    pub(super) fn smoothed(&self) -> Result<Self> {
        let mut data = filled(self.data.len(), 0u8)?;
        data.copy_from_slice(&self.data);
        let mut sums = filled(self.width, 0u16)?;
        for y in 1..self.height.saturating_sub(1) {
            let rows = [self.row(y - 1), self.row(y), self.row(y + 1)];
            for (x, sum) in sums.iter_mut().enumerate() {
                *sum = rows.iter().map(|row| u16::from(row[x])).sum();
            }
            let out = &mut data[y * self.width..][..self.width];
            for (out, near) in out.iter_mut().skip(1).zip(sums.windows(3)) {
                *out = (near.iter().sum::<u16>() / 9) as u8;
            }
        }
        Ok(Self { width: self.width, height: self.height, data })
    }

    /// Means of squares of `factor` pixels a side; what is left at the edges is dropped.
    pub(super) fn reduced(&self, factor: usize) -> Result<Self> {
        let (width, height) = (self.width / factor, self.height / factor);
        let mut data = filled(width * height, 0u8)?;
        let mut sums = filled(width, 0u32)?;
        for (y, out) in data.chunks_exact_mut(width.max(1)).enumerate() {
            sums.fill(0);
            for row in 0..factor {
                for (sum, pixels) in sums.iter_mut().zip(self.row(y * factor + row).chunks_exact(factor)) {
                    *sum += pixels.iter().map(|&pixel| u32::from(pixel)).sum::<u32>();
                }
            }
            for (out, sum) in out.iter_mut().zip(&sums) {
                *out = (sum / (factor * factor) as u32) as u8;
            }
        }
        Ok(Self { width, height, data })
    }
}

/// What of a block is ink.
#[derive(Clone, Copy)]
enum Rule {
    Nothing,
    Below(u8),
    From(u8),
}

type Histogram = [u16; BINS];

/// Thresholds of all blocks.
pub(super) struct Thresholds {
    cols: usize,
    rules: Vec<Rule>,
}

impl Thresholds {
    pub(super) fn new(gray: &Gray) -> Result<Self> {
        let (cols, rows) = (gray.width.div_ceil(BLOCK), gray.height.div_ceil(BLOCK));
        let mut rules = filled(cols * rows, Rule::Nothing)?;
        // Of the block rows above, here and below.
        let mut around: [Vec<Histogram>; 3] =
            [filled(cols, [0; BINS])?, filled(cols, [0; BINS])?, filled(cols, [0; BINS])?];
        let mut columns = filled(cols, [0u16; BINS])?;
        count(gray, 0, &mut around[1]);
        for row in 0..rows {
            let below = &mut around[2];
            if row + 1 < rows {
                count(gray, row + 1, below);
            } else {
                below.fill([0; BINS]);
            }
            for (col, sum) in columns.iter_mut().enumerate() {
                for (bin, sum) in sum.iter_mut().enumerate() {
                    *sum = around[0][col][bin] + around[1][col][bin] + around[2][col][bin];
                }
            }
            for col in 0..cols {
                let near = &columns[col.saturating_sub(1)..(col + 2).min(cols)];
                rules[row * cols + col] = rule(near);
            }
            around.rotate_left(1);
        }
        Ok(Self { cols, rules })
    }

    /// Which pixels of a row are ink, a bit for each: pixel `i` is bit `i % BLOCK` of mask `i / BLOCK`.
    pub(super) fn masks(&self, gray: &Gray, y: usize, out: &mut [u32]) {
        let rules = &self.rules[y / BLOCK * self.cols..][..self.cols];
        for ((pixels, rule), out) in gray.row(y).chunks(BLOCK).zip(rules).zip(out) {
            *out = match *rule {
                Rule::Nothing => 0,
                Rule::Below(bound) => mask(pixels, |pixel| pixel < bound),
                Rule::From(bound) => mask(pixels, |pixel| pixel >= bound),
            };
        }
    }
}

#[inline]
fn mask(pixels: &[u8], is_ink: impl Fn(u8) -> bool) -> u32 {
    pixels.iter().enumerate().fold(0, |mask, (bit, &pixel)| mask | u32::from(is_ink(pixel)) << bit)
}

/// Histograms of a row of blocks.
fn count(gray: &Gray, row: usize, out: &mut [Histogram]) {
    out.fill([0; BINS]);
    for y in row * BLOCK..(row * BLOCK + BLOCK).min(gray.height) {
        for (pixels, histogram) in gray.row(y).chunks(BLOCK).zip(out.iter_mut()) {
            for &pixel in pixels {
                histogram[usize::from(pixel) / LEVELS as usize] += 1;
            }
        }
    }
}

/// Otsu's threshold of the sum of histograms. The rarer of both sides is ink.
fn rule(near: &[Histogram]) -> Rule {
    let mut bins = [0u32; BINS];
    for histogram in near {
        for (sum, &count) in bins.iter_mut().zip(histogram) {
            *sum += u32::from(count);
        }
    }
    let total: u32 = bins.iter().sum();
    let weighted = |(bin, &count): (usize, &u32)| bin as u32 * count;
    let moment: u32 = bins.iter().enumerate().map(weighted).sum();
    let mean = moment as f32 / total as f32;
    let variance = bins.iter().enumerate().map(|(bin, &n)| n as f32 * (bin as f32 - mean).powi(2)).sum::<f32>();
    let (mut below, mut below_moment) = (0u32, 0u32);
    let mut best = (0.0, 0usize, 0.0, 0u32);
    for (bin, &n) in bins.iter().enumerate() {
        below += n;
        below_moment += bin as u32 * n;
        if below == 0 || below == total {
            continue;
        }
        let above = total - below;
        let apart = (moment - below_moment) as f32 / above as f32 - below_moment as f32 / below as f32;
        let between = below as f32 * above as f32 / total as f32 * apart * apart;
        if between > best.0 {
            best = (between, bin + 1, apart, below);
        }
    }
    let (between, bound, apart, below) = best;
    if apart * (LEVELS as f32) < CONTRAST || between < SEPARATION * variance {
        return Rule::Nothing;
    }
    let bound = (bound as u32 * LEVELS).min(255) as u8;
    if below * 2 <= total { Rule::Below(bound) } else { Rule::From(bound) }
}
