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
    __m512i, _mm_cvtsi32_si128, _mm_mask_storeu_epi8, _mm_storeu_si128, _mm512_add_epi32, _mm512_castsi512_si128,
    _mm512_dpbusd_epi32, _mm512_extracti32x4_epi32, _mm512_load_si512, _mm512_loadu_si512,
    _mm512_mask_permutexvar_epi8, _mm512_mask_storeu_epi8, _mm512_maskz_loadu_epi8, _mm512_packs_epi32,
    _mm512_packus_epi16, _mm512_permutexvar_epi8, _mm512_permutexvar_epi32, _mm512_set1_epi32, _mm512_setr_epi32,
    _mm512_setzero_si512, _mm512_slli_epi32, _mm512_sra_epi32, _mm512_storeu_si512, _mm512_unpackhi_epi8,
    _mm512_unpackhi_epi16, _mm512_unpacklo_epi8, _mm512_unpacklo_epi16,
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
    /// Bytes of a row that is read, and of one that is made.
    lens: (usize, usize),
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
        Some(Self { taps, ends, loads, three_planes, bits: axis.bits(), lens: (row_len, bytes) })
    }

    /// As [`super::Horizontal::rows`].
    ///
    /// # Safety
    /// The machine must have the features.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
    pub(super) unsafe fn rows(&self, input: &[&[u8]], output: &mut [&mut [u8]]) {
        let len = output[0].len();
        let mut targets = [std::ptr::null_mut(); BLOCK];
        for (index, target) in targets.iter_mut().enumerate() {
            // What is made twice is written twice.
            *target = output[index.min(input.len() - 1)].as_mut_ptr();
        }
        // SAFETY: each target is a row of `len` bytes.
        unsafe { self.run::<Rows>(input, &targets, len) };
    }

    /// Up to [`BLOCK`] rows to quads of rows, each of `stride` bytes.
    ///
    /// # Safety
    /// The machine must have the features.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
    pub(super) unsafe fn quads(&self, input: &[&[u8]], quads: &mut [u8], stride: usize, len: usize) {
        assert!(quads.len() >= input.len().div_ceil(4) * stride && stride >= quad_stride(len), "{len}");
        let start = quads.as_mut_ptr();
        let mut targets = [start; BLOCK];
        for (index, target) in targets.iter_mut().enumerate() {
            *target = start.wrapping_add(index.min(input.len() - 1) / 4 * stride);
        }
        // SAFETY: each target is a quad of rows of `len` bytes.
        unsafe { self.run::<Quads>(input, &targets, len) };
    }

    /// All rows, eight or four at once. What is missing there repeats the last row.
    ///
    /// # Safety
    /// The machine must have the features; a target must be what its kind says.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
    unsafe fn run<T: Target>(&self, input: &[&[u8]], targets: &[*mut u8; BLOCK], len: usize) {
        assert!((input[0].len(), len) == self.lens, "rows of {} and {len} bytes for {:?}", input[0].len(), self.lens);
        // Loads of a row that is shorter than one would leave it.
        let mut short = [[0; LOAD]; BLOCK];
        let mut sources = [std::ptr::null(); BLOCK];
        for (index, (source, short)) in sources.iter_mut().zip(&mut short).enumerate() {
            let row = input[index.min(input.len() - 1)];
            *source = row.as_ptr();
            if row.len() < LOAD {
                short[..row.len()].copy_from_slice(row);
                *source = short.as_ptr();
            }
        }
        let mut done = 0;
        while done < input.len() {
            // SAFETY: a source has the length that the loads were made for, or 64.
            done += unsafe {
                if input.len() - done > 4 {
                    self.some::<T, 8>(&sources[done..], &targets[done..], len)
                } else {
                    self.some::<T, 4>(&sources[done..], &targets[done..], len)
                }
            };
        }
    }

    /// So many rows; returns how many.
    ///
    /// # Safety
    /// As of [`Self::multiply`].
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
    unsafe fn some<T: Target, const ROWS: usize>(&self, from: &[*const u8], to: &[*mut u8], len: usize) -> usize {
        let (from, to) = (std::array::from_fn(|row| from[row]), std::array::from_fn(|row| to[row]));
        // SAFETY: as the caller promises.
        unsafe {
            match (self.loads, self.three_planes) {
                (1, true) => self.multiply::<T, ROWS, 3, 1>(from, to, len),
                (1, false) => self.multiply::<T, ROWS, 2, 1>(from, to, len),
                (2, true) => self.multiply::<T, ROWS, 3, 2>(from, to, len),
                (2, false) => self.multiply::<T, ROWS, 2, 2>(from, to, len),
                (3, true) => self.multiply::<T, ROWS, 3, 3>(from, to, len),
                (3, false) => self.multiply::<T, ROWS, 2, 3>(from, to, len),
                (_, true) => self.multiply::<T, ROWS, 3, PIXELS>(from, to, len),
                (_, false) => self.multiply::<T, ROWS, 2, PIXELS>(from, to, len),
            }
        }
        ROWS
    }

    /// Rows from their sources to their targets.
    ///
    /// # Safety
    /// The machine must have the features; sources must be readable where the loads are, and targets be what their kind says.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
    unsafe fn multiply<T: Target, const ROWS: usize, const PLANES: usize, const LOADS: usize>(
        &self,
        sources: [*const u8; ROWS],
        targets: [*mut u8; ROWS],
        len: usize,
    ) {
        let half = _mm512_set1_epi32(1 << (self.bits - 1));
        let shift = _mm_cvtsi32_si128(self.bits as i32);
        let zero = _mm512_setzero_si512();
        let order = load(&T::ORDER.0);
        let mut from = 0;
        for (&end, at) in self.ends.iter().zip((0..).step_by(LANES)) {
            let mut sums = [[zero; PLANES]; ROWS];
            for row in &mut sums {
                row[0] = half;
            }
            for taps in &self.taps[from as usize..end as usize] {
                let index = load(&taps.index);
                let weights: [__m512i; PLANES] = std::array::from_fn(|plane| load(&taps.planes[plane]));
                for (sums, source) in sums.iter_mut().zip(sources) {
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
            for (sums, targets) in sums.as_chunks::<4>().0.iter().zip(targets.as_chunks().0) {
                let bytes =
                    _mm512_permutexvar_epi8(order, to_bytes(sums.map(|sums| _mm512_sra_epi32(join(sums), shift))));
                // SAFETY: as the caller promises.
                unsafe { T::store(targets, at, len, bytes) };
            }
        }
    }
}

/// Bytes of a quad of rows: 64 columns more than begun.
pub(super) const fn quad_stride(len: usize) -> usize {
    len.next_multiple_of(64) * 4
}

/// Four vectors of numbers as bytes that saturate; each 128-bit lane holds four numbers of every vector.
#[target_feature(enable = "avx512f,avx512bw")]
fn to_bytes(values: [__m512i; 4]) -> __m512i {
    // A value lies within 16 bits: weights sum to one, and no filter overshoots by a multiple.
    _mm512_packus_epi16(_mm512_packs_epi32(values[0], values[1]), _mm512_packs_epi32(values[2], values[3]))
}

/// An order of bytes for `vpermb`.
#[repr(align(64))]
struct Order([u8; LOAD]);

impl Order {
    /// Puts the byte of column `column` and row `row`, as [`to_bytes`] leaves it, where `place` says.
    const fn new(rows: bool) -> Self {
        let mut order = [0; LOAD];
        let mut at = 0;
        while at < LOAD {
            let (row, column) = if rows { (at / LANES, at % LANES) } else { (at % 4, at / 4) };
            order[at] = (column / 4 * 16 + row * 4 + column % 4) as u8;
            at += 1;
        }
        Self(order)
    }
}

/// Where sixteen columns of four rows go.
trait Target {
    const ORDER: Order;

    /// Stores bytes in this kind's order as columns from `at` on of rows of `len` bytes.
    ///
    /// # Safety
    /// The machine must have the features, and `targets` must be rows, or quads of them, of this length.
    unsafe fn store(targets: &[*mut u8; 4], at: usize, len: usize, bytes: __m512i);
}

/// Four rows.
struct Rows;

impl Target for Rows {
    const ORDER: Order = Order::new(true);

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    unsafe fn store(targets: &[*mut u8; 4], at: usize, len: usize, bytes: __m512i) {
        let rows = [
            _mm512_castsi512_si128(bytes),
            _mm512_extracti32x4_epi32::<1>(bytes),
            _mm512_extracti32x4_epi32::<2>(bytes),
            _mm512_extracti32x4_epi32::<3>(bytes),
        ];
        for (target, bytes) in targets.iter().zip(rows) {
            // SAFETY: the mask ends with the row, and so do whole vectors.
            unsafe {
                if len - at >= LANES {
                    _mm_storeu_si128(target.add(at).cast(), bytes);
                } else {
                    _mm_mask_storeu_epi8(target.add(at).cast(), (1 << (len - at)) - 1, bytes);
                }
            }
        }
    }
}

/// One quad: the four rows' bytes of a column, then the next column's.
struct Quads;

impl Target for Quads {
    const ORDER: Order = Order::new(false);

    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn store(targets: &[*mut u8; 4], at: usize, _: usize, bytes: __m512i) {
        // SAFETY: a quad has room for whole vectors.
        unsafe { _mm512_storeu_si512(targets[0].add(at * 4).cast(), bytes) };
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

/// The vertical pass.
pub(in crate::resample) struct Vertical {
    /// Quads from the window's first row on.
    rows: Quadruples,
    /// Quads from a multiple of four on.
    aligned: Quadruples,
    bits: u32,
}

/// Weights of output rows, four input rows at once.
#[derive(Default)]
struct Quadruples {
    /// Per output row: where its weights end.
    ends: Vec<u32>,
    /// Bytes of four weights.
    weights: Vec<[i32; 3]>,
    three_planes: bool,
}

impl Quadruples {
    fn push(&mut self, weights: &[i32], lead: usize) {
        let (head, tail) = weights.split_at(weights.len().min(4 - lead));
        self.weights.push(planes(head, lead));
        self.weights.extend(tail.chunks(4).map(|quad| planes(quad, 0)));
        self.ends.push(self.weights.len() as u32);
        self.three_planes |= weights.iter().any(|&weight| split(weight)[2] != 0);
    }

    fn of(&self, index: usize) -> &[[i32; 3]] {
        let first = if index == 0 { 0 } else { self.ends[index - 1] as usize };
        &self.weights[first..self.ends[index] as usize]
    }
}

impl Vertical {
    pub(super) fn new(axis: &AxisWeights) -> Self {
        let (mut rows, mut aligned) = (Quadruples::default(), Quadruples::default());
        for index in 0..axis.len() {
            let (start, weights) = axis.of(index);
            rows.push(weights, 0);
            aligned.push(weights, start % 4);
        }
        Self { rows, aligned, bits: axis.bits() }
    }

    /// As [`super::Vertical::row`].
    ///
    /// # Safety
    /// The machine must have the features.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    pub(super) unsafe fn row(&self, index: usize, rows: &[&[u8]], output: &mut [u8]) {
        if self.rows.three_planes {
            of_rows::<3>(rows, self.rows.of(index), self.bits, output);
        } else {
            of_rows::<2>(rows, self.rows.of(index), self.bits, output);
        }
    }

    /// The output row at `index` from quads of rows, of which `first` is that of the window's first row, in a ring of them.
    ///
    /// # Safety
    /// The machine must have the features.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    pub(super) unsafe fn row_of_quads(&self, index: usize, ring: &[u8], first: usize, stride: usize, out: &mut [u8]) {
        assert!(stride >= quad_stride(out.len()) && ring.len().is_multiple_of(stride), "{stride}");
        if self.aligned.three_planes {
            of_quads::<3>(ring, first, stride, self.aligned.of(index), self.bits, out);
        } else {
            of_quads::<2>(ring, first, stride, self.aligned.of(index), self.bits, out);
        }
    }
}

/// From packed rows: interleaved four at a time.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn of_rows<const PLANES: usize>(rows: &[&[u8]], weights: &[[i32; 3]], bits: u32, output: &mut [u8]) {
    let half = _mm512_set1_epi32(1 << (bits - 1));
    let shift = _mm_cvtsi32_si128(bits as i32);
    let zero = _mm512_setzero_si512();
    let mut at = 0;
    while at < output.len() {
        let count = (output.len() - at).min(64);
        let mask = if count == 64 { u64::MAX } else { (1u64 << count) - 1 };
        let mut sums = [[zero; PLANES]; 4];
        for part in &mut sums {
            part[0] = half;
        }
        for (rows, lanes) in rows.chunks(4).zip(weights) {
            let row = |index: usize| {
                // A missing row has weight zero and repeats another.
                let row = rows.get(index).unwrap_or(&rows[0]).as_ptr();
                // SAFETY: the mask ends at the rows' length, and so do whole vectors.
                unsafe {
                    if mask == u64::MAX {
                        _mm512_loadu_si512(row.add(at).cast())
                    } else {
                        _mm512_maskz_loadu_epi8(mask, row.add(at).cast())
                    }
                }
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
        // The packs undo the lane order of the unpacks.
        let bytes = to_bytes(sums.map(|sums| _mm512_sra_epi32(join(sums), shift)));
        // SAFETY: the mask ends at the output's length.
        unsafe { store(output.as_mut_ptr().add(at), mask, bytes) };
        at += 64;
    }
}

/// From quads of rows.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn of_quads<const PLANES: usize>(
    ring: &[u8],
    first: usize,
    stride: usize,
    weights: &[[i32; 3]],
    bits: u32,
    output: &mut [u8],
) {
    let half = _mm512_set1_epi32(1 << (bits - 1));
    let shift = _mm_cvtsi32_si128(bits as i32);
    let zero = _mm512_setzero_si512();
    // Each 128-bit lane holds four columns of each of four vectors.
    let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    let count = ring.len() / stride;
    let mut at = 0;
    while at < output.len() {
        let mut sums = [[zero; PLANES]; 4];
        for part in &mut sums {
            part[0] = half;
        }
        let mut quad = first % count;
        for lanes in weights {
            let columns = &ring[quad * stride + at * 4..][..256];
            let weights: [__m512i; PLANES] = std::array::from_fn(|plane| _mm512_set1_epi32(lanes[plane]));
            for (sums, part) in sums.iter_mut().zip(columns.as_chunks::<64>().0) {
                // SAFETY: the chunk holds 64 bytes.
                let part = unsafe { _mm512_loadu_si512(part.as_ptr().cast()) };
                for (sum, weights) in sums.iter_mut().zip(weights) {
                    *sum = _mm512_dpbusd_epi32(*sum, part, weights);
                }
            }
            quad = if quad + 1 == count { 0 } else { quad + 1 };
        }
        let bytes = to_bytes(sums.map(|sums| _mm512_sra_epi32(join(sums), shift)));
        let bytes = _mm512_permutexvar_epi32(order, bytes);
        let left = output.len() - at;
        let mask = if left >= 64 { u64::MAX } else { (1u64 << left) - 1 };
        // SAFETY: the mask ends at the output's length.
        unsafe { store(output.as_mut_ptr().add(at), mask, bytes) };
        at += 64;
    }
}
