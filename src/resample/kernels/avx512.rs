//! AVX-512 with VNNI: `vpdpbusd` adds the products of four bytes and four signed weight bytes to a 32-bit lane.
//!
//! A weight is split into three signed bytes, `w = b2 * 2^16 + b1 * 2^8 + b0` (two where 16 bits are enough), with an
//! accumulator for each; they are put together modulo 2^32, in which the sum itself fits.
//!
//! The horizontal pass works on 16 rows at once, a row to a lane:
//!
//! ```text
//!   source, one row:   R0 G0 B0 R1 G1 B1 R2 G2 B2 R3 G3 B3 | next quad …
//!   gathered, quad q:  R: [row 0: R0 R1 R2 R3][row 1: R0 R1 R2 R3] … [row 15]     64 bytes, then G, then B
//!   columns:           per output pixel and channel 16 bytes, one per row; transposed back at the end
//! ```

use std::arch::x86_64::{
    __m128i, __m512i, _mm_cvtsi32_si128, _mm_loadu_si128, _mm_setr_epi8, _mm_storeu_si128, _mm512_add_epi32,
    _mm512_broadcast_i32x4, _mm512_castsi128_si512, _mm512_cvtusepi32_epi8, _mm512_dpbusd_epi32, _mm512_inserti32x4,
    _mm512_loadu_si512, _mm512_mask_storeu_epi8, _mm512_maskz_loadu_epi8, _mm512_max_epi32, _mm512_packs_epi32,
    _mm512_packus_epi16, _mm512_set1_epi32, _mm512_setzero_si512, _mm512_shuffle_epi8, _mm512_slli_epi32,
    _mm512_sra_epi32, _mm512_storeu_si512, _mm512_unpackhi_epi8, _mm512_unpackhi_epi16, _mm512_unpackhi_epi32,
    _mm512_unpackhi_epi64, _mm512_unpacklo_epi8, _mm512_unpacklo_epi16, _mm512_unpacklo_epi32, _mm512_unpacklo_epi64,
};

use super::{BLOCK, KernelScratch, Rows};
use crate::resample::AxisWeights;

/// Bytes of one gathered quad: three channels of 16 rows of four pixels.
const QUAD: usize = 3 * 64;

/// A weight's three bytes, low to high.
fn split(weight: i32) -> [i8; 3] {
    let low = weight as i8;
    let rest = (weight - i32::from(low)) >> 8;
    let middle = rest as i8;
    [low, middle, ((rest - i32::from(middle)) >> 8) as i8]
}

/// The bytes of up to four weights, each plane as one 32-bit lane.
fn planes(weights: &[i32], first: usize) -> [i32; 3] {
    let mut lanes = [[0u8; 4]; 3];
    for (index, &weight) in weights.iter().enumerate() {
        for (plane, byte) in lanes.iter_mut().zip(split(weight)) {
            plane[first + index] = byte as u8;
        }
    }
    lanes.map(i32::from_le_bytes)
}

/// The horizontal pass: weights in whole quads of source pixels.
pub(in crate::resample) struct Horizontal {
    /// Per output pixel: its first quad, and where its weights end in `weights`.
    spans: Vec<(u32, u32)>,
    /// Per quad of an output pixel, the bytes of its four weights.
    weights: Vec<[i32; 3]>,
    /// First and one past the last quad that is read.
    quads: (usize, usize),
    three_planes: bool,
    bits: u32,
}

impl Horizontal {
    pub(super) fn new(axis: &AxisWeights) -> Self {
        let mut spans = Vec::with_capacity(axis.len());
        let mut packed = Vec::new();
        let mut quads = (usize::MAX, 0);
        for index in 0..axis.len() {
            let (start, weights) = axis.of(index);
            let (first, lead) = (start / 4, start % 4);
            let (head, tail) = weights.split_at(weights.len().min(4 - lead));
            packed.push(planes(head, lead));
            packed.extend(tail.chunks(4).map(|quad| planes(quad, 0)));
            spans.push((first as u32, packed.len() as u32));
            quads = (quads.0.min(first), quads.1.max(first + 1 + tail.len().div_ceil(4)));
        }
        let three_planes = packed.iter().any(|planes: &[i32; 3]| planes[2] != 0);
        Self { spans, weights: packed, quads, three_planes, bits: axis.bits() }
    }

