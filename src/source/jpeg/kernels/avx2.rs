//! AVX2.

use std::arch::x86_64::{
    __m128i, __m256i, _mm_cmpeq_epi16, _mm_loadu_si128, _mm_movemask_epi8, _mm_or_si128, _mm_packs_epi16,
    _mm_setr_epi8, _mm_setzero_si128, _mm_shuffle_epi8, _mm_storel_epi64, _mm_storeu_si128, _mm_unpackhi_epi32,
    _mm_unpackhi_epi64, _mm_unpacklo_epi32, _mm256_add_epi8, _mm256_add_epi16, _mm256_add_epi32, _mm256_adds_epi16,
    _mm256_and_si256, _mm256_blendv_epi8, _mm256_broadcastsi128_si256, _mm256_castsi256_si128, _mm256_cmpeq_epi64,
    _mm256_cvtepu8_epi16, _mm256_extracti128_si256, _mm256_loadu_si256, _mm256_madd_epi16, _mm256_max_epi16,
    _mm256_min_epi16, _mm256_mulhi_epi16, _mm256_mullo_epi16, _mm256_mullo_epi32, _mm256_or_si256, _mm256_packs_epi16,
    _mm256_packs_epi32, _mm256_packus_epi16, _mm256_permute4x64_epi64, _mm256_set_epi64x, _mm256_set1_epi8,
    _mm256_set1_epi16, _mm256_set1_epi32, _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_shuffle_epi32,
    _mm256_slli_epi16, _mm256_srai_epi16, _mm256_srai_epi32, _mm256_sub_epi16, _mm256_sub_epi32, _mm256_testz_si256,
    _mm256_unpackhi_epi8, _mm256_unpackhi_epi16, _mm256_unpackhi_epi32, _mm256_unpackhi_epi64, _mm256_unpacklo_epi8,
    _mm256_unpacklo_epi16, _mm256_unpacklo_epi32, _mm256_unpacklo_epi64, _mm256_xor_si256,
};

use super::quads::{EVEN, EVEN_OF_FOUR, IN_53, IN_71, ODD_OF_FOUR, Z, pair, quads};
use super::scalar::{blend_rows, inks, interleave, widen, ycc};
use super::{Blend, Kernels};
use crate::source::jpeg::quad::{LANES, Quad};
use crate::source::jpeg::reduced::{self, FOUR};

/// Only where the machine has AVX2.
pub(super) fn kernels() -> Kernels {
    assert!(is_x86_feature_detected!("avx2"));
    Kernels {
        // SAFETY: AVX2 was found just now.
        idct: |coefs, quant, out, stride| unsafe { idct(coefs, quant, out, stride) },
        // SAFETY: AVX2 was found just now.
        reduced: |coefs, quant, out, stride, side| unsafe { reduced_here(coefs, quant, out, stride, side) },
        // SAFETY: AVX2 was found just now.
        nonzero: |coefs, lane| unsafe { nonzero(coefs, lane) },
        // SAFETY: AVX2 was found just now.
        blend_rows: |near, far, out| unsafe { blend_rows_here(near, far, out) },
        // SAFETY: AVX2 was found just now.
        widen: |sums, blend, out| unsafe { widen_here(sums, blend, out) },
        // SAFETY: AVX2 was found just now.
        ycc: |y, cb, cr, out| unsafe { ycc_here(y, cb, cr, out) },
        // SAFETY: AVX2 was found just now.
        interleave: |first, second, third, out| unsafe { interleave_here(first, second, third, out) },
        // SAFETY: AVX2 was found just now.
        inks: |packed, whites, invert| unsafe { inks_here(packed, whites, invert) },
    }
}

#[target_feature(enable = "avx2")]
fn blend_rows_here(near: &[u8], far: &[u8], out: &mut [u16]) {
    blend_rows(near, far, out);
}

#[target_feature(enable = "avx2")]
fn widen_here(sums: &[u16], blend: Blend, out: &mut [u8]) {
    // The shift as a constant, for the compiler.
    match blend.shift {
        2 => widen(sums, Blend { shift: 2, ..blend }, out),
        _ => widen(sums, Blend { shift: 4, ..blend }, out),
    }
}

