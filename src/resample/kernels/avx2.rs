//! AVX2: `pmaddwd` adds the products of two pairs of 16-bit numbers to a 32-bit lane.
//!
//! A 22-bit weight is split into two signed 16-bit halves, `w = high * 2^12 + low`, with an accumulator for each, put
//! together modulo 2^32; 16-bit weights need one. The horizontal pass works on a block of 16 rows at once, a row to a lane of
//! two vectors.

use std::arch::x86_64::{
    __m128i, __m256i, _mm_cvtsi32_si128, _mm_loadu_si128, _mm_setr_epi8, _mm_storeh_pd, _mm_storel_epi64,
    _mm256_add_epi32, _mm256_broadcastsi128_si256, _mm256_castpd256_pd128, _mm256_castsi256_pd, _mm256_castsi256_si128,
    _mm256_extracti128_si256, _mm256_loadu_si256, _mm256_madd_epi16, _mm256_packs_epi32, _mm256_packus_epi16,
    _mm256_permutevar8x32_epi32, _mm256_set_m128i, _mm256_set1_epi32, _mm256_setr_epi32, _mm256_setzero_si256,
    _mm256_shuffle_epi8, _mm256_slli_epi32, _mm256_sra_epi32, _mm256_storeu_si256, _mm256_unpackhi_epi8,
    _mm256_unpackhi_epi32, _mm256_unpackhi_epi64, _mm256_unpacklo_epi8, _mm256_unpacklo_epi32, _mm256_unpacklo_epi64,
};

use super::{BLOCK, KernelScratch};
use crate::resample::AxisWeights;
use crate::source::Interleaving;

/// Rows in a vector.
const LANES: usize = 8;
/// Vectors of a block's rows.
const PARTS: usize = BLOCK / LANES;
/// Bytes of one gathered pair of pixels: per part of the rows three channels of 8 rows, 16 bits each.
const PAIR: usize = PARTS * 3 * 32;
/// Bits of the low half of a weight.
const LOW_BITS: u32 = 12;

/// Two weights as one 32-bit lane per plane: the whole weights, or low then high halves.
fn pair(first: i32, second: i32, two_planes: bool) -> [i32; 2] {
    let join = |a: i32, b: i32| (a & 0xffff) | (b << 16);
    if !two_planes {
        return [join(first, second), 0];
    }
    let low = |weight: i32| (weight << (32 - LOW_BITS)) >> (32 - LOW_BITS);
    let high = |weight: i32| (weight - low(weight)) >> LOW_BITS;
    [join(low(first), low(second)), join(high(first), high(second))]
}

/// Whether some weight does not fit 16 bits.
fn needs_two_planes(axis: &AxisWeights) -> bool {
    (0..axis.len()).any(|index| axis.of(index).1.iter().any(|&weight| i16::try_from(weight).is_err()))
}

/// Output pixels that are made at once, so that what lies between the steps stays in the first-level cache.
const STRIP: usize = 32;

/// The horizontal pass: weights in whole pairs of source pixels.
pub(in crate::resample) struct Horizontal {
    /// Per output pixel: its first pair, and where its weights end in `weights`.
    spans: Vec<(u32, u32)>,
    /// Per pair of an output pixel, its weights.
    weights: Vec<[i32; 2]>,
    from: Interleaving,
    two_planes: bool,
    bits: u32,
}

impl Horizontal {
    pub(super) fn new(axis: &AxisWeights, from: Interleaving) -> Self {
        let two_planes = needs_two_planes(axis);
        let mut spans = Vec::with_capacity(axis.len());
        let mut packed = Vec::new();
        for index in 0..axis.len() {
            let (start, weights) = axis.of(index);
            let (first, lead) = (start / 2, start % 2);
            let count = (lead + weights.len()).div_ceil(2).max(1);
            for index in 0..count {
                let weight = |at: usize| (index * 2 + at).checked_sub(lead).and_then(|at| weights.get(at)).copied();
                let weight = |at: usize| weight(at).unwrap_or(0);
                packed.push(pair(weight(0), weight(1), two_planes));
            }
            spans.push((first as u32, packed.len() as u32));
        }
        Self { spans, weights: packed, from, two_planes, bits: axis.bits() }
    }

    /// Bytes that it takes.
    pub(super) fn bytes(&self) -> usize {
        (self.spans.capacity() + self.weights.capacity()) * 8
    }

