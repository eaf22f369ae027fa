//! NEON: `tbl` brings bytes to wider lanes, and `mla` adds their products with a weight, 32 bits each, or `smlal` where
//! weights have 16 bits.
//!
//! The horizontal pass makes one pixel of up to eight rows at once, a row to a vector, a channel to a lane:
//!
//! ```text
//!   16 bytes of a row:  R0 G0 B0 R1 G1 B1 R2 G2 B2 R3 G3 B3 …      four taps, however the row's pixels lie
//!   one tap each:       [R0 | G0 | B0 | –]  [R1 | G1 | B1 | –] …   times the tap's weight
//! ```

use std::arch::aarch64::{
    int16x4_t, int32x4_t, uint8x16_t, vcombine_s16, vcombine_u8, vdupq_n_s32, vdupq_n_u8, vget_low_s16, vget_low_u8,
    vld1q_s32, vld1q_u8, vmlal_high_lane_s16, vmlal_high_n_s16, vmlal_lane_s16, vmlal_n_s16, vmlaq_laneq_s32,
    vmlaq_n_s32, vmovl_high_u8, vmovl_u8, vmovn_s32, vqaddq_u8, vqmovn_s32, vqmovun_s16, vqtbl1q_u8,
    vreinterpretq_s16_u8, vreinterpretq_s16_u16, vreinterpretq_s32_u8, vshlq_s32, vst1q_u8,
};

use crate::resample::AxisWeights;
use crate::source::Interleaving;

/// Bytes of a vector.
const LOAD: usize = 16;
/// Source pixels that are multiplied at once: those of a load.
const TAPS: usize = 4;
/// Brings nothing.
const NONE: u8 = u8::MAX;

/// Whether some weight does not fit 16 bits.
fn is_wide(axis: &AxisWeights) -> bool {
    (0..axis.len()).any(|index| axis.of(index).1.iter().any(|&weight| i16::try_from(weight).is_err()))
}

/// Sums without their fraction bits, as 16-bit numbers that saturate.
#[inline]
#[target_feature(enable = "neon")]
fn narrow(sums: int32x4_t, shift: int32x4_t) -> int16x4_t {
    vqmovn_s32(vshlq_s32(sums, shift))
}

/// Four vectors of sums as bytes that saturate.
#[inline]
#[target_feature(enable = "neon")]
fn to_bytes([a, b, c, d]: [int32x4_t; 4], shift: int32x4_t) -> uint8x16_t {
    let low = vcombine_s16(narrow(a, shift), narrow(b, shift));
    let high = vcombine_s16(narrow(c, shift), narrow(d, shift));
    vcombine_u8(vqmovun_s16(low), vqmovun_s16(high))
}

/// The horizontal pass.
pub(in crate::resample) struct Horizontal {
    /// Per output pixel: the byte at which its window begins, and where its weights end in `weights`.
    spans: Vec<(u32, u32)>,
    /// Weights of four pixels.
    weights: Vec<[i32; TAPS]>,
    /// Which bytes of a load go where: for each tap its channels as 32-bit lanes, or for each two taps theirs as 16-bit lanes.
    order: [[u8; LOAD]; TAPS],
    /// Bytes from four pixels to the next.
    step: usize,
    wide: bool,
    bits: u32,
}

impl Horizontal {
    pub(super) fn new(axis: &AxisWeights, from: Interleaving) -> Self {
        let wide = is_wide(axis);
        let mut spans = Vec::with_capacity(axis.len());
        let mut packed = Vec::new();
        for index in 0..axis.len() {
            let (start, weights) = axis.of(index);
            packed.extend(
                weights
                    .chunks(TAPS)
                    .map(|some| -> [i32; TAPS] { std::array::from_fn(|tap| some.get(tap).copied().unwrap_or(0)) }),
            );
            spans.push(((from.at(start, 0) - from.at(0, 0)) as u32, packed.len() as u32));
        }
        let mut order = [[NONE; LOAD]; TAPS];
        let lane = if wide { 4 } else { 2 };
        for tap in 0..TAPS {
            for channel in 0..3 {
                let at = (tap * 4 + channel) * lane;
                order[at / LOAD][at % LOAD] = from.at(tap, channel) as u8;
            }
        }
        Self { spans, weights: packed, order, step: from.at(TAPS, 0) - from.at(0, 0), wide, bits: axis.bits() }
    }

    /// Bytes that it takes.
    pub(super) fn bytes(&self) -> usize {
        self.spans.capacity() * 8 + self.weights.capacity() * size_of::<[i32; TAPS]>()
    }

