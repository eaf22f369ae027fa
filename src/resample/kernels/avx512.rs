//! AVX-512 with VNNI and VBMI: `vpdpbusd` adds the products of four bytes and four signed weight bytes to a 32-bit lane, and
//! `vpermb` brings the four bytes there.
//!
//! A weight is split into three signed bytes, `w = b2 * 2^16 + b1 * 2^8 + b0` (two where 16 bits are enough), with an
//! accumulator for each; they are put together modulo 2^32, in which the sum itself fits.
//!
//! The horizontal pass makes sixteen bytes of a row at once, a byte to a lane, of up to eight rows, so that a vector of
//! weights is loaded once for all of them:
//!
//! ```text
//!   output bytes:       R0        G0        B0        R1      …  R5        lane 0 … 15
//!   first four taps:  [R R R R] [G G G G] [B B B B] [R R R R] …           bytes of the source row, by one `vpermb`
//!   next four taps:   [R R R R] …                                         until every lane has had its window
//! ```
//!
//! Where the windows of six pixels do not fit the 64 bytes of a load, a load brings the lanes of three, two or one of them.

use std::arch::x86_64::{
    __m512i, _mm_cvtsi32_si128, _mm_mask_storeu_epi8, _mm_storeu_si128, _mm512_add_epi32, _mm512_cvtusepi32_epi8,
    _mm512_dpbusd_epi32, _mm512_load_si512, _mm512_loadu_si512, _mm512_mask_permutexvar_epi8, _mm512_mask_storeu_epi8,
    _mm512_maskz_loadu_epi8, _mm512_max_epi32, _mm512_packs_epi32, _mm512_packus_epi16, _mm512_permutexvar_epi8,
    _mm512_set1_epi32, _mm512_setzero_si512, _mm512_slli_epi32, _mm512_sra_epi32, _mm512_storeu_si512,
    _mm512_unpackhi_epi8, _mm512_unpackhi_epi16, _mm512_unpacklo_epi8, _mm512_unpacklo_epi16,
};

use super::BLOCK;
use crate::resample::AxisWeights;
use crate::source::Interleaving;

/// Bytes of a load.
const LOAD: usize = 64;
/// Output bytes that are made at once.
const LANES: usize = 16;
/// Most pixels that so many output bytes belong to.
const PIXELS: usize = 6;

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

/// Four taps of sixteen output bytes.
#[derive(Clone)]
#[repr(align(64))]
struct Taps {
    /// Which byte of its load each tap is.
    index: [u8; LOAD],
    /// Their weights' bytes, low to high.
    planes: [[i8; LOAD]; 3],
    /// Where each load begins in the row, and the bytes of the vector that it brings.
    loads: [(u32, u64); PIXELS],
}

/// The horizontal pass.
pub(in crate::resample) struct Horizontal {
    /// In the order of output bytes.
    taps: Vec<Taps>,
    /// Per sixteen output bytes, where theirs end.
    ends: Vec<u32>,
    /// Loads of each.
    loads: usize,
    three_planes: bool,
    bits: u32,
}

impl Horizontal {
    pub(super) fn new(axis: &AxisWeights, from: Interleaving) -> Self {
        // The fewest loads, among those with loops of their own, that bring all.
        let counts = [1, 2, 3, PIXELS];
        counts
            .into_iter()
            .find_map(|loads| Self::with_loads(axis, from, loads))
            .expect("a load holds a pixel's four taps")
    }

