//! The vertical pass: from packed rows, or from the quads of rows that the horizontal pass leaves.

use std::arch::x86_64::{
    __m512i, _mm_cvtsi32_si128, _mm512_dpbusd_epi32, _mm512_loadu_si512, _mm512_mask_storeu_epi8,
    _mm512_maskz_loadu_epi8, _mm512_permutexvar_epi32, _mm512_set1_epi32, _mm512_setr_epi32, _mm512_setzero_si512,
    _mm512_sra_epi32, _mm512_storeu_si512, _mm512_unpackhi_epi8, _mm512_unpackhi_epi16, _mm512_unpacklo_epi8,
    _mm512_unpacklo_epi16,
};

use super::{join, planes, quad_stride, split, to_bytes};
use crate::resample::AxisWeights;

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
    pub(in crate::resample::kernels) fn new(axis: &AxisWeights) -> Self {
        let (mut rows, mut aligned) = (Quadruples::default(), Quadruples::default());
        for index in 0..axis.len() {
            let (start, weights) = axis.of(index);
            rows.push(weights, 0);
            aligned.push(weights, start % 4);
        }
        Self { rows, aligned, bits: axis.bits() }
    }

    /// Bytes that it takes.
    pub(in crate::resample::kernels) fn bytes(&self) -> usize {
        let bytes = |quads: &Quadruples| quads.ends.capacity() * 4 + quads.weights.capacity() * 12;
        bytes(&self.rows) + bytes(&self.aligned)
    }

    /// As [`super::Vertical::row`].
    ///
    /// # Safety
    /// The machine must have the features.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    pub(in crate::resample::kernels) unsafe fn row(&self, index: usize, rows: &[&[u8]], output: &mut [u8]) {
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
    pub(in crate::resample::kernels) unsafe fn row_of_quads(
        &self,
        index: usize,
        ring: &[u8],
        first: usize,
        stride: usize,
        out: &mut [u8],
    ) {
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