quads! {
    "avx2", __m256i, _mm256_set1_epi16, _mm256_set1_epi32, _mm256_setzero_si256, _mm256_add_epi8, _mm256_add_epi16,
    _mm256_sub_epi16, _mm256_add_epi32, _mm256_sub_epi32, madd_add, _mm256_madd_epi16, _mm256_srai_epi32,
    _mm256_packs_epi32, _mm256_packs_epi16, _mm256_unpacklo_epi8, _mm256_unpackhi_epi8, _mm256_unpacklo_epi16,
    _mm256_unpackhi_epi16, _mm256_unpacklo_epi32, _mm256_unpackhi_epi32, _mm256_unpacklo_epi64, _mm256_unpackhi_epi64
}

/// Products of pairs, added to `sum`.
#[inline]
#[target_feature(enable = "avx2")]
fn madd_add(sum: __m256i, a: __m256i, b: __m256i) -> __m256i {
    _mm256_add_epi32(sum, _mm256_madd_epi16(a, b))
}

#[target_feature(enable = "avx2")]
fn idct(quad: &Quad, quant: &[u16; 64], out: &mut [u8], stride: usize) {
    idct_of_two::<0>(quad, quant, out, stride);
    idct_of_two::<1>(quad, quant, &mut out[16..], stride);
}

/// The first two blocks of four, or the others.
#[inline]
#[target_feature(enable = "avx2")]
fn idct_of_two<const HALF: usize>(quad: &Quad, quant: &[u16; 64], out: &mut [u8], stride: usize) {
    let raw = |row: usize| {
        let words: &[i16; 16] = &quad.0.as_chunks::<16>().0[row * 2 + HALF];
        // SAFETY: 32 bytes are there.
        unsafe { _mm256_loadu_si256(words.as_ptr().cast()) }
    };
    let by = |row: usize| {
        let words: &[u16; 8] = &quant.as_chunks::<8>().0[row];
        // SAFETY: 16 bytes are there.
        _mm256_broadcastsi128_si256(unsafe { _mm_loadu_si128(words.as_ptr().cast()) })
    };
    let row = |at| _mm256_mullo_epi16(raw(at), by(at));
    let or = |a, b| _mm256_or_si256(a, b);
    let lower = or(or(raw(4), raw(5)), or(raw(6), raw(7)));
    let upper = or(raw(1), or(raw(2), raw(3)));
    let first = row(0);
    // Where a block's first row alone is not zero, the transform is a shift that wraps.
    let wraps = {
        let shifted = _mm256_slli_epi16::<2>(first);
        let differs = _mm256_xor_si256(_mm256_srai_epi16::<2>(shifted), first);
        _mm256_testz_si256(differs, differs) == 0
    };
    let right = _mm256_set_epi64x(-1, 0, -1, 0);
    let columns =
        if _mm256_testz_si256(lower, lower) == 1 && _mm256_testz_si256(or(upper, raw(0)), right) == 1 && !wraps {
            let but_first = _mm256_set_epi64x(0, !0xffff, 0, !0xffff);
            if _mm256_testz_si256(upper, upper) == 1 && _mm256_testz_si256(raw(0), but_first) == 1 {
                return fill(first, out, stride);
            }
            let (in02, in13) = (_mm256_unpacklo_epi16(first, row(2)), _mm256_unpacklo_epi16(row(1), row(3)));
            of_four::<18>(transpose_half(half_of_four::<11>(in02, in13)))
        } else {
            let mut rows = one_dimension::<11>([first, row(1), row(2), row(3), row(4), row(5), row(6), row(7)]);
            if wraps {
                let zero = _mm256_cmpeq_epi64(or(upper, lower), _mm256_setzero_si256());
                let alone = _mm256_and_si256(zero, _mm256_shuffle_epi32::<0x4e>(zero));
                for row in &mut rows {
                    *row = _mm256_blendv_epi8(*row, _mm256_slli_epi16::<2>(first), alone);
                }
            }
            one_dimension::<18>(transpose(rows))
        };
    for (rows, out) in to_bytes(columns).into_iter().zip(out.chunks_mut(stride * 2)) {
        let rows = _mm256_permute4x64_epi64::<0xd8>(rows);
        // SAFETY: both slices hold 16 bytes.
        unsafe {
            _mm_storeu_si128(out[..16].as_mut_ptr().cast(), _mm256_castsi256_si128(rows));
            _mm_storeu_si128(out[stride..stride + 16].as_mut_ptr().cast(), _mm256_extracti128_si256::<1>(rows));
        }
    }
}