    /// As [`super::Horizontal::rows`].
    ///
    /// # Safety
    /// The machine must have the features.
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn rows(&self, input: &[&[u8]], output: &mut [&mut [u8]], scratch: &mut KernelScratch) {
        let KernelScratch { gathered, columns, .. } = scratch;
        columns.resize(STRIP * 3 * BLOCK, 0);
        let mut from = 0;
        for (strip, spans) in self.spans.chunks(STRIP).enumerate() {
            let weights = &self.weights[from..spans[spans.len() - 1].1 as usize];
            // Windows need not begin or end in order at an image's edges.
            let count =
                |index: usize| spans[index].1 as usize - if index == 0 { from } else { spans[index - 1].1 as usize };
            let first = spans.iter().map(|span| span.0 as usize).min().unwrap_or(0);
            let last = (0..spans.len()).map(|index| spans[index].0 as usize + count(index)).max().unwrap_or(0);
            // Pixels are gathered four at a time.
            let quads = first / 2..last.div_ceil(2);
            gathered.resize(quads.len() * 2 * PAIR, 0);
            for part in 0..input.len().div_ceil(LANES) {
                gather(input, part, quads.clone(), self.from, gathered);
            }
            let strip_of = Strip { spans, weights, from, first: quads.start * 2, bits: self.bits };
            match (input.len() > LANES, self.two_planes) {
                (true, true) => strip_of.multiply::<2, 2>(gathered, columns),
                (true, false) => strip_of.multiply::<2, 1>(gathered, columns),
                (false, true) => strip_of.multiply::<1, 2>(gathered, columns),
                (false, false) => strip_of.multiply::<1, 1>(gathered, columns),
            }
            transpose(columns, output, strip * STRIP * 3, spans.len() * 3);
            from += weights.len();
        }
    }
}

/// A strip of the output.
struct Strip<'a> {
    spans: &'a [(u32, u32)],
    weights: &'a [[i32; 2]],
    /// Where the strip's weights begin among all.
    from: usize,
    /// First pair that was gathered.
    first: usize,
    bits: u32,
}

impl Strip<'_> {
    /// From gathered pairs to columns of 16 rows, of which those of so many parts are made.
    #[target_feature(enable = "avx2")]
    fn multiply<const ROW_PARTS: usize, const PLANES: usize>(&self, gathered: &[u8], columns: &mut [u8]) {
        let half = _mm256_set1_epi32(1 << (self.bits - 1));
        let shift = _mm_cvtsi32_si128(self.bits as i32);
        let zero = _mm256_setzero_si256();
        // Lanes [R03 G03 B03 –][R47 G47 B47 –] to R03 R47 G03 G47 B03 B47.
        let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
        let mut done = 0;
        for (&(pair, end), out) in self.spans.iter().zip(columns.chunks_exact_mut(3 * BLOCK)) {
            let end = end as usize - self.from;
            let weights = &self.weights[done..end];
            done = end;
            let start = (pair as usize - self.first) * PAIR;
            let pixels = gathered[start..start + weights.len() * PAIR].as_chunks::<PAIR>().0;
            let mut sums = [[[zero; PLANES]; 3]; ROW_PARTS];
            for channel in sums.as_flattened_mut() {
                channel[0] = half;
            }
            for (weights, pixels) in weights.iter().zip(pixels) {
                let weights: [__m256i; PLANES] = std::array::from_fn(|plane| _mm256_set1_epi32(weights[plane]));
                for (sums, pixels) in sums.as_flattened_mut().iter_mut().zip(pixels.as_chunks::<32>().0) {
                    let pixels = load(pixels);
                    for (sum, weights) in sums.iter_mut().zip(weights) {
                        *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(pixels, weights));
                    }
                }
            }
            for (part, sums) in sums.into_iter().enumerate() {
                let [red, green, blue] = sums.map(|sums| _mm256_sra_epi32(join(sums), shift));
                let words = (_mm256_packs_epi32(red, green), _mm256_packs_epi32(blue, blue));
                let bytes = _mm256_permutevar8x32_epi32(_mm256_packus_epi16(words.0, words.1), order);
                let (low, high) = (_mm256_castsi256_si128(bytes), _mm256_extracti128_si256::<1>(bytes));
                let at = out[part * LANES..][..2 * BLOCK + LANES].as_mut_ptr();
                // SAFETY: `at` is followed by two more columns of 16 bytes, of each of which 8 are written.
                unsafe {
                    _mm_storel_epi64(at.cast(), low);
                    _mm_storeh_pd(at.add(BLOCK).cast(), _mm256_castpd256_pd128(_mm256_castsi256_pd(bytes)));
                    _mm_storel_epi64(at.add(2 * BLOCK).cast(), high);
                }
            }
        }
    }
}

/// Planes put together modulo 2^32.
#[target_feature(enable = "avx2")]
fn join<const PLANES: usize>(sums: [__m256i; PLANES]) -> __m256i {
    if PLANES == 2 { _mm256_add_epi32(sums[0], _mm256_slli_epi32::<{ LOW_BITS as i32 }>(sums[1])) } else { sums[0] }
}