    /// As [`super::Horizontal::rows`].
    ///
    /// # Safety
    /// The machine must have the features.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    pub(super) unsafe fn rows(
        &self,
        input: Rows<'_>,
        output: &mut [u8],
        starts: &[usize],
        len: usize,
        scratch: &mut KernelScratch,
    ) {
        let (first, last) = self.quads;
        let KernelScratch { gathered, columns, .. } = scratch;
        gathered.resize((last - first) * QUAD, 0);
        // Room for the transposition's last, partial step.
        columns.resize(len.next_multiple_of(64) * BLOCK, 0);
        gather(input, first..last, gathered);
        if self.three_planes {
            self.multiply::<3>(gathered, columns);
        } else {
            self.multiply::<2>(gathered, columns);
        }
        transpose(columns, output, starts, len);
    }

    /// From gathered quads to columns of 16 rows.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    fn multiply<const PLANES: usize>(&self, gathered: &[u8], columns: &mut [u8]) {
        let half = _mm512_set1_epi32(1 << (self.bits - 1));
        let shift = _mm_cvtsi32_si128(self.bits as i32);
        let zero = _mm512_setzero_si512();
        let mut from = 0;
        for (&(quad, end), out) in self.spans.iter().zip(columns.chunks_exact_mut(3 * BLOCK)) {
            let weights = &self.weights[from..end as usize];
            from = end as usize;
            let start = (quad as usize - self.quads.0) * QUAD;
            let pixels = gathered[start..start + weights.len() * QUAD].chunks_exact(QUAD);
            let mut sums = [[zero; PLANES]; 3];
            for channel in &mut sums {
                channel[0] = half;
            }
            for (weights, pixels) in weights.iter().zip(pixels) {
                let weights: [__m512i; PLANES] = std::array::from_fn(|plane| _mm512_set1_epi32(weights[plane]));
                for (sums, pixels) in sums.iter_mut().zip(pixels.chunks_exact(64)) {
                    let pixels = load(pixels);
                    for (sum, weights) in sums.iter_mut().zip(weights) {
                        *sum = _mm512_dpbusd_epi32(*sum, pixels, weights);
                    }
                }
            }
            for (sums, out) in sums.into_iter().zip(out.chunks_exact_mut(BLOCK)) {
                let value = _mm512_max_epi32(_mm512_sra_epi32(join(sums), shift), zero);
                let bytes = _mm512_cvtusepi32_epi8(value);
                // SAFETY: `out` holds 16 bytes.
                unsafe { _mm_storeu_si128(out.as_mut_ptr().cast(), bytes) };
            }
        }
    }
}

/// Planes put together modulo 2^32.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn join<const PLANES: usize>(sums: [__m512i; PLANES]) -> __m512i {
    let low = _mm512_add_epi32(sums[0], _mm512_slli_epi32::<8>(sums[1]));
    if PLANES == 3 { _mm512_add_epi32(low, _mm512_slli_epi32::<16>(sums[2])) } else { low }
}

#[target_feature(enable = "avx512f")]
fn load(bytes: &[u8]) -> __m512i {
    debug_assert!(bytes.len() >= 64);
    // SAFETY: all callers pass 64 bytes.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

/// Stores the bytes of `mask`. Masked stores are several times slower, and only a row's end needs one.
///
/// # Safety
/// The bytes of the mask must be writable.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn store(out: *mut u8, mask: u64, bytes: __m512i) {
    // SAFETY: as the caller promises.
    unsafe {
        if mask == u64::MAX {
            _mm512_storeu_si512(out.cast(), bytes);
        } else {
            _mm512_mask_storeu_epi8(out.cast(), mask, bytes);
        }
    }
}

