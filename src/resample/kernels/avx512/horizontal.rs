//! The horizontal pass.
//!
//! It makes sixteen bytes of a row at once, a byte to a lane, of up to eight rows, so that a vector of
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
    __m512i, _mm_cvtsi32_si128, _mm_mask_storeu_epi8, _mm_storeu_si128, _mm512_castsi512_si128, _mm512_dpbusd_epi32,
    _mm512_extracti32x4_epi32, _mm512_load_si512, _mm512_loadu_si512, _mm512_mask_permutexvar_epi8,
    _mm512_permutexvar_epi8, _mm512_set1_epi32, _mm512_setzero_si512, _mm512_sra_epi32, _mm512_storeu_si512,
};

use super::super::BLOCK;
use super::{join, quad_stride, split, to_bytes};
use crate::resample::AxisWeights;
use crate::source::Interleaving;

/// Bytes of a load.
const LOAD: usize = 64;
/// Output bytes that are made at once.
const LANES: usize = 16;
/// Most pixels that so many output bytes belong to.
const PIXELS: usize = 6;

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
    pub(in crate::resample::kernels) fn new(axis: &AxisWeights, from: Interleaving) -> Self {
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

    /// Bytes that it takes.
    pub(in crate::resample::kernels) fn bytes(&self) -> usize {
        self.taps.capacity() * size_of::<Taps>() + self.ends.capacity() * 4
    }

    /// As [`super::Horizontal::rows`].
    ///
    /// # Safety
    /// The machine must have the features.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")]
    pub(in crate::resample::kernels) unsafe fn rows(&self, input: &[&[u8]], output: &mut [&mut [u8]]) {
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
    pub(in crate::resample::kernels) unsafe fn quads(
        &self,
        input: &[&[u8]],
        quads: &mut [u8],
        stride: usize,
        len: usize,
    ) {
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