    /// The pass with so many loads for each vector, if they can bring all bytes.
    fn with_loads(axis: &AxisWeights, from: Interleaving, loads: usize) -> Option<Self> {
        let row_len = from.row_len(axis.input());
        let last_load = row_len.saturating_sub(LOAD);
        let (mut taps, mut ends) = (Vec::new(), Vec::new());
        let bytes = axis.len() * 3;
        for first in (0..bytes).step_by(LANES) {
            let lanes = first..bytes.min(first + LANES);
            let of = |byte: usize| axis.of(byte / 3);
            let count = lanes.clone().map(|byte| of(byte).1.len().div_ceil(4)).max().unwrap_or(1);
            for quad in 0..count {
                let mut one = Taps { index: [0; LOAD], planes: [[0; LOAD]; 3], loads: [(0, 0); PIXELS] };
                // Lanes whose pixels share a load.
                let load_of = |byte: usize| (byte / 3 - first / 3) * loads / PIXELS;
                for load in 0..loads {
                    let lanes = || lanes.clone().filter(|&byte| load_of(byte) == load);
                    // Bytes of the row and weights of a lane's four taps.
                    let taps_of = |byte: usize| {
                        let (start, weights) = of(byte);
                        let taps = weights.iter().enumerate().skip(quad * 4).take(4);
                        taps.map(move |(tap, &weight)| (from.at(start + tap, byte % 3), weight))
                    };
                    let base =
                        lanes().flat_map(|byte| taps_of(byte).map(|(at, _)| at)).min().unwrap_or(0).min(last_load);
                    let mut mask = 0;
                    for byte in lanes() {
                        let lane = (byte - first) * 4;
                        mask |= 0b1111 << lane;
                        for (tap, (at, weight)) in taps_of(byte).enumerate() {
                            one.index[lane + tap] =
                                u8::try_from(at - base).ok().filter(|&at| usize::from(at) < LOAD)?;
                            for (plane, part) in one.planes.iter_mut().zip(split(weight)) {
                                plane[lane + tap] = part;
                            }
                        }
                    }
                    one.loads[load] = (base as u32, mask);
                }
                taps.push(one);
            }
            ends.push(taps.len() as u32);
        }
        let three_planes = taps.iter().any(|taps| taps.planes[2].iter().any(|&byte| byte != 0));
        Some(Self { taps, ends, loads, three_planes, bits: axis.bits() })
    }

    /// As [`super::Horizontal::rows`].
    ///
    /// # Safety
    /// The machine must have the features.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
    pub(super) unsafe fn rows(&self, input: &[&[u8]], output: &mut [&mut [u8]]) {
        // Loads of a row that is shorter than one would leave it.
        let mut short = [[0; LOAD]; BLOCK];
        if input[0].len() < LOAD {
            for (short, row) in short.iter_mut().zip(input) {
                short[..row.len()].copy_from_slice(row);
            }
        }
        let len = output[0].len();
        let source = |row: usize| if input[row].len() < LOAD { short[row].as_ptr() } else { input[row].as_ptr() };
        let mut done = 0;
        while done < input.len() {
            // SAFETY: a source has the length that the loads were made for, or 64; a target has `len`.
            done += unsafe {
                match input.len() - done {
                    8.. => self.some::<8>(|row| (source(done + row), output[done + row].as_mut_ptr()), len),
                    4.. => self.some::<4>(|row| (source(done + row), output[done + row].as_mut_ptr()), len),
                    _ => self.some::<1>(|row| (source(done + row), output[done + row].as_mut_ptr()), len),
                }
            };
        }
    }

    /// So many rows; returns how many.
    ///
    /// # Safety
    /// As of [`Self::multiply`].
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
    unsafe fn some<const ROWS: usize>(&self, rows: impl FnMut(usize) -> (*const u8, *mut u8), len: usize) -> usize {
        let rows: [_; ROWS] = std::array::from_fn(rows);
        // SAFETY: as the caller promises.
        unsafe {
            match (self.loads, self.three_planes) {
                (1, true) => self.multiply::<ROWS, 3, 1>(rows, len),
                (1, false) => self.multiply::<ROWS, 2, 1>(rows, len),
                (2, true) => self.multiply::<ROWS, 3, 2>(rows, len),
                (2, false) => self.multiply::<ROWS, 2, 2>(rows, len),
                (3, true) => self.multiply::<ROWS, 3, 3>(rows, len),
                (3, false) => self.multiply::<ROWS, 2, 3>(rows, len),
                (_, true) => self.multiply::<ROWS, 3, PIXELS>(rows, len),
                (_, false) => self.multiply::<ROWS, 2, PIXELS>(rows, len),
            }
        }
        ROWS
    }