#[target_feature(enable = "avx2")]
fn reduced_here(quad: &Quad, quant: &[u16; 64], out: &mut [u8], stride: usize, side: usize) {
    // Products are of signed numbers.
    if side == 4 && quant.iter().all(|&by| by < 1 << 15) {
        half_of_two::<0>(quad, quant, out, stride);
        half_of_two::<1>(quad, quant, &mut out[8..], stride);
    } else {
        reduced::idct(quad, quant, out, stride, side);
    }
}

/// As `reduced::idct` to four samples, of the first two blocks of four or of the others.
#[inline]
#[target_feature(enable = "avx2")]
fn half_of_two<const HALF: usize>(quad: &Quad, quant: &[u16; 64], out: &mut [u8], stride: usize) {
    // The first four products of a row, of 32 bits.
    let row = |at: usize| {
        let words: &[i16; 16] = &quad.0.as_chunks::<16>().0[at * 2 + HALF];
        let quant: &[u16; 8] = &quant.as_chunks::<8>().0[at];
        // SAFETY: 32 bytes are there, and 16.
        let (words, quant) =
            unsafe { (_mm256_loadu_si256(words.as_ptr().cast()), _mm_loadu_si128(quant.as_ptr().cast())) };
        let quant = _mm256_broadcastsi128_si256(quant);
        _mm256_unpacklo_epi16(_mm256_mullo_epi16(words, quant), _mm256_mulhi_epi16(words, quant))
    };
    let clamp = |words| _mm256_max_epi16(_mm256_min_epi16(words, _mm256_set1_epi16(16383)), _mm256_set1_epi16(-16384));
    let (even, odd) = (clamp(_mm256_packs_epi32(row(0), row(2))), clamp(_mm256_packs_epi32(row(1), row(3))));
    let (in01, in23) = (_mm256_unpacklo_epi16(even, odd), _mm256_unpackhi_epi16(even, odd));
    let column = |y: usize| {
        let by = |u: usize| _mm256_set1_epi32(pair(FOUR[u][y], FOUR[u + 1][y]));
        let sum = _mm256_add_epi32(_mm256_madd_epi16(in01, by(0)), _mm256_madd_epi16(in23, by(2)));
        _mm256_srai_epi32::<10>(_mm256_add_epi32(sum, _mm256_set1_epi32(1 << 9)))
    };
    let [a, b, c, d] = [column(0), column(1), column(2), column(3)];
    let (e, f, g, h) = (
        _mm256_unpacklo_epi32(a, b),
        _mm256_unpackhi_epi32(a, b),
        _mm256_unpacklo_epi32(c, d),
        _mm256_unpackhi_epi32(c, d),
    );
    let inputs = [
        _mm256_unpacklo_epi64(e, g),
        _mm256_unpackhi_epi64(e, g),
        _mm256_unpacklo_epi64(f, h),
        _mm256_unpackhi_epi64(f, h),
    ];
    let times = |value, by| _mm256_mullo_epi32(value, _mm256_set1_epi32(by));
    let round = _mm256_set1_epi32(1 << 13);
    let sum = _mm256_add_epi32(times(_mm256_add_epi32(inputs[0], inputs[2]), FOUR[0][0]), round);
    let difference = _mm256_add_epi32(times(_mm256_sub_epi32(inputs[0], inputs[2]), FOUR[0][0]), round);
    let outer = _mm256_add_epi32(times(inputs[1], FOUR[1][0]), times(inputs[3], FOUR[3][0]));
    let inner = _mm256_add_epi32(times(inputs[1], FOUR[1][1]), times(inputs[3], FOUR[3][1]));
    let narrow = |a, b| {
        let words = _mm256_packs_epi32(_mm256_srai_epi32::<14>(a), _mm256_srai_epi32::<14>(b));
        _mm256_adds_epi16(words, _mm256_set1_epi16(128))
    };
    let bytes = _mm256_packus_epi16(
        narrow(_mm256_add_epi32(sum, outer), _mm256_add_epi32(difference, inner)),
        narrow(_mm256_sub_epi32(difference, inner), _mm256_sub_epi32(sum, outer)),
    );
    // Of each block, four columns to four rows; then rows of both blocks.
    let order = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    let rows = _mm256_shuffle_epi8(bytes, order);
    let (first, second) = (_mm256_castsi256_si128(rows), _mm256_extracti128_si256::<1>(rows));
    let pairs = [_mm_unpacklo_epi32(first, second), _mm_unpackhi_epi32(first, second)];
    for (pair, out) in pairs.into_iter().zip(out.chunks_mut(stride * 2)) {
        // SAFETY: both slices hold 8 bytes.
        unsafe {
            _mm_storel_epi64(out[..8].as_mut_ptr().cast(), pair);
            _mm_storel_epi64(out[stride..stride + 8].as_mut_ptr().cast(), _mm_unpackhi_epi64(pair, pair));
        }
    }
}

