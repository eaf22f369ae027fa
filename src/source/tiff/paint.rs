//! A TIFF's samples as RGB, by Pillow's modes and its `convert`.

use super::directory::Order;
use super::not_native;
use crate::error::Result;
use crate::source::transparency::{look, look_at};

/// What the samples of a pixel are.
#[derive(Debug)]
pub(super) struct Samples {
    kind: Kind,
    /// Bits of a sample, and samples of a pixel.
    depth: usize,
    count: usize,
    /// Which sample is an alpha.
    alpha: Option<usize>,
    order: Order,
}

#[derive(Debug)]
enum Kind {
    /// Values of at most eight bits in the first sample, and their colours.
    Indices(Box<[[u8; 3]; 256]>),
    Gray16,
    Rgb,
    /// Colours that are multiplied by the fourth sample.
    Premultiplied,
    Cmyk,
}

impl Samples {
    pub(super) fn new(
        photometric: i64,
        depth: i64,
        extra: &[i64],
        count: i64,
        map: &[i64],
        order: Order,
    ) -> Result<Self> {
        let unknown =
            || not_native(&format!("photometry {photometric}, {count} samples of {depth} bits, extra {extra:?}"));
        let zeros = |extra: &[i64]| extra.iter().all(|&kind| kind == 0);
        let kind = match (photometric, depth, count as usize, extra) {
            (0 | 1, 1 | 2 | 4 | 8, 1, []) | (1, 8, 2, [0 | 2]) => {
                let most = (1usize << depth) - 1;
                let gray = |value: usize| {
                    let value = (value & most) * 255 / most;
                    [if photometric == 0 { 255 - value } else { value } as u8; 3]
                };
                Kind::Indices(Box::new(std::array::from_fn(gray)))
            }
            // Pillow does not turn over what begins with white.
            (1, 16, 1, []) => Kind::Gray16,
            (0, 16, 1, []) if order == Order::Little => Kind::Gray16,
            (2, 8 | 16, 3, []) | (2, 8 | 16, 4, [] | [0 | 2]) | (2, 8, 4, [999]) => Kind::Rgb,
            (2, 8, 5 | 6, [0 | 2, rest @ ..]) if extra.len() == count as usize - 3 && zeros(rest) => Kind::Rgb,
            (2, 8 | 16, 4, [1]) => Kind::Premultiplied,
            (2, 8, 5 | 6, [1, rest @ ..]) if extra.len() == count as usize - 3 && zeros(rest) => Kind::Premultiplied,
            (3, 1 | 2 | 4 | 8, 1, []) | (3, 8, 2, [0 | 2]) => Kind::Indices(Box::new(colours(map)?)),
            (5, 8 | 16, 4, []) => Kind::Cmyk,
            (5, 8, 5 | 6, extra) if extra.len() == count as usize - 4 && zeros(extra) => Kind::Cmyk,
            _ => return Err(unknown()),
        };
        let alpha = match (&kind, extra) {
            (Kind::Indices(_), [2]) => Some(1),
            (Kind::Rgb, [2 | 999, ..]) | (Kind::Premultiplied, _) => Some(3),
            (Kind::Rgb, []) if count == 4 => Some(3),
            _ => None,
        };
        Ok(Self { kind, depth: depth as usize, count: count as usize, alpha, order })
    }

    /// Bits of a pixel.
    pub(super) fn bits(&self) -> u64 {
        (self.depth * self.count) as u64
    }

    pub(super) fn is_gray16(&self) -> bool {
        matches!(self.kind, Kind::Gray16)
    }

    /// Whether Pillow reads such samples with the bits of their bytes in the other order.
    pub(super) fn may_be_reversed(&self, order: Order, extra: &[i64], photometric: i64, raw: bool) -> bool {
        // Two of its modes have no code.
        let is_missing = raw && matches!((photometric, self.depth), (3, 1 | 2 | 4) | (0, 8));
        extra.is_empty()
            && match self.kind {
                Kind::Indices(_) => !is_missing,
                Kind::Gray16 => order == Order::Little,
                Kind::Rgb => self.depth == 8 && self.count == 3,
                Kind::Premultiplied | Kind::Cmyk => false,
            }
    }

    /// Undoes the horizontal predictor: each sample was stored less that of the pixel to its left.
    pub(super) fn sum(&self, data: &mut [u8], row: usize, order: Order) {
        for row in data.chunks_exact_mut(row) {
            match (self.depth, self.count) {
                (8, 1) => sum_bytes::<1>(row),
                (8, 2) => sum_bytes::<2>(row),
                (8, 3) => sum_bytes::<3>(row),
                (8, 4) => sum_bytes::<4>(row),
                (8, 5) => sum_bytes::<5>(row),
                (8, _) => sum_bytes::<6>(row),
                _ => sum_words(row, self.count, order),
            }
        }
    }