    /// Rows from their sources to their targets.
    ///
    /// # Safety
    /// The machine must have the features; sources must be readable where the loads are, and targets writable for `len` bytes.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
    unsafe fn multiply<const ROWS: usize, const PLANES: usize, const LOADS: usize>(
        &self,
        rows: [(*const u8, *mut u8); ROWS],
        len: usize,
    ) {
        let half = _mm512_set1_epi32(1 << (self.bits - 1));
        let shift = _mm_cvtsi32_si128(self.bits as i32);
        let zero = _mm512_setzero_si512();
        let mut from = 0;
        for (&end, at) in self.ends.iter().zip((0..).step_by(LANES)) {
            let mut sums = [[zero; PLANES]; ROWS];
            for row in &mut sums {
                row[0] = half;
            }
            for taps in &self.taps[from as usize..end as usize] {
                let index = load(&taps.index);
                let weights: [__m512i; PLANES] = std::array::from_fn(|plane| load(&taps.planes[plane]));
                for (sums, (source, _)) in sums.iter_mut().zip(rows) {
                    // SAFETY: a load lies in the row.
                    let brought =
                        |load: usize| unsafe { _mm512_loadu_si512(source.add(taps.loads[load].0 as usize).cast()) };
                    let mut pixels = _mm512_permutexvar_epi8(index, brought(0));
                    for load in 1..LOADS {
                        pixels = _mm512_mask_permutexvar_epi8(pixels, taps.loads[load].1, index, brought(load));
                    }
                    for (sum, weights) in sums.iter_mut().zip(weights) {
                        *sum = _mm512_dpbusd_epi32(*sum, pixels, weights);
                    }
                }
            }
            from = end;
            for (sums, (_, target)) in sums.into_iter().zip(rows) {
                let value = _mm512_max_epi32(_mm512_sra_epi32(join(sums), shift), zero);
                let bytes = _mm512_cvtusepi32_epi8(value);
                // SAFETY: the target has `len` bytes.
                unsafe {
                    let out = target.add(at);
                    if len - at >= LANES {
                        _mm_storeu_si128(out.cast(), bytes);
                    } else {
                        _mm_mask_storeu_epi8(out.cast(), (1 << (len - at)) - 1, bytes);
                    }
                }
            }
        }
    }
}

/// A vector of bytes or weights that lies at a multiple of 64.
#[target_feature(enable = "avx512f")]
fn load<T>(bytes: &[T; LOAD]) -> __m512i {
    const { assert!(size_of::<T>() == 1) };
    // SAFETY: the array holds 64 bytes, and a field of [`Taps`] is aligned.
    unsafe { _mm512_load_si512(bytes.as_ptr().cast()) }
}

/// Planes put together modulo 2^32.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn join<const PLANES: usize>(sums: [__m512i; PLANES]) -> __m512i {
    let low = _mm512_add_epi32(sums[0], _mm512_slli_epi32::<8>(sums[1]));
    if PLANES == 3 { _mm512_add_epi32(low, _mm512_slli_epi32::<16>(sums[2])) } else { low }
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
    pub(super) unsafe fn row(&self, index: usize, rows: &[&[u8]], output: &mut [u8]) {
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
fn vertical<const PLANES: usize>(rows: &[&[u8]], weights: &[[i32; 3]], bits: u32, output: &mut [u8]) {
    let half = _mm512_set1_epi32(1 << (bits - 1));
    let shift = _mm_cvtsi32_si128(bits as i32);
    let zero = _mm512_setzero_si512();
    let last = rows.len() - 1;
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
                let row = rows[(quad * 4 + index).min(last)];
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