#[target_feature(enable = "avx2")]
fn load(bytes: &[u8]) -> __m256i {
    debug_assert!(bytes.len() >= 32);
    // SAFETY: all callers pass 32 bytes.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

#[target_feature(enable = "avx2")]
fn store(bytes: &mut [u8], vector: __m256i) {
    debug_assert!(bytes.len() >= 32);
    // SAFETY: all callers pass 32 bytes.
    unsafe { _mm256_storeu_si256(bytes.as_mut_ptr().cast(), vector) }
}

/// From rows to a part's pairs of pixels, four pixels at a time; missing rows repeat the last.
#[target_feature(enable = "avx2")]
fn gather(input: &[&[u8]], part: usize, quads: std::ops::Range<usize>, from: Interleaving, gathered: &mut [u8]) {
    // R0 G0 B0 R1 … -> R0 R1 R2 R3 G0 G1 G2 G3 B0 B1 B2 B3 in each 128-bit lane.
    let order: [i8; 16] = std::array::from_fn(|at| if at < 12 { from.at(at % 4, at / 4) as i8 } else { -1 });
    // SAFETY: the array holds 16 bytes.
    let by_channel = _mm256_broadcastsi128_si256(unsafe { _mm_loadu_si128(order.as_ptr().cast()) });
    let pairs = [
        _mm256_broadcastsi128_si256(_mm_setr_epi8(0, -1, 1, -1, 4, -1, 5, -1, 8, -1, 9, -1, 12, -1, 13, -1)),
        _mm256_broadcastsi128_si256(_mm_setr_epi8(2, -1, 3, -1, 6, -1, 7, -1, 10, -1, 11, -1, 14, -1, 15, -1)),
    ];
    let rows: [&[u8]; LANES] = std::array::from_fn(|lane| input[(part * LANES + lane).min(input.len() - 1)]);
    let (step, len) = (from.at(4, 0) - from.at(0, 0), rows[0].len());
    // Whole 16-byte loads stay within a row up to here.
    let whole = (len + step).saturating_sub(16) / step;
    let whole = whole.clamp(quads.start, quads.end);
    let first = quads.start;
    let mut put = |quad: usize, lanes: [__m256i; 4]| {
        let lanes = lanes.map(|lane| _mm256_shuffle_epi8(lane, by_channel));
        let (low01, high01) = (_mm256_unpacklo_epi32(lanes[0], lanes[1]), _mm256_unpackhi_epi32(lanes[0], lanes[1]));
        let (low23, high23) = (_mm256_unpacklo_epi32(lanes[2], lanes[3]), _mm256_unpackhi_epi32(lanes[2], lanes[3]));
        let channels = [
            _mm256_unpacklo_epi64(low01, low23),
            _mm256_unpackhi_epi64(low01, low23),
            _mm256_unpacklo_epi64(high01, high23),
        ];
        let out = &mut gathered[(quad - first) * 2 * PAIR..][..2 * PAIR];
        for (pair, out) in pairs.into_iter().zip(out.chunks_exact_mut(PAIR)) {
            for (channel, out) in channels.into_iter().zip(out[part * 3 * 32..].chunks_exact_mut(32)) {
                store(out, _mm256_shuffle_epi8(channel, pair));
            }
        }
    };
    for quad in quads.start..whole {
        // SAFETY: `step * quad + 16 <= len` below `whole`.
        let at = |row: usize| unsafe { _mm_loadu_si128(rows[row].as_ptr().add(quad * step).cast()) };
        put(quad, std::array::from_fn(|g| _mm256_set_m128i(at(4 + g), at(g))));
    }
    for quad in whole..quads.end {
        let mut tails = [[0u8; 16]; LANES];
        for (tail, row) in tails.iter_mut().zip(rows) {
            let row = &row[(quad * step).min(len)..];
            let count = row.len().min(16);
            tail[..count].copy_from_slice(&row[..count]);
        }
        // SAFETY: a tail holds 16 bytes.
        let at = |row: usize| unsafe { _mm_loadu_si128(tails[row].as_ptr().cast()) };
        put(quad, std::array::from_fn(|g| _mm256_set_m128i(at(4 + g), at(g))));
    }
}

/// From columns of 16 rows to `len` bytes of each row from `first` on: 32 columns a step, as two 16 x 16 transpositions.
#[target_feature(enable = "avx2")]
fn transpose(columns: &[u8], output: &mut [&mut [u8]], first: usize, len: usize) {
    for (columns, at) in columns.chunks_exact(32 * BLOCK).zip((0..len).step_by(32)) {
        let column = |index: usize| -> __m128i {
            // SAFETY: the step holds 32 columns of 16 bytes.
            unsafe { _mm_loadu_si128(columns.as_ptr().add(index * BLOCK).cast()) }
        };
        let mut a: [__m256i; 16] = std::array::from_fn(|i| _mm256_set_m128i(column(16 + i), column(i)));
        // Each round interleaves vector i with vector i + 8; four rounds transpose.
        for _ in 0..4 {
            a = std::array::from_fn(|i| {
                if i % 2 == 0 {
                    _mm256_unpacklo_epi8(a[i / 2], a[i / 2 + 8])
                } else {
                    _mm256_unpackhi_epi8(a[i / 2], a[i / 2 + 8])
                }
            });
        }
        for (row, vector) in output.iter_mut().zip(a) {
            let row = &mut row[first + at..first + len];
            if row.len() >= 32 {
                store(row, vector);
            } else {
                let mut bytes = [0; 32];
                store(&mut bytes, vector);
                row.copy_from_slice(&bytes[..row.len()]);
            }
        }
    }
}

/// The vertical pass: weights in pairs of rows.
pub(in crate::resample) struct Vertical {
    /// Per output row: where its pairs end in `weights`.
    ends: Vec<u32>,
    /// Per pair of rows, the pair's weights.
    weights: Vec<[i32; 2]>,
    two_planes: bool,
    bits: u32,
}

impl Vertical {
    pub(super) fn new(axis: &AxisWeights) -> Self {
        let two_planes = needs_two_planes(axis);
        let mut ends = Vec::with_capacity(axis.len());
        let mut packed = Vec::new();
        for index in 0..axis.len() {
            let pairs = axis.of(index).1.chunks(2);
            packed.extend(pairs.map(|two| pair(two[0], two.get(1).copied().unwrap_or(0), two_planes)));
            ends.push(packed.len() as u32);
        }
        Self { ends, weights: packed, two_planes, bits: axis.bits() }
    }

    /// Bytes that it takes.
    pub(super) fn bytes(&self) -> usize {
        self.ends.capacity() * 4 + self.weights.capacity() * 8
    }

    /// As [`super::Vertical::row`].
    ///
    /// # Safety
    /// The machine must have the features.
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn row(&self, index: usize, rows: &[&[u8]], output: &mut [u8]) {
        let first = if index == 0 { 0 } else { self.ends[index - 1] as usize };
        let weights = &self.weights[first..self.ends[index] as usize];
        if self.two_planes {
            vertical::<2>(rows, weights, self.bits, output);
        } else {
            vertical::<1>(rows, weights, self.bits, output);
        }
    }
}

#[target_feature(enable = "avx2")]
fn vertical<const PLANES: usize>(rows: &[&[u8]], weights: &[[i32; 2]], bits: u32, output: &mut [u8]) {
    let half = _mm256_set1_epi32(1 << (bits - 1));
    let shift = _mm_cvtsi32_si128(bits as i32);
    let zero = _mm256_setzero_si256();
    let len = output.len();
    let mut at = 0;
    loop {
        let bytes = |row: &[u8]| {
            if len < 32 {
                let mut bytes = [0; 32];
                bytes[..len].copy_from_slice(&row[..len]);
                load(&bytes)
            } else {
                // SAFETY: rows are as long as the output, which has 32 bytes from `at` on.
                unsafe { _mm256_loadu_si256(row.as_ptr().add(at).cast()) }
            }
        };
        let mut sums = [[zero; PLANES]; 4];
        for part in &mut sums {
            part[0] = half;
        }
        for (two, weights) in rows.chunks(2).zip(weights) {
            // A missing row has weight zero and repeats the other.
            let (a, b) = (bytes(two[0]), bytes(two[two.len() - 1]));
            let weights: [__m256i; PLANES] = std::array::from_fn(|plane| _mm256_set1_epi32(weights[plane]));
            let (low, high) = (_mm256_unpacklo_epi8(a, b), _mm256_unpackhi_epi8(a, b));
            let parts = [
                _mm256_unpacklo_epi8(low, zero),
                _mm256_unpackhi_epi8(low, zero),
                _mm256_unpacklo_epi8(high, zero),
                _mm256_unpackhi_epi8(high, zero),
            ];
            for (sums, part) in sums.iter_mut().zip(parts) {
                for (sum, weights) in sums.iter_mut().zip(weights) {
                    *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(part, weights));
                }
            }
        }
        // The packs undo the lane order of the unpacks, and saturate as the clamp does.
        let values = sums.map(|sums| _mm256_sra_epi32(join(sums), shift));
        let words = (_mm256_packs_epi32(values[0], values[1]), _mm256_packs_epi32(values[2], values[3]));
        let vector = _mm256_packus_epi16(words.0, words.1);
        if len < 32 {
            let mut bytes = [0; 32];
            store(&mut bytes, vector);
            output.copy_from_slice(&bytes[..len]);
        } else {
            store(&mut output[at..], vector);
        }
        if at + 32 >= len {
            return;
        }
        // The last vector makes some bytes twice.
        at = (at + 32).min(len - 32);
    }
}