#[target_feature(enable = "avx2")]
fn nonzero(quad: &Quad, lane: usize) -> u64 {
    let rows = quad.0.as_chunks::<8>().0;
    let zero = |row: usize| {
        let words: &[i16; 8] = &rows[row * LANES as usize + lane / 8];
        // SAFETY: 16 bytes are there.
        _mm_cmpeq_epi16(unsafe { _mm_loadu_si128(words.as_ptr().cast()) }, _mm_setzero_si128())
    };
    let pair = |row| u64::from(_mm_movemask_epi8(_mm_packs_epi16(zero(row), zero(row + 1))) as u16) << (row * 8);
    !(pair(0) | pair(2) | pair(4) | pair(6))
}

/// The samples of blocks of one coefficient.
#[inline]
#[target_feature(enable = "avx2")]
fn fill(first: __m256i, out: &mut [u8], stride: usize) {
    let rounded = _mm256_srai_epi16::<5>(_mm256_adds_epi16(_mm256_slli_epi16::<2>(first), _mm256_set1_epi16(16)));
    let bytes = _mm256_add_epi8(_mm256_packs_epi16(rounded, rounded), _mm256_set1_epi8(-128));
    let alike = _mm256_permute4x64_epi64::<0x08>(_mm256_shuffle_epi8(bytes, _mm256_setzero_si256()));
    for out in out.chunks_mut(stride).take(8) {
        // SAFETY: the slice holds 16 bytes.
        unsafe { _mm_storeu_si128(out[..16].as_mut_ptr().cast(), _mm256_castsi256_si128(alike)) };
    }
}

#[target_feature(enable = "avx2")]
fn ycc_here(y: &[u8], cb: &[u8], cr: &[u8], out: &mut [u8]) {
    let wide = |bytes: &[u8; 16]| {
        // SAFETY: 16 bytes are there.
        _mm256_cvtepu8_epi16(unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) })
    };
    let middle = _mm256_set1_epi16(128);
    let one = _mm256_set1_epi16(1);
    // 0.402, -0.228, and (-0.34414, 0.28586), each times 65536.
    let (red_by, blue_by) = (_mm256_set1_epi16(26345), _mm256_set1_epi16(-14942));
    let green_by = _mm256_set1_epi32(18734 * 65536 + (65536 - 22554));
    let half = _mm256_set1_epi32(32768);
    let chunks = y.len().min(cb.len()).min(cr.len()).min(out.len() / 3) / 16;
    let (ys, cbs, crs) = (y.as_chunks::<16>().0, cb.as_chunks::<16>().0, cr.as_chunks::<16>().0);
    for (((y, cb), cr), out) in ys.iter().zip(cbs).zip(crs).zip(out.as_chunks_mut::<48>().0) {
        let y = wide(y);
        let cb = _mm256_sub_epi16(wide(cb), middle);
        let cr = _mm256_sub_epi16(wide(cr), middle);
        let rounded = |value: __m256i, by| {
            let product = _mm256_mulhi_epi16(_mm256_add_epi16(value, value), by);
            _mm256_srai_epi16::<1>(_mm256_add_epi16(product, one))
        };
        let red = _mm256_add_epi16(_mm256_add_epi16(rounded(cr, red_by), cr), y);
        let blue = _mm256_add_epi16(_mm256_add_epi16(rounded(cb, blue_by), _mm256_add_epi16(cb, cb)), y);
        let sum = |pairs| _mm256_srai_epi32::<16>(_mm256_add_epi32(_mm256_madd_epi16(pairs, green_by), half));
        let green = _mm256_packs_epi32(sum(_mm256_unpacklo_epi16(cb, cr)), sum(_mm256_unpackhi_epi16(cb, cr)));
        let green = _mm256_add_epi16(_mm256_sub_epi16(green, cr), y);
        let bytes = |value| {
            let packed = _mm256_permute4x64_epi64::<0xd8>(_mm256_packus_epi16(value, value));
            _mm256_castsi256_si128(packed)
        };
        store_interleaved(bytes(red), bytes(green), bytes(blue), out);
    }
    let done = chunks * 16;
    ycc(&y[done..], &cb[done..], &cr[done..], &mut out[done * 3..]);
}