    /// As [`super::Horizontal::rows`].
    ///
    /// # Safety
    /// The machine must have the features.
    #[target_feature(enable = "neon")]
    pub(super) unsafe fn rows(&self, input: &[&[u8]], output: &mut [&mut [u8]]) {
        if self.wide {
            self.blocks::<true>(input, output);
        } else {
            self.blocks::<false>(input, output);
        }
    }

    /// All rows, eight or four at once while there are as many.
    #[target_feature(enable = "neon")]
    fn blocks<const WIDE: bool>(&self, mut input: &[&[u8]], mut output: &mut [&mut [u8]]) {
        while !input.is_empty() {
            let count = match input.len() {
                8.. => self.first::<WIDE, 8>(input, output),
                4.. => self.first::<WIDE, 4>(input, output),
                _ => self.first::<WIDE, 1>(input, output),
            };
            (input, output) = (&input[count..], &mut output[count..]);
        }
    }

    /// The first so many rows; returns how many.
    #[target_feature(enable = "neon")]
    fn first<const WIDE: bool, const ROWS: usize>(&self, input: &[&[u8]], output: &mut [&mut [u8]]) -> usize {
        if let (Some(input), Some(output)) = (input.first_chunk(), output.first_chunk_mut()) {
            self.multiply::<WIDE, ROWS>(input, output);
        }
        ROWS
    }

    /// So many rows.
    #[target_feature(enable = "neon")]
    fn multiply<const WIDE: bool, const ROWS: usize>(&self, input: &[&[u8]; ROWS], output: &mut [&mut [u8]; ROWS]) {
        let targets = output.each_mut().map(|row| {
            assert_eq!(row.len(), self.spans.len() * 3, "bytes of a row");
            row.as_mut_ptr()
        });
        // A load of a row that is shorter than one would leave it.
        let mut short = [[0; LOAD]; ROWS];
        let mut sources = [std::ptr::null(); ROWS];
        for ((source, row), short) in sources.iter_mut().zip(input).zip(&mut short) {
            *source = row.as_ptr();
            if row.len() < LOAD {
                short[..row.len()].copy_from_slice(row);
                *source = short.as_ptr();
            }
        }
        let last = input[0].len().max(LOAD) - LOAD;
        let order = self.order.map(|order| load(&order));
        let half = vdupq_n_s32(1 << (self.bits - 1));
        let shift = vdupq_n_s32(-(self.bits as i32));
        let mut from = 0;
        for (pixel, &(begin, end)) in self.spans.iter().enumerate() {
            let mut sums = [half; ROWS];
            let begins = (begin as usize..).step_by(self.step);
            for (weights, begin) in self.weights[from..end as usize].iter().zip(begins) {
                // SAFETY: the array holds four weights.
                let weights = unsafe { vld1q_s32(weights.as_ptr()) };
                // A load that would leave the row begins earlier. Pixels beyond the row, brought as zeros, have no weight.
                let at = begin.min(last);
                let order = if at == begin {
                    order
                } else {
                    let later = vdupq_n_u8((begin - at).min(LOAD) as u8);
                    order.map(|order| vqaddq_u8(order, later))
                };
                for (sum, source) in sums.iter_mut().zip(sources) {
                    // SAFETY: rows are of one length, and a row, or its copy, has 16 bytes from `last` on.
                    let bytes = unsafe { vld1q_u8(source.add(at)) };
                    *sum = add_taps::<WIDE>(*sum, bytes, order, weights);
                }
            }
            from = end as usize;
            let is_last = pixel + 1 == self.spans.len();
            for first in (0..ROWS).step_by(4) {
                let sum = |row: usize| sums[(first + row).min(ROWS - 1)];
                let bytes = to_bytes([sum(0), sum(1), sum(2), sum(3)], shift);
                // SAFETY: both are 16 bytes.
                let pixels: [[u8; 4]; 4] = unsafe { std::mem::transmute(bytes) };
                for (target, bytes) in targets[first..].iter().zip(pixels) {
                    // SAFETY: a target has as many pixels; the next one overwrites the fourth byte.
                    unsafe {
                        let target = target.add(pixel * 3);
                        if is_last {
                            target.copy_from_nonoverlapping(bytes.as_ptr(), 3);
                        } else {
                            target.cast::<[u8; 4]>().write(bytes);
                        }
                    }
                }
            }
        }
    }
}