/// From rows of packed RGB to quads of 16 rows; missing rows repeat the last.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn gather(input: Rows<'_>, quads: std::ops::Range<usize>, gathered: &mut [u8]) {
    // R0 G0 B0 R1 … -> R0 R1 R2 R3 G0 G1 G2 G3 B0 B1 B2 B3 in each 128-bit lane.
    let by_channel = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11, -1, -1, -1, -1));
    let rows: [&[u8]; BLOCK] = std::array::from_fn(|row| input.row(row.min(input.count() - 1)));
    // Whole 16-byte loads stay within a row up to here.
    let whole = (input.len.saturating_sub(4) / 12).clamp(quads.start, quads.end);
    let first = quads.start;
    let mut store = |quad: usize, lanes: [__m512i; 4]| {
        let lanes = lanes.map(|lane| _mm512_shuffle_epi8(lane, by_channel));
        let (low01, high01) = (_mm512_unpacklo_epi32(lanes[0], lanes[1]), _mm512_unpackhi_epi32(lanes[0], lanes[1]));
        let (low23, high23) = (_mm512_unpacklo_epi32(lanes[2], lanes[3]), _mm512_unpackhi_epi32(lanes[2], lanes[3]));
        let channels = [
            _mm512_unpacklo_epi64(low01, low23),
            _mm512_unpackhi_epi64(low01, low23),
            _mm512_unpacklo_epi64(high01, high23),
        ];
        let out = &mut gathered[(quad - first) * QUAD..][..QUAD];
        for (channel, out) in channels.into_iter().zip(out.chunks_exact_mut(64)) {
            // SAFETY: `out` holds 64 bytes.
            unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), channel) };
        }
    };
    for quad in quads.start..whole {
        // Lane i of vector g is row 4 i + g, so that the 4 x 4 transposition above leaves rows in order.
        // SAFETY: `12 * quad + 16 <= len` below `whole`.
        let at = |row: usize| unsafe { _mm_loadu_si128(rows[row].as_ptr().add(quad * 12).cast()) };
        store(quad, std::array::from_fn(|g| four_lanes([at(g), at(4 + g), at(8 + g), at(12 + g)])));
    }
    for quad in whole..quads.end {
        let mut tails = [[0u8; 16]; BLOCK];
        for (tail, row) in tails.iter_mut().zip(rows) {
            let row = &row[(quad * 12).min(row.len())..];
            let count = row.len().min(12);
            tail[..count].copy_from_slice(&row[..count]);
        }
        // SAFETY: a tail holds 16 bytes.
        let at = |row: usize| unsafe { _mm_loadu_si128(tails[row].as_ptr().cast()) };
        store(quad, std::array::from_fn(|g| four_lanes([at(g), at(4 + g), at(8 + g), at(12 + g)])));
    }
}

#[target_feature(enable = "avx512f")]
fn four_lanes(lanes: [__m128i; 4]) -> __m512i {
    let vector = _mm512_inserti32x4::<1>(_mm512_castsi128_si512(lanes[0]), lanes[1]);
    _mm512_inserti32x4::<3>(_mm512_inserti32x4::<2>(vector, lanes[2]), lanes[3])
}

/// From columns of 16 rows to rows: 64 columns a step, as four 16 x 16 transpositions side by side.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn transpose(columns: &[u8], output: &mut [u8], starts: &[usize], len: usize) {
    for (step, columns) in columns.chunks_exact(64 * BLOCK).enumerate() {
        let at = step * 64;
        if at >= len {
            break;
        }
        let mask = if len - at >= 64 { u64::MAX } else { (1u64 << (len - at)) - 1 };
        // SAFETY: the step holds 64 columns of 16 bytes.
        let column = |index: usize| unsafe { _mm_loadu_si128(columns.as_ptr().add(index * BLOCK).cast()) };
        let mut a: [__m512i; 16] =
            std::array::from_fn(|i| four_lanes([column(i), column(16 + i), column(32 + i), column(48 + i)]));
        // Each round interleaves vector i with vector i + 8; four rounds transpose.
        for _ in 0..4 {
            a = std::array::from_fn(|i| {
                if i % 2 == 0 {
                    _mm512_unpacklo_epi8(a[i / 2], a[i / 2 + 8])
                } else {
                    _mm512_unpackhi_epi8(a[i / 2], a[i / 2 + 8])
                }
            });
        }
        for (&start, vector) in starts.iter().zip(a) {
            // SAFETY: the mask ends at `len`, and `start + len` lies in `output` (checked by the caller).
            unsafe { store(output.as_mut_ptr().add(start + at), mask, vector) };
        }
    }
}

