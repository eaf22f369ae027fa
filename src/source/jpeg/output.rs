//! From planes of samples to rows of RGB: chroma is made whole and colours are converted, as libjpeg and then Pillow do.

use std::ops::Range;

use super::frame::{Colours, Component, Frame, Stop};
use super::kernels::{Blend, Kernels};
use super::quad::{LANES, Quad};
use super::rows::Rows;
use crate::simd::Level;

/// How a component's rows become rows of the image's width.
#[derive(Clone, Copy, Debug)]
enum Upsampling {
    Whole,
    /// Each sample repeated so often.
    Repeat(usize),
    /// Smoothed across, from rows blended with their neighbours or not.
    Wide {
        blended: bool,
    },
    /// Rows blended with their neighbours.
    Tall,
}

/// The samples of a component: its rows, or the last two rows of units that were decoded.
struct Plane {
    samples: Vec<u8>,
    stride: usize,
    /// Rows that are kept.
    kept: usize,
    /// The side of a decoded block.
    side: usize,
    width: usize,
    height: usize,
    /// Output rows to a row of samples.
    tall: usize,
    upsampling: Upsampling,
}

impl Plane {
    fn new(part: &Component, frame: &Frame, side: usize, smallest: usize) -> Option<Self> {
        let (max_h, max_v) = (frame.max_h as usize, frame.max_v as usize);
        // Samples of a group that becomes `max_h` by `max_v` pixels.
        let (h, v) = (part.h as usize * side / smallest, part.v as usize * side / smallest);
        let width = (frame.width as usize * part.h as usize * side).div_ceil(max_h * 8);
        let height = (frame.height as usize * part.v as usize * side).div_ceil(max_v * 8);
        let fancy = smallest > 1;
        let (wide, tall) = (h * 2 == max_h, v * 2 == max_v);
        let upsampling = if h == max_h && v == max_v {
            Upsampling::Whole
        } else if wide && v == max_v && fancy && width > 2 {
            Upsampling::Wide { blended: false }
        } else if h == max_h && tall && fancy {
            Upsampling::Tall
        } else if wide && tall && fancy && width > 2 {
            Upsampling::Wide { blended: true }
        } else if max_h % h == 0 && max_v % v == 0 {
            Upsampling::Repeat(max_h / h)
        } else {
            return None;
        };
        // Four units side by side are transformed at once.
        let stride = frame.columns().next_multiple_of(LANES) as usize * part.h as usize * side;
        let kept = 2 * part.v as usize * side;
        let mut samples = Vec::new();
        samples.try_reserve_exact(kept * stride).ok()?;
        samples.resize(kept * stride, 0);
        Some(Self { samples, stride, kept, side, width, height, tall: max_v / v, upsampling })
    }

    /// Where the four blocks at these places go, and the distance of their rows.
    fn quad(&mut self, x: usize, y: usize) -> (&mut [u8], usize) {
        let row = y * self.side % self.kept;
        (&mut self.samples[row * self.stride + x * LANES as usize * self.side..], self.stride)
    }

    fn row(&self, y: usize) -> &[u8] {
        let start = y.min(self.height - 1) % self.kept * self.stride;
        &self.samples[start..start + self.width]
    }

    fn needs_neighbours(&self) -> bool {
        matches!(self.upsampling, Upsampling::Tall | Upsampling::Wide { blended: true })
    }

    /// The samples of output row `y`, made in `line` where they do not lie ready.
    fn upsampled<'s>(&'s self, y: usize, kernels: &Kernels, sums: &mut Vec<u16>, line: &'s mut Vec<u8>) -> &'s [u8] {
        let row = y / self.tall;
        let near = self.row(row);
        let far = || self.row(if y.is_multiple_of(2) { row.saturating_sub(1) } else { row + 1 });
        match self.upsampling {
            Upsampling::Whole | Upsampling::Repeat(1) => return near,
            Upsampling::Repeat(times) => {
                line.clear();
                line.extend(near.iter().flat_map(|&sample| std::iter::repeat_n(sample, times)));
            }
            Upsampling::Tall => {
                let bias = if y.is_multiple_of(2) { 1 } else { 2 };
                line.clear();
                let blend = |(near, far): (&u8, &u8)| (u16::from(*near) * 3 + u16::from(*far) + bias) >> 2;
                line.extend(near.iter().zip(far()).map(|pair| blend(pair) as u8));
            }
            Upsampling::Wide { blended } => {
                sums.resize(self.width + 2, 0);
                line.resize(self.width * 2, 0);
                if blended {
                    (kernels.blend_rows)(near, far(), sums);
                    (kernels.widen)(sums, Blend { bias: [8, 7], shift: 4 }, line);
                } else {
                    for (sum, &sample) in sums[1..].iter_mut().zip(near) {
                        *sum = sample.into();
                    }
                    sums[0] = sums[1];
                    sums[self.width + 1] = sums[self.width];
                    (kernels.widen)(sums, Blend { bias: [1, 2], shift: 2 }, line);
                }
            }
        }
        line
    }
}