    /// Paints as many pixels as `out` has, and looks at alphas that are dropped.
    pub(super) fn paint(&self, row: &[u8], out: &mut [u8]) {
        let (out, _) = out.as_chunks_mut::<3>();
        // Of a sample of two bytes the higher.
        let high = usize::from(self.depth == 16 && self.order == Order::Little);
        self.colours(row, out, high);
        match (self.alpha, &self.kind) {
            (None, _) => {}
            (Some(_), Kind::Rgb) if self.bits() == 32 => look(&row.as_chunks::<4>().0[..out.len()]),
            (Some(alpha), _) => {
                let width = self.depth / 8;
                let alphas = row.iter().skip(alpha * width + high).step_by(width * self.count);
                look_at(out.iter().zip(alphas.copied()));
            }
        }
    }

    fn colours(&self, row: &[u8], out: &mut [[u8; 3]], high: usize) {
        let width = self.depth / 8;
        let pixel = width * self.count;
        match &self.kind {
            Kind::Indices(colours) if self.depth == 8 => {
                for (out, pixel) in out.iter_mut().zip(row.chunks_exact(self.count)) {
                    *out = colours[usize::from(pixel[0])];
                }
            }
            Kind::Indices(colours) => {
                let (per, mask) = (8 / self.depth, (1usize << self.depth) - 1);
                for (out, &byte) in out.chunks_mut(per).zip(row) {
                    let mut rest = usize::from(byte) << self.depth;
                    for out in out {
                        *out = colours[rest >> 8 & mask];
                        rest <<= self.depth;
                    }
                }
            }
            Kind::Gray16 => {
                for (out, pixel) in out.iter_mut().zip(row.as_chunks::<2>().0) {
                    *out = [self.order.number(pixel).min(255) as u8; 3];
                }
            }
            Kind::Rgb if pixel == 3 => {
                let out = out.as_flattened_mut();
                out.copy_from_slice(&row[..out.len()]);
            }
            Kind::Rgb if pixel == 4 => {
                for (out, pixel) in out.iter_mut().zip(row.as_chunks::<4>().0) {
                    *out = [pixel[0], pixel[1], pixel[2]];
                }
            }
            Kind::Rgb => {
                for (out, pixel) in out.iter_mut().zip(row.chunks_exact(pixel)) {
                    *out = [pixel[high], pixel[width + high], pixel[2 * width + high]];
                }
            }
            Kind::Premultiplied => {
                for (out, pixel) in out.iter_mut().zip(row.chunks_exact(pixel)) {
                    let alpha = u32::from(pixel[3 * width + high]);
                    let divided = |index: usize| match (alpha, u32::from(pixel[index * width + high])) {
                        (0, _) => 0,
                        (_, value) => (value * 255 / alpha).min(255) as u8,
                    };
                    *out = [divided(0), divided(1), divided(2)];
                }
            }
            Kind::Cmyk => {
                for (out, pixel) in out.iter_mut().zip(row.chunks_exact(pixel)) {
                    let white = 255 - u32::from(pixel[3 * width + high]);
                    let inked = |index: usize| {
                        let product = u32::from(pixel[index * width + high]) * white + 128;
                        (white - (((product >> 8) + product) >> 8)) as u8
                    };
                    *out = [inked(0), inked(1), inked(2)];
                }
            }
        }
    }
}

/// A colour map's entries: all reds, all greens, all blues, of which the high bytes count.
fn colours(map: &[i64]) -> Result<[[u8; 3]; 256]> {
    let entries = map.len() / 3;
    if map.is_empty() || entries > 256 || !map.len().is_multiple_of(3) {
        return Err(not_native(&format!("a colour map of {} values", map.len())));
    }
    let mut colours = [[0; 3]; 256];
    for (index, colour) in colours.iter_mut().enumerate().take(entries) {
        *colour = [0, 1, 2].map(|part| (map[part * entries + index] >> 8) as u8);
    }
    Ok(colours)
}

fn sum_bytes<const N: usize>(row: &mut [u8]) {
    let mut left = [0u8; N];
    for pixel in row.as_chunks_mut::<N>().0 {
        for (value, left) in pixel.iter_mut().zip(&mut left) {
            *value = value.wrapping_add(*left);
            *left = *value;
        }
    }
}

fn sum_words(row: &mut [u8], count: usize, order: Order) {
    let (row, _) = row.as_chunks_mut::<2>();
    let (read, write): (fn([u8; 2]) -> u16, fn(u16) -> [u8; 2]) = match order {
        Order::Little => (u16::from_le_bytes, u16::to_le_bytes),
        Order::Big => (u16::from_be_bytes, u16::to_be_bytes),
    };
    for index in count..row.len() {
        row[index] = write(read(row[index]).wrapping_add(read(row[index - count])));
    }
}