#[target_feature(enable = "avx2")]
fn interleave_here(first: &[u8], second: &[u8], third: &[u8], out: &mut [u8]) {
    let chunks = first.len().min(second.len()).min(third.len()).min(out.len() / 3) / 16;
    // SAFETY: 16 bytes are there.
    let load = |bytes: &[u8; 16]| unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) };
    let lines = first.as_chunks::<16>().0.iter().zip(second.as_chunks::<16>().0).zip(third.as_chunks::<16>().0);
    for (((first, second), third), out) in lines.zip(out.as_chunks_mut::<48>().0) {
        store_interleaved(load(first), load(second), load(third), out);
    }
    let done = chunks * 16;
    interleave(&first[done..], &second[done..], &third[done..], &mut out[done * 3..]);
}

#[target_feature(enable = "avx2")]
fn inks_here(packed: &mut [u8], whites: &[u8], invert: u8) {
    inks(packed, whites, invert);
}

#[target_feature(enable = "avx2")]
fn store_interleaved(red: __m128i, green: __m128i, blue: __m128i, out: &mut [u8; 48]) {
    let or = |a, b, c| _mm_or_si128(_mm_or_si128(a, b), c);
    let first = or(
        _mm_shuffle_epi8(red, _mm_setr_epi8(0, -1, -1, 1, -1, -1, 2, -1, -1, 3, -1, -1, 4, -1, -1, 5)),
        _mm_shuffle_epi8(green, _mm_setr_epi8(-1, 0, -1, -1, 1, -1, -1, 2, -1, -1, 3, -1, -1, 4, -1, -1)),
        _mm_shuffle_epi8(blue, _mm_setr_epi8(-1, -1, 0, -1, -1, 1, -1, -1, 2, -1, -1, 3, -1, -1, 4, -1)),
    );
    let second = or(
        _mm_shuffle_epi8(red, _mm_setr_epi8(-1, -1, 6, -1, -1, 7, -1, -1, 8, -1, -1, 9, -1, -1, 10, -1)),
        _mm_shuffle_epi8(green, _mm_setr_epi8(5, -1, -1, 6, -1, -1, 7, -1, -1, 8, -1, -1, 9, -1, -1, 10)),
        _mm_shuffle_epi8(blue, _mm_setr_epi8(-1, 5, -1, -1, 6, -1, -1, 7, -1, -1, 8, -1, -1, 9, -1, -1)),
    );
    let third = or(
        _mm_shuffle_epi8(red, _mm_setr_epi8(-1, 11, -1, -1, 12, -1, -1, 13, -1, -1, 14, -1, -1, 15, -1, -1)),
        _mm_shuffle_epi8(green, _mm_setr_epi8(-1, -1, 11, -1, -1, 12, -1, -1, 13, -1, -1, 14, -1, -1, 15, -1)),
        _mm_shuffle_epi8(blue, _mm_setr_epi8(10, -1, -1, 11, -1, -1, 12, -1, -1, 13, -1, -1, 14, -1, -1, 15)),
    );
    // SAFETY: 48 bytes are there.
    unsafe {
        _mm_storeu_si128(out.as_mut_ptr().cast(), first);
        _mm_storeu_si128(out.as_mut_ptr().add(16).cast(), second);
        _mm_storeu_si128(out.as_mut_ptr().add(32).cast(), third);
    }
}