/// The planes of an image, of which rows are made.
pub(super) struct Output {
    planes: Vec<Plane>,
    pub(super) kernels: Kernels,
    colours: Colours,
    /// Pixels, of the image that comes out.
    pub(super) width: usize,
    pub(super) height: usize,
    /// Output rows to a row of units, and how many of them wait for the next.
    pub(super) unit_rows: usize,
    waiting: usize,
    /// Rows made so far, and the end of those that are to be made.
    pub(super) made: usize,
    end: usize,
    lines: [Vec<u8>; 4],
    sums: Vec<u16>,
    whites: Vec<u8>,
}

impl Output {
    /// An image of `eighths` of the frame's size: 1, 2, 4 or 8.
    pub(super) fn new(frame: &Frame, colours: Colours, eighths: usize, level: Level) -> Result<Self, Stop> {
        let (max_h, max_v) = (frame.max_h, frame.max_v);
        let planes = frame.components.iter().map(|part| {
            // A component of fewer samples is transformed to larger blocks rather than made whole afterwards.
            let mut side = eighths;
            let divides =
                |most: u32, own: u32, side: usize| (most * eighths as u32).is_multiple_of(own * side as u32 * 2);
            while side < 8 && divides(max_h, part.h, side) && divides(max_v, part.v, side) {
                side *= 2;
            }
            Plane::new(part, frame, side, eighths)
        });
        let lacking = Stop::Broken("sampling factors that do not divide, or too little memory");
        let planes = planes.collect::<Option<Vec<_>>>().ok_or(lacking)?;
        let waiting = if planes.iter().any(Plane::needs_neighbours) { max_v as usize } else { 0 };
        let (width, height) =
            ((frame.width as usize * eighths).div_ceil(8), (frame.height as usize * eighths).div_ceil(8));
        Ok(Self {
            planes,
            kernels: Kernels::of(level),
            colours,
            width,
            height,
            unit_rows: max_v as usize * eighths,
            waiting,
            made: 0,
            end: height,
            lines: Default::default(),
            sums: Vec::new(),
            whites: Vec::new(),
        })
    }

    /// Puts the samples of four blocks into their plane: the `x`th four of row `y`.
    pub(super) fn transform(&mut self, part: usize, x: usize, y: usize, coefs: &Quad, quant: &[u16; 64]) {
        let plane = &mut self.planes[part];
        let side = plane.side;
        let (out, stride) = plane.quad(x, y);
        if side < 8 {
            (self.kernels.reduced)(coefs, quant, out, stride, side);
        } else {
            (self.kernels.idct)(coefs, quant, out, stride);
        }
    }

    /// Most rows that a row of units allows.
    pub(super) fn most_at_once(&self) -> usize {
        self.unit_rows + self.waiting
    }

    /// Only some of the rows are to be made.
    pub(super) fn only(&mut self, rows: Range<usize>) {
        (self.made, self.end) = (rows.start, rows.end.min(self.height));
    }

    /// Makes the rows that `units` rows of units allow.
    pub(super) fn emit(&mut self, units: u32, is_last: bool, rows: &mut impl Rows) {
        let ready = if is_last { self.height } else { units as usize * self.unit_rows - self.waiting };
        let ready = ready.min(self.end);
        for y in self.made..ready {
            self.emit_row(y, rows.row_mut(y));
        }
        self.made = self.made.max(ready);
    }

    fn emit_row(&mut self, y: usize, packed: &mut [u8]) {
        let Self { planes, kernels, lines, sums, whites, width, .. } = self;
        let mut lines = lines.iter_mut();
        let mut rows: [&[u8]; 4] = [&[]; 4];
        for ((plane, line), row) in planes.iter().zip(&mut lines).zip(&mut rows) {
            *row = &plane.upsampled(y, kernels, sums, line)[..*width];
        }
        let [first, second, third, fourth] = rows;
        match self.colours {
            Colours::Gray => (kernels.interleave)(first, first, first, packed),
            Colours::Ycc | Colours::Ycck => (kernels.ycc)(first, second, third, packed),
            Colours::Rgb | Colours::Cmyk => (kernels.interleave)(first, second, third, packed),
        }
        if matches!(self.colours, Colours::Cmyk | Colours::Ycck) {
            // Pillow takes all inks as inverted, and makes RGB of them by products. YCCK's first three are inverted RGB.
            let invert = if self.colours == Colours::Cmyk { 255 } else { 0 };
            whites.resize(packed.len(), 0);
            (kernels.interleave)(fourth, fourth, fourth, whites);
            (kernels.inks)(packed, whites, invert);
        }
    }
}