/// The vertical pass: weights in quads of rows.
pub(in crate::resample) struct Vertical {
    /// Per output row: where its quads end in `weights`.
    ends: Vec<u32>,
    /// Per quad of an output row, the bytes of its four weights.
    weights: Vec<[i32; 3]>,
    three_planes: bool,
    bits: u32,
}

impl Vertical {
    pub(super) fn new(axis: &AxisWeights) -> Self {
        let mut ends = Vec::with_capacity(axis.len());
        let mut packed = Vec::new();
        for index in 0..axis.len() {
            packed.extend(axis.of(index).1.chunks(4).map(|quad| planes(quad, 0)));
            ends.push(packed.len() as u32);
        }
        let three_planes = packed.iter().any(|planes: &[i32; 3]| planes[2] != 0);
        Self { ends, weights: packed, three_planes, bits: axis.bits() }
    }

    /// As [`super::Vertical::row`].
    ///
    /// # Safety
    /// The machine must have the features.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    pub(super) unsafe fn row(&self, index: usize, rows: Rows<'_>, output: &mut [u8]) {
        let first = if index == 0 { 0 } else { self.ends[index - 1] as usize };
        let weights = &self.weights[first..self.ends[index] as usize];
        if self.three_planes {
            vertical::<3>(rows, weights, self.bits, output);
        } else {
            vertical::<2>(rows, weights, self.bits, output);
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn vertical<const PLANES: usize>(rows: Rows<'_>, weights: &[[i32; 3]], bits: u32, output: &mut [u8]) {
    let half = _mm512_set1_epi32(1 << (bits - 1));
    let shift = _mm_cvtsi32_si128(bits as i32);
    let zero = _mm512_setzero_si512();
    let last = rows.count() - 1;
    let mut at = 0;
    while at < output.len() {
        let count = (output.len() - at).min(64);
        let mask = if count == 64 { u64::MAX } else { (1u64 << count) - 1 };
        let mut sums = [[zero; PLANES]; 4];
        for part in &mut sums {
            part[0] = half;
        }
        for (quad, lanes) in weights.iter().enumerate() {
            // SAFETY: the mask ends at the rows' length; a missing row has weight zero and repeats another.
            let row = |index: usize| unsafe {
                let row = rows.row((quad * 4 + index).min(last));
                _mm512_maskz_loadu_epi8(mask, row.as_ptr().add(at).cast())
            };
            let weights: [__m512i; PLANES] = std::array::from_fn(|plane| _mm512_set1_epi32(lanes[plane]));
            let (a, b, c, d) = (row(0), row(1), row(2), row(3));
            let (low_ab, high_ab) = (_mm512_unpacklo_epi8(a, b), _mm512_unpackhi_epi8(a, b));
            let (low_cd, high_cd) = (_mm512_unpacklo_epi8(c, d), _mm512_unpackhi_epi8(c, d));
            let parts = [
                _mm512_unpacklo_epi16(low_ab, low_cd),
                _mm512_unpackhi_epi16(low_ab, low_cd),
                _mm512_unpacklo_epi16(high_ab, high_cd),
                _mm512_unpackhi_epi16(high_ab, high_cd),
            ];
            for (sums, part) in sums.iter_mut().zip(parts) {
                for (sum, weights) in sums.iter_mut().zip(weights) {
                    *sum = _mm512_dpbusd_epi32(*sum, part, weights);
                }
            }
        }
        // The packs undo the lane order of the unpacks, and saturate as the clamp does.
        let values = sums.map(|sums| _mm512_sra_epi32(join(sums), shift));
        let bytes =
            _mm512_packus_epi16(_mm512_packs_epi32(values[0], values[1]), _mm512_packs_epi32(values[2], values[3]));
        // SAFETY: the mask ends at the output's length.
        unsafe { store(output.as_mut_ptr().add(at), mask, bytes) };
        at += 64;
    }
}