/// A pixel's sums with four taps more.
#[inline]
#[target_feature(enable = "neon")]
fn add_taps<const WIDE: bool>(
    sum: int32x4_t,
    bytes: uint8x16_t,
    order: [uint8x16_t; TAPS],
    weights: int32x4_t,
) -> int32x4_t {
    if WIDE {
        let tap = |tap: usize| vreinterpretq_s32_u8(vqtbl1q_u8(bytes, order[tap]));
        let sum = vmlaq_laneq_s32::<0>(sum, tap(0), weights);
        let sum = vmlaq_laneq_s32::<1>(sum, tap(1), weights);
        let sum = vmlaq_laneq_s32::<2>(sum, tap(2), weights);
        vmlaq_laneq_s32::<3>(sum, tap(3), weights)
    } else {
        let two = |pair: usize| vreinterpretq_s16_u8(vqtbl1q_u8(bytes, order[pair]));
        let (weights, first, second) = (vmovn_s32(weights), two(0), two(1));
        let sum = vmlal_lane_s16::<0>(sum, vget_low_s16(first), weights);
        let sum = vmlal_high_lane_s16::<1>(sum, first, weights);
        let sum = vmlal_lane_s16::<2>(sum, vget_low_s16(second), weights);
        vmlal_high_lane_s16::<3>(sum, second, weights)
    }
}

#[inline]
#[target_feature(enable = "neon")]
fn load(bytes: &[u8; LOAD]) -> uint8x16_t {
    // SAFETY: the array holds 16 bytes.
    unsafe { vld1q_u8(bytes.as_ptr()) }
}

/// Bytes of an output row that are made at once.
const STEP: usize = 2 * LOAD;

/// Puts four bytes of a load in 32-bit lanes.
const SPREAD: [[u8; LOAD]; 4] = {
    let mut order = [[NONE; LOAD]; 4];
    let mut byte = 0;
    while byte < LOAD {
        order[byte / 4][byte % 4 * 4] = byte as u8;
        byte += 1;
    }
    order
};

/// The vertical pass.
pub(in crate::resample) struct Vertical {
    wide: bool,
    bits: u32,
}

impl Vertical {
    pub(super) fn new(axis: &AxisWeights) -> Self {
        Self { wide: is_wide(axis), bits: axis.bits() }
    }

    /// As [`super::Vertical::row`].
    ///
    /// # Safety
    /// The machine must have the features.
    #[target_feature(enable = "neon")]
    pub(super) unsafe fn row(&self, rows: &[&[u8]], weights: &[i32], output: &mut [u8]) {
        if self.wide {
            vertical::<true>(rows, weights, self.bits, output);
        } else {
            vertical::<false>(rows, weights, self.bits, output);
        }
    }
}

#[target_feature(enable = "neon")]
fn vertical<const WIDE: bool>(rows: &[&[u8]], weights: &[i32], bits: u32, output: &mut [u8]) {
    let half = vdupq_n_s32(1 << (bits - 1));
    let shift = vdupq_n_s32(-(bits as i32));
    let spread = SPREAD.map(|order| load(&order));
    let len = output.len();
    for at in (0..len).step_by(STEP) {
        // The last step makes some bytes again, where a row has enough.
        let at = at.min(len.saturating_sub(STEP));
        let mut sums = [[half; 4]; 2];
        for (row, &weight) in rows.iter().zip(weights) {
            let mut short = [[0; LOAD]; 2];
            let bytes = if let Some(bytes) = row[at..].first_chunk::<STEP>() {
                bytes.as_chunks().0
            } else {
                short.as_flattened_mut()[..row.len()].copy_from_slice(row);
                &short
            };
            for (sums, bytes) in sums.iter_mut().zip(bytes) {
                let bytes = load(bytes);
                if WIDE {
                    for (sum, spread) in sums.iter_mut().zip(spread) {
                        *sum = vmlaq_n_s32(*sum, vreinterpretq_s32_u8(vqtbl1q_u8(bytes, spread)), weight);
                    }
                } else {
                    let weight = weight as i16;
                    let low = vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(bytes)));
                    let high = vreinterpretq_s16_u16(vmovl_high_u8(bytes));
                    sums[0] = vmlal_n_s16(sums[0], vget_low_s16(low), weight);
                    sums[1] = vmlal_high_n_s16(sums[1], low, weight);
                    sums[2] = vmlal_n_s16(sums[2], vget_low_s16(high), weight);
                    sums[3] = vmlal_high_n_s16(sums[3], high, weight);
                }
            }
        }
        let mut made = [[0; LOAD]; 2];
        for (made, sums) in made.iter_mut().zip(sums) {
            // SAFETY: the array holds 16 bytes.
            unsafe { vst1q_u8(made.as_mut_ptr(), to_bytes(sums, shift)) };
        }
        let count = len.min(STEP);
        output[at..at + count].copy_from_slice(&made.as_flattened()[..count]);
    }
}
